"""Models, under Keras's names."""

import threading
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import Any

import numpy as np

from fastnn import layers as layers_module
from fastnn._data import as_int
from fastnn._registry import serialize
from fastnn.config import floatx
from fastnn.layers import InputLayer, Layer, as_name
from fastnn.trainer import Trainer


class Sequential(Trainer):
    """A stack of layers.

    Parameters
    ----------
    layers : list of Layer, optional
        An `Input` may stand first. Without one, and without `input_shape` on the first layer,
        the model is built at its first data.
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

    def __init__(self, layers: Iterable[Layer] | None = None, name: str | None = None) -> None:
        super().__init__()
        self.name = as_name(name, "sequential")
        self._layers: list[Layer] = []
        self._input: InputLayer | None = None
        self._lock = threading.RLock()
        self._network: Any = None
        try:
            for layer in layers or ():
                self._append(layer)
            self._rebuild()
        except BaseException:
            for layer in self._layers:
                layer.leave()
            raise

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

    def add(self, layer: Layer) -> None:
        """Put a layer on top. The weights of the others stay; the optimizer begins anew."""
        with self._lock:
            self._append(layer)
            try:
                self._rebuild()
            except BaseException:
                self._layers.pop().leave()
                self._rebuild()
                raise

    def pop(self) -> Layer:
        """Take the last layer off, with its weights, and return it."""
        with self._lock:
            if not self._layers:
                raise ValueError("pop: expected a model with layers, got an empty one")
            self._release()
            layer = self._layers.pop()
            layer.leave()
            self._rebuild()
            return layer

    def _append(self, layer: Layer) -> None:
        """Check a layer and take it in, without building."""
        if not isinstance(layer, Layer):
            raise TypeError(f"layer: expected a layer of fastnn.layers, got {layer!r}")
        if layer.owner is not None:
            raise ValueError(
                f"layer {layer.name!r}: expected a layer in no model, got one in "
                f"{layer.owner.name!r}"
            )
        layer.detach()  # from a model that is no more
        first = self._input or (self._layers[0] if self._layers else layer)
        if layer.dtype != first.dtype:
            raise ValueError(
                f"layer {layer.name!r}: expected dtype {first.dtype} as the layers before it "
                f"have, got {layer.dtype}"
            )
        if isinstance(layer, InputLayer):
            if self._layers or self._input:
                raise ValueError(f"layer {layer.name!r}: expected the Input first")
            self._input = layer
        else:
            if any(layer.name == other.name for other in self._layers):
                raise ValueError(f"name: expected a name no other layer has, got {layer.name!r}")
            size = self.input_size if self._layers or self._input else layer.input_size_argument
            if size is not None:
                layer.check_input_size(self._output_size_for(size))
            if not self._layers and not self._input and layer.input_size_argument:
                self._input = InputLayer((layer.input_size_argument,), dtype=layer.dtype)
            self._release()
            self._layers.append(layer)
        layer.join(self, self._lock)

    @property
    def input_size(self) -> int | None:  # type: ignore[override]
        """How many features the model takes; None before it is known."""
        if self._network is not None:
            return int(self._network.input_size)
        return self._input.input_size if self._input else None

    @property
    def _dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        first = self._input or (self._layers[0] if self._layers else None)
        return np.dtype(first.dtype if first else floatx())

    def _output_size_for(self, input_size: int) -> int:
        """Outputs of the whole stack; refuses layers that do not fit."""
        for layer in self._layers:
            layer.check_input_size(input_size)
            input_size = layer.output_size_for(input_size)
        return input_size

    # ---- building -----------------------------------------------------------------------------

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self._network is not None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights, for inputs of shape (None, features).

        Raises
        ------
        ValueError
            If the shape is another, or the model was built for another.
        """
        if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 2:
            raise ValueError(f"input_shape: expected (None, features), got {input_shape!r}")
        features = as_int(input_shape[1], "input_shape", 1)
        with self._lock:
            if self.input_size not in (None, features):
                raise ValueError(
                    f"input_shape: expected (None, {self.input_size}), got {input_shape}"
                )
            self._build_for(features)

    def _build_for(self, input_size: int) -> None:
        """Make the network, unless it is there; layers bring their weights or draw them."""
        if self._network is not None:
            return
        if not self._layers:
            raise ValueError("model: expected at least one layer, got none")
        sizes, weights = [input_size], []
        for layer in self._layers:
            layer.check_input_size(sizes[-1])
            weights.append(layer.first_weights(sizes[-1]))
            sizes.append(layer.output_size_for(sizes[-1]))
        ops = [layer.op() for layer in self._layers]
        network = self._network_class(self._dtype.name, input_size, ops)
        for number, layer in enumerate(self._layers):  # nothing has changed before this line
            layer.attach(network, number, sizes[number], weights[number])
        self._network = network
        self._compile_network()

    def _rebuild(self) -> None:
        if self._input is not None and self._layers:
            self._build_for(self._input.input_size)  # type: ignore[arg-type]

    def _release(self) -> None:
        """Take the weights out of the network and drop it."""
        if self._network is None:
            return
        if self._input is None:  # a model built at its first data keeps that size
            self._input = InputLayer((self._network.input_size,), dtype=self._dtype)
        for layer in self._layers:
            layer.detach()
        self._network, self._rows_forward, self._has_gradients = None, None, False

    def _built_network(self, call: str) -> Any:
        if self._network is None:
            raise ValueError(
                f"{call}: expected a built model, got one whose input is unknown; give it an "
                f"Input(shape=...), or data first"
            )
        return self._network

    @property
    def input_shape(self) -> tuple[None, int]:
        """(None, features)."""
        return (None, self._built_network("input_shape").input_size)

    @property
    def output_shape(self) -> tuple[None, int]:
        """(None, outputs)."""
        return (None, self._built_network("output_shape").output_size)

    # ---- weights ------------------------------------------------------------------------------

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, layer by layer in Keras's order; [] before the model is built."""
        return [weight for layer in self._layers for weight in layer.get_weights()]

    def set_weights(self, weights: list[Any]) -> None:
        """Replace all weights.

        Raises
        ------
        ValueError, TypeError
            If their number or a shape is wrong, or they are no numbers. Nothing has changed then.
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
        """The gradients, in the order of `flat_weights`."""
        flat: np.ndarray = self._built_network("flat_gradients").flat_gradients
        return flat

    def count_params(self) -> int:
        """How many numbers the weights are."""
        self._built_network("count_params")
        return sum(layer.count_params() for layer in self._layers)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print a table of the layers."""
        rows = [("Layer (type)", "Output shape", "Parameters")]
        for layer in self._layers:
            title = f"{layer.name} ({type(layer).__name__})"
            if self.built:
                rows.append((title, str(layer.output_shape), f"{layer.count_params():,}"))
            else:
                rows.append((title, "?", "unbuilt"))
        left, middle, right = (max(map(len, column)) for column in zip(*rows, strict=True))
        lines = [f"{a:<{left}}   {b:<{middle}}   {c:>{right}}" for a, b, c in rows]
        rule = "-" * len(lines[0])
        for line in (f'Model: "{self.name}"', rule, lines[0], rule, *lines[1:], rule):
            print_fn(line)
        if self.built:
            kib = self.count_params() * self._dtype.itemsize / 1024
            print_fn(f"Parameters: {self.count_params():,} ({kib:,.1f} KiB)")

    # ---- written down -------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Name, layers and input shape as plain data, without weights."""
        stack = [self._input] if self._input else []
        return {
            "name": self.name,
            "layers": [serialize(layer) for layer in (*stack, *self._layers)],
            "build_input_shape": list(self.input_shape) if self.built else None,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Sequential":
        """A new model, with new weights, from what `get_config` returned."""
        model = cls([layers_module.get(layer) for layer in config["layers"]], name=config["name"])
        if config.get("build_input_shape"):
            model.build(config["build_input_shape"])
        return model

    def save(self, path: "str | PathLike[str]") -> None:
        """Write the model, its weights and the optimizer's state to a file.

        The file is a safetensors file; it appears at `path` whole or not at all.
        """
        from fastnn.io import save_model

        save_model(self, path)

    def __reduce__(self) -> tuple[Any, ...]:
        from fastnn.io import get_state, model_from_state

        return model_from_state, get_state(self)


class Model:
    """Keras's functional and subclassed models do not exist here; `Sequential` does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(
            "Model: fastnn has no functional or subclassed models; use fastnn.Sequential([...])"
        )


def load_model(path: "str | PathLike[str]") -> Sequential:
    """The model in a file that `Sequential.save` wrote, with the optimizer's state.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or no such file; the message names the path.
    """
    from fastnn.io import load_model as load

    return load(path)
