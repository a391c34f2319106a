"""Times that the cost model is fitted to, taken in turns on the machine at hand.

A neighbour on a shared machine only ever adds time, so a figure is the fastest of its rounds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from machine import cpu_name

from fastnn import kernels
from fastnn._native import core
from fastnn._native.network import Network
from fastnn.cli.workloads import Workload

SAMPLE_SECONDS = 0.001
ROWS = 16384  # of a data set: wide rows then come from memory, as they do in an epoch
BATCHES = (2, 8, 32, 128, 512)
FORWARD_FLOPS = 2e5  # below, a call from Python would be most of a forward pass
WIDE, NARROW = 1 << 24, 1 << 18  # floats of an array past every cache, and of one in the last one

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
RATES = ("fma_peak", "copy_memory", "copy_llc")
KEY = ("workload", "kind", "rows", "threads")  # of an observation

Json = dict[str, Any]
Function = Callable[[], float]  # runs a sample, returns the seconds of one step


@dataclass(frozen=True)
class Observation:
    """Seconds of one step of a kind of work; the model is fitted to these."""

    workload: str
    kind: (
        str  # "train": a whole step; "forward": phase 1's first half; "update": the optimizer alone
    )
    rows: int
    threads: int
    seconds: float = math.nan


class Trainee:
    """A workload's network, and rows enough that a step finds its batch in memory."""

    def __init__(self, workload: Workload) -> None:
        self.work = replace(workload, rows=ROWS)
        self.x, self.y = self.work.data()
        self.order = self.work.index()
        self.nets: dict[tuple[int, int], Any] = {}  # an engine remembers the pace of one batch size
        self.at = 0

    def net(self, rows: int, threads: int) -> Any:
        if (rows, threads) not in self.nets:
            self.nets[rows, threads] = self.work.network(Network)
        return self.nets[rows, threads]

    def sample(self, kind: str, rows: int, threads: int) -> float:
        """Seconds of one step of those that fill a sample."""
        net = self.net(rows, threads)
        count = max(1, int(SAMPLE_SECONDS / self.guess(kind, rows, threads)))
        if kind == "train":
            count = min(count, len(self.order) // rows)
            self.at = self.at + rows if self.at + (count + 1) * rows < len(self.order) else 0
            index = self.order[self.at : self.at + count * rows]
            self.at += count * rows
            run = partial(net.train, self.x, self.y, None, index, rows, 0, math.inf, threads)
            return timed(run) / count
        if kind == "forward":
            x = np.ascontiguousarray(self.x[:rows])
            return timed(lambda: [net.forward(x, threads) for _ in range(count)]) / count
        return timed(lambda: [net.apply_gradients(threads) for _ in range(count)]) / count

    def guess(self, kind: str, rows: int, threads: int) -> float:
        """Rough seconds of a step, to size the samples."""
        flops = self.work.flops / self.work.rows * (rows if kind != "update" else 4)
        return 3e-6 + flops / 2e11 / threads


def timed(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def observations(workload: Workload, counts: list[int]) -> list[Observation]:
    """What is measured of a workload: its own batch and a range of others, at each thread count."""
    batches = sorted({*BATCHES, workload.batch_size})
    wide = workload.flops / workload.rows > FORWARD_FLOPS
    found = [Observation(workload.name, "train", b, t) for b in batches for t in counts]
    if wide:
        found += [Observation(workload.name, "forward", b, 1) for b in batches]
        found += [Observation(workload.name, "update", 0, 1)]
    return found


def tiny_steps(threads: int) -> Function:
    """Steps of a 1 x 1 network on two rows a thread: hardly more than the barriers."""
    rows, steps = 2 * threads, 2000
    net = Network("float32", 1, [("dense", 1, "linear", True)])
    net.compile("mse", "sgd", [], {"learning_rate": 0.0, "momentum": 0.0, "nesterov": False})
    x = np.ones((rows, 1), np.float32)
    index = np.tile(np.arange(rows, dtype=np.int64), steps)
    return lambda: timed(partial(net.train, x, x, None, index, rows, 0, math.inf, threads)) / steps


def copies(floats: int, threads: int) -> Function:
    """Passes of max(x, 0) from one array to another: a copy."""
    x, y = np.ones(floats, np.float32), np.ones(floats, np.float32)
    count = max(1, 2 * WIDE // floats // 4)

    def run() -> float:
        pass_ = partial(kernels.relu, x, out=y, num_threads=threads)
        return timed(lambda: [pass_() for _ in range(count)]) / count

    return run


def cache_size(level: int) -> int:
    """Bytes of one cache of the first core."""
    return int((CACHES / f"index{level}" / "size").read_text().strip().removesuffix("K")) * 1024


def sharing_l3() -> int:
    """Cores that share the first core's L3, as the system tells it."""
    mask = (CACHES / "index3" / "shared_cpu_map").read_text().replace(",", "")
    return int(mask, 16).bit_count()


def measure(
    workloads: list[Workload], counts: list[int], seconds: float, cores_per_l3: int
) -> Json:
    """Measure for about so many seconds; counts are the numbers of threads.

    Returns
    -------
    dict
        The machine; "fma_peak", "step_1x1", "copy_memory" and "copy_llc", each as
        {threads: figure}; and the "observations". Rates are FLOP/s and bytes/s.
    """
    end = time.monotonic() + seconds
    trainees = {work.name: Trainee(work) for work in workloads}
    wanted = [o for work in workloads for o in observations(work, counts)]
    tasks: dict[Any, Function] = {
        o: partial(trainees[o.workload].sample, o.kind, o.rows, o.threads) for o in wanted
    }
    for t in counts:
        tasks["fma_peak", t] = partial(lambda n: 1 / kernels.fma_peak(num_threads=n), t)
        tasks["step_1x1", t] = tiny_steps(t)
        tasks["copy_memory", t] = copies(WIDE, t)
        tasks["copy_llc", t] = copies(NARROW, t)
    # By threads: a team that has work every millisecond does not go to sleep.
    by_threads = sorted(
        tasks, key=lambda key: key.threads if isinstance(key, Observation) else key[1]
    )
    best, rounds = dict.fromkeys(tasks, math.inf), 0
    while time.monotonic() < end or rounds < 3:
        for key in by_threads:
            best[key] = min(best[key], tasks[key]())
        rounds += 1
    return {
        "CPU": cpu_name(),
        "isa": core.isa(),
        "l2": cache_size(2),
        "l3": cache_size(3),
        "cores_per_l3": cores_per_l3,
        "fma_peak": {str(t): 1 / best["fma_peak", t] for t in counts},
        "step_1x1": {str(t): best["step_1x1", t] for t in counts},
        "copy_memory": {str(t): 8 * WIDE / best["copy_memory", t] for t in counts},
        "copy_llc": {str(t): 8 * NARROW / best["copy_llc", t] for t in counts},
        "observations": [asdict(replace(o, seconds=best[o])) for o in wanted],
    }


def fastest_of(new: Json, old: Json) -> Json:
    """Of two measurements of one machine, the faster of each figure."""
    out = dict(new)
    for name, faster in (("step_1x1", min), *((name, max) for name in RATES)):
        out[name] = {t: faster(value, old[name][t]) for t, value in new[name].items()}
    before = {tuple(o[key] for key in KEY): o["seconds"] for o in old["observations"]}
    out["observations"] = [
        o | {"seconds": min(o["seconds"], before[tuple(o[key] for key in KEY)])}
        for o in new["observations"]
    ]
    return out
