"""The model behind an estimator: its layers, and scikit-learn's losses as the engine has them."""

from collections.abc import Sequence
from math import log
from typing import Any, NamedTuple, TypeVar

import numpy as np

from fastnn import losses
from fastnn.layers import Activation, BatchNormalization, Dense, Dropout, Input, Layer
from fastnn.models import Sequential

T = TypeVar("T")

# scikit-learn's names of what Keras and the engine call otherwise
ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}


# of class ids, or of shares that sum to 1: of a single output they are 0, whatever it is
OF_SEVERAL_OUTPUTS = (
    losses.CategoricalCrossentropy,
    losses.CategoricalFocalCrossentropy,
    losses.SparseCategoricalCrossentropy,
)


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


class Settings(NamedTuple):
    """What a model is made by, beside its sizes and weights: parameters of the estimator.

    Attributes
    ----------
    activation : str, callable or tuple
        Of the hidden layers: of all, or of each.
    last : str
        That of the last layer.
    loss : str, Loss or callable
    dtype : str
    batch_norm : bool
    dropout : float
    seed : int, optional
        Of the dropout.
    """

    activation: Any
    last: str
    loss: Any
    dtype: str
    batch_norm: bool
    dropout: float
    seed: int | None


def hidden_activations(activation: Any, hidden: int) -> list[Any]:
    """That of each hidden layer."""
    if not isinstance(activation, (list, tuple)):
        return [activation] * hidden
    if len(activation) != hidden:
        raise ValueError(
            f"activation: expected one for each of {hidden} hidden layers, got {activation}"
        )
    return list(activation)


def build(
    sizes: Sequence[int], settings: Settings, weights: Sequence[list[np.ndarray]] = ()
) -> Sequential:
    """A model of dense layers, of `sizes[0]` inputs; with a kernel and a bias for each, or zeros.

    Before the activation of a hidden layer comes its normalization, after it its dropout.
    """
    activations = [*hidden_activations(settings.activation, len(sizes) - 2), settings.last]
    names = [ACTIVATIONS.get(name, name) if isinstance(name, str) else name for name in activations]
    dtype, batch_norm = settings.dtype, settings.batch_norm
    layers: list[Layer] = [Input((sizes[0],), dtype=dtype)]
    for number, (units, name) in enumerate(zip(sizes[1:], names, strict=True)):
        hidden = number < len(names) - 1
        first = None if hidden and batch_norm else name
        dense = Dense(units, first, kernel_initializer="zeros", dtype=dtype)
        if weights:
            dense.set_weights_for((sizes[number],), weights[number])
        layers.append(dense)
        if hidden and batch_norm:
            layers += [BatchNormalization(dtype=dtype), Activation(name, dtype=dtype)]
        if hidden and settings.dropout:
            seed = (settings.seed + number) % 2**31  # type: ignore[operator]
            layers.append(Dropout(settings.dropout, seed=seed, dtype=dtype))
    return Sequential(layers)


def take_over(model: Sequential, old: Sequential, loss: Any) -> None:
    """Have the weights of another model; where all sizes are its, compiled as it is for `loss`."""
    pairs = [
        pair
        for kind in (Dense, BatchNormalization)
        for pair in zip(_layers(model, kind), _layers(old, kind), strict=False)
    ]
    same = [(layer, other) for layer, other in pairs if layer.shapes == other.shapes]
    for layer, other in same:
        layer.set_weights(other.get_weights())
    if old.optimizer is None or layer_sizes(model) != layer_sizes(old):
        return
    model.compile(type(old.optimizer).from_config(old.optimizer.get_config()), loss)
    for slot in model._network.slot_names:
        for layer, other in same:
            layer.set_slot(slot, [array.astype(model._dtype) for array in other.get_slot(slot)])
    model._network.iterations = old.iterations


def dense_layers(model: Sequential) -> list[Dense]:
    """The layers with a kernel and a bias, first to last."""
    return _layers(model, Dense)


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


def _layers(model: Sequential, kind: type[T]) -> list[T]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


def _copy(model: Sequential, layers: Sequence[Layer]) -> Sequential:
    first = Input(model._shapes[0], dtype=layers[0].dtype_policy.name)
    copy = Sequential([first, *(type(layer).from_config(layer.get_config()) for layer in layers)])
    copy.set_weights([weight for layer in layers for weight in layer.get_weights()])
    return copy
