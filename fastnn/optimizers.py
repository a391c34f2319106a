"""Optimizers. An object here says which and with what numbers; the engine does the steps and
keeps the slots (momentum, m, v) beside the weights."""

from typing import Any

from fastnn._data import as_bool, as_number
from fastnn._registry import Configurable, resolve


class Optimizer(Configurable):
    """Base of all optimizers.

    `engine_name` is the engine's word for it. `hyper` are its numbers, a new dict after every
    change, so that the trainer sees a change by identity.
    """

    engine_name: str

    def __init__(self, learning_rate: float, name: str | None, hyper: dict[str, Any]) -> None:
        self.name = self.engine_name if name is None else str(name)
        self.hyper = {"learning_rate": _learning_rate(learning_rate), **hyper}

    @property
    def learning_rate(self) -> float:
        """The step size. Setting it takes effect at the next step, also during `fit`."""
        return float(self.hyper["learning_rate"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.hyper = {**self.hyper, "learning_rate": _learning_rate(value)}

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, **self.hyper}


def _learning_rate(value: Any) -> float:
    return as_number(value, "learning_rate", 0)


def _hyper(name: str, doc: str) -> Any:
    """A read-only view of one number."""
    return property(lambda self: self.hyper[name], doc=doc)


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

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, NaN or no number.
    """

    engine_name = "sgd"
    momentum: float = _hyper("momentum", "How much of the last step is kept.")
    nesterov: bool = _hyper("nesterov", "Whether the step looks ahead.")

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        hyper = {
            "momentum": as_number(momentum, "momentum", 0, 1, bounds="[]"),
            "nesterov": as_bool(nesterov, "nesterov"),
        }
        super().__init__(learning_rate, name, hyper)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), in the form Keras uses.

    ``m += (1 - beta_1) * (g - m)``, ``v += (1 - beta_2) * (g**2 - v)``,
    ``w -= learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)``.

    Parameters
    ----------
    learning_rate : float >= 0
    beta_1, beta_2 : float in [0, 1)
    epsilon : float > 0

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, NaN or no number.
    """

    engine_name = "adam"
    beta_1: float = _hyper("beta_1", "How much of the mean of g is kept.")
    beta_2: float = _hyper("beta_2", "How much of the mean of g^2 is kept.")
    epsilon: float = _hyper("epsilon", "Keeps the division away from 0.")

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        name: str | None = None,
    ) -> None:
        hyper = {
            "beta_1": as_number(beta_1, "beta_1", 0, 1),
            "beta_2": as_number(beta_2, "beta_2", 0, 1),
            "epsilon": as_number(epsilon, "epsilon", 0, bounds="()"),
        }
        super().__init__(learning_rate, name, hyper)


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
    return resolve(identifier, Optimizer, _KNOWN, "optimizer")
