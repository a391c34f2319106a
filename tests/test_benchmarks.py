"""The report renders what was measured, and every kernel of csrc/kernels.def is measured."""

# ruff: noqa: E402 (the path first, then what lies on it)

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
sys.path.append(str(BENCHMARKS))

import report
import workloads


def entry(
    suite: str, case: str, implementation: str, median: float, **extra: Any
) -> dict[str, Any]:
    """One benchmark as pytest-benchmark writes it, cut to what the report reads."""
    info = {"suite": suite, "case": case, "threads": 1, "implementation": implementation, **extra}
    return {
        "group": f"{suite}: {case}, 1 threads",
        "extra_info": info,
        "stats": {"median": median},
    }


@pytest.fixture
def document() -> dict[str, Any]:
    product = {"flops": 2e9, "fma_peak": 100e9}
    return {
        "machine_info": {
            "cpu": {"brand_raw": "Some CPU", "count": 2},
            "fastnn": {"cores": 2, "NumPy's BLAS": "openblas, Haswell kernels"},
        },
        "datetime": "2025-01-02T03:04:05",
        "benchmarks": [
            entry("matmul", "Y = X W", "fastnn", 0.025, **product),
            entry("matmul", "Y = X W", "numpy", 0.05, **product),
            entry("elementwise", "tanh, 1e4", "fastnn", 2e-6, bytes=8e4),
            entry("elementwise", "tanh, 1e4", "numpy", 1e-5, bytes=8e4),
        ],
    }


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_report_renders_tables_and_figures(tmp_path: Path, document: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.md"
    result = write(tmp_path / "out.json", document)
    assert report.main([str(result), "--output", str(page)]) == 0
    text = page.read_text()
    assert "| Y = X W | 1 | 25 ms | 50 ms | 2.00 | 80.0 GFLOP/s | 0.80 | 0.40 |" in text
    assert "| tanh, 1e4 | 1 | 2 us | 10 us | 5.00 | 40.0 GB/s |" in text
    assert "Some CPU" in text
    assert "openblas, Haswell kernels" in text
    names = ["elementwise-speedup.svg", "matmul-peak.svg", "matmul-speedup.svg"]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == names
    assert all(f"(figures/{name})" in text for name in names)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "not JSON"),
        ("[1, 2]", "not the JSON of pytest --benchmark-json"),
        ('{"machine_info": {}, "benchmarks": [{"group": null}]}', "no 'extra_info'"),
        ('{"machine_info": {}, "benchmarks": []}', "no pair"),
    ],
)
def test_report_refuses_foreign_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    path = tmp_path / "out.json"
    if content is not None:
        path.write_text(content)
    page = tmp_path / "page.md"
    assert report.main([str(path), "--output", str(page)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert message in error
    assert not page.exists()


def test_report_uses_the_best_peak_of_the_run(tmp_path: Path, document: dict[str, Any]) -> None:
    disturbed = {"flops": 2e9, "fma_peak": 20e9}
    for implementation in ("fastnn", "numpy"):
        document["benchmarks"].append(entry("matmul", "late", implementation, 0.04, **disturbed))
    late = report.read_cases(document, tmp_path)[-1]
    assert late.share_of_peak("fastnn") == 0.5


def test_report_leaves_out_half_a_pair(tmp_path: Path, document: dict[str, Any]) -> None:
    del document["benchmarks"][-1]
    cases = report.read_cases(document, tmp_path)
    assert [(case.name, case.speedup) for case in cases] == [("Y = X W", 2.0)]


def test_every_kernel_is_measured() -> None:
    """A kernel is a parameter of some benchmark, or measured within one that exists."""
    pytest.importorskip("pytest_benchmark")
    pytest.importorskip("threadpoolctl")
    command = [sys.executable, "-P", "-m", "pytest", str(BENCHMARKS), "--collect-only", "-q"]
    command += ["-o", "python_files=bench_*.py", "-p", "no:cacheprovider"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert listing.returncode == 0, listing.stdout + listing.stderr
    collected = [line for line in listing.stdout.splitlines() if "::" in line]

    names = workloads.kernels()
    assert "gemm_nn" in names
    assert workloads.MEASURED_WITHIN.keys() <= set(names)
    for name in names:
        place, _ = workloads.MEASURED_WITHIN.get(name, (f"-{name}-", ""))
        assert any(place in node.replace("]", "-") for node in collected), name
