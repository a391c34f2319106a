"""How often the prediction is right."""

from typing import Any

from fastnn._data import as_int, as_number
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
