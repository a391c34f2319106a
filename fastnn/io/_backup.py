"""What a training that was cut off goes on from: a model's file, with where `fit` stands."""

from os import PathLike
from typing import Any

import numpy as np

from fastnn.io._model import BACKUP, load_weights, read_backup, write_model
from fastnn.models import Sequential
from fastnn.utils import get_random_state, set_random_state

ARRAY = "array"  # {"array": name} stands for an array of that name in the file


def backup(model: Sequential, path: str | bytes | PathLike[str]) -> None:
    """Write all that `restore` needs to go on with the `fit` that the model is in.

    Called by a callback's `on_checkpoint`, when nothing is under way.

    Raises
    ------
    ValueError
        If the model is not in `fit`.
    OSError, TypeError
        As `save_weights` does; TypeError also if a callback keeps what is no plain data.

    Examples
    --------
    >>> from fastnn.callbacks import Callback
    >>> from fastnn.io import backup, read_metadata
    >>> from fastnn.layers import Dense
    >>> class Save(Callback):
    ...     def on_checkpoint(self, batch):
    ...         backup(self.model, "cut.fastnn")
    >>> model = Sequential([Dense(1, input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> model.fit([[0.0], [1.0]], [0.0, 2.0], epochs=3, verbose=0, callbacks=[Save()]).epoch
    [0, 1, 2]
    >>> read_metadata("cut.fastnn")["backup"]["fit"]["epoch"]
    2
    """
    if model._run is None:
        raise ValueError("model: expected one that is in fit, got one that is not")
    arrays: dict[str, np.ndarray] = {}
    state = {
        "fit": _packed(model._run.get_state(), arrays),
        "numbers": model.optimizer.numbers,  # type: ignore[union-attr]
        "random": get_random_state(),
    }
    write_model(model, path, {"backup": state}, arrays, weights_only=True)


def restore(model: Sequential, path: str | bytes | PathLike[str]) -> None:
    """Bring a model in `fit`, its callbacks and fastnn's random numbers to where they were.

    Raises
    ------
    ValueError
        If the model is not in `fit`, or the file is no such file, or of another model, other data
        or other callbacks. Nothing has changed then.

    Examples
    --------
    `fit` calls it once all callbacks have begun; `BackupAndRestore` sees to that.

    >>> from fastnn.io import restore
    >>> from fastnn.layers import Dense
    >>> restore(Sequential([Dense(1, input_shape=(1,))]), "cut.fastnn")
    Traceback (most recent call last):
        ...
    ValueError: model: expected one that is in fit, got one that is not
    """
    if model._run is None:
        raise ValueError("model: expected one that is in fit, got one that is not")
    state, arrays = read_backup(path)
    try:
        fit = _unpacked(state["fit"], arrays)
        model._run.check_state(fit)
        numbers, random = dict(state["numbers"]), state["random"]
        if numbers.keys() != model.optimizer.numbers.keys():  # type: ignore[union-attr]
            raise ValueError(f"path: expected a backup of such an optimizer, got {path!r}")
    except (KeyError, TypeError) as error:
        raise ValueError(f"path: expected a file of BackupAndRestore, got {path!r}") from error
    load_weights(model, path)
    for name, value in numbers.items():
        setattr(model.optimizer, name, value)
    model._run.set_state(fit)
    set_random_state(random)


def _packed(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Plain data: arrays go into `arrays`, under names that stand for them."""
    if isinstance(value, dict):
        if any(not isinstance(key, str) or key == ARRAY for key in value):
            raise TypeError(f"get_state: expected names other than {ARRAY!r} as keys, got {value}")
        return {key: _packed(part, arrays) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_packed(part, arrays) for part in value]
    if isinstance(value, np.ndarray):
        name = f"{BACKUP}{len(arrays)}"
        arrays[name] = value
        return {ARRAY: name}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"get_state: expected plain data and arrays, got {value!r}")


def _unpacked(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """What `_packed` was given."""
    if isinstance(value, dict):
        if value.keys() == {ARRAY}:
            return arrays[value[ARRAY]]
        return {key: _unpacked(part, arrays) for key, part in value.items()}
    return [_unpacked(part, arrays) for part in value] if isinstance(value, list) else value
