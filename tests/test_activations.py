"""fastnn.activations: Keras's names and aliases, and what they compute."""

import math

import numpy as np
import pytest

from fastnn import Sequential, activations
from fastnn.layers import Activation, Dense, Input

X = np.linspace(-8, 8, 801)
TRUTH = {
    "linear": lambda x: x,
    "relu": lambda x: max(x, 0),
    "relu6": lambda x: min(max(x, 0), 6),
    "leaky_relu": lambda x: x if x > 0 else 0.2 * x,
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "celu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "exponential": math.exp,
    "softplus": lambda x: math.log1p(math.exp(x)),
    "log_sigmoid": lambda x: -math.log1p(math.exp(-x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "hard_tanh": lambda x: min(max(x, -1), 1),
    "hard_sigmoid": lambda x: min(max(x / 6 + 0.5, 0), 1),
    "hard_silu": lambda x: x * min(max(x / 6 + 0.5, 0), 1),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "gelu": lambda x: x * math.erfc(-x / math.sqrt(2)) / 2,
    "gelu_tanh": lambda x: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
}
ALIASES = {"swish": "silu", "hard_swish": "hard_silu", "exp": "exponential"}


@pytest.mark.parametrize("name", TRUTH)
def test_values(name):
    truth = np.vectorize(TRUTH[name], otypes=[float])(X)
    np.testing.assert_allclose(activations.get(name)(X), truth, rtol=1e-9, atol=1e-14)
    single = activations.get(name)(X.astype(np.float32))
    np.testing.assert_allclose(single, truth, rtol=1e-4, atol=1e-5)


def test_values_of_rows():
    rows = X.reshape(9, 89)
    powers = np.exp(rows)
    sums = powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(activations.softmax(rows), powers / sums, rtol=1e-12)
    np.testing.assert_allclose(
        activations.log_softmax(rows), rows - np.log(sums), rtol=1e-12, atol=1e-12
    )


def test_gelu_is_exact_unless_asked():
    np.testing.assert_array_equal(activations.gelu(X, approximate=True), activations.gelu_tanh(X))
    assert np.abs(activations.gelu(X) - activations.gelu_tanh(X)).max() > 1e-4


def test_every_activation_is_tested():
    names = {function.__name__ for function in activations.ENGINE_NAMES}
    assert names == {*TRUTH, "softmax", "log_softmax"}


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases(alias):
    assert activations.get(alias) is activations.get(ALIASES[alias])


@pytest.mark.parametrize("name", [*TRUTH, *ALIASES, "softmax", "log_softmax"])
def test_names_in_layers(name):
    """A layer takes the name, its output is the function's, and its config names it again."""
    function = activations.get(name)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    dense = Dense(6, name)
    model = Sequential([Input((4,)), dense])
    kernel = dense.get_weights()[0]
    np.testing.assert_allclose(model.predict(x, verbose=0), function(x @ kernel), atol=1e-5)
    alone = Sequential([Input((4,)), Activation(function)])
    np.testing.assert_allclose(alone.predict(x, verbose=0), function(x), atol=1e-6)
    assert Dense.from_config(dense.get_config()).activation is function
