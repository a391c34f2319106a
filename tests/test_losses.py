"""Losses as a user names and sets them, and what training with them finds."""

import pickle

import numpy as np
import pytest

import fastnn
from fastnn import losses, reference
from fastnn._registry import serialize
from fastnn.callbacks import LambdaCallback
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adam
from fastnn.optimizers.schedules import ExponentialDecay

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
        (("gaussian_nll",), losses.GaussianNLL),
        (("categorical_focal_crossentropy",), losses.CategoricalFocalCrossentropy),
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
        losses.CategoricalFocalCrossentropy(0.5, 1.5, True, 0.1, name="focal"),
        losses.GaussianNLL(True, 1e-3),
        losses.SparseCategoricalCrossentropy(True, ignore_class=-1),
    ],
)
def test_settings_survive(loss, tmp_path):
    again = losses.get(serialize(loss))
    assert (type(again), again.get_config()) == (type(loss), loss.get_config())
    model = model_of(loss, "linear")
    y = BINARY[:, 0] if loss.sparse else BINARY[:, : loss.target_shape((2,))[0]]
    expected = model.evaluate(X, y, verbose=0)
    model.save(tmp_path / "model.fastnn")
    loaded = fastnn.load_model(tmp_path / "model.fastnn")
    assert loaded.evaluate(X, y, verbose=0) == expected
    assert again(y, model.predict(X)) == pytest.approx(expected, rel=1e-6)


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


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
def test_gaussian_nll_finds_mean_and_variance(dtype):
    """Of a constant input, the outputs become the targets' mean and their variance's logarithm."""
    fastnn.utils.set_random_seed(0)
    y = RNG.normal([3.0, -1.0], [0.5, 2.0], size=(2000, 2))
    model = Sequential([Dense(4, input_shape=(1,), dtype=dtype)])
    model.compile(Adam(0.05), losses.GaussianNLL(full=True), metrics=["mae"])
    history = model.fit(np.zeros((2000, 1)), y, epochs=60, batch_size=200, verbose=0).history
    mean, log_variance = np.split(model.predict(np.zeros((1, 1)))[0], 2)
    np.testing.assert_allclose(mean, y.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.exp(log_variance), y.var(axis=0), rtol=0.1)
    entropy = np.log(2 * np.pi * np.e * y.var(axis=0)).mean() / 2
    assert history["loss"][-1] == pytest.approx(entropy, abs=0.02)
    assert history["mae"][-1] == pytest.approx(np.abs(y - mean).mean(), rel=0.02)


def test_gaussian_nll_needs_two_outputs_a_target():
    model = model_of(losses.GaussianNLL(), outputs=2)
    with pytest.raises(ValueError, match=r"y: expected shape \(samples, 1\)"):
        model.fit(X, BINARY, verbose=0)
    with pytest.raises(ValueError, match=r"gaussian_nll: expected an even number .* got 3"):
        model_of("gaussian_nll", outputs=3)
    late = Sequential([Dense(3)])
    late.compile("sgd", "gaussian_nll")
    with pytest.raises(ValueError, match=r"gaussian_nll: expected an even number .* got 3"):
        late.fit(X, X[:, :1], verbose=0)
    for setting in ({"eps": 0.0}, {"eps": -1.0}):
        with pytest.raises(ValueError, match="eps"):
            losses.GaussianNLL(**setting)


@pytest.mark.parametrize("last", ["softmax", "linear"])
def test_categorical_focal_without_focus_is_the_cross_entropy(last):
    y = np.eye(2)[BINARY[:, 0].astype(int)]
    from_logits = last == "linear"
    focal = losses.CategoricalFocalCrossentropy(1.0, 0.0, from_logits)
    plain = losses.CategoricalCrossentropy(from_logits)
    results = [
        model_of(loss, last).fit(X, y, epochs=3, verbose=0).history["loss"]
        for loss in (focal, plain)
    ]
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)


@pytest.mark.parametrize("ignored", [-1, 1, 255])
def test_a_class_that_is_ignored(ignored):
    """With all samples in a batch, as if those of the class were not there."""
    ids = np.random.default_rng(3).integers(0, 4, 120)
    ids[ids == 1] = ignored
    keep = ids != ignored
    models = [
        model_of(loss, "softmax", 4, metrics=["accuracy"])
        for loss in (
            losses.SparseCategoricalCrossentropy(ignore_class=ignored),
            losses.SparseCategoricalCrossentropy(),
        )
    ]
    weight = np.linspace(0.5, 2, 120)
    settings = {"epochs": 4, "shuffle": False, "verbose": 0, "batch_size": 120}
    ours = models[0].fit(X, ids, sample_weight=weight, class_weight={0: 2.0, 3: 0.5}, **settings)
    theirs = models[1].fit(
        X[keep], ids[keep], sample_weight=weight[keep], class_weight={0: 2.0, 3: 0.5}, **settings
    )
    np.testing.assert_allclose(ours.history["loss"], theirs.history["loss"], rtol=1e-5)
    for mine, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)
    assert models[0].evaluate(X, ids, verbose=0)[0] == pytest.approx(
        models[1].evaluate(X[keep], ids[keep], verbose=0)[0], rel=1e-5
    )
    models[0].fit(X, ids, class_weight="balanced", **settings)
    with pytest.raises(ValueError, match="y: expected class ids 0 to 3"):
        models[0].fit(X, np.where(keep, ids, 7), verbose=0)


@pytest.mark.parametrize("ignored", [0.5, "one", True])
def test_an_ignored_class_is_a_whole_number(ignored):
    with pytest.raises(TypeError, match="ignore_class: expected an integer"):
        losses.SparseCategoricalCrossentropy(ignore_class=ignored)


def test_a_loss_of_predictions():
    """float32 stays, a column may be flat, and bad arguments are named."""
    y, p = BINARY[:, 0], X[:, 0]
    assert losses.MeanSquaredError()(y, p) == pytest.approx(np.mean((y - p) ** 2), rel=1e-6)
    weight = np.linspace(0, 1, 120)
    expected = np.mean(weight * (y - p) ** 2)
    assert losses.MeanSquaredError()(y, p, weight) == pytest.approx(expected, rel=1e-6)
    assert losses.FunctionLoss(squared)(y[:, None], p, weight) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="y_true: expected 120 rows"):
        losses.MeanSquaredError()(y[:5], p)
    with pytest.raises(ValueError, match="y_pred: expected at least one number"):
        losses.MeanSquaredError()([], [])
    with pytest.raises(TypeError, match="y_pred: expected real numbers"):
        losses.MeanSquaredError()(["a"], ["b"])


# ---- a function as loss -----------------------------------------------------------------------


def squared(y, p):
    error = p - y
    return (error**2).mean(axis=1), 2 * error / p.shape[1]


def pair(loss, **compiled):
    """Two models alike, one with the function, the other with the built-in loss."""
    return [model_of(each, optimizer=Adam(0.01), **compiled) for each in (loss, "mse")]


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_a_function_trains_as_the_built_in_loss(engine, monkeypatch):
    if engine == "reference":
        monkeypatch.setattr(Sequential, "_network_class", reference.Network)
    histories, models = [], pair(squared, metrics=["mae", "accuracy"])
    for model in models:
        fastnn.utils.set_random_seed(3)
        history = model.fit(
            X, BINARY, epochs=4, verbose=0, validation_split=0.2,
            class_weight={0: 1.0, 1: 2.0}, sample_weight=np.linspace(0.5, 2, 120),
        )  # fmt: skip
        histories.append(history.history)
        assert model.iterations == 4 * 3
    assert histories[0].keys() == histories[1].keys()
    for name in histories[0]:
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-4)
    for ours, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    results = [model.evaluate(X, BINARY, verbose=0, return_dict=True) for model in models]
    for name, value in results[0].items():
        assert value == pytest.approx(results[1][name], rel=1e-5)
    on_batch = [model.train_on_batch(X, BINARY) for model in models]
    np.testing.assert_allclose(on_batch[0], on_batch[1], rtol=1e-4)


def test_a_function_takes_schedules_callbacks_and_dropout():
    seen = []
    models = []
    for loss in (squared, "mse"):
        fastnn.utils.set_random_seed(0)
        model = Sequential([Dense(8, "tanh", input_shape=(4,)), Dropout(0.3), Dense(2)])
        model.compile(SGD(ExponentialDecay(0.1, 3, 0.5)), loss)
        callback = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
        model.fit(X, BINARY, epochs=2, verbose=0, shuffle=False, callbacks=[callback])
        models.append(model)
    assert seen == [0, 1, 2, 3] * 4
    for ours, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_function_reads_targets_of_any_shape():
    """The Gaussian's negative log-likelihood: two outputs, one target; and class ids."""

    def likelihood(y, p):
        error, scale = y - p[:, 0], np.exp(p[:, 1])
        d = np.stack([-error / scale**2, 1 - (error / scale) ** 2], axis=1)
        return (error / scale) ** 2 / 2 + p[:, 1], d

    y = X[:, 0] + 0.5 * RNG.normal(size=120)
    model = model_of(likelihood, optimizer=Adam(0.05))
    model.fit(X, y, epochs=200, verbose=0)
    assert np.exp(model.predict(X)[:, 1]).mean() == pytest.approx(0.5, abs=0.15)

    def margin(y, p):
        assert y.dtype.kind == "i"
        d = np.zeros_like(p)
        d[np.arange(len(y)), y] = -1
        return -p[np.arange(len(y)), y], d

    ids = BINARY[:, 0].astype(int)
    assert np.isfinite(model_of(margin).evaluate(X, ids, verbose=0))
    model_of(margin).fit(X, ids, class_weight="balanced", verbose=0)


@pytest.mark.parametrize(
    ("returns", "error", "words"),
    [
        (lambda y, p: 0.0, TypeError, "expected a tuple .* got float"),
        (lambda y, p: ((p - y).mean(), p - y), ValueError, "loss of each sample of shape"),
        (lambda y, p: (p - y, p - y), ValueError, r"loss of each sample of shape \(32,\)"),
        (lambda y, p: (p[:, 0], p[:, 0]), ValueError, r"gradient to y_pred of shape \(32, 2\)"),
        (lambda y, p: (p[:, 0], ["a"]), TypeError, "gradient to y_pred"),
    ],
)
def test_what_a_function_must_return(returns, error, words):
    model = model_of(returns)
    before = model.get_weights()
    with pytest.raises(error, match=words):
        model.fit(X, BINARY, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("y", "words"),
    [(np.float32(1), "y: expected an array"), (BINARY[:7], "y: expected 120 rows")],
)
def test_targets_of_a_function(y, words):
    with pytest.raises(ValueError, match=words):
        model_of(squared).fit(X, y, verbose=0)


def test_metrics_need_targets_like_the_outputs():
    with pytest.raises(ValueError, match="y: expected shape"):
        model_of(squared, metrics=["mae"]).fit(X, BINARY[:, 0], verbose=0)


def test_a_file_leaves_the_function_out(tmp_path):
    model = model_of(squared, optimizer=Adam(0.01))
    model.fit(X, BINARY, verbose=0)
    again = pickle.loads(pickle.dumps(model))
    model.save(tmp_path / "model.fastnn")
    loaded = fastnn.load_model(tmp_path / "model.fastnn")
    assert loaded.loss is None
    loaded.compile(Adam(0.01), squared)
    loaded.load_weights(tmp_path / "model.fastnn")
    for each in (model, again, loaded):
        each.fit(X, BINARY, shuffle=False, verbose=0)
        np.testing.assert_array_equal(each.predict(X), model.predict(X))
    model.compile_from_config(model.get_compile_config())
    assert model.loss.function is squared


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: losses.MeanSquaredError("sum"), "reduction: expected .*, got 'sum'"),
        (lambda: losses.Huber(1.0, "sum"), "reduction: expected .*, got 'sum'"),
        (lambda: losses.BinaryCrossentropy(axis=0), "axis: expected -1 or 1, got 0"),
        (lambda: losses.MeanAbsoluteError(dtype="float64"), "dtype: expected None"),
        (lambda: losses.SparseCategoricalCrossentropy(False, None, "sum"), "reduction"),
    ],
)
def test_arguments_of_keras_that_there_are_not(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_arguments_of_keras_that_ask_for_nothing():
    loss = losses.CategoricalCrossentropy(False, 0.1, -1, "sum_over_batch_size", "mine", None)
    assert (
        loss.get_config()
        == losses.CategoricalCrossentropy(label_smoothing=0.1, name="mine").get_config()
    )
