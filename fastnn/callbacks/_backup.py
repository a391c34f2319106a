"""Training that goes on where it was cut off."""

import os
from contextlib import suppress
from functools import partial

from fastnn._data import as_bool, as_int, as_path
from fastnn.callbacks._base import Callback, Logs


class BackupAndRestore(Callback):
    """Saves what `fit` needs to go on, and goes on from there when it is called again.

    One file, written whole or not at all, has the weights, the optimizer's state and numbers, the
    place in the epoch and in the order of the samples, the sums of loss and metrics, for metrics
    such as `AUC` the epoch's targets and outputs so far, fastnn's random numbers, the History and
    what other callbacks keep (`Callback.get_state`). The same script, started again after it was
    cut off at any moment, ends in the same bits, and with the same History, as one that was not, if
    it sets its random seed.

    A source that is iterated over is to give the same batches again: those before are left out.
    With `LBFGS` what goes on is a search of its own, from the weights of the last iteration:
    SciPy does not give away what it has seen of the curvature.

    Parameters
    ----------
    backup_dir : str or path
        A folder, made if it is not there. Of one training at a time.
    save_freq : "epoch" or int >= 1
        Before each epoch, or after every so many batches, counted on from epoch to epoch.
    delete_checkpoint : bool
        Whether the file goes when `fit` has ended in order, and the folder if it is empty then.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these; in `fit`, if the file there is of another model, other
        data or other callbacks that keep something.

    Examples
    --------
    >>> from fastnn.callbacks import BackupAndRestore, EarlyStopping
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> callbacks = [EarlyStopping("loss"), BackupAndRestore("backup", save_freq=100)]
    >>> model.fit([[0.0], [1.0]], [0.0, 2.0], epochs=3, verbose=0, callbacks=callbacks).epoch
    [0, 1, 2]
    """

    def __init__(
        self,
        backup_dir: "str | bytes | os.PathLike[str]",
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        self.backup_dir = as_path(backup_dir, "backup_dir")
        if isinstance(save_freq, str):
            if save_freq != "epoch":
                raise ValueError(f"save_freq: expected 'epoch' or an integer, got {save_freq!r}")
        else:
            self.every_batches = as_int(save_freq, "save_freq", 1)
        self.save_freq = save_freq
        if as_bool(double_checkpoint, "double_checkpoint"):
            raise ValueError("double_checkpoint: expected False, got True: no file is ever partial")
        self.delete_checkpoint = as_bool(delete_checkpoint, "delete_checkpoint")

    @property
    def path(self) -> str:
        """The file."""
        return os.path.join(self.backup_dir, "backup.fastnn")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        from fastnn.io import restore

        os.makedirs(self.backup_dir, exist_ok=True)
        if os.path.exists(self.path):
            self.model._run.restore = partial(restore, self.model, self.path)

    def on_checkpoint(self, batch: int) -> None:
        from fastnn.io import backup

        every = self.every_batches
        if batch == 0 if every is None else batch > 0 and self.model._run.steps % every == 0:
            backup(self.model, self.path)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.delete_checkpoint:
            with suppress(FileNotFoundError):
                os.unlink(self.path)
            with suppress(OSError):  # not empty: others keep something there
                os.rmdir(self.backup_dir)
