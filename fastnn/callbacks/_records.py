"""Callbacks that write down what happens, and one that sets the learning rate by the epoch."""

import os
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np

from fastnn._data import as_bool, as_int, as_number, as_path, check_neutral
from fastnn.callbacks._base import Callback, Logs, check_rate

# Keras's arguments of TensorBoard that fastnn does not support, at the values that ask for nothing
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "write_images": (False,),
    "write_steps_per_second": (False,),
    "update_freq": ("epoch",),
    "profile_batch": (0,),
    "embeddings_freq": (0,),
    "embeddings_metadata": (None,),
}


class CSVLogger(Callback):
    """Writes each epoch's results as a row of a CSV file.

    Parameters
    ----------
    filename : str or path
    separator : str of one character
    append : bool
        Whether a file that is there is continued; else it is replaced when training begins.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.
    OSError
        In `fit`, if the file cannot be written.

    Examples
    --------
    >>> from fastnn.callbacks import CSVLogger
    >>> log = CSVLogger("training.csv")
    """

    def __init__(
        self,
        filename: "str | bytes | os.PathLike[str]",
        separator: str = ",",
        append: bool = False,
    ) -> None:
        self.filename = as_path(filename, "filename")
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"separator: expected a character, got {separator!r}")
        self.separator = separator
        self.append = as_bool(append, "append")
        self._file: IO[str] | None = None
        self._names: list[str] = []
        self._new = True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.close()
        self._file = open(self.filename, "a", newline="", encoding="utf-8")  # noqa: SIM115
        self._names, self._new = [], not self.append

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self._new and self._file is not None:  # not before: a resumed training goes on with it
            self._file.truncate(0)
        self._new = False

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        import csv  # rarely needed

        logs = logs or {}
        if self._file is None:
            return
        if not self._names:
            self._names = ["epoch", *sorted(logs)]
            if not any(name.startswith("val_") for name in logs):
                self._names += [f"val_{name}" for name in sorted(logs)]  # there may be some later
        writer = csv.DictWriter(self._file, self._names, "NA", "ignore", delimiter=self.separator)
        if self._bytes() == 0:
            writer.writeheader()
        writer.writerow({"epoch": epoch, **logs})
        self._file.flush()

    def _bytes(self) -> int:
        """The file's size."""
        return 0 if self._file is None else os.fstat(self._file.fileno()).st_size

    def get_state(self) -> dict[str, Any]:
        return {"bytes": 0 if self._new else self._bytes(), "names": self._names}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take the file's rows that were written since away: they will be written again."""
        if self._bytes() < state["bytes"]:
            raise ValueError(
                f"filename: expected {self.filename!r} with at least the {state['bytes']} bytes "
                f"it had at the backup, got {self._bytes()}"
            )
        if self._file is not None:
            self._file.truncate(state["bytes"])
        self._names, self._new = list(state["names"]), False

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None


class TensorBoard(Callback):
    """Writes each epoch's results for TensorBoard, with the tensorboard package's own writer.

    Parameters
    ----------
    log_dir : str or path
        Training's results go to its folder "train", those of validation to "validation".
    histogram_freq : int >= 0
        Every so many epochs histograms of the weights are written; 0: never.
    write_graph : bool
        Taken for Keras's sake: no graph is written.
    write_images, write_steps_per_second, update_freq, profile_batch, embeddings_freq, \
    embeddings_metadata
        Keras's, at the values that ask for nothing.

    Raises
    ------
    ImportError
        If the package is missing: ``pip install tensorboard``.
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> from fastnn.callbacks import TensorBoard
    >>> board = TensorBoard("logs")  # doctest: +SKIP
    """

    def __init__(
        self,
        log_dir: "str | bytes | os.PathLike[str]" = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str = "epoch",
        profile_batch: int = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: None = None,
    ) -> None:
        self.log_dir = as_path(log_dir, "log_dir")
        self.histogram_freq = as_int(histogram_freq, "histogram_freq", 0)
        as_bool(write_graph, "write_graph")
        keras = {
            "write_images": write_images,
            "write_steps_per_second": write_steps_per_second,
            "update_freq": update_freq,
            "profile_batch": profile_batch,
            "embeddings_freq": embeddings_freq,
            "embeddings_metadata": embeddings_metadata,
        }
        check_neutral("TensorBoard", keras, _NEUTRAL)
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard: expected the tensorboard package, got none: pip install tensorboard"
            ) from error
        self._event, self._summary, self._new_writer = event_pb2, summary_pb2, EventFileWriter
        self._writers: dict[str, Any] = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        for name, value in (logs or {}).items():
            part = "validation" if name.startswith("val_") else "train"
            self._add(part, epoch, f"epoch_{name.removeprefix('val_')}", simple_value=value)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._add_histograms(epoch)
        for writer in self._writers.values():
            writer.flush()

    def _add_histograms(self, epoch: int) -> None:
        for layer in self.model.layers:
            for name, array in zip(layer.weight_names, layer.get_weights(), strict=True):
                if histogram := _histogram(array):
                    tag = f"{layer.name}/{name}/histogram"
                    self._add("train", epoch, tag, histo=histogram)

    def _add(self, part: str, epoch: int, tag: str, **value: Any) -> None:
        from time import time

        summary = self._summary.Summary(value=[self._summary.Summary.Value(tag=tag, **value)])
        event = self._event.Event(wall_time=time(), step=epoch, summary=summary)
        self._writer(part).add_event(event)

    def _writer(self, part: str) -> Any:
        if part not in self._writers:
            self._writers[part] = self._new_writer(os.path.join(self.log_dir, part))
        return self._writers[part]

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def _histogram(array: np.ndarray) -> dict[str, Any]:
    """An array's numbers as the fields of TensorBoard's HistogramProto; empty without any."""
    values = array.astype(np.float32)  # doubles may lie too close for edges between them
    values = values[np.isfinite(values)].astype(np.float64)  # others have no place in a range
    if not values.size:
        return {}
    low, high = values.min(), values.max()
    counts, edges = np.array([values.size]), np.array([low, high])
    if high - low > 1e-6 * max(high, -low):  # else there may be no numbers between them for edges
        counts, edges = np.histogram(values, 30)
    return {
        "min": low,
        "max": high,
        "num": values.size,
        "sum": values.sum(),
        "sum_squares": (values**2).sum(),
        "bucket_limit": edges[1:].tolist(),
        "bucket": counts.tolist(),
    }


class LearningRateScheduler(Callback):
    """Sets the learning rate when an epoch begins.

    For a rate that changes with every step give the optimizer a schedule of
    `fastnn.optimizers.schedules` as its learning rate.

    Parameters
    ----------
    schedule : callable
        Called with the epoch, counted from 0, and the learning rate there is (or the epoch alone,
        if it takes no more); returns the new one.
    verbose : {0, 1}
        1: says so.

    Raises
    ------
    TypeError
        If `schedule` cannot be called or, in `fit`, gives no number.
    ValueError
        In `fit`, if it gives one below 0, infinity or NaN.

    Examples
    --------
    >>> from fastnn.callbacks import LearningRateScheduler
    >>> halve = LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate)
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise TypeError(f"schedule: expected a function of the epoch, got {schedule!r}")
        self.schedule = schedule
        self.verbose = as_int(verbose, "verbose", 0, 1)
        self._arguments = _positional(schedule)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        check_rate(self)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        rate = self.schedule(*(epoch, optimizer.learning_rate)[: self._arguments])
        optimizer.learning_rate = as_number(rate, "what schedule gave", 0)
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {optimizer.learning_rate:g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate


def _positional(function: Callable[..., Any]) -> int:
    """1 or 2: how many positional arguments a function takes, at most."""
    from inspect import Parameter, signature

    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have none
        return 2
    if any(p.kind is Parameter.VAR_POSITIONAL for p in parameters):
        return 2
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return min(2, sum(p.kind in kinds for p in parameters))
