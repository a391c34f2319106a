"""A model's whole state as a config and named arrays, and that in a safetensors file.

Arrays are "layers.<number>.<weight>" and "optimizer.<slot>.layers.<number>.<weight>". The config
is JSON in the file's metadata. Nothing in a file is believed: a config goes through the same
constructors as a user's arguments, and every array must have the name, dtype and shape that the
config asks for, before a network is made for it.
"""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from os import PathLike
from typing import Any

import numpy as np

from fastnn import layers as layers_module
from fastnn._data import as_int, as_weights
from fastnn.layers import Dense, InputLayer, Layer
from fastnn.models import Sequential

FORMAT = "fastnn 1"  # in the metadata; another number for another layout

State = tuple[type[Sequential], dict[str, Any], dict[str, np.ndarray]]


def _names(number: int, layer: Layer, prefix: str = "") -> list[str]:
    return [f"{prefix}layers.{number}.{name}" for name in layer.weight_names]


def _slot_names(model: Sequential) -> list[tuple[str, Dense, list[str]]]:
    """Slot, layer and array names of all that the optimizer keeps."""
    return [
        (slot, layer, _names(number, layer, f"optimizer.{slot}."))
        for slot in (model._network.slot_names if model.built else ())
        for number, layer in enumerate(model.layers)
        if isinstance(layer, Dense)
    ]


def get_state(model: Sequential) -> State:
    """Class, config and arrays: everything that `model_from_state` needs."""
    with model._lock:
        arrays: dict[str, np.ndarray] = {}
        for number, layer in enumerate(model.layers):
            if weights := layer.get_weights():
                arrays |= zip(_names(number, layer), weights, strict=True)
        for slot, dense, names in _slot_names(model):
            arrays |= zip(names, dense.get_slot(slot), strict=True)
        config = {
            "model": model.get_config(),
            "compile": model.get_compile_config(),
            "iterations": model._network.iterations if model.built else 0,
        }
    return type(model), config, arrays


def model_from_state(
    cls: type[Sequential], config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Sequential:
    """A model equal to the one whose `get_state` this is.

    Raises
    ------
    ValueError, TypeError, LookupError, AttributeError
        If config and arrays do not fit.
    """
    rest = dict(arrays)
    stack = [layers_module.get(layer) for layer in config["model"]["layers"]]
    shape = config["model"]["build_input_shape"]
    size = None if shape is None else as_int(shape[1], "build_input_shape", 1)
    layers = [layer for layer in stack if not isinstance(layer, InputLayer)]
    for number, layer in enumerate(layers):
        names = _names(number, layer)
        if size is not None or (names and names[0] in rest):
            layer.input_size = size if size is not None else len(rest[names[0]])
            layer.set_weights([rest.pop(name) for name in names])
            size = layer.output_size_for(layer.input_size) if shape else None
    model = cls(stack, name=config["model"]["name"])
    if shape is not None:
        model.build(shape)
    if config["compile"] is not None:
        model.compile_from_config(config["compile"])
    for slot, dense, names in _slot_names(model):
        values = [rest.pop(name) for name in names]
        dense.set_slot(slot, as_weights(values, dense.shapes, np.dtype(dense.dtype), slot))
    if model.built:
        model._network.iterations = as_int(config["iterations"], "iterations", 0, 2**62)
    if rest:
        raise ValueError(f"expected no more arrays, got {', '.join(sorted(rest))}")
    return model


def save_model(
    model: Sequential, path: str | PathLike[str], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a model to `path`, whole or not at all, and `metadata`, anything that JSON can hold."""
    from safetensors.numpy import save  # only who saves or loads needs it

    _, config, arrays = get_state(model)
    texts = {
        "format": FORMAT,
        "config": json.dumps(config),
        "metadata": json.dumps(dict(metadata or {})),
    }
    # safetensors stores memory as it lies
    data = save({name: np.asarray(array, order="C") for name, array in arrays.items()}, texts)
    target = os.path.realpath(path)
    temporary = f"{target}.{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def load_model(path: str | PathLike[str]) -> Sequential:
    """The model in a file that `save_model` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or no such file; the message names the path.
    """
    with _opened(path) as (texts, file):
        config = json.loads(texts["config"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        _check_dtypes(config, arrays)
        return model_from_state(Sequential, config, arrays)


def read_metadata(path: str | PathLike[str]) -> dict[str, Any]:
    """The metadata that `save_model` was given; raises as `load_model` does."""
    with _opened(path) as (texts, _):
        return dict(json.loads(texts["metadata"]))


@contextmanager
def _opened(path: str | PathLike[str]) -> Iterator[tuple[dict[str, str], Any]]:
    """Metadata and file; whatever goes wrong with the contents becomes a ValueError."""
    from safetensors import SafetensorError, safe_open

    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"path: expected a fastnn model file, found nothing at {path!r}")
    try:
        with safe_open(path, framework="numpy") as file:
            texts = file.metadata() or {}
            if texts.get("format") != FORMAT:
                raise ValueError(f"expected format {FORMAT!r}, got {texts.get('format')!r}")
            yield texts, file
    except (
        SafetensorError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
        OSError,
    ) as error:
        raise ValueError(f"path: expected a fastnn model file, got {path!r}: {error}") from error


def _check_dtypes(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    dtypes = {array.dtype.name for array in arrays.values()}
    expected = {layer["config"]["dtype"] for layer in config["model"]["layers"]}
    if not dtypes <= expected:
        raise ValueError(f"expected arrays of {', '.join(expected)}, got {', '.join(dtypes)}")
