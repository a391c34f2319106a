"""How often the prediction is right."""

from typing import Any

import numpy as np

from fastnn import _judge
from fastnn._data import as_int, as_number, check_neutral, numeric
from fastnn._measures import Measure
from fastnn.losses import Loss
from fastnn.metrics._base import Metric


class BinaryAccuracy(Metric):
    """How often (prediction > threshold) is the target, 0 or 1.

    Parameters
    ----------
    name, dtype
        As for `Metric`.
    threshold : float in [0, 1]

    Examples
    --------
    >>> from fastnn.metrics import BinaryAccuracy
    >>> BinaryAccuracy()([1, 1], [0.3, 0.6]), BinaryAccuracy(threshold=0.2)([1, 1], [0.3, 0.6])
    (0.5, 1.0)
    """

    rises = True
    _name = "binary_accuracy"

    def __init__(self, name: str | None = None, dtype: None = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        self.threshold = as_number(threshold, "threshold", 0, 1, bounds="[]")

    def engine_names(self, loss: Loss | None, outputs: int) -> list[Measure]:
        return [("threshold_match", self.threshold)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "threshold": self.threshold}


class CategoricalAccuracy(Metric):
    """How often the largest prediction is where the largest target is.

    Examples
    --------
    >>> from fastnn.metrics import CategoricalAccuracy
    >>> CategoricalAccuracy()([[0, 1], [0, 1]], [[0.4, 0.6], [0.7, 0.3]])
    0.5
    """

    rises = True
    _name = "categorical_accuracy"
    _engine_name = "argmax_match"


class SparseCategoricalAccuracy(Metric):
    """How often the largest prediction is that of the target, a class id.

    Examples
    --------
    >>> from fastnn.metrics import SparseCategoricalAccuracy
    >>> SparseCategoricalAccuracy()([1, 1], [[0.4, 0.6], [0.7, 0.3]])
    0.5
    """

    sparse = True
    rises = True
    _name = "sparse_categorical_accuracy"
    _engine_name = "argmax_match"


class TopKCategoricalAccuracy(Metric):
    """How often the class of the largest target is among those of the k largest predictions.

    Of equal predictions all are among them, as in Keras.

    Parameters
    ----------
    k : int >= 1
    name, dtype
        As for `Metric`.

    Examples
    --------
    >>> from fastnn.metrics import TopKCategoricalAccuracy
    >>> TopKCategoricalAccuracy(k=2)([[0, 0, 1], [1, 0, 0]], [[0.1, 0.7, 0.2], [0.1, 0.7, 0.2]])
    0.5
    """

    rises = True
    _name = "top_k_categorical_accuracy"

    def __init__(
        self, k: int = 5, name: str | None = None, dtype: None = None, **keras: Any
    ) -> None:
        super().__init__(name, dtype, **keras)
        self.k = as_int(k, "k", 1)

    def engine_names(self, loss: Loss | None, outputs: int) -> list[Measure]:
        return [("in_top_k", self.k)]

    def get_config(self) -> dict[str, Any]:
        return {"k": self.k, **super().get_config()}


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """How often the target, a class id, is among those of the k largest predictions.

    Of equal predictions all are among them, as in Keras.

    Parameters
    ----------
    k : int >= 1
    name, dtype, from_sorted_ids
        As for `Metric`.

    Examples
    --------
    >>> from fastnn.metrics import SparseTopKCategoricalAccuracy
    >>> SparseTopKCategoricalAccuracy(k=2)([2, 0], [[0.1, 0.7, 0.2], [0.1, 0.7, 0.2]])
    0.5
    """

    sparse = True
    _name = "sparse_top_k_categorical_accuracy"

    def __init__(
        self,
        k: int = 5,
        name: str | None = None,
        dtype: None = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(k, name, dtype, from_sorted_ids=from_sorted_ids)


class AutoAccuracy(Metric):
    """The string "accuracy": one of the three above, by the targets and the outputs as in Keras."""

    sparse = None
    rises = True
    _name = "accuracy"

    def engine_names(self, loss: Loss | None, outputs: int) -> list[Measure]:
        sparse = loss is not None and loss.sparse
        return ["argmax_match"] if sparse or outputs > 1 else [("threshold_match", 0.5)]


def _hits(y_true: Any, y_pred: Any, k: int | None, *, sparse: bool) -> Any:
    """1 for each sample whose class is the largest prediction, or one of the k largest."""
    from fastnn.reference.kernels import argmax_match, in_top_k  # rarely needed

    predictions = numeric(y_pred, "y_pred")
    y, p = _judge.in_rows(numeric(y_true, "y_true"), predictions, sparse)
    y = y.astype(np.int64) if sparse else y
    hits = argmax_match(p, y) if k is None else in_top_k(p, y, k)
    return hits.astype(np.float32).reshape(predictions.shape[:-1])[()]


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """1 where (prediction > threshold) is the target, else 0; to `compile`, `BinaryAccuracy`.

    Parameters
    ----------
    y_true, y_pred : array_like of one shape
        A last axis of 1 that only one of them has is added to the other.
    threshold : float in [0, 1]

    Returns
    -------
    array of float32
        For each prediction, as in Keras 3.

    Raises
    ------
    ValueError, TypeError
        If an argument is of the wrong type or shape.

    Examples
    --------
    >>> from fastnn.metrics import binary_accuracy
    >>> binary_accuracy([1, 1], [0.3, 0.6])
    array([0., 1.], dtype=float32)
    """
    y, p = numeric(y_true, "y_true"), numeric(y_pred, "y_pred")
    if y.shape == (*p.shape, 1):
        p = p[..., None]
    elif p.shape == (*y.shape, 1):
        y = y[..., None]
    if y.shape != p.shape:
        raise ValueError(f"y_true: expected shape {p.shape}, that of y_pred, got {y.shape}")
    above = p > as_number(threshold, "threshold", 0, 1, bounds="[]")
    return (above == y).astype(np.float32)[()]


def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the largest prediction is where the largest target is, else 0.

    To `compile` it is `CategoricalAccuracy`.

    Parameters
    ----------
    y_true, y_pred : array_like (..., classes)

    Returns
    -------
    array (...) of float32

    Raises
    ------
    ValueError, TypeError
        If an argument is of the wrong type or shape.

    Examples
    --------
    >>> from fastnn.metrics import categorical_accuracy
    >>> categorical_accuracy([[0, 1], [0, 1]], [[0.4, 0.6], [0.7, 0.3]])
    array([1., 0.], dtype=float32)
    """
    return _hits(y_true, y_pred, None, sparse=False)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the largest prediction is that of the target, a class id, else 0.

    To `compile` it is `SparseCategoricalAccuracy`.

    Parameters
    ----------
    y_true : array_like (...) or (..., 1)
    y_pred : array_like (..., classes)

    Returns
    -------
    array (...) of float32

    Raises
    ------
    ValueError, TypeError
        If an argument is of the wrong type or shape.

    Examples
    --------
    >>> from fastnn.metrics import sparse_categorical_accuracy
    >>> sparse_categorical_accuracy([1, 1], [[0.4, 0.6], [0.7, 0.3]])
    array([1., 0.], dtype=float32)
    """
    return _hits(y_true, y_pred, None, sparse=True)


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """1 where the class of the largest target is among the k largest predictions, else 0.

    To `compile` it is `TopKCategoricalAccuracy`.

    Parameters
    ----------
    y_true, y_pred : array_like (..., classes)
    k : int >= 1

    Returns
    -------
    array (...) of float32

    Raises
    ------
    ValueError, TypeError
        If an argument is of the wrong type or shape.

    Examples
    --------
    >>> from fastnn.metrics import top_k_categorical_accuracy
    >>> top_k_categorical_accuracy([[0, 0, 1], [1, 0, 0]], [[0.1, 0.7, 0.2], [0.1, 0.7, 0.2]], k=2)
    array([1., 0.], dtype=float32)
    """
    return _hits(y_true, y_pred, as_int(k, "k", 1), sparse=False)


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Any:
    """1 where the target, a class id, is among the k largest predictions, else 0.

    To `compile` it is `SparseTopKCategoricalAccuracy`.

    Parameters
    ----------
    y_true : array_like (...) or (..., 1)
    y_pred : array_like (..., classes)
    k : int >= 1
    from_sorted_ids : False
        Keras's, at the value that asks for nothing.

    Returns
    -------
    array (...) of float32

    Raises
    ------
    ValueError, TypeError
        If an argument is of the wrong type or shape.

    Examples
    --------
    >>> from fastnn.metrics import sparse_top_k_categorical_accuracy
    >>> sparse_top_k_categorical_accuracy([2, 0], [[0.1, 0.7, 0.2], [0.1, 0.7, 0.2]], k=2)
    array([1., 0.], dtype=float32)
    """
    name = "sparse_top_k_categorical_accuracy"
    check_neutral(name, {"from_sorted_ids": from_sorted_ids}, {"from_sorted_ids": (False,)})
    return _hits(y_true, y_pred, as_int(k, "k", 1), sparse=True)
