"""What training makes small. A loss object only says which loss; the engine computes it."""

from collections.abc import Callable
from typing import Any

from fastnn._data import as_bool, as_number
from fastnn._registry import Configurable, resolve


class Loss(Configurable):
    """Base of all losses: the mean over the samples of a value for each sample.

    `engine_name` is the engine's word for it and `params` are the numbers that it takes; `sparse`
    says that targets are class ids.
    """

    engine_name: str
    sparse = False
    _name: str

    def __init__(self, name: str | None = None) -> None:
        self.name = self._name if name is None else str(name)

    @property
    def params(self) -> tuple[float, ...]:
        """The numbers that the engine takes beside the targets."""
        return ()

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


class MeanSquaredError(Loss):
    """Mean over the outputs of (prediction - target)^2."""

    engine_name = "mse"
    _name = "mean_squared_error"


class MeanAbsoluteError(Loss):
    """Mean over the outputs of |prediction - target|."""

    engine_name = "mae"
    _name = "mean_absolute_error"


class MeanAbsolutePercentageError(Loss):
    """Mean over the outputs of 100 |prediction - target| / |target|, divided by at least 1e-7."""

    engine_name = "mape"
    _name = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(Loss):
    """Mean over the outputs of (log(1 + prediction) - log(1 + target))^2, of at least 1e-7 each."""

    engine_name = "msle"
    _name = "mean_squared_logarithmic_error"


class Huber(Loss):
    """Mean over the outputs of e^2 / 2, from |e| = delta on of the line that goes on from there.

    Parameters
    ----------
    delta : float > 0
        The error e = prediction - target from which on the loss is linear.
    name : str, optional
    """

    engine_name = "huber"
    _name = "huber_loss"

    def __init__(self, delta: float = 1.0, name: str | None = None) -> None:
        super().__init__(name)
        self.delta = as_number(delta, "delta", 0, bounds="()")

    @property
    def params(self) -> tuple[float, ...]:
        return (self.delta,)

    def get_config(self) -> dict[str, Any]:
        return {"delta": self.delta, **super().get_config()}


class LogCosh(Loss):
    """Mean over the outputs of log(cosh(prediction - target))."""

    engine_name = "log_cosh"
    _name = "log_cosh"


class Quantile(Loss):
    """The pinball loss, whose best prediction is a quantile of the target; Keras has none.

    The mean over the outputs of q e where e = target - prediction is positive, else (q - 1) e.

    Parameters
    ----------
    quantile : float in (0, 1)
        q, the part of the targets that is to lie below the prediction.
    name : str, optional
    """

    engine_name = "quantile"
    _name = "quantile"

    def __init__(self, quantile: float = 0.5, name: str | None = None) -> None:
        super().__init__(name)
        self.quantile = as_number(quantile, "quantile", 0, 1, bounds="()")

    @property
    def params(self) -> tuple[float, ...]:
        return (self.quantile,)

    def get_config(self) -> dict[str, Any]:
        return {"quantile": self.quantile, **super().get_config()}


class Poisson(Loss):
    """Mean over the outputs of prediction - target log(prediction), for counts."""

    engine_name = "poisson"
    _name = "poisson"


class KLDivergence(Loss):
    """Sum over the outputs of target log(target / prediction), both clipped to [1e-7, 1]."""

    engine_name = "kld"
    _name = "kl_divergence"


class Hinge(Loss):
    """Mean over the outputs of max(1 - target prediction, 0), for targets -1 and 1, or 0 and 1."""

    engine_name = "hinge"
    _name = "hinge"


class SquaredHinge(Loss):
    """Mean over the outputs of `Hinge`'s value, squared."""

    engine_name = "squared_hinge"
    _name = "squared_hinge"


class CategoricalHinge(Loss):
    """The largest prediction of another class + 1 - that of the right one, if positive, else 0.

    Targets are (samples, classes), 0 and 1.
    """

    engine_name = "categorical_hinge"
    _name = "categorical_hinge"


class CosineSimilarity(Loss):
    """Minus the cosine of the angle between the prediction and the target of a sample."""

    engine_name = "cosine"
    _name = "cosine_similarity"


class _CrossEntropy(Loss):
    """A cross-entropy of probabilities or, with `from_logits`, of a linear last layer's outputs."""

    _engine: str

    def __init__(self, from_logits: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.from_logits = as_bool(from_logits, "from_logits")

    @property
    def engine_name(self) -> str:  # type: ignore[override]
        return self._engine + "_logits" if self.from_logits else self._engine

    def get_config(self) -> dict[str, Any]:
        return {"from_logits": self.from_logits, **super().get_config()}


class _SmoothedCrossEntropy(_CrossEntropy):
    """One whose targets may be moved by a part `label_smoothing` of the way to no preference."""

    def __init__(
        self, from_logits: bool = False, label_smoothing: float = 0.0, name: str | None = None
    ) -> None:
        super().__init__(from_logits, name)
        self.label_smoothing = as_number(label_smoothing, "label_smoothing", 0, 1, bounds="[]")

    @property
    def params(self) -> tuple[float, ...]:
        return (self.label_smoothing,)

    def get_config(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing, **super().get_config()}


class BinaryCrossentropy(_SmoothedCrossEntropy):
    """Mean over the outputs of -t log p - (1 - t) log(1 - p)."""

    _engine = "bce"
    _name = "binary_crossentropy"


class BinaryFocalCrossentropy(_SmoothedCrossEntropy):
    """`BinaryCrossentropy` times (1 - r)^gamma, r being the probability of the right answer.

    Parameters
    ----------
    apply_class_balancing : bool
        Whether a target of 1 weighs alpha and one of 0 weighs 1 - alpha; else both weigh 1.
    alpha : float in [0, 1]
    gamma : float >= 0
        How much less weight what is already right has.
    from_logits : bool
    label_smoothing : float in [0, 1]
    name : str, optional
    """

    _engine = "focal"
    _name = "binary_focal_crossentropy"

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, name)
        self.apply_class_balancing = as_bool(apply_class_balancing, "apply_class_balancing")
        self.alpha = as_number(alpha, "alpha", 0, 1, bounds="[]")
        self.gamma = as_number(gamma, "gamma", 0)

    @property
    def params(self) -> tuple[float, ...]:
        balance = (self.alpha, 1 - self.alpha) if self.apply_class_balancing else (1.0, 1.0)
        return (self.label_smoothing, self.gamma, *balance)

    def get_config(self) -> dict[str, Any]:
        own = {
            "apply_class_balancing": self.apply_class_balancing,
            "alpha": self.alpha,
            "gamma": self.gamma,
        }
        return {**own, **super().get_config()}


class CategoricalCrossentropy(_SmoothedCrossEntropy):
    """-sum over the classes of t log p, for targets (samples, classes)."""

    _engine = "xent"
    _name = "categorical_crossentropy"


class SparseCategoricalCrossentropy(_CrossEntropy):
    """-log p of the right class, for class ids (samples,)."""

    _engine = "xent"
    _name = "sparse_categorical_crossentropy"
    sparse = True


class FunctionLoss(Loss):
    """A function of one's own, which `compile(loss=function)` makes a loss.

    Parameters
    ----------
    function : callable
        f(y_true, y_pred) -> (loss of each sample (samples,), its gradient to y_pred), on arrays of
        a batch; y_pred and the gradient are (samples, outputs). Each sample's loss should depend
        on that sample alone.
    name : str, optional
        By default the function's own.
    """

    _name = "function"

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        super().__init__(getattr(function, "__name__", None) if name is None else name)
        self.function = function

    def get_config(self) -> dict[str, Any]:
        return {"function": self.function, **super().get_config()}


_CLASSES = (
    MeanSquaredError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Huber,
    LogCosh,
    Quantile,
    Poisson,
    KLDivergence,
    Hinge,
    SquaredHinge,
    CategoricalHinge,
    CosineSimilarity,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
_KNOWN: dict[str, type[Loss]] = {cls._name: cls for cls in _CLASSES}
_KNOWN |= {cls.__name__: cls for cls in _CLASSES}
_KNOWN |= {"huber": Huber}
_KNOWN |= dict.fromkeys(("mse", "MSE"), MeanSquaredError)
_KNOWN |= dict.fromkeys(("mae", "MAE"), MeanAbsoluteError)
_KNOWN |= dict.fromkeys(("mape", "MAPE"), MeanAbsolutePercentageError)
_KNOWN |= dict.fromkeys(("msle", "MSLE"), MeanSquaredLogarithmicError)
_KNOWN |= dict.fromkeys(("kld", "KLD"), KLDivergence)
_KNOWN |= dict.fromkeys(("bce", "BCE"), BinaryCrossentropy)


def get(identifier: Any) -> Loss | None:
    """The loss that `identifier` stands for: an instance, class, name, serialized dict, function
    (see `FunctionLoss`) or None.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is something else.
    """
    if identifier is None:
        return None
    if callable(identifier) and not isinstance(identifier, type):
        return FunctionLoss(identifier)
    return resolve(identifier, Loss, _KNOWN, "loss")
