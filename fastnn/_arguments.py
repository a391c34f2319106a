"""What `fit`, `evaluate` and `predict` take beside a model: checks and plain forms."""

from collections.abc import Callable
from math import floor
from typing import Any

import numpy as np

from fastnn._data import (
    as_int,
    as_labels,
    as_rows,
    as_targets,
    class_weights,
)
from fastnn._sources import is_source
from fastnn.callbacks import Callback

# x (samples, ...), an array or a CSR, y (samples,) class ids or (samples, outputs), sample_weight
# or None
Data = tuple[Any, np.ndarray, np.ndarray | None]


def in_rows(data: Data) -> Data:
    """The data with one axis for the features, as the engine takes them."""
    return as_rows(data[0]), data[1], data[2]


def weighted(model: Any, data: Data, class_weight: Any, name: str = "y") -> Data:
    """The data, weighted by class."""
    x, y, weight = data
    samples = len(x)
    outputs, loss = model._output_shape_for(x.shape[1:]), model.loss
    if len(outputs) > 1:
        raise ValueError(
            f"class_weight: expected a model with outputs of one axis, got shape {outputs}"
        )
    if y.ndim == 1:  # a loss of one's own has targets of any shape
        ignored: int | None = loss.ignored
        classes = as_labels(y, samples, outputs[0], name, ignored)
        counted = classes != ignored
        by_class = np.zeros(samples, model._dtype)
        by_class[counted] = class_weights(class_weight, classes[counted], outputs[0], model._dtype)
    else:
        columns = loss.target_shape(outputs)
        classes = as_targets(y, model._dtype, samples, columns, name)
        by_class = class_weights(class_weight, classes, columns[0], model._dtype)
    return x, y, by_class if weight is None else by_class * weight


def as_batch(model: Any, batch: Any, name: str, targets: bool, class_weight: Any) -> Any:
    """One batch of a source, checked; without targets x alone, and two Nones."""
    parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    if not (2 if targets else 1) <= len(parts) <= 3:
        expected = "(x, y) or (x, y, sample_weight)" if targets else "x or a tuple that begins so"
        raise ValueError(
            f"{name}: expected {expected}, got {type(batch).__name__}"
            + (f" of {len(parts)}" if isinstance(batch, (tuple, list)) else "")
        )
    if not targets:
        return model._features(parts[0], model._sample_shape, f"{name}, x"), None, None
    x, y, *weight = parts
    data = model._check_data(
        x, y, weight[0] if weight else None, shape=model._sample_shape, prefix=f"{name}, "
    )
    return data if class_weight is None else weighted(model, data, class_weight, f"{name}, y")


def refuse_batches(x: Any, batch_size: Any, steps_per_epoch: Any) -> None:
    """An optimizer of all samples takes arrays, whole."""
    if is_source(x):
        raise ValueError(f"x: expected arrays for LBFGS, of all samples, got {type(x).__name__}")
    for name, value in (("batch_size", batch_size), ("steps_per_epoch", steps_per_epoch)):
        if value is not None:
            raise ValueError(f"{name}: expected None for LBFGS, of all samples, got {value!r}")


def refuse_beside_source(
    y: Any,
    batch_size: Any,
    sample_weight: Any,
    validation_split: float = 0.0,
    class_weight: Any = None,
) -> None:
    """What a source brings itself, or cannot have, must not be given beside one."""
    for name, value in (("y", y), ("batch_size", batch_size), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(
                f"{name}: expected None, as x is a source of batches, got {type(value).__name__}"
            )
    if validation_split:
        raise ValueError(
            f"validation_split: expected 0, as x is a source of batches, got {validation_split}; "
            f"validation_data may be a source, too"
        )
    if isinstance(class_weight, str):
        raise ValueError(
            f"class_weight: expected a dict, as x is a source of batches, got {class_weight!r}"
        )


def as_steps(value: Any, name: str) -> int | None:
    """A number of batches, or of samples in one; None stays None."""
    return None if value is None else as_int(value, name, 1)


def first(data: Data, rows: int | None) -> Data:
    """The first rows of all; all where `rows` is None."""
    return between(data, 0, rows)


def between(data: Data, start: int, stop: int | None) -> Data:
    """The rows from one to before another, or to the end."""
    x, y, weight = data
    return x[start:stop], y[start:stop], None if weight is None else weight[start:stop]


def as_frequency(validation_freq: Any) -> Callable[[int], bool]:
    """Which epochs, counted from 0, have a validation."""
    if isinstance(validation_freq, (list, tuple, set, frozenset, range)):
        chosen = {as_int(epoch, "validation_freq", 1) for epoch in validation_freq}
        return lambda epoch: epoch + 1 in chosen
    every = as_int(validation_freq, "validation_freq", 1)
    return lambda epoch: (epoch + 1) % every == 0


def split(data: Data, fraction: float) -> tuple[int, Data]:
    """How many samples remain for training, and the last `fraction` of them for validation."""
    rows = len(data[0])
    samples = floor(rows * (1 - fraction))
    if not 0 < samples < rows:
        raise ValueError(
            f"validation_split: expected a fraction that leaves rows on both sides, got "
            f"{fraction} of {rows} rows"
        )
    return samples, between(data, samples, None)


def as_verbose(verbose: Any) -> int:
    """0, 1 or 2; "auto" and True are 1, False is 0."""
    known = isinstance(verbose, (str, int, np.integer, np.bool_))
    if not known or verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose: expected 'auto', 0, 1 or 2; got {verbose!r}")
    return 1 if verbose == "auto" else int(verbose)


def as_callbacks(callbacks: Any) -> list[Callback]:
    """A new list of callbacks, of a list, one or None."""
    if callbacks is None:
        return []
    chosen: list[Callback] = (
        list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
    )
    for callback in chosen:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks: expected objects of fastnn.callbacks, got {callback!r}")
    return chosen
