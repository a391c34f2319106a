"""The benchmark against other frameworks, without the frameworks: who may run, whose turn it is,
what counts, which results are right, what is kept, and what the page says of it."""

# ruff: noqa: E402 (the path first, then what lies on it)

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("threadpoolctl")

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
sys.path += [str(PEERS), str(PEERS.parent)]

import aims
import driver
import memory
import page
import quiet
import record
import registry
import results
import tasks

LINUX = pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="needs Linux's /proc")

# a worker that does what the name of its task says
FAKE = """
import json, sys, time
log = open(sys.argv[1], "a")
for line in sys.stdin:
    request = json.loads(line)
    task = request.get("task", sys.argv[2])
    print(sys.argv[2], request["call"], file=log, flush=True)
    reply = {}
    if request["call"] == "turn":
        reply = {"seconds": 0.5, "cores": 1.0}
    if request["call"] == "measures":
        reply = {"measures": {"loss": 2.0}}
    if sys.argv[2] == "hang" and request["call"] == "turn":
        time.sleep(60)
    if sys.argv[2] == "end":
        sys.exit(3)
    if sys.argv[2] == "cannot":
        reply = {"unsupported": "has no such work"}
    if sys.argv[2] == "wrong":
        reply = {"error": "WrongResultError: off by 1"}
    if sys.argv[2] == "slow" and request["call"] == "turn":
        time.sleep(0.2)
    print(json.dumps(reply), flush=True)
"""


# --- registry ---------------------------------------------------------------------------------


def test_a_peer_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = registry.Peer("X", "x", ("numpy", "no_such_package"))
    assert peer.missing() == "not installed: no_such_package"
    assert registry.Peer("NumPy", "numpy", ("numpy",)).missing() is None
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert registry.Peer("X", "x", ("numpy",), compiler=True).missing() == "no C++ compiler"


def test_environment_sets_every_thread_count() -> None:
    environment = registry.PEERS["jax"].process_environment(3)
    assert {environment[name] for name in registry.THREAD_VARIABLES} == {"3"}
    assert environment["NPROC"] == "3"
    assert "XLA_FLAGS" not in registry.jax_environment(2)
    assert "eigen=false" in registry.jax_environment(1)["XLA_FLAGS"]
    assert environment["PATH"] == os.environ["PATH"]
    assert registry.MEMORY.items() <= environment.items()
    plain = registry.PEERS["jax"].process_environment(3, keep_memory=False)
    assert not registry.MEMORY.keys() & (plain.keys() - os.environ.keys())


def test_every_peer_has_an_adapter() -> None:
    modules = {path.stem for path in (PEERS / "adapters").glob("*.py")}
    assert {peer.module for peer in registry.PEERS.values()} <= modules


# --- worker processes -------------------------------------------------------------------------

Fake = Callable[..., driver.WorkerProcess]


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    """fake(behaviour, limit=10): a worker process that behaves so, and logs what it is asked."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    workers: list[driver.WorkerProcess] = []

    def make(behaviour: str, limit: float = 10) -> driver.WorkerProcess:
        command = [sys.executable, str(script), str(tmp_path / "log"), behaviour]
        workers.append(driver.WorkerProcess(behaviour, 1, sys.stderr, limit, command))
        return workers[-1]

    names = ["hang", "end", "cannot", "wrong", "slow", "good", "better"]
    added = {name: registry.Peer(name, "numpy", ("numpy",)) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "PEERS", registry.PEERS | added)
        yield make
    for worker in workers:
        worker.close()


def test_a_worker_that_hangs_is_killed(fake: Fake) -> None:
    worker = fake("hang", limit=0.5)
    worker.ask("prepare", task="W1")
    process = worker.process
    assert process is not None
    start = time.monotonic()
    with pytest.raises(driver.WorkerError, match=r"no reply to turn within 0.5 s"):
        worker.ask("turn")
    assert time.monotonic() - start < 10
    assert process.poll() is not None
    assert worker.ask("prepare", task="W1") == {}  # by a new process
    assert worker.process is not process


def test_a_worker_that_ends_tells_its_status(fake: Fake) -> None:
    with pytest.raises(driver.WorkerError, match="ended with status 3"):
        fake("end").ask("prepare", task="W1")


def test_the_real_worker_trains_and_refuses(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        worker = driver.WorkerProcess("numpy", 1, log, 60)
        try:
            assert "numpy" in worker.ask("versions")["versions"]
            with pytest.raises(driver.WorkerError, match="expected a task to be prepared"):
                worker.ask("turn")
            worker.ask("prepare", task="W1")
            turn = worker.ask("turn")
            assert 0 < turn["seconds"] < 10
            assert worker.ask("measures")["measures"]["loss"] == pytest.approx(1.0834, rel=1e-3)
            with pytest.raises(driver.UnsupportedError, match="bfloat16"):
                worker.ask("prepare", task="bfloat16 2048x2048x2048 AB")
        finally:
            worker.close()


@LINUX
def test_memory_is_seen_at_its_peak() -> None:
    size = 50_000_000
    before = memory.resident()
    memory.forget_peak()
    np.ones(size, np.uint8)  # and gone again
    assert 0.95 * size < memory.peak() - before < 1.2 * size
    memory.forget_peak()
    assert memory.peak() - before < 0.5 * size


# --- the referee ------------------------------------------------------------------------------


def referee(
    peaks: list[float], rounds: int = 2, patience: float = 60, **others: list[float]
) -> driver.Referee:
    """One that measures these peaks, barriers, paces, then the last of them for ever."""
    columns = [others.get(name, [0.0] * len(peaks)) for name in ("barriers", "paces")]
    left = list(map(quiet.Condition, peaks, *columns))
    return driver.Referee(
        rounds, patience, measure=lambda probe: left.pop(0) if len(left) > 1 else left[0]
    )


PROBE = driver.Probe("float32", 1)
W1 = tasks.TASKS["W1"]


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "SETTLE_SECONDS", 0.0)


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "log").read_text().splitlines()


def test_contenders_take_turns(fake: Fake, tmp_path: Path) -> None:
    outcome = referee([100.0]).contest([fake("good"), fake("better")], W1, PROBE)
    assert [r["peer"] for r in outcome] == ["good", "better"]
    asked = [line for line in calls(tmp_path) if line.endswith("turn")]
    assert asked == ["good turn", "better turn"] * 2
    assert outcome[0]["seconds"] == [0.5, 0.5]
    assert outcome[0]["measures"] == {"loss": 2.0}
    assert (outcome[0]["set_aside"], outcome[0]["disturbed"]) == (0, False)


def test_a_disturbed_round_is_set_aside_and_taken_again(fake: Fake, tmp_path: Path) -> None:
    # before, after the first round, the second (a neighbour), the third, the fourth
    outcome = referee([100.0, 99.0, 50.0, 98.0, 97.0]).contest([fake("good")], W1, PROBE)
    assert calls(tmp_path).count("good turn") == 4  # 1 counts; 2 and 3 have the 50 at one end
    assert outcome[0]["set_aside"] == 2
    assert outcome[0]["peak"] == 98.0
    assert not outcome[0]["disturbed"]


def test_a_round_of_cores_far_apart_is_set_aside(fake: Fake, tmp_path: Path) -> None:
    barriers = [60e-9, 300e-9, 55e-9, 80e-9, 30e-9]
    judge = referee([100.0] * 5, barriers=barriers)
    outcome = judge.contest([fake("good")], W1, PROBE)
    assert calls(tmp_path).count("good turn") == 4  # 3 and 4 count
    assert outcome[0]["set_aside"] == 2
    assert not outcome[0]["disturbed"]
    assert judge.best_peaks() == [
        {"dtype": "float32", "threads": 1, "flops": 100.0, "barrier": 30e-9, "pace": 0.0}
    ]


def test_a_round_of_a_core_shared_by_others_is_set_aside(fake: Fake, tmp_path: Path) -> None:
    paces = [11e-6, 10e-6, 18e-6, 12e-6, 10.5e-6]
    outcome = referee([100.0] * 5, paces=paces).contest([fake("good")], W1, PROBE)
    assert calls(tmp_path).count("good turn") == 4  # 1 and 4 count
    assert outcome[0]["set_aside"] == 2
    assert not outcome[0]["disturbed"]


def test_least_disturbed_turns_come_first() -> None:
    best = quiet.Condition(100.0, 50e-9, 10e-6)
    worse = [
        quiet.Condition(98.0, 60e-9, 11e-6),
        quiet.Condition(98.0, 60e-9, 12.9e-6),
        quiet.Condition(98.0, 60e-9, 13.1e-6),
        quiet.Condition(80.0, 60e-9, 11e-6),
        quiet.Condition(98.0, 400e-9, 11e-6),
    ]
    disturbances = [quiet.disturbance(now, best) for now in worse]
    assert disturbances == sorted(disturbances)
    assert [quiet.is_quiet(now, best) for now in worse] == [True, True, False, False, False]


def test_the_machine_is_looked_at() -> None:
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    now = quiet.condition(1)
    assert now.peak > 1e8
    assert now.barrier == 0.0
    assert 1e-7 < now.pace < 1e-2
    assert cores is None or os.sched_getaffinity(0) == cores
    assert quiet.condition(2, "float64").barrier > 0


def test_patience_ends_and_the_result_says_so(fake: Fake, tmp_path: Path) -> None:
    outcome = referee([100.0, 50.0], patience=0).contest([fake("good")], W1, PROBE)
    assert calls(tmp_path).count("good turn") == 2
    assert outcome[0]["disturbed"]


def test_the_best_peak_of_an_earlier_run_counts(fake: Fake) -> None:
    judge = driver.Referee(
        2,
        0,
        [{"dtype": "float32", "threads": 1, "flops": 100.0, "barrier": 0.0, "pace": 0.0}],
        measure=lambda probe: quiet.Condition(50.0),
    )
    assert judge.contest([fake("good")], W1, PROBE)[0]["disturbed"]
    assert judge.best_peaks() == [
        {"dtype": "float32", "threads": 1, "flops": 100.0, "barrier": 0.0, "pace": 0.0}
    ]


def test_slow_turns_are_fewer(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "BUDGET_SECONDS", 0.1)
    outcome = referee([100.0], rounds=5).contest([fake("slow")], W1, PROBE)
    assert calls(tmp_path).count("slow turn") == driver.LEAST_ROUNDS == 3
    assert len(outcome[0]["seconds"]) == 3


def test_who_fails_does_not_keep_the_others(fake: Fake) -> None:
    workers = [fake(name) for name in ("wrong", "cannot", "good", "end")]
    workers.append(fake("hang", limit=0.5))
    outcome = {r["peer"]: r for r in referee([100.0]).contest(workers, W1, PROBE)}
    assert outcome["good"]["median"] == 0.5
    assert outcome["wrong"]["error"] == "WrongResultError: off by 1"
    assert outcome["cannot"] == {"peer": "cannot", "unsupported": "has no such work"}
    assert "status 3" in outcome["end"]["error"]
    assert "no reply to turn" in outcome["hang"]["error"]


def test_memory_takes_one_turn_of_a_new_process(fake: Fake, tmp_path: Path) -> None:
    worker = fake("good")
    worker.ask("prepare", task="W1")
    process = worker.process
    referee([100.0]).contest([worker], tasks.TASKS["memory W3"], PROBE)
    assert worker.process is not process
    assert calls(tmp_path).count("good turn") == 1


# --- tasks ------------------------------------------------------------------------------------


def test_tasks_have_names_of_their_own() -> None:
    assert len(tasks.TASKS) == len(tasks.EVERY)
    names = {"W1", "W4 mixed", "float32 1x784x512 A'B'", "bfloat16 2048x2048x2048 AB"}
    assert names <= tasks.TASKS.keys()


@pytest.mark.parametrize("form", tasks.FORMS)
def test_products_are_checked(form: str) -> None:
    task = tasks.Matmul((20, 30, 40), form=form)
    a, b = task.operands()
    left, right = a.T if "A'" in form else a, b.T if "B'" in form else b
    right_result = left @ right
    assert task.check(right_result) == {}
    wrong = right_result.copy()
    wrong[3, 4] += 0.01
    with pytest.raises(tasks.WrongResultError, match=r"off by 0\.01"):
        task.check(wrong)
    wrong[3, 4] = np.nan
    with pytest.raises(tasks.WrongResultError, match="off by nan"):
        task.check(wrong)
    with pytest.raises(tasks.WrongResultError, match=r"shape \(30, 20\), expected \(20, 30\)"):
        task.check(right_result.T)


def test_functions_are_checked_and_their_errors_measured() -> None:
    task = tasks.Elementwise("tanh", 1000)
    exact = np.tanh(task.operand().astype(np.float64)).astype(np.float32)
    assert task.check(exact)["ulp"] <= 0.5
    assert task.check(np.nextafter(exact, np.float32(2)))["ulp"] == pytest.approx(1, abs=0.51)
    with pytest.raises(tasks.WrongResultError, match="off by"):
        task.check(exact + np.float32(1e-4))


def test_spacing_is_that_of_float32() -> None:
    values = np.array([1.0, -1.5, 0.99, 1e-30, 3e38, 0.0, 1e-44])
    units = np.spacing(np.abs(values).astype(np.float32)).astype(np.float64)
    np.testing.assert_array_equal(tasks.float32_spacing(values), units)


def test_predictions_are_checked() -> None:
    task = tasks.Prediction(tasks.DIGITS, 1)
    uniform = np.full((1, 10), 0.1, np.float32)
    with pytest.raises(tasks.WrongResultError, match="off by"):
        task.check(uniform)


def test_training_is_judged() -> None:
    task = tasks.TASKS["W2"]
    assert isinstance(task, tasks.Training)
    first = task.judge(task.workload.weights())
    assert first["loss"] == pytest.approx(np.log(10), rel=0.1)  # it knows nothing yet
    assert 0 <= first["accuracy"] < 0.4
    broken = [np.full_like(w, np.nan) for w in task.workload.weights()]
    with pytest.raises(tasks.WrongResultError, match="loss nan"):
        task.judge(broken)
    x, y = task.data()
    assert len(x) == len(y) == task.steps * task.workload.batch_size


# --- the file ---------------------------------------------------------------------------------

MACHINE = {"CPU": "Some CPU"}
VERSIONS = {"fastnn": {"fastnn": "1"}, "numpy": {"numpy": "2"}}


def opened(path: Path, **changes: Any) -> record.Record:
    head: dict[str, Any] = {"machine": MACHINE, "versions": VERSIONS, "missing": {}}
    return record.Record.open(path, **(head | changes), tasks=[W1])


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    ours, theirs = {"peer": "fastnn", "median": 1.0}, {"peer": "numpy", "error": "hung"}
    opened(path).add("W1", 1, [ours, theirs], [{"dtype": "float32", "threads": 1, "flops": 5.0}])
    again = opened(path)
    assert again.document["best_peaks"][0]["flops"] == 5.0
    assert again.has("W1", 1, ["fastnn"])
    assert not again.has("W1", 1, ["fastnn", "numpy"])  # a failure is tried again
    assert not again.has("W1", 2, ["fastnn"])
    assert again.failed()
    again.add("W1", 1, [ours, {"peer": "numpy", "unsupported": "cannot"}], [])
    document = record.load(path)
    assert len(document["results"]) == 2
    assert not opened(path).failed()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"machine": {"CPU": "Other CPU"}}, "machine: expected the same CPU"),
        ({"versions": {"fastnn": {"fastnn": "2"}}}, "versions: expected the same fastnn"),
    ],
)
def test_a_run_on_something_else_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "peers.json"
    opened(path).add("W1", 1, [], [])
    before = path.read_bytes()
    with pytest.raises(record.ForeignFileError, match=message):
        opened(path, **changes)
    assert path.read_bytes() == before


def test_a_peer_may_be_added(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    opened(path, versions={"fastnn": {"fastnn": "1"}}).add("W1", 1, [], [])
    assert opened(path).document["versions"] == VERSIONS


def test_a_run_from_beginning_to_page(tmp_path: Path) -> None:
    """fastnn and NumPy train W1; the second run finds it done; the page is written."""
    out = tmp_path / "peers.json"
    command = [sys.executable, str(PEERS), "--only", "W1", "--peers", "fastnn", "numpy"]
    command += ["--threads", "1", "--rounds", "1", "--patience", "0", "--out", str(out)]

    def run() -> str:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    first = run()
    assert "[1/1] W1: 100 rows, 10-64-32-10, batch 32, adam, 1 threads: " in first
    assert "is there" in run()
    medians = {r["peer"]: r["median"] for r in record.load(out)["results"]}
    assert medians.keys() == {"fastnn", "numpy"}
    assert medians["fastnn"] < medians["numpy"]
    output = tmp_path / "page.md"
    assert page.main([str(out), "--output", str(output)]) == 0
    assert "All agree within 3%." in output.read_text()


# --- the page ---------------------------------------------------------------------------------


def entry(task: str, threads: int, peer: str, seconds: float, **more: Any) -> dict[str, Any]:
    """A result of `seconds` a step."""
    defaults = {"cores": 1.0, "peak": 100e9, "set_aside": 0, "disturbed": False}
    return {
        "task": task,
        "threads": threads,
        "peer": peer,
        "median": seconds * tasks.TASKS[task].units,
        "peak_dtype": "float32",
        "measures": {},
        **defaults,
        **more,
    }


@pytest.fixture
def document() -> dict[str, Any]:
    """fastnn at 0.8 of a peak of 100 GFLOP/s, the others at half its speed."""
    product = "float32 2048x2048x2048 AB"
    flops = {name: tasks.TASKS[name].amounts["flops"] for name in ("W3", product)}
    at_peak = {name: amount / 100e9 for name, amount in flops.items()}

    def loss(value: float) -> dict[str, Any]:
        return {"measures": {"loss": value}}

    found = [
        entry("W3", 1, "fastnn", at_peak["W3"] / 0.8, **loss(1.00)),
        entry("W3", 1, "jax", at_peak["W3"] / 0.4, **loss(1.01)),
        entry("W3", 1, "torch", at_peak["W3"] / 0.2, **loss(1.20), disturbed=True),
        entry("W3", 2, "fastnn", at_peak["W3"] / 1.6, **loss(1.00), peak=200e9),
        entry("W3", 2, "jax", at_peak["W3"] / 0.8, **loss(1.01), peak=200e9, cores=3.0),
        entry(product, 1, "fastnn", at_peak[product] / 0.97),
        entry(product, 1, "numpy", at_peak[product] / 0.9),
        entry("sigmoid 1e4", 1, "fastnn", 2e-6, measures={"ulp": 1.5}),
        entry("sigmoid 1e4", 1, "torch", 3e-6, measures={"ulp": 2.4}, set_aside=4),
        entry("predict W2 1", 1, "fastnn", 1e-6),
        entry("predict W2 1", 1, "onnxruntime", 5e-6),
        entry("memory W3", 1, "fastnn", 1e-3, measures={"taken": 215e6, "needed": 200e6}),
        {"task": "W3", "threads": 1, "peer": "keras", "error": "no reply to turn within 300 s"},
        {"task": "W3", "threads": 1, "peer": "onnxruntime", "unsupported": "does not train"},
    ]
    return {
        "kind": record.KIND,
        "datetime": "2025-01-02T03:04:05",
        "machine": {"CPU": "Some CPU"},
        "versions": {"fastnn": {"fastnn": "0.1", "build": "abc"}, "jax": {"jax": "9"}},
        "missing": {"keras": "not installed: keras"},
        "best_peaks": [
            {"dtype": "float32", "threads": 1, "flops": 100e9, "barrier": 0.0, "pace": 12e-6},
            {"dtype": "float32", "threads": 2, "flops": 190e9, "barrier": 55e-9, "pace": 11e-6},
        ],
        "tasks": {name: record.task_entry(task) for name, task in tasks.TASKS.items()},
        "results": found,
    }


@pytest.fixture
def text(document: dict[str, Any], tmp_path: Path) -> str:
    (tmp_path / "bounds.md").write_text("W3 waits for the divider.\n")
    path, output = tmp_path / "peers.json", tmp_path / "page.md"
    path.write_text(json.dumps(document))
    arguments = [str(path), "--output", str(output), "--bounds", str(tmp_path / "bounds.md")]
    assert page.main(arguments) == 0
    return output.read_text()


def test_page_names_machine_and_versions(text: str) -> None:
    assert "| CPU | Some CPU |" in text
    assert "| fastnn | fastnn 0.1, build abc |" in text
    assert "| Keras/TensorFlow | not installed: keras |" in text
    assert "| best float32 peak on 1 | 100 GFLOP/s |" in text


def test_page_compares_with_the_best_peer(text: str) -> None:
    lines = [line for line in text.splitlines() if line.startswith("| W3 | 1 |")]
    assert lines[0].endswith("| 2.00 (JAX) |")
    assert "| 80 (0.80) | 20 (0.20)\\* | 40 (0.40) |" in lines[1]
    assert "| 1 | **1.2**\\* | 1.01 |" in lines[2]
    assert "PyTorch is off the median by 18.8%" in text
    assert "| sigmoid 1e4 | 1 | 5 | 3.33 | 1.50 (PyTorch) |" in text
    assert "| sigmoid 1e4 | 1 | 1.50 | 2.40 |" in text
    assert "| memory W3 | 1 | 15.0 MB |" in text


def test_page_checks_the_aims(text: str) -> None:
    held = [line for line in text.splitlines() if line.endswith("| yes |")]
    missed = [line for line in text.splitlines() if line.endswith("| **no** |")]
    assert any("W3, threads 1: best peer's time over fastnn's" in line for line in held)
    assert "| Large networks | W3, threads 1: share of the peak | at least 0.86 | 0.8 | " in text
    assert any("W3, threads 1: share of the peak" in line for line in missed)
    assert any("2048x2048x2048 AB, threads 1: share of the peak" in line for line in held)
    assert any("ONNX Runtime's time over fastnn's | at least 1 | 5 |" in line for line in held)
    assert any("| at most 20 MB | 15 MB |" in line for line in held)
    assert any("loss off the median" in line for line in missed)
    assert "| Small networks, at the faster number of threads | W1: JAX's time" in text
    assert f"{len(held)} of " in text
    assert "were not measured" in text


def test_page_says_what_bounds_and_what_went_wrong(text: str) -> None:
    bounds = text[text.index("## What bounds it") : text.index("## Notes")]
    assert "| W3 | 1 | 0.80 |" in bounds
    assert "2048x2048x2048" not in bounds  # at 0.97
    assert "W3 waits for the divider." in bounds
    assert "- W3, 1 threads: Keras/TensorFlow failed: no reply to turn within 300 s" in text
    assert "- W3: JAX kept 3.0 cores busy, told to use 2." in text
    assert "- 4 turns, on a machine that was not quiet" in text
    assert "| 2 threads meet, at best, in | 55 ns |" in text


def test_page_has_figures(text: str, tmp_path: Path) -> None:
    names = ["peers-scaling.svg", "peers-share.svg", "peers-time.svg"]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == names
    assert all(f"(figures/{name})" in text for name in names)


def test_page_of_another_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = tmp_path / "peers.json", tmp_path / "page.md"
    path.write_text('{"kind": "something else"}')
    assert page.main([str(path), "--output", str(output)]) == 2
    assert "not the JSON of benchmarks/peers" in capsys.readouterr().err
    assert not output.exists()


def test_aims_take_the_faster_number_of_threads(document: dict[str, Any]) -> None:
    times = {("W1", 1, "fastnn"): 4, ("W1", 2, "fastnn"): 5, ("W1", 1, "jax"): 30}
    times[("W1", 2, "jax")] = 20
    document["results"] = [entry(*key, seconds=us * 1e-6) for key, us in times.items()]
    found = {aim.name: aim for aim in aims.Aims(results.Results.of(document)).small_networks()}
    assert found["W1: JAX's time over fastnn's"].measure() == pytest.approx(5.0)
    with pytest.raises(KeyError):
        found["W2: JAX's time over fastnn's"].measure()


def test_forms_are_compared_by_the_slowest(document: dict[str, Any]) -> None:
    names = [f"float32 100x100x100 {form}" for form in tasks.FORMS]
    seconds = [1.0, 1.02, 1.04, 1.1]
    document["results"] = [
        entry(name, 1, "fastnn", s) for name, s in zip(names, seconds, strict=True)
    ]
    every = aims.Aims(results.Results.of(document)).every()
    forms = next(
        aim for aim in every if aim.name.startswith("float32 100x100x100 AB, threads 1: s")
    )
    assert forms.measure() == pytest.approx(1.1)
    assert not forms.holds(forms.measure())
    assert forms.holds(1.05)
