"""Penalties on weights, gradients that are clipped, and layers that are not trained."""

import numpy as np
import pytest

from fastnn import load_model, reference, regularizers
from fastnn._native import network as native
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adam
from fastnn.regularizers import L1, L1L2, L2
from fastnn.utils import set_random_seed

X = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
Y = X[:, :1] - 0.5
OPS = [("dense", 33, "tanh", True), ("dense", 40, "relu", True), ("dense", 4, "softmax", True)]
PENALTIES = {
    "kernels": [((0.0, 0.01), (0.0, 0.0)), ((0.003, 0.0), (0.0, 0.0)), ((0.002, 0.01), (0.0, 0.0))],
    "biases": [((0.0, 0.0), (0.02, 0.0)), ((0.0, 0.0), (0.0, 0.1)), ((0.0, 0.0), (0.0, 0.0))],
    "all": [((0.001, 0.01), (0.02, 0.03))] * 3,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop", "clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("frozen", [(), (0,), (1,), (0, 1, 2)])
def test_both_engines_agree(build, compile_with, problem, dtype, optimizer, name, frozen):
    x, y, weight = problem(70, 20, 4, "xent", dtype, labels=True)
    index = np.arange(70)
    tight = {"rtol": 2e-4, "atol": 2e-5} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}
    results, weights = [], []
    for engine in (native.Network, reference.Network):
        net = build(engine, dtype, 20, OPS)
        for op, penalty in enumerate(PENALTIES[name]):
            net.set_penalty(op, *penalty)
        for op in frozen:
            net.set_trainable(op, False)
        compile_with(net, "xent", optimizer)
        sums = [net.train(x, y, weight, index, 16, 0, 1e9, None)[1] for _ in range(2)]
        sums.append(net.evaluate(x, y, weight, index, 0, 1e9, None)[1])
        y_pred = net.forward(x, None)
        dx = net.backward(y_pred - 0.25, None)
        net.apply_gradients(None)
        results.append(sums)
        weights.append(
            [dx, *(get(op) for op in range(3) for get in (net.get_kernel, net.get_bias))]
        )
    np.testing.assert_allclose(*results, **tight)
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, **tight)
    start = build(native.Network, dtype, 20, OPS)
    for op in range(3):
        same = np.array_equal(start.get_kernel(op), weights[0][1 + 2 * op])
        assert same == (op in frozen)


@pytest.mark.parametrize("optimizer", ["clipnorm", "global_clipnorm", "clipped"])
@pytest.mark.parametrize("threads", [2, 3, 7])
def test_same_bits_for_any_number_of_threads(build, compile_with, problem, optimizer, threads):
    x, y, _ = problem(171, 150, 4, "xent", "float32", labels=True)
    flat, sums = [], []
    for n in (1, threads):
        net = build(native.Network, "float32", 150, OPS)
        for op, penalty in enumerate(PENALTIES["all"]):
            net.set_penalty(op, *penalty)
        compile_with(net, "xent", optimizer)
        sums.append(net.train(x, y, None, np.arange(171), 50, 0, 1e9, n)[1])
        flat.append(net.flat_weights.copy())
    np.testing.assert_array_equal(*flat)
    assert sums[0] == sums[1]


def model(**arguments) -> Sequential:
    set_random_seed(0)
    model = Sequential([Dense(8, "tanh", input_shape=(6,), **arguments), Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_the_penalty_is_in_the_loss():
    plain, own = model(), model(kernel_regularizer=L1L2(0.1, 0.2), bias_regularizer="l2")
    own.layers[0].set_weights([own.layers[0].kernel, np.full(8, 0.5)])
    plain.set_weights(own.get_weights())
    kernel = own.layers[0].kernel.astype(np.float64)
    penalty = 0.1 * np.abs(kernel).sum() + 0.2 * (kernel**2).sum() + 0.01 * 8 * 0.25
    loss = plain.evaluate(X, Y, verbose=0)
    assert own.evaluate(X, Y, verbose=0) == pytest.approx(loss + penalty, rel=1e-6)
    assert own.evaluate(X[:1], Y[:1], verbose=0) - plain.evaluate(
        X[:1], Y[:1], verbose=0
    ) == pytest.approx(penalty, rel=1e-5)
    assert own.train_on_batch(X, Y) == pytest.approx(loss + penalty, rel=1e-6)
    history = own.fit(X, Y, epochs=30, batch_size=10, verbose=0).history["loss"]
    assert np.linalg.norm(own.layers[0].kernel) < 0.6 * np.linalg.norm(kernel)
    assert history[-1] < history[0]


def test_the_penalty_is_in_a_loss_of_ones_own():
    def squared(y, p):
        return ((p - y) ** 2)[:, 0], 2 * (p - y)

    built_in, own = model(kernel_regularizer=L2(0.1)), model(kernel_regularizer=L2(0.1))
    own.compile("sgd", squared)
    arguments = {"epochs": 3, "verbose": 0, "shuffle": False, "validation_data": (X, Y)}
    expected = built_in.fit(X, Y, **arguments).history
    got = own.fit(X, Y, **arguments).history
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-5)


def test_a_clipped_step_is_no_longer_than_asked():
    for clip in ({"global_clipnorm": 0.01}, {"clipnorm": 0.01}, {"clipvalue": 0.01}):
        net = model()
        net.compile(SGD(1.0, **clip), "mse")
        before = net.get_weights()
        net.train_on_batch(X, 100 * Y)
        moves = [b - a for a, b in zip(before, net.get_weights(), strict=True)]
        norms = [np.linalg.norm(move) for move in moves]
        if "clipvalue" in clip:
            assert max(np.abs(move).max() for move in moves) == pytest.approx(0.01, rel=1e-4)
        elif "clipnorm" in clip:
            assert norms == pytest.approx([0.01] * 4, rel=1e-3)
        else:
            assert np.linalg.norm(norms) == pytest.approx(0.01, rel=1e-3)


def test_a_gradient_of_zero_or_nan_is_clipped_to_itself():
    net = model()
    net.compile(SGD(1.0, global_clipnorm=1.0), "mse")
    net.set_weights([w * 0 for w in net.get_weights()])
    net.train_on_batch(X, Y * 0)
    assert all((w == 0).all() for w in net.get_weights())
    net.train_on_batch(X, Y * np.nan)
    assert np.isnan(net.get_weights()[-1]).all()


def test_trainable_can_be_switched():
    net = model()
    first, second = net.layers
    for layer in (first, second, first):
        first.trainable = second.trainable = True
        layer.trainable = False
        before = net.get_weights()
        net.train_on_batch(X, Y)
        after = net.get_weights()
        same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
        assert same == (
            [True, True, False, False] if layer is first else [False, False, True, True]
        )
        assert len(net.trainable_weights) == 2
        y = net.forward(X)  # and the gradient to the input is right all the same
        dx = net.backward(np.ones_like(y))
        kernel, _, last, _ = (w.astype(np.float64) for w in after)
        h = np.tanh(X @ kernel + after[1])
        np.testing.assert_allclose(dx, (last.T * (1 - h**2)) @ kernel.T, rtol=1e-4, atol=1e-5)
    net.trainable = False
    before = net.get_weights()
    assert np.isfinite(net.train_on_batch(X, Y))
    assert all(map(np.array_equal, before, net.get_weights()))
    assert not net.trainable


def test_all_of_it_is_kept_in_files(tmp_path):
    net = model(kernel_regularizer=L1(0.25), bias_regularizer=L2(0.5), trainable=False)
    net.compile(Adam(global_clipnorm=0.5, weight_decay=0.1), "mse")
    net.save(tmp_path / "m.fastnn")
    again = load_model(tmp_path / "m.fastnn")
    assert again.get_config() == net.get_config()
    assert again.optimizer.get_config() == net.optimizer.get_config()
    assert (again.layers[0].trainable, again.layers[1].trainable) == (False, True)
    for each in (net, again):
        each.fit(X, Y, verbose=0, shuffle=False)
    assert all(map(np.array_equal, net.get_weights(), again.get_weights()))


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ("l1", (0.01, 0)),
        ("L2", (0, 0.01)),
        (L1L2(0.5), (0.5, 0)),
        (L1, (0.01, 0)),
        ("l1_l2", (0, 0)),
    ],
)
def test_regularizers_by_name(given, numbers):
    found = regularizers.get(given)
    assert (found.l1, found.l2) == numbers
    config = {"class_name": type(found).__name__, "config": found.get_config()}
    assert regularizers.get(config).get_config() == found.get_config()
