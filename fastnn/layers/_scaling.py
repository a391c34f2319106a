"""Layers that scale and shift features and are not trained."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

from fastnn._data import (
    Shape,
    as_features,
    numeric,
)
from fastnn.layers._base import Layer

BLOCK_NUMBERS = 2**20  # of the data that adapt looks at, at a time


def feature_axis(axis: Any) -> int:
    """-1 for the axis of the features, however it is said; others are refused."""
    if isinstance(axis, (tuple, list)) and len(axis) == 1:
        axis = axis[0]
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)) or axis not in (-1, 1):
        raise ValueError(f"axis: expected -1 or 1, the features' axis, got {axis!r}")
    return -1


class Normalization(Layer):
    """y = (x - mean) / max(sqrt(variance), epsilon), per feature, not trained.

    Parameters
    ----------
    axis : int
        The features' axis: -1 or 1.
    mean, variance : array_like, optional
        Numbers for each feature, or one for all; both or neither. Without them, `adapt` measures
        them; before that the layer changes nothing.
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Normalization
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> layer = Normalization(input_shape=(2,))
    >>> layer.adapt(x)
    >>> Sequential([layer])(x)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """

    # Keras has 1e-7. A power of two of the same size multiplies exactly, so that a constant
    # feature becomes 0 and not the rounding error of x * 1e7.
    EPSILON = 2.0**-23
    _neutral: Mapping[str, tuple[Any, ...]] = {**Layer._neutral, "invert": (False,)}

    def __init__(
        self,
        axis: int = -1,
        mean: Any = None,
        variance: Any = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self.axis = feature_axis(axis)
        if (mean is None) != (variance is None):
            raise ValueError("mean, variance: expected both or neither, got one")
        self._given: tuple[np.ndarray, np.ndarray] | None = None
        if mean is not None:
            self._given = (_statistic(mean, "mean"), _statistic(variance, "variance"))
            if (self._given[1] < 0).any():
                raise ValueError("variance: expected numbers >= 0, got negative ones")
        else:
            self.weight_names = ("mean", "variance", "count")
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )

    def op(self) -> tuple[Any, ...]:
        return ("scale_shift",)

    def takes_shape(self, input_shape: Shape) -> bool:
        return len(input_shape) == 1

    def weight_shapes(self, input_shape: Shape) -> list[Shape]:
        return [] if self._given else [input_shape, input_shape, ()]

    def check_input(self, input_shape: Shape) -> None:
        super().check_input(input_shape)
        for given in self._given or ():
            if given.size not in (1, *input_shape):
                raise ValueError(
                    f"layer {self.name!r}: expected {given.size} inputs, as many as mean and "
                    f"variance have, got {input_shape[0]}"
                )

    def checked_weights(self, weights: Any, name: str = "weights") -> list[np.ndarray]:
        arrays = super().checked_weights(weights, name)
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
        if any((array < 0).any() for array in arrays[1:]):
            raise ValueError(f"{name}: expected a variance and a count >= 0, got negative ones")
        return arrays

    def _initial_weights(self, input_shape: Shape) -> list[np.ndarray]:
        if self._given:
            return []
        mean, variance = np.zeros(input_shape, self.dtype), np.ones(input_shape, self.dtype)
        return [mean, variance, np.zeros((), self.dtype)]

    def _push(self, weights: list[np.ndarray]) -> None:
        """The network keeps a scale and a shift; the statistics stay here."""
        self._statistics = [weight.copy() for weight in weights]
        mean, variance = self._given or weights[:2]
        scale = 1 / np.maximum(np.sqrt(variance.astype(np.float64)), self.EPSILON)
        shift = -mean.astype(np.float64) * scale
        self._network.set_scale_shift(
            self._op, *(np.full(self.known_shape(), v, self.dtype) for v in (scale, shift))
        )

    def _pull(self) -> list[np.ndarray]:
        return [weight.copy() for weight in self._statistics]

    def adapt(self, data: Any) -> None:
        """Measure mean and variance of each feature.

        Parameters
        ----------
        data : array_like (samples, features)

        Raises
        ------
        ValueError, TypeError
            If `data` is not such an array, is empty, or the layer was given mean and variance.
        """
        if self._given:
            raise ValueError("adapt: expected a layer without mean and variance, got one with them")
        shape = self._shape or self.input_shape_argument
        data = as_features(data, np.dtype(self.dtype), shape, "data")
        if data.ndim != 2:
            raise ValueError(
                f"data: expected a 2-D array (samples, features), got shape {data.shape}"
            )
        if len(data) == 0:
            raise ValueError(f"data: expected at least one row, got shape {data.shape}")
        mean, variance = _moments(data, self.dtype)
        with np.errstate(over="ignore"):  # what the layer's dtype cannot hold is refused
            self.set_weights_for(data.shape[1:], [mean, variance, float(len(data))])

    @property
    def mean(self) -> np.ndarray | None:
        """A copy of the means, (features,); None before they are known."""
        return self._statistic(0)

    @property
    def variance(self) -> np.ndarray | None:
        """A copy of the variances, (features,); None before they are known."""
        return self._statistic(1)

    def _statistic(self, number: int) -> np.ndarray | None:
        if self._given:
            return self._given[number].astype(self.dtype)
        return self.get_weights()[number] if self.built else None

    def get_config(self) -> dict[str, Any]:
        mean, variance = (given.tolist() for given in self._given) if self._given else (None, None)
        return {**super().get_config(), "axis": self.axis, "mean": mean, "variance": variance}


class Rescaling(Layer):
    """y = x scale + offset, not trained. As a model's first layer it is done while rows are read.

    Parameters
    ----------
    scale, offset : float or array_like (features,)
        One number for all features, or one for each.
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Raises
    ------
    ValueError, TypeError
        If they are no finite numbers.

    Examples
    --------
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Rescaling
    >>> Sequential([Rescaling(1 / 128, offset=-1, input_shape=(3,))])([[0, 128, 256]])
    array([[-1.,  0.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        scale: Any,
        offset: Any = 0.0,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self._numbers = {
            "scale": _statistic(scale, "scale"),
            "offset": _statistic(offset, "offset"),
        }
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )

    @property
    def scale(self) -> Any:
        """The factor of all features, or a list of one for each."""
        return _plain(self._numbers["scale"])

    @property
    def offset(self) -> Any:
        """What is added to all features, or a list of one for each."""
        return _plain(self._numbers["offset"])

    def op(self) -> tuple[Any, ...]:
        return ("scale_shift",)

    def takes_shape(self, input_shape: Shape) -> bool:
        one_for_all = all(numbers.size == 1 for numbers in self._numbers.values())
        return len(input_shape) == 1 or one_for_all

    def check_input(self, input_shape: Shape) -> None:
        super().check_input(input_shape)
        for name, numbers in self._numbers.items():
            if numbers.size not in (1, input_shape[0]):
                raise ValueError(
                    f"layer {self.name!r}: expected {numbers.size} inputs, as many as {name} has, "
                    f"got {input_shape[0]}"
                )

    def _push(self, weights: list[np.ndarray]) -> None:
        size = prod(self._shape or ())
        self._network.set_scale_shift(
            self._op, *(np.full(size, each, self.dtype) for each in self._numbers.values())
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


def _plain(numbers: np.ndarray) -> Any:
    """One number, or a list of them, as a config has it."""
    return numbers.item() if numbers.size == 1 else numbers.tolist()


def _blocks(data: np.ndarray, dtype: str) -> Iterator[np.ndarray]:
    """The rows in blocks of `dtype`, so that no array as large as the data is made."""
    rows = max(1, BLOCK_NUMBERS // data.shape[1])
    for start in range(0, len(data), rows):
        yield data[start : start + rows].astype(dtype, copy=False)


def _moments(data: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each feature, (features,), in float64."""
    total = np.zeros(data.shape[1])
    for block in _blocks(data, dtype):
        if not np.isfinite(block).all():
            raise ValueError("data: expected finite numbers, got NaN or infinity")
        total += block.sum(axis=0, dtype=np.float64)
    mean = total / len(data)
    squares = np.zeros(data.shape[1])
    for block in _blocks(data, dtype):
        squares += ((block - mean) ** 2).sum(axis=0)
    return mean, squares / len(data)


def _statistic(value: Any, name: str) -> np.ndarray:
    """One number for all features or one for each, finite."""
    array = np.atleast_1d(np.squeeze(numeric(value, name))).astype(np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers (features,), got shape {array.shape}")
    return array
