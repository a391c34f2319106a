"""Classes of one's own with methods that Keras calls and nothing here does are refused when they
are made: trained with, they would do nothing. What others make is kept in files of weights."""

import numpy as np
import pytest

from fastnn import activations, initializers, losses, metrics, optimizers, regularizers
from fastnn.callbacks import BackupAndRestore, LambdaCallback, ModelCheckpoint
from fastnn.io import load_model
from fastnn.layers import Dense
from fastnn.models import Sequential

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


class Harmonic(optimizers.schedules.LearningRateSchedule):
    """Without a `get_config`."""

    def __call__(self, step):
        return 0.1 / (step + 1)


class Halves(initializers.Initializer):
    """Its `get_config` is that of fastnn's."""

    def _values(self, shape):
        return np.full(shape, 0.5)


class Own(Dense):
    """A layer."""


def model_of_own_classes(dtype="float32"):
    model = Sequential(
        [
            Own(4, "tanh", input_shape=(3,), dtype=dtype),
            Dense(1, "linear", True, Halves(), dtype=dtype),
        ]
    )
    model.compile(optimizers.SGD(Harmonic(), momentum=0.9), "mse")
    return model


def fit(model, *callbacks, epochs=2):
    model.fit(
        X, X[:, 0], batch_size=10, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks
    )


def assert_same(model, other):
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_alone_are_saved(dtype, tmp_path):
    path = tmp_path / "a.weights.h5"
    model, other = model_of_own_classes(dtype), model_of_own_classes(dtype)
    fit(model, ModelCheckpoint(path, save_weights_only=True))
    other.load_weights(path)
    assert other.iterations == 8
    assert_same(model, other)
    for each in (model, other):
        fit(each)
    assert_same(model, other)
    with pytest.raises(ValueError, match=r"weights alone.*load_weights"):
        load_model(path)
    with pytest.raises(FileExistsError):
        model.save_weights(path, overwrite=False)
    with pytest.raises(TypeError, match=r"save: expected .* got Own, which a file cannot hold"):
        fit(model, ModelCheckpoint(path))


def test_weights_are_saved_without_compiling(tmp_path):
    model, other = (Sequential([Own(4, input_shape=(3,))]) for _ in range(2))
    model.save_weights(tmp_path / "w")
    other.load_weights(tmp_path / "w")
    assert_same(model, other)


def test_a_training_is_backed_up(tmp_path):
    def cut(epoch, logs):
        raise KeyboardInterrupt

    whole, again = model_of_own_classes(), model_of_own_classes()
    again.set_weights(whole.get_weights())
    fit(whole, epochs=3)
    with pytest.raises(KeyboardInterrupt):
        fit(again, BackupAndRestore(tmp_path), LambdaCallback(on_epoch_end=cut), epochs=3)
    resumed = model_of_own_classes()
    fit(resumed, BackupAndRestore(tmp_path), epochs=3)
    assert_same(whole, resumed)


@pytest.mark.parametrize(
    ("base", "method"),
    [
        (losses.Loss, "call"),
        (losses.MeanSquaredError, "call"),
        (metrics.Metric, "update_state"),
        (regularizers.Regularizer, "__call__"),
        (regularizers.L2, "__call__"),
        (optimizers.Optimizer, "update_step"),
        (optimizers.Adam, "apply_gradients"),
    ],
)
def test_methods_that_nothing_calls_are_refused(base, method):
    with pytest.raises(TypeError, match=rf"Own: expected no {method}\(\) of its own"):
        type("Own", (base,), {method: lambda self, *arguments: 0.0})


def test_other_subclasses_go():
    class Small(regularizers.L2):
        def __init__(self):
            super().__init__(1e-6)

    assert regularizers.get(Small()).l2 == 1e-6


def test_names_in_small_letters():
    assert losses.get(losses.categorical_crossentropy).name == "categorical_crossentropy"
    np.testing.assert_array_equal(losses.mean_squared_error([[1.0]], [[2.0]]), [1.0])
    assert metrics.get(metrics.mean_absolute_error).name == "mean_absolute_error"
    assert initializers.get(initializers.glorot_uniform).get_config() == {"seed": None}
    assert activations.get(activations.swish) is activations.silu
