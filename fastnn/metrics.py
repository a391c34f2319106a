"""What is reported beside the loss. A metric object only says which; the engine computes it, or
the outputs that it is made of."""

import warnings
from collections.abc import Callable, Sequence
from math import nan, sqrt
from typing import Any

import numpy as np

from fastnn import _judge
from fastnn._data import as_bool, as_int, as_number, as_rows, check_neutral, numeric
from fastnn._measures import Measure
from fastnn._registry import Configurable, refuse_methods, resolve
from fastnn.losses import Loss
from fastnn.losses import SparseCategoricalCrossentropy as SparseLoss

# Keras's arguments that fastnn does not support, at the values that ask for nothing
_NEUTRAL = {
    "dtype": (None,),
    "axis": (-1, 1),
    "ignore_class": (None,),
    "from_sorted_ids": (False,),
    "top_k": (None,),
    "class_id": (None,),
    "average": ("micro",),
    "summation_method": ("interpolation",),
    "thresholds": (None,),
    "multi_label": (False,),
    "num_labels": (None,),
    "label_weights": (None,),
}
_OWN = "the engine computes metrics; give compile a function, see fastnn.metrics.FunctionMetric"


class Metric(Configurable):
    """Base of all metrics: the mean over the samples of a value for each sample.

    `sparse` says whether targets are class ids; None takes both. `rises` says whether more is
    better; None: unknown.

    Parameters
    ----------
    name : str, optional
    dtype, **keras
        Keras's other arguments, at the values that ask for nothing.

    Examples
    --------
    >>> from fastnn.metrics import MeanSquaredError, Metric
    >>> isinstance(MeanSquaredError(), Metric)
    True
    """

    sparse: bool | None = False
    rises: bool | None = None
    _name: str
    _engine_name: str

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        refuse_methods(cls, ("update_state",), _OWN)

    def __init__(self, name: str | None = None, dtype: None = None, **keras: Any) -> None:
        check_neutral(type(self).__name__, {"dtype": dtype, **keras}, _NEUTRAL)
        self.name = self._name if name is None else str(name)

    def __call__(self, y_true: Any, y_pred: Any) -> float:
        """The metric of predictions, as `evaluate` reports it; nothing is kept between calls.

        Parameters
        ----------
        y_true : array_like
            Class ids (samples,), or (samples, outputs), as the metric wants them.
        y_pred : array_like (samples, outputs)
            Computed in float32 if that is its dtype, else in float64.

        Raises
        ------
        ValueError, TypeError
            If an argument is no such array.
        """
        p = _judge.as_predictions(y_pred)
        outputs = p.shape[1]
        sparse = np.ndim(y_true) == 1 and outputs > 1 if self.sparse is None else self.sparse
        y = _judge.check(y_true, p, sparse, p.shape[1:])
        self.check_targets(y, "y_true")
        measures = Measures([self], SparseLoss() if sparse else None, outputs)
        loss = ("xent" if sparse else "mse", (), None)
        _, means = _judge.judge(p, y, None, loss, measures.names)
        return measures.results(means, y, p)[self.name]

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}

    def engine_names(self, loss: Loss | None, outputs: int) -> list[Measure]:
        """The engine's words for what this metric is made of on a model with so many outputs."""
        return [self._engine_name]

    def result(self, means: list[float]) -> float:
        """The metric, from the means over the samples of what `engine_names` names."""
        return means[0]

    def check_targets(self, y: np.ndarray, name: str) -> None:
        """Refuse targets that have no such metric."""


class MeanSquaredError(Metric):
    """Mean over the outputs of (prediction - target)^2.

    Examples
    --------
    >>> from fastnn.metrics import MeanSquaredError
    >>> MeanSquaredError()([[1.0, 2.0]], [[1.0, 4.0]])
    2.0
    """

    rises = False
    _name = "mean_squared_error"
    _engine_name = "squared_error"


class MeanAbsoluteError(Metric):
    """Mean over the outputs of |prediction - target|.

    Examples
    --------
    >>> from fastnn.metrics import MeanAbsoluteError
    >>> MeanAbsoluteError()([[1.0, 2.0]], [[1.0, 4.0]])
    1.0
    """

    rises = False
    _name = "mean_absolute_error"
    _engine_name = "absolute_error"


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean over samples and outputs of (prediction - target)^2.

    Examples
    --------
    >>> from fastnn.metrics import RootMeanSquaredError
    >>> RootMeanSquaredError()([1.0, 2.0], [4.0, 6.0])
    3.5355339059327378
    """

    _name = "root_mean_squared_error"

    def result(self, means: list[float]) -> float:
        return sqrt(means[0])


class MeanAbsolutePercentageError(Metric):
    """The loss of that name, as a metric.

    Examples
    --------
    >>> from fastnn.metrics import MeanAbsolutePercentageError
    >>> MeanAbsolutePercentageError()([2.0, 4.0], [3.0, 4.0])
    25.0
    """

    rises = False
    _name = "mean_absolute_percentage_error"
    _engine_name = "mape"


class MeanSquaredLogarithmicError(Metric):
    """The loss of that name, as a metric.

    Examples
    --------
    >>> from fastnn.metrics import MeanSquaredLogarithmicError
    >>> MeanSquaredLogarithmicError()([1.0, 4.0], [1.0, 4.0])
    0.0
    """

    rises = False
    _name = "mean_squared_logarithmic_error"
    _engine_name = "msle"


class LogCoshError(Metric):
    """The loss `LogCosh`, as a metric.

    Examples
    --------
    >>> from fastnn.metrics import LogCoshError
    >>> round(LogCoshError()([0.0], [1.0]), 6)
    0.433781
    """

    rises = False
    _name = "logcosh"
    _engine_name = "log_cosh"


class KLDivergence(Metric):
    """The loss of that name, as a metric.

    Examples
    --------
    >>> from fastnn.metrics import KLDivergence
    >>> KLDivergence()([[0.25, 0.75]], [[0.25, 0.75]])
    0.0
    """

    rises = False
    _name = "kl_divergence"
    _engine_name = "kld"


class Poisson(Metric):
    """The loss of that name, as a metric.

    Examples
    --------
    >>> from fastnn.metrics import Poisson
    >>> round(Poisson()([3.0], [1.0]), 5)
    1.0
    """

    rises = False
    _name = "poisson"
    _engine_name = "poisson"


class Hinge(Metric):
    """The loss of that name, as a metric.

    Examples
    --------
    >>> from fastnn.metrics import Hinge
    >>> Hinge()([1.0, 0.0], [0.5, 0.5])
    1.0
    """

    rises = False
    _name = "hinge"
    _engine_name = "hinge"


class SquaredHinge(Metric):
    """The loss of that name, as a metric.

    Examples
    --------
    >>> from fastnn.metrics import SquaredHinge
    >>> SquaredHinge()([1.0, 0.0], [0.5, 0.5])
    1.25
    """

    rises = False
    _name = "squared_hinge"
    _engine_name = "squared_hinge"


class CategoricalHinge(Metric):
    """The loss of that name, as a metric.

    Examples
    --------
    >>> from fastnn.metrics import CategoricalHinge
    >>> CategoricalHinge()([[0.0, 1.0]], [[0.5, 0.25]])
    1.25
    """

    rises = False
    _name = "categorical_hinge"
    _engine_name = "categorical_hinge"


class CosineSimilarity(Metric):
    """The cosine of the angle between a sample's prediction and its target.

    The loss of that name is minus this.

    Examples
    --------
    >>> from fastnn.metrics import CosineSimilarity
    >>> round(CosineSimilarity()([[0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [2.0, 2.0]]), 6)
    0.5
    """

    rises = True
    _name = "cosine_similarity"
    _engine_name = "cosine"

    def __init__(self, name: str | None = None, dtype: None = None, axis: int = -1) -> None:
        super().__init__(name, dtype, axis=axis)

    def result(self, means: list[float]) -> float:
        return -means[0]


class _CrossEntropy(Metric):
    """A cross-entropy of probabilities or, with `from_logits`, of a linear last layer's outputs."""

    rises = False
    _engine: str

    def __init__(self, name: str | None, dtype: None, from_logits: bool, **keras: Any) -> None:
        super().__init__(name, dtype, **keras)
        self.from_logits = as_bool(from_logits, "from_logits")

    def engine_names(self, loss: Loss | None, outputs: int) -> list[Measure]:
        return [self._engine + "_logits" if self.from_logits else self._engine]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "from_logits": self.from_logits}


class _SmoothedCrossEntropy(_CrossEntropy):
    """One whose targets may be moved by a part `label_smoothing` of the way to no preference."""

    def __init__(
        self,
        name: str | None = None,
        dtype: None = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        **keras: Any,
    ) -> None:
        super().__init__(name, dtype, from_logits, **keras)
        self.label_smoothing = as_number(label_smoothing, "label_smoothing", 0, 1, bounds="[]")

    def engine_names(self, loss: Loss | None, outputs: int) -> list[Measure]:
        (name,) = super().engine_names(loss, outputs)
        return [(str(name), self.label_smoothing)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


class BinaryCrossentropy(_SmoothedCrossEntropy):
    """The loss of that name, as a metric.

    Parameters
    ----------
    name, dtype
        As for `Metric`.
    from_logits : bool
    label_smoothing : float in [0, 1]

    Examples
    --------
    >>> from fastnn.metrics import BinaryCrossentropy
    >>> round(BinaryCrossentropy()([1.0], [0.5]), 6)
    0.693147
    """

    _name = "binary_crossentropy"
    _engine = "bce"


class CategoricalCrossentropy(_SmoothedCrossEntropy):
    """The loss of that name, as a metric, for targets (samples, classes).

    Parameters
    ----------
    name, dtype, axis
        As for `Metric`.
    from_logits : bool
    label_smoothing : float in [0, 1]

    Examples
    --------
    >>> from fastnn.metrics import CategoricalCrossentropy
    >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]), 6)
    0.693147
    """

    _name = "categorical_crossentropy"
    _engine = "xent"

    def __init__(
        self,
        name: str | None = None,
        dtype: None = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype, from_logits, label_smoothing, axis=axis)


class SparseCategoricalCrossentropy(_CrossEntropy):
    """The loss of that name, as a metric, for class ids (samples,).

    Parameters
    ----------
    name, dtype, ignore_class, axis
        As for `Metric`.
    from_logits : bool

    Examples
    --------
    >>> from fastnn.metrics import SparseCategoricalCrossentropy
    >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]), 6)
    0.693147
    """

    sparse = True
    _name = "sparse_categorical_crossentropy"
    _engine = "xent"

    def __init__(
        self,
        name: str | None = None,
        dtype: None = None,
        from_logits: bool = False,
        ignore_class: None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype, from_logits, ignore_class=ignore_class, axis=axis)


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

    def result(self, means: list[float]) -> float:
        right, *parts = means
        whole = sum(parts) / len(parts)
        return right / whole if whole else 0.0


class _PositivesAbove(_Positives):
    """Those of predictions above a threshold of one's own."""

    def __init__(
        self,
        thresholds: Any = None,
        top_k: None = None,
        class_id: None = None,
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(name, dtype, top_k=top_k, class_id=class_id)
        self.thresholds = None if thresholds is None else _threshold(thresholds, "thresholds")
        self._threshold = _threshold(thresholds, "thresholds")

    def get_config(self) -> dict[str, Any]:
        return {"thresholds": self.thresholds, **super().get_config()}


class Precision(_PositivesAbove):
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


class Recall(_PositivesAbove):
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


class F1Score(_Positives):
    """The harmonic mean of precision and recall, counted over all outputs together.

    For one output what Keras and scikit-learn give; for several their average="micro".

    Parameters
    ----------
    average : "micro"
        Keras's other values, None among them, are not supported.
    threshold : float in [0, 1]
        A larger prediction is positive. Keras's None, for the largest of a row, is not supported.
    name, dtype
        As for `Metric`.

    Examples
    --------
    >>> from fastnn.metrics import F1Score
    >>> F1Score()([1, 0, 1], [0.9, 0.6, 0.3])
    0.5
    """

    _name = "f1_score"
    _parts = ("predicted_positive", "actual_positive")

    def __init__(
        self,
        average: str = "micro",
        threshold: float = 0.5,
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(name, dtype, average=average)
        self._threshold = self.threshold = as_number(threshold, "threshold", 0, 1, bounds="[]")

    def get_config(self) -> dict[str, Any]:
        return {"threshold": self.threshold, **super().get_config()}


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


class _AutoAccuracy(Metric):
    """The string "accuracy": one of the three above, by the targets and the outputs as in Keras."""

    sparse = None
    rises = True
    _name = "accuracy"

    def engine_names(self, loss: Loss | None, outputs: int) -> list[Measure]:
        sparse = loss is not None and loss.sparse
        return ["argmax_match"] if sparse or outputs > 1 else [("threshold_match", 0.5)]


class OutputMetric(Metric):
    """Base of metrics that are no mean of a value for each sample: of all targets and predictions.

    They are computed once an epoch, not as a batch or a slice of it ends.

    Examples
    --------
    >>> from fastnn.metrics import OutputMetric, R2Score
    >>> isinstance(R2Score(), OutputMetric)
    True
    """

    def engine_names(self, loss: Loss | None, outputs: int) -> list[Measure]:
        return []

    def of_outputs(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        """The metric of checked targets and outputs of the same samples."""
        raise NotImplementedError


class R2Score(OutputMetric):
    """The coefficient of determination, 1 - (squared errors) / (squared distances to the mean).

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average"}
        What several outputs' scores are made one by.
    num_regressors : int >= 0
        Where it is not 0, the score is adjusted for so many regressors, as in Keras.
    name, dtype
        As for `Metric`.

    Examples
    --------
    >>> from fastnn.metrics import R2Score
    >>> round(R2Score()([1.0, 4.0, 3.0], [2.0, 4.0, 4.0]), 6)
    0.571429
    """

    rises = True
    _name = "r2_score"

    def __init__(
        self,
        class_aggregation: str = "uniform_average",
        num_regressors: int = 0,
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(name, dtype)
        if class_aggregation not in ("uniform_average", "variance_weighted_average"):
            raise ValueError(
                "class_aggregation: expected 'uniform_average' or 'variance_weighted_average', got "
                f"{class_aggregation!r}"
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = as_int(num_regressors, "num_regressors", 0)

    def of_outputs(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        y = as_rows(y_true).astype(np.float64)
        errors = ((as_rows(y_pred)[:, : y.shape[1]] - y) ** 2).sum(axis=0)
        total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = 1 - errors / total
            scores[np.isinf(scores)] = 0  # Keras's score of a target that does not vary
            if self.class_aggregation == "uniform_average":
                score = float(scores.mean())
            else:
                score = float(np.sum(total * scores) / np.sum(total))
        if self.num_regressors == 0:
            return score
        left = y.size - self.num_regressors - 1
        if left <= 0:
            warnings.warn(
                f"{self.name}: {self.num_regressors} regressors are too many to adjust for with "
                f"{y.size} targets; the score is not adjusted",
                stacklevel=2,
            )
            return score
        return 1 - (1 - score) * (y.size - 1) / left

    def get_config(self) -> dict[str, Any]:
        own = {"class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}
        return {**own, **super().get_config()}


class AUC(OutputMetric):
    """The area under the ROC or the precision-recall curve, exact, by scikit-learn.

    Keras's is approximated from 200 thresholds. "ROC" is `roc_auc_score`; "PR" is
    `average_precision_score`, which does not interpolate between points of that curve, where a
    straight line is too high (Davis and Goadrich 2006). Targets are 0 and 1; several outputs
    are taken together, as in Keras without `multi_label`. NaN where a class that the curve needs
    is missing.

    Parameters
    ----------
    num_thresholds : int >= 2
        Taken for Keras's sake: the area is exact.
    curve : {"ROC", "PR"}
    summation_method, thresholds, multi_label, num_labels, label_weights
        Keras's, at the values that ask for nothing.
    name, dtype
        As for `Metric`.
    from_logits : bool
        Taken for Keras's sake: only the order of the predictions counts.

    Raises
    ------
    ImportError
        If scikit-learn is missing: ``pip install scikit-learn``.

    Examples
    --------
    >>> from fastnn.metrics import AUC
    >>> AUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """

    rises = True
    _name = "auc"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: None = None,
        thresholds: None = None,
        multi_label: bool = False,
        num_labels: None = None,
        label_weights: None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(
            name,
            dtype,
            summation_method=summation_method,
            thresholds=thresholds,
            multi_label=multi_label,
            num_labels=num_labels,
            label_weights=label_weights,
        )
        as_int(num_thresholds, "num_thresholds", 2)
        as_bool(from_logits, "from_logits")
        if curve not in ("ROC", "PR"):
            raise ValueError(f"curve: expected 'ROC' or 'PR', got {curve!r}")
        self.curve = curve
        self._function()

    def _function(self) -> Callable[[np.ndarray, np.ndarray], float]:
        try:
            from sklearn.metrics import average_precision_score, roc_auc_score
        except ImportError as error:
            raise ImportError(
                "AUC: expected scikit-learn, got none: pip install scikit-learn"
            ) from error
        return roc_auc_score if self.curve == "ROC" else average_precision_score  # type: ignore[no-any-return]

    def check_targets(self, y: np.ndarray, name: str) -> None:
        if not np.all((y == 0) | (y == 1)):
            raise ValueError(f"{name}: expected targets of 0 and 1 for the metric {self.name}")

    def of_outputs(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        y = y_true.ravel()
        if not y.any() or (self.curve == "ROC" and y.all()) or np.isnan(y_pred).any():
            return nan
        return float(self._function()(y, y_pred.ravel()))

    def get_config(self) -> dict[str, Any]:
        return {"curve": self.curve, **super().get_config()}


class FunctionMetric(OutputMetric):
    """A function of one's own, which `compile(metrics=[function])` makes a metric.

    It is called once an epoch, after the engine's pass, with all targets and outputs in the
    epoch's order, those of training as each step had them.

    Parameters
    ----------
    function : callable
        f(y_true, y_pred) -> a number, or one a sample (samples,), of which the mean is taken;
        y_true is (samples,) class ids or (samples, outputs), y_pred is (samples, outputs).
    name : str, optional
        By default the function's own.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.metrics import FunctionMetric
    >>> def worst(y_true, y_pred):
    ...     return np.abs(y_true - y_pred).max()
    >>> metric = FunctionMetric(worst)
    >>> metric.name, metric([1.0, 2.0], [1.0, 5.0])
    ('worst', 3.0)
    """

    sparse = None
    _name = "function"

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        super().__init__(getattr(function, "__name__", None) if name is None else name)
        self.function = function

    def of_outputs(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        """The mean of what the function returns.

        Raises
        ------
        ValueError, TypeError
            If that is neither a number nor one a sample.
        """
        value = numeric(self.function(y_true, y_pred), f"metric {self.name}")
        if value.shape not in ((), (len(y_pred),)):
            raise ValueError(
                f"metric {self.name}: expected a number or one a sample, {(len(y_pred),)}, got "
                f"shape {value.shape}"
            )
        return float(value.mean(dtype=np.float64))

    def get_config(self) -> dict[str, Any]:
        return {"function": self.function, **super().get_config()}


# Keras's functions, as compile(metrics=[...]) takes them; on arrays, call a metric of the class.
mean_squared_error, mean_absolute_error = MeanSquaredError, MeanAbsoluteError
mean_absolute_percentage_error = MeanAbsolutePercentageError
mean_squared_logarithmic_error = MeanSquaredLogarithmicError
log_cosh, poisson, kl_divergence = LogCoshError, Poisson, KLDivergence
hinge, squared_hinge, categorical_hinge = Hinge, SquaredHinge, CategoricalHinge
binary_accuracy, categorical_accuracy = BinaryAccuracy, CategoricalAccuracy
sparse_categorical_accuracy = SparseCategoricalAccuracy
top_k_categorical_accuracy = TopKCategoricalAccuracy
sparse_top_k_categorical_accuracy = SparseTopKCategoricalAccuracy
binary_crossentropy, categorical_crossentropy = BinaryCrossentropy, CategoricalCrossentropy
sparse_categorical_crossentropy = SparseCategoricalCrossentropy

_CLASSES = (
    MeanSquaredError,
    MeanAbsoluteError,
    RootMeanSquaredError,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    LogCoshError,
    KLDivergence,
    Poisson,
    Hinge,
    SquaredHinge,
    CategoricalHinge,
    CosineSimilarity,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    TopKCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    Precision,
    Recall,
    F1Score,
    R2Score,
    AUC,
)
_KNOWN: dict[str, type[Metric]] = {cls._name: cls for cls in _CLASSES}
_KNOWN |= {cls.__name__: cls for cls in (*_CLASSES, _AutoAccuracy)}
_KNOWN |= dict.fromkeys(("mse", "MSE"), MeanSquaredError)
_KNOWN |= dict.fromkeys(("mae", "MAE"), MeanAbsoluteError)
_KNOWN |= dict.fromkeys(("rmse", "RMSE"), RootMeanSquaredError)
_KNOWN |= dict.fromkeys(("mape", "MAPE"), MeanAbsolutePercentageError)
_KNOWN |= dict.fromkeys(("msle", "MSLE"), MeanSquaredLogarithmicError)
_KNOWN |= dict.fromkeys(("kld", "KLD"), KLDivergence)
_KNOWN |= dict.fromkeys(("bce", "BCE"), BinaryCrossentropy)
_KNOWN |= dict.fromkeys(("log_cosh", "log_cosh_error"), LogCoshError)
_KNOWN |= dict.fromkeys(("accuracy", "acc"), _AutoAccuracy)


def get(identifier: Any) -> Metric:
    """The metric that `identifier` (instance, class, name, serialized dict or function) stands for.

    One given by name is reported under that name, as in Keras; a function see `FunctionMetric`.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is something else.

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.get("mae")
    MeanAbsoluteError(name='mae')
    """
    if isinstance(identifier, str) and identifier in _KNOWN:
        return _KNOWN[identifier](name=identifier)
    if callable(identifier) and not isinstance(identifier, (type, Metric)):
        return FunctionMetric(identifier)
    return resolve(identifier, Metric, _KNOWN, "metrics")


class Measures:
    """What the engine is to measure for some metrics, and what they are, worked out once.

    Parameters
    ----------
    metrics : sequence of Metric
    loss : Loss or None
    outputs : int
        How many the model has.

    Attributes
    ----------
    names : list of Measure
        What the engine is to measure, each once.
    of_outputs : bool
        Whether a metric wants all outputs.

    Examples
    --------
    >>> from fastnn.metrics import F1Score, Measures, Recall
    >>> measures = Measures([F1Score(), Recall()], None, 1)
    >>> [name for name, _ in measures.names]
    ['true_positive', 'predicted_positive', 'actual_positive']
    >>> measures.results([0.25, 0.5, 0.5])
    {'f1_score': 0.5, 'recall': 0.5}
    """

    def __init__(self, metrics: Sequence[Metric], loss: Loss | None, outputs: int) -> None:
        parts = [metric.engine_names(loss, outputs) for metric in metrics]
        self.names = list(dict.fromkeys(name for names in parts for name in names))
        places = [[self.names.index(name) for name in names] for names in parts]
        self._metrics = list(zip(metrics, places, strict=True))
        self.of_outputs = any(isinstance(metric, OutputMetric) for metric in metrics)

    def results(
        self,
        means: Sequence[float],
        y_true: np.ndarray | None = None,
        y_pred: np.ndarray | None = None,
    ) -> dict[str, float]:
        """The metrics by name, from the means over the samples of `names`.

        Those of outputs come from these and the targets, or are left out where there are none.
        """
        found = {}
        for metric, places in self._metrics:
            if not isinstance(metric, OutputMetric):
                found[metric.name] = metric.result([means[place] for place in places])
            elif y_true is not None and y_pred is not None:
                found[metric.name] = metric.of_outputs(y_true, y_pred)
        return found


def get_list(identifiers: Any, loss: Loss | None) -> list[Metric]:
    """The metrics of `compile(metrics=...)`, checked against the loss.

    Raises
    ------
    TypeError
        If `identifiers` is not a list.
    ValueError
        If a name is unknown or comes twice, or a metric needs other targets than the loss.

    Examples
    --------
    >>> from fastnn import metrics
    >>> [metric.name for metric in metrics.get_list(["mse", metrics.R2Score()], None)]
    ['mse', 'r2_score']
    """
    if identifiers is None:
        return []
    if not isinstance(identifiers, Sequence) or isinstance(identifiers, str):
        raise TypeError(f"metrics: expected a list such as ['accuracy'], got {identifiers!r}")
    metrics = [get(identifier) for identifier in identifiers]
    names = ["loss", *(metric.name for metric in metrics)]
    if len(set(names)) != len(names):
        raise ValueError(f"metrics: expected different names, got {names}")
    for metric in metrics:
        if loss is not None and metric.sparse is not None and metric.sparse != loss.sparse:
            kinds = {True: "class ids", False: "targets (samples, outputs)"}
            raise ValueError(
                f"metrics: expected metrics of {kinds[loss.sparse]}, as the loss {loss.name} has, "
                f"got {metric.name!r}, which needs {kinds[metric.sparse]}"
            )
    return metrics
