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
}


def slot_names(optimizer: str | None, hyper: Mapping[str, Any]) -> tuple[str, ...]:
    """The slots, out of m, v and u, that an optimizer with these numbers has."""
    if optimizer is None:
        return ()
    names = set(_SLOTS[optimizer])
    if hyper.get("momentum"):
        names.add("m")
    if hyper.get("centered"):
        names.add("u")
    return tuple(name for name in "mvu" if name in names)


def initial_value(hyper: Mapping[str, Any]) -> float:
    """What the slots begin with."""
    return float(hyper.get("initial_accumulator_value", 0.0))
