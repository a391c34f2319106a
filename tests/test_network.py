"""The native engine against its NumPy twin: same weights, same batches, same results."""

import numpy as np
import pytest
import scipy.sparse

from fastnn import reference
from fastnn._native import network as native
from fastnn._sparse import as_csr

ACTIVATIONS = ["linear", *reference.kernels.FORWARD]
OPTIMIZERS = [
    "sgd",
    "momentum",
    "nesterov",
    "adam",
    "decay",
    "amsgrad",
    "nadam",
    "adamax",
    "rmsprop",
    "centered",
    "adagrad",
    "clipped",
    "clipnorm",
    "global_clipnorm",
    "lion",
]
# loss, last activation, class ids, metrics
LOSSES = [
    ("mse", "linear", False, ("squared_error", "absolute_error")),
    ("mse", "silu", False, ("squared_error",)),
    ("bce", "sigmoid", False, ("threshold_match", "squared_error")),
    ("bce", "softmax", False, ("threshold_match",)),
    ("bce", "sigmoid", False, ("true_positive", "predicted_positive", "actual_positive")),
    ("mse", "linear", False, ("true_positive", "predicted_positive", "actual_positive")),
    ("xent", "softmax", True, ("argmax_match",)),
    ("xent", "softmax", False, ("threshold_match",)),
    ("xent", "softmax", False, ("argmax_match", "absolute_error")),
    ("xent", "sigmoid", True, ("argmax_match",)),
]
# several steps apart, an error of one rounding has grown to about this
TOLERANCE = {"float64": {"rtol": 1e-10, "atol": 1e-12}, "float32": {"rtol": 1e-3, "atol": 1e-4}}
EVERYTHING = 1e9  # seconds: train() comes back when it is done


def dense_ops(net):
    return [op for op, (kind, *_) in enumerate(net.ops) if kind == "dense"]


def assert_same_weights(ours, twin):
    for op in dense_ops(ours):
        np.testing.assert_allclose(
            ours.get_kernel(op), twin.get_kernel(op), **TOLERANCE[ours.dtype]
        )
        if ours.ops[op][3]:
            np.testing.assert_allclose(
                ours.get_bias(op), twin.get_bias(op), **TOLERANCE[ours.dtype]
            )
        for name in ours.slot_names:
            for mine, theirs in zip(ours.get_slot(name, op), twin.get_slot(name, op), strict=True):
                if mine is not None:
                    np.testing.assert_allclose(mine, theirs, **TOLERANCE[ours.dtype])


@pytest.fixture
def both(build, compile_with):
    """Build the native network and its twin with equal weights, compiled."""

    def both(dtype, inputs, ops, loss, optimizer, metrics=()):
        nets = [build(engine, dtype, inputs, ops) for engine in (native.Network, reference.Network)]
        for net in nets:
            compile_with(net, loss, optimizer, metrics)
        return nets

    return both


def assert_trains_alike(nets, x, y, weight, index, batch_size, epochs=2):
    ours, twin = nets
    for _ in range(epochs):
        arguments = (x, y, weight, index, batch_size, 0, EVERYTHING, None)
        stop, loss, metrics = ours.train(*arguments)
        expected_stop, expected_loss, expected_metrics = twin.train(*arguments)
        assert stop == expected_stop == len(index)
        np.testing.assert_allclose(loss, expected_loss, **TOLERANCE[ours.dtype])
        np.testing.assert_allclose(metrics, expected_metrics, **TOLERANCE[ours.dtype])
    assert ours.iterations == twin.iterations == epochs * -(-len(index) // batch_size)
    assert_same_weights(ours, twin)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("loss", "last", "labels", "metrics"), LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_train(both, problem, dtype, optimizer, loss, last, labels, metrics, weighted):
    """Every loss with every optimizer; the last batch is short."""
    ops = [("scale_shift",), ("dense", 17, "tanh", True), ("dense", 5, last, True)]
    nets = both(dtype, 9, ops, loss, optimizer, metrics)
    x, y, weight = problem(53, 9, 5, loss, dtype, labels)
    index = np.random.default_rng(2).permutation(53)
    assert_trains_alike(nets, x, y, weight if weighted else None, index, 16)


# loss, last activation
MORE_LOSSES = [
    ("mae", "linear"),
    ("mape", "linear"),
    ("msle", "exp"),
    ("msle", "linear"),
    ("huber", "tanh"),
    ("log_cosh", "linear"),
    ("quantile", "linear"),
    ("poisson", "softplus"),
    ("hinge", "tanh"),
    ("squared_hinge", "linear"),
    ("categorical_hinge", "softmax"),
    ("kld", "softmax"),
    ("cosine", "linear"),
    ("focal", "sigmoid"),
    ("focal", "softmax"),
    ("focal_logits", "linear"),
    ("focal_xent", "softmax"),
    ("focal_xent", "sigmoid"),
    ("focal_xent_logits", "linear"),
    ("half_squared", "tanh"),
    ("half_poisson", "exp"),
    ("log_loss", "sigmoid"),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("loss", "last"), MORE_LOSSES)
@pytest.mark.parametrize("outputs", [1, 5, 40])
def test_train_more_losses(both, problem, dtype, loss, last, outputs):
    ops = [("dense", 17, "tanh", True), ("dense", outputs, last, True)]
    nets = both(dtype, 9, ops, loss, "sgd", ("squared_error",))
    x, y, weight = problem(53, 9, outputs, loss, dtype)
    assert_trains_alike(nets, x, y, weight, np.arange(53), 16)


@pytest.mark.parametrize("name", ["half_poisson", "log_loss"])
def test_losses_of_logits_need_their_activation(both, name):
    for net in both("float32", 3, [("dense", 2, "tanh", True)], "mse", "sgd"):
        with pytest.raises(ValueError, match=f"loss: unknown '{name}'"):
            net.compile(name, "sgd", [], {"learning_rate": 0.1, "momentum": 0.0, "nesterov": False})


@pytest.mark.parametrize("labels", [False, True])
def test_the_loss_of_a_class_has_a_limit(both, problem, labels):
    """Its gradient has none."""
    nets = both("float64", 9, [("dense", 5, "softmax", True)], "xent", "sgd")
    x, y, weight = problem(53, 9, 5, "xent", "float64", labels)
    open_end = [net.evaluate(100 * x, y, weight, np.arange(53), 0, np.inf)[1] for net in nets]
    for net in nets:
        net.compile(
            "xent",
            "sgd",
            [],
            {"learning_rate": 0.1, "momentum": 0.0, "nesterov": False},
            (0.0, 2.0),
        )
    assert_trains_alike(nets, x, y, weight, np.arange(53), 16)
    for net, most in zip(nets, open_end, strict=True):
        limited = net.evaluate(100 * x, y, weight, np.arange(53), 0, np.inf)[1]
        assert limited <= 2 * weight.sum() < most


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "global_clipnorm", "adagrad"])
@pytest.mark.parametrize("threads", [1, 3])
def test_penalties_have_a_scale_for_each_step(both, problem, dtype, optimizer, threads):
    ops = [("dense", 40, "tanh", True), ("dense", 5, "softmax", True)]
    nets = both(dtype, 9, ops, "xent", optimizer)
    x, y, weight = problem(53, 9, 5, "xent", dtype, True)
    scales, index = np.array([0.5, 3.0, 0.0, 1.0]), np.arange(53)
    for net in nets:
        net.set_penalty(0, (0.02, 0.1), (0.0, 0.3))
        net.set_penalty(1, (0.0, 0.2), (0.1, 0.0))
    sums = [
        net.train(x, y, weight, index, 16, 0, np.inf, threads, penalty_scales=scales)[1]
        for net in nets
    ]
    assert sums[0] == pytest.approx(sums[1], rel=1e-5)
    assert_same_weights(*nets)
    with pytest.raises(ValueError, match="penalty_scales: expected 4, one a step, got 3"):
        nets[0].train(x, y, weight, index, 16, 0, np.inf, threads, penalty_scales=np.ones(3))


def test_penalties_without_scales_are_as_with_ones(both, problem):
    nets = [both("float32", 9, [("dense", 5, "softmax", True)], "xent", "adam")[0] for _ in "ab"]
    x, y, weight = problem(53, 9, 5, "xent", "float32", True)
    for net, scales in zip(nets, (np.ones(4), None), strict=True):
        net.set_penalty(0, (0.02, 0.1), (0.0, 0.3))
        net.train(x, y, weight, np.arange(53), 16, 0, np.inf, 1, penalty_scales=scales)
    np.testing.assert_array_equal(nets[0].get_kernel(0), nets[1].get_kernel(0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "last", "labels"),
    [
        ("bce", "sigmoid", False),
        ("bce", "softmax", False),
        ("xent", "softmax", False),
        ("xent", "sigmoid", False),
        ("xent", "softmax", True),
    ],
)
def test_train_label_smoothing(both, compile_with, problem, dtype, loss, last, labels):
    nets = both(dtype, 9, [("dense", 5, last, True)], loss, "sgd")
    for net in nets:
        compile_with(net, loss, "sgd", smoothing=0.2)
    x, y, weight = problem(53, 9, 5, loss, dtype, labels)
    assert_trains_alike(nets, x, y, weight, np.arange(53), 16)


def test_a_loss_takes_few_numbers(build):
    net = build(native.Network, "float32", 3, [("dense", 1, "linear", True)])
    with pytest.raises(ValueError, match="loss_params: expected at most 4, got 5"):
        net.compile("mse", None, [], {}, (0.0,) * 5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_train_activations(both, problem, dtype, activation):
    """Every activation within a dense op and as an op of its own."""
    ops = [
        ("dense", 20, activation, True),
        ("activation", "tanh"),
        ("activation", activation),
        ("dense", 7, activation, False),
        ("dense", 3, "linear", True),
        ("activation", "softmax"),
    ]
    nets = both(dtype, 9, ops, "xent", "momentum", ("argmax_match",))
    x, y, _ = problem(40, 9, 3, "xent", dtype, labels=True)
    assert_trains_alike(nets, x, y, None, np.arange(40), 11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "sizes",
    [
        [1, 1],
        [1, 1, 1, 1],
        [2, 3, 4],
        [8, 15, 16],
        [15, 16, 17, 1],
        [31, 32, 33, 5],
        [33, 31, 32, 16],
        [63, 64, 65, 10],
        [64, 100, 1, 50],
        [100, 17, 2],
        [30, 129, 127, 3],
    ],
    ids=str,
)
def test_train_shapes(both, problem, dtype, sizes):
    """Sizes on both sides of vectors and panels, one among them."""
    ops = [("dense", units, "relu", True) for units in sizes[1:-1]]
    nets = both(dtype, sizes[0], [*ops, ("dense", sizes[-1], "linear", True)], "mse", "adam")
    x, y, weight = problem(70, sizes[0], sizes[-1], "mse", dtype)
    assert_trains_alike(nets, x, y, weight, np.random.default_rng(2).permutation(70), 32)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 2, 13, 14, 15, 16, 17, 31, 33, 127, 128, 129, 150, 1000])
def test_train_batch_sizes(both, problem, dtype, batch_size):
    ops = [("dense", 19, "tanh", True), ("dense", 4, "softmax", True)]
    nets = both(dtype, 10, ops, "xent", "sgd", ("argmax_match",))
    x, y, _ = problem(150, 10, 4, "xent", dtype, labels=True)
    # rows may come up twice, or never
    index = np.random.default_rng(2).integers(0, 150, 149)
    assert_trains_alike(nets, x, y, None, index, batch_size, epochs=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 15, 129, 700])
def test_evaluate_and_predict(both, problem, dtype, n):
    ops = [("scale_shift",), ("dense", 33, "silu", True), ("dense", 6, "softmax", True)]
    metrics = ("argmax_match", "squared_error", "absolute_error", "threshold_match")
    ours, twin = both(dtype, 11, ops, "xent", "adam", metrics)
    x, y, weight = problem(n, 11, 6, "xent", dtype)
    arguments = (x, y, weight, np.arange(n)[::-1].copy(), 0, EVERYTHING, None)
    stop, loss, sums = ours.evaluate(*arguments)
    expected = twin.evaluate(*arguments)
    assert stop == expected[0] == n
    np.testing.assert_allclose(loss, expected[1], rtol=1e-5)
    np.testing.assert_allclose(sums, expected[2], rtol=1e-5)

    outs = [np.full((n, 6), np.nan, dtype) for _ in range(2)]
    for net, out in zip((ours, twin), outs, strict=True):
        net.predict(x, out, None)
    np.testing.assert_allclose(*outs, **TOLERANCE[dtype])
    np.testing.assert_array_equal(ours.forward(x, None), outs[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predict_no_rows(build, dtype):
    net = build(native.Network, dtype, 4, [("dense", 3, "relu", True)])
    net.predict(np.empty((0, 4), dtype), np.empty((0, 3), dtype), None)
    assert net.forward(np.empty((0, 4), dtype), None).shape == (0, 3)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_train_in_slices(engine, build, compile_with, problem, optimizer):
    """Coming up for air after every batch changes no bit of the weights or of the sums."""
    ops = [("dense", 21, "relu", True), ("dense", 3, "softmax", True)]
    x, y, weight = problem(100, 8, 3, "xent", "float32", labels=True)
    index = np.random.default_rng(2).permutation(100)
    at_once, sliced = (build(engine, "float32", 8, ops) for _ in range(2))
    for net in (at_once, sliced):
        compile_with(net, "xent", optimizer, ("argmax_match",))
    for _ in range(2):
        stop, loss, metrics = at_once.train(x, y, weight, index, 16, 0, EVERYTHING, None)
        assert stop == 100
        stops, sums = [0], np.zeros(2)
        while stops[-1] < 100:
            part = sliced.train(x, y, weight, index, 16, stops[-1], 0.0, None, sums)
            stops.append(part[0])
            sliced.evaluate(x, y, None, np.arange(100), 0, EVERYTHING, None)  # in between
        assert stops == [0, 16, 32, 48, 64, 80, 96, 100]
        assert part[1:] == (loss, metrics)
        np.testing.assert_array_equal(sliced.flat_weights, at_once.flat_weights)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("num_threads", [1, 3, None])
@pytest.mark.parametrize(("rows", "batch"), [(96, 16), (100, 16), (7, 16), (1, 1)])
def test_train_several_epochs_at_once(
    build, compile_with, problem, rows, batch, num_threads, sparse
):
    """The same bits as epoch by epoch, whatever the length of the last batch."""
    ops = [("dense", 40, "relu", True), ("dropout", 0.3, 5), ("dense", 3, "softmax", True)]
    x, y, weight = problem(rows, 8, 3, "xent", "float32", labels=True)
    if sparse:
        x = as_csr(scipy.sparse.csr_array(x * (x > 0)), np.dtype(np.float32), "x")
    rng = np.random.default_rng(2)
    orders = [rng.permutation(rows) for _ in range(5)]
    steps = -(-rows // batch)
    rates = rng.uniform(0.001, 0.1, 5 * steps)
    scales = rng.uniform(0.5, 2.0, 5 * steps)
    together, apart, sliced = (build(native.Network, "float32", 8, ops) for _ in range(3))
    for net in (together, apart, sliced):
        compile_with(net, "xent", "adam", ("argmax_match",))
        net.set_penalty(0, (0.0, 0.01), (0.0, 0.0))
    expected = [
        apart.train(
            x, y, weight, order, batch, 0, EVERYTHING, num_threads,
            learning_rates=rates[i * steps : (i + 1) * steps],
            penalty_scales=scales[i * steps : (i + 1) * steps],
        )
        for i, order in enumerate(orders)
    ]  # fmt: skip
    index = np.concatenate(orders)
    others = {"learning_rates": rates, "penalty_scales": scales, "epoch": rows}
    sums = np.zeros(10)
    stop, *_ = together.train(
        x, y, weight, index, batch, 0, EVERYTHING, num_threads, sums, **others
    )
    assert stop == 5 * rows
    assert together.iterations == 5 * steps
    assert sums.reshape(5, 2).tolist() == [[loss, *metrics] for _, loss, metrics in expected]
    stop, calls, sums = 0, 0, np.zeros(10)
    while stop < 5 * rows:  # a step at a time
        stop, *_ = sliced.train(x, y, weight, index, batch, stop, 0.0, num_threads, sums, **others)
        calls += 1
    assert calls == 5 * steps
    assert sums.reshape(5, 2).tolist() == [[loss, *metrics] for _, loss, metrics in expected]
    for net in (together, sliced):
        np.testing.assert_array_equal(net.flat_weights, apart.flat_weights)


def test_epochs_and_starts_that_cannot_be(build, compile_with, problem):
    net = build(native.Network, "float32", 8, [("dense", 3, "softmax", True)])
    compile_with(net, "xent", "sgd")
    x, y, _ = problem(20, 8, 3, "xent", "float32", labels=True)
    index = np.arange(20)
    for epoch in (0, -1, 3, 40):
        with pytest.raises(ValueError, match="epoch: expected one of 20 positions' divisors"):
            net.train(x, y, None, index, 4, 0, EVERYTHING, epoch=epoch)
    with pytest.raises(ValueError, match="sums: expected 2, got 1"):
        net.train(x, y, None, index, 4, 0, EVERYTHING, sums=np.zeros(1), epoch=10)
    for start in (3, 11):
        with pytest.raises(ValueError, match=f"start: expected .* of a batch, got {start}"):
            net.train(x, y, None, index, 4, start, EVERYTHING, epoch=10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_evaluate_in_slices(build, compile_with, problem, dtype):
    net = build(native.Network, dtype, 8, [("dense", 3, "softmax", True)])
    compile_with(net, "xent", "sgd", ("argmax_match",))
    x, y, weight = problem(9000, 8, 3, "xent", dtype, labels=True)
    index = np.random.default_rng(2).permutation(9000)
    expected = net.evaluate(x, y, weight, index, 0, EVERYTHING, 1)
    for num_threads in (1, 3):
        stop, calls, sums = 0, 0, np.zeros(2)
        while stop < 9000:
            stop, *totals = net.evaluate(x, y, weight, index, stop, 0.0, num_threads, sums)
            calls += 1
        assert calls > 1
        assert (stop, *totals) == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_own_loss_is_a_train_step(build, compile_with, problem, dtype, optimizer):
    """forward, backward with the loss's gradient and apply_gradients do what train does."""
    ops = [("dense", 18, "tanh", True), ("dense", 3, "sigmoid", True)]
    x, y, _ = problem(20, 6, 3, "mse", dtype)
    trained, own = (build(native.Network, dtype, 6, ops) for _ in range(2))
    twin = build(reference.Network, dtype, 6, ops)
    for net in (trained, own, twin):
        compile_with(net, "mse", optimizer)
    for _ in range(3):
        trained.train(x, y, None, np.arange(20), 20, 0, EVERYTHING, None)
        outputs, gradients = [], []
        for net in (own, twin):
            outputs.append(net.forward(x, None))
            gradients.append(net.backward((2 / outputs[-1].size) * (outputs[-1] - y), None))
            net.apply_gradients(None)
        np.testing.assert_allclose(*outputs, **TOLERANCE[dtype])
        np.testing.assert_allclose(*gradients, **TOLERANCE[dtype])
    assert own.iterations == 3
    assert_same_weights(own, trained)
    assert_same_weights(own, twin)


def test_backward_needs_its_forward(build, compile_with):
    net = build(native.Network, "float32", 4, [("dense", 3, "relu", True)])
    dy = np.ones((2, 3), np.float32)
    with pytest.raises((ValueError, RuntimeError)):
        net.backward(dy, None)
    net.forward(np.ones((5, 4), np.float32), None)
    with pytest.raises((ValueError, RuntimeError)):
        net.backward(dy, None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 5), (16, 16), (17, 33), (100, 31), (129, 65)])
def test_weights_round_trip(build, compile_with, dtype, sizes):
    """Whatever the layout inside, arrays come back as they went in; padding stays zero."""
    inputs, units = sizes
    ops = [("scale_shift",), ("dense", units, "tanh", True), ("dense", 2, "linear", False)]
    net = build(native.Network, dtype, inputs, ops)
    compile_with(net, "mse", "adam")
    rng = np.random.default_rng(5)
    kernels = [rng.normal(size=shape).astype(dtype) for shape in ((inputs, units), (units, 2))]
    bias = rng.normal(size=units).astype(dtype)
    scale, shift = rng.normal(size=(2, inputs)).astype(dtype)
    for op, kernel in zip((1, 2), kernels, strict=True):
        net.set_kernel(op, kernel)
        net.set_slot("m", op, 2 * kernel, 2 * bias if op == 1 else None)
        net.set_slot("v", op, kernel**2, bias**2 if op == 1 else None)
    net.set_bias(1, bias)
    net.set_scale_shift(0, scale, shift)

    for op, kernel in zip((1, 2), kernels, strict=True):
        np.testing.assert_array_equal(net.get_kernel(op), kernel)
        np.testing.assert_array_equal(net.get_slot("m", op)[0], 2 * kernel)
        np.testing.assert_array_equal(net.get_slot("v", op)[0], kernel**2)
    np.testing.assert_array_equal(net.get_bias(1), bias)
    np.testing.assert_array_equal(net.get_slot("m", 1)[1], 2 * bias)
    assert net.get_slot("m", 2)[1] is None
    for mine, theirs in zip(net.get_scale_shift(0), (scale, shift), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    # the flat vector holds each weight once, and zeros
    expected = np.sort(np.concatenate([bias, *(kernel.ravel() for kernel in kernels)]))
    flat = net.flat_weights
    np.testing.assert_array_equal(np.sort(flat[flat != 0]), expected)


@pytest.mark.parametrize("num_threads", [1, 3])
def test_flat_gradients_are_those_of_the_last_step(build, compile_with, problem, num_threads):
    ops = [("dense", 200, "relu", True), ("dense", 5, "softmax", True)]
    nets = [build(engine, "float64", 150, ops) for engine in (native.Network, reference.Network)]
    x, y, _ = problem(37, 150, 5, "xent", "float64", labels=True)
    for net in nets:
        compile_with(net, "xent", "adam")
        net.train(x, y, None, np.arange(37), 10, 0, EVERYTHING, num_threads)
    mine, theirs = (np.sort(net.flat_gradients[net.flat_gradients != 0]) for net in nets)
    np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_flat_vectors(build, compile_with, problem, dtype, optimizer):
    """Live, read-only, and of the norm of the arrays, since no training step fills the padding."""
    ops = [("dense", 33, "sigmoid", True), ("dense", 5, "softmax", True)]
    nets = [build(engine, dtype, 10, ops) for engine in (native.Network, reference.Network)]
    x, y, _ = problem(37, 10, 5, "xent", dtype, labels=True)
    flat = nets[0].flat_weights, nets[0].flat_gradients
    for net in nets:
        compile_with(net, "xent", optimizer)
        net.train(x, y, None, np.arange(37), 10, 0, EVERYTHING, None)
        x_last = x[30:].copy()
        dy = np.ones((len(x_last), 5), dtype)
        dy[:, 0] = -3
        net.forward(x_last, None)
        net.backward(dy, None)
    for mine, theirs in zip(flat, (nets[1].flat_weights, nets[1].flat_gradients), strict=True):
        assert mine.ndim == 1
        assert not mine.flags.writeable
        assert np.count_nonzero(mine) <= theirs.size <= mine.size
        np.testing.assert_allclose(np.linalg.norm(mine), np.linalg.norm(theirs), rtol=1e-4)


def test_set_hyper_keeps_the_slots(both, problem):
    ops = [("dense", 4, "relu", True), ("dense", 2, "linear", True)]
    x, y, _ = problem(30, 3, 2, "mse", "float64")
    nets = both("float64", 3, ops, "mse", "adam")
    for net in nets:
        net.train(x, y, None, np.arange(30), 7, 0, EVERYTHING, None)
        net.set_hyper({"learning_rate": 0.5, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3})
        net.iterations += 10
        net.train(x, y, None, np.arange(30), 7, 0, EVERYTHING, None)
    assert nets[0].iterations == nets[1].iterations == 20
    assert_same_weights(*nets)


def test_compile_starts_over(both, problem, compile_with):
    x, y, _ = problem(30, 3, 2, "mse", "float64")
    nets = both("float64", 3, [("dense", 2, "tanh", True)], "mse", "adam")
    for net in nets:
        assert net.slot_names == ("m", "v")
        net.train(x, y, None, np.arange(30), 7, 0, EVERYTHING, None)
        compile_with(net, "mse", "nesterov")
        assert (net.iterations, net.slot_names) == (0, ("m",))
        assert not net.get_slot("m", 0)[0].any()
        net.train(x, y, None, np.arange(30), 7, 0, EVERYTHING, None)
        compile_with(net, "mse", "sgd")
        assert net.slot_names == ()
    assert_same_weights(*nets)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_stays_in_its_row(build, activation, bad):
    ops = [("dense", 40, activation, True), ("dense", 3, "softmax", True)]
    net = build(native.Network, "float32", 6, ops)
    x = np.random.default_rng(4).normal(size=(50, 6)).astype(np.float32)
    clean, dirty = np.empty((2, 50, 3), np.float32)
    net.predict(x, clean, None)
    x[17, 2] = bad
    net.predict(x, dirty, None)
    others = np.arange(50) != 17
    np.testing.assert_array_equal(dirty[others], clean[others])
    if np.isnan(bad):
        assert np.isnan(dirty[17]).all()


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        ("x", np.zeros((10, 5), np.float32)),  # features
        ("x", np.zeros((10, 4), complex)),  # dtype
        ("x", np.zeros((4, 10), np.float32).T),  # contiguity
        ("x", np.zeros(40, np.float32)),
        ("y", np.zeros(9, np.int32)),  # length
        ("y", np.full(10, 3, np.int32)),  # class id
        ("y", np.full(10, -1, np.int32)),
        ("y", np.zeros((10, 2), np.float32)),  # columns
        ("y", np.zeros(10, np.int64)),
        ("sample_weight", np.ones(9, np.float32)),
        ("index", np.full(3, 10)),
        ("index", np.full(3, -1)),
        ("index", np.zeros(3, np.int32)),
        ("batch_size", 0),
        ("start", -1),
        ("num_threads", 0),
        ("num_threads", 1.5),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_train_refuses(build, compile_with, change, bad):
    """What would read or write outside of an array is an error, and nothing has changed."""
    net = build(native.Network, "float32", 4, [("dense", 3, "softmax", True)])
    compile_with(net, "xent", "adam")
    before = net.flat_weights.copy()
    arguments = {
        "x": np.zeros((10, 4), np.float32),
        "y": np.zeros(10, np.int32),
        "sample_weight": None,
        "index": np.arange(10),
        "batch_size": 4,
        "start": 0,
        "max_seconds": EVERYTHING,
        "num_threads": None,
    }
    with pytest.raises((ValueError, TypeError)):
        net.train(*{**arguments, change: bad}.values())
    np.testing.assert_array_equal(net.flat_weights, before)
    assert net.iterations == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda net: net.set_kernel(0, np.zeros((3, 4), np.float32)),
        lambda net: net.set_kernel(0, np.zeros((4, 3), np.float64)),
        lambda net: net.set_kernel(0, np.zeros((3, 4), np.float32).T),
        lambda net: net.set_bias(0, np.zeros(4, np.float32)),
        lambda net: net.predict(np.zeros((5, 4), np.float32), np.zeros((5, 2), np.float32), None),
        lambda net: net.predict(np.zeros((5, 4), np.float32), np.zeros((4, 3), np.float32), None),
        lambda net: net.predict(np.zeros((5, 3), np.float32), np.zeros((5, 3), np.float32), None),
        lambda net: net.forward(np.zeros((5, 3), np.float32), None),
        lambda net: net.get_kernel(1),
        lambda net: net.get_kernel(-1),
        lambda net: net.get_scale_shift(0),
        lambda net: net.get_slot("m", 0),
        lambda net: net.apply_gradients(None),
    ],
)
def test_engine_refuses(build, call):
    net = build(native.Network, "float32", 4, [("dense", 3, "softmax", True)])
    before = net.flat_weights.copy()
    with pytest.raises((ValueError, TypeError, IndexError, KeyError, RuntimeError)):
        call(net)
    np.testing.assert_array_equal(net.flat_weights, before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 2, 15, 16])
def test_predict_few(build, dtype, rows):
    """The short way gives the bits of the long one, and leaves alone what it cannot read."""
    ops = [("scale_shift",), ("dense", 33, "silu", True), ("dense", 5, "softmax", True)]
    net = build(native.Network, dtype, 20, ops)
    x = np.random.default_rng(1).normal(size=(2 * rows, 40)).astype(dtype)
    expected = np.empty((rows, 5), dtype)
    for _ in range(2):  # in a new workspace, and in one that was used
        few = x[:rows, :20].copy()
        net.predict(few, expected)
        np.testing.assert_array_equal(net.predict_few(few), expected)
    other = np.float64 if dtype == "float32" else np.float32
    for unfit in (
        x[:rows, :20].astype(other),
        x[::2, ::2],
        x[:rows, :19].copy(),
        x[0, :20],
        np.zeros((0, 20), dtype),
        np.zeros((17, 20), dtype),
        few.astype(few.dtype.newbyteorder()),
        few.tolist(),
        np.ma.masked_array(few),
    ):
        assert net.predict_few(unfit) is None
