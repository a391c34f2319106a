"""The start of a model."""

from collections.abc import Mapping
from typing import Any

from fastnn._data import (
    as_shape,
)
from fastnn.layers._base import Layer


class InputLayer(Layer):
    """Says how many features the model takes. Not listed in `model.layers`.

    Examples
    --------
    >>> from fastnn.layers import InputLayer
    >>> InputLayer((4,)).shape
    (None, 4)
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
        self._features = self.input_size_argument = as_shape(shape, "shape")

    @property
    def input_size(self) -> int:
        return self._features

    @property
    def shape(self) -> tuple[None, int]:
        """(None, features)."""
        return self.input_shape

    def get_config(self) -> dict[str, Any]:
        return {"shape": [self.input_size], **super().get_config()}


def Input(
    shape: tuple[int, ...], *, name: str | None = None, dtype: Any = None, **keras: Any
) -> InputLayer:
    """The start of a model: how many features it takes.

    Parameters
    ----------
    shape : tuple of one int
        Such as (10,), without the batch axis.
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
