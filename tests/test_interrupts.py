"""Ctrl-C at moments that are hard to hit: the model, its lock and its threads survive it."""

import signal
import threading
from typing import Any

import numpy as np
import pytest

from fastnn import trainer
from fastnn._lock import ModelLock
from fastnn.layers import Dense
from fastnn.models import Sequential

X = np.linspace(-1, 1, 40).reshape(20, 2)
Y = X.sum(axis=1)


def regressor() -> Sequential:
    model = Sequential([Dense(1, input_shape=(2,))])
    model.compile("sgd", "mse")
    return model


def batches() -> Any:
    while True:
        yield X, Y


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_fit_that_is_interrupted_before_it_begins_leaves_a_model_that_fits(monkeypatch):
    model = regressor()
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "Fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y, verbose=0)
    assert model.fit(X, Y, verbose=0).epoch == [0]


def test_a_thread_of_batches_that_is_interrupted_as_it_starts_ends(monkeypatch):
    start = threading.Thread.start

    def start_and_interrupt(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    model = regressor()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.fit(batches(), steps_per_epoch=5, verbose=0)
    assert not [t for t in threading.enumerate() if t.name.startswith("fastnn batches")]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupt)  # it never runs
        with pytest.raises(KeyboardInterrupt):
            model.fit(batches(), steps_per_epoch=5, verbose=0)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="has no timers that interrupt")
def test_an_interrupted_lock_is_free():
    lock, interrupts = ModelLock(), 0
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        while interrupts < 300:
            try:
                signal.setitimer(signal.ITIMER_REAL, 2e-5 + interrupts * 1e-7)
                while True:
                    with lock:
                        pass
            except KeyboardInterrupt:
                interrupts += 1
            got: list[bool] = []
            other = threading.Thread(target=lambda: got.append(lock.acquire(timeout=0)))  # noqa: B023
            other.start()
            other.join()
            assert got == [True]
            lock = ModelLock()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
