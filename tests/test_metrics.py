"""Metrics that are made of several sums, against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as truth

from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.utils import set_random_seed

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 5)).astype(np.float32)


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("from_logits", [False, True])
def test_precision_recall_f1(outputs, from_logits):
    set_random_seed(1)
    y = (X[:, :outputs] + RNG.normal(size=(150, outputs)) > 0.4).astype(float)
    model = Sequential([Dense(outputs, "sigmoid", input_shape=(5,))])
    extra = [] if from_logits else ["mse"]  # with it the metrics read the sigmoid's output
    model.compile("adam", "binary_crossentropy", ["precision", "recall", "f1_score", *extra])
    history = model.fit(X, y, epochs=3, verbose=0, validation_data=(X, y)).history
    found = model.evaluate(X, y, verbose=0, return_dict=True)
    predicted = model.predict(X) > 0.5
    average = "binary" if outputs == 1 else "micro"
    for name in ("precision", "recall", "f1"):
        expected = getattr(truth, f"{name}_score")(y, predicted, average=average)
        key = "f1_score" if name == "f1" else name
        assert found[key] == pytest.approx(expected, rel=1e-6)
        assert history[f"val_{key}"][-1] == found[key]
        assert len(history[key]) == 3


def test_nothing_predicted_is_zero():
    model = Sequential([Dense(1, "sigmoid", input_shape=(5,))])
    model.compile("sgd", "binary_crossentropy", ["precision", "recall", "f1_score"])
    model.set_weights([np.zeros((5, 1)), [-5.0]])
    zeros = np.zeros(150)
    assert model.evaluate(X, zeros, verbose=0)[1:] == [0.0, 0.0, 0.0]
    assert model.evaluate(X, zeros + 1, verbose=0)[1:] == [0.0, 0.0, 0.0]
    model.set_weights([np.zeros((5, 1)), [5.0]])
    assert model.evaluate(X, zeros + 1, verbose=0)[1:] == [1.0, 1.0, 1.0]


def test_rmse():
    model = Sequential([Dense(2, input_shape=(5,))])
    model.compile("sgd", "mse", ["rmse", "mae", "mse"])
    y = X[:, :2] * 3
    found = model.evaluate(X, y, verbose=0, return_dict=True)
    assert found["rmse"] == pytest.approx(
        truth.root_mean_squared_error(y.ravel(), model.predict(X).ravel()), rel=1e-5
    )
    assert found["loss"] == pytest.approx(found["rmse"] ** 2, rel=1e-6)
