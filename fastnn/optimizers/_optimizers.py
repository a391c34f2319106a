"""An object here says which optimizer and with what numbers; the engine does the steps and keeps
the slots (momentum, m, v) beside the weights."""

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

from fastnn._data import as_bool, as_int, as_number, check_neutral
from fastnn._registry import Configurable, refuse_methods
from fastnn.optimizers.schedules import LearningRateSchedule, as_rate, rate_config

if TYPE_CHECKING:
    from inspect import Signature


class Shared(TypedDict, total=False):
    """The arguments that all optimizers have, in Keras's order; `Optimizer` says what they are."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: None
    gradient_accumulation_steps: int | None
    name: str | None


class _Hyper:
    """A number of an optimizer: checked when it is set, and used from the next step on."""

    def __init__(self, check: Callable[[Any, str], Any], doc: str) -> None:
        self.check, self.__doc__ = check, doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, optimizer: Any, owner: type | None = None) -> Any:
        return self if optimizer is None else optimizer._hyper[self.name]

    def __set__(self, optimizer: Any, value: Any) -> None:
        optimizer._hyper = {**optimizer._hyper, self.name: self.check(value, self.name)}


def _fraction(value: Any, name: str) -> float:
    return as_number(value, name, 0, 1)


def _positive(value: Any, name: str) -> float:
    return as_number(value, name, 0, bounds="()")


def _decay(value: Any, name: str) -> float | None:
    return None if value is None else as_number(value, name, 0)


def _limit(value: Any, name: str) -> float | None:
    return None if value is None else _positive(value, name)


def _part(value: Any, name: str) -> float:
    return as_number(value, name, 0, 1, bounds="[]")


def _count(minimum: int) -> Callable[[Any, str], int | None]:
    return lambda value, name: None if value is None else as_int(value, name, minimum)


_BETA_1 = "How much of the mean of g is kept."
_BETA_2 = "How much of the mean of g^2 is kept."
_EPSILON = "Keeps the division away from 0."


class Optimizer(Configurable):
    """Base of all optimizers.

    Their numbers may be changed at any time, also during `fit`; but whether there is a momentum,
    `use_ema` and `gradient_accumulation_steps` from or to None only before `compile`.

    Parameters
    ----------
    hyper : dict
        The numbers of its own, by name.
    weight_decay : float >= 0, optional
        Before a step, every weight loses this part of it, times the learning rate.
    clipnorm, clipvalue, global_clipnorm : float > 0, optional
        One of them: the largest norm of the gradient of a kernel or bias, size of a number of it,
        or norm of all gradients together.
    use_ema : bool
        Whether a moving average of the weights is kept, ``average = ema_momentum * average +
        (1 - ema_momentum) * w`` after every step, and becomes the weights at the end of `fit`.
    ema_momentum : float in [0, 1]
    ema_overwrite_frequency : int >= 1, optional
        Updates after which the weights become their average during training, too.
    loss_scale_factor : None
        Keras's other values are not supported: float32 sums need none.
    gradient_accumulation_steps : int >= 2, optional
        Steps that an update takes the mean gradient of. Schedules go by steps, all else by updates;
        the gradients of penalties are those at the weights of the update.
    name : str, optional

    Attributes
    ----------
    engine_name : str
        The engine's word for it.
    hyper : dict
        Its numbers, a new dict after every change, so that the trainer sees a change by identity.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, NaN or no number, or asks for what is not supported.

    Examples
    --------
    >>> from fastnn.optimizers import Adam
    >>> adam = Adam(0.01, clipnorm=1.0)
    >>> adam.learning_rate = 0.005
    >>> adam.learning_rate, adam.clipnorm
    (0.005, 1.0)
    """

    engine_name: str
    weight_decay: Any = _Hyper(
        _decay, "The part of every weight, times the learning rate, that a step takes off it first."
    )
    clipnorm: Any = _Hyper(_limit, "The largest norm of the gradient of a kernel or bias.")
    clipvalue: Any = _Hyper(_limit, "The largest size of a number of a gradient.")
    global_clipnorm: Any = _Hyper(_limit, "The largest norm of all gradients together.")
    use_ema: Any = _Hyper(as_bool, "Whether a moving average of the weights is kept.")
    ema_momentum: Any = _Hyper(_part, "How much of the average is kept.")
    ema_overwrite_frequency: Any = _Hyper(_count(1), "Updates between two overwritings of weights.")
    gradient_accumulation_steps: Any = _Hyper(_count(2), "Steps an update takes the mean of.")

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        refuse_methods(
            cls,
            ("build", "update_step", "apply", "apply_gradients"),
            "the engine does the steps; one of your own changes the weights with set_weights",
        )

    @classmethod
    def _signature(cls) -> "Signature":
        """With the arguments that are shared in place of `**shared`."""
        own = super()._signature()
        *first, last = own.parameters.values()
        if last.name != "shared":
            return own
        base = Optimizer._signature().parameters
        return own.replace(parameters=[*first, *(base[name] for name in Shared.__annotations__)])

    def __init__(
        self,
        hyper: Mapping[str, Any],
        weight_decay: float | None = None,
        *,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        neutral = {"loss_scale_factor": (None,)}
        others = {"loss_scale_factor": loss_scale_factor, **unknown}
        check_neutral(type(self).__name__, others, neutral)
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        if sum(value is not None for value in clips.values()) > 1:
            raise ValueError(f"{', '.join(clips)}: expected one of them, got {clips}")
        shared = {
            "weight_decay": weight_decay,
            **clips,
            "use_ema": use_ema,
            "ema_momentum": ema_momentum,
            "ema_overwrite_frequency": ema_overwrite_frequency,
            "gradient_accumulation_steps": gradient_accumulation_steps,
        }
        self._begin(name)
        for key, value in {**hyper, **shared}.items():
            setattr(self, key, value)

    def _begin(self, name: str | None) -> None:
        """Be of no model and without numbers."""
        self.name = type(self).__name__.lower() if name is None else str(name)
        self._owner: weakref.ref[Any] | None = None
        self._hyper: dict[str, Any] = {}
        self._schedule: LearningRateSchedule | None = None

    @property
    def learning_rate(self) -> Any:
        """The step size: a number, of a schedule that of the next step.

        May be set to a number or a schedule; where there is a schedule, to another one only.
        """
        if self._schedule is not None:
            return float(self._schedule(self._steps))
        return self._hyper["learning_rate"]

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        rate = as_rate(value)
        if isinstance(rate, LearningRateSchedule):
            self._hyper = {"learning_rate": 0.0, **self._hyper}  # the place comes first
            self._schedule = rate
        elif self._schedule is not None:
            raise TypeError(
                f"learning_rate: expected another schedule in place of {self._schedule!r}, got "
                f"{value!r}"
            )
        else:
            self._hyper = {**self._hyper, "learning_rate": rate}

    @property
    def hyper(self) -> dict[str, Any]:
        """The numbers by name, those of the next step."""
        if self._schedule is not None:
            return {**self._hyper, "learning_rate": self.learning_rate}
        return self._hyper

    @property
    def numbers(self) -> dict[str, Any]:
        """The numbers by name that may be set; the learning rate only without a schedule."""
        scheduled = () if self._schedule is None else ("learning_rate",)
        return {key: value for key, value in self._hyper.items() if key not in scheduled}

    def rates(self, steps: int, first: int) -> np.ndarray | None:
        """The learning rates of steps from the first on; None where there is no schedule."""
        return None if self._schedule is None else self._schedule.rates(first, steps)

    @property
    def _model(self) -> Any:
        """The model that trains with it, or was compiled with it last; or None."""
        model = self._owner() if self._owner is not None else None
        return model if model is not None and model._optimizer is self else None

    @property
    def _steps(self) -> int:
        return 0 if self._model is None else int(self._model.iterations)

    @property
    def iterations(self) -> int:
        """Updates of the model that trains with it."""
        return self._steps // (self.gradient_accumulation_steps or 1)

    def finalize_variable_values(self, var_list: Any = None) -> None:
        """Let the model's weights become their moving averages, with `use_ema`, as `fit` does last.

        Parameters
        ----------
        var_list
            Taken for Keras's sake: it is the weights of the model that are trained.
        """
        if self.use_ema and self._steps:
            self._model.take_averages()

    def join(self, model: Any) -> None:
        """Become the optimizer of a model, unless `check_free` refuses it."""
        self.check_free(model)
        self._owner = weakref.ref(model)

    def trains_another(self, model: Any) -> bool:
        """Whether another model than this one has trained with it and has its numbers."""
        return self._model not in (None, model) and self._steps > 0

    def check_free(self, model: Any) -> None:
        """Refuse a model while another one exists that has trained with it and has its numbers."""
        if self.trains_another(model):
            other = self._model
            raise ValueError(
                f"optimizer: expected one that no other model trains with, got that of "
                f"{other.name!r}; make another, such as type(optimizer).from_config("
                f"optimizer.get_config())"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_owner": None}

    def get_config(self) -> dict[str, Any]:
        rate = self._hyper["learning_rate"] if self._schedule is None else self._schedule
        config = {"name": self.name, **self._hyper, "learning_rate": rate_config(rate)}
        return {**config, "loss_scale_factor": None}


class SGD(Optimizer):
    """Gradient descent, with momentum if asked for.

    Without momentum ``w -= learning_rate * g``; with momentum
    ``m = momentum * m - learning_rate * g`` and ``w += m``, or with `nesterov`
    ``w += momentum * m - learning_rate * g``.

    Parameters
    ----------
    learning_rate : float >= 0 or LearningRateSchedule
    momentum : float in [0, 1]
    nesterov : bool
    weight_decay : float >= 0, optional
        Before a step, every weight loses this part of it, times the learning rate.
    **shared
        As for every `Optimizer`: `clipnorm` ... `name`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, NaN or no number, or asks for what is not supported yet.

    Examples
    --------
    >>> from fastnn.optimizers import SGD
    >>> SGD(learning_rate=0.01).learning_rate
    0.01
    """

    engine_name = "sgd"
    momentum: Any = _Hyper(_part, "How much of the last step is kept.")
    nesterov: Any = _Hyper(as_bool, "Whether the step looks ahead.")

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        **shared: Unpack[Shared],
    ) -> None:
        hyper = {
            "learning_rate": learning_rate,
            "momentum": momentum,
            "nesterov": nesterov,
        }
        super().__init__(hyper, weight_decay, **shared)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), in the form Keras uses.

    ``m += (1 - beta_1) * (g - m)``, ``v += (1 - beta_2) * (g**2 - v)``,
    ``w -= learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)``.

    Parameters
    ----------
    learning_rate : float >= 0 or LearningRateSchedule
    beta_1, beta_2 : float in [0, 1)
    epsilon : float > 0
    amsgrad : bool
        Whether v in the last formula is the largest that it has been (Reddi et al. 2018).
    weight_decay : float >= 0, optional
        Before a step, every weight loses this part of it, times the learning rate.
    **shared
        As for every `Optimizer`: `clipnorm` ... `name`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, NaN or no number, or asks for what is not supported yet.

    Examples
    --------
    >>> from fastnn.optimizers import Adam
    >>> Adam(learning_rate=0.01).learning_rate
    0.01
    """

    beta_1: Any = _Hyper(_fraction, _BETA_1)
    beta_2: Any = _Hyper(_fraction, _BETA_2)
    epsilon: Any = _Hyper(_positive, _EPSILON)
    amsgrad: Any = _Hyper(as_bool, "Whether the largest mean of g^2 so far is used.")

    @property
    def engine_name(self) -> str:  # type: ignore[override]
        return "amsgrad" if self.amsgrad else "adam"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        **shared: Unpack[Shared],
    ) -> None:
        hyper = {
            "learning_rate": learning_rate,
            "beta_1": beta_1,
            "beta_2": beta_2,
            "epsilon": epsilon,
            "amsgrad": amsgrad,
        }
        super().__init__(hyper, weight_decay, **shared)


class AdamW(Adam):
    """Adam with weights that decay by themselves (Loshchilov & Hutter 2019).

    Parameters
    ----------
    learning_rate : float >= 0 or LearningRateSchedule
    weight_decay : float >= 0
        Before a step, every weight loses this part of it, times the learning rate.
    beta_1, beta_2, epsilon, amsgrad, **shared
        As for `Adam`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, NaN or no number, or asks for what is not supported yet.

    Examples
    --------
    >>> from fastnn.optimizers import AdamW
    >>> AdamW().weight_decay
    0.004
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **shared: Unpack[Shared],
    ) -> None:
        if weight_decay is None:
            raise ValueError("weight_decay: expected a number, got None; use Adam without it")
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, **shared)


class Nadam(Optimizer):
    """Adam with Nesterov's look ahead (Dozat 2016), in the form Keras uses.

    With Adam's m and v, ``u[t] = beta_1 * (1 - 0.96**t / 2)`` and ``p[t] = u[1] * ... * u[t]``:
    ``w -= learning_rate * n / (sqrt(v / (1 - beta_2**t)) + epsilon)``, where
    ``n = u[t + 1] * m / (1 - p[t + 1]) + (1 - u[t]) * g / (1 - p[t])``.

    Parameters
    ----------
    learning_rate : float >= 0 or LearningRateSchedule
    beta_1, beta_2 : float in [0, 1)
    epsilon : float > 0
    weight_decay : float >= 0, optional
        Before a step, every weight loses this part of it, times the learning rate.
    **shared
        As for every `Optimizer`: `clipnorm` ... `name`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, NaN or no number, or asks for what is not supported yet.

    Examples
    --------
    >>> from fastnn.optimizers import Nadam
    >>> Nadam(learning_rate=0.01).learning_rate
    0.01
    """

    engine_name = "nadam"
    beta_1: Any = _Hyper(_fraction, _BETA_1)
    beta_2: Any = _Hyper(_fraction, _BETA_2)
    epsilon: Any = _Hyper(_positive, _EPSILON)

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **shared: Unpack[Shared],
    ) -> None:
        hyper = {
            "learning_rate": learning_rate,
            "beta_1": beta_1,
            "beta_2": beta_2,
            "epsilon": epsilon,
        }
        super().__init__(hyper, weight_decay, **shared)


class Adamax(Optimizer):
    """Adam by the largest gradient instead of the mean square (Kingma & Ba 2015).

    ``m += (1 - beta_1) * (g - m)``, ``v = max(beta_2 * v, |g|)``,
    ``w -= learning_rate / (1 - beta_1**t) * m / (v + epsilon)``.

    Parameters
    ----------
    learning_rate : float >= 0 or LearningRateSchedule
    beta_1, beta_2 : float in [0, 1)
    epsilon : float > 0
    weight_decay : float >= 0, optional
        Before a step, every weight loses this part of it, times the learning rate.
    **shared
        As for every `Optimizer`: `clipnorm` ... `name`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, NaN or no number, or asks for what is not supported yet.

    Examples
    --------
    >>> from fastnn.optimizers import Adamax
    >>> Adamax(learning_rate=0.01).learning_rate
    0.01
    """

    engine_name = "adamax"
    beta_1: Any = _Hyper(_fraction, _BETA_1)
    beta_2: Any = _Hyper(_fraction, "How much of the largest |g| is kept.")
    epsilon: Any = _Hyper(_positive, _EPSILON)

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **shared: Unpack[Shared],
    ) -> None:
        hyper = {
            "learning_rate": learning_rate,
            "beta_1": beta_1,
            "beta_2": beta_2,
            "epsilon": epsilon,
        }
        super().__init__(hyper, weight_decay, **shared)


class RMSprop(Optimizer):
    """Steps over the root of the mean square of g (Tieleman & Hinton 2012), as in Keras.

    ``v += (1 - rho) * (g**2 - v)``, ``d = learning_rate * g / sqrt(v + epsilon)``, ``w -= d``; with
    momentum ``m = momentum * m + d`` and ``w -= m``. With `centered` v is the variance:
    ``u += (1 - rho) * (g - u)`` and ``max(v - u**2, 0)`` in place of v in d.

    Parameters
    ----------
    learning_rate : float >= 0 or LearningRateSchedule
    rho : float in [0, 1)
    momentum : float in [0, 1]
    epsilon : float > 0
    centered : bool
    weight_decay : float >= 0, optional
        Before a step, every weight loses this part of it, times the learning rate.
    **shared
        As for every `Optimizer`: `clipnorm` ... `name`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, NaN or no number, or asks for what is not supported yet.

    Examples
    --------
    >>> from fastnn.optimizers import RMSprop
    >>> RMSprop(learning_rate=0.01).learning_rate
    0.01
    """

    engine_name = "rmsprop"
    rho: Any = _Hyper(_fraction, _BETA_2)
    momentum: Any = _Hyper(_part, "How much of the last step is kept.")
    epsilon: Any = _Hyper(_positive, _EPSILON)
    centered: Any = _Hyper(as_bool, "Whether the mean of g is taken off.")

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        **shared: Unpack[Shared],
    ) -> None:
        hyper = {
            "learning_rate": learning_rate,
            "rho": rho,
            "momentum": momentum,
            "epsilon": epsilon,
            "centered": centered,
        }
        super().__init__(hyper, weight_decay, **shared)


class Adagrad(Optimizer):
    """Steps over the root of the sum of all g^2 (Duchi et al. 2011).

    ``v += g**2``, ``w -= learning_rate * g / sqrt(v + epsilon)``.

    Parameters
    ----------
    learning_rate : float >= 0 or LearningRateSchedule
    initial_accumulator_value : float >= 0
        What v begins with.
    epsilon : float > 0
    weight_decay : float >= 0, optional
        Before a step, every weight loses this part of it, times the learning rate.
    **shared
        As for every `Optimizer`: `clipnorm` ... `name`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, NaN or no number, or asks for what is not supported yet.

    Examples
    --------
    >>> from fastnn.optimizers import Adagrad
    >>> Adagrad(learning_rate=0.01).learning_rate
    0.01
    """

    engine_name = "adagrad"
    initial_accumulator_value: Any = _Hyper(
        lambda value, name: as_number(value, name, 0), "What the sums begin with."
    )
    epsilon: Any = _Hyper(_positive, _EPSILON)

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **shared: Unpack[Shared],
    ) -> None:
        hyper = {
            "learning_rate": learning_rate,
            "initial_accumulator_value": initial_accumulator_value,
            "epsilon": epsilon,
        }
        super().__init__(hyper, weight_decay, **shared)


class Lion(Optimizer):
    """Steps of one size in every weight, by the sign of a mean (Chen et al. 2023).

    ``w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g)``, then
    ``m = beta_2 * m + (1 - beta_2) * g``.

    Parameters
    ----------
    learning_rate : float >= 0 or LearningRateSchedule
    beta_1, beta_2 : float in [0, 1)
    weight_decay : float >= 0, optional
        Before a step, every weight loses this part of it, times the learning rate.
    **shared
        As for every `Optimizer`: `clipnorm` ... `name`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, NaN or no number, or asks for what is not supported yet.

    Examples
    --------
    >>> from fastnn.optimizers import Lion
    >>> Lion(learning_rate=0.01).learning_rate
    0.01
    """

    engine_name = "lion"
    beta_1: Any = _Hyper(_fraction, _BETA_1)
    beta_2: Any = _Hyper(_fraction, "How much of the mean stays for the next step.")

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float | None = None,
        **shared: Unpack[Shared],
    ) -> None:
        hyper = {
            "learning_rate": learning_rate,
            "beta_1": beta_1,
            "beta_2": beta_2,
        }
        super().__init__(hyper, weight_decay, **shared)
