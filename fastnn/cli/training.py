"""Split, build, train and judge: what `fastnn train` does with a clean table."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import tqdm  # noqa: F401  fit imports it for its progress bar: not on the clock
from sklearn.metrics import classification_report, r2_score
from sklearn.model_selection import train_test_split

from fastnn import reference
from fastnn.cli.table import Recipe, TableError, Task, to_float32
from fastnn.layers import Dense, Input, Normalization
from fastnn.models import Sequential
from fastnn.optimizers import Adam
from fastnn.utils import set_random_seed


@dataclass(frozen=True)
class Settings:
    """The choices of one training run."""

    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int


class NumpySequential(Sequential):
    """The same model and the same `fit`, with every number computed by plain NumPy."""

    _network_class = reference.Network


def split(
    frame: pd.DataFrame, target: str, task: Task, test_size: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to train on and rows to test on; every class in both, in its proportion."""
    classes = frame[target].nunique() if task == "classification" else 1
    tested = int(np.ceil(test_size * len(frame)))
    if min(tested, len(frame) - tested) < classes:
        raise TableError(
            f"--test-size {test_size:g}: {len(frame)} rows are split into {len(frame) - tested} to "
            f"train on and {tested} to test on; each part needs at least {classes}"
        )
    stratify = frame[target] if task == "classification" else None
    train, test = train_test_split(frame, test_size=tested, random_state=seed, stratify=stratify)
    return train, test


class Trainer:
    """Trains one network on one set of rows, as often as asked, from the same start.

    Parameters
    ----------
    recipe : Recipe
    x : ndarray of shape (rows, recipe.inputs), float32
    y : ndarray of shape (rows,)
        As `Recipe.encode_target` returns it.
    settings : Settings
    """

    def __init__(self, recipe: Recipe, x: np.ndarray, y: np.ndarray, settings: Settings) -> None:
        self.recipe, self.x, self.settings = recipe, x, settings
        self.shift, self.scale = 0.0, 1.0
        if recipe.task == "regression":
            # trained in units of the target's spread, whatever its own units are
            self.shift, self.scale = float(y.mean()), float(y.std())
            y = to_float32((y - self.shift) / self.scale, recipe.target)
        self.y = y

    def train(self, kind: type[Sequential]) -> tuple[Sequential, float, float]:
        """Train a new model of this kind; returns it, the seconds that `fit` took and the loss."""
        set_random_seed(self.settings.seed)
        model = self._build(kind)
        epochs, batch_size = self.settings.epochs, self.settings.batch_size
        with contextlib.redirect_stdout(sys.stderr):  # the progress bar is no result
            start = time.perf_counter()
            history = model.fit(self.x, self.y, batch_size, epochs)
            seconds = time.perf_counter() - start
        return model, seconds, history.history["loss"][-1]

    def _build(self, kind: type[Sequential]) -> Sequential:
        normalization = Normalization()
        normalization.adapt(self.x)
        model = kind([Input((self.recipe.inputs,)), normalization])
        for units in self.settings.hidden:
            model.add(Dense(units, activation="relu"))
        if self.recipe.task == "classification":
            model.add(Dense(len(self.recipe.classes), activation="softmax"))
        else:
            model.add(Dense(1))
        self._compile(model)
        return model

    def _compile(self, model: Sequential) -> None:
        adam = Adam(learning_rate=self.settings.learning_rate)
        if self.recipe.task == "classification":
            model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
        else:
            model.compile(adam, "mse", metrics=["mae"])

    def restore_units(self, model: Sequential) -> None:
        """Have the model's output be in the target's own units: scale and shift its last layer."""
        if self.recipe.task == "regression":
            last = model.layers[-1]
            kernel, bias = last.get_weights()
            last.set_weights([kernel * self.scale, bias * self.scale + self.shift])
            self._compile(model)  # the optimizer's state was that of the weights before


def report(recipe: Recipe, y: np.ndarray, outputs: np.ndarray) -> str:
    """How good predictions are: scikit-learn's classification report, or R2 and the errors.

    Parameters
    ----------
    recipe : Recipe
    y : ndarray of shape (rows,)
        The truth, as `Recipe.encode_target` returns it.
    outputs : ndarray of shape (rows, outputs)
        What the model's `predict` returned.
    """
    if not np.isfinite(outputs).all():
        raise TableError("the model's predictions overflow: a feature is far out of its range")
    if recipe.task == "classification":
        ids = range(len(recipe.classes))
        guess = outputs.argmax(axis=1)
        scores: str = classification_report(
            y, guess, labels=ids, target_names=recipe.classes, zero_division=0
        )
        return scores
    guess = outputs[:, 0].astype(np.float64)
    r2 = f"{r2_score(y, guess):.4f}" if len(y) > 1 else "needs two rows"
    error = guess - y
    return (
        f"R2    {r2}\n"
        f"MAE   {np.abs(error).mean():.6g}   mean absolute error\n"
        f"RMSE  {np.sqrt((error**2).mean()):.6g}   root of the mean squared error\n"
    )
