"""What is made of the numbers of true and false positives and negatives."""

from typing import Any

from fastnn._data import as_number
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
    """What is made of the numbers of positive predictions and of positive targets, above 1/2."""

    rises = True
    _threshold = 0.5
    _parts: tuple[str, ...]

    def engine_names(self, loss: Loss | None, outputs: int) -> list[Measure]:
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
        class_id: None = None,
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(thresholds, name, dtype, top_k=top_k, class_id=class_id)

    def result(self, means: list[float], count: int) -> float:
        right, whole = means
        return right / whole if whole else 0.0


class Precision(_Share):
    """True positives over predicted ones; 0 where nothing is predicted.

    Of several outputs all are counted together.

    Parameters
    ----------
    thresholds : float in [0, 1] or list of one, optional
        A larger prediction is positive; by default than 1/2.
    top_k, class_id, name, dtype
        As for `Metric`.

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

    Of several outputs all are counted together.

    Parameters
    ----------
    thresholds : float in [0, 1] or list of one, optional
        A larger prediction is positive; by default than 1/2.
    top_k, class_id, name, dtype
        As for `Metric`.

    Examples
    --------
    >>> from fastnn.metrics import Recall
    >>> Recall()([1, 0, 1], [0.9, 0.6, 0.3]), Recall(0.2)([1, 0, 1], [0.9, 0.6, 0.3])
    (0.5, 1.0)
    """

    _name = "recall"
    _parts = ("actual_positive",)


class FBetaScore(_Positives):
    """(1 + beta^2) precision recall / (beta^2 precision + recall), of all outputs together.

    For one output what Keras and scikit-learn give; for several their average="micro".

    Parameters
    ----------
    average : "micro"
        Keras's other values, None among them, are not supported.
    beta : float > 0
        How much more recall counts than precision.
    threshold : float in [0, 1]
        A larger prediction is positive. Keras's None, for the largest of a row, is not supported.
    name, dtype
        As for `Metric`.

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
        threshold: float = 0.5,
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(name, dtype, average=average)
        self.beta = as_number(beta, "beta", 0, bounds="()")
        self._threshold = self.threshold = as_number(threshold, "threshold", 0, 1, bounds="[]")

    def result(self, means: list[float], count: int) -> float:
        right, predicted, actual = means
        more = self.beta**2
        whole = (predicted + more * actual) / (1 + more)
        return right / whole if whole else 0.0

    def get_config(self) -> dict[str, Any]:
        return {"beta": self.beta, "threshold": self.threshold, **super().get_config()}


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall: `FBetaScore` of 1.

    Parameters
    ----------
    average, threshold, name, dtype
        As for `FBetaScore`.

    Examples
    --------
    >>> from fastnn.metrics import F1Score
    >>> F1Score()([1, 0, 1], [0.9, 0.6, 0.3])
    0.5
    """

    _name = "f1_score"

    def __init__(
        self,
        average: str = "micro",
        threshold: float = 0.5,
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
