"""How fastnn and NumPy are checked against each other and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import threadpoolctl

from fastnn import kernels

Function = Callable[[], Any]

SECONDS = 0.2  # for the rounds of one entry, unless --benchmark-max-time says otherwise
SETTLE_SECONDS = 0.05  # the BLAS's threads spin on for about that long after a call


def agree(multiple: int) -> Callable[[Any, Any], None]:
    """Return a check that arrays, or tuples of them, are equal within `multiple` float32 eps."""
    tolerance = multiple * float(np.finfo(np.float32).eps)

    def check(actual: Any, expected: Any) -> None:
        if not isinstance(actual, tuple):
            actual, expected = (actual,), (expected,)
        for ours, theirs in zip(actual, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)

    return check


def peak(threads: int) -> float:
    """Return the machine's multiply-add peak just now, in FLOP/s."""
    return float(kernels.fma_peak(num_threads=threads))


class Compare:
    """Checks that fastnn and NumPy do the same work, then times one of them.

    Parameters
    ----------
    benchmark : pytest-benchmark's fixture
    implementation : {"fastnn", "numpy"}
        The one that this entry times; the entry of the other is in the same group.
    """

    def __init__(self, benchmark: Any, implementation: str) -> None:
        self.benchmark = benchmark
        self.implementation = implementation

    def __call__(
        self,
        suite: str,
        case: str,
        *,
        fastnn: Function,
        numpy: Function,
        check: Callable[[Any, Any], None],
        threads: int = 1,
        setup: Function | None = None,
        **amounts: float,
    ) -> None:
        """Compare the results of `fastnn` and `numpy` by `check`, and time one of the functions.

        `setup` goes before each call and is not timed. `amounts` are the `flops` or the `bytes` of
        one call, for the report. NumPy's BLAS gets as many threads as `threads` gives fastnn.
        """
        self.benchmark.group = f"{suite}: {case}, {threads} threads"
        self.benchmark.extra_info.update(
            suite=suite, case=case, threads=threads, implementation=self.implementation, **amounts
        )
        with threadpoolctl.threadpool_limits(threads, user_api="blas"):
            if setup is not None:
                setup()
            check(fastnn(), numpy())
            time.sleep(SETTLE_SECONDS)
            if "flops" in amounts and self.implementation == "fastnn":
                self.benchmark.extra_info["fma_peak"] = peak(threads)
            self.time(fastnn if self.implementation == "fastnn" else numpy, setup)

    def time(self, function: Function, setup: Function | None) -> None:
        """Time as many rounds as fit into SECONDS."""
        if setup is None:
            self.benchmark(function)
            return
        seconds = []
        for _ in range(2):  # the better of two tells how long it takes when nobody disturbs it
            setup()
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
        rounds = min(max(int(SECONDS / min(seconds)), 3), 100)
        self.benchmark.pedantic(function, setup=setup, rounds=rounds)
