"""Batches from generators and PyDatasets, beside Keras on the same ones."""

import inspect
import os

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("torch", reason="PyTorch is missing: pip install 'fastnn[oracles]'")
keras = pytest.importorskip("keras", reason="Keras is missing: pip install 'fastnn[oracles]'")

from fastnn.layers import Dense  # noqa: E402
from fastnn.models import Sequential  # noqa: E402
from fastnn.utils import PyDataset  # noqa: E402

pytestmark = [pytest.mark.oracles, pytest.mark.filterwarnings("ignore")]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(110, 5)).astype(np.float32)
Y = (X[:, :2] * X[:, 2:4] + 1).astype(np.float32)
WEIGHT = RNG.uniform(0.5, 2, 110).astype(np.float32)


def batch(index, weighted):
    part = slice(20 * index, 20 * index + 20)  # the sixth has 10
    return (X[part], Y[part], WEIGHT[part]) if weighted else (X[part], Y[part])


def generator(_, weighted, passes=99):
    for _ in range(passes):
        for index in range(6):
            yield batch(index, weighted)


def dataset(base, weighted):
    class Data(base):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            self.asked = [*getattr(self, "asked", []), index]
            return batch(index, weighted)

    return Data()


def models():
    theirs = keras.Sequential([keras.Input((5,)), keras.layers.Dense(7, "tanh")])
    theirs.add(keras.layers.Dense(2))
    theirs.compile("sgd", "mse", metrics=["mae"])
    ours = Sequential([Dense(7, "tanh", input_shape=(5,)), Dense(2)])
    ours.compile("sgd", "mse", metrics=["mae"])
    ours.set_weights(theirs.get_weights())
    return ours, theirs


@pytest.mark.parametrize(
    ("make", "weighted", "fit"),
    [
        (generator, False, {"steps_per_epoch": 6}),
        (generator, False, {"steps_per_epoch": 4}),
        (dataset, False, {}),
        (dataset, True, {}),
        (dataset, False, {"steps_per_epoch": 3}),
    ],
)
def test_training(make, weighted, fit):
    ours, theirs = models()
    fit = {"epochs": 4, "shuffle": False, "verbose": 0, **fit}
    validation = {"validation_steps": 2}
    expected = theirs.fit(
        make(keras.utils.PyDataset, weighted),
        validation_data=make(keras.utils.PyDataset, weighted),
        **{**fit, **validation},
    )
    got = ours.fit(
        make(PyDataset, weighted),
        validation_data=dataset(PyDataset, weighted),
        **{**fit, **validation},
    )
    names = ["loss", "mae"]
    if make is dataset:  # Keras's validation by a generator begins with its first batch again
        names += ["val_loss", "val_mae"]
    for name in names:
        np.testing.assert_allclose(got.history[name], expected.history[name], rtol=1e-4)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-5)


def test_evaluate_and_predict():
    ours, theirs = models()
    expected = theirs.evaluate(dataset(keras.utils.PyDataset, False), verbose=0)
    np.testing.assert_allclose(
        ours.evaluate(dataset(PyDataset, False), verbose=0), expected, rtol=1e-5
    )
    expected = theirs.evaluate(X, Y, 20, 0, steps=3)
    np.testing.assert_allclose(ours.evaluate(X, Y, 20, 0, steps=3), expected, rtol=1e-5)
    for steps in (None, 2):
        expected = theirs.predict(dataset(keras.utils.PyDataset, False), steps=steps, verbose=0)
        got = ours.predict(dataset(PyDataset, False), steps=steps)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_constructor_and_hooks_are_keras_s():
    theirs, ours = keras.utils.PyDataset, PyDataset
    assert [*inspect.signature(ours).parameters] == [*inspect.signature(theirs).parameters]
    for name in ("num_batches", "on_epoch_begin", "on_epoch_end", "workers", "max_queue_size"):
        assert hasattr(ours, name)
    assert keras.utils.Sequence is theirs


def test_shuffling_takes_every_batch_once():
    for base, (model, *_) in ((PyDataset, models()), (keras.utils.PyDataset, models()[::-1])):
        data = dataset(base, False)
        model.fit(data, epochs=1, verbose=0)
        asked = data.asked[-6:]
        assert sorted(asked) == list(range(6))


@pytest.mark.parametrize("steps", [4, 6])
def test_a_generator_that_ends_early_ends_with_its_last_batch(steps):
    ours, theirs = models()
    fit = {"epochs": 1, "steps_per_epoch": steps + 3, "verbose": 0}
    expected = theirs.fit(generator(None, False, 1), **fit)
    got = ours.fit(generator(None, False, 1), **fit)
    np.testing.assert_allclose(got.history["loss"], expected.history["loss"], rtol=1e-4)
