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
}
# the numbers that a loss takes beside predictions and targets
PARAMS = {"huber": (0.5,), "quantile": (0.9,), "focal": (0.0, 2.0, 1.0, 1.0)}


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
            elif kind == "scale_shift":
                net.set_scale_shift(op, 1 + random(features) / 2, random(features))
    return nets


def targets(loss: str) -> Any:
    rng = np.random.default_rng(6)
    if loss == "xent":
        return rng.integers(0, OUTPUTS, ROWS, dtype=np.int32)
    return rng.integers(0, 2, (ROWS, OUTPUTS)).astype(np.float32)


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
        net.compile("mse", None, [name], {})
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


@pytest.mark.parametrize("name", kernel_names("DROPOUT"))
def test_dropout(compare: Compare, name: str) -> None:
    """Forward in training through one dropout, and the way in and out."""
    native, numpy = pair(512, (name, 0.5, 1))
    x = random(256, 512)
    compare(
        "network",
        f"{name}, 256 x 512",
        fastnn=lambda: native.forward(x, 1, True),
        numpy=lambda: numpy.forward(x, 1, True),
        check=agree(1),
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
