"""Layers, under Keras's names. A layer holds its settings; once its model is built, the weights
live in the model's network, and a layer reads and writes them there."""

from typing import Any

from fastnn._registry import resolve
from fastnn.layers._activations import Activation
from fastnn.layers._base import Layer
from fastnn.layers._dense import Dense
from fastnn.layers._embedding import CategoricalEmbedding, Embedding
from fastnn.layers._input import Input, InputLayer
from fastnn.layers._noise import Dropout
from fastnn.layers._scaling import Normalization
from fastnn.layers._shapes import Flatten, Reshape

__all__ = [
    "Activation",
    "CategoricalEmbedding",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "Normalization",
    "Reshape",
    "get",
]

_KNOWN: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        InputLayer,
        Dense,
        Activation,
        Dropout,
        Normalization,
        Flatten,
        Reshape,
        Embedding,
        CategoricalEmbedding,
    )
}


def get(identifier: Any) -> Layer:
    """The layer that `identifier` (a layer or its serialized dict) stands for."""
    return resolve(identifier, Layer, _KNOWN, "layer")
