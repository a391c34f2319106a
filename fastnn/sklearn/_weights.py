"""An estimator's weights: its model's, and lists of them that the user may change."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from fastnn._data import numeric
from fastnn._lock import ModelLock
from fastnn.models import Sequential
from fastnn.sklearn import _network
from fastnn.sklearn._network import Settings

Lists = dict[str, list[np.ndarray]]


class Weights:
    """The part of an estimator that has the model.

    `coefs_` and `intercepts_` are lists of copies, made when they are asked for; from then on they
    may have been changed, and are read again before the model is used.
    """

    # of the estimator
    activation: Any
    batch_norm: bool
    dropout: float
    dtype: str | None
    loss: Any
    random_state: Any
    out_activation_: str

    _lists: dict[str, list[Any]] | None
    _model: Sequential
    _settings: Settings
    _random_state: np.random.RandomState

    @property
    def coefs_(self) -> Sequence[np.ndarray]:
        """The kernels, (inputs, units) each. They may be changed, item by item or in place.

        In a callback they are those of the moment, and read-only.
        """
        return self._list_out("coefs_")

    @coefs_.setter
    def coefs_(self, value: Sequence[np.ndarray]) -> None:
        self._set_list("coefs_", value)

    @property
    def intercepts_(self) -> Sequence[np.ndarray]:
        """The biases, (units,) each, otherwise as `coefs_`."""
        return self._list_out("intercepts_")

    @intercepts_.setter
    def intercepts_(self, value: Sequence[np.ndarray]) -> None:
        self._set_list("intercepts_", value)

    def _list_out(self, name: str) -> Sequence[Any]:
        if vars(self).get("_in_training"):
            return tuple(map(_read_only, _copies(self._model)[name]))
        if not self.__sklearn_is_fitted__() or name not in self._lists_out():
            raise AttributeError(f"{type(self).__name__} has no {name} before it is fitted")
        return self._lists_out()[name]

    def _lists_out(self) -> dict[str, list[Any]]:
        """The lists, made of the model's weights where there are none."""
        own = vars(self)
        if own.get("_lists") is None:
            self._lists = _copies(own["_model"]) if "_model" in own else {}
        lists: dict[str, list[Any]] = own["_lists"]
        return lists

    def _set_list(self, name: str, value: Any) -> None:
        if vars(self).get("_in_training"):
            raise AttributeError(f"{name}: read-only in training; call model.set_weights there")
        if not isinstance(value, (list, tuple, np.ndarray)):
            raise TypeError(f"{name}: expected a list of arrays, got {type(value).__name__}")
        self._lists_out()[name] = list(value)

    def _checked_lists(self) -> Lists | None:
        """The lists as arrays that fit to each other; None where the model's weights count."""
        lists = vars(self).get("_lists")
        if lists is None:
            return None
        kernels, biases = (
            [numeric(item, f"{name}[{i}]") for i, item in enumerate(lists.get(name, []))]
            for name in ("coefs_", "intercepts_")
        )
        for name, count in (("coefs_", len(kernels)), ("intercepts_", len(biases))):
            if not count or count != len(kernels):
                layers = len(kernels) or "some"
                raise ValueError(
                    f"{name}: expected an array for each of {layers} layers, got {count}"
                )
        inputs: Any = vars(self).get("n_features_in_", "inputs")
        for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
            if kernel.ndim != 2 or inputs not in (kernel.shape[0], "inputs") or not kernel.size:
                raise ValueError(
                    f"coefs_[{i}]: expected shape ({inputs}, units), got {kernel.shape}"
                )
            inputs = kernel.shape[1]
            if bias.shape != (inputs,):
                raise ValueError(f"intercepts_[{i}]: expected shape ({inputs},), got {bias.shape}")
        outputs = vars(self).get("n_outputs_", inputs)
        if inputs != outputs:
            raise ValueError(
                f"coefs_[{len(kernels) - 1}]: expected a column for each of {outputs} outputs, got "
                f"{inputs}"
            )
        return {"coefs_": kernels, "intercepts_": biases}

    def _take_over(self, held: dict[str, list[Any]] | None) -> None:
        """After training the model's weights count; lists that were out before follow them."""
        self._lists = held
        for name, arrays in _copies(self._model).items() if held else ():
            held[name][:] = map(_written, held[name], arrays)  # type: ignore[index]

    @property
    def _lock(self) -> ModelLock:
        """Held while the model is trained, exchanged or given the weights of the lists."""
        own = vars(self)
        lock: ModelLock = own.get("_own_lock") or own.setdefault("_own_lock", ModelLock())
        return lock

    def __getstate__(self) -> dict[str, Any]:
        """A copy that a callback makes is in no training."""
        state: Any = super().__getstate__()
        own = ("_in_training", "_own_lock")
        return {name: value for name, value in dict(state).items() if name not in own}

    # ---- the model ----------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return "_model" in vars(self) or "_lists" in vars(self)

    @property
    def model_(self) -> Sequential:
        """A `Sequential` with the weights of now: to be saved, looked at, trained on."""
        check_is_fitted(self)
        return _network.copy_model(self._current())

    def _current(self) -> Sequential:
        """The model, with what has become of the lists, and of `activation`: that counts when it is
        used, as in scikit-learn, other parameters as `fit` or `partial_fit` begins."""
        model = self._as_it_is()
        if model is not None:
            return model
        with self._lock:  # another thread may have trained it before this line
            model, own = self._as_it_is(), vars(self)
            if model is not None:
                return model
            if "_model" not in own:
                return self._renew(self._next_settings())
            return self._renew(own["_settings"]._replace(activation=_frozen(self.activation)))

    def _as_it_is(self) -> Sequential | None:
        """The model, where nothing has been changed that it does not have yet."""
        own = vars(self)
        model: Sequential | None = own.get("_model")
        if model is None or own.get("_in_training"):
            return model
        same = own["_lists"] is None and _frozen(self.activation) == own["_settings"].activation
        return model if same else None

    def _renew(self, settings: Settings) -> Sequential:
        """The model with what is in the lists; a new one where settings or sizes are others."""
        lists: Any = self._checked_lists()
        old = vars(self).get("_model")
        sizes = _sizes(lists) if lists else _network.layer_sizes(old)  # type: ignore[arg-type]
        model = old
        if model is None or settings != self._settings or _network.layer_sizes(model) != sizes:
            model = _network.build(sizes, settings)
            if old is not None:
                _network.take_over(model, old, self._engine_loss(settings.loss, model))
        if lists is not None:
            for layer, *weights in zip(
                _network.dense_layers(model), *(lists[name] for name in lists), strict=True
            ):
                layer.set_weights(weights)
        self._model, self._settings = model, settings
        return model

    def _next_settings(self) -> Settings:
        """What the parameters say, where training goes on with weights that are there."""
        own = vars(self)
        if "_settings" in own:
            return self._new_settings(own["_settings"].dtype, own["_settings"].seed)
        lists = self._checked_lists()
        single = lists is not None and lists["coefs_"][0].dtype == np.float32
        return self._new_settings("float32" if single else "float64")

    def _new_settings(self, dtype: str, seed: int | None = None) -> Settings:
        """What the parameters say; the dtype where they do not."""
        if self.dropout and seed is None:
            random_state = check_random_state(vars(self).get("_random_state", self.random_state))
            seed = random_state.randint(2**31 - 1)
        return Settings(
            _frozen(self.activation),
            self.out_activation_,
            self.loss,
            self.dtype or dtype,
            self.batch_norm,
            self.dropout,
            seed,
        )

    def _engine_loss(self, loss: Any, model: Sequential) -> Any:
        """What `compile` takes for that value of the parameter `loss`."""
        raise NotImplementedError


def _copies(model: Sequential) -> Lists:
    kernels, biases = zip(
        *(layer.get_weights() for layer in _network.dense_layers(model)), strict=True
    )
    return {"coefs_": list(kernels), "intercepts_": list(biases)}


def _sizes(lists: Lists) -> list[int]:
    kernels = lists["coefs_"]
    return [kernels[0].shape[0], *(kernel.shape[1] for kernel in kernels)]


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _written(old: Any, new: np.ndarray) -> Any:
    """`old` with the numbers of `new`, or `new` where it cannot have them."""
    if not isinstance(old, np.ndarray) or not old.flags.writeable or old.shape != new.shape:
        return new
    old[...] = new
    return old


def _frozen(activation: Any) -> Any:
    """What does not change with the parameter."""
    return tuple(activation) if isinstance(activation, list) else activation
