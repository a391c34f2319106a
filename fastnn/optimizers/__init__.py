"""Optimizers, under Keras's names; learning rates that change by the step are in `.schedules`."""

from fastnn.optimizers import schedules
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
    get,
)

__all__ = [
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
