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
from math import prod
from os import PathLike
from typing import Any

import numpy as np

from fastnn import layers as layers_module
from fastnn import losses as losses_module
from fastnn._data import Shape, as_bool, as_int, as_path, as_shape, as_weights
from fastnn._registry import Configurable, serialize
from fastnn.config import DTypePolicy
from fastnn.layers import InputLayer, Layer
from fastnn.losses import FunctionLoss, Loss
from fastnn.metrics import FunctionMetric, LossMetric, Metric
from fastnn.models import Sequential

FORMAT = "fastnn 1"  # in the metadata; another number for another layout
PROOF = "input"  # an array as long as the input, in files of fewer weights
BACKUP = "backup."  # begins the names of arrays that are no model's
FOREIGN = {b"PK\x03\x04": "a Keras archive (a zip file)", b"\x89HDF": "an HDF5 file"}  # their magic

_OF_FUNCTIONS: Mapping[str, Any] = {kind.__name__: kind for kind in (FunctionLoss, FunctionMetric)}
State = tuple[dict[str, Any], dict[str, np.ndarray]]


class _MissingError(ValueError):
    """`custom_objects` lacks a function; the file is not damaged."""


def _names(number: int, layer: Layer) -> list[str]:
    return [f"layers.{number}.{name}" for name in layer.weight_names]


def _slot_names(model: Sequential) -> list[tuple[str, Layer, list[str]]]:
    """Slot, layer and array names of all that the optimizer keeps."""
    return [
        (slot, layer, [f"optimizer.{slot}.layers.{number}.{name}" for name in layer.stepped_names])
        for slot, number, layer in model._slots()
    ]


def _slot_values(slot: str, layer: Layer, values: list[np.ndarray]) -> list[np.ndarray]:
    """Arrays for a layer's slot, checked."""
    shapes = dict(zip(layer.weight_names, layer.shapes, strict=True))
    wanted = [shapes[name] for name in layer.stepped_names]
    return as_weights(values, wanted, np.dtype(layer.dtype), slot)


def _get_state(model: Sequential, weights_only: bool = False) -> State:
    """Config and arrays: everything that `_model_from_state` needs.

    With `weights_only`, of a model that a file cannot hold, all that `load_weights` needs.
    """
    with model._lock:
        own = _own_kind(model)
        if own is not None and not weights_only:
            raise TypeError(
                f"save: expected layers, initializers and so on of fastnn, got {own.__name__}, "
                f"which a file cannot hold; pickle can, and save_weights writes the weights alone"
            )
        arrays: dict[str, np.ndarray] = {}
        for number, layer in enumerate(model.layers):
            if weights := layer.get_weights():
                arrays |= zip(_names(number, layer), weights, strict=True)
        if model.built and not _prove(model.input_size, arrays):
            arrays[PROOF] = np.zeros(prod(model._shapes[0]), model._dtype)
        for slot, layer, names in _slot_names(model):
            arrays |= zip(names, layer.get_slot(slot), strict=True)
        return (_config(model) if own is None else _weights_config(model)), arrays


def _config(model: Sequential) -> dict[str, Any]:
    """All that there is to a model but arrays."""
    compiled = model.get_compile_config()
    if compiled:
        compiled["loss"] = _written(compiled["loss"])
        compiled["metrics"] = [_written(metric) for metric in compiled["metrics"]]
    config: dict[str, Any] = {
        "model": model.get_config(),
        "compile": compiled,
        "iterations": model.iterations,
    }
    if not model.built:
        config["input_shapes"] = [layer._shape for layer in model.layers]
    return config


def _weights_config(model: Sequential) -> dict[str, Any]:
    """What `load_weights` reads of a config: no settings of classes of one's own."""
    stack = [{"config": {"dtype": layer.dtype_policy.name}} for layer in model.layers]
    name = None if model.optimizer is None else type(model.optimizer).__name__
    return {
        "weights_only": True,
        "model": {"layers": stack, "build_input_shape": list(model.input_shape)},
        "compile": {"optimizer": {"class_name": name}},
        "iterations": model.iterations,
    }


def _key(part: FunctionLoss | FunctionMetric) -> str:
    """What `custom_objects` finds the function of a loss or metric by."""
    name = str(getattr(part.function, "__name__", "<lambda>"))
    return str(part.name) if name == "<lambda>" else name


def _written(part: Any) -> Any:
    """A loss or metric of `get_compile_config`; a function by its name: a file holds no code."""
    if not isinstance(part, (FunctionLoss, FunctionMetric)):
        return part
    written = serialize(part)
    function: Any = part.function
    written["config"]["function"] = (
        serialize(function) if isinstance(function, Loss) else _key(part)
    )
    return written


def _is_function(part: Any) -> bool:
    return isinstance(part, dict) and part["class_name"] in _OF_FUNCTIONS


def _read(part: Any, functions: Mapping[str, Any]) -> Any:
    """What `_written` was given."""
    if not _is_function(part):
        return part
    name = part["config"]["function"]
    if isinstance(name, dict):
        function = losses_module.get(name)
    elif name not in functions:
        raise _MissingError(
            f"custom_objects: expected the function {name!r}, which the model was compiled with, "
            f"got none of that name; give load_model custom_objects={{{name!r}: ...}}, or "
            f"compile=False"
        )
    elif not callable(function := functions[name]) or isinstance(function, (type, Metric)):
        raise _MissingError(f"custom_objects: expected a function as {name!r}, got {function!r}")
    return _OF_FUNCTIONS[part["class_name"]](function, part["config"]["name"])


def _with_functions(compiled: Mapping[str, Any], functions: Mapping[str, Any]) -> dict[str, Any]:
    """A file's arguments of `compile`, functions in the place of their names.

    A loss that is one and is not among them is left out: training then asks for it.
    """
    loss = compiled["loss"]
    lost = _is_function(loss) and loss["config"]["function"] not in functions
    return {
        **compiled,
        "loss": None if lost else _read(loss, functions),
        "metrics": [_read(metric, functions) for metric in compiled["metrics"]],
    }


def _own_kind(model: Sequential) -> type | None:
    """A class of one's own: a file holds names of classes, and finds none but fastnn's."""
    parts: list[Any] = [*model.layers, model.optimizer, model.loss, *model._metrics]
    parts += [metric.loss for metric in model._metrics if isinstance(metric, LossMetric)]
    if model.optimizer is not None:
        parts += vars(model.optimizer).values()
    inner = [each for layer in model.layers for each in layer.leaves()]
    parts += [*inner, *(setting for layer in inner for setting in vars(layer).values())]
    for part in parts:
        kind = type(part)
        if isinstance(part, Configurable) and kind.__module__.partition(".")[0] != "fastnn":
            return kind
    return None


def _model_from_state(
    config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], functions: Mapping[str, Any]
) -> Sequential:
    """A model equal to the one whose `_get_state` this is.

    Raises
    ------
    Exception
        Of any kind, if config and arrays do not fit.
    """
    rest = dict(arrays)
    stack = [layers_module.get(layer) for layer in config["model"]["layers"]]
    shape = config["model"]["build_input_shape"]
    sample = None if shape is None else as_shape(shape[1:], "build_input_shape")
    _check_input(stack, sample, rest)
    shapes = config.get("input_shapes") or [None] * len(stack)  # older files have none
    _set_weights([x for x in stack if not isinstance(x, InputLayer)], sample, shapes, rest)
    model = Sequential(stack, name=config["model"]["name"])
    if shape is not None:
        model.build(shape)
    if config["compile"] is not None:
        model.compile_from_config(_with_functions(config["compile"], functions))
    for slot, layer, names in _slot_names(model):
        layer.set_slot(slot, _slot_values(slot, layer, [rest.pop(name) for name in names]))
    if model.built:
        model._network.iterations = as_int(config["iterations"], "iterations", 0, 2**62)
    if rest:
        raise ValueError(f"expected no more arrays, got {', '.join(sorted(rest))}")
    return model


def _prove(size: int | None, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a file with these arrays is as large as one with an input of this size."""
    return size is None or sum(array.size for array in arrays.values()) >= size


def _check_input(stack: list[Layer], shape: Shape | None, rest: dict[str, np.ndarray]) -> None:
    """Nothing is made for an input that no array has: weights prove its size, or else PROOF."""
    known = {layer.input_shape_argument for layer in stack} - {None}
    if len(stack) > 1 and not known <= {shape}:
        raise ValueError(f"expected an input of {shape}, as build_input_shape says, got {known}")
    size = None if shape is None else prod(shape)
    weights = {name: array for name, array in rest.items() if name.startswith("layers.")}
    if not _prove(size, weights) and rest.pop(PROOF).shape != (size,):
        raise ValueError(f"{PROOF}: expected shape {(size,)}, as build_input_shape says")


def _set_weights(
    layers: list[Layer],
    shape: Shape | None,
    known: list[list[int] | None],
    rest: dict[str, np.ndarray],
) -> None:
    """Build each layer that has weights among the arrays; all where the input is known."""
    built = shape is not None
    for number, layer in enumerate(layers):
        names = _names(number, layer)
        if not built:
            if names and names[0] in rest and not layer.weights_need_input:
                layer.set_weights([rest.pop(name) for name in names])
            shape = None
            if names and names[0] in rest:
                shape = as_shape(known[number] or [len(rest[names[0]])], "input_shapes")
        if shape is not None:
            layer.check_input(shape)
            layer.set_weights_for(shape, [rest.pop(name) for name in names])
            shape = layer.output_shape_for(shape)


def save_model(
    model: Sequential,
    path: str | bytes | PathLike[str],
    metadata: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = True,
) -> None:
    """Write a model to `path`, whole or not at all, and `metadata`, anything that JSON can hold.

    Raises
    ------
    FileExistsError
        If there is a file and `overwrite` is False.
    OSError
        If it cannot be written; the message names `path`.
    TypeError
        If `path` is no path, or the model has layers or the like of classes of one's own, which
        `save_weights` takes.

    Examples
    --------
    >>> from fastnn.io import read_metadata, save_model
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> save_model(Sequential([Dense(3, input_shape=(2,))]), "a.fastnn", {"by": "me"})
    >>> read_metadata("a.fastnn")
    {'by': 'me'}
    """
    _check_new(path, overwrite)
    write_model(model, path, dict(metadata or {}), {})


def save_weights(
    model: Sequential, path: str | bytes | PathLike[str], *, overwrite: bool = True
) -> None:
    """Write a built model's weights and the optimizer's state to `path`, for `load_weights`.

    The file is that of `save_model`, but for a model with classes of one's own, whose settings
    are left out: such a file `load_model` refuses.

    Raises
    ------
    FileExistsError
        If there is a file and `overwrite` is False.
    OSError
        If it cannot be written; the message names `path`.
    TypeError
        If `path` is no path.

    Examples
    --------
    >>> from fastnn.io import load_weights, save_weights
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(3, input_shape=(2,))])
    >>> save_weights(model, "a.weights")
    >>> load_weights(model, "a.weights")
    """
    _check_new(path, overwrite)
    write_model(model, path, {}, {}, weights_only=True)


def _check_new(path: str | bytes | PathLike[str], overwrite: bool) -> None:
    """Refuse a path where a file is that shall stay."""
    path = as_path(path)
    if not as_bool(overwrite, "overwrite") and os.path.exists(path):
        raise FileExistsError(f"path: expected no file, for overwrite=False, got one at {path!r}")


def write_model(
    model: Sequential,
    path: str | bytes | PathLike[str],
    metadata: Mapping[str, Any],
    others: Mapping[str, np.ndarray],
    weights_only: bool = False,
) -> None:
    """Write a model as `save_model` does, or `save_weights`, and other arrays, whose names begin
    with `BACKUP`."""
    from safetensors.numpy import save  # only who saves or loads needs it

    path = as_path(path)
    config, arrays = _get_state(model, weights_only)
    arrays |= others
    texts = {
        "format": FORMAT,
        "config": json.dumps(config),
        "metadata": json.dumps(metadata),
    }
    # safetensors stores memory as it lies
    data = save({name: np.asarray(array, order="C") for name, array in arrays.items()}, texts)
    try:
        _write(os.path.realpath(path), data)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), path) from error


def _write(target: str, data: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = f"{target}.{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def load_model(
    path: str | bytes | PathLike[str],
    *,
    compile: bool = True,
    custom_objects: Mapping[str, Any] | None = None,
) -> Sequential:
    """The model in a file that `save_model` wrote.

    Parameters
    ----------
    path : str, bytes or path
    compile : bool
        Whether the model is compiled as the one that was saved, with the optimizer's state.
    custom_objects : dict, optional
        By their names the functions that the model was compiled with as loss and metrics; one
        without a name by that of its loss or metric. A loss that is not among them is left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or no such file; the message names the path. If `custom_objects`
        lacks a metric's function.
    TypeError
        If `path` is no path, or `custom_objects` no dict.

    Examples
    --------
    >>> from fastnn.io import load_model, save_model
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> save_model(Sequential([Dense(3, input_shape=(2,))]), "a.fastnn")
    >>> load_model("a.fastnn").output_shape
    (None, 3)
    """
    compiled = as_bool(compile, "compile")
    if not isinstance(custom_objects, (Mapping, type(None))):
        raise TypeError(f"custom_objects: expected a dict or None, got {custom_objects!r}")
    with _opened(path) as (texts, file):
        config = json.loads(texts["config"])
        if config.get("weights_only"):
            raise ValueError(
                "this has the weights alone of a model with classes of one's own; make the model "
                "and call its load_weights"
            )
        arrays = _arrays(file)
        _check_dtypes(config, arrays)
        if not compiled:
            config |= {"compile": None, "iterations": 0}
            arrays = {n: a for n, a in arrays.items() if not n.startswith("optimizer.")}
        return _model_from_state(config, arrays, custom_objects or {})


def load_weights(model: Sequential, path: str | bytes | PathLike[str]) -> None:
    """Give a model the weights in a file of `save_model` or `save_weights` of such layers.

    One that is compiled with such an optimizer gets the optimizer's state, too.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, no such file, or of another model; the message names the path.
        Nothing has changed then.
    TypeError
        If `path` is no path.

    Examples
    --------
    >>> from fastnn.io import load_weights, save_model
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> first, second = (Sequential([Dense(3, input_shape=(2,))]) for _ in range(2))
    >>> save_model(first, "a.fastnn")
    >>> load_weights(second, "a.fastnn")
    >>> (second.get_weights()[0] == first.get_weights()[0]).all().item()
    True
    """
    with _opened(path) as (texts, file), model._lock:
        config = json.loads(texts["config"])
        rest = _arrays(file)
        rest.pop(PROOF, None)
        _check_dtypes(config, rest)
        if not model.built:
            model.build(config["model"]["build_input_shape"])
        weights = []
        for number, layer in enumerate(model.layers):
            for name in _names(number, layer):
                if name not in rest:
                    raise ValueError(f"expected {name}, for layer {layer.name!r}, got none")
                weights.append(rest.pop(name))
        slots = []
        compiled = config["compile"] or {}
        like = model.optimizer is not None and (
            compiled.get("optimizer", {}).get("class_name") == type(model.optimizer).__name__
        )
        if like and rest.keys() == {n for _, _, names in _slot_names(model) for n in names}:
            for slot, layer, names in _slot_names(model):
                values = _slot_values(slot, layer, [rest.pop(name) for name in names])
                slots.append((slot, layer, values))
        strangers = [name for name in rest if not name.startswith("optimizer.")]
        if strangers:
            raise ValueError(f"expected no more weights, got {', '.join(sorted(strangers))}")
        iterations = as_int(config["iterations"], "iterations", 0, 2**62)
        model.set_weights(weights)
        for slot, layer, values in slots:
            layer.set_slot(slot, values)
        if like and len(slots) == len(_slot_names(model)):
            model._network.iterations = iterations


def read_metadata(path: str | bytes | PathLike[str]) -> dict[str, Any]:
    """The metadata that `save_model` was given; raises as `load_model` does.

    Examples
    --------
    >>> from fastnn.io import read_metadata, save_model
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> save_model(Sequential([Dense(3, input_shape=(2,))]), "a.fastnn")
    >>> read_metadata("a.fastnn")
    {}
    """
    with _opened(path) as (texts, _):
        return dict(json.loads(texts["metadata"]))


def read_backup(
    path: str | bytes | PathLike[str],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `backup` wrote beside the model, and its arrays; raises as `load_model` does."""
    with _opened(path) as (texts, file):
        state = json.loads(texts["metadata"]).get("backup")
        if not isinstance(state, dict):
            raise ValueError("expected a file of BackupAndRestore, got another")
        return state, _arrays(file, backup=True)


def _arrays(file: Any, backup: bool = False) -> dict[str, np.ndarray]:
    """A file's arrays that are the model's, or those of a backup that are not."""
    names = [name for name in file.keys() if name.startswith(BACKUP) == backup]  # noqa: SIM118
    return {name: file.get_tensor(name) for name in names}


@contextmanager
def _opened(path: str | bytes | PathLike[str]) -> Iterator[tuple[dict[str, str], Any]]:
    """Metadata and file; whatever goes wrong with the contents becomes a ValueError."""
    from safetensors import safe_open

    path = as_path(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"path: expected a fastnn model file, found nothing at {path!r}")
    try:
        _check_beginning(path)
        with safe_open(path, framework="numpy") as file:
            texts = file.metadata() or {}
            if texts.get("format") != FORMAT:
                raise ValueError(f"expected format {FORMAT!r}, got {texts.get('format')!r}")
            yield texts, file
    except _MissingError as error:
        raise ValueError(str(error)) from None
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise ValueError(f"path: expected a fastnn model file, got {path!r}: {found}") from error


def _check_beginning(path: str) -> None:
    """Refuse by name what safetensors would find no words for."""
    if os.path.isdir(path):
        raise ValueError("this is a folder")
    with open(path, "rb") as file:
        kind = FOREIGN.get(file.read(4))
    if kind is not None:
        raise ValueError(
            f"this is {kind}; to take a Keras model's weights, make a model of the same layers and "
            f"call its set_weights(keras_model.get_weights())"
        )


def _check_dtypes(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    dtypes = {array.dtype.name for array in arrays.values()}
    policies = [layer["config"]["dtype"] for layer in config["model"]["layers"]]
    expected = {DTypePolicy(policy).variable_dtype for policy in policies}
    if not dtypes <= expected:
        raise ValueError(f"expected arrays of {', '.join(expected)}, got {', '.join(dtypes)}")
