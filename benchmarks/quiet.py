"""Whether the machine is quiet: nobody else has its cores, and these are near each other.

A neighbour on a core lowers the multiply-add peak. Two more things do not, and yet slow small
networks. A virtual machine's cores may run far from each other, where they share no cache, and two
threads take three times as long for a step: that shows in how long they take to meet. And another
virtual machine may run on the other hardware thread of a core, which leaves the multipliers alone
but takes a third of everything else: that shows in the pace of plain instructions.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from typing import NamedTuple

from fastnn import kernels

PEAK = 0.9  # of the run's best
BARRIER = 5.0  # times the run's best: near cores differ by up to 3, far ones by 8
PACE = 1.3  # times the run's best: a core to itself differs by 1.15, a shared one takes 1.7

PACE_REPEATS = 25


class Condition(NamedTuple):
    """What the machine can do at a moment, at some number of threads."""

    peak: float  # multiply-adds, FLOP/s
    barrier: float = 0.0  # seconds that the threads take to meet; one has nobody to meet
    pace: float = 0.0  # seconds of a piece of the interpreter's work, on the slowest core


def condition(threads: int, dtype: str = "float32") -> Condition:
    """The machine's just now."""
    peak = kernels.fma_peak(dtype, num_threads=threads)
    return Condition(peak, kernels.barrier_seconds(threads) if threads > 1 else 0.0, pace())


def pace() -> float:
    """Seconds of a fixed piece of the interpreter's work on the slowest core, whichever works."""
    return max(statistics.median(work_seconds()) for _ in each_core())


def work_seconds() -> Iterator[float]:
    for _ in range(PACE_REPEATS):
        start = time.perf_counter()
        for i in range(200):
            str(i)
        yield time.perf_counter() - start


def each_core() -> Iterator[int]:
    """Be on one after the other of the cores that this process may use, where systems let it."""
    if not hasattr(os, "sched_setaffinity"):
        yield 0
        return
    cores = os.sched_getaffinity(0)
    try:
        for core in sorted(cores):
            os.sched_setaffinity(0, {core})
            yield core
    finally:
        os.sched_setaffinity(0, cores)


def best_of(a: Condition, b: Condition | None) -> Condition:
    """The better of each."""
    if b is None:
        return a
    return Condition(max(a.peak, b.peak), min(a.barrier, b.barrier), min(a.pace, b.pace))


def worst_of(a: Condition, b: Condition) -> Condition:
    """The worse of each, such as of before and after a turn."""
    return Condition(min(a.peak, b.peak), max(a.barrier, b.barrier), max(a.pace, b.pace))


def disturbance(now: Condition, best: Condition) -> float:
    """How near a turn in this condition is to not counting, at 1, in a run that had that best."""
    return max(
        PEAK * best.peak / now.peak,
        now.barrier / (BARRIER * best.barrier) if best.barrier else 0.0,
        now.pace / (PACE * best.pace) if best.pace else 0.0,
    )


def is_quiet(now: Condition, best: Condition) -> bool:
    """Whether a turn in this condition counts."""
    return disturbance(now, best) <= 1
