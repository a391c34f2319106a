"""What happens beside training: `fit` calls these hooks."""

import sys
from collections.abc import Mapping
from math import ceil
from time import perf_counter
from typing import Any

Logs = Mapping[str, float]


class Callback:
    """Base of all callbacks: override what you need.

    Attributes
    ----------
    model : Sequential
        The model in training.
    params : dict
        "epochs", "steps" (batches an epoch), "batch_size", "verbose".
    """

    model: Any = None
    params: Mapping[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Called before all other hooks."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Called before all other hooks."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called once, before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called once, after the last epoch; not where training was interrupted."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before each epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after each epoch and its validation; `logs` are the epoch's results."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch. Overriding it makes training come up for every batch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch, with the means since the epoch began. As above."""

    def on_progress(self, samples: int, logs: Logs) -> None:
        """Called about every 50 ms of an epoch, with the samples done and their means."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before the validation data, or `evaluate`'s, are gone through."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after that."""

    def close(self) -> None:
        """Called last, also where training was interrupted or failed."""


class History(Callback):
    """Keeps the results of each epoch; `fit` returns it.

    Attributes
    ----------
    history : dict of str to list of float
        "loss", each metric's name, and the same with "val_" before them.
    epoch : list of int
        The epochs that these are of, counted from 0.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def set_model(self, model: Any) -> None:
        """Keeps no model: the model keeps its History, and must die with its last user."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


def _texts(logs: Logs) -> dict[str, str]:
    return {name: f"{value:#.4g}" for name, value in logs.items()}


def results_line(logs: Logs) -> str:
    """Such as "loss: 0.1234 - accuracy: 0.9876"."""
    return " - ".join(f"{name}: {text}" for name, text in _texts(logs).items())


class ProgressBar(Callback):
    """A bar over the whole of `fit`: epoch, loss, metrics and time left (`verbose=1`)."""

    _bar: Any = None

    def _open(self) -> None:
        from tqdm import tqdm  # only where a bar is shown

        class Bar(tqdm):  # type: ignore[type-arg]
            monitor_interval = 0  # no thread that watches over the bar

        self._bar = Bar(
            initial=self._start,
            total=self.params["steps"] * self.params["epochs"],
            unit="batch",
            file=sys.stdout,
            dynamic_ncols=True,
        )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._start = epoch * self.params["steps"]
        if self._bar is None:
            self._open()
        self._bar.set_description(f"Epoch {epoch + 1}/{self.params['epochs']}", refresh=False)

    def on_progress(self, samples: int, logs: Logs) -> None:
        done = self._start + ceil(samples / self.params["batch_size"])
        self._bar.set_postfix(_texts(logs), refresh=False)
        self._bar.update(done - self._bar.n)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._bar.set_postfix(_texts(logs or {}), refresh=False)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class EpochLines(Callback):
    """One line an epoch (`verbose=2`)."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._started = perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        seconds = perf_counter() - self._started
        results = results_line(logs or {})
        print(f"Epoch {epoch + 1}/{self.params['epochs']} - {seconds:.2f}s - {results}")


class CallbackList(Callback):
    """Several callbacks as one."""

    def __init__(self, callbacks: list[Callback], model: Any, params: Mapping[str, Any]) -> None:
        self.callbacks = callbacks
        for callback in callbacks:
            callback.set_model(model)
            callback.set_params(params)
        # whether one of them overrides a hook of every batch
        self.wants_batches = any(
            getattr(type(callback), hook) is not getattr(Callback, hook)
            for callback in callbacks
            for hook in ("on_train_batch_begin", "on_train_batch_end")
        )

    def on_train_begin(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_begin(logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_end(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)

    def on_progress(self, samples: int, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_progress(samples, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_test_begin(logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_test_end(logs)

    def close(self) -> None:
        for callback in self.callbacks:
            callback.close()
