"""What is reported beside the loss. A metric object only says which; the engine computes it."""

from collections.abc import Sequence
from math import sqrt
from typing import Any

from fastnn._registry import Configurable, resolve
from fastnn.losses import Loss

MAX_METRICS = 8  # the engine's limit


class Metric(Configurable):
    """Base of all metrics: the mean over the samples of a value for each sample.

    `sparse` says whether targets are class ids; None takes both. `rises` says whether more is
    better; None: unknown.
    """

    sparse: bool | None = False
    rises: bool | None = None
    _name: str
    _engine_name: str

    def __init__(self, name: str | None = None) -> None:
        self.name = self._name if name is None else str(name)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}

    def engine_names(self, loss: Loss | None, outputs: int) -> list[str]:
        """The engine's words for what this metric is made of on a model with so many outputs."""
        return [self._engine_name]

    def result(self, means: list[float]) -> float:
        """The metric, from the means over the samples of what `engine_names` names."""
        return means[0]


class MeanSquaredError(Metric):
    """Mean over the outputs of (prediction - target)^2."""

    rises = False
    _name = "mean_squared_error"
    _engine_name = "squared_error"


class MeanAbsoluteError(Metric):
    """Mean over the outputs of |prediction - target|."""

    rises = False
    _name = "mean_absolute_error"
    _engine_name = "absolute_error"


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean over samples and outputs of (prediction - target)^2.

    Examples
    --------
    >>> from fastnn.metrics import RootMeanSquaredError
    >>> RootMeanSquaredError().name
    'root_mean_squared_error'
    """

    _name = "root_mean_squared_error"

    def result(self, means: list[float]) -> float:
        return sqrt(means[0])


class _Positives(Metric):
    """What is made of the numbers of positive predictions, above 1/2, and of positive targets."""

    rises = True
    _parts: tuple[str, ...]

    def engine_names(self, loss: Loss | None, outputs: int) -> list[str]:
        return ["true_positive", *self._parts]

    def result(self, means: list[float]) -> float:
        right, *parts = means
        whole = sum(parts) / len(parts)
        return right / whole if whole else 0.0


class Precision(_Positives):
    """True positives over predicted ones; 0 where nothing is predicted.

    A prediction above 1/2 is positive. Of several outputs all are counted together.

    Examples
    --------
    >>> from fastnn.metrics import Precision
    >>> Precision().name
    'precision'
    """

    _name = "precision"
    _parts = ("predicted_positive",)


class Recall(_Positives):
    """True positives over actual ones; 0 where there is none.

    A prediction above 1/2 is positive. Of several outputs all are counted together.

    Examples
    --------
    >>> from fastnn.metrics import Recall
    >>> Recall().name
    'recall'
    """

    _name = "recall"
    _parts = ("actual_positive",)


class F1Score(_Positives):
    """The harmonic mean of precision and recall, counted over all outputs together.

    For one output what Keras and scikit-learn give; for several their average="micro".

    Examples
    --------
    >>> from fastnn.metrics import F1Score
    >>> F1Score().name
    'f1_score'
    """

    _name = "f1_score"
    _parts = ("predicted_positive", "actual_positive")


class BinaryAccuracy(Metric):
    """How often (prediction > 0.5) is the target, 0 or 1."""

    rises = True
    _name = "binary_accuracy"
    _engine_name = "threshold_match"


class CategoricalAccuracy(Metric):
    """How often the largest prediction is where the largest target is."""

    rises = True
    _name = "categorical_accuracy"
    _engine_name = "argmax_match"


class SparseCategoricalAccuracy(Metric):
    """How often the largest prediction is that of the target, a class id."""

    sparse = True
    rises = True
    _name = "sparse_categorical_accuracy"
    _engine_name = "argmax_match"


class _AutoAccuracy(Metric):
    """The string "accuracy": one of the three above, by the targets and the outputs as in Keras."""

    sparse = None
    rises = True
    _name = "accuracy"

    def engine_names(self, loss: Loss | None, outputs: int) -> list[str]:
        sparse = loss is not None and loss.sparse
        return ["argmax_match" if sparse or outputs > 1 else "threshold_match"]


_CLASSES = (
    MeanSquaredError,
    MeanAbsoluteError,
    RootMeanSquaredError,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    Precision,
    Recall,
    F1Score,
)
_KNOWN: dict[str, type[Metric]] = {cls._name: cls for cls in _CLASSES}
_KNOWN |= {cls.__name__: cls for cls in (*_CLASSES, _AutoAccuracy)}
_KNOWN |= dict.fromkeys(("mse", "MSE"), MeanSquaredError)
_KNOWN |= dict.fromkeys(("mae", "MAE"), MeanAbsoluteError)
_KNOWN |= dict.fromkeys(("rmse", "RMSE"), RootMeanSquaredError)
_KNOWN |= dict.fromkeys(("accuracy", "acc"), _AutoAccuracy)


def get(identifier: Any) -> Metric:
    """The metric that `identifier` (instance, class, name or serialized dict) stands for.

    One given by name is reported under that name, as in Keras.
    """
    if isinstance(identifier, str) and identifier in _KNOWN:
        return _KNOWN[identifier](name=identifier)
    return resolve(identifier, Metric, _KNOWN, "metrics")


def engine_names(metrics: Sequence[Metric], loss: Loss | None, outputs: int) -> list[str]:
    """What the engine is to measure for these metrics, each once.

    Raises
    ------
    ValueError
        If that is more than the engine can measure at once.
    """
    names = [name for metric in metrics for name in metric.engine_names(loss, outputs)]
    unique = list(dict.fromkeys(names))
    if len(unique) > MAX_METRICS:
        raise ValueError(f"metrics: expected at most {MAX_METRICS} measures, got {len(unique)}")
    return unique


def results(
    metrics: Sequence[Metric], loss: Loss | None, outputs: int, means: Sequence[float]
) -> list[float]:
    """The metrics, from the means over the samples of what `engine_names` gave."""
    found = dict(zip(engine_names(metrics, loss, outputs), means, strict=True))
    return [
        metric.result([found[name] for name in metric.engine_names(loss, outputs)])
        for metric in metrics
    ]


def get_list(identifiers: Any, loss: Loss | None) -> list[Metric]:
    """The metrics of `compile(metrics=...)`, checked against the loss.

    Raises
    ------
    TypeError
        If `identifiers` is not a list.
    ValueError
        If a name is unknown or comes twice, there are more than 8, or a metric needs other
        targets than the loss.
    """
    if identifiers is None:
        return []
    if not isinstance(identifiers, Sequence) or isinstance(identifiers, str):
        raise TypeError(f"metrics: expected a list such as ['accuracy'], got {identifiers!r}")
    metrics = [get(identifier) for identifier in identifiers]
    if len(metrics) > MAX_METRICS:
        raise ValueError(f"metrics: expected at most {MAX_METRICS}, got {len(metrics)}")
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
