"""Batches from sources of all that arrays may be, and metrics of all their outputs."""

import numpy as np
import pytest

from fastnn.callbacks import BackupAndRestore, Callback
from fastnn.layers import Activation, Dense, Flatten, Reshape
from fastnn.metrics import R2Score
from fastnn.models import Sequential
from fastnn.utils import PyDataset, set_random_seed

RNG = np.random.default_rng(0)
X = RNG.integers(0, 9, (90, 4, 3)).astype(np.uint8)
Y = RNG.normal(size=(90, 2)).astype(np.float32)
SIZE = 20  # the last batch has 10


def largest(y_true, y_pred):
    return np.abs(y_true - y_pred).max()


def squares(y_true, y_pred):
    return ((y_pred - y_true) ** 2).sum(axis=1), 2 * (y_pred - y_true)


def batches(*arrays, size=SIZE):
    for start in range(0, 90, size):
        yield tuple(array[start : start + size] for array in arrays)


class Numbered(PyDataset):
    def __init__(self, *arrays):
        self.arrays = arrays

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return list(batches(*self.arrays))[index]


def model_of(loss="mse", metrics=(), stack=(Flatten, lambda: Dense(2)), optimizer="adam"):
    set_random_seed(5)
    model = Sequential([make() for make in stack])
    model.compile(optimizer, loss, list(metrics))
    return model


def results(x, y, size, **model):
    """History, evaluation and outputs of a model that has not seen its input's shape."""
    validation = Numbered(*x.arrays) if y is None else (x, y)
    fit = {"epochs": 2, "verbose": 0, "shuffle": False, "validation_data": validation}
    made = model_of(**model)
    history = made.fit(x, y, size, **fit).history
    scores = made.evaluate(x, y, verbose=0, return_dict=True)
    return history, scores, made.predict(x), made.input_shape


@pytest.mark.parametrize("metrics", [[], ["mae", largest, R2Score()]], ids=["none", "of outputs"])
@pytest.mark.parametrize("loss", ["mse", squares])
def test_samples_of_axes_and_metrics_of_outputs(loss, metrics):
    expected = results(X, Y, SIZE, loss=loss, metrics=metrics)
    got = results(Numbered(X, Y), None, None, loss=loss, metrics=metrics)
    for name, values in expected[0].items():  # a loss of one's own is summed in blocks
        assert got[0][name] == pytest.approx(values, rel=1e-6 if name.startswith("val_") else 0)
    assert got[1].keys() == expected[1].keys()
    assert got[1] == pytest.approx(expected[1], rel=1e-6)
    np.testing.assert_array_equal(got[2], expected[2])
    assert got[3] == (None, 4, 3)


def test_outputs_of_axes():
    stack = (Flatten, lambda: Dense(6), lambda: Reshape((2, 3)))
    y = RNG.normal(size=(90, 2, 3)).astype(np.float32)
    expected = results(X, y, SIZE, metrics=[largest], stack=stack)
    got = results(Numbered(X, y), None, None, metrics=[largest], stack=stack)
    assert got[0] == expected[0]
    np.testing.assert_array_equal(got[2], expected[2])
    assert got[2].shape == (90, 2, 3)
    kept = model_of(metrics=[largest], stack=stack)
    history = kept.fit(X[:, ::-1], y, validation_split=0.2, verbose=0).history
    assert history.keys() == {"loss", "largest", "val_loss", "val_largest"}


def test_sparse_batches():
    sparse = pytest.importorskip("scipy.sparse")
    rows = sparse.csr_matrix(X.reshape(90, 12) * (X.reshape(90, 12) > 5))
    stack = (lambda: Dense(2),)
    expected = results(rows, Y, SIZE, stack=stack)
    got = results(Numbered(rows, Y), None, None, stack=stack)
    assert got[0] == expected[0]
    np.testing.assert_array_equal(got[2], expected[2])
    with pytest.raises(ValueError, match="x, batch 0, x: expected a dense array"):
        model_of(stack=(lambda: Activation("relu"), lambda: Dense(2))).fit(batches(rows, Y))


def test_an_epoch_that_is_stopped_has_the_metrics_of_what_it_saw():
    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            assert "largest" not in logs
            self.model.stop_training = batch == 1

    histories = [
        model_of(metrics=[largest]).fit(*data, shuffle=False, callbacks=[Stop()], verbose=0).history
        for data in [(X, Y, SIZE), (batches(X, Y),)]
    ]
    assert histories[0] == histories[1]
    assert histories[0].keys() == {"loss", "largest"}


def test_targets_that_cannot_be_taken_together():
    def changing():
        yield X[:4], Y[:4]
        yield X[:4], Y[:4, :, None]

    def loss(y_true, y_pred):
        return squares(y_true.reshape(y_pred.shape), y_pred)

    assert "loss" in model_of(loss).fit(changing(), verbose=0).history
    words = r"^y: expected targets of one shape in all batches, \(2,\) a sample"
    with pytest.raises(ValueError, match=words):
        model_of(loss, [lambda y_true, y_pred: 0.0]).fit(changing(), verbose=0)


class CutOff(Exception):
    """Stands for whatever ends a process."""


class Cut(Callback):
    def on_train_batch_end(self, batch, logs=None):
        if self.model.iterations == 8:
            raise CutOff


DATA = {"arrays": lambda: (X, Y, SIZE), "source": lambda: (Numbered(X, Y),)}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("save_freq", [1, 3])
@pytest.mark.parametrize("loss", ["mse", squares])
def test_a_resumed_epoch_has_the_same_metrics_of_outputs(tmp_path, name, save_freq, loss):
    def trained(callbacks):
        model = model_of(loss, ["mae", largest])
        fit = {"epochs": 3, "verbose": 0, "validation_data": (X, Y), "callbacks": callbacks}
        return model.fit(*DATA[name](), **fit).history

    expected = trained([])
    with pytest.raises(CutOff):
        trained([BackupAndRestore(tmp_path, save_freq), Cut()])
    assert trained([BackupAndRestore(tmp_path, save_freq)]) == expected


@pytest.mark.parametrize(
    ("first", "then"), [(["mae"], ["mse"]), (["mae"], ["mae", largest]), ([largest], [])]
)
def test_an_epoch_is_resumed_with_its_metrics_only(tmp_path, first, then):
    def trained(metrics, *callbacks):
        backup = BackupAndRestore(tmp_path, 3)
        return model_of("mse", metrics).fit(X, Y, SIZE, 3, 0, callbacks=[backup, *callbacks])

    with pytest.raises(CutOff):
        trained(first, Cut())
    with pytest.raises(ValueError, match=r"^metrics: expected those of the backup"):
        trained(then)


def test_a_function_of_the_name_of_a_metric_of_the_engine_is_another(tmp_path):
    def mae(y_true, y_pred):
        return np.abs(y_true - y_pred).mean()

    def trained(metric, *callbacks):
        backup = BackupAndRestore(tmp_path, 3)
        return model_of("mse", [metric]).fit(X, Y, SIZE, 3, 0, callbacks=[backup, *callbacks])

    with pytest.raises(CutOff):
        trained("mae", Cut())
    with pytest.raises(ValueError, match=r"^metrics: expected outputs of 20 samples"):
        trained(mae)
