"""Layers that are random in training and do nothing otherwise."""

from collections.abc import Mapping
from typing import Any

from fastnn._data import (
    as_int,
    as_number,
)
from fastnn.layers._base import Layer
from fastnn.utils import draw_seed


class Dropout(Layer):
    """In training, each number becomes 0 with probability `rate`, else x / (1 - rate).

    Otherwise y = x, at no cost. Which numbers are dropped depends on the seed, the optimizer step
    and their places in the batch alone: not on threads, and a resumed training drops the same.

    Parameters
    ----------
    rate : float in [0, 1)
    noise_shape : None
        Keras's other values are not supported.
    seed : int, optional
        0 to 2**63 - 1. By default one is drawn, which `fastnn.utils.set_random_seed` fixes.
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> from fastnn.layers import Dense, Dropout
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dropout(0.5, input_shape=(4,)), Dense(1)])
    >>> model.count_params()
    5
    """

    _neutral: Mapping[str, tuple[Any, ...]] = {**Layer._neutral, "noise_shape": (None,)}

    def __init__(
        self,
        rate: float,
        noise_shape: None = None,
        seed: int | None = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self.rate = as_number(rate, "rate", 0, 1)
        self.seed = draw_seed() if seed is None else as_int(seed, "seed", 0, 2**63 - 1)
        super().__init__(
            name=name,
            dtype=dtype,
            input_shape=input_shape,
            input_dim=input_dim,
            noise_shape=noise_shape,
            **keras,
        )

    def op(self) -> tuple[Any, ...]:
        return ("dropout", self.rate, self.seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
