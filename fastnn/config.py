"""Settings of the whole package: number type, threads, and what this build can do."""

import platform

import numpy as np

import fastnn._native.core as core
from fastnn._data import as_int
from fastnn._version import __version__

_DTYPES = ("float32", "float64")
_floatx = "float32"


def floatx() -> str:
    """The number type of new layers, "float32" or "float64"."""
    return _floatx


def set_floatx(value: str) -> None:
    """Set the number type of new layers.

    Raises
    ------
    ValueError
        If `value` is not "float32" or "float64".
    """
    global _floatx
    _floatx = standardize_dtype(value)


def standardize_dtype(dtype: object = None) -> str:
    """The name of `dtype` (a string, a NumPy dtype or type; None means `floatx()`).

    Raises
    ------
    ValueError
        If it is neither float32 nor float64.
    """
    if dtype is None:
        return _floatx
    try:
        name = np.dtype(dtype).name  # type: ignore[call-overload]
    except TypeError:
        name = None
    if name not in _DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(_DTYPES)}, got {dtype!r}")
    return str(name)


def set_num_threads(n: int) -> None:
    """Set how many threads work at most; small work is done on fewer.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is below 1.
    """
    core.set_num_threads(as_int(n, "n", 1))


def get_num_threads() -> int:
    """How many threads work at most."""
    return int(core.get_num_threads())


def available_isas() -> list[str]:
    """The instruction sets built in that this CPU can run, best last."""
    return list(core.available_isas())


def show_config() -> None:
    """Print the version, the instruction set and the threads in use."""
    openmp = "yes" if core.openmp() else "no (built without OpenMP: always one thread)"
    rows = {
        "fastnn": __version__,
        "Python": f"{platform.python_version()} ({platform.machine()})",
        "NumPy": np.__version__,
        "ISA in use": core.isa(),
        "ISAs available": " ".join(core.available_isas()),
        "OpenMP": openmp,
        "threads": get_num_threads(),
        "floatx": _floatx,
    }
    for label, value in rows.items():
        print(f"{label + ':':<16}{value}")
