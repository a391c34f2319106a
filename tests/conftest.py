"""Fixtures shared by the tests of the kernels and of the engine."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastnn import reference

Array = NDArray[Any]

ADAM = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-4}
HYPER: dict[str, dict[str, Any]] = {
    "sgd": {"learning_rate": 0.05, "momentum": 0.0, "nesterov": False},
    "momentum": {"learning_rate": 0.02, "momentum": 0.9, "nesterov": False},
    "nesterov": {"learning_rate": 0.02, "momentum": 0.9, "nesterov": True},
    "adam": ADAM,
    "decay": {**ADAM, "weight_decay": 0.1},
    "amsgrad": {**ADAM, "beta_2": 0.9},
    "nadam": ADAM,
    "adamax": ADAM,
    "rmsprop": {
        "learning_rate": 0.01,
        "rho": 0.9,
        "momentum": 0.0,
        "epsilon": 1e-4,
        "centered": False,
    },
    "centered": {
        "learning_rate": 0.005,
        "rho": 0.9,
        "momentum": 0.5,
        "epsilon": 1e-3,
        "centered": True,
    },
    "adagrad": {"learning_rate": 0.05, "initial_accumulator_value": 0.1, "epsilon": 1e-7},
    "clipped": {**ADAM, "clipvalue": 0.003, "weight_decay": 0.01},
    "clipnorm": {**ADAM, "clipnorm": 0.02},
    "global_clipnorm": {
        "learning_rate": 0.5,
        "momentum": 0.5,
        "nesterov": False,
        "global_clipnorm": 0.05,
    },
    "lion": {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.99, "weight_decay": 0.01},
}
# the losses' numbers, where they have any
LOSS_PARAMS = {
    "huber": (0.7,),
    "quantile": (0.8,),
    "focal": (0.1, 1.5, 0.25, 0.75),
    "focal_logits": (0.1, 1.5, 0.25, 0.75),
    "focal_xent": (0.1, 1.5, 0.25),
    "focal_xent_logits": (0.1, 1.5, 0.25),
    "gaussian_nll": (-3.0, 0.9),
    "half_squared": (0.1,),
    "log_loss": (1e-3,),
}
ENGINE_NAMES = {
    "momentum": "sgd",
    "nesterov": "sgd",
    "decay": "adam",
    "clipped": "adam",
    "clipnorm": "adam",
    "global_clipnorm": "sgd",
    "centered": "rmsprop",
}


@pytest.fixture
def in_child() -> Callable[..., int | None]:
    """run(function, seconds=20): the exit code of a forked child that runs it, None if it hung."""

    def run(function: Callable[[], object], seconds: float = 20) -> int | None:
        child = os.fork()
        if child == 0:
            try:
                function()
            except BaseException as error:
                print(f"in the child: {error!r}", file=sys.stderr)
                os._exit(1)
            os._exit(0)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            finished, status = os.waitpid(child, os.WNOHANG)
            if finished:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return None

    return run


@pytest.fixture(params=["native", "reference"])
def engine(request: pytest.FixtureRequest) -> type:
    """Each of the two engines with the interface of docs/architecture.md."""
    if request.param == "reference":
        return reference.Network
    from fastnn._native.network import Network

    return Network


@pytest.fixture
def build() -> Callable[..., Any]:
    """Build a network with random weights: equal seeds give equal weights, whatever the engine."""

    def build(engine: type, dtype: str, inputs: int, ops: list[tuple[Any, ...]], seed: int = 0):
        rng = np.random.default_rng(seed)
        net = engine(dtype, inputs, ops)
        features = inputs
        for op, (kind, *arguments) in enumerate(ops):
            if kind == "dense":
                units = arguments[0]
                scale = 1 / np.sqrt(features)
                net.set_kernel(op, rng.normal(0, scale, (features, units)).astype(dtype))
                if arguments[2]:
                    net.set_bias(op, rng.normal(0, 0.1, units).astype(dtype))
                features = units
            elif kind == "scale_shift":
                scale = rng.uniform(0.5, 2, features).astype(dtype)
                net.set_scale_shift(op, scale, rng.normal(size=features).astype(dtype))
            elif kind in ("embed", "take"):
                own = len(arguments[-1]) * (arguments[1] if kind == "embed" else 1)
                follows = op > 0 and ops[op - 1][0] in ("embed", "take")
                features = own + (features if follows else 0)
                if kind == "embed":
                    net.set_kernel(op, rng.normal(0, 1, arguments[:2]).astype(dtype))
            elif kind in ("layer_norm", "batch_norm", "prelu"):
                scale, center = (True, False) if kind == "prelu" else arguments[-2:]
                if scale:
                    net.set_kernel(op, rng.uniform(0.5, 2, (1, features)).astype(dtype))
                if center:
                    net.set_bias(op, rng.normal(0, 0.3, features).astype(dtype))
                if kind == "batch_norm":
                    mean = rng.normal(0, 0.3, features).astype(dtype)
                    net.set_statistics(op, mean, rng.uniform(0.5, 2, features).astype(dtype))
        return net

    return build


@pytest.fixture
def compile_with() -> Callable[..., None]:
    """Compile with an optimizer of HYPER, by name; other numbers override its own."""

    def compile_with(
        net: Any,
        loss: str | None,
        optimizer: str,
        metrics: tuple[str, ...] = (),
        smoothing: float = 0.0,
        **hyper: Any,
    ) -> None:
        name = ENGINE_NAMES.get(optimizer, optimizer)
        params = (smoothing,) if smoothing else LOSS_PARAMS.get(loss or "", ())
        net.compile(loss, name, list(metrics), {**HYPER[optimizer], **hyper}, params)

    return compile_with


@pytest.fixture
def problem() -> Callable[..., tuple[Array, Array, Array]]:
    """Make x (n, inputs), y and sample weights (n,) that suit a loss.

    y is (n, outputs): numbers or classes as the loss has them, or rows that sum to one; with
    labels=True class ids (n,).
    """

    def problem(
        n: int,
        inputs: int,
        outputs: int,
        loss: str,
        dtype: str,
        labels: bool = False,
        seed: int = 1,
    ) -> tuple[Array, Array, Array]:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, inputs)).astype(dtype)
        if labels:
            y = rng.integers(0, outputs, n).astype(np.int32)
        elif loss == "mape":
            y = rng.uniform(1, 3, (n, outputs)).astype(dtype)
        elif loss == "gaussian_nll":
            y = rng.normal(size=(n, outputs // 2)).astype(dtype)
        elif loss in ("mse", "mae", "huber", "log_cosh", "quantile", "cosine", "half_squared"):
            y = rng.normal(size=(n, outputs)).astype(dtype)
        elif loss in ("msle", "poisson", "half_poisson"):
            y = rng.poisson(3, (n, outputs)).astype(dtype)
        elif loss == "categorical_hinge":
            y = np.eye(outputs, dtype=dtype)[rng.integers(0, outputs, n)]
        elif loss in ("bce", "focal", "focal_logits", "hinge", "squared_hinge", "log_loss"):
            y = (rng.random((n, outputs)) > 0.5).astype(dtype)
        else:
            y = rng.dirichlet(np.ones(outputs), n).astype(dtype)
        return x, y, rng.uniform(0.5, 2, n).astype(dtype)

    return problem
