"""What each optimizer keeps beside the weights; both engines go by it."""

from collections.abc import Mapping
from typing import Any

_SLOTS = {
    "sgd": (),
    "adam": ("m", "v"),
    "amsgrad": ("m", "v", "u"),
    "nadam": ("m", "v"),
    "adamax": ("m", "v"),
    "rmsprop": ("v",),
    "adagrad": ("v",),
    "lion": ("m",),
    "sum": ("sums",),
}


# of any optimizer: moving averages of the weights, and sums of gradients
_ORDER = ("m", "v", "u", "average", "sums")
_SHARED = {"average": "use_ema", "sums": "gradient_accumulation_steps"}


def slot_names(optimizer: str | None, hyper: Mapping[str, Any]) -> tuple[str, ...]:
    """The slots, out of m, v, u, average and sums, that an optimizer with these numbers has."""
    if optimizer is None:
        return ()
    names = set(_SLOTS[optimizer])
    if hyper.get("momentum"):
        names.add("m")
    if hyper.get("centered"):
        names.add("u")
    names |= {name for name, asked in _SHARED.items() if hyper.get(asked)}
    return tuple(name for name in _ORDER if name in names)


def initial_value(hyper: Mapping[str, Any]) -> float:
    """What v begins with."""
    return float(hyper.get("initial_accumulator_value", 0.0))
