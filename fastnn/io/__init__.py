"""Models as files."""

from fastnn.io._backup import backup, restore
from fastnn.io._model import load_model, load_weights, read_metadata, save_model, save_weights

__all__ = [
    "backup",
    "load_model",
    "load_weights",
    "read_metadata",
    "restore",
    "save_model",
    "save_weights",
]
