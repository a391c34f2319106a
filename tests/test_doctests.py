"""The examples in docstrings run and give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import fastnn

MODULES = [
    module.name
    for module in pkgutil.walk_packages(fastnn.__path__, "fastnn.")
    if not module.name.startswith(("fastnn._native", "fastnn.cli", "fastnn.__main__"))
]
MODULES.append("fastnn._native.arrays")  # whose functions fastnn.kernels shows


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, _ = doctest.testmod(importlib.import_module(name), raise_on_error=False)
    assert not failed


@pytest.mark.parametrize(
    "name",
    [
        *("activations", "callbacks", "config", "constraints", "initializers", "io", "kernels"),
        *("layers", "losses", "metrics", "models", "optimizers", "optimizers.schedules"),
        *("regularizers", "sklearn", "utils"),
    ],
)
def test_every_public_name_has_an_example(name):
    module = importlib.import_module(f"fastnn.{name}")
    names = getattr(module, "__all__", [each for each in vars(module) if each[0] != "_"])
    public = {each: getattr(module, each) for each in names}
    without = [
        each
        for each, item in public.items()
        if callable(item)
        and str(getattr(item, "__module__", "")).startswith((module.__name__, "fastnn._native"))
        and ">>>" not in (item.__doc__ or "")
    ]
    assert not without


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    with_examples = [
        name
        for name in MODULES
        if any(test.examples for test in finder.find(importlib.import_module(name)))
    ]
    expected = {
        "fastnn._native.arrays",
        "fastnn.models",
        "fastnn.layers._noise",
        "fastnn.optimizers.schedules",
    }
    assert expected <= set(with_examples)
