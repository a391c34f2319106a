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
    """The BLAS that NumPy runs, e.g. "openblas 0.3.30, SkylakeX kernels"."""
    import numpy  # noqa: F401  (loads the BLAS)
    import threadpoolctl

    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    if not pools:
        return "not known to threadpoolctl"
    pool = next((p for p in pools if "numpy" in p["filepath"]), pools[0])
    text = f"{pool['internal_api']} {pool['version']}, {pool.get('architecture', '?')} kernels"
    forced = " ".join(f"{name}={value}" for name, value in settings().items())
    return f"{text} (forced by {forced})" if forced else text
