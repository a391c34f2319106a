"""The layer that adds what other layers make of its input to the input."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from fastnn._data import Shape, as_weights
from fastnn._lock import ModelLock
from fastnn._registry import serialize
from fastnn.layers._base import Layer, shapes_through
from fastnn.layers._input import InputLayer


class Residual(Layer):
    """y = x + f(x), where f are layers one after the other (He et al. 2016). fastnn's own.

    Parameters
    ----------
    layers : list of Layer
        f. Its outputs have the shape of its inputs. They may be Residuals, too. `model.get_layer`
        finds them by their names; `model.layers` does not list them.
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Raises
    ------
    TypeError
        If something is no layer.
    ValueError
        If there is no layer, names repeat, dtypes differ or a layer is in a model; later, at the
        model, if the outputs have another shape than the inputs.

    Examples
    --------
    >>> from fastnn.layers import Dense, Input, Residual
    >>> from fastnn.models import Sequential
    >>> block = Residual([Dense(32, activation="relu"), Dense(8)])
    >>> model = Sequential([Input((8,)), block, Dense(1)])
    >>> model.layers[0].output_shape
    (None, 8)
    >>> block.count_params()
    552
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        trainable: bool | None = None,
        **keras: Any,
    ) -> None:
        if isinstance(layers, (str, Mapping)) or not isinstance(layers, Iterable):
            raise TypeError(f"layers: expected a list of layers, got {layers!r}")
        self._layers = list(layers)
        for layer in self._layers:
            if not isinstance(layer, Layer) or isinstance(layer, InputLayer):
                raise TypeError(f"layers: expected layers, without an Input, got {layer!r}")
        if not self._layers:
            raise ValueError("layers: expected at least one layer, got none")
        if dtype is None:
            dtype = self._layers[0].dtype_policy
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )
        self._check_layers()
        self._hold()
        if trainable is not None:
            self.trainable = trainable

    def _check_layers(self) -> None:
        """Refuse layers that cannot be in here together."""
        names = [layer.name for layer in self.leaves()]
        for layer in self._layers:
            if layer.owner is not None or self._layers.count(layer) > 1:
                raise ValueError(
                    f"layer {layer.name!r}: expected a layer that is nowhere else, got one in "
                    f"{layer.owner.name if layer.owner else self.name!r}"
                )
            if layer.dtype != self.dtype:
                raise ValueError(
                    f"layer {layer.name!r}: expected dtype {self.dtype}, that of {self.name!r}, "
                    f"got {layer.dtype}"
                )
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"name: expected a name no other layer has, got {name!r}")

    @property
    def layers(self) -> list[Layer]:
        """The layers that f is made of."""
        return list(self._layers)

    def leaves(self) -> Iterator[Layer]:
        yield self
        for layer in self._layers:
            yield from layer.leaves()

    def ops(self, input_shape: Shape) -> list[tuple[Any, ...]]:
        inner = [op for layer, shape in self._with_shapes(input_shape) for op in layer.ops(shape)]
        return [("fork",), *inner, ("join",)]

    def output_shape_for(self, input_shape: Shape) -> Shape:
        output_shape = shapes_through(self._layers, input_shape)[-1]
        if output_shape != input_shape:
            raise ValueError(
                f"layer {self.name!r}: expected layers whose outputs have the shape of the "
                f"inputs, {input_shape}, got {output_shape}"
            )
        return input_shape

    def _with_shapes(self, input_shape: Shape) -> list[tuple[Layer, Shape]]:
        """The layers and what goes into each."""
        return list(zip(self._layers, shapes_through(self._layers, input_shape), strict=False))

    # ---- weights: those of the layers, one after the other ------------------------------------

    @property
    def weight_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Such as "0.kernel", by the layers' places."""
        return tuple(
            f"{i}.{name}" for i, layer in enumerate(self._layers) for name in layer.weight_names
        )

    @property
    def stepped_names(self) -> tuple[str, ...]:
        return tuple(
            f"{i}.{name}" for i, layer in enumerate(self._layers) for name in layer.stepped_names
        )

    def weight_shapes(self, input_shape: Shape) -> list[Shape]:
        return [
            weight
            for layer, shape in self._with_shapes(input_shape)
            for weight in layer.weight_shapes(shape)
        ]

    @property
    def built(self) -> bool:
        """Whether all weights exist."""
        return all(layer.built for layer in self._layers if layer.weight_names)

    def first_weights(self, input_shape: Shape) -> list[np.ndarray]:
        return [
            weight
            for layer, shape in self._with_shapes(input_shape)
            for weight in layer.first_weights(shape)
        ]

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the layers' weights, in their order; [] before all of them are built."""
        if not self.built:
            return []
        return [weight for layer in self._layers for weight in layer.get_weights()]

    def checked_weights(self, weights: Any, name: str = "weights") -> list[np.ndarray]:
        arrays = super().checked_weights(weights, name)
        for layer, part in self._parts(arrays):
            layer.checked_weights(part, f"{name} of {layer.name}")
        return arrays

    def set_weights(self, weights: list[Any]) -> None:
        arrays = self.checked_weights(weights)
        with self._lock:
            for layer, part in self._parts(arrays):
                layer.set_weights(part)

    def set_weights_for(self, input_shape: Shape, weights: list[Any]) -> None:
        shapes = shapes_through(self._layers, input_shape)
        arrays = as_weights(weights, self.weight_shapes(input_shape), np.dtype(self.dtype))
        for (layer, part), shape in zip(self._parts(arrays), shapes, strict=False):
            layer.set_weights_for(shape, part)
        self._shape = input_shape

    def _parts(self, arrays: list[Any]) -> list[tuple[Layer, list[Any]]]:
        """The layers, each with its own of an array for each weight."""
        rest = iter(arrays)
        return [(layer, [next(rest) for _ in layer.weight_names]) for layer in self._layers]

    @property
    def trainable_weights(self) -> list[np.ndarray]:
        """Copies of those weights that training changes."""
        return [weight for layer in self._layers for weight in layer.trainable_weights]

    @property
    def trainable(self) -> bool:
        """Whether training changes any weights; setting it sets that of all layers."""
        return any(layer.trainable for layer in self._layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        with self._lock:
            for layer in self._layers:
                layer.trainable = value

    def get_slot(self, slot: str) -> list[np.ndarray]:
        stepped = [layer for layer in self._layers if layer.stepped_names]
        return [array for layer in stepped for array in layer.get_slot(slot)]

    def set_slot(self, slot: str, arrays: list[np.ndarray]) -> None:
        rest = iter(arrays)
        for layer in self._layers:
            if layer.stepped_names:
                layer.set_slot(slot, [next(rest) for _ in layer.stepped_names])

    # ---- the model's side ---------------------------------------------------------------------

    def attach(self, network: Any, op: int, input_shape: Shape, weights: list[np.ndarray]) -> None:
        super().attach(network, op, input_shape, [])
        shapes = shapes_through(self._layers, input_shape)
        op += 1  # behind the fork
        for (layer, part), shape in zip(self._parts(weights), shapes, strict=False):
            layer.attach(network, op, shape, part)
            op += len(layer.ops(shape))

    def detach(self) -> None:
        self._network = None
        for layer in self._layers:
            layer.detach()

    def join(self, model: Any, lock: ModelLock) -> None:
        super().join(model, lock)
        self._hold()

    def leave(self) -> None:
        super().leave()
        self._hold()

    def _hold(self) -> None:
        """The layers are in this one, wherever that is; the lock is that of its model."""
        for layer in self._layers:
            layer.join(self, self._lock)

    # ---- written down -------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "layers": [serialize(layer) for layer in self._layers]}
        config.pop("trainable", None)  # the layers say it
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Residual":
        from fastnn.layers import get  # which knows this class, too

        return cls(**{**config, "layers": [get(layer) for layer in config["layers"]]})

    def __getstate__(self) -> dict[str, Any]:
        """A copy is free; the layers have the weights."""
        return {**super().__getstate__(), "_weights": None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        super().__setstate__(state)
        self._hold()
