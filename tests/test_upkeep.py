"""What training does beside the optimizer's step: constraints, moving averages of weights,
gradients summed over several steps, learning rates of layers."""

import inspect
import pickle

import numpy as np
import pytest

from fastnn import load_model, reference
from fastnn._native import network as native
from fastnn._sparse import CSR
from fastnn.constraints import MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from fastnn.layers import Dense
from fastnn.models import Sequential, clone_model
from fastnn.optimizers import SGD, Adam
from fastnn.optimizers.schedules import ExponentialDecay
from fastnn.utils import set_random_seed

OPS = [("dense", 33, "tanh", True), ("dense", 40, "relu", True), ("dense", 4, "softmax", True)]
NORM = ("norm", 0.0, 0.6, 1.0)
CONSTRAINTS = {
    "free": (None, None),
    "max": (NORM, ("norm", 0.0, 0.3, 1.0)),
    "unit": (("norm", 1.0, 1.0, 1.0), None),
    "slow": (("norm", 0.5, 0.8, 0.3), ("norm", 0.2, 0.4, 0.5)),
    "non_neg": (("non_neg",), ("non_neg",)),
}
EXTRAS = {
    "plain": {},
    "ema": {"use_ema": True, "ema_momentum": 0.8},
    "overwritten": {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    "summed": {"gradient_accumulation_steps": 3},
    "all": {
        "use_ema": True,
        "ema_momentum": 0.8,
        "ema_overwrite_frequency": 2,
        "gradient_accumulation_steps": 2,
    },
}


def prepare(net, constraint="free", rates=(1.0, 1.0, 1.0)):
    for op, rate in enumerate(rates):
        net.set_constraint(op, *CONSTRAINTS[constraint])
        net.set_rate(op, rate)
        net.set_penalty(op, (0.0, 0.001), (0.002, 0.0))


def results(net, x, y, weight, threads=None):
    """Sums of a training of steps in the engine and in the caller's hands, weights and slots."""
    index = np.arange(len(x))
    sums = [net.train(x, y, weight, index, 16, 0, 1e9, threads)[1] for _ in range(3)]
    for _ in range(4):
        p = net.forward(x, threads)
        net.backward((p - 0.25) / len(x), threads)
        net.apply_gradients(threads)
    arrays = [get(op) for op in range(3) for get in (net.get_kernel, net.get_bias)]
    for name in net.slot_names:
        arrays += [part for op in range(3) for part in net.get_slot(name, op)]
    return [np.asarray(sums), *arrays, net.forward(x, threads)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "decay", "nadam", "clipnorm", "centered"])
@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_both_engines_agree(build, compile_with, problem, dtype, optimizer, extra, constraint):
    x, y, weight = problem(70, 20, 4, "xent", dtype, labels=True)
    tight = {"rtol": 1e-3, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}
    both = []
    for engine in (native.Network, reference.Network):
        net = build(engine, dtype, 20, OPS)
        compile_with(net, "xent", optimizer, **EXTRAS[extra])
        prepare(net, constraint, (1.0, 0.5, 2.0))
        both.append(results(net, x, y, weight))
    for ours, theirs in zip(*both, strict=True):
        np.testing.assert_allclose(ours, theirs, **tight)


@pytest.mark.parametrize("optimizer", ["adam", "global_clipnorm", "rmsprop"])
@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("threads", [2, 3, 7])
def test_same_bits_for_any_number_of_threads(
    build, compile_with, problem, optimizer, extra, threads
):
    x, y, weight = problem(171, 150, 4, "xent", "float32", labels=True)
    both = []
    for n in (1, threads):
        net = build(native.Network, "float32", 150, OPS)
        compile_with(net, "xent", optimizer, **EXTRAS[extra])
        prepare(net, "slow")
        both.append(results(net, x, y, weight, n))
    for one, other in zip(*both, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_constraints_hold_and_products_read_them(build, compile_with, problem, bfloat16):
    x, y, _ = problem(70, 20, 4, "xent", "float32", labels=True)
    ops = [(*op, *(("bfloat16",) if bfloat16 else ())) for op in OPS]
    net = build(native.Network, "float32", 20, ops)
    compile_with(net, "xent", "adam")
    prepare(net, "max")
    net.train(x, y, None, np.arange(70), 16, 0, 1e9, None)
    for op in range(3):
        assert np.linalg.norm(net.get_kernel(op), axis=0).max() < 0.6 * (1 + 1e-5)
        assert np.linalg.norm(net.get_bias(op)) < 0.3 * (1 + 1e-5)
    fresh = build(native.Network, "float32", 20, ops)
    for op in range(3):
        fresh.set_kernel(op, net.get_kernel(op))
        fresh.set_bias(op, net.get_bias(op))
    for each in (net, fresh):
        each.compile("mse", None, [], {})
    np.testing.assert_array_equal(net.forward(x, None), fresh.forward(x, None))
    dy = np.ones((70, 4), np.float32)
    np.testing.assert_array_equal(net.backward(dy, None), fresh.backward(dy, None))


def test_a_sum_is_the_gradient_of_the_mean_over_all(build, problem):
    x, y, weight = problem(70, 20, 4, "xent", "float64", labels=True)
    whole, parts, twin = (
        build(engine, "float64", 20, OPS)
        for engine in (native.Network, native.Network, reference.Network)
    )
    for net, batch in ((whole, 70), (parts, 16), (twin, 16)):
        net.compile("xent", "sum", [], {})
        before = net.get_kernel(1)
        net.train(x, y, weight, np.arange(70), batch, 0, 1e9, None)
        np.testing.assert_array_equal(net.get_kernel(1), before)
    for op in range(3):
        for one, other, third in zip(
            *(net.get_slot("sums", op) for net in (whole, parts, twin)), strict=True
        ):
            np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(third, one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
@pytest.mark.parametrize(("dtype", "huge"), [("float32", 1e25), ("float64", 1e200)])
def test_gradients_whose_squares_overflow_are_clipped(build, compile_with, dtype, huge, clip):
    ops = [("dense", 3, "linear", True)]
    net = build(native.Network, dtype, 4, ops)
    compile_with(net, "mse", "sgd", **{"learning_rate": 0.1, clip: 1.0})
    before = net.get_kernel(0)
    x, y = np.ones((8, 4), dtype), np.full((8, 3), huge, dtype)
    net.train(x, y, None, np.arange(8), 8, 0, 1e9, None)
    assert np.linalg.norm(net.get_kernel(0) - before) <= 0.1 * (1 + 1e-5)
    assert np.isfinite(net.get_bias(0)).all()


def test_a_frozen_op_keeps_no_sums_of_old_gradients(engine, build, compile_with, problem):
    """Updates while it is frozen are not its own: what was summed before must not come back."""
    x, y, _ = problem(64, 20, 4, "xent", "float64", labels=True)
    net = build(engine, "float64", 20, OPS)
    compile_with(net, "xent", "sgd", gradient_accumulation_steps=2)
    step = [(x, y, None, np.arange(16 * i, 16 * i + 16), 16, 0, 1e9, None) for i in range(4)]
    net.train(*step[0])
    assert net.get_slot("sums", 0)[0].any()
    net.set_trainable(0, False)
    net.train(*step[1])
    net.set_trainable(0, True)
    for sums in net.get_slot("sums", 0):
        assert not sums.any()
    net.set_trainable(0, True)  # says nothing new
    net.train(*step[2])
    before = net.get_slot("sums", 0)
    net.set_trainable(0, True)
    for kept, sums in zip(before, net.get_slot("sums", 0), strict=True):
        assert sums.any()
        np.testing.assert_array_equal(sums, kept)


def test_backward_does_not_read_what_forward_did_not_keep(build, compile_with):
    x = np.random.default_rng(0).normal(size=(9, 6))
    dy = np.ones((9, 3))
    ops = [("dense", 3, "linear", True), ("batch_norm", 0.9, 1e-3, True, True)]
    net = build(native.Network, "float64", 6, ops)
    compile_with(net, None, "sgd")
    rows = CSR(np.arange(10), np.arange(9) % 6, x[:, 0].copy(), 6)
    for op, data in ((1, x), (0, rows)):
        for value in (False, True):
            net.forward(data, training=True)
            net.set_trainable(op, value)
            with pytest.raises(RuntimeError, match="call forward first"):
                net.backward(dy)
    net.forward(x, training=True)
    net.set_trainable(0, False)  # of a dense op it reads no more than its rows
    assert net.backward(dy).shape == x.shape


X = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
Y = X[:, :1] - 0.5
FIT = {"epochs": 2, "batch_size": 16, "shuffle": False, "verbose": 0}


def model(optimizer, **arguments) -> Sequential:
    set_random_seed(0)
    model = Sequential([Dense(8, "tanh", input_shape=(6,), **arguments), Dense(1)])
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize(
    "constraint", [MaxNorm(0.4), UnitNorm(), NonNeg(), MinMaxNorm(0.3, 0.5, 0.7)]
)
def test_a_layer_is_held_by_its_constraint(constraint):
    """One step of a model, and the step of one without followed by the constraint."""
    free, held = (
        model("sgd"),
        model("sgd", kernel_constraint=constraint, bias_constraint=constraint),
    )
    for each in (free, held):
        each.train_on_batch(X, Y)
    for ours, weight in zip(
        held.layers[0].get_weights(), free.layers[0].get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, constraint(weight), rtol=1e-5, atol=1e-7)


def test_an_average_becomes_the_weights_when_fit_ends():
    optimizer = Adam(use_ema=True, ema_momentum=0.5)
    net, plain = model(optimizer), model("adam")
    mean = None
    for _ in range(3):
        for start in range(0, 100, 16):
            plain.train_on_batch(X[start : start + 16], Y[start : start + 16])
            weights = [w.astype(np.float64) for w in plain.get_weights()]
            old = mean or weights
            mean = [0.5 * a + 0.5 * w for a, w in zip(old, weights, strict=True)]
    net.fit(X, Y, **{**FIT, "epochs": 3})
    for ours, expected in zip(net.get_weights(), mean, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


def test_a_layer_that_is_trained_again_has_no_average_of_before():
    net = model(SGD(0.01, use_ema=True, ema_momentum=0.99))
    net.layers[0].trainable = False
    net.fit(X, Y, **FIT)
    before = net.layers[0].kernel
    net.layers[0].trainable = True
    net.fit(X, Y, **FIT)
    assert 0 < np.abs(net.layers[0].kernel - before).max() < 0.05


def test_steps_of_parts_of_a_batch_are_a_step_of_the_batch():
    whole, parts = model(Adam(0.01)), model(Adam(0.01, gradient_accumulation_steps=4))
    before = parts.get_weights()
    for start in range(0, 96, 24):
        if start:
            assert all(map(np.array_equal, before, parts.get_weights()))
        parts.train_on_batch(X[start : start + 24], Y[start : start + 24])
    whole.train_on_batch(X[:96], Y[:96])
    for ours, expected in zip(parts.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
    assert (parts.iterations, parts.optimizer.iterations) == (4, 1)
    parts.compile(Adam(ExponentialDecay(0.1, 1, 0.5), gradient_accumulation_steps=4), "mse")
    parts.train_on_batch(X, Y)
    assert parts.optimizer.learning_rate == pytest.approx(0.05)  # schedules go by steps


def test_a_multiplier_scales_steps_and_decay():
    nets = [
        model(SGD(rate, weight_decay=0.1), learning_rate_multiplier=multiplier)
        for rate, multiplier in ((0.2, 1.0), (0.1, 2.0))
    ]
    for net in nets:
        net.train_on_batch(X, Y)
    one, two = (net.layers[0].kernel for net in nets)
    np.testing.assert_allclose(one, two, rtol=1e-5)
    first = nets[0].layers[0]
    first.learning_rate_multiplier = 0
    before = first.get_weights()
    nets[0].train_on_batch(X, Y)
    assert all(map(np.array_equal, before, first.get_weights()))
    with pytest.raises(ValueError, match=r"learning_rate_multiplier: .*-1"):
        first.learning_rate_multiplier = -1
    assert first.learning_rate_multiplier == 0


def test_slots_that_are_missing_need_compile():
    net = model("adam")
    net.train_on_batch(X, Y)
    net.optimizer.use_ema = True
    with pytest.raises(ValueError, match=r"use_ema.*compile again"):
        net.train_on_batch(X, Y)
    net.compile(net.optimizer, "mse")
    net.train_on_batch(X, Y)


def test_all_of_it_is_kept_in_files_and_copies(tmp_path):
    optimizer = Adam(
        use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=2, gradient_accumulation_steps=2
    )
    net = model(
        optimizer,
        kernel_constraint=MinMaxNorm(0.1, 0.9, 0.5),
        bias_constraint="non_neg",
        learning_rate_multiplier=0.5,
    )
    for _ in range(3):  # in the middle of a sum
        net.train_on_batch(X, Y)
    net.save(tmp_path / "m.fastnn")
    again = load_model(tmp_path / "m.fastnn")
    copies = [again, pickle.loads(pickle.dumps(net))]
    clone = clone_model(net)
    assert clone.get_config() == again.get_config() == net.get_config()
    assert again.optimizer.get_config() == net.optimizer.get_config()
    net.fit(X, Y, **FIT)
    for each in copies:
        each.fit(X, Y, **FIT)
        assert all(map(np.array_equal, net.get_weights(), each.get_weights()))


def test_optimizers_show_their_arguments():
    assert list(inspect.signature(Dense).parameters)[:2] == ["units", "activation"]
    names = list(inspect.signature(SGD).parameters)
    assert names[:4] == ["learning_rate", "momentum", "nesterov", "weight_decay"]
    assert names[4:6] == ["clipnorm", "clipvalue"]
    assert names[-1] == "name"
    with pytest.raises(ValueError, match="one of them"):
        SGD(clipnorm=1.0, clipvalue=1.0)
