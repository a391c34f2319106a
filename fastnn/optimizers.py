"""Optimizers. An object here says which and with what numbers; the engine does the steps and
keeps the slots (momentum, m, v) beside the weights."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any

from fastnn._data import as_bool, as_number, check_neutral
from fastnn._registry import Configurable, resolve

# Keras's arguments that fastnn does not support yet, at the values that ask for nothing
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "weight_decay": (None,),
    "clipnorm": (None,),
    "clipvalue": (None,),
    "global_clipnorm": (None,),
    "use_ema": (False,),
    "ema_momentum": (0.99,),
    "ema_overwrite_frequency": (None,),
    "loss_scale_factor": (None,),
    "gradient_accumulation_steps": (None,),
}


class _Hyper:
    """A number of an optimizer: checked when it is set, and used from the next step on."""

    def __init__(self, check: Callable[[Any, str], Any], doc: str) -> None:
        self.check, self.__doc__ = check, doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, optimizer: Any, owner: type | None = None) -> Any:
        return self if optimizer is None else optimizer.hyper[self.name]

    def __set__(self, optimizer: Any, value: Any) -> None:
        optimizer._hyper = {**optimizer.hyper, self.name: self.check(value, self.name)}


def _fraction(value: Any, name: str) -> float:
    return as_number(value, name, 0, 1)


class Optimizer(Configurable):
    """Base of all optimizers.

    `engine_name` is the engine's word for it. `hyper` are its numbers, a new dict after every
    change, so that the trainer sees a change by identity. They may be changed at any time, also
    during `fit`; but SGD's momentum from or to 0 only before `compile`.
    """

    engine_name: str
    learning_rate: Any = _Hyper(lambda value, name: as_number(value, name, 0), "The step size.")
    _neutral: Mapping[str, tuple[Any, ...]] = _NEUTRAL

    def __init__(
        self, name: str | None, hyper: Mapping[str, Any], keras: Mapping[str, Any]
    ) -> None:
        check_neutral(type(self).__name__, keras, self._neutral)
        self.name = self.engine_name if name is None else str(name)
        self._owner: weakref.ref[Any] | None = None
        self._hyper: dict[str, Any] = {}
        for key, value in hyper.items():
            setattr(self, key, value)

    @property
    def hyper(self) -> dict[str, Any]:
        """The numbers by name."""
        return self._hyper

    @property
    def iterations(self) -> int:
        """Steps taken by the model that was compiled with it, the last one if several were."""
        model = self._owner() if self._owner is not None else None
        return 0 if model is None else int(model.iterations)

    def join(self, model: Any) -> None:
        """Become the optimizer of a model."""
        self._owner = weakref.ref(model)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_owner": None}

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, **self.hyper}


class SGD(Optimizer):
    """Gradient descent, with momentum if asked for.

    Without momentum ``w -= learning_rate * g``; with momentum
    ``m = momentum * m - learning_rate * g`` and ``w += m``, or with `nesterov`
    ``w += momentum * m - learning_rate * g``.

    Parameters
    ----------
    learning_rate : float >= 0
    momentum : float in [0, 1]
    nesterov : bool
    **keras
        Keras's other arguments, at the values that ask for nothing.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, NaN or no number, or asks for what is not supported yet.
    """

    engine_name = "sgd"
    momentum: Any = _Hyper(
        lambda value, name: as_number(value, name, 0, 1, bounds="[]"),
        "How much of the last step is kept.",
    )
    nesterov: Any = _Hyper(as_bool, "Whether the step looks ahead.")

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        hyper = {"learning_rate": learning_rate, "momentum": momentum, "nesterov": nesterov}
        super().__init__(name, hyper, keras)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), in the form Keras uses.

    ``m += (1 - beta_1) * (g - m)``, ``v += (1 - beta_2) * (g**2 - v)``,
    ``w -= learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)``.

    Parameters
    ----------
    learning_rate : float >= 0
    beta_1, beta_2 : float in [0, 1)
    epsilon : float > 0
    **keras
        Keras's other arguments, at the values that ask for nothing.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, NaN or no number, or asks for what is not supported yet.
    """

    engine_name = "adam"
    beta_1: Any = _Hyper(_fraction, "How much of the mean of g is kept.")
    beta_2: Any = _Hyper(_fraction, "How much of the mean of g^2 is kept.")
    epsilon: Any = _Hyper(
        lambda value, name: as_number(value, name, 0, bounds="()"),
        "Keeps the division away from 0.",
    )
    _neutral: Mapping[str, tuple[Any, ...]] = {**_NEUTRAL, "amsgrad": (False,)}

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        hyper = {
            "learning_rate": learning_rate,
            "beta_1": beta_1,
            "beta_2": beta_2,
            "epsilon": epsilon,
        }
        super().__init__(name, hyper, keras)


_KNOWN: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "SGD": SGD, "Adam": Adam}


def get(identifier: Any) -> Optimizer:
    """The optimizer that `identifier` (instance, class, name or serialized dict) stands for.

    Raises
    ------
    ValueError
        If the name is unknown; the message lists what exists.
    TypeError
        If it is none of these.
    """
    if isinstance(identifier, str) and identifier.lower() in _KNOWN:
        identifier = identifier.lower()  # as Keras takes optimizers' names, and only theirs
    return resolve(identifier, Optimizer, _KNOWN, "optimizer")
