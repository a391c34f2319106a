"""A dense layer: product, bias and activation forward; all three gradients backward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import Compare, agree
from workloads import THREADS

from fastnn import kernels, reference

# (rows, inputs, units)
SHAPES = [(32, 64, 64), (128, 784, 512), (1024, 256, 256)]

shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
activations = pytest.mark.parametrize("activation", ["relu", "tanh"])
thread_counts = pytest.mark.parametrize("threads", THREADS)


def operands(shape: tuple[int, int, int]) -> tuple[Any, Any, Any]:
    """x, kernel and bias, scaled so that the outputs are of the order of 1."""
    rows, inputs, units = shape
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (rows, inputs)).astype(np.float32)
    kernel = rng.uniform(-1, 1, (inputs, units)).astype(np.float32) / np.float32(inputs) ** 0.5
    return x, kernel, rng.uniform(-1, 1, units).astype(np.float32)


@thread_counts
@activations
@shapes
def test_dense_forward(
    compare: Compare, shape: tuple[int, int, int], activation: str, threads: int
) -> None:
    rows, inputs, units = shape
    x, kernel, bias = operands(shape)
    ours, theirs = np.empty((2, rows, units), np.float32)
    compare(
        "dense",
        f"forward, {activation}, {rows} x {inputs} to {units}",
        fastnn=lambda: kernels.dense_forward(
            x, kernel, bias, activation=activation, out=ours, num_threads=threads
        ),
        numpy=lambda: reference.dense_forward(x, kernel, bias, activation=activation, out=theirs),
        check=agree(inputs),
        threads=threads,
        flops=2.0 * rows * inputs * units,
    )


@thread_counts
@activations
@shapes
def test_dense_backward(
    compare: Compare, shape: tuple[int, int, int], activation: str, threads: int
) -> None:
    rows, inputs, units = shape
    x, kernel, bias = operands(shape)
    y = reference.dense_forward(x, kernel, bias, activation=activation)
    dy = np.random.default_rng(4).uniform(-1, 1, (rows, units)).astype(np.float32)
    compare(
        "dense",
        f"backward, {activation}, {rows} x {inputs} to {units}",
        fastnn=lambda: kernels.dense_backward(
            x, kernel, y, dy, activation=activation, num_threads=threads
        ),
        numpy=lambda: reference.dense_backward(x, kernel, y, dy, activation=activation),
        check=agree(max(shape)),
        threads=threads,
        flops=4.0 * rows * inputs * units,
    )
