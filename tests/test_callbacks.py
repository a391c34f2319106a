"""What callbacks and the arguments of fit do to training."""

import csv
import sys
from typing import Any

import numpy as np
import pytest

from fastnn import load_model
from fastnn.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
)
from fastnn.callbacks._records import _histogram
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import SGD
from fastnn.utils import set_random_seed

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 6)).astype(np.float32)
LABELS = RNG.integers(0, 3, 90)


def classifier(optimizer: Any = "adam", **compiled: Any) -> Sequential:
    set_random_seed(3)
    model = Sequential([Dense(8, "relu", input_shape=(6,)), Dense(3, "softmax")])
    arguments = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **compiled}
    model.compile(optimizer, **arguments)
    return model


class Told(Callback):
    """Puts numbers of its own into the logs, before the callbacks after it see them."""

    def __init__(self, **values: list[float]) -> None:
        self.values = values

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs.update({name: values[epoch] for name, values in self.values.items()})


def fit(model: Sequential, callbacks: list[Callback], epochs: int, **arguments: Any) -> Any:
    return model.fit(X, LABELS, epochs=epochs, verbose=0, callbacks=callbacks, **arguments)


def assert_same(got: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


# ---- EarlyStopping ------------------------------------------------------------------------------

LOSSES = [5.0, 4.0, 4.5, 3.95, 4.2, 4.1, 3.0, 9.0]


@pytest.mark.parametrize(
    ("arguments", "epochs"),
    [
        ({}, 3),
        ({"patience": 2}, 6),
        ({"patience": 2, "min_delta": 0.1}, 4),
        ({"patience": 2, "min_delta": -0.1}, 4),
        ({"patience": 2, "mode": "max"}, 3),
        ({"patience": 1, "baseline": 4.2}, 3),
        ({"patience": 2, "baseline": 1.0}, 3),
        ({"start_from_epoch": 3}, 5),
        ({"patience": 9}, 8),
    ],
)
def test_early_stopping_ends_at_the_epoch_that_keras_ends_at(arguments, epochs):
    stop = EarlyStopping("loss", **arguments)
    history = fit(classifier(), [Told(loss=LOSSES), stop], len(LOSSES))
    assert len(history.epoch) == epochs
    assert stop.stopped_epoch == (epochs - 1 if epochs < len(LOSSES) else 0)


def test_early_stopping_brings_the_best_weights_back(capsys):
    seen = []
    record = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()))
    stop = EarlyStopping("loss", patience=2, restore_best_weights=True, verbose=1)
    model = classifier()
    fit(model, [record, Told(loss=LOSSES), stop], len(LOSSES))
    assert stop.best_epoch == 3
    assert_same(model.get_weights(), seen[3])
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 6: early stopping",
        "Restoring the weights of the best epoch: 4",
    ]


def test_nan_is_never_the_best():
    stop = EarlyStopping("loss", patience=2, restore_best_weights=True)
    losses = [2.0, float("nan"), 1.0, float("nan"), float("nan")]
    assert len(fit(classifier(), [Told(loss=losses), stop], 5).epoch) == 5
    assert (stop.best, stop.best_epoch) == (1.0, 2)


def test_a_monitor_knows_what_is_better():
    rising = [0.1, 0.2, 0.3, 0.25]
    stop = EarlyStopping("val_accuracy")
    told = Told(val_accuracy=rising)
    assert len(fit(classifier(), [told, stop], 4, validation_split=0.2).epoch) == 4
    assert stop.best == 0.3
    with pytest.raises(ValueError, match=r"monitor: expected one of loss, accuracy .* got 'bits'"):
        fit(classifier(), [Told(bits=rising), EarlyStopping("bits")], 4)
    assert len(fit(classifier(), [Told(bits=rising), EarlyStopping("bits", mode="max")], 4).epoch)


def test_a_number_that_is_not_there_is_warned_of_once():
    with pytest.warns(UserWarning, match="expected 'val_loss' among .* got loss, acc") as caught:
        history = fit(classifier(), [EarlyStopping()], 3)
    assert (len(caught), len(history.epoch)) == (1, 3)


def test_a_callback_ends_the_epoch_at_its_batch():
    seen = []

    def stop(batch: int, logs: Any) -> None:
        seen.append(batch)
        model.stop_training = batch == 1

    model = classifier()
    fit(model, [LambdaCallback(on_train_batch_end=stop)], 3, batch_size=10)
    assert seen == [0, 1]
    assert model.optimizer.iterations == 2


# ---- learning rates -----------------------------------------------------------------------------


def test_reduce_lr_on_plateau():
    losses = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5]
    slower = ReduceLROnPlateau("loss", factor=0.5, patience=2, cooldown=1, min_lr=0.03)
    model = classifier(SGD(0.1))
    history = fit(model, [Told(loss=losses), slower], len(losses)).history
    rates = [0.1, 0.1, 0.1, 0.05, 0.05, 0.03, 0.03, 0.03, 0.03]
    np.testing.assert_allclose(history["learning_rate"], rates)


def test_learning_rate_scheduler(capsys):
    one = LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1), verbose=1)
    history = fit(classifier(), [one], 2).history
    np.testing.assert_allclose(history["learning_rate"], [0.1, 0.05])
    assert capsys.readouterr().out.splitlines()[1] == "Epoch 2: learning rate 0.05"
    two = LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    history = fit(classifier(SGD(0.4)), [two], 2).history
    np.testing.assert_allclose(history["learning_rate"], [0.2, 0.1])
    for wrong, error in ((lambda epoch: "1", TypeError), (lambda epoch: -1.0, ValueError)):
        with pytest.raises(error, match="what schedule gave"):
            fit(classifier(), [LearningRateScheduler(wrong)], 1)


# ---- files --------------------------------------------------------------------------------------


def test_csv_logger(tmp_path):
    file = tmp_path / "log.csv"
    fit(classifier(), [CSVLogger(file)], 2, validation_split=0.2, validation_freq=2)
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    # the names of the first epoch, and those that its validation would have had
    names = ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert list(rows[0]) == names
    assert rows[0]["val_loss"] == "NA"
    assert 0 < float(rows[1]["val_loss"]) < 9
    fit(classifier(), [CSVLogger(file, append=True)], 1)
    with file.open(newline="") as lines:
        assert [row["epoch"] for row in csv.DictReader(lines)] == ["0", "1", "0"]
    fit(classifier(), [CSVLogger(file, separator=";")], 1)
    assert file.read_text().splitlines()[0] == ";".join(names)


def test_model_checkpoint_saves_each_epoch(tmp_path, capsys):
    model = classifier()
    path = tmp_path / "deep" / "{epoch:02d}-{loss:.1f}.fastnn"
    keep = ModelCheckpoint(path, verbose=1)
    fit(model, [Told(loss=[2.0, 1.0]), keep], 2)
    assert sorted(p.name for p in path.parent.iterdir()) == ["01-2.0.fastnn", "02-1.0.fastnn"]
    again = load_model(path.parent / "02-1.0.fastnn")
    assert_same(again.get_weights(), model.get_weights())
    assert again.optimizer.iterations == model.optimizer.iterations
    assert capsys.readouterr().out.splitlines()[0].startswith("Epoch 1: saved to ")
    with pytest.raises(KeyError, match=r"filepath: expected names among epoch, .*; got 'val_loss'"):
        fit(model, [ModelCheckpoint(tmp_path / "{val_loss}.fastnn")], 1)


def test_model_checkpoint_keeps_the_best_weights(tmp_path):
    path, seen = tmp_path / "best.fastnn", []
    record = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()))
    best = ModelCheckpoint(path, "loss", save_best_only=True, save_weights_only=True)
    model = classifier()
    fit(model, [record, Told(loss=[3.0, 1.0, 2.0]), best], 3)
    other = classifier()
    other.load_weights(path)
    assert_same(other.get_weights(), seen[1])
    floor = ModelCheckpoint(path, "loss", save_best_only=True, initial_value_threshold=0.5)
    fit(classifier(), [Told(loss=[3.0]), floor], 1)
    other.load_weights(path)
    assert_same(other.get_weights(), seen[1])


def test_model_checkpoint_saves_every_few_batches(tmp_path):
    keep = ModelCheckpoint(tmp_path / "{epoch}-{batch}", save_freq=4)
    fit(classifier(), [keep], 2, batch_size=15)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1-4", "2-2", "2-6"]


def test_weights_of_another_model_are_refused(tmp_path):
    path = tmp_path / "weights.fastnn"
    model = classifier()
    fit(model, [], 1)
    model.save_weights(path)
    for layers in ([Dense(8, input_shape=(6,))], [Dense(9, input_shape=(6,)), Dense(3)]):
        other = Sequential(layers)
        before = other.get_weights()
        with pytest.raises(ValueError, match=r"weights\.fastnn"):
            other.load_weights(path)
        assert_same(other.get_weights(), before)
    sgd = classifier("sgd")  # takes the weights, without Adam's state
    sgd.load_weights(path)
    assert_same(sgd.get_weights(), model.get_weights())
    assert sgd.optimizer.iterations == 0
    unbuilt = Sequential([Dense(8, "relu"), Dense(3, "softmax")])
    unbuilt.load_weights(path)
    np.testing.assert_array_equal(unbuilt.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="save_weights: expected a built model"):
        Sequential([Dense(3)]).save_weights(path)
    with pytest.raises(FileExistsError):
        model.save_weights(path, overwrite=False)


def test_training_goes_on_from_loaded_weights(tmp_path):
    model = classifier()
    fit(model, [], 2, shuffle=False)
    model.save_weights(tmp_path / "two")
    fit(model, [], 1, shuffle=False)
    other = classifier()
    other.load_weights(tmp_path / "two")
    fit(other, [], 1, shuffle=False)
    assert_same(other.get_weights(), model.get_weights())


def test_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        TensorBoard(tmp_path, 0, False, False, False, "epoch", 0, 0, None)
    for name, value in (
        ("histogram_freq", -1),
        ("write_images", True),
        ("write_steps_per_second", True),
        ("update_freq", "batch"),
        ("profile_batch", 2),
        ("embeddings_freq", 1),
        ("embeddings_metadata", {}),
    ):
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            TensorBoard(tmp_path, **{name: value})


def test_tensorboard_writes_what_tensorboard_reads(tmp_path):
    loader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_file_loader",
        reason="tensorboard is missing: pip install tensorboard",
    )
    fit(classifier(), [TensorBoard(tmp_path)], 2, validation_split=0.2)
    for part in ("train", "validation"):
        (file,) = (tmp_path / part).iterdir()
        events = [e for e in loader.LegacyEventFileLoader(str(file)).Load() if e.summary.value]
        assert {v.tag for e in events for v in e.summary.value} == {"epoch_loss", "epoch_accuracy"}
        assert {e.step for e in events} == {0, 1}


def test_histograms_of_any_numbers():
    for values in ([1e15], [3e38, 3e38], [0.0], [-1e15, 1e15], [1.0, 1.0 + 1e-7]):
        array = np.array(values, np.float32)
        found = _histogram(array)
        assert sum(found["bucket"]) == found["num"] == len(values)
        assert len(found["bucket_limit"]) == len(found["bucket"])
        assert found["bucket_limit"][-1] == found["max"] == array.max()
    assert sum(_histogram(np.arange(40.0))["bucket"][:15]) == 20
    assert _histogram(np.array([np.nan, np.inf])) == {}


def test_tensorboard_writes_histograms_of_the_weights(tmp_path):
    loader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_file_loader",
        reason="tensorboard is missing: pip install tensorboard",
    )
    model = classifier()
    model.trainable = False
    weights = model.get_weights()
    weights[1][:] = np.nan
    model.set_weights(weights)
    with np.errstate(all="ignore"):
        fit(model, [TensorBoard(tmp_path, histogram_freq=2)], 3)
    (file,) = (tmp_path / "train").iterdir()
    events = loader.LegacyEventFileLoader(str(file)).Load()
    read = [
        (e.step, v.tag, v.histo) for e in events for v in e.summary.value if v.HasField("histo")
    ]
    first, second = (layer.name for layer in model.layers)
    names = [f"{first}/kernel", f"{second}/kernel", f"{second}/bias"]  # no range of NaN
    tags = [f"{name}/histogram" for name in names]
    assert [(step, tag) for step, tag, _ in read] == [
        (step, tag) for step in (0, 2) for tag in tags
    ]
    values, kernel = read[0][2], weights[0].astype(float)
    assert (values.num, sum(values.bucket)) == (48, 48)
    assert (values.min, values.max) == (kernel.min(), kernel.max())
    np.testing.assert_allclose(values.sum_squares, (kernel**2).sum())


# ---- others -------------------------------------------------------------------------------------


def test_terminate_on_nan():
    huge = SGD(1e30)
    model = classifier(huge)
    with np.errstate(all="ignore"):
        assert len(fit(model, [TerminateOnNaN()], 9).epoch) < 9
        with pytest.raises(RuntimeError, match="TerminateOnNaN: the loss is"):
            fit(classifier(SGD(1e30)), [TerminateOnNaN(raise_error=True)], 9)
    assert len(fit(classifier(), [TerminateOnNaN()], 3).epoch) == 3


def test_lambda_callback_and_the_other_names_of_hooks():
    calls: list[Any] = []
    hooks = {
        "on_train_begin": lambda logs: calls.append("train"),
        "on_epoch_begin": lambda epoch, logs: calls.append(epoch),
        "on_batch_end": lambda batch, logs: calls.append(("batch", batch)),
        "on_test_end": lambda logs: calls.append("tested"),
    }
    fit(classifier(), [LambdaCallback(**hooks)], 1, batch_size=60, validation_data=(X, LABELS))
    assert calls == ["train", 0, ("batch", 0), ("batch", 1), "tested"]
    with pytest.raises(TypeError, match="expected hooks of Callback, got 'on_fire'"):
        LambdaCallback(on_fire=print)
    with pytest.raises(TypeError, match="on_epoch_end: expected a function, got 3"):
        LambdaCallback(on_epoch_end=3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EarlyStopping(mode="up"), "mode"),
        (lambda: EarlyStopping(monitor=3), "monitor"),
        (lambda: EarlyStopping(patience=-1), "patience"),
        (lambda: EarlyStopping(min_delta="1"), "min_delta"),
        (lambda: EarlyStopping(baseline=float("nan")), "baseline"),
        (lambda: ReduceLROnPlateau(factor=1.0), "factor"),
        (lambda: ReduceLROnPlateau(cooldown=-1), "cooldown"),
        (lambda: ModelCheckpoint(3), "filepath"),
        (lambda: ModelCheckpoint("a", save_freq=0), "save_freq"),
        (lambda: ModelCheckpoint("a", save_freq="batch"), "save_freq"),
        (lambda: CSVLogger("a", separator="ab"), "separator"),
        (lambda: LearningRateScheduler(0.1), "schedule"),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises((ValueError, TypeError), match=f"^{words}: expected"):
        make()


# ---- arguments of fit ---------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [{0: 2.0, 2: 0.25}, {1: 0}, "balanced"])
@pytest.mark.parametrize("one_hot", [False, True])
def test_class_weight_is_a_weight_of_each_sample(weights, one_hot):
    labels = np.where(LABELS == 1, 0, LABELS)  # 0 twice as often
    if weights == "balanced":
        counts = np.bincount(labels, minlength=3)
        each = 90 / (2 * np.maximum(counts, 1))
    else:
        each = np.array([weights.get(c, 1.0) for c in range(3)])
    y = np.eye(3)[labels] if one_hot else labels
    loss = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
    own = RNG.uniform(0.5, 2, 90)
    got, expected = classifier(loss=loss), classifier(loss=loss)
    arguments = {"epochs": 2, "verbose": 0, "shuffle": False}
    a = got.fit(X, y, class_weight=weights, sample_weight=own, **arguments).history
    b = expected.fit(X, y, sample_weight=each[labels] * own, **arguments).history
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-6)
    for one, other in zip(got.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_class_weight_of_one_output_and_of_no_validation():
    y = (LABELS > 0).astype(float)
    set_random_seed(0)
    model = Sequential([Dense(1, "sigmoid", input_shape=(6,))])
    model.compile("sgd", "binary_crossentropy")
    weights = model.get_weights()
    arguments = {"epochs": 1, "verbose": 0, "shuffle": False, "validation_split": 0.2}
    a = model.fit(X, y, class_weight={0: 3.0, 1: 0.0}, **arguments).history
    model.set_weights(weights)
    b = model.fit(X, y, sample_weight=np.where(y == 0, 3.0, 0.0), **arguments).history
    assert a["loss"] == b["loss"]
    plain = model.evaluate(X[72:], y[72:], verbose=0)
    np.testing.assert_allclose(a["val_loss"], plain, rtol=1e-6)
    with pytest.raises(ValueError, match="class_weight: expected targets of 0 and 1"):
        model.fit(X, y + 0.5, class_weight={0: 2.0}, verbose=0)


@pytest.mark.parametrize(("frequency", "epochs"), [(2, [1, 3]), ([1, 4], [0, 3]), (5, [])])
def test_validation_freq(frequency, epochs):
    seen = []
    record = LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(epoch) if "val_loss" in logs else None
    )
    history = fit(
        classifier(), [record], 4, validation_data=(X, LABELS), validation_freq=frequency
    ).history
    assert seen == epochs
    assert len(history.get("val_loss", [])) == len(epochs)


def test_validation_steps():
    model = classifier()
    data = (X, LABELS)
    some = fit(model, [], 1, validation_data=data, validation_steps=2, validation_batch_size=7)
    expected = model.evaluate(X[:14], LABELS[:14], verbose=0, return_dict=True)
    assert some.history["val_loss"] == [expected["loss"]]


@pytest.mark.parametrize("shuffle", [False, True])
def test_steps_per_epoch_go_on_where_the_last_epoch_ended(shuffle):
    taken: list[np.ndarray] = []

    class Spy:
        def __init__(self, network: Any) -> None:
            self.network = network

        def train(self, x: Any, y: Any, w: Any, index: np.ndarray, *rest: Any) -> Any:
            taken.append(index)
            return self.network.train(x, y, w, index, *rest)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.network, name)

    model = classifier()
    model._network = Spy(model._network)
    fit(model, [], 5, batch_size=18, steps_per_epoch=2, shuffle=shuffle)
    assert [len(index) for index in taken] == [36] * 5
    order = np.concatenate(taken)
    for start in (0, 90):
        assert sorted(order[start : start + 90]) == list(range(90))
    assert (order[:90] == np.arange(90)).all() == (not shuffle)
    assert model.optimizer.iterations == 10
