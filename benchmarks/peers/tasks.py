"""What the peers are measured on: training, matrix products, elementwise functions, prediction.

Every worker makes the data itself, from the same seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from workloads import handwritten_digits

from fastnn import reference
from fastnn.cli.workloads import (
    SHAPES,
    W1,
    W2,
    W3,
    W4,
    W5,
    W6,
    W7,
    Array,
    Workload,
    matmul_operands,
    put_weights,
)

CHECKED_ROWS = 8  # of a matrix product, against NumPy in float64

Measures = dict[str, float]


class WrongResultError(Exception):
    """A peer's result is not that of the work it was given."""


@dataclass(frozen=True)
class Training:
    """Epochs from the first weights, over the first `steps` batches of a shuffled data set.

    `validation` rows more are not trained on, but what the network makes of them is counted.
    """

    workload: Workload
    steps: int
    epochs: int = 1
    dtype: str = "float32"  # or "mixed_bfloat16"
    validation: int = 0
    kind = "training"

    @property
    def name(self) -> str:
        return self.workload.name + " mixed" * (self.dtype == "mixed_bfloat16")

    @property
    def title(self) -> str:
        words = self.workload.title.removeprefix(self.workload.name)
        return f"{self.name}{words}, {self.workload.optimizer}"

    @property
    def peak_dtype(self) -> str:
        """What the limit of its products is measured in."""
        return "bfloat16" if self.dtype == "mixed_bfloat16" else self.dtype

    @property
    def amounts(self) -> Measures:
        """FLOPs of a step's matrix products: forward, dW, and dX past the first layer."""
        work = self.workload
        return {"flops": work.flops / work.rows * work.batch_size}

    @property
    def units(self) -> int:
        """Steps of one call."""
        return self.steps * self.epochs

    @property
    def trained(self) -> int:
        """Rows to train on: only whole batches, which a scan needs."""
        return self.steps * self.workload.batch_size

    def rows(self) -> tuple[Array, Array]:
        """All rows that are needed, shuffled; those to train on first."""
        work = replace(self.workload, rows=self.trained + self.validation)
        x, y = work.data()
        return x[work.index()], y[work.index()]

    def data(self) -> tuple[Array, Array]:
        """Rows in the order of training."""
        x, y = self.rows()
        return x[: self.trained], y[: self.trained]

    def judge(self, weights: list[Array]) -> Measures:
        """The mean loss on the rows trained on, and the accuracy on the others, alike for all."""
        net = network(self.workload, weights)
        x, y = self.rows()
        net.compile(self.workload.loss, None, ["argmax_match"] * (self.validation > 0), {})
        _, total, _ = net.evaluate(x, y, None, np.arange(self.trained))
        loss = float(total) / self.trained
        if not np.isfinite(loss):
            raise WrongResultError(f"loss {loss}")
        if not self.validation:
            return {"loss": loss}
        _, _, (hits,) = net.evaluate(x, y, None, np.arange(self.trained, len(x)))
        return {"loss": loss, "accuracy": float(hits) / self.validation}


@dataclass(frozen=True)
class Memory(Training):
    """Training on data that is there: how much more memory it takes than it must, at its peak."""

    kind = "memory"

    @property
    def name(self) -> str:
        return f"memory {self.workload.name}"

    @property
    def title(self) -> str:
        return f"memory to train {self.workload.title}, {self.workload.optimizer}"

    @cached_property
    def arrays(self) -> tuple[Array, Array]:
        return replace(self.workload, rows=self.trained).data()

    def data(self) -> tuple[Array, Array]:
        """The same arrays every time, not shuffled: they are made before the peak is watched."""
        return self.arrays

    @property
    def needed(self) -> int:
        """Bytes of the weights and of Adam's two averages of their gradients."""
        return 3 * sum(w.nbytes for w in self.workload.weights())


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
    def peak_dtype(self) -> str:
        return self.dtype

    @property
    def amounts(self) -> Measures:
        m, n, k = self.shape
        return {"flops": 2.0 * m * n * k}

    @property
    def transposes(self) -> tuple[bool, bool]:
        return "A'" in self.form, "B'" in self.form

    def operands(self) -> tuple[Array, Array]:
        """As stored; bfloat16 as the float32 values that a peer rounds."""
        a, b = matmul_operands(self.shape, *self.transposes)
        return (a.astype(np.float64), b.astype(np.float64)) if self.dtype == "float64" else (a, b)

    def check(self, result: Array) -> Measures:
        a, b = self.operands()
        transpose_a, transpose_b = self.transposes
        left, right = a.T if transpose_a else a, b.T if transpose_b else b
        expected = left[:CHECKED_ROWS].astype(np.float64) @ right
        require_shape(result, self.shape[:2])
        eps = {"float32": 2.0**-23, "float64": 2.0**-52, "bfloat16": 2.0**-7}[self.dtype]
        same(result[:CHECKED_ROWS], expected, self.shape[2] * eps)
        return {}


@dataclass(frozen=True)
class Elementwise:
    """A function of every element of a float32 array; "copy" tells the memory's bandwidth."""

    function: str
    size: int
    kind = "elementwise"
    dtype = "float32"
    peak_dtype = "float32"
    units = 1

    @property
    def name(self) -> str:
        return f"{self.function} {self.size:.0e}".replace("+0", "")

    title = name

    @property
    def amounts(self) -> Measures:
        return {"elements": float(self.size), "bytes": 8.0 * self.size}

    def operand(self) -> Array:
        return np.random.default_rng(5).uniform(-6, 6, self.size).astype(np.float32)

    def check(self, result: Array) -> Measures:
        """The worst error in units of the float32 that is next to the exact result."""
        exact = self.operand().astype(np.float64)
        if self.function != "copy":
            exact = getattr(reference, self.function)(exact)
        same(result, exact, 1e-6 * float(np.abs(exact).max()))
        return {"ulp": float((np.abs(result - exact) / float32_spacing(exact)).max())}


@dataclass(frozen=True)
class Prediction:
    """Rows through a network with its first weights, NumPy array in, NumPy array out."""

    workload: Workload
    rows: int
    kind = "prediction"
    dtype = "float32"
    peak_dtype = "float32"
    units = 1

    @property
    def name(self) -> str:
        return f"predict {self.workload.name} {self.rows}"

    @property
    def title(self) -> str:
        return f"{self.rows} row{'s' * (self.rows > 1)} through {self.workload.name}'s network"

    @property
    def amounts(self) -> Measures:
        return {"flops": 2.0 * self.rows * sum(w.size for w in self.workload.weights()[::2])}

    def operand(self) -> Array:
        return replace(self.workload, rows=self.rows).data()[0][: self.rows]

    def check(self, result: Array) -> Measures:
        x = self.operand()
        expected = np.empty((self.rows, self.workload.layers[-1][0]), np.float32)
        network(self.workload, self.workload.weights()).predict(x, expected)
        same(result, expected, 1e-4)
        return {}


Call = Matmul | Elementwise | Prediction
Task = Training | Memory | Call


def network(workload: Workload, weights: list[Array]) -> Any:
    """The plain-NumPy network that results are checked with."""
    net = workload.network(reference.Network)
    put_weights(net, weights)
    return net


def float32_spacing(exact: Array) -> Array:
    """From a float32 of that size to the next, in float64: a peer may flush subnormals."""
    _, exponent = np.frexp(np.maximum(np.abs(exact), 2.0**-126))
    return np.ldexp(1.0, exponent - 24)


def require_shape(actual: Array, shape: tuple[int, ...]) -> None:
    if actual.shape != shape:
        raise WrongResultError(f"shape {actual.shape}, expected {shape}")


def same(actual: Array, expected: Array, tolerance: float) -> None:
    require_shape(actual, expected.shape)
    error = float(np.abs(actual.astype(np.float64) - expected).max())
    if not error <= tolerance:
        raise WrongResultError(f"off by {error:.3g}, more than {tolerance:.3g}")


DIGITS = replace(W2, source=handwritten_digits)
FORMS = ("AB", "A'B", "AB'", "A'B'")
MIXED = "mixed_bfloat16"

# runs long enough that a call's overhead is that of whole epochs, short enough for slow peers
TRAINING = [
    Training(W1, steps=3, epochs=30),
    Training(DIGITS, steps=45, epochs=10, validation=357),  # all 1797 rows
    Training(DIGITS, steps=45, epochs=10, validation=357, dtype=MIXED),
    Training(W3, steps=64),
    Training(W3, steps=64, dtype=MIXED),
    Training(W4, steps=4),
    Training(W4, steps=4, dtype=MIXED),
    Training(W5, steps=64),
    Training(W6, steps=312),
    Training(W7, steps=256),
]
MATMUL = [
    *(Matmul(shape, form=form) for shape in SHAPES for form in FORMS),
    *(Matmul((size, size, size), "float64") for size in (1000, 2048)),
    *(Matmul((size, size, size), "bfloat16") for size in (2048, 4096)),
]
ELEMENTWISE = [
    Elementwise(function, size)
    for size in (10_000, 10_000_000)
    for function in ("sigmoid", "tanh", "exp", "relu", "copy")
]
PREDICTION = [Prediction(DIGITS, 1), Prediction(W3, 60000)]
MEMORY = [Memory(W3, steps=468)]  # of 128 rows: 59904

EVERY: list[Task] = [*TRAINING, *MATMUL, *ELEMENTWISE, *PREDICTION, *MEMORY]
TASKS = {task.name: task for task in EVERY}
