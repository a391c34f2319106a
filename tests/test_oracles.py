"""Training steps in float64 against PyTorch's gradients and optimizers."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is missing: pip install 'fastnn[oracles]'")
torch.set_num_threads(1)  # its matrices are small here
pytestmark = pytest.mark.oracles

ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": torch.relu,
    "relu6": torch.nn.functional.relu6,
    "leaky_relu": lambda z: torch.nn.functional.leaky_relu(z, 0.2),
    "elu": torch.nn.functional.elu,
    "selu": torch.selu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "softplus": torch.nn.functional.softplus,
    "log_sigmoid": torch.nn.functional.logsigmoid,
    "softsign": torch.nn.functional.softsign,
    "hard_tanh": torch.nn.functional.hardtanh,
    "hard_sigmoid": lambda z: torch.nn.functional.relu6(z + 3) / 6,  # torch's own: float32's 1/6
    "hard_silu": torch.nn.functional.hardswish,
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda z: torch.nn.functional.gelu(z, approximate="tanh"),
    "mish": torch.nn.functional.mish,
    "softmax": lambda z: torch.softmax(z, 1),
    "log_softmax": lambda z: torch.log_softmax(z, 1),
}
CLIP = 1e-7


def cross_entropy(p, t):
    if t.ndim == 1:
        t = torch.nn.functional.one_hot(t.long(), p.shape[1])
    q = (p / p.sum(1, keepdim=True)).clip(CLIP, 1 - CLIP)
    return -(t * q.log()).sum(1)


LOSSES = {
    "mse": lambda p, t: ((p - t) ** 2).mean(1),
    "bce": lambda p, t: torch.nn.functional.binary_cross_entropy(
        p.clip(CLIP, 1 - CLIP), t, reduction="none"
    ).mean(1),
    "xent": cross_entropy,
    "mae": lambda p, t: torch.nn.functional.l1_loss(p, t, reduction="none").mean(1),
    "huber": lambda p, t: torch.nn.functional.huber_loss(p, t, reduction="none", delta=0.7).mean(1),
    "poisson": lambda p, t: torch.nn.functional.poisson_nll_loss(
        p, t, log_input=False, eps=CLIP, reduction="none"
    ).mean(1),
    "kld": lambda p, t: torch.nn.functional.kl_div(p.log(), t, reduction="none").sum(1),
    "cosine": lambda p, t: -torch.nn.functional.cosine_similarity(p, t),
    "quantile": lambda p, t: torch.maximum(0.8 * (t - p), -0.2 * (t - p)).mean(1),
    "focal_xent": lambda p, t: -(0.25 * smoothed(t) * (1 - p) ** 1.5 * p.log()).sum(1),
    # conftest's numbers: variances are at least exp(-3), and 0.9 is added
    "gaussian_nll": lambda p, t: (
        torch.nn.functional.gaussian_nll_loss(
            p[:, :3], t, p[:, 3:].exp(), eps=np.exp(-3), reduction="none"
        ).mean(1)
        + 0.9
    ),
}


def smoothed(t):
    return t + 0.1 * (1 / t.shape[1] - t)


class TorchNetwork:
    """The network of `net`, in PyTorch."""

    def __init__(self, net):
        self.ops = net.ops
        self.weights = {}
        for op, (kind, *_) in enumerate(net.ops):
            if kind == "dense":
                for name, value in (("kernel", net.get_kernel(op)), ("bias", net.get_bias(op))):
                    self.weights[op, name] = torch.tensor(value, requires_grad=True)
            elif kind == "scale_shift":
                self.scale, self.shift = map(torch.tensor, net.get_scale_shift(op))

    def __call__(self, y):
        for op, (kind, *arguments) in enumerate(self.ops):
            if kind == "dense":
                z = y @ self.weights[op, "kernel"] + self.weights[op, "bias"]
                y = ACTIVATIONS[arguments[1]](z)
            elif kind == "activation":
                y = ACTIVATIONS[arguments[0]](y)
            else:
                y = y * self.scale + self.shift
        return y

    def assert_same_weights(self, net):
        for (op, name), value in self.weights.items():
            mine = net.get_kernel(op) if name == "kernel" else net.get_bias(op)
            np.testing.assert_allclose(mine, value.detach().numpy(), rtol=1e-9, atol=1e-11)


def network_ops(activation, last):
    return [
        ("scale_shift",),
        ("dense", 33, activation, True),
        ("activation", "tanh"),
        ("dense", 6, last, True),
    ]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("loss", "last", "labels"),
    [
        ("mse", "linear", False),
        ("mse", "softmax", False),
        ("bce", "sigmoid", False),
        ("bce", "softmax", False),
        ("xent", "softmax", True),
        ("xent", "softmax", False),
        ("xent", "sigmoid", True),
        ("mae", "linear", False),
        ("huber", "linear", False),
        ("poisson", "softplus", False),
        ("kld", "softmax", False),
        ("cosine", "linear", False),
        ("quantile", "linear", False),
        ("focal_xent", "softmax", False),
        ("gaussian_nll", "linear", False),
        ("gaussian_nll", "tanh", False),
    ],
)
def test_gradients(engine, build, compile_with, problem, activation, loss, last, labels):
    """One step of SGD at learning rate 1 moves the weights by PyTorch's gradient."""
    net = build(engine, "float64", 17, network_ops(activation, last))
    compile_with(net, loss, "sgd", ("squared_error",) if loss == "mse" else (), learning_rate=1.0)
    x, y, weight = problem(29, 17, 6, loss, "float64", labels)

    oracle = TorchNetwork(net)
    losses = LOSSES[loss](oracle(torch.tensor(x)), torch.tensor(y)) * torch.tensor(weight)
    losses.mean().backward()
    with torch.no_grad():
        for value in oracle.weights.values():
            value -= value.grad

    _, loss_sum, _ = net.train(x, y, weight, np.arange(29), 29, 0, 1e9, None)
    assert loss_sum == pytest.approx(float(losses.sum().detach()), rel=1e-9)
    oracle.assert_same_weights(net)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backward(engine, build, activation):
    net = build(engine, "float64", 17, network_ops(activation, activation))
    rng = np.random.default_rng(2)
    x, dy = rng.normal(size=(29, 17)), rng.normal(size=(29, 6))
    tensor = torch.tensor(x, requires_grad=True)
    y = TorchNetwork(net)(tensor)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(net.forward(x, None), y.detach().numpy(), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(net.backward(dy, None), tensor.grad.numpy(), rtol=1e-9, atol=1e-11)


def test_residual_gradients(engine, build):
    """Of forks within a fork, an activation right before a fork and before a join."""
    ops = [
        ("dense", 5, "relu", True), ("fork",), ("dense", 4, "silu", True), ("fork",),
        ("dense", 4, "tanh", True), ("join",), ("dense", 5, "sigmoid", True), ("join",),
        ("dense", 3, "linear", True),
    ]  # fmt: skip
    net = build(engine, "float64", 6, ops)
    rng = np.random.default_rng(3)
    x, dy = rng.normal(size=(8, 6)), rng.normal(size=(8, 3))
    dense = [i for i, op in enumerate(ops) if op[0] == "dense"]
    tensors = [
        torch.tensor(array, requires_grad=True)
        for array in (x, *(get(i) for i in dense for get in (net.get_kernel, net.get_bias)))
    ]
    inputs, *weights = tensors
    w = [(weights[2 * i], weights[2 * i + 1]) for i in range(5)]
    h = torch.relu(inputs @ w[0][0] + w[0][1])
    a = torch.nn.functional.silu(h @ w[1][0] + w[1][1])
    b = a + torch.tanh(a @ w[2][0] + w[2][1])
    y = (h + torch.sigmoid(b @ w[3][0] + w[3][1])) @ w[4][0] + w[4][1]
    y.backward(torch.tensor(dy))
    net.compile(None, "sgd", [], {"learning_rate": 1.0})
    np.testing.assert_allclose(net.forward(x), y.detach(), rtol=1e-12, atol=1e-14)
    found = [net.backward(dy)]
    net.apply_gradients()
    after = [get(i) for i in dense for get in (net.get_kernel, net.get_bias)]
    found += [b.detach().numpy() - a for b, a in zip(weights, after, strict=True)]
    for mine, tensor in zip(found, tensors, strict=True):
        np.testing.assert_allclose(mine, tensor.grad, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov"])
def test_sgd_steps(engine, build, compile_with, problem, optimizer):
    """Ten steps of PyTorch's SGD, whose momentum is Keras's divided by -learning_rate."""
    net = build(engine, "float64", 17, network_ops("silu", "softmax"))
    compile_with(net, "xent", optimizer)
    x, y, _ = problem(29, 17, 6, "xent", "float64", labels=True)
    oracle = TorchNetwork(net)
    momentum = 0.0 if optimizer == "sgd" else 0.9
    steps = torch.optim.SGD(
        oracle.weights.values(),
        lr=0.05 if optimizer == "sgd" else 0.02,
        momentum=momentum,
        nesterov=optimizer == "nesterov",
    )
    for _ in range(10):
        steps.zero_grad()
        cross_entropy(oracle(torch.tensor(x)), torch.tensor(y)).mean().backward()
        steps.step()
        net.train(x, y, None, np.arange(29), 29, 0, 1e9, None)
    oracle.assert_same_weights(net)


def test_adam_steps(engine, build, compile_with, problem):
    """Ten steps of Adam; PyTorch adds epsilon to the corrected root, Keras to the plain one."""
    net = build(engine, "float64", 17, network_ops("tanh", "sigmoid"))
    compile_with(net, "bce", "adam")
    x, y, _ = problem(29, 17, 6, "bce", "float64")
    oracle = TorchNetwork(net)
    steps = torch.optim.Adam(oracle.weights.values(), lr=0.01)
    for t in range(1, 11):
        steps.param_groups[0]["eps"] = 1e-4 / np.sqrt(1 - 0.999**t)
        steps.zero_grad()
        LOSSES["bce"](oracle(torch.tensor(x)), torch.tensor(y)).mean().backward()
        steps.step()
        net.train(x, y, None, np.arange(29), 29, 0, 1e9, None)
    oracle.assert_same_weights(net)


FEATURES = {
    "layer_norm": ("layer_norm", 0.01, True, True),
    "batch_norm": ("batch_norm", 0.9, 0.01, True, True),
    "prelu": ("prelu",),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", FEATURES)
def test_features(engine, build, name, training):
    """Outputs, gradients of the input and of the weights, and the moving statistics."""
    net = build(engine, "float64", 37, [FEATURES[name]])
    rng = np.random.default_rng(0)
    x, dy = rng.normal(3, 2, (129, 37)), rng.normal(size=(129, 37))
    x[::7, ::5] = 0  # there PReLU's derivative is alpha
    module = {
        "layer_norm": lambda: torch.nn.LayerNorm(37, eps=0.01),
        "batch_norm": lambda: torch.nn.BatchNorm1d(37, eps=0.01, momentum=0.1),
        "prelu": lambda: torch.nn.PReLU(37),
    }[name]().double()
    module.train(training)
    weights = [net.get_kernel(0)[0], net.get_bias(0)]
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), weights, strict=False):
            parameter.copy_(torch.tensor(value))
        if name == "batch_norm":
            module.running_mean.copy_(torch.tensor(net.get_statistics(0)[0]))
            module.running_var.copy_(torch.tensor(net.get_statistics(0)[1]))
    before = net.get_statistics(0)[1] if name == "batch_norm" else None
    inputs = torch.tensor(x, requires_grad=True)
    outputs = module(inputs)
    outputs.backward(torch.tensor(dy))
    net.compile("mse", "sgd", [], {"learning_rate": 1.0, "momentum": 0.0, "nesterov": False})
    tight = {"rtol": 1e-9, "atol": 1e-11}
    np.testing.assert_allclose(net.forward(x, None, training), outputs.detach(), **tight)
    np.testing.assert_allclose(net.backward(dy, None), inputs.grad, **tight)
    net.apply_gradients()
    stepped = [net.get_kernel(0)[0], net.get_bias(0)]
    for parameter, old, new in zip(module.parameters(), weights, stepped, strict=False):
        np.testing.assert_allclose(old - new, parameter.grad, **tight)
    if name == "batch_norm":
        mean, variance = net.get_statistics(0)
        np.testing.assert_allclose(mean, module.running_mean, **tight)
        moved = module.running_var.numpy() - 0.9 * before
        if training:  # PyTorch's follows the variance of n - 1
            np.testing.assert_allclose(variance - 0.9 * before, moved * 128 / 129, **tight)
        else:
            np.testing.assert_array_equal(variance, before)
