"""What training makes small. A loss object only says which loss; the engine computes it."""

from collections.abc import Callable
from math import log, pi
from typing import Any

import numpy as np

from fastnn import _judge
from fastnn._data import Shape, as_bool, as_int, as_number, check_neutral
from fastnn._registry import Configurable, refuse_methods, resolve

# Keras's arguments that fastnn does not support, at the values that ask for nothing
_NEUTRAL = {"reduction": ("sum_over_batch_size", "mean"), "dtype": (None,), "axis": (-1, 1)}

_OWN = "the engine computes losses; give compile a function, see fastnn.losses.FunctionLoss"


class Loss(Configurable):
    """Base of all losses: the mean over the samples of a value for each sample.

    `engine_name` is the engine's word for it and `params` are the numbers that it takes; `sparse`
    says that targets are class ids; `ignored` is the one of them that does not count.

    Parameters
    ----------
    reduction, dtype, axis
        Keras's, at the values that ask for nothing: "sum_over_batch_size" (or "mean", which is the
        same without masks), None and -1 (or 1).
    name : str, optional

    Examples
    --------
    >>> from fastnn.losses import Loss, MeanSquaredError
    >>> isinstance(MeanSquaredError(), Loss)
    True
    """

    engine_name: str
    sparse = False
    ignored: int | None = None
    _name: str

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        refuse_methods(cls, ("call",), _OWN)

    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: None = None,
        **keras: Any,
    ) -> None:
        check_neutral(
            type(self).__name__, {"reduction": reduction, "dtype": dtype, **keras}, _NEUTRAL
        )
        self.name = self._name if name is None else str(name)

    @property
    def params(self) -> tuple[float, ...]:
        """The numbers that the engine takes beside the targets."""
        return ()

    def target_shape(self, outputs: Shape) -> Shape:
        """The shape of a sample's dense targets for a model with outputs of that shape."""
        return outputs

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        """The loss of predictions, as `evaluate` reports it.

        Parameters
        ----------
        y_true : array_like
            Class ids (samples,) of a sparse loss, else (samples, outputs).
        y_pred : array_like (samples, outputs)
            Computed in float32 if that is its dtype, else in float64.
        sample_weight : array_like (samples,), optional

        Raises
        ------
        ValueError, TypeError
            If an argument is no such array.
        """
        p = _judge.as_predictions(y_pred)
        shape = self.target_shape(p.shape[1:])
        y = _judge.check(y_true, p, self.sparse, shape, self.ignored)
        weight = _judge.check_weight(sample_weight, p)
        return _judge.judge(p, y, weight, (self.engine_name, self.params, self.ignored), [])[0]

    def _of_samples(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample, by the engine's NumPy twin."""
        from fastnn.reference.kernels import LOSSES  # rarely needed

        shape = _judge.shape_of(y_pred)
        if len(shape) != 2:
            y_true, y_pred = _judge.in_rows(y_true, y_pred, self.sparse)
        p = _judge.as_predictions(y_pred)
        y = _judge.check(y_true, p, self.sparse, self.target_shape(p.shape[1:]), self.ignored)
        counted = np.True_ if self.ignored is None else y != self.ignored
        values, _ = LOSSES[self.engine_name](p, np.where(counted, y, 0), None, 1.0, *self.params)
        return np.where(counted, values, p.dtype.type(0)).reshape(shape[:-1])[()]

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


class MeanSquaredError(Loss):
    """Mean over the outputs of (prediction - target)^2.

    Examples
    --------
    >>> from fastnn.losses import MeanSquaredError
    >>> MeanSquaredError()([[1.0, 2.0]], [[1.0, 4.0]])
    2.0
    """

    engine_name = "mse"
    _name = "mean_squared_error"


class MeanAbsoluteError(Loss):
    """Mean over the outputs of |prediction - target|.

    Examples
    --------
    >>> from fastnn.losses import MeanAbsoluteError
    >>> MeanAbsoluteError()([[1.0, 2.0]], [[1.0, 4.0]])
    1.0
    """

    engine_name = "mae"
    _name = "mean_absolute_error"


class MeanAbsolutePercentageError(Loss):
    """Mean over the outputs of 100 |prediction - target| / |target|, divided by at least 1e-7.

    Examples
    --------
    >>> from fastnn.losses import MeanAbsolutePercentageError
    >>> MeanAbsolutePercentageError()([2.0, 4.0], [3.0, 4.0])
    25.0
    """

    engine_name = "mape"
    _name = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(Loss):
    """Mean over the outputs of (log(1 + prediction) - log(1 + target))^2, of at least 1e-7 each.

    Examples
    --------
    >>> from fastnn.losses import MeanSquaredLogarithmicError
    >>> round(MeanSquaredLogarithmicError()([1.0], [3.0]), 6)
    0.480453
    """

    engine_name = "msle"
    _name = "mean_squared_logarithmic_error"


class Huber(Loss):
    """Mean over the outputs of e^2 / 2, from |e| = delta on of the line that goes on from there.

    Parameters
    ----------
    delta : float > 0
        The error e = prediction - target from which on the loss is linear.
    reduction, name, dtype
        As for `Loss`.

    Examples
    --------
    >>> from fastnn.losses import Huber
    >>> Huber(0.5)([[2.0, 2.0]], [[1.0, 4.0]])
    0.625
    """

    engine_name = "huber"
    _name = "huber_loss"

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.delta = as_number(delta, "delta", 0, bounds="()")

    @property
    def params(self) -> tuple[float, ...]:
        return (self.delta,)

    def get_config(self) -> dict[str, Any]:
        return {"delta": self.delta, **super().get_config()}


class LogCosh(Loss):
    """Mean over the outputs of log(cosh(prediction - target)).

    Examples
    --------
    >>> from fastnn.losses import LogCosh
    >>> round(LogCosh()([0.0], [1.0]), 6)
    0.433781
    """

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

    Examples
    --------
    >>> from fastnn.losses import Quantile
    >>> Quantile(0.75)([4.0], [2.0]), Quantile(0.75)([2.0], [4.0])
    (1.5, 0.5)
    """

    engine_name = "quantile"
    _name = "quantile"

    def __init__(self, quantile: float = 0.5, name: str | None = None) -> None:
        super().__init__(name=name)
        self.quantile = as_number(quantile, "quantile", 0, 1, bounds="()")

    @property
    def params(self) -> tuple[float, ...]:
        return (self.quantile,)

    def get_config(self) -> dict[str, Any]:
        return {"quantile": self.quantile, **super().get_config()}


class GaussianNLL(Loss):
    """Minus the logarithm of a Gaussian's density at the target, its variance predicted too.

    For targets (samples, k) the model has 2k outputs: k means m, then k logarithms of variances s,
    both as the last layer gives them (linear). The loss is the mean over k of
    (s + (m - target)^2 exp(-s)) / 2: `torch.nn.GaussianNLLLoss` of the variance exp(s), which so is
    positive and never divided by (Nix and Weigend 1994; Kendall and Gal 2017). Metrics look at the
    means, functions given as metrics at all outputs. Keras has no such loss.

    Parameters
    ----------
    full : bool
        Whether log(2 pi) / 2 is added, which makes it the whole logarithm.
    eps : float > 0
        Variances below it count as that, in the gradient too, as in PyTorch.
    name : str, optional

    Raises
    ------
    ValueError
        From `compile` or the model's building, if the number of outputs is odd.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.layers import Dense
    >>> from fastnn.losses import GaussianNLL
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(2, input_shape=(1,))])  # the mean and the variance's logarithm
    >>> model.compile("adam", GaussianNLL(), metrics=["mae"])
    >>> model.set_weights([np.zeros((1, 2)), [1.0, 0.0]])  # whatever x, mean 1 and variance 1
    >>> model.evaluate([[5.0]], [3.0], verbose=0)
    [2.0, 2.0]
    """

    engine_name = "gaussian_nll"
    _name = "gaussian_nll"

    def __init__(self, full: bool = False, eps: float = 1e-6, name: str | None = None) -> None:
        super().__init__(name=name)
        self.full = as_bool(full, "full")
        self.eps = as_number(eps, "eps", 0, bounds="()")

    @property
    def params(self) -> tuple[float, ...]:
        return (log(self.eps), log(2 * pi) / 2 if self.full else 0.0)

    def target_shape(self, outputs: Shape) -> Shape:
        if outputs[-1] % 2:
            raise ValueError(
                f"{self.name}: expected an even number of outputs, k means and k logarithms "
                f"of variances, got {outputs[-1]}"
            )
        return (*outputs[:-1], outputs[-1] // 2)

    def get_config(self) -> dict[str, Any]:
        return {"full": self.full, "eps": self.eps, **super().get_config()}


class Poisson(Loss):
    """Mean over the outputs of prediction - target log(prediction), for counts.

    Examples
    --------
    >>> from fastnn.losses import Poisson
    >>> round(Poisson()([3.0], [1.0]), 5)
    1.0
    """

    engine_name = "poisson"
    _name = "poisson"


class KLDivergence(Loss):
    """Sum over the outputs of target log(target / prediction), both clipped to [1e-7, 1].

    Examples
    --------
    >>> from fastnn.losses import KLDivergence
    >>> round(KLDivergence()([[0.5, 0.5]], [[0.25, 0.75]]), 6)
    0.143841
    """

    engine_name = "kld"
    _name = "kl_divergence"


class Hinge(Loss):
    """Mean over the outputs of max(1 - target prediction, 0), for targets -1 and 1, or 0 and 1.

    Examples
    --------
    >>> from fastnn.losses import Hinge
    >>> Hinge()([1.0, 0.0], [0.5, 0.5])
    1.0
    """

    engine_name = "hinge"
    _name = "hinge"


class SquaredHinge(Loss):
    """Mean over the outputs of `Hinge`'s value, squared.

    Examples
    --------
    >>> from fastnn.losses import SquaredHinge
    >>> SquaredHinge()([1.0, 0.0], [0.5, 0.5])
    1.25
    """

    engine_name = "squared_hinge"
    _name = "squared_hinge"


class CategoricalHinge(Loss):
    """The largest prediction of another class + 1 - that of the right one, if positive, else 0.

    Targets are (samples, classes), 0 and 1.

    Examples
    --------
    >>> from fastnn.losses import CategoricalHinge
    >>> CategoricalHinge()([[0.0, 1.0]], [[0.5, 0.25]])
    1.25
    """

    engine_name = "categorical_hinge"
    _name = "categorical_hinge"


class CosineSimilarity(Loss):
    """Minus the cosine of the angle between the prediction and the target of a sample.

    Parameters
    ----------
    axis, reduction, name, dtype
        As for `Loss`.

    Examples
    --------
    >>> from fastnn.losses import CosineSimilarity
    >>> CosineSimilarity()([[0.0, 1.0]], [[0.0, 3.0]])
    -1.0
    """

    engine_name = "cosine"
    _name = "cosine_similarity"

    def __init__(
        self,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(reduction, name, dtype, axis=axis)


class _CrossEntropy(Loss):
    """A cross-entropy of probabilities or, with `from_logits`, of a linear last layer's outputs."""

    _engine: str

    def __init__(self, from_logits: bool, name: str | None, **keras: Any) -> None:
        super().__init__(name=name, **keras)
        self.from_logits = as_bool(from_logits, "from_logits")

    @property
    def engine_name(self) -> str:  # type: ignore[override]
        return self._engine + "_logits" if self.from_logits else self._engine

    def get_config(self) -> dict[str, Any]:
        return {"from_logits": self.from_logits, **super().get_config()}


class _SmoothedCrossEntropy(_CrossEntropy):
    """One whose targets may be moved by a part `label_smoothing` of the way to no preference."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(from_logits, name, axis=axis, reduction=reduction, dtype=dtype)
        self.label_smoothing = as_number(label_smoothing, "label_smoothing", 0, 1, bounds="[]")

    @property
    def params(self) -> tuple[float, ...]:
        return (self.label_smoothing,)

    def get_config(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing, **super().get_config()}


class BinaryCrossentropy(_SmoothedCrossEntropy):
    """Mean over the outputs of -t log p - (1 - t) log(1 - p).

    Parameters
    ----------
    from_logits : bool
    label_smoothing : float in [0, 1]
    axis, reduction, name, dtype
        As for `Loss`.

    Examples
    --------
    >>> from fastnn.losses import BinaryCrossentropy
    >>> round(BinaryCrossentropy()([1.0, 0.0], [0.5, 0.5]), 6)
    0.693147
    """

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
    axis, reduction, name, dtype
        As for `Loss`.

    Examples
    --------
    >>> from fastnn.losses import BinaryFocalCrossentropy
    >>> round(BinaryFocalCrossentropy(gamma=2.0)([1.0], [0.5]), 6)
    0.173287
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
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)
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
    """-sum over the classes of t log p, for targets (samples, classes).

    Parameters
    ----------
    from_logits : bool
    label_smoothing : float in [0, 1]
    axis, reduction, name, dtype
        As for `Loss`.

    Examples
    --------
    >>> from fastnn.losses import CategoricalCrossentropy
    >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]), 6)
    0.693147
    """

    _engine = "xent"
    _name = "categorical_crossentropy"


class CategoricalFocalCrossentropy(_SmoothedCrossEntropy):
    """-sum over the classes of alpha t (1 - p)^gamma log p, for targets (samples, classes).

    Parameters
    ----------
    alpha : float >= 0
        One number; for one a class, which Keras takes too, give `fit` a `class_weight`.
    gamma : float >= 0
        How much less weight what is already right has.
    from_logits : bool
    label_smoothing : float in [0, 1]
    axis, reduction, name, dtype
        As for `Loss`.

    Examples
    --------
    >>> from fastnn.losses import CategoricalFocalCrossentropy
    >>> round(CategoricalFocalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]), 6)
    0.043322
    """

    _engine = "focal_xent"
    _name = "categorical_focal_crossentropy"

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)
        self.alpha = as_number(alpha, "alpha", 0)
        self.gamma = as_number(gamma, "gamma", 0)

    @property
    def params(self) -> tuple[float, ...]:
        return (self.label_smoothing, self.gamma, self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {"alpha": self.alpha, "gamma": self.gamma, **super().get_config()}


class SparseCategoricalCrossentropy(_CrossEntropy):
    """-log p of the right class, for class ids (samples,).

    Parameters
    ----------
    from_logits : bool
    ignore_class : int, optional
        Samples of this class, which need not be an output's, have loss and gradient 0 and do not
        count where losses are averaged, over a batch as in Keras; in `evaluate` over all samples.
        Metrics count them.
    reduction, axis, name, dtype
        As for `Loss`.

    Examples
    --------
    >>> from fastnn.losses import SparseCategoricalCrossentropy
    >>> loss = SparseCategoricalCrossentropy(ignore_class=-1)
    >>> round(loss([1, -1], [[0.5, 0.5], [0.9, 0.1]]), 6)
    0.693147
    """

    _engine = "xent"
    _name = "sparse_categorical_crossentropy"
    sparse = True

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(from_logits, name, axis=axis, reduction=reduction, dtype=dtype)
        known = ignore_class is None
        self.ignore_class = None if known else as_int(ignore_class, "ignore_class", -(2**31))

    @property
    def ignored(self) -> int | None:  # type: ignore[override]
        return self.ignore_class

    def get_config(self) -> dict[str, Any]:
        own = super().get_config()
        return own if self.ignore_class is None else {"ignore_class": self.ignore_class, **own}


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

    Examples
    --------
    >>> from fastnn.losses import FunctionLoss
    >>> def squared(y_true, y_pred):
    ...     error = y_pred - y_true
    ...     return (error**2).mean(axis=1), 2 * error / error.shape[1]
    >>> loss = FunctionLoss(squared)
    >>> loss.name, loss([[1.0, 2.0]], [[1.0, 4.0]])
    ('squared', 2.0)
    """

    _name = "function"

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        super().__init__(name=getattr(function, "__name__", None) if name is None else name)
        self.function = function

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        p = _judge.as_predictions(y_pred)
        losses, _ = _judge.call(self.function, f"loss {self.name}", np.asarray(y_true), p)
        weight = _judge.check_weight(sample_weight, p)
        return float(np.mean(losses if weight is None else losses * weight))

    def get_config(self) -> dict[str, Any]:
        return {"function": self.function, **super().get_config()}


class LossFunction:
    """A loss as Keras's function: of arrays it returns the loss of each sample, to `compile` it is
    the loss.

    Called with targets and predictions as a `Loss` is, and of any number of axes, the last of
    which are the outputs: (outputs,) is one sample. Other arguments are those of the loss's class.

    Parameters
    ----------
    kind : subclass of Loss

    Examples
    --------
    >>> from fastnn.losses import binary_crossentropy, mean_squared_error
    >>> mean_squared_error([[1.0, 2.0], [3.0, 4.0]], [[1.0, 4.0], [3.0, 4.0]])
    array([2., 0.])
    >>> binary_crossentropy([[1.0]], [[0.0]], from_logits=True).round(4)
    array([0.6931])
    """

    def __init__(self, kind: type[Loss], name: str | None = None) -> None:
        self.kind, self.__name__ = kind, name or kind._name

    def __call__(self, y_true: Any, y_pred: Any, *arguments: Any, **settings: Any) -> Any:
        return self.kind(*arguments, **settings)._of_samples(y_true, y_pred)

    def __repr__(self) -> str:
        return f"fastnn.losses.{self.__name__}"


mean_squared_error = mse = MSE = LossFunction(MeanSquaredError)
mean_absolute_error = mae = MAE = LossFunction(MeanAbsoluteError)
mean_absolute_percentage_error = mape = MAPE = LossFunction(MeanAbsolutePercentageError)
mean_squared_logarithmic_error = msle = MSLE = LossFunction(MeanSquaredLogarithmicError)
huber, log_cosh = LossFunction(Huber, "huber"), LossFunction(LogCosh)
poisson = LossFunction(Poisson)
kl_divergence = kld = KLD = LossFunction(KLDivergence)
hinge, squared_hinge = LossFunction(Hinge), LossFunction(SquaredHinge)
categorical_hinge = LossFunction(CategoricalHinge)
cosine_similarity = LossFunction(CosineSimilarity)
binary_crossentropy = LossFunction(BinaryCrossentropy)
binary_focal_crossentropy = LossFunction(BinaryFocalCrossentropy)
categorical_crossentropy = LossFunction(CategoricalCrossentropy)
categorical_focal_crossentropy = LossFunction(CategoricalFocalCrossentropy)
sparse_categorical_crossentropy = LossFunction(SparseCategoricalCrossentropy)

_CLASSES = (
    MeanSquaredError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Huber,
    LogCosh,
    Quantile,
    GaussianNLL,
    Poisson,
    KLDivergence,
    Hinge,
    SquaredHinge,
    CategoricalHinge,
    CosineSimilarity,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
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

    Examples
    --------
    >>> from fastnn import losses
    >>> losses.get("huber")
    Huber(delta=1.0, name='huber_loss')
    """
    if identifier is None:
        return None
    if isinstance(identifier, LossFunction):
        return identifier.kind()
    if callable(identifier) and not isinstance(identifier, (type, Loss)):
        return FunctionLoss(identifier)
    return resolve(identifier, Loss, _KNOWN, "loss")
