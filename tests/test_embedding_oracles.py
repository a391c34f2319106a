"""Embeddings beside PyTorch's, in float64, and beside Keras's."""

import os
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
torch = pytest.importorskip("torch", reason="PyTorch is missing: pip install 'fastnn[oracles]'")
keras = pytest.importorskip("keras", reason="Keras is missing: pip install 'fastnn[oracles]'")

import fastnn  # noqa: E402

# Keras's own warnings are its affair.
pytestmark = [pytest.mark.oracles, pytest.mark.filterwarnings("ignore")]

RNG = np.random.default_rng(0)
ROWS = 150
SIZES = {0: 12, 2: 300, 3: 300}  # columns of ids
X = RNG.normal(size=(ROWS, 5))
for column, size in SIZES.items():
    X[:, column] = RNG.integers(0, size, ROWS)
Y = (np.sin(X[:, :1]) + X[:, 2:3] / 300 + X[:, 1:2]).astype(np.float32)


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_steps(engine, build, compile_with, optimizer):
    """A table of its own, a shared one, and numbers, beside torch.nn.Embedding."""
    ops = [
        ("embed", 12, 5, (0,)),
        ("embed", 300, 40, (2, 3)),
        ("take", (1, 4)),
        ("dense", 7, "tanh", True),
        ("dense", 1, "linear", True),
    ]
    net = build(engine, "float64", 5, ops)
    compile_with(net, "mse", optimizer)
    one, two = (
        torch.nn.Embedding.from_pretrained(torch.tensor(net.get_kernel(op)), freeze=False)
        for op in (0, 1)
    )
    w, b, v, c = (
        torch.tensor(a, requires_grad=True)
        for op in (3, 4)
        for a in (net.get_kernel(op), net.get_bias(op))
    )
    weights = [one.weight, two.weight, w, b, v, c]
    if optimizer == "adam":
        steps: Any = torch.optim.Adam(weights, lr=0.01)
    else:
        steps = torch.optim.SGD(weights, lr=0.02, momentum=0.9)
    x, y = torch.tensor(X), torch.tensor(Y.astype(np.float64))
    ids = x.long()
    for t in range(1, 7):
        steps.zero_grad()
        joined = [one(ids[:, 0]), two(ids[:, 2:4]).flatten(1), x[:, [1, 4]]]
        h = torch.tanh(torch.cat(joined, 1) @ w + b) @ v + c
        ((h - y) ** 2).mean().backward()
        if optimizer == "adam":  # which adds epsilon to the corrected root
            steps.param_groups[0]["eps"] = 1e-4 / np.sqrt(1 - 0.999**t)
        steps.step()
        net.train(X, y.numpy(), None, np.arange(ROWS), ROWS, 0, 1e9, None)
    found = [net.get_kernel(op) for op in (0, 1)]
    found += [a for op in (3, 4) for a in (net.get_kernel(op), net.get_bias(op))]
    for ours, theirs in zip(found, weights, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9, atol=1e-11)


OPTIMIZERS = {
    "sgd": lambda o: o.SGD(0.05),
    "momentum": lambda o: o.SGD(0.05, momentum=0.9),
    "adam": lambda o: o.Adam(0.01),
    "rmsprop": lambda o: o.RMSprop(0.01),
    "adagrad": lambda o: o.Adagrad(0.1),
    "lion": lambda o: o.Lion(0.003),
    "nadam": lambda o: o.Nadam(0.01),
    "adamw": lambda o: o.AdamW(0.01, weight_decay=0.1),
    "clipnorm": lambda o: o.Adam(0.01, clipnorm=0.05),
    "global_clipnorm": lambda o: o.SGD(0.5, global_clipnorm=0.1),
}


def assert_train_alike(theirs: Any, ours: Any, x: Any, make: Any) -> None:
    """Losses within 1e-3, weights within 2 % of the way they have moved, over 4 epochs."""
    start = theirs.get_weights()
    ours.set_weights(start)
    losses = []
    for library, model in ((keras, theirs), (fastnn, ours)):
        model.compile(make(library.optimizers), "mse")
        history = model.fit(x, Y, batch_size=32, epochs=4, shuffle=False, verbose=0).history
        losses.append(history["loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    for first, a, b in zip(start, theirs.get_weights(), ours.get_weights(), strict=True):
        moved = np.linalg.norm(a - first)
        assert np.linalg.norm(a - b) <= 0.02 * moved + 1e-7
        assert moved > 0
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_embedding(name):
    """The same Sequential in both; a penalty on the table and a constraint, too."""
    keras.utils.set_random_seed(1)
    models = [
        library.Sequential(
            [
                library.layers.Input((2,)),
                library.layers.Embedding(
                    300,
                    20,
                    embeddings_regularizer="l2",
                    embeddings_constraint=library.constraints.MaxNorm(0.45),
                ),
                library.layers.Flatten(),
                library.layers.Dense(8, activation="tanh"),
                library.layers.Dense(1),
            ]
        )
        for library in (keras, fastnn)
    ]
    assert models[0].layers[0].output.shape == models[1].layers[0].output_shape
    assert_train_alike(*models, X[:, 2:4].astype(np.int64), OPTIMIZERS[name])


@pytest.mark.parametrize("name", ["sgd", "adam", "global_clipnorm"])
def test_categorical_embedding(name):
    """Keras's graph of slices, embeddings and a concatenation is one layer here."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    x = keras.Input((5,))
    vectors = [
        layers.Flatten()(layers.Embedding(size, 4)(x[:, column : column + 1]))
        for column, size in SIZES.items()
    ]
    joined = layers.Concatenate()([*vectors, x[:, 1:2], x[:, 4:5]])
    y = layers.Dense(1)(layers.Dense(8, activation="tanh")(joined))
    ours = fastnn.Sequential(
        [
            fastnn.layers.Input((5,)),
            fastnn.layers.CategoricalEmbedding({c: (size, 4) for c, size in SIZES.items()}),
            fastnn.layers.Dense(8, activation="tanh"),
            fastnn.layers.Dense(1),
        ]
    )
    assert_train_alike(keras.Model(x, y), ours, X.astype(np.float32), OPTIMIZERS[name])
