"""Penalties on weights that the loss is increased by, under Keras's names."""

from typing import Any

from fastnn._data import as_number
from fastnn._registry import Configurable, refuse_methods, resolve


class Regularizer(Configurable):
    """Base of all regularizers: ``l1 * sum(|w|) + l2 * sum(w**2)``.

    Examples
    --------
    >>> from fastnn.regularizers import L2
    >>> L2(0.5).l1, L2(0.5).l2
    (0.0, 0.5)
    """

    l1: float = 0.0
    l2: float = 0.0

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        refuse_methods(cls, ("__call__",), "compiled code computes penalties, those of L1 and L2")


class L1L2(Regularizer):
    """``l1 * sum(|w|) + l2 * sum(w**2)``.

    Parameters
    ----------
    l1, l2 : float >= 0

    Raises
    ------
    ValueError, TypeError
        If they are none.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.regularizers import L1L2
    >>> layer = Dense(8, kernel_regularizer=L1L2(l1=1e-5, l2=1e-4))
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = as_number(0.0 if l1 is None else l1, "l1", 0)
        self.l2 = as_number(0.0 if l2 is None else l2, "l2", 0)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """``l1 * sum(|w|)``.

    Parameters
    ----------
    l1 : float >= 0

    Raises
    ------
    ValueError, TypeError
        If it is none.

    Examples
    --------
    >>> from fastnn.regularizers import L1
    >>> L1().l1
    0.01
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = as_number(0.01 if l1 is None else l1, "l1", 0)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(Regularizer):
    """``l2 * sum(w**2)``.

    Parameters
    ----------
    l2 : float >= 0

    Raises
    ------
    ValueError, TypeError
        If it is none.

    Examples
    --------
    >>> from fastnn.regularizers import L2
    >>> L2(0.001).l2
    0.001
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = as_number(0.01 if l2 is None else l2, "l2", 0)

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


l1, l2, l1_l2 = L1, L2, L1L2  # as in Keras

_CLASSES = (L1, L2, L1L2)
_KNOWN: dict[str, type[Regularizer]] = {cls.__name__: cls for cls in _CLASSES}
_KNOWN |= {"l1": L1, "l2": L2, "l1_l2": L1L2, "l1l2": L1L2}


def get(identifier: Any, name: str = "regularizer") -> Regularizer | None:
    """The regularizer that `identifier` (instance, class, name, serialized dict, None) stands for.

    Raises
    ------
    ValueError
        If the name is unknown; the message lists what exists.
    TypeError
        If it is none of these, such as a function.

    Examples
    --------
    >>> from fastnn import regularizers
    >>> regularizers.get("l2").l2
    0.01
    """
    if identifier is None:
        return None
    return resolve(identifier, Regularizer, _KNOWN, name)
