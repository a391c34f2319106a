"""Metrics of all targets and outputs of an epoch."""

import re
import warnings
from collections.abc import Callable
from math import nan
from typing import Any

import numpy as np

from fastnn._data import as_bool, as_int, as_rows, numeric
from fastnn._registry import snake_case
from fastnn.metrics._base import OutputMetric


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


def _name_of(function: Any) -> str:
    """What Keras reports a function under: its name in snake case, without what is no letter."""
    if hasattr(function, "name"):
        return str(function.name)
    return snake_case(re.sub(r"\W+", "", getattr(function, "__name__", type(function).__name__)))


class FunctionMetric(OutputMetric):
    """A function of one's own, which `compile(metrics=[function])` makes a metric.

    It is called once an epoch, after the engine's pass, with all targets and outputs in the
    epoch's order, those of training as each step had them.

    Parameters
    ----------
    function : callable
        f(y_true, y_pred) -> a number, or an array with numbers for each sample, (samples,) or
        (samples, ...), of which the mean is taken;
        y_true is (samples,) class ids or (samples, outputs), y_pred is (samples, outputs).
    name : str, optional
        By default the function's own in snake case, as in Keras: "lambda" of a lambda.

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

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        super().__init__(_name_of(function) if name is None else name)
        self.function = function

    def of_outputs(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        """The mean of what the function returns.

        Raises
        ------
        ValueError, TypeError
            If that is neither a number nor an array of numbers for each sample.
        """
        value = numeric(self.function(y_true, y_pred), f"metric {self.name}")
        if value.shape[:1] not in ((), (len(y_pred),)) or not value.size:
            raise ValueError(
                f"metric {self.name}: expected a number or an array ({len(y_pred)}, ...), got "
                f"shape {value.shape}"
            )
        return float(value.mean(dtype=np.float64))

    def get_config(self) -> dict[str, Any]:
        return {"function": self.function, **super().get_config()}
