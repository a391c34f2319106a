"""FASTNN_ISA: an unknown or missing ISA is an error; the kernels are right on every other one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastnn._native import core

HERE = Path(__file__).parent
KNOWN = ["scalar", "neon", "avx2", "avx512", "avx512bf16"]
OTHERS = [isa for isa in core.available_isas() if isa != core.isa()]


def run(*arguments, isa):
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        env={**os.environ, "FASTNN_ISA": isa},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    "isa", ["sse9", *(isa for isa in KNOWN if isa not in core.available_isas())]
)
def test_unavailable_isa_is_an_error(isa):
    process = run("-c", "from fastnn import kernels", isa=isa)
    assert process.returncode != 0
    error = process.stderr.splitlines()[-1]
    assert error.startswith("ImportError: FASTNN_ISA")
    for word in (isa, *core.available_isas()):
        assert word in error


@pytest.mark.parametrize("isa", core.available_isas())
def test_isa_is_used(isa):
    process = run("-c", "from fastnn._native import core; print(core.isa())", isa=isa)
    assert (process.returncode, process.stdout.strip()) == (0, isa), process.stderr


@pytest.mark.parametrize("isa", OTHERS)
def test_kernels_and_gradients(isa):
    modules = [
        str(HERE / name)
        for name in ("test_kernels.py", "test_gradients.py", "test_mixed_precision.py")
    ]
    options = ["-q", "-x", "-p", "no:cacheprovider", "-k", "not reference"]
    process = run("-m", "pytest", *options, *modules, isa=isa)
    assert process.returncode == 0, process.stdout
