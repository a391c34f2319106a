"""Models as files, under the names of `keras.saving`."""

from fastnn.models import load_model, save_model

__all__ = ["load_model", "save_model"]
