"""What a training that was cut off goes on from: a model's file, with epoch and random state."""

from os import PathLike

from fastnn._data import as_int
from fastnn.io._model import load_weights, read_metadata, save_model
from fastnn.models import Sequential
from fastnn.utils import get_random_state, set_random_state


def backup(model: Sequential, path: str | bytes | PathLike[str], epoch: int) -> None:
    """Write all that `restore` needs to go on with an epoch, counted from 0, that is to begin.

    Raises
    ------
    OSError, TypeError
        As `save_model` does.
    """
    numbers = model.optimizer.numbers if model.optimizer is not None else {}
    state = {"epoch": epoch, "numbers": numbers, "random": get_random_state()}
    save_model(model, path, {"backup": state})


def restore(model: Sequential, path: str | bytes | PathLike[str]) -> int:
    """Bring a model and fastnn's random numbers to where `backup` was called; returns the epoch.

    Raises
    ------
    ValueError
        If the file is no such file, or of another model. Nothing has changed then.
    """
    state = read_metadata(path).get("backup")
    if not isinstance(state, dict):
        raise ValueError(f"path: expected a file of BackupAndRestore, got {path!r}")
    epoch = as_int(state["epoch"], "epoch", 0)
    load_weights(model, path)
    if model.optimizer is not None:
        for name, value in state["numbers"].items():
            setattr(model.optimizer, name, value)
    set_random_state(state["random"])
    return epoch
