"""Learning rates that change by the step."""

import pickle

import numpy as np
import pytest

from fastnn import load_model, reference
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adam, schedules
from fastnn.optimizers.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
from fastnn.utils import set_random_seed

X = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
Y = X[:, :1] * 2 + 1


class NumpySequential(Sequential):
    """The same model in plain NumPy."""

    _network_class = reference.Network


class Harmonic(LearningRateSchedule):
    """A schedule of one's own, which takes a step at a time."""

    def __call__(self, step: int) -> float:
        return 0.1 / (step + 1)


# rates at some steps, worked out by hand
KNOWN = {
    "exponential": (ExponentialDecay(1.0, 4, 0.5), {0: 1, 4: 0.5, 6: 2**-1.5, 8: 0.25}),
    "staircase": (ExponentialDecay(1.0, 4, 0.5, staircase=True), {3: 1, 4: 0.5, 7: 0.5}),
    "inverse": (InverseTimeDecay(1.0, 4, 2.0), {0: 1, 2: 0.5, 4: 1 / 3}),
    "inverse stairs": (InverseTimeDecay(1.0, 4, 2.0, staircase=True), {3: 1, 4: 1 / 3}),
    "polynomial": (PolynomialDecay(1.0, 4, 0.5, 2.0), {0: 1, 2: 0.625, 4: 0.5, 9: 0.5}),
    "cycle": (PolynomialDecay(1.0, 4, 0.0, cycle=True), {0: 1, 3: 0.25, 4: 0, 6: 0.25, 8: 0}),
    "piecewise": (
        PiecewiseConstantDecay([2, 5], [3.0, 2.0, 1.0]),
        {0: 3, 2: 3, 3: 2, 5: 2, 6: 1},
    ),
    "cosine": (CosineDecay(1.0, 4, 0.1), {0: 1, 2: 0.55, 4: 0.1, 9: 0.1}),
    "warm cosine": (
        CosineDecay(0.2, 4, warmup_target=1.0, warmup_steps=2),
        {0: 0.2, 1: 0.6, 2: 1, 4: 0.5, 6: 0, 9: 0},
    ),
    "restarts": (
        CosineDecayRestarts(1.0, 4, m_mul=0.5),
        {0: 1, 2: 0.5, 4: 0.5, 8: 0.25, 12: 0.25, 20: 0.125},
    ),
    "equal restarts": (CosineDecayRestarts(1.0, 4, t_mul=1.0), {0: 1, 4: 1, 6: 0.5, 8: 1}),
    "warm restarts": (
        CosineDecayRestarts(0.0, 4, warmup_target=1.0, warmup_steps=2),
        {0: 0, 1: 0.5, 2: 1, 4: 0.5, 6: 1},
    ),
    "one cycle": (OneCycle(1.0, 11, 0.5), {0: 0.04, 10: 4e-6, 50: 4e-6}),
    "one's own": (Harmonic(), {0: 0.1, 1: 0.05, 4: 0.02}),
}


@pytest.mark.parametrize("name", KNOWN)
def test_rates(name):
    schedule, known = KNOWN[name]
    for step, rate in known.items():
        assert schedule(step) == pytest.approx(rate, abs=1e-15)
    steps = max(known) + 1
    np.testing.assert_array_equal(
        schedule.rates(2, steps), [schedule(step) for step in range(2, steps + 2)]
    )


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "one's own"])
def test_rates_do_not_depend_on_what_was_asked_for_before(name):
    """A training that goes on in the middle has the same bits; what is ahead is no state."""
    schedule, _ = KNOWN[name]
    fresh = pickle.loads(pickle.dumps(schedule))
    whole = schedule.rates(0, 3000)
    for start, count in ((0, 57), (57, 57), (1000, 100), (63, 1), (2990, 10), (5, 0), (64, 2000)):
        np.testing.assert_array_equal(schedule.rates(start, count), whole[start : start + count])
    np.testing.assert_array_equal(fresh.rates(1777, 3), whole[1777:1780])
    schedule.rates(10, 3)[:] = 7  # the caller's own
    np.testing.assert_array_equal(schedule.rates(10, 3), whole[10:13])
    assert len(pickle.dumps(schedule)) < 1000


@pytest.mark.parametrize("engine", [Sequential, NumpySequential])
@pytest.mark.parametrize("optimizer", [SGD, Adam])
@pytest.mark.parametrize("schedule", [ExponentialDecay(0.05, 3, 0.7), Harmonic()])
def test_every_step_has_its_rate(engine, optimizer, schedule):
    """fit, steps one by one, and steps whose rate is set by hand, are the same."""

    def model(rate):
        set_random_seed(1)
        model = engine([Dense(7, "tanh", input_shape=(5,)), Dense(1)])
        model.compile(optimizer(rate), "mse")
        return model

    whole, single, by_hand = model(schedule), model(schedule), model(0.0)
    whole.fit(X, Y, batch_size=30, epochs=2, shuffle=False, verbose=0)
    for step in range(8):
        rows = slice(step % 4 * 30, step % 4 * 30 + 30)
        assert single.optimizer.learning_rate == schedule(step)
        single.train_on_batch(X[rows], Y[rows])
        by_hand.optimizer.learning_rate = schedule(step)
        by_hand.train_on_batch(X[rows], Y[rows])
    for a, b, c in zip(*(m.get_weights() for m in (whole, single, by_hand)), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_a_schedule_is_kept_in_files_and_goes_on(tmp_path):
    model = Sequential([Dense(1, input_shape=(5,))])
    model.compile(SGD(CosineDecay(0.1, 20, warmup_target=0.2, warmup_steps=3)), "mse")
    model.fit(X, Y, batch_size=25, verbose=0, shuffle=False)
    model.save(tmp_path / "m.fastnn")
    again = load_model(tmp_path / "m.fastnn")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert again.optimizer.learning_rate == model.optimizer.learning_rate
    for each in (model, again):
        each.fit(X, Y, batch_size=25, verbose=0, shuffle=False)
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
    own = Sequential([Dense(1, input_shape=(5,))])
    own.compile(SGD(Harmonic()), "mse")
    with pytest.raises(TypeError, match="Harmonic"):
        own.save(tmp_path / "own.fastnn")


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "one's own"])
def test_configs(name):
    schedule, known = KNOWN[name]
    again = schedules.get({"class_name": type(schedule).__name__, "config": schedule.get_config()})
    assert [again(step) for step in known] == [schedule(step) for step in known]


def test_a_schedule_is_not_set_to_a_number():
    optimizer = SGD(Harmonic())
    assert optimizer.learning_rate == 0.1
    with pytest.raises(TypeError, match=r"learning_rate: expected another schedule .* got 0\.5"):
        optimizer.learning_rate = 0.5
    optimizer.learning_rate = ExponentialDecay(0.3, 1, 0.5)
    assert optimizer.learning_rate == 0.3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ExponentialDecay(-1, 1, 0.5), "initial_learning_rate"),
        (lambda: ExponentialDecay(1, 0, 0.5), "decay_steps"),
        (lambda: ExponentialDecay(1, 1, -1), "decay_rate"),
        (lambda: PolynomialDecay(1, 1, power=0), "power"),
        (lambda: PiecewiseConstantDecay([], [1]), "boundaries"),
        (lambda: PiecewiseConstantDecay([2, 1], [1, 2, 3]), "boundaries"),
        (lambda: PiecewiseConstantDecay([1], [1]), "values"),
        (lambda: PiecewiseConstantDecay(1, [1]), "boundaries"),
        (lambda: CosineDecay(1, 1, alpha=2), "alpha"),
        (lambda: CosineDecay(1, 1, warmup_target=-1), "warmup_target"),
        (lambda: CosineDecayRestarts(1, 1, t_mul=0.5), "t_mul"),
        (lambda: OneCycle(1, 1), "total_steps"),
        (lambda: OneCycle(1, 10, pct_start=1), "pct_start"),
        (lambda: SGD("fast"), "learning_rate"),
        (lambda: SGD(lambda step: 0.1), "learning_rate"),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises((ValueError, TypeError), match=f"^{words}: expected"):
        make()


def test_a_schedule_of_ones_own_that_gives_nonsense_is_refused_before_a_step():
    class Bad(LearningRateSchedule):
        def __call__(self, step: int) -> float:
            return -1.0

    model = Sequential([Dense(1, input_shape=(5,))])
    model.compile(SGD(Bad()), "mse")
    before = model.get_weights()[0]
    with pytest.raises(ValueError, match="what Bad gave: expected a number"):
        model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before)
