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


def log_sigmoid(x: Any) -> np.ndarray:
    """log(sigmoid(x))."""
    return _kernel("log_sigmoid", x)


def softsign(x: Any) -> np.ndarray:
    """x / (1 + |x|)."""
    return _kernel("softsign", x)


def relu6(x: Any) -> np.ndarray:
    """max(x, 0), at most 6."""
    return _kernel("relu6", x)


def leaky_relu(x: Any) -> np.ndarray:
    """x where x > 0, else 0.2 x."""
    return _kernel("leaky_relu", x)


def elu(x: Any) -> np.ndarray:
    """x where x > 0, else exp(x) - 1."""
    return _kernel("elu", x)


def celu(x: Any) -> np.ndarray:
    """x where x > 0, else exp(x) - 1: at its only alpha here, 1, the same as `elu`."""
    return _kernel("elu", x)


def selu(x: Any) -> np.ndarray:
    """1.0507 x where x > 0, else 1.7581 (exp(x) - 1), which keeps mean 0 and variance 1."""
    return _kernel("selu", x)


def hard_tanh(x: Any) -> np.ndarray:
    """x, at least -1 and at most 1."""
    return _kernel("hard_tanh", x)


def hard_sigmoid(x: Any) -> np.ndarray:
    """relu6(x + 3) / 6."""
    return _kernel("hard_sigmoid", x)


def hard_silu(x: Any) -> np.ndarray:
    """x * hard_sigmoid(x), also known as hard_swish."""
    return _kernel("hard_silu", x)


def gelu(x: Any, approximate: bool = False) -> np.ndarray:
    """x times the normal distribution's function of x, or with `approximate` `gelu_tanh`."""
    return _kernel("gelu_tanh" if approximate else "gelu", x)


def gelu_tanh(x: Any) -> np.ndarray:
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, close to `gelu`."""
    return _kernel("gelu_tanh", x)


def mish(x: Any) -> np.ndarray:
    """x * tanh(softplus(x))."""
    return _kernel("mish", x)


def softmax(x: Any) -> np.ndarray:
    """exp(x) over its sum, for each row."""
    return _kernel("softmax", x)


def log_softmax(x: Any) -> np.ndarray:
    """log(softmax(x)), for each row."""
    return _kernel("log_softmax", x)


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
    log_sigmoid: "log_sigmoid",
    softsign: "softsign",
    relu6: "relu6",
    leaky_relu: "leaky_relu",
    elu: "elu",
    celu: "elu",
    selu: "selu",
    hard_tanh: "hard_tanh",
    hard_sigmoid: "hard_sigmoid",
    hard_silu: "hard_silu",
    gelu: "gelu",
    gelu_tanh: "gelu_tanh",
    mish: "mish",
    softmax: "softmax",
    log_softmax: "log_softmax",
}
_KNOWN: dict[str, Activation] = {function.__name__: function for function in ENGINE_NAMES}
_KNOWN |= {"swish": silu, "hard_swish": hard_silu, "exp": exponential}


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
