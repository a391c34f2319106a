"""Losses as metrics, and what is a loss but for a root or a sign."""

from math import sqrt
from typing import Any

from fastnn import losses
from fastnn._data import as_bool, as_number
from fastnn._measures import Measure
from fastnn._registry import serialize
from fastnn.losses import Loss
from fastnn.metrics._base import Metric


def is_measured(loss: Loss | None) -> bool:
    """Whether the engine takes the loss as a metric beside another loss."""
    others = (losses.FunctionLoss, losses.GaussianNLL)
    return loss is not None and not isinstance(loss, others) and loss.ignored is None


class LossMetric(Metric):
    """The mean of a loss over the samples, as a metric: any of one output for each target.

    `compile(metrics=[losses.Huber(2.0)])` makes one of the loss, `losses.huber` of the function's.

    Parameters
    ----------
    loss : Loss or str
        Neither a function of one's own nor `GaussianNLL`; with no class ignored.
    name : str, optional
        By default the loss's.
    dtype, **keras
        As for every metric.

    Raises
    ------
    ValueError, TypeError
        If there is no such loss.

    Examples
    --------
    >>> from fastnn.losses import Huber
    >>> from fastnn.metrics import LossMetric
    >>> LossMetric(Huber(delta=2.0))([0.0, 1.0], [1.0, 1.0])
    0.25
    """

    rises = False
    _name = "loss_metric"

    def __init__(
        self, loss: Loss | str, name: str | None = None, dtype: None = None, **keras: Any
    ) -> None:
        found = losses.get(loss)
        if found is None or not is_measured(found):
            raise ValueError(
                f"loss: expected a loss of fastnn.losses, of all classes and of one output for "
                f"each target, got {loss!r}"
            )
        super().__init__(found.name if name is None else name, dtype, **keras)
        self.loss, self.sparse = found, found.sparse

    def engine_names(self, loss: Loss | None, outputs: int) -> list[Measure]:
        return [(self.loss.engine_name, *self.loss.params)]

    def get_config(self) -> dict[str, Any]:
        return {"loss": serialize(self.loss), **super().get_config()}


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

    def result(self, means: list[float], count: int) -> float:
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

    def result(self, means: list[float], count: int) -> float:
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
