"""Layers that normalize by what they see and train a scale and a shift for each feature."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn import constraints, initializers, regularizers
from fastnn._data import Shape, as_bool, as_number
from fastnn._registry import serialize
from fastnn.layers._base import Layer
from fastnn.layers._scaling import feature_axis
from fastnn.layers._weighted import WeightedLayer


class _ScaledNormalization(WeightedLayer):
    """What both normalizations share: gamma and beta."""

    tensors = ("gamma", "beta")

    def __init__(
        self,
        axis: Any,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
        **base: Any,
    ) -> None:
        self.axis = feature_axis(axis)
        self.epsilon = as_number(epsilon, "epsilon", 0)
        self.center = as_bool(center, "center")
        self.scale = as_bool(scale, "scale")
        self.beta_initializer = initializers.get(beta_initializer, "beta_initializer")
        self.gamma_initializer = initializers.get(gamma_initializer, "gamma_initializer")
        self.beta_regularizer = regularizers.get(beta_regularizer, "beta_regularizer")
        self.gamma_regularizer = regularizers.get(gamma_regularizer, "gamma_regularizer")
        self.beta_constraint = constraints.get(beta_constraint, "beta_constraint")
        self.gamma_constraint = constraints.get(gamma_constraint, "gamma_constraint")
        self.weight_names = ("gamma",) * self.scale + ("beta",) * self.center
        super().__init__(**base)

    def takes_shape(self, input_shape: Shape) -> bool:
        return len(input_shape) == 1

    def weight_shapes(self, input_shape: Shape) -> list[Shape]:
        return [input_shape] * len(self.weight_names)

    @property
    def gamma(self) -> np.ndarray | None:
        """A copy of the scale, (features,); None without one."""
        gamma: np.ndarray | None = self._weight("gamma")
        return gamma

    @property
    def beta(self) -> np.ndarray | None:
        """A copy of the shift, (features,); None without one."""
        beta: np.ndarray | None = self._weight("beta")
        return beta

    def get_config(self) -> dict[str, Any]:
        optional = {
            "beta_regularizer": self.beta_regularizer,
            "gamma_regularizer": self.gamma_regularizer,
            "beta_constraint": self.beta_constraint,
            "gamma_constraint": self.gamma_constraint,
        }
        return {
            **super().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": serialize(self.beta_initializer),
            "gamma_initializer": serialize(self.gamma_initializer),
            **{name: serialize(value) if value else None for name, value in optional.items()},
        }


class LayerNormalization(_ScaledNormalization):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, by each sample's features.

    Mean and variance are those of a sample; gamma and beta are trained, one of each a feature.

    Parameters
    ----------
    axis : int
        The features' axis: -1 or 1.
    epsilon : float >= 0
    center, scale : bool
        Whether there is a beta, a gamma.
    beta_initializer, gamma_initializer : str or Initializer
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : str or Constraint, optional
    name, dtype, input_shape, input_dim, **keras
        As for every layer; also `rms_scaling`, which Keras gives up, at False.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these, or Keras can do what it asks for and fastnn cannot.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.layers import LayerNormalization
    >>> from fastnn.models import Sequential
    >>> model = Sequential([LayerNormalization(epsilon=0, input_shape=(2,))])
    >>> model.predict(np.array([[1.0, 3.0], [40.0, 20.0]])).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        if keras.get("rms_scaling") is False:
            del keras["rms_scaling"]
        super().__init__(
            axis,
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            name=name,
            dtype=dtype,
            input_shape=input_shape,
            input_dim=input_dim,
            **keras,
        )

    def op(self) -> tuple[Any, ...]:
        return ("layer_norm", self.epsilon, self.scale, self.center)


class BatchNormalization(_ScaledNormalization):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, by the batch's samples.

    Mean and variance are those of a feature: in training those of the batch, otherwise moving
    ones, which follow the batches'. Where `trainable` is False they stay as they are, and training
    takes them, too, as in Keras. gamma and beta are trained, one of each a feature.

    Parameters
    ----------
    axis : int
        The features' axis: -1 or 1.
    momentum : float in [0, 1]
        moving = moving * momentum + the batch's * (1 - momentum)
    epsilon : float >= 0
    center, scale : bool
        Whether there is a beta, a gamma.
    beta_initializer, gamma_initializer : str or Initializer
    moving_mean_initializer, moving_variance_initializer : str or Initializer
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : str or Constraint, optional
    name, dtype, input_shape, input_dim, **keras
        As for every layer.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these, or Keras can do what it asks for and fastnn cannot.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.layers import BatchNormalization
    >>> from fastnn.models import Sequential
    >>> model = Sequential([BatchNormalization(momentum=0, epsilon=0, input_shape=(1,))])
    >>> model.forward(np.array([[1.0], [5.0]]), training=True).tolist()
    [[-1.0], [1.0]]
    >>> model.layers[0].moving_mean, model.layers[0].moving_variance
    (array([3.], dtype=float32), array([4.], dtype=float32))
    """

    _neutral: Mapping[str, tuple[Any, ...]] = {
        **Layer._neutral,
        "renorm": (False,),
        "renorm_clipping": (None,),
        "renorm_momentum": (0.99,),
        "synchronized": (False,),
    }

    def __init__(
        self,
        axis: Any = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self.momentum = as_number(momentum, "momentum", 0, 1, bounds="[]")
        self.moving_mean_initializer = initializers.get(
            moving_mean_initializer, "moving_mean_initializer"
        )
        self.moving_variance_initializer = initializers.get(
            moving_variance_initializer, "moving_variance_initializer"
        )
        super().__init__(
            axis,
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            renorm=renorm,
            renorm_clipping=renorm_clipping,
            renorm_momentum=renorm_momentum,
            synchronized=synchronized,
            name=name,
            dtype=dtype,
            input_shape=input_shape,
            input_dim=input_dim,
            **keras,
        )
        self.weight_names += ("moving_mean", "moving_variance")

    def op(self) -> tuple[Any, ...]:
        return ("batch_norm", self.momentum, self.epsilon, self.scale, self.center)

    def _initial_weights(self, input_shape: Shape) -> list[np.ndarray]:
        weights = super()._initial_weights(input_shape)
        _check_variance(weights[-1], f"moving_variance_initializer of layer {self.name!r}")
        return weights

    def checked_weights(self, weights: Any, name: str = "weights") -> list[np.ndarray]:
        arrays = super().checked_weights(weights, name)
        _check_variance(arrays[-1], name)
        return arrays

    def _send_trainable(self) -> None:
        """Also without a gamma and a beta: one that is not trained keeps its statistics."""
        self._network.set_trainable(self._op, self.trainable)

    def _push(self, weights: list[np.ndarray]) -> None:
        super()._push(weights)
        self._network.set_statistics(self._op, *weights[-2:])

    def _pull(self) -> list[np.ndarray]:
        return [*super()._pull(), *self._network.get_statistics(self._op)]

    @property
    def moving_mean(self) -> np.ndarray:
        """A copy of the moving mean, (features,)."""
        mean: np.ndarray = self._weight("moving_mean")
        return mean

    @property
    def moving_variance(self) -> np.ndarray:
        """A copy of the moving variance, (features,)."""
        variance: np.ndarray = self._weight("moving_variance")
        return variance

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "moving_mean_initializer": serialize(self.moving_mean_initializer),
            "moving_variance_initializer": serialize(self.moving_variance_initializer),
        }


def _check_variance(variance: np.ndarray, name: str) -> None:
    if (variance < 0).any():
        raise ValueError(f"{name}: expected a moving variance >= 0, got negative ones")
