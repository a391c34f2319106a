"""What fastnn and Keras are asked in the same words."""

from __future__ import annotations

from typing import Any

from tasks import HYPER, Training
from workloads import Array, Workload

LOSSES = {"xent": "sparse_categorical_crossentropy", "mse": "mse"}
OPTIMIZERS = {"adam": "Adam", "sgd": "SGD"}


def sequential(library: Any, workload: Workload) -> Any:
    """The workload's network, of `fastnn` or `keras`."""
    layers = [library.layers.Dense(units, activation) for units, activation in workload.layers]
    return library.Sequential([library.Input((workload.inputs,)), *layers])


class Fit:
    """`Sequential.fit` in the data's order.

    Parameters
    ----------
    library : module
        `fastnn` or `keras`.
    task : Training
    """

    def __init__(self, library: Any, task: Training) -> None:
        self.library = library
        self.task = task
        self.model = sequential(library, task.workload)
        self.x, self.y = task.data()

    def compile(self, **arguments: Any) -> None:
        work = self.task.workload
        optimizer = getattr(self.library.optimizers, OPTIMIZERS[work.optimizer])
        self.model.compile(
            optimizer=optimizer(**HYPER[work.optimizer]), loss=LOSSES[work.loss], **arguments
        )

    def run(self) -> None:
        self.model.fit(
            self.x,
            self.y,
            batch_size=self.task.workload.batch_size,
            epochs=self.task.epochs,
            shuffle=False,
            verbose=0,
        )

    def weights(self) -> list[Array]:
        return list(self.model.get_weights())
