"""What weights are brought to after every step, under Keras's names."""

from typing import Any

import numpy as np

from fastnn._data import as_number
from fastnn._registry import Configurable, resolve

EPSILON = 1e-7  # keeps the division by a norm away from 0


class Constraint(Configurable):
    """Base of all constraints. Calling one with weights returns them as it wants them.

    Examples
    --------
    >>> from fastnn.constraints import NonNeg
    >>> NonNeg()([-1.0, 2.0])
    array([0., 2.])
    """

    def bound(self) -> tuple[Any, ...]:
        """The engine's word for it, and its numbers."""
        raise NotImplementedError

    def __call__(self, w: Any) -> np.ndarray:
        """The weights as they are after a step; norms are along the first axis."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {}


class _OfNorm(Constraint):
    """From a norm to ``rate * clip(norm, low, high) + (1 - rate) * norm``."""

    _low: float
    _high: float
    _rate: float = 1.0

    def bound(self) -> tuple[Any, ...]:
        return ("norm", self._low, self._high, self._rate)

    def __call__(self, w: Any) -> np.ndarray:
        w = np.asarray(w)
        norms = np.sqrt((w * w).sum(axis=0, keepdims=True))
        desired = self._rate * np.clip(norms, self._low, self._high) + (1 - self._rate) * norms
        scaled: np.ndarray = w * (desired / (EPSILON + norms))
        return scaled


def _axis(value: Any) -> int:
    """The only axis that there is."""
    if value not in (0, [0], (0,)) or isinstance(value, bool):
        raise ValueError(f"axis: expected 0, the inputs of each unit, got {value!r}")
    return 0


class MaxNorm(_OfNorm):
    """The weights of each unit are made no longer than `max_value`.

    Parameters
    ----------
    max_value : float >= 0
    axis : 0
        That of the inputs; Keras's other values are not supported. A bias is one vector.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> from fastnn.constraints import MaxNorm
    >>> MaxNorm(1.0)([[3.0], [4.0]]).round(3).tolist()
    [[0.6], [0.8]]
    """

    def __init__(self, max_value: float = 2, axis: int = 0) -> None:
        self.max_value = as_number(max_value, "max_value", 0)
        self.axis = _axis(axis)
        self._low, self._high = 0.0, self.max_value

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Weights below 0 become 0.

    Examples
    --------
    >>> from fastnn.constraints import NonNeg
    >>> NonNeg()([-1.0, 2.0]).tolist()
    [0.0, 2.0]
    """

    def bound(self) -> tuple[Any, ...]:
        return ("non_neg",)

    def __call__(self, w: Any) -> np.ndarray:
        positive: np.ndarray = np.maximum(w, 0)
        return positive


class UnitNorm(_OfNorm):
    """The weights of each unit get the norm 1.

    Parameters
    ----------
    axis : 0
        That of the inputs; Keras's other values are not supported. A bias is one vector.

    Raises
    ------
    ValueError
        If it is another.

    Examples
    --------
    >>> from fastnn.constraints import UnitNorm
    >>> UnitNorm()([[3.0], [4.0]]).round(3).tolist()
    [[0.6], [0.8]]
    """

    def __init__(self, axis: int = 0) -> None:
        self.axis = _axis(axis)
        self._low = self._high = 1.0

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MinMaxNorm(_OfNorm):
    """The weights of each unit are brought to a norm between two bounds.

    Parameters
    ----------
    min_value, max_value : float >= 0
    rate : float in [0, 1]
        How much of the way to the bound a step goes.
    axis : 0
        That of the inputs; Keras's other values are not supported. A bias is one vector.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these, or the bounds are the wrong way round.

    Examples
    --------
    >>> from fastnn.constraints import MinMaxNorm
    >>> MinMaxNorm(1.0, 3.0, rate=0.5)([[3.0], [4.0]]).round(3).tolist()
    [[2.4], [3.2]]
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: int = 0
    ) -> None:
        self.min_value = as_number(min_value, "min_value", 0)
        self.max_value = as_number(max_value, "max_value", 0)
        if self.min_value > self.max_value:
            raise ValueError(
                f"min_value: expected at most max_value, {self.max_value}, got {self.min_value}"
            )
        self.rate = as_number(rate, "rate", 0, 1, bounds="[]")
        self.axis = _axis(axis)
        self._low, self._high, self._rate = self.min_value, self.max_value, self.rate

    def get_config(self) -> dict[str, Any]:
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm  # as in Keras

_CLASSES = (MaxNorm, NonNeg, UnitNorm, MinMaxNorm)
_KNOWN: dict[str, type[Constraint]] = {cls.__name__: cls for cls in _CLASSES}
_KNOWN |= {
    "max_norm": MaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
    "min_max_norm": MinMaxNorm,
}


def get(identifier: Any, name: str = "constraint") -> Constraint | None:
    """The constraint that `identifier` (instance, class, name, serialized dict, None) stands for.

    Parameters
    ----------
    identifier : Constraint, class, str, dict or None
    name : str
        What the message of an error calls it.

    Returns
    -------
    Constraint or None

    Raises
    ------
    ValueError
        If the name is unknown; the message lists what exists.
    TypeError
        If it is none of these, such as a function or a constraint of one's own.

    Examples
    --------
    >>> from fastnn import constraints
    >>> constraints.get("max_norm")
    MaxNorm(max_value=2.0, axis=0)
    """
    if identifier is None:
        return None
    found = resolve(identifier, Constraint, _KNOWN, name)
    if not isinstance(found, _CLASSES):
        names = ", ".join(cls.__name__ for cls in _CLASSES)
        raise TypeError(
            f"{name}: expected one of {names}, which compiled code does, got {found!r}; others go "
            f"into a callback that sets the weights"
        )
    return found
