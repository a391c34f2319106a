"""What fastnn and Keras are asked in the same words."""

from __future__ import annotations

from typing import Any

from tasks import Training

from fastnn.cli.workloads import HYPER, Array, Workload

LOSSES = {"xent": "sparse_categorical_crossentropy", "mse": "mse"}
OPTIMIZERS = {"adam": "Adam", "sgd": "SGD"}


def sequential(api: Any, workload: Workload, hidden: str = "float32", last: str = "float32") -> Any:
    """The workload's network, of `fastnn` or `keras`, with the dtypes of its layers."""
    dtypes = [hidden] * (len(workload.layers) - 1) + [last]
    layers = [
        api.layers.Dense(units, activation, dtype=dtype)
        for (units, activation), dtype in zip(workload.layers, dtypes, strict=True)
    ]
    return api.Sequential([api.Input((workload.inputs,)), *layers])


class Fit:
    """`Sequential.fit` in the data's order.

    Parameters
    ----------
    api : module
        `fastnn` or `keras`.
    task : Training
    hidden, last : str
        Dtypes of the layers.
    """

    def __init__(
        self, api: Any, task: Training, hidden: str = "float32", last: str = "float32"
    ) -> None:
        self.api = api
        self.task = task
        self.model = sequential(api, task.workload, hidden, last)
        self.x, self.y = task.data()
        self.arguments: dict[str, Any] = {
            "x": self.x,
            "y": self.y,
            "batch_size": task.workload.batch_size,
        }

    def compile(self, **arguments: Any) -> None:
        work = self.task.workload
        optimizer = getattr(self.api.optimizers, OPTIMIZERS[work.optimizer])
        self.model.compile(
            optimizer=optimizer(**HYPER[work.optimizer]), loss=LOSSES[work.loss], **arguments
        )

    def run(self) -> None:
        self.model.fit(**self.arguments, epochs=self.task.epochs, shuffle=False, verbose=0)

    def weights(self) -> list[Array]:
        return list(self.model.get_weights())
