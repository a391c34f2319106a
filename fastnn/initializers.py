"""How weights begin. An initializer gives the same values each time it is called; one made
without a seed draws its seed when it is made, from the generator that
`fastnn.utils.set_random_seed` seeds."""

from __future__ import annotations  # np.random, which loads slowly, is named in types

from math import prod, sqrt
from typing import Any

import numpy as np

from fastnn._data import as_int, as_number
from fastnn._registry import Configurable, resolve
from fastnn.config import standardize_dtype
from fastnn.utils import draw_seed

# standard deviation of a unit normal cut off at two standard deviations
_TRUNCATED_STD = 0.87962566103423978


def _fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """Inputs and outputs of a weight of this shape."""
    if len(shape) == 0:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    field = prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def _truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Unit normal values, those beyond two standard deviations drawn again."""
    values = rng.standard_normal(shape)
    far = np.abs(values) > 2
    while far.any():
        values[far] = rng.standard_normal(int(far.sum()))
        far = np.abs(values) > 2
    return values


class Initializer(Configurable):
    """Base of all initializers.

    Examples
    --------
    >>> from fastnn import initializers
    >>> initializers.Ones()((3,), "float64")
    array([1., 1., 1.])
    """

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        """Values of this shape; dtype float32, float64 or None for `config.floatx()`."""
        name = standardize_dtype(dtype)
        return np.ascontiguousarray(self._values(tuple(shape)), dtype=name)

    def _values(self, shape: tuple[int, ...]) -> np.ndarray:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {}


class RandomInitializer(Initializer):
    """Base of the initializers that draw; `seed` None draws one.

    Examples
    --------
    >>> from fastnn import initializers
    >>> make = initializers.RandomNormal(seed=1)
    >>> bool((make((3,)) == make((3,))).all())
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = None if seed is None else as_int(seed, "seed", 0, 2**63 - 1)
        self._drawn = draw_seed() if self.seed is None else self.seed

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self._drawn)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class Zeros(Initializer):
    """All 0.

    Examples
    --------
    >>> from fastnn.initializers import Zeros
    >>> Zeros()((2,))
    array([0., 0.], dtype=float32)
    """

    def _values(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros(shape)


class Ones(Initializer):
    """All 1.

    Examples
    --------
    >>> from fastnn.initializers import Ones
    >>> Ones()((2,))
    array([1., 1.], dtype=float32)
    """

    def _values(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.ones(shape)


class Constant(Initializer):
    """All `value`, a number; weights to begin with that differ go with `set_weights`.

    Examples
    --------
    >>> from fastnn.initializers import Constant
    >>> Constant(0.5)((2,))
    array([0.5, 0.5], dtype=float32)
    """

    def __init__(self, value: float = 0.0) -> None:
        self.value = as_number(value, "value", float("-inf"), bounds="()")

    def _values(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, self.value)

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


class RandomNormal(RandomInitializer):
    """Normal of this mean and standard deviation.

    Examples
    --------
    >>> from fastnn.initializers import RandomNormal
    >>> x = RandomNormal(3, 0.5, seed=1)((100, 100))
    >>> round(float(x.mean()), 1), round(float(x.std()), 1)
    (3.0, 0.5)
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = as_number(mean, "mean", float("-inf"), bounds="()")
        self.stddev = as_number(stddev, "stddev", 0)

    def _values(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._rng().normal(self.mean, self.stddev, shape)

    def get_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev, **super().get_config()}


class TruncatedNormal(RandomNormal):
    """Normal, values beyond two standard deviations drawn again.

    Examples
    --------
    >>> from fastnn.initializers import TruncatedNormal
    >>> x = TruncatedNormal(stddev=0.5, seed=1)((1000,))
    >>> float(abs(x).max()) <= 1
    True
    """

    def _values(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.mean + self.stddev * _truncated_normal(self._rng(), shape)


class RandomUniform(RandomInitializer):
    """Uniform between `minval` and `maxval`.

    Examples
    --------
    >>> from fastnn.initializers import RandomUniform
    >>> x = RandomUniform(-1, 2, seed=1)((1000,))
    >>> float(x.min()) >= -1, float(x.max()) <= 2
    (True, True)
    """

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        self.minval = as_number(minval, "minval", float("-inf"), bounds="()")
        self.maxval = as_number(maxval, "maxval", self.minval)

    def _values(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._rng().uniform(self.minval, self.maxval, shape)

    def get_config(self) -> dict[str, Any]:
        return {"minval": self.minval, "maxval": self.maxval, **super().get_config()}


class VarianceScaling(RandomInitializer):
    """Variance `scale` / n; n the inputs ("fan_in"), outputs ("fan_out") or their mean ("fan_avg").

    `distribution` is "truncated_normal", "untruncated_normal" or "uniform".

    Examples
    --------
    >>> from fastnn.initializers import VarianceScaling
    >>> x = VarianceScaling(4, "fan_in", "uniform", seed=1)((100, 200))
    >>> round(float(x.std()), 2)  # sqrt(4 / 100)
    0.2
    """

    _modes = ("fan_in", "fan_out", "fan_avg")
    _distributions = ("truncated_normal", "untruncated_normal", "uniform")

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        self.scale = as_number(scale, "scale", 0, bounds="()")
        self.mode = self._one_of(mode, "mode", self._modes)
        distribution = "truncated_normal" if distribution == "normal" else distribution
        self.distribution = self._one_of(distribution, "distribution", self._distributions)

    @staticmethod
    def _one_of(value: Any, name: str, known: tuple[str, ...]) -> str:
        if value not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}; got {value!r}")
        return str(value)

    def _values(self, shape: tuple[int, ...]) -> np.ndarray:
        fan_in, fan_out = _fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        std = sqrt(self.scale / max(1.0, fan))
        rng = self._rng()
        if self.distribution == "uniform":
            return rng.uniform(-sqrt(3) * std, sqrt(3) * std, shape)
        if self.distribution == "untruncated_normal":
            return rng.normal(0, std, shape)
        return std / _TRUNCATED_STD * _truncated_normal(rng, shape)

    def get_config(self) -> dict[str, Any]:
        config = {"scale": self.scale, "mode": self.mode, "distribution": self.distribution}
        return {**config, **super().get_config()}


class _NamedScaling(VarianceScaling):
    """A VarianceScaling with a name of its own: `_scaling` are its first three arguments."""

    _scaling: tuple[float, str, str]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._scaling, seed=seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class GlorotUniform(_NamedScaling):
    """Uniform of variance 2 / (inputs + outputs) (Glorot & Bengio 2010).

    Examples
    --------
    >>> from fastnn.initializers import GlorotUniform
    >>> x = GlorotUniform(seed=1)((100, 300))
    >>> round(float(x.std()), 2)  # sqrt(2 / 400)
    0.07
    """

    _scaling = (1.0, "fan_avg", "uniform")


class GlorotNormal(_NamedScaling):
    """Truncated normal of variance 2 / (inputs + outputs) (Glorot & Bengio 2010).

    Examples
    --------
    >>> from fastnn.initializers import GlorotNormal
    >>> x = GlorotNormal(seed=1)((100, 300))
    >>> round(float(x.std()), 2)  # sqrt(2 / 400)
    0.07
    """

    _scaling = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_NamedScaling):
    """Uniform of variance 2 / inputs (He et al. 2015).

    Examples
    --------
    >>> from fastnn.initializers import HeUniform
    >>> x = HeUniform(seed=1)((100, 300))
    >>> round(float(x.std()), 2)  # sqrt(2 / 100)
    0.14
    """

    _scaling = (2.0, "fan_in", "uniform")


class HeNormal(_NamedScaling):
    """Truncated normal of variance 2 / inputs (He et al. 2015).

    Examples
    --------
    >>> from fastnn.initializers import HeNormal
    >>> x = HeNormal(seed=1)((100, 300))
    >>> round(float(x.std()), 2)  # sqrt(2 / 100)
    0.14
    """

    _scaling = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_NamedScaling):
    """Uniform of variance 1 / inputs (LeCun et al. 1998).

    Examples
    --------
    >>> from fastnn.initializers import LecunUniform
    >>> x = LecunUniform(seed=1)((100, 300))
    >>> round(float(x.std()), 2)  # sqrt(1 / 100)
    0.1
    """

    _scaling = (1.0, "fan_in", "uniform")


class LecunNormal(_NamedScaling):
    """Truncated normal of variance 1 / inputs (LeCun et al. 1998).

    Examples
    --------
    >>> from fastnn.initializers import LecunNormal
    >>> x = LecunNormal(seed=1)((100, 300))
    >>> round(float(x.std()), 2)  # sqrt(1 / 100)
    0.1
    """

    _scaling = (1.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """`gain` times a random matrix of orthonormal columns, or rows where those are fewer.

    Examples
    --------
    >>> from fastnn.initializers import Orthogonal
    >>> q = Orthogonal(seed=1)((5, 2))
    >>> abs(q.T @ q).round(3)
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = as_number(gain, "gain", float("-inf"), bounds="()")

    def _values(self, shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) < 2:
            raise ValueError(f"shape: expected at least two axes, got {shape}")
        rows, columns = prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(self._rng().standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))  # makes the distribution uniform over orthogonal matrices
        return self.gain * (q if rows >= columns else q.T).reshape(shape)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, **super().get_config()}


class Identity(Initializer):
    """`gain` times the identity matrix.

    Examples
    --------
    >>> from fastnn.initializers import Identity
    >>> Identity(2)((2, 2))
    array([[2., 0.],
           [0., 2.]], dtype=float32)
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = as_number(gain, "gain", float("-inf"), bounds="()")

    def _values(self, shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) != 2:
            raise ValueError(f"shape: expected two axes, got {shape}")
        return self.gain * np.eye(*shape)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


zeros, ones, constant = Zeros, Ones, Constant  # as in Keras, and those below
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling, orthogonal, identity = VarianceScaling, Orthogonal, Identity
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal = HeUniform, HeNormal
lecun_uniform, lecun_normal = LecunUniform, LecunNormal

_KNOWN: dict[str, type[Initializer]] = {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
    "orthogonal": Orthogonal,
    "identity": Identity,
}
_KNOWN |= {"zero": Zeros, "one": Ones, "normal": RandomNormal, "uniform": RandomUniform}
_KNOWN |= {cls.__name__: cls for cls in _KNOWN.values()}


def get(identifier: Any, name: str = "initializer") -> Initializer:
    """The initializer that `identifier` (instance, class, name or serialized dict) stands for.

    Examples
    --------
    >>> from fastnn import initializers
    >>> initializers.get("he_normal")
    HeNormal(seed=None)
    >>> initializers.get({"class_name": "Constant", "config": {"value": 2.0}})
    Constant(value=2.0)
    """
    return resolve(identifier, Initializer, _KNOWN, name)
