"""One module a peer: how it trains, multiplies, and so on, at its best practice.

Each module has a class `Peer`. A worker makes one of it, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from tasks import Elementwise, Matmul, Prediction, Training

from fastnn.cli.workloads import Array

Function = Callable[[], Any]


class UnsupportedError(Exception):
    """A peer has no such function, or not for this dtype."""


class Trainer(Protocol):
    """A network, its data and its optimizer."""

    def reset(self) -> None:
        """Put the first weights back and begin the optimizer anew; not timed."""

    def run(self) -> None:
        """Train the task's epochs, and wait until they are done."""

    def weights(self) -> list[Array]:
        """Kernel and bias of each layer by turns."""


class Adapter:
    """A peer that can do nothing; each module overrides what its peer can.

    Parameters
    ----------
    threads : int
        How many the peer may use.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def versions(self) -> dict[str, str]:
        """Versions of the packages that do the work."""
        raise NotImplementedError

    def training(self, task: Training) -> Trainer:
        raise UnsupportedError("does not train")

    def matmul(self, task: Matmul) -> Function:
        raise UnsupportedError("has no matrix product")

    def elementwise(self, task: Elementwise) -> Function:
        raise UnsupportedError("has no elementwise functions")

    def prediction(self, task: Prediction) -> Function:
        raise UnsupportedError("does not predict")

    def to_numpy(self, result: Any) -> Array:
        """What a function of this peer returned."""
        return np.asarray(result)
