"""What the benchmarks measure: the list of kernels, the shapes, and the networks to train."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.cli.workloads import W1, W2, W3, W5, W6, Array, Workload

ROOT = Path(__file__).resolve().parent.parent
KERNELS_DEF = ROOT / "csrc" / "kernels.def"
DIGITS_CSV = ROOT / "examples" / "data" / "digits.csv"

# (m, n, k) of C (m, n) = A (m, k) B (k, n)
MATMUL_SHAPES = [(32, 64, 64), (128, 512, 784), (512, 2048, 2048), (2048, 2048, 2048)]
FEW_SHAPES = [(1, 784, 512), (4, 64, 784), (4096, 10, 784)]  # of few rows, or columns

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


# kernels that nobody calls alone -> (the benchmark that runs them, why there)
MEASURED_WITHIN = {
    "gemm_nn": ("bench_matmul.py::test_matmul", "the product itself"),
    "gemm_tn": ("bench_matmul.py::test_matmul", "the product X^T dY"),
    "few_nn": ("bench_matmul.py::test_matmul", "the products of one row"),
    "few_nt": ("bench_matmul.py::test_matmul", "the products of few columns"),
    "gradient_sgd": ("bench_epoch.py::test_epoch", "weights are trained by it there"),
    "gradient_adam": ("bench_epoch.py::test_epoch", "weights are trained by it there"),
    "gradient_norm": ("bench_network.py::test_clipped_step", "gradients are clipped by it there"),
    "norm": ("bench_network.py::test_clipped_step", "gradients are clipped by their norm there"),
    "average": ("bench_network.py::test_held_step", "weights are averaged there"),
    "colsquare": ("bench_network.py::test_held_step", "columns are held at a norm there"),
    "pair_columns": ("bench_network.py::test_train_bfloat16", "operands become bfloat16 there"),
    "pair_rows": ("bench_network.py::test_train_bfloat16", "operands become bfloat16 there"),
    "pack": ("bench_matmul.py::test_matmul", "operands are packed there"),
    "pack_transpose": ("bench_matmul.py::test_matmul", "transposed operands are packed there"),
    "unpack": ("bench_network.py::test_predict", "the output leaves the panels there"),
    "gather": ("bench_epoch.py::test_epoch", "each batch is gathered by the index there"),
    "gather_from": ("bench_network.py::test_train_integers", "rows of uint8 are read there"),
    "sparse_nn": ("bench_network.py::test_train_sparse", "rows are sparse there"),
    "scatter_add": ("bench_network.py::test_train_sparse", "the gradient of sparse rows"),
    "embed": ("bench_network.py::test_train_tables", "rows of tables are looked up there"),
    "embed_gradient": ("bench_network.py::test_train_tables", "the gradient of tables"),
    "colsum": ("bench_dense.py::test_dense_backward", "the gradient of the bias"),
    **dict.fromkeys(
        kernels("LAYER_NORM") + kernels("BATCH_NORM") + kernels("PRELU"),
        ("bench_network.py::test_features", "a pass there and back through such a layer"),
    ),
    "fma_peak": ("bench_matmul.py::test_matmul", "the yardstick: every share of the peak"),
}


def handwritten_digits(workload: Workload) -> tuple[Array, Array]:
    """The UCI digits of examples/data, pixels in [0, 1]."""
    table = np.loadtxt(DIGITS_CSV, delimiter=",", skiprows=1)
    return (table[:, :-1] / 16).astype(np.float32), table[:, -1].astype(np.int32)


HYPER: dict[str, dict[str, Any]] = {
    "sgd": {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True},
    "adam": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    "rmsprop": {
        "learning_rate": 0.001,
        "rho": 0.9,
        "momentum": 0.0,
        "epsilon": 1e-7,
        "centered": False,
    },
    "adagrad": {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-7},
    "lion": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.99},
}
HYPER |= dict.fromkeys(("amsgrad", "nadam", "adamax"), HYPER["adam"])

DIGITS = replace(W2, name="digits", source=handwritten_digits)

WORKLOADS = [
    replace(W1, name="tiny"),
    DIGITS,
    replace(W3, name="mnist-like", rows=6000),
    replace(W5, name="regression", rows=30000),
    replace(W6, name="control"),
]
