"""Layers that are an activation."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn import activations, constraints, initializers, regularizers
from fastnn._curves import Engine, check_axis, elu_of, relu_of
from fastnn._data import Shape, as_number
from fastnn._registry import resolve, serialize
from fastnn.layers._base import Layer
from fastnn.layers._weighted import WeightedLayer


class CurveLayer(Layer):
    """A layer that is an activation without weights, which `Dense` takes for its own, too."""

    _engine: Engine

    def op(self) -> tuple[Any, ...]:
        return ("activation", *self._engine)


class Activation(CurveLayer):
    """y = activation(x).

    Parameters
    ----------
    activation : str or function of fastnn.activations
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Activation
    >>> Sequential([Activation("relu", input_shape=(3,))])([[-1.0, 0.0, 2.0]])
    array([[0., 0., 2.]], dtype=float32)
    """

    def __init__(
        self,
        activation: Any,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self.activation = activations.get(activation)
        self._engine = (activations.ENGINE_NAMES[self.activation],)
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )

    def takes_shape(self, input_shape: Shape) -> bool:
        row_by_row = self.activation in (activations.softmax, activations.log_softmax)
        return len(input_shape) == 1 or not row_by_row

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation.__name__}


class ReLU(CurveLayer):
    """y = min(x, max_value) where x > threshold, else negative_slope (x - threshold).

    Parameters
    ----------
    max_value : float >= 0, optional
        None: there is none.
    negative_slope, threshold : float >= 0
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Raises
    ------
    ValueError, TypeError
        If one of the numbers is none or below 0.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import ReLU
    >>> model = Sequential([ReLU(max_value=10, negative_slope=0.5, input_shape=(4,))])
    >>> model([[-10.0, -5.0, 5.0, 20.0]])
    array([[-5. , -2.5,  5. , 10. ]], dtype=float32)
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self._engine = relu_of(negative_slope, max_value, threshold)
        self.max_value = None if max_value is None else float(max_value)
        self.negative_slope = float(negative_slope)
        self.threshold = float(threshold)
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class LeakyReLU(CurveLayer):
    """y = x where x > 0, else negative_slope x.

    Parameters
    ----------
    negative_slope : float >= 0
    name, dtype, input_shape, input_dim, **keras
        As for every layer; also `alpha`, Keras's old name of `negative_slope`, which it goes
        before.

    Raises
    ------
    ValueError, TypeError
        If `negative_slope` is no number or below 0.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import LeakyReLU
    >>> Sequential([LeakyReLU(0.5, input_shape=(3,))])([[-10.0, -5.0, 5.0]])
    array([[-5. , -2.5,  5. ]], dtype=float32)
    """

    def __init__(
        self,
        negative_slope: float = 0.3,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        if "alpha" in keras:
            negative_slope = as_number(keras.pop("alpha"), "alpha", 0)
        self._engine = relu_of(negative_slope, None, 0.0)
        self.negative_slope = float(negative_slope)
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(CurveLayer):
    """y = x where x > 0, else alpha (exp(x) - 1).

    Parameters
    ----------
    alpha : float >= 0
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Raises
    ------
    ValueError, TypeError
        If `alpha` is no number or below 0.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import ELU
    >>> Sequential([ELU(2.0, input_shape=(2,))])([[-100.0, 5.0]])
    array([[-2.,  5.]], dtype=float32)
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self._engine = elu_of(alpha)
        self.alpha = float(alpha)
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


class Softmax(CurveLayer):
    """y = exp(x) over its sum, for each row.

    Parameters
    ----------
    axis : int
        The features' axis: -1 or 1.
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Raises
    ------
    ValueError
        If `axis` is another.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Softmax
    >>> Sequential([Softmax(input_shape=(2,))])([[1.0, 1.0]])
    array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(
        self,
        axis: int = -1,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        check_axis(axis)
        self.axis = -1
        self._engine = ("softmax",)
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )

    def takes_shape(self, input_shape: Shape) -> bool:
        return len(input_shape) == 1

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


_CURVES: Mapping[str, type[CurveLayer]] = {
    cls.__name__: cls for cls in (Activation, ReLU, LeakyReLU, ELU, Softmax)
}


def as_activation(identifier: Any) -> Any:
    """The function of fastnn.activations, or the layer of one, that `identifier` stands for."""
    if isinstance(identifier, (CurveLayer, Mapping)):
        return resolve(identifier, CurveLayer, _CURVES, "activation")
    if isinstance(identifier, Layer):
        raise TypeError(
            f"activation: expected a name, a function of fastnn.activations or a layer out of "
            f"{', '.join(_CURVES)}, got a {type(identifier).__name__}, which can follow as a layer "
            f"of its own"
        )
    return activations.get(identifier)


def write_activation(activation: Any) -> Any:
    """What `as_activation` returned as plain data: a name, or a layer's dict."""
    return serialize(activation) if isinstance(activation, Layer) else activation.__name__


class PReLU(WeightedLayer):
    """y = x where x > 0, else x * alpha; alpha is trained, one number a feature.

    Parameters
    ----------
    alpha_initializer : str or Initializer
    alpha_regularizer : str or Regularizer, optional
    alpha_constraint : str or Constraint, optional
        One of a norm goes with samples of one axis only.
    shared_axes : None
        Keras's other values are not supported.
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.initializers import Constant
    >>> from fastnn.layers import PReLU
    >>> from fastnn.models import Sequential
    >>> model = Sequential([PReLU(Constant(0.25), input_shape=(2,))])
    >>> model.predict(np.array([[-4.0, 3.0]])).tolist()
    [[-1.0, 3.0]]
    """

    tensors = ("alpha", None)
    weight_names = ("alpha",)
    _neutral: Mapping[str, tuple[Any, ...]] = {
        **Layer._neutral,
        "shared_axes": (None,),
    }

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: None = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self.alpha_initializer = initializers.get(alpha_initializer, "alpha_initializer")
        self.alpha_regularizer = regularizers.get(alpha_regularizer, "alpha_regularizer")
        self.alpha_constraint = constraints.get(alpha_constraint, "alpha_constraint")
        super().__init__(
            name=name,
            dtype=dtype,
            input_shape=input_shape,
            input_dim=input_dim,
            shared_axes=shared_axes,
            **keras,
        )

    def op(self) -> tuple[Any, ...]:
        return ("prelu",)

    def takes_shape(self, input_shape: Shape) -> bool:
        """A norm is that of one axis."""
        element_by_element = isinstance(self.alpha_constraint, constraints.NonNeg | None)
        return len(input_shape) == 1 or element_by_element

    def weight_shapes(self, input_shape: Shape) -> list[Shape]:
        return [input_shape]

    def _engine_kernel(self, kernel: np.ndarray) -> np.ndarray:
        return kernel.reshape(1, -1)  # whatever axes a sample has

    @property
    def alpha(self) -> np.ndarray:
        """A copy of the slopes, of the shape of a sample."""
        alpha: np.ndarray = self._weight("alpha")
        return alpha

    def get_config(self) -> dict[str, Any]:
        optional = {
            "alpha_regularizer": self.alpha_regularizer,
            "alpha_constraint": self.alpha_constraint,
        }
        return {
            **super().get_config(),
            "alpha_initializer": serialize(self.alpha_initializer),
            **{name: serialize(value) if value else None for name, value in optional.items()},
        }
