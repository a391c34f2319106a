"""The layers BatchNormalization, LayerNormalization and PReLU."""

import copy
import pickle
import threading

import numpy as np
import pytest

import fastnn
from fastnn import Sequential, reference
from fastnn.initializers import Constant, RandomUniform
from fastnn.layers import (
    BatchNormalization,
    Dense,
    Flatten,
    Input,
    LayerNormalization,
    PReLU,
)
from fastnn.models import clone_model
from fastnn.optimizers import SGD, Adam
from fastnn.regularizers import L2
from fastnn.utils import set_random_seed

RNG = np.random.default_rng(0)
X = RNG.normal(1, 2, (90, 6)).astype(np.float32)
Y = (X[:, :3].sum(axis=1) > 3).astype(np.int32) + (X[:, 3] > 2)
MAKE = {
    "batch": lambda **more: BatchNormalization(**more),
    "batch, other settings": lambda **more: BatchNormalization(
        axis=1, momentum=0.5, epsilon=0.01, beta_initializer=RandomUniform(seed=1),
        gamma_initializer=Constant(0.5), moving_mean_initializer=Constant(0.25),
        moving_variance_initializer=Constant(2), gamma_regularizer=L2(0.01),
        beta_regularizer="l1", **more,
    ),
    "batch without scale": lambda **more: BatchNormalization(scale=False, **more),
    "batch without center": lambda **more: BatchNormalization(center=False, **more),
    "batch without both": lambda **more: BatchNormalization(center=False, scale=False, **more),
    "layer": lambda **more: LayerNormalization(**more),
    "layer, other settings": lambda **more: LayerNormalization(
        axis=[-1], epsilon=0.1, beta_initializer="ones", gamma_regularizer=L2(0.1),
        gamma_constraint="non_neg", beta_constraint="max_norm", **more
    ),
    "layer without scale": lambda **more: LayerNormalization(scale=False, **more),
    "layer without both": lambda **more: LayerNormalization(center=False, scale=False, **more),
    "prelu": lambda **more: PReLU(**more),
    "prelu, other settings": lambda **more: PReLU(Constant(0.25), L2(0.1), "unit_norm", **more),
}  # fmt: skip


def trained(make, dtype="float32", optimizer=None) -> Sequential:
    set_random_seed(0)
    model = Sequential(
        [Input((6,), dtype=dtype), Dense(37, dtype=dtype), make(dtype=dtype), Dense(3, dtype=dtype)]
    )
    model.compile(optimizer or Adam(0.01), fastnn.losses.SparseCategoricalCrossentropy(True))
    model.fit(X, Y, epochs=2, verbose=0)
    return model


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("way", ["file", "pickle", "deepcopy"])
def test_a_copy_goes_on_as_the_original(name, way, tmp_path):
    model = trained(MAKE[name])
    if way == "file":
        model.save(tmp_path / "model.fastnn")
        again = fastnn.load_model(tmp_path / "model.fastnn")
    else:
        again = pickle.loads(pickle.dumps(model)) if way == "pickle" else copy.deepcopy(model)
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    for each in (model, again):
        set_random_seed(1)
        each.fit(X, Y, epochs=1, verbose=0)
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
def test_both_engines_fit_the_same(name, dtype, monkeypatch):
    native = trained(MAKE[name], dtype)
    monkeypatch.setattr(Sequential, "_network_class", staticmethod(reference.Network))
    twin = trained(MAKE[name], dtype)
    for ours, theirs in zip(native.get_weights(), twin.get_weights(), strict=True):
        assert ours.dtype == ("float64" if dtype == "float64" else "float32")
        np.testing.assert_allclose(ours, theirs, atol=0.03 if dtype == "mixed_bfloat16" else 1e-3)
    assert native.evaluate(X, Y, verbose=0) == pytest.approx(
        twin.evaluate(X, Y, verbose=0), rel=3e-2 if dtype == "mixed_bfloat16" else 1e-3
    )


@pytest.mark.parametrize("name", MAKE)
def test_clones_are_new_models_of_the_same_settings(name):
    model = trained(MAKE[name])
    clone = clone_model(model)
    assert clone.get_config() == model.get_config()
    assert [w.shape for w in clone.get_weights()] == [w.shape for w in model.get_weights()]
    layer = type(model.layers[1]).from_config(model.layers[1].get_config())
    assert layer.get_config() == model.layers[1].get_config()


def test_weights_have_kerass_names_and_order():
    model = trained(MAKE["batch, other settings"])
    layer = model.layers[1]
    assert layer.weight_names == ("gamma", "beta", "moving_mean", "moving_variance")
    named = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    for ours, by_name in zip(layer.get_weights(), named, strict=True):
        np.testing.assert_array_equal(ours, by_name)
    assert [len(part) for part in (layer.trainable_weights, layer.non_trainable_weights)] == [2, 2]
    assert len(model.trainable_weights) == 6
    np.testing.assert_array_equal(model.non_trainable_weights[0], layer.moving_mean)
    layer.trainable = False
    assert [len(part) for part in (layer.trainable_weights, layer.non_trainable_weights)] == [0, 4]
    assert BatchNormalization(scale=False, input_shape=(3,)).weight_names[0] == "beta"
    assert Sequential([Input((3,)), LayerNormalization(scale=False)]).layers[0].gamma is None


def test_initial_weights():
    layer = Sequential([Input((6,)), MAKE["batch, other settings"]()]).layers[0]
    gamma, beta, mean, variance = layer.get_weights()
    assert (gamma == 0.5).all()
    assert (mean == 0.25).all()
    assert (variance == 2).all()
    assert 0 < abs(beta).max() <= 0.05
    default = Sequential([Input((6,)), BatchNormalization()]).get_weights()
    assert [weight[0] for weight in default] == [1, 0, 0, 1]


def test_summary_says_what_is_not_trained():
    lines: list[str] = []
    trained(MAKE["batch"]).summary(print_fn=lines.append)
    assert lines[-5:-1] == [
        "Total params: 1,415 (5.53 KB)",
        "Trainable params: 447 (1.75 KB)",
        "Non-trainable params: 74 (296.00 B)",
        "Optimizer params: 894 (3.49 KB)",
    ]
    trained(MAKE["layer"]).summary(print_fn=lines.append)
    assert "Non-trainable params: 0 (0.00 B)" in lines


def test_moving_statistics_follow_the_batches():
    model = Sequential([Input((6,), dtype="float64"), BatchNormalization(dtype="float64")])
    model.compile(SGD(0.0), "mse")
    mean, variance = np.zeros(6), np.ones(6)
    for batch in np.array_split(X.astype(np.float64), 3):
        model.train_on_batch(batch, batch)
        mean = 0.99 * mean + 0.01 * batch.mean(axis=0)
        variance = 0.99 * variance + 0.01 * batch.var(axis=0)
    np.testing.assert_allclose(model.layers[0].moving_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(model.layers[0].moving_variance, variance, rtol=1e-12)
    expected = (X - mean) / np.sqrt(variance + 1e-3)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-9)
    before = model.get_weights()
    model.evaluate(X, X, verbose=0)
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", ["batch", "batch without both", "batch, other settings"])
def test_a_frozen_one_works_as_outside_of_training(name):
    model = trained(MAKE[name])
    model.layers[1].trainable = False
    before = model.layers[1].get_weights()
    np.testing.assert_allclose(
        model.forward(X, training=True), model.predict(X), rtol=1e-5, atol=1e-5
    )
    model.fit(X, Y, epochs=1, verbose=0)
    for one, two in zip(before, model.layers[1].get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    model.layers[1].trainable = True
    model.fit(X, Y, epochs=1, verbose=0)
    for one, two in zip(before, model.layers[1].get_weights(), strict=True):
        assert (one != two).any()


def test_one_without_weights_has_a_rate_of_learning():
    model = trained(lambda **more: MAKE["batch without both"](learning_rate_multiplier=2, **more))
    model.layers[1].learning_rate_multiplier = 0.5
    assert model.layers[1].learning_rate_multiplier == 0.5


def test_prelu_takes_samples_of_axes():
    model = Sequential(
        [Input((2, 3)), PReLU("ones", alpha_constraint="non_neg"), Flatten(), Dense(1)]
    )
    model.compile("sgd", "mse")
    model.fit(X.reshape(-1, 2, 3), Y, verbose=0)
    assert model.layers[0].alpha.shape == (2, 3)
    again = pickle.loads(pickle.dumps(model))
    for one, two in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_set_weights_reaches_predictions_at_once():
    model = Sequential([Input((6,)), BatchNormalization(epsilon=0)])
    assert model.predict(X) == pytest.approx(X)
    model.set_weights([np.full(6, 2), np.ones(6), np.full(6, 3), np.full(6, 4)])
    assert model.predict(X) == pytest.approx((X - 3) / 2 * 2 + 1, abs=1e-5)
    assert model.predict(X[:1]) == pytest.approx((X[:1] - 3) / 2 * 2 + 1, abs=1e-5)


def test_predictions_beside_training():
    """Whatever moment of training a prediction sees, it is one of numbers."""
    model = trained(MAKE["batch"])
    done = threading.Event()
    seen = []

    def predict() -> None:
        while not done.is_set():
            seen.append(np.isfinite(model.predict(X)).all())

    other = threading.Thread(target=predict)
    other.start()
    model.fit(X, Y, epochs=60, verbose=0)
    done.set()
    other.join()
    assert seen
    assert all(seen)
    copied = copy.deepcopy(model)
    np.testing.assert_array_equal(copied.predict(X), model.predict(X))


def test_training_that_fails_leaves_no_old_numbers():
    """The numbers for outside of training are those of the weights, also after an error."""
    model = trained(MAKE["batch"])
    network, index = model._network, np.arange(90)
    index[-1] = 1000
    with pytest.raises(ValueError, match="index"):
        network.train(X, Y, None, index, 10, 0, 10.0)  # several slices of steps
    np.testing.assert_array_equal(copy.deepcopy(model).predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: BatchNormalization(axis=2), ValueError, "axis: expected -1 or 1"),
        (lambda: LayerNormalization(axis=(1, 2)), ValueError, "axis: expected -1 or 1"),
        (lambda: BatchNormalization(momentum=1.5), ValueError, "momentum: expected a number in"),
        (lambda: BatchNormalization(momentum="0.9"), TypeError, "momentum"),
        (lambda: LayerNormalization(epsilon=-1), ValueError, "epsilon: expected a number in"),
        (lambda: BatchNormalization(center="yes"), TypeError, "center: expected True or False"),
        (lambda: BatchNormalization(gamma_initializer="twos"), ValueError, "gamma_initializer"),
        (lambda: BatchNormalization(renorm=True), ValueError, "renorm: expected False"),
        (lambda: BatchNormalization(synchronized=True), ValueError, "synchronized"),
        (lambda: LayerNormalization(gamma_constraint="min_norm"), ValueError, "gamma_constraint"),
        (
            lambda: Sequential([Input((2, 3)), PReLU(alpha_constraint="max_norm")]),
            ValueError,
            "Flatten",
        ),
        (lambda: LayerNormalization(rms_scaling=True), TypeError, "rms_scaling"),
        (lambda: PReLU(shared_axes=[1]), ValueError, "shared_axes: expected None"),
        (lambda: PReLU(alpha_regularizer="l7"), ValueError, "alpha_regularizer"),
        (lambda: Sequential([Input((2, 3)), BatchNormalization()]), ValueError, "Flatten"),
        (lambda: Sequential([Input((2, 3)), LayerNormalization()]), ValueError, "Flatten"),
        (
            lambda: Sequential(
                [Input((2,)), BatchNormalization(moving_variance_initializer=Constant(-1))]
            ),
            ValueError,
            "moving_variance_initializer of layer .*: expected a moving variance >= 0",
        ),
        (
            lambda: Sequential([Input((1,)), BatchNormalization()]).set_weights(
                [[1], [0], [0], [-1]]
            ),
            ValueError,
            "expected a moving variance >= 0",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()
