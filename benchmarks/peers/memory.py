"""How much memory this process takes, by Linux's own account, and how much it took at most."""

from __future__ import annotations

import ctypes
from pathlib import Path

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def status(field: str) -> int:
    """Bytes that a line of the process's status tells."""
    for line in STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in {STATUS}")


def resident() -> int:
    """Bytes in memory, once the allocator has given back what it only keeps."""
    ctypes.CDLL(None).malloc_trim(0)
    return status("VmRSS")


def forget_peak() -> None:
    """Begin `peak` anew from what is resident now."""
    CLEAR_REFS.write_text("5", encoding="utf-8")


def peak() -> int:
    """The most that was resident since `forget_peak`."""
    return status("VmHWM")
