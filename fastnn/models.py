"""Models, under Keras's names."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from os import PathLike
from typing import Any

import numpy as np

from fastnn import layers as layers_module
from fastnn._compiled import compile_network
from fastnn._data import Shape, as_bool, as_int, as_shape, check_neutral
from fastnn._lock import ModelLock
from fastnn._registry import serialize
from fastnn._summary import summary_lines
from fastnn.config import dtype_policy
from fastnn.layers import Dense, InputLayer, Layer
from fastnn.layers._base import Variables, as_name, shapes_through
from fastnn.trainer import Trainer

_NO_CUSTOM_OBJECTS: Mapping[str, tuple[Any, ...]] = {"custom_objects": (None, {})}


class Sequential(Variables, Trainer):
    """A stack of layers.

    Parameters
    ----------
    layers : list of Layer, optional
        An `Input` may stand first. Without one, and without `input_shape` on the first layer,
        the model is built at its first data.
    trainable : bool
        False sets `trainable` of these layers to it.
    name : str, optional

    Raises
    ------
    ValueError
        If names repeat, dtypes differ, sizes do not fit, or a layer is in another model.
    TypeError
        If something is no layer.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> model = Sequential([Dense(8, activation="relu", input_shape=(4,)), Dense(1)])
    >>> model.count_params()
    49
    """

    def __init__(
        self,
        layers: Iterable[Layer] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        frozen = not as_bool(trainable, "trainable")
        super().__init__()
        self.name = as_name(name, "sequential")
        self._layers: list[Layer] = []
        self._input: InputLayer | None = None
        self._network: Any = None
        self._shapes: tuple[Shape, Shape] = ((), ())  # of the network's inputs and outputs
        self._has_axes = False  # whether one of them is of more than one axis
        self._append(list(layers or ()))
        if frozen:
            self.trainable = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in ("call", "train_step", "test_step", "compute_loss"):
            if name in vars(cls):
                raise TypeError(
                    f"{cls.__name__}: expected no {name}() of its own, which nothing would call; "
                    f"for steps of your own use model.forward, model.backward and "
                    f"model.apply_gradients"
                )

    @staticmethod
    def _network_class(dtype: str, input_size: int, ops: list[tuple[Any, ...]]) -> Any:
        """The engine. `fastnn.reference.Network` in its place trains the same model in NumPy."""
        from fastnn._native.network import Network

        return Network(dtype, input_size, ops)

    # ---- layers -------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the Input."""
        return list(self._layers)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of this name, also one inside another, or at this place.

        Raises
        ------
        ValueError
            If there is none, or not exactly one of the two is given.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> Sequential([Dense(3, name="first")]).get_layer("first").units
        3
        """
        if (name is None) == (index is None):
            raise ValueError("get_layer: expected either a name or an index")
        if index is not None:
            return self._layers[as_int(index, "index", 0, len(self._layers) - 1)]
        inner = [each for layer in self._layers for each in layer.leaves()]
        for layer in inner:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in inner)
        raise ValueError(f"name: expected one of {names}; got {name!r}")

    def add(self, layer: Layer) -> None:
        """Put a layer on top. The weights of the others stay; the optimizer begins anew.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> model = Sequential([Dense(3, input_shape=(2,))])
        >>> model.add(Dense(1))
        >>> model.output_shape
        (None, 1)
        """
        with self._lock:
            self._refuse_inside_fit("add")
            self._append([layer])

    def pop(self) -> Layer:
        """Take the last layer off, with its weights, and return it.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> model = Sequential([Dense(3, input_shape=(2,)), Dense(1)])
        >>> model.pop().units
        1
        >>> model.output_shape
        (None, 3)
        """
        with self._lock:
            self._refuse_inside_fit("pop")
            if not self._layers:
                raise ValueError("pop: expected a model with layers, got an empty one")
            *rest, layer = self._layers
            self._change(self._known_input(), rest)
            layer.leave()
            return layer

    def _append(self, new: list[Layer]) -> None:
        """Take layers in: all, or none where one does not fit."""
        first, stack = self._known_input(), list(self._layers)
        for layer in new:
            _check_new(layer, first, stack)
            if isinstance(layer, InputLayer):
                first = layer
                continue
            if not stack and first is None and layer.input_shape_argument:
                first = InputLayer(layer.input_shape_argument, dtype=layer.dtype_policy)
            stack.append(layer)
            if first is not None:
                shapes_through(stack, first.known_shape())
        self._change(first, stack)

    def _known_input(self) -> InputLayer | None:
        """The Input. One built at its first data keeps that shape when it changes."""
        if self._input is None and self._network is not None:
            return InputLayer(self._shapes[0], dtype=self._dtype)
        return self._input

    def _change(self, first: InputLayer | None, stack: list[Layer]) -> None:
        """Have this Input and these layers from now on, built where the input is known."""
        made = self._make_network(stack, first.known_shape()) if first and stack else None
        # nothing has changed before this line
        for layer in ([first] if first else []) + stack:
            if layer.owner is not self:
                layer.join(self, self._lock)
        self._input, self._layers = first, stack
        if made:
            self._enter(*made)
        else:
            self._network = None
            self._forget()

    @property
    def input_size(self) -> int | None:
        """How many numbers a sample has; None before it is known."""
        return None if self._sample_shape is None else prod(self._sample_shape)

    @property
    def _sample_shape(self) -> Shape | None:  # type: ignore[override]
        if self._network is not None:
            return self._shapes[0]
        return self._input.known_shape() if self._input else None

    @property
    def _dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        first = self._layers[0] if self._layers else self._input
        return np.dtype(first.dtype if first else dtype_policy().variable_dtype)

    def _output_shape_for(self, input_shape: Shape) -> Shape:
        """Outputs of the whole stack; refuses layers that do not fit."""
        return shapes_through(self._layers, input_shape)[-1]

    def _check_ids(self, x: np.ndarray, name: str) -> None:
        """Refuse samples with ids that the first layer does not have."""
        for layer, shape in zip(
            self._layers, shapes_through(self._layers, x.shape[1:]), strict=False
        ):
            if layer.takes_ids:
                layer.check_values(x.reshape(len(x), *shape), name)
            if not layer.keeps_numbers:
                return

    @property
    def _takes_ids(self) -> bool:  # type: ignore[override]
        return any(layer.takes_ids for layer in self._layers)

    def _check_takes_sparse(self, name: str) -> None:
        """Refuse sparse rows where no product is what they go into first."""
        if self._layers and not isinstance(self._layers[0], Dense):
            first = self._layers[0]
            raise ValueError(
                f"{name}: expected a dense array, got a sparse one: only a model that begins with "
                f"Dense takes that, this one begins with {first.name!r} ({type(first).__name__})"
            )

    # ---- building -----------------------------------------------------------------------------

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self._network is not None

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        """Make the weights, for inputs of shape (None, features), or (None, ...) of more axes.

        A model with an `Input` needs no shape.

        Raises
        ------
        ValueError
            If the shape is another, or the model was built for another.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> model = Sequential([Dense(3)])
        >>> model.build((None, 2))
        >>> model.count_params()
        9
        """
        if input_shape is None and self._sample_shape is not None:
            input_shape = (None, *self._sample_shape)
        if not isinstance(input_shape, (tuple, list)) or len(input_shape) < 2:
            raise ValueError(f"input_shape: expected (None, features), got {input_shape!r}")
        shape = as_shape(input_shape[1:], "input_shape")
        with self._lock:
            if self._sample_shape not in (None, shape):
                raise ValueError(
                    f"input_shape: expected {(None, *self._sample_shape)}, got {input_shape}"
                )
            self._build_for(shape)

    def _build_for(self, input_shape: Shape) -> None:
        """Make the network, unless it is there; layers bring their weights or draw them."""
        if self._network is not None:
            return
        if not self._layers:
            raise ValueError("model: expected at least one layer, got none")
        self._enter(*self._make_network(self._layers, input_shape))

    def _make_network(
        self, stack: list[Layer], input_shape: Shape
    ) -> tuple[Any, list[Shape], list[list[np.ndarray]]]:
        """A network for these layers, compiled, the shapes between them, and the weights that go
        in; changes nothing."""
        shapes = shapes_through(stack, input_shape)
        weights = [layer.first_weights(shape) for layer, shape in zip(stack, shapes, strict=False)]
        ops = [op for layer, shape in zip(stack, shapes, strict=False) for op in layer.ops(shape)]
        network = self._network_class(
            stack[0].dtype, prod(input_shape), ops or [("activation", "linear")]
        )
        if self.optimizer is not None:
            compile_network(network, self.optimizer, self.loss, self._metrics)
        return network, shapes, weights

    def _enter(self, network: Any, shapes: list[Shape], weights: list[list[np.ndarray]]) -> None:
        """Move the layers into a network made for them."""
        op = 0
        for layer, shape, values in zip(self._layers, shapes, weights, strict=False):
            layer.attach(network, op, shape, values)
            op += len(layer.ops(shape))
        self._network, self._shapes = network, (shapes[0], shapes[-1])
        self._has_axes = max(map(len, self._shapes)) > 1
        self._forget()

    def _built_network(self, call: str) -> Any:
        if self._network is None:
            raise ValueError(
                f"{call}: expected a built model, got one whose input is unknown; give it an "
                f"Input(shape=...), or data first"
            )
        return self._network

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """(None, features), or (None, ...) of more axes."""
        self._built_network("input_shape")
        return (None, *self._shapes[0])

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """(None, outputs), or (None, ...) of more axes."""
        self._built_network("output_shape")
        return (None, *self._shapes[1])

    # ---- weights ------------------------------------------------------------------------------

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, layer by layer in Keras's order; [] before the model is built.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> [w.shape for w in Sequential([Dense(3, input_shape=(2,))]).get_weights()]
        [(2, 3), (3,)]
        """
        return [weight for layer in self._layers for weight in layer.get_weights()]

    @property
    def trainable_weights(self) -> list[np.ndarray]:
        """Copies of those weights that training changes."""
        return [weight for layer in self._layers for weight in layer.trainable_weights]

    @property
    def non_trainable_weights(self) -> list[np.ndarray]:
        """Copies of the others."""
        return [weight for layer in self._layers for weight in layer.non_trainable_weights]

    @property
    def trainable(self) -> bool:
        """Whether training changes any weights; setting it sets that of all layers."""
        return any(layer.trainable for layer in self._layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        with self._lock:
            for layer in self._layers:
                layer.trainable = value

    def set_weights(self, weights: list[Any]) -> None:
        """Replace all weights.

        Raises
        ------
        ValueError, TypeError
            If their number or a shape is wrong, or they are no numbers. Nothing has changed then.

        Examples
        --------
        >>> import numpy as np
        >>> from fastnn.layers import Dense
        >>> model = Sequential([Dense(1, input_shape=(2,))])
        >>> model.set_weights([np.array([[1.0], [2.0]]), np.array([3.0])])
        >>> model.predict([[1.0, 1.0]])
        array([[6.]], dtype=float32)
        """
        if not isinstance(weights, (list, tuple)):
            raise TypeError(f"weights: expected a list of arrays, got {type(weights).__name__}")
        with self._lock:
            counts = [len(layer.shapes) for layer in self._layers]
            if len(weights) != sum(counts):
                raise ValueError(f"weights: expected {sum(counts)} arrays, got {len(weights)}")
            rest = iter(weights)
            parts = [
                layer.checked_weights(
                    [next(rest) for _ in range(count)], f"weights of {layer.name}"
                )
                for layer, count in zip(self._layers, counts, strict=True)
            ]
            for layer, part in zip(self._layers, parts, strict=True):
                layer.set_weights(part)

    @property
    def flat_weights(self) -> np.ndarray:
        """All trained weights as one read-only live vector, in an opaque order, padding zero."""
        flat: np.ndarray = self._built_network("flat_weights").flat_weights
        return flat

    @property
    def flat_gradients(self) -> np.ndarray:
        """The gradients of the last `backward` or step of training, like `flat_weights`."""
        flat: np.ndarray = self._built_network("flat_gradients").flat_gradients
        return flat

    def count_params(self) -> int:
        """How many numbers the weights are.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> Sequential([Dense(3, input_shape=(2,))]).count_params()
        9
        """
        self._built_network("count_params")
        return sum(layer.count_params() for layer in self._layers)

    def _row_work(self) -> int:
        """How many weights a row of inputs meets, about: of a table few."""
        return sum(layer.count_params() for layer in self._layers if not layer.takes_ids)

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
        *,
        batch_size: int = 32,
    ) -> None:
        """Print a table of the layers, with the numbers and the memory of what training keeps.

        Parameters
        ----------
        line_length : int, optional
            The least length of the table's lines.
        positions, expand_nested, layer_range
            Keras's, at the values that ask for nothing.
        print_fn : callable, optional
            Called with each line, in place of `print`.
        show_trainable : bool
            Whether to say of each layer if training changes its weights.
        batch_size : int >= 1
            What the memory of the workspace is told for, without the engine's padding.

        Raises
        ------
        ValueError, TypeError
            If an argument is none of these.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> model = Sequential([Dense(8, name="hidden", input_shape=(4,)), Dense(1, name="out")])
        >>> model.name = "small"
        >>> model.compile("adam", "mse")
        >>> model.summary()
        Model: "small"
        ---------------------------------------
        Layer (type)     Output Shape   Param #
        ---------------------------------------
        hidden (Dense)   (None, 8)           40
        out (Dense)      (None, 1)            9
        ---------------------------------------
        Total params: 147 (588.00 B)
        Trainable params: 49 (196.00 B)
        Non-trainable params: 0 (0.00 B)
        Optimizer params: 98 (392.00 B)
        Workspace for batches of 32: about 3.38 KB
        """
        check_neutral(
            "summary",
            {"positions": positions, "expand_nested": expand_nested, "layer_range": layer_range},
            {"positions": (None,), "expand_nested": (False,), "layer_range": (None,)},
        )
        if line_length is not None:
            line_length = as_int(line_length, "line_length", 1)
        size = as_int(batch_size, "batch_size", 1)
        shown = as_bool(show_trainable, "show_trainable")
        if print_fn is not None and not callable(print_fn):
            raise TypeError(f"print_fn: expected a function, got {print_fn!r}")
        for line in summary_lines(self, line_length, shown, size):
            (print_fn or print)(line)

    # ---- written down -------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Name, layers and input shape as plain data, without weights.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> sorted(Sequential([Dense(3, input_shape=(2,))]).get_config())
        ['build_input_shape', 'layers', 'name']
        """
        stack = [self._input] if self._input else []
        return {
            "name": self.name,
            "layers": [serialize(layer) for layer in (*stack, *self._layers)],
            "build_input_shape": list(self.input_shape) if self.built else None,
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> "Sequential":
        """A new model, with new weights, from what `get_config` returned.

        `custom_objects` is Keras's, at the values that ask for nothing: None or {}.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> config = Sequential([Dense(3, input_shape=(2,))]).get_config()
        >>> Sequential.from_config(config).output_shape
        (None, 3)
        """
        check_neutral("from_config", {"custom_objects": custom_objects}, _NO_CUSTOM_OBJECTS)
        model = cls([layers_module.get(layer) for layer in config["layers"]], name=config["name"])
        if config.get("build_input_shape"):
            model.build(config["build_input_shape"])
        return model

    def to_json(self, **kwargs: Any) -> str:
        """The layers, as `model_from_json` takes them, without weights.

        Parameters
        ----------
        **kwargs
            Of `json.dumps`.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import model_from_json
        >>> model = Sequential([Dense(3, input_shape=(2,))])
        >>> model_from_json(model.to_json()).output_shape
        (None, 3)
        """
        import json  # rarely needed, as below

        written = {"class_name": "Sequential", "config": self.get_config()}
        return json.dumps(written, **kwargs)

    def save(self, filepath: "str | bytes | PathLike[str]", overwrite: bool = True) -> None:
        """Write the model, its weights and the optimizer's state to a file.

        The file is a safetensors file; it appears at `filepath` whole or not at all.

        Parameters
        ----------
        filepath : str, bytes or path
        overwrite : bool
            Whether a file that is there is replaced.

        Raises
        ------
        FileExistsError
            If there is a file and `overwrite` is False.
        OSError
            If it cannot be written; the message names `filepath`.
        TypeError
            If `filepath` is no path, or the model has layers or the like of classes of one's own,
            which `save_weights` takes.

        Examples
        --------
        >>> from fastnn import load_model
        >>> from fastnn.layers import Dense
        >>> model = Sequential([Dense(3, input_shape=(2,))])
        >>> model.save("model.fastnn")
        >>> (load_model("model.fastnn").predict([[1, 2]]) == model.predict([[1, 2]])).all().item()
        True
        """
        from fastnn.io import save_model

        save_model(self, filepath, overwrite=overwrite)

    def save_weights(self, filepath: "str | bytes | PathLike[str]", overwrite: bool = True) -> None:
        """Write the weights and the optimizer's state to a file, as `save` does.

        The file is the same as `save`'s: `load_model` reads it, too. But of a model with classes
        of one's own it has the weights alone, for `load_weights`.

        Parameters
        ----------
        filepath : str, bytes or path
        overwrite : bool
            Whether a file that is there is replaced.

        Raises
        ------
        FileExistsError, OSError, TypeError
            As `save` does.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> model = Sequential([Dense(3, input_shape=(2,))])
        >>> model.save_weights("weights.fastnn")
        >>> model.load_weights("weights.fastnn")
        """
        from fastnn.io import save_weights

        self._built_network("save_weights")
        save_weights(self, filepath, overwrite=overwrite)

    def load_weights(
        self, filepath: "str | bytes | PathLike[str]", skip_mismatch: bool = False
    ) -> None:
        """Take the weights of a file that `save_weights` or `save` wrote for such layers.

        One that is compiled with such an optimizer gets the optimizer's state, too.

        Parameters
        ----------
        filepath : str, bytes or path
        skip_mismatch : bool
            Only False: all layers must fit.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, no such file, or of other layers; nothing has changed then.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> first, second = (Sequential([Dense(3, input_shape=(2,))]) for _ in range(2))
        >>> first.save_weights("weights.fastnn")
        >>> second.load_weights("weights.fastnn")
        >>> (first.get_weights()[0] == second.get_weights()[0]).all().item()
        True
        """
        from fastnn.io import load_weights

        check_neutral("load_weights", {"skip_mismatch": skip_mismatch}, {"skip_mismatch": (False,)})
        load_weights(self, filepath)

    def __copy__(self) -> "Sequential":
        from copy import deepcopy  # rarely needed, and not loaded by anything else

        return deepcopy(self)  # a layer is in one model only

    def __getstate__(self) -> dict[str, Any]:
        """All that makes an equal model, which is free of this one; a History stays here."""
        with self._lock:
            state = {**vars(self), "_lock": None, "_history": None, "_run": None}
            if self._network is not None:
                state["_network"] = {
                    "input_shape": self._shapes[0],
                    "weights": self.get_weights(),
                    "optimizer": self._optimizer_state(),
                }
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._lock, self._network = ModelLock(), None
        for layer in ([self._input] if self._input else []) + self._layers:
            layer.join(self, self._lock)
        if kept := state["_network"]:
            self._build_for(kept["input_shape"])
            self.set_weights(kept["weights"])
            self._set_optimizer_state(kept["optimizer"])
        if self._optimizer is not None and not self._optimizer.trains_another(self):
            self._optimizer.join(self)

    def _optimizer_state(self) -> tuple[int, list[tuple[str, int, list[np.ndarray]]]]:
        """How many steps were taken, and copies of the slots."""
        slots = [(slot, number, layer.get_slot(slot)) for slot, number, layer in self._slots()]
        return self.iterations, slots

    def _set_optimizer_state(
        self, state: tuple[int, list[tuple[str, int, list[np.ndarray]]]]
    ) -> None:
        """What `_optimizer_state` returned, of the same layers and optimizer."""
        self._network.iterations, slots = state
        for slot, number, arrays in slots:
            self._layers[number].set_slot(slot, arrays)

    def _slots(self) -> Iterator[tuple[str, int, Layer]]:
        """Slot, number and layer of all that the optimizer keeps."""
        for slot in self._network.slot_names if self._network is not None else ():
            for number, layer in enumerate(self._layers):
                if layer.stepped_names:
                    yield slot, number, layer


def _check_new(layer: Any, first: InputLayer | None, stack: list[Layer]) -> None:
    """Refuse a layer that cannot stand on this stack."""
    if isinstance(layer, Sequential):
        raise TypeError(
            f"layer: expected a layer, got the model {layer.name!r}: models are not nested, as a "
            f"layer is in one model; add() layers to that one, or build one of all layers"
        )
    if not isinstance(layer, Layer):
        raise TypeError(f"layer: expected a layer of fastnn.layers, got {layer!r}")
    if layer.owner is not None:
        raise ValueError(
            f"layer {layer.name!r}: expected a layer in no model, got one in {layer.owner.name!r}"
        )
    if isinstance(layer, InputLayer):
        if first or stack:
            raise ValueError(f"layer {layer.name!r}: expected the Input first")
        return
    if stack and layer.dtype != stack[0].dtype:
        raise ValueError(
            f"layer {layer.name!r}: expected dtype {stack[0].dtype} as the layers before it "
            f"have, got {layer.dtype}"
        )
    if any(each.takes_ids for each in layer.leaves()) and not (
        layer.takes_ids and all(other.keeps_numbers for other in stack)
    ):
        raise ValueError(
            f"layer {layer.name!r}: expected to read the model's inputs, where the ids are; only "
            f"Input, Flatten and Reshape may stand before it, and no layer around it"
        )
    names = {each.name for other in stack for each in other.leaves()}
    for each in layer.leaves():
        if each.name in names:
            raise ValueError(f"name: expected a name no other layer has, got {each.name!r}")


def _check_model(model: Any) -> None:
    if not isinstance(model, Sequential):
        raise TypeError(f"model: expected a Sequential, got {model!r}")


class Model:
    """Keras's functional and subclassed models do not exist here; `Sequential` does.

    Examples
    --------
    >>> from fastnn.models import Model
    >>> Model()
    Traceback (most recent call last):
        ...
    TypeError: Model: fastnn has no functional or subclassed models; use fastnn.Sequential([...])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(
            "Model: fastnn has no functional or subclassed models; use fastnn.Sequential([...])"
        )


def clone_model(model: Sequential) -> Sequential:
    """A model of the same layers and settings, compiled alike, with new weights.

    Parameters
    ----------
    model : Sequential

    Raises
    ------
    TypeError
        If it is none.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential, clone_model
    >>> clone_model(Sequential([Dense(3, input_shape=(2,))])).count_params()
    9
    """
    _check_model(model)
    clone = type(model).from_config(model.get_config())
    if (config := model.get_compile_config()) is not None:
        clone.compile_from_config(config)
    return clone


def model_from_json(
    json_string: str, custom_objects: Mapping[str, Any] | None = None
) -> Sequential:
    """A model of the layers that `Sequential.to_json` has written down, with new weights.

    Parameters
    ----------
    json_string : str
    custom_objects : None or {}
        Keras's other values are not supported.

    Raises
    ------
    ValueError
        If it is no JSON, or of no such model.
    TypeError
        If it is no string.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential, model_from_json
    >>> model_from_json(Sequential([Dense(3, input_shape=(2,))]).to_json()).count_params()
    9
    """
    import json

    check_neutral("model_from_json", {"custom_objects": custom_objects}, _NO_CUSTOM_OBJECTS)
    if not isinstance(json_string, str):
        raise TypeError(f"json_string: expected a str, got {type(json_string).__name__}")
    try:
        written = json.loads(json_string)
    except json.JSONDecodeError as error:
        raise ValueError(f"json_string: expected JSON, {error}") from None
    if not isinstance(written, dict) or written.get("class_name") != "Sequential":
        raise ValueError("json_string: expected what Sequential.to_json returns, got another JSON")
    try:
        return Sequential.from_config(written["config"])
    except KeyError as error:
        raise ValueError(f"json_string: expected all settings, {error} is missing") from None


def save_model(
    model: Sequential, filepath: "str | bytes | PathLike[str]", overwrite: bool = True
) -> None:
    """Write a model to a file: `Sequential.save`.

    Parameters
    ----------
    model : Sequential
    filepath, overwrite
        As of `Sequential.save`, which raises the same.

    Raises
    ------
    TypeError
        If `model` is none.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential, load_model, save_model
    >>> save_model(Sequential([Dense(3, input_shape=(2,))]), "model.fastnn")
    >>> load_model("model.fastnn").output_shape
    (None, 3)
    """
    _check_model(model)
    model.save(filepath, overwrite)


def load_model(
    filepath: "str | bytes | PathLike[str]",
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Sequential:
    """The model in a file that `Sequential.save` wrote, with the optimizer's state.

    Parameters
    ----------
    filepath : str, bytes or path
    custom_objects : dict, optional
        By their names the functions that the model was compiled with as loss and metrics. Without
        any, a loss of one's own is left out. A file holds no classes of one's own.
    compile : bool
        Whether the model is compiled as the one that was saved.
    safe_mode : bool
        Taken for Keras's sake: there is never code in a file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or no such file; the message names the path. If `custom_objects`
        lacks a function that `compile` needs.
    TypeError
        If `filepath` is no path, or `custom_objects` no dict.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential, load_model
    >>> Sequential([Dense(3, input_shape=(2,))]).save("model.fastnn")
    >>> load_model("model.fastnn").output_shape
    (None, 3)
    """
    from fastnn.io import load_model as load

    as_bool(safe_mode, "safe_mode")
    return load(filepath, compile=compile, custom_objects=custom_objects)
