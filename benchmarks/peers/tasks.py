"""What the peers are measured on: training, matrix products, elementwise functions, prediction.

Every worker makes the data itself, from the same seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from workloads import (
    RELU_64_32_10,
    Array,
    Workload,
    handwritten_digits,
    matmul_operands,
    put_weights,
)

from fastnn import reference

ADAM = {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
SGD = {"learning_rate": 0.1, "momentum": 0.0, "nesterov": False}
HYPER: dict[str, dict[str, Any]] = {"adam": ADAM, "sgd": SGD}

CHECKED_ROWS = 8  # of a matrix product, against NumPy in float64


class WrongResultError(Exception):
    """A peer's result is not that of the work it was given."""


@dataclass(frozen=True)
class Training:
    """Epochs from the first weights, over the first `steps` batches of a shuffled data set."""

    workload: Workload
    steps: int
    epochs: int = 1
    kind = "training"
    dtype = "float32"

    @property
    def name(self) -> str:
        return self.workload.name

    @property
    def title(self) -> str:
        return f"{self.workload.title}, {self.workload.optimizer}"

    @property
    def amounts(self) -> dict[str, float]:
        """FLOPs of a step's matrix products: forward, dW, and dX past the first layer."""
        work = self.workload
        return {"flops": work.flops / work.rows * work.batch_size}

    @property
    def units(self) -> int:
        """Steps of one call."""
        return self.steps * self.epochs

    def data(self) -> tuple[Array, Array]:
        """Rows in the order of training; only whole batches, which a scan needs."""
        x, y = self.workload.data()
        rows = self.workload.index()[: self.steps * self.workload.batch_size]
        return x[rows], y[rows]

    def loss(self, weights: list[Array], x: Array, y: Array) -> float:
        """The mean loss on the training rows, computed alike for every peer."""
        net = network(self.workload, weights)
        net.compile(self.workload.loss, None, [], {})
        _, total, _ = net.evaluate(x, y, None, np.arange(len(x)))
        return float(total) / len(x)


@dataclass(frozen=True)
class Matmul:
    """C (m, n) = A (m, k) B (k, n), with operands stored transposed where asked."""

    shape: tuple[int, int, int]
    dtype: str = "float32"
    form: str = "AB"  # or "A'B", "AB'", "A'B'"
    kind = "matmul"
    units = 1

    @property
    def name(self) -> str:
        return f"{self.dtype} {'x'.join(map(str, self.shape))} {self.form}"

    title = name

    @property
    def amounts(self) -> dict[str, float]:
        m, n, k = self.shape
        return {"flops": 2.0 * m * n * k}

    @property
    def transposes(self) -> tuple[bool, bool]:
        return "A'" in self.form, "B'" in self.form

    def operands(self) -> tuple[Array, Array]:
        """As stored; bfloat16 as the float32 values that a peer rounds."""
        a, b = matmul_operands(self.shape, *self.transposes)
        return (a.astype(np.float64), b.astype(np.float64)) if self.dtype == "float64" else (a, b)

    def check(self, result: Array) -> None:
        a, b = self.operands()
        transpose_a, transpose_b = self.transposes
        left, right = a.T if transpose_a else a, b.T if transpose_b else b
        expected = left[:CHECKED_ROWS].astype(np.float64) @ right
        eps = {"float32": 2.0**-23, "float64": 2.0**-52, "bfloat16": 2.0**-7}[self.dtype]
        same(result[:CHECKED_ROWS], expected, self.shape[2] * eps)


@dataclass(frozen=True)
class Elementwise:
    """A function of every element of a float32 array; "copy" tells the memory's bandwidth."""

    function: str
    size: int
    kind = "elementwise"
    dtype = "float32"
    units = 1

    @property
    def name(self) -> str:
        return f"{self.function} {self.size:.0e}".replace("+0", "")

    title = name

    @property
    def amounts(self) -> dict[str, float]:
        return {"elements": float(self.size), "bytes": 8.0 * self.size}

    def operand(self) -> Array:
        return np.random.default_rng(5).uniform(-6, 6, self.size).astype(np.float32)

    def check(self, result: Array) -> None:
        x = self.operand()
        expected = x if self.function == "copy" else getattr(reference, self.function)(x)
        same(result, expected, 1e-6 * float(np.abs(expected).max()))


@dataclass(frozen=True)
class Prediction:
    """Rows through a network with its first weights, NumPy array in, NumPy array out."""

    workload: Workload
    rows: int
    kind = "prediction"
    dtype = "float32"
    units = 1

    @property
    def name(self) -> str:
        return f"predict {self.workload.name} {self.rows}"

    @property
    def title(self) -> str:
        return f"{self.rows} row{'s' * (self.rows > 1)} through {self.workload.name}'s network"

    @property
    def amounts(self) -> dict[str, float]:
        return {"flops": 2.0 * self.rows * sum(w.size for w in self.workload.weights()[::2])}

    def operand(self) -> Array:
        return self.workload.data()[0][: self.rows]

    def check(self, result: Array) -> None:
        x = self.operand()
        expected = np.empty((self.rows, self.workload.layers[-1][0]), np.float32)
        network(self.workload, self.workload.weights()).predict(x, expected)
        same(result, expected, 1e-4)


Task = Training | Matmul | Elementwise | Prediction


def network(workload: Workload, weights: list[Array]) -> Any:
    """The plain-NumPy network that results are checked with."""
    net = workload.network(reference.Network)
    put_weights(net, weights)
    return net


def same(actual: Array, expected: Array, tolerance: float) -> None:
    actual = np.asarray(actual, np.float64)
    if actual.shape != expected.shape:
        raise WrongResultError(f"shape {actual.shape}, expected {expected.shape}")
    error = float(np.abs(actual - expected).max())
    if not error <= tolerance:
        raise WrongResultError(f"off by {error:.3g}, more than {tolerance:.3g}")


W2 = Workload("W2", 1797, 64, RELU_64_32_10, "xent", 32, source=handwritten_digits)
W3 = Workload("W3", 60000, 784, ((512, "relu"), (256, "relu"), (10, "softmax")), "xent", 128)

TRAINING = [
    Training(Workload("W1", 100, 10, RELU_64_32_10, "xent", 32), steps=3, epochs=30),
    Training(W2, steps=56, epochs=10),
    Training(W3, steps=128),
    Training(
        Workload("W4", 16384, 784, ((2048, "relu"), (2048, "relu"), (10, "softmax")), "xent", 512),
        steps=8,
    ),
    Training(
        Workload("W5", 300000, 30, ((256, "relu"), (256, "relu"), (1, "linear")), "mse", 1024),
        steps=96,
    ),
    Training(
        Workload("W6", 20000, 8, ((64, "tanh"), (64, "tanh"), (4, "linear")), "mse", 64), steps=312
    ),
    Training(
        Workload(
            "W7",
            60000,
            784,
            ((256, "sigmoid"), (128, "sigmoid"), (10, "softmax")),
            "xent",
            64,
            optimizer="sgd",
        ),
        steps=512,
    ),
]

# (m, n, k)
SHAPES = [
    (1, 784, 512),
    (32, 64, 64),
    (100, 100, 100),
    (4096, 10, 784),
    (128, 512, 784),
    (1000, 1000, 1000),
    (512, 2048, 2048),
    (2048, 2048, 2048),
    (4096, 4096, 4096),
]
MATMUL = [
    *(Matmul(shape) for shape in SHAPES),
    *(Matmul((2048, 2048, 2048), form=form) for form in ("A'B", "AB'", "A'B'")),
    *(Matmul((size, size, size), "float64") for size in (1000, 2048)),
    *(Matmul((size, size, size), "bfloat16") for size in (2048, 4096)),
]
ELEMENTWISE = [
    Elementwise(function, size)
    for size in (10_000, 10_000_000)
    for function in ("sigmoid", "tanh", "exp", "relu", "copy")
]
PREDICTION = [Prediction(W2, 1), Prediction(W3, 60000)]

EVERY: list[Task] = [*TRAINING, *MATMUL, *ELEMENTWISE, *PREDICTION]
TASKS = {task.name: task for task in EVERY}
