"""fastnn: train and run dense neural networks on the CPU at the speed of the hardware.

Nothing is loaded before it is used: `import fastnn` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastnn._version import __version__

if TYPE_CHECKING:
    from fastnn.config import (
        available_isas,
        get_num_threads,
        set_num_threads,
        show_config,
    )
    from fastnn.layers import Input
    from fastnn.models import Model, Sequential, load_model
    from fastnn.sklearn import MLPClassifier, MLPRegressor

_HOMES = {
    "MLPClassifier": "sklearn",
    "MLPRegressor": "sklearn",
    "Model": "models",
    "Sequential": "models",
    "load_model": "models",
    "Input": "layers",
    "available_isas": "config",
    "get_num_threads": "config",
    "set_num_threads": "config",
    "show_config": "config",
}
_MODULES = (
    "activations",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "initializers",
    "io",
    "kernels",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "optimizers",
    "reference",
    "regularizers",
    "saving",
    "sklearn",
    "utils",
)

__all__ = [
    "Input",
    "MLPClassifier",
    "MLPRegressor",
    "Model",
    "Sequential",
    "__version__",
    "available_isas",
    "get_num_threads",
    "load_model",
    "set_num_threads",
    "show_config",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"fastnn.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'fastnn' has no attribute {name!r}")
    value = getattr(import_module(f"fastnn.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
