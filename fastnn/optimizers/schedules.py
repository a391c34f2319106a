"""Learning rates that change with every optimizer step, under Keras's names.

Give one to an optimizer as its `learning_rate`. Step 0 is the first; rates are computed in float64,
for all steps of an epoch at once.
"""

from collections.abc import Mapping, Sequence
from math import pi
from typing import Any

import numpy as np

from fastnn._data import as_bool, as_int, as_number
from fastnn._registry import Configurable, resolve, serialize

Steps = Any  # an int, or an array of steps


class LearningRateSchedule(Configurable):
    """Base of all schedules: override `__call__` and, for files and pickles, `get_config`.

    Examples
    --------
    >>> from fastnn.optimizers.schedules import LearningRateSchedule
    >>> class Harmonic(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 / (step + 1)
    >>> Harmonic().rates(0, 3).round(3).tolist()
    [0.1, 0.05, 0.033]
    """

    def __call__(self, step: Steps) -> Any:
        """The learning rate of a step, counted from 0."""
        raise NotImplementedError(
            f"{type(self).__name__}: expected a schedule with a __call__(self, step) of its own"
        )

    def rates(self, start: int, count: int) -> np.ndarray:
        """The learning rates of the steps from `start` on, (count,) of float64.

        Raises
        ------
        ValueError, TypeError
            If the schedule gives something else than numbers of 0 or more.
        """
        name = f"what {type(self).__name__} gave"
        rates = [as_number(self(step), name, 0) for step in range(start, start + count)]
        return np.array(rates, np.float64)

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            f"{type(self).__name__}: expected a schedule with a get_config(self) of its own"
        )

    def __repr__(self) -> str:
        try:
            return super().__repr__()
        except NotImplementedError:
            return f"{type(self).__name__}()"


_AHEAD = 1024  # steps that a formula is computed for at a time, from a multiple of
_VECTORS = 64  # on


class _Formula(LearningRateSchedule):
    """A schedule whose formula takes arrays of steps."""

    name: str
    _block: tuple[int, np.ndarray] = (0, np.zeros(0))  # the steps computed last: the first, rates

    def rate(self, step: np.ndarray) -> np.ndarray:
        """The formula; `step` is of float64."""
        raise NotImplementedError

    def __call__(self, step: Steps) -> Any:
        rate = self.rate(np.asarray(step, np.float64))
        return float(rate) if rate.ndim == 0 else rate

    def rates(self, start: int, count: int) -> np.ndarray:
        # A short epoch's steps take as long to compute as one of them to train. NumPy may round a
        # number by its place in the array: that is a step's own, whatever was asked for before.
        first, block = self._block
        if not first <= start <= start + count <= first + len(block):
            first = start - start % _VECTORS
            size = max(start + count - first, _AHEAD)
            block = self.rate(np.arange(first, first + size + -size % _VECTORS, dtype=np.float64))
            self._block = first, block
        return block[start - first : start - first + count].copy()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_block"}

    def get_config(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


class _Decay(_Formula):
    """A schedule of a rate for every so many steps.

    Parameters
    ----------
    initial_learning_rate : float >= 0
    decay_steps : int >= 1
    decay_rate : float >= 0
    staircase : bool
        Whether ``step / decay_steps`` is rounded down.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = None,
    ) -> None:
        self.initial_learning_rate = as_number(initial_learning_rate, "initial_learning_rate", 0)
        self.decay_steps = as_int(decay_steps, "decay_steps", 1)
        self.decay_rate = as_number(decay_rate, "decay_rate", 0)
        self.staircase = as_bool(staircase, "staircase")
        self.name = type(self).__name__ if name is None else str(name)

    def _decays(self, step: np.ndarray) -> np.ndarray:
        """How many there were before a step."""
        decays: np.ndarray = step / self.decay_steps
        return np.floor(decays) if self.staircase else decays


class ExponentialDecay(_Decay):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float >= 0
    decay_steps : int >= 1
    decay_rate : float >= 0
    staircase : bool
        Whether ``step / decay_steps`` is rounded down.

    Examples
    --------
    >>> from fastnn.optimizers.schedules import ExponentialDecay
    >>> ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)(200)
    0.025
    """

    def rate(self, step: np.ndarray) -> np.ndarray:
        power: np.ndarray = self.decay_rate ** self._decays(step)
        return self.initial_learning_rate * power


class InverseTimeDecay(_Decay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float >= 0
    decay_steps : int >= 1
    decay_rate : float >= 0
    staircase : bool
        Whether ``step / decay_steps`` is rounded down.

    Examples
    --------
    >>> from fastnn.optimizers.schedules import InverseTimeDecay
    >>> InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)(10)
    0.05
    """

    def rate(self, step: np.ndarray) -> np.ndarray:
        return self.initial_learning_rate / (1 + self.decay_rate * self._decays(step))


class PolynomialDecay(_Formula):
    """From one rate to another in `decay_steps`, by a power of the part that is left.

    ``(initial - end) * (1 - step / decay_steps) ** power + end``, and `end` afterwards.

    Parameters
    ----------
    initial_learning_rate, end_learning_rate : float >= 0
    decay_steps : int >= 1
    power : float > 0
    cycle : bool
        Whether to begin anew, with `decay_steps` of one, two, three ... times as many.

    Examples
    --------
    >>> from fastnn.optimizers.schedules import PolynomialDecay
    >>> PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0)(5)
    0.05
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = as_number(initial_learning_rate, "initial_learning_rate", 0)
        self.decay_steps = as_int(decay_steps, "decay_steps", 1)
        self.end_learning_rate = as_number(end_learning_rate, "end_learning_rate", 0)
        self.power = as_number(power, "power", 0, bounds="()")
        self.cycle = as_bool(cycle, "cycle")
        self.name = str(name)

    def rate(self, step: np.ndarray) -> np.ndarray:
        times = np.maximum(1, np.ceil(step / self.decay_steps)) if self.cycle else 1
        total = self.decay_steps * times
        step = np.minimum(step, total)
        height = self.initial_learning_rate - self.end_learning_rate
        rate: np.ndarray = height * (1 - step / total) ** self.power + self.end_learning_rate
        return rate


class PiecewiseConstantDecay(_Formula):
    """``values[0]`` up to and with step ``boundaries[0]``, ``values[1]`` up to ``boundaries[1]``...

    Parameters
    ----------
    boundaries : sequence of int
        Rising; at least one.
    values : sequence of float
        One more.

    Examples
    --------
    >>> from fastnn.optimizers.schedules import PiecewiseConstantDecay
    >>> drop = PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
    >>> drop(100), drop(101)
    (0.1, 0.01)
    """

    def __init__(
        self, boundaries: Sequence[int], values: Sequence[float], name: str = "PiecewiseConstant"
    ) -> None:
        for given, called in ((boundaries, "boundaries"), (values, "values")):
            if not isinstance(given, (list, tuple, np.ndarray)):
                raise TypeError(f"{called}: expected a list of numbers, got {given!r}")
        self.boundaries = [as_int(step, "boundaries", 0) for step in boundaries]
        self.values = [as_number(value, "values", 0) for value in values]
        if not self.boundaries or self.boundaries != sorted(set(self.boundaries)):
            raise ValueError(f"boundaries: expected rising steps, got {boundaries}")
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values: expected {len(self.boundaries) + 1}, one more than boundaries, got "
                f"{len(self.values)}"
            )
        self.name = str(name)

    def rate(self, step: np.ndarray) -> np.ndarray:
        return np.array(self.values)[np.searchsorted(self.boundaries, step, side="left")]


class _Cosine(_Formula):
    """What cosine schedules share: a straight way up, if there is a warm-up, and then down."""

    initial_learning_rate: float
    alpha: float
    warmup_target: float | None
    warmup_steps: int

    def _take(
        self, initial: float, alpha: float, warmup_target: float | None, warmup_steps: int
    ) -> None:
        self.initial_learning_rate = as_number(initial, "initial_learning_rate", 0)
        self.alpha = as_number(alpha, "alpha", 0, 1, bounds="[]")
        self.warmup_target = None
        if warmup_target is not None:
            self.warmup_target = as_number(warmup_target, "warmup_target", 0)
        self.warmup_steps = as_int(warmup_steps, "warmup_steps", 0)

    def _decay(self, step: np.ndarray) -> np.ndarray:
        """What is left of the highest rate so many steps after it."""
        raise NotImplementedError

    def rate(self, step: np.ndarray) -> np.ndarray:
        if self.warmup_target is None:
            return self.initial_learning_rate * self._decay(step)
        part = step / max(self.warmup_steps, 1)
        rising = self.initial_learning_rate + (
            self.warmup_target - self.initial_learning_rate
        ) * np.minimum(part, 1)
        falling = self.warmup_target * self._decay(np.maximum(step - self.warmup_steps, 0))
        return np.where(step < self.warmup_steps, rising, falling)


class CosineDecay(_Cosine):
    """Half a cosine from the initial rate to `alpha` times that in `decay_steps`.

    Loshchilov & Hutter 2016, "SGDR". With `warmup_target` the rate first rises to that, on a
    straight line of `warmup_steps`, and falls from there.

    Parameters
    ----------
    initial_learning_rate : float >= 0
    decay_steps : int >= 1
        Of the fall, without the warm-up.
    alpha : float in [0, 1]
    warmup_target : float >= 0, optional
    warmup_steps : int >= 0

    Examples
    --------
    >>> from fastnn.optimizers.schedules import CosineDecay
    >>> CosineDecay(0.0, decay_steps=100, warmup_target=0.1, warmup_steps=10)(10)
    0.1
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self._take(initial_learning_rate, alpha, warmup_target, warmup_steps)
        self.decay_steps = as_int(decay_steps, "decay_steps", 1)
        self.name = str(name)

    def _decay(self, step: np.ndarray) -> np.ndarray:
        part = np.minimum(step / self.decay_steps, 1)
        return (1 - self.alpha) * 0.5 * (1 + np.cos(pi * part)) + self.alpha


class CosineDecayRestarts(_Cosine):
    """Cosine decays one after the other (Loshchilov & Hutter 2016, "SGDR").

    Parameters
    ----------
    initial_learning_rate : float >= 0
    first_decay_steps : int >= 1
        Of the first decay.
    t_mul : float >= 1
        How many times as long each decay is as the one before.
    m_mul : float >= 0
        How many times as high it begins.
    alpha : float in [0, 1]
        The part of the initial rate that is left at the end of each.
    warmup_target, warmup_steps
        As for `CosineDecay`; Keras has none here.

    Examples
    --------
    >>> from fastnn.optimizers.schedules import CosineDecayRestarts
    >>> CosineDecayRestarts(0.1, first_decay_steps=10)(10)
    0.1
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
        *,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self._take(initial_learning_rate, alpha, warmup_target, warmup_steps)
        self.first_decay_steps = as_int(first_decay_steps, "first_decay_steps", 1)
        self.t_mul = as_number(t_mul, "t_mul", 1)
        self.m_mul = as_number(m_mul, "m_mul", 0)
        self.name = str(name)

    def _decay(self, step: np.ndarray) -> np.ndarray:
        part = step / self.first_decay_steps
        if self.t_mul == 1:
            restart = np.floor(part)
            part = part - restart
        else:  # decays before `restart` last (t_mul^restart - 1) / (t_mul - 1) first ones
            restart = np.floor(np.log1p(part * (self.t_mul - 1)) / np.log(self.t_mul) + 1e-12)
            power = self.t_mul**restart
            part = (part - (power - 1) / (self.t_mul - 1)) / power
        cosine: np.ndarray = 0.5 * self.m_mul**restart * (1 + np.cos(pi * part))
        return (1 - self.alpha) * cosine + self.alpha


class OneCycle(_Formula):
    """Up to the highest rate and down to almost nothing, once, each by half a cosine.

    Smith & Topin 2018, "Super-convergence", in the form of PyTorch's OneCycleLR.

    Parameters
    ----------
    max_learning_rate : float >= 0
    total_steps : int >= 2
        After them the rate stays at its least.
    pct_start : float in (0, 1)
        The part of the steps that goes up.
    div_factor : float > 0
        The first rate is the highest over this,
    final_div_factor : float > 0
        and the last one the first over this.

    Examples
    --------
    >>> from fastnn.optimizers.schedules import OneCycle
    >>> cycle = OneCycle(0.1, total_steps=101, pct_start=0.5)
    >>> cycle(0)
    0.004
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        name: str = "OneCycle",
    ) -> None:
        self.max_learning_rate = as_number(max_learning_rate, "max_learning_rate", 0)
        self.total_steps = as_int(total_steps, "total_steps", 2)
        self.pct_start = as_number(pct_start, "pct_start", 0, 1, bounds="()")
        self.div_factor = as_number(div_factor, "div_factor", 0, bounds="()")
        self.final_div_factor = as_number(final_div_factor, "final_div_factor", 0, bounds="()")
        self.name = str(name)

    def rate(self, step: np.ndarray) -> np.ndarray:
        top, last = self.pct_start * self.total_steps - 1, self.total_steps - 1.0
        first = self.max_learning_rate / self.div_factor
        up = self._between(first, step / top if top > 0 else np.ones_like(step))
        down = self._between(first / self.final_div_factor, (last - step) / (last - top))
        rate: np.ndarray = np.where(step <= top, up, down)
        return rate

    def _between(self, low: float, part: np.ndarray) -> np.ndarray:
        """From `low` (part 0) to the highest (part 1)."""
        part = np.clip(part, 0, 1)
        height = self.max_learning_rate - low
        rate: np.ndarray = low + height * 0.5 * (1 - np.cos(pi * part))
        return rate


_CLASSES = (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
_KNOWN: dict[str, type[LearningRateSchedule]] = {cls.__name__: cls for cls in _CLASSES}


def get(identifier: Any) -> LearningRateSchedule:
    """The schedule that `identifier` (an instance or a serialized dict) stands for.

    Examples
    --------
    >>> from fastnn.optimizers import schedules
    >>> config = {"initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.5}
    >>> schedules.get({"class_name": "ExponentialDecay", "config": config})(200)
    0.025
    """
    return resolve(identifier, LearningRateSchedule, _KNOWN, "learning_rate")


def as_rate(value: Any, name: str = "learning_rate") -> float | LearningRateSchedule:
    """`value`, a number of 0 or more or a schedule, checked.

    Examples
    --------
    >>> from fastnn.optimizers.schedules import as_rate
    >>> as_rate(1)
    1.0
    """
    if isinstance(value, (LearningRateSchedule, Mapping)):
        return get(value)
    return as_number(value, name, 0)


def rate_config(value: float | LearningRateSchedule) -> Any:
    """A learning rate as plain data.

    Examples
    --------
    >>> from fastnn.optimizers.schedules import rate_config
    >>> rate_config(0.1)
    0.1
    """
    return serialize(value) if isinstance(value, LearningRateSchedule) else value
