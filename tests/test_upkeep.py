"""What training does to weights beside the optimizer's step: constraints, moving averages, gradients
summed over several steps, learning rates of layers."""

import numpy as np
import pytest

from fastnn import reference
from fastnn._native import network as native

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
