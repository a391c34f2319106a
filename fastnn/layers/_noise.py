"""Layers that are random in training and do nothing otherwise.

The random numbers depend on the seed, the optimizer step and their places in the batch alone: not
on threads, and a resumed training has the same ones.
"""

from collections.abc import Mapping
from typing import Any

from fastnn._data import (
    as_int,
    as_number,
)
from fastnn.layers._base import Layer
from fastnn.utils import draw_seed


class _Noise(Layer):
    """A layer with a seed and a number, whose name is `_amount`; the engine calls it `_kind`."""

    _kind: str
    _amount = "rate"
    _bounds = "[)"  # of the number, between 0 and 1

    def __init__(self, amount: float, seed: int | None, **arguments: Any) -> None:
        setattr(self, self._amount, as_number(amount, self._amount, 0, 1, bounds=self._bounds))
        self.seed = draw_seed() if seed is None else as_int(seed, "seed", 0, 2**63 - 1)
        super().__init__(**arguments)

    def op(self) -> tuple[Any, ...]:
        return (self._kind, getattr(self, self._amount), self.seed)

    def get_config(self) -> dict[str, Any]:
        amount = {self._amount: getattr(self, self._amount)}
        return {**super().get_config(), **amount, "seed": self.seed}


class Dropout(_Noise):
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

    _kind = "dropout"
    _neutral: Mapping[str, tuple[Any, ...]] = {**Layer._neutral, "noise_shape": (None,)}
    rate: float

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
        super().__init__(
            rate,
            seed,
            name=name,
            dtype=dtype,
            input_shape=input_shape,
            input_dim=input_dim,
            noise_shape=noise_shape,
            **keras,
        )


class AlphaDropout(Dropout):
    """Dropout for selu (Klambauer et al. 2017): in training, each number becomes selu's lowest
    value with probability `rate`; then all are scaled and shifted so that mean 0, variance 1 stay.

    Otherwise y = x, at no cost.

    Parameters
    ----------
    rate, noise_shape, seed, name, dtype, input_shape, input_dim, **keras
        As for `Dropout`, and so are the errors.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Sequential
    >>> from fastnn.layers import AlphaDropout
    >>> model = Sequential([AlphaDropout(0.5, seed=1, input_shape=(4,))])
    >>> np.unique(model(np.ones((100, 4)), training=True)).round(3)
    array([-0.779,  1.666], dtype=float32)
    """

    _kind = "alpha_dropout"


class GaussianDropout(_Noise):
    """In training, y = x (1 + s z) with s = sqrt(rate / (1 - rate)) and z normal.

    Otherwise y = x, at no cost. The numbers z depend on the seed, the optimizer step and their
    places in the batch alone.

    Parameters
    ----------
    rate : float in [0, 1)
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
    >>> import numpy as np
    >>> from fastnn import Sequential
    >>> from fastnn.layers import GaussianDropout
    >>> model = Sequential([GaussianDropout(0.5, seed=1, input_shape=(50,))])
    >>> y = model(np.ones((1000, 50)), training=True)
    >>> round(float(y.mean()), 1), round(float(y.std()), 1)
    (1.0, 1.0)
    """

    _kind = "gaussian_dropout"
    rate: float

    def __init__(
        self,
        rate: float,
        seed: int | None = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(
            rate,
            seed,
            name=name,
            dtype=dtype,
            input_shape=input_shape,
            input_dim=input_dim,
            **keras,
        )


class GaussianNoise(_Noise):
    """In training, y = x + stddev z, z normal.

    Otherwise y = x, at no cost. The numbers z depend on the seed, the optimizer step and their
    places in the batch alone.

    Parameters
    ----------
    stddev : float in [0, 1]
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
    >>> import numpy as np
    >>> from fastnn import Sequential
    >>> from fastnn.layers import GaussianNoise
    >>> model = Sequential([GaussianNoise(0.1, seed=1, input_shape=(50,))])
    >>> x = np.zeros((1000, 50))
    >>> round(float(model(x, training=True).std()), 2), float(model(x).std())
    (0.1, 0.0)
    """

    _kind = "gaussian_noise"
    _amount = "stddev"
    _bounds = "[]"
    stddev: float

    def __init__(
        self,
        stddev: float,
        seed: int | None = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(
            stddev,
            seed,
            name=name,
            dtype=dtype,
            input_shape=input_shape,
            input_dim=input_dim,
            **keras,
        )
