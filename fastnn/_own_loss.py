"""Training on a loss that is a Python function: batch by batch, through forward and backward."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np

from fastnn._data import numeric
from fastnn.losses import FunctionLoss
from fastnn.optimizers import Optimizer
from fastnn.reference.kernels import KERNELS

EVALUATE_ROWS = 1024


class OwnLossEngine:
    """`train` and `evaluate` of a network, as docs/architecture.md has them, for a `FunctionLoss`.

    Parameters
    ----------
    network
        Compiled with the optimizer, without a loss.
    loss : FunctionLoss
    optimizer : Optimizer
    metrics : sequence of str
        The engine's words for them; computed by the kernels' NumPy twins.
    """

    def __init__(
        self, network: Any, loss: FunctionLoss, optimizer: Optimizer, metrics: Sequence[str]
    ) -> None:
        self._network, self._loss, self._optimizer = network, loss, optimizer
        self._metrics = metrics

    def train(
        self,
        x: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
        index: np.ndarray,
        batch_size: int,
        start: int,
        max_seconds: float,
        num_threads: int | None = None,
        sums: np.ndarray | None = None,
        learning_rates: np.ndarray | None = None,
    ) -> tuple[int, float, list[float]]:
        """Steps on batches of rows `index` from position `start` on, for about `max_seconds`."""
        sums = np.zeros(1 + len(self._metrics)) if sums is None else sums
        deadline = perf_counter() + max_seconds
        while True:
            rows = index[start : start + batch_size]
            if learning_rates is not None:
                rate = float(learning_rates[start // batch_size])
                self._network.set_hyper({**self._optimizer.hyper, "learning_rate": rate})
            p = self._network.forward(x[rows], num_threads, True)
            losses, dp = self._judge(p, y, sample_weight, rows, sums)
            sums[0] += losses.sum() + len(rows) * self._network.penalty()
            self._network.backward(dp / p.dtype.type(len(rows)), num_threads)
            self._network.apply_gradients(num_threads)
            start += len(rows)
            if start >= len(index) or perf_counter() >= deadline:
                return start, sums[0], sums[1:].tolist()

    def evaluate(
        self,
        x: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
        index: np.ndarray,
        start: int,
        max_seconds: float,
        num_threads: int | None = None,
        sums: np.ndarray | None = None,
    ) -> tuple[int, float, list[float]]:
        """What `train` returns, without training."""
        sums = np.zeros(1 + len(self._metrics)) if sums is None else sums
        deadline = perf_counter() + max_seconds
        while True:
            rows = index[start : start + EVALUATE_ROWS]
            p = np.empty((len(rows), self._network.output_size), self._network.dtype)
            self._network.predict(x[rows], p, num_threads)
            losses, _ = self._judge(p, y, sample_weight, rows, sums)
            sums[0] += losses.sum() + len(rows) * self._network.penalty()
            start += len(rows)
            if start >= len(index) or perf_counter() >= deadline:
                return start, sums[0], sums[1:].tolist()

    def _judge(
        self,
        p: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
        rows: np.ndarray,
        sums: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weighted losses and their gradient to the outputs; the metrics go into `sums`."""
        target = y[rows]
        for i, name in enumerate(self._metrics, 1):
            sums[i] += KERNELS[name](p, target).sum()
        losses, dp = call(self._loss, target, p)
        if sample_weight is not None:
            weight = sample_weight[rows]
            losses, dp = losses * weight, dp * weight[:, None]
        return losses, dp


def call(loss: FunctionLoss, y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the function returns, as arrays (samples,) and (samples, outputs) of `p`'s dtype.

    Raises
    ------
    TypeError
        If it does not return two things, or they are no numbers.
    ValueError
        If their shapes are others.
    """
    result = loss.function(y, p)
    name = f"loss {loss.name}"
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise TypeError(
            f"{name}: expected a tuple (loss of each sample, its gradient to y_pred), got "
            f"{type(result).__name__}"
        )
    arrays = []
    for value, shape, what in (
        (result[0], p.shape[:1], "the loss of each sample"),
        (result[1], p.shape, "a gradient to y_pred"),
    ):
        array = numeric(value, f"{name}, {what}")
        if array.shape != shape:
            raise ValueError(f"{name}: expected {what} of shape {shape}, got shape {array.shape}")
        arrays.append(np.require(array, p.dtype, ["C_CONTIGUOUS", "ALIGNED", "ENSUREARRAY"]))
    return arrays[0], arrays[1]
