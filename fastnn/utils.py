"""Random numbers and small helpers."""

import os
import random
from typing import Any

import numpy as np

from fastnn._data import as_int, numeric

_seeds = random.Random()
_generator: Any = None  # made at its first use: numpy.random loads slowly


def set_random_seed(seed: int) -> None:
    """Make everything random that follows the same in every run.

    Seeds fastnn's own generator (initial weights of layers made from now on, order of the
    samples in `fit`) and, as Keras does, Python's `random` and NumPy's global generator.

    Parameters
    ----------
    seed : int
        0 to 2**32 - 1.

    Raises
    ------
    TypeError
        If `seed` is not an integer.
    ValueError
        If it is out of range.
    """
    global _generator, _seeds
    seed = as_int(seed, "seed", 0, 2**32 - 1)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the user's code may draw from it
    _seeds = random.Random(seed)
    _generator = None


def draw_seed() -> int:
    """A fresh seed from fastnn's own generator."""
    return _seeds.getrandbits(63)


def draw_permutation(n: int) -> np.ndarray:
    """0 .. n-1 in random order, int64."""
    global _generator
    if _generator is None:
        _generator = np.random.default_rng(draw_seed())
    order: np.ndarray = _generator.permutation(n).astype(np.int64, copy=False)
    return order


def get_random_state() -> dict[str, Any]:
    """The state of fastnn's own generator, as plain data for `set_random_state`."""
    version, numbers, gauss = _seeds.getstate()
    generator = None if _generator is None else _generator.bit_generator.state
    return {"seeds": [version, list(numbers), gauss], "generator": generator}


def set_random_state(state: dict[str, Any]) -> None:
    """Go on drawing where `get_random_state` was called."""
    global _generator
    version, numbers, gauss = state["seeds"]
    _seeds.setstate((version, tuple(numbers), gauss))
    _generator = None
    if state["generator"] is not None:
        _generator = np.random.default_rng(0)
        _generator.bit_generator.state = state["generator"]


def _after_fork_in_child() -> None:
    """A thread that drew while another forked has left the generator locked in the child."""
    global _generator
    _generator = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """One-hot rows of class ids.

    Parameters
    ----------
    x : array_like of int, any shape
    num_classes : int, optional
        Columns of the result; by default the largest id plus one.

    Returns
    -------
    ndarray of float32, x.shape + (num_classes,)

    Raises
    ------
    ValueError
        If an id is fractional, negative or not below `num_classes`.
    """
    array = numeric(x, "x")
    whole = array.dtype.kind != "f" or (np.floor(array) == array).all()
    if not (whole and ((array >= 0) & (array < 2**31 - 1)).all()):
        raise ValueError("x: expected whole class ids >= 0, got others")
    ids = array.astype(np.int64)
    classes = int(ids.max(initial=0)) + 1
    if num_classes is not None:
        given = as_int(num_classes, "num_classes", 1)
        if ids.size and given < classes:
            raise ValueError(f"num_classes: expected at least {classes}, got {given}")
        classes = given
    one_hot = np.zeros((*ids.shape, classes), np.float32)
    np.put_along_axis(one_hot, ids[..., None], 1, axis=-1)
    return one_hot
