"""Layers, under Keras's names. A layer holds its settings; once its model is built, the weights
live in the model's network, and a layer reads and writes them there."""

import weakref
from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from fastnn import activations, initializers, regularizers
from fastnn._data import (
    as_bool,
    as_features,
    as_int,
    as_number,
    as_shape,
    as_weights,
    check_neutral,
    numeric,
)
from fastnn._lock import ModelLock
from fastnn._registry import Configurable, resolve, serialize
from fastnn.config import DTypePolicy, standardize_policy
from fastnn.utils import draw_seed

_names_given: Counter[str] = Counter()


def auto_name(base: str) -> str:
    """`base`, then base_1, base_2, ..., as Keras counts."""
    number = _names_given[base]
    _names_given[base] += 1
    return f"{base}_{number}" if number else base


def as_name(name: Any, base: str) -> str:
    """`name`, or a new one."""
    if name is None:
        return auto_name(base)
    if not isinstance(name, str) or not name:
        raise TypeError(f"name: expected a string, got {name!r}")
    return name


class Layer(Configurable):
    """Base of all layers.

    Parameters
    ----------
    name : str, optional
    dtype : {"float32", "float64", "mixed_bfloat16"} or DTypePolicy, optional
        By default `fastnn.config.dtype_policy()`. The layers of a model are all of float64, or
        none is.
    input_shape : tuple of one int, optional
        On a model's first layer: the number of features, such as (10,).
    input_dim : int, optional
        The same, as a number.
    trainable : bool
        Whether training changes the weights. May be changed later.
    **keras
        Keras's other arguments, at the values that ask for nothing.
    """

    weight_names: tuple[str, ...] = ()
    # Keras's arguments that fastnn does not support yet, at the values that ask for nothing
    _neutral: Mapping[str, tuple[Any, ...]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "call" in vars(cls):
            raise TypeError(f"{cls.__name__}: expected no call() of its own; {_NO_OWN_LAYERS}")

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        trainable: bool = True,
        **keras: Any,
    ) -> None:
        check_neutral(type(self).__name__, keras, self._neutral)
        self._trainable = as_bool(trainable, "trainable")
        self.dtype_policy: DTypePolicy = standardize_policy(dtype)
        self.input_size_argument: int | None = None
        if input_dim is not None:
            self.input_size_argument = as_int(input_dim, "input_dim", 1)
        if input_shape is not None:
            self.input_size_argument = as_shape(input_shape, "input_shape")
        self.name = as_name(name, type(self).__name__.lower())
        self._input_size: int | None = None
        self._owner: weakref.ref[Any] | None = None  # weak: a model dies with its last user
        self._lock = ModelLock()  # the owner's, where there is one
        self._weights: list[np.ndarray] | None = None  # while there is no network
        self._network: Any = None
        self._op = -1

    # ---- what each kind of layer says about itself --------------------------------------------

    def op(self) -> tuple[Any, ...]:
        """This layer as the engine takes it."""
        raise TypeError(f"layer {self.name!r}: {_NO_OWN_LAYERS}; got a {type(self).__name__}")

    def output_size_for(self, input_size: int) -> int:
        """How many outputs so many inputs give."""
        return input_size

    def weight_shapes(self, input_size: int) -> list[tuple[int, ...]]:
        """Shapes of the weights, in the order of `weight_names`."""
        return []

    def _initial_weights(self, input_size: int) -> list[np.ndarray]:
        return []

    def _push(self, weights: list[np.ndarray]) -> None:
        """Write checked weights into the network."""

    def _pull(self) -> list[np.ndarray]:
        """Copies of the weights in the network."""
        return []

    # ---- the model's side ---------------------------------------------------------------------

    def check_input_size(self, input_size: int) -> None:
        """Refuse an input that this layer was not made for."""
        fixed = self.built and self.weight_names
        known = self.input_size if fixed else self.input_size_argument
        if known is not None and known != input_size:
            raise ValueError(
                f"layer {self.name!r}: expected {known} inputs, got {input_size} from what is "
                f"before it"
            )

    def first_weights(self, input_size: int) -> list[np.ndarray]:
        """The weights to begin with: those the layer has, or new ones."""
        if self.built:
            return self.get_weights()
        shapes = self.weight_shapes(input_size)
        return as_weights(
            self._initial_weights(input_size), shapes, np.dtype(self.dtype), "initial weights"
        )

    def attach(self, network: Any, op: int, input_size: int, weights: list[np.ndarray]) -> None:
        """Move into a network: from now on the weights live there."""
        self._network, self._op, self._input_size, self._weights = network, op, input_size, None
        self._push(weights)

    def detach(self) -> None:
        """Move out of the network, with the weights."""
        if self._network is not None:
            self._weights, self._network = self._pull(), None

    @property
    def owner(self) -> Any:
        """The model that this layer is in, or None."""
        return self._owner() if self._owner is not None else None

    def join(self, model: Any, lock: ModelLock) -> None:
        """Become a part of a model."""
        self.detach()  # from the network of a model that is no more
        self._owner, self._lock = weakref.ref(model), lock

    def leave(self) -> None:
        """Become free again, with the weights."""
        self.detach()
        self._owner, self._lock = None, ModelLock()

    # ---- for everyone -------------------------------------------------------------------------

    @property
    def dtype(self) -> str:
        """What the weights are kept in, "float32" or "float64"; also `variable_dtype`."""
        return self.dtype_policy.variable_dtype

    variable_dtype = dtype

    @property
    def compute_dtype(self) -> str:
        """What matrix products take their operands in; "bfloat16" for mixed_bfloat16."""
        return self.dtype_policy.compute_dtype

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self._network is not None or self._weights is not None

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = as_bool(value, "trainable")
        with self._lock:
            self._trainable = value
            if self._network is not None:
                self._send_trainable()

    def _send_trainable(self) -> None:
        """Tell the network."""

    @property
    def input_size(self) -> int | None:
        """How many inputs there are; None before it is known."""
        return self._input_size

    @property
    def input_shape(self) -> tuple[None, int]:
        """(None, inputs)."""
        if self.input_size is None:
            raise AttributeError(f"layer {self.name!r} is not built yet: its input is unknown")
        return (None, self.input_size)

    @property
    def output_shape(self) -> tuple[None, int]:
        """(None, outputs)."""
        return (None, self.output_size_for(self.input_shape[1]))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the weights; [] while the input is unknown."""
        return [] if self.input_size is None else self.weight_shapes(self.input_size)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights, in Keras's order; [] before the layer is built."""
        if self._network is not None:
            return self._pull()
        return [weight.copy() for weight in self._weights or []]

    @property
    def weights(self) -> list[np.ndarray]:
        """Copies, as `get_weights` returns them."""
        return self.get_weights()

    @property
    def trainable_weights(self) -> list[np.ndarray]:
        """Copies of those weights that training changes."""
        return self.get_weights() if self.trainable else []

    def set_weights(self, weights: list[Any]) -> None:
        """Replace the weights.

        Raises
        ------
        ValueError, TypeError
            If their number or a shape is wrong, or they are no numbers. Nothing has changed then.
        """
        arrays = self.checked_weights(weights)
        with self._lock:
            if self._network is not None:
                self._push(arrays)
            else:
                self._weights = [array.copy() for array in arrays]

    def set_weights_for(self, input_size: int, weights: list[Any]) -> None:
        """Build a layer by giving it an input size and weights; one in a network has that size."""
        before, self._input_size = self._input_size, input_size
        try:
            self.set_weights(weights)
        except BaseException:
            self._input_size = before
            raise

    def checked_weights(self, weights: Any, name: str = "weights") -> list[np.ndarray]:
        """`weights` as `set_weights` takes them."""
        return as_weights(weights, self.shapes, np.dtype(self.dtype), name)

    def count_params(self) -> int:
        """How many numbers the weights are."""
        if self.input_size is None:
            raise ValueError(f"layer {self.name!r} is not built yet: its input is unknown")
        return sum(prod(shape) for shape in self.shapes)

    def get_config(self) -> dict[str, Any]:
        config = {"name": self.name, "dtype": self.dtype_policy.name}
        return config if self.trainable else {**config, "trainable": False}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"layer {self.name!r} cannot be called: fastnn has no functional models; put the "
            f"layers into fastnn.Sequential([...]) and call that"
        )

    def __getstate__(self) -> dict[str, Any]:
        """A copy is free and has the weights itself."""
        own = {"_owner": None, "_lock": None, "_network": None}
        return {**vars(self), **own, "_weights": self.get_weights() if self.built else None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._lock = ModelLock()


_NO_OWN_LAYERS = (
    "fastnn runs the layers of fastnn.layers; for what they cannot do, use model.forward, "
    "model.backward and model.apply_gradients with NumPy code of your own between them"
)


class InputLayer(Layer):
    """Says how many features the model takes. Not listed in `model.layers`."""

    _neutral: Mapping[str, tuple[Any, ...]] = {
        "batch_size": (None,),
        "batch_shape": (None,),
        "sparse": (None, False),
        "ragged": (None, False),
        "tensor": (None,),
        "optional": (False,),
    }

    def __init__(
        self, shape: tuple[int, ...], *, name: str | None = None, dtype: Any = None, **keras: Any
    ) -> None:
        super().__init__(name=name, dtype=dtype, **keras)
        self._features = self.input_size_argument = as_shape(shape, "shape")

    @property
    def input_size(self) -> int:
        return self._features

    @property
    def shape(self) -> tuple[None, int]:
        """(None, features)."""
        return self.input_shape

    def get_config(self) -> dict[str, Any]:
        return {"shape": [self.input_size], **super().get_config()}


def Input(
    shape: tuple[int, ...], *, name: str | None = None, dtype: Any = None, **keras: Any
) -> InputLayer:
    """The start of a model: how many features it takes.

    Parameters
    ----------
    shape : tuple of one int
        Such as (10,), without the batch axis.
    name, dtype, **keras
        As for every layer.

    Raises
    ------
    ValueError
        If `shape` is anything else.
    """
    return InputLayer(shape, name=name, dtype=dtype, **keras)


class Dense(Layer):
    """y = activation(x @ kernel + bias).

    Parameters
    ----------
    units : int >= 1
        Number of outputs.
    activation : str or function of fastnn.activations, optional
        None is "linear".
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        The loss, in training and in `evaluate`, is greater by these penalties.
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Raises
    ------
    ValueError
        If `units` is below 1, a name is unknown or something is not supported yet.
    TypeError
        If an argument is of the wrong type.
    """

    _neutral: Mapping[str, tuple[Any, ...]] = {
        **Layer._neutral,
        "activity_regularizer": (None,),
        "kernel_constraint": (None,),
        "bias_constraint": (None,),
        "lora_rank": (None,),
    }

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self.units = as_int(units, "units", 1)
        self.activation = activations.get(activation)
        self.use_bias = as_bool(use_bias, "use_bias")
        self.kernel_initializer = initializers.get(kernel_initializer, "kernel_initializer")
        self.bias_initializer = initializers.get(bias_initializer, "bias_initializer")
        self.kernel_regularizer = regularizers.get(kernel_regularizer, "kernel_regularizer")
        self.bias_regularizer = regularizers.get(bias_regularizer, "bias_regularizer")
        self.weight_names = ("kernel", "bias") if self.use_bias else ("kernel",)
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )

    def op(self) -> tuple[Any, ...]:
        operands = ("bfloat16",) if self.compute_dtype == "bfloat16" else ()
        activation = activations.ENGINE_NAMES[self.activation]
        return ("dense", self.units, activation, self.use_bias, *operands)

    def output_size_for(self, input_size: int) -> int:
        return self.units

    def weight_shapes(self, input_size: int) -> list[tuple[int, ...]]:
        kernel = (input_size, self.units)
        return [kernel, (self.units,)] if self.use_bias else [kernel]

    def _initial_weights(self, input_size: int) -> list[np.ndarray]:
        weights = []
        for name, shape in zip(self.weight_names, self.weight_shapes(input_size), strict=True):
            initializer = getattr(self, f"{name}_initializer")
            try:
                weights.append(initializer(shape, self.dtype))
            except ValueError as error:
                raise ValueError(f"{name}_initializer of layer {self.name!r}: {error}") from None
        return weights

    def attach(self, network: Any, op: int, input_size: int, weights: list[np.ndarray]) -> None:
        super().attach(network, op, input_size, weights)
        penalties = [(r.l1, r.l2) if r else (0.0, 0.0) for r in self._regularizers]
        network.set_penalty(op, *penalties)
        if not self.trainable:  # a network trains its layers unless it is told
            self._send_trainable()

    def _send_trainable(self) -> None:
        self._network.set_trainable(self._op, self.trainable)

    @property
    def _regularizers(self) -> tuple[regularizers.Regularizer | None, ...]:
        return self.kernel_regularizer, self.bias_regularizer

    def _push(self, weights: list[np.ndarray]) -> None:
        self._network.set_kernel(self._op, weights[0])
        if self.use_bias:
            self._network.set_bias(self._op, weights[1])

    def _pull(self) -> list[np.ndarray]:
        kernel = self._network.get_kernel(self._op)
        return [kernel, self._network.get_bias(self._op)] if self.use_bias else [kernel]

    def get_slot(self, slot: str) -> list[np.ndarray]:
        """Copies of an optimizer slot, in the weights' order and shapes."""
        return list(self._network.get_slot(slot, self._op))[: len(self.weight_names)]

    def set_slot(self, slot: str, arrays: list[np.ndarray]) -> None:
        """Write an optimizer slot."""
        self._network.set_slot(slot, self._op, arrays[0], arrays[1] if self.use_bias else None)

    @property
    def kernel(self) -> np.ndarray:
        """A copy of the kernel, (inputs, units)."""
        return self._weight(0)

    @property
    def bias(self) -> np.ndarray | None:
        """A copy of the bias, (units,); None without one."""
        return self._weight(1) if self.use_bias else None

    def _weight(self, number: int) -> np.ndarray:
        if not self.built:
            raise AttributeError(f"layer {self.name!r} is not built yet: it has no weights")
        return self.get_weights()[number]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": self.activation.__name__,
            "use_bias": self.use_bias,
            "kernel_initializer": serialize(self.kernel_initializer),
            "bias_initializer": serialize(self.bias_initializer),
            "kernel_regularizer": serialize(self.kernel_regularizer)
            if self.kernel_regularizer
            else None,
            "bias_regularizer": serialize(self.bias_regularizer) if self.bias_regularizer else None,
        }


class Activation(Layer):
    """y = activation(x).

    Parameters
    ----------
    activation : str or function of fastnn.activations
    name, dtype, input_shape, input_dim, **keras
        As for every layer.
    """

    def __init__(
        self,
        activation: Any,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self.activation = activations.get(activation)
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )

    def op(self) -> tuple[Any, ...]:
        return ("activation", activations.ENGINE_NAMES[self.activation])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation.__name__}


class Dropout(Layer):
    """In training, each number becomes 0 with probability `rate`, else x / (1 - rate).

    Otherwise y = x, at no cost. Which numbers are dropped depends on the seed, the optimizer step
    and their places in the batch alone: not on threads, and a resumed training drops the same.

    Parameters
    ----------
    rate : float in [0, 1)
    noise_shape : None
        Keras's other values are not supported.
    seed : int, optional
        0 to 2**63 - 1. By default one is drawn, which `fastnn.utils.set_random_seed` fixes.
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> from fastnn.layers import Dense, Dropout
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dropout(0.5, input_shape=(4,)), Dense(1)])
    >>> model.count_params()
    5
    """

    _neutral: Mapping[str, tuple[Any, ...]] = {**Layer._neutral, "noise_shape": (None,)}

    def __init__(
        self,
        rate: float,
        noise_shape: None = None,
        seed: int | None = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self.rate = as_number(rate, "rate", 0, 1)
        self.seed = draw_seed() if seed is None else as_int(seed, "seed", 0, 2**63 - 1)
        super().__init__(
            name=name,
            dtype=dtype,
            input_shape=input_shape,
            input_dim=input_dim,
            noise_shape=noise_shape,
            **keras,
        )

    def op(self) -> tuple[Any, ...]:
        return ("dropout", self.rate, self.seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class Normalization(Layer):
    """y = (x - mean) / max(sqrt(variance), epsilon), per feature, not trained.

    Parameters
    ----------
    axis : int
        The features' axis: -1 or 1.
    mean, variance : array_like, optional
        Numbers for each feature, or one for all; both or neither. Without them, `adapt` measures
        them; before that the layer changes nothing.
    name, dtype, input_shape, input_dim, **keras
        As for every layer.
    """

    # Keras has 1e-7. A power of two of the same size multiplies exactly, so that a constant
    # feature becomes 0 and not the rounding error of x * 1e7.
    EPSILON = 2.0**-23
    _neutral: Mapping[str, tuple[Any, ...]] = {**Layer._neutral, "invert": (False,)}

    def __init__(
        self,
        axis: int = -1,
        mean: Any = None,
        variance: Any = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        if isinstance(axis, (tuple, list)) and len(axis) == 1:
            axis = axis[0]
        if not isinstance(axis, (int, np.integer)) or axis not in (-1, 1):
            raise ValueError(f"axis: expected -1 or 1, the features' axis, got {axis!r}")
        if (mean is None) != (variance is None):
            raise ValueError("mean, variance: expected both or neither, got one")
        self.axis = -1
        self._given: tuple[np.ndarray, np.ndarray] | None = None
        if mean is not None:
            self._given = (_statistic(mean, "mean"), _statistic(variance, "variance"))
            if (self._given[1] < 0).any():
                raise ValueError("variance: expected numbers >= 0, got negative ones")
        else:
            self.weight_names = ("mean", "variance", "count")
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )

    def op(self) -> tuple[Any, ...]:
        return ("scale_shift",)

    def weight_shapes(self, input_size: int) -> list[tuple[int, ...]]:
        return [] if self._given else [(input_size,), (input_size,), ()]

    def check_input_size(self, input_size: int) -> None:
        super().check_input_size(input_size)
        for given in self._given or ():
            if given.size not in (1, input_size):
                raise ValueError(
                    f"layer {self.name!r}: expected {given.size} inputs, as many as mean and "
                    f"variance have, got {input_size}"
                )

    @property
    def trainable_weights(self) -> list[np.ndarray]:
        return []

    def checked_weights(self, weights: Any, name: str = "weights") -> list[np.ndarray]:
        arrays = super().checked_weights(weights, name)
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
        if any((array < 0).any() for array in arrays[1:]):
            raise ValueError(f"{name}: expected a variance and a count >= 0, got negative ones")
        return arrays

    def _initial_weights(self, input_size: int) -> list[np.ndarray]:
        if self._given:
            return []
        shape = (input_size,)
        return [np.zeros(shape, self.dtype), np.ones(shape, self.dtype), np.zeros((), self.dtype)]

    def _push(self, weights: list[np.ndarray]) -> None:
        """The network keeps a scale and a shift; the statistics stay here."""
        self._statistics = [weight.copy() for weight in weights]
        mean, variance = self._given or weights[:2]
        scale = 1 / np.maximum(np.sqrt(variance.astype(np.float64)), self.EPSILON)
        shift = -mean.astype(np.float64) * scale
        self._network.set_scale_shift(
            self._op, *(np.full(self.input_shape[1], v, self.dtype) for v in (scale, shift))
        )

    def _pull(self) -> list[np.ndarray]:
        return [weight.copy() for weight in self._statistics]

    def adapt(self, data: Any) -> None:
        """Measure mean and variance of each feature.

        Parameters
        ----------
        data : array_like (samples, features)

        Raises
        ------
        ValueError, TypeError
            If `data` is not such an array, is empty, or the layer was given mean and variance.
        """
        if self._given:
            raise ValueError("adapt: expected a layer without mean and variance, got one with them")
        size = self.input_size or self.input_size_argument
        data = as_features(data, np.dtype(self.dtype), size, "data")
        if len(data) == 0:
            raise ValueError(f"data: expected at least one row, got shape {data.shape}")
        if not np.isfinite(data).all():
            raise ValueError("data: expected finite numbers, got NaN or infinity")
        mean = data.mean(axis=0, dtype=np.float64)
        variance = data.var(axis=0, dtype=np.float64)
        with np.errstate(over="ignore"):  # what the layer's dtype cannot hold is refused
            self.set_weights_for(data.shape[1], [mean, variance, float(len(data))])

    @property
    def mean(self) -> np.ndarray | None:
        """A copy of the means, (features,); None before they are known."""
        return self._statistic(0)

    @property
    def variance(self) -> np.ndarray | None:
        """A copy of the variances, (features,); None before they are known."""
        return self._statistic(1)

    def _statistic(self, number: int) -> np.ndarray | None:
        if self._given:
            return self._given[number].astype(self.dtype)
        return self.get_weights()[number] if self.built else None

    def get_config(self) -> dict[str, Any]:
        mean, variance = (given.tolist() for given in self._given) if self._given else (None, None)
        return {**super().get_config(), "axis": self.axis, "mean": mean, "variance": variance}


def _statistic(value: Any, name: str) -> np.ndarray:
    """One number for all features or one for each, finite."""
    array = np.atleast_1d(np.squeeze(numeric(value, name))).astype(np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers (features,), got shape {array.shape}")
    return array


_KNOWN: dict[str, type[Layer]] = {
    cls.__name__: cls for cls in (InputLayer, Dense, Activation, Dropout, Normalization)
}


def get(identifier: Any) -> Layer:
    """The layer that `identifier` (a layer or its serialized dict) stands for."""
    return resolve(identifier, Layer, _KNOWN, "layer")
