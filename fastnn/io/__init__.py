"""Models as files."""

from fastnn.io._model import load_model, read_metadata, save_model

__all__ = ["load_model", "read_metadata", "save_model"]
