"""Gaussian noise, Gaussian dropout and alpha dropout: their distributions, gradients and seeds."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from fastnn import load_model, reference
from fastnn._native import network as native
from fastnn.layers import AlphaDropout, Dense, GaussianDropout, GaussianNoise
from fastnn.models import Sequential, clone_model
from fastnn.utils import set_random_seed

KINDS = ["alpha_dropout", "gaussian_noise", "gaussian_dropout"]
LAYERS = {
    "AlphaDropout": lambda **k: AlphaDropout(0.4, **k),
    "GaussianDropout": lambda **k: GaussianDropout(0.3, **k),
    "GaussianNoise": lambda **k: GaussianNoise(0.5, **k),
}
X = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
Y = X[:, :1] - X[:, 1:2] ** 2
CDF = np.vectorize(NormalDist().cdf, otypes=[float])


def normal(shape, dtype="float64", seed=1, step=0):
    """The engine's normal numbers: a step of noise of standard deviation 1 on zeros."""
    net = native.Network(dtype, shape[1], [("gaussian_noise", 1.0, seed)])
    net.iterations = step
    return net.forward(np.zeros(shape, dtype), None, True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers(dtype):
    """Moments, tails and the whole distribution of two million numbers, within 4.5 deviations."""
    z = normal((2000, 1000), dtype).astype(np.float64).ravel()
    n = z.size
    moments = {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96), 6: (15, 10170)}  # mean and variance
    for power, (mean, variance) in moments.items():
        assert abs((z**power).mean() - mean) < 4.5 * math.sqrt(variance / n), power
    for limit in (1, 2, 3, 4, 4.5):
        for side in (z, -z):
            p = NormalDist().cdf(-limit)
            assert abs((side > limit).mean() - p) < 4.5 * math.sqrt(p * (1 - p) / n), limit
    assert 4.5 < np.abs(z).max() < 6.4
    z.sort()
    steps = np.arange(n + 1) / n
    p = CDF(z[:: n // 20_000])
    at = steps[:-1][:: n // 20_000]
    distance = np.abs(p - at).max()  # Kolmogorov-Smirnov: 1.95 / sqrt(n) has p = 0.001
    assert distance < 1.95 / math.sqrt(n)


def test_tails_to_5_deviations():
    """Of 50 million numbers, 28.7 lie beyond: 10 and 55 are 3.5 and 5 of Poisson's deviations."""
    far = sum(
        int((np.abs(normal((5000, 1000), "float32", seed, step)) > 5).sum())
        for seed in (1, 2)
        for step in range(5)
    )
    assert 10 <= far <= 55


def test_normal_numbers_are_independent():
    """Of neighbours in rows and columns, of seeds, steps and layers; and so are their squares."""
    shape = (400, 250)
    sets = [normal(shape, seed=seed, step=step) for seed in (1, 2, 3) for step in (0, 1, 999)]
    z = sets[0]
    pairs = [(z[:, :-lag], z[:, lag:]) for lag in (1, 2, 16, 32)]
    pairs += [(z[:-lag], z[lag:]) for lag in (1, 2, 128)]
    pairs += [(sets[i], sets[j]) for i in range(len(sets)) for j in range(i)]
    for a, b in pairs:
        for power in (1, 2):
            r = np.corrcoef(a.ravel() ** power, b.ravel() ** power)[0, 1]
            assert abs(r) < 4.5 / math.sqrt(a.size)


def test_rows_may_come_in_any_blocks():
    """An element's number is that of its place in the batch, not of how many rows there are."""
    z = normal((300, 37))
    np.testing.assert_array_equal(normal((7, 37)), z[:7])
    np.testing.assert_array_equal(normal((129, 37)), z[:129])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_twin_has_the_same_numbers(dtype):
    key = reference.kernels.dropout_key(1, 1)
    x = np.zeros((50, 70), dtype)
    eps = np.finfo(dtype).eps
    want = reference.kernels.normal(x.astype(np.float64), 0, key)
    # the quantile's own error, and that of rounding what goes into it
    np.testing.assert_allclose(normal(x.shape, dtype), want, rtol=4 * eps, atol=eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_engines_agree(build, compile_with, problem, dtype, kind):
    ops = [
        (kind, 0.2, 3),
        ("dense", 33, "relu", True),
        (kind, 0.5, 4),
        (kind, 0.25, 5),
        ("activation", "tanh"),
        ("dense", 20, "linear", True),
        (kind, 0.0, 6),
        ("dense", 4, "softmax", True),
    ]
    nets = [build(engine, dtype, 7, ops) for engine in (native.Network, reference.Network)]
    x, y, weight = problem(70, 7, 4, "xent", dtype, labels=True)
    index = np.arange(70)
    tight = {"rtol": 1e-4, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-8, "atol": 1e-10}
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


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(engine, build, kind):
    """Against finite differences, in training and outside, first, between and last."""
    ops = [(kind, 0.4, 1), ("dense", 6, "tanh", True), (kind, 0.3, 2), ("dense", 3, "elu", True)]
    net = build(engine, "float64", 5, [*ops, (kind, 0.5, 3)])
    rng = np.random.default_rng(3)
    x, dy, step = rng.normal(size=(4, 5)), rng.normal(size=(4, 3)), 1e-6
    for training in (True, False):
        numeric = np.empty_like(x)
        for place in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = x.copy()
                moved[place] += sign * step
                net.drawn_at = -1  # the same numbers again
                ends.append(float((dy * net.forward(moved, 1, training)).sum()))
            numeric[place] = (ends[0] - ends[1]) / (2 * step)
        net.drawn_at = -1
        kept = net.forward(x, 1, training)
        np.testing.assert_allclose(net.backward(dy, 1), numeric, rtol=1e-6, atol=1e-8)
        if not training:
            out = np.empty_like(kept)
            net.predict(x, out)
            np.testing.assert_array_equal(kept, out)


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_same_bits_for_any_number_of_threads(build, compile_with, problem, kind, threads):
    ops = [
        (kind, 0.1, 8),
        ("dense", 70, "relu", True),
        (kind, 0.4, 9),
        ("dense", 5, "softmax", True),
    ]
    x, y, _ = problem(171, 20, 5, "xent", "float32", labels=True)
    flat = []
    for n in (1, threads):
        net = build(native.Network, "float32", 20, ops)
        compile_with(net, "xent", "adam")
        net.train(x, y, None, np.arange(171), 50, 0, 1e9, n)
        flat.append(net.flat_weights.copy())
    np.testing.assert_array_equal(*flat)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_alpha_dropout_keeps_mean_and_variance(rate):
    """Keras's formula, element by element, and what it is for."""
    x = np.random.default_rng(1).normal(size=(1000, 500))
    layer = AlphaDropout(rate, seed=1, dtype="float64", input_shape=(500,))
    y = Sequential([layer])(x, training=True)
    lowest = -1.6732632423543772 * 1.0507009873554805
    a = ((1 - rate) * (1 + rate * lowest**2)) ** -0.5
    b = -a * lowest * rate
    kept = np.abs(y - (a * x + b)) < 1e-12
    assert abs(kept.mean() - (1 - rate)) < 4.5 * math.sqrt(rate * (1 - rate) / x.size)
    np.testing.assert_allclose(y[~kept], a * lowest + b, rtol=1e-12)
    assert abs(y.mean()) < 0.01
    assert abs(y.var() - 1) < 0.01


def test_gaussian_dropout_multiplies():
    y = Sequential([GaussianDropout(0.2, seed=1, input_shape=(500,))])(
        np.full((1000, 500), 3, np.float32), training=True
    )
    assert abs(y.mean() - 3) < 0.01
    assert abs(y.std() - 3 * 0.5) < 0.01  # sqrt(0.2 / 0.8)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
def test_training_saving_and_cloning(tmp_path, name, dtype):
    """It trains; a loaded model goes on with the same bits; the config rebuilds the layer."""
    models = []
    for _ in range(2):
        set_random_seed(2)
        layers = [Dense(40, "selu", input_shape=(12,), dtype=dtype), LAYERS[name](dtype=dtype)]
        model = Sequential([*layers, Dense(1, dtype=dtype)])
        model.compile("adam", "mse")
        models.append(model)
    whole, saved = models
    assert whole.layers[1].seed == saved.layers[1].seed  # of equal random seeds
    arguments = {"verbose": 0, "shuffle": False}
    losses = whole.fit(X, Y, epochs=20, **arguments).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    saved.fit(X, Y, epochs=10, **arguments)
    saved.save(tmp_path / "m.fastnn")
    again = load_model(tmp_path / "m.fastnn")
    again.fit(X, Y, epochs=10, **arguments)
    for a, b in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    layer = whole.layers[1]
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    assert clone_model(whole).get_config() == whole.get_config()


@pytest.mark.parametrize("name", LAYERS)
def test_nothing_happens_outside_of_training(name):
    model = Sequential([LAYERS[name](seed=1, input_shape=(12,))])
    model.compile("sgd", "mse")
    np.testing.assert_array_equal(model(X), X)
    np.testing.assert_array_equal(model.predict(X, verbose=0), X)
    assert model.evaluate(X, X, verbose=0) == 0
    assert np.abs(model(X, training=True) - X).max() > 0.5


def test_a_number_of_0_is_no_noise():
    layers = [GaussianNoise(0, input_shape=(12,)), GaussianDropout(0), AlphaDropout(0)]
    np.testing.assert_array_equal(Sequential(layers)(X, training=True), X)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GaussianNoise(-0.1), "stddev"),
        (lambda: GaussianNoise(1.5), "stddev"),
        (lambda: GaussianNoise("a"), "stddev"),
        (lambda: GaussianNoise(0.5, seed=-1), "seed"),
        (lambda: GaussianDropout(1.0), "rate"),
        (lambda: GaussianDropout(0.5, seed=0.5), "seed"),
        (lambda: AlphaDropout(1.0), "rate"),
        (lambda: AlphaDropout(0.5, (1, 2)), "noise_shape"),
        (lambda: AlphaDropout(None), "rate"),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises((ValueError, TypeError), match=f"^{words}: expected"):
        make()
