"""Measure fastnn beside its peers on the same work, and write the times as JSON.

    python benchmarks/peers [--only W3 ...] [--peers torch jax ...] [--rounds N] [--out peers.json]
    python benchmarks/peers/page.py peers.json

Every peer has a process of its own for each number of threads, and one of them works at a time.
The file is written after each contest; a run that was cut off goes on where it was.
"""

# ruff: noqa: E402 (the environment first, then what reads it)

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

sys.path.append(str(Path(__file__).resolve().parent.parent))

import openblas

openblas.forget_settings()

from driver import Json, Probe, Referee, WorkerError, WorkerProcess
from machine import describe
from record import Record
from registry import PEERS
from report import ForeignFileError
from tasks import TASKS, Task
from workloads import cores


def parse(arguments: list[str] | None) -> argparse.Namespace:
    kinds = {task.kind for task in TASKS.values()}
    parser = argparse.ArgumentParser(prog="peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="TASK", help="tasks by name or kind (--list)")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, cores()}))
    parser.add_argument("--rounds", type=int, default=7, help="of each contest (7)")
    parser.add_argument("--patience", type=float, default=60, help="seconds of a contest (60)")
    parser.add_argument("--limit", type=float, default=300, help="seconds of one request (300)")
    parser.add_argument("--out", type=Path, default=Path("peers.json"))
    parser.add_argument("--list", action="store_true", help="show the tasks and end")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    if options.limit <= 0:
        parser.error(f"--limit must be above 0, got {options.limit:g}")
    if min(options.threads) < 1:
        parser.error(f"--threads must be at least 1, got {min(options.threads)}")
    for name in options.only or []:
        if name not in kinds | TASKS.keys():
            parser.error(f"--only must name a task or one of {sorted(kinds)}, got {name!r}")
    return options


def chosen_tasks(only: list[str] | None) -> list[Task]:
    """Tasks that are named, or whose kind is; all of them by default."""
    return [t for t in TASKS.values() if only is None or t.name in only or t.kind in only]


@contextlib.contextmanager
def started(
    peers: list[str], threads: int, log: IO[str], limit: float
) -> Iterator[list[WorkerProcess]]:
    """Have a worker process for each peer."""
    with contextlib.ExitStack() as stack:
        workers = []
        for peer in peers:
            workers.append(WorkerProcess(peer, threads, log, limit))
            stack.callback(workers[-1].close)
        yield workers


def installed(names: list[str]) -> tuple[list[str], Json]:
    """The peers that can be measured here, and what keeps the others."""
    missing = {name: reason for name in names if (reason := PEERS[name].missing())}
    return [name for name in names if name not in missing], missing


def versions(peers: list[str], log: IO[str], limit: float) -> Json:
    """What each peer's packages say of themselves."""
    with started(peers, 1, log, limit) as workers:
        return {worker.peer: worker.ask("versions")["versions"] for worker in workers}


def measure(options: argparse.Namespace, log: IO[str]) -> Record:
    """Hold the contests that the file has not; write it after each."""
    peers, missing = installed(options.peers)
    for name, reason in missing.items():
        print(f"{name}: {reason}", flush=True)
    record = Record.open(
        options.out, describe(), versions(peers, log, options.limit), missing, list(TASKS.values())
    )
    tasks = chosen_tasks(options.only)
    referee = Referee(options.rounds, options.patience, record.document["best_peaks"])
    number, count = 0, len(tasks) * len(options.threads)
    for threads in options.threads:
        with started(peers, threads, log, options.limit) as workers:
            for task in tasks:
                number += 1
                place = f"[{number}/{count}] {task.title}, {threads} threads"
                if record.has(task.name, threads, peers):
                    print(f"{place}: is there", flush=True)
                    continue
                start = time.monotonic()
                results = referee.contest(workers, task, Probe(task.peak_dtype, threads))
                record.add(task.name, threads, results, referee.best_peaks())
                print(f"{place}: {time.monotonic() - start:.0f} s", flush=True)
                for result in results:
                    show(result, task)
    return record


def show(result: Json, task: Task) -> None:
    """Print what a peer came to."""
    words = f"    {result['peer']:14}"
    if "median" not in result:
        print(words, result.get("unsupported") or f"FAILED: {result['error']}", flush=True)
        return
    seconds = result["median"] / task.units
    words += f"{seconds * 1e6:12.2f} us"
    if "flops" in task.amounts:
        words += f" {task.amounts['flops'] / seconds / 1e9:8.1f} GFLOP/s"
    measures = "".join(f"  {name} {value:.5g}" for name, value in result["measures"].items())
    note = "  (disturbed)" if result["disturbed"] else ""
    print(f"{words}{measures}{note}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.list:
        print("\n".join(f"{task.kind:12} {task.name:32} {task.title}" for task in TASKS.values()))
        return 0
    with tempfile.TemporaryFile("w+") as log:
        try:
            record = measure(options, log)
        except ForeignFileError as error:
            print(f"peers: {error}", file=sys.stderr)
            return 2
        except WorkerError as error:
            log.seek(0)
            print(f"{log.read()}\npeers: {error}", file=sys.stderr)
            return 1
    return 1 if record.failed() else 0


if __name__ == "__main__":
    sys.exit(main())
