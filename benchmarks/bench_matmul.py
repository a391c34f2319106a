"""Matrix products: the forward pass of a dense layer and the two of its backward pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import Compare, agree
from workloads import BACKWARD, FEW_SHAPES, FORWARD, MATMUL_SHAPES, THREADS

from fastnn import kernels
from fastnn.cli.workloads import matmul_operands

FORMS = FORWARD | BACKWARD
SHAPES = [*MATMUL_SHAPES, *FEW_SHAPES]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_matmul(compare: Compare, shape: tuple[int, int, int], form: str, threads: int) -> None:
    m, n, k = shape
    transpose_a, transpose_b = FORMS[form]
    a, b = matmul_operands(shape, transpose_a, transpose_b)
    left, right = a.T if transpose_a else a, b.T if transpose_b else b
    ours, theirs = np.empty((m, n), np.float32), np.empty((m, n), np.float32)

    def run_fastnn() -> Any:
        return kernels.matmul(
            a,
            b,
            transpose_a=transpose_a,
            transpose_b=transpose_b,
            out=ours,
            num_threads=threads,
        )

    compare(
        "matmul",
        f"{form}, {m} x {n} x {k}",
        fastnn=run_fastnn,
        numpy=lambda: np.matmul(left, right, out=theirs),
        check=agree(k),
        threads=threads,
        flops=2.0 * m * n * k,
    )
