"""Epochs of an estimator: scikit-learn's order of samples, penalty and rule of when to stop."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn._arguments import Data
from fastnn._feeds import ArrayFeed, Orders, State
from fastnn._native.shuffles import shuffle
from fastnn.callbacks import Callback, CallbackList
from fastnn.models import Sequential


class Shuffles(Orders):
    """For each epoch the samples in its order: that of the last one, shuffled by a RandomState."""

    def __init__(self, samples: int, random_state: np.random.RandomState | None) -> None:
        super().__init__(samples, samples, random_state is not None)
        self._random_state = random_state
        self._order = np.arange(samples, dtype=np.int64)

    def next(self, epochs: int = 1) -> np.ndarray:
        """The next epoch's; as `Rule` looks at each, no more are asked for at once."""
        if self._random_state is not None:
            # scikit-learn's numbers: it shuffles places, and takes the samples at these
            shuffle(self._order, self._random_state)
        return self._order

    def get_state(self, under_way: bool) -> State:
        raise ValueError(
            "callbacks: expected none that saves backups, which have no place for a RandomState; "
            "pickle the estimator between calls of partial_fit"
        )


class Feed(ArrayFeed):
    """Samples whose penalty, and whose losses, are divided by the sum of each batch's weights."""

    def __init__(
        self,
        model: Sequential,
        data: Data,
        batch_size: int,
        random_state: np.random.RandomState | None,
        num_threads: int | None,
    ) -> None:
        samples = len(data[0])
        super().__init__(model, data, samples, samples, batch_size, random_state is not None)
        self.orders = Shuffles(samples, random_state)
        self.batch_size = batch_size
        self._threads = num_threads
        self._weight = data[2]
        self._starts = np.arange(0, samples, batch_size)
        self._rows = np.diff(np.append(self._starts, samples))
        self._penalty_scales = 1.0 / self._rows

    def begin(self, samples: int, batch: int, iterations: int, epochs: int = 1) -> None:
        super().begin(samples, batch, iterations, epochs)
        if self._weight is not None:
            self._divide_weights(self._weight)

    def _divide_weights(self, weight: np.ndarray) -> None:
        """The engine's mean over a batch is to be the mean by weight."""
        ordered = weight[self._index].astype(np.float64)
        sums = np.add.reduceat(ordered, self._starts)
        if not sums.all():
            raise ZeroDivisionError(
                "sample_weight: expected a positive sum in each batch, with class_weight, got a "
                "batch of zeros"
            )
        self._penalty_scales = 1 / sums
        divided = np.empty_like(weight)
        divided[self._index] = ordered * np.repeat(self._rows / sums, self._rows)
        self._data = (*self._data[:2], divided)


class Rule(Callback):
    """When scikit-learn's stochastic solvers stop or slow down, and what they keep of an epoch.

    Parameters
    ----------
    estimator
        Being fitted.
    score : callable, optional
        The score on the validation data.
    samples : int
        In an epoch.

    Attributes
    ----------
    converged : bool
        Whether it has stopped the training.
    """

    def __init__(self, estimator: Any, score: Callable[[], float] | None, samples: int) -> None:
        self._estimator, self._score, self._samples = estimator, score, samples
        self._rate = estimator._optimizer.learning_rate
        self.converged = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        of, results = self._estimator, logs or {}
        of.n_iter_ += 1
        of.t_ += self._samples
        of.loss_ = results["loss"]
        of.loss_curve_.append(of.loss_)
        self._say("Iteration %d, loss = %.8f", of.n_iter_, of.loss_)
        failed = self._failed(results)
        of._no_improvement_count = of._no_improvement_count + 1 if failed else 0
        of._optimizer.iteration_ends(of.t_)
        if of._no_improvement_count > of.n_iter_no_change:
            self._slow_down_or_stop()
        if of._optimizer.learning_rate != self._rate:
            self._rate = self.model.optimizer.learning_rate = of._optimizer.learning_rate

    @property
    def _verbose(self) -> bool:
        return bool(self._estimator.verbose) and self._estimator.verbose != "progress"

    def _say(self, line: str, *values: Any) -> None:
        if self._verbose:
            print(line % values)

    def _failed(self, results: dict[str, Any]) -> bool:
        """Whether the epoch has brought less than `tol`; NaN is no failure, as in scikit-learn."""
        of = self._estimator
        if self._score is not None:
            score = results["val_score"] = self._score()
            of.validation_scores_.append(score)
            self._say("Validation score: %f", score)
        if not of.early_stopping:
            failed = of.loss_ > of.best_loss_ - of.tol
            if of.loss_ < of.best_loss_:
                of.best_loss_ = of.loss_
            return bool(failed)
        failed = score < of.best_validation_score_ + of.tol
        if score > of.best_validation_score_:
            of.best_validation_score_ = score
            of._best_weights = self.model.get_weights()
        return bool(failed)

    def _slow_down_or_stop(self) -> None:
        of = self._estimator
        what = "Validation score" if of.early_stopping else "Training loss"
        line = "%s did not improve more than tol=%f for %d consecutive epochs."
        if of._optimizer.trigger_stopping(
            line % (what, of.tol, of.n_iter_no_change), self._verbose
        ):
            self.converged = self.model.stop_training = True
        else:
            of._no_improvement_count = 0


def validation_parts(validation_data: Any) -> tuple[Any, Any, Any]:
    """Its X, y and weights of the samples, or None for those."""
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise ValueError(
            "validation_data: expected a tuple (X, y) or (X, y, sample_weight), got "
            f"{type(validation_data).__name__}"
        )
    X, y, *weight = validation_data
    return X, y, weight[0] if weight else None


def train(model: Sequential, feed: Feed, epochs: int, callbacks: list[Callback]) -> None:
    """So many epochs, or fewer where a callback stops them."""
    params = {"epochs": epochs, "steps": feed.steps, "batch_size": feed.batch_size, "verbose": 0}
    hooks = CallbackList(callbacks, model, params)
    with model._lock:
        model._run_epochs(feed, range(epochs), hooks)
