"""The process of one peer: does what it is told, one line of JSON after the other.

    python benchmarks/peers/worker.py PEER THREADS

A request is {"call": "versions"}, {"call": "prepare", "task": NAME}, {"call": "turn"} or {"call":
"measures"}. The reply holds what the call returned; {"unsupported": reason} where the peer has no
such work; or {"error": text}. Between requests the process sleeps.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TextIO

sys.path.append(str(Path(__file__).resolve().parent.parent))

import memory
from adapters import Adapter, Function, Trainer, UnsupportedError
from registry import PEERS
from tasks import TASKS, TRAINING, Call, Measures, Memory, Training

TURN_SECONDS = 0.06  # a task is repeated for about that long in a turn

Json = dict[str, Any]


class Job(Protocol):
    """A task, compiled, checked and warmed up."""

    def turn(self) -> float:
        """Seconds of one run."""

    def measures(self) -> Measures:
        """What is known of the result besides."""


class TrainingJob:
    """Trains from the first weights, again and again."""

    def __init__(self, adapter: Adapter, task: Training) -> None:
        self.task = task
        self.trainer: Trainer = adapter.training(task)
        self.once()
        self.repeats = repeats_for(self.once())

    def once(self) -> float:
        self.trainer.reset()
        start = time.perf_counter()
        self.trainer.run()
        return time.perf_counter() - start

    def turn(self) -> float:
        if self.repeats > 1:
            self.once()  # wakes caches and threads up
        return sum(self.once() for _ in range(self.repeats)) / self.repeats

    def measures(self) -> Measures:
        """What the last run arrived at."""
        return self.task.judge(self.trainer.weights())


class CallJob:
    """Calls a function in a block, again and again."""

    def __init__(self, adapter: Adapter, task: Call) -> None:
        self.function: Function = getattr(adapter, task.kind)(task)
        self.found = task.check(adapter.to_numpy(self.function()))
        self.repeats = repeats_for(self.block(1))
        self.repeats = repeats_for(self.block(self.repeats))

    def block(self, repeats: int) -> float:
        function = self.function
        start = time.perf_counter()
        for _ in range(repeats):
            function()
        return (time.perf_counter() - start) / repeats

    def turn(self) -> float:
        if self.repeats > 1:
            self.function()  # wakes caches and threads up
        return self.block(self.repeats)

    def measures(self) -> Measures:
        """How right the result was."""
        return self.found


class MemoryJob:
    """Trains once in a new process, and sees how much memory that takes at its peak."""

    def __init__(self, adapter: Adapter, task: Memory) -> None:
        warm_up = adapter.training(TRAINING[0])  # brings in the code, which is no data
        warm_up.reset()
        warm_up.run()
        del warm_up
        gc.collect()
        self.adapter, self.task = adapter, task

    def turn(self) -> float:
        self.task.data()  # there before, and not counted
        before = memory.resident()
        self.trainer = self.adapter.training(self.task)
        self.trainer.reset()
        memory.resident()  # gives back what making the first weights took
        memory.forget_peak()
        start = time.perf_counter()
        self.trainer.run()
        seconds = time.perf_counter() - start
        self.taken = memory.peak() - before
        return seconds

    def measures(self) -> Measures:
        """Bytes taken, those that had to be, and what training arrived at."""
        sizes = {"taken": float(self.taken), "needed": float(self.task.needed)}
        return {**sizes, **self.task.judge(self.trainer.weights())}


def job(adapter: Adapter, name: str) -> Job:
    task = TASKS[name]
    if isinstance(task, Memory):
        return MemoryJob(adapter, task)
    if isinstance(task, Training):
        return TrainingJob(adapter, task)
    return CallJob(adapter, task)


def repeats_for(seconds: float) -> int:
    """Calls that fill a turn."""
    return max(1, round(TURN_SECONDS / seconds))


class Worker:
    """What a request may call; each method returns the reply."""

    def __init__(self, peer: str, threads: int) -> None:
        self.adapter: Adapter = import_module(f"adapters.{PEERS[peer].module}").Peer(threads)
        self.job: Job | None = None

    def versions(self) -> Json:
        return {"versions": self.adapter.versions()}

    def prepare(self, task: str) -> Json:
        self.job = None  # frees the memory of the last one
        gc.collect()
        self.job = job(self.adapter, task)
        return {}

    def turn(self) -> Json:
        """Seconds of one run, and how many cores were busy with it."""
        prepared = self.prepared()
        start, cpu = time.perf_counter(), time.process_time()
        seconds = prepared.turn()
        cores = (time.process_time() - cpu) / (time.perf_counter() - start)
        return {"seconds": seconds, "cores": cores}

    def measures(self) -> Json:
        return {"measures": self.prepared().measures()}

    def prepared(self) -> Job:
        if self.job is None:
            raise RuntimeError("expected a task to be prepared first")
        return self.job


def answer(worker: Worker, request: Json) -> Json:
    call: Callable[..., Json] = getattr(worker, request.pop("call"))
    try:
        return call(**request)
    except UnsupportedError as error:
        return {"unsupported": str(error)}
    except Exception as error:  # a peer may raise anything; the driver reports it by name
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def private_stdout() -> TextIO:
    """Standard output for the replies alone; what a framework prints goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def main() -> None:
    replies = private_stdout()
    worker = Worker(sys.argv[1], int(sys.argv[2]))
    for line in sys.stdin:
        print(json.dumps(answer(worker, json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
