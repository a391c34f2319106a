"""Losses as a user names and sets them, and what training with them finds."""

import numpy as np
import pytest

import fastnn
from fastnn import losses
from fastnn._registry import serialize
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adam

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)).astype(np.float32)
BINARY = (X[:, :2] + 0.3 * RNG.normal(size=(120, 2)) > 0).astype(np.float32)


def model_of(loss, last="linear", outputs=2, optimizer=None, **compiled):
    fastnn.utils.set_random_seed(0)
    model = Sequential([Dense(outputs, last, input_shape=(4,))])
    model.compile(optimizer or SGD(0.05), loss, **compiled)
    return model


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("mean_squared_error", "mse", "MSE"), losses.MeanSquaredError),
        (("mean_absolute_error", "mae", "MAE"), losses.MeanAbsoluteError),
        (
            ("mean_absolute_percentage_error", "mape", "MAPE"),
            losses.MeanAbsolutePercentageError,
        ),
        (
            ("mean_squared_logarithmic_error", "msle", "MSLE"),
            losses.MeanSquaredLogarithmicError,
        ),
        (("huber",), losses.Huber),
        (("log_cosh",), losses.LogCosh),
        (("quantile",), losses.Quantile),
        (("poisson",), losses.Poisson),
        (("kl_divergence", "kld", "KLD"), losses.KLDivergence),
        (("hinge",), losses.Hinge),
        (("squared_hinge",), losses.SquaredHinge),
        (("categorical_hinge",), losses.CategoricalHinge),
        (("cosine_similarity",), losses.CosineSimilarity),
        (("binary_crossentropy", "bce", "BCE"), losses.BinaryCrossentropy),
        (("binary_focal_crossentropy",), losses.BinaryFocalCrossentropy),
    ],
)
def test_names(names, kind):
    for name in (*names, kind.__name__, kind):
        assert type(losses.get(name)) is kind


@pytest.mark.parametrize(
    "loss",
    [
        losses.Huber(0.3),
        losses.Quantile(0.9, name="upper"),
        losses.BinaryFocalCrossentropy(True, 0.3, 1.0, True, 0.1),
        losses.CategoricalCrossentropy(label_smoothing=0.2),
    ],
)
def test_settings_survive(loss, tmp_path):
    again = losses.get(serialize(loss))
    assert (type(again), again.get_config()) == (type(loss), loss.get_config())
    model = model_of(loss, "linear")
    expected = model.evaluate(X, BINARY, verbose=0)
    model.save(tmp_path / "model.fastnn")
    loaded = fastnn.load_model(tmp_path / "model.fastnn")
    assert loaded.evaluate(X, BINARY, verbose=0) == expected


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_hinge_takes_0_for_minus_1(loss):
    sides = 2 * BINARY - 1
    of_classes, of_sides = (
        model_of(loss).fit(X, y, verbose=0, epochs=3).history["loss"] for y in (BINARY, sides)
    )
    assert of_classes == of_sides


def test_metrics_see_the_targets_unsmoothed():
    plain = model_of(losses.BinaryCrossentropy(), "sigmoid", metrics=["binary_accuracy"])
    smoothed = model_of(
        losses.BinaryCrossentropy(label_smoothing=0.3), "sigmoid", metrics=["binary_accuracy"]
    )
    results = [model.evaluate(X, BINARY, verbose=0) for model in (plain, smoothed)]
    assert results[0][1] == results[1][1] > 0
    assert results[0][0] != results[1][0]


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_quantile_finds_the_quantile(part):
    """Of a constant input, the bias becomes the targets' quantile."""
    y = RNG.exponential(size=2001)
    model = model_of(losses.Quantile(part), outputs=1, optimizer=Adam(0.02))
    model.fit(np.zeros((2001, 4)), y, epochs=400, batch_size=2001, verbose=0)
    found = model.predict(np.zeros((1, 4)))[0, 0]
    assert np.mean(y < found) == pytest.approx(part, abs=0.03)


def test_focal_without_focus_is_the_cross_entropy():
    focal = losses.BinaryFocalCrossentropy(gamma=0.0)
    results = [
        model_of(loss, "sigmoid").fit(X, BINARY, epochs=3, verbose=0).history["loss"]
        for loss in (focal, "bce")
    ]
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)
