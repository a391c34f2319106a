"""How training steps scale past this machine.

    python benchmarks/scaling measure [--seconds 90] [--add]     measure this machine, fit the model
    python benchmarks/scaling page [docs/scaling.md]             render the page's tables anew

The figures and the constants are in benchmarks/scaling/measured.json. On a machine that others use,
measure a few times with --add, which keeps the fastest of all runs.
"""

# ruff: noqa: E402 (the path first, then what lies on it)

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parent.parent
sys.path += [str(BENCHMARKS), str(BENCHMARKS / "peers")]

from report import DOCS
from workloads import cores

from fastnn._native import core
from fastnn.cli.workloads import W1, W2, W3, W4, W5, W6, W7
from scaling.fit import fit, machine_here, quality
from scaling.measure import fastest_of, measure, sharing_l3
from scaling.page import Study, draw, render

MEASURED = Path(__file__).resolve().parent / "measured.json"
WORKS = {work.name: work for work in (W1, W2, W3, W4, W5, W6, W7)}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scaling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measured", type=Path, default=MEASURED, help="the JSON file")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure", help="measure this machine and fit the model")
    one.add_argument("--seconds", type=float, default=90)
    one.add_argument("--add", action="store_true", help="keep what was faster in the file")
    one.add_argument("--cores-per-l3", type=int, help="where the system does not know it")
    two = commands.add_parser("page", help="render the page's tables anew")
    two.add_argument("page", type=Path, nargs="?", default=DOCS / "scaling.md")
    options = parser.parse_args(arguments)
    if options.command == "measure":
        if not options.seconds > 0:
            parser.error(f"--seconds must be more than 0, got {options.seconds}")
        if not core.isa().startswith("avx512"):
            parser.error(f"the model knows the tiles of AVX-512 alone, this is {core.isa()}")
    return options


def fitted(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the model's constants, and how well they fit."""
    here, observations = machine_here(document), document["observations"]
    document["constants"] = fit(WORKS, observations, here)
    document["quality"] = quality(WORKS, observations, here)
    return document


def text(document: dict[str, Any]) -> str:
    """JSON with one observation a line."""
    lines = ",\n  ".join(json.dumps(o) for o in document["observations"])
    rest = json.dumps({k: v for k, v in document.items() if k != "observations"}, indent=1)
    return f'{rest[:-2]},\n "observations": [\n  {lines}\n ]\n}}\n'


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.command == "measure":
        per_l3 = options.cores_per_l3 or min(sharing_l3(), cores())
        found = measure(list(WORKS.values()), sorted({1, cores()}), options.seconds, per_l3)
        if options.add and options.measured.exists():
            found = fastest_of(found, json.loads(options.measured.read_text(encoding="utf-8")))
        document = fitted(found)
        options.measured.write_text(text(document), encoding="utf-8")
        print({name: round(value, 3) for name, value in document["quality"].items()})
        return
    study = Study(json.loads(options.measured.read_text(encoding="utf-8")), WORKS)
    page = options.page
    page.write_text(render(page.read_text(encoding="utf-8"), study), encoding="utf-8")
    figures = page.parent / "figures"
    figures.mkdir(exist_ok=True)
    draw(study, figures / "scaling-speedup.svg")


if __name__ == "__main__":
    main()
