"""What is reported beside the loss. A metric object only says which; the engine computes it, or
the outputs that it is made of."""

from collections.abc import Mapping, Sequence
from copy import copy
from itertools import count
from types import FunctionType
from typing import Any

from fastnn._registry import resolve
from fastnn.losses import (
    Loss,
    LossFunction,
    binary_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
    hinge,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from fastnn.metrics._accuracy import (
    AutoAccuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from fastnn.metrics._base import Measures, Metric, OutputMetric
from fastnn.metrics._confusion import (
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from fastnn.metrics._losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    LossMetric,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    is_measured,
)
from fastnn.metrics._outputs import AUC, FunctionMetric, R2Score

__all__ = [
    "AUC",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "FunctionMetric",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "LossMetric",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Measures",
    "Metric",
    "OutputMetric",
    "Poisson",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SquaredHinge",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "binary_accuracy",
    "binary_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_hinge",
    "get",
    "get_list",
    "hinge",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]

# what Keras's functions that are no losses are to `compile`: the engine computes the class's
_FUNCTIONS: dict[Any, type[Metric]] = {
    binary_accuracy: BinaryAccuracy,
    categorical_accuracy: CategoricalAccuracy,
    sparse_categorical_accuracy: SparseCategoricalAccuracy,
    top_k_categorical_accuracy: TopKCategoricalAccuracy,
    sparse_top_k_categorical_accuracy: SparseTopKCategoricalAccuracy,
}

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
    FBetaScore,
    TruePositives,
    TrueNegatives,
    FalsePositives,
    FalseNegatives,
    R2Score,
    AUC,
)
_KNOWN: dict[str, type[Metric]] = {cls._name: cls for cls in _CLASSES}
_KNOWN |= {cls.__name__: cls for cls in _CLASSES}
_KNOWN |= dict.fromkeys(("mse", "MSE"), MeanSquaredError)
_KNOWN |= dict.fromkeys(("mae", "MAE"), MeanAbsoluteError)
_KNOWN |= dict.fromkeys(("rmse", "RMSE"), RootMeanSquaredError)
_KNOWN |= dict.fromkeys(("mape", "MAPE"), MeanAbsolutePercentageError)
_KNOWN |= dict.fromkeys(("msle", "MSLE"), MeanSquaredLogarithmicError)
_KNOWN |= dict.fromkeys(("kld", "KLD"), KLDivergence)
_KNOWN |= dict.fromkeys(("bce", "BCE"), BinaryCrossentropy)
_KNOWN |= dict.fromkeys(("log_cosh", "log_cosh_error"), LogCoshError)
_KNOWN |= dict.fromkeys(("accuracy", "acc", "Accuracy", "Acc", "ACC"), AutoAccuracy)
# what files name, and nobody by hand
_WRITTEN: dict[str, type[Metric]] = {"AutoAccuracy": AutoAccuracy, "LossMetric": LossMetric}


def get(identifier: Any) -> Metric:
    """The metric that `identifier` (instance, class, name, serialized dict or function) stands for.

    One given by name is reported under that name, as in Keras, and a loss under its own; a
    function see `FunctionMetric`.

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
    if isinstance(identifier, LossFunction):
        return LossMetric(identifier.kind(), identifier.__name__)
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        identifier = identifier()
    if isinstance(identifier, Loss) and is_measured(identifier):
        return LossMetric(identifier)
    if isinstance(identifier, FunctionType) and identifier in _FUNCTIONS:
        return _FUNCTIONS[identifier]()
    if callable(identifier) and not isinstance(identifier, (type, Metric)):
        return FunctionMetric(identifier)
    known = _KNOWN | _WRITTEN if isinstance(identifier, Mapping) else _KNOWN
    return resolve(identifier, Metric, known, "metrics")


def _named_apart(metric: Metric, taken: list[str]) -> Metric:
    """The metric, or one like it by another name, such as "mae_1", where its own is taken."""
    if metric.name not in taken:
        return metric
    number = next(i for i in count(1) if f"{metric.name}_{i}" not in taken)
    other = copy(metric)
    vars(other)["name"] = f"{metric.name}_{number}"
    return other


def get_list(identifiers: Any, loss: Loss | None) -> list[Metric]:
    """The metrics of `compile(metrics=...)`, checked against the loss.

    Raises
    ------
    TypeError
        If `identifiers` is not a list.
    ValueError
        If a name is unknown or is "loss", or a metric needs other targets than the loss.

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
    if len(identifiers) == 1 and isinstance(identifiers[0], (list, tuple)):  # of the one output
        identifiers = identifiers[0]
    metrics: list[Metric] = []
    for identifier in identifiers:
        metrics.append(_named_apart(get(identifier), [metric.name for metric in metrics]))
    if any(metric.name == "loss" for metric in metrics):
        raise ValueError("metrics: expected other names than that of the loss, got 'loss'")
    for metric in metrics:
        if loss is not None and metric.sparse is not None and metric.sparse != loss.sparse:
            kinds = {True: "class ids", False: "targets (samples, outputs)"}
            raise ValueError(
                f"metrics: expected metrics of {kinds[loss.sparse]}, as the loss {loss.name} has, "
                f"got {metric.name!r}, which needs {kinds[metric.sparse]}"
            )
    return metrics
