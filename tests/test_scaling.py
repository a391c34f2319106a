"""The cost model of many cores: what it must hold to whatever its constants, and its stored fit."""

# ruff: noqa: E402 (the path first, then what lies on it)

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
sys.path += [str(BENCHMARKS), str(BENCHMARKS / "peers")]

from scaling import fit, machines, measure, model, page

from fastnn.cli.workloads import Workload

MAIN = runpy.run_path(str(BENCHMARKS / "scaling" / "__main__.py"), run_name="scaling_main")
WORKS: dict[str, Workload] = MAIN["WORKS"]
MEASURED: dict[str, Any] = json.loads(MAIN["MEASURED"].read_text(encoding="utf-8"))
CONSTANTS: dict[str, float] = MEASURED["constants"]
HERE = fit.machine_here(MEASURED)
TINY = Workload("1x1", 64, 1, ((1, "linear"),), "mse", 4)


def large(cores: int = 64, nodes: int = 2, **changes: float) -> model.Machine:
    return replace(machines.large(HERE, cores, nodes), **changes)  # type: ignore[arg-type]


def seconds(work: Workload, plan: model.Plan, machine: model.Machine) -> float:
    return model.predict(work, plan, machine, CONSTANTS).seconds


# the model


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
@pytest.mark.parametrize(("cores", "nodes"), [(8, 1), (64, 4), (192, 8)])
def test_no_plan_is_faster_than_the_arithmetic_of_all_cores(
    work: Workload, cores: int, nodes: int
) -> None:
    machine = large(cores, nodes)
    for plan in model.plans(machine):
        found = model.predict(work, plan, machine, CONSTANTS)
        assert 0 < found.peak_share(machine) <= 1, plan
        assert min(found.parts.values()) >= -1e-12, (plan, found.parts)


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
@pytest.mark.parametrize(
    "slower",
    [
        {"node_memory": 1e9, "core_memory": 1e9},
        {"node_link": 1e9},
        {"line_near": 1e-6},
        {"line_far": 1e-6},
        {"line_node": 1e-6},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_slower_machine_is_never_faster(work: Workload, slower: dict[str, float]) -> None:
    machine = large(l3=1 << 20)
    for plan in model.plans(machine):
        assert seconds(work, plan, replace(machine, **slower)) >= seconds(work, plan, machine)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", model.NAMES)
def test_every_constant_costs_time_somewhere(name: str) -> None:
    """ "python" is of what was measured alone, not of a step."""
    dearer = CONSTANTS | {name: CONSTANTS[name] + 1.0}
    machine = large(l3=1 << 20)
    plans = [model.Plan(1), model.Plan(64)]
    assert any(
        model.predict(work, plan, machine, dearer).seconds > seconds(work, plan, machine)
        for work in WORKS.values()
        for plan in plans
    ) == (name != "python")


def test_a_network_of_one_weight_stays_on_one_thread() -> None:
    assert model.best(TINY, large(), CONSTANTS).plan == model.Plan(1)
    assert model.today(TINY, 64) == model.Plan(1)


def test_the_best_plan_is_at_least_as_fast_as_rows_on_all_cores() -> None:
    for work in WORKS.values():
        rows = seconds(work, model.Plan(64), large())
        assert model.best(work, large(), CONSTANTS).seconds <= rows


def test_few_rows_on_many_cores_are_split_by_outputs_and_many_are_not() -> None:
    for batch, splits in ((32, True), (1 << 15, False)):
        work = replace(WORKS["W3"], batch_size=batch)
        assert (model.best(work, large(nodes=1), CONSTANTS).plan.split > 1) == splits


def test_a_tree_of_counters_pays_from_two_caches_on() -> None:
    one, two, many = large(8, 1), large(16, 1), large(192, 8)
    assert one.barrier(1, tree=False) == 0
    assert one.barrier(8, tree=True) == pytest.approx(one.barrier(8, tree=False))
    assert two.barrier(16, tree=True) < two.barrier(16, tree=False)
    assert many.barrier(192, tree=True) < many.barrier(192, tree=False) / 5


@pytest.mark.parametrize("unit_rows", [128, 32])
@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_units_are_all_weights_and_each_has_an_owner(work: Workload, unit_rows: int) -> None:
    units = model.units_of(work, unit_rows)
    sizes = [k * n for k, n, _ in model.layers(work)]
    assert int((units.rows * units.columns).sum()) == sum(sizes)
    assert int((units.bias * units.columns).sum()) == sum(n for _, n, _ in model.layers(work))
    for threads in (1, 7, 192):
        owners = units.owners(threads)
        assert owners.min() >= 0
        assert owners.max() < threads
        assert (np.diff(owners) >= 0).all()


def test_one_thread_fetches_nothing_from_others() -> None:
    for work in WORKS.values():
        links = model.links(work, work.batch_size, model.Plan(1), large())
        assert links == (model.NOTHING, model.NOTHING)


def test_weights_go_into_a_node_once_where_they_are_replicated() -> None:
    machine = large(192, 4)
    each, once = (
        model.links(WORKS["W4"], 512, model.Plan(192, replicate=replicate), machine)[0]
        for replicate in (False, True)
    )
    assert each.l3 == once.l3
    assert each.node == pytest.approx(6 * once.node)  # 24 caches of 4 nodes


def test_rows_of_the_busiest_thread_come_by_twos() -> None:
    assert [model.own_rows(32, model.Plan(threads)) for threads in (1, 3, 16, 64)] == [32, 12, 2, 2]
    assert model.own_rows(32, model.Plan(64, split=4)) == 2
    assert model.own_rows(1, model.Plan(1)) == 1


# the fit


def test_fit_finds_the_constants_of_a_machine_that_obeys_the_model() -> None:
    planted = {name: 1.5 * value + 1e-12 for name, value in CONSTANTS.items()}
    theta = np.array(list(planted.values()))
    observations = []
    for o in MEASURED["observations"]:
        row, known = fit.equation(WORKS[o["workload"]], o, HERE)
        observations.append(o | {"seconds": float(row @ theta) + known})
    assert fit.fit(WORKS, observations, HERE) == pytest.approx(planted, rel=1e-6)
    assert fit.quality(WORKS, observations, HERE)["largest of all"] < 1e-6


def test_non_negative_least_squares_meets_the_conditions_of_the_minimum() -> None:
    """No coefficient is negative, and where one is 0 the squares would grow with it (KKT)."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        matrix, target = rng.standard_normal((30, 8)), rng.standard_normal(30)
        found = fit.non_negative(matrix, target)
        downhill = matrix.T @ (target - matrix @ found)
        assert (found >= 0).all()
        assert (found == 0).any()
        assert downhill[found == 0].max() <= 1e-10
        assert np.abs(downhill[found > 0]).max(initial=0) <= 1e-10


def test_the_stored_constants_are_the_fit_of_the_stored_times() -> None:
    found = fit.fit(WORKS, MEASURED["observations"], HERE)
    assert found == pytest.approx(CONSTANTS, rel=1e-6, abs=1e-18)
    quality = fit.quality(WORKS, MEASURED["observations"], HERE)
    assert quality == pytest.approx(MEASURED["quality"], rel=1e-6)


def test_the_stored_fit_is_as_good_as_the_page_says() -> None:
    quality = MEASURED["quality"]
    assert quality["median of all"] < 0.06
    assert quality["median at the workloads' own batch"] < 0.05
    assert quality["largest there"] < 0.15
    assert quality["median of a workload that the fit has not seen"] < 0.12


def test_of_two_measurements_the_faster_counts() -> None:
    slower = {name: {t: v / 2 for t, v in MEASURED[name].items()} for name in measure.RATES}
    slower["step_1x1"] = {t: 2 * v for t, v in MEASURED["step_1x1"].items()}
    late = [o | {"seconds": 2 * o["seconds"]} for o in reversed(MEASURED["observations"])]
    other = MEASURED | slower | {"observations": late}
    for merged in (measure.fastest_of(MEASURED, other), measure.fastest_of(other, MEASURED)):
        assert {name: merged[name] for name in slower} == {name: MEASURED[name] for name in slower}
        times = {tuple(o[k] for k in measure.KEY): o["seconds"] for o in merged["observations"]}
        assert times == {
            tuple(o[k] for k in measure.KEY): o["seconds"] for o in MEASURED["observations"]
        }


# the page


def test_the_page_shows_the_stored_figures(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    study = page.Study(MEASURED, WORKS)
    assert page.render(text, study) == text
    assert {found[1] for found in page.MARKED.findall(text)} == page.TABLES.keys()
    figure = page.draw(study, tmp_path / "figure.svg")
    assert "<svg" in figure.read_text(encoding="utf-8")


def test_the_sources_of_what_is_assumed_are_named() -> None:
    for name, (_, _, source) in machines.ASSUMED.items():
        assert any(f"[{known}]" in source for known in machines.SOURCES), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["measure", "--seconds", "0"], "--seconds must be more than 0, got 0.0"), ([], "required")],
)
def test_command_line_names_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        MAIN["main"](arguments)
    assert message in capsys.readouterr().err
