"""Samples of several axes: Flatten, Reshape, and what each layer does with them."""

import pickle

import numpy as np
import pytest

import fastnn
from fastnn._data import as_features, as_rows
from fastnn.layers import (
    Activation,
    Dense,
    Dropout,
    Flatten,
    Input,
    InputLayer,
    Layer,
    Normalization,
    Reshape,
)
from fastnn.models import Sequential, clone_model
from fastnn.utils import set_random_seed

X = np.random.default_rng(0).normal(size=(20, 4, 3)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(20, 2)).astype(np.float32)


def images(*first: Layer) -> Sequential:
    set_random_seed(0)
    return Sequential([*first, Flatten(), Dense(5, "tanh"), Dense(2)])


def test_every_way_to_say_the_shape_is_one():
    by_data, by_build = images(), images()
    by_data.predict(X)
    by_build.build((None, 4, 3))
    added = Sequential()
    added.add(Flatten(input_shape=(4, 3)))
    added.add(Dense(5))
    set_random_seed(0)
    first = Sequential([Flatten(input_shape=(4, 3)), Dense(5), Dense(2)])
    for model in (images(Input((4, 3))), by_data, by_build, added, first):
        assert model.built
        assert model.input_shape == model.layers[0].input_shape == (None, 4, 3)
        assert model.input_size == 12
        flatten, dense = model.layers[:2]
        assert flatten.output_shape == dense.input_shape == (None, 12)
        assert dense.count_params() == 65
        assert flatten.count_params() == 0


def test_rows_and_samples_of_axes_train_to_the_same_bits():
    flat = X.reshape(20, 12)
    results = []
    for x, first in [
        (flat, [Input((12,))]),
        (X, [Input((4, 3))]),
        (np.asfortranarray(X), [Input((4, 3))]),
        (X.tolist(), []),
    ]:
        model = images(*first)
        model.compile("adam", "mse", metrics=["mae"])
        history = model.fit(x, Y, epochs=3, batch_size=8, verbose=0, validation_data=(x, Y)).history
        losses = [*model.evaluate(x, Y, verbose=0), *model.train_on_batch(x, Y)]
        dx = model.backward(model.forward(x))
        assert dx.shape == np.shape(x)
        results.append([history, losses, *model.get_weights(), model.predict(x), dx.ravel()])
        for few in (model.predict(x[:3]), model(x[:3]), model.predict_on_batch(x[:3])):
            np.testing.assert_array_equal(few, model.predict(x)[:3])
        assert model.predict(np.asarray(x)[:0]).shape == (0, 2)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_equal(a, b)


def test_samples_become_rows_without_a_copy():
    assert np.shares_memory(as_rows(as_features(X, X.dtype, (4, 3))), X)


def test_outputs_have_the_shape_of_the_last_layer():
    model = Sequential([Input((4, 3)), Flatten(), Dense(6), Reshape((2, -1)), Activation("tanh")])
    assert model.output_shape == (None, 2, 3)
    targets = np.random.default_rng(2).normal(size=(20, 2, 3))
    twin = Sequential([Input((12,)), Dense(6), Activation("tanh")])
    twin.set_weights(model.get_weights())
    for each in (model, twin):
        each.compile("sgd", "mse", metrics=["mae", "binary_accuracy"])
    np.testing.assert_array_equal(
        model.predict(X), twin.predict(X.reshape(20, 12)).reshape(20, 2, 3)
    )
    assert model.predict(X[:2]).shape == model.forward(X[:2]).shape == (2, 2, 3)
    assert model.backward(np.ones((2, 2, 3))).shape == (2, 4, 3)
    given = (X.reshape(20, 12), targets.reshape(20, 6))
    assert model.evaluate(X, targets, verbose=0) == twin.evaluate(*given, verbose=0)
    model.fit(X, targets, verbose=0, shuffle=False)
    twin.fit(*given, verbose=0, shuffle=False)
    np.testing.assert_equal(model.get_weights(), twin.get_weights())


@pytest.mark.parametrize("metrics", [None, ["mae"]])
def test_a_loss_of_ones_own_sees_the_shape_of_the_outputs(metrics):
    def loss(y, p):
        assert y.shape == p.shape == (len(p), 2, 3)
        return ((p - y) ** 2).mean(axis=(1, 2)), (p - y) / 3

    model = Sequential([Input((4, 3)), Flatten(), Dense(6), Reshape((2, 3))])
    like = clone_model(model)
    like.set_weights(model.get_weights())
    targets = np.random.default_rng(2).normal(size=(20, 2, 3))
    for each, own in ((model, loss), (like, "mse")):
        each.compile("sgd", own, metrics=metrics)
        each.fit(X, targets, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), like.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "without"), [((1,), ()), ((4,), (4,)), ((6, 4, 1), (6, 4)), ((6, 4), (6, 4))]
)
def test_a_last_axis_of_one_number_may_be_missing_or_too_much(shape, without):
    set_random_seed(0)
    model = Sequential([Input(shape), Flatten(), Dense(2)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(9, *shape)).astype(np.float32)
    expected = model.predict(x)
    bare = x.reshape(9, *without)
    for other in (bare, bare[..., None]):
        for call in (model.predict, model.predict_on_batch, model, model.forward):
            np.testing.assert_array_equal(call(other), expected)
        np.testing.assert_array_equal(model.predict(other.tolist()), expected)
    y = np.zeros((9, 2))
    losses = []
    for data in (x, bare, bare[..., None]):
        model.layers[-1].set_weights([np.ones((x[0].size, 2)), np.ones(2)])
        losses.append(model.fit(data, y, shuffle=False, verbose=0).history["loss"][0])
        losses.append(model.train_on_batch(data, y))
    assert losses[0::2] == losses[:1] * 3
    assert losses[1::2] == losses[1:2] * 3
    with pytest.raises(ValueError, match="x: expected"):
        model.predict(x[..., None, None])


@pytest.mark.parametrize(
    "make",
    [
        lambda: InputLayer(input_shape=(4, 3)),
        lambda: InputLayer((9,), input_shape=(4, 3)),
        lambda: InputLayer(batch_input_shape=(None, 4, 3)),
        lambda: InputLayer((4, 3), 20),
        lambda: Input((4, 3), batch_size=8),
        lambda: Input((4, 3), 1),
        lambda: Input((4, 3), batch_size=None),
    ],
)
def test_old_names_and_a_batch_size_are_taken(make):
    """Batches stay of any size."""
    model = images(make())
    assert model.input_shape == (None, 4, 3)
    assert [model.predict(X[:n]).shape for n in (1, 5, 20)] == [(1, 2), (5, 2), (20, 2)]
    assert clone_model(model).get_config() == model.get_config()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shape": (4,), "batch_size": 0}, "batch_size: expected"),
        ({"shape": (4,), "batch_size": "8"}, "batch_size: expected"),
        ({"shape": (4,), "batch_size": True}, "batch_size: expected"),
        ({"batch_shape": (None, 4), "batch_size": 8}, "batch_size: expected None"),
        ({"input_shape": (4,), "batch_shape": (None, 4)}, "shape, batch_shape: expected one"),
    ],
)
def test_inputs_that_say_what_cannot_be_are_refused(arguments, words):
    with pytest.raises((ValueError, TypeError), match=f"^{words}"):
        InputLayer(**arguments)


def test_layers_element_by_element_keep_the_axes():
    model = Sequential([Input((4, 3)), Activation("relu"), Dropout(0.5), Reshape((3, 4))])
    assert [layer.output_shape for layer in model.layers] == [(None, 4, 3)] * 2 + [(None, 3, 4)]
    np.testing.assert_array_equal(model.predict(X), np.maximum(X, 0).reshape(20, 3, 4))


def test_a_model_may_do_nothing_but_flatten():
    model = Sequential([Flatten(input_shape=(4, 3))])
    np.testing.assert_array_equal(model.predict(X), X.reshape(20, 12))
    assert model.layers[0].get_weights() == []


def test_models_with_axes_are_saved_cloned_and_pickled(tmp_path):
    model = Sequential([Input((4, 3)), Activation("tanh"), Flatten(), Dense(6), Reshape([3, -1])])
    model.compile("adam", "mse")
    model.fit(X, np.ones((20, 3, 2)), verbose=0)
    model.save(tmp_path / "model")
    nothing = Sequential([Input((4, 3)), Reshape((3, 4))])
    nothing.save(tmp_path / "nothing")
    assert fastnn.load_model(tmp_path / "nothing").output_shape == (None, 3, 4)
    for other in (
        pickle.loads(pickle.dumps(model)),
        fastnn.load_model(tmp_path / "model"),
        clone_model(model),
    ):
        assert (other.input_shape, other.output_shape) == ((None, 4, 3), (None, 3, 2))
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        assert other.layers[-1].target_shape == (3, -1)
    unbuilt = Sequential([model.pop()])
    unbuilt.save(tmp_path / "unbuilt")
    assert not fastnn.load_model(tmp_path / "unbuilt").built
    dense = Sequential([model.pop()])  # it has weights, the model no input
    dense.save(tmp_path / "dense")
    again = fastnn.load_model(tmp_path / "dense")
    np.testing.assert_equal(again.get_weights(), dense.get_weights())


def test_a_model_built_by_data_keeps_its_shape_when_it_grows():
    model = Sequential([Flatten()])
    model.predict(X)
    model.add(Dense(2))
    assert model.input_shape == (None, 4, 3)
    assert model.predict(X).shape == (20, 2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sequential([Input((4, 3)), Dense(2)]), r"one axis.*\(4, 3\).*Flatten"),
        (lambda: Sequential([Input((4, 3)), Normalization()]), "Flatten"),
        (lambda: Sequential([Input((4, 3)), Activation("softmax")]), "Flatten"),
        (lambda: Sequential([Input((4, 3)), Activation("log_softmax")]), "Flatten"),
        (lambda: Normalization().adapt(X), "data: expected a 2-D"),
        (lambda: Sequential([Input((4, 3)), Reshape((5, 2))]), r"total size.*|\(5, 2\)"),
        (lambda: Sequential([Input((4, 3)), Reshape((5, -1))]), r"total size.*|\(5, -1\)"),
        (lambda: Reshape((-1, -1)), "at most one -1"),
        (lambda: Reshape((2, 0)), "target_shape"),
        (lambda: Reshape((2, -3)), "target_shape"),
        (lambda: Reshape((2, 1.5)), "target_shape"),
        (lambda: Reshape(6), "target_shape"),
        (lambda: Flatten("channels_first"), "data_format"),
        (lambda: Input((2**20, 2**20)), "shape"),
        (lambda: Input((None, 3)), "shape"),
        (lambda: Sequential([Dense(2)]).predict(X), "Flatten"),
        (lambda: images(Input((4, 3))).predict(X[:, :2]), "x: expected 4 x 3 features"),
        (lambda: images(Input((4, 3))).predict(X.reshape(20, 12)), r"3-D array \(samples, 4, 3\)"),
        (lambda: images(Input((12,))).predict(X), "2-D array"),
        (lambda: images(Input((4, 3))).build((None, 12)), "input_shape"),
        (lambda: images().predict(np.ones((2, 0, 3))), "at least one feature"),
    ],
)
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make()


@pytest.mark.parametrize(
    ("loss", "metrics", "targets", "words"),
    [
        ("mse", None, np.ones((20, 6)), r"\(samples, 2, 3\)"),
        ("categorical_crossentropy", None, np.ones((20, 2, 3)), "loss: .* Flatten"),
        ("kl_divergence", None, np.ones((20, 2, 3)), "loss: .* Flatten"),
        ("mse", ["accuracy"], np.ones((20, 2, 3)), "metrics: .* Flatten"),
    ],
)
def test_targets_that_do_not_fit_are_refused(loss, metrics, targets, words):
    model = Sequential([Input((4, 3)), Flatten(), Dense(6), Reshape((2, 3))])
    model.compile("sgd", loss, metrics=metrics)
    before = model.get_weights()
    with pytest.raises(ValueError, match=words):
        model.fit(X, targets, verbose=0)
    np.testing.assert_equal(model.get_weights(), before)
