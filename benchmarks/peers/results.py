"""What a run measured, put in order: a row for each task and number of threads."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from registry import PEERS

Json = dict[str, Any]


@dataclass
class Row:
    """A task at a number of threads, and what each peer needed for it."""

    task: Json
    threads: int
    results: dict[str, Json]  # peer -> result, of those who did it

    @property
    def name(self) -> str:
        return str(self.task["name"])

    def seconds(self, peer: str) -> float:
        """Of one step or call."""
        return float(self.results[peer]["median"] / self.task["units"])

    def rate(self, peer: str, amount: str) -> float:
        return float(self.task["amounts"][amount] / self.seconds(peer))

    def share(self, peer: str) -> float | None:
        """Of the multiply-add peak measured beside it, None where that is of another dtype."""
        result = self.results[peer]
        if "flops" not in self.task["amounts"] or result["peak_dtype"] != self.task["peak_dtype"]:
            return None
        return self.rate(peer, "flops") / float(result["peak"])

    def measure(self, peer: str, name: str) -> float:
        """What its results showed besides their time."""
        return float(self.results[peer]["measures"][name])

    def peers(self) -> list[str]:
        """Those beside fastnn."""
        return [peer for peer in self.results if peer != "fastnn"]

    def best_peer(self) -> str:
        """The fastest beside fastnn; KeyError where there is none."""
        if not self.peers():
            raise KeyError(f"a peer in {self.name}")
        return min(self.peers(), key=self.seconds)

    def advantage(self) -> float:
        """The best peer's time over fastnn's; KeyError where one of them is not there."""
        return self.seconds(self.best_peer()) / self.seconds("fastnn")

    def astray(self, peer: str) -> float:
        """How far the peer's loss is from the typical one."""
        typical = statistics.median(self.measure(other, "loss") for other in self.results)
        return abs(self.measure(peer, "loss") / typical - 1)


@dataclass
class Results:
    """All rows of a run, in the order of its tasks."""

    rows: list[Row]

    @classmethod
    def of(cls, document: Json) -> Results:
        rows = []
        for name, task in document["tasks"].items():
            mine = [r for r in document["results"] if r["task"] == name and "median" in r]
            for threads in sorted({result["threads"] for result in mine}):
                chosen = {r["peer"]: r for r in mine if r["threads"] == threads}
                rows.append(Row(task, threads, {p: chosen[p] for p in PEERS if p in chosen}))
        return cls(rows)

    def of_kind(self, kind: str) -> list[Row]:
        return [row for row in self.rows if row.task["kind"] == kind]

    def threads(self) -> list[int]:
        return sorted({row.threads for row in self.rows})

    def row(self, name: str, threads: int) -> Row:
        """KeyError where it was not measured."""
        for row in self.rows:
            if (row.name, row.threads) == (name, threads):
                return row
        raise KeyError(f"{name}, threads {threads}")
