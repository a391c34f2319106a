"""Ways of Keras's users around `fit`: what goes on where, and what may be written how."""

import copy
import pickle

import numpy as np
import pytest

from fastnn import losses, metrics
from fastnn.callbacks import BackupAndRestore, Callback
from fastnn.layers import Dense, Dropout, Embedding, Flatten, Input, Rescaling
from fastnn.models import Sequential, clone_model
from fastnn.optimizers import SGD, Adam
from fastnn.optimizers.schedules import ExponentialDecay

RNG = np.random.default_rng(0)
X = RNG.standard_normal((100, 5), np.float32)
Y = RNG.standard_normal((100, 1), np.float32)


def regressor(*, seed: int = 0) -> Sequential:
    model = Sequential([Input((5,)), Dense(8, "tanh"), Dense(1)])
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(-1, 1, w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


FIT = {"batch_size": 25, "shuffle": False, "verbose": 0}


# ---- compile ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: Adam(0.05),
        lambda: SGD(ExponentialDecay(0.1, 1, 0.5), momentum=0.9),
        lambda: Adam(0.05, use_ema=True, gradient_accumulation_steps=3),
    ],
)
def test_compiled_anew_with_its_own_optimizer_a_model_goes_on(make):
    straight, again = regressor(), regressor()
    for model in (straight, again):
        model.compile(make(), "mse")
        model.fit(X, Y, **FIT)
    again.compile(again.optimizer, "mse", metrics=["mae"])
    assert again.iterations == 4
    for model in (straight, again):
        model.fit(X, Y, **FIT)
    assert again.optimizer.iterations == straight.optimizer.iterations
    assert again.optimizer.learning_rate == straight.optimizer.learning_rate
    for a, b in zip(straight.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "change",
    [{"momentum": 0.0}, {"use_ema": True}, {"gradient_accumulation_steps": 2}],
    ids=str,
)
def test_an_optimizer_that_keeps_something_else_begins_anew(change):
    model = regressor()
    model.compile(SGD(0.05, momentum=0.9), "mse")
    model.fit(X, Y, **FIT)
    for name, value in change.items():
        setattr(model.optimizer, name, value)
    before = model.get_weights()
    model.compile(model.optimizer, "mse", metrics=["mae"])
    assert model.iterations == 0
    model.fit(X, Y, **FIT)
    other = regressor()
    other.set_weights(before)
    other.compile(SGD(0.05, **{"momentum": 0.9, **change}), "mse")
    other.fit(X, Y, **FIT)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_optimizer_that_a_model_has_left_is_free():
    one, other = regressor(), regressor()
    optimizer = Adam(0.05)
    one.compile(optimizer, "mse")
    one.fit(X, Y, **FIT)
    one.compile(SGD(), "mse")
    one.fit(X, Y, **FIT)
    assert optimizer.iterations == 0
    other.compile(optimizer, "mse")
    other.fit(X, Y, **FIT)
    assert optimizer.iterations == 4


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("order", [1, -1])
def test_models_of_one_optimizer_are_copied_together(copied, order):
    one, other = regressor(), regressor()
    optimizer = Adam(0.05)
    for model in (one, other):
        model.compile(optimizer, "mse")
    one.fit(X, Y, **FIT)
    first, second = copied([one, other][::order])[::order]
    assert first.optimizer is second.optimizer
    assert first.optimizer.iterations == 4
    first.fit(X, Y, **FIT)
    one.fit(X, Y, **FIT)
    for a, b in zip(first.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("layer", [Rescaling(0.5), Dropout(0.5), Flatten()])
def test_a_model_without_weights_can_be_fitted(layer):
    model = Sequential([Input((1,)), layer])
    model.compile("sgd", "mse")
    history = model.fit(Y, Y, epochs=3, verbose=0).history
    assert len(history["loss"]) == 3
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("looks", [0, 2])
def test_looking_at_training_outputs_leaves_the_training_as_it_was(looks):
    def squares(y, p):
        return ((p - y) ** 2).mean(1), 2 * (p - y) / p.shape[1]

    weights = []
    for loss in ("mse", squares):
        model = regressor()
        model.add(Dropout(0.5, seed=3))
        model.add(Dense(1))
        model.set_weights([np.full_like(w, 0.1) for w in model.get_weights()])
        model.compile(SGD(0.1), loss)
        for _ in range(looks):
            model(X, training=True)
        model.train_on_batch(X, Y)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_another_optimizer_begins_anew():
    model = regressor()
    model.compile(Adam(0.05), "mse")
    model.fit(X, Y, **FIT)
    model.compile(Adam(0.05), "mse")
    assert model.iterations == 0


def test_an_optimizer_trains_one_model():
    one, other, third = regressor(), regressor(), regressor()
    optimizer = Adam(0.05)
    for model in (one, other):
        model.compile(optimizer, "mse")
    one.fit(X, Y, **FIT)
    assert one.optimizer.iterations == 4
    before = other.get_weights()
    with pytest.raises(ValueError, match="optimizer: expected one that no other model trains with"):
        other.fit(X, Y, **FIT)
    with pytest.raises(ValueError, match="optimizer: expected one that no other model trains with"):
        third.compile(optimizer, "mse")
    assert third.optimizer is None
    for a, b in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    one.fit(X, Y, **FIT)
    assert optimizer.iterations == 8
    del one
    other.fit(X, Y, **FIT)
    assert optimizer.iterations == 4


def test_a_clone_is_compiled_alike():
    model = regressor()
    model.compile(SGD(0.5, momentum=0.9), losses.Huber(2.0), ["mae"])
    clone = clone_model(model)
    assert clone.get_compile_config() == model.get_compile_config()
    assert clone.optimizer is not model.optimizer
    assert clone_model(regressor()).optimizer is None


def test_lists_for_the_one_output():
    model = regressor()
    model.compile("sgd", ["mse"], [["mae", "mse"]])
    assert model.metrics_names == ["loss", "mae", "mse"]


def test_metrics_of_one_name_are_told_apart():
    model = Sequential([Dense(1, "sigmoid", input_shape=(5,))])
    thresholds = [metrics.BinaryAccuracy(threshold=t) for t in (0.2, 0.5, 0.8)]
    model.compile("sgd", "bce", [*thresholds, "mae", "mae"])
    p, y = model.predict(X, verbose=0), (Y > 0).astype(np.float32)
    results = model.evaluate(X, y, verbose=0, return_dict=True)
    names = ["binary_accuracy", "binary_accuracy_1", "binary_accuracy_2", "mae", "mae_1"]
    assert list(results) == ["loss", *names]
    for name, t in zip(names, (0.2, 0.5, 0.8), strict=False):
        assert results[name] == pytest.approx(((p > t) == y).mean())
    assert results["mae"] == results["mae_1"]
    assert [metric.name for metric in thresholds] == ["binary_accuracy"] * 3


def test_a_metric_of_each_output():
    def squares(y_true, y_pred):
        return (y_true - y_pred) ** 2

    model = Sequential([Dense(3, input_shape=(5,))])
    model.compile("sgd", "mse", [squares])
    results = model.evaluate(X, np.tile(Y, 3), verbose=0, return_dict=True)
    assert results["squares"] == pytest.approx(results["loss"], rel=1e-6)


# ---- fit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hook", "steps"), [("on_train_begin", 1), ("on_epoch_begin", 5)])
def test_training_that_is_stopped_as_an_epoch_begins_ends_with_its_first_batch(hook, steps):
    class Stop(Callback):
        def on_train_begin(self, logs=None):
            self.model.stop_training = hook == "on_train_begin"

        def on_epoch_begin(self, epoch, logs=None):
            self.model.stop_training |= hook == "on_epoch_begin" and epoch == 1

    model = regressor()
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=4, callbacks=[Stop()], **FIT)
    assert model.iterations == steps


def test_classes_that_are_floats():
    labels = (Y > 0).astype(np.float32)
    by_float, by_int = regressor(), regressor()
    for model, classes in ((by_float, np.unique(labels)), (by_int, (0, 1))):
        model.compile("sgd", losses.BinaryCrossentropy(from_logits=True))
        model.fit(X, labels, class_weight=dict(zip(classes, (1.0, 3.0), strict=True)), **FIT)
    for a, b in zip(by_float.get_weights(), by_int.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_epoch():
    model = regressor()
    model.compile("sgd", "mse")
    assert model.fit(X, Y, epochs=0, verbose=0).history == {}
    assert model.iterations == 0


def test_a_history_knows_its_model():
    model = regressor()
    model.compile("sgd", "mse")
    history = model.fit(X, Y, **FIT)
    assert history.model is model
    other = pickle.loads(pickle.dumps(history))
    assert other.history == history.history
    assert other.model is None
    del model
    assert history.model is None


def test_a_backup_that_is_not_needed_any_more_leaves_nothing(tmp_path):
    model = regressor()
    model.compile("sgd", "mse")
    model.fit(X, Y, callbacks=[BackupAndRestore(tmp_path / "backup")], **FIT)
    assert not (tmp_path / "backup").exists()
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "other").touch()
    model.fit(X, Y, callbacks=[BackupAndRestore(tmp_path / "backup")], **FIT)
    assert [path.name for path in (tmp_path / "backup").iterdir()] == ["other"]


def test_outputs_in_training_vary_from_call_to_call():
    model = Sequential([Input((5,)), Dense(64, "relu"), Dropout(0.5), Dense(1)])
    draws = np.stack([model(X, training=True) for _ in range(20)])
    assert draws.std(axis=0).mean() > 0.1 * np.abs(draws).mean()
    assert len(np.unique(draws[:, 0])) == 20


# ---- types of numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", np.int16, "bool", "float16"])
def test_an_input_of_integers(dtype):
    model = Sequential([Input((4,), dtype=dtype), Embedding(7, 3), Flatten(), Dense(2)])
    assert model.predict(RNG.integers(0, 2, (6, 4)), verbose=0).dtype == np.float32


@pytest.mark.parametrize(("given", "layers"), [(None, "float64"), ("float64", "float32")])
def test_layers_compute_in_their_own_type_whatever_comes_in(given, layers):
    model = Sequential([Input((5,), dtype=given), Dense(2, dtype=layers), Dense(1, dtype=layers)])
    assert model.predict(X, verbose=0).dtype == layers
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert model.get_weights()[0].dtype == layers


def test_an_input_of_no_numbers_is_refused():
    with pytest.raises(ValueError, match="dtype: expected one of"):
        Input((4,), dtype="string")


# ---- losses as functions ------------------------------------------------------------------------

P = np.clip(RNG.random((6, 4)), 0.05, 0.95)
T = np.eye(4)[[0, 1, 2, 3, 0, 1]]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (losses.mean_squared_error, lambda t, p: ((p - t) ** 2).mean(1)),
        (losses.mae, lambda t, p: np.abs(p - t).mean(1)),
        (losses.hinge, lambda t, p: np.maximum(0, 1 - np.where(t == 0, -1, t) * p).mean(1)),
        (
            losses.binary_crossentropy,
            lambda t, p: -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(1),
        ),
        (
            losses.categorical_crossentropy,
            lambda t, p: -(t * np.log(p / p.sum(1, keepdims=True))).sum(1),
        ),
        (metrics.mean_squared_error, lambda t, p: ((p - t) ** 2).mean(1)),
    ],
)
def test_a_function_gives_the_loss_of_each_sample(function, expected):
    np.testing.assert_allclose(function(T, P), expected(T, P), rtol=1e-12)
    np.testing.assert_allclose(function(T[0], P[0]), expected(T[:1], P[:1])[0], rtol=1e-12)


def test_functions_take_the_numbers_of_their_losses():
    error = np.abs(T - P)
    expected = np.where(error <= 0.5, error**2 / 2, 0.5 * error - 0.125).mean(1)
    np.testing.assert_allclose(losses.huber(T, P, 0.5), expected, rtol=1e-12)
    logits = np.log(P)
    np.testing.assert_allclose(
        losses.sparse_categorical_crossentropy([0, 1, 2, 3, -1, 1], logits, True, -1),
        losses.categorical_crossentropy(T, P) * [1, 1, 1, 1, 0, 1],
        rtol=1e-12,
    )
    assert losses.mean_squared_error(T.astype("f"), P.astype("f")).dtype == np.float32


def test_functions_are_losses_and_metrics_of_compile():
    model = regressor()
    model.compile("sgd", losses.mean_squared_error, [metrics.mean_absolute_error, losses.mse])
    assert model.metrics_names == ["loss", "mean_absolute_error", "mean_squared_error"]
    results = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert results["loss"] == pytest.approx(results["mean_squared_error"])


@pytest.mark.parametrize(
    "function",
    [losses.cosine_similarity, losses.huber, losses.log_cosh, losses.binary_focal_crossentropy],
)
def test_a_loss_function_as_a_metric_is_that_loss(function):
    model = Sequential([Input((5,)), Dense(3, "sigmoid")])
    model.compile("sgd", "mse", metrics=[function])
    x, y = X, np.eye(3, dtype=np.float32)[np.arange(100) % 3]
    result = model.evaluate(x, y, verbose=0, return_dict=True)[function.__name__]
    assert result == pytest.approx(function(y, model.predict(x, verbose=0)).mean(), rel=1e-5)
    assert repr(function) == f"fastnn.losses.{function.__name__}"
    assert getattr(losses, function.__name__) is function


def test_a_loss_metric_is_written_down_and_read():
    metric = metrics.LossMetric(losses.Huber(0.5), "mine")
    again = metrics.LossMetric.from_config(metric.get_config())
    assert (again.name, again([0.0], [2.0])) == ("mine", metric([0.0], [2.0])) == ("mine", 0.875)
    ignoring = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    for bad in (lambda t, p: (t, p), ignoring, None, losses.GaussianNLL()):
        with pytest.raises(ValueError, match="loss: expected a loss of fastnn"):
            metrics.LossMetric(bad)


def test_functions_take_any_number_of_axes():
    t, p = RNG.random((2, 3, 4)), RNG.random((2, 3, 4))
    result = losses.mean_squared_error(t, p)
    np.testing.assert_allclose(result, ((p - t) ** 2).mean(-1), rtol=1e-12)
    assert losses.sparse_categorical_crossentropy(1, P[0]) == pytest.approx(
        losses.sparse_categorical_crossentropy([1], P[:1])[0]
    )
    with pytest.raises(ValueError, match=r"y_true: expected shape \(2,\) .* got \(2, 1\)"):
        losses.mean_squared_error([[1], [2]], [1.0, 4.0])
    with pytest.raises(ValueError, match=r"y_true: expected shape \(2, 3\)"):
        losses.sparse_categorical_crossentropy(np.zeros((3, 2), int), p)
    for nothing in (2.0, np.zeros(0)):
        with pytest.raises(ValueError, match="y_pred: expected"):
            losses.mean_squared_error(nothing, nothing)
