"""The layer with a kernel and a bias."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn import activations, constraints, initializers, regularizers
from fastnn._data import (
    Shape,
    as_bool,
    as_int,
)
from fastnn._registry import serialize
from fastnn.layers._activations import CurveLayer, as_activation, write_activation
from fastnn.layers._base import Layer
from fastnn.layers._weighted import WeightedLayer


class Dense(WeightedLayer):
    """y = activation(x @ kernel + bias).

    Parameters
    ----------
    units : int >= 1
        Number of outputs.
    activation : str, function of fastnn.activations or layer, optional
        None is "linear". A layer is an `Activation`, `ReLU`, `LeakyReLU`, `ELU` or `Softmax`; only
        what it computes matters, not its name or dtype, and several `Dense` may share it.
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        The loss, in training and in `evaluate`, is greater by these penalties.
    activity_regularizer : None
        Keras's other values are not supported.
    kernel_constraint, bias_constraint : str or Constraint, optional
        What the weights are brought to after every step.
    learning_rate_multiplier : float >= 0
        By name only: what the learning rate is multiplied by for these weights. May be set later.
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Raises
    ------
    ValueError
        If `units` is below 1, a name is unknown or something is not supported yet.
    TypeError
        If an argument is of the wrong type.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Dense, Input
    >>> model = Sequential([Input((4,)), Dense(8, "relu"), Dense(1)])
    >>> [layer.count_params() for layer in model.layers]
    [40, 9]
    """

    _neutral: Mapping[str, tuple[Any, ...]] = {
        **Layer._neutral,
        "activity_regularizer": (None,),
        "lora_rank": (None,),
        "lora_alpha": (None,),
        "quantization_config": (None,),
    }

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: None = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self.units = as_int(units, "units", 1)
        self.activation = as_activation(activation)
        self.use_bias = as_bool(use_bias, "use_bias")
        self.kernel_initializer = initializers.get(kernel_initializer, "kernel_initializer")
        self.bias_initializer = initializers.get(bias_initializer, "bias_initializer")
        self.kernel_regularizer = regularizers.get(kernel_regularizer, "kernel_regularizer")
        self.bias_regularizer = regularizers.get(bias_regularizer, "bias_regularizer")
        self.kernel_constraint = constraints.get(kernel_constraint, "kernel_constraint")
        self.bias_constraint = constraints.get(bias_constraint, "bias_constraint")
        self.weight_names = ("kernel", "bias") if self.use_bias else ("kernel",)
        super().__init__(
            name=name,
            dtype=dtype,
            input_shape=input_shape,
            input_dim=input_dim,
            activity_regularizer=activity_regularizer,
            **keras,
        )

    def op(self) -> tuple[Any, ...]:
        operands = ("bfloat16",) if self.compute_dtype == "bfloat16" else ()
        name = activations.ENGINE_NAMES.get(self.activation, "linear")  # that of a layer follows
        return ("dense", self.units, name, self.use_bias, *operands)

    def ops(self, input_shape: Shape) -> list[tuple[Any, ...]]:
        layered = isinstance(self.activation, CurveLayer)
        return [self.op(), self.activation.op()] if layered else [self.op()]

    def takes_shape(self, input_shape: Shape) -> bool:
        return len(input_shape) == 1

    def output_shape_for(self, input_shape: Shape) -> Shape:
        return (self.units,)

    def weight_shapes(self, input_shape: Shape) -> list[Shape]:
        kernel = (*input_shape, self.units)
        return [kernel, (self.units,)] if self.use_bias else [kernel]

    @property
    def kernel(self) -> np.ndarray:
        """A copy of the kernel, (inputs, units)."""
        kernel: np.ndarray = self._weight("kernel")
        return kernel

    @property
    def bias(self) -> np.ndarray | None:
        """A copy of the bias, (units,); None without one."""
        bias: np.ndarray | None = self._weight("bias")
        return bias

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": write_activation(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": serialize(self.kernel_initializer),
            "bias_initializer": serialize(self.bias_initializer),
            "kernel_regularizer": serialize(self.kernel_regularizer)
            if self.kernel_regularizer
            else None,
            "bias_regularizer": serialize(self.bias_regularizer) if self.bias_regularizer else None,
            "kernel_constraint": serialize(self.kernel_constraint)
            if self.kernel_constraint
            else None,
            "bias_constraint": serialize(self.bias_constraint) if self.bias_constraint else None,
        }
