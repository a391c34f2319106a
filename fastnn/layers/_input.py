"""The start of a model."""

from collections.abc import Mapping
from typing import Any

from fastnn._data import (
    as_shape,
)
from fastnn.layers._base import Layer


class InputLayer(Layer):
    """Says what shape a sample has. Not listed in `model.layers`.

    Examples
    --------
    >>> from fastnn.layers import InputLayer
    >>> InputLayer((28, 28)).shape
    (None, 28, 28)
    """

    _neutral: Mapping[str, tuple[Any, ...]] = {
        "batch_size": (None,),
        "batch_shape": (None,),
        "sparse": (None, False),
        "ragged": (None, False),
        "tensor": (None,),
        "optional": (False,),
    }

    def __init__(
        self, shape: tuple[int, ...], *, name: str | None = None, dtype: Any = None, **keras: Any
    ) -> None:
        super().__init__(name=name, dtype=dtype, **keras)
        self._shape = self.input_shape_argument = as_shape(shape, "shape")

    @property
    def shape(self) -> tuple[int | None, ...]:
        """(None, features), or (None, ...) of more axes."""
        return self.input_shape

    def get_config(self) -> dict[str, Any]:
        return {"shape": list(self.known_shape()), **super().get_config()}


def Input(
    shape: tuple[int, ...], *, name: str | None = None, dtype: Any = None, **keras: Any
) -> InputLayer:
    """The start of a model: what shape a sample has.

    Parameters
    ----------
    shape : tuple of int
        Such as (10,) or (28, 28), without the batch axis.
    name, dtype, **keras
        As for every layer.

    Raises
    ------
    ValueError
        If `shape` is anything else.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Dense, Input
    >>> Sequential([Input((4,)), Dense(1)]).input_shape
    (None, 4)
    """
    return InputLayer(shape, name=name, dtype=dtype, **keras)
