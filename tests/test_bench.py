"""`fastnn bench`: its contenders do the same work, and its table and file say what was measured."""

import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import fastnn
from fastnn.cli import bench, workloads
from fastnn.cli.app import app


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


@pytest.mark.parametrize(
    "contest",
    [
        bench.product((32, 64, 48), 1),
        bench.elementwise("sigmoid", 1000, 1),
        bench.elementwise("relu", 1000, 1),
        bench.prediction(workloads.W2, rows=1),
        bench.prediction(workloads.W2, rows=70),
    ],
    ids=lambda contest: contest.name,
)
def test_contenders_give_the_same(contest: bench.Contest) -> None:
    answers = {name: np.array(call()) for name, call in contest.contenders.items()}
    assert {"fastnn", "numpy"} <= answers.keys()
    for answer in answers.values():
        np.testing.assert_allclose(answer, answers["numpy"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("work", "epochs"),
    [(replace(workloads.W1, rows=96), 30), (replace(workloads.W6, rows=640), 5)],
    ids=["W1", "W6"],
)
def test_contenders_train_to_the_same_loss(work: workloads.Workload, epochs: int) -> None:
    contest = bench.training(work, epochs)
    assert contest.units == epochs * work.steps
    ours, numpys = (contest.contenders[name]().history["loss"][-1] for name in ("fastnn", "numpy"))
    theirs = contest.contenders["scikit-learn"]().loss_
    if work.loss == "mse":
        theirs *= 2  # it halves the squared error
    assert ours == pytest.approx(numpys, rel=1e-3)
    assert ours == pytest.approx(theirs, rel=0.01)


def test_contests_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for maker in ("product", "elementwise", "training", "prediction"):
        monkeypatch.setattr(bench, maker, lambda *what, **more: (what, tuple(more.items())))
    names = list(bench.contests(1))
    assert len(names) == len(set(names)) == 23


def small(threads: int) -> Iterator[bench.Contest]:
    yield bench.product((32, 64, 48), threads)
    yield bench.elementwise("relu", 1000, threads)
    yield bench.prediction(workloads.W2, rows=1)


def test_a_turn_is_divided_by_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SETTLE_SECONDS", 0.0)
    contenders = {"fastnn": lambda: time.sleep(0.02), "numpy": lambda: time.sleep(0.04)}
    result = bench.measure(bench.Contest("g", "n", contenders, units=10, flops=1e6), 1, rounds=3)
    assert 0.002 <= result.seconds["fastnn"] < result.seconds["numpy"]
    assert 0.004 <= result.seconds["numpy"] < 0.02
    assert result.peak > 1e8


def test_table_shows_shares_ratios_and_disturbance() -> None:
    results = [
        bench.Result("matmul", "a", {"fastnn": 1e-3, "numpy": 2e-3}, 5e6, 0.0, 10e9),
        bench.Result("training", "b", {"fastnn": 2e-6, "scikit-learn": 5e-5}, 0.0, 4e4, 8e9),
    ]
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(bench.rows(results))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["a", "1", "ms", "5", "GFLOP/s", "0.50", "2"] in lines
    assert ["b", "2", "us", "20", "GB/s*", "25"] in lines  # at 0.8 of the best peak


def test_bench_prints_a_table_and_writes_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "contests", small)
    path = tmp_path / "bench.json"
    outcome = CliRunner().invoke(app, ["bench", "--threads", "1", "--json", str(path)])
    assert outcome.exit_code == 0, outcome.output
    assert "32 x 64 x 48" in outcome.stdout
    assert "1 thread, multiply-add peak" in outcome.stdout
    assert all(len(line) <= 90 for line in outcome.stdout.splitlines())
    document = json.loads(path.read_text())
    assert document["threads"] == 1
    assert "NumPy's BLAS: " in outcome.stdout
    assert document["versions"]["fastnn"] == fastnn.__version__
    names = [result["name"] for result in document["results"]]
    assert names == ["32 x 64 x 48", "relu of 1e3", "1 row through W2"]
    assert all(s > 0 for result in document["results"] for s in result["seconds"].values())
    assert document["results"][0]["flops"] == 2 * 32 * 64 * 48


def test_bench_refuses_a_file_it_cannot_write(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(app, ["bench", "--json", str(tmp_path / "no" / "bench.json")])
    assert outcome.exit_code == 2
    assert outcome.stderr.strip().startswith("fastnn: --json: cannot write")
