"""What the two estimators share: scikit-learn's private methods that compute, on the engine.

scikit-learn's own classes are the bases: validation, label encoding, scores, L-BFGS's call of SciPy
and the public methods stay theirs. What multiplies matrices, and what the parameters that
scikit-learn does not have need, is here.
"""

import warnings
from collections.abc import Sequence
from math import isfinite
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
from fastnn.sklearn._training import Feed, Rule, train

DTYPES = ("float32", "float64", "mixed_bfloat16")
_LISTS = ("coefs_", "intercepts_")


class FastMLP(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseMultilayerPerceptron):  # type: ignore[misc]
    """The part of an estimator that is on the engine.

    Weights are the model's. `coefs_` and `intercepts_` are lists of copies, made when they are
    asked for; from then on they may have been changed, and are read again before the model is used.
    """

    _lists: dict[str, list[Any]] | None

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

    # ---- weights ------------------------------------------------------------------------------

    def _lists_out(self) -> dict[str, list[Any]]:
        """The lists, made of the model's weights where there are none."""
        own = vars(self)
        if own.get("_lists") is None:
            layers = _network.dense_layers(own["_model"]) if "_model" in own else []
            kernels, biases = [layer.kernel for layer in layers], [layer.bias for layer in layers]
            self._lists = {"coefs_": kernels, "intercepts_": biases} if layers else {}
        lists: dict[str, list[Any]] = own["_lists"]
        return lists

    def _list_out(self, name: str) -> list[Any]:
        if not self.__sklearn_is_fitted__() or name not in self._lists_out():
            raise AttributeError(f"{type(self).__name__} has no {name} before it is fitted")
        return self._lists_out()[name]

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The kernels, (inputs, units) each. They may be changed, item by item or in place."""
        return self._list_out("coefs_")

    @coefs_.setter
    def coefs_(self, value: Sequence[np.ndarray]) -> None:
        self._lists_out()["coefs_"] = list(value)

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """The biases, (units,) each. They may be changed, item by item or in place."""
        return self._list_out("intercepts_")

    @intercepts_.setter
    def intercepts_(self, value: Sequence[np.ndarray]) -> None:
        self._lists_out()["intercepts_"] = list(value)

    def _current(self) -> Sequential:
        """The model, with what has become of the lists."""
        model: Sequential | None = vars(self).get("_model")
        lists = vars(self).get("_lists")
        if lists is None or vars(self).get("_in_training"):
            return model  # type: ignore[return-value]
        coefs = [np.asarray(coef) for coef in lists["coefs_"]]
        sizes = [coefs[0].shape[0], *(coef.shape[1] for coef in coefs)]
        if model is None or _network.layer_sizes(model) != sizes:
            model = self._model = self._build(sizes, coefs[0].dtype)
        for layer, *weights in zip(
            _network.dense_layers(model), coefs, lists["intercepts_"], strict=True
        ):
            layer.set_weights(weights)
        return model

    def _build(self, sizes: list[int], dtype: np.dtype[Any]) -> Sequential:
        seeds = []
        if self.dropout:
            seeds = self._random_state.randint(2**31 - 1, size=len(sizes)).tolist()
        name = self.dtype or ("float32" if dtype == np.float32 else "float64")
        return _network.build(
            sizes,
            self._activations(len(sizes) - 2),
            name,
            batch_norm=self.batch_norm,
            dropout=self.dropout,
            seeds=seeds,
        )

    def _activations(self, hidden: int) -> list[Any]:
        """Those of the hidden layers and of the last."""
        return [*self._hidden_activations(hidden), self.out_activation_]

    def _hidden_activations(self, hidden: int) -> list[Any]:
        if not isinstance(self.activation, (list, tuple)):
            return [self.activation] * hidden
        if len(self.activation) != hidden:
            raise ValueError(
                f"activation: expected one for each of {hidden} hidden layers, got "
                f"{self.activation}"
            )
        return list(self.activation)

    @property
    def model_(self) -> Sequential:
        """A `Sequential` with the weights of now: to be saved, looked at, trained on."""
        check_is_fitted(self)
        return _network.copy_model(self._current())

    def __sklearn_is_fitted__(self) -> bool:
        return "_model" in vars(self) or "_lists" in vars(self)

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
        hidden = self._hidden_layer_sizes()
        self._check_names(len(hidden))
        first = not self.__sklearn_is_fitted__() or (not self.warm_start and not incremental)
        X, y = self._validate_input(X, y, incremental, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        y = y.reshape(len(y), -1)
        sample_weight = self._weigh_classes(y, sample_weight)
        if self.solver == "lbfgs" and validation_data is not None:
            raise ValueError("validation_data: expected None with solver='lbfgs'")
        self._random_state = check_random_state(self.random_state)
        self.n_outputs_ = y.shape[1]
        sizes = [X.shape[1], *hidden, self.n_outputs_]
        if first:
            self._initialize(sizes, X.dtype)
        held = vars(self).get("_lists")
        try:
            if self.solver == "lbfgs":
                self._fit_lbfgs(X, y, sample_weight, None, None, None, None, sizes)
            else:
                self._fit_stochastic(X, y, sample_weight, incremental, validation_data)
        finally:
            self._take_over(held)
        if not all(np.isfinite(weight).all() for weight in self._model.get_weights()):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may"
                " contain large values and need to be preprocessed."
            )
        return self

    def _hidden_layer_sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _check_names(self, hidden: int) -> None:
        """Refuse wrong ones before anything changes."""
        for name in self._hidden_activations(hidden):
            activations.get(_network.ACTIVATIONS.get(name, name))
        if self.solver == "lbfgs":
            if self.callbacks:
                raise ValueError(
                    "callbacks: expected none with solver='lbfgs', which has no epochs"
                )
            if self.verbose == "progress":
                raise ValueError("verbose: expected a number with solver='lbfgs', got 'progress'")
        elif self.solver not in ("sgd", "adam"):
            self._new_optimizer()
        if self.loss not in ("log_loss", "squared_error", "poisson"):
            losses.get(self.loss)

    def _weigh_classes(self, y: np.ndarray, sample_weight: Any) -> Any:
        return sample_weight

    def _initialize(self, layer_units: list[int], dtype: Any) -> None:
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(layer_units)
        self.out_activation_ = self._out_activation()
        if self.solver == "lbfgs":  # SciPy searches in float64; as in scikit-learn
            dtype = np.float64
        self._lists = None
        model = self._model = self._build(layer_units, np.dtype(dtype))
        names = self._hidden_activations(self.n_layers_ - 2)
        names.append(names[-1] if names else self.activation)
        for layer, name in zip(_network.dense_layers(model), names, strict=True):
            layer.set_weights(self._draw(layer.known_shape()[0], layer.units, name))
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
        self._best_weights = self._model.get_weights() if self.early_stopping else None

    def _take_over(self, held: dict[str, list[Any]] | None) -> None:
        """After training the model's weights count; lists that were out before follow them."""
        self._lists = None
        if held is None or "_model" not in vars(self):
            return
        for name in _LISTS:
            for old, new in zip(held[name], self._list_out(name), strict=True):
                old[...] = new
        self._lists = held

    def _data(self, model: Sequential, X: Any, y: np.ndarray, sample_weight: Any) -> Data:
        """What the engine trains on."""
        if model.loss.sparse and self.out_activation_ != "softmax":  # type: ignore[union-attr]
            raise ValueError(
                f"loss: expected one that does not take class ids, as there are not several "
                f"classes with an output each; got {model.loss!r}"
            )
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
        if not incremental or model.optimizer is None or isinstance(model.optimizer, LBFGS):
            self._optimizer = self._policy()
            model.compile(self._new_optimizer(), self._engine_loss(model))
        if "loss_curve_" not in vars(self) or (
            self.early_stopping and self.best_validation_score_ is None
        ):  # what went before had another solver, or did not stop early
            self._begin_curves()
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
        _network.set_alpha(model, self.alpha)
        feed = Feed(model, data, size, shuffles, self.num_threads)
        rule = Rule(self, score, rows)
        callbacks = [rule, *as_callbacks(self.callbacks)]
        if self.verbose == "progress":
            callbacks.append(ProgressBar())
        self.n_iter_ = 0
        self._in_training = True
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
        if self.early_stopping:
            model.set_weights(self._best_weights)  # type: ignore[arg-type]

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
            new = optimizers.get(self.solver)
            if not isinstance(new, LBFGS):
                new.learning_rate = rate
        if isinstance(new, LBFGS):
            raise ValueError("solver: expected 'lbfgs' for L-BFGS, got an LBFGS")
        return new

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
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise ValueError(
                "validation_data: expected a tuple (X, y) or (X, y, sample_weight), got "
                f"{type(validation_data).__name__}"
            )
        X, y, *weight = validation_data
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        sample_weight = _check_sample_weight(weight[0], X) if weight else None
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
        try:
            with Training():
                super()._fit_lbfgs(X, y, sample_weight, *rest)
        finally:
            del self._objective
        self._current()

    def _new_objective(self, X: Any, y: Any, sample_weight: Any) -> "_Objective":
        model = self._current()
        model.compile(LBFGS(), self._engine_loss(model))
        check_model(model)
        return _Objective(model, self._data(model, X, y, sample_weight), self.num_threads)

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
        model = self._current()
        return model._predict_rows(model._inputs(X), self.num_threads)

    def _few(self, X: Any) -> np.ndarray | None:
        """Outputs for a few plain rows; None where scikit-learn's checks may object."""
        own = vars(self)
        if type(X) is not np.ndarray or "_model" not in own or "feature_names_in_" in own:
            return None
        model = self._current()
        few: np.ndarray | None = model._predict_few(X)
        # NaN and infinity are refused, and make this sum neither
        return few if few is not None and isfinite(np.vdot(X, X)) else None

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
        if self.n_layers_ == 2:  # no hidden layer
            return np.asarray(X.toarray() if issparse(X) else X)
        model = _network.hidden_model(self._current())
        return model._predict_rows(model._inputs(X), self.num_threads)

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
