"""Models as files."""

from fastnn.io._model import load_model, load_weights, read_metadata, save_model

__all__ = ["load_model", "load_weights", "read_metadata", "save_model"]
