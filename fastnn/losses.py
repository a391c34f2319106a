"""What training makes small. A loss object only says which loss; the engine computes it."""

from typing import Any

from fastnn._data import as_bool
from fastnn._registry import Configurable, resolve


class Loss(Configurable):
    """Base of all losses: the mean over the samples of a value for each sample.

    `engine_name` is the engine's word for it; `sparse` says that targets are class ids.
    """

    engine_name: str
    sparse = False
    _name: str

    def __init__(self, name: str | None = None) -> None:
        self.name = self._name if name is None else str(name)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


class MeanSquaredError(Loss):
    """Mean over the outputs of (prediction - target)^2."""

    engine_name = "mse"
    _name = "mean_squared_error"


class _CrossEntropy(Loss):
    """A cross-entropy of probabilities or, with `from_logits`, of a linear last layer's outputs."""

    _engine: str

    def __init__(self, from_logits: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.from_logits = as_bool(from_logits, "from_logits")

    @property
    def engine_name(self) -> str:  # type: ignore[override]
        return self._engine + "_logits" if self.from_logits else self._engine

    def get_config(self) -> dict[str, Any]:
        return {"from_logits": self.from_logits, **super().get_config()}


class BinaryCrossentropy(_CrossEntropy):
    """Mean over the outputs of -t log p - (1 - t) log(1 - p)."""

    _engine = "bce"
    _name = "binary_crossentropy"


class CategoricalCrossentropy(_CrossEntropy):
    """-sum over the classes of t log p, for targets (samples, classes)."""

    _engine = "xent"
    _name = "categorical_crossentropy"


class SparseCategoricalCrossentropy(_CrossEntropy):
    """-log p of the right class, for class ids (samples,)."""

    _engine = "xent"
    _name = "sparse_categorical_crossentropy"
    sparse = True


_CLASSES = (
    MeanSquaredError,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
_KNOWN: dict[str, type[Loss]] = {cls._name: cls for cls in _CLASSES}
_KNOWN |= {cls.__name__: cls for cls in _CLASSES}
_KNOWN |= dict.fromkeys(("mse", "MSE"), MeanSquaredError)
_KNOWN |= dict.fromkeys(("bce", "BCE"), BinaryCrossentropy)


def get(identifier: Any) -> Loss | None:
    """The loss that `identifier` (instance, class, name, serialized dict or None) stands for.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is a function: train on one of your own with `model.forward`, `model.backward`
        and `model.apply_gradients`.
    """
    if identifier is None:
        return None
    if callable(identifier) and not isinstance(identifier, type):
        raise TypeError(
            f"loss: expected a name or a fastnn Loss, got the function {identifier!r}; for a loss "
            f"of your own call model.forward, model.backward and model.apply_gradients"
        )
    return resolve(identifier, Loss, _KNOWN, "loss")
