"""Activation functions, under Keras's names."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn._curves import Engine, celu_of, check_axis, elu_of, relu_of


def _kernel(name: str, x: Any, *numbers: float) -> np.ndarray:
    from fastnn import kernels  # only who calls an activation by hand needs them

    result: np.ndarray = getattr(kernels, name)(x, *numbers)
    return result


def _compute(engine: Engine, x: Any) -> np.ndarray:
    name, *numbers = engine
    return _kernel(name, x, *numbers)


def linear(x: Any) -> Any:
    """x, as it is.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.linear(2.0)
    2.0
    """
    return x


def relu(
    x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> np.ndarray:
    """max(x, 0); in general min(x, max_value) where x > threshold, else
    negative_slope (x - threshold).

    Raises
    ------
    ValueError, TypeError
        If one of the numbers is none or below 0.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.relu([-1.0, 2.0])
    array([0., 2.])
    >>> activations.relu([-1.0, 2.0, 9.0], negative_slope=0.5, max_value=5)
    array([-0.5,  2. ,  5. ])
    """
    return _compute(relu_of(negative_slope, max_value, threshold), x)


def sigmoid(x: Any) -> np.ndarray:
    """1 / (1 + exp(-x)).

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.sigmoid([-1.0, 0.0, 2.0]).round(3)
    array([0.269, 0.5  , 0.881])
    """
    return _kernel("sigmoid", x)


def tanh(x: Any) -> np.ndarray:
    """The hyperbolic tangent.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.tanh([-1.0, 0.0, 2.0]).round(3)
    array([-0.762,  0.   ,  0.964])
    """
    return _kernel("tanh", x)


def exponential(x: Any) -> np.ndarray:
    """exp(x).

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.exponential([-1.0, 0.0, 2.0]).round(3)
    array([0.368, 1.   , 7.389])
    """
    return _kernel("exp", x)


def softplus(x: Any) -> np.ndarray:
    """log(1 + exp(x)).

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.softplus([-1.0, 0.0, 2.0]).round(3)
    array([0.313, 0.693, 2.127])
    """
    return _kernel("softplus", x)


def silu(x: Any) -> np.ndarray:
    """x * sigmoid(x), also known as swish.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.silu([-1.0, 0.0, 2.0]).round(3)
    array([-0.269,  0.   ,  1.762])
    """
    return _kernel("silu", x)


def log_sigmoid(x: Any) -> np.ndarray:
    """log(sigmoid(x)).

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.log_sigmoid([-1.0, 0.0, 2.0]).round(3)
    array([-1.313, -0.693, -0.127])
    """
    return _kernel("log_sigmoid", x)


def softsign(x: Any) -> np.ndarray:
    """x / (1 + |x|).

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.softsign([-1.0, 0.0, 2.0]).round(3)
    array([-0.5  ,  0.   ,  0.667])
    """
    return _kernel("softsign", x)


def relu6(x: Any) -> np.ndarray:
    """max(x, 0), at most 6.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.relu6([-1.0, 2.0, 8.0])
    array([0., 2., 6.])
    """
    return _kernel("relu6", x)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> np.ndarray:
    """x where x > 0, else negative_slope x.

    Raises
    ------
    ValueError, TypeError
        If `negative_slope` is no number or below 0.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.leaky_relu([-1.0, 2.0])
    array([-0.2,  2. ])
    >>> activations.leaky_relu([-1.0, 2.0], 0.5)
    array([-0.5,  2. ])
    """
    return relu(x, negative_slope)


def elu(x: Any, alpha: float = 1.0) -> np.ndarray:
    """x where x > 0, else alpha (exp(x) - 1).

    Raises
    ------
    ValueError, TypeError
        If `alpha` is no number or below 0.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.elu([-9.0, 2.0]).round(3)
    array([-1.,  2.])
    >>> activations.elu([-9.0, 2.0], 0.5).round(3)
    array([-0.5,  2. ])
    """
    return _compute(elu_of(alpha), x)


def celu(x: Any, alpha: float = 1.0) -> np.ndarray:
    """x where x > 0, else alpha (exp(x / alpha) - 1), whose slope at 0 is 1.

    Raises
    ------
    ValueError, TypeError
        If `alpha` is no number > 0.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.celu([-9.0, 2.0], 0.5).round(3)
    array([-0.5,  2. ])
    """
    return _compute(celu_of(alpha), x)


def selu(x: Any) -> np.ndarray:
    """1.0507 x where x > 0, else 1.7581 (exp(x) - 1), which keeps mean 0 and variance 1.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.selu([-1.0, 0.0, 2.0]).round(3)
    array([-1.111,  0.   ,  2.101])
    """
    return _kernel("selu", x)


def hard_tanh(x: Any) -> np.ndarray:
    """x, at least -1 and at most 1.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.hard_tanh([-3.0, 0.5])
    array([-1. ,  0.5])
    """
    return _kernel("hard_tanh", x)


def hard_sigmoid(x: Any) -> np.ndarray:
    """relu6(x + 3) / 6.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.hard_sigmoid([-1.0, 0.0, 2.0]).round(3)
    array([0.333, 0.5  , 0.833])
    """
    return _kernel("hard_sigmoid", x)


def hard_silu(x: Any) -> np.ndarray:
    """x * hard_sigmoid(x), also known as hard_swish.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.hard_silu([-1.0, 0.0, 2.0]).round(3)
    array([-0.333,  0.   ,  1.667])
    """
    return _kernel("hard_silu", x)


def gelu(x: Any, approximate: bool = False) -> np.ndarray:
    """x times the normal distribution's function of x, or with `approximate` `gelu_tanh`.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.gelu([-1.0, 0.0, 2.0]).round(4)
    array([-0.1587,  0.    ,  1.9545])
    >>> activations.gelu([-1.0, 0.0, 2.0], approximate=True).round(4)
    array([-0.1588,  0.    ,  1.9546])
    """
    return _kernel("gelu_tanh" if approximate else "gelu", x)


def gelu_tanh(x: Any) -> np.ndarray:
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, close to `gelu`.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.gelu_tanh([-1.0, 0.0, 2.0]).round(3)
    array([-0.159,  0.   ,  1.955])
    """
    return _kernel("gelu_tanh", x)


def mish(x: Any) -> np.ndarray:
    """x * tanh(softplus(x)).

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.mish([-1.0, 0.0, 2.0]).round(3)
    array([-0.303,  0.   ,  1.944])
    """
    return _kernel("mish", x)


def softmax(x: Any, axis: int = -1) -> np.ndarray:
    """exp(x) over its sum, for each row.

    Raises
    ------
    ValueError
        If `axis` is not -1 or 1, or `x` is not 2-D.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.softmax([[0.0, 1.0, 1.0]]).round(3)
    array([[0.155, 0.422, 0.422]])
    """
    check_axis(axis)
    return _kernel("softmax", x)


def log_softmax(x: Any, axis: int = -1) -> np.ndarray:
    """log(softmax(x)), for each row.

    Raises
    ------
    ValueError
        If `axis` is not -1 or 1, or `x` is not 2-D.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.log_softmax([[0.0, 1.0, 1.0]]).round(3)
    array([[-1.862, -0.862, -0.862]])
    """
    check_axis(axis)
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
swish, hard_swish = silu, hard_silu  # as in Keras

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

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.get("swish") is activations.silu
    True
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
