"""Training on a loss that is a Python function: batch by batch, through forward and backward."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np

from fastnn._data import Shape, as_rows
from fastnn._judge import call
from fastnn._measures import Measure
from fastnn.losses import FunctionLoss
from fastnn.optimizers import Optimizer
from fastnn.reference.network import measure

EVALUATE_ROWS = 1024


class OwnLossEngine:
    """`train` and `evaluate` of a network, as docs/architecture.md has them, for a `FunctionLoss`.

    Parameters
    ----------
    network
        Compiled with the optimizer, without a loss.
    loss : FunctionLoss
    optimizer : Optimizer
    metrics : sequence of Measure
        The engine's words for them; computed by the kernels' NumPy twins.
    output_shape : tuple of int
        Of a sample's outputs, as the function sees them.
    targets_are_free : bool
        Whether the function sees the targets as they come; else they come as rows, and it sees them
        in the outputs' shape.
    """

    def __init__(
        self,
        network: Any,
        loss: FunctionLoss,
        optimizer: Optimizer,
        metrics: Sequence[Measure],
        output_shape: Shape,
        targets_are_free: bool,
    ) -> None:
        self._network, self._loss, self._optimizer = network, loss, optimizer
        self._metrics, self._output_shape = metrics, output_shape
        self._targets_are_free = targets_are_free

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
        outputs: np.ndarray | None = None,
        penalty_scales: np.ndarray | None = None,
    ) -> tuple[int, float, list[float]]:
        """Steps on batches of rows `index` from position `start` on, for about `max_seconds`."""
        sums = np.zeros(1 + len(self._metrics)) if sums is None else sums
        deadline = perf_counter() + max_seconds
        while True:
            rows = index[start : start + batch_size]
            if learning_rates is not None:
                rate = float(learning_rates[start // batch_size])
                self._network.set_hyper({**self._optimizer.hyper, "learning_rate": rate})
            self._network.drawn_at = -1  # a step's numbers, whoever looked at outputs before it
            p = self._network.forward(x[rows], num_threads, True)
            losses, dp = self._judge(p, y, sample_weight, rows, sums)
            if outputs is not None:
                outputs[start : start + len(rows)] = p
            scale = 1.0 if penalty_scales is None else float(penalty_scales[start // batch_size])
            sums[0] += losses.sum() + len(rows) * scale * self._network.penalty()
            self._network.backward(dp / p.dtype.type(len(rows)), num_threads)
            self._network.apply_gradients(num_threads, scale)
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
        outputs: np.ndarray | None = None,
    ) -> tuple[int, float, list[float]]:
        """What `train` returns, without training."""
        sums = np.zeros(1 + len(self._metrics)) if sums is None else sums
        deadline = perf_counter() + max_seconds
        while True:
            rows = index[start : start + EVALUATE_ROWS]
            p = np.empty((len(rows), self._network.output_size), self._network.dtype)
            self._network.predict(x[rows], p, num_threads)
            losses, _ = self._judge(p, y, sample_weight, rows, sums)
            if outputs is not None:
                outputs[start : start + len(rows)] = p
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
            sums[i] += measure(name, p, target).sum()
        shape = (len(p), *self._output_shape)
        target = target if self._targets_are_free else target.reshape(shape)
        losses, dp = call(self._loss.function, f"loss {self._loss.name}", target, p.reshape(shape))
        dp = as_rows(dp)
        if sample_weight is not None:
            weight = sample_weight[rows]
            losses, dp = losses * weight, dp * weight[:, None]
        return losses, dp
