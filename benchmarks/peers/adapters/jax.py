"""JAX: a whole epoch is one compiled scan that updates its state in place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.backend import clear_backends
from tasks import Elementwise, Matmul, Prediction, Training

from adapters import Adapter, Function, UnsupportedError
from fastnn.cli.workloads import HYPER, Array, Workload

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softmax": lambda z: z,  # the loss takes logits
    "linear": lambda z: z,
}
PREDICTED_ROWS = 1000  # at a time, so that the activations stay in the cache
wait: Callable[[Any], Any] = jax.block_until_ready  # every call returns before its work is done
FUNCTIONS = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "exp": jnp.exp, "relu": jax.nn.relu}


class Peer(Adapter):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.ahead = True  # as JAX begins

    def dispatch_ahead(self, ahead: bool) -> None:
        """Whether calls run in another thread. Where each is waited for, that is 40 us of 50."""
        if self.ahead != ahead:
            jax.config.update("jax_cpu_enable_async_dispatch", ahead)
            clear_backends()  # it is read when they are made
            self.ahead = ahead

    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__}

    def training(self, task: Training) -> Scan:
        self.dispatch_ahead(True)  # of the epoch that is running
        return Scan(task)

    def matmul(self, task: Matmul) -> Function:
        self.dispatch_ahead(False)
        transpose_a, transpose_b = task.transposes
        double = task.dtype == "float64"
        context: Any = partial(jax.enable_x64, True) if double else contextlib.nullcontext

        def product(a: Any, b: Any) -> Any:
            return jnp.matmul(a.T if transpose_a else a, b.T if transpose_b else b)

        with context():
            a, b = (jnp.asarray(array, task.dtype) for array in task.operands())
            multiply = in_place(product, a, b)

        def run() -> Any:
            with context():
                return multiply()

        return run if double else multiply

    def elementwise(self, task: Elementwise) -> Function:
        if task.function not in FUNCTIONS:
            raise UnsupportedError(f"{task.function} is not measured")
        self.dispatch_ahead(False)
        return in_place(FUNCTIONS[task.function], jnp.asarray(task.operand()))

    def prediction(self, task: Prediction) -> Function:
        self.dispatch_ahead(False)
        weights = [jnp.asarray(array) for array in task.workload.weights()]
        x, last = task.operand(), task.workload.layers[-1][1]

        def part(x: Any) -> Any:
            z = logits(task.workload, jnp.dot, weights, x)
            return jax.nn.softmax(z) if last == "softmax" else z

        size = min(PREDICTED_ROWS, len(x))

        @jax.jit
        def predict(x: Any) -> Any:
            y = jax.lax.map(part, x.reshape(-1, size, x.shape[1]))
            return y.reshape(len(x), -1)

        return lambda: np.asarray(predict(x))


def in_place(function: Callable[..., Any], *operands: Any) -> Function:
    """Call it compiled; each result goes where the last one was: no new memory."""

    @partial(jax.jit, donate_argnums=0, keep_unused=True)
    def into(out: Any, *operands: Any) -> Any:
        return function(*operands)

    out = jax.jit(function)(*operands)

    def run() -> Any:
        nonlocal out
        out = wait(into(out, *operands))
        return out

    return run


class Scan:
    """Epochs of one compiled scan each.

    Parameters
    ----------
    task : Training
    """

    def __init__(self, task: Training) -> None:
        self.task = task
        shape = (task.steps, task.workload.batch_size)
        self.batches = tuple(jnp.asarray(a.reshape(*shape, *a.shape[1:])) for a in task.data())
        step = partial(
            STEPS[task.workload.optimizer], partial(loss, task.workload, DOTS[task.dtype])
        )

        @partial(jax.jit, donate_argnums=0)
        def epoch(state: Any, batches: Any) -> Any:
            return jax.lax.scan(step, state, batches)[0]

        self.epoch = epoch

    def reset(self) -> None:
        weights = [jnp.array(array) for array in self.task.workload.weights()]
        slots = [[jnp.zeros_like(w) for w in weights] for _ in range(2)]
        adam = self.task.workload.optimizer == "adam"
        self.state = wait((weights, *slots, jnp.float32(0)) if adam else weights)

    def run(self) -> None:
        for _ in range(self.task.epochs):
            self.state = self.epoch(self.state, self.batches)
        wait(self.state)

    def weights(self) -> list[Array]:
        arrays = self.state[0] if self.task.workload.optimizer == "adam" else self.state
        return [np.array(array) for array in arrays]


def mixed_dot(x: Any, w: Any) -> Any:
    """Of bfloat16 operands, added up in float32."""
    x, w = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
    return jnp.dot(x, w, preferred_element_type=jnp.float32)


DOTS: dict[str, Callable[..., Any]] = {"float32": jnp.dot, "mixed_bfloat16": mixed_dot}


def logits(workload: Workload, dot: Callable[..., Any], weights: Any, x: Any) -> Any:
    for op, (_, activation) in enumerate(workload.layers):
        x = ACTIVATIONS[activation](dot(x, weights[2 * op]) + weights[2 * op + 1])
    return x


def loss(workload: Workload, dot: Callable[..., Any], weights: Any, x: Any, y: Any) -> Any:
    z = logits(workload, dot, weights, x)
    if workload.loss == "mse":
        return jnp.mean((z - y) ** 2)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1))


def adam_step(loss: Callable[..., Any], state: Any, batch: Any) -> tuple[Any, None]:
    weights, m, v, t = state
    hyper = HYPER["adam"]
    b1, b2 = hyper["beta_1"], hyper["beta_2"]
    gradients = jax.grad(loss)(weights, *batch)
    t = t + 1
    rate = hyper["learning_rate"] * jnp.sqrt(1 - b2**t) / (1 - b1**t)
    m = [a + (1 - b1) * (g - a) for a, g in zip(m, gradients, strict=True)]
    v = [a + (1 - b2) * (g * g - a) for a, g in zip(v, gradients, strict=True)]
    weights = [
        w - rate * a / (jnp.sqrt(b) + hyper["epsilon"])
        for w, a, b in zip(weights, m, v, strict=True)
    ]
    return (weights, m, v, t), None


def sgd_step(loss: Callable[..., Any], weights: Any, batch: Any) -> tuple[Any, None]:
    rate = HYPER["sgd"]["learning_rate"]
    gradients = jax.grad(loss)(weights, *batch)
    return [w - rate * g for w, g in zip(weights, gradients, strict=True)], None


STEPS = {"adam": adam_step, "sgd": sgd_step}
