"""What the two estimators share: scikit-learn's private methods that compute, on the engine.

scikit-learn's own classes are the bases: validation, label encoding, scores, L-BFGS's call of SciPy
and the public methods stay theirs. What multiplies matrices, and what the parameters that
scikit-learn does not have need, is here.
"""

import warnings
from functools import cache
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
    is_classifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron
from sklearn.neural_network._stochastic_optimizers import BaseOptimizer, SGDOptimizer
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastnn import activations, losses, optimizers
from fastnn._arguments import Data, as_callbacks, in_rows
from fastnn._full_batch import Objective, check_model
from fastnn._native.core import Training
from fastnn.callbacks import ProgressBar
from fastnn.models import Sequential
from fastnn.optimizers import LBFGS, SGD, Adam, Optimizer
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.sklearn import _network
from fastnn.sklearn._training import Feed, Rule, train, validation_parts
from fastnn.sklearn._weights import Weights

_FLOAT32_MAX = float(np.finfo(np.float32).max)
DTYPES = ("float32", "float64", "mixed_bfloat16")


class FastMLP(
    Weights,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseMultilayerPerceptron,  # type: ignore[misc]
):
    """The part of an estimator that is on the engine."""

    _own_losses: ClassVar[tuple[str, ...]]  # which scikit-learn has, too

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMultilayerPerceptron._parameter_constraints,
        "activation": [str, callable, list, tuple],
        "solver": [str, Optimizer],
        "learning_rate": [
            StrOptions({"constant", "invscaling", "adaptive"}),
            LearningRateSchedule,
        ],
        "loss": [str, losses.Loss, callable],
        "verbose": ["verbose", StrOptions({"progress"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "batch_norm": ["boolean"],
        "callbacks": [list, tuple, HasMethods(["on_epoch_end"]), None],
        "num_threads": [Interval(Integral, 1, None, closed="left"), None],
        "dtype": [StrOptions(set(DTYPES)), None],
    }

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        """scikit-learn takes the signature of `__init__` apart each time, twice in a `fit`."""
        names: list[str] = super()._get_param_names()
        return names

    # ---- fit ----------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None
    ) -> "FastMLP":
        """Fit the model to data.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (samples, features)
        y : array_like of shape (samples,) or (samples, outputs)
            Class labels, an indicator matrix of labels, or numbers.
        sample_weight : array_like of shape (samples,), optional
        validation_data : tuple (X, y) or (X, y, sample_weight), optional
            What `validation_scores_` are of, in place of the part of the samples that
            `early_stopping` keeps out. With solvers that go by batches only.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument or a parameter is wrong.
        """
        return self._fit(X, y, sample_weight, validation_data=validation_data)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        incremental: bool = False,
        validation_data: Any = None,
    ) -> "FastMLP":
        with self._lock:
            before = dict(vars(self))
            self._trained = False
            try:
                self._prepare_and_train(X, y, sample_weight, incremental, validation_data)
            except BaseException:
                if not self._trained:  # nothing has changed then
                    self.__dict__ = before
                raise
        if not all(np.isfinite(weight).all() for weight in self._model.get_weights()):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may"
                " contain large values and need to be preprocessed."
            )
        return self

    def _prepare_and_train(
        self, X: Any, y: Any, sample_weight: Any, incremental: bool, validation_data: Any
    ) -> None:
        hidden = self._hidden_layer_sizes()
        self._check_parameters(len(hidden))
        first = not self.__sklearn_is_fitted__() or (not self.warm_start and not incremental)
        X, y = self._validate_input(X, y, incremental, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        y = y.reshape(len(y), -1)
        if not first:
            self._check_goes_on(hidden, y.shape[1])
        sample_weight = self._weigh_classes(y, sample_weight)
        self._random_state = check_random_state(self.random_state)
        self.n_outputs_ = y.shape[1]
        self.out_activation_ = self._out_activation()
        sizes = [X.shape[1], *hidden, self.n_outputs_]
        if first:
            self._initialize(sizes, X.dtype)
        else:
            self._renew(self._next_settings())
        held = self._lists
        try:
            if self.solver == "lbfgs":
                if validation_data is not None:
                    raise ValueError("validation_data: expected None with solver='lbfgs'")
                self._fit_lbfgs(X, y, sample_weight, None, None, None, None, sizes)
            else:
                self._fit_stochastic(X, y, sample_weight, incremental, validation_data)
        finally:
            self._take_over(held)

    def _hidden_layer_sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if not all(isinstance(size, Integral) for size in sizes):
            raise TypeError(f"hidden_layer_sizes: expected integers, got {sizes}")
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _check_goes_on(self, hidden: list[int], outputs: int) -> None:
        """Refuse to train other layers than those that are there."""
        if outputs != self.n_outputs_:
            raise ValueError(
                f"y: expected {self.n_outputs_} outputs, as in the first fit, got {outputs}"
            )
        if "_hidden" not in vars(self):  # not fitted, but with weights that were set
            return
        there = _network.layer_sizes(self._current())[1:-1]
        if hidden not in (self._hidden, there):
            raise ValueError(
                f"hidden_layer_sizes: expected {self._hidden}, to go on with the layers that are "
                f"there, got {hidden}"
            )

    def _check_parameters(self, hidden: int) -> None:
        """Refuse wrong ones before anything changes."""
        for name in _network.hidden_activations(self.activation, hidden):
            activations.get(_network.ACTIVATIONS.get(name, name))
        if self.solver == "lbfgs":
            self._check_lbfgs()
        elif self.solver not in ("sgd", "adam"):
            self._new_optimizer()
        if self.loss not in self._own_losses:
            losses.get(self.loss)

    def _check_lbfgs(self) -> None:
        for name, without in (("callbacks", None), ("dropout", 0.0), ("batch_norm", False)):
            if value := getattr(self, name):
                raise ValueError(
                    f"{name}: expected {without} with solver='lbfgs', which takes all samples at "
                    f"once, got {value}"
                )
        if self.verbose == "progress":
            raise ValueError("verbose: expected a number with solver='lbfgs', got 'progress'")
        if not isinstance(self.learning_rate, str):
            raise ValueError(
                f"learning_rate: expected no schedule with solver='lbfgs', which has no steps of "
                f"such a length, got {self.learning_rate}"
            )

    def _weigh_classes(self, y: np.ndarray, sample_weight: Any) -> Any:
        return sample_weight

    def _initialize(self, layer_units: list[int], dtype: Any) -> None:
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(layer_units)
        self._hidden = layer_units[1:-1]
        self._lists = None
        # SciPy searches in float64; as in scikit-learn
        single = self.solver != "lbfgs" and dtype == np.float32
        self._settings = self._new_settings("float32" if single else "float64")
        names = _network.hidden_activations(self.activation, len(self._hidden))
        names.append(names[-1] if names else self.activation)
        weights = list(map(self._draw, layer_units[:-1], layer_units[1:], names))
        self._model = _network.build(layer_units, self._settings, weights)
        if self.solver != "lbfgs":
            self._begin_curves()

    def _draw(self, inputs: int, units: int, activation: Any) -> list[np.ndarray]:
        """Starting weights, those of Glorot and Bengio (2010), the biases likewise."""
        factor = 2.0 if activation in ("logistic", "sigmoid") else 6.0
        bound = np.sqrt(factor / (inputs + units))
        uniform = self._random_state.uniform
        return [uniform(-bound, bound, (inputs, units)), uniform(-bound, bound, units)]

    def _begin_curves(self) -> None:
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        self.best_loss_ = None if self.early_stopping else np.inf
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self._best_weights: list[np.ndarray] | None = None
        if self.early_stopping:
            self._best_weights = self._model.get_weights()

    def _data(self, model: Sequential, X: Any, y: np.ndarray, sample_weight: Any) -> Data:
        """What the engine trains on."""
        if model.loss.sparse and self.out_activation_ != "softmax":  # type: ignore[union-attr]
            raise ValueError(
                f"loss: expected one that does not take class ids, as there are not several "
                f"classes with an output each; got {model.loss!r}"
            )
        if self.n_outputs_ == 1 and isinstance(model.loss, _network.OF_SEVERAL_OUTPUTS):
            raise ValueError(
                f"loss: expected one that is of a single output, too, as there is one; got "
                f"{model.loss!r}"
            )
        _check_range(X, model._dtype)
        targets = y.argmax(axis=1) if model.loss.sparse else y  # type: ignore[union-attr]
        data = model._check_data(X, targets, sample_weight, shape=model._sample_shape)
        return in_rows(data)

    # ---- by batches ---------------------------------------------------------------------------

    def _fit_stochastic(
        self, X: Any, y: np.ndarray, sample_weight: Any, incremental: bool, validation_data: Any
    ) -> None:
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        model = self._current()
        before, loss = model.optimizer, self._engine_loss(self.loss, model)
        if before is None:
            model.compile(self._new_optimizer(), loss)
        if "loss_curve_" not in vars(self) or (
            self.early_stopping and self.best_validation_score_ is None
        ):  # what went before had another solver, or did not stop early
            self._begin_curves()
        elif self.t_:  # in a warm start an epoch is to be better than those of all fits before
            self._best_weights = None
        X_val = None
        if validation_data is not None:
            X_val, y_val, weight_val = self._check_validation(validation_data)
        elif self.early_stopping:
            X, X_val, y, y_val, sample_weight, weight_val = self._split(X, y, sample_weight)
        if X_val is not None and self.validation_scores_ is None:
            self.validation_scores_ = []
        score = None if X_val is None else lambda: self._score(X_val, y_val, weight_val)
        size, rows = self._batch_size(X.shape[0]), X.shape[0]
        shuffles = self._random_state if self.shuffle else None
        data = self._data(model, X, y, sample_weight)
        callbacks = as_callbacks(self.callbacks)
        # nothing is refused any more: what is changed now would not come back
        if not incremental or before is None or isinstance(before, LBFGS):
            self._optimizer = self._policy()
            if before is not None:
                model.compile(self._new_optimizer(), loss)
        _network.set_alpha(model, self.alpha)
        feed = Feed(model, data, size, shuffles, self.num_threads)
        rule = Rule(self, score, rows)
        callbacks.insert(0, rule)
        if self.verbose == "progress":
            callbacks.append(ProgressBar())
        self.n_iter_ = 0
        self._trained = self._in_training = True
        try:
            train(model, feed, 1 if incremental else self.max_iter, callbacks)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        finally:
            self._in_training = False
        if not incremental and self.n_iter_ == self.max_iter and not rule.converged:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=2,
            )
        if self.early_stopping and self._best_weights is not None:
            model.set_weights(self._best_weights)

    def _policy(self) -> BaseOptimizer:
        """scikit-learn's optimizer, without weights: how the learning rate goes on."""
        if self.solver == "sgd" and isinstance(self.learning_rate, str):
            return SGDOptimizer(
                [], self.learning_rate_init, self.learning_rate, power_t=self.power_t
            )
        return BaseOptimizer(self.learning_rate_init)

    def _new_optimizer(self) -> Optimizer:
        of_init = isinstance(self.learning_rate, str)
        rate = self.learning_rate_init if of_init else self.learning_rate
        if isinstance(self.solver, Optimizer):
            if not of_init:
                raise ValueError(
                    f"learning_rate: expected a schedule to be the solver's own, as that is an "
                    f"Optimizer; got {rate!r} beside it"
                )
            new: Optimizer = type(self.solver).from_config(self.solver.get_config())
        elif self.solver == "sgd":
            return SGD(rate, momentum=self.momentum, nesterov=self.nesterovs_momentum)
        elif self.solver == "adam":
            return Adam(rate, self.beta_1, self.beta_2, self.epsilon)
        else:
            new = self._optimizer_of_that_name()
            if not isinstance(new, LBFGS):
                new.learning_rate = rate
        if isinstance(new, LBFGS):
            raise ValueError("solver: expected 'lbfgs' for L-BFGS, got an LBFGS")
        return new

    def _optimizer_of_that_name(self) -> Optimizer:
        try:
            return optimizers.get(self.solver)
        except ValueError as error:
            raise ValueError(f"solver: {error}") from None

    def _split(self, X: Any, y: np.ndarray, sample_weight: Any) -> tuple[Any, ...]:
        """Training and validation samples of `early_stopping`, as scikit-learn draws them."""
        classes = is_classifier(self) and self.n_outputs_ == 1
        arrays = [X, y] if sample_weight is None else [X, y, sample_weight]
        parts = train_test_split(
            *arrays,
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=y if classes else None,
        )
        parts += [None] * (6 - len(parts))
        if parts[1].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' "
                "or the size of your dataset."
            )
        parts[3] = self._labels(parts[3])
        return tuple(parts)

    def _labels(self, y: np.ndarray) -> np.ndarray:
        """Targets as the user has them."""
        return y

    def _check_validation(self, validation_data: Any) -> tuple[Any, Any, Any]:
        X, y, weight = validation_parts(validation_data)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        sample_weight = None if weight is None else _check_sample_weight(weight, X)
        try:
            self._score(X, y, sample_weight)
        except (ValueError, TypeError) as error:  # not only after the first epoch
            raise ValueError(f"validation_data: expected data to be scored: {error}") from error
        return X, y, sample_weight

    def _batch_size(self, samples: int) -> int:
        if self.batch_size == "auto":
            return min(200, samples)
        if self.batch_size > samples:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                "clipped",
                stacklevel=2,
            )
        return int(np.clip(self.batch_size, 1, samples))

    # ---- all samples at once ------------------------------------------------------------------

    def _fit_lbfgs(self, X: Any, y: Any, sample_weight: Any, *rest: Any) -> None:
        self._objective = self._new_objective(X, y, sample_weight)
        self._trained = True
        try:
            with Training():
                super()._fit_lbfgs(X, y, sample_weight, *rest)
        finally:
            del self._objective
        self._current()

    def _new_objective(self, X: Any, y: Any, sample_weight: Any) -> "_Objective":
        model = self._current()
        loss, new = self._engine_loss(self.loss, model), model.optimizer is None
        if new:
            model.compile(LBFGS(), loss)
        check_model(model)
        data = self._data(model, X, y, sample_weight)
        if not new:  # only once nothing is refused any more
            model.compile(LBFGS(), loss)
        return _Objective(model, data, self.num_threads)

    def _loss_grad_lbfgs(
        self, packed_coef_inter: np.ndarray, X: Any, y: Any, sample_weight: Any, *rest: Any
    ) -> tuple[float, np.ndarray]:
        """What SciPy minimizes: the loss with its penalty, and its gradient."""
        objective = vars(self).get("_objective") or self._new_objective(X, y, sample_weight)
        self._unpack(packed_coef_inter)
        self._current()
        return objective(self.alpha)

    # ---- outputs ------------------------------------------------------------------------------

    def _forward_pass_fast(self, X: Any, check_input: bool = True) -> np.ndarray:
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        return self._predict_rows(self._current(), X)

    def _predict_rows(self, model: Sequential, X: Any) -> np.ndarray:
        _check_range(X, model._dtype)
        return model._predict_rows(model._inputs(X), self.num_threads)

    def _few(self, X: Any) -> np.ndarray | None:
        """Outputs for a few plain rows; None where scikit-learn's checks may object."""
        own = vars(self)
        if type(X) is not np.ndarray or "_model" not in own or "feature_names_in_" in own:
            return None
        few: np.ndarray | None = self._current()._predict_few(X)
        # NaN, infinity and what is too large for float32 make this sum no such number
        return few if few is not None and np.vdot(X, X) <= _FLOAT32_MAX else None

    def predict(self, X: Any) -> np.ndarray:
        """Classes or numbers for samples.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (samples, features)

        Returns
        -------
        ndarray of shape (samples,) or (samples, outputs)
        """
        few = self._few(X)
        if few is not None:
            return self._decide(few)
        check_is_fitted(self)
        return self._predict(X)

    def _predict(self, X: Any, check_input: bool = True) -> np.ndarray:
        return self._decide(self._forward_pass_fast(X, check_input=check_input))

    def _decide(self, outputs: np.ndarray) -> np.ndarray:
        """What `predict` makes of the model's outputs."""
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def transform(self, X: Any) -> np.ndarray:
        """What the last hidden layer makes of samples; without one, the samples.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (samples, features)

        Returns
        -------
        ndarray of shape (samples, units of the last hidden layer)
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        model = self._current()
        if len(_network.layer_sizes(model)) == 2:  # no hidden layer
            return np.asarray(X.toarray() if issparse(X) else X)
        return self._predict_rows(_network.hidden_model(model), X)

    @property
    def _n_features_out(self) -> int:
        return _network.layer_sizes(self._current())[-2]

    def input_gradients(self, X: Any) -> np.ndarray:
        """How the outputs change with the features, sample by sample.

        Parameters
        ----------
        X : array_like of shape (samples, features)

        Returns
        -------
        ndarray of shape (samples, features), or (samples, outputs, features) of several outputs
            Derivatives of what a regressor predicts; of the probabilities of the classes, where
            there are two of the second.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        model = _network.copy_model(self._current())
        _check_range(X, model._dtype)
        outputs = model.forward(X)
        parts = []
        for output in range(outputs.shape[1]):
            dy = np.zeros_like(outputs)
            dy[:, output] = 1
            parts.append(model.backward(dy))
        return parts[0] if len(parts) == 1 else np.stack(parts, axis=1)  # type: ignore[return-value, arg-type]

    def _check_solver(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError(
                "partial_fit is only available for stochastic"
                f" optimizers. {self.solver} is not stochastic."
            )
        return True


def _check_range(X: Any, dtype: np.dtype[Any]) -> None:
    """Refuse numbers that are infinite in the model's dtype, with scikit-learn's words."""
    if dtype != np.float32 or X.dtype.kind != "f" or X.dtype == np.float32:
        return
    numbers = X.data if issparse(X) else X
    if max(numbers.max(initial=0), -numbers.min(initial=0)) > _FLOAT32_MAX:
        raise ValueError(f"Input X contains a value too large for {dtype!r}.")


class _Objective:
    """The mean loss by weight over all samples, as SciPy's L-BFGS-B takes it."""

    def __init__(self, model: Sequential, data: Data, num_threads: int | None) -> None:
        x, y, weight = data
        self._rows = len(x)
        self._weight = float(self._rows)
        if weight is not None:
            self._weight = float(weight.sum(dtype=np.float64))
            weight = weight * weight.dtype.type(self._rows / self._weight)
        _network.set_alpha(model, 0.0)
        self._data: Any = (x, y, weight, np.arange(self._rows))
        self._sums = Objective(model, model._engine(), num_threads)

    def __call__(self, alpha: float) -> tuple[float, np.ndarray]:
        """The loss with its penalty, and the gradient, the kernels' first."""
        _, total, _ = self._sums.sums(*self._data)
        loss, parts = total / self._rows, {"kernel": [], "bias": []}  # type: ignore[var-annotated]
        for _, name, w, g in self._sums.gradients():
            w, g = w.ravel().astype(np.float64), g.ravel().astype(np.float64)
            if name == "kernel":
                loss += 0.5 * alpha / self._weight * (w @ w)
                g += alpha / self._weight * w
            parts[name].append(g)
        return loss, np.concatenate([*parts["kernel"], *parts["bias"]])
