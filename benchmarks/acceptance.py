"""Measure the speeds that fastnn promises, and exit with 1 where one is not reached.

    python benchmarks/acceptance.py [--only SUITE ...]

Suites: matmul, sigmoid, fit, features, sparse, estimator, threads, loss. The contenders of a bar
take turns; a round before or after which the machine was not quiet (quiet.py) is measured anew.
Bars for which that did not help within the patience are marked as disturbed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import openblas

if openblas.settings() and __name__ == "__main__":  # NumPy's BLAS reads them as it loads
    openblas.forget_settings()
    os.execv(sys.executable, [sys.executable, *sys.argv])

import numpy as np
import threadpoolctl
from harness import SETTLE_SECONDS, Function
from quiet import Condition, best_of, condition, disturbance, is_quiet, worst_of
from workloads import (
    ALL_FORMS,
    DIGITS,
    FORWARD,
    MATMUL_SHAPES,
    THREADS,
    WORKLOADS,
)

import fastnn
from fastnn import kernels, reference
from fastnn._native.network import Network
from fastnn.cli.workloads import W1, W3, W5, W6, Workload, matmul_operands, train_epoch

BLOCK_SECONDS = 0.02  # a contender repeats its work for about that long in a round


@dataclass
class Bar:
    """One promise: what was measured, and the least (or most) that it may be."""

    name: str
    measured: float
    limit: float
    unit: str = ""
    at_most: bool = False

    @property
    def passed(self) -> bool:
        if self.at_most:
            return self.measured <= self.limit
        return self.measured >= self.limit

    def __str__(self) -> str:
        verdict = "PASS" if self.passed else "FAIL"
        sign = "<=" if self.at_most else ">="
        measured = f"{self.measured:9.4g} {self.unit:<8}"
        return f"{verdict}  {self.name:<66} {measured} {sign} {self.limit:g}"


@dataclass
class Round:
    """What one round measured: the machine at its worse end, and the seconds of each contender."""

    condition: Condition
    seconds: dict[str, float]


class Arena:
    """Lets contenders take turns, and knows how fast the machine is when it is quiet.

    Parameters
    ----------
    rounds : int
        Undisturbed rounds of a contest.
    patience : float
        Seconds that a contest may wait for them. Then it makes do with the least disturbed.
    """

    def __init__(self, rounds: int, patience: float) -> None:
        self.rounds = rounds
        self.patience = patience
        self.best: dict[int, Condition] = {}
        self.disturbed = False  # whether the last contest had to make do

    def condition(self, threads: int) -> Condition:
        """The machine's just now."""
        now = condition(threads)
        self.best[threads] = best_of(now, self.best.get(threads))
        return now

    def is_quiet(self, taken: list[Round], threads: int) -> bool:
        return sum(is_quiet(r.condition, self.best[threads]) for r in taken) >= self.rounds

    def contest(
        self, contenders: dict[str, Function], threads: int
    ) -> tuple[dict[str, float], float]:
        """Return the median seconds of each contender and the median peak of the same rounds."""
        taken: list[Round] = []
        with threadpoolctl.threadpool_limits(threads, user_api="blas"):
            repeats = {name: repeats_for(f) for name, f in contenders.items()}
            deadline = time.monotonic() + self.patience
            while len(taken) < self.rounds or time.monotonic() < deadline:
                before = self.condition(threads)
                seconds = {name: timed(f, repeats[name]) for name, f in contenders.items()}
                taken.append(Round(worst_of(before, self.condition(threads)), seconds))
                if self.is_quiet(taken, threads):
                    break
        self.disturbed = not self.is_quiet(taken, threads)
        taken.sort(key=lambda r: disturbance(r.condition, self.best[threads]))
        best = taken[: self.rounds]
        medians = {name: statistics.median(r.seconds[name] for r in best) for name in contenders}
        return medians, statistics.median(r.condition.peak for r in best)


def repeats_for(function: Function) -> int:
    """Calls that fill a block; warms up on the way."""
    function()
    start = time.perf_counter()
    function()
    return max(1, round(BLOCK_SECONDS / (time.perf_counter() - start)))


def timed(function: Function, repeats: int) -> float:
    """Seconds of one call, in a block of them after a call that does not count."""
    time.sleep(SETTLE_SECONDS)
    function()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


def matmul_bars(
    arena: Arena, shape: tuple[int, int, int], form: str, threads: int
) -> Iterator[Bar]:
    m, n, k = shape
    transpose_a, transpose_b = ALL_FORMS[form]
    a, b = matmul_operands(shape, transpose_a, transpose_b)
    left, right = a.T if transpose_a else a, b.T if transpose_b else b
    out = np.empty((m, n), np.float32)
    contenders = {
        "fastnn": lambda: kernels.matmul(
            a,
            b,
            transpose_a=transpose_a,
            transpose_b=transpose_b,
            out=out,
            num_threads=threads,
        ),
        "numpy": lambda: np.matmul(left, right, out=out),
    }
    seconds, peak = arena.contest(contenders, threads)
    name = f"matmul {form}, {m} x {n} x {k}, threads {threads}"
    yield Bar(f"{name}: NumPy's speed", seconds["numpy"] / seconds["fastnn"], 1.0, "times")
    if shape == MATMUL_SHAPES[-1]:
        share = 2.0 * m * n * k / seconds["fastnn"] / peak
        yield Bar(f"{name}: of the peak", share, 0.88)


def numpy_sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def sigmoid_bars(arena: Arena, size: int, limit: float) -> Iterator[Bar]:
    x = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    contenders: dict[str, Function] = {
        "fastnn": lambda: kernels.sigmoid(x, num_threads=1),
        "numpy": lambda: 1 / (1 + np.exp(-x)),
    }
    seconds, _ = arena.contest(contenders, threads=1)
    ratio = seconds["numpy"] / seconds["fastnn"]
    yield Bar(f"sigmoid, {size} elements, threads 1: NumPy's speed", ratio, limit, "times")


def digits_model() -> Any:
    from fastnn.layers import Dense
    from fastnn.models import Sequential
    from fastnn.optimizers import Adam

    fastnn.utils.set_random_seed(0)
    model = Sequential(
        [
            Dense(64, activation="relu", input_shape=(64,)),
            Dense(32, activation="relu"),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer=Adam(learning_rate=0.001), loss="sparse_categorical_crossentropy")
    return model


def fit_bars(arena: Arena) -> Iterator[Bar]:
    """`fit` on the handwritten digits beside the NumPy engine, from the same weights."""
    x, y = DIGITS.data()
    epochs = 10

    def fit(**options: Any) -> list[float]:
        model.set_weights(weights)
        history = model.fit(x, y, epochs=epochs, batch_size=32, verbose=0, **options)
        return list(history.history["loss"])

    def fit_numpy(shuffle: bool = True) -> list[float]:
        for op in range(len(DIGITS.layers)):
            twin.set_kernel(op, weights[2 * op])
            twin.set_bias(op, weights[2 * op + 1])
        orders = [DIGITS.index(epoch) if shuffle else np.arange(len(x)) for epoch in range(epochs)]
        return [train_epoch(twin, x, y, order, 32, None) for order in orders]

    model, twin = digits_model(), DIGITS.network(reference.Network)
    weights = model.get_weights()
    loss, expected = fit(shuffle=False)[-1], fit_numpy(shuffle=False)[-1]
    yield Bar("fit digits: final loss off NumPy's", abs(loss / expected - 1), 0.01, at_most=True)

    # products as small as these NumPy's BLAS runs on one thread anyway; fastnn chooses for itself
    seconds, _ = arena.contest({"fastnn": fit, "numpy": fit_numpy}, threads=1)
    step = seconds["fastnn"] / (epochs * DIGITS.steps)
    yield Bar("fit digits 64-32-10 batch 32: a step", step * 1e6, 18.0, "us", at_most=True)
    ratio = seconds["numpy"] / seconds["fastnn"]
    yield Bar("fit digits 64-32-10 batch 32: NumPy's speed", ratio, 5.0, "times")


def featured_model(workload: Workload, clipping: dict[str, float] | None = None) -> Any:
    """A workload's network under Adam; with clipping, under dropout, a schedule and L2, too."""
    from fastnn.layers import Dense, Dropout, Input
    from fastnn.models import Sequential
    from fastnn.optimizers import Adam
    from fastnn.optimizers.schedules import ExponentialDecay
    from fastnn.regularizers import L2

    layers: list[Any] = [Input((workload.inputs,))]
    for units, activation in workload.layers:
        if clipping and len(layers) > 1:
            layers.append(Dropout(0.2))
        layers.append(Dense(units, activation, kernel_regularizer=L2(1e-4) if clipping else None))
    schedule = ExponentialDecay(1e-3, 100, 0.9) if clipping else 1e-3
    model = Sequential(layers)
    model.compile(Adam(schedule, **(clipping or {})), "sparse_categorical_crossentropy")
    return model


@contextmanager
def threads_of_fastnn(threads: int) -> Iterator[None]:
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    try:
        yield
    finally:
        fastnn.set_num_threads(before)


def feature_bars(
    arena: Arena, workload: Workload, limit: float, epochs: int, threads: int
) -> Iterator[Bar]:
    """What dropout, class weights, a schedule, L2 and clipping cost together, and validation."""
    x, y = (data[:20_000] for data in workload.data())
    class_weight = {label: 1 + 0.1 * label for label in range(workload.layers[-1][0])}

    def fit(model: Any, **options: Any) -> Function:
        common = {"epochs": epochs, "batch_size": workload.batch_size, "verbose": 0}
        return lambda: model.fit(x, y, **common, **options)

    plain = featured_model(workload)
    contenders = {
        "plain": fit(plain),
        "value": fit(featured_model(workload, {"clipvalue": 1.0}), class_weight=class_weight),
        "norm": fit(featured_model(workload, {"global_clipnorm": 1.0}), class_weight=class_weight),
        "validation": fit(plain, validation_data=(x, y)),
    }
    with threads_of_fastnn(threads):
        seconds, _ = arena.contest(contenders, threads)
    cost = {name: 100 * (taken / seconds["plain"] - 1) for name, taken in seconds.items()}
    title = f"fit {workload.name}, threads {threads}"
    for clipping in ("value", "norm"):
        name = f"{title}: features, clipping by {clipping}, over plain Adam"
        yield Bar(name, cost[clipping], limit, "%", at_most=True)
    sizes = [workload.inputs, *(units for units, _ in workload.layers)]
    products = [m * n for m, n in pairwise(sizes)]
    share = 100 * sum(products) / (3 * sum(products) - products[0])  # as many rows, forward only
    name = f"{title}: validation on as many rows, over plain Adam"
    yield Bar(name, cost["validation"], share, "%", at_most=True)


def sparse_bars(arena: Arena) -> Iterator[Bar]:
    """An epoch on sparse rows beside scikit-learn's, which like fastnn keeps them sparse."""
    from scipy import sparse
    from sklearn.neural_network import MLPClassifier

    from fastnn.layers import Dense
    from fastnn.models import Sequential

    rows, features, units, batch = 20_000, 50_000, 64, 200
    rng = np.random.default_rng(0)
    x = sparse.random(rows, features, 0.001, "csr", np.float32, rng)
    y = rng.integers(0, 2, rows)
    fastnn.utils.set_random_seed(0)
    model = Sequential([Dense(units, "relu"), Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")

    def other(dtype: Any) -> Function:
        classifier, data = MLPClassifier((units,), batch_size=batch), x.astype(dtype)
        return lambda: classifier.partial_fit(data, y, classes=[0, 1])

    contenders: dict[str, Function] = {
        "fastnn": lambda: model.fit(x, y, batch_size=batch, verbose=0),
        "float32": other(np.float32),
        "float64": other(np.float64),
    }
    seconds, _ = arena.contest(contenders, max(THREADS))
    for dtype in ("float32", "float64"):
        ratio = seconds[dtype] / seconds["fastnn"]
        name = f"fit {rows} x {features} sparse, {units} units: scikit-learn's {dtype} speed"
        yield Bar(name, ratio, 5.0, "times")


def estimator_pair(workload: Workload, epochs: int) -> tuple[Any, Any]:
    """fastnn's estimator for a workload and scikit-learn's, which both go through all epochs."""
    from sklearn import neural_network

    *hidden, _ = workload.layers
    kind = "MLPClassifier" if workload.loss == "xent" else "MLPRegressor"
    settings = {
        "hidden_layer_sizes": [units for units, _ in hidden],
        "activation": hidden[0][1],
        "batch_size": workload.batch_size,
        "max_iter": epochs,
        "n_iter_no_change": 10**9,
        "random_state": 0,
    }
    return getattr(fastnn, kind)(**settings), getattr(neural_network, kind)(**settings)


def estimator_model(workload: Workload) -> Any:
    """The same network as a Sequential."""
    from fastnn.layers import Dense, Input
    from fastnn.models import Sequential
    from fastnn.optimizers import Adam

    layers = [Dense(units, activation) for units, activation in workload.layers]
    model = Sequential([Input((workload.inputs,)), *layers])
    loss = "sparse_categorical_crossentropy" if workload.loss == "xent" else "mse"
    model.compile(Adam(epsilon=1e-8), loss)
    return model


def estimator_bars(
    arena: Arena, workload: Workload, rival: str, limit: float, epochs: int
) -> Iterator[Bar]:
    """The estimator's `fit` beside scikit-learn's, or beside that of a Sequential."""
    x, y = workload.data()
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    ours, theirs = estimator_pair(workload, epochs)
    model = estimator_model(workload)
    fits: dict[str, Function] = {
        "scikit-learn": lambda: theirs.fit(x, y),
        "Sequential": lambda: model.fit(
            x, y, epochs=epochs, batch_size=workload.batch_size, verbose=0
        ),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the epochs were too few to converge
        contenders = {"ours": lambda: ours.fit(x, y), rival: fits[rival]}
        seconds, _ = arena.contest(contenders, max(THREADS))
    ratio = seconds[rival] / seconds["ours"]
    yield Bar(f"estimator, {workload.title}: {rival}'s speed", ratio, limit, "times")


def row_bars(arena: Arena) -> Iterator[Bar]:
    """One row through `predict_proba`."""
    x, y = DIGITS.data()
    ours, _ = estimator_pair(DIGITS, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours.fit(x, y)
    row = x[:1]
    seconds, _ = arena.contest({"ours": lambda: ours.predict_proba(row)}, 1)
    yield Bar("estimator, one row of digits", seconds["ours"] * 1e6, 15.0, "us", at_most=True)


def loss_bars(arena: Arena, workload: Workload) -> Iterator[Bar]:
    """After three epochs both engines are at the same loss."""
    x, y = workload.data()
    final = []
    for network_class in (Network, reference.Network):
        net = workload.network(network_class)
        for epoch in range(3):
            loss = train_epoch(net, x, y, workload.index(epoch), workload.batch_size, None)
        final.append(loss)
    name = f"epochs of {workload.name}: final loss off NumPy's"
    yield Bar(name, abs(final[0] / final[1] - 1), 0.01, at_most=True)


@contextmanager
def neighbour() -> Iterator[None]:
    """Another process that never rests, on the last of the cores that this one may use."""
    core = max(os.sched_getaffinity(0))
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        os.sched_setaffinity(process.pid, {core})
        try:
            yield
        finally:
            process.kill()


def steps_a_second(net: Any, workload: Workload, num_threads: int | None, seconds: float) -> float:
    x, y = workload.data()
    index = workload.index()
    time.sleep(SETTLE_SECONDS)  # NumPy's threads, which made the data
    train_epoch(net, x, y, index, workload.batch_size, num_threads)
    before, start = net.iterations, time.perf_counter()
    while time.perf_counter() < start + seconds:
        train_epoch(net, x, y, index, workload.batch_size, num_threads)
    return float((net.iterations - before) / (time.perf_counter() - start))


def thread_bars(arena: Arena, workload: Workload) -> Iterator[Bar]:
    """Training with the threads that the engine chooses, beside one and all: alone, and with a
    neighbour."""
    net = workload.network(Network)

    def chosen_to(others: list[int], seconds: float) -> float:
        ratios = []
        for i in range(arena.rounds):
            turns = [*others, None] if i % 2 else [None, *others]
            speed = {n: steps_a_second(net, workload, n, seconds) for n in turns}
            ratios.append(speed[None] / max(speed[n] for n in others))
        return statistics.median(ratios)

    name = f"epochs of {workload.name}, threads as chosen"
    yield Bar(f"{name}: one thread's speed", chosen_to([1], 0.3), 0.95, "times")
    best = chosen_to([1, max(THREADS)], 0.3)
    yield Bar(f"{name}: the better of one thread and all", best, 0.9, "times")
    with neighbour():  # the choice shows over several slices of the scheduler
        beside = chosen_to([1], 1.0)
        yield Bar(f"{name}: one thread's speed, beside a busy process", beside, 0.8, "times")


def pause_bars(arena: Arena, size: int) -> Iterator[Bar]:
    """A product now and then, whose team sleeps between, beside one thread's."""
    a, b = matmul_operands((size, size, size), False, False)
    out = np.empty((size, size), np.float32)
    seconds: dict[int | None, list[float]] = {n: [] for n in (1, max(THREADS), None)}
    for _ in range(3 * arena.rounds):
        for num_threads, taken in seconds.items():
            time.sleep(0.1)
            start = time.perf_counter()
            kernels.matmul(a, b, out=out, num_threads=num_threads)
            taken.append(time.perf_counter() - start)
    medians = {n: statistics.median(taken) for n, taken in seconds.items()}
    name = f"matmul {size} x {size} x {size} after a pause, threads"
    for n, label in {max(THREADS): "all", None: "as chosen"}.items():
        yield Bar(f"{name} {label}: one thread's speed", medians[1] / medians[n], 0.9, "times")


def is_promised(shape: tuple[int, int, int], form: str) -> bool:
    """Of the transposed forms only the largest product's speed is."""
    return form in FORWARD or shape == MATMUL_SHAPES[-1]


SUITES: dict[str, list[Callable[[Arena], Iterator[Bar]]]] = {
    "matmul": [
        partial(matmul_bars, shape=shape, form=form, threads=threads)
        for shape in MATMUL_SHAPES
        for form in ALL_FORMS
        for threads in THREADS
        if is_promised(shape, form)
    ],
    "sigmoid": [
        partial(sigmoid_bars, size=10_000, limit=2.5),
        partial(sigmoid_bars, size=10_000_000, limit=2.0),
    ],
    "fit": [fit_bars],
    "features": [
        partial(feature_bars, workload=workload, limit=limit, epochs=epochs, threads=threads)
        for workload, limit, epochs in ((DIGITS, 25, 20), (W3, 8, 1))
        for threads in THREADS
    ],
    "sparse": [sparse_bars],
    "estimator": [
        partial(estimator_bars, workload=W1, rival="scikit-learn", limit=20, epochs=200),
        partial(estimator_bars, workload=DIGITS, rival="scikit-learn", limit=12, epochs=20),
        partial(estimator_bars, workload=W6, rival="scikit-learn", limit=20, epochs=20),
        partial(estimator_bars, workload=W3, rival="Sequential", limit=0.9, epochs=2),
        partial(estimator_bars, workload=W5, rival="Sequential", limit=0.9, epochs=2),
        row_bars,
    ],
    "threads": [
        *(partial(thread_bars, workload=workload) for workload in WORKLOADS),
        partial(pause_bars, size=512),
    ],
    "loss": [partial(loss_bars, workload=workload) for workload in WORKLOADS],
}


def measure(suite: str, arena: Arena) -> int:
    """Print the suite's bars as they are measured; return how many failed."""
    failed = 0
    for bars in SUITES[suite]:
        arena.disturbed = False
        for bar in bars(arena):
            print(f"{bar}  (disturbed)" if arena.disturbed else bar, flush=True)
            failed += not bar.passed
    return failed


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SUITES, default=list(SUITES))
    parser.add_argument("--rounds", type=int, default=9, help="of each contest (9)")
    parser.add_argument("--patience", type=float, default=30, help="seconds of a contest (30)")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    arena = Arena(options.rounds, options.patience)
    print(f"NumPy {np.__version__}, {openblas.description()}", flush=True)
    failed = sum(measure(suite, arena) for suite in options.only)
    for threads, best in sorted(arena.best.items()):
        print(
            f"{threads} threads: {best.peak / 1e9:.0f} GFLOP/s, meet in {best.barrier * 1e9:.0f} ns"
            f", pace {best.pace * 1e6:.1f} us"
        )
    print(f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
