"""Training that goes on where it was cut off."""

import os
from contextlib import suppress

from fastnn._data import as_bool, as_path
from fastnn.callbacks._base import Callback, Logs


class BackupAndRestore(Callback):
    """Saves what `fit` needs to go on, and goes on from there when it is called again.

    When an epoch begins, weights, the optimizer's state and numbers, the epoch and the state of
    fastnn's random numbers are written to one file, whole or not at all. The same script, started
    again after it was cut off at any moment, ends in the same bits as one that was not, if it sets
    its random seed. What other callbacks remember, such as EarlyStopping's best weights, and where
    `steps_per_epoch` ended in the data, is not in the file.

    Parameters
    ----------
    backup_dir : str or path
        A folder, made if it is not there. Of one training at a time.
    save_freq : "epoch"
        Keras's other values are not supported.
    delete_checkpoint : bool
        Whether the file goes when `fit` has ended in order.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these; in `fit`, if the file there is of another model.

    Examples
    --------
    >>> from fastnn.callbacks import BackupAndRestore
    >>> backup = BackupAndRestore("backup")
    """

    def __init__(
        self,
        backup_dir: "str | bytes | os.PathLike[str]",
        save_freq: str = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        self.backup_dir = as_path(backup_dir, "backup_dir")
        if save_freq != "epoch":
            raise ValueError(f"save_freq: expected 'epoch', got {save_freq!r}")
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
            self.model.resume_epoch = restore(self.model, self.path)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        from fastnn.io import backup

        backup(self.model, self.path, epoch)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.delete_checkpoint:
            with suppress(FileNotFoundError):
                os.unlink(self.path)
