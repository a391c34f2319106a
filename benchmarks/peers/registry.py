"""The peers by name: what each needs, and the environment of its process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# glibc then keeps what a peer frees, whatever it did before; else NumPy waits for page faults
MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),  # the most that glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
    "MALLOC_TOP_PAD_": str(1 << 26),
}


def jax_environment(threads: int) -> dict[str, str]:
    """XLA makes its thread pool of NPROC threads; Eigen's products have a switch of their own."""
    flag = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"} if threads == 1 else {}
    return {"NPROC": str(threads), "JAX_PLATFORMS": "cpu", **flag}


def keras_environment(threads: int) -> dict[str, str]:
    return {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass(frozen=True)
class Peer:
    """How a peer is called, and what must be there for it."""

    title: str
    module: str  # in adapters/
    packages: tuple[str, ...]
    environment: Callable[[int], dict[str, str]] = lambda threads: {}
    compiler: bool = False  # whether it needs a C++ compiler

    def missing(self) -> str | None:
        """What keeps it from running here, or None."""
        absent = [package for package in self.packages if find_spec(package) is None]
        if absent:
            return f"not installed: {', '.join(absent)}"
        if self.compiler and not shutil.which(os.environ.get("CXX", "g++")):
            return "no C++ compiler"
        return None

    def process_environment(self, threads: int, *, keep_memory: bool = True) -> dict[str, str]:
        counts = dict.fromkeys(THREAD_VARIABLES, str(threads))
        kept = MEMORY if keep_memory else {}
        return {**os.environ, **counts, **kept, **self.environment(threads)}


PEERS = {
    "fastnn": Peer("fastnn", "fastnn", ("fastnn",)),
    "numpy": Peer("NumPy", "numpy", ("numpy", "threadpoolctl")),
    "sklearn": Peer("scikit-learn", "sklearn", ("sklearn",)),
    "torch": Peer("PyTorch", "torch", ("torch",)),
    "torch.compile": Peer("torch.compile", "torch_compile", ("torch",), compiler=True),
    "jax": Peer("JAX", "jax", ("jax",), jax_environment),
    "keras": Peer("Keras/TensorFlow", "tensorflow", ("keras", "tensorflow"), keras_environment),
    "onnxruntime": Peer("ONNX Runtime", "onnxruntime", ("onnxruntime", "onnx")),
}
