"""The loops of `fit` and `evaluate`, on data that is checked."""

import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from fastnn._arguments import Data, between
from fastnn._feeds import ArrayFeed, SourceFeed, State
from fastnn._seen import Seen
from fastnn.callbacks import CallbackList

# The engine is called for so long at a time; in between come Ctrl-C, progress and callbacks.
SLICE_SECONDS = 0.05
# Epochs that nobody looks at are trained together for about so long: one of 100 rows takes 12 us in
# the engine, and on its own 40 in between. How many these are is guessed at first.
TOGETHER_SECONDS = 0.005
GUESSED_FLOPS = 3e10  # a second, of a small network
STEP_FLOPS = 1e5  # what a step costs beside them

Results = dict[str, float]


class Fit:
    """One call of `fit`, and where it stands.

    Attributes
    ----------
    epoch : int
        The epoch that is under way or is to begin.
    steps : int
        Batches done since `fit` began, also before it was cut off and resumed.
    restore : callable or None
        What `BackupAndRestore` has found: brings model, callbacks and this object, by
        `set_state`, to where they were. Called once all callbacks have begun.
    """

    def __init__(
        self,
        model: Any,
        feed: ArrayFeed | SourceFeed,
        epochs: range,
        hooks: CallbackList,
        validation: Data | SourceFeed | None,
        validation_batch_size: int,
        validated: Callable[[int], bool],
    ) -> None:
        self._model, self._feed, self._hooks = model, feed, hooks
        self._validation, self._validated = validation, validated
        self._validation_batch_size = validation_batch_size
        self.first, self._last = epochs.start, epochs.stop
        self.epoch, self.steps = epochs.start, 0
        self.samples = self.batch = 0  # of the epoch
        self._iterations = 0  # the optimizer's, as the epoch began
        self._sums = np.zeros(0)
        self._state: State = {}
        self.restore: Callable[[], None] | None = None
        feed.orders.remember = hooks.wants_checkpoints

    def run(self) -> None:
        """Train, epoch by epoch."""
        model, hooks = self._model, self._hooks
        model.stop_training = False
        hooks.on_train_begin()
        if self.restore is not None:
            self.restore()
            self._feed.set_state(self._state["feed"])
            if isinstance(self._validation, SourceFeed):
                self._validation.set_state(self._state["validation"])
        model._search = model._full_batch()
        logs: Results = {}
        unseen = self._unseen_feed()
        epochs = 0 if unseen is None else self._guess_epochs(unseen)
        began = perf_counter()
        while self.epoch < self._last:
            if unseen is not None and epochs > 1:
                logs = self._run_unseen(unseen, min(epochs, self._last - self.epoch))
            else:
                logs = self._run_epoch()
                self.epoch += 1
                self.samples = self.batch = 0
            if model.stop_training:
                break
            if unseen is not None:
                now = perf_counter()
                epochs = int(TOGETHER_SECONDS * max(epochs, 1) / max(now - began, 1e-9))
                began = now
        model.optimizer.finalize_variable_values()
        hooks.on_train_end(logs)

    def _unseen_feed(self) -> ArrayFeed | None:
        """The data, where the engine trains alone and only a History takes notice of epochs."""
        feed = self._feed
        if self._validation is not None or not self._hooks.only_keeps_history:
            return None
        return feed if isinstance(feed, ArrayFeed) and self._model._trains_alone() else None

    def _guess_epochs(self, feed: ArrayFeed) -> int:
        """How many to train at once, before one has been: by weights, rows and steps."""
        flops = 6.0 * self._model._network.flat_weights.size * feed.rows
        return int(TOGETHER_SECONDS * GUESSED_FLOPS / (flops + STEP_FLOPS * feed.steps))

    def _run_unseen(self, feed: ArrayFeed, epochs: int) -> Results:
        """Train for several epochs at once; what they came to is told afterwards."""
        model = self._model
        sums = np.zeros((epochs, len(model._sums())))
        results: list[Results] = []
        feed.begin(0, 0, model.iterations, epochs)
        try:
            while feed.more():
                model._send_hyper()
                model._forget_rows()
                feed.train(sums.reshape(-1), None, SLICE_SECONDS)
        finally:  # also of those that were done before a Ctrl-C
            self.steps += feed.batch
            results = model._means_of_epochs(sums[: feed.samples // feed.rows], feed.rows)
            self._hooks.on_epochs_end(self.epoch, results)
            self.epoch += len(results)
        return results[-1]

    def _run_epoch(self) -> Results:
        """Train for an epoch, or what is left of it; then look at the validation data."""
        hooks, failed = self._hooks, True
        try:
            self._begin_epoch()
            logs = self._train()
            failed = False
        finally:
            self._feed.end(failed)
        if self._feed.ended and not self.samples:  # it had ended with the epoch before
            return logs
        if self._validation is not None and self._validated(self.epoch):
            results = evaluate(self._model, self._validation, hooks, self._validation_batch_size)
            logs |= {f"val_{name}": value for name, value in results.items()}
        hooks.on_epoch_end(self.epoch, logs)
        return logs

    def _begin_epoch(self) -> None:
        under_way = self.batch > 0
        if not under_way:
            self._hooks.on_checkpoint(0)
        self._hooks.on_epoch_begin(self.epoch)
        if not under_way:
            self._iterations, self._sums = self._model.iterations, self._model._sums()
        self._feed.begin(self.samples, self.batch, self._iterations)
        if under_way:  # what the epoch's beginning has changed had been changed before
            self._feed.seen.set_state(self._state["seen"])
            self.restore()  # type: ignore[misc]
        self.restore = None

    def _train(self) -> Results:
        """One pass, in slices of time, or of the batches that callbacks want."""
        model, feed, hooks = self._model, self._feed, self._hooks
        each_batch = hooks.wants_batches
        seconds = 0.0 if each_batch else SLICE_SECONDS
        logs: Results = self._logs() if self.batch else {}
        # As in Keras, an epoch that has begun trains at least one batch.
        while not (feed.batch and model.stop_training) and feed.more():
            if each_batch:
                hooks.on_train_batch_begin(feed.batch)
            model._send_hyper()
            model._forget_rows()
            batches = 1 if model.stop_training else hooks.batches_to_go(self.steps)
            feed.train(self._sums, batches, seconds)
            self.steps += feed.batch - self.batch
            self.samples, self.batch = feed.samples, feed.batch
            logs = self._logs()
            if each_batch:
                hooks.on_train_batch_end(feed.batch - 1, logs)
            hooks.on_progress(feed.samples, logs)
            hooks.on_checkpoint(feed.batch)
        self._warn_of_end()
        if feed.seen.wanted and self.samples:
            logs = _results(model, self._sums, self.samples, feed.seen)
        return logs

    def _logs(self) -> Results:
        """The results so far, without metrics of outputs."""
        return _results(self._model, self._sums, self.samples)

    def _warn_of_end(self) -> None:
        """An iterator that has ended before its time ends the training."""
        feed = self._feed
        if not feed.ended or self._model.stop_training:
            return
        if not self.steps:
            raise ValueError("x: expected at least one batch, got none")
        self._model.stop_training = True
        steps = feed.steps if isinstance(feed, SourceFeed) else None
        if self.epoch + 1 < self._last or (steps is not None and self.batch < steps):
            warnings.warn(
                f"fit: expected batches for {self._last - self.first} epochs"
                + (f" of {steps} steps" if steps is not None else "")
                + f", got an iterator that ended after {self.steps} batches; training ends",
                stacklevel=5,
            )

    def get_state(self) -> State:
        """Plain data and arrays that `set_state` goes on from."""
        validation = self._validation
        return {
            "epoch": self.epoch,
            "steps": self.steps,
            "samples": self.samples,
            "batch": self.batch,
            "iterations": self._iterations,
            "metrics": self._model.metrics_names,
            "sums": self._sums.tolist(),
            "seen": self._feed.seen.get_state(self.samples) if self.batch else None,
            "stop_training": self._model.stop_training,
            "feed": self._feed.get_state(self.batch > 0),
            "validation": (
                validation.get_state(False) if isinstance(validation, SourceFeed) else None
            ),
            "callbacks": self._hooks.get_state(),
        }

    def check_state(self, state: State) -> None:
        """Refuse what is of other data, metrics or callbacks; nothing has changed then."""
        if state["batch"]:
            names = self._model.metrics_names
            if state["metrics"] != names:
                raise ValueError(
                    f"metrics: expected those of the backup, from inside an epoch, "
                    f"{', '.join(state['metrics'])}; got {', '.join(names)}"
                )
            Seen(self._model).check_state(state["seen"], state["samples"])
        self._feed.check_state(state["feed"])
        if isinstance(self._validation, SourceFeed):
            self._validation.check_state(state["validation"] or {})
        self._hooks.check_state(state["callbacks"])

    def set_state(self, state: State) -> None:
        """Be where `get_state` was called."""
        self._state = state
        self.epoch, self.steps = state["epoch"], state["steps"]
        self.samples, self.batch = state["samples"], state["batch"]
        self._iterations = state["iterations"]
        self._sums = np.array(state["sums"])
        self._model.stop_training = state["stop_training"]
        self._hooks.set_state(state["callbacks"])


def evaluate(model: Any, data: Data | SourceFeed, hooks: CallbackList, batch_size: int) -> Results:
    """Loss and metrics on data; none, with a warning, of validation data that have ended.

    Arrays are gone through at once, but for hooks of batches, which see them in such batches.
    """
    sums, seen = model._sums(), Seen(model)
    hooks.on_test_begin()
    if isinstance(data, SourceFeed):
        samples = _add_batches(model, data, sums, seen, hooks)
    else:
        samples = len(data[0])
        size = batch_size if hooks.wants_test_batches else samples
        for batch, start in enumerate(range(0, samples, size)):
            part = between(data, start, start + size)
            _add(model, part, np.arange(len(part[0])), sums, seen, hooks, batch, start)
    results = _results(model, sums, samples, seen) if samples else {}
    hooks.on_test_end(results)
    return results


def _add_batches(
    model: Any, feed: SourceFeed, sums: np.ndarray, seen: Seen, hooks: CallbackList
) -> int:
    """Add a source's batches to the sums; returns the number of their samples."""
    failed = True
    try:
        feed.begin()
        while feed.more():
            batch, before = feed.batch, feed.samples
            data = feed.take()
            _add(model, data, feed.index(len(data[0])), sums, seen, hooks, batch, before)
        failed = False
    finally:
        feed.end(failed)
    if not feed.samples and feed.name == "x":
        raise ValueError("x: expected at least one batch, got none")
    if feed.ended and feed.batch < (feed.steps or 1):
        warnings.warn(
            f"{feed.name}: expected {feed.steps or 'more'} batches, got an iterator that ended "
            f"after {feed.batch}",
            stacklevel=4 if feed.name == "x" else 6,  # who called `evaluate` or `fit`
        )
    return feed.samples


def _add(
    model: Any,
    data: Data,
    index: np.ndarray,
    sums: np.ndarray,
    seen: Seen,
    hooks: CallbackList,
    batch: int,
    before: int,
) -> None:
    """Add the losses and metrics of a batch to the sums, and what is wanted of it to `seen`."""
    if hooks.wants_test_batches:
        hooks.on_test_batch_begin(batch)
    model._forget_rows(gradients=False)
    engine, outputs, stop = model._engine(), seen.room(data[1]), 0
    while stop < len(index):
        stop, *_ = engine.evaluate(*data, index, stop, SLICE_SECONDS, None, sums, outputs)
    if hooks.wants_test_batches:
        hooks.on_test_batch_end(batch, _results(model, sums, before + stop))


def _results(model: Any, sums: np.ndarray, samples: int, seen: Seen | None = None) -> Results:
    loss, *values = sums.tolist()
    kept = seen.first(samples) if seen else (None, None)
    means: Results = model._means(loss, values, samples, *kept)
    return means
