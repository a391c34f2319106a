"""Smaller words of Keras: clones, splits, curves."""

import numpy as np
import pytest

from fastnn import backend
from fastnn.layers import (
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    Identity,
    Input,
)
from fastnn.models import Sequential, clone_model
from fastnn.regularizers import L2
from fastnn.utils import normalize, split_dataset

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


def test_clone_model():
    model = Sequential(
        [Dense(5, "relu", input_shape=(4,), kernel_regularizer=L2(0.1)), Dropout(0.2), Dense(1)]
    )
    clone = clone_model(model)
    assert clone.get_config() == model.get_config()
    assert clone.optimizer is None
    assert not np.array_equal(clone.layers[0].kernel, model.layers[0].kernel)
    with pytest.raises(TypeError, match="model: expected a Sequential"):
        clone_model(model.layers[0])


def test_identity():
    model = Sequential([Input((2, 2)), Identity(), Flatten(), Dense(3), Identity(name="out")])
    x = X.reshape(-1, 2, 2)
    dense = model.layers[2]
    np.testing.assert_allclose(model(x), X @ dense.kernel + dense.bias, rtol=1e-5, atol=1e-6)
    assert model.count_params() == 15
    assert model.layers[0].output_shape == (None, 2, 2)
    model.compile("sgd", "mse")
    before = dense.kernel
    model.fit(x, np.zeros((60, 3)), verbose=0)
    assert (dense.kernel != before).any()


def test_normalize():
    x = np.array([[3.0, -4.0], [0.0, 0.0], [1.0, 1.0]], np.float32)
    rows = normalize(x)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[0.6, -0.8], [0, 0], [0.5**0.5] * 2], rtol=1e-6)
    np.testing.assert_allclose(normalize(x, 0, 1), x / [4, 5], rtol=1e-6)
    np.testing.assert_allclose(normalize([3, 4]), [0.6, 0.8])
    for wrong, axis, order, words in (
        (x, 2, 2, "axis"), (["a"], -1, 2, "x: "), (x, -1, "l2", "order"),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=words):
            normalize(wrong, axis, order)


def test_what_keras_programs_say_between_models():
    backend.clear_session()
    names = [layer.name for layer in (Dense(1), Dense(1), Dropout(0.1))]
    assert names == ["dense", "dense_1", "dropout"]
    backend.clear_session()
    assert Dense(1).name == "dense"
    assert backend.floatx() == "float32"
    assert backend.epsilon() == 1e-7
    with pytest.raises(TypeError, match="free_memory"):
        backend.clear_session("all")


def test_variables_are_the_weights():
    model = Sequential([Dense(3, input_shape=(4,)), BatchNormalization()])
    for kind in ("", "trainable_", "non_trainable_"):
        for owner in (model, *model.layers):
            found, expected = (getattr(owner, kind + word) for word in ("variables", "weights"))
            assert len(found) == len(expected)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)
    assert sum(v.size for v in model.trainable_variables) == 4 * 3 + 3 + 2 * 3
    assert len(model.non_trainable_variables) == 2


def test_what_asks_for_no_other_number_is_taken():
    model = Sequential([Dense(1, input_shape=(4,))])
    model.compile("sgd", "mse", loss_weights=[1.0], run_eagerly=True, steps_per_execution=8)
    assert np.isfinite(model.fit(X, X[:, 0], verbose=0).history["loss"]).all()


@pytest.mark.parametrize(
    ("sizes", "left", "right"),
    [
        ({"left_size": 0.5}, 30, 30),
        ({"left_size": 10}, 10, 50),
        ({"right_size": 0.1}, 54, 6),
        ({"left_size": 20, "right_size": 0.25}, 20, 15),
    ],
)
def test_split_dataset(sizes, left, right):
    y = np.arange(60)
    (a, b), (c, d) = split_dataset((X, y), **sizes)
    np.testing.assert_array_equal(a, X[:left])
    np.testing.assert_array_equal(d, y[left : left + right])
    assert (len(b), len(c)) == (left, right)
    one, other = split_dataset(y, **sizes, shuffle=True, seed=1)
    assert len(set(one) | set(other)) == left + right
    assert not np.array_equal(one, y[:left])
    np.testing.assert_array_equal(one, split_dataset(y, **sizes, shuffle=True, seed=1)[0])


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"left_size": 61},
        {"left_size": 1.5},
        {"left_size": 0},
        {"left_size": 50, "right_size": 11},
    ],
)
def test_bad_splits(arguments):
    with pytest.raises(ValueError, match="_size"):
        split_dataset(X, **arguments)


def test_bad_datasets():
    with pytest.raises(ValueError, match="dataset: expected as many rows"):
        split_dataset((X, X[:3]), 0.5)
    with pytest.raises(ValueError, match="dataset: expected arrays"):
        split_dataset(3, 0.5)


def test_history_plots_its_curves():
    matplotlib = pytest.importorskip("matplotlib", reason="pip install matplotlib")
    matplotlib.use("agg")
    model = Sequential([Dense(1, input_shape=(4,))])
    model.compile("sgd", "mse", ["mae"])
    history = model.fit(X, X[:, :1], epochs=4, verbose=0, validation_split=0.2, validation_freq=2)
    ax = history.plot()
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert set(lines) == {"loss", "val_loss", "mae", "val_mae"}
    assert list(lines["loss"].get_xdata()) == [1, 2, 3, 4]
    assert list(lines["val_mae"].get_xdata()) == [2, 4]
    assert list(lines["val_loss"].get_ydata()) == history.history["val_loss"]
    assert lines["loss"].get_color() == lines["val_loss"].get_color()
    assert history.plot(["mae"], ax=ax) is ax
    with pytest.raises(ValueError, match="names: expected some of loss, mae"):
        history.plot(["accuracy"])
    matplotlib.pyplot.close("all")
