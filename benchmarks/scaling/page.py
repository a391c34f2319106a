"""The tables and the figure of docs/scaling.md, put between its markers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from report import format_seconds, table

from fastnn.cli.workloads import Workload
from scaling.fit import errors, machine_here
from scaling.machines import ASSUMED, CORES, NODES, SOURCES, large
from scaling.model import (
    TERMS,
    Machine,
    Plan,
    Prediction,
    best,
    layers,
    links,
    plans,
    predict,
    today,
    weight_bytes,
)

Json = dict[str, Any]
Works = dict[str, Workload]

MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.S)
LARGE = ("W3", "W4", "W5", "W7")  # workloads with work for more than a few cores
MANY = ((64, 1), (96, 2), (192, 2), (192, 8))


class Study:
    """The measured figures, and the predictions that follow."""

    def __init__(self, measured: Json, works: Works) -> None:
        self.measured, self.works = measured, works
        self.constants: dict[str, float] = measured["constants"]
        self.here = machine_here(measured)
        self.found: dict[tuple[str, Machine], Prediction] = {}

    def today(self, name: str, machine: Machine) -> Prediction:
        work = self.works[name]
        return predict(work, today(work, machine.cores), machine, self.constants)

    def best(self, name: str, machine: Machine) -> Prediction:
        if (name, machine) not in self.found:
            self.found[name, machine] = best(self.works[name], machine, self.constants)
        return self.found[name, machine]

    def large(self, cores: int, nodes: int = 1) -> Machine:
        return large(self.here, cores, nodes)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], alignment: str = "---:") -> str:
    return table(list(header), [list(row) for row in rows], alignment)


def machine_table(study: Study) -> str:
    """What was measured at each number of threads."""
    data = study.measured
    counts = list(data["fma_peak"])
    figures = [
        ("multiply-add peak, GFLOP/s", "fma_peak", 1e-9, ".0f"),
        ("copy from memory to memory, GB/s", "copy_memory", 1e-9, ".1f"),
        ("copy within the last cache, GB/s", "copy_llc", 1e-9, ".1f"),
        ("step of a 1 x 1 network, us", "step_1x1", 1e6, ".2f"),
    ]
    rows = [
        [title, *(format(data[key][count] * scale, form) for count in counts)]
        for title, key, scale, form in figures
    ]
    line = format_seconds(max(study.here.line_near, study.here.line_far))
    rows.append(["a cache line from one core to the other, as the barriers have it", "", line])
    return markdown(["", *(f"{count} thread{'s' * (count != '1')}" for count in counts)], rows)


def constants_table(study: Study) -> str:
    rows = [
        [f"`{name}`", text, f"{study.constants[name] * scale:.3g} {unit}"]
        for name, (text, scale, unit) in TERMS.items()
    ]
    return markdown(["term", "a unit of it is", "costs"], rows, "---")


def fit_table(study: Study) -> str:
    """The workloads at their own batch, measured and by the model."""
    observations = study.measured["observations"]
    found = errors(study.works, observations, study.here, study.constants)
    rows = [
        [
            study.works[o["workload"]].title,
            str(o["threads"]),
            format_seconds(o["seconds"]),
            format_seconds(o["seconds"] * (1 + error)),
            f"{100 * error:+.0f} %",
        ]
        for o, error in zip(observations, found, strict=True)
        if o["kind"] == "train" and o["rows"] == study.works[o["workload"]].batch_size
    ]
    quality = study.measured["quality"]
    summary = ", ".join(f"{name} {100 * value:.0f} %" for name, value in quality.items())
    head = ["workload", "threads", "measured", "model", "error"]
    return f"{markdown(head, rows)}\n\nSizes of the errors: {summary}."


def small_table(study: Study) -> str:
    """What few rows cost: the share of the peak measured at one thread, by rows of the batch."""
    observations = [o for o in study.measured["observations"] if o["threads"] == 1 and o["rows"]]
    batches = sorted({o["rows"] for o in observations if o["workload"] == "W3"})
    rows = []
    for name, kind in itertools.product(LARGE, ("forward", "train")):
        work = study.works[name]
        flops = work.flops / work.rows
        if kind == "forward":
            flops = 2 * sum(k * n for k, n, _ in layers(work))
        shares = {
            o["rows"]: flops * o["rows"] / o["seconds"] / study.here.peak
            for o in observations
            if (o["workload"], o["kind"]) == (name, kind)
        }
        rows.append([name, kind, *(f"{shares[batch]:.2f}" for batch in batches)])
    return markdown(["", "", *(f"{batch} rows" for batch in batches)], rows)


def assumed_table(study: Study) -> str:
    def linked(source: str) -> str:
        for name, address in SOURCES.items():
            source = source.replace(f"[{name}]", f"[{name}]({address})")
        return source

    rows = [[f"`{name}`", text, linked(where)] for name, (_, text, where) in ASSUMED.items()]
    return markdown(["", "assumed", "from"], rows, "---")


def shares_table(study: Study, of: Callable[[str, Machine], Prediction], plan: bool) -> str:
    """The share of the peak on one node, by workload and cores."""

    def cell(name: str, cores: int) -> str:
        machine = study.large(cores)
        found = of(name, machine)
        return f"{found.peak_share(machine):.2f}" + (f" ({found.plan})" if plan else "")

    rows = [[name, *(cell(name, cores) for cores in CORES)] for name in study.works]
    return markdown(["", *(f"{cores} cores" for cores in CORES)], rows)


def time_table(study: Study) -> str:
    """Where the time of a step goes, on 64 cores of a node."""
    machine = study.large(64)
    rows = []
    for name in LARGE:
        for label, found in (
            ("rows", study.today(name, machine)),
            ("best", study.best(name, machine)),
        ):
            parts = [f"{1e6 * seconds:.1f}" for seconds in found.parts.values()]
            rows.append([name, f"{label}: {found.plan}", f"{1e6 * found.seconds:.0f}", *parts])
    head = ["", "split", "us", *study.today("W3", machine).parts]
    return markdown(head, rows)


def nodes_table(study: Study) -> str:
    """192 cores as one node to eight, by how fast the nodes' links are and where weights go."""
    rows = []
    for name, rate, once in itertools.product(("W3", "W4"), (256e9, 64e9), (False, True)):
        cells = []
        for nodes in NODES:
            machine = replace(study.large(192, nodes), node_link=rate)

            def may(plan: Plan, replicate: bool = once and nodes > 1) -> bool:
                return plan.replicate == replicate

            step = fastest(study.works[name], machine, study.constants, may)
            cells.append(format_seconds(step.seconds))
        to = "each node once" if once else "each L3"
        rows.append([name, f"{rate / 1e9:.0f} GB/s", to, *cells])
    head = ["", "into a node", "weights go to", *(f"{n} node{'s' * (n > 1)}" for n in NODES)]
    return markdown(head, rows)


def barrier_table(study: Study) -> str:
    rows = []
    for cores, nodes in itertools.product(CORES, (1, 2, 8)):
        if cores >= 8 * nodes:
            machine = study.large(cores, nodes)
            times = [format_seconds(machine.barrier(cores, tree)) for tree in (False, True)]
            rows.append([str(cores), str(nodes), *times])
    return markdown(["cores", "nodes", "one counter", "a counter a cache and node"], rows)


# What a later engine may do, each with all before it.
LADDER: dict[str, Callable[[Plan], bool]] = {
    "as many threads as pay": lambda p: (p.split, p.unit_rows, p.tree) == (1, 128, False),
    "tree barrier": lambda p: (p.split, p.unit_rows) == (1, 128),
    "rows x outputs": lambda p: p.unit_rows == 128,
    "units of 32 rows": lambda p: True,
}


def ladder_table(study: Study) -> str:
    """What each change brings when it comes after the others."""
    rows = []
    for name in LARGE:
        work = study.works[name]
        for cores, nodes in MANY:
            machine = study.large(cores, nodes)
            steps = [study.today(name, machine)]
            steps += [fastest(work, machine, study.constants, may) for may in LADDER.values()]
            cells = [f"{1e6 * step.seconds:.0f}" for step in steps]
            rows.append([name, f"{cores} / {nodes}", *cells])
    return markdown(["", "cores / nodes", "rows on all cores, us", *LADDER], rows)


def fastest(
    work: Workload, machine: Machine, constants: dict[str, float], may: Callable[[Plan], bool]
) -> Prediction:
    found = (predict(work, plan, machine, constants) for plan in plans(machine) if may(plan))
    return min(found, key=lambda prediction: prediction.seconds)


def batch_table(study: Study) -> str:
    """Where rows x outputs pays: W3's network at other batches."""
    rows = []
    for batch in (32, 128, 512, 2048, 8192):
        work = replace(study.works["W3"], batch_size=batch)
        cells = []
        for cores in CORES:
            machine = study.large(cores)
            rows_only = fastest(work, machine, study.constants, lambda plan: plan.split == 1)
            found = best(work, machine, study.constants)
            gain = rows_only.seconds / found.seconds
            cells.append(f"{found.peak_share(machine):.2f}, {gain:.2f} ({found.plan})")
        rows.append([str(batch), *cells])
    return markdown(["batch", *(f"{cores} cores" for cores in CORES)], rows)


def weights_table(study: Study) -> str:
    """What an L3 must fetch in a step, against the arithmetic of one core."""
    machine, link = study.large(64), study.constants["link"]
    rows = []
    for name, work in study.works.items():
        _, activations = links(work, work.batch_size, Plan(64), machine)
        size = sum(weight_bytes(work))
        arithmetic = work.flops / work.rows * work.batch_size / study.here.peak
        times = [format_seconds(size * link), format_seconds(arithmetic)]
        equal = f"{arithmetic / link / size:.0f}"
        rows.append([name, f"{size / 1e6:.2f} MB", *times, equal, f"{activations.l3 / 1e6:.2f} MB"])
    head = ["", "weights, and transposed", "into an L3", "arithmetic on one core"]
    head += ["cores at which they are equal", "X and dY into an L3, 64 cores"]
    return markdown(head, rows)


TABLES: dict[str, Callable[[Study], str]] = {
    "machine": machine_table,
    "constants": constants_table,
    "fit": fit_table,
    "small": small_table,
    "assumed": assumed_table,
    "rows": lambda study: shares_table(study, study.today, plan=False),
    "best": lambda study: shares_table(study, study.best, plan=True),
    "time": time_table,
    "weights": weights_table,
    "batch": batch_table,
    "barrier": barrier_table,
    "nodes": nodes_table,
    "ladder": ladder_table,
}


def render(page: str, study: Study) -> str:
    """The page with its tables written anew."""

    def put(match: re.Match[str]) -> str:
        return f"{match[1]}\n{TABLES[match[2]](study)}\n\n{match[3]}"

    return MARKED.sub(put, page)


def draw(study: Study, path: Path) -> Path:
    """Speed-up over one core by cores, of rows alone and of the best split."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "fastnn"  # the same figures give the same file
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9.0, 4.2), layout="constrained")
    for number, (name, work) in enumerate(study.works.items()):
        one = predict(work, Plan(1), study.large(1), study.constants).seconds
        for of, style in ((study.today, ":"), (study.best, "-")):
            speed = [one / of(name, study.large(cores)).seconds for cores in CORES]
            label = name if style == "-" else None
            axes.loglog(CORES, speed, style, color=f"C{number}", marker="o", ms=3, label=label)
    axes.loglog(CORES, CORES, color="black", linewidth=0.8)
    axes.set_xticks(CORES, [str(cores) for cores in CORES])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("cores of one node")
    axes.set_ylabel("speed-up over one core")
    axes.set_title("solid: the best split; dotted: rows on all cores; black: ideal", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
    return path
