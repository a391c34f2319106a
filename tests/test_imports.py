"""What `import fastnn` loads, and what it costs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn

HEAVY = ("pandas", "sklearn", "safetensors", "tqdm", "typer", "rich", "matplotlib", "dataclasses")
FIRST_USE = """
from fastnn import Sequential
from fastnn.layers import Dense
Sequential([Dense(64, "relu", input_shape=(10,)), Dense(3)])
"""


def run(script: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(fastnn.__file__).parents[1],
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_loads_nothing():
    script = (
        "import sys, fastnn; print(*(m for m in sys.modules if m == 'numpy' or 'fastnn.' in m))"
    )
    assert run(script).split() == ["fastnn._version"]


def test_first_use_loads_no_optional_or_heavy_package():
    script = f"{FIRST_USE}\nimport sys\nprint(*(m for m in {HEAVY} if m in sys.modules))"
    assert run(script).split() == []


def test_first_use_costs_at_most_40_ms_beyond_numpy(tmp_path):
    """On a machine that takes 90 ms to import NumPy, whose time stands for the machine's speed.

    CPU time, so that busy neighbours count less; bytecode is cached, as pip leaves it."""
    script = (
        "import time\nbegan = time.process_time()\nimport numpy\nstart = time.process_time()\n"
        f"{FIRST_USE}\nprint((time.process_time() - start) / (start - began))"
    )
    cached = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    ratios = [float(run(script, **cached)) for _ in range(6)]
    assert min(ratios) < 40 / 90


def test_every_public_name_is_there():
    for name in fastnn.__all__:
        assert getattr(fastnn, name) is not None
    assert set(fastnn.__all__) <= set(dir(fastnn))
    for name in fastnn._MODULES:
        assert getattr(fastnn, name).__name__ == f"fastnn.{name}"
    with pytest.raises(AttributeError, match="nothing"):
        fastnn.nothing  # noqa: B018


def test_show_config(capsys):
    assert fastnn.show_config() is None
    shown = capsys.readouterr().out
    for part in (
        fastnn.__version__,
        "ISA in use",
        "OpenMP",
        "threads",
        fastnn.available_isas()[-1],
    ):
        assert part in shown


def test_thread_setting_is_kept():
    before = fastnn.get_num_threads()
    try:
        fastnn.set_num_threads(3)
        assert fastnn.get_num_threads() == 3 or "no (" in run("import fastnn; fastnn.show_config()")
    finally:
        fastnn.set_num_threads(before)
