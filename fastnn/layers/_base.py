"""What every layer is: settings, a name, and weights that live in the model's network once it is
built."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

from fastnn._data import (
    Shape,
    as_bool,
    as_int,
    as_shape,
    as_weights,
    check_neutral,
)
from fastnn._lock import ModelLock
from fastnn._registry import Configurable, snake_case
from fastnn.config import DTypePolicy, standardize_policy

_names_given: Counter[str] = Counter()


def auto_name(base: str) -> str:
    """`base`, then base_1, base_2, ..., as Keras counts."""
    number = _names_given[base]
    _names_given[base] += 1
    return f"{base}_{number}" if number else base


def forget_names() -> None:
    """Count new names from the beginning."""
    _names_given.clear()


def as_name(name: Any, base: str) -> str:
    """`name`, or a new one."""
    if name is None:
        return auto_name(base)
    if not isinstance(name, str) or not name:
        raise TypeError(f"name: expected a string, got {name!r}")
    return name


class Variables:
    """Keras's other words for the weights of a layer or model."""

    get_weights: Callable[[], list[np.ndarray]]
    trainable_weights: Any
    non_trainable_weights: Any

    @property
    def weights(self) -> list[np.ndarray]:
        """Copies, as `get_weights` returns them."""
        return self.get_weights()

    @property
    def variables(self) -> list[np.ndarray]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_variables(self) -> list[np.ndarray]:
        """The same as `trainable_weights`."""
        weights: list[np.ndarray] = self.trainable_weights
        return weights

    @property
    def non_trainable_variables(self) -> list[np.ndarray]:
        """The same as `non_trainable_weights`."""
        weights: list[np.ndarray] = self.non_trainable_weights
        return weights


class Layer(Variables, Configurable):
    """Base of all layers.

    Parameters
    ----------
    name : str, optional
    dtype : {"float32", "float64", "mixed_bfloat16"} or DTypePolicy, optional
        By default `fastnn.config.dtype_policy()`. The layers of a model are all of float64, or
        none is.
    input_shape : tuple of int, optional
        On a model's first layer: the shape of a sample, such as (10,) or (28, 28).
    input_dim : int, optional
        The number of features of a sample of one axis.
    trainable : bool
        Whether training changes the weights. May be changed later.
    **keras
        Keras's other arguments, at the values that ask for nothing.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> layer = Dense(3, name="hidden", input_shape=(4,))
    >>> layer.name, layer.dtype, layer.built
    ('hidden', 'float32', False)
    """

    weight_names: tuple[str, ...] = ()
    takes_ids = False  # of the model's inputs, which check_values looks at
    keeps_numbers = False  # what comes out is what goes in, number for number
    weights_need_input = True  # its shape, to have their own
    # Keras's arguments that fastnn does not support yet, at the values that ask for nothing
    _neutral: Mapping[str, tuple[Any, ...]] = {"autocast": (True,)}

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
        self.input_shape_argument: Shape | None = None
        if input_dim is not None:
            self.input_shape_argument = (as_int(input_dim, "input_dim", 1),)
        if input_shape is not None:
            self.input_shape_argument = as_shape(input_shape, "input_shape")
        self.name = as_name(name, snake_case(type(self).__name__))
        self._shape: Shape | None = None  # of a sample that comes in, once it is known
        self._owner: weakref.ref[Any] | None = None  # weak: a model dies with its last user
        self._lock = ModelLock()  # the owner's, where there is one
        self._weights: list[np.ndarray] | None = None  # while there is no network
        self._network: Any = None
        self._op = -1

    # ---- what each kind of layer says about itself --------------------------------------------

    def op(self) -> tuple[Any, ...]:
        """This layer as the engine takes it, where it is one op."""
        raise TypeError(f"layer {self.name!r}: {_NO_OWN_LAYERS}; got a {type(self).__name__}")

    def ops(self, input_shape: Shape) -> list[tuple[Any, ...]]:
        """This layer as the engine takes it: any number of ops, one after the other."""
        return [self.op()]

    def takes_shape(self, input_shape: Shape) -> bool:
        """Whether the layer works on samples of that many axes; one always goes."""
        return True

    def output_shape_for(self, input_shape: Shape) -> Shape:
        """The shape of what comes out, without the batch axis; refuses what does not fit."""
        return input_shape

    def weight_shapes(self, input_shape: Shape) -> list[Shape]:
        """Shapes of the weights, in the order of `weight_names`."""
        return []

    def _initial_weights(self, input_shape: Shape) -> list[np.ndarray]:
        return []

    def _push(self, weights: list[np.ndarray]) -> None:
        """Write checked weights into the network."""

    def _pull(self) -> list[np.ndarray]:
        """Copies of the weights in the network."""
        return []

    # What the optimizer keeps of a layer, its slots: an array for each weight that it steps. Those
    # weights are the first of `weight_names`; what follows them, training does not change so.

    @property
    def stepped_names(self) -> tuple[str, ...]:
        """Names of the weights that the optimizer has slots for."""
        return ()

    def get_slot(self, slot: str) -> list[np.ndarray]:
        """Copies of an optimizer slot, in the order and shapes of those weights."""
        return []

    def set_slot(self, slot: str, arrays: list[np.ndarray]) -> None:
        """Write an optimizer slot."""

    def check_values(self, x: np.ndarray, name: str) -> None:
        """Refuse samples that hold ids that there are not."""

    # ---- the model's side ---------------------------------------------------------------------

    def leaves(self) -> "Iterator[Layer]":
        """This layer and those inside it."""
        yield self

    def check_input(self, input_shape: Shape) -> None:
        """Refuse an input that this layer was not made for."""
        fixed = self.built and self.weight_names and self.weights_need_input
        known = self._shape if fixed else self.input_shape_argument
        if known is not None and known != input_shape:
            raise ValueError(
                f"layer {self.name!r}: expected {_times(known)} inputs, got "
                f"{_times(input_shape)} from what is before it"
            )
        if len(input_shape) > 1 and not self.takes_shape(input_shape):
            raise ValueError(
                f"layer {self.name!r}: expected inputs of one axis, (features,), got shape "
                f"{input_shape}; put a Flatten() before it"
            )

    def first_weights(self, input_shape: Shape) -> list[np.ndarray]:
        """The weights to begin with: those the layer has, or new ones."""
        if self.built:
            return self.get_weights()
        shapes = self.weight_shapes(input_shape)
        return as_weights(
            self._initial_weights(input_shape), shapes, np.dtype(self.dtype), "initial weights"
        )

    def attach(self, network: Any, op: int, input_shape: Shape, weights: list[np.ndarray]) -> None:
        """Move into a network, to its ops from number `op` on: now the weights live there."""
        self._network, self._op, self._shape, self._weights = network, op, input_shape, None
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
        return None if self._shape is None else prod(self._shape)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """(None, inputs), or (None, ...) of more axes."""
        return (None, *self.known_shape())

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """(None, outputs), or (None, ...) of more axes."""
        return (None, *self.output_shape_for(self.known_shape()))

    def known_shape(self) -> Shape:
        """The shape of a sample that comes in."""
        if self._shape is None:
            raise AttributeError(f"layer {self.name!r} is not built yet: its input is unknown")
        return self._shape

    @property
    def shapes(self) -> list[Shape]:
        """Shapes of the weights; [] while an input that they need is unknown."""
        if self._shape is None and self.weights_need_input:
            return []
        return self.weight_shapes(self._shape or ())

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights, in Keras's order; [] before the layer is built."""
        if self._network is not None:
            return self._pull()
        return [weight.copy() for weight in self._weights or []]

    @property
    def trainable_weights(self) -> list[np.ndarray]:
        """Copies of those weights that training changes."""
        return self.get_weights()[: len(self.stepped_names)] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[np.ndarray]:
        """Copies of the others: of a layer that is not trained all, else such as a moving mean."""
        return self.get_weights()[len(self.stepped_names) if self.trainable else 0 :]

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

    def set_weights_for(self, input_shape: Shape, weights: list[Any]) -> None:
        """Build a layer by giving it an input and weights; one in a network has that input."""
        before, self._shape = self._shape, input_shape
        try:
            self.set_weights(weights)
        except BaseException:
            self._shape = before
            raise

    def checked_weights(self, weights: Any, name: str = "weights") -> list[np.ndarray]:
        """`weights` as `set_weights` takes them."""
        return as_weights(weights, self.shapes, np.dtype(self.dtype), name)

    def count_params(self) -> int:
        """How many numbers the weights are."""
        if self._shape is None and self.weights_need_input:
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


def shapes_through(stack: Iterable[Layer], input_shape: Shape) -> list[Shape]:
    """What goes into each layer, and what comes out last; refuses layers that do not fit."""
    shapes = [input_shape]
    for layer in stack:
        layer.check_input(shapes[-1])
        shapes.append(layer.output_shape_for(shapes[-1]))
    return shapes


def _times(shape: Shape) -> str:
    return " x ".join(map(str, shape))


_NO_OWN_LAYERS = (
    "fastnn runs the layers of fastnn.layers; for what they cannot do, use model.forward, "
    "model.backward and model.apply_gradients with NumPy code of your own between them"
)
