"""mixed_bfloat16: products of bfloat16 operands, everything else in float32.

The truth is the NumPy twin, whose operands are rounded to bfloat16 and multiplied in float64 or
float32; against float32 networks only what rounding explains.
"""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import config, kernels, reference
from fastnn._native.network import Network
from fastnn.layers import Dense, Normalization
from fastnn.models import Sequential
from fastnn.utils import set_random_seed

ADAM = {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
SGD = {"learning_rate": 0.1, "momentum": 0.0, "nesterov": False}
DIGITS = Path(__file__).parents[1] / "examples" / "data" / "digits.csv"
# inputs, layers, rows: odd sizes, a panel and one more, more than a block of rows
NETWORKS = [
    (1, [(1, "linear")], 1),
    (5, [(7, "relu"), (3, "linear")], 9),
    (33, [(31, "tanh"), (10, "softmax")], 64),
    (64, [(64, "relu"), (32, "relu"), (10, "softmax")], 33),
    (37, [(130, "sigmoid"), (65, "silu"), (2, "sigmoid")], 129),
    (70, [(200, "relu"), (1, "linear")], 300),
]


@pytest.fixture(autouse=True)
def _default_policy():
    yield
    config.set_dtype_policy(None)


def pair(inputs, layers, seed=0, operands="bfloat16"):
    """The engine and its twin with the same weights."""
    ops = [
        ("dense", units, act, number != 1, operands) for number, (units, act) in enumerate(layers)
    ]
    nets = [cls("float32", inputs, ops) for cls in (Network, reference.Network)]
    rng = np.random.default_rng(seed)
    for number, (units, _) in enumerate(layers):
        kernel = (rng.standard_normal((inputs, units)) / np.sqrt(inputs)).astype(np.float32)
        bias = rng.standard_normal(units).astype(np.float32)
        for net in nets:
            net.set_kernel(number, kernel)
            if number != 1:
                net.set_bias(number, bias)
        inputs = units
    return nets


def data(inputs, outputs, rows, seed=1):
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((rows, inputs), dtype=np.float32),
        rng.standard_normal((rows, outputs), dtype=np.float32),
    )


def weights(net, layers):
    return [net.get_kernel(i) for i in range(len(layers))]


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize(("inputs", "layers", "rows"), NETWORKS)
def test_forward_and_backward_against_the_twin(inputs, layers, rows, threads):
    net, twin = pair(inputs, layers)
    for each in (net, twin):
        each.compile(None, "sgd", [], SGD)
    x, dy = data(inputs, layers[-1][0], rows)
    y, expected = net.forward(x, threads), twin.forward(x)
    # one rounding of an activation to another bfloat16 neighbour is 2^-8 of it
    np.testing.assert_allclose(y, expected, rtol=2e-3, atol=2e-3)
    predicted = np.empty_like(y)
    net.predict(x, predicted, threads)
    np.testing.assert_array_equal(predicted, y)
    np.testing.assert_allclose(net.backward(dy, threads), twin.backward(dy), rtol=5e-3, atol=5e-3)
    for each in (net, twin):
        each.apply_gradients()
    for got, want in zip(weights(net, layers), weights(twin, layers), strict=True):
        np.testing.assert_allclose(got, want, rtol=5e-3, atol=5e-3 * np.sqrt(rows))


def test_one_layer_is_exact_to_the_last_bit():
    """Integers up to 256 are bfloat16, and their products add exactly."""
    rng = np.random.default_rng(3)
    x, kernel = (rng.integers(-9, 10, shape).astype(np.float32) for shape in ((65, 33), (33, 47)))
    net = Network("float32", 33, [("dense", 47, "linear", False, "bfloat16")])
    net.set_kernel(0, kernel)
    net.compile(None, "sgd", [], SGD | {"learning_rate": 1.0})
    dy = rng.integers(-9, 10, (65, 47)).astype(np.float32)
    np.testing.assert_array_equal(net.forward(x, 2), x @ kernel)
    np.testing.assert_array_equal(net.backward(dy, 2), dy @ kernel.T)
    net.apply_gradients()
    np.testing.assert_array_equal(net.get_kernel(0), kernel - x.T @ dy)


@pytest.mark.parametrize(
    ("loss", "activation", "optimizer", "hyper"),
    [
        ("xent", "softmax", "adam", ADAM),
        ("mse", "linear", "sgd", SGD),
        ("bce", "sigmoid", "adam", ADAM),
    ],
)
def test_training_against_the_twin(loss, activation, optimizer, hyper):
    layers = [(40, "relu"), (33, "tanh"), (3, activation)]
    net, twin = pair(21, layers)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((203, 21), dtype=np.float32)
    y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, len(x))]
    order = rng.permutation(len(x))
    losses = []
    for each in (net, twin):
        each.compile(loss, optimizer, [], hyper)
        losses.append([each.train(x, y, None, order, 31, 0, 10.0, 2)[1] for _ in range(4)])
    np.testing.assert_allclose(*losses, rtol=3e-3)
    assert losses[0][-1] < losses[0][0]


def test_same_bits_for_any_number_of_threads():
    layers = [(150, "relu"), (70, "tanh"), (10, "softmax")]
    x, _ = data(90, 1, 517)
    y = np.random.default_rng(5).integers(0, 10, len(x)).astype(np.int32)
    results = []
    for threads in (1, 2, 3, 7):
        net, _ = pair(90, layers)
        net.compile("xent", "adam", [], ADAM)
        net.train(x, y, None, np.arange(len(x)), 129, 0, 10.0, threads)
        results.append(net.flat_weights.copy())
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_a_batch_leaves_nothing_to_a_smaller_one():
    """The odd last row's missing partner is zero, whatever an earlier batch left there."""
    layers = [(33, "relu"), (5, "linear")]
    x, y = data(17, 5, 64)
    nets = [pair(17, layers)[0] for _ in range(2)]
    for net in nets:
        net.compile("mse", "sgd", [], SGD | {"learning_rate": 0.0})
    nets[0].train(x, y, None, np.arange(64), 64, 0, 10.0, 1)
    for net in nets:
        net.compile("mse", "sgd", [], SGD) if net is nets[1] else net.set_hyper(SGD)
        net.train(x, y, None, np.arange(7), 7, 0, 10.0, 1)
    np.testing.assert_array_equal(nets[0].flat_weights, nets[1].flat_weights)


def test_layers_of_both_kinds():
    """A float32 layer in a network of bfloat16 ones computes as it does alone."""
    ops = [("dense", 40, "relu", True, "bfloat16"), ("dense", 6, "linear", True)]
    net = Network("float32", 30, ops)
    rng = np.random.default_rng(4)
    first, last = (rng.standard_normal(s).astype(np.float32) / 6 for s in ((30, 40), (40, 6)))
    net.set_kernel(0, first)
    net.set_kernel(1, last)
    x = rng.standard_normal((50, 30), dtype=np.float32)
    hidden = Network("float32", 30, ops[:1])
    hidden.set_kernel(0, first)
    np.testing.assert_allclose(net.forward(x), hidden.forward(x) @ last, rtol=1e-5, atol=1e-5)


def test_float64_and_unknown_operands_are_refused():
    with pytest.raises(ValueError, match="ops"):
        Network("float64", 3, [("dense", 2, "relu", True, "bfloat16")])
    with pytest.raises(ValueError, match="ops"):
        Network("float32", 3, [("dense", 2, "relu", True, "float16")])


# ---- policies ----------------------------------------------------------------------------------


def test_policy_of_a_layer():
    layer = Dense(3, dtype="mixed_bfloat16")
    assert (layer.dtype, layer.variable_dtype, layer.compute_dtype) == (
        "float32",
        "float32",
        "bfloat16",
    )
    assert layer.get_config()["dtype"] == "mixed_bfloat16"
    assert Dense.from_config(layer.get_config()).dtype_policy == layer.dtype_policy
    assert Dense(3, dtype=config.DTypePolicy("float64")).dtype == "float64"
    assert Dense(3, dtype=np.float64).compute_dtype == "float64"
    for wrong in ("bfloat16", "mixed_float16", "float16", 3, object()):
        with pytest.raises(ValueError, match="dtype"):
            Dense(3, dtype=wrong)


def test_global_policy():
    config.set_dtype_policy("mixed_bfloat16")
    assert config.dtype_policy() == config.DTypePolicy("mixed_bfloat16")
    model = Sequential([Dense(4, input_shape=(3,)), Dense(2, dtype="float32")])
    assert [layer.compute_dtype for layer in model.layers] == ["bfloat16", "float32"]
    assert all(weight.dtype == np.float32 for weight in model.get_weights())
    config.set_dtype_policy(config.DTypePolicy("float64"))
    assert Dense(2).dtype == "float64"
    with pytest.raises(ValueError, match="mixed_bfloat16"):
        config.set_dtype_policy("mixed_float8")
    assert Dense(2).dtype == "float64"
    assert fastnn.mixed_precision.global_policy().name == "float64"
    fastnn.mixed_precision.set_global_policy("float32")
    assert Dense(2).dtype_policy == fastnn.mixed_precision.Policy("float32")
    config.set_dtype_policy(None)
    assert config.dtype_policy().name == config.floatx()
    for wrong in (["float32"], "mixed_float16", 16):
        with pytest.raises(ValueError, match="policy"):
            config.set_dtype_policy(wrong)
        with pytest.raises(ValueError, match="name"):
            config.DTypePolicy(wrong)


def test_float64_layers_do_not_mix():
    with pytest.raises(ValueError, match="dtype"):
        Sequential([Dense(4, dtype="mixed_bfloat16", input_shape=(3,)), Dense(2, dtype="float64")])


def make_model(dtype, seed=0):
    layers = [
        Normalization(mean=0.5, variance=4.0, input_shape=(64,)),
        Dense(64, activation="relu", dtype=dtype),
        Dense(32, activation="relu", dtype=dtype),
        Dense(10, activation="softmax", dtype=dtype),
    ]
    model = Sequential(layers)
    rng = np.random.default_rng(seed)
    model.set_weights(
        [w if w.ndim < 2 else (rng.standard_normal(w.shape) / 8) for w in model.get_weights()]
    )
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def test_learns_digits_as_float32_does():
    """The same validation accuracy within 0.5 %, in the mean of four starts and five epochs."""
    table = np.loadtxt(DIGITS, delimiter=",", skiprows=1)
    x, y = table[:, :-1] / 4, table[:, -1].astype(int)
    accuracy = {"float32": [], "mixed_bfloat16": []}
    for seed in range(4):
        for dtype, reached in accuracy.items():
            set_random_seed(seed)  # the order of the samples
            model = make_model(dtype, seed)
            kept = model.fit(x, y, epochs=25, batch_size=32, validation_split=0.2, verbose=0)
            reached.append(np.mean(kept.history["val_accuracy"][-5:]))
    means = {dtype: np.mean(reached) for dtype, reached in accuracy.items()}
    assert means["float32"] > 0.9
    assert abs(means["mixed_bfloat16"] - means["float32"]) <= 0.005, means


def test_saved_copied_and_pickled(tmp_path):
    model = make_model("mixed_bfloat16")
    x = np.random.default_rng(0).standard_normal((40, 64), dtype=np.float32)
    model.fit(x, np.arange(40) % 10, epochs=1, verbose=0)
    expected = model.predict(x)
    model.save(tmp_path / "m.fastnn")
    for other in (
        fastnn.load_model(tmp_path / "m.fastnn"),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
    ):
        assert other.layers[1].compute_dtype == "bfloat16"
        np.testing.assert_array_equal(other.predict(x), expected)
    np.testing.assert_array_equal(model.predict_on_batch(x[:5]), expected[:5])


# ---- products on arrays ------------------------------------------------------------------------

SHAPES = [(0, 3, 5), (1, 1, 1), (3, 4, 0), (3, 4, 2), (13, 33, 65), (14, 32, 63), (57, 31, 130)]
SHAPES += [(1, 700, 200), (200, 1, 33), (129, 65, 1700), (300, 70, 3400), (60, 2100, 270)]


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_matmul(shape, transpose_a, transpose_b):
    m, n, k = shape
    rng = np.random.default_rng(6)
    a = rng.standard_normal((k, m) if transpose_a else (m, k), dtype=np.float32)
    b = rng.standard_normal((n, k) if transpose_b else (k, n), dtype=np.float32)
    options = {"transpose_a": transpose_a, "transpose_b": transpose_b, "precision": "bfloat16"}
    c = kernels.matmul(a, b, **options, num_threads=1)
    left, right = (reference.kernels.round_bfloat16(x).astype(np.float64) for x in (a, b))
    left, right = left.T if transpose_a else left, right.T if transpose_b else right
    bound = (k + 2) * 2.0**-24 * (np.abs(left) @ np.abs(right))
    assert (np.abs(c - left @ right) <= bound).all()
    np.testing.assert_allclose(
        c, reference.matmul(a, b, **options), rtol=1e-5, atol=1e-6 * max(k, 1)
    )
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(kernels.matmul(a, b, **options, num_threads=threads), c)


def test_matmul_keeps_bad_values_in_their_row():
    a, b = np.ones((40, 50), np.float32), np.ones((50, 35), np.float32)
    a[17, 49], b[3, 20] = np.nan, np.inf
    c = kernels.matmul(a, b, precision="bfloat16")
    assert np.isnan(c[17]).all()
    assert (np.delete(c[:, 20], 17) == np.inf).all()
    assert (np.delete(np.delete(c, 17, 0), 20, 1) == 50).all()


def test_matmul_refuses_what_is_not_float32():
    one = np.ones((2, 2), np.float32)
    for wrong in ("float16", 16, b"bfloat16"):
        with pytest.raises(ValueError, match="precision"):
            kernels.matmul(one, one, precision=wrong)
        with pytest.raises(ValueError, match="precision"):
            reference.matmul(one, one, precision=wrong)
    with pytest.raises(ValueError, match="precision"):
        kernels.matmul(one.astype(float), one, precision="bfloat16")
    with pytest.raises(ValueError, match="precision"):
        reference.matmul(one.astype(float), one, precision="bfloat16")


def test_peak():
    """Twice the products an instruction, or emulated: in any case a rate of its own."""
    assert kernels.fma_peak("bfloat16", 1) > 0
    with pytest.raises(ValueError, match="dtype"):
        kernels.fma_peak("float16")


# ---- the twins' rounding -----------------------------------------------------------------------


def test_rounding_is_to_nearest_even():
    x = np.float32([1.00390625, 1.01171875, -1.0, 3.4e38, 1e-39, -1e-39, np.inf, np.nan, 0.0])
    want = np.float32([1.0, 1.015625, -1.0, np.inf, 0.0, -0.0, np.inf, np.nan, 0.0])
    rounded = reference.KERNELS["pair_columns"](x[None])
    np.testing.assert_array_equal((rounded[:, ::1] << 16).view(np.float32)[0], want[::2])
    np.testing.assert_array_equal((rounded[:, :-1] & 0xFFFF0000).view(np.float32)[0], want[1::2])
