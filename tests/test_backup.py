"""Training that is cut off and goes on ends in the same bits as one that is not."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fastnn.callbacks import BackupAndRestore, Callback
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adam
from fastnn.optimizers.schedules import CosineDecay
from fastnn.utils import set_random_seed

X = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
Y = X[:, :1] * X[:, 1:2]
EPOCHS = 6


class CutOff(Exception):
    """Stands for whatever ends a process."""


class Cut(Callback):
    def __init__(self, epoch: int, batch: int) -> None:
        self.where = (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.where:
            raise CutOff


def run(backup_dir, callbacks=(), optimizer=None, epochs=EPOCHS):
    set_random_seed(11)
    layers = [Dense(16, "tanh", input_shape=(8,)), Dropout(0.2), Dense(1)]
    model = Sequential(layers)
    model.compile(optimizer or Adam(CosineDecay(0.01, 30)), "mse")
    backup = [BackupAndRestore(backup_dir)] if backup_dir else []
    history = model.fit(
        X, Y, epochs=epochs, verbose=0, callbacks=[*callbacks, *backup], validation_split=0.1
    )
    return model, history


def assert_same(got, expected):
    for a, b in zip(got.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cuts", [[(0, 0)], [(0, 5)], [(3, 2)], [(1, 1), (1, 3), (5, 0), (5, 5)]])
def test_the_same_bits(tmp_path, cuts):
    expected, whole = run(None)
    for cut in cuts:
        with pytest.raises(CutOff):
            run(tmp_path, [Cut(*cut)])
    model, history = run(tmp_path)
    assert_same(model, expected)
    first = cuts[-1][0]
    assert history.epoch == list(range(first, EPOCHS))
    assert history.history["val_loss"] == whole.history["val_loss"][first:]
    assert not os.listdir(tmp_path)  # gone, as fit has ended
    again, history = run(tmp_path)
    assert_same(again, expected)
    assert len(history.epoch) == EPOCHS


def test_numbers_that_were_changed_stay_changed(tmp_path):
    class Halve(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.optimizer.learning_rate *= 0.5

    expected, _ = run(None, [Halve()], SGD(0.1, momentum=0.9))
    with pytest.raises(CutOff):
        run(tmp_path, [Halve(), Cut(3, 1)], SGD(0.1, momentum=0.9))
    model, _ = run(tmp_path, [Halve()], SGD(0.1, momentum=0.9))
    assert_same(model, expected)
    assert model.optimizer.learning_rate == expected.optimizer.learning_rate


def test_a_backup_of_all_epochs_leaves_nothing_to_do(tmp_path):
    with pytest.raises(CutOff):
        run(tmp_path, [Cut(3, 1)])
    model, history = run(tmp_path, epochs=2)
    assert history.epoch == []
    assert model.optimizer.iterations == 3 * 6


def test_a_file_of_another_model_is_refused(tmp_path):
    other = Sequential([Dense(3, input_shape=(8,))])
    other.save(tmp_path / "backup.fastnn")
    with pytest.raises(ValueError, match="expected a file of BackupAndRestore"):
        run(tmp_path)
    (tmp_path / "backup.fastnn").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"backup\.fastnn"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BackupAndRestore(3), "backup_dir"),
        (lambda: BackupAndRestore("a", save_freq=10), "save_freq"),
        (lambda: BackupAndRestore("a", double_checkpoint=True), "double_checkpoint"),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises((ValueError, TypeError), match=f"^{words}: expected"):
        make()


SCRIPT = """
import hashlib, sys
import numpy as np
from fastnn.callbacks import BackupAndRestore
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential
from fastnn.utils import set_random_seed

set_random_seed(3)
rng = np.random.default_rng(0)
x = rng.normal(size=(4000, 50)).astype(np.float32)
y = rng.integers(0, 5, 4000)
model = Sequential([Dense(128, "relu", input_shape=(50,)), Dropout(0.3), Dense(5, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
print("ready", flush=True)
callbacks = [BackupAndRestore(sys.argv[1])] if len(sys.argv) > 1 else []
model.fit(x, y, epochs=60, verbose=0, callbacks=callbacks)
print(hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest())
"""


def finish(arguments, seconds=None):
    """The script's last line; None where it was killed, so many seconds after it was ready."""
    command = [sys.executable, "-P", "-c", SCRIPT, *arguments]  # not the checkout, the package
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        if seconds is not None:
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    return rest[0] if rest else None


@pytest.mark.parametrize(
    "kills", [2, pytest.param(20, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_killed_processes(tmp_path, kills):
    start = time.perf_counter()
    expected = finish([])
    whole = time.perf_counter() - start
    rng = random.Random(kills)
    killed = 0
    for _ in range(kills):
        # so that some come in the middle of a file, others of an epoch
        killed += finish([str(tmp_path)], rng.uniform(0, whole / 4)) is None
    assert killed
    assert finish([str(tmp_path)]) == expected
