"""The file of a run: written after each contest, and read again by the next run and by the page."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from report import ForeignFileError, read_json

if TYPE_CHECKING:
    from tasks import Task

Json = dict[str, Any]

KIND = "fastnn beside its peers"  # what the file says it is


def load(path: Path) -> Json:
    """Read the JSON of a run."""
    return read_json(path, "benchmarks/peers", lambda document: document.get("kind") == KIND)


def task_entry(task: Task) -> Json:
    """What the page needs to know of a task."""
    entry = {key: getattr(task, key) for key in ("name", "title", "kind", "peak_dtype", "units")}
    return {**entry, "amounts": task.amounts}


class Record:
    """Results as they come.

    Parameters
    ----------
    path : Path
        Where they are written.
    document : dict
        What is written there.
    """

    def __init__(self, path: Path, document: Json) -> None:
        self.path = path
        self.document = document

    @classmethod
    def open(
        cls, path: Path, machine: Json, versions: Json, missing: Json, tasks: Iterable[Task]
    ) -> Record:
        """Begin a file, or go on with one of the same machine, versions and tasks."""
        head: Json = {
            "kind": KIND,
            "machine": machine,
            "versions": versions,
            "missing": missing,
            "tasks": {task.name: task_entry(task) for task in tasks},
        }
        if not path.exists():
            begun = {"datetime": datetime.now(UTC).isoformat(timespec="seconds")}
            return cls(path, {**head, **begun, "best_peaks": [], "results": []})
        document = load(path)
        for key in ("machine", "versions", "tasks"):
            require_same(f"{path}: {key}", document[key], json.loads(json.dumps(head[key])))
            document[key] |= head[key]
        document["missing"] = missing
        return cls(path, document)

    def of(self, task: str, threads: int) -> list[Json]:
        results: list[Json] = self.document["results"]
        return [r for r in results if (r["task"], r["threads"]) == (task, threads)]

    def has(self, task: str, threads: int, peers: list[str]) -> bool:
        """Whether all these peers have had their turns, or cannot have them."""
        done = {r["peer"] for r in self.of(task, threads) if "error" not in r}
        return done >= set(peers)

    def add(self, task: str, threads: int, results: list[Json], best_peaks: list[Json]) -> None:
        """Put a contest in the place of an earlier one, and write the file."""
        earlier = self.of(task, threads)
        self.document["results"] = [
            *(r for r in self.document["results"] if r not in earlier),
            *({"task": task, "threads": threads, **result} for result in results),
        ]
        self.document["best_peaks"] = best_peaks
        written = self.path.with_name(self.path.name + ".new")
        written.write_text(json.dumps(self.document, indent=1), encoding="utf-8")
        os.replace(written, self.path)  # whole, whenever the run is cut off

    def failed(self) -> bool:
        return any("error" in result for result in self.document["results"])


def require_same(what: str, then: Json, now: Json) -> None:
    """Of the entries that both have."""
    for key in then.keys() & now.keys():
        if then[key] != now[key]:
            raise ForeignFileError(
                f"{what}: expected the same {key} to go on with, was {then[key]} and is "
                f"{now[key]}; give another --out to begin anew"
            )
