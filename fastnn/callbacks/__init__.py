"""What happens beside training, under Keras's names: `fit` calls these hooks."""

from fastnn.callbacks._backup import BackupAndRestore
from fastnn.callbacks._base import (
    Callback,
    CallbackList,
    History,
    LambdaCallback,
    TerminateOnNaN,
)
from fastnn.callbacks._display import EpochLines, ProgressBar, results_line
from fastnn.callbacks._monitors import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from fastnn.callbacks._records import CSVLogger, LearningRateScheduler, TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "EpochLines",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
    "results_line",
]
