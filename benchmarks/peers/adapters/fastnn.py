"""fastnn, through its public API."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tasks import Elementwise, Matmul, Prediction, Training

import fastnn
from adapters import Adapter, Function, UnsupportedError
from adapters.keras_api import Fit, sequential
from fastnn import kernels


class Peer(Adapter):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        fastnn.set_num_threads(threads)

    def versions(self) -> dict[str, str]:
        return {"fastnn": fastnn.__version__, "build": build()}

    def training(self, task: Training) -> FreshFit:
        if task.dtype == "float32":
            return FreshFit(fastnn, task)
        return supported(partial(FreshFit, fastnn, task, task.dtype, task.dtype))

    def matmul(self, task: Matmul) -> Function:
        a, b = task.operands()
        transpose_a, transpose_b = task.transposes
        multiply = partial(kernels.matmul, transpose_a=transpose_a, transpose_b=transpose_b)
        if task.dtype == "bfloat16":  # of float32 arrays, into float32
            multiply = partial(multiply, precision="bfloat16")
            supported(partial(multiply, a, b))
        return partial(multiply, a, b, out=np.empty(task.shape[:2], a.dtype))

    def elementwise(self, task: Elementwise) -> Function:
        function = getattr(kernels, task.function, None)
        if function is None:
            raise UnsupportedError(f"no function {task.function}")
        x = task.operand()
        out = np.empty_like(x)
        return partial(function, x, out=out)

    def prediction(self, task: Prediction) -> Function:
        model, x = sequential(fastnn, task.workload), task.operand()
        model.set_weights(task.workload.weights())
        if task.rows == 1:
            return partial(model.predict_on_batch, x)
        return lambda: model.predict(x, verbose=0)


def supported(function: Callable[[], Any]) -> Any:
    """What it returns; a fastnn that refuses the arguments has no such work."""
    try:
        return function()
    except (TypeError, ValueError) as error:
        raise UnsupportedError(str(error)) from None


def build() -> str:
    """Tells one build of the package from another."""
    digest = hashlib.sha256()
    files = Path(fastnn.__file__).parent.rglob("*")
    for path in sorted(path for path in files if path.suffix in (".py", ".so")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


class FreshFit(Fit):
    """Compiling anew begins the optimizer anew."""

    def reset(self) -> None:
        self.model.set_weights(self.task.workload.weights())
        self.compile()
