"""fastnn, through its public API."""

from __future__ import annotations

from typing import Any

import numpy as np
from tasks import HYPER, Elementwise, Matmul, Prediction, Training
from workloads import Array, Workload

import fastnn
from adapters import Adapter, Function, UnsupportedError
from fastnn import kernels

LOSSES = {"xent": "sparse_categorical_crossentropy", "mse": "mse"}
OPTIMIZERS: dict[str, Any] = {"adam": fastnn.optimizers.Adam, "sgd": fastnn.optimizers.SGD}
DTYPES = ("float32", "float64")  # of kernels.matmul


class Peer(Adapter):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        fastnn.set_num_threads(threads)

    def versions(self) -> dict[str, str]:
        return {"fastnn": fastnn.__version__}

    def training(self, task: Training) -> Fit:
        return Fit(task)

    def matmul(self, task: Matmul) -> Function:
        if task.dtype not in DTYPES:
            raise UnsupportedError(f"no {task.dtype} product")
        a, b = task.operands()
        transpose_a, transpose_b = task.transposes
        out = np.empty(task.shape[:2], task.dtype)
        return lambda: kernels.matmul(
            a, b, transpose_a=transpose_a, transpose_b=transpose_b, out=out
        )

    def elementwise(self, task: Elementwise) -> Function:
        function = getattr(kernels, task.function, None)
        if function is None:
            raise UnsupportedError(f"no function {task.function}")
        x = task.operand()
        out = np.empty_like(x)
        return lambda: function(x, out=out)

    def prediction(self, task: Prediction) -> Function:
        model, x = sequential(task.workload), task.operand()
        model.set_weights(task.workload.weights())
        if task.rows == 1:
            return lambda: model.predict_on_batch(x)
        return lambda: model.predict(x, verbose=0)


class Fit:
    """`Sequential.fit` in the data's order."""

    def __init__(self, task: Training) -> None:
        self.task = task
        self.model = sequential(task.workload)
        self.x, self.y = task.data()

    def reset(self) -> None:
        work = self.task.workload
        self.model.set_weights(work.weights())
        optimizer = OPTIMIZERS[work.optimizer](**HYPER[work.optimizer])
        self.model.compile(optimizer=optimizer, loss=LOSSES[work.loss])

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


def sequential(workload: Workload) -> Any:
    model = fastnn.Sequential([fastnn.Input((workload.inputs,))])
    for units, activation in workload.layers:
        model.add(fastnn.layers.Dense(units, activation=activation))
    return model
