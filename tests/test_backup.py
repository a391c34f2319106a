"""Training that is cut off and goes on ends in the same bits as one that is not."""

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fastnn import load_model
from fastnn.callbacks import (
    BackupAndRestore,
    Callback,
    CSVLogger,
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adam
from fastnn.optimizers.schedules import CosineDecay
from fastnn.utils import PyDataset, draw_permutation, set_random_seed

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


def run(
    backup_dir, callbacks=(), optimizer=None, epochs=EPOCHS, save_freq="epoch", data=None, **fit
):
    set_random_seed(11)
    layers = [Dense(16, "tanh", input_shape=(8,)), Dropout(0.2), Dense(1)]
    model = Sequential(layers)
    model.compile(optimizer or Adam(CosineDecay(0.01, 30)), "mse", ["mae"])
    backup = [BackupAndRestore(backup_dir, save_freq)] if backup_dir else []
    if data is None:
        data, fit = (X, Y), {"validation_split": 0.1, **fit}
    history = model.fit(*data, epochs=epochs, verbose=0, callbacks=[*callbacks, *backup], **fit)
    return model, history


def assert_same(got, expected):
    for a, b in zip(got.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert got.iterations == expected.iterations
    for (slot, number, _), _ in zip(got._slots(), expected._slots(), strict=True):
        kept = zip(
            got.layers[number].get_slot(slot), expected.layers[number].get_slot(slot), strict=True
        )
        for a, b in kept:
            np.testing.assert_array_equal(a, b)


def assert_same_run(got, expected):
    assert_same(got[0], expected[0])
    assert got[1].history == expected[1].history
    assert got[1].epoch == expected[1].epoch
    assert got[1].validated == expected[1].validated


CUTS = [[(0, 0)], [(0, 5)], [(3, 2)], [(1, 1), (1, 3), (5, 0), (5, 5)]]


@pytest.mark.parametrize("save_freq", ["epoch", 1, 4, 6])
@pytest.mark.parametrize("cuts", CUTS)
def test_the_same_bits(tmp_path, cuts, save_freq):
    expected = run(None)
    for cut in cuts:
        with pytest.raises(CutOff):
            run(tmp_path, [Cut(*cut)], save_freq=save_freq)
    assert_same_run(run(tmp_path, save_freq=save_freq), expected)
    assert not tmp_path.exists()  # gone, as fit has ended
    assert_same_run(run(tmp_path, save_freq=save_freq), expected)


class Squares(PyDataset):
    """Batches of 25; each epoch puts its rows into an order of its own."""

    def __init__(self):
        super().__init__()
        self.rows = np.arange(len(X))

    def __len__(self):
        return 8

    def __getitem__(self, index):
        rows = self.rows[25 * index : 25 * index + 25]
        return X[rows], Y[rows]

    def on_epoch_end(self):
        self.rows = np.roll(self.rows, 7)


def generator():
    rng = np.random.default_rng(5)
    while True:
        rows = rng.integers(0, len(X), 25)
        yield X[rows], Y[rows]


class Pass:
    """To be iterated over; knows nothing of passes before."""

    def __iter__(self):
        return ((X[i : i + 25], Y[i : i + 25]) for i in range(0, 200, 25))


DATA = {
    "arrays": (lambda: (X, Y), {}),
    "arrays, steps": (lambda: (X, Y), {"steps_per_epoch": 5}),
    "arrays, many steps": (lambda: (X, Y), {"steps_per_epoch": 9, "batch_size": 30}),
    "arrays in order, steps": (lambda: (X, Y), {"steps_per_epoch": 5, "shuffle": False}),
    "PyDataset": (lambda: (Squares(),), {}),
    "PyDataset, steps": (lambda: (Squares(),), {"steps_per_epoch": 6}),
    "generator": (lambda: (generator(),), {"steps_per_epoch": 6}),
    "iterable": (lambda: (Pass(),), {}),
    "iterable, steps": (lambda: (Pass(),), {"steps_per_epoch": 5}),
}


@pytest.mark.parametrize("save_freq", ["epoch", 3])
@pytest.mark.parametrize("name", DATA)
def test_the_place_in_the_data(tmp_path, name, save_freq):
    make, fit = DATA[name]

    def trained(backup_dir, callbacks=()):
        return run(backup_dir, callbacks, data=make(), save_freq=save_freq, **fit)

    expected = trained(None)
    for cut in [(0, 2), (0, 4), (2, 3), (4, 0)]:
        with pytest.raises(CutOff):
            trained(tmp_path, [Cut(*cut)])
    assert_same_run(trained(tmp_path), expected)


def test_validation_data_from_a_generator_go_on(tmp_path):
    def trained(backup_dir, callbacks=()):
        fit = {"validation_data": generator(), "validation_steps": 2}
        return run(backup_dir, callbacks, data=(X, Y), save_freq=3, **fit)

    expected = trained(None)
    with pytest.raises(CutOff):
        trained(tmp_path, [Cut(3, 4)])
    assert_same_run(trained(tmp_path), expected)


class Draws(Callback):
    """Has numbers drawn where it should disturb nothing."""

    def on_epoch_begin(self, epoch, logs=None):
        draw_permutation(3)

    def on_epoch_end(self, epoch, logs=None):
        draw_permutation(5)


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("save_freq", ["epoch", 1, 4])
def test_what_callbacks_remember(tmp_path, save_freq, place):
    def trained(folder, cut=(), backup=True):
        folder.mkdir(exist_ok=True)
        callbacks = [
            Draws(),
            EarlyStopping("val_loss", patience=4, restore_best_weights=True, min_delta=0.05),
            ReduceLROnPlateau("val_loss", factor=0.5, patience=1, cooldown=1, min_delta=0.2),
            LearningRateScheduler(lambda epoch, rate: rate * 0.9),
            ModelCheckpoint(folder / "{epoch}-{batch}", "loss", save_best_only=True, save_freq=2),
            CSVLogger(folder / "log.csv"),
            *cut,
        ]
        both = [BackupAndRestore(folder / "backup", save_freq)] if backup else []
        callbacks = [*both, *callbacks] if place == "first" else [*callbacks, *both]
        model, history = run(None, callbacks, SGD(0.2, momentum=0.9), epochs=12)
        saved = {p.name: load_model(p) for p in folder.glob("*-*")}
        return (model, history), callbacks, saved

    expected, kept, saved = trained(tmp_path / "whole", backup=False)
    assert 4 < len(expected[1].epoch) < 12  # it is stopped early
    folder = tmp_path / "cut"
    for cut in [(0, 3), (1, 5), (1, 5), (2, 0), (4, 2)]:
        with pytest.raises(CutOff):
            trained(folder, [Cut(*cut)])
    got, callbacks, saved_again = trained(folder)
    assert_same_run(got, expected)
    names = {type(callback).__name__: callback for callback in callbacks}
    for callback in kept:
        if isinstance(callback, (EarlyStopping, ReduceLROnPlateau, ModelCheckpoint)):
            assert callback.best == names[type(callback).__name__].best
    assert (folder / "log.csv").read_text() == (tmp_path / "whole" / "log.csv").read_text()
    assert saved.keys() == saved_again.keys()
    for name, model in saved.items():
        assert_same(saved_again[name], model)


def test_a_callback_of_ones_own_is_kept(tmp_path):
    class Sum(Callback):
        def __init__(self):
            self.sum, self.seen = np.zeros(2), []

        def on_progress(self, samples, logs):
            self.sum += logs["loss"], logs["mae"]
            self.seen.append(samples)

        def on_train_batch_end(self, batch, logs=None):
            pass

        def get_state(self):
            return {"sum": self.sum, "seen": self.seen}

        def set_state(self, state):
            self.sum, self.seen = state["sum"].copy(), state["seen"]

    whole, cut = Sum(), Sum()
    run(None, [whole])
    with pytest.raises(CutOff):
        run(tmp_path, [Sum(), Cut(2, 4)], save_freq=3)
    run(tmp_path, [cut], save_freq=3)
    np.testing.assert_array_equal(whole.sum, cut.sum)
    assert whole.seen == cut.seen


def test_a_stop_inside_an_epoch_is_kept(tmp_path):
    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = self.model.iterations == 9

    class CutAtEnd(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise CutOff

    expected = run(None, [Stop()])
    with pytest.raises(CutOff):
        run(tmp_path, [Stop(), CutAtEnd()], save_freq=1)
    assert_same_run(run(tmp_path, [Stop()], save_freq=1), expected)
    assert expected[0].iterations == 9


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
    assert history.epoch == [0, 1, 2]
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
    ("changed", "words"),
    [
        ({"callbacks": []}, "callbacks: expected .* EarlyStopping, History; got History"),
        ({"callbacks": [EarlyStopping(), EarlyStopping()]}, "callbacks: expected .*"),
        ({"optimizer": SGD(0.1)}, "path: expected a backup of such an optimizer"),
        ({"validation_split": 0.2}, "x: expected data as in the backup, .*180.*; got .*160"),
        ({"batch_size": 16}, "x: expected data as in the backup"),
        ({"shuffle": False}, "x: expected data as in the backup"),
        ({"steps_per_epoch": 3}, "x: expected data as in the backup"),
        ({"data": (Squares(),)}, r"x: expected a source as in the backup"),
    ],
)
def test_a_backup_of_another_training_is_refused(tmp_path, changed, words):
    first = {"callbacks": [EarlyStopping(patience=20)]}
    with pytest.raises(CutOff):
        run(tmp_path, [*first["callbacks"], Cut(1, 3)], save_freq=2)
    seen = []

    class Look(Callback):
        def close(self):
            seen.append([w.copy() for w in self.model.get_weights()])

    arguments = {**first, **changed}
    with pytest.raises(ValueError, match=rf"^{words}"):
        run(tmp_path, [*arguments.pop("callbacks"), Look()], save_freq=2, **arguments)
    set_random_seed(11)
    again = Sequential([Dense(16, "tanh", input_shape=(8,)), Dropout(0.2), Dense(1)])
    for a, b in zip(again.get_weights(), seen[0], strict=True):
        np.testing.assert_array_equal(a, b)  # nothing has changed
    assert_same_run(run(tmp_path, first["callbacks"], save_freq=2), run(None))


def test_what_is_no_plain_data_is_not_kept(tmp_path):
    class Keeps(Callback):
        def get_state(self):
            return {"a": object()}

    with pytest.raises(TypeError, match=r"^get_state: expected plain data"):
        run(tmp_path, [Keeps()])
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BackupAndRestore(3), "backup_dir"),
        (lambda: BackupAndRestore("a", save_freq=0), "save_freq"),
        (lambda: BackupAndRestore("a", save_freq="batch"), "save_freq"),
        (lambda: BackupAndRestore("a", save_freq=False), "save_freq"),
        (lambda: BackupAndRestore("a", double_checkpoint=True), "double_checkpoint"),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises((ValueError, TypeError), match=f"^{words}: expected"):
        make()


SCRIPT = """
import hashlib, sys
import numpy as np
from fastnn.callbacks import BackupAndRestore, EarlyStopping
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
callbacks = [EarlyStopping(patience=25, restore_best_weights=True)]
if len(sys.argv) > 1:
    callbacks.append(BackupAndRestore(sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else "epoch"))
history = model.fit(x, y, epochs=60, verbose=0, callbacks=callbacks, validation_split=0.1)
what = b"".join(w.tobytes() for w in model.get_weights()) + repr(history.history).encode()
print(hashlib.sha256(what).hexdigest())
"""


def finish(arguments, seconds=None):
    """The script's last line, None where it was killed so many seconds after it was ready; and the
    seconds from there on."""
    command = [sys.executable, "-P", "-c", SCRIPT, *arguments]  # not the checkout, the package
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        start = time.perf_counter()
        if seconds is not None:
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    return rest[0] if rest else None, time.perf_counter() - start


@pytest.mark.parametrize("save_freq", [[], ["37"]], ids=["epochs", "batches"])
@pytest.mark.parametrize(
    "kills", [2, pytest.param(20, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_killed_processes(tmp_path, kills, save_freq):
    expected, training = finish([])
    rng = random.Random(kills)
    killed = 0
    for _ in range(kills):
        # so that some come in the middle of a file, others of an epoch
        killed += finish([str(tmp_path), *save_freq], rng.uniform(0, training / 2))[0] is None
    assert killed
    assert finish([str(tmp_path), *save_freq])[0] == expected
