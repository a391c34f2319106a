"""Metrics, against scikit-learn and NumPy."""

import builtins
import pickle

import numpy as np
import pytest
from sklearn import metrics as truth

import fastnn
from fastnn import losses, metrics, reference
from fastnn._registry import serialize
from fastnn.callbacks import EarlyStopping, LambdaCallback
from fastnn.layers import Dense, Dropout, Reshape
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


LABELS = RNG.integers(0, 7, 150)
NUMBERS = X[:, :3] @ RNG.normal(size=(3, 2)) + RNG.normal(size=(150, 2)) + 3
BINARY = (NUMBERS > 3).astype(np.float32)


def model_of(loss="mse", outputs=2, last="linear", names=(), optimizer="adam"):
    set_random_seed(1)
    model = Sequential([Dense(9, "tanh", input_shape=(5,)), Dense(outputs, last)])
    model.compile(optimizer, loss, list(names))
    return model


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("k", [1, 3, 5, 9])
def test_top_k(k, engine, monkeypatch):
    if engine == "reference":
        monkeypatch.setattr(Sequential, "_network_class", reference.Network)
    sparse = metrics.SparseTopKCategoricalAccuracy(k)
    model = model_of("sparse_categorical_crossentropy", 7, "softmax", [sparse, "accuracy"])
    found = model.evaluate(X, LABELS, verbose=0, return_dict=True)
    p = model.predict(X)
    expected = 1.0 if k > 7 else truth.top_k_accuracy_score(LABELS, p, k=k, labels=range(7))
    assert found[sparse.name] == pytest.approx(expected, rel=1e-6)
    assert (found[sparse.name] == found["accuracy"]) == (k == 1)
    assert metrics.TopKCategoricalAccuracy(k)(np.eye(7)[LABELS], p) == pytest.approx(expected)


def test_ties_count_for_the_class():
    p = [[0.2, 0.5, 0.5, 0.1]]
    top = [metrics.SparseTopKCategoricalAccuracy(k) for k in (1, 2, 3, 4)]
    assert [each([1], p) for each in top] == [1, 1, 1, 1]
    assert [each([2], p) for each in top] == [1, 1, 1, 1]
    assert [each([0], p) for each in top] == [0, 0, 1, 1]
    assert [each([3], p) for each in top] == [0, 0, 0, 1]
    assert [each([0], [[0.2, 0.5, np.nan, 0.1]]) for each in top] == [0, 0, 1, 1]
    assert [each([2], [[0.2, 0.5, np.nan, 0.1]]) for each in top] == [0, 0, 0, 0]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("loss", ["binary_crossentropy", "binary_focal_crossentropy", "mse"])
def test_thresholds(threshold, loss):
    chosen = [
        metrics.BinaryAccuracy(threshold=threshold),
        metrics.Precision([threshold]),
        metrics.Recall(threshold),
        "f1_score",
    ]
    model = model_of(loss, 2, "sigmoid", chosen)
    model.fit(X, BINARY, epochs=5, verbose=0)
    found = model.evaluate(X, BINARY, verbose=0, return_dict=True)
    p, y = model.predict(X).ravel() > threshold, BINARY.ravel()
    for name, value in (
        ("binary_accuracy", truth.accuracy_score(y, p)),
        ("precision", truth.precision_score(y, p)),
        ("recall", truth.recall_score(y, p)),
        ("f1_score", truth.f1_score(y, model.predict(X).ravel() > 0.5)),
    ):
        assert found[name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values(dtype):
    """Those that losses and scikit-learn have, of the same predictions."""
    p = (NUMBERS + RNG.normal(size=NUMBERS.shape)).astype(dtype)
    y = NUMBERS.astype(dtype)
    q = 1 / (1 + np.exp(-p))
    one_hot, rows = np.eye(7, dtype=dtype)[LABELS], RNG.dirichlet(np.ones(7), 150).astype(dtype)
    logits = np.log(rows)
    cross_entropy = truth.log_loss(LABELS, rows, labels=range(7))
    binary = np.mean([truth.log_loss(BINARY[:, i], q[:, i]) for i in range(2)])
    for metric, arguments, expected in (
        (metrics.R2Score(), (y, p), truth.r2_score(y, p)),
        (
            metrics.R2Score("variance_weighted_average"),
            (y, p),
            truth.r2_score(y, p, multioutput="variance_weighted"),
        ),
        (
            metrics.MeanAbsolutePercentageError(),
            (y, p),
            100 * truth.mean_absolute_percentage_error(y, p),
        ),
        (metrics.LogCoshError(), (y, p), np.log(np.cosh(p - y)).mean()),
        (metrics.MeanSquaredLogarithmicError(), (y, p), losses.MeanSquaredLogarithmicError()(y, p)),
        (metrics.Poisson(), (y, np.abs(p)), losses.Poisson()(y, np.abs(p))),
        (metrics.KLDivergence(), (one_hot, rows), losses.KLDivergence()(one_hot, rows)),
        (metrics.CosineSimilarity(), (y, p), -losses.CosineSimilarity()(y, p)),
        (metrics.BinaryCrossentropy(), (BINARY, q), binary),
        (metrics.BinaryCrossentropy(from_logits=True), (BINARY, p), binary),
        (metrics.CategoricalCrossentropy(), (one_hot, rows), cross_entropy),
        (metrics.CategoricalCrossentropy(from_logits=True), (one_hot, logits), cross_entropy),
        (metrics.SparseCategoricalCrossentropy(), (LABELS, rows), cross_entropy),
        (
            metrics.SparseCategoricalCrossentropy(from_logits=True),
            (LABELS, logits),
            cross_entropy,
        ),
        (
            metrics.CategoricalCrossentropy(label_smoothing=0.2),
            (one_hot, rows),
            losses.CategoricalCrossentropy(label_smoothing=0.2)(one_hot, rows),
        ),
        (metrics.AUC(), (BINARY, q), truth.roc_auc_score(BINARY.ravel(), q.ravel())),
        (
            metrics.AUC(curve="PR"),
            (BINARY, q),
            truth.average_precision_score(BINARY.ravel(), q.ravel()),
        ),
    ):
        assert metric(*arguments) == pytest.approx(expected, rel=1e-4), metric


def test_adjusted_r2():
    y, p = NUMBERS[:, :1], NUMBERS[:, :1] + X[:, :1]
    score = truth.r2_score(y, p)
    found = metrics.R2Score(num_regressors=5)(y, p)
    assert found == pytest.approx(1 - (1 - score) * 149 / 144, rel=1e-5)
    with pytest.warns(UserWarning, match="regressors are too many"):
        assert metrics.R2Score(num_regressors=149)(y, p) == pytest.approx(score, rel=1e-5)
    assert metrics.R2Score()([2.0, 2.0], [1.0, 2.0]) == 0.0


def test_auc_without_a_class_is_nan():
    roc, pr = metrics.AUC(), metrics.AUC(curve="PR")
    assert np.isnan(
        [roc([0, 0], [0.1, 0.2]), roc([1, 1], [0.1, 0.2]), pr([0, 0], [0.1, 0.2])]
    ).all()
    assert np.isnan(roc([0, 1], [0.1, np.nan]))
    assert pr([1, 1], [0.1, 0.2]) == 1.0


# ---- single classes -----------------------------------------------------------------------------


def largest_of_each(p):
    return p == p.max(axis=1, keepdims=True)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize("threshold", [None, 0.2, 0.5])
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_scores_of_classes(average, threshold, beta):
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(5), 200)
    y = np.eye(5)[rng.integers(0, 4, 200)]  # the last class never
    above = largest_of_each(p) if threshold is None else p > threshold
    expected = truth.fbeta_score(y, above, beta=beta, average=average, zero_division=0.0)
    found = metrics.FBetaScore(average, beta, threshold)(y, p)
    assert found == pytest.approx(expected, rel=1e-12)
    if beta == 1:
        assert metrics.F1Score(average, threshold)(y, p) == found


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_scores_of_classes_of_epochs(engine, monkeypatch):
    if engine == "reference":
        monkeypatch.setattr(Sequential, "_network_class", reference.Network)
    y = np.eye(7)[LABELS]
    chosen = [
        "accuracy",
        metrics.F1Score("macro"),
        metrics.F1Score(threshold=None, name="micro"),
        metrics.Precision(0.15, class_id=3),
        metrics.Recall(0.15, class_id=3),
    ]
    model = model_of("categorical_crossentropy", 7, "softmax", chosen)
    history = model.fit(X, y, epochs=2, verbose=0, batch_size=16, validation_data=(X, y)).history
    found = model.evaluate(X, y, verbose=0, return_dict=True)
    p = model.predict(X)
    ids, above = p.argmax(axis=1), p[:, 3] > 0.15
    assert above.any()
    for name, value in (
        ("f1_score", truth.f1_score(LABELS, ids, average="macro", zero_division=0.0)),
        ("micro", truth.accuracy_score(LABELS, ids)),
        ("precision", truth.precision_score(LABELS == 3, above)),
        ("recall", truth.recall_score(LABELS == 3, above)),
    ):
        assert found[name] == pytest.approx(value, rel=1e-12), name
        assert history[f"val_{name}"][-1] == found[name]
        assert model.evaluate(X, y, verbose=0, return_dict=True, batch_size=11)[name] == found[name]
    assert found["micro"] == pytest.approx(found["accuracy"])


def test_rows_of_zeros_have_no_largest():
    macro = metrics.F1Score("macro")
    assert macro([[1, 0], [1, 0]], [[0.0, 0.0], [0.0, 0.0]]) == 0.0
    assert macro([[1, 0], [0, 1]], [[0.0, 0.0], [0.0, 0.3]]) == 0.5
    assert metrics.F1Score("weighted")([[0, 0]], [[0.4, 0.3]]) == 0.0


def test_refused_before_anything_changes():
    for metric, words in (
        (metrics.Precision(class_id=2), "class_id: expected a class of y, 0 to 1, got 2"),
        (metrics.F1Score("macro"), "threshold: expected a number for y of one column"),
    ):
        columns = 2 if "class_id" in words else 1
        model = model_of("mse", columns, "sigmoid", [metric])
        before = model.get_weights()
        with pytest.raises(ValueError, match=words):
            model.fit(X, BINARY[:, :columns], verbose=0)
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("metric", [metrics.F1Score("macro"), metrics.Recall(class_id=0)])
def test_single_classes_are_of_one_axis(metric):
    model = Sequential([Dense(6, input_shape=(5,)), Reshape((2, 3))])
    model.compile("sgd", "mse", [metric])
    before = model.get_weights()
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="metrics: expected outputs of one axis"):
            call(X, np.ones((150, 2, 3)), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


# ---- names and functions ------------------------------------------------------------------------


def test_losses_and_functions_are_named_as_in_keras():
    class Worst:
        def __call__(self, y_true, y_pred):
            return 0.0

    def MyErrorABC(y_true, y_pred):
        return 0.0

    given = [
        losses.MeanAbsoluteError(),
        losses.MeanSquaredError,
        losses.Huber(2.0),
        losses.Poisson(name="counts"),
        losses.huber,
        lambda y_true, y_pred: 0.0,
        MyErrorABC,
        Worst(),
        losses.GaussianNLL(),
    ]
    assert [metrics.get(each).name for each in given] == [
        "mean_absolute_error",
        "mean_squared_error",
        "huber_loss",
        "counts",
        "huber",
        "lambda",
        "my_error_abc",
        "worst",
        "gaussian_nll",
    ]
    assert metrics.FunctionMetric(MyErrorABC, name="Mine").name == "Mine"


def test_a_loss_as_a_metric_is_that_loss():
    chosen = [losses.MeanAbsoluteError(), losses.Huber(0.3), losses.SparseCategoricalCrossentropy]
    model = model_of("mse", names=chosen[:2])
    found = model.evaluate(X, NUMBERS, verbose=0, return_dict=True)
    error = np.abs(model.predict(X) - NUMBERS)
    assert found["mean_absolute_error"] == pytest.approx(error.mean(), rel=1e-5)
    huber = np.where(error > 0.3, 0.3 * (error - 0.15), error**2 / 2)
    assert found["huber_loss"] == pytest.approx(huber.mean(), rel=1e-5)
    with pytest.raises(ValueError, match="metrics: expected metrics of targets"):
        model_of("mse", names=chosen)
    ignoring = metrics.get(losses.SparseCategoricalCrossentropy(ignore_class=-1))
    p = np.full((2, 4), 0.25)
    assert ignoring(np.array([1, 2]), p) == pytest.approx(np.log(4))


@pytest.mark.parametrize("name", ["accuracy", "acc", "Accuracy", "Acc", "ACC"])
def test_accuracy_goes_by_the_targets_and_is_named_as_written(name):
    model = model_of("sparse_categorical_crossentropy", 7, "softmax", [name])
    found = model.evaluate(X, LABELS, verbose=0, return_dict=True)
    assert found[name] == pytest.approx(truth.accuracy_score(LABELS, model.predict(X).argmax(1)))
    model = model_of("binary_crossentropy", 1, "sigmoid", [name])
    found = model.evaluate(X, BINARY[:, 0], verbose=0, return_dict=True)
    above = model.predict(X)[:, 0] > 0.5
    assert found[name] == pytest.approx(truth.accuracy_score(BINARY[:, 0], above))


def test_functions_of_arrays():
    rng = np.random.default_rng(4)
    p, y = rng.random((24, 5)), np.eye(5)[LABELS[:24] % 5]
    ids = y.argmax(axis=1)
    rank = (p > p[np.arange(24), ids][:, None]).sum(axis=1)
    for found, expected in (
        (metrics.binary_accuracy(y, p), (p > 0.5) == y),
        (metrics.binary_accuracy(y, p, 0.2), (p > 0.2) == y),
        (metrics.binary_accuracy(y[:, 0], p[:, :1]), ((p > 0.5) == y)[:, :1]),
        (metrics.binary_accuracy(y[:, :1], p[:, 0]), ((p > 0.5) == y)[:, :1]),
        (metrics.categorical_accuracy(y, p), rank == 0),
        (metrics.sparse_categorical_accuracy(ids, p), rank == 0),
        (metrics.sparse_categorical_accuracy(ids[:, None], p), rank == 0),
        (metrics.top_k_categorical_accuracy(y, p, k=2), rank < 2),
        (metrics.sparse_top_k_categorical_accuracy(ids, p, 3), rank < 3),
        (
            metrics.sparse_categorical_accuracy(ids.reshape(4, 6), p.reshape(4, 6, 5)),
            (rank == 0).reshape(4, 6),
        ),
        (metrics.categorical_accuracy(y[0], p[0]), np.asarray(rank[0] == 0)),
    ):
        assert found.dtype == np.float32
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.binary_accuracy([1, 0], [0.1, 0.2, 0.3]), "y_true: expected shape"),
        (lambda: metrics.binary_accuracy([1], [0.1], 2.0), "threshold: expected"),
        (lambda: metrics.categorical_accuracy([1], [[0.1, 0.2]]), "y_true: expected shape"),
        (lambda: metrics.sparse_categorical_accuracy([1, 0], [[0.1, 0.2]]), "y_true: expected"),
        (lambda: metrics.sparse_categorical_accuracy(1, 0.5), "y_pred: expected"),
        (lambda: metrics.top_k_categorical_accuracy([[1]], [[0.1]], 0), "k: expected"),
        (
            lambda: metrics.sparse_top_k_categorical_accuracy([1], [[0.1, 0.2]], 1, True),
            "from_sorted_ids: expected False",
        ),
    ],
)
def test_bad_arrays_of_functions(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_functions_of_accuracy_are_computed_by_the_engine():
    model = model_of("mse", names=[metrics.binary_accuracy, metrics.top_k_categorical_accuracy])
    assert [type(metric) for metric in model.metrics] == [
        metrics.BinaryAccuracy,
        metrics.TopKCategoricalAccuracy,
    ]
    assert model.metrics_names == ["loss", "binary_accuracy", "top_k_categorical_accuracy"]


# ---- metrics of all outputs ---------------------------------------------------------------------


def largest_error(y_true, y_pred):
    return np.abs(y_true - y_pred).max()


def error_of_each(y_true, y_pred):
    return np.abs(y_true - y_pred).mean(axis=1)


@pytest.mark.parametrize("engine", ["native", "reference", "own loss"])
def test_every_call_reports_them(engine, monkeypatch):
    """fit, its validation, evaluate, test_on_batch and train_on_batch, in the metrics' order."""
    if engine == "reference":
        monkeypatch.setattr(Sequential, "_network_class", reference.Network)

    def squared(y, p):
        return ((p - y) ** 2).mean(axis=1), 2 * (p - y) / p.shape[1]

    names = ["r2_score", "mae", largest_error, error_of_each]
    model = model_of(squared if engine == "own loss" else "mse", names=names)
    history = model.fit(X, NUMBERS, epochs=3, verbose=0, validation_split=0.2).history
    order = ["loss", "r2_score", "mae", "largest_error", "error_of_each"]
    assert list(history) == order + [f"val_{name}" for name in order]
    np.testing.assert_allclose(history["error_of_each"], history["mae"], rtol=1e-5)
    np.testing.assert_allclose(history["val_error_of_each"], history["val_mae"], rtol=1e-5)
    p = model.predict(X)
    found = model.evaluate(X, NUMBERS, verbose=0, return_dict=True)
    assert list(found) == order == model.metrics_names
    assert found["r2_score"] == pytest.approx(truth.r2_score(NUMBERS, p), rel=1e-5)
    assert found["largest_error"] == pytest.approx(largest_error(NUMBERS, p), rel=1e-5)
    assert model.test_on_batch(X, NUMBERS, return_dict=True) == found
    trained = model.train_on_batch(X, NUMBERS, return_dict=True)  # of the weights before the step
    assert trained["largest_error"] == pytest.approx(found["largest_error"], rel=1e-5)
    assert trained["r2_score"] == pytest.approx(found["r2_score"], rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "last", "outputs", "y"),
    [
        ("sparse_categorical_crossentropy", "softmax", 7, LABELS),
        ("binary_crossentropy", "sigmoid", 2, BINARY),
        (losses.GaussianNLL(), "linear", 4, NUMBERS),
    ],
)
def test_they_see_probabilities_in_the_order_of_the_targets(loss, last, outputs, y):
    """Although the loss is computed from logits; and all outputs, whatever the targets are."""
    seen = []

    def keep(y_true, y_pred):
        seen.append((y_true.copy(), y_pred.copy()))
        return 0.0

    model = model_of(loss, outputs, last, [keep], optimizer=fastnn.optimizers.SGD(0.0))
    model.fit(X, y, epochs=2, verbose=0, batch_size=16, steps_per_epoch=11)
    p = model.predict(X)
    place = {row.tobytes(): number for number, row in enumerate(p)}
    assert [len(part) for _, part in seen] == [176, 176]
    for y_true, y_pred in seen:
        rows = [place[row.tobytes()] for row in y_pred]
        assert len(set(rows)) > 100
        np.testing.assert_array_equal(y_true, y[rows].astype(y_true.dtype))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("more", [[], ["r2_score", "mae"]])
def test_functions_see_the_models_shape(own, more):
    """The loss's function and the metric's, whatever else reads the targets."""

    def squared(y, p):
        assert y.shape == p.shape == (len(p), 2, 3)
        return ((p - y) ** 2).mean(axis=(1, 2)), 2 * (p - y) / 6

    def worst(y, p):
        assert y.shape == p.shape == (150, 2, 3)
        return np.abs(y - p).max(axis=(1, 2))

    model = Sequential([Dense(6, input_shape=(5,)), Reshape((2, 3))])
    model.compile("sgd", squared if own else "mse", [worst, *more])
    y = RNG.normal(size=(150, 2, 3))
    model.fit(X, y, verbose=0)
    found = model.evaluate(X, y, verbose=0, return_dict=True)
    p = model.predict(X)
    assert found["worst"] == pytest.approx(np.abs(y - p).max(axis=(1, 2)).mean(), rel=1e-5)
    if more:
        rows = y.reshape(150, 6), p.reshape(150, 6)
        assert found["r2_score"] == pytest.approx(truth.r2_score(*rows), rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        (losses.GaussianNLL(), []),
        (losses.CategoricalFocalCrossentropy(from_logits=True), []),
        (losses.CategoricalCrossentropy(from_logits=True), []),
        ("mse", [metrics.TopKCategoricalAccuracy(2)]),
        ("mse", [metrics.CategoricalCrossentropy()]),
    ],
)
def test_what_reads_rows_refuses_several_axes(loss, names):
    model = Sequential([Dense(6, input_shape=(5,)), Reshape((2, 3))])
    model.compile("sgd", loss, names)
    with pytest.raises(ValueError, match="expected outputs of one axis"):
        model.fit(X, np.ones((150, 2, 3)), verbose=0)


def test_the_same_training_with_and_without_them():
    plain, watched = (model_of(names=names) for names in ([], [largest_error, "r2_score"]))
    for model in (plain, watched):
        set_random_seed(2)
        model.fit(X, NUMBERS, epochs=3, verbose=0)
    for ours, theirs in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_of_training_they_see_what_training_saw():
    """With dropout, and where a callback stops within an epoch."""
    seen = []

    def keep(y_true, y_pred):
        seen.append(y_pred.copy())
        return 1.0

    set_random_seed(1)
    model = Sequential([Dropout(0.5, seed=3, input_shape=(5,))])
    model.compile("sgd", "mse", [keep])
    model.fit(X, X, epochs=1, verbose=0)
    assert 0.3 < np.mean(seen[0] == 0) < 0.7

    def stop(batch, logs):
        assert "keep" not in logs
        model.stop_training = batch == 1

    history = model.fit(
        X, X, verbose=0, batch_size=32, callbacks=[LambdaCallback(on_train_batch_end=stop)]
    ).history
    assert len(seen[-1]) == 64
    assert history["keep"] == [1.0]


def test_callbacks_watch_them():
    model = model_of(names=["r2_score", largest_error])
    settings = {"epochs": 2, "verbose": 0, "validation_split": 0.2}
    stop = EarlyStopping("val_r2_score", patience=50)
    model.fit(X, NUMBERS, callbacks=[stop], **settings)
    assert stop.best is not None
    with pytest.raises(ValueError, match=r"monitor: expected .* a mode"):
        model.fit(X, NUMBERS, callbacks=[EarlyStopping("val_largest_error")], **settings)
    stop = EarlyStopping("val_largest_error", mode="min")
    model.fit(X, NUMBERS, callbacks=[stop], **settings)


@pytest.mark.parametrize(
    ("returns", "error", "words"),
    [
        (lambda y, p: p[:3], ValueError, r"metric .*: expected a number or an array \(150, ...\)"),
        (lambda y, p: "good", TypeError, "metric .*: expected real numbers"),
    ],
)
def test_what_a_function_must_return(returns, error, words):
    with pytest.raises(error, match=words):
        model_of(names=[returns]).evaluate(X, NUMBERS, verbose=0)


def test_auc_refuses_other_targets_before_anything_changes():
    model = model_of("mse", 2, "sigmoid", [metrics.AUC()])
    before = model.get_weights()
    with pytest.raises(ValueError, match="y: expected targets of 0 and 1 for the metric auc"):
        model.fit(X, NUMBERS, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_auc_without_scikit_learn(monkeypatch):
    found = builtins.__import__

    def missing(name, *arguments, **keywords):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return found(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        metrics.AUC()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: metrics.AUC(curve="auc"), ValueError, "curve: expected 'ROC' or 'PR'"),
        (lambda: metrics.AUC("PR"), TypeError, "num_thresholds: expected an integer >= 2"),
        (lambda: metrics.AUC(multi_label=True), ValueError, "multi_label: expected False"),
        (lambda: metrics.F1Score(None), ValueError, "average: expected 'micro', .* got None"),
        (lambda: metrics.F1Score(threshold="half"), TypeError, "threshold: expected a number"),
        (lambda: metrics.F1Score("macro")([1.0], [0.5]), ValueError, "threshold: .* got None"),
        (lambda: metrics.Precision(class_id=-1), ValueError, "class_id: expected an integer >= 0"),
        (lambda: metrics.Recall(class_id=1)([1.0], [0.5]), ValueError, "class_id: .* 0 to 0, got"),
        (lambda: metrics.get("acuracy"), ValueError, "metrics: expected one of ACC, AUC, Acc"),
        (lambda: metrics.get("AutoAccuracy"), ValueError, "metrics: expected one of ACC, AUC, Acc"),
        (lambda: metrics.Precision(0.5, 3), ValueError, "top_k: expected None, got 3"),
        (lambda: metrics.MeanSquaredError(mean=1), TypeError, "unknown one: mean"),
        (lambda: metrics.TopKCategoricalAccuracy(0), ValueError, "k: expected an integer >= 1"),
        (lambda: metrics.TopKCategoricalAccuracy(2.5), TypeError, "k: expected an integer"),
        (lambda: metrics.BinaryAccuracy(threshold=2), ValueError, "threshold"),
        (lambda: metrics.Precision([0.1, 0.9]), ValueError, "thresholds: expected one threshold"),
        (lambda: metrics.Recall("a"), TypeError, "thresholds"),
        (lambda: metrics.R2Score(None), ValueError, "class_aggregation"),
        (lambda: metrics.R2Score(num_regressors=-1), ValueError, "num_regressors"),
        (lambda: metrics.MeanSquaredError()([1.0], [[1.0, 2.0]]), ValueError, "y_true"),
        (lambda: metrics.AUC()([0.5], [0.5]), ValueError, "y_true: expected targets of 0 and 1"),
    ],
)
def test_bad_settings(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("columns", [1, 3, 7])
@pytest.mark.parametrize("rows", [1, 1000])
def test_counts_are_whole_numbers_of_all_outputs(rows, columns, dtype):
    rng = np.random.default_rng(rows + columns)
    y = rng.integers(0, 2, (rows, columns))
    p = rng.random((rows, columns)).astype(dtype)
    above = p > 0.7
    wanted = {
        metrics.TruePositives: above & (y == 1),
        metrics.TrueNegatives: ~above & (y == 0),
        metrics.FalsePositives: above & (y == 0),
        metrics.FalseNegatives: ~above & (y == 1),
    }
    for cls, hits in wanted.items():
        assert cls(0.7)(y, p) == hits.sum()


def test_counts_of_an_epoch_are_of_all_its_batches():
    names = ["TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives"]
    model = model_of("binary_crossentropy", 2, "sigmoid", names)
    history = model.fit(X, BINARY, batch_size=7, epochs=2, verbose=0).history
    assert [sum(history[name][epoch] for name in names) for epoch in (0, 1)] == [BINARY.size] * 2
    results = model.evaluate(X, BINARY, verbose=0, return_dict=True)
    hits = (model.predict(X) > 0.5) == BINARY
    assert results["TruePositives"] + results["TrueNegatives"] == hits.sum()


SETTINGS = [
    metrics.TopKCategoricalAccuracy(3, name="top3"),
    metrics.SparseTopKCategoricalAccuracy(2),
    metrics.BinaryAccuracy("hits", threshold=0.3),
    metrics.Precision(0.3),
    metrics.Recall([0.3], name="found"),
    metrics.R2Score("variance_weighted_average", 3),
    metrics.AUC(curve="PR", name="pr"),
    metrics.BinaryCrossentropy(from_logits=True, label_smoothing=0.1),
    metrics.SparseCategoricalCrossentropy(from_logits=True),
    metrics.CosineSimilarity(),
    metrics.LogCoshError(),
    metrics.F1Score("micro", 0.3),
    metrics.F1Score("macro"),
    metrics.F1Score("weighted", 0.3),
    metrics.Precision(0.3, class_id=1),
    metrics.LossMetric(losses.Huber(2.0)),
    metrics.get("ACC"),
    metrics.FBetaScore("micro", 0.5, 0.3),
    metrics.FalsePositives(0.3, name="alarms"),
    metrics.TrueNegatives(),
]


@pytest.mark.parametrize("metric", SETTINGS, ids=lambda metric: metric.name)
def test_settings_survive(metric, tmp_path):
    for again in (metrics.get(serialize(metric)), pickle.loads(pickle.dumps(metric))):
        assert (type(again), again.get_config()) == (type(metric), metric.get_config())
    loss = "sparse_categorical_crossentropy" if metric.sparse else "mse"
    y = LABELS % 2 if metric.sparse else BINARY
    model = model_of(loss, 2, "softmax", [metric])
    expected = model.evaluate(X, y, verbose=0)
    model.save(tmp_path / "model.fastnn")
    assert fastnn.load_model(tmp_path / "model.fastnn").evaluate(X, y, verbose=0) == expected
    assert pickle.loads(pickle.dumps(model)).evaluate(X, y, verbose=0) == expected


def test_a_file_names_functions(tmp_path):
    model = model_of(names=["mae", largest_error])
    model.fit(X, NUMBERS, verbose=0)
    model.save(tmp_path / "model.fastnn")
    functions = {"largest_error": largest_error}
    loaded = fastnn.load_model(tmp_path / "model.fastnn", custom_objects=functions)
    assert loaded.metrics_names == ["loss", "mae", "largest_error"]
    again = pickle.loads(pickle.dumps(model))
    assert again.metrics_names == ["loss", "mae", "largest_error"]
    assert again.evaluate(X, NUMBERS, verbose=0) == model.evaluate(X, NUMBERS, verbose=0)
    model.compile_from_config(model.get_compile_config())
    assert model.metrics[1].function is largest_error


def test_any_number_of_them():
    names = [metrics.Precision(k / 20, name=f"p{k}") for k in range(12)]
    model = model_of("bce", 2, "sigmoid", names)
    found = model.evaluate(X, BINARY, verbose=0, return_dict=True)
    for k in range(12):
        p = model.predict(X).ravel() > k / 20
        assert found[f"p{k}"] == pytest.approx(truth.precision_score(BINARY.ravel(), p), rel=1e-6)
