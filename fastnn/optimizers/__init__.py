"""Optimizers, under Keras's names; learning rates that change by the step are in `.schedules`."""

from typing import Any

from fastnn._registry import resolve
from fastnn.optimizers import schedules
from fastnn.optimizers._lbfgs import LBFGS
from fastnn.optimizers._optimizers import (
    SGD,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Nadam,
    Optimizer,
    RMSprop,
)

__all__ = [
    "LBFGS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "get",
    "schedules",
]

_CLASSES = (SGD, Adam, AdamW, Nadam, Adamax, RMSprop, Adagrad, Lion, LBFGS)
_KNOWN: dict[str, type[Optimizer]] = {cls.__name__.lower(): cls for cls in _CLASSES}
_KNOWN |= {cls.__name__: cls for cls in _CLASSES}


def get(identifier: Any) -> Optimizer:
    """The optimizer that `identifier` (instance, class, name or serialized dict) stands for.

    Raises
    ------
    ValueError
        If the name is unknown; the message lists what exists.
    TypeError
        If it is none of these.

    Examples
    --------
    >>> from fastnn import optimizers
    >>> optimizers.get("sgd").learning_rate
    0.01
    """
    if isinstance(identifier, str) and identifier.lower() in _KNOWN:
        identifier = identifier.lower()  # as Keras takes optimizers' names, and only theirs
    return resolve(identifier, Optimizer, _KNOWN, "optimizer")
