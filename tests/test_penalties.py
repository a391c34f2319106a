"""Penalties that the update itself adds up, and factors of norms that every thread works out."""

import numpy as np
import pytest

from fastnn import reference
from fastnn._native import network as native

# full panels and several units of them, panels that are not full, and ones narrower than a vector
OPS = [
    ("dense", 64, "tanh", True),
    ("dense", 45, "relu", False),
    ("dense", 5, "softmax", True),
]
INPUTS = 150
OPTIMIZERS = [
    "sgd",
    "nesterov",
    "adam",
    "amsgrad",
    "nadam",
    "adamax",
    "rmsprop",
    "centered",
    "adagrad",
    "lion",
]
PENALTIES = {
    "l1": [((0.003, 0.0), (0.02, 0.0)), ((0.002, 0.0), (0.0, 0.0)), ((0.001, 0.0), (0.0, 0.0))],
    "l2": [((0.0, 0.01), (0.0, 0.1)), ((0.0, 0.02), (0.0, 0.0)), ((0.0, 0.03), (0.0, 0.0))],
    "both": [((0.001, 0.01), (0.02, 0.03)), ((0.0, 0.0), (0.0, 0.0)), ((0.003, 0.01), (0.0, 0.2))],
}
EXTRAS = {
    "plain": {},
    "decay": {"weight_decay": 0.1},
    "clipvalue": {"clipvalue": 0.002},
    "clipnorm": {"clipnorm": 0.02},
    "global": {"global_clipnorm": 0.05},
    "accumulated": {"gradient_accumulation_steps": 3},
    "accumulated, clipped": {"gradient_accumulation_steps": 2, "global_clipnorm": 0.05},
}
ROWS = np.arange(110)
SCALES = np.array([1.0, 0.5, 0.0, 2.0])  # of the penalties, in the four steps of a pass


def trained(build, compile_with, problem, engine, dtype, optimizer, penalties, extra, frozen, n):
    """The losses of three passes, of an evaluation, and the weights after them."""
    x, y, weight = problem(len(ROWS), INPUTS, 5, "xent", dtype, labels=True)
    net = build(engine, dtype, INPUTS, OPS)
    for op, penalty in enumerate(PENALTIES[penalties]):
        kernel, bias = penalty
        net.set_penalty(op, kernel, bias)
    for op in frozen:
        net.set_trainable(op, False)
    compile_with(net, "xent", optimizer, **EXTRAS[extra])
    losses = [
        net.train(x, y, weight, ROWS, 32, 0, 1e9, n, penalty_scales=scales)[1]
        for scales in (None, SCALES, None)
    ]
    losses.append(net.evaluate(x, y, weight, ROWS, 0, 1e9, n)[1])
    arrays = [get(op) for op in range(3) for get in (net.get_kernel, net.get_bias)]
    return losses, [array for array in arrays if array is not None]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("penalties", PENALTIES)
@pytest.mark.parametrize("extra", EXTRAS)
def test_both_engines_agree(build, compile_with, problem, optimizer, penalties, extra):
    """The loss is that of the weights before each step, whatever the step does to them."""
    arguments = (build, compile_with, problem)
    for frozen in ((), (1,)):
        # float64's rounding grows through a dozen steps, some of which divide by small roots
        settings = ("float64", optimizer, penalties, extra, frozen, None)
        ours, theirs = (
            trained(*arguments, engine, *settings) for engine in (native.Network, reference.Network)
        )
        np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-10)
        for w, want in zip(ours[1], theirs[1], strict=True):
            np.testing.assert_allclose(w, want, rtol=1e-8, atol=1e-10)
    if optimizer != "lion":  # its steps go by a sign, which rounding turns
        settings = ("float32", optimizer, penalties, extra, (), None)
        ours = trained(*arguments, native.Network, *settings)
        theirs = trained(*arguments, reference.Network, *settings)
        np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("extra", EXTRAS)
def test_same_bits_for_any_number_of_threads(build, compile_with, problem, optimizer, extra):
    one, two, three = (
        trained(
            build, compile_with, problem, native.Network, "float32", optimizer, "both", extra, (), n
        )
        for n in (1, 2, 3)
    )
    for other in (two, three):
        assert other[0] == one[0]
        for w, want in zip(other[1], one[1], strict=True):
            np.testing.assert_array_equal(w, want)


def test_a_step_in_parts_adds_up_the_same_bits(build, compile_with):
    """Steps of more than 24 Gflop a thread (a vector of 16) have their update at the end."""
    x = np.random.default_rng(0).normal(size=(470, 3000)).astype(np.float32)
    y, losses = x[:, :2].copy(), []
    for threads in (1, 2):
        net = build(
            native.Network,
            "float32",
            3000,
            [("dense", 3000, "relu", True), ("dense", 2, "linear", True)],
        )
        net.set_penalty(0, (1e-5, 1e-4), (0.01, 0.1))
        net.set_penalty(1, (0.0, 0.1), (0.0, 0.0))
        compile_with(net, "mse", "sgd")
        penalty = net.penalty()
        losses.append(net.train(x, y, None, np.arange(470), 470, 0, 1e9, threads)[1])
        assert 0 < 470 * penalty < losses[-1]
    assert losses[0] == losses[1]
