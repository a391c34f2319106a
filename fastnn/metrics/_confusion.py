"""What is made of the numbers of true and false positives and negatives."""

from typing import Any

import numpy as np

from fastnn._data import as_int, as_number
from fastnn._measures import Measure
from fastnn.losses import Loss
from fastnn.metrics._base import Metric


def _threshold(thresholds: Any, name: str) -> float:
    """One threshold, alone or in a list; None is 1/2."""
    if thresholds is None:
        return 0.5
    if isinstance(thresholds, (list, tuple)):
        if len(thresholds) != 1:
            raise ValueError(f"{name}: expected one threshold, got {len(thresholds)}")
        thresholds = thresholds[0]
    return as_number(thresholds, name, 0, 1, bounds="[]")


class _Positives(Metric):
    """What is made of the numbers of positive predictions and of positive targets, above 1/2.

    The engine counts those of all outputs together; those of single classes are counted here.
    """

    rises = True
    _threshold: float | None = 0.5
    _parts: tuple[str, ...]

    def engine_names(self, loss: Loss | None, outputs: int) -> list[Measure]:
        if self.reads_outputs or self._threshold is None:
            return []
        return [(part, self._threshold) for part in ("true_positive", *self._parts)]


class _Above(_Positives):
    """Those of predictions above a threshold of one's own."""

    def __init__(self, thresholds: Any, name: str | None, dtype: None, **keras: Any) -> None:
        super().__init__(name, dtype, **keras)
        self._threshold = _threshold(thresholds, "thresholds")
        self.thresholds = None if thresholds is None else self._threshold

    def get_config(self) -> dict[str, Any]:
        return {"thresholds": self.thresholds, **super().get_config()}


class _Share(_Above):
    """Of the true positives in others."""

    def __init__(
        self,
        thresholds: Any = None,
        top_k: None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(thresholds, name, dtype, top_k=top_k)
        self.class_id = None if class_id is None else as_int(class_id, "class_id", 0)
        self.reads_outputs = self.of_classes = class_id is not None

    def result(self, means: list[float], count: int) -> float:
        right, whole = means
        return right / whole if whole else 0.0

    def check_targets(self, y: np.ndarray, name: str) -> None:
        if self.class_id is not None and self.class_id >= y.shape[1]:
            raise ValueError(
                f"class_id: expected a class of {name}, 0 to {y.shape[1] - 1}, got {self.class_id}"
            )

    def of_outputs(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        actual = y_true[:, self.class_id] > 0.5
        predicted = y_pred[:, self.class_id] > self._threshold
        whole = {"actual_positive": actual, "predicted_positive": predicted}[self._parts[0]]
        return self.result([float((actual & predicted).sum()), float(whole.sum())], len(y_true))

    def get_config(self) -> dict[str, Any]:
        own = super().get_config()
        return own if self.class_id is None else {"class_id": self.class_id, **own}


class Precision(_Share):
    """True positives over predicted ones; 0 where nothing is predicted.

    Of several outputs all are counted together, or one of them.

    Parameters
    ----------
    thresholds : float in [0, 1] or list of one, optional
        A larger prediction is positive; by default than 1/2.
    class_id : int >= 0, optional
        The output that alone counts; the metric is then of epochs, not of batches.
    top_k, name, dtype
        As for `Metric`.

    Raises
    ------
    ValueError
        Where there are targets, if none of their columns is that of `class_id`.

    Examples
    --------
    >>> from fastnn.metrics import Precision
    >>> Precision()([1, 0, 1], [0.9, 0.6, 0.3]), Precision(0.7)([1, 0, 1], [0.9, 0.6, 0.3])
    (0.5, 1.0)
    """

    _name = "precision"
    _parts = ("predicted_positive",)


class Recall(_Share):
    """True positives over actual ones; 0 where there is none.

    Of several outputs all are counted together, or one of them.

    Parameters
    ----------
    thresholds : float in [0, 1] or list of one, optional
        A larger prediction is positive; by default than 1/2.
    class_id : int >= 0, optional
        The output that alone counts; the metric is then of epochs, not of batches.
    top_k, name, dtype
        As for `Metric`.

    Raises
    ------
    ValueError
        Where there are targets, if none of their columns is that of `class_id`.

    Examples
    --------
    >>> from fastnn.metrics import Recall
    >>> Recall()([1, 0, 1], [0.9, 0.6, 0.3]), Recall(0.2)([1, 0, 1], [0.9, 0.6, 0.3])
    (0.5, 1.0)
    """

    _name = "recall"
    _parts = ("actual_positive",)


class FBetaScore(_Positives):
    """(1 + beta^2) precision recall / (beta^2 precision + recall); 0 where nothing is positive.

    Parameters
    ----------
    average : {"micro", "macro", "weighted"}
        "micro" counts all outputs together; "macro" is the mean of the classes' scores, "weighted"
        the mean weighted with how often a class is the target. Keras's None, one score a class, is
        not supported: a metric is one number.
    beta : float > 0
        How much more recall counts than precision.
    threshold : float in [0, 1] or None
        A larger prediction is positive; of None the largest of a row, unless it is 0. By default
        1/2 for "micro", Keras's None for the others.
    name, dtype
        As for `Metric`.

    Raises
    ------
    ValueError
        Where there are targets, if they have one column and the largest of a row is wanted.

    Notes
    -----
    But for "micro" with a threshold, which the engine counts, the metric is computed once an epoch
    from all outputs, and is not in the results of batches.

    Examples
    --------
    >>> from fastnn.metrics import FBetaScore
    >>> round(FBetaScore(beta=2.0)([1, 1, 1], [0.9, 0.6, 0.3]), 6)
    0.714286
    """

    _name = "fbeta_score"
    _parts = ("predicted_positive", "actual_positive")

    def __init__(
        self,
        average: str = "micro",
        beta: float = 1.0,
        threshold: float | str | None = "auto",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(name, dtype)
        if average not in ("micro", "macro", "weighted"):
            raise ValueError(
                "average: expected 'micro', 'macro' or 'weighted', which make one number of all "
                f"classes, got {average!r}"
            )
        self.average = average
        self.beta = as_number(beta, "beta", 0, bounds="()")
        if threshold == "auto":
            threshold = 0.5 if average == "micro" else None
        if threshold is not None:
            threshold = as_number(threshold, "threshold", 0, 1, bounds="[]")
        self._threshold = self.threshold = threshold
        self.reads_outputs = self.of_classes = average != "micro" or threshold is None

    def _scores(self, right: Any, predicted: Any, actual: Any) -> np.ndarray:
        """Of each class or of all, from how many are both, predicted and actual positives."""
        more = self.beta**2
        whole = np.asarray((predicted + more * actual) / (1 + more))
        scores: np.ndarray = np.divide(right, whole, out=np.zeros_like(whole), where=whole > 0)
        return scores

    def result(self, means: list[float], count: int) -> float:
        return float(self._scores(*means))

    def check_targets(self, y: np.ndarray, name: str) -> None:
        if self.threshold is None and y.shape[1] == 1:
            raise ValueError(
                f"threshold: expected a number for {name} of one column, got None for the metric "
                f"{self.name}: the largest of one output is always itself"
            )

    def of_outputs(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        y, p = y_true > 0.5, y_pred[:, : y_true.shape[1]]
        if self.threshold is None:
            positive = (p >= p.max(axis=1, keepdims=True)) & (abs(p) > 1e-9)  # Keras's zero
        else:
            positive = p > self.threshold
        axis = None if self.average == "micro" else 0
        right, predicted, actual = (part.sum(axis=axis) for part in (y & positive, positive, y))
        scores = self._scores(right, predicted, actual)
        if self.average == "weighted":
            return float((scores * actual).sum() / max(actual.sum(), 1))
        return float(scores.mean())

    def get_config(self) -> dict[str, Any]:
        own = {"average": self.average, "beta": self.beta, "threshold": self.threshold}
        return {**own, **super().get_config()}


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall: `FBetaScore` of 1.

    Parameters
    ----------
    average, threshold, name, dtype
        As for `FBetaScore`.

    Raises
    ------
    ValueError
        As from `FBetaScore`.

    Examples
    --------
    >>> from fastnn.metrics import F1Score
    >>> F1Score()([1, 0, 1], [0.9, 0.6, 0.3])
    0.5
    >>> F1Score("macro")([[1, 0], [0, 1], [0, 1]], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    1.0
    """

    _name = "f1_score"

    def __init__(
        self,
        average: str = "micro",
        threshold: float | str | None = "auto",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(average, threshold=threshold, name=name, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["beta"]
        return config


class _Count(_Above):
    """How many outputs are of a kind, over all samples; not weighted."""

    _parts = ("predicted_positive", "actual_positive")

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: None = None) -> None:
        super().__init__(thresholds, name, dtype)

    def result(self, means: list[float], count: int) -> float:
        return float(round(self._part(*means) * count))

    def _part(self, right: float, predicted: float, actual: float) -> float:
        """Of all outputs, from the parts that are both, predicted and actual positives."""
        raise NotImplementedError


class TruePositives(_Count):
    """How many predictions are rightly positive.

    Of several outputs all are counted together.

    Parameters
    ----------
    thresholds : float in [0, 1] or list of one, optional
        A larger prediction is positive; by default than 1/2.
    name, dtype
        As for `Metric`.

    Examples
    --------
    >>> from fastnn.metrics import TruePositives
    >>> TruePositives()([0, 1, 1, 1, 0, 0], [0.9, 0.8, 0.7, 0.1, 0.2, 0.3])
    2.0
    """

    _name = "true_positives"

    def _part(self, right: float, predicted: float, actual: float) -> float:
        return right


class TrueNegatives(_Count):
    """How many predictions are rightly negative.

    Of several outputs all are counted together.

    Parameters
    ----------
    thresholds : float in [0, 1] or list of one, optional
        A larger prediction is positive; by default than 1/2.
    name, dtype
        As for `Metric`.

    Examples
    --------
    >>> from fastnn.metrics import TrueNegatives
    >>> TrueNegatives()([0, 1, 1, 1, 0, 0], [0.9, 0.8, 0.7, 0.1, 0.2, 0.3])
    2.0
    """

    _name = "true_negatives"

    def _part(self, right: float, predicted: float, actual: float) -> float:
        return 1 - predicted - actual + right


class FalsePositives(_Count):
    """How many predictions are wrongly positive.

    Of several outputs all are counted together.

    Parameters
    ----------
    thresholds : float in [0, 1] or list of one, optional
        A larger prediction is positive; by default than 1/2.
    name, dtype
        As for `Metric`.

    Examples
    --------
    >>> from fastnn.metrics import FalsePositives
    >>> FalsePositives()([0, 1, 1, 1, 0, 0], [0.9, 0.8, 0.7, 0.1, 0.2, 0.3])
    1.0
    """

    rises = False
    _name = "false_positives"

    def _part(self, right: float, predicted: float, actual: float) -> float:
        return predicted - right


class FalseNegatives(_Count):
    """How many predictions are wrongly negative.

    Of several outputs all are counted together.

    Parameters
    ----------
    thresholds : float in [0, 1] or list of one, optional
        A larger prediction is positive; by default than 1/2.
    name, dtype
        As for `Metric`.

    Examples
    --------
    >>> from fastnn.metrics import FalseNegatives
    >>> FalseNegatives()([0, 1, 1, 1, 0, 0], [0.9, 0.8, 0.7, 0.1, 0.2, 0.3])
    1.0
    """

    rises = False
    _name = "false_negatives"

    def _part(self, right: float, predicted: float, actual: float) -> float:
        return actual - right
