"""Models as files."""

from fastnn.io._model import get_state, load_model, model_from_state, read_metadata, save_model

__all__ = ["get_state", "load_model", "model_from_state", "read_metadata", "save_model"]
