"""The loops of `fit` and `evaluate`, on data that is checked."""

from collections.abc import Callable, Iterator
from math import ceil
from typing import Any

import numpy as np

from fastnn._arguments import Data
from fastnn.callbacks import CallbackList
from fastnn.utils import draw_permutation

# The engine is called for so long at a time; in between come Ctrl-C, progress and callbacks.
SLICE_SECONDS = 0.05


def orders(samples: int, rows: int, shuffle: bool) -> Iterator[np.ndarray]:
    """For each epoch the samples in its order: all, or `rows` that go on where the last ended."""
    whole = np.arange(samples)
    left = whole[:0]
    while rows == samples:
        yield draw_permutation(samples) if shuffle else whole
    while True:
        parts = [left]
        while sum(map(len, parts)) < rows:
            parts.append(draw_permutation(samples) if shuffle else whole)
        order = np.concatenate(parts)
        left = order[rows:]
        yield order[:rows]


def fit(
    model: Any,
    data: Data,
    orders: Iterator[np.ndarray],
    batch_size: int,
    epochs: range,
    hooks: CallbackList,
    validation: Data | None,
    validated: Callable[[int], bool],
) -> None:
    """Train, each epoch in the next of the orders."""
    model.stop_training, model.resume_epoch = False, 0
    hooks.on_train_begin()
    logs: dict[str, float] = {}
    for epoch in epochs[max(0, model.resume_epoch - epochs.start) :]:
        hooks.on_epoch_begin(epoch)
        logs = train_epoch(model, data, next(orders), batch_size, hooks)
        if validation and validated(epoch):
            hooks.on_test_begin()
            results = evaluate(model, validation)
            hooks.on_test_end(results)
            logs |= {f"val_{name}": value for name, value in results.items()}
        hooks.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    hooks.on_train_end(logs)


def train_epoch(
    model: Any, data: Data, index: np.ndarray, batch_size: int, hooks: CallbackList
) -> dict[str, float]:
    """One pass over `index`, in slices of time, or of one batch where a callback wants that."""
    train, each_batch = model._engine().train, hooks.wants_batches
    seconds = 0.0 if each_batch else SLICE_SECONDS
    stop, sums = 0, model._sums()
    rates = model.optimizer.rates(ceil(len(index) / batch_size))
    logs: dict[str, float] = {}
    while stop < len(index) and not model.stop_training:
        if each_batch:
            hooks.on_train_batch_begin(stop // batch_size, logs)
        model._send_hyper()
        model._forget_rows()
        stop, loss, values = train(*data, index, batch_size, stop, seconds, None, sums, rates)
        logs = model._means(loss, values, stop)
        if each_batch:
            hooks.on_train_batch_end((stop - 1) // batch_size, logs)
        hooks.on_progress(stop, logs)
    return logs


def evaluate(model: Any, data: Data) -> dict[str, float]:
    """Loss and metrics on data."""
    model._forget_rows(gradients=False)
    engine_evaluate, index = model._engine().evaluate, np.arange(len(data[0]))
    stop, sums = 0, model._sums()
    while stop < len(index):
        stop, loss, values = engine_evaluate(*data, index, stop, SLICE_SECONDS, None, sums)
    means: dict[str, float] = model._means(loss, values, stop)
    return means
