"""Losses and metrics of predictions that are there already: a network that only passes them on."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn._data import Shape, as_labels, as_sample_weight, as_targets, numeric
from fastnn._measures import Measure
from fastnn._native.network import Network


def as_predictions(y_pred: Any) -> np.ndarray:
    """Predictions (samples, outputs), of (samples,) one a sample; float32 stays, else float64."""
    array = numeric(y_pred, "y_pred")
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise ValueError(
            f"y_pred: expected a 2-D array (samples, outputs), got shape {array.shape}"
        )
    dtype = np.dtype(np.float32 if array.dtype == np.float32 else np.float64)
    array = np.require(array, dtype, "C")
    if 0 in array.shape:
        raise ValueError(f"y_pred: expected at least one number, got shape {array.shape}")
    return array


def shape_of(y_pred: Any) -> Shape:
    """That of predictions (..., outputs), refused where there are none."""
    shape: Shape = np.shape(y_pred)
    if not shape or 0 in shape:
        raise ValueError(f"y_pred: expected (..., outputs) of numbers, got shape {shape}")
    return shape


def in_rows(y_true: Any, y_pred: Any, sparse: bool) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions of samples along any axes, (..., outputs), with a row for each."""
    shape, given = shape_of(y_pred), np.shape(y_true)
    expected = shape[:-1] if sparse else shape
    if given != expected and not (sparse and given == (*expected, 1)):
        raise ValueError(f"y_true: expected shape {expected} for that of y_pred, got {given}")
    p = np.reshape(y_pred, (-1, shape[-1]))
    return np.reshape(y_true, -1 if sparse else p.shape), p


def judge(
    p: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None,
    loss: tuple[str, Sequence[float], int | None],
    measures: Sequence[Measure],
) -> tuple[float, list[float]]:
    """Means over the samples of the loss and of each measure, for checked arrays.

    `loss` is the engine's name, its numbers and the class that it ignores.
    """
    network = Network(p.dtype.name, p.shape[1], [("activation", "linear")])
    name, params, ignored = loss
    network.compile(name, None, measures, {}, params, ignored)
    _, total, sums = network.evaluate(p, y, weight, np.arange(len(p)), 0, np.inf)
    return float(total) / len(p), [float(value) / len(p) for value in sums]


def check(
    y_true: Any, p: np.ndarray, sparse: bool, shape: Shape, ignored: int | None = None
) -> np.ndarray:
    """Targets as the engine takes them."""
    if sparse:
        return as_labels(y_true, len(p), p.shape[1], "y_true", ignored)
    return as_targets(y_true, p.dtype, len(p), shape, "y_true")


def check_weight(sample_weight: Any, p: np.ndarray) -> np.ndarray | None:
    """The samples' weights as the engine takes them."""
    return as_sample_weight(sample_weight, p.dtype, len(p))


def call(
    function: Callable[[Any, Any], Any], name: str, y: np.ndarray, p: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What a loss's function returns, as arrays (samples,) and of `p`'s shape, of `p`'s dtype.

    Raises
    ------
    TypeError
        If it does not return two things, or they are no numbers.
    ValueError
        If their shapes are others.
    """
    result = function(y, p)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise TypeError(
            f"{name}: expected a tuple (loss of each sample, its gradient to y_pred), got "
            f"{type(result).__name__}"
        )
    arrays = []
    for value, shape, what in (
        (result[0], p.shape[:1], "the loss of each sample"),
        (result[1], p.shape, "a gradient to y_pred"),
    ):
        array = numeric(value, f"{name}, {what}")
        if array.shape != shape:
            raise ValueError(f"{name}: expected {what} of shape {shape}, got shape {array.shape}")
        arrays.append(np.require(array, p.dtype, ["C_CONTIGUOUS", "ALIGNED", "ENSUREARRAY"]))
    return arrays[0], arrays[1]
