"""A whole training epoch: the native engine beside its NumPy twin, same weights, same order."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Compare
from workloads import THREADS, WORKLOADS

from fastnn import reference
from fastnn._native.network import Network
from fastnn.cli.workloads import Workload, train_epoch


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_epoch(compare: Compare, workload: Workload, threads: int) -> None:
    x, y = workload.data()
    index = workload.index()
    native, numpy = workload.network(Network), workload.network(reference.Network)

    def epoch(net: Any) -> float:
        return train_epoch(net, x, y, index, workload.batch_size, threads)

    def first_weights() -> None:
        workload.reset(native)
        workload.reset(numpy)

    compare(
        "epoch",
        workload.title,
        fastnn=lambda: epoch(native),
        numpy=lambda: epoch(numpy),
        check=lambda ours, theirs: check_loss(ours, theirs),
        threads=threads,
        flops=float(workload.flops),
        setup=first_weights,
    )


def check_loss(ours: float, theirs: float) -> None:
    assert ours == pytest.approx(theirs, rel=0.01)
