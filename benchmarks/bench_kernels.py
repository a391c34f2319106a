"""Elementwise kernels, their derivatives, and softmax, each beside its NumPy twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from harness import Compare, agree
from workloads import kernels as kernel_names

from fastnn import kernels, reference

SIZES = [10_000, 1_000_000, pytest.param(10_000_000, marks=pytest.mark.full)]
SHAPES = [(1000, 10), (1000, 1000)]


def inputs(shape: tuple[int, ...]) -> Any:
    """Float32 values in (0, 6): where every function is defined, and as fast as anywhere."""
    return np.random.default_rng(5).uniform(0.1, 6, shape).astype(np.float32)


def compare_kernel(compare: Compare, name: str, case: str, *operands: Any) -> None:
    """Run a kernel and its twin on the same operands, each into an array of its own."""
    ours, theirs = np.empty_like(operands[0]), np.empty_like(operands[0])
    fast: Callable[..., Any] = getattr(kernels, name)
    slow: Callable[..., Any] = getattr(reference, name)

    compare(
        "elementwise",
        f"{name}, {case}",
        fastnn=lambda: fast(*operands, out=ours, num_threads=1),
        numpy=lambda: slow(*operands, out=theirs),
        check=agree(16),  # 1 - y and the sums of a row lose some digits
        bytes=float(sum(np.asarray(each).nbytes for each in (*operands, ours))),
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", kernel_names("UNARY"))
def test_forward(compare: Compare, name: str, size: int) -> None:
    compare_kernel(compare, name, f"{size:.0e}".replace("+0", ""), inputs((size,)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", kernel_names("GRAD"))
def test_backward(compare: Compare, name: str, size: int) -> None:
    x = inputs((size,))
    forward = name.removesuffix("_backward")
    saved = x if forward in reference.kernels.SAVES_INPUT else getattr(reference, forward)(x)
    compare_kernel(compare, name, f"{size:.0e}".replace("+0", ""), saved, inputs((size,)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", kernel_names("CURVE"))
def test_curve(compare: Compare, name: str, size: int) -> None:
    """The activations that take numbers, at other ones than a plain activation has."""
    compare_kernel(compare, name, f"{size:.0e}".replace("+0", ""), inputs((size,)), 0.5, 2.0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", kernel_names("CURVE_GRAD"))
def test_curve_backward(compare: Compare, name: str, size: int) -> None:
    operands = inputs((size,)), inputs((size,)), 0.5, 2.0
    compare_kernel(compare, name, f"{size:.0e}".replace("+0", ""), *operands)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
@pytest.mark.parametrize("name", kernel_names("ROWS"))
def test_rows_forward(compare: Compare, name: str, shape: tuple[int, int]) -> None:
    compare_kernel(compare, name, f"{shape[0]} x {shape[1]}", inputs(shape))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
@pytest.mark.parametrize("name", kernel_names("ROWS_GRAD"))
def test_rows_backward(compare: Compare, name: str, shape: tuple[int, int]) -> None:
    y = getattr(reference, name.removesuffix("_backward"))(inputs(shape))
    compare_kernel(compare, name, f"{shape[0]} x {shape[1]}", y, inputs(shape))
