"""`fastnn bench`: fastnn beside NumPy and scikit-learn on this machine, in about a minute."""

from __future__ import annotations

import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import sklearn
from rich.box import SIMPLE
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import fastnn
from fastnn import kernels, reference
from fastnn._native import core
from fastnn.cli.training import NumpySequential
from fastnn.cli.workloads import (
    HYPER,
    SHAPES,
    W1,
    W2,
    W3,
    W5,
    W6,
    Array,
    Workload,
    blas,
    estimator,
    matmul_operands,
)
from fastnn.layers import Dense, Input
from fastnn.models import Sequential
from fastnn.optimizers import Adam

ROUNDS = 7  # the contenders take turns; a time is the median of its turns
TURN_SECONDS = 0.03
QUIET = 0.9  # of the best peak: below it a neighbour had the machine
SETTLE_SECONDS = 0.02  # a BLAS's threads spin on for a while after a call

Function = Callable[[], Any]


@dataclass(frozen=True)
class Contest:
    """The same work, done by each contender: calls of `units` steps, of `flops` or `bytes` each."""

    group: str
    name: str
    contenders: dict[str, Function]
    units: int = 1
    flops: float = 0.0
    bytes: float = 0.0


@dataclass(frozen=True)
class Result:
    """Median seconds of a step or call of each contender, and the worse peak at its ends."""

    group: str
    name: str
    seconds: dict[str, float]
    flops: float
    bytes: float
    peak: float


def contests(threads: int) -> Iterator[Contest]:
    """All of them, in the order of the table; each is made when its turn comes."""
    for shape in SHAPES[:-1]:
        yield product(shape, threads)
    for size in (10_000, 10_000_000):
        for function in ("sigmoid", "tanh", "exp", "relu"):
            yield elementwise(function, size, threads)
    yield training(replace(W1, rows=96), epochs=30)  # whole batches, every class
    yield training(W2, epochs=3)
    yield training(replace(W3, rows=3840), epochs=1)
    yield training(replace(W5, rows=30720), epochs=1)
    yield training(replace(W6, rows=6400), epochs=1)
    yield prediction(W2, rows=1)
    yield prediction(replace(W3, rows=3840), rows=3840)


def product(shape: tuple[int, int, int], threads: int) -> Contest:
    m, n, k = shape
    a, b = matmul_operands(shape, False, False)
    out = np.empty((m, n), np.float32)
    contenders: dict[str, Function] = {
        "fastnn": lambda: kernels.matmul(a, b, out=out, num_threads=threads),
        "numpy": lambda: np.matmul(a, b, out=out),
    }
    return Contest("matmul", f"{m} x {n} x {k}", contenders, flops=2.0 * m * n * k)


def elementwise(function: str, size: int, threads: int) -> Contest:
    x = np.random.default_rng(5).uniform(-6, 6, size).astype(np.float32)
    out = np.empty_like(x)
    ours, theirs = getattr(kernels, function), getattr(reference, function)
    contenders: dict[str, Function] = {
        "fastnn": lambda: ours(x, out=out, num_threads=threads),
        "numpy": lambda: theirs(x, out=out),
    }
    name = f"{function} of {size:.0e}".replace("+0", "")
    return Contest("elementwise", name, contenders, bytes=8.0 * size)


def training(work: Workload, epochs: int) -> Contest:
    """`fit` from wherever the last turn ended: the work of a step is the same."""
    x, y = work.data()
    models = {"fastnn": compiled(Sequential, work), "numpy": compiled(NumpySequential, work)}

    def fit(model: Sequential) -> Any:
        return model.fit(x, y, work.batch_size, epochs, shuffle=False, verbose=0)

    mlp = started(work, epochs)
    contenders: dict[str, Function] = {
        "fastnn": lambda: fit(models["fastnn"]),
        "numpy": lambda: fit(models["numpy"]),
        "scikit-learn": lambda: fit_estimator(mlp, x, y),
    }
    flops = work.flops / work.rows * work.batch_size
    sizes = "-".join(str(size) for size in (work.inputs, *(units for units, _ in work.layers)))
    name = f"{work.name} {sizes} by {work.batch_size}"
    return Contest("training step", name, contenders, epochs * work.steps, flops)


def prediction(work: Workload, rows: int) -> Contest:
    x = work.data()[0][:rows]
    model, twin, mlp = (
        compiled(Sequential, work),
        compiled(NumpySequential, work),
        started(work, 1),
    )
    contenders: dict[str, Function] = {
        "fastnn": lambda: model.predict_on_batch(x),
        "numpy": lambda: twin.predict_on_batch(x),
        "scikit-learn": lambda: mlp.predict_proba(x),
    }
    flops = 2.0 * rows * sum(w.size for w in work.weights()[::2])
    words = f"{rows} row{'s' * (rows > 1)} through {work.name}"
    return Contest("prediction", words, contenders, flops=flops)


def compiled(kind: type[Sequential], work: Workload) -> Sequential:
    """A model with the workload's first weights."""
    layers = [Dense(units, activation) for units, activation in work.layers]
    model = kind([Input((work.inputs,)), *layers])
    loss = {"xent": "sparse_categorical_crossentropy", "mse": "mse"}[work.loss]
    model.compile(Adam(**HYPER["adam"]), loss)
    model.set_weights(work.weights())
    return model


def started(work: Workload, epochs: int) -> Any:
    """A scikit-learn estimator with the workload's first weights."""
    model = fit_estimator(estimator(work, 1), *work.data())
    model.coefs_, model.intercepts_ = work.weights()[::2], work.weights()[1::2]
    return model.set_params(max_iter=epochs)


def fit_estimator(model: Any, x: Array, y: Array) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs are what they are
        return model.fit(x, y.ravel() if y.shape[1:] == (1,) else y)


def measure(contest: Contest, threads: int, rounds: int = ROUNDS) -> Result:
    """Let the contenders take turns."""
    with threadpool_limits(threads), sklearn.config_context(assume_finite=True):
        repeats = {name: repeats_for(call) for name, call in contest.contenders.items()}
        turns: dict[str, list[float]] = {name: [] for name in contest.contenders}
        peak = kernels.fma_peak(num_threads=threads)
        for _ in range(rounds):
            for name, call in contest.contenders.items():
                time.sleep(SETTLE_SECONDS)
                turns[name].append(block(call, repeats[name]) / contest.units)
        peak = min(peak, kernels.fma_peak(num_threads=threads))
    seconds = {name: statistics.median(taken) for name, taken in turns.items()}
    return Result(contest.group, contest.name, seconds, contest.flops, contest.bytes, peak)


def repeats_for(call: Function) -> int:
    """Calls that fill a turn; warms up on the way."""
    block(call, 1)
    return max(1, round(TURN_SECONDS / block(call, 1)))


def block(call: Function, repeats: int) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def rows(results: list[Result]) -> Table:
    """A line for each result: fastnn's time, rate and share, and the others' times over its."""
    best = max(result.peak for result in results)
    table = Table(box=SIMPLE, padding=(0, 1), collapse_padding=True, pad_edge=False)
    for column in ("", "fastnn", "rate", "of peak", "NumPy", "scikit-\nlearn"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for number, result in enumerate(results):
        last = number + 1 == len(results) or results[number + 1].group != result.group
        table.add_row(
            result.name,
            duration(result.seconds["fastnn"]),
            rate(result) + "*" * (result.peak < QUIET * best),
            f"{result.flops / result.seconds['fastnn'] / best:.2f}" if result.flops else "",
            *(ratio(result, other) for other in ("numpy", "scikit-learn")),
            end_section=last,
        )
    return table


def rate(result: Result) -> str:
    amount, unit = (result.flops, "GFLOP/s") if result.flops else (result.bytes, "GB/s")
    return f"{amount / result.seconds['fastnn'] / 1e9:.3g} {unit}"


def ratio(result: Result, other: str) -> str:
    if other not in result.seconds:
        return ""
    return f"{result.seconds[other] / result.seconds['fastnn']:.3g}"


def duration(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def document(results: list[Result], threads: int) -> dict[str, Any]:
    """What `--json` writes."""
    return {
        "machine": f"{platform.system()} {platform.machine()}",
        "isa": core.isa(),
        "threads": threads,
        "versions": {
            "fastnn": fastnn.__version__,
            "numpy": f"{np.__version__} ({blas()})",
            "scikit-learn": sklearn.__version__,
            "python": platform.python_version(),
        },
        "results": [asdict(result) for result in results],
    }
