"""Layers, under Keras's names. A layer holds its settings; once its model is built, the weights
live in the model's network, and a layer reads and writes them there."""

from typing import Any

from fastnn._registry import resolve
from fastnn.layers._activations import ELU, Activation, LeakyReLU, ReLU, Softmax
from fastnn.layers._base import Layer
from fastnn.layers._dense import Dense
from fastnn.layers._input import Input, InputLayer
from fastnn.layers._noise import AlphaDropout, Dropout, GaussianDropout, GaussianNoise
from fastnn.layers._scaling import Normalization, Rescaling

__all__ = [
    "ELU",
    "Activation",
    "AlphaDropout",
    "Dense",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Input",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "Normalization",
    "ReLU",
    "Rescaling",
    "Softmax",
    "get",
]

_KNOWN: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        InputLayer, Dense,
        Activation, ReLU, LeakyReLU, ELU, Softmax,
        Dropout, AlphaDropout, GaussianDropout, GaussianNoise,
        Normalization, Rescaling,
    )
}  # fmt: skip


def get(identifier: Any) -> Layer:
    """The layer that `identifier` (a layer or its serialized dict) stands for.

    Examples
    --------
    >>> from fastnn import layers
    >>> layers.get({"class_name": "Dropout", "config": {"rate": 0.5}}).rate
    0.5
    """
    return resolve(identifier, Layer, _KNOWN, "layer")
