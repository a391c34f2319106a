"""What layers have in common whose weights the optimizer steps."""

from typing import Any

import numpy as np

from fastnn._data import Shape, as_number
from fastnn.constraints import Constraint
from fastnn.layers._base import Layer
from fastnn.regularizers import Regularizer


class WeightedLayer(Layer):
    """A layer whose op has trained weights: what the engine calls a kernel, a bias, or both.

    A subclass says by `tensors` what Keras calls them, and by `weight_names` which of them there
    are; they stand first there, before weights that are not trained, which `_push` and `_pull` of
    the subclass carry. For each it has an attribute `<name>_initializer` and, where there may be a
    penalty on it, `<name>_regularizer`, and likewise `<name>_constraint`.

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
    def stepped_names(self) -> tuple[str, ...]:
        """Names of the weights that the optimizer has slots for."""
        return tuple(name for name in self.weight_names if name in self.tensors)

    def _initial_weights(self, input_shape: Shape) -> list[np.ndarray]:
        weights = []
        for name, shape in zip(self.weight_names, self.weight_shapes(input_shape), strict=True):
            initializer = getattr(self, f"{name}_initializer")
            try:
                weights.append(initializer(shape, self.dtype))
            except ValueError as error:
                raise ValueError(f"{name}_initializer of layer {self.name!r}: {error}") from None
        return weights

    def attach(self, network: Any, op: int, input_shape: Shape, weights: list[np.ndarray]) -> None:
        super().attach(network, op, input_shape, weights)
        if self.stepped_names:
            penalties = [(r.l1, r.l2) if r else (0.0, 0.0) for r in self._regularizers]
            network.set_penalty(op, *penalties)
            network.set_constraint(op, *(c.bound() if c else None for c in self._constraints))
            network.set_rate(op, self._multiplier)
        if not self.trainable:  # a network trains its layers unless it is told
            self._send_trainable()

    def _send_trainable(self) -> None:
        if self.stepped_names:
            self._network.set_trainable(self._op, self.trainable)

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
                self._network.set_rate(self._op, value)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self._multiplier == 1:
            return config
        return {**config, "learning_rate_multiplier": self._multiplier}

    @property
    def _constraints(self) -> list[Constraint | None]:
        return [getattr(self, f"{name}_constraint", None) for name in self.tensors]

    @property
    def _regularizers(self) -> list[Regularizer | None]:
        return [getattr(self, f"{name}_regularizer", None) for name in self.tensors]

    def _engine_kernel(self, kernel: np.ndarray) -> np.ndarray:
        """The kernel as the engine takes it, (rows, n)."""
        return kernel if kernel.ndim == 2 else kernel.reshape(1, -1)

    def _engine_tensors(self, arrays: list[np.ndarray]) -> list[np.ndarray | None]:
        """Kernel and bias out of arrays for `stepped_names`; None for one that there is not."""
        given = dict(zip(self.stepped_names, arrays, strict=False))
        kernel, bias = (given.get(name) if name else None for name in self.tensors)
        return [None if kernel is None else self._engine_kernel(kernel), bias]

    def _own_tensors(self, kernel: np.ndarray | None, bias: np.ndarray | None) -> list[np.ndarray]:
        """The engine's kernel and bias as arrays for `stepped_names`."""
        arrays = [array for array in (kernel, bias) if array is not None]
        return [array.reshape(shape) for array, shape in zip(arrays, self.shapes, strict=False)]

    def _push(self, weights: list[np.ndarray]) -> None:
        kernel, bias = self._engine_tensors(weights)
        if kernel is not None:
            self._network.set_kernel(self._op, kernel)
        if bias is not None:
            self._network.set_bias(self._op, bias)

    def _pull(self) -> list[np.ndarray]:
        kernel, bias = self.tensors
        return self._own_tensors(
            self._network.get_kernel(self._op) if kernel in self.stepped_names else None,
            self._network.get_bias(self._op) if bias in self.stepped_names else None,
        )

    def get_slot(self, slot: str) -> list[np.ndarray]:
        """Copies of an optimizer slot, in the order and shapes of `stepped_names`."""
        return self._own_tensors(*self._network.get_slot(slot, self._op))

    def set_slot(self, slot: str, arrays: list[np.ndarray]) -> None:
        """Write an optimizer slot."""
        self._network.set_slot(slot, self._op, *self._engine_tensors(arrays))

    def _weight(self, name: str) -> Any:
        """A copy of the weight of this name; None where the layer does without."""
        if name not in self.weight_names:
            return None
        if not self.built:
            raise AttributeError(f"layer {self.name!r} is not built yet: it has no weights")
        return self.get_weights()[self.weight_names.index(name)]
