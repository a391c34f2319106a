"""Same bits for any number of threads, whoever is late; calls from Python threads; fork."""

import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastnn
from fastnn import kernels
from fastnn._native import core
from fastnn._native import network as native

THREADS = [1, 2, 3, 7]
OPS = [
    ("scale_shift",),
    ("dense", 70, "relu", True),
    ("dense", 33, "silu", True),
    ("dense", 5, "softmax", True),
]
OPS_OF_TWO_UNITS = [("dense", 64, "relu", True), ("dense", 1, "linear", True)]
EVERYTHING = 1e9

needs_threads = pytest.mark.skipif(not core.openmp(), reason="built without OpenMP: one thread")


@pytest.fixture
def train(build, compile_with, problem):
    """Train a new network for two epochs; return its weights, sums and predictions."""

    def train(num_threads, dtype="float32", optimizer="adam", batch_size=50, n=171, ops=OPS):
        net = build(native.Network, dtype, 20, ops)
        compile_with(net, "xent", optimizer, ("argmax_match",))
        x, y, weight = problem(n, 20, 5, "xent", dtype, labels=True)
        index = np.random.default_rng(2).permutation(n)
        arguments = (x, y, weight, index, batch_size, 0, EVERYTHING, num_threads)
        sums = []
        for _ in range(2):
            _, loss, metrics = net.train(*arguments)
            sums += [loss, *metrics]
        out = np.empty((n, 5), dtype)
        net.predict(x, out, num_threads)
        _, loss, metrics = net.evaluate(x, y, weight, index, 0, EVERYTHING, num_threads)
        return net.flat_weights.copy(), np.array([*sums, loss, *metrics]), out

    return train


def assert_same_bits(result, expected):
    for mine, theirs in zip(result, expected, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam"])
@pytest.mark.parametrize("batch_size", [1, 3, 50, 128, 171])
def test_train(train, dtype, optimizer, batch_size):
    expected = train(1, dtype, optimizer, batch_size)
    for num_threads in (*THREADS[1:], None):
        assert_same_bits(train(num_threads, dtype, optimizer, batch_size), expected)


BIG = ("dense", 150, "relu", True)  # four panels and a part of one, of 70 inputs
NEXT = ("dense", 131, "relu", True)
NORMALIZED = ("batch_norm", 0.9, 1e-3, True, True)
SPLITS = {
    "two": ([BIG, ("dense", 131, "silu", True), OPS[-1]], {}),
    "bfloat16": ([(*BIG, "bfloat16"), (*NEXT, "bfloat16"), OPS[-1]], {}),
    "scaled": ([("scale_shift",), BIG, OPS[-1]], {}),
    "after one": ([("dense", 33, "tanh", False), BIG, OPS[-1]], {}),
    "dropout": (
        [BIG, ("dropout", 0.3, 7), ("dense", 131, "relu", False), ("dropout", 0.5, 8), OPS[-1]],
        {},
    ),
    "normalized": ([BIG, NORMALIZED, NEXT, NORMALIZED, NEXT, OPS[-1]], {}),
    "residual": ([BIG, ("fork",), BIG, ("join",), OPS[-1]], {}),
    "clipped": ([BIG, NEXT, OPS[-1]], {"global_clipnorm": 0.1}),
    "clipped each": ([BIG, NEXT, OPS[-1]], {"clipnorm": 0.1}),
}


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float32") for name in SPLITS), ("two", "float64")]
)
@pytest.mark.parametrize("batch_size", [1, 50, 171])
def test_layers_whose_outputs_a_team_shares(build, compile_with, problem, name, dtype, batch_size):
    ops, hyper = SPLITS[name]
    x, y, weight = problem(171, 70, 5, "xent", dtype, labels=True)
    index = np.random.default_rng(2).permutation(171)
    results = []
    for num_threads in (*THREADS, 4):
        net = build(native.Network, dtype, 70, ops)
        compile_with(net, "xent", "adam", ("argmax_match",), **hyper)
        _, loss, metrics = net.train(x, y, weight, index, batch_size, 0, EVERYTHING, num_threads)
        results.append(
            (net.flat_weights.copy(), net.flat_gradients.copy(), np.array([loss, *metrics]))
        )
    for result in results[1:]:
        assert_same_bits(result, results[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forward_backward(build, compile_with, dtype):
    rng = np.random.default_rng(3)
    x, dy = rng.normal(size=(67, 20)).astype(dtype), rng.normal(size=(67, 5)).astype(dtype)
    results = []
    for num_threads in THREADS:
        net = build(native.Network, dtype, 20, OPS)
        compile_with(net, None, "momentum")
        y = net.forward(x, num_threads)
        dx = net.backward(dy, num_threads)
        net.apply_gradients(num_threads)
        results.append((y, dx, net.flat_gradients.copy(), net.flat_weights.copy()))
    for result in results[1:]:
        assert_same_bits(result, results[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "size",
    [
        (1, 300, 257),
        (15, 33, 2),
        (130, 127, 129),
        (257, 513, 190),
        (1501, 1803, 67),
        (130, 1803, 300),
        (70, 300, 2060),
        (3, 700, 903),
        (3001, 401, 7),
        (3001, 401, 1),
    ],
)
def test_kernels(dtype, size):
    m, k, n = size
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    bias, dy = rng.normal(size=n).astype(dtype), rng.normal(size=(m, n)).astype(dtype)

    def run(num_threads):
        y = kernels.dense_forward(a, b, bias, activation="tanh", num_threads=num_threads)
        return (
            kernels.matmul(a, b, num_threads=num_threads),
            kernels.matmul(a.T.copy(), b, transpose_a=True, num_threads=num_threads),
            kernels.matmul(a, b.T.copy(), transpose_b=True, num_threads=num_threads),
            y,
            *kernels.dense_backward(a, b, y, dy, activation="tanh", num_threads=num_threads),
            kernels.softmax(dy, num_threads=num_threads),
            kernels.sigmoid(np.tile(dy, (40, 1)), num_threads=num_threads),
        )

    expected = run(1)
    for num_threads in (*THREADS[1:], None):
        assert_same_bits(run(num_threads), expected)


@pytest.mark.parametrize("precision", [None, "bfloat16"])
@pytest.mark.parametrize("transposes", [(False, False), (True, False), (False, True), (True, True)])
def test_one_number_of_a_long_product(transposes, precision):
    """It is too little for two threads by its multiply-adds, but not by what it reads."""
    transpose_a, transpose_b = transposes
    rng = np.random.default_rng(5)
    a, b = (rng.normal(size=(1, 250_000)).astype("float32") for _ in range(2))
    operands = a.T if transpose_a else a, b if transpose_b else b.T
    results = [
        kernels.matmul(
            *operands,
            transpose_a=transpose_a,
            transpose_b=transpose_b,
            precision=precision,
            num_threads=num_threads,
        )
        for num_threads in (*THREADS, None)
    ]
    expected = float(a[0].astype("float64") @ b[0])
    np.testing.assert_allclose(results[0], [[expected]], atol=3.0 if precision else 0.05)
    for result in results[1:]:
        assert_same_bits(result, results[0])


@pytest.fixture
def delay():
    """Make one thread late at the start of each phase."""
    yield core.set_test_delay
    core.set_test_delay(-1, 0)


@needs_threads
@pytest.mark.parametrize("late", [0, 1, 2])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_every_phase_waits_for_a_late_thread(train, delay, late, optimizer):
    """Where a barrier is missing, the others read what the late thread has yet to write."""
    expected = train(1, optimizer=optimizer)
    delay(late, 2000)
    started = time.perf_counter()
    result = train(3, optimizer=optimizer)
    assert time.perf_counter() - started > 8 * 2 * 0.002  # 8 steps of two phases: it was late
    assert_same_bits(result, expected)


COPIED = {
    "plain": (OPS, {}),
    "scaled later": ([("dense", 40, "relu", True), ("scale_shift",), OPS[-1]], {}),
    "rows and curves": (
        [
            ("dense", 64, "linear", True),
            ("activation", "softmax"),
            ("dense", 70, "linear", False),
            ("activation", "ramp", 0.3, 0.1, 2.0),
            OPS[-1],
        ],
        {},
    ),
    "noise": ([("dense", 33, "relu", True), ("dropout", 0.3, 7), ("dense", 40, "tanh", True),
               ("gaussian_noise", 0.1, 8), OPS[-1]], {}),
    "residual": ([("dense", 40, "relu", True), ("fork",), ("dense", 40, "tanh", True), ("join",),
                  OPS[-1]], {}),
    "clipped": (OPS, {"global_clipnorm": 0.1}),
    "clipped each": (OPS, {"clipnorm": 0.1}),
    "averages": (OPS, {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 5}),
    "accumulated": (OPS, {"gradient_accumulation_steps": 3}),
}  # fmt: skip


WIDE, NARROW = ("dense", 64, "relu", True), ("dense", 40, "tanh", True)
HALVED = {
    "plain": ([WIDE, NARROW, OPS[-1]], {}),
    "two layers": ([WIDE, OPS[-1]], {}),
    "unequal": ([("scale_shift",), ("dense", 56, "relu", False), NARROW, OPS[-1]], {}),
    "whole panels": ([WIDE, ("dense", 32, "tanh", False), OPS[-1]], {}),
    "not of zero": ([WIDE, ("dense", 40, "exp", True), OPS[-1]], {}),
    "columns": (
        [
            ("dense", 64, "linear", True),
            ("activation", "ramp", 0.3, 0.1, 2.0),
            ("dropout", 0.3, 7),
            ("activation", "silu"),
            ("dense", 40, "relu", True),
            ("gaussian_dropout", 0.1, 8),
            OPS[-1],
        ],
        {},
    ),
    "dropped": ([WIDE, ("dropout", 0.3, 7), NARROW, ("dropout", 0.3, 9), OPS[-1]], {}),
    "noise": ([("dense", 64, "tanh", True), ("gaussian_noise", 0.1, 7), NARROW, OPS[-1]], {}),
    "clipped": ([WIDE, NARROW, OPS[-1]], {"global_clipnorm": 0.1}),
    "clipped each": ([WIDE, NARROW, OPS[-1]], {"clipnorm": 0.1}),
    "averages": (
        [WIDE, NARROW, OPS[-1]],
        {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 5},
    ),
    "accumulated": ([WIDE, NARROW, OPS[-1]], {"gradient_accumulation_steps": 3}),
    # where panels are of 32 columns: halves of 4 and 3
    "seven panels": ([("dense", 224, "silu", True), NARROW, OPS[-1]], {}),
    "a part of seven": ([("dense", 220, "gelu", True), ("dropout", 0.3, 7), WIDE, OPS[-1]], {}),
    "large": ([("dense", 320, "relu", True), ("dense", 128, "relu", True), OPS[-1]], {}),
}


def assert_two_threads_do_the_same(make, data, batch_size, dtype, own):
    """`own`: what each of two threads may have in three calls, the last with frozen weights."""
    x, y, weight = data
    results = []
    for num_threads in (1, 2, 3):
        net = make()
        ops = net.ops
        totals, outputs = [], np.zeros((len(x), 5), dtype)
        for call, size in enumerate([batch_size, 24, batch_size]):
            if call == 1:  # what is written in between is in the copies, too
                last = len(ops) - 1
                net.set_kernel(last, net.get_kernel(last) * 2)
            if call == 2:
                first = 1 if ops[0][0] == "scale_shift" else 0
                net.set_trainable(first, False)
            index = np.random.default_rng(call).permutation(len(x))
            arguments = (x, y, weight, index, size, 0, EVERYTHING, num_threads)
            _, loss, metrics = net.train(*arguments, outputs=outputs)
            totals += [loss, *metrics]
            if num_threads < 3:  # of a small batch three are two
                assert net.own in (own[call] if num_threads == 2 else {None})
            net.evaluate(x, y, weight, index, 0, EVERYTHING, num_threads)  # in the same workspace
        out = np.empty((len(x), 5), dtype)
        net.predict(x, out, 1)
        slots = [array for name in net.slot_names for array in net.get_slot(name, len(ops) - 1)]
        flat = (net.flat_weights.copy(), net.flat_gradients.copy())
        results.append((*flat, np.array(totals), outputs.copy(), out, *slots))
    for result in results[1:]:
        assert_same_bits(result, results[0])


@needs_threads
@pytest.mark.parametrize("name", COPIED)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [2, 3, 32])
def test_small_networks_that_two_threads_have_copies_of(
    build, compile_with, problem, name, dtype, batch_size
):
    ops, hyper = COPIED[name]

    def make():
        net = build(native.Network, dtype, 20, ops)
        compile_with(net, "xent", "adam", ("argmax_match",), **hyper)
        net.set_penalty(len(ops) - 1, (0.01, 0.02), (0.0, 0.01))
        return net

    data = problem(701, 20, 5, "xent", dtype, labels=True)
    # AVX2's panels of float64 have 8 columns, of which the first layer of OPS has two halves
    halved = ops is OPS and dtype == "float64" and core.isa() == "avx2"
    own = {"half" if halved else "network"}
    assert_two_threads_do_the_same(make, data, batch_size, dtype, [own, own, {"network"}])


@needs_threads
@pytest.mark.parametrize("name", HALVED)
@pytest.mark.parametrize(
    ("dtype", "optimizer"),
    [("float32", "adam"), ("float64", "adam"), ("float32", "sgd"), ("float32", "rmsprop")],
)
@pytest.mark.parametrize(("batch_size", "penalised"), [(3, True), (32, False), (130, True)])
def test_small_networks_that_two_threads_halve(
    build, compile_with, problem, name, dtype, optimizer, batch_size, penalised
):
    ops, hyper = HALVED[name]

    def make():
        net = build(native.Network, dtype, 20, ops)
        compile_with(net, "xent", optimizer, ("argmax_match",), **hyper)
        for op in range(len(ops)) if penalised else ():
            if ops[op][0] == "dense":
                net.set_penalty(op, (0.01, 0.02), (0.0, 0.01))
        return net

    data = problem(701 if batch_size < 100 else 2101, 20, 5, "xent", dtype, labels=True)
    own = [{"half"}, {"half"}, {"network", None}]
    assert_two_threads_do_the_same(make, data, batch_size, dtype, own)


SMALLER = """
import numpy as np
from fastnn._native.network import Network

weights = []
for num_threads in (1, 2):
    net = Network("float32", 20, [("dense", 64, "relu", True), ("dense", 5, "softmax", True)])
    rng = np.random.default_rng(0)
    for op, shape in enumerate([(20, 64), (64, 5)]):
        net.set_kernel(op, rng.normal(size=shape).astype("float32"))
    hyper = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    net.compile("xent", "adam", (), hyper)
    x, y = rng.normal(size=(400, 20)).astype("float32"), np.arange(400, dtype="int32") % 5
    net.train(x, y, None, np.arange(400), 8, 0, 1e9, num_threads)
    weights.append(net.flat_weights.copy())
np.testing.assert_array_equal(*weights)
"""


@needs_threads
@pytest.mark.parametrize("limit", ["OMP_THREAD_LIMIT=1", "OMP_DYNAMIC=true"])
def test_a_team_smaller_than_asked_for_trains_all(limit):
    name, value = limit.split("=")
    subprocess.run([sys.executable, "-c", SMALLER], check=True, env={**os.environ, name: value})


@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "clipnorm"])
@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("ops", [OPS, [OPS[-1]], [WIDE, NARROW, OPS[-1]], HALVED["large"][0]])
def test_compiled_again_it_is_as_new(build, compile_with, problem, num_threads, optimizer, ops):
    """Though slots and workspaces are kept, where all that these depend on is the same."""
    x, y, _ = problem(400, 20, 5, "xent", "float32", labels=True)
    old = build(native.Network, "float32", 20, ops)
    dense = [op for op, (kind, *_) in enumerate(ops) if kind == "dense"]
    weights = [(old.get_kernel(op), old.get_bias(op)) for op in dense]
    for metrics in ((), (), ("argmax_match",), ("argmax_match",)):
        nets = [old, build(native.Network, "float32", 20, ops)]
        for net in nets:
            compile_with(net, "xent", optimizer, metrics)
            for op, (kernel, bias) in zip(dense, weights, strict=True):
                net.set_kernel(op, kernel)
                net.set_bias(op, bias)
        for _ in range(3):  # the first steps are too few for threads to have anything of their own
            arguments = (x, y, None, np.arange(400), 20, 0, EVERYTHING, num_threads)
            results = [net.train(*arguments) for net in nets]
            assert results[0] == results[1]
        np.testing.assert_array_equal(old.flat_weights, nets[1].flat_weights)


@needs_threads
@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("ops", [OPS, HALVED["plain"][0]])
def test_copies_and_halves_wait_for_a_late_thread(train, delay, late, ops):
    expected = train(1, batch_size=8, ops=ops)
    delay(late, 1000)
    assert_same_bits(train(2, batch_size=8, ops=ops), expected)


@needs_threads
@pytest.mark.parametrize(
    "ops",
    [
        [("dense", 300, "relu", True), ("dense", 300, "relu", True), OPS[-1]],  # too large
        [OPS[1], NORMALIZED, OPS[-1]],
        [OPS[1], ("layer_norm", 1e-3, True, True), OPS[-1]],
        [(*OPS[1], "bfloat16"), OPS[-1]],
    ],
)
def test_other_networks_have_no_copies(build, compile_with, problem, ops):
    x, y, weight = problem(171, 20, 5, "xent", "float32", labels=True)
    net = build(native.Network, "float32", 20, ops)
    compile_with(net, "xent", "adam")
    net.train(x, y, weight, np.arange(171), 16, 0, EVERYTHING, 2)
    assert net.own is None


@needs_threads
@pytest.mark.parametrize("late", [0, 1, 2])
def test_products_that_are_shared_wait_for_a_late_thread(build, compile_with, problem, delay, late):
    x, y, weight = problem(100, 70, 5, "xent", "float32", labels=True)
    index = np.arange(100)
    results = []
    for num_threads in (1, 3):
        net = build(native.Network, "float32", 70, SPLITS["two"][0])
        compile_with(net, "xent", "adam")
        if num_threads > 1:
            delay(late, 2000)
        _, loss, _ = net.train(x, y, weight, index, 50, 0, EVERYTHING, num_threads)
        results.append((net.flat_weights.copy(), np.array([loss])))
    assert_same_bits(*results)


def parts_of(ends):
    assert ends[-1] == 1
    return np.diff([0, *ends])


@needs_threads
@pytest.mark.parametrize("late", [0, 2])
def test_a_slow_thread_gets_less(build, compile_with, problem, delay, late):
    """And what it gets changes no bit; its speed was measured in a sixteenth of so small steps."""
    n, batch_size = 6000, 60
    x, y, _ = problem(n, 20, 5, "xent", "float32", labels=True)

    def train(num_threads):
        net = build(native.Network, "float32", 20, OPS)
        compile_with(net, "xent", "adam")
        net.train(x, y, None, np.arange(n), batch_size, 0, EVERYTHING, num_threads)
        return net

    expected = train(1).flat_weights
    delay(late, 200)
    net = train(3)
    np.testing.assert_array_equal(net.flat_weights, expected)
    for ends in net.shares:
        assert parts_of(ends).min() >= 0.1
        assert parts_of(ends)[late] < 0.3


@needs_threads
@pytest.mark.parametrize("late", [0, 1])
def test_a_thread_that_recovers_gets_its_part_again(build, compile_with, problem, delay, late):
    """Also where its part was none: two units.

    Wide inputs, so that a thread's time goes with its part; where most of it is waiting for what
    the other core wrote, any division is as good as another."""
    n, inputs, batch_size = 10240, 400, 512
    x, y, _ = problem(n, inputs, 1, "mse", "float32")

    def make():
        net = build(native.Network, "float32", inputs, OPS_OF_TWO_UNITS)
        compile_with(net, "mse", "sgd")
        return net

    def train(net):
        net.train(x, y, None, np.arange(n), batch_size, 0, EVERYTHING, 2)
        return np.array([parts_of(ends)[late] for ends in net.shares])

    net, never_late = make(), make()  # cores may differ for as long as the test takes
    delay(late, 1000)
    for _ in range(20):
        slow = train(net)
    assert slow.max() < 0.3
    delay(-1, 0)
    for _ in range(100):
        parts, expected = train(net), train(never_late)
        if recovered := (parts > slow).all() and (parts > 0.85 * expected).all():
            break
    assert recovered, (slow, parts, expected)


@needs_threads
def test_parts_are_learned_in_calls_of_one_step(build, compile_with, problem, delay):
    net = build(native.Network, "float32", 784, [("dense", 256, "relu", True), OPS[-1]])
    compile_with(net, "xent", "sgd")
    x, y, _ = problem(128, 784, 5, "xent", "float32", labels=True)
    assert net.train_threads(128, 2) == 2
    delay(1, 2000)
    for _ in range(40):
        net.train(x, y, None, np.arange(128), 128, 0, 0.0, 2)
    for ends in net.shares:
        assert parts_of(ends)[1] < 0.4


@needs_threads
@pytest.mark.parametrize("late", [0, 1, 2])
def test_evaluate_waits_for_a_late_thread(build, compile_with, problem, delay, late):
    """Several blocks of rows, whose losses the first thread adds up before they are overwritten."""
    n = 1500
    net = build(native.Network, "float32", 20, OPS)
    compile_with(net, "xent", "adam", ("argmax_match",))
    x, y, weight = problem(n, 20, 5, "xent", "float32", labels=True)
    index = np.arange(n)
    _, loss, metrics = net.evaluate(x, y, weight, index, 0, EVERYTHING, 1)
    delay(late, 3000)
    result = net.evaluate(x, y, weight, index, 0, EVERYTHING, 3)
    assert [result[1], *result[2]] == [loss, *metrics]


@needs_threads
@pytest.mark.parametrize("late", [0, 1, 2])
@pytest.mark.parametrize(
    "size", [(700, 1803, 300), (900, 260, 2060), (700, 1803, 200), (900, 100, 2060), (700, 900, 50)]
)
def test_products_wait_for_a_late_thread(delay, late, size):
    """Blocks of k, of columns; the same with B packed by each thread; B direct but for a panel."""
    m, k, n = size
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(m, k)).astype("f"), rng.normal(size=(k, n)).astype("f")
    expected = kernels.matmul(a, b, num_threads=1)
    delay(late, 3000)
    started = time.perf_counter()
    result = kernels.matmul(a, b, num_threads=3)
    assert time.perf_counter() - started > 2 * 0.003
    np.testing.assert_array_equal(result, expected)


@needs_threads
@pytest.mark.parametrize("late", [0, 1, 2])
def test_forward_backward_wait_for_a_late_thread(build, compile_with, delay, late):
    rng = np.random.default_rng(3)
    x, dy = rng.normal(size=(67, 20)).astype("f"), rng.normal(size=(67, 5)).astype("f")

    def run(num_threads):
        net = build(native.Network, "float32", 20, OPS)
        compile_with(net, None, "adam")
        for _ in range(3):
            y = net.forward(x, num_threads)
            dx = net.backward(dy, num_threads)
            net.apply_gradients(num_threads)
        return y, dx, net.flat_weights.copy()

    expected = run(1)
    delay(late, 2000)
    assert_same_bits(run(3), expected)


@pytest.fixture
def two_threads():
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(2)
    yield
    fastnn.set_num_threads(before)


@needs_threads
def test_training_leaves_a_slow_team(build, compile_with, problem, delay, two_threads):
    """Also where every call is one slice that ends in a short batch."""
    net = build(native.Network, "float32", 20, OPS)
    compile_with(net, "xent", "adam")
    n, epochs, late = 171, 60, 0.002
    x, y, _ = problem(n, 20, 5, "xent", "float32", labels=True)
    assert net.train_threads(50) > 1
    delay(1, int(1e6 * late))
    started = time.perf_counter()
    for _ in range(epochs):
        net.train(x, y, None, np.arange(n), 50, 0, math.inf, None)
    took = time.perf_counter() - started
    always_late = epochs * 4 * 2 * late  # 4 steps of two phases
    assert 2 * late < took < always_late / 2


def test_python_threads_train_their_own(train):
    expected = train(1)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(train, [1, 2, None, 3] * 3):
            assert_same_bits(result, expected)


def test_python_threads_share_a_model():
    """Predictions run side by side; one call to fit follows another."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(171, 20)).astype(np.float32), rng.integers(0, 5, 171)

    def make_model():
        fastnn.utils.set_random_seed(7)
        layers = [
            fastnn.layers.Dense(70, "relu", input_shape=(20,)),
            fastnn.layers.Dense(5, "softmax"),
        ]
        model = fastnn.Sequential(layers)
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    def fit(model):
        model.fit(x, y, epochs=2, batch_size=50, shuffle=False, verbose=0)

    shared, alone = make_model(), make_model()
    with ThreadPoolExecutor(4) as pool:
        expected = shared.predict(x, verbose=0)
        for out in pool.map(lambda _: shared.predict(x, verbose=0), range(20)):
            np.testing.assert_array_equal(out, expected)
        list(pool.map(lambda _: fit(shared), range(8)))
    for _ in range(8):
        fit(alone)
    for mine, theirs in zip(shared.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child(train, in_child):
    """After the parent has trained on threads, a child trains alike and does not hang."""
    expected = train(2)
    x = np.linspace(-3, 3, 100_000, dtype=np.float32)
    sigmoid = kernels.sigmoid(x, num_threads=2)

    def child():
        for num_threads in (2, None, 1):
            assert_same_bits(train(num_threads), expected)
            np.testing.assert_array_equal(kernels.sigmoid(x, num_threads=num_threads), sigmoid)

    assert in_child(child, seconds=30) == 0
    assert_same_bits(train(2), expected)  # the parent goes on


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2", True])
def test_bad_num_threads(bad):
    with pytest.raises((ValueError, TypeError), match="num_threads"):
        kernels.sigmoid(np.ones(3), num_threads=bad)


@needs_threads
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="affinities are read from /proc")
def test_waking_a_team_leaves_affinities_alone():
    def affinities():
        return {task: os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")}

    a = np.ones((64, 64), np.float32)
    big = np.ones((128, 128), np.float32)
    kernels.matmul(big, big, num_threads=4)
    expected = affinities()
    for _ in range(5):
        time.sleep(0.05)  # the team sleeps
        kernels.matmul(big, big, num_threads=4)
        time.sleep(0.05)
        kernels.sigmoid(a, num_threads=4)
    assert affinities() == expected


@needs_threads
def test_a_core_of_its_own_is_never_left():
    """A process that has one core only keeps it, with a team of several threads."""
    allowed = os.sched_getaffinity(0)
    a = np.ones((128, 128), np.float32)
    expected = kernels.matmul(a, a, num_threads=1)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        time.sleep(0.05)
        np.testing.assert_array_equal(kernels.matmul(a, a, num_threads=3), expected)
        assert os.sched_getaffinity(0) == {min(allowed)}
    finally:
        os.sched_setaffinity(0, allowed)


def test_barrier_seconds():
    """A thread alone waits for nobody; two take at least the way of a cache line."""
    alone, two = kernels.barrier_seconds(1), kernels.barrier_seconds(2)
    assert 0 < alone < 1e-6
    assert two > 0
    with pytest.raises(ValueError, match="num_threads must be an integer >= 1"):
        kernels.barrier_seconds(0)
