"""Render what the peers were measured at as a page with tables and figures.

python benchmarks/peers --out peers.json
python benchmarks/peers/page.py peers.json [--output docs/benchmarks-peers.md]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

from aims import AGREEMENT, Aim, Aims, extra_bytes
from record import load
from registry import PEERS
from report import DOCS, ForeignFileError, format_seconds, table
from results import Results, Row

BOUND = 0.95  # a row below this share of its limit is to be explained

Json = dict[str, Any]
Cell = Callable[[Row, str], str]


def peer_table(rows: list[Row], cell: Cell, *, advantage: bool = False) -> str:
    """A line for each row and a column for each peer; a star marks a disturbed result."""
    peers = [peer for peer in PEERS if any(peer in row.results for row in rows)]
    header = ["", "threads", *(PEERS[peer].title for peer in peers)]
    lines = []
    for row in rows:
        cells = [marked(row, peer, cell) if peer in row.results else "" for peer in peers]
        lines.append([row.name, str(row.threads), *cells, *[best_words(row)] * advantage])
    return table(header + ["best peer / fastnn"] * advantage, lines)


def marked(row: Row, peer: str, cell: Cell) -> str:
    return cell(row, peer) + "\\*" * bool(row.results[peer]["disturbed"])


def best_words(row: Row) -> str:
    """The best peer's time over fastnn's, and who that is."""
    if "fastnn" not in row.results or not row.peers():
        return ""
    return f"{row.advantage():.2f} ({PEERS[row.best_peer()].title})"


def time_cell(row: Row, peer: str) -> str:
    return format_seconds(row.seconds(peer))


def share_cell(row: Row, peer: str) -> str:
    rate, share = f"{row.rate(peer, 'flops') / 1e9:.3g}", row.share(peer)
    return rate if share is None else f"{rate} ({share:.2f})"


def element_cell(row: Row, peer: str) -> str:
    return f"{row.rate(peer, 'elements') / 1e9:.3g}"


def bandwidth_cell(row: Row, peer: str) -> str:
    return f"{row.rate(peer, 'bytes') / 1e9:.3g}"


def ulp_cell(row: Row, peer: str) -> str:
    return f"{row.measure(peer, 'ulp'):.2f}"


def loss_cell(row: Row, peer: str) -> str:
    text = f"{row.measure(peer, 'loss'):.5g}"
    return f"**{text}**" if row.astray(peer) > AGREEMENT else text


def accuracy_cell(row: Row, peer: str) -> str:
    return f"{row.measure(peer, 'accuracy'):.4f}"


def extra_cell(row: Row, peer: str) -> str:
    return f"{extra_bytes(row, peer) / 1e6:.1f} MB"


def agreement(rows: list[Row]) -> str:
    """Who did not come to the others' loss."""
    lines = [
        f"- {row.name}, {row.threads} threads: {PEERS[peer].title} is off the median by "
        f"{row.astray(peer):.1%}."
        for row in rows
        for peer in row.results
        if row.astray(peer) > AGREEMENT
    ]
    if not lines:
        return f"All agree within {AGREEMENT:.0%}."
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
    lines += [
        [f"{p['threads']} threads meet, at best, in", f"{p['barrier'] * 1e9:.0f} ns"]
        for p in document["best_peaks"]
        if p["dtype"] == "float32" and p["threads"] > 1
    ]
    pace = min(p["pace"] for p in document["best_peaks"])
    lines.append(["the interpreter's 200 texts take, at best,", f"{pace * 1e6:.1f} us"])
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
        f"- {row.name}: {PEERS[peer].title} kept {row.results[peer]['cores']:.1f} cores "
        f"busy, told to use {row.threads}."
        for row, peer in done
        if row.results[peer]["cores"] > 1.1 * row.threads
    ]
    aside = sum(row.results[peer]["set_aside"] for row, peer in done)
    disturbed = sum(row.results[peer]["disturbed"] for row, peer in done)
    lines.append(
        f"- {aside} turns, on a machine that was not quiet, were set aside; {disturbed} of "
        f"{len(done)} results, marked \\*, had to do without enough undisturbed ones."
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
same work, one at a time, after compiling and a warm-up that do not count. The multiply-add peak
(`fastnn.kernels.fma_peak`) is measured between turns, at least every half second, at the same
number of threads, how long these take to meet (`fastnn.kernels.barrier_seconds`), and a piece of
the interpreter's work on each core. Turns beside less than 0.9 of the run's best peak, more than 5
times its shortest meeting or 1.3 times its shortest piece of work are set aside and taken again:
somebody else had the cores, a host had moved them apart, or the other hardware thread of one was at
work (`benchmarks/quiet.py`). Times are medians.
"""

TRAINING = """\
Everyone trains from the same weights on the same batches in the same order, whole batches only. A
run is some epochs over the first batches of the data, always from the first weights; the loss that
it arrives at on these rows is computed alike for all. A step's FLOPs are those of its matrix
products, forward, dW, and dX past the first layer: 2 batch (3 P - P1), where P counts the entries
of all kernels and P1 of the first. Random data are standard normal, with targets that a random
linear map decides. "mixed" is Keras's mixed_bfloat16: products of bfloat16 operands, weights and
optimizer in float32.
"""


def aims_section(results: Results) -> str:
    """Each aim with its bar, what was measured, and whether it holds."""
    aims = list(Aims(results).every())
    lines = [[aim.group, aim.name, bar_words(aim), *measured_words(aim)] for aim in aims]
    held = sum(line[-1] == "yes" for line in lines)
    missing = sum(line[-1] == "" for line in lines)
    words = f"{held} of {len(aims)} hold" + f"; {missing} were not measured" * (missing > 0)
    return f"{words}.\n\n" + table(["", "aim", "bar", "measured", "holds"], lines, "---")


def bar_words(aim: Aim) -> str:
    return f"{'at most' if aim.at_most else 'at least'} {aim.limit:g} {aim.unit}".rstrip()


def measured_words(aim: Aim) -> tuple[str, str]:
    try:
        value = aim.measure()
    except KeyError:
        return "not measured", ""
    return f"{value:.3g} {aim.unit}".rstrip(), "yes" if aim.holds(value) else "**no**"


def bounds_section(rows: list[Row], bounds: Path) -> str:
    """Rows of fastnn's that are below their limit, and the prose on what bounds them."""
    lines = [
        [row.name, str(row.threads), f"{share:.2f}"]
        for row in rows
        if "fastnn" in row.results
        if (share := row.share("fastnn")) is not None and share < BOUND
    ]
    parts = [f"fastnn's rows below {BOUND} of the peak:\n", table(["", "threads", "share"], lines)]
    if bounds.exists():
        parts.append("\n" + bounds.read_text(encoding="utf-8").strip())
    else:
        print(f"page.py: no {bounds}, so no words on what bounds them", file=sys.stderr)
    return "\n".join(parts)


def training_section(rows: list[Row]) -> list[str]:
    titles = dict.fromkeys(row.task["title"] for row in rows)
    judged = [row for row in rows if all("accuracy" in r["measures"] for r in row.results.values())]
    accuracy = ["\nAccuracy on rows not trained on:\n", peer_table(judged, accuracy_cell)]
    return [
        TRAINING,
        "\n".join(f"- {title}" for title in titles),
        "\nTime of a step:\n",
        peer_table(rows, time_cell, advantage=True),
        "\nGFLOP/s, and the share of the peak:\n",
        peer_table(rows, share_cell),
        "\nLoss after a run:\n",
        peer_table(rows, loss_cell),
        "\n" + agreement(rows),
        *(accuracy if judged else []),
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
        "\nGB/s:\n",
        peer_table(rows, bandwidth_cell),
        "\nWorst error on uniform random numbers in [-6, 6), in units in the last place:\n",
        peer_table(rows, ulp_cell),
    ]


def prediction_section(rows: list[Row]) -> list[str]:
    return [
        "NumPy array in, NumPy array out. Time of a call:\n",
        peer_table(rows, time_cell, advantage=True),
        "\nGFLOP/s, and the share of the peak:\n",
        peer_table(rows, share_cell),
    ]


def memory_section(rows: list[Row]) -> list[str]:
    words = "One epoch in a new process that has trained a small network before. "
    return [
        words + "Memory at the peak, beyond x, y, the weights and Adam's averages:\n",
        peer_table(rows, extra_cell),
    ]


SECTIONS: dict[str, tuple[str, Callable[[list[Row]], list[str]]]] = {
    "training": ("Training", training_section),
    "matmul": ("Matrix products", matmul_section),
    "elementwise": ("Elementwise functions", elementwise_section),
    "prediction": ("Prediction", prediction_section),
    "memory": ("Memory", memory_section),
}


def render(document: Json, output: Path, bounds: Path, suffix: str = "svg") -> None:
    """Write the page to `output` and its figures to the folder `figures` beside it."""
    from figures import draw_training

    results = Results.of(document)
    parts = [INTRODUCTION, "## Machine and versions\n", machine_section(document)]
    parts += ["\n## What we aim at\n", aims_section(results)]
    for kind, (title, section) in SECTIONS.items():
        chosen = results.of_kind(kind)
        if chosen:
            parts += [f"\n## {title}\n", *section(chosen)]
        if chosen and kind == "training":
            for figure in draw_training(chosen, output.parent / "figures", suffix):
                parts.append(f"\n![{figure.stem.replace('-', ': ')}](figures/{figure.name})")
    parts += ["\n## What bounds it\n", bounds_section(results.rows, bounds)]
    parts += ["\n## Notes\n", notes(document, results.rows)]
    output.write_text("\n".join(parts) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("json", type=Path, help="result of python benchmarks/peers --out")
    parser.add_argument("--output", type=Path, default=DOCS / "benchmarks-peers.md")
    parser.add_argument("--format", choices=("svg", "png"), default="svg", help="of the figures")
    parser.add_argument(
        "--bounds",
        type=Path,
        default=DOCS / "benchmarks-bounds.md",
        help="what bounds the rows below their limit, as prose to take in",
    )
    options = parser.parse_args(arguments)
    try:
        document = load(options.json)
        if not document["results"]:
            raise ForeignFileError(f"{options.json}: no results in it yet")
        render(document, options.output, options.bounds, options.format)
    except ForeignFileError as error:
        print(f"page.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
