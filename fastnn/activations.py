"""Activation functions, under Keras's names."""

from collections.abc import Callable
from typing import Any

import numpy as np


def _kernel(name: str, x: Any) -> np.ndarray:
    from fastnn import kernels  # only who calls an activation by hand needs them

    result: np.ndarray = getattr(kernels, name)(x)
    return result


def linear(x: Any) -> Any:
    """x, as it is."""
    return x


def relu(x: Any) -> np.ndarray:
    """max(x, 0)."""
    return _kernel("relu", x)


def sigmoid(x: Any) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return _kernel("sigmoid", x)


def tanh(x: Any) -> np.ndarray:
    """The hyperbolic tangent."""
    return _kernel("tanh", x)


def exponential(x: Any) -> np.ndarray:
    """exp(x)."""
    return _kernel("exp", x)


def softplus(x: Any) -> np.ndarray:
    """log(1 + exp(x))."""
    return _kernel("softplus", x)


def silu(x: Any) -> np.ndarray:
    """x * sigmoid(x), also known as swish."""
    return _kernel("silu", x)


def softmax(x: Any) -> np.ndarray:
    """exp(x) over its sum, for each row."""
    return _kernel("softmax", x)


Activation = Callable[[Any], Any]

# each function and the engine's word for it
ENGINE_NAMES: dict[Activation, str] = {
    linear: "linear",
    relu: "relu",
    sigmoid: "sigmoid",
    tanh: "tanh",
    exponential: "exp",
    softplus: "softplus",
    silu: "silu",
    softmax: "softmax",
}
_KNOWN: dict[str, Activation] = {function.__name__: function for function in ENGINE_NAMES}
_KNOWN |= {"swish": silu, "exp": exponential}


def get(identifier: Any) -> Activation:
    """The activation function that `identifier` (a name, such a function, or None) stands for.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor a function of this module.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        if identifier not in _KNOWN:
            raise ValueError(
                f"activation: expected one of {', '.join(sorted(_KNOWN))}; got {identifier!r}"
            )
        return _KNOWN[identifier]
    if callable(identifier) and identifier in ENGINE_NAMES:
        return identifier  # type: ignore[no-any-return]
    raise TypeError(
        f"activation: expected a name or a function of fastnn.activations, got {identifier!r}"
    )
