"""Kernels that only a network calls: losses, metrics, optimizers, scaling, the way in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import Compare, agree
from workloads import HYPER, THREADS
from workloads import kernels as kernel_names

from fastnn import reference
from fastnn._native.network import Network
from fastnn._sparse import CSR

ROWS, OUTPUTS = 4096, 10

# kernel -> (loss given to compile, last activation): logits are taken where they fuse
LOSSES = {
    "mse": ("mse", "linear"),
    "bce": ("bce", "exp"),
    "bce_logits": ("bce", "sigmoid"),
    "xent": ("xent", "softplus"),
    "xent_logits": ("xent", "softmax"),
    "mae": ("mae", "linear"),
    "mape": ("mape", "linear"),
    "msle": ("msle", "exp"),
    "huber": ("huber", "linear"),
    "log_cosh": ("log_cosh", "linear"),
    "quantile": ("quantile", "linear"),
    "poisson": ("poisson", "softplus"),
    "hinge": ("hinge", "linear"),
    "squared_hinge": ("squared_hinge", "linear"),
    "categorical_hinge": ("categorical_hinge", "linear"),
    "kld": ("kld", "softmax"),
    "cosine": ("cosine", "linear"),
    "focal": ("focal", "exp"),
    "focal_logits": ("focal", "sigmoid"),
    "focal_xent": ("focal_xent", "softplus"),
    "focal_xent_logits": ("focal_xent", "softmax"),
    "gaussian_nll": ("gaussian_nll", "linear"),
    "half_squared": ("half_squared", "linear"),
    "half_poisson_logits": ("half_poisson", "exp"),
    "log_loss_logits": ("log_loss", "sigmoid"),
}
# the numbers that a loss takes beside predictions and targets
PARAMS = {
    "huber": (0.5,),
    "quantile": (0.9,),
    "focal": (0.0, 2.0, 1.0, 1.0),
    "focal_xent": (0.0, 2.0, 0.25),
    "gaussian_nll": (-13.8, 0.0),
    "half_squared": (0.05,),
    "log_loss": (1e-7,),
}
# a metric's name and the number that it takes
NUMBERS = {"in_top_k": 3}
# layers that train numbers for each feature
FEATURES = [
    ("layer_norm", 1e-3, True, True),
    ("batch_norm", 0.99, 1e-3, True, True),
    ("prelu",),
]


def random(*shape: int) -> Any:
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def pair(inputs: int, *ops: Any) -> tuple[Any, Any]:
    """A native network and its twin, with the same small weights."""
    nets = Network("float32", inputs, list(ops)), reference.Network("float32", inputs, list(ops))
    for net in nets:
        features = inputs
        for op, (kind, *arguments) in enumerate(ops):
            if kind == "dense":
                units, _, use_bias, *_ = arguments
                net.set_kernel(op, random(features, units) / features)
                if use_bias:
                    net.set_bias(op, np.full(units, -1.5, np.float32))
                features = units
            elif kind == "embed":  # they stand first, side by side
                size, dim, columns = arguments
                net.set_kernel(op, random(size, dim))
                features = dim * len(columns) + (features if op else 0)
            elif kind == "scale_shift":
                net.set_scale_shift(op, 1 + random(features) / 2, random(features))
    return nets


def targets(loss: str) -> Any:
    rng = np.random.default_rng(6)
    if loss == "xent":
        return rng.integers(0, OUTPUTS, ROWS, dtype=np.int32)
    columns = OUTPUTS // 2 if loss == "gaussian_nll" else OUTPUTS
    return rng.integers(0, 2, (ROWS, columns)).astype(np.float32)


def same_sums(actual: Any, expected: Any) -> None:
    """Compare the triples that train and evaluate return: position, loss, metrics."""
    assert actual[0] == expected[0]
    agree(ROWS)((actual[1], actual[2]), (expected[1], expected[2]))


@pytest.mark.parametrize("name", kernel_names("LOSS"))
def test_loss(compare: Compare, name: str) -> None:
    """One step from one feature, so that loss and gradient are most of the work."""
    loss, activation = LOSSES[name]
    x, y, index = random(ROWS, 1), targets(loss), np.arange(ROWS)
    native, numpy = pair(1, ("dense", OUTPUTS, activation, True))
    for net in (native, numpy):
        hyper = {"learning_rate": 1e-6, "momentum": 0.0, "nesterov": False}
        net.compile(loss, "sgd", [], hyper, PARAMS.get(loss, ()))
    compare(
        "network",
        f"loss {name}, {ROWS} x {OUTPUTS}",
        fastnn=lambda: native.train(x, y, None, index, ROWS, 0, 60.0, 1),
        numpy=lambda: numpy.train(x, y, None, index, ROWS, 0, 60.0, 1),
        check=same_sums,
    )


@pytest.mark.parametrize("name", kernel_names("METRIC"))
def test_metric(compare: Compare, name: str) -> None:
    """Evaluate one feature's predictions with the mean squared error and the metric."""
    x, y, index = random(ROWS, 1), targets("mse"), np.arange(ROWS)
    native, numpy = pair(1, ("dense", OUTPUTS, "linear", True))
    for net in (native, numpy):
        net.compile("mse", None, [(name, NUMBERS[name]) if name in NUMBERS else name], {})
    compare(
        "network",
        f"metric {name}, {ROWS} x {OUTPUTS}",
        fastnn=lambda: native.evaluate(x, y, None, index, 0, 60.0, 1),
        numpy=lambda: numpy.evaluate(x, y, None, index, 0, 60.0, 1),
        check=same_sums,
    )


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("name", [k for k in kernel_names("OPTIM") if k in HYPER])
def test_optimizer(compare: Compare, name: str, threads: int) -> None:
    """One step on 1024 x 512 weights, with gradients that a backward left."""
    native, numpy = pair(1024, ("dense", 512, "linear", False))
    x, dy = np.abs(random(64, 1024)), np.abs(random(64, 512))  # no gradient is nearly zero
    for net in (native, numpy):
        net.compile("mse", name, [], HYPER[name])
        net.forward(x, threads)
        net.backward(dy, threads)

    def step(net: Any) -> Any:
        net.apply_gradients(threads)
        return net

    def check(ours: Any, theirs: Any) -> None:
        agree(64)(ours.get_kernel(0), theirs.get_kernel(0))

    slots = len(native.slot_names)
    compare(
        "network",
        f"optimizer {name}, 1024 x 512 weights",
        fastnn=lambda: step(native),
        numpy=lambda: step(numpy),
        check=check,
        threads=threads,
        bytes=4.0 * 1024 * 512 * (3 + 2 * slots),  # reads g; reads and writes w and the slots
    )


@pytest.mark.parametrize("name", kernel_names("NOISE"))
def test_noise(compare: Compare, name: str) -> None:
    """Forward in training through one noise, and the way in and out."""
    native, numpy = pair(512, (name, 0.5, 1))
    x = random(256, 512)
    compare(
        "network",
        f"{name}, 256 x 512",
        fastnn=lambda: native.forward(x, 1, True),
        numpy=lambda: numpy.forward(x, 1, True),
        check=agree(16),  # a normal number is rounded several times
    )


@pytest.mark.parametrize("name", kernel_names("BINARY"))
def test_residual(compare: Compare, name: str) -> None:
    """Forward through a residual block of nothing, which is that kernel, and the way in and out."""
    native, numpy = pair(512, ("fork",), ("join",))
    x = random(256, 512)
    compare(
        "network",
        f"{name}, 256 x 512",
        fastnn=lambda: native.forward(x, 1),
        numpy=lambda: numpy.forward(x, 1),
        check=agree(1),
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("op", FEATURES, ids=lambda op: op[0])
def test_features(compare: Compare, op: tuple[Any, ...], training: bool) -> None:
    """There and back through one normalization or PReLU, in training and outside of it."""
    native, numpy = pair(512, op)
    x, dy = random(256, 512), random(256, 512)[::-1].copy()
    for net in (native, numpy):
        net.set_kernel(0, 1 + random(1, 512) / 2)
        if op[0] == "batch_norm":
            net.set_statistics(0, random(512), 1 + random(512) / 2)

    def both(net: Any) -> Any:
        return net.forward(x, 1, training), net.backward(dy, 1)

    compare(
        "network",
        f"{op[0]}{'' if training else ', calm'}, 256 x 512, there and back",
        fastnn=lambda: both(native),
        numpy=lambda: both(numpy),
        check=agree(256),
    )


@pytest.mark.parametrize("threads", THREADS)
def test_clipped_step(compare: Compare, threads: int) -> None:
    """A step whose gradients are clipped by their norm, with a penalty on the weights."""
    rows, width = 128, 512
    native, numpy = pair(width, ("dense", width, "relu", True), ("dense", width, "linear", True))
    x, y, index = random(rows, width), random(rows, width), np.arange(rows)
    for net in (native, numpy):
        net.compile("mse", "adam", [], {**HYPER["adam"], "global_clipnorm": 0.01})
        for op in (0, 1):
            net.set_penalty(op, (0.0, 1e-4), (0.0, 0.0))
    compare(
        "network",
        f"clipped step {width}-{width}-{width}, {rows} rows",
        fastnn=lambda: native.train(x, y, None, index, rows, 0, 60.0, threads),
        numpy=lambda: numpy.train(x, y, None, index, rows, 0, 60.0, threads),
        check=same_sums,
        threads=threads,
    )


@pytest.mark.parametrize("threads", THREADS)
def test_held_step(compare: Compare, threads: int) -> None:
    """A step that sums gradients up, averages weights and holds their columns at a norm."""
    rows, width = 128, 512
    native, numpy = pair(width, ("dense", width, "relu", True), ("dense", width, "linear", True))
    x, y, index = random(rows, width), random(rows, width), np.arange(rows)
    extra = {"use_ema": True, "ema_momentum": 0.99, "gradient_accumulation_steps": 2}
    for net in (native, numpy):
        net.compile("mse", "adam", [], {**HYPER["adam"], **extra})
        for op in (0, 1):
            net.set_constraint(op, ("norm", 0.0, 1.0, 1.0), None)
    compare(
        "network",
        f"held step {width}-{width}-{width}, {rows} rows",
        fastnn=lambda: native.train(x, y, None, index, rows, 0, 60.0, threads),
        numpy=lambda: numpy.train(x, y, None, index, rows, 0, 60.0, threads),
        check=same_sums,
        threads=threads,
    )


@pytest.mark.parametrize("threads", THREADS)
def test_train_bfloat16(compare: Compare, threads: int) -> None:
    """A step of a wide layer whose products take bfloat16 operands."""
    rows, width = 256, 1024
    dense = ("dense", width, "relu", True, "bfloat16")
    native, numpy = pair(width, dense, dense)
    x, y, index = random(rows, width), random(rows, width), np.arange(rows)
    for net in (native, numpy):
        net.compile("mse", "sgd", [], {"learning_rate": 1e-6, "momentum": 0.0, "nesterov": False})
    compare(
        "network",
        f"bfloat16 step {width}-{width}-{width}, {rows} rows",
        fastnn=lambda: native.train(x, y, None, index, rows, 0, 60.0, threads),
        numpy=lambda: numpy.train(x, y, None, index, rows, 0, 60.0, threads),
        check=same_sums,
        threads=threads,
    )


@pytest.mark.parametrize("threads", THREADS)
def test_train_integers(compare: Compare, threads: int) -> None:
    """Steps on images of uint8, shuffled, which are converted as they are read."""
    rows, width, units = 2048, 784, 64
    native, numpy = pair(width, ("dense", units, "relu", True))
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 256, (rows, width), dtype=np.uint8), random(rows, units)
    index = rng.permutation(rows)
    for net in (native, numpy):
        net.compile("mse", "sgd", [], {"learning_rate": 1e-9, "momentum": 0.0, "nesterov": False})
    compare(
        "network",
        f"uint8 epoch {width}-{units}, {rows} rows, batch 128",
        fastnn=lambda: native.train(x, y, None, index, 128, 0, 60.0, threads),
        numpy=lambda: numpy.train(x, y, None, index, 128, 0, 60.0, threads),
        check=same_sums,
        threads=threads,
    )


@pytest.mark.parametrize("threads", THREADS)
def test_train_tables(compare: Compare, threads: int) -> None:
    """A step on ids of three tables: the update of their rows is most of it."""
    rows, sizes, dim, units = 256, (100, 1000, 10_000), 32, 64
    tables = [("embed", size, dim, (column,)) for column, size in enumerate(sizes)]
    native, numpy = pair(len(sizes), *tables, ("dense", units, "linear", True))
    rng = np.random.default_rng(2)
    x = rng.integers(0, sizes, (rows, len(sizes))).astype(np.float32)
    y, index = random(rows, units), rng.permutation(rows)
    for net in (native, numpy):
        net.compile("mse", "adam", [], {**HYPER["adam"], "learning_rate": 1e-9})
    compare(
        "network",
        f"tables of {', '.join(map(str, sizes))} rows of {dim}, {rows} rows",
        fastnn=lambda: native.train(x, y, None, index, rows, 0, 60.0, threads),
        numpy=lambda: numpy.train(x, y, None, index, rows, 0, 60.0, threads),
        check=same_sums,
        threads=threads,
    )


@pytest.mark.parametrize("threads", THREADS)
def test_train_sparse(compare: Compare, threads: int) -> None:
    """A step on sparse rows: the weights' way through memory is most of it."""
    rows, width, units, each = 200, 20_000, 64, 20
    native, numpy = pair(width, ("dense", units, "linear", True))
    rng = np.random.default_rng(2)
    column = rng.integers(0, width, rows * each)
    begin = np.arange(0, rows * each + 1, each)
    x = CSR(begin, column, rng.random(rows * each, np.float32), width)
    y, index = random(rows, units), rng.permutation(rows)
    for net in (native, numpy):
        net.compile("mse", "adam", [], {**HYPER["adam"], "learning_rate": 1e-9})
    compare(
        "network",
        f"sparse step {width}-{units}, {rows} rows of {each} numbers",
        fastnn=lambda: native.train(x, y, None, index, rows, 0, 60.0, threads),
        numpy=lambda: numpy.train(x, y, None, index, rows, 0, 60.0, threads),
        check=same_sums,
        threads=threads,
        bytes=4.0 * width * units * 6,  # reads and writes w, m and v
    )


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("scale", kernel_names("SCALE"))
def test_predict(compare: Compare, scale: str, threads: int) -> None:
    """The digits network on 1797 rows, with the standardisation in front."""
    layers = ((64, "relu"), (32, "relu"), (10, "softmax"))
    native, numpy = pair(64, (scale,), *(("dense", *layer, True) for layer in layers))
    x = random(1797, 64)

    def predict(net: Any) -> Any:
        out = np.empty((len(x), net.output_size), np.float32)
        net.predict(x, out, threads)
        return out

    compare(
        "network",
        f"predict {scale} 64-64-32-10, 1797 rows",
        fastnn=lambda: predict(native),
        numpy=lambda: predict(numpy),
        check=agree(64),
        threads=threads,
    )
