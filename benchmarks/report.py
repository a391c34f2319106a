"""Render the results of the benchmarks as a page with tables and figures.

pytest benchmarks/ --benchmark-json=out.json
python benchmarks/report.py out.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"

# the order of the page; a suite is the `suite` of the benchmarks' extra_info
SUITES = {
    "matmul": "Matrix multiplication",
    "dense": "Dense layer",
    "elementwise": "Elementwise kernels and softmax",
    "network": "Losses, metrics, optimizers and preparation, through the network",
    "epoch": "One training epoch",
}

Json = dict[str, Any]


class ForeignFileError(ValueError):
    """The file is not a result of this repository's benchmarks."""


@dataclass
class Case:
    """One benchmark group: the same work done by fastnn and by NumPy."""

    suite: str
    name: str
    threads: int
    extra: Json = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # implementation -> median

    @property
    def speedup(self) -> float:
        return self.seconds["numpy"] / self.seconds["fastnn"]

    def rate(self, implementation: str) -> str:
        """The rate that limits this work: GFLOP/s where it counts FLOPs, else GB/s."""
        seconds = self.seconds[implementation]
        for unit, amount in (("GFLOP/s", "flops"), ("GB/s", "bytes")):
            if amount in self.extra:
                return f"{self.extra[amount] / seconds / 1e9:.1f} {unit}"
        return ""

    def share_of_peak(self, implementation: str) -> float | None:
        """Fraction of the run's multiply-add peak, None where that says nothing."""
        if "flops" not in self.extra or "fma_peak" not in self.extra:
            return None
        return float(self.extra["flops"] / self.seconds[implementation] / self.extra["fma_peak"])


def read_json(path: Path, what: str, is_ours: Callable[[Json], bool]) -> Json:
    """Read a JSON object; ForeignFileError says what is wrong with another file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ForeignFileError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ForeignFileError(f"{path}: not JSON ({error})") from None
    if not isinstance(document, dict) or not is_ours(document):
        raise ForeignFileError(f"{path}: not the JSON of {what}")
    return document


def load(path: Path) -> Json:
    """Read pytest-benchmark's JSON."""
    keys = {"machine_info", "benchmarks"}
    return read_json(path, "pytest --benchmark-json", lambda document: keys <= document.keys())


def read_cases(document: Json, path: Path) -> list[Case]:
    """Gather the entries of each group into a Case, in the order they ran."""
    cases: dict[str, Case] = {}
    try:
        for entry in document["benchmarks"]:
            extra = entry["extra_info"]
            case = cases.setdefault(
                entry["group"], Case(extra["suite"], extra["case"], extra["threads"])
            )
            case.seconds[extra["implementation"]] = entry["stats"]["median"]
            if extra["implementation"] == "fastnn":  # its entry carries the peak measured beside it
                case.extra = dict(extra)
    except (KeyError, TypeError) as error:
        raise ForeignFileError(
            f"{path}: not a result of fastnn's benchmarks (no {error})"
        ) from None
    complete = [c for c in cases.values() if {"fastnn", "numpy"} <= c.seconds.keys()]
    if not complete:
        raise ForeignFileError(f"{path}: holds no pair of fastnn and NumPy results")
    use_best_peaks(complete)
    return complete


def use_best_peaks(cases: list[Case]) -> None:
    """Measure all cases of a thread count by the best peak of the run: a busy neighbour lowers the
    one of a moment, and the share would exceed 1."""
    best: dict[int, float] = {}
    for case in cases:
        best[case.threads] = max(best.get(case.threads, 0.0), case.extra.get("fma_peak", 0.0))
    for case in cases:
        if "fma_peak" in case.extra:
            case.extra["fma_peak"] = best[case.threads]


def in_suite(cases: list[Case], suite: str) -> list[Case]:
    return [case for case in cases if case.suite == suite]


def format_seconds(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def format_share(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"


def table(header: list[str], rows: list[list[str]], alignment: str = "---:") -> str:
    """A Markdown table; `alignment` is that of the columns past the first, to the right."""
    lines = [header, ["---"] + [alignment] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def suite_table(cases: list[Case]) -> str:
    rows = [
        [
            case.name,
            str(case.threads),
            format_seconds(case.seconds["fastnn"]),
            format_seconds(case.seconds["numpy"]),
            f"{case.speedup:.2f}",
            case.rate("fastnn"),
            format_share(case.share_of_peak("fastnn")),
            format_share(case.share_of_peak("numpy")),
        ]
        for case in cases
    ]
    header = ["case", "threads", "fastnn", "NumPy", "speed-up", "fastnn's rate"]
    header += ["of peak", "NumPy of peak"]
    keep = [i for i in range(len(header)) if any(row[i] for row in rows)]
    return table([header[i] for i in keep], [[row[i] for i in keep] for row in rows])


def summary_table(cases: list[Case]) -> str:
    rows = []
    for suite, title in SUITES.items():
        ratios = [case.speedup for case in in_suite(cases, suite)]
        if ratios:
            numbers = (statistics.geometric_mean(ratios), min(ratios), max(ratios))
            rows.append([title, str(len(ratios)), *(f"{number:.2f}" for number in numbers)])
    return table(["suite", "cases", "geometric mean", "least", "most"], rows)


def machine_table(document: Json) -> str:
    info = document["machine_info"]
    cpu = info.get("cpu", {})
    rows = [
        ["CPU", str(cpu.get("brand_raw", info.get("processor", "unknown")))],
        ["cores that it may use", str(info.get("fastnn", {}).get("cores", cpu.get("count", "?")))],
        ["system", f"{info.get('system', '?')} {info.get('machine', '?')}"],
        ["Python", f"{info.get('python_implementation', '')} {info.get('python_version', '?')}"],
    ]
    rows += [[key, str(value)] for key, value in info.get("fastnn", {}).items() if key != "cores"]
    rows.append(["measured", str(document.get("datetime", "unknown"))[:10]])
    return table(["", ""], rows, alignment="---")


def plot_bars(axes: Any, cases: list[Case], bars: dict[str, list[float]], label: str) -> None:
    """Horizontal bars, a row for each case and a colour for each key of `bars`."""
    height = 0.8 / len(bars)
    for i, (name, lengths) in enumerate(bars.items()):
        offset = (i - (len(bars) - 1) / 2) * height
        drawn = axes.barh([row + offset for row in range(len(cases))], lengths, height, label=name)
        axes.bar_label(drawn, fmt="%.2f", padding=2, fontsize=7)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(cases)), [case.name for case in cases], fontsize=8)
    axes.set_xlabel(label)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)


def speedups(cases: list[Case]) -> dict[str, list[float]]:
    return {"fastnn": [case.speedup for case in cases]}


def shares(cases: list[Case]) -> dict[str, list[float]]:
    return {
        name: [case.share_of_peak(key) or 0.0 for case in cases]
        for key, name in (("fastnn", "fastnn"), ("numpy", "NumPy"))
    }


def draw(
    cases: list[Case],
    bars: Callable[[list[Case]], dict[str, list[float]]],
    label: str,
    title: str,
    path: Path,
) -> None:
    """One figure with a panel for each thread count."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "fastnn"  # the same results give the same file
    from matplotlib import pyplot as plt

    counts = sorted({case.threads for case in cases})
    panels = {count: [case for case in cases if case.threads == count] for count in counts}
    rows = max(len(panel) for panel in panels.values())
    colours = len(bars(cases))
    size = (5.2 * len(panels) + 1.0, 1.5 + rows * (0.12 + 0.14 * colours))
    figure, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False, layout="constrained")
    for ax, (count, panel) in zip(axes[0], panels.items(), strict=True):
        ax.set_title(f"{count} thread" + ("s" if count > 1 else ""), fontsize=9)
        plot_bars(ax, panel, bars(panel), label)
        ax.set_ylim(rows - 0.4, -0.6)  # the first case on top, bars as wide in every panel
    if colours > 1:
        handles, names = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper right", ncols=colours, fontsize=8)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=120)
    plt.close(figure)


def draw_suite(cases: list[Case], suite: str, figures: Path, suffix: str) -> list[Path]:
    """Draw the suite's figures and return their paths."""
    title = SUITES[suite]
    drawn = [figures / f"{suite}-speedup.{suffix}"]
    draw(cases, speedups, "times NumPy's speed", f"{title}: fastnn against NumPy", drawn[0])
    counted = [case for case in cases if case.share_of_peak("fastnn") is not None]
    if counted:
        drawn.append(figures / f"{suite}-peak.{suffix}")
        draw(
            counted,
            shares,
            "share of the multiply-add peak",
            f"{title}: share of the peak",
            drawn[1],
        )
    return drawn


INTRODUCTION = """\
# Benchmarks

Written by `benchmarks/report.py`; do not edit. To measure and write it anew:

```
pytest benchmarks/ --benchmark-json=out.json
python benchmarks/report.py out.json
```

Each row is the same work on the same arrays, done by fastnn and by its NumPy twin
(`fastnn.reference`, or NumPy's own `@`) at the same number of threads, checked to give the same
answer before it is timed. Times are medians; the speed-up is NumPy's time over fastnn's. The peak
is that of multiply-adds in registers (`fastnn.kernels.fma_peak`) at the same number of threads, the
best that was measured beside a row of the same run. Of an epoch only the matrix products' FLOPs are
counted.
"""


def render(document: Json, path: Path, output: Path, suffix: str = "svg") -> None:
    """Write the page to `output` and its figures to the folder `figures` beside it."""
    cases = read_cases(document, path)
    figures = output.parent / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    parts = [INTRODUCTION, "## Machine\n", machine_table(document) + "\n"]
    parts += ["## Summary\n", summary_table(cases) + "\n"]
    for suite, title in SUITES.items():
        chosen = in_suite(cases, suite)
        if not chosen:
            continue
        parts += [f"## {title}\n", suite_table(chosen) + "\n"]
        for figure in draw_suite(chosen, suite, figures, suffix):
            parts.append(f"![{figure.stem.replace('-', ': ')}](figures/{figure.name})\n")
    output.write_text("\n".join(parts), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("json", type=Path, help="result of pytest benchmarks/ --benchmark-json")
    parser.add_argument("--output", type=Path, default=DOCS / "benchmarks.md")
    parser.add_argument("--format", choices=("svg", "png"), default="svg", help="of the figures")
    options = parser.parse_args(arguments)
    try:
        render(load(options.json), options.json, options.output, options.format)
    except ForeignFileError as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
