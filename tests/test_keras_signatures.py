"""Arguments of constructors against Keras's: names, order and defaults."""

import importlib
import inspect
import os

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("torch", reason="PyTorch is missing: pip install 'fastnn[oracles]'")
pytest.importorskip("keras", reason="Keras is missing: pip install 'fastnn[oracles]'")

# Keras's own warnings are its affair.
pytestmark = [pytest.mark.oracles, pytest.mark.filterwarnings("ignore")]

MODULES = ("layers", "losses", "metrics", "optimizers", "regularizers", "constraints")
SCHEDULES = "optimizers.schedules"

# Newer than what is here, or for what dense networks on a CPU do not have
WITHOUT = {"lora_rank", "lora_alpha", "quantization_config", "kwargs", "input_axes", "output_axes"}
OTHER_DEFAULTS = {
    ("F1Score", "average"),  # one number, not one a class
    ("F1Score", "threshold"),
    ("FBetaScore", "average"),
    ("FBetaScore", "threshold"),
}


def classes():
    for name in (*MODULES, "initializers", SCHEDULES):
        ours = importlib.import_module(f"fastnn.{name}")
        theirs = importlib.import_module(f"keras.{name}")
        for each in dir(ours):
            mine, other = getattr(ours, each), getattr(theirs, each, None)
            abstract = each in ("Layer", "Loss", "Metric", "Optimizer")
            if inspect.isclass(mine) and inspect.isclass(other) and not abstract:
                yield pytest.param(mine, other, id=f"{name}.{each}")


def arguments(cls):
    found = list(inspect.signature(cls).parameters.values())
    return {p.name: p for p in found if p.name not in WITHOUT}


@pytest.mark.parametrize(("ours", "theirs"), list(classes()))
def test_a_call_means_the_same(ours, theirs):
    mine, other = arguments(ours), arguments(theirs)
    positional = [n for n, p in mine.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == list(other)[: len(positional)]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in mine.values())
    for name, argument in other.items():
        if name not in mine:
            assert open_ended, name
            continue
        default = mine[name].default
        if name == "name" and default is None:
            default = argument.default  # the default is that of the class
        if (ours.__name__, name) not in OTHER_DEFAULTS:
            assert _plain(default) == _plain(argument.default), name


def _plain(default):
    return default.lower() if isinstance(default, str) else default
