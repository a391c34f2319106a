"""Whether the machine is quiet: nobody else has its cores, and these are near each other.

A neighbour lowers the multiply-add peak. A host that lets a virtual machine's cores run far from
each other, where they share no cache, does not, and yet two threads may take three times as long
for a small network's step: that shows in how long they take to meet.
"""

from __future__ import annotations

from typing import NamedTuple

from fastnn import kernels

PEAK = 0.9  # of the run's best
BARRIER = 5.0  # times the run's best: near cores differ by up to 3, far ones by 8


class Condition(NamedTuple):
    """What the machine can do at a moment, at some number of threads."""

    peak: float  # multiply-adds, FLOP/s
    barrier: float = 0.0  # seconds that the threads take to meet; one has nobody to meet


def condition(threads: int, dtype: str = "float32") -> Condition:
    """The machine's just now."""
    peak = kernels.fma_peak(dtype, num_threads=threads)
    return Condition(peak, kernels.barrier_seconds(threads) if threads > 1 else 0.0)


def best_of(a: Condition, b: Condition | None) -> Condition:
    """The better of each."""
    return a if b is None else Condition(max(a.peak, b.peak), min(a.barrier, b.barrier))


def worst_of(a: Condition, b: Condition) -> Condition:
    """The worse of each, such as of before and after a turn."""
    return Condition(min(a.peak, b.peak), max(a.barrier, b.barrier))


def is_quiet(now: Condition, best: Condition) -> bool:
    """Whether a turn in this condition counts, in a run that had that one at its best."""
    return now.peak >= PEAK * best.peak and now.barrier <= BARRIER * best.barrier


def least_disturbed(now: Condition, best: Condition) -> tuple[bool, float]:
    """What turns are sorted by, the best of them last."""
    return is_quiet(now, best), now.peak
