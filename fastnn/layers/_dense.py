"""The layer with a kernel and a bias."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn import activations, initializers, regularizers
from fastnn._data import (
    as_bool,
    as_int,
)
from fastnn._registry import serialize
from fastnn.layers._base import Layer


class Dense(Layer):
    """y = activation(x @ kernel + bias).

    Parameters
    ----------
    units : int >= 1
        Number of outputs.
    activation : str or function of fastnn.activations, optional
        None is "linear".
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        The loss, in training and in `evaluate`, is greater by these penalties.
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
        "kernel_constraint": (None,),
        "bias_constraint": (None,),
        "lora_rank": (None,),
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
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self.units = as_int(units, "units", 1)
        self.activation = activations.get(activation)
        self.use_bias = as_bool(use_bias, "use_bias")
        self.kernel_initializer = initializers.get(kernel_initializer, "kernel_initializer")
        self.bias_initializer = initializers.get(bias_initializer, "bias_initializer")
        self.kernel_regularizer = regularizers.get(kernel_regularizer, "kernel_regularizer")
        self.bias_regularizer = regularizers.get(bias_regularizer, "bias_regularizer")
        self.weight_names = ("kernel", "bias") if self.use_bias else ("kernel",)
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )

    def op(self) -> tuple[Any, ...]:
        operands = ("bfloat16",) if self.compute_dtype == "bfloat16" else ()
        activation = activations.ENGINE_NAMES[self.activation]
        return ("dense", self.units, activation, self.use_bias, *operands)

    def output_size_for(self, input_size: int) -> int:
        return self.units

    def weight_shapes(self, input_size: int) -> list[tuple[int, ...]]:
        kernel = (input_size, self.units)
        return [kernel, (self.units,)] if self.use_bias else [kernel]

    def _initial_weights(self, input_size: int) -> list[np.ndarray]:
        weights = []
        for name, shape in zip(self.weight_names, self.weight_shapes(input_size), strict=True):
            initializer = getattr(self, f"{name}_initializer")
            try:
                weights.append(initializer(shape, self.dtype))
            except ValueError as error:
                raise ValueError(f"{name}_initializer of layer {self.name!r}: {error}") from None
        return weights

    def attach(self, network: Any, op: int, input_size: int, weights: list[np.ndarray]) -> None:
        super().attach(network, op, input_size, weights)
        penalties = [(r.l1, r.l2) if r else (0.0, 0.0) for r in self._regularizers]
        network.set_penalty(op, *penalties)
        if not self.trainable:  # a network trains its layers unless it is told
            self._send_trainable()

    def _send_trainable(self) -> None:
        self._network.set_trainable(self._op, self.trainable)

    @property
    def _regularizers(self) -> tuple[regularizers.Regularizer | None, ...]:
        return self.kernel_regularizer, self.bias_regularizer

    def _push(self, weights: list[np.ndarray]) -> None:
        self._network.set_kernel(self._op, weights[0])
        if self.use_bias:
            self._network.set_bias(self._op, weights[1])

    def _pull(self) -> list[np.ndarray]:
        kernel = self._network.get_kernel(self._op)
        return [kernel, self._network.get_bias(self._op)] if self.use_bias else [kernel]

    def get_slot(self, slot: str) -> list[np.ndarray]:
        """Copies of an optimizer slot, in the weights' order and shapes."""
        return list(self._network.get_slot(slot, self._op))[: len(self.weight_names)]

    def set_slot(self, slot: str, arrays: list[np.ndarray]) -> None:
        """Write an optimizer slot."""
        self._network.set_slot(slot, self._op, arrays[0], arrays[1] if self.use_bias else None)

    @property
    def kernel(self) -> np.ndarray:
        """A copy of the kernel, (inputs, units)."""
        return self._weight(0)

    @property
    def bias(self) -> np.ndarray | None:
        """A copy of the bias, (units,); None without one."""
        return self._weight(1) if self.use_bias else None

    def _weight(self, number: int) -> np.ndarray:
        if not self.built:
            raise AttributeError(f"layer {self.name!r} is not built yet: it has no weights")
        return self.get_weights()[number]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": self.activation.__name__,
            "use_bias": self.use_bias,
            "kernel_initializer": serialize(self.kernel_initializer),
            "bias_initializer": serialize(self.bias_initializer),
            "kernel_regularizer": serialize(self.kernel_regularizer)
            if self.kernel_regularizer
            else None,
            "bias_regularizer": serialize(self.bias_regularizer) if self.bias_regularizer else None,
        }
