"""The process of one peer: does what it is told, one line of JSON after the other.

    python benchmarks/peers/worker.py PEER THREADS

A request is {"call": "versions"}, {"call": "prepare", "task": NAME} or {"call": "turn"}. The reply
holds what the call returned; {"unsupported": reason} where the peer has no such work; or
{"error": text}. Between requests the process sleeps.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

sys.path.append(str(Path(__file__).resolve().parent.parent))

from adapters import Adapter, Function, Trainer, UnsupportedError
from registry import PEERS
from tasks import TASKS, Elementwise, Matmul, Prediction, Training

TURN_SECONDS = 0.1  # a task is repeated for about that long in a turn

Json = dict[str, Any]


class TrainingJob:
    """Trains from the first weights, again and again."""

    def __init__(self, adapter: Adapter, task: Training) -> None:
        self.task = task
        self.trainer: Trainer = adapter.training(task)
        self.data = task.data()
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

    def loss(self) -> float:
        """The loss that the last run arrived at."""
        return self.task.loss(self.trainer.weights(), *self.data)


class FunctionJob:
    """Calls a function in a block, again and again."""

    def __init__(self, adapter: Adapter, task: Matmul | Elementwise | Prediction) -> None:
        self.function: Function = getattr(adapter, task.kind)(task)
        task.check(adapter.to_numpy(self.function()))
        self.repeats = repeats_for(self.block(1))
        self.repeats = repeats_for(self.block(self.repeats))

    def block(self, repeats: int) -> float:
        function = self.function
        start = time.perf_counter()
        for _ in range(repeats):
            function()
        return (time.perf_counter() - start) / repeats

    def turn(self) -> float:
        self.function()  # wakes caches and threads up
        return self.block(self.repeats)

    def loss(self) -> None:
        """Nothing was trained."""


def repeats_for(seconds: float) -> int:
    """Calls that fill a turn."""
    return max(1, round(TURN_SECONDS / seconds))


class Worker:
    """What a request may call; each method returns the reply."""

    def __init__(self, peer: str, threads: int) -> None:
        self.adapter: Adapter = import_module(f"adapters.{PEERS[peer].module}").Peer(threads)
        self.job: TrainingJob | FunctionJob | None = None

    def versions(self) -> Json:
        return {"versions": self.adapter.versions()}

    def prepare(self, task: str) -> Json:
        """Compile, check and warm up."""
        self.job = None  # frees the memory of the last one
        chosen = TASKS[task]
        if isinstance(chosen, Training):
            self.job = TrainingJob(self.adapter, chosen)
        else:
            self.job = FunctionJob(self.adapter, chosen)
        return {}

    def turn(self) -> Json:
        """Seconds of one run, how many cores were busy with it, and the loss after it."""
        if self.job is None:
            raise RuntimeError("a turn without a task")
        start, cpu = time.perf_counter(), time.process_time()
        seconds = self.job.turn()
        cores = (time.process_time() - cpu) / (time.perf_counter() - start)
        return {"seconds": seconds, "cores": cores, "loss": self.job.loss()}


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
