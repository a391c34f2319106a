"""Layers, under Keras's names. A layer holds its settings; once its model is built, the weights
live in the model's network, and a layer reads and writes them there."""

from typing import Any

from fastnn._registry import resolve
from fastnn.layers._activations import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from fastnn.layers._base import Layer
from fastnn.layers._dense import Dense
from fastnn.layers._embedding import CategoricalEmbedding, Embedding
from fastnn.layers._input import Input, InputLayer
from fastnn.layers._noise import AlphaDropout, Dropout, GaussianDropout, GaussianNoise
from fastnn.layers._normalization import BatchNormalization, LayerNormalization
from fastnn.layers._residual import Residual
from fastnn.layers._scaling import Normalization, Rescaling
from fastnn.layers._shapes import Flatten, Identity, Reshape

__all__ = [
    "ELU",
    "Activation",
    "AlphaDropout",
    "BatchNormalization",
    "CategoricalEmbedding",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Normalization",
    "PReLU",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Residual",
    "Softmax",
    "get",
]

_KNOWN: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        InputLayer, Dense, Identity, Flatten, Reshape, Residual, Embedding, CategoricalEmbedding,
        Activation, ReLU, LeakyReLU, ELU, PReLU, Softmax,
        Dropout, AlphaDropout, GaussianDropout, GaussianNoise,
        Normalization, Rescaling, BatchNormalization, LayerNormalization,
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
