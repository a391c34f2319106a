"""What engines measure beside the loss, and which rows count: native against its NumPy twin."""

import numpy as np
import pytest

from fastnn import reference
from fastnn._native import network as native

RNG = np.random.default_rng(0)
HYPER = {"learning_rate": 0.05, "momentum": 0.0, "nesterov": False}
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}
OPS = [("dense", 12, "tanh", True), ("dropout", 0.3, 5)]
METRICS = [
    ("in_top_k", 1),
    ("in_top_k", 3),
    ("threshold_match", 0.3),
    ("true_positive", 0.2),
    "argmax_match",
    "squared_error",
    "mape",
    "log_cosh",
    "cosine",
    "kld",
    "poisson",
    ("bce", 0.1),
    ("xent", 0.0),
    ("huber", 0.7),
]


def both(build, dtype, outputs, last, loss, metrics=(), params=(), ignored=None):
    ops = [*OPS, ("dense", outputs, last, True)]
    nets = [build(engine, dtype, 6, ops) for engine in (native.Network, reference.Network)]
    for net in nets:
        net.compile(loss, "sgd", list(metrics), HYPER, params, ignored)
    return nets


def assert_alike(nets, x, y, weight, dtype, num_threads=None):
    """Training and evaluation, with the outputs at their places."""
    n = len(x)
    index, found = np.random.default_rng(1).permutation(n), []
    for net in nets:
        outputs = [np.full((n, net.output_size), np.nan, dtype) for _ in range(2)]
        trained = net.train(x, y, weight, index, 32, 0, 1e9, num_threads, None, None, outputs[0])
        evaluated = net.evaluate(x, y, weight, index, 0, 1e9, num_threads, None, outputs[1])
        expected = np.empty_like(outputs[1])
        net.predict(x, expected, None)
        np.testing.assert_allclose(outputs[1], expected[index], rtol=1e-5, atol=1e-6)
        sums = [np.hstack([loss, *metrics]) for _, loss, metrics in (trained, evaluated)]
        found.append([*sums, *outputs, net.get_kernel(0)])
    for ours, twin in zip(*found, strict=True):
        np.testing.assert_allclose(ours, twin, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    return found[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "last"), [("xent", "softmax"), ("bce", "sigmoid"), ("mse", "softplus")]
)
@pytest.mark.parametrize("outputs", [1, 5, 40])
def test_metrics_with_numbers_and_losses_as_metrics(build, dtype, loss, last, outputs):
    nets = both(build, dtype, outputs, last, loss, METRICS)
    x = RNG.normal(size=(101, 6)).astype(dtype)
    y = RNG.dirichlet(np.ones(outputs), 101).astype(dtype)
    assert_alike(nets, x, y, None, dtype)


@pytest.mark.parametrize(
    "metrics",
    [
        ["argmax_match", ("in_top_k", 2)],
        [("threshold_match", 0.5), "true_positive"],
        ["predicted_positive", ("predicted_positive", 0.7)],
    ],
)
@pytest.mark.parametrize(
    ("loss", "last"), [("xent", "softmax"), ("bce", "sigmoid"), ("focal", "sigmoid")]
)
def test_metrics_that_could_be_read_off_logits(build, metrics, loss, last):
    """With outputs wanted beside them, and without."""
    x = RNG.normal(size=(70, 6))
    y = (RNG.random((70, 4)) > 0.5).astype(float)
    params = (0.0, 2.0, 1.0, 1.0) if loss == "focal" else ()
    nets = both(build, "float64", 4, last, loss, metrics, params)
    sums = assert_alike(nets, x, y, None, "float64")[1]
    alone = nets[0].evaluate(x, y, None, np.arange(70), 0, 1e9)
    np.testing.assert_allclose([alone[1], *alone[2]], sums, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("outputs", [2, 6, 40, 66])
@pytest.mark.parametrize("weighted", [False, True])
def test_targets_of_half_as_many_columns(build, dtype, outputs, weighted):
    metrics = ["squared_error", "absolute_error"]  # of the means
    nets = both(build, dtype, outputs, "linear", "gaussian_nll", metrics, (-2.0, 0.5))
    x = RNG.normal(size=(101, 6)).astype(dtype)
    y = RNG.normal(size=(101, outputs // 2)).astype(dtype)
    weight = RNG.uniform(0.5, 2, 101).astype(dtype) if weighted else None
    _, sums, _, p, _ = assert_alike(nets, x, y, weight, dtype)
    index = np.random.default_rng(1).permutation(101)
    error = (p[:, : outputs // 2] - y[index]) ** 2
    np.testing.assert_allclose(sums[1], error.mean(axis=1).sum(), rtol=1e-5)


def test_an_odd_number_of_outputs_has_no_such_loss(engine, build):
    net = build(engine, "float32", 3, [("dense", 3, "linear", True)])
    with pytest.raises(ValueError, match="even number of outputs, got 3"):
        net.compile("gaussian_nll", None, [], {})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("last", "loss"), [("softmax", "xent"), ("sigmoid", "xent")])
@pytest.mark.parametrize("ignored", [-1, 2, 255])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("num_threads", [None, 2])
def test_rows_of_an_ignored_class_do_not_count(
    build, dtype, last, loss, ignored, weighted, num_threads
):
    metrics = ["argmax_match", ("in_top_k", 2), ("xent", 0.0)]
    nets = both(build, dtype, 5, last, loss, metrics[:2], (), ignored)
    x = RNG.normal(size=(101, 6)).astype(dtype)
    y = RNG.integers(0, 5, 101).astype(np.int32)
    y[RNG.random(101) < 0.4] = ignored
    weight = RNG.uniform(0.5, 2, 101).astype(dtype) if weighted else None
    _, sums, _, p, _ = assert_alike(nets, x, y, weight, dtype, num_threads)
    index = np.random.default_rng(1).permutation(101)
    y = y[index]
    assert sums[1] == np.sum(p.argmax(axis=1) == y)  # which metrics count them, as in Keras
    if last == "softmax":
        of_row = -np.log(p[np.arange(101), np.where(y == ignored, 0, y)])
        of_row *= 1 if weight is None else weight[index]
        expected = of_row[y != ignored].sum() * 101 / np.sum(y != ignored)
        np.testing.assert_allclose(sums[0], expected, rtol=1e-5)


def test_a_batch_in_which_nothing_counts_changes_nothing(engine, build):
    net = build(engine, "float32", 3, [("dense", 4, "softmax", True)])
    net.compile("xent", "sgd", [], HYPER, (), 9)
    before = net.get_kernel(0)
    x, y = np.ones((6, 3), np.float32), np.full(6, 9, np.int32)
    assert net.train(x, y, None, np.arange(6), 4, 0, 1e9)[1] == 0
    assert net.evaluate(x, y, None, np.arange(6), 0, 1e9)[1] == 0
    np.testing.assert_array_equal(net.get_kernel(0), before)


def test_other_class_ids_are_still_checked(engine, build):
    net = build(engine, "float32", 3, [("dense", 4, "softmax", True)])
    net.compile("xent", "sgd", [], HYPER, (), -1)
    x, index = np.ones((2, 3), np.float32), np.arange(2)
    with pytest.raises(ValueError, match="class id"):
        net.evaluate(x, np.array([-1, 4], np.int32), None, index, 0, 1e9)


@pytest.mark.parametrize(
    ("metric", "words"),
    [("nothing", "metrics: unknown 'nothing'"), ("gaussian_nll", "metrics: unknown")],
)
def test_unknown_metrics(build, metric, words):
    net = build(native.Network, "float32", 3, [("dense", 2, "linear", True)])
    with pytest.raises(ValueError, match=words):
        net.compile("mse", None, [metric], {})


def test_the_outputs_are_of_the_right_shape(build):
    net = build(native.Network, "float32", 3, [("dense", 2, "linear", True)])
    net.compile("mse", "sgd", [], HYPER)
    x, y, index = np.ones((6, 3), np.float32), np.ones((6, 2), np.float32), np.arange(6)
    for outputs in (np.empty((5, 2), np.float32), np.empty((6, 3), np.float32)):
        with pytest.raises(ValueError, match=r"outputs: expected shape \(6, 2\)"):
            net.train(x, y, None, index, 2, 0, 1e9, None, None, None, outputs)


def test_a_step_in_parts_gives_the_same_outputs(build):
    """Steps of more than 24 Gflop (a vector of 16, one thread) take another way."""
    x = RNG.normal(size=(470, 3000)).astype(np.float32)
    y, found = x[:, :2].copy(), []
    for rows in (470, 235):
        ops = [("dense", 3000, "relu", True), ("dense", 2, "linear", True)]
        net = build(native.Network, "float32", 3000, ops)
        net.compile("mse", "sgd", [], {**HYPER, "learning_rate": 0.0})
        outputs = np.empty((470, 2), np.float32)
        net.train(x, y, None, np.arange(470), rows, 0, 1e9, 1, None, None, outputs)
        found.append(outputs)
    np.testing.assert_array_equal(*found)
