"""Layers that are an activation."""

from typing import Any

from fastnn import activations
from fastnn._data import Shape
from fastnn.layers._base import Layer


class Activation(Layer):
    """y = activation(x).

    Parameters
    ----------
    activation : str or function of fastnn.activations
    name, dtype, input_shape, input_dim, **keras
        As for every layer.
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
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )

    def op(self) -> tuple[Any, ...]:
        return ("activation", activations.ENGINE_NAMES[self.activation])

    def takes_shape(self, input_shape: Shape) -> bool:
        row_by_row = self.activation in (activations.softmax, activations.log_softmax)
        return len(input_shape) == 1 or not row_by_row

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation.__name__}
