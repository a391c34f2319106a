"""Gradients against finite differences in float64, of the native engine and of its twin."""

import numpy as np
import pytest

from fastnn import reference

ACTIVATIONS = ["linear", *reference.kernels.FORWARD]
# (loss, last activation, class ids): fused from logits, and not
LOSSES = [
    ("mse", "linear", False),
    ("mse", "sigmoid", False),
    ("mse", "softmax", False),
    ("bce", "sigmoid", False),
    ("bce", "softmax", False),
    ("xent", "softmax", False),
    ("xent", "softmax", True),
    ("xent", "sigmoid", False),
    ("xent", "sigmoid", True),
    ("mae", "linear", False),
    ("mape", "linear", False),
    ("msle", "exp", False),
    ("huber", "linear", False),
    ("log_cosh", "linear", False),
    ("quantile", "linear", False),
    ("poisson", "softplus", False),
    ("hinge", "linear", False),
    ("squared_hinge", "linear", False),
    ("categorical_hinge", "softmax", False),
    ("kld", "softmax", False),
    ("cosine", "linear", False),
    ("focal", "sigmoid", False),
    ("focal", "softmax", False),
    ("focal_logits", "linear", False),
]
STEP = 1e-5


def gradient_of(function, net, op, getter, setter):
    """Central differences of function() over every element of a kernel or a bias."""
    start = getter(op)
    gradient = np.empty_like(start)
    for place in np.ndindex(start.shape):
        values = []
        for step in (STEP, -STEP):
            moved = start.copy()
            moved[place] += step
            setter(op, moved)
            values.append(function())
        gradient[place] = (values[0] - values[1]) / (2 * STEP)
    setter(op, start)
    return gradient


def assert_step_is_gradient(net, function, step, ops):
    """Assert that step(), one step of SGD at learning rate 1, moves by the gradient of function."""
    expected = []
    for op in ops:
        expected.append(gradient_of(function, net, op, net.get_kernel, net.set_kernel))
        expected.append(gradient_of(function, net, op, net.get_bias, net.set_bias))
    before = [get(op) for op in ops for get in (net.get_kernel, net.get_bias)]
    step()
    after = [get(op) for op in ops for get in (net.get_kernel, net.get_bias)]
    for old, new, gradient in zip(before, after, expected, strict=True):
        np.testing.assert_allclose(old - new, gradient, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("loss", "last", "labels"), LOSSES)
def test_loss_gradient(engine, build, compile_with, problem, activation, loss, last, labels):
    ops = [
        ("scale_shift",),
        ("dense", 4, activation, True),
        ("activation", "tanh"),
        ("dense", 3, last, True),
    ]
    net = build(engine, "float64", 5, ops)
    compile_with(net, loss, "sgd", learning_rate=1.0)
    x, y, weight = problem(7, 5, 3, loss, "float64", labels)
    index = np.arange(7)

    assert_step_is_gradient(
        net,
        lambda: net.evaluate(x, y, weight, index, 0, 1e9, 1)[1] / 7,
        lambda: net.train(x, y, weight, index, 7, 0, 1e9, 1),
        [1, 3],
    )


@pytest.mark.parametrize(
    ("loss", "last", "labels"),
    [("bce", "sigmoid", False), ("bce", "softmax", False), ("xent", "softmax", True)],
)
def test_smoothed_loss_gradient(engine, build, compile_with, problem, loss, last, labels):
    net = build(engine, "float64", 5, [("dense", 3, last, True)])
    compile_with(net, loss, "sgd", smoothing=0.3, learning_rate=1.0)
    x, y, _ = problem(7, 5, 3, loss, "float64", labels)
    index = np.arange(7)

    assert_step_is_gradient(
        net,
        lambda: net.evaluate(x, y, None, index, 0, 1e9, 1)[1] / 7,
        lambda: net.train(x, y, None, index, 7, 0, 1e9, 1),
        [0],
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backward(engine, build, compile_with, activation):
    """Of sum(dy * y), with respect to weights and x; the activation stands as an op and in one."""
    rng = np.random.default_rng(3)
    ops = [
        ("activation", activation),
        ("dense", 4, "tanh", True),
        ("scale_shift",),
        ("dense", 3, activation, True),
    ]
    net = build(engine, "float64", 5, ops)
    compile_with(net, None, "sgd", learning_rate=1.0)
    x, dy = rng.normal(size=(6, 5)), rng.normal(size=(6, 3))

    def value(x=x):
        return float((dy * net.forward(x, 1)).sum())

    numeric = np.empty_like(x)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += STEP
        down[place] -= STEP
        numeric[place] = (value(up) - value(down)) / (2 * STEP)

    net.forward(x, 1)
    np.testing.assert_allclose(net.backward(dy, 1), numeric, rtol=1e-6, atol=1e-8)

    def step():
        net.forward(x, 1)
        net.backward(dy, 1)
        net.apply_gradients(1)

    assert_step_is_gradient(net, value, step, [1, 3])
