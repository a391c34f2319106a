"""Random numbers and small helpers."""

import os
import random
from numbers import Real
from typing import Any

import numpy as np

from fastnn._data import as_bool, as_int, as_number, numeric
from fastnn._native.shuffles import shuffle
from fastnn._sources import PyDataset, Sequence

__all__ = [
    "PyDataset",
    "Sequence",
    "clear_session",
    "draw_permutation",
    "draw_seed",
    "get_random_state",
    "normalize",
    "set_random_seed",
    "set_random_state",
    "split_dataset",
    "to_categorical",
]

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

    Examples
    --------
    >>> from fastnn.initializers import GlorotUniform
    >>> from fastnn.utils import set_random_seed
    >>> set_random_seed(3)
    >>> first = GlorotUniform()((2, 2))
    >>> set_random_seed(3)
    >>> (GlorotUniform()((2, 2)) == first).all().item()
    True
    """
    global _generator, _seeds
    seed = as_int(seed, "seed", 0, 2**32 - 1)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the user's code may draw from it
    _seeds = random.Random(seed)
    _generator = None


def draw_seed() -> int:
    """A fresh seed from fastnn's own generator.

    Examples
    --------
    >>> from fastnn.utils import draw_seed
    >>> draw_seed() < 2**63
    True
    """
    return _seeds.getrandbits(63)


def draw_permutation(n: int) -> np.ndarray:
    """0 .. n-1 in random order, int64.

    Examples
    --------
    >>> from fastnn.utils import draw_permutation
    >>> sorted(draw_permutation(3).tolist())
    [0, 1, 2]
    """
    return draw_permutations(n)


def draw_permutations(n: int, count: int = 1) -> np.ndarray:
    """What so many calls of `draw_permutation` give, one after the other in one array."""
    global _generator
    if _generator is None:
        _generator = np.random.default_rng(draw_seed())
    orders = np.empty((count, n), np.int64)
    orders[:] = np.arange(n)
    places = orders.reshape(-1)
    shuffle(places, _generator, n)  # what _generator.permutation(n) is, sooner
    return places


def get_random_state() -> dict[str, Any]:
    """The state of fastnn's own generator, as plain data for `set_random_state`.

    Examples
    --------
    >>> from fastnn.utils import draw_permutation, get_random_state, set_random_state
    >>> state = get_random_state()
    >>> first = draw_permutation(9)
    >>> set_random_state(state)
    >>> (draw_permutation(9) == first).all().item()
    True
    """
    version, numbers, gauss = _seeds.getstate()
    generator = None if _generator is None else _generator.bit_generator.state
    return {"seeds": [version, list(numbers), gauss], "generator": generator}


def set_random_state(state: dict[str, Any]) -> None:
    """Go on drawing where `get_random_state` was called.

    Examples
    --------
    >>> from fastnn.utils import draw_seed, get_random_state, set_random_state
    >>> state = get_random_state()
    >>> first = draw_seed()
    >>> set_random_state(state)
    >>> draw_seed() == first
    True
    """
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


def clear_session(free_memory: bool = True) -> None:
    """Count the names of new layers from the beginning again.

    Keras's loops over folds call it between models to free memory, too: here a model's memory is
    free when nobody holds the model.

    Parameters
    ----------
    free_memory : bool
        Changes nothing.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.utils import clear_session
    >>> clear_session()
    >>> Dense(3).name
    'dense'
    """
    from fastnn.layers._base import forget_names  # which imports this module

    as_bool(free_memory, "free_memory")
    forget_names()


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """One-hot rows of class ids.

    Parameters
    ----------
    x : array_like of int, any shape
    num_classes : int, optional
        Columns of the result; by default the largest id plus one.

    Returns
    -------
    ndarray of float32, x.shape + (num_classes,); a last axis of 1, as of a column, goes

    Raises
    ------
    ValueError
        If an id is fractional, negative or not below `num_classes`.

    Examples
    --------
    >>> from fastnn.utils import to_categorical
    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    array = numeric(x, "x")
    whole = array.dtype.kind != "f" or (np.floor(array) == array).all()
    if not (whole and ((array >= 0) & (array < 2**31 - 1)).all()):
        raise ValueError("x: expected whole class ids >= 0, got others")
    ids = array.astype(np.int64)
    ids = ids[..., 0] if ids.ndim > 1 and ids.shape[-1] == 1 else ids
    classes = int(ids.max(initial=0)) + 1
    if num_classes is not None:
        given = as_int(num_classes, "num_classes", 1)
        if ids.size and given < classes:
            raise ValueError(f"num_classes: expected at least {classes}, got {given}")
        classes = given
    one_hot = np.zeros((*ids.shape, classes), np.float32)
    np.put_along_axis(one_hot, ids[..., None], 1, axis=-1)
    return one_hot


def normalize(x: Any, axis: int = -1, order: float = 2) -> np.ndarray:
    """`x` divided by its norms along an axis; where a norm is 0 it stays.

    Parameters
    ----------
    x : array_like of numbers
    axis : int
    order : float
        Of the norm, as in `numpy.linalg.norm`: 2 is the Euclidean, 1 the sum of sizes.

    Returns
    -------
    ndarray of x's shape, of its type of floats, or float64

    Raises
    ------
    ValueError, TypeError
        If `x` is no array of numbers or has no such axis, or `order` is no number.

    Examples
    --------
    >>> from fastnn.utils import normalize
    >>> normalize([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    array = np.atleast_1d(numeric(x, "x"))
    along = as_int(axis, "axis", -array.ndim, array.ndim - 1)
    if not isinstance(order, Real) or isinstance(order, bool):
        raise TypeError(f"order: expected a number, got {order!r}")
    norm = np.linalg.norm(array, float(order), along, keepdims=True)
    normalized: np.ndarray = array / np.where(norm == 0, 1, norm)
    return normalized


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Any, Any]:
    """Split arrays of as many rows each in two, by rows.

    Parameters
    ----------
    dataset : array_like, or tuple or list of array_like
        Keras returns datasets of TensorFlow; here what comes out is what went in.
    left_size, right_size : int or float in (0, 1), optional
        Rows, or the part of them, of either side; one of the two may be left out.
    shuffle : bool
        Whether rows are drawn at random.
    seed : int, optional
        For that; by default `set_random_seed` fixes it.

    Returns
    -------
    left, right : ndarray, or tuple or list of ndarray

    Raises
    ------
    ValueError, TypeError
        If sizes or rows do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.utils import split_dataset
    >>> train, test = split_dataset((np.arange(10), np.arange(10)), right_size=0.2)
    >>> test[0]
    array([8, 9])
    """
    many = isinstance(dataset, (tuple, list))
    arrays = [np.asarray(part) for part in (dataset if many else [dataset])]
    if not arrays or any(array.ndim == 0 for array in arrays):
        raise ValueError("dataset: expected arrays with rows, got none")
    rows = len(arrays[0])
    if any(len(array) != rows for array in arrays):
        raise ValueError(f"dataset: expected as many rows each, got {[len(a) for a in arrays]}")
    if left_size is None and right_size is None:
        raise ValueError("left_size, right_size: expected one of them, got neither")
    left = None if left_size is None else _rows(left_size, rows, "left_size")
    right = None if right_size is None else _rows(right_size, rows, "right_size")
    if left is None:
        left = rows - (right or 0)
    if left + (right or 0) > rows or not 0 < left <= rows or right == 0:
        raise ValueError(
            f"left_size, right_size: expected sizes within {rows} rows, got {left_size} and "
            f"{right_size}"
        )
    right = rows - left if right is None else right
    order = np.arange(rows)
    if shuffle:
        order = (
            draw_permutation(rows)
            if seed is None
            else np.random.default_rng(seed).permutation(rows)
        )
    sides = [
        [array[part] for array in arrays] for part in (order[:left], order[left : left + right])
    ]
    if not many:
        return sides[0][0], sides[1][0]
    return type(dataset)(sides[0]), type(dataset)(sides[1])


def _rows(size: Any, rows: int, name: str) -> int:
    """A number of rows, or the part of them, as a number."""
    if isinstance(size, (float, np.floating)):
        return round(as_number(float(size), name, 0, 1, bounds="()") * rows)
    return as_int(size, name, 1)
