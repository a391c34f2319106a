"""Dropout: which numbers are dropped, and that it costs nothing outside of training."""

from copy import deepcopy

import numpy as np
import pytest

from fastnn import load_model, reference
from fastnn._native import network as native
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential
from fastnn.utils import set_random_seed

X = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
Y = X[:, :1] - X[:, 1:2] ** 2


def model(rate: float = 0.5, seed: int | None = 5, **kwargs) -> Sequential:
    set_random_seed(2)
    model = Sequential(
        [Dense(40, "tanh", input_shape=(12,)), Dropout(rate, seed=seed, **kwargs), Dense(1)]
    )
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_both_engines_drop_the_same(build, compile_with, problem, dtype, rate):
    ops = [
        ("dropout", rate / 2, 3),
        ("dense", 33, "relu", True),
        ("dropout", rate, 4),
        ("activation", "tanh"),
        ("dense", 20, "linear", True),
        ("dropout", rate, 2**63 - 1),
        ("dense", 4, "softmax", True),
    ]
    nets = [build(engine, dtype, 7, ops) for engine in (native.Network, reference.Network)]
    x, y, weight = problem(70, 7, 4, "xent", dtype, labels=True)
    index = np.arange(70)
    tight = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}
    results, outputs = [], []
    for net in nets:
        compile_with(net, "xent", "adam", ("argmax_match",))
        trained = [net.train(x, y, weight, index, 16, 0, 1e9, None) for _ in range(3)]
        results.append([[loss, *metrics] for _, loss, metrics in trained])
        out = np.empty((70, 4), dtype)
        net.predict(x, out, None)
        kept = net.forward(x, None, True)
        dx = net.backward(np.ones_like(kept), None)
        outputs.append((out, net.get_kernel(1), kept, dx, net.flat_gradients.sum()))
    np.testing.assert_allclose(*results, **tight)
    for ours, theirs in zip(*outputs, strict=True):
        np.testing.assert_allclose(ours, theirs, **tight)


def test_what_is_dropped():
    """`rate` of it, at other places in every step, layer and row; the mean stays."""
    layers = [Dropout(0.3, seed=1, input_shape=(50,)), Dropout(0.0, seed=2)]
    net = Sequential(layers)
    net.compile("sgd", "mse")
    ones = np.ones((400, 50), np.float32)
    first = net(ones, training=True)
    assert set(np.unique(first)) == {0.0, np.float32(1 / 0.7)}
    assert abs((first == 0).mean() - 0.3) < 0.015  # 4.6 standard deviations
    assert abs((first == 0).mean(axis=0) - 0.3).max() < 0.11
    second = net(ones, training=True)
    assert abs(((second == 0) & (first == 0)).mean() - 0.3**2) < 0.01
    np.testing.assert_array_equal(net(ones), ones)
    np.testing.assert_array_equal(net.predict(ones), ones)

    def dropped(seed: int, step: int) -> np.ndarray:
        key = reference.kernels.dropout_key(seed, step)
        return reference.kernels.dropout(ones, 0, key, 0.3).ravel() == 0

    masks = [dropped(seed, step) for seed in (1, 2, 3) for step in (1, 2, 3, 1000)]
    np.testing.assert_array_equal(masks[0], (first == 0).ravel())
    np.testing.assert_array_equal(dropped(1, 1 + (1 << 32)), (second == 0).ravel())
    correlation = np.corrcoef(masks)
    np.fill_diagonal(correlation, 0)
    assert abs(correlation).max() < 0.035  # 5 standard deviations of 20000 numbers
    for mask in masks:  # neighbours in a row and in a column
        assert abs(np.corrcoef(mask[:-1], mask[1:])[0, 1]) < 0.035
        assert abs(np.corrcoef(mask[:-50], mask[50:])[0, 1]) < 0.035


def test_gradients_go_through_what_was_kept():
    net = model()
    fresh = deepcopy(net)
    y = net.forward(X, training=True)
    dx = net.backward(np.ones_like(y))
    step = 1e-2
    moved = X.copy()
    moved[:, 3] += step
    ahead = deepcopy(fresh).forward(moved, training=True)  # whose first numbers are those of y
    moved[:, 3] -= 2 * step
    behind = deepcopy(fresh).forward(moved, training=True)
    np.testing.assert_allclose(dx[:, 3], (ahead - behind)[:, 0] / (2 * step), atol=2e-3)
    calm = net.forward(X)
    assert np.abs(calm - y).max() > 0.1
    np.testing.assert_array_equal(calm, net.predict(X))
    assert np.abs(net.backward(np.ones_like(calm)) - dx).max() > 0.01


def test_rate_0_is_no_dropout():
    with_it, without = model(0.0), model()
    without.pop()
    without.pop()
    without.add(Dense(1))
    without.compile("adam", "mse")
    without.set_weights(with_it.get_weights())
    for each in (with_it, without):
        set_random_seed(1)
        each.fit(X, Y, epochs=2, verbose=0)
    for a, b in zip(with_it.get_weights(), without.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_between_relu_and_a_dense_layer(build, problem, dtype, rate, training):
    """The next product's epilogue is all of its backward pass; the first layer needs none."""
    ops = [
        ("dropout", 0.5, 2),
        ("dense", 70, "relu", True),
        ("dropout", rate, 3),
        ("dense", 33, "relu", True),
        ("dropout", rate / 3, 4),
        ("dense", 5, "tanh", True),
        ("dropout", rate, 5),
        ("dense", 2, "linear", True),
    ]
    x, _, _ = problem(45, 9, 2, "mse", dtype)
    dy = np.random.default_rng(0).normal(size=(45, 2)).astype(dtype)
    tight = {"rtol": 2e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}
    results = []
    for engine in (native.Network, reference.Network):
        net = build(engine, dtype, 9, ops)
        y = net.forward(x, None, training)
        dx = net.backward(dy, None)
        gradients = net.flat_gradients.astype(np.float64)
        results.append((y, dx, gradients.sum(), (gradients**2).sum()))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, **tight)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_same_bits_for_any_number_of_threads(build, compile_with, problem, threads):
    ops = [("dense", 70, "relu", True), ("dropout", 0.4, 9), ("dense", 5, "softmax", True)]
    x, y, _ = problem(171, 20, 5, "xent", "float32", labels=True)
    flat = []
    for n in (1, threads):
        net = build(native.Network, "float32", 20, ops)
        compile_with(net, "xent", "adam")
        net.train(x, y, None, np.arange(171), 50, 0, 1e9, n)
        flat.append(net.flat_weights.copy())
    np.testing.assert_array_equal(*flat)


def test_a_loaded_model_drops_what_the_saved_one_would(tmp_path):
    whole, saved = model(seed=None), model(seed=None)
    assert whole.layers[1].seed == saved.layers[1].seed  # of equal random seeds
    arguments = {"verbose": 0, "shuffle": False}
    whole.fit(X, Y, epochs=2, **arguments)
    saved.fit(X, Y, **arguments)
    saved.save(tmp_path / "m.fastnn")
    again = load_model(tmp_path / "m.fastnn")
    again.fit(X, Y, **arguments)
    for a, b in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_trains_against_overfitting():
    history = model(0.3).fit(X, Y, epochs=60, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Dropout(1.0), "rate"),
        (lambda: Dropout(-0.1), "rate"),
        (lambda: Dropout("a"), "rate"),
        (lambda: Dropout(0.5, seed=-1), "seed"),
        (lambda: Dropout(0.5, seed=0.5), "seed"),
        (lambda: Dropout(0.5, (1, 2)), "noise_shape"),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises((ValueError, TypeError), match=f"^{words}: expected"):
        make()
