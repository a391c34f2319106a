"""NumPy with its BLAS: fastnn.reference for networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openblas
from tasks import Elementwise, Matmul, Prediction, Training, network

from adapters import Adapter, Function, UnsupportedError
from fastnn.cli.workloads import HYPER, Array, get_weights, put_weights, train_epoch


def sigmoid(x: Array, out: Array) -> Array:
    """1 / (1 + exp(-x)), without temporary arrays."""
    np.negative(x, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    return np.reciprocal(out, out=out)


def relu(x: Array, out: Array) -> Array:
    return np.maximum(x, 0, out=out)


def copy(x: Array, out: Array) -> Array:
    np.copyto(out, x)
    return out


FUNCTIONS: dict[str, Callable[[Array, Array], Any]] = {
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "exp": np.exp,
    "relu": relu,
    "copy": copy,
}


class Peer(Adapter):
    def versions(self) -> dict[str, str]:
        return {"numpy": f"{np.__version__} ({openblas.description()})"}

    def training(self, task: Training) -> Loop:
        if task.dtype != "float32":
            raise UnsupportedError(f"no {task.dtype}")
        return Loop(task)

    def matmul(self, task: Matmul) -> Function:
        if task.dtype == "bfloat16":
            raise UnsupportedError("no bfloat16")
        a, b = task.operands()
        transpose_a, transpose_b = task.transposes
        left, right = a.T if transpose_a else a, b.T if transpose_b else b
        out = np.empty(task.shape[:2], task.dtype)
        return lambda: np.matmul(left, right, out=out)

    def elementwise(self, task: Elementwise) -> Function:
        x, function = task.operand(), FUNCTIONS[task.function]
        out = np.empty_like(x)
        return lambda: function(x, out)

    def prediction(self, task: Prediction) -> Function:
        net, x = network(task.workload, task.workload.weights()), task.operand()

        def predict() -> Array:
            out = np.empty((len(x), net.output_size), np.float32)
            net.predict(x, out)
            return out

        return predict


class Loop:
    """The reference network's own loop over the batches."""

    def __init__(self, task: Training) -> None:
        self.task = task
        self.first = task.workload.weights()
        self.net = network(task.workload, self.first)
        self.x, self.y = task.data()
        self.index = np.arange(len(self.x))

    def reset(self) -> None:
        work = self.task.workload
        put_weights(self.net, self.first)
        self.net.compile(work.loss, work.optimizer, [], HYPER[work.optimizer])

    def run(self) -> None:
        batch_size = self.task.workload.batch_size
        for _ in range(self.task.epochs):
            train_epoch(self.net, self.x, self.y, self.index, batch_size, None)

    def weights(self) -> list[Array]:
        return get_weights(self.net)
