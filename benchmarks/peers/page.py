"""Render what the peers were measured at as a page with tables and figures.

python benchmarks/peers --out peers.json
python benchmarks/peers/page.py peers.json [--output docs/benchmarks-peers.md]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

from registry import PEERS
from report import DOCS, ForeignFileError, format_seconds, read_json, table

KIND = "fastnn beside its peers"  # what the file says it is
AGREEMENT = 0.03  # of the losses of all who trained the same

Json = dict[str, Any]


@dataclass
class Row:
    """A task at a number of threads, and what each peer needed for it."""

    task: Json
    threads: int
    results: dict[str, Json]  # peer -> result, of those who did it

    def seconds(self, peer: str) -> float:
        """Of one step or call."""
        return float(self.results[peer]["median"] / self.task["units"])

    def rate(self, peer: str, amount: str) -> float:
        return float(self.task["amounts"][amount] / self.seconds(peer))

    def share(self, peer: str) -> float | None:
        """Of the multiply-add peak measured beside it, None where that is of another dtype."""
        result = self.results[peer]
        if "flops" not in self.task["amounts"] or result["peak_dtype"] != self.task["dtype"]:
            return None
        return self.rate(peer, "flops") / float(result["peak"])

    def best_peer(self) -> str | None:
        others = [peer for peer in self.results if peer != "fastnn"]
        return min(others, key=self.seconds) if others else None

    def advantage(self) -> str:
        """The best peer's time over fastnn's, and who that is."""
        best = self.best_peer()
        if best is None or "fastnn" not in self.results:
            return ""
        return f"{self.seconds(best) / self.seconds('fastnn'):.2f} ({PEERS[best].title})"

    def typical_loss(self) -> float:
        losses: list[float] = [result["losses"][0] for result in self.results.values()]
        return statistics.median(losses)

    def astray(self, peer: str) -> float:
        """How far the peer's losses went from the others', at most."""
        typical = self.typical_loss()
        losses: list[float] = self.results[peer]["losses"]
        return max(abs(loss / typical - 1) for loss in losses)


def load(path: Path) -> Json:
    """Read the JSON of a run."""
    return read_json(path, "benchmarks/peers", lambda document: document.get("kind") == KIND)


def read_rows(document: Json) -> list[Row]:
    """The tasks in their order, each with its numbers of threads."""
    rows = []
    for task in document["tasks"]:
        mine = [r for r in document["results"] if r["task"] == task["name"] and "median" in r]
        for threads in sorted({result["threads"] for result in mine}):
            chosen = {r["peer"]: r for r in mine if r["threads"] == threads}
            rows.append(Row(task, threads, {p: chosen[p] for p in PEERS if p in chosen}))
    return rows


def of_kind(rows: list[Row], kind: str) -> list[Row]:
    return [row for row in rows if row.task["kind"] == kind]


def peers_of(rows: list[Row]) -> list[str]:
    return [peer for peer in PEERS if any(peer in row.results for row in rows)]


def peer_table(rows: list[Row], cell: Callable[[Row, str], str], *, advantage: bool) -> str:
    """A line for each row and a column for each peer; a star marks a disturbed result."""
    peers = peers_of(rows)
    header = ["", "threads", *(PEERS[peer].title for peer in peers)]
    lines = []
    for row in rows:
        cells = [marked(row, peer, cell) if peer in row.results else "" for peer in peers]
        last = [row.advantage()] if advantage else []
        lines.append([row.task["name"], str(row.threads), *cells, *last])
    return table(header + ["best peer / fastnn"] * advantage, lines)


def marked(row: Row, peer: str, cell: Callable[[Row, str], str]) -> str:
    return cell(row, peer) + "\\*" * bool(row.results[peer]["disturbed"])


def time_cell(row: Row, peer: str) -> str:
    return format_seconds(row.seconds(peer))


def share_cell(row: Row, peer: str) -> str:
    rate, share = f"{row.rate(peer, 'flops') / 1e9:.3g}", row.share(peer)
    return rate if share is None else f"{rate} ({share:.2f})"


def element_cell(row: Row, peer: str) -> str:
    return f"{row.rate(peer, 'elements') / 1e9:.3g}"


def loss_cell(row: Row, peer: str) -> str:
    text = f"{row.results[peer]['losses'][0]:.5g}"
    return f"**{text}**" if row.astray(peer) > AGREEMENT else text


def agreement(rows: list[Row]) -> str:
    """Who did not come to the others' loss."""
    lines = [
        f"- {row.task['name']}, {row.threads} threads: {PEERS[peer].title} is off the median by "
        f"{row.astray(peer):.1%}."
        for row in rows
        for peer in row.results
        if row.astray(peer) > AGREEMENT
    ]
    if not lines:
        return f"All agree within {AGREEMENT:.0%} after every run."
    return f"Not within {AGREEMENT:.0%} of the others, so not the same work:\n\n" + "\n".join(lines)


def machine_section(document: Json) -> str:
    lines = [[key, value] for key, value in document["machine"].items()]
    for peer, versions in document["versions"].items():
        text = ", ".join(f"{package} {version}" for package, version in versions.items())
        lines.append([PEERS[peer].title, text])
    lines += [[PEERS[peer].title, reason] for peer, reason in document["missing"].items()]
    lines += [
        [f"best {p['dtype']} peak on {p['threads']}", f"{p['flops'] / 1e9:.0f} GFLOP/s"]
        for p in document["best_peaks"]
    ]
    lines.append(["measured", document["datetime"][:10]])
    return table(["", ""], lines, alignment="---")


def notes(document: Json, rows: list[Row]) -> str:
    """What went wrong, what was set aside, and who used more cores than it was given."""
    lines = [
        f"- {r['task']}, {r['threads']} threads: {PEERS[r['peer']].title} failed: {r['error']}"
        for r in document["results"]
        if "error" in r
    ]
    done = [(row, peer) for row in rows for peer in row.results]
    lines += [
        f"- {row.task['name']}: {PEERS[peer].title} kept {row.results[peer]['cores']:.1f} cores "
        f"busy, told to use {row.threads}."
        for row, peer in done
        if row.results[peer]["cores"] > 1.1 * row.threads
    ]
    aside = sum(row.results[peer]["set_aside"] for row, peer in done)
    disturbed = sum(row.results[peer]["disturbed"] for row, peer in done)
    lines.append(
        f"- {aside} turns had a busy neighbour and were set aside; {disturbed} of {len(done)} "
        "results, marked \\*, had to do without enough undisturbed ones."
    )
    return "\n".join(lines)


INTRODUCTION = """\
# fastnn beside its peers

Written by `benchmarks/peers/page.py`; do not edit. To measure and write it anew:

```
pip install "fastnn[peers]"
python benchmarks/peers --out peers.json
python benchmarks/peers/page.py peers.json
```

Each peer works in a process of its own at its best practice, told by its own settings how many
threads to use, and glibc to keep freed memory for the next temporary array. They take turns on the
same work, one at a time, after a warm-up that does not count. The multiply-add peak
(`fastnn.kernels.fma_peak`) is measured before and after each turn at the same number of threads; a
turn at less than 0.9 of the run's best peak is set aside and taken again. Times are medians.
"""

TRAINING = """\
Everyone trains in float32 from the same weights on the same batches in the same order: rows were
shuffled beforehand, and rows past the last whole batch left out. A run is some epochs over the
first batches of the data, always from the first weights; its loss on these rows is computed alike
for all. A step's FLOPs are those of its matrix products, forward, dW, and dX past the first layer:
2 batch (3 P - P1), where P counts the entries of all kernels and P1 of the first. Random data are
standard normal, with targets that a random linear map decides.
"""


def training_section(rows: list[Row]) -> list[str]:
    titles = dict.fromkeys(row.task["title"] for row in rows)
    return [
        TRAINING,
        "\n".join(f"- {title}" for title in titles),
        "\nTime of a step:\n",
        peer_table(rows, time_cell, advantage=True),
        "\nGFLOP/s, and the share of the peak:\n",
        peer_table(rows, share_cell, advantage=False),
        "\nLoss after a run:\n",
        peer_table(rows, loss_cell, advantage=False),
        "\n" + agreement(rows),
    ]


def matmul_section(rows: list[Row]) -> list[str]:
    words = "C (m, n) = A (m, k) B (k, n), m x n x k; A' is stored transposed. "
    return [
        words + "GFLOP/s, and the share of the peak:\n",
        peer_table(rows, share_cell, advantage=True),
    ]


def elementwise_section(rows: list[Row]) -> list[str]:
    words = "float32 to float32, 8 bytes an element; copy shows what the memory allows. "
    return [
        words + "10^9 elements a second:\n",
        peer_table(rows, element_cell, advantage=True),
    ]


def prediction_section(rows: list[Row]) -> list[str]:
    return [
        "NumPy array in, NumPy array out. Time of a call:\n",
        peer_table(rows, time_cell, advantage=True),
        "\nGFLOP/s, and the share of the peak:\n",
        peer_table(rows, share_cell, advantage=False),
    ]


SECTIONS: dict[str, tuple[str, Callable[[list[Row]], list[str]]]] = {
    "training": ("Training", training_section),
    "matmul": ("Matrix products", matmul_section),
    "elementwise": ("Elementwise functions", elementwise_section),
    "prediction": ("Prediction", prediction_section),
}


def render(document: Json, output: Path, suffix: str = "svg") -> None:
    """Write the page to `output` and its figures to the folder `figures` beside it."""
    from figures import draw_training

    rows = read_rows(document)
    parts = [INTRODUCTION, "## Machine and versions\n", machine_section(document)]
    for kind, (title, section) in SECTIONS.items():
        chosen = of_kind(rows, kind)
        if chosen:
            parts += [f"\n## {title}\n", *section(chosen)]
        if chosen and kind == "training":
            for figure in draw_training(chosen, output.parent / "figures", suffix):
                parts.append(f"\n![{figure.stem.replace('-', ': ')}](figures/{figure.name})")
    parts += ["\n## Notes\n", notes(document, rows)]
    output.write_text("\n".join(parts) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("json", type=Path, help="result of python benchmarks/peers --out")
    parser.add_argument("--output", type=Path, default=DOCS / "benchmarks-peers.md")
    parser.add_argument("--format", choices=("svg", "png"), default="svg", help="of the figures")
    options = parser.parse_args(arguments)
    try:
        render(load(options.json), options.output, options.format)
    except ForeignFileError as error:
        print(f"page.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
