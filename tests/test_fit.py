"""Training through the public API."""

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, classification_report
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from fastnn import _loops, losses, metrics, reference, regularizers, utils
from fastnn._feeds import ArrayFeed
from fastnn._lock import ModelLock
from fastnn.callbacks import Callback, LambdaCallback
from fastnn.layers import Activation, BatchNormalization, Dense, Dropout, Normalization
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adam
from fastnn.optimizers.schedules import ExponentialDecay
from fastnn.utils import set_random_seed


class NumpySequential(Sequential):
    """The same model in plain NumPy."""

    _network_class = reference.Network


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


def classifier(kind: type[Sequential] = Sequential, **compiled: Any) -> Sequential:
    set_random_seed(7)
    model = kind([Dense(32, "relu", input_shape=(64,)), Dense(10, "softmax")])
    model.compile(
        **{
            "optimizer": Adam(0.01),
            "loss": "sparse_categorical_crossentropy",
            "metrics": ["accuracy"],
            **compiled,
        }
    )
    return model


# ---- the two scripts that people bring ----------------------------------------------------------


def test_the_keras_script(tmp_path):
    x, y = load_digits(return_X_y=True, as_frame=True)
    file = tmp_path / "digits.csv"
    pd.concat([x, y.rename("target")], axis=1).to_csv(file, index=False)

    set_random_seed(0)
    df = pd.read_csv(file)
    df = df.dropna()
    X = df.drop("target", axis=1)
    y = df["target"]
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    scaler = StandardScaler()
    X_train = scaler.fit_transform(X_train)
    X_test = scaler.transform(X_test)

    model = Sequential()
    model.add(Dense(64, activation="relu", input_shape=(64,)))
    model.add(Dense(32, "relu"))
    model.add(Dense(10, "softmax"))
    model.compile(
        Adam(learning_rate=0.001), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    history = model.fit(X_train, y_train, epochs=10, batch_size=32, validation_split=0.1)
    y_pred = np.argmax(model.predict(X_test), axis=1)

    assert accuracy_score(y_test, y_pred) >= 0.95
    assert "weighted avg" in classification_report(y_test, y_pred)
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.epoch == list(range(10))


def test_sigmoid_regression_on_five_points():
    x = np.array([[1, 0.1], [1, 0.2], [1, 0.3], [1, 0.4], [1, 0.5]])
    y = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    set_random_seed(0)
    model = Sequential([Dense(1, activation="sigmoid", input_shape=(2,))])
    model.compile(SGD(learning_rate=0.5), "mse")
    history = model.fit(x, y, batch_size=5, epochs=1000, verbose=0)
    assert history.history["loss"][-1] < 0.03
    assert model.evaluate(x, y, verbose=0) < 0.03


# ---- fit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [Adam(0.005), SGD(0.1), SGD(0.05, 0.9), SGD(0.05, 0.9, True)])
def test_fit_agrees_with_numpy(digits, optimizer):
    def run(kind: type[Sequential]) -> dict[str, list[float]]:
        model = classifier(kind, optimizer=optimizer)
        return model.fit(*digits, epochs=3, verbose=0, validation_split=0.2).history

    fast, slow = run(Sequential), run(NumpySequential)
    for name, values in slow.items():
        assert fast[name] == pytest.approx(values, rel=0.01)


def test_validation_split_takes_the_last_rows(digits):
    x, y = digits
    held_out = classifier().fit(x, y, epochs=2, verbose=0, validation_split=0.25).history
    cut = int(len(x) * 0.75)
    given = (
        classifier()
        .fit(x[:cut], y[:cut], epochs=2, verbose=0, validation_data=(x[cut:], y[cut:]))
        .history
    )
    assert held_out == given
    model = classifier()
    history = model.fit(x, y, epochs=2, verbose=0, validation_split=0.25).history
    loss, accuracy = model.evaluate(x[cut:], y[cut:], verbose=0)
    assert (history["val_loss"][-1], history["val_accuracy"][-1]) == (loss, accuracy)


def test_validation_data_wins_over_split_and_takes_weights(digits):
    x, y = digits
    weight = np.linspace(0, 2, len(x))
    model = classifier()
    history = model.fit(
        x, y, verbose=0, validation_split=0.5, validation_data=(x[:100], y[:100], weight[:100])
    )
    expected = model.evaluate(x[:100], y[:100], sample_weight=weight[:100], verbose=0)
    assert history.history["val_loss"] == [expected[0]]


def test_the_seed_fixes_everything_and_each_epoch_has_its_own_order(digits):
    first, second = (classifier().fit(*digits, epochs=2, verbose=0).history for _ in range(2))
    assert first == second
    # without shuffling two fits of one epoch are a fit of two; with it the order differs
    straight, halves = classifier(), classifier()
    straight.fit(*digits, epochs=2, verbose=0, shuffle=False)
    halves.fit(*digits, verbose=0, shuffle=False)
    halves.fit(*digits, epochs=2, initial_epoch=1, verbose=0, shuffle=False)
    np.testing.assert_array_equal(straight.get_weights()[0], halves.get_weights()[0])
    shuffled = classifier()
    shuffled.fit(*digits, epochs=2, verbose=0)
    assert not np.array_equal(straight.get_weights()[0], shuffled.get_weights()[0])


def test_sample_weight_multiplies_the_loss(digits):
    x, y = digits
    weight = np.zeros(len(x))
    weight[: len(x) // 2] = 2
    full_batch = {"batch_size": len(x), "epochs": 5, "verbose": 0, "shuffle": False}
    weighted, half = classifier(), classifier()
    loss = weighted.fit(x, y, sample_weight=weight, **full_batch).history["loss"]
    even = len(x) // 2
    expected = half.fit(x[:even], y[:even], **(full_batch | {"batch_size": even})).history["loss"]
    scale = len(x) / (2 * even)  # the mean is over all samples, also those of weight 0
    np.testing.assert_allclose(np.array(loss) * scale, expected, rtol=1e-2)
    unweighted = weighted.evaluate(x, y, verbose=0, return_dict=True)
    doubled = weighted.evaluate(
        x, y, verbose=0, return_dict=True, sample_weight=np.full(len(x), 2.0)
    )
    assert doubled["loss"] == pytest.approx(2 * unweighted["loss"], rel=1e-6)
    assert doubled["accuracy"] == unweighted["accuracy"]


@pytest.mark.parametrize("engine", [Sequential, NumpySequential])
def test_from_logits_is_the_same_training(digits, engine):
    x, y = digits

    def run(last: str, loss: losses.Loss, targets: np.ndarray) -> list[float]:
        set_random_seed(1)
        outputs = targets.shape[1] if targets.ndim == 2 else 10
        model = engine([Dense(outputs, last, input_shape=(64,))])
        model.compile("adam", loss)
        return model.fit(x, targets, epochs=2, verbose=0).history["loss"]

    one_hot, binary = np.eye(10)[y], (y[:, None] > 4).astype(float)
    expected = run("softmax", losses.SparseCategoricalCrossentropy(), y)
    for last, logits in (("softmax", False), ("linear", True)):
        sparse = losses.SparseCategoricalCrossentropy(from_logits=logits)
        dense = losses.CategoricalCrossentropy(from_logits=logits)
        assert run(last, sparse, y) == pytest.approx(expected, rel=1e-4)
        assert run(last, dense, one_hot) == pytest.approx(expected, rel=1e-4)
    probabilities = run("sigmoid", losses.BinaryCrossentropy(), binary)
    logits = run("linear", losses.BinaryCrossentropy(from_logits=True), binary)
    assert logits == pytest.approx(probabilities, rel=1e-4)


def test_accuracy_is_the_one_that_fits():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    labels = rng.integers(0, 4, 40)

    def run(outputs: int, loss: str, y: np.ndarray, *names: Any) -> tuple[Any, np.ndarray]:
        model = Sequential([Dense(outputs, "sigmoid", input_shape=(3,))])
        model.compile("sgd", loss, metrics=list(names))
        return model.evaluate(x, y, verbose=0, return_dict=True), model.predict(x)

    result, p = run(4, "sparse_categorical_crossentropy", labels, "acc", "accuracy")
    assert result["acc"] == result["accuracy"] == pytest.approx(np.mean(p.argmax(1) == labels))
    result, p = run(4, "categorical_crossentropy", np.eye(4)[labels], "accuracy")
    assert result["accuracy"] == pytest.approx(np.mean(p.argmax(1) == labels))
    y = (labels > 1).astype(float)
    result, p = run(1, "bce", y, "accuracy", metrics.BinaryAccuracy(), "mse", "mae")
    assert result["accuracy"] == result["binary_accuracy"]
    assert result["accuracy"] == pytest.approx(np.mean((p[:, 0] > 0.5) == y))
    assert result["mse"] == pytest.approx(np.mean((p[:, 0] - y) ** 2), rel=1e-5)
    assert result["mae"] == pytest.approx(np.mean(np.abs(p[:, 0] - y)), rel=1e-5)
    many = np.eye(4)[labels]
    result, p = run(4, "bce", many, "binary_accuracy", metrics.MeanAbsoluteError(name="error"))
    assert result["binary_accuracy"] == pytest.approx(np.mean((p > 0.5) == many))
    assert result["error"] == pytest.approx(np.mean(np.abs(p - many)), rel=1e-5)


def test_no_copy_of_data_that_is_ready(digits):
    seen = []

    class Spy:
        def __init__(self, network: Any) -> None:
            self.network = network

        def train(self, x: np.ndarray, *rest: Any) -> Any:
            seen.append(x)
            return self.network.train(x, *rest)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.network, name)

    model = classifier()
    model._network = Spy(model._network)
    model.fit(*digits, verbose=0, validation_split=0.1)
    assert seen[0] is digits[0]


# ---- epochs that nobody looks at ----------------------------------------------------------------


def featured() -> Sequential:
    set_random_seed(3)
    l2 = regularizers.L2(0.01)
    model = Sequential(
        [
            Dense(40, "relu", kernel_regularizer=l2, input_shape=(64,)),
            Dropout(0.2),
            BatchNormalization(),
            Dense(10, "softmax"),
        ]
    )
    schedule = ExponentialDecay(0.01, 3, 0.9)
    model.compile(
        Adam(schedule, global_clipnorm=1.0), "sparse_categorical_crossentropy", ["accuracy"]
    )
    return model


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": False, "class_weight": {i: 1 + i / 10 for i in range(10)}},
        {"steps_per_epoch": 2},
        {"initial_epoch": 3},
        {"batch_size": 200},
    ],
)
def test_epochs_at_once_are_those_that_somebody_looks_at(digits, monkeypatch, options):
    x, y = digits[0][:100], digits[1][:100]
    options = {"epochs": 9, "verbose": 0, **options}
    seen, unseen = featured(), featured()
    calls = []
    train = ArrayFeed.train
    monkeypatch.setattr(ArrayFeed, "train", lambda *args: (calls.append(1), train(*args))[1])
    epochs = []
    look = LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    set_random_seed(4)  # of the orders
    expected = seen.fit(x, y, callbacks=[look], **options)
    assert len(calls) == len(epochs) == len(expected.epoch) > 5
    calls.clear()
    monkeypatch.setattr(_loops, "TOGETHER_SECONDS", 1e9)
    set_random_seed(4)
    history = unseen.fit(x, y, **options)
    assert len(calls) == 1
    assert history.history == expected.history
    assert history.epoch == expected.epoch
    for got, want in zip(unseen.get_weights(), seen.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)


def test_metrics_of_outputs_and_validation_take_epochs_one_by_one(digits, monkeypatch):
    monkeypatch.setattr(_loops, "TOGETHER_SECONDS", 1e9)
    x, y = digits[0][:100], digits[1][:100]
    model = classifier()
    history = model.fit(x, y, epochs=4, verbose=0, validation_data=(x, y))
    assert len(history.history["val_loss"]) == 4
    assert len(set(history.history["val_loss"])) == 4
    model = classifier(loss="binary_crossentropy", metrics=[metrics.AUC()])
    history = model.fit(x, np.eye(10)[y], epochs=4, verbose=0)
    assert len(set(history.history["auc"])) == 4


def test_ctrl_c_keeps_the_epochs_before_it(digits, monkeypatch):
    monkeypatch.setattr(_loops, "TOGETHER_SECONDS", 1e9)
    monkeypatch.setattr(_loops, "SLICE_SECONDS", 0.0)  # a step at a time
    model, train, steps = classifier(), ArrayFeed.train, []

    def interrupted(feed: ArrayFeed, *rest: Any) -> None:
        steps.append(1)
        if len(steps) == 4 + 4 * 3 + 2:  # four epochs, and half of one
            raise KeyboardInterrupt
        train(feed, *rest)

    monkeypatch.setattr(ArrayFeed, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(digits[0][:100], digits[1][:100], epochs=20, verbose=0)
    assert model.history.epoch == [0, 1, 2, 3]
    assert len(model.history.history["loss"]) == 4
    assert model.optimizer.iterations == 17


# ---- callbacks, progress, learning rate ---------------------------------------------------------


class Recorder(Callback):
    """Writes down the hooks."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.calls.append("train")

    def on_train_end(self, logs: Any = None) -> None:
        self.calls.append("end")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(("epoch", epoch))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(("done", epoch, sorted(logs)))

    def on_test_begin(self, logs: Any = None) -> None:
        self.calls.append("test")


class BatchRecorder(Callback):
    """Writes down the batches."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.calls.append(("begin", batch))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.calls.append(("end", batch))
        self.last = dict(logs)


def test_callbacks(digits):
    recorder, batches = Recorder(), BatchRecorder()
    x, y = digits[0][:100], digits[1][:100]
    model = classifier()
    history = model.fit(
        x, y, epochs=3, initial_epoch=1, verbose=0, validation_data=(x, y), callbacks=[recorder]
    )
    names = ["accuracy", "loss", "val_accuracy", "val_loss"]
    epochs = [[("epoch", e), "test", ("done", e, names)] for e in (1, 2)]
    assert recorder.calls == ["train", *epochs[0], *epochs[1], "end"]
    assert history.epoch == [1, 2]
    history = model.fit(x, y, verbose=0, callbacks=batches)
    assert batches.calls == [(when, b) for b in range(4) for when in ("begin", "end")]
    assert batches.last == {name: values[0] for name, values in history.history.items()}
    assert batches.model is model
    assert batches.params["steps"] == 4


def test_batch_hooks_see_every_batch_of_a_team():
    # which tries itself on two steps where nobody looks
    set_random_seed(0)
    batches = BatchRecorder()
    x = np.random.default_rng(0).standard_normal((40 * 64, 100), dtype=np.float32)
    model = Sequential([Dense(100, "relu"), Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], batch_size=64, verbose=0, callbacks=[batches])
    assert batches.calls == [(when, b) for b in range(40) for when in ("begin", "end")]


@pytest.mark.parametrize("engine", [Sequential, NumpySequential])
def test_batch_hooks_do_not_change_the_result(digits, engine):
    class Evaluator(BatchRecorder):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.evaluate(digits[0][:50], digits[1][:50], verbose=0)

    expected = classifier(engine).fit(*digits, verbose=0).history
    for callback in (BatchRecorder(), Evaluator()):
        model = classifier(engine)
        assert model.fit(*digits, verbose=0, callbacks=[callback]).history == expected


def test_a_callback_can_stop_and_change_the_learning_rate(digits):
    class Stopper(Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                self.model.optimizer.learning_rate = 0.0
                self.weights = self.model.get_weights()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    stopper, model = Stopper(), classifier()
    start = model.get_weights()[0]
    assert model.fit(*digits, epochs=9, verbose=0, callbacks=[stopper]).epoch == [0, 1]
    assert not np.array_equal(start, stopper.weights[0])
    for got, expected in zip(model.get_weights(), stopper.weights, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("call", ["fit", "compile", "add", "pop"])
def test_a_callback_cannot_rebuild_the_model_in_training(digits, call):
    class Meddler(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            arguments = {"add": [Dense(3)], "fit": digits, "pop": []}.get(call, ["sgd", "mse"])
            getattr(self.model, call)(*arguments)

    model = classifier()
    with pytest.raises(ValueError, match=f"{call}: expected a model that is not in fit"):
        model.fit(*digits, verbose=0, callbacks=[Meddler()])
    assert model.fit(*digits, verbose=0).history["accuracy"][0] > 0.5  # usable, and not locked


def test_a_callback_may_train_on_a_batch_and_measure(digits):
    class Trainer(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.train_on_batch(digits[0][:32], digits[1][:32])

    model = classifier()
    history = model.fit(*digits, verbose=0, callbacks=[Trainer()]).history
    assert model.optimizer.iterations == 2 * 57
    assert 0 < history["accuracy"][0] <= 1


def test_history_iterations_and_hyper_parameters_can_be_read(digits):
    class Stop(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise KeyboardInterrupt

    model = classifier(optimizer=SGD(0.1, momentum=0.5))
    assert (model.history, model.optimizer.iterations) == (None, 0)
    assert model.fit(*digits, verbose=0) is model.history
    first = model.history
    with pytest.raises(KeyboardInterrupt):
        model.fit(*digits, epochs=2, verbose=0, callbacks=[Stop()])
    assert model.history is not first
    assert model.optimizer.iterations == 2 * 57
    model.optimizer.momentum = 0.9
    model.optimizer.nesterov = True
    model.train_on_batch(*digits)
    assert model.optimizer.get_config()["momentum"] == 0.9
    model.optimizer.momentum = 0.0
    with pytest.raises(ValueError, match="compile"):
        model.train_on_batch(*digits)


def test_verbose_may_be_a_bool(digits, capsys):
    classifier().fit(*digits, verbose=False)
    assert capsys.readouterr().out == ""
    classifier().fit(*digits, verbose=True)
    assert "loss=" in capsys.readouterr().out


def test_progress_bar_shows_epoch_results_and_time_left(digits, capsys):
    classifier().fit(*digits, epochs=2, validation_split=0.5, verbose=1)
    shown = capsys.readouterr().out
    for part in ("Epoch 2/2", "loss=", "accuracy=", "val_loss=", "batch/s", "00:00<", "58/58"):
        assert part in shown
    classifier().fit(*digits, epochs=2, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines] == ["Epoch 1/2", "Epoch 2/2"]
    assert "accuracy: " in lines[1]
    model = classifier()
    model.fit(*digits, verbose=0)
    model.predict(digits[0])
    assert capsys.readouterr().out == ""
    model.evaluate(*digits)
    assert "accuracy: " in capsys.readouterr().out


# ---- one batch at a time ------------------------------------------------------------------------


def test_train_on_batch_is_one_step_of_fit(digits):
    x, y = digits
    fitted, stepped = classifier(), classifier()
    history = fitted.fit(x, y, batch_size=len(x), verbose=0, shuffle=False).history
    loss, accuracy = stepped.train_on_batch(x, y)
    assert (loss, accuracy) == (history["loss"][0], history["accuracy"][0])
    for got, expected in zip(stepped.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert stepped.train_on_batch(x, y, return_dict=True)["loss"] < loss
    assert stepped.test_on_batch(x, y) == stepped.evaluate(x, y, verbose=0)


@pytest.mark.parametrize("make", [lambda: SGD(0.1), Adam])
def test_forward_backward_apply_is_a_step_on_ones_own_loss(digits, make):
    x, y = digits[0][:50], np.eye(10, dtype=np.float32)[digits[1][:50]]
    built_in, by_hand = (classifier(optimizer=make(), loss="mse", metrics=[]) for _ in range(2))
    built_in.train_on_batch(x, y)
    p = by_hand.forward(x, training=True)
    dx = by_hand.backward(2 * (p - y) / y.size)
    assert dx.shape == x.shape
    norm = np.linalg.norm(by_hand.flat_gradients)
    assert norm > 0
    by_hand.apply_gradients()
    for got, expected in zip(by_hand.get_weights(), built_in.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_backward_agrees_with_finite_differences():
    rng = np.random.default_rng(2)
    x, dy = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    layers = [
        Normalization(mean=[0, 1, 0, 2], variance=[1, 2, 3, 4], dtype="float64", input_shape=(4,)),
        Dense(5, "tanh", dtype="float64"),
        Dense(3, "softmax", dtype="float64"),
    ]
    model = Sequential(layers)
    model.forward(x)
    dx = model.backward(dy)
    for row, column in ((0, 0), (3, 2), (5, 3)):
        step = np.zeros_like(x)
        step[row, column] = 1e-6
        slope = np.sum(dy * (model.predict(x + step) - model.predict(x - step))) / 2e-6
        assert dx[row, column] == pytest.approx(slope, rel=1e-6, abs=1e-9)


# ---- interruption and threads -------------------------------------------------------------------


@pytest.fixture
def ctrl_c():
    """Python's own answer to Ctrl-C, which a process started in the background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_stops_fit_soon_and_leaves_the_model_usable():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4096, 512)).astype(np.float32)
    y = rng.integers(0, 10, 4096)
    model = Sequential([Dense(1024, "relu"), Dense(1024, "relu"), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x[:256], y[:256], verbose=0)
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.5, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=256, epochs=10_000, verbose=0)
    assert time.perf_counter() - sent[0] < 0.5
    timer.join()
    assert np.isfinite(model.predict(x[:10])).all()
    history = model.fit(x[:256], y[:256], verbose=0).history
    assert np.isfinite(history["loss"]).all()


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@forks
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_during_fit_can_use_the_model(digits, tmp_path, in_child):
    """The thread that holds the model's lock is not in the child."""
    started, stop = threading.Event(), threading.Event()

    class Stop(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            started.set()
            self.model.stop_training = stop.is_set()

    model = classifier()
    worker = threading.Thread(
        target=lambda: model.fit(*digits, epochs=10**6, verbose=0, callbacks=[Stop()])
    )

    def child() -> None:
        model.evaluate(*digits, verbose=0)
        model.layers[0].set_weights(model.layers[0].get_weights())
        model.save(tmp_path / "model.fastnn")
        model.fit(*digits, verbose=0)

    worker.start()
    started.wait(30)
    try:
        assert in_child(child) == 0
    finally:
        stop.set()
        worker.join(30)
    assert (tmp_path / "model.fastnn").exists()


@forks
def test_a_fork_finds_locks_free_unless_it_holds_them_itself(in_child):
    lock = ModelLock()
    utils.draw_permutation(3)
    with lock, utils._generator.bit_generator.lock:
        lock.fitting = True

        def child() -> None:
            assert lock.fitting
            utils.draw_permutation(3)

        assert in_child(child, seconds=5) == 0


def test_predict_in_threads_while_another_trains(digits):
    x, y = digits
    still, moving = classifier(), classifier()
    expected = still.predict(x)
    wrong: list[Any] = []

    def predict() -> None:
        for _ in range(30):
            if not np.array_equal(still.predict(x), expected):
                wrong.append("still")
            if not np.isfinite(moving.predict(x)).all():
                wrong.append("moving")

    def fit() -> None:
        moving.fit(x, y, epochs=5, verbose=0)

    workers = [threading.Thread(target=work) for work in (predict, predict, fit, fit)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not any(worker.is_alive() for worker in workers)
    assert wrong == []
    assert moving._network.iterations == 2 * 5 * 57


def test_activation_layers_train_as_activations_of_dense(digits):
    def run(*layers: Any) -> list[float]:
        set_random_seed(3)
        model = Sequential([make() for make in layers])
        model.compile("adam", "sparse_categorical_crossentropy")
        return model.fit(*digits, epochs=2, verbose=0).history["loss"]

    whole = run(lambda: Dense(16, "silu"), lambda: Dense(10, "softmax"))
    parts = run(
        lambda: Dense(16),
        lambda: Activation("silu"),
        lambda: Dense(10),
        lambda: Activation("softmax"),
    )
    assert parts == pytest.approx(whole, rel=1e-4)
