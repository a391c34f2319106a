"""Checks and conversions of what users hand in. Every error names the argument, what was
expected and what came; nothing has changed when one is raised."""

import operator
import os
from collections.abc import Mapping
from math import isfinite, prod
from numbers import Real
from typing import Any

import numpy as np

from fastnn._sparse import CSR, as_csr, is_sparse

NUMERIC_KINDS = "fiub"

Shape = tuple[int, ...]  # of a sample: without the batch axis


def as_int(value: Any, name: str, minimum: int, maximum: int = 2**31 - 1) -> int:
    """`value` as an int between `minimum` and `maximum`; booleans and floats are no integers."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name}: expected an integer >= {minimum}, got {value!r} of type "
            f"{type(value).__name__}"
        ) from None
    if not minimum <= number <= maximum:
        limit = f">= {minimum}" if number < minimum else f"<= {maximum}"
        raise ValueError(f"{name}: expected an integer {limit}, got {number}")
    return number


def as_number(
    value: Any, name: str, low: float, high: float = float("inf"), *, bounds: str = "[)"
) -> float:
    """`value` as a finite float between `low` and `high`; `bounds` are open "()" or closed "[]"."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    expected = f"a number in {bounds[0]}{low:g}, {high:g}{bounds[1]}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected {expected}, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name}: expected {expected}, got one that no float can hold") from None
    above = number > low or (bounds[0] == "[" and number == low)
    below = number < high or (bounds[1] == "]" and number == high)
    if not (isfinite(number) and above and below):
        raise ValueError(f"{name}: expected {expected}, got {number}")
    return number


def as_bool(value: Any, name: str) -> bool:
    """`value` as a bool; 0 and 1 are taken for False and True."""
    if not isinstance(value, (bool, np.bool_, int, np.integer)) or value not in (0, 1):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def as_path(value: Any, name: str = "path") -> str:
    """`value` (str, bytes or os.PathLike) as a string."""
    try:
        return os.fsdecode(value)
    except TypeError:
        raise TypeError(
            f"{name}: expected a string or a path, got {value!r} of type {type(value).__name__}"
        ) from None


def check_neutral(
    call: str, given: Mapping[str, Any], neutral: Mapping[str, tuple[Any, ...]]
) -> None:
    """Refuse what Keras can do and fastnn cannot yet.

    `neutral` are Keras's arguments of `call` with the values that ask for nothing: these pass.
    """
    for name, value in given.items():
        if name not in neutral:
            raise TypeError(f"{call}: expected Keras's arguments, got an unknown one: {name}")
        if not any(type(value) is type(each) and value == each for each in neutral[name]):
            allowed = " or ".join(map(repr, neutral[name]))
            raise ValueError(
                f"{name}: expected {allowed}, got {value!r}: {call} does not support it yet"
            )


def as_shape(value: Any, name: str) -> Shape:
    """A shape without the batch axis, such as (10,) or (28, 28)."""
    if not isinstance(value, (tuple, list)) or not value:
        raise ValueError(f"{name}: expected a tuple such as (10,) or (28, 28), got {value!r}")
    shape = tuple(as_int(size, name, 1) for size in value)
    as_int(prod(shape), f"{name}, as one row", 1)
    return shape


def numeric(value: Any, name: str) -> np.ndarray:
    """`value` as an array of real numbers, in whatever dtype and layout it has."""
    if type(value) is not np.ndarray and (gaps := _gaps(value)):
        raise ValueError(f"{name}: expected no missing values, got {gaps}")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected a rectangular array of numbers, got {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # whatever the object itself raises, such as a tensor with gradients
        raise TypeError(
            f"{name}: expected an array of numbers, got {type(value).__name__}: {error}"
        ) from error
    if array.dtype.kind == "O":
        array = _from_objects(array, name)
    if array.dtype.kind not in NUMERIC_KINDS:
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    if isinstance(value, np.ndarray) and np.any(getattr(value, "mask", False)):
        raise ValueError(f"{name}: expected an array without masked values, got masked ones")
    return array


def _gaps(value: Any) -> str:
    """Where a frame or series of polars, pyarrow or pandas has nulls, which would become NaN.

    pandas's columns of NumPy dtypes have none but NaN: they are taken as arrays are.
    """
    nulls: Any = getattr(value, "null_count", 0)  # of polars a method, of pyarrow a number
    nulls = nulls() if callable(nulls) else nulls
    columns: list[Any] = []
    if hasattr(nulls, "row"):  # a frame's
        columns = [name for name, n in zip(nulls.columns, nulls.row(0), strict=True) if n]
    elif isinstance(nulls, int) and nulls:
        return f"{nulls}"
    elif hasattr(value, "column_names"):  # a table of pyarrow
        pairs = zip(value.column_names, value.columns, strict=True)
        columns = [name for name, column in pairs if column.null_count]
    elif hasattr(value, "isna"):
        own = [not isinstance(dtype, np.dtype) for dtype in np.atleast_1d(value.dtypes)]
        gaps = value.isna().to_numpy().reshape(len(value), -1)[:, own]
        if value.ndim == 1:
            return f"{gaps.sum()}" if gaps.any() else ""
        columns = list(value.columns[own][gaps.any(axis=0)])
    return f"some in {', '.join(map(str, columns))}" if columns else ""


def _from_objects(array: np.ndarray, name: str) -> np.ndarray:
    """A data frame of mixed columns arrives as objects: numbers are taken, all else refused."""
    strangers = {
        type(value).__name__ for value in array.flat if not isinstance(value, (Real, np.bool_))
    }
    if strangers:
        raise TypeError(f"{name}: expected real numbers, got {', '.join(sorted(strangers))}")
    try:
        return array.astype(np.float64)
    except OverflowError:
        raise ValueError(f"{name}: expected numbers that a float can hold, got larger") from None


def _ready(array: np.ndarray, dtype: Any) -> np.ndarray:
    """`array` as the engine takes it: C-contiguous, aligned, native; copied only where needed."""
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED", "ENSUREARRAY"])


def _has_readable_rows(array: np.ndarray) -> bool:
    """Whether the engine can read the rows where they lie: it converts numbers of any type."""
    size = array.dtype.itemsize
    stride = size
    for axis in range(array.ndim - 1, 0, -1):
        if array.shape[axis] > 1 and array.strides[axis] != stride:
            return False
        stride *= array.shape[axis]
    aligned = array.flags.aligned and array.strides[0] % size == 0
    return bool(size <= 8 and array.dtype.isnative and aligned)


def _with_last_axis(array: np.ndarray, shape: Shape) -> np.ndarray:
    """`array` with an axis of one number more or less at the end, where it is of `shape` then.

    Keras does so, too: (n,) is n samples of one feature, (n, 28, 28) of 28 x 28 x 1."""
    if array.ndim and (*array.shape[1:], 1) == shape:
        return array[..., None]
    return array[..., 0] if array.shape[1:] == (*shape, 1) else array


def as_features(
    x: Any, dtype: np.dtype, shape: Shape | None, name: str = "x", *, sparse: bool = False
) -> Any:
    """`x` as the engine takes it: an array (samples, *shape) of numbers, or a `CSR` of `dtype`.

    A last axis of one number may be missing or too much.

    It is copied, to `dtype`, only where its rows cannot be read as they lie: those of an array
    that is not in the order of C, not aligned, of foreign byte order or of numbers of more than
    8 bytes.

    Parameters
    ----------
    shape : tuple of int or None
        The samples' shape expected; None takes any.
    sparse : bool
        Whether SciPy's sparse matrices are taken, too.
    """
    array: Any
    if is_sparse(x):
        if not sparse:
            raise TypeError(f"{name}: expected a dense array, got {type(x).__name__}")
        array = as_csr(x, dtype, name)
    else:
        array = x if type(x) is np.ndarray and x.dtype == dtype else numeric(x, name)
        if shape is not None and array.shape[1:] != shape:
            array = _with_last_axis(array, shape)
    if array.ndim < 2 or (shape is not None and array.ndim != 1 + len(shape)):
        axes = "features" if shape is None or len(shape) == 1 else ", ".join(map(str, shape))
        raise ValueError(
            f"{name}: expected a {2 if shape is None else 1 + len(shape)}-D array "
            f"(samples, {axes}), got shape {array.shape}"
        )
    if shape is None and 0 in array.shape[1:]:
        raise ValueError(f"{name}: expected at least one feature, got shape {array.shape}")
    if shape is not None and array.shape[1:] != shape:
        expected = " x ".join(map(str, shape))
        raise ValueError(f"{name}: expected {expected} features, got shape {array.shape}")
    if isinstance(array, CSR) or _has_readable_rows(array):
        return array
    return _ready(array, dtype)


def as_rows(array: np.ndarray) -> np.ndarray:
    """A C-contiguous (samples, ...) as (samples, features), without a copy."""
    return array if array.ndim == 2 else array.reshape(len(array), prod(array.shape[1:]))


def _check_rows(array: np.ndarray, rows: int, name: str) -> None:
    if len(array) != rows:
        raise ValueError(f"{name}: expected {rows} rows, as many as x, got {len(array)}")


def as_targets(y: Any, dtype: np.dtype, rows: int, outputs: Shape, name: str = "y") -> np.ndarray:
    """`y` (rows, *outputs) as rows of `dtype`. (rows,) becomes (rows, 1): nothing broadcasts."""
    array = numeric(y, name)
    if array.ndim == 1 and outputs == (1,):
        array = array[:, None]
    if array.ndim == 0 or array.shape[1:] != outputs:
        axes = ", ".join(map(str, outputs))
        raise ValueError(
            f"{name}: expected shape (samples, {axes}), one column for each value to be "
            f"predicted, got shape {array.shape}"
        )
    _check_rows(array, rows, name)
    return as_rows(_ready(array, dtype))


def as_any_targets(
    y: Any, dtype: np.dtype, rows: int, outputs: Shape, name: str = "y"
) -> np.ndarray:
    """`y` with `rows` rows of any shape; floats in `dtype`. (rows,) for one output is a column."""
    array = numeric(y, name)
    if array.ndim == 0:
        raise ValueError(f"{name}: expected an array of {rows} rows, got one number")
    if array.ndim == 1 and outputs == (1,):
        array = array[:, None]
    _check_rows(array, rows, name)
    return array.astype(dtype) if array.dtype.kind == "f" else array


def as_labels(
    y: Any, rows: int, classes: int, name: str = "y", ignored: int | None = None
) -> np.ndarray:
    """`y` as int32 class ids (rows,), each in 0 .. classes - 1 or `ignored`.

    (rows, 1) is taken as (rows,).
    """
    array = numeric(y, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{name}: expected class ids of shape (samples,), got shape {array.shape} "
            f"(one-hot targets go with categorical_crossentropy)"
        )
    _check_rows(array, rows, name)
    if array.dtype.kind == "f" and not np.all(np.floor(array) == array):
        raise ValueError(f"{name}: expected whole class ids, got fractional or missing ones")
    counted = array if ignored is None else array[array != ignored]
    if counted.size and not (counted.min() >= 0 and counted.max() < classes):
        wrong = counted.min() if counted.min() < 0 else counted.max()
        raise ValueError(
            f"{name}: expected class ids 0 to {classes - 1} (the last layer has {classes} "
            f"outputs), got {wrong:g}"
        )
    return _ready(array, np.int32)


def as_sample_weight(
    weight: Any, dtype: np.dtype, rows: int, name: str = "sample_weight"
) -> np.ndarray | None:
    """`weight` as an array (rows,) of `dtype`; None stays None."""
    if weight is None:
        return None
    array = numeric(weight, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{name}: expected shape (samples,), got shape {array.shape}")
    _check_rows(array, rows, name)
    return _ready(array, dtype)


def as_weights(
    weights: Any, shapes: list[tuple[int, ...]], dtype: np.dtype, name: str = "weights"
) -> list[np.ndarray]:
    """`weights` as a list of arrays of exactly these shapes."""
    if not isinstance(weights, (list, tuple)):
        raise TypeError(f"{name}: expected a list of arrays, got {type(weights).__name__}")
    if len(weights) != len(shapes):
        raise ValueError(f"{name}: expected {len(shapes)} arrays, got {len(weights)}")
    arrays = []
    for i, (value, shape) in enumerate(zip(weights, shapes, strict=True)):
        array = numeric(value, f"{name}[{i}]")
        if array.shape != shape:
            raise ValueError(f"{name}[{i}]: expected shape {shape}, got shape {array.shape}")
        arrays.append(_ready(array, dtype))
    return arrays


def class_weights(class_weight: Any, y: np.ndarray, outputs: int, dtype: np.dtype) -> np.ndarray:
    """The weight of each sample's class, (rows,) of `dtype`.

    Parameters
    ----------
    class_weight : dict of class id to weight, or "balanced"
        Classes that it leaves out weigh 1. "balanced" is rows / (classes * rows of the class).
    y : ndarray
        Checked targets: class ids (rows,), one column of 0 and 1, or a column for each class.
    """
    classes = outputs
    if y.ndim == 2 and outputs == 1:
        classes, ids = 2, y[:, 0]
        if not np.all((ids == 0) | (ids == 1)):
            raise ValueError("class_weight: expected targets of 0 and 1 for one output, got others")
        ids = ids.astype(np.int32)
    else:
        ids = y.argmax(axis=1) if y.ndim == 2 else y
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(ids, minlength=classes)
        weights = len(ids) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    elif isinstance(class_weight, Mapping):
        weights = np.ones(classes)
        for key, value in class_weight.items():
            if isinstance(key, (float, np.floating)) and float(key).is_integer():
                key = int(key)  # as of np.unique of targets that are floats
            number = as_int(key, "class_weight's classes", 0, classes - 1)
            weights[number] = as_number(value, f"class_weight[{number}]", 0)
    else:
        raise TypeError(
            f"class_weight: expected a dict of class ids and weights or 'balanced', got "
            f"{class_weight!r}"
        )
    taken: np.ndarray = weights.astype(dtype)[ids]
    return taken
