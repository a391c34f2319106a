"""Which hooks are called, with what, as in Keras."""

from typing import Any

import numpy as np
import pytest

from fastnn.callbacks import (
    Callback,
    CSVLogger,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
)
from fastnn.layers import Dense
from fastnn.losses import SparseCategoricalCrossentropy
from fastnn.metrics import R2Score
from fastnn.models import Sequential
from fastnn.optimizers import LBFGS, SGD
from fastnn.utils import PyDataset, set_random_seed

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4)).astype(np.float32)
LABELS = RNG.integers(0, 3, 50)
HOOKS = [
    f"on_{what}_{when}"
    for what in ("train", "epoch", "train_batch", "test", "test_batch", "predict", "predict_batch")
    for when in ("begin", "end")
]


class Batches(PyDataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        rows = slice(16 * index, 16 * index + 16)
        return X[rows], LABELS[rows]


def classifier(optimizer: Any = "sgd", **compiled: Any) -> Sequential:
    set_random_seed(1)
    model = Sequential([Dense(5, "tanh", input_shape=(4,)), Dense(3, "softmax")])
    arguments = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **compiled}
    model.compile(optimizer, **arguments)
    return model


def recorder(calls: list[Any], then: Any = None) -> Callback:
    """A callback that keeps each hook's name, place and the names in its logs."""

    def hook(name: str) -> Any:
        def record(*arguments: Any) -> None:
            *place, logs = arguments
            calls.append((name, *place, sorted(logs)))
            if then is not None:
                then(name, logs)

        return record

    return LambdaCallback(**{name: hook(name) for name in HOOKS})


def test_fit_calls_the_hooks_of_keras_in_its_order_with_its_logs():
    calls: list[Any] = []
    results, validated = ["accuracy", "loss"], ["accuracy", "loss", "val_accuracy", "val_loss"]
    classifier().fit(
        X, LABELS, batch_size=32, verbose=0, callbacks=[recorder(calls)],
        validation_data=(X[:20], LABELS[:20]), validation_batch_size=16,
    )  # fmt: skip
    assert calls == [
        ("on_train_begin", []),
        ("on_epoch_begin", 0, []),
        ("on_train_batch_begin", 0, []),
        ("on_train_batch_end", 0, results),
        ("on_train_batch_begin", 1, []),
        ("on_train_batch_end", 1, results),
        ("on_test_begin", []),
        ("on_test_batch_begin", 0, []),
        ("on_test_batch_end", 0, results),
        ("on_test_batch_begin", 1, []),
        ("on_test_batch_end", 1, results),
        ("on_test_end", results),
        ("on_epoch_end", 0, validated),
        ("on_train_end", validated),
    ]


@pytest.mark.parametrize("source", [False, True])
def test_evaluate_tells_of_its_batches_and_comes_to_the_same(source):
    model, seen = classifier(metrics=["accuracy"]), []
    tell = LambdaCallback(on_test_batch_end=lambda batch, logs: seen.append((batch, logs["loss"])))
    data = (Batches(),) if source else (X, LABELS, 16)
    got = model.evaluate(*data, verbose=0, callbacks=[tell])
    np.testing.assert_allclose(got, model.evaluate(X, LABELS, verbose=0), rtol=1e-6)
    each = [model.evaluate(X[: 16 * n + 16], LABELS[: 16 * n + 16], verbose=0)[0] for n in range(4)]
    np.testing.assert_allclose(seen, list(enumerate(each)), rtol=1e-6)


def test_evaluate_in_batches_has_metrics_of_outputs():
    set_random_seed(1)
    model = Sequential([Dense(1, input_shape=(4,))])
    model.compile("sgd", "mse", [R2Score()])
    y, weight = X.sum(axis=1), RNG.random(50)
    tell = LambdaCallback(on_test_batch_begin=lambda batch, logs: None)
    got = model.evaluate(X, y, 16, 0, weight, callbacks=[tell])
    np.testing.assert_allclose(got, model.evaluate(X, y, 16, 0, weight), rtol=1e-6)


@pytest.mark.parametrize("source", [False, True])
def test_predict_calls_its_hooks(source):
    calls: list[Any] = []
    sizes: list[int] = []
    keep = recorder(calls, lambda name, logs: sizes.extend(len(y) for y in logs.values()))
    model = classifier()
    got = model.predict(Batches() if source else X, None if source else 16, callbacks=[keep])
    np.testing.assert_array_equal(got, model.predict(X))
    batches = [
        (f"on_predict_batch_{when}", n, logs)
        for n in range(4)
        for when, logs in (("begin", []), ("end", ["outputs"]))
    ]
    assert calls == [("on_predict_begin", []), *batches, ("on_predict_end", [])]
    assert sizes == [16, 16, 16, 2]
    assert model.predict(X[:0], callbacks=[keep]).shape == (0, 3)


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_train_batch_end"])
@pytest.mark.parametrize("source", [False, True])
def test_an_epoch_that_is_told_to_stop_before_it_trains_has_one_batch_as_in_keras(hook, source):
    model = classifier()

    def stop(*_: Any) -> None:
        model.stop_training = True

    batch = LambdaCallback(on_train_batch_begin=lambda batch, logs: None)
    data = (Batches(),) if source else (X, LABELS, 16)
    history = model.fit(
        *data, epochs=3, verbose=0, shuffle=False, callbacks=[LambdaCallback(**{hook: stop}), batch]
    )
    assert model.iterations == 1
    assert history.epoch == [0]
    assert len(history.history["loss"]) == 1


def test_hooks_may_write_into_the_logs_they_are_given():
    def write(*arguments: Any) -> None:
        arguments[-1]["mine"] = "text"

    classifier().fit(
        X, LABELS, verbose=2, callbacks=[LambdaCallback(**dict.fromkeys(HOOKS, write))]
    )


@pytest.mark.parametrize("verbose", [1, 2])
def test_results_that_are_no_numbers_are_shown(verbose, capsys):
    note = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(note="words", none=None))
    classifier().fit(X, LABELS, verbose=verbose, callbacks=[note])
    assert "words" in capsys.readouterr().out


def test_a_history_among_the_callbacks_is_the_models():
    model, mine = classifier(), History()
    assert model.fit(X, LABELS, epochs=2, verbose=0, callbacks=[mine]) is mine
    assert model.history is mine
    assert mine.epoch == [0, 1]


def test_all_callbacks_are_closed_where_one_fails(tmp_path):
    closed: list[str] = []

    class Fails(Callback):
        def close(self) -> None:
            closed.append("fails")
            raise OSError("disk")

    log = CSVLogger(tmp_path / "log.csv")
    with pytest.raises(OSError, match="disk"):
        classifier().fit(X, LABELS, verbose=0, callbacks=[Fails(), log])
    assert closed == ["fails"]
    assert log._file is None


@pytest.mark.parametrize("callback", [ReduceLROnPlateau("loss"), LearningRateScheduler(abs)])
def test_an_optimizer_without_a_learning_rate_is_refused_where_one_is_set(callback):
    model = classifier(LBFGS())
    before = model.get_weights()
    with pytest.raises(ValueError, match="callbacks: expected an optimizer with a learning rate"):
        model.fit(X, LABELS, verbose=0, callbacks=[callback])
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_train_on_batch_takes_keras_arguments_in_its_order():
    weights = {0: 2.0, 2: 0.5}
    each = np.array([weights.get(label, 1.0) for label in LABELS])
    got, expected = classifier(SGD(0.1)), classifier(SGD(0.1))
    logs = got.train_on_batch(X, LABELS, None, weights, True)
    assert logs == expected.train_on_batch(X, LABELS, each, return_dict=True)
    for one, other in zip(got.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert got.test_on_batch(X, LABELS, each, True) == got.evaluate(
        X, LABELS, verbose=0, sample_weight=each, return_dict=True
    )


def test_an_ignored_class_in_batches_that_hooks_see():
    """A batch's mean is over those that count, as in Keras, which has no other."""
    y = np.where(np.arange(50) % 3 == 0, -1, LABELS)
    model = classifier(loss=SparseCategoricalCrossentropy(ignore_class=-1), metrics=[])
    tell = LambdaCallback(on_test_batch_end=lambda batch, logs: None)
    got = model.evaluate(X, y, 16, 0, callbacks=[tell])
    parts = [(X[i : i + 16], y[i : i + 16]) for i in range(0, 50, 16)]
    means = [model.evaluate(*part, verbose=0) for part in parts]
    np.testing.assert_allclose(got, np.average(means, weights=[16, 16, 16, 2]), rtol=1e-6)
