"""Measure fastnn beside its peers on the same work, and write the times as JSON.

    python benchmarks/peers [--only W3 ...] [--peers torch jax ...] [--rounds N] [--out peers.json]
    python benchmarks/peers/page.py peers.json

Every peer has a process of its own for each number of threads, and one of them works at a time.
"""

# ruff: noqa: E402 (the environment first, then what reads it)

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

sys.path.append(str(Path(__file__).resolve().parent.parent))

import openblas

openblas.forget_settings()

from driver import Json, Referee, WorkerError, WorkerProcess
from machine import describe
from page import KIND
from registry import PEERS
from tasks import TASKS, Task
from workloads import cores


def parse(arguments: list[str] | None) -> argparse.Namespace:
    kinds = {task.kind for task in TASKS.values()}
    parser = argparse.ArgumentParser(prog="peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="TASK", help="tasks by name or kind (--list)")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, cores()}))
    parser.add_argument("--rounds", type=int, default=7, help="of each contest (7)")
    parser.add_argument("--patience", type=float, default=120, help="seconds of a contest (120)")
    parser.add_argument("--out", type=Path, default=Path("peers.json"))
    parser.add_argument("--list", action="store_true", help="show the tasks and end")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    for name in options.only or []:
        if name not in kinds | TASKS.keys():
            parser.error(f"--only must name a task or one of {sorted(kinds)}, got {name!r}")
    return options


def chosen_tasks(only: list[str] | None) -> list[Task]:
    """Tasks that are named, or whose kind is; all of them by default."""
    return [t for t in TASKS.values() if only is None or t.name in only or t.kind in only]


@contextlib.contextmanager
def started(peers: list[str], threads: int, log: IO[str]) -> Iterator[list[WorkerProcess]]:
    """Run a worker process for each peer."""
    with contextlib.ExitStack() as stack:
        workers = []
        for peer in peers:
            workers.append(WorkerProcess(peer, threads, log))
            stack.callback(workers[-1].close)
        yield workers


def measure(options: argparse.Namespace, log: IO[str]) -> Json:
    """Hold all contests; return the document for the report."""
    missing = {name: reason for name in options.peers if (reason := PEERS[name].missing())}
    for name, reason in missing.items():
        print(f"{name}: {reason}", flush=True)
    peers = [name for name in options.peers if name not in missing]
    referee, versions, results = Referee(options.rounds, options.patience), {}, []
    tasks = chosen_tasks(options.only)
    for threads in options.threads:
        with started(peers, threads, log) as workers:
            for worker in workers:
                versions[worker.peer] = worker.ask("versions")["versions"]
            for task in tasks:
                for result in referee.contest(workers, task, threads):
                    results.append({"task": task.name, "threads": threads, **result})
                    show(results[-1], task)
    return {
        "kind": KIND,
        "datetime": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe(),
        "versions": versions,
        "missing": missing,
        "best_peaks": referee.best_peaks(),
        "tasks": [task_entry(task) for task in tasks],
        "results": results,
    }


def task_entry(task: Task) -> Json:
    """What the report needs to know of a task."""
    entry = {key: getattr(task, key) for key in ("name", "title", "kind", "dtype", "units")}
    return {**entry, "amounts": task.amounts}


def show(result: Json, task: Task) -> None:
    """Print a result as it comes."""
    words = f"{task.name:26} {result['threads']} threads  {result['peer']:14}"
    if "median" not in result:
        print(words, result.get("unsupported") or f"FAILED: {result['error']}", flush=True)
        return
    seconds = result["median"] / task.units
    words += f"{seconds * 1e6:12.2f} us"
    if "flops" in task.amounts:
        words += f" {task.amounts['flops'] / seconds / 1e9:8.1f} GFLOP/s"
    loss = f" loss {result['losses'][0]:.5g}" if result["losses"] else ""
    note = " (disturbed)" if result["disturbed"] else ""
    print(f"{words}{loss}{note}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.list:
        print("\n".join(f"{task.kind:12} {task.name:32} {task.title}" for task in TASKS.values()))
        return 0
    with tempfile.TemporaryFile("w+") as log:
        try:
            document = measure(options, log)
        except WorkerError as error:
            log.seek(0)
            print(f"{log.read()}\npeers: {error}", file=sys.stderr)
            return 1
    options.out.write_text(json.dumps(document, indent=1), encoding="utf-8")
    failed = [result for result in document["results"] if "error" in result]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
