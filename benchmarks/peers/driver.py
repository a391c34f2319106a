"""Lets the workers take turns, and knows when a neighbour had the machine."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from harness import SETTLE_SECONDS
from registry import PEERS
from tasks import Task

from fastnn import kernels

WORKER = Path(__file__).resolve().parent / "worker.py"
QUIET = 0.9  # of the best peak of the run
PROBED = ("float32", "float64")  # what the peak is measured in; other dtypes' turns use the first

Json = dict[str, Any]


class WorkerError(Exception):
    """A worker's process ended, or what it was asked for failed."""


class UnsupportedError(Exception):
    """The peer has no such work."""


class WorkerProcess:
    """A peer's process at one number of threads; what it prints goes to `log`."""

    def __init__(self, peer: str, threads: int, log: IO[str]) -> None:
        self.peer = peer
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), peer, str(threads)],
            env=PEERS[peer].process_environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

    def ask(self, call: str, **arguments: str) -> Json:
        """Return the reply to a request."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # an ended process gives no reply either
            print(json.dumps({"call": call, **arguments}), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"process ended with status {self.process.wait()}")
        reply: Json = json.loads(line)
        if "unsupported" in reply:
            raise UnsupportedError(reply["unsupported"])
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


@dataclass(frozen=True)
class Probe:
    """How the machine's peak is measured."""

    dtype: str
    threads: int


@dataclass
class Turn:
    """Seconds of a task, busy cores, the loss it came to, and the peak at its worse end."""

    seconds: float
    cores: float
    loss: float | None
    peak: float


@dataclass
class Contender:
    """A worker with a task prepared, and the turns that it has had."""

    worker: WorkerProcess
    turns: list[Turn] = field(default_factory=list)
    error: str = ""  # why it had to give up


class Referee:
    """Holds contests.

    Parameters
    ----------
    rounds : int
        Undisturbed turns of each contender.
    patience : float
        Seconds that a contest may take for them. Then it makes do with the least disturbed.
    """

    def __init__(self, rounds: int, patience: float) -> None:
        self.rounds = rounds
        self.patience = patience
        self.best_peak: dict[Probe, float] = {}

    def peak(self, probe: Probe) -> float:
        """The multiply-add peak just now, in FLOP/s, after the last worker's threads have slept."""
        time.sleep(SETTLE_SECONDS)
        now = float(kernels.fma_peak(probe.dtype, num_threads=probe.threads))
        self.best_peak[probe] = max(now, self.best_peak.get(probe, 0.0))
        return now

    def lacks_turns(self, contender: Contender, probe: Probe) -> bool:
        limit = QUIET * self.best_peak[probe]
        return sum(turn.peak >= limit for turn in contender.turns) < self.rounds

    def contest(self, workers: list[WorkerProcess], task: Task, threads: int) -> list[Json]:
        """Return a result of each worker: its turns, or why it had none."""
        contenders, results = [], []
        for worker in workers:
            try:
                worker.ask("prepare", task=task.name)
                contenders.append(Contender(worker))
            except (UnsupportedError, WorkerError) as error:
                key = "unsupported" if isinstance(error, UnsupportedError) else "error"
                results.append({"peer": worker.peer, key: str(error)})
        probe = Probe(task.dtype if task.dtype in PROBED else PROBED[0], threads)
        self.take_turns(contenders, probe)
        return [self.result(contender, probe) for contender in contenders] + results

    def take_turns(self, contenders: list[Contender], probe: Probe) -> None:
        """Go round those who lack an undisturbed turn, until nobody does or the time is up."""
        deadline = time.monotonic() + self.patience
        before = self.peak(probe)
        while waiting := [
            c
            for c in contenders
            if not c.error and self.lacks_turns(c, probe)
            if len(c.turns) < self.rounds or time.monotonic() < deadline
        ]:
            for contender in waiting:
                try:
                    reply = contender.worker.ask("turn")
                except WorkerError as error:
                    contender.error = str(error)
                    continue
                after = self.peak(probe)
                contender.turns.append(Turn(**reply, peak=min(before, after)))
                before = after

    def result(self, contender: Contender, probe: Probe) -> Json:
        """The turns with the highest peaks, and how many more there were."""
        if contender.error:
            return {"peer": contender.worker.peer, "error": contender.error}
        best = sorted(contender.turns, key=lambda turn: turn.peak)[-self.rounds :]
        return {
            "peer": contender.worker.peer,
            "seconds": [turn.seconds for turn in best],
            "median": statistics.median(turn.seconds for turn in best),
            "losses": [turn.loss for turn in best if turn.loss is not None],
            "cores": statistics.median(turn.cores for turn in best),
            "peaks": [turn.peak for turn in best],
            "peak": statistics.median(turn.peak for turn in best),
            "peak_dtype": probe.dtype,
            "set_aside": len(contender.turns) - len(best),
            "disturbed": self.lacks_turns(contender, probe),
        }

    def best_peaks(self) -> list[Json]:
        """The best peak of the run, by dtype and threads."""
        return [{**asdict(probe), "flops": flops} for probe, flops in self.best_peak.items()]
