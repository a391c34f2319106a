"""fastnn, through its public API."""

from __future__ import annotations

import numpy as np
from tasks import Elementwise, Matmul, Prediction, Training

import fastnn
from adapters import Adapter, Function, UnsupportedError
from adapters.keras_api import Fit, sequential
from fastnn import kernels

DTYPES = ("float32", "float64")  # of kernels.matmul


class Peer(Adapter):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        fastnn.set_num_threads(threads)

    def versions(self) -> dict[str, str]:
        return {"fastnn": fastnn.__version__}

    def training(self, task: Training) -> FreshFit:
        return FreshFit(fastnn, task)

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
        model, x = sequential(fastnn, task.workload), task.operand()
        model.set_weights(task.workload.weights())
        if task.rows == 1:
            return lambda: model.predict_on_batch(x)
        return lambda: model.predict(x, verbose=0)


class FreshFit(Fit):
    """Compiling anew begins the optimizer anew."""

    def reset(self) -> None:
        self.model.set_weights(self.task.workload.weights())
        self.compile()
