"""The model behind an estimator: its layers, and scikit-learn's losses as the engine has them."""

from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np

from fastnn import losses
from fastnn.layers import Activation, BatchNormalization, Dense, Dropout, Input, Layer
from fastnn.models import Sequential

# scikit-learn's names of what Keras and the engine call otherwise
ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}


class LogLoss(losses.Loss):
    """Cross-entropies of sigmoids, summed over the outputs.

    scikit-learn reports those of probabilities clipped to [eps, 1 - eps], and follows the gradient
    of those that are not.
    """

    engine_name = "log_loss"
    _name = "log_loss"

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = float(eps)

    @property
    def params(self) -> tuple[float, ...]:
        return (self.eps,)

    def get_config(self) -> dict[str, Any]:
        return {"eps": self.eps}


class ClassLogLoss(LogLoss):
    """The cross-entropy of a softmax for class ids, of at most -log(eps)."""

    engine_name = "xent"
    sparse = True

    @property
    def params(self) -> tuple[float, ...]:
        return (0.0, -log(self.eps))


class HalfSquaredError(losses.Loss):
    """Half the mean of e^2 over the outputs, and as gradient e, that of half their sum.

    The two are scikit-learn's, and differ by the number of outputs.
    """

    engine_name = "half_squared"
    _name = "squared_error"

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    @property
    def params(self) -> tuple[float, ...]:
        return (0.5 / self.outputs,)

    def get_config(self) -> dict[str, Any]:
        return {"outputs": self.outputs}


class HalfPoisson(losses.Loss):
    """Half the Poisson deviance of exponentials, summed over the outputs."""

    engine_name = "half_poisson"
    _name = "poisson"

    def get_config(self) -> dict[str, Any]:
        return {}


def build(
    sizes: Sequence[int],
    activations: Sequence[Any],
    dtype: str,
    *,
    batch_norm: bool = False,
    dropout: float = 0.0,
    seeds: Sequence[int] = (),
) -> Sequential:
    """A model of dense layers with weights that are 0, of `sizes[0]` inputs.

    Before the activation of a hidden layer comes its normalization, after it its dropout, which has
    one of the seeds.
    """
    names = [ACTIVATIONS.get(name, name) if isinstance(name, str) else name for name in activations]
    layers: list[Layer] = [Input((sizes[0],), dtype=dtype)]
    for number, (units, name) in enumerate(zip(sizes[1:], names, strict=True)):
        hidden = number < len(names) - 1
        first = None if hidden and batch_norm else name
        layers.append(Dense(units, first, kernel_initializer="zeros", dtype=dtype))
        if hidden and batch_norm:
            layers += [BatchNormalization(dtype=dtype), Activation(name, dtype=dtype)]
        if hidden and dropout:
            layers.append(Dropout(dropout, seed=seeds[number], dtype=dtype))
    return Sequential(layers)


def dense_layers(model: Sequential) -> list[Dense]:
    """The layers with a kernel and a bias, first to last."""
    return [layer for layer in model.layers if isinstance(layer, Dense)]


def layer_sizes(model: Sequential) -> list[int]:
    """Of the inputs and of each dense layer."""
    return [model._shapes[0][0], *(layer.units for layer in dense_layers(model))]


def set_alpha(model: Sequential, alpha: float) -> None:
    """Let the sum over the samples of a step's losses be greater by alpha / 2 * |kernels|^2."""
    for layer in dense_layers(model):
        model._network.set_penalty(layer._op, (0.0, alpha / 2), (0.0, 0.0))


def hidden_model(model: Sequential) -> Sequential:
    """A model that ends with what goes into the last layer, with the same weights."""
    return _copy(model, model.layers[:-1])


def copy_model(model: Sequential) -> Sequential:
    """A model of its own with the same layers and weights, not compiled."""
    return _copy(model, model.layers)


def of_both_classes(outputs: np.ndarray) -> np.ndarray:
    """Probabilities of all classes, where one output stands for the second of two."""
    return np.concatenate((1 - outputs, outputs), axis=1) if outputs.shape[1] == 1 else outputs


def most_likely(classes: np.ndarray, outputs: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """The label of each sample, where one output stands for the second of two from above that."""
    one = outputs.shape[1] == 1
    number = (outputs[:, 0] > threshold).astype(int) if one else outputs.argmax(axis=1)
    labels: np.ndarray = classes[number]
    return labels


def _copy(model: Sequential, layers: Sequence[Layer]) -> Sequential:
    first = Input(model._shapes[0], dtype=layers[0].dtype_policy.name)
    copy = Sequential([first, *(type(layer).from_config(layer.get_config()) for layer in layers)])
    copy.set_weights([weight for layer in layers for weight in layer.get_weights()])
    return copy
