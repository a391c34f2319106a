"""Activations that take numbers: kernels, functions, layers, gradients; and Rescaling."""

import copy
import math
import pickle

import numpy as np
import pytest

from fastnn import Sequential, activations, kernels, load_model, reference
from fastnn._native.network import Network
from fastnn.layers import (
    ELU,
    Activation,
    Dense,
    Dropout,
    Input,
    LeakyReLU,
    PReLU,
    ReLU,
    Rescaling,
    Softmax,
)
from fastnn.models import clone_model
from fastnn.utils import set_random_seed

CURVES = {
    "ramp": [(0.0, 0.0, 2.0), (0.25, 0.0, math.inf), (0.5, 1.0, 1.5), (0.1, 2.0, 1.0), (1, 0, 0)],
    "exp_tail": [(0.5, 1.0), (2.0, 0.5), (0.0, 1.0), (0.25, 4.0)],
}
CASES = [(name, numbers) for name, sets in CURVES.items() for numbers in sets]
DTYPES = ["float32", "float64"]
X = np.concatenate([np.linspace(-9, 9, 1001), [0.0, -0.0, np.nan, np.inf, -np.inf, -1e30, 1e30]])


def relu(slope, highest, threshold):
    return lambda x: min(x, highest) if x > threshold else slope * (x - threshold)


def elu(alpha):
    return lambda x: x if x > 0 else alpha * math.expm1(x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "numbers"), CASES)
def test_kernels(name, numbers, dtype):
    eps = np.finfo(dtype).eps
    x = X.astype(dtype)
    y = getattr(kernels, name)(x, *numbers)
    wide = x.astype(np.float64)
    want = getattr(reference, name)(wide, *numbers)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, want, rtol=4 * eps, atol=1e-300)
    saved = x if name == "ramp" else y
    dy = np.random.default_rng(1).normal(size=x.shape).astype(dtype)
    dx = getattr(kernels, f"{name}_backward")(saved, dy, *numbers)
    want = getattr(reference, f"{name}_backward")(saved.astype(float), dy.astype(float), *numbers)
    np.testing.assert_allclose(dx, want, rtol=8 * eps, atol=8 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "numbers"), CASES)
def test_sizes_and_threads(name, numbers, dtype):
    """An element's result depends neither on how many stand beside it nor on threads."""
    x = np.random.default_rng(2).normal(size=70_000).astype(dtype)
    function = getattr(kernels, name)
    backward = getattr(kernels, f"{name}_backward")
    y, dx = function(x, *numbers), backward(x, x, *numbers)
    for n in (0, 1, 7, 33, 1000):
        np.testing.assert_array_equal(function(x[:n], *numbers), y[:n])
        np.testing.assert_array_equal(backward(x[:n], x[:n], *numbers), dx[:n])
    for threads in (2, 5):
        np.testing.assert_array_equal(function(x, *numbers, num_threads=threads), y)
        np.testing.assert_array_equal(backward(x, x, *numbers, num_threads=threads), dx)
    out = x.copy()
    assert function(out, *numbers, out=out) is out
    np.testing.assert_array_equal(out, y)
    square = function(x.reshape(70, 20, 50), *numbers)
    np.testing.assert_array_equal(square.ravel(), y)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: kernels.ramp(X, -1), "slope"),
        (lambda: kernels.ramp(X, threshold=-1), "threshold"),
        (lambda: kernels.ramp(X, highest=math.nan), "highest"),
        (lambda: kernels.ramp_backward(X, X, -1), "slope"),
        (lambda: kernels.ramp_backward(X, X[:3]), "dy"),
        (lambda: kernels.exp_tail(X, -1), "height"),
        (lambda: kernels.exp_tail(X, 1, 0), "rate"),
        (lambda: kernels.exp_tail_backward(X, X, rate=math.inf), "rate"),
        (lambda: Network("float32", 3, [("activation", "ramp", 1.0)]), "ops"),
        (lambda: Network("float32", 3, [("activation", "relu", 1.0)]), "ops"),
    ],
)
def test_refused_numbers(call, word):
    with pytest.raises(ValueError, match=word):
        call()


@pytest.mark.parametrize("where", ["alone", "after", "last"])
@pytest.mark.parametrize(("name", "numbers"), CASES)
def test_gradients(engine, build, name, numbers, where):
    """Against finite differences, away from the kinks."""
    op = ("activation", name, *numbers)
    ops = {
        "alone": [op],
        "after": [("dense", 4, "linear", True), op, ("dense", 5, "tanh", True)],
        "last": [("dense", 5, "relu", True), ("dense", 5, "linear", True), op],
    }[where]
    net = build(engine, "float64", 5, ops)
    rng = np.random.default_rng(4)
    x, dy, step = rng.normal(0, 2, (6, 5)), rng.normal(size=(6, 5)), 1e-6
    numeric = np.empty_like(x)
    for place in np.ndindex(x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * step
            ends.append(float((dy * net.forward(moved, 1)).sum()))
        numeric[place] = (ends[0] - ends[1]) / (2 * step)
    y = net.forward(x, 1)
    np.testing.assert_allclose(net.backward(dy, 1), numeric, rtol=1e-6, atol=1e-7)
    out = np.empty_like(y)
    net.predict(x, out)
    np.testing.assert_array_equal(out, y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 3])
def test_both_engines_train_alike(build, compile_with, problem, dtype, threads):
    ops = [
        ("dense", 33, "linear", True),
        ("activation", "ramp", 0.3, 0.1, 0.8),
        ("dense", 20, "linear", True),
        ("activation", "exp_tail", 0.7, 1.3),
        ("dense", 4, "softmax", True),
    ]
    x, y, weight = problem(150, 7, 4, "xent", dtype, labels=True)
    results = []
    for engine in (Network, reference.Network):
        net = build(engine, dtype, 7, ops)
        compile_with(net, "xent", "adam")
        for _ in range(3):
            net.train(x, y, weight, np.arange(150), 40, 0, 1e9, threads)
        results.append(np.concatenate([net.get_kernel(op).ravel() for op in (0, 2, 4)]))
    tight = {"rtol": 1e-3, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}
    np.testing.assert_allclose(*results, **tight)


@pytest.mark.parametrize("dtype", [*DTYPES, "bfloat16"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "softmax"])
def test_an_activation_behind_a_dense_op_is_part_of_it(
    build, compile_with, problem, activation, dtype
):
    """The same bits as in one op, between and last."""
    operands = ("bfloat16",) if dtype == "bfloat16" else ()
    dtype = "float32" if operands else dtype
    one = [("dense", 33, activation, True, *operands), ("dense", 6, activation, True, *operands)]
    plain = [("dense", *op[1:2], "linear", *op[3:]) for op in one]
    act = ("activation", activation)
    x, y, weight = problem(50, 7, 6, "bce", dtype)
    results = []
    for ops, dense in ((one, (0, 1)), ([plain[0], act, plain[1], act], (0, 2))):
        net = build(Network, dtype, 7, ops)
        compile_with(net, "bce", "adam")
        sums = net.train(x, y, weight, np.arange(50), 20, 0, 1e9, 1)
        out = net.forward(x, 1)
        dx = net.backward(out, 1)
        results.append([*map(net.get_kernel, dense), *map(net.get_bias, dense), out, dx, sums[1]])
        if len(ops) > 2:
            with pytest.raises(ValueError, match="op 1"):
                net.get_scale_shift(1)
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_functions_with_arguments():
    x = np.linspace(-4, 8, 600)
    truth = {
        relu(0.5, 5, 0): activations.relu(x, 0.5, 5),
        relu(0, math.inf, 1.5): activations.relu(x, threshold=1.5),
        relu(0.1, 3, 2): activations.relu(x, 0.1, 3, 2),
        relu(0, 6, 0): activations.relu(x, max_value=6),
        relu(0.3, math.inf, 0): activations.leaky_relu(x, 0.3),
        elu(0.7): activations.elu(x, 0.7),
        (lambda x: x if x > 0 else 0.7 * math.expm1(x / 0.7)): activations.celu(x, 0.7),
    }
    for function, values in truth.items():
        want = np.vectorize(function, otypes=[float])(x)
        np.testing.assert_allclose(values, want, rtol=1e-14, atol=1e-15)
    rows = x.reshape(3, -1)
    np.testing.assert_array_equal(activations.softmax(rows, axis=1), activations.softmax(rows))
    np.testing.assert_array_equal(activations.log_softmax(rows, 1), activations.log_softmax(rows))


LAYERS = {
    "relu": (lambda **k: ReLU(**k), ("relu",)),
    "relu 6": (lambda **k: ReLU(6, **k), ("relu6",)),
    "leaky": (lambda **k: ReLU(negative_slope=0.2, **k), ("leaky_relu",)),
    "all": (lambda **k: ReLU(3, 0.1, 0.5, **k), ("ramp", 0.1, 0.5, 3.0)),
    "LeakyReLU": (lambda **k: LeakyReLU(**k), ("ramp", 0.3, 0.0, math.inf)),
    "LeakyReLU 0.2": (lambda **k: LeakyReLU(0.2, **k), ("leaky_relu",)),
    "ELU": (lambda **k: ELU(**k), ("elu",)),
    "ELU 2": (lambda **k: ELU(2, **k), ("exp_tail", 2.0, 1.0)),
    "Softmax": (lambda **k: Softmax(1, **k), ("softmax",)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(tmp_path, name, dtype):
    """What the engine gets; training; config, file and clone."""
    make, op = LAYERS[name]
    layer = make(dtype=dtype)
    assert layer.op() == ("activation", *op)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.op() == layer.op()
    model = Sequential(
        [Input((7,), dtype=dtype), Dense(8, dtype=dtype), layer, Dense(3, dtype=dtype)]
    )
    model.compile("adam", "mse")
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(90, 7)), rng.normal(size=(90, 3))
    losses = model.fit(x, y, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "m.fastnn")
    loaded = load_model(tmp_path / "m.fastnn")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert clone_model(model).get_config() == model.get_config()


def test_a_softmax_layer_is_fused_with_its_loss():
    """As the activation of a dense layer is: large logits give no infinite loss."""
    x, y = np.array([[1000.0, -1000.0]]), np.array([1])
    model = Sequential([Input((2,)), Dense(2, kernel_initializer="identity"), Softmax()])
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.train_on_batch(x, y) == pytest.approx(2000)


WITHIN = {name: make for name, (make, _) in LAYERS.items()}
WITHIN |= {"Activation": lambda **k: Activation("gelu", **k)}


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
@pytest.mark.parametrize("engine", [Network, reference.Network])
@pytest.mark.parametrize("name", WITHIN)
def test_a_layer_as_the_activation_is_one_behind(monkeypatch, name, engine, dtype):
    """The same bits, between and last, untrained and trained."""
    monkeypatch.setattr(Sequential, "_network_class", staticmethod(engine))
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(50, 7)), rng.normal(size=(50, 3))
    results = []
    for within in (True, False):
        set_random_seed(1)
        stack = [Input((7,), dtype=dtype)]
        for units in (8, 3):
            act = WITHIN[name](dtype=dtype)
            dense = Dense(units, act if within else None, dtype=dtype, kernel_regularizer="l2")
            stack += [dense] if within else [dense, act]
        model = Sequential(stack)
        before = model.predict(x, verbose=0)
        model.compile("adam", "mse")
        losses = model.fit(x, y, epochs=3, batch_size=16, verbose=0).history["loss"]
        dx = model.backward(model.forward(x))
        results.append([before, losses, *model.get_weights(), model.predict(x, verbose=0), dx])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", WITHIN)
def test_a_layer_as_the_activation_is_written_down(tmp_path, name):
    dense = Dense(8, WITHIN[name](name="curve"), name="hidden")
    model = Sequential([Input((7,)), dense, Dense(3, name="out")])
    model.compile("adam", "mse")
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(90, 7)), rng.normal(size=(90, 3))
    model.fit(x, y, epochs=2, verbose=0)
    config = dense.get_config()["activation"]
    assert config == {
        "class_name": type(dense.activation).__name__,
        "config": dense.activation.get_config(),
    }
    again = Dense.from_config(dense.get_config())
    assert again.get_config() == dense.get_config()
    assert again.activation.op() == dense.activation.op()
    assert clone_model(model).get_config() == model.get_config()
    model.save(tmp_path / "m.fastnn")
    others = [
        load_model(tmp_path / "m.fastnn"),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
    ]
    step = model.train_on_batch(x, y)
    for other in others:
        assert other.get_config() == model.get_config()
        assert other.train_on_batch(x, y) == step
        np.testing.assert_array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert [line.split() for line in lines[4:6]] == [
        ["hidden", "(Dense)", "(None,", "8)", "64"],
        ["out", "(Dense)", "(None,", "3)", "27"],
    ]


def test_layers_of_several_ops_know_their_own_weights():
    """Numbers by hand, and one activation shared by two layers."""
    shared = LeakyReLU(0.5)
    model = Sequential([Input((1,)), Dense(2, shared), Dense(1, shared, name="last")])
    model.set_weights([[[1.0, -1.0]], [0.0, 1.0], [[1.0], [-4.0]], [2.0]])
    # 4: (4, -3) -> (4, -1.5) -> 4 + 6 + 2; -4: (-4, 5) -> (-2, 5) -> -2 - 20 + 2 -> half
    np.testing.assert_array_equal(model.predict([[4.0], [-4.0]], verbose=0), [[12.0], [-10.0]])
    np.testing.assert_array_equal(model.get_layer("last").kernel, [[1.0], [-4.0]])
    assert model.get_layer("last").activation is shared
    assert model.count_params() == 7
    model.add(Dense(1, "linear"))
    assert model.pop().activation is activations.linear
    np.testing.assert_array_equal(model.predict([[4.0]], verbose=0), [[12.0]])


@pytest.mark.oracles
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WITHIN)
def test_a_layer_as_the_activation_is_keras_s(monkeypatch, name):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("torch", reason="PyTorch is missing: pip install 'fastnn[oracles]'")
    keras = pytest.importorskip("keras", reason="Keras is missing: pip install 'fastnn[oracles]'")
    act = WITHIN[name]()
    theirs = getattr(keras.layers, type(act).__name__).from_config(act.get_config())
    ours = Sequential([Input((7,)), Dense(8, act), Dense(3)])
    other = keras.Sequential(
        [keras.Input((7,)), keras.layers.Dense(8, activation=theirs), keras.layers.Dense(3)]
    )
    other.set_weights(ours.get_weights())
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(64, 7)).astype("float32"), rng.normal(size=(64, 3)).astype("float32")
    np.testing.assert_allclose(ours(x), keras.ops.convert_to_numpy(other(x)), rtol=1e-5, atol=1e-5)
    for model in (ours, other):
        model.compile("sgd", "mse")
        model.fit(x, y, epochs=3, batch_size=64, shuffle=False, verbose=0)
    for mine, its in zip(ours.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-5)


def test_a_softmax_layer_in_a_dense_layer_is_fused_with_its_loss():
    x, y = np.array([[1000.0, -1000.0]]), np.array([1])
    model = Sequential([Input((2,)), Dense(2, Softmax(), kernel_initializer="identity")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.train_on_batch(x, y) == pytest.approx(2000)


@pytest.mark.parametrize("make", [PReLU, lambda: Dropout(0.5), lambda: Dense(3)])
def test_a_layer_that_is_no_activation_is_refused(make):
    layer = make()
    words = rf"^activation: expected .*Softmax, got a {type(layer).__name__}, which can follow"
    with pytest.raises(TypeError, match=words):
        Dense(3, activation=layer)


@pytest.mark.parametrize("name", ["PReLU", "Dense", "nothing"])
def test_a_config_of_another_layer_is_refused(name):
    config = {**Dense(3).get_config(), "activation": {"class_name": name, "config": {}}}
    with pytest.raises(ValueError, match=f"^activation: expected one of Activation, .*'{name}'"):
        Dense.from_config(config)


def test_alpha_goes_before_negative_slope():
    for layer in (LeakyReLU(alpha=0.25), LeakyReLU(0.5, alpha=0.25)):
        assert layer.negative_slope == 0.25
        assert layer.op() == ("activation", "ramp", 0.25, 0.0, math.inf)
        assert "alpha" not in layer.get_config()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LeakyReLU(alpha=-1), "alpha"),
        (lambda: LeakyReLU(alpha=None), "alpha"),
        (lambda: ReLU(-1), "max_value"),
        (lambda: ReLU("a"), "max_value"),
        (lambda: ReLU(negative_slope=-1), "negative_slope"),
        (lambda: ReLU(negative_slope=None), "negative_slope"),
        (lambda: ReLU(threshold=-1), "threshold"),
        (lambda: ReLU(threshold=None), "threshold"),
        (lambda: LeakyReLU(-0.1), "negative_slope"),
        (lambda: LeakyReLU(None), "negative_slope"),
        (lambda: ELU(-1), "alpha"),
        (lambda: ELU(math.inf), "alpha"),
        (lambda: Softmax(0), "axis"),
        (lambda: Softmax(2), "axis"),
        (lambda: Softmax(True), "axis"),
        (lambda: activations.softmax(np.zeros((2, 2)), 0), "axis"),
        (lambda: activations.celu(X, 0), "alpha"),
        (lambda: activations.relu(X, -1), "negative_slope"),
        (lambda: Rescaling("a"), "scale"),
        (lambda: Rescaling(math.nan), "scale"),
        (lambda: Rescaling(1, math.inf), "offset"),
        (lambda: Rescaling([[1, 2], [3, 4]]), "scale"),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises((ValueError, TypeError), match=f"^{words}: expected"):
        make()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("scale", "offset"), [(1 / 255, 0.0), (2, [1, 2, 3, 4]), ([1, 2, 0, -1], -1), ([3], [0.5])]
)
def test_rescaling(tmp_path, dtype, scale, offset):
    """First, where rows are gathered, and between; files have its numbers."""
    x = np.random.default_rng(1).integers(0, 256, (50, 4)).astype(np.uint8)
    y = x[:, :1] / 255.0
    first, between = Rescaling(scale, offset, dtype=dtype), Rescaling(scale, offset, dtype=dtype)
    alone = Sequential([Input((4,), dtype=dtype), first])
    want = x * np.asarray(scale) + np.asarray(offset)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(alone(x), want, rtol=4 * eps, atol=4 * eps * np.abs(want).max())
    np.testing.assert_array_equal(alone.predict(x, verbose=0), alone(x))
    dense = [Dense(4, "tanh", dtype=dtype), Dense(1, dtype=dtype)]
    model = Sequential([clone_model(alone).layers[0], dense[0], between, dense[1]])
    model.compile("adam", "mse")
    losses = model.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.layers[2].count_params() == 0
    assert model.layers[2].get_config() == {**between.get_config()}
    assert Rescaling.from_config(between.get_config()).get_config() == between.get_config()
    model.save(tmp_path / "m.fastnn")
    loaded = load_model(tmp_path / "m.fastnn")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_rescaling_of_another_number_of_features():
    with pytest.raises(ValueError, match="expected 3 inputs, as many as offset has, got 4"):
        Sequential([Input((4,)), Rescaling(1, [1, 2, 3])])
    with pytest.raises(AttributeError, match="scale: read-only"):
        Rescaling(2).scale = 3
