"""Callbacks that watch one number: stop, keep the best model, take smaller steps."""

import os
import warnings
from math import isnan
from typing import Any

import numpy as np

from fastnn._data import as_bool, as_int, as_number, as_path
from fastnn.callbacks._base import Callback, Logs, check_rate


class Monitor(Callback):
    """Base of callbacks that watch a number of an epoch's logs.

    Parameters
    ----------
    monitor : str
        Such as "val_loss" or "accuracy".
    mode : {"auto", "min", "max"}
        Whether it is to fall or to rise; "auto" goes by the loss or metric of that name.
    min_delta : float
        The least change, taken without its sign, that counts as better.
    baseline : float, optional
        What is to be passed first.
    """

    _kept: tuple[str, ...] = ("best", "_warned")  # what a backup keeps

    def __init__(
        self, monitor: str, mode: str, min_delta: float = 0.0, baseline: float | None = None
    ) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"monitor: expected a name such as 'val_loss', got {monitor!r}")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode: expected 'auto', 'min' or 'max', got {mode!r}")
        self.monitor, self.mode = monitor, mode
        self.min_delta = abs(as_number(min_delta, "min_delta", float("-inf"), bounds="()"))
        self.best: float | None = None
        if baseline is not None:
            self.best = as_number(baseline, "baseline", float("-inf"), bounds="()")
        self._warned = False

    def get_state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._kept}

    def set_state(self, state: dict[str, Any]) -> None:
        vars(self).update({name: state[name] for name in self._kept})

    def _rises(self) -> bool:
        """Whether more is better."""
        if self.mode != "auto":
            return self.mode == "max"
        name = self.monitor.removeprefix("val_")
        if name == "loss":
            return False
        for metric in self.model.metrics:
            if metric.name == name and metric.rises is not None:
                return bool(metric.rises)
        known = ["loss", *(metric.name for metric in self.model.metrics)]
        raise ValueError(
            f"monitor: expected one of {', '.join(known)} (or with 'val_' before it), or a mode "
            f"of 'min' or 'max'; got {self.monitor!r}"
        )

    def _improves(self, value: float, best: float | None) -> bool:
        """Whether `value` is better than `best` by more than min_delta; NaN never is."""
        if isnan(value):
            return False
        if best is None:
            return True
        if self._rises():
            return value - self.min_delta > best
        return value + self.min_delta < best

    def _value(self, logs: Logs | None) -> float | None:
        """The number watched; None, with a warning the first time, where there is none."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            if not self._warned:
                warnings.warn(
                    f"{type(self).__name__}: expected {self.monitor!r} among the results, got "
                    f"{', '.join(logs or {}) or 'none'}",
                    stacklevel=2,
                )
            self._warned = True
            return None
        return float(value)


class EarlyStopping(Monitor):
    """Ends training when a number has not become better for some epochs.

    Parameters
    ----------
    monitor : str
        Such as "val_loss" or "accuracy".
    min_delta : float
        The least change, taken without its sign, that counts as better.
    patience : int >= 0
        Epochs without one after which training ends.
    verbose : {0, 1}
        1: says so.
    mode : {"auto", "min", "max"}
        Whether the number is to fall or to rise; "auto" goes by the loss or metric.
    baseline : float, optional
        What is to be passed: better than before, but not than this, does not count.
    restore_best_weights : bool
        Whether the model gets the weights of its best epoch back when `fit` ends.
    start_from_epoch : int >= 0
        The first epoch that is looked at.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> from fastnn.callbacks import EarlyStopping
    >>> stop = EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True)
    """

    _kept = ("best", "best_weights", "best_epoch", "wait", "stopped_epoch", "_warned")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = as_int(patience, "patience", 0)
        self.verbose = as_int(verbose, "verbose", 0, 1)
        if baseline is not None:
            baseline = as_number(baseline, "baseline", float("-inf"), bounds="()")
        self.baseline = baseline
        self.restore_best_weights = as_bool(restore_best_weights, "restore_best_weights")
        self.start_from_epoch = as_int(start_from_epoch, "start_from_epoch", 0)
        self._reset()

    def _reset(self) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best, self.best_weights = None, None
        self._warned = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self._value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        better = self._improves(value, self.best)
        if self.restore_best_weights and (better or self.best_weights is None):
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
        self.wait += 1
        if better:
            self.best, self.best_epoch = value, epoch
            if self.baseline is None or self._improves(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring the weights of the best epoch: {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(Monitor):
    """Takes smaller steps when a number has not become better for some epochs.

    Parameters
    ----------
    monitor : str
        Such as "val_loss" or "accuracy".
    factor : float in (0, 1)
        What the learning rate is multiplied by.
    patience : int >= 0
        Epochs without a better number after which it is.
    verbose : {0, 1}
        1: says so.
    mode : {"auto", "min", "max"}
        Whether the number is to fall or to rise; "auto" goes by the loss or metric.
    min_delta : float
        The least change, taken without its sign, that counts as better.
    cooldown : int >= 0
        Epochs after a reduction that are not counted.
    min_lr : float >= 0
        The least learning rate.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> from fastnn.callbacks import ReduceLROnPlateau
    >>> slower = ReduceLROnPlateau(factor=0.5, patience=2, min_lr=1e-5)
    """

    _kept = ("best", "wait", "cooldown_counter", "_warned")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = as_number(factor, "factor", 0, 1, bounds="()")
        self.patience = as_int(patience, "patience", 0)
        self.verbose = as_int(verbose, "verbose", 0, 1)
        self.cooldown = as_int(cooldown, "cooldown", 0)
        self.min_lr = as_number(min_lr, "min_lr", 0)
        self._reset()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        check_rate(self)
        self._reset()

    def _reset(self) -> None:
        self.best, self.wait, self.cooldown_counter = None, 0, 0
        self._warned = False

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate
        value = self._value(logs)
        if value is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._improves(value, self.best):
            self.best, self.wait = value, 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        optimizer = self.model.optimizer
        # as Keras compares them, whose learning rates are of float32
        if not optimizer.learning_rate > np.float32(self.min_lr):
            return
        optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
        self.cooldown_counter, self.wait = self.cooldown, 0
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate reduced to {optimizer.learning_rate:g}")


class ModelCheckpoint(Monitor):
    """Saves the model as it trains. Every file is written whole or not at all.

    Parameters
    ----------
    filepath : str or path
        May hold "{epoch}" (counted from 1), "{batch}" and names of results, with formats, such as
        "{epoch:02d}-{val_loss:.2f}.fastnn". Folders are made.
    monitor : str
        What `save_best_only` goes by.
    verbose : {0, 1}
        1: says what is saved.
    save_best_only : bool
        Whether only a better model than all before is saved.
    save_weights_only : bool
        Whether to save with `model.save_weights` instead of `model.save`.
    mode : {"auto", "min", "max"}
        Whether the number is to fall or to rise; "auto" goes by the loss or metric.
    save_freq : "epoch" or int >= 1
        After each epoch, or after so many batches, counted on from epoch to epoch.
    initial_value_threshold : float, optional
        What is to be passed first.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.
    KeyError
        In `fit`, if `filepath` names a result that there is not.

    Examples
    --------
    >>> from fastnn.callbacks import ModelCheckpoint
    >>> keep = ModelCheckpoint("best.fastnn", monitor="val_loss", save_best_only=True)
    """

    def __init__(
        self,
        filepath: "str | bytes | os.PathLike[str]",
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, baseline=initial_value_threshold)
        self.filepath = as_path(filepath, "filepath")
        self.verbose = as_int(verbose, "verbose", 0, 1)
        self.save_best_only = as_bool(save_best_only, "save_best_only")
        self.save_weights_only = as_bool(save_weights_only, "save_weights_only")
        self.save_freq = save_freq
        if save_freq != "epoch":
            self.save_freq = self.every_batches = as_int(save_freq, "save_freq", 1)
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_progress(self, samples: int, logs: Logs) -> None:
        if self.every_batches and self.model._run.steps % self.every_batches == 0:
            self._save({"batch": self.model._run.batch, **logs})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(logs or {})

    def _save(self, logs: Logs) -> None:
        if self.save_best_only:
            value = self._value(logs)
            if value is not None:
                if not self._improves(value, self.best):
                    return
                self.best = value
        try:
            path = self.filepath.format(epoch=self._epoch + 1, **logs)
        except KeyError as error:
            known = ", ".join(["epoch", *logs])
            raise KeyError(f"filepath: expected names among {known}; got {error}") from None
        if folder := os.path.dirname(path):
            os.makedirs(folder, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
        if self.verbose:
            print(f"Epoch {self._epoch + 1}: saved to {path}")
