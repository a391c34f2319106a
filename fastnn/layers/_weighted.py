"""What layers have in common whose weights the optimizer steps."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnn._data import Shape, as_number
from fastnn.layers._base import Layer


class WeightedLayer(Layer):
    """A layer whose ops have trained weights: what the engine calls a kernel, a bias, or both.

    A subclass says by `tensors` what Keras calls them, by `op_tensors` where it has several ops,
    and by `weight_names` which of them there are; they stand first there, before weights that are
    not trained, which `_push` and `_pull` of the subclass carry. For each it has an attribute
    `<name>_initializer` and, where there may be a penalty on it, `<name>_regularizer`, and likewise
    `<name>_constraint`.

    Parameters
    ----------
    learning_rate_multiplier : float >= 0
        What the optimizer's learning rate is multiplied by for these weights. May be changed later.
    **arguments
        As for every layer.
    """

    def __init__(self, *, learning_rate_multiplier: float = 1.0, **arguments: Any) -> None:
        self._multiplier = as_number(learning_rate_multiplier, "learning_rate_multiplier", 0)
        super().__init__(**arguments)

    tensors: tuple[str | None, str | None] = ("kernel", "bias")

    @property
    def op_tensors(self) -> tuple[tuple[str | None, str | None], ...]:
        """For each op from the first on the names of its kernel and its bias."""
        return (self.tensors,)

    @property
    def stepped_names(self) -> tuple[str, ...]:
        """Names of the weights that the optimizer has slots for."""
        names = {name for names in self.op_tensors for name in names}
        return tuple(name for name in self.weight_names if name in names)

    def _initializer_of(self, name: str) -> Any:
        return getattr(self, f"{name}_initializer")

    def _setting_of(self, name: str | None, kind: str) -> Any:
        """The regularizer or the constraint of a weight; None without."""
        return getattr(self, f"{name}_{kind}", None)

    def _initial_weights(self, input_shape: Shape) -> list[np.ndarray]:
        weights = []
        for name, shape in zip(self.weight_names, self.weight_shapes(input_shape), strict=True):
            initializer = self._initializer_of(name)
            try:
                weights.append(initializer(shape, self.dtype))
            except ValueError as error:
                raise ValueError(f"{name}_initializer of layer {self.name!r}: {error}") from None
        return weights

    def attach(self, network: Any, op: int, input_shape: Shape, weights: list[np.ndarray]) -> None:
        super().attach(network, op, input_shape, weights)
        if self.stepped_names:
            for number, names in enumerate(self.op_tensors, op):
                penalties = [self._setting_of(name, "regularizer") for name in names]
                network.set_penalty(number, *((r.l1, r.l2) if r else (0.0, 0.0) for r in penalties))
                bounds = [self._setting_of(name, "constraint") for name in names]
                network.set_constraint(number, *(c.bound() if c else None for c in bounds))
                network.set_rate(number, self._multiplier)
        if not self.trainable:  # a network trains its layers unless it is told
            self._send_trainable()

    def _send_trainable(self) -> None:
        if self.stepped_names:
            for number, _ in enumerate(self.op_tensors, self._op):
                self._network.set_trainable(number, self.trainable)

    @property
    def learning_rate_multiplier(self) -> float:
        """What the optimizer's learning rate is multiplied by for these weights."""
        return self._multiplier

    @learning_rate_multiplier.setter
    def learning_rate_multiplier(self, value: float) -> None:
        value = as_number(value, "learning_rate_multiplier", 0)
        with self._lock:
            self._multiplier = value
            if self._network is not None and self.stepped_names:
                for number, _ in enumerate(self.op_tensors, self._op):
                    self._network.set_rate(number, value)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self._multiplier == 1:
            return config
        return {**config, "learning_rate_multiplier": self._multiplier}

    def _engine_kernel(self, kernel: np.ndarray) -> np.ndarray:
        """The kernel as the engine takes it, (rows, n)."""
        return kernel if kernel.ndim == 2 else kernel.reshape(1, -1)

    def _engine_tensors(
        self, arrays: list[np.ndarray]
    ) -> list[tuple[int, np.ndarray | None, np.ndarray | None]]:
        """Ops, each with its kernel and bias out of arrays for `stepped_names`; None for what there
        is not."""
        given = dict(zip(self.stepped_names, arrays, strict=False))
        found = []
        for op, names in enumerate(self.op_tensors, self._op):
            kernel, bias = (given.get(name) if name else None for name in names)
            found.append((op, None if kernel is None else self._engine_kernel(kernel), bias))
        return found

    def _own_tensors(
        self, tensors: Iterable[tuple[np.ndarray | None, np.ndarray | None]]
    ) -> list[np.ndarray]:
        """The ops' kernels and biases as arrays for `stepped_names`."""
        named = {
            name: array
            for names, arrays in zip(self.op_tensors, tensors, strict=True)
            for name, array in zip(names, arrays, strict=True)
            if array is not None
        }
        return [
            named[name].reshape(shape)
            for name, shape in zip(self.stepped_names, self.shapes, strict=False)
        ]

    def _push(self, weights: list[np.ndarray]) -> None:
        for op, kernel, bias in self._engine_tensors(weights):
            if kernel is not None:
                self._network.set_kernel(op, kernel)
            if bias is not None:
                self._network.set_bias(op, bias)

    def _pull(self) -> list[np.ndarray]:
        network, given = self._network, self.stepped_names
        return self._own_tensors(
            (
                network.get_kernel(op) if kernel in given else None,
                network.get_bias(op) if bias in given else None,
            )
            for op, (kernel, bias) in enumerate(self.op_tensors, self._op)
        )

    def get_slot(self, slot: str) -> list[np.ndarray]:
        """Copies of an optimizer slot, in the order and shapes of `stepped_names`."""
        ops = range(self._op, self._op + len(self.op_tensors))
        return self._own_tensors(self._network.get_slot(slot, op) for op in ops)

    def set_slot(self, slot: str, arrays: list[np.ndarray]) -> None:
        """Write an optimizer slot."""
        for tensors in self._engine_tensors(arrays):
            self._network.set_slot(slot, *tensors)

    def _weight(self, name: str) -> Any:
        """A copy of the weight of this name; None where the layer does without."""
        if name not in self.weight_names:
            return None
        if not self.built:
            raise AttributeError(f"layer {self.name!r} is not built yet: it has no weights")
        return self.get_weights()[self.weight_names.index(name)]
