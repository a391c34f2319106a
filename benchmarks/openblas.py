"""NumPy's BLAS: keep the environment from choosing its kernel, and say which one runs."""

from __future__ import annotations

import os
import sys

# settings that hold OpenBLAS back to another CPU's kernel or cache size
VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def forget_settings() -> None:
    """Unset them; OpenBLAS reads them as NumPy loads, so this is of use only before that."""
    if "numpy" not in sys.modules:
        for name in VARIABLES:
            os.environ.pop(name, None)


def settings() -> dict[str, str]:
    """Those that are set."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def description() -> str:
    """The BLAS that NumPy runs, and what forces it to."""
    from fastnn.cli.workloads import blas  # loads NumPy

    forced = " ".join(f"{name}={value}" for name, value in settings().items())
    return f"{blas()} (forced by {forced})" if forced else blas()
