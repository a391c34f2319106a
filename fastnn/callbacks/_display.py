"""What `fit` shows."""

import sys
from numbers import Real
from time import perf_counter
from typing import Any

from fastnn.callbacks._base import Callback, Logs


def _texts(logs: Logs) -> dict[str, str]:
    return {
        name: f"{value:#.4g}" if isinstance(value, Real) else str(value)
        for name, value in logs.items()  # a callback may have added anything
    }


def results_line(logs: Logs) -> str:
    """Such as "loss: 0.1234 - accuracy: 0.9876".

    Examples
    --------
    >>> from fastnn.callbacks import results_line
    >>> results_line({"loss": 0.12345, "accuracy": 0.5})
    'loss: 0.1235 - accuracy: 0.5000'
    """
    return " - ".join(f"{name}: {text}" for name, text in _texts(logs).items())


class ProgressBar(Callback):
    """A bar over the whole of `fit`: epoch, loss, metrics and time left (`verbose=1`).

    Examples
    --------
    >>> from fastnn.callbacks import ProgressBar
    >>> bar = ProgressBar()  # fit(verbose=1) has one of its own
    """

    _bar: Any = None

    def _open(self) -> None:
        from tqdm import tqdm  # only where a bar is shown

        class Bar(tqdm):  # type: ignore[type-arg]
            monitor_interval = 0  # no thread that watches over the bar

        steps = self.params["steps"]
        self._bar = Bar(
            initial=self._done(),
            total=None if steps is None else steps * self.params["epochs"],
            unit="batch",
            file=sys.stdout,
            dynamic_ncols=True,
        )

    def _done(self) -> int:
        """Batches done, and those of epochs before the first."""
        run = self.model._run
        done: int = run.first * (self.params["steps"] or 0) + run.steps
        return done

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self._bar is None:
            self._open()
        self._bar.set_description(f"Epoch {epoch + 1}/{self.params['epochs']}", refresh=False)

    def on_progress(self, samples: int, logs: Logs) -> None:
        self._bar.set_postfix(_texts(logs), refresh=False)
        self._bar.update(self._done() - self._bar.n)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._bar.set_postfix(_texts(logs or {}), refresh=False)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class EpochLines(Callback):
    """One line an epoch (`verbose=2`).

    Examples
    --------
    >>> from fastnn.callbacks import EpochLines
    >>> lines = EpochLines()  # fit(verbose=2) has one of its own
    """

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._started = perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        seconds = perf_counter() - self._started
        results = results_line(logs or {})
        print(f"Epoch {epoch + 1}/{self.params['epochs']} - {seconds:.2f}s - {results}")
