"""Activations that take numbers, checked, as the engine has them: plain where one is the same."""

from typing import Any

import numpy as np

from fastnn._data import as_number

Engine = tuple[Any, ...]  # the engine's word for an activation, and its numbers
_MOST = 1e30  # which, as its reciprocal, float32 holds with room to spare


def relu_of(negative_slope: Any, max_value: Any, threshold: Any) -> Engine:
    """Such a relu for the engine: a plain activation where one is the same."""
    slope = as_number(negative_slope, "negative_slope", 0, _MOST)
    highest = float("inf") if max_value is None else as_number(max_value, "max_value", 0)
    threshold = as_number(threshold, "threshold", 0)
    plain = {(0.0, float("inf")): "relu", (0.0, 6.0): "relu6", (0.2, float("inf")): "leaky_relu"}
    if threshold == 0 and (slope, highest) in plain:
        return (plain[slope, highest],)
    return ("ramp", slope, threshold, highest)


def elu_of(alpha: Any) -> Engine:
    """Such an elu for the engine."""
    alpha = as_number(alpha, "alpha", 0, _MOST)
    return ("elu",) if alpha == 1 else ("exp_tail", alpha, 1.0)


def celu_of(alpha: Any) -> Engine:
    """Such a celu for the engine."""
    alpha = as_number(alpha, "alpha", 1 / _MOST, _MOST)
    return ("elu",) if alpha == 1 else ("exp_tail", alpha, 1 / alpha)


def check_axis(axis: Any) -> None:
    """Refuse all but the features' axis."""
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)) or axis not in (-1, 1):
        raise ValueError(f"axis: expected -1 or 1, the features' axis, got {axis!r}")
