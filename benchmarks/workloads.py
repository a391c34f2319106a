"""What the benchmarks measure: the list of kernels, the shapes, and the networks to train."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ROOT = Path(__file__).resolve().parent.parent
KERNELS_DEF = ROOT / "csrc" / "kernels.def"
DIGITS_CSV = ROOT / "examples" / "data" / "digits.csv"

# (m, n, k) of C (m, n) = A (m, k) B (k, n)
MATMUL_SHAPES = [(32, 64, 64), (128, 512, 784), (512, 2048, 2048), (2048, 2048, 2048)]

# operand transposes of the forward product and of the two backward ones, and the fourth
FORWARD = {"Y = X W": (False, False)}
BACKWARD = {"dW = X^T dY": (True, False), "dX = dY W^T": (False, True)}
ALL_FORMS = FORWARD | BACKWARD | {"A^T B^T": (True, True)}


def cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


THREADS = sorted({1, min(2, cores())})


def kernels(kind: str | None = None) -> list[str]:
    """Names in csrc/kernels.def, of one kind ("UNARY", "LOSS", ...) or of all of them."""
    lines = re.findall(r"^FNN_(\w+)\((\w+)\)", KERNELS_DEF.read_text(encoding="utf-8"), re.M)
    return [name for line_kind, name in lines if kind in (None, line_kind)]


def matmul_operands(
    shape: tuple[int, int, int], transpose_a: bool, transpose_b: bool
) -> tuple[Array, Array]:
    """Float32 operands in [-1, 1) of a product (m, n, k), stored transposed where asked."""
    m, n, k = shape
    rng = np.random.default_rng(3)
    a = rng.uniform(-1, 1, (k, m) if transpose_a else (m, k)).astype(np.float32)
    b = rng.uniform(-1, 1, (n, k) if transpose_b else (k, n)).astype(np.float32)
    return a, b


# kernels that nobody calls alone -> (the benchmark that runs them, why there)
MEASURED_WITHIN = {
    "gemm_nn": ("bench_matmul.py::test_matmul", "the product itself"),
    "gemm_tn": ("bench_matmul.py::test_matmul", "the product X^T dY"),
    "pair_columns": ("bench_network.py::test_train_bfloat16", "operands become bfloat16 there"),
    "pair_rows": ("bench_network.py::test_train_bfloat16", "operands become bfloat16 there"),
    "pack": ("bench_matmul.py::test_matmul", "operands are packed there"),
    "pack_transpose": ("bench_matmul.py::test_matmul", "transposed operands are packed there"),
    "unpack": ("bench_network.py::test_predict", "the output leaves the panels there"),
    "gather": ("bench_epoch.py::test_epoch", "each batch is gathered by the index there"),
    "colsum": ("bench_dense.py::test_dense_backward", "the gradient of the bias"),
    "fma_peak": ("bench_matmul.py::test_matmul", "the yardstick: every share of the peak"),
}


def synthetic(workload: Workload) -> tuple[Array, Array]:
    """Standard normal rows, with targets that a random linear map of them decides."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((workload.rows, workload.inputs), dtype=np.float32)
    outputs = workload.layers[-1][0]
    scores = x @ rng.standard_normal((workload.inputs, outputs), dtype=np.float32)
    if workload.loss == "xent":
        return x, scores.argmax(axis=1).astype(np.int32)
    return x, np.tanh(scores)


def handwritten_digits(workload: Workload) -> tuple[Array, Array]:
    """The UCI digits of examples/data, pixels in [0, 1]."""
    table = np.loadtxt(DIGITS_CSV, delimiter=",", skiprows=1)
    return (table[:, :-1] / 16).astype(np.float32), table[:, -1].astype(np.int32)


@dataclass(frozen=True)
class Workload:
    """A network and the data to train it on for an epoch."""

    name: str
    rows: int
    inputs: int
    layers: tuple[tuple[int, str], ...]  # (units, activation)
    loss: str
    batch_size: int
    optimizer: str = "adam"
    source: Callable[[Workload], tuple[Array, Array]] = synthetic

    @property
    def title(self) -> str:
        sizes = "-".join(str(size) for size in (self.inputs, *(units for units, _ in self.layers)))
        return f"{self.name}: {self.rows} rows, {sizes}, batch {self.batch_size}"

    @property
    def steps(self) -> int:
        return -(-self.rows // self.batch_size)

    @property
    def flops(self) -> int:
        """Of an epoch's matrix products: forward, dW, and dX past the first layer."""
        sizes = [self.inputs, *(units for units, _ in self.layers)]
        products = [a * b for a, b in pairwise(sizes)]
        return 2 * self.rows * (3 * sum(products) - products[0])

    def data(self) -> tuple[Array, Array]:
        """x (rows, inputs) and class ids (rows,) or targets (rows, outputs)."""
        return self.source(self)

    def network(self, network_class: Any) -> Any:
        """A network with Glorot-uniform weights, the same for every class of network."""
        ops = [("dense", units, activation, True) for units, activation in self.layers]
        net = network_class("float32", self.inputs, ops)
        self.reset(net)
        return net

    def weights(self) -> list[Array]:
        """The first weights, kernel and bias by turns: Glorot-uniform and zeros."""
        rng = np.random.default_rng(11)
        arrays, fan_in = [], self.inputs
        for units, _ in self.layers:
            limit = np.sqrt(6.0 / (fan_in + units))
            arrays.append(rng.uniform(-limit, limit, (fan_in, units)).astype(np.float32))
            arrays.append(np.zeros(units, np.float32))
            fan_in = units
        return arrays

    def reset(self, net: Any) -> None:
        """Put the first weights back and zero the optimizer's slots."""
        put_weights(net, self.weights())
        net.compile(self.loss, self.optimizer, [], HYPER[self.optimizer])

    def index(self, epoch: int = 0) -> Array:
        """The order of the rows in one epoch."""
        return np.random.default_rng(epoch).permutation(self.rows).astype(np.int64)


HYPER: dict[str, dict[str, Any]] = {
    "sgd": {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True},
    "adam": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
}

RELU_64_32_10 = ((64, "relu"), (32, "relu"), (10, "softmax"))

DIGITS = Workload("digits", 1797, 64, RELU_64_32_10, "xent", 32, source=handwritten_digits)

WORKLOADS = [
    Workload("tiny", 100, 10, RELU_64_32_10, "xent", 32),
    DIGITS,
    Workload("mnist-like", 6000, 784, ((512, "relu"), (256, "relu"), (10, "softmax")), "xent", 128),
    Workload("regression", 30000, 30, ((256, "relu"), (256, "relu"), (1, "linear")), "mse", 1024),
    Workload("control", 20000, 8, ((64, "tanh"), (64, "tanh"), (4, "linear")), "mse", 64),
]


def put_weights(net: Any, weights: list[Array]) -> None:
    """Set kernels and biases, by turns in `weights`, of a network of dense layers."""
    for op in range(len(weights) // 2):
        net.set_kernel(op, weights[2 * op])
        net.set_bias(op, weights[2 * op + 1])


def train_epoch(
    net: Any, x: Array, y: Array, index: Array, batch_size: int, threads: int | None
) -> float:
    """Train one epoch in one call; return its mean loss."""
    _, loss, _ = net.train(x, y, None, index, batch_size, 0, math.inf, threads)
    return float(loss) / len(index)
