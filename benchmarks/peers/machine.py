"""The machine and the build that were measured."""

from __future__ import annotations

import platform
from pathlib import Path

from workloads import cores

from fastnn._native import core

CPUINFO = Path("/proc/cpuinfo")


def cpu_name() -> str:
    """The CPU as the system names it."""
    if CPUINFO.exists():
        for line in CPUINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe() -> dict[str, str]:
    return {
        "CPU": cpu_name(),
        "cores that it may use": str(cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "fastnn's kernels": core.isa(),
    }
