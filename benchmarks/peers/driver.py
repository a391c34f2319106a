"""Lets the workers take turns, and knows when the machine was not quiet."""

from __future__ import annotations

import contextlib
import json
import math
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from harness import SETTLE_SECONDS
from quiet import Condition, best_of, condition, disturbance, is_quiet, worst_of
from registry import PEERS
from tasks import Memory, Task

WORKER = Path(__file__).resolve().parent / "worker.py"
PROBE_SECONDS = 0.5  # of turns between two looks at the machine
BUDGET_SECONDS = 8.0  # of a contender's turns; one with slow turns has fewer, but
LEAST_ROUNDS = 3

Json = dict[str, Any]


class WorkerError(Exception):
    """A worker's process ended, hung, or what it was asked for failed."""


class UnsupportedError(Exception):
    """The peer has no such work."""


class WorkerProcess:
    """A peer's process at one number of threads.

    Parameters
    ----------
    peer : str
        Its name in the registry.
    threads : int
    log : text file
        Gets what the process prints.
    limit : float
        Seconds that a reply may take. Then the process is killed.
    command : list of str, optional
        The program; worker.py by default.
    """

    def __init__(
        self,
        peer: str,
        threads: int,
        log: IO[str],
        limit: float,
        command: list[str] | None = None,
    ) -> None:
        self.peer, self.threads, self.log, self.limit = peer, threads, log, limit
        self.command = command or [sys.executable, str(WORKER), peer, str(threads)]
        self.process: subprocess.Popen[str] | None = None

    def start(self, *, keep_memory: bool = True) -> subprocess.Popen[str]:
        """The process; a new one if there is none, or if it has ended."""
        if self.process is not None and self.process.poll() is not None:
            self.close()
        if self.process is None:
            self.process = subprocess.Popen(
                self.command,
                env=PEERS[self.peer].process_environment(self.threads, keep_memory=keep_memory),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                text=True,
            )
        return self.process

    def ask(self, call: str, **arguments: str) -> Json:
        """Return the reply to a request."""
        process = self.start()
        assert process.stdin is not None
        assert process.stdout is not None
        hung = threading.Event()

        def give_up() -> None:
            hung.set()
            process.kill()

        timer = threading.Timer(self.limit, give_up)
        timer.start()
        with contextlib.suppress(BrokenPipeError):  # an ended process gives no reply either
            print(json.dumps({"call": call, **arguments}), file=process.stdin, flush=True)
        line = process.stdout.readline()
        timer.cancel()
        if not line:
            status = process.wait()
            if hung.is_set():
                raise WorkerError(f"no reply to {call} within {self.limit:g} s")
            raise WorkerError(f"process ended with status {status}")
        reply: Json = json.loads(line)
        if "unsupported" in reply:
            raise UnsupportedError(reply["unsupported"])
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@dataclass(frozen=True)
class Probe:
    """How the machine is looked at."""

    dtype: str
    threads: int


@dataclass
class Turn:
    """Seconds of a task, busy cores, and the machine at the worse end of it."""

    seconds: float
    cores: float
    condition: Condition = field(default=Condition(0.0))  # until it is looked at


@dataclass
class Contender:
    """A worker with a task prepared, and the turns that it has had."""

    worker: WorkerProcess
    turns: list[Turn] = field(default_factory=list)
    spent: float = 0.0  # seconds of its turns
    error: str = ""  # why it had to give up

    def rounds(self, most: int) -> int:
        """Undisturbed turns that it needs: fewer if they are slow."""
        if not self.turns:
            return most
        affordable = math.ceil(BUDGET_SECONDS * len(self.turns) / self.spent)
        return min(most, max(LEAST_ROUNDS, affordable))


def measured(probe: Probe) -> Condition:
    """The machine just now, after the last worker's threads have slept."""
    time.sleep(SETTLE_SECONDS)
    return condition(probe.threads, probe.dtype)


class Referee:
    """Holds contests.

    Parameters
    ----------
    rounds : int
        Undisturbed turns of each contender.
    patience : float
        Seconds that a contest may take for them. Then it makes do with the least disturbed.
    best_peaks : list of dict, optional
        Those of the run so far, as `best_peaks` returns them.
    measure : callable
        What looks at the machine.
    """

    def __init__(
        self,
        rounds: int,
        patience: float,
        best_peaks: Iterable[Json] = (),
        measure: Callable[[Probe], Condition] = measured,
    ) -> None:
        self.rounds = rounds
        self.patience = patience
        self.best = {
            Probe(p["dtype"], p["threads"]): Condition(p["flops"], p["barrier"], p["pace"])
            for p in best_peaks
        }
        self.measure = measure

    def look(self, probe: Probe) -> Condition:
        """The machine just now; remembers its best."""
        now = self.measure(probe)
        self.best[probe] = best_of(now, self.best.get(probe))
        return now

    def is_quiet(self, turn: Turn, probe: Probe) -> bool:
        return is_quiet(turn.condition, self.best[probe])

    def lacks_turns(self, contender: Contender, probe: Probe) -> bool:
        quiet = sum(self.is_quiet(turn, probe) for turn in contender.turns)
        return quiet < contender.rounds(self.rounds)

    def contest(self, workers: list[WorkerProcess], task: Task, probe: Probe) -> list[Json]:
        """Return a result of each worker: its turns, or why it had none."""
        contenders, results = [], []
        for worker in workers:
            if isinstance(task, Memory):  # it takes a new process to tell
                worker.close()
                worker.start(keep_memory=False)
            try:
                worker.ask("prepare", task=task.name)
                contenders.append(Contender(worker))
            except (UnsupportedError, WorkerError) as error:
                key = "unsupported" if isinstance(error, UnsupportedError) else "error"
                results.append({"peer": worker.peer, key: str(error)})
        if isinstance(task, Memory):  # a second turn would find what the first one took
            self.go_round(contenders, probe, self.look(probe))
        else:
            self.take_turns(contenders, probe)
        return [self.result(contender, probe) for contender in contenders] + results

    def take_turns(self, contenders: list[Contender], probe: Probe) -> None:
        """Go round those who lack an undisturbed turn, until nobody does or the time is up."""
        deadline = time.monotonic() + self.patience
        before = self.look(probe)
        while waiting := [
            c
            for c in contenders
            if not c.error and self.lacks_turns(c, probe)
            if len(c.turns) < c.rounds(self.rounds) or time.monotonic() < deadline
        ]:
            before = self.go_round(waiting, probe, before)

    def go_round(self, contenders: list[Contender], probe: Probe, before: Condition) -> Condition:
        """A turn for each, with looks at the machine between them; return the last."""
        unjudged: list[Turn] = []
        start = time.monotonic()
        for contender in contenders:
            turn = self.turn(contender)
            unjudged += [turn] if turn else []
            if contender is contenders[-1] or time.monotonic() - start > PROBE_SECONDS:
                after = self.look(probe)
                for turn in unjudged:
                    turn.condition = worst_of(before, after)
                unjudged, before, start = [], after, time.monotonic()
        return before

    def turn(self, contender: Contender) -> Turn | None:
        time.sleep(SETTLE_SECONDS)  # the last worker's threads spin on for about that long
        start = time.monotonic()
        try:
            turn = Turn(**contender.worker.ask("turn"))
        except WorkerError as error:
            contender.error = str(error)
            return None
        contender.turns.append(turn)
        contender.spent += time.monotonic() - start
        return turn

    def result(self, contender: Contender, probe: Probe) -> Json:
        """The least disturbed turns, how many more there were, and what came of them."""
        peer = contender.worker.peer
        try:
            if contender.error:
                raise WorkerError(contender.error)
            measures = contender.worker.ask("measures")["measures"]
        except WorkerError as error:
            return {"peer": peer, "error": str(error)}
        best = sorted(
            contender.turns, key=lambda turn: disturbance(turn.condition, self.best[probe])
        )
        best = best[: contender.rounds(self.rounds)]
        return {
            "peer": peer,
            "seconds": [turn.seconds for turn in best],
            "median": statistics.median(turn.seconds for turn in best),
            "measures": measures,
            "cores": statistics.median(turn.cores for turn in best),
            "peak": statistics.median(turn.condition.peak for turn in best),
            "peak_dtype": probe.dtype,
            "set_aside": len(contender.turns) - len(best),
            "disturbed": not all(self.is_quiet(turn, probe) for turn in best),
        }

    def best_peaks(self) -> list[Json]:
        """The machine at its best in the run, by dtype and threads."""
        return [
            {**asdict(probe), "flops": best.peak, "barrier": best.barrier, "pace": best.pace}
            for probe, best in self.best.items()
        ]
