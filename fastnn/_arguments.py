"""What `fit`, `evaluate` and `predict` take beside a model: checks and plain forms."""

from collections.abc import Callable
from math import floor
from typing import Any

import numpy as np

from fastnn._data import as_int
from fastnn.callbacks import Callback

# x (samples, features), y (samples,) class ids or (samples, outputs), sample_weight or None
Data = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def first(data: Data, rows: int) -> Data:
    """The first rows of all."""
    x, y, weight = data
    return x[:rows], y[:rows], None if weight is None else weight[:rows]


def as_frequency(validation_freq: Any) -> Callable[[int], bool]:
    """Which epochs, counted from 0, have a validation."""
    if isinstance(validation_freq, (list, tuple, set, frozenset, range)):
        chosen = {as_int(epoch, "validation_freq", 1) for epoch in validation_freq}
        return lambda epoch: epoch + 1 in chosen
    every = as_int(validation_freq, "validation_freq", 1)
    return lambda epoch: (epoch + 1) % every == 0


def split(data: Data, fraction: float) -> tuple[int, Data]:
    """How many samples remain for training, and the last `fraction` of them for validation."""
    x, y, weight = data
    samples = floor(len(x) * (1 - fraction))
    if not 0 < samples < len(x):
        raise ValueError(
            f"validation_split: expected a fraction that leaves rows on both sides, got "
            f"{fraction} of {len(x)} rows"
        )
    return samples, (x[samples:], y[samples:], None if weight is None else weight[samples:])


def as_verbose(verbose: Any) -> int:
    """0, 1 or 2; "auto" and True are 1, False is 0."""
    known = isinstance(verbose, (str, int, np.integer, np.bool_))
    if not known or verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose: expected 'auto', 0, 1 or 2; got {verbose!r}")
    return 1 if verbose == "auto" else int(verbose)


def as_callbacks(callbacks: Any) -> list[Callback]:
    """A new list of callbacks, of a list, one or None."""
    if callbacks is None:
        return []
    chosen: list[Callback] = (
        list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
    )
    for callback in chosen:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks: expected objects of fastnn.callbacks, got {callback!r}")
    return chosen
