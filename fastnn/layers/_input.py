"""The start of a model."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn._data import as_int, as_shape
from fastnn.layers._base import Layer


def _is_of_numbers(dtype: Any) -> bool:
    """Whether it is a type of numbers that layers do not compute in, but take."""
    try:
        kind = np.dtype(dtype)  # of None that of float64
        return kind.name == "bfloat16" or (kind.kind in "biuf" and kind.char not in "fd")
    except TypeError:
        return bool(dtype == "bfloat16")  # which NumPy knows only from others


class InputLayer(Layer):
    """Says what shape a sample has, `shape` or (None, *shape) as `batch_shape`.

    Not listed in `model.layers`. Keras's old names `input_shape` and `batch_input_shape` go before
    the new ones, as there.

    Examples
    --------
    >>> from fastnn.layers import InputLayer
    >>> InputLayer((28, 28)).shape
    (None, 28, 28)
    """

    _neutral: Mapping[str, tuple[Any, ...]] = {
        "sparse": (None, False),
        "ragged": (None, False),
        "tensor": (None,),
        "optional": (False,),
    }

    def __init__(
        self,
        shape: tuple[int, ...] | None = None,
        batch_size: int | None = None,
        *,
        batch_shape: tuple[int | None, ...] | None = None,
        name: str | None = None,
        dtype: Any = None,
        **keras: Any,
    ) -> None:
        shape = keras.pop("input_shape", shape)
        batch_shape = keras.pop("batch_input_shape", batch_shape)
        if (shape is None) == (batch_shape is None):
            raise ValueError(
                f"shape, batch_shape: expected one of them, got {shape!r} and {batch_shape!r}"
            )
        if batch_shape is not None:
            sized = not isinstance(batch_shape, (tuple, list)) or list(batch_shape[:1]) != [None]
            if sized:
                raise ValueError(
                    f"batch_shape: expected (None, ...), as batches are of any size, got "
                    f"{batch_shape!r}"
                )
            if batch_size is not None:
                raise ValueError(f"batch_size: expected None beside batch_shape, got {batch_size}")
            shape = tuple(batch_shape[1:])  # type: ignore[arg-type]
        if batch_size is not None:  # which binds nothing: batches are of any size
            as_int(batch_size, "batch_size", 1)
        super().__init__(name=name, dtype=None if _is_of_numbers(dtype) else dtype, **keras)
        self._shape = self.input_shape_argument = as_shape(shape, "shape")

    @property
    def shape(self) -> tuple[int | None, ...]:
        """(None, features), or (None, ...) of more axes."""
        return self.input_shape

    def get_config(self) -> dict[str, Any]:
        return {"shape": list(self.known_shape()), **super().get_config()}


def Input(
    shape: tuple[int, ...] | None = None,
    batch_size: int | None = None,
    *,
    batch_shape: tuple[int | None, ...] | None = None,
    name: str | None = None,
    dtype: Any = None,
    **keras: Any,
) -> InputLayer:
    """The start of a model: what shape a sample has.

    Parameters
    ----------
    shape : tuple of int
        Such as (10,) or (28, 28), without the batch axis.
    batch_size : int >= 1, optional
        Says nothing: batches are of any size.
    batch_shape : tuple of None and int
        In place of `shape`: with the batch axis, such as (None, 10).
    name, **keras
        As for every layer.
    dtype
        Of the real numbers to come, such as "int32". They are converted to what the layers
        compute in, whatever stands here.

    Raises
    ------
    ValueError
        If they are anything else, or `batch_shape` and another are given.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Dense, Input
    >>> Sequential([Input((4,)), Dense(1)]).input_shape
    (None, 4)
    """
    return InputLayer(shape, batch_size, batch_shape=batch_shape, name=name, dtype=dtype, **keras)
