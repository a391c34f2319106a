"""Layers without weights beside Keras's: values, training, arguments; and PyTorch's gradients."""

import inspect
import os

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
torch = pytest.importorskip("torch", reason="PyTorch is missing: pip install 'fastnn[oracles]'")
keras = pytest.importorskip("keras", reason="Keras is missing: pip install 'fastnn[oracles]'")

import fastnn  # noqa: E402

# Keras's own warnings are its affair.
pytestmark = [pytest.mark.oracles, pytest.mark.filterwarnings("ignore")]

RNG = np.random.default_rng(0)
X = RNG.normal(0, 2, (90, 7)).astype(np.float32)
Y = np.sin(X[:, :2]) + X[:, 2:4]
LAYERS = [
    ("ReLU", {}),
    ("ReLU", {"max_value": 6}),
    ("ReLU", {"max_value": 1.5, "negative_slope": 0.1}),
    ("ReLU", {"negative_slope": 0.2, "threshold": 0.5}),
    ("ReLU", {"max_value": 1, "negative_slope": 0.3, "threshold": 2}),
    ("ReLU", {"max_value": 0, "negative_slope": 0.3}),
    ("ReLU", {"threshold": 1}),
    ("LeakyReLU", {}),
    ("LeakyReLU", {"negative_slope": 0.2}),
    ("LeakyReLU", {"negative_slope": 0}),
    ("ELU", {}),
    ("ELU", {"alpha": 0.4}),
    ("ELU", {"alpha": 0}),
    ("Softmax", {}),
    ("Softmax", {"axis": 1}),
    ("Rescaling", {"scale": 0.25, "offset": -1.0}),
    ("Rescaling", {"scale": 2}),
    ("Rescaling", {"scale": [1.0, 2, 3, 4, 0, -1, 0.5], "offset": [1.0, 2, 3, 4, 5, 6, 7]}),
]
NOISES = ["GaussianNoise", "GaussianDropout", "AlphaDropout"]


def both(name, numbers, units=None):
    """The same model of each library, the layer alone or, with `units`, between dense ones."""
    keras.utils.set_random_seed(1)
    models = []
    for library in (keras, fastnn):
        layer = getattr(library.layers, name)(**numbers)
        dense = library.layers.Dense
        stack = [layer] if units is None else [dense(units), layer, dense(2)]
        models.append(library.Sequential([library.layers.Input((7,)), *stack]))
    models[1].set_weights(models[0].get_weights())
    return models


@pytest.mark.parametrize(("name", "numbers"), LAYERS)
def test_values(name, numbers):
    theirs, ours = both(name, numbers)
    want = theirs.predict(X, verbose=0)
    np.testing.assert_allclose(ours.predict(X, verbose=0), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "numbers"), LAYERS)
def test_training(name, numbers):
    theirs, ours = both(name, numbers, units=7)
    losses = []
    for library, model in ((keras, theirs), (fastnn, ours)):
        model.compile(library.optimizers.SGD(0.01, momentum=0.5), "mse")
        fit = model.fit(X, Y, batch_size=30, epochs=4, shuffle=False, verbose=0)
        losses.append(fit.history["loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    for a, b in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "numbers"), [*LAYERS, *((name, [0.3]) for name in NOISES)])
def test_arguments_and_configs(name, numbers):
    """Arguments in Keras's order with its defaults, and its settings in the config."""
    theirs, ours = (getattr(library.layers, name) for library in (keras, fastnn))
    want, got = (list(inspect.signature(c.__init__).parameters.values()) for c in (theirs, ours))
    want = [p for p in want if p.kind != p.VAR_KEYWORD]
    got = got[: len(want)]
    assert [(p.name, p.default) for p in got] == [(p.name, p.default) for p in want]
    made = [c(**numbers) if isinstance(numbers, dict) else c(*numbers) for c in (theirs, ours)]
    assert made[0].name.rstrip("_0123456789") == made[1].name.rstrip("_0123456789")
    if isinstance(numbers, dict):
        config = made[1].get_config()
        for key, value in numbers.items():
            assert config[key] == (-1 if key == "axis" else value)


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_distributed_as_keras_s(name):
    """Mean, standard deviation and quantiles of what becomes of constants and normal numbers."""
    for x in (np.full((2000, 7), 2, np.float32), RNG.normal(size=(2000, 7)).astype(np.float32)):
        results = []
        for library in (keras, fastnn):
            layer = getattr(library.layers, name)(0.3, seed=1)
            model = library.Sequential([library.layers.Input((7,)), layer])
            y = model(x, training=True)
            results.append(np.asarray(y.detach() if library is keras else y))
            np.testing.assert_array_equal(model.predict(x, verbose=0), x)
        theirs, ours = results
        scale = theirs.std()
        assert abs(theirs.mean() - ours.mean()) < 0.06 * scale  # 5 deviations of a difference
        assert abs(theirs.std() - ours.std()) < 0.06 * scale
        share = np.linspace(0.02, 0.98, 25)
        if name != "AlphaDropout":  # whose quantiles jump
            gap = np.quantile(theirs, share) - np.quantile(ours, share)
            assert np.abs(gap).max() < 0.15 * scale


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("relu", {"negative_slope": 0.3, "max_value": 2, "threshold": 0.5}),
        ("relu", {"max_value": 1}),
        ("leaky_relu", {"negative_slope": 0.05}),
        ("elu", {"alpha": 0.6}),
        ("celu", {"alpha": 0.6}),
        ("celu", {}),
        ("softmax", {"axis": 1}),
        ("log_softmax", {"axis": -1}),
    ],
)
def test_functions(name, numbers):
    theirs = keras.ops.convert_to_numpy(getattr(keras.activations, name)(X, **numbers))
    ours = getattr(fastnn.activations, name)(X, **numbers)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    arguments = [
        [(p.name, p.default) for p in inspect.signature(getattr(a, name)).parameters.values()]
        for a in (keras.activations, fastnn.activations)
    ]
    assert arguments[0] == arguments[1]


CURVES = {
    ("ramp", 0.25, 0.0, np.inf): lambda z: torch.nn.functional.leaky_relu(z, 0.25),
    ("ramp", 0.0, 0.0, 2.0): lambda z: torch.nn.functional.hardtanh(z, 0, 2),
    ("ramp", 0.0, 0.5, np.inf): lambda z: torch.nn.functional.threshold(z, 0.5, 0),
    ("exp_tail", 0.3, 1.0): lambda z: torch.nn.functional.elu(z, 0.3),
    ("exp_tail", 1.7, 1 / 1.7): lambda z: torch.where(
        z > 0, z, 1.7 * torch.expm1(z / 1.7)
    ),  # torch's own: float32's 1 / 1.7
}


@pytest.mark.parametrize("op", CURVES, ids=str)
def test_gradients_of_torch(engine, build, op):
    """In float64, through the activation between two dense layers."""
    curve = ("activation", *op)
    net = build(
        engine, "float64", 7, [("dense", 33, "linear", True), curve, ("dense", 6, "tanh", True)]
    )
    x, dy = X.astype(np.float64), np.random.default_rng(1).normal(size=(90, 6))
    tensor = torch.tensor(x, requires_grad=True)
    (w0, b0), (w1, b1) = (
        (torch.tensor(net.get_kernel(i), requires_grad=True), torch.tensor(net.get_bias(i)))
        for i in (0, 2)
    )
    y = torch.tanh(CURVES[op](tensor @ w0 + b0) @ w1 + b1)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(net.forward(x, None), y.detach(), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(net.backward(dy, None), tensor.grad, rtol=1e-9, atol=1e-11)
    net.compile(None, "sgd", [], {"learning_rate": 1.0, "momentum": 0.0, "nesterov": False})
    net.forward(x, None)
    net.backward(dy, None)
    net.apply_gradients()
    for op_number, w in ((0, w0), (2, w1)):
        np.testing.assert_allclose(
            net.get_kernel(op_number), (w - w.grad).detach(), rtol=1e-9, atol=1e-11
        )
