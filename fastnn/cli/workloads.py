"""The work that `fastnn bench` and benchmarks/ measure: networks to train, matrices to multiply."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

HYPER: dict[str, dict[str, Any]] = {
    "adam": {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    "sgd": {"learning_rate": 0.1, "momentum": 0.0, "nesterov": False},
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


RELU_64_32_10 = ((64, "relu"), (32, "relu"), (10, "softmax"))

W1 = Workload("W1", 100, 10, RELU_64_32_10, "xent", 32)
W2 = Workload("W2", 1797, 64, RELU_64_32_10, "xent", 32)
W3 = Workload("W3", 60000, 784, ((512, "relu"), (256, "relu"), (10, "softmax")), "xent", 128)
W4 = Workload("W4", 16384, 784, ((2048, "relu"), (2048, "relu"), (10, "softmax")), "xent", 512)
W5 = Workload("W5", 300000, 30, ((256, "relu"), (256, "relu"), (1, "linear")), "mse", 1024)
W6 = Workload("W6", 20000, 8, ((64, "tanh"), (64, "tanh"), (4, "linear")), "mse", 64)
W7 = Workload(
    "W7", 60000, 784, ((256, "sigmoid"), (128, "sigmoid"), (10, "softmax")), "xent", 64, "sgd"
)

# (m, n, k) of C (m, n) = A (m, k) B (k, n)
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


def matmul_operands(
    shape: tuple[int, int, int], transpose_a: bool, transpose_b: bool
) -> tuple[Array, Array]:
    """Float32 operands in [-1, 1) of a product (m, n, k), stored transposed where asked."""
    m, n, k = shape
    rng = np.random.default_rng(3)
    a = rng.uniform(-1, 1, (k, m) if transpose_a else (m, k)).astype(np.float32)
    b = rng.uniform(-1, 1, (n, k) if transpose_b else (k, n)).astype(np.float32)
    return a, b


def put_weights(net: Any, weights: list[Array]) -> None:
    """Set kernels and biases, by turns in `weights`, of a network of dense layers."""
    for op in range(len(weights) // 2):
        net.set_kernel(op, weights[2 * op])
        net.set_bias(op, weights[2 * op + 1])


def get_weights(net: Any) -> list[Array]:
    """What `put_weights` takes."""
    ops = range(len(net.ops))
    return [get(op) for op in ops for get in (net.get_kernel, net.get_bias)]


def train_epoch(
    net: Any, x: Array, y: Array, index: Array, batch_size: int, threads: int | None
) -> float:
    """Train one epoch in one call; return its mean loss."""
    _, loss, _ = net.train(x, y, None, index, batch_size, 0, math.inf, threads)
    return float(loss) / len(index)


def blas() -> str:
    """The BLAS that NumPy runs, e.g. "openblas 0.3.30, SkylakeX kernels"."""
    import threadpoolctl

    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    if not pools:
        return "not known to threadpoolctl"
    pool = next((p for p in pools if "numpy" in p["filepath"]), pools[0])
    return f"{pool['internal_api']} {pool['version']}, {pool.get('architecture', '?')} kernels"


def estimator(workload: Workload, epochs: int) -> Any:
    """A scikit-learn estimator of the workload's network whose `fit` trains from `coefs_`.

    `fit` takes the batches in the data's order and stops at no loss. Before it, set `coefs_` and
    `intercepts_` after one `fit` of whatever rows, which makes the rest.
    """
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    hyper = dict(HYPER[workload.optimizer])
    names = {"learning_rate": "learning_rate_init", "nesterov": "nesterovs_momentum"}
    hidden = workload.layers[:-1]
    return (MLPClassifier if workload.loss == "xent" else MLPRegressor)(
        hidden_layer_sizes=[units for units, _ in hidden],
        activation={"sigmoid": "logistic"}.get(hidden[0][1], hidden[0][1]),
        solver=workload.optimizer,
        batch_size=workload.batch_size,
        alpha=0.0,
        shuffle=False,
        warm_start=True,
        max_iter=epochs,
        n_iter_no_change=10**9,  # it counts on from one fit to the next
        **{names.get(key, key): value for key, value in hyper.items()},
    )
