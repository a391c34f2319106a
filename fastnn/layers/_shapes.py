"""Layers that compute nothing, but may give samples another shape: their numbers lie in one row."""

from collections.abc import Mapping
from math import prod
from typing import Any

from fastnn._data import Shape, as_int, as_shape
from fastnn.layers._base import Layer


class Identity(Layer):
    """y = x: a placeholder. Costs nothing.

    Parameters
    ----------
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Identity
    >>> Sequential([Identity(input_shape=(2,))])([[1.0, 2.0]])
    array([[1., 2.]], dtype=float32)
    """

    keeps_numbers = True

    def ops(self, input_shape: Shape) -> list[tuple[Any, ...]]:
        return []

    def takes_shape(self, input_shape: Shape) -> bool:
        return True


class Flatten(Layer):
    """All numbers of a sample as one axis, the last axis running fastest. Costs nothing.

    Parameters
    ----------
    data_format : {None, "channels_last"}
        Keras's "channels_first" is not supported.
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Raises
    ------
    ValueError
        If `data_format` is another.

    Examples
    --------
    >>> from fastnn.layers import Dense, Flatten, Input
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Input((28, 28)), Flatten(), Dense(10)])
    >>> model.layers[0].output_shape
    (None, 784)
    """

    keeps_numbers = True
    _neutral: Mapping[str, tuple[Any, ...]] = {
        **Layer._neutral,
        "data_format": (None, "channels_last"),
    }

    def __init__(
        self,
        data_format: str | None = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(
            name=name,
            dtype=dtype,
            input_shape=input_shape,
            input_dim=input_dim,
            data_format=data_format,
            **keras,
        )

    def ops(self, input_shape: Shape) -> list[tuple[Any, ...]]:
        return []

    def output_shape_for(self, input_shape: Shape) -> Shape:
        return (prod(input_shape),)


class Reshape(Layer):
    """The numbers of a sample, in their order, in another shape. Costs nothing.

    Parameters
    ----------
    target_shape : tuple of int
        Without the batch axis. One of them may be -1: what is left.
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Raises
    ------
    ValueError
        If `target_shape` is no such tuple, or later, at the model, if it holds another number of
        values than a sample has.
    TypeError
        If it holds anything but integers.

    Examples
    --------
    >>> from fastnn.layers import Dense, Input, Reshape
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Input((4,)), Dense(12), Reshape((-1, 4))])
    >>> model.output_shape
    (None, 3, 4)
    >>> model.predict([[1, 2, 3, 4]]).shape
    (1, 3, 4)
    """

    keeps_numbers = True

    def __init__(
        self,
        target_shape: tuple[int, ...],
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        if not isinstance(target_shape, (tuple, list)) or not target_shape:
            raise ValueError(
                f"target_shape: expected a tuple such as (3, -1), got {target_shape!r}"
            )
        sizes = [as_int(size, "target_shape", -1) for size in target_shape]
        if sizes.count(-1) > 1:
            raise ValueError(f"target_shape: expected at most one -1, got {target_shape!r}")
        as_shape([size for size in sizes if size != -1] or [1], "target_shape")
        self.target_shape = tuple(sizes)
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )

    def ops(self, input_shape: Shape) -> list[tuple[Any, ...]]:
        return []

    def output_shape_for(self, input_shape: Shape) -> Shape:
        size = prod(input_shape)
        known = prod(n for n in self.target_shape if n != -1)
        if size % known or (size != known and -1 not in self.target_shape):
            raise ValueError(
                f"layer {self.name!r}: expected inputs that fill target_shape="
                f"{self.target_shape}, got shape {input_shape}: the total size must be unchanged"
            )
        return tuple(size // known if n == -1 else n for n in self.target_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_shape": list(self.target_shape)}
