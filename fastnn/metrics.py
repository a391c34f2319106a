"""What is reported beside the loss. A metric object only says which; the engine computes it."""

from collections.abc import Sequence
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

    def engine_name(self, loss: Loss | None, outputs: int) -> str:
        """The engine's word for this metric on a model with so many outputs."""
        return self._engine_name


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

    def engine_name(self, loss: Loss | None, outputs: int) -> str:
        sparse = loss is not None and loss.sparse
        return "argmax_match" if sparse or outputs > 1 else "threshold_match"


_CLASSES = (
    MeanSquaredError,
    MeanAbsoluteError,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
)
_KNOWN: dict[str, type[Metric]] = {cls._name: cls for cls in _CLASSES}
_KNOWN |= {cls.__name__: cls for cls in (*_CLASSES, _AutoAccuracy)}
_KNOWN |= dict.fromkeys(("mse", "MSE"), MeanSquaredError)
_KNOWN |= dict.fromkeys(("mae", "MAE"), MeanAbsoluteError)
_KNOWN |= dict.fromkeys(("accuracy", "acc"), _AutoAccuracy)


def get(identifier: Any) -> Metric:
    """The metric that `identifier` (instance, class, name or serialized dict) stands for.

    One given by name is reported under that name, as in Keras.
    """
    if isinstance(identifier, str) and identifier in _KNOWN:
        return _KNOWN[identifier](name=identifier)
    return resolve(identifier, Metric, _KNOWN, "metrics")


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
