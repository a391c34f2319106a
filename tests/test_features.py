"""Steps that train numbers for each feature: layer_norm, batch_norm and prelu, in both engines."""

import numpy as np
import pytest

from fastnn import reference
from fastnn._native import network as native

LAYER = ("layer_norm", 1e-3, True, True)
BATCH = ("batch_norm", 0.9, 1e-3, True, True)
STACKS = {
    "layer_norm": [("dense", 33, "relu", True), LAYER, ("dense", 4, "softmax", True)],
    "batch_norm": [("dense", 33, "linear", False), BATCH, ("activation", "relu")],
    "batch_norm after relu": [("dense", 40, "relu", True), BATCH, ("dense", 4, "softmax", True)],
    "prelu": [("dense", 33, "linear", True), ("prelu",), ("dense", 4, "softmax", True)],
    "first": [BATCH, LAYER, ("prelu",), ("dense", 4, "softmax", True)],
    "last": [("dense", 4, "tanh", True), ("prelu",), LAYER, BATCH],
    "scaled": [
        ("scale_shift",),
        BATCH,
        ("dense", 7, "gelu", True),
        BATCH,
        ("dense", 4, "linear", True),
    ],
    "parts": [
        ("dense", 32, "tanh", True),
        ("layer_norm", 1e-2, False, True),
        ("batch_norm", 0.5, 1e-2, True, False),
        ("dense", 31, "softmax", True),
        ("layer_norm", 1e-2, True, False),
        ("batch_norm", 0.5, 1e-2, False, True),
        ("dropout", 0.3, 7),
        ("layer_norm", 1e-2, False, False),
        ("batch_norm", 0.5, 1e-2, False, False),
        ("dense", 4, "sigmoid", True),
    ],
    "bfloat16": [
        BATCH,
        ("dense", 40, "relu", True, "bfloat16"),
        BATCH,
        ("dense", 4, "softmax", True, "bfloat16"),
    ],
}
BUT_BFLOAT16 = [name for name in STACKS if name != "bfloat16"]


def has(op: tuple) -> tuple[bool, bool]:
    """Whether an op has a kernel, and a bias."""
    if op[0] == "dense":
        return True, op[3]
    if op[0] == "prelu":
        return True, False
    return op[-2:] if op[0] in ("layer_norm", "batch_norm") else (False, False)


def weights_of(net) -> list[np.ndarray]:
    """All weights and statistics."""
    found = []
    for number, op in enumerate(net.ops):
        if any(has(op)):
            found += [net.get_kernel(number), net.get_bias(number)]
        if op[0] == "batch_norm":
            found += net.get_statistics(number)
    return [weight for weight in found if weight is not None]


def outputs_of(ops: list[tuple], inputs: int) -> int:
    return [op[1] for op in ops if op[0] == "dense"][-1]


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["adam", "momentum", "clipnorm"])
def test_both_engines_train_the_same(build, compile_with, problem, name, dtype, optimizer):
    if name == "bfloat16" and dtype == "float64":
        pytest.skip("products of bfloat16 are of networks of float32")
    ops = STACKS[name]
    outputs = outputs_of(ops, 9)
    x, y, weight = problem(70, 9, outputs, "mse", dtype)
    loose = name == "bfloat16"
    tight = {"rtol": 3e-2 if loose else 2e-3, "atol": 3e-2 if loose else 2e-4}
    if dtype == "float64":
        tight = {"rtol": 1e-9, "atol": 1e-11}
    results = []
    for engine in (native.Network, reference.Network):
        net = build(engine, dtype, 9, ops)
        compile_with(net, "mse", optimizer)
        sums = [net.train(x, y, weight, np.arange(70), 16, 0, 1e9, None)[1] for _ in range(2)]
        out = np.empty((70, outputs), dtype)
        net.predict(x, out, None)
        judged = net.evaluate(x, y, weight, np.arange(70), 0, 1e9, None)[1]
        both = []
        for training in (False, True):
            both += [net.forward(x, None, training), net.backward(np.ones_like(out), None)]
        gradients = net.flat_gradients.astype(np.float64).sum()
        results.append([np.array(sums), judged, out, *both, *weights_of(net), gradients])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, **tight)


@pytest.mark.parametrize("name", STACKS)
def test_same_bits_for_any_number_of_threads(build, compile_with, problem, name):
    ops = STACKS[name]
    outputs = outputs_of(ops, 9)
    x, y, weight = problem(333, 9, outputs, "mse", "float32")
    found = []
    for threads in (1, 2, 3, 8):
        net = build(native.Network, "float32", 9, ops)
        compile_with(net, "mse", "adam")
        total = net.train(x, y, weight, np.arange(333), 150, 0, 1e9, threads)[1]
        kept = net.forward(x, threads, True)
        dx = net.backward(np.ones_like(kept), threads)
        found.append([np.array(total), kept, dx, np.array(net.flat_gradients), *weights_of(net)])
    for others in found[1:]:
        for first, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("name", BUT_BFLOAT16)
@pytest.mark.parametrize("training", [False, True])
def test_gradients(engine, build, name, training):
    """Of the weights and of the input, against central differences of the sum of c times y."""
    ops = [op for op in STACKS[name] if op[0] != "dropout"]
    net = build(engine, "float64", 5, ops)
    rng = np.random.default_rng(3)
    x, c = rng.normal(size=(6, 5)), rng.normal(size=(6, outputs_of(ops, 5)))

    def value() -> float:
        statistics = {i: net.get_statistics(i) for i, op in enumerate(ops) if op[0] == "batch_norm"}
        y = net.forward(x, None, training)
        for number, both in statistics.items():  # a forward in training moves them
            net.set_statistics(number, *both)
        return float((y * c).sum())

    def slope(array: np.ndarray, write) -> np.ndarray:
        found = np.empty_like(array)
        for place in np.ndindex(array.shape):
            both = []
            for step in (1e-6, -1e-6):
                moved = array.copy()
                moved[place] += step
                write(moved)
                both.append(value())
            found[place] = (both[0] - both[1]) / 2e-6
        write(array)
        return found

    expected = []
    for number, op in enumerate(ops):
        kernel, bias = has(op)
        if kernel:
            expected.append(slope(net.get_kernel(number), lambda a, n=number: net.set_kernel(n, a)))
        if bias:
            expected.append(slope(net.get_bias(number), lambda a, n=number: net.set_bias(n, a)))
    start = x.copy()

    def write(moved: np.ndarray) -> None:
        x[...] = moved

    dx = slope(start, write)
    sgd = {"learning_rate": 1.0, "momentum": 0.0, "nesterov": False}
    net.compile(None, "sgd", [], sgd)
    before = [net.get_statistics(i) for i, op in enumerate(ops) if op[0] == "batch_norm"]
    net.forward(x, None, training)
    np.testing.assert_allclose(net.backward(c, None), dx, rtol=1e-5, atol=1e-7)
    old = [
        w for i, op in enumerate(ops) if any(has(op)) for w in (net.get_kernel(i), net.get_bias(i))
    ]
    net.apply_gradients(None)
    new = [
        w for i, op in enumerate(ops) if any(has(op)) for w in (net.get_kernel(i), net.get_bias(i))
    ]
    moves = [a - b for a, b in zip(old, new, strict=True) if a is not None]
    for move, gradient in zip(moves, expected, strict=True):
        np.testing.assert_allclose(move, gradient.reshape(move.shape), rtol=1e-5, atol=1e-7)
    after = [net.get_statistics(i) for i, op in enumerate(ops) if op[0] == "batch_norm"]
    for one, two in zip(before, after, strict=True):
        assert all((a == b).all() for a, b in zip(one, two, strict=True)) is not training


def test_batch_norm_of_the_batch(engine, build):
    """In training columns have mean 0 and variance 1; the moving statistics follow."""
    net = build(engine, "float64", 3, [("batch_norm", 0.9, 1e-9, False, False)])
    net.set_statistics(0, np.zeros(3), np.ones(3))
    x = np.random.default_rng(0).normal(5, 3, (500, 3))
    y = net.forward(x, None, True)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=0), 1, rtol=1e-9)
    mean, variance = net.get_statistics(0)
    np.testing.assert_allclose(mean, 0.1 * x.mean(axis=0))
    np.testing.assert_allclose(variance, 0.9 + 0.1 * x.var(axis=0))
    expected = (x - mean) / np.sqrt(variance + 1e-9)
    np.testing.assert_allclose(net.forward(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["batch_norm after relu", "scaled", "first", "parts"])
def test_frozen(engine, build, compile_with, problem, name):
    """A frozen batch_norm works as outside of training, and what is frozen keeps its weights."""
    ops = [op for op in STACKS[name] if op[0] != "dropout"]
    outputs = outputs_of(ops, 9)
    x, y, weight = problem(50, 9, outputs, "mse", "float64")
    net = build(engine, "float64", 9, ops)
    compile_with(net, "mse", "adam")
    frozen = [
        i for i, op in enumerate(ops) if op[0] in ("batch_norm", "layer_norm") and any(has(op))
    ]
    for number in frozen:
        net.set_trainable(number, False)
    state = [a for i in frozen for a in (net.get_kernel(i), net.get_bias(i)) if a is not None] + [
        a for i in frozen if ops[i][0] == "batch_norm" for a in net.get_statistics(i)
    ]
    twin = build(reference.Network, "float64", 9, ops)
    compile_with(twin, "mse", "adam")
    for number in frozen:
        twin.set_trainable(number, False)
    for each in (net, twin):
        each.train(x, y, weight, np.arange(50), 16, 0, 1e9, None)
    after = [a for i in frozen for a in (net.get_kernel(i), net.get_bias(i)) if a is not None] + [
        a for i in frozen if ops[i][0] == "batch_norm" for a in net.get_statistics(i)
    ]
    for one, two in zip(state, after, strict=True):
        np.testing.assert_array_equal(one, two)
    for one, two in zip(weights_of(net), weights_of(twin), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)


def test_large_means_do_not_cancel(build):
    """float32 rows and columns of mean 1000 and deviation 1."""
    x = (1000 + np.random.default_rng(0).normal(size=(4096, 40))).astype(np.float32)
    for op, axis in (
        (("layer_norm", 0.0, False, False), 1),
        (("batch_norm", 0.9, 0.0, False, False), 0),
    ):
        net = build(native.Network, "float32", 40, [op])
        wide = x.astype(np.float64)
        exact = (wide - wide.mean(axis, keepdims=True)) / wide.std(axis, keepdims=True)
        np.testing.assert_allclose(net.forward(x, None, True), exact, atol=2e-3)


def test_rows_propagate_their_own_nan(build):
    net = build(native.Network, "float32", 40, [LAYER, ("prelu",)])
    x = np.random.default_rng(0).normal(size=(20, 40)).astype(np.float32)
    x[3, 5], x[7, 0] = np.nan, np.inf
    y = net.forward(x)
    assert np.isnan(y[[3, 7]]).all()
    assert np.isfinite(np.delete(y, [3, 7], axis=0)).all()


def test_no_rows_have_no_gradients(build, compile_with):
    """A step on none after one on some: nothing of those is left."""
    ops = STACKS["parts"]
    net = build(native.Network, "float64", 6, ops)
    compile_with(net, None, "sgd")
    x = np.random.default_rng(0).normal(size=(9, 6))
    for training in (True, False):
        net.backward(net.forward(x, training=training))
        assert net.flat_gradients.any()
        net.backward(net.forward(x[:0], training=training))
        assert not net.flat_gradients.any()
