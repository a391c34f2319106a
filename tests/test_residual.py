"""Residual: y = x + f(x), in both engines and as a layer."""

import copy
import gc
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import reference
from fastnn._native import network as native
from fastnn.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    Input,
    Normalization,
    Residual,
    get,
)
from fastnn.models import Sequential, clone_model
from fastnn.regularizers import L2
from fastnn.utils import set_random_seed

FORK, JOIN = ("fork",), ("join",)


def dense(units, activation="linear"):
    return ("dense", units, activation, True)


# What may stand before a fork, inside, between forks and joins, and after; 6 inputs, 3 outputs.
PLANS = {
    "plain": [dense(7), FORK, dense(5, "relu"), dense(7), JOIN, dense(3)],
    "activations around": [
        dense(7, "relu"), FORK, dense(5, "tanh"), dense(7, "sigmoid"), JOIN,
        ("activation", "tanh"), dense(3),
    ],
    "first and last": [
        FORK, dense(40, "tanh"), dense(6), JOIN, dense(3), FORK, dense(3, "relu"), JOIN,
    ],
    "scaled": [("scale_shift",), FORK, ("scale_shift",), dense(6, "silu"), JOIN, dense(3)],
    "scaled inside first": [FORK, ("scale_shift",), dense(6, "relu"), JOIN, dense(3)],
    "nested": [
        dense(7, "relu"), FORK, FORK, dense(7, "tanh"), JOIN, dense(7), FORK, dense(33, "relu"),
        dense(7, "sigmoid"), JOIN, JOIN, dense(3),
    ],
    "nested to the end": [dense(3), FORK, dense(3, "tanh"), FORK, dense(3, "tanh"), JOIN, JOIN],
    "dropout": [
        dense(7), ("dropout", 0.3, 1), FORK, ("dropout", 0.4, 2), dense(7, "relu"),
        ("dropout", 0.5, 3), JOIN, ("dropout", 0.2, 4), dense(3),
    ],
    "no weights": [dense(7, "tanh"), FORK, ("activation", "gelu"), JOIN, FORK, JOIN, dense(3)],
    "normalized": [
        dense(40), FORK, ("batch_norm", 0.9, 1e-3, True, True), dense(40, "relu"),
        ("layer_norm", 1e-3, True, True), JOIN, ("prelu",), FORK, ("prelu",), dense(40, "tanh"),
        ("batch_norm", 0.9, 1e-3, True, True), JOIN, dense(3),
    ],
    "rows": [dense(7), FORK, dense(7, "softmax"), JOIN, dense(3)],
    "gelu before": [dense(70, "gelu"), FORK, dense(70, "gelu"), JOIN, dense(3, "gelu")],
}  # fmt: skip
plans = pytest.mark.parametrize("ops", PLANS.values(), ids=PLANS)


def weighted(ops):
    return [i for i, op in enumerate(ops) if op[0] == "dense"]


@plans
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("frozen", ["none", "first", "all but the last"])
def test_both_engines_train_alike(build, compile_with, problem, ops, dtype, frozen):
    """Wherever the first trained op is, backward goes as far."""
    tight = {"rtol": 1e-3, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}
    x, y, weight = problem(150, 6, 3, "mse", dtype)
    index = np.random.default_rng(2).permutation(150)
    results = []
    for engine in (native.Network, reference.Network):
        net = build(engine, dtype, 6, ops)
        compile_with(net, "mse", "adam", ("absolute_error",))
        kept = {"none": [], "first": weighted(ops)[:1], "all but the last": weighted(ops)[:-1]}
        for op in kept[frozen]:
            net.set_trainable(op, False)
        sums = []
        for _ in range(3):
            _, loss, metrics = net.train(x, y, weight, index, 32, 0, 1e9, None)
            sums += [loss, *metrics]
        _, loss, metrics = net.evaluate(x, y, weight, index, 0, 1e9, None)
        out = np.empty((150, 3), dtype)
        net.predict(x, out, None)
        y_kept = net.forward(x, None, True)
        dx = net.backward(np.ones_like(y_kept), None)
        weights = [net.get_kernel(op) for op in weighted(ops)]
        results.append([np.array([*sums, loss, *metrics]), out, y_kept, dx, *weights])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, **tight)


@plans
def test_gradients_are_finite_differences(engine, build, compile_with, ops):
    net = build(engine, "float64", 6, ops)
    compile_with(net, None, "sgd", learning_rate=1.0)
    rng = np.random.default_rng(3)
    x, dy = rng.normal(size=(4, 6)), rng.normal(size=(4, 3))
    training = any(op[0] == "dropout" for op in ops)

    def value(x=x):
        net.drawn_at = -1  # the same random numbers again
        return float((dy * net.forward(x, 1, training)).sum())

    def difference(array, change):
        gradient = np.empty_like(array)
        for place in np.ndindex(array.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = array.copy()
                moved[place] += step
                ends.append(change(moved))
            gradient[place] = (ends[0] - ends[1]) / 2e-5
        return gradient

    def with_kernel(op, kernel):
        before = net.get_kernel(op)
        net.set_kernel(op, kernel)
        result = value()
        net.set_kernel(op, before)
        return result

    expected = [difference(x, value)]
    kernels = [net.get_kernel(op) for op in weighted(ops)]
    for op, kernel in zip(weighted(ops), kernels, strict=True):
        expected.append(difference(kernel, lambda moved, op=op: with_kernel(op, moved)))
    net.drawn_at = -1
    net.forward(x, 1, training)
    found = [net.backward(dy, 1)]
    net.apply_gradients(1)
    found += [k - net.get_kernel(op) for k, op in zip(kernels, weighted(ops), strict=True)]
    for mine, numeric in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("operands", [(), ("bfloat16",)])
@pytest.mark.parametrize("threads", [2, 3, 7])
def test_same_bits_for_any_number_of_threads(build, compile_with, problem, operands, threads):
    ops = [
        (*dense(70, "relu"), *operands), FORK, (*dense(33, "tanh"), *operands),
        ("dropout", 0.3, 1), (*dense(70, "relu"), *operands), JOIN,
        (*dense(5, "softmax"), *operands),
    ]  # fmt: skip
    x, y, _ = problem(171, 20, 5, "xent", "float32", labels=True)
    results = []
    for n in (1, threads):
        net = build(native.Network, "float32", 20, ops)
        compile_with(net, "xent", "adam")
        net.train(x, y, None, np.arange(171), 50, 0, 1e9, n)
        out = np.empty((171, 5), np.float32)
        net.predict(x, out, n)
        results.append((net.flat_weights.copy(), out))
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_bfloat16_products_train_as_their_twin(build, compile_with, problem):
    ops = [
        (*dense(24, "relu"), "bfloat16"), FORK, (*dense(9, "relu"), "bfloat16"),
        (*dense(24, "relu"), "bfloat16"), JOIN, (*dense(3), "bfloat16"),
    ]  # fmt: skip
    x, y, _ = problem(60, 6, 3, "mse", "float32")
    nets = [build(engine, "float32", 6, ops) for engine in (native.Network, reference.Network)]
    for net in nets:
        compile_with(net, "mse", "sgd")
        net.train(x, y, None, np.arange(60), 20, 0, 1e9, None)
    for op in weighted(ops):
        # a sum that rounds to another bfloat16 is 2^-8 off in one product of many
        np.testing.assert_allclose(*(net.get_kernel(op) for net in nets), rtol=2e-2, atol=2e-4)


def test_nothing_but_forks_and_joins(build):
    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    net = build(native.Network, "float32", 6, [FORK, FORK, JOIN, JOIN])
    np.testing.assert_array_equal(net.forward(x), 3 * x)
    np.testing.assert_array_equal(net.backward(x), 3 * x)


@pytest.mark.parametrize(
    ("ops", "words"),
    [
        ([JOIN], "a fork before each join"),
        ([FORK, JOIN, JOIN], "a fork before each join"),
        ([FORK, dense(6)], "a join for each fork"),
        ([FORK, dense(5), JOIN], "as wide as its fork"),
    ],
)
def test_forks_and_joins_that_do_not_fit(engine, ops, words):
    with pytest.raises(ValueError, match=words):
        engine("float32", 6, ops)


# ---- the layer -------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(64, 2)).astype(np.float32)


def model() -> Sequential:
    set_random_seed(3)
    inner = Residual([Dropout(0.1, seed=1), Dense(8, "tanh", kernel_regularizer=L2(0.01))])
    block = Residual([Dense(5, "relu", name="narrow"), Dense(8), inner], name="block")
    return Sequential([Input((6,)), Normalization(), Dense(8, "relu"), block, Dense(2)])


def trained() -> Sequential:
    made = model()
    made.compile("adam", "mse")
    made.fit(X, Y, epochs=2, verbose=0)
    return made


def test_it_is_what_its_layers_say():
    made = model()
    made.layers[0].adapt(X)
    first, (narrow, wide, inner), last = made.layers[1], made.layers[2].layers, made.layers[3]
    h = np.maximum((X - X.mean(0)) / X.std(0) @ first.kernel + first.bias, 0)
    f = np.maximum(h @ narrow.kernel + narrow.bias, 0) @ wide.kernel + wide.bias
    f += np.tanh(f @ inner.layers[1].kernel + inner.layers[1].bias)
    np.testing.assert_allclose(
        made.predict(X), (h + f) @ last.kernel + last.bias, rtol=1e-4, atol=1e-5
    )


def test_weights_are_those_of_its_layers_in_their_order():
    made = trained()
    block = made.get_layer("block")
    assert [w.shape for w in block.get_weights()] == [(8, 5), (5,), (5, 8), (8,), (8, 8), (8,)]
    assert block.count_params() == 45 + 48 + 72
    assert made.count_params() == sum(w.size for w in made.get_weights())
    narrow = made.get_layer("narrow")
    assert narrow is block.layers[0]
    new = [w + 1 for w in block.get_weights()]
    block.set_weights(new)
    np.testing.assert_array_equal(narrow.kernel, new[0])
    made.set_weights(made.get_weights())
    np.testing.assert_equal(block.get_weights(), new)
    with pytest.raises(ValueError, match="expected shape"):
        block.set_weights([*new[:-1], new[0]])
    np.testing.assert_equal(block.get_weights(), new)


def test_what_is_not_trained_stays():
    made = model()
    block = made.get_layer("block")
    made.get_layer("narrow").trainable = False
    assert block.trainable
    assert len(block.trainable_weights) == 4
    made.compile("adam", "mse")
    before = block.get_weights()
    made.fit(X, Y, verbose=0)
    after = block.get_weights()
    np.testing.assert_equal(after[:2], before[:2])
    assert all((a != b).any() for a, b in zip(after[2:], before[2:], strict=True))
    block.trainable = False
    made.fit(X, Y, verbose=0)
    np.testing.assert_equal(block.get_weights(), after)
    assert block.trainable_weights == []
    assert [x.trainable for x in clone_model(made).get_layer("block").leaves()][1:] == [False] * 5


def test_penalties_of_its_layers_count():
    made = trained()
    kernel = made.get_layer("block").layers[2].layers[1].kernel
    mse = np.mean((made.predict(X) - Y) ** 2)
    np.testing.assert_allclose(
        made.evaluate(X, Y, verbose=0), mse + 0.01 * (kernel**2).sum(), rtol=1e-5
    )


@pytest.mark.parametrize("way", ["file", "pickle", "copy", "weights"])
def test_copies_train_on_to_the_same_bits(way, tmp_path):
    made = trained()
    made.save(tmp_path / "model")
    if way == "weights":
        other = model()
        other.compile("adam", "mse")
        other.load_weights(tmp_path / "model")
    else:
        ways = {
            "file": lambda: fastnn.load_model(tmp_path / "model"),
            "pickle": lambda: pickle.loads(pickle.dumps(made)),
            "copy": lambda: copy.deepcopy(made),
        }
        other = ways[way]()
    for each in (made, other):
        set_random_seed(1)
        each.fit(X, Y, verbose=0)
    assert other.get_layer("block").layers[0] is other.get_layer("narrow")
    np.testing.assert_equal(other.get_weights(), made.get_weights())
    assert (other.get_layer("narrow").kernel != 0).any()


def test_clones_and_configs():
    made = trained()
    clone = clone_model(made)
    clone.set_weights(made.get_weights())
    np.testing.assert_array_equal(clone.predict(X), made.predict(X))
    block = made.get_layer("block")
    again = get({"class_name": "Residual", "config": block.get_config()})
    assert again.get_config() == block.get_config()
    assert not again.built


def test_without_an_input_it_keeps_its_weights(tmp_path):
    made = trained()
    made.pop()
    block = made.pop()
    before = block.get_weights()
    made.add(Dense(2))
    assert block.owner is None
    Sequential([block]).save(tmp_path / "unbuilt")
    np.testing.assert_equal(fastnn.load_model(tmp_path / "unbuilt").get_weights(), before)


def test_it_takes_its_weights_to_another_model():
    made = trained()
    made.pop()
    block = made.pop()
    before = block.get_weights()
    other = Sequential([Input((8,)), block])
    del made
    gc.collect()
    np.testing.assert_equal(other.get_weights(), before)
    other.compile("sgd", "mse")
    other.fit(np.ones((4, 8)), np.ones((4, 8)), verbose=0)
    assert (other.get_weights()[0] != before[0]).any()


def test_samples_of_several_axes_go_through():
    made = Sequential([Input((2, 3)), Residual([Activation("tanh")]), Flatten(), Dense(2)])
    x = X.reshape(64, 2, 3)
    alone = Sequential([Input((2, 3)), Residual([Residual([Activation("tanh")])])])
    np.testing.assert_allclose(alone.predict(x), 2 * x + np.tanh(x), rtol=1e-5, atol=1e-6)
    assert made.predict(x).shape == (64, 2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Residual([]), "layers: expected at least one"),
        (lambda: Residual(Dense(3)), "layers: expected a list"),
        (lambda: Residual("relu"), "layers: expected a list"),
        (lambda: Residual([Dense(3), 7]), "layers: expected layers"),
        (lambda: Residual([Input((3,))]), "without an Input"),
        (lambda: Residual([Dense(3, name="a"), Dense(3, name="a")]), "name"),
        (lambda: Residual([Dense(3, name="a")], name="a"), "name"),
        (lambda: Residual([Dense(3), Dense(3, dtype="float64")]), "dtype"),
        (lambda: Residual([Dense(3)] * 2), "nowhere else"),
        (lambda: Sequential([Input((3,)), Residual([Dense(4)])]), r"\(3,\), got \(4,\)"),
        (lambda: Sequential([Input((2, 3)), Residual([Flatten()])]), r"\(2, 3\), got \(6,\)"),
        (lambda: Sequential([Dense(3, name="a"), Residual([Dense(3, name="a")])]), "name"),
        (lambda: Residual([Dense(3)], extra=1), "extra"),
    ],
)
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make()


def test_a_layer_is_in_one_place():
    layer = Dense(3)
    block = Residual([layer])
    with pytest.raises(ValueError, match=f"got one in '{block.name}'"):
        Sequential([layer])
    with pytest.raises(ValueError, match="nowhere else"):
        Residual([layer])
    model = Sequential([Input((3,)), block])
    with pytest.raises(ValueError, match="in no model"):
        Sequential([block])
    assert layer.owner is block
    assert model.get_layer(layer.name) is layer


def test_a_layer_inside_that_the_optimizer_does_not_step():
    inner = [BatchNormalization(center=False, scale=False), Dense(4)]
    model = Sequential([Input((4,)), Residual(inner), Dense(1)])
    model.compile("adam", "mse")
    x = np.arange(32.0).reshape(8, 4)
    model.fit(x, x[:, :1], verbose=0)
    twin = pickle.loads(pickle.dumps(model))
    for each in (model, twin):
        each.fit(x, x[:, :1], shuffle=False, verbose=0)
    for mine, other in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
