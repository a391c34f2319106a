"""Options, fixtures and machine information of the benchmarks.

pytest benchmarks/ --benchmark-json=out.json      # under four minutes
pytest benchmarks/ --full ...                     # the largest sizes too
"""

# ruff: noqa: E402 (the environment first, then what reads it)

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))

import openblas

openblas.forget_settings()

import harness
import numpy as np
import pytest
import workloads

import fastnn
from fastnn._native import core


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="measure the largest sizes too")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: a size that is measured with --full only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("full") and not config.getoption("--full"):
            item.add_marker(pytest.mark.skip(reason="measured with --full"))
        if config.getoption("benchmark_max_time") == 1.0:  # pytest-benchmark's default
            limits = {"max_time": harness.SECONDS, "min_rounds": 5}
            item.add_marker(pytest.mark.benchmark(**limits))


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Add what the report says of the two contenders."""
    machine_info["fastnn"] = {
        "cores": workloads.cores(),
        "fastnn": f"{fastnn.__version__}, {core.isa()} kernels",
        "NumPy": np.__version__,
        "NumPy's BLAS": openblas.description(),
    }


@pytest.fixture(params=["fastnn", "numpy"])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def compare(benchmark: Any, implementation: str) -> harness.Compare:
    return harness.Compare(benchmark, implementation)
