"""SciPy's L-BFGS-B as an optimizer: its iterates on the engine, an epoch each."""

import sys

import numpy as np
import pytest
from scipy.optimize import minimize

from fastnn import load_model, optimizers
from fastnn.callbacks import EarlyStopping, LambdaCallback
from fastnn.layers import CategoricalEmbedding, Dense, Dropout, Residual
from fastnn.models import Sequential
from fastnn.optimizers import LBFGS
from fastnn.regularizers import L2
from fastnn.utils import set_random_seed

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 5))
NUMBERS = np.sin(X[:, :2])
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
WEIGHTS = RNG.uniform(0.5, 2, 150)


def model(loss="mse", outputs=2, last=None, dtype="float64", **arguments) -> Sequential:
    set_random_seed(0)
    first = Dense(6, "tanh", dtype=dtype, input_shape=(5,), **arguments)
    net = Sequential([first, Dense(outputs, last, dtype=dtype)])
    net.compile(LBFGS(), loss, metrics=["accuracy"] if outputs == 3 else None)
    return net


def test_its_iterates_are_scipys():
    """The function and its gradient in plain NumPy, from the same start."""
    net = model(kernel_regularizer="l2")
    shapes = [w.shape for w in net.get_weights()]

    def cut(vector):
        ends = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
        return [a.reshape(s) for a, s in zip(np.split(vector, ends), shapes, strict=True)]

    def function(vector):
        w1, b1, w2, b2 = cut(vector)
        h = np.tanh(X @ w1 + b1)
        error = h @ w2 + b2 - NUMBERS
        loss = (WEIGHTS[:, None] * error**2).mean() + 0.01 * (w1**2).sum()
        d = 2 * WEIGHTS[:, None] * error / error.size
        dh = (d @ w2.T) * (1 - h**2)
        parts = (X.T @ dh + 0.02 * w1, dh.sum(axis=0), h.T @ d, d.sum(axis=0))
        return loss, np.concatenate([np.ravel(p) for p in parts])

    losses = []
    start = np.concatenate([np.ravel(w) for w in net.get_weights()])
    expected = minimize(
        function,
        start,
        method="L-BFGS-B",
        jac=True,
        callback=lambda x: losses.append(function(x)[0]),
        options={"maxiter": 12},
    )
    history = net.fit(X, NUMBERS, sample_weight=WEIGHTS, epochs=12, verbose=0).history
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-6)
    for ours, theirs in zip(net.get_weights(), cut(expected.x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert net.optimizer.iterations == 12


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
@pytest.mark.parametrize(
    ("loss", "outputs", "last", "y"),
    [
        ("sparse_categorical_crossentropy", 3, "softmax", LABELS),
        ("mae", 2, None, NUMBERS),
        ("huber", 2, None, NUMBERS),
        (lambda y, p: (((p - y) ** 2).mean(axis=1), p - y), 2, None, NUMBERS),
    ],
)
def test_losses_and_dtypes(dtype, loss, outputs, last, y):
    net = model(loss, outputs, last, dtype)
    history = net.fit(X, y, epochs=30, validation_split=0.2, class_weight=None, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert len(history["val_loss"]) == len(history["loss"])
    assert history["loss"] == sorted(history["loss"], reverse=True)


def test_fit_ends_when_it_has_converged():
    net = Sequential([Dense(1, dtype="float64", input_shape=(5,))])
    net.compile(LBFGS(gtol=1e-8, ftol=0), "mse")
    y = X @ np.arange(1.0, 6.0)[:, None] + 2
    history = net.fit(X, y, epochs=200, verbose=0)
    assert len(history.epoch) < 50
    np.testing.assert_allclose(net.layers[0].kernel[:, 0], np.arange(1, 6), rtol=1e-6)
    weights = net.get_weights()
    assert len(net.fit(X, y, epochs=5, verbose=0).epoch) == 1  # nothing is left to do
    assert all(map(np.array_equal, weights, net.get_weights()))


def test_callbacks_frozen_layers_and_files(tmp_path):
    net = model()
    net.layers[0].trainable = False
    kernel = net.layers[0].kernel
    net.fit(
        X,
        NUMBERS,
        epochs=9,
        verbose=0,
        validation_split=0.2,
        callbacks=[EarlyStopping(patience=3, restore_best_weights=True)],
    )
    assert np.array_equal(kernel, net.layers[0].kernel)
    net.save(tmp_path / "m.fastnn")
    again = load_model(tmp_path / "m.fastnn")
    assert again.optimizer.get_config() == net.optimizer.get_config()
    for each in (net, again):
        each.fit(X, NUMBERS, epochs=2, verbose=0)
    assert all(map(np.array_equal, net.get_weights(), again.get_weights()))


def test_an_interrupted_fit_ends_with_a_complete_iteration():
    net, plain = model(), model()

    def interrupt(epoch, logs):
        if epoch == 3:
            raise KeyboardInterrupt

    callback = LambdaCallback(on_epoch_end=interrupt)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, NUMBERS, epochs=10, verbose=0, callbacks=[callback])
    plain.fit(X, NUMBERS, epochs=4, verbose=0)
    assert all(map(np.array_equal, net.get_weights(), plain.get_weights()))
    assert net.fit(X, NUMBERS, verbose=0).epoch == [0]


def test_what_does_not_go_with_it_is_refused(monkeypatch):
    net = model()
    before = net.get_weights()
    for arguments, words in (
        ({"batch_size": 8}, "batch_size: .*8"),
        ({"steps_per_epoch": 2}, "steps_per_epoch: .*2"),
    ):
        with pytest.raises(ValueError, match=words):
            net.fit(X, NUMBERS, verbose=0, **arguments)
    with pytest.raises(ValueError, match=r"train_on_batch: .*LBFGS"):
        net.train_on_batch(X, NUMBERS)
    net.backward(net.forward(X))
    with pytest.raises(ValueError, match=r"apply_gradients: .*LBFGS"):
        net.apply_gradients()
    random = Sequential([Dropout(0.5, input_shape=(5,)), Dense(2)])
    random.compile("lbfgs", "mse")
    for bad, words in (
        (random, "same in training"),
        (model(kernel_constraint="non_neg"), "no constraints"),
        (model(learning_rate_multiplier=0.5), "multiplier=1"),
    ):
        with pytest.raises(ValueError, match=words):
            bad.fit(X, NUMBERS, verbose=0)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r"LBFGS: .*SciPy.*pip install"):
        net.fit(X, NUMBERS, verbose=0)
    assert all(map(np.array_equal, before, net.get_weights()))


def test_settings():
    assert isinstance(optimizers.get("LBFGS"), LBFGS)
    with pytest.raises(ValueError, match=r"history: .*0"):
        LBFGS(history=0)
    with pytest.raises(ValueError, match=r"gtol: .*-1"):
        LBFGS(gtol=-1)
    with pytest.raises(AttributeError, match="clipnorm"):
        LBFGS().clipnorm = 1.0
    with pytest.raises(AttributeError, match="learning_rate"):
        LBFGS().learning_rate = 1.0


def test_layers_inside_of_others():
    """Their penalties, and tables, are part of the gradient; metrics see all outputs."""
    set_random_seed(3)
    wide = {"activation": "tanh", "dtype": "float64"}
    ids = np.random.default_rng(0).integers(0, 7, (60, 2))
    table = np.column_stack([X[:60], ids]).astype(np.float64)
    net = Sequential(
        [
            CategoricalEmbedding(
                {5: (7, 3), 6: (7, 3)}, embeddings_regularizer=L2(0.01), dtype="float64"
            ),
            Dense(8, kernel_regularizer=L2(0.02), **wide),
            Residual([Dense(8, kernel_regularizer=L2(0.03), **wide)], dtype="float64"),
            Dense(2, dtype="float64"),
        ]
    )
    net.compile(LBFGS(), "mse", metrics=["r2_score"])
    history = net.fit(table, NUMBERS[:60], epochs=40, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    np.testing.assert_array_less(np.diff(history["loss"]), 1e-12)
    found = net.evaluate(table, NUMBERS[:60], verbose=0, return_dict=True)
    np.testing.assert_allclose(found["r2_score"], history["r2_score"][-1], rtol=1e-4)


def test_early_stopping_brings_the_best_weights_back():
    net = model()
    stop = EarlyStopping("mine", patience=2, mode="min", restore_best_weights=True)
    told, best = iter([3.0, 2.0, 5.0, 5.0]), []

    def tell(epoch, logs):
        logs["mine"] = next(told)
        if epoch == 1:
            best.extend(net.get_weights())

    net.fit(X, NUMBERS, epochs=9, verbose=0, callbacks=[LambdaCallback(on_epoch_end=tell), stop])
    for got, expected in zip(net.get_weights(), best, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_layers_are_not_frozen_in_the_midst_of_a_search():
    net = model()
    freeze = LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(net.layers[0], "trainable", 0))
    with pytest.raises(ValueError, match="trainable: expected no change while LBFGS is in fit"):
        net.fit(X, NUMBERS, epochs=3, verbose=0, callbacks=[freeze])
    net.fit(X, NUMBERS, verbose=0)
