"""scikit-learn's two multi-layer perceptrons, on the engine."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from sklearn import neural_network
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import validate_data

from fastnn._data import as_number, numeric
from fastnn.models import Sequential
from fastnn.sklearn import _network
from fastnn.sklearn._base import FastMLP


class MLPClassifier(FastMLP, neural_network.MLPClassifier):  # type: ignore[misc]
    """scikit-learn's MLPClassifier on fastnn's engine: its parameters, results and errors.

    Parameters
    ----------
    hidden_layer_sizes : array_like of int, default (100,)
    activation : str or list, default "relu"
        "identity", "logistic", "tanh", "relu", or any other of `fastnn.activations`; a list has one
        for each hidden layer.
    solver : {"adam", "sgd", "lbfgs"}, another name of fastnn.optimizers, or Optimizer
        An Optimizer brings its numbers itself.
    alpha : float, default 0.0001
        L2 penalty: half of it times the squared kernels, divided by the weight of each batch.
    batch_size : int or "auto", default min(200, samples)
    learning_rate : {"constant", "invscaling", "adaptive"} or LearningRateSchedule
        The names are for the solver "sgd"; a schedule goes by steps, with any solver given by name.
    learning_rate_init, power_t, max_iter, shuffle, random_state, tol
        As in scikit-learn.
    verbose : bool, int or "progress"
        A line an epoch, or a progress bar.
    warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction
        As in scikit-learn.
    beta_1, beta_2, epsilon, n_iter_no_change, max_fun
        As in scikit-learn.
    loss : str, Loss or callable, default "log_loss"
        Another one of `fastnn.losses`. The last activation is a softmax where there are several
        classes, else sigmoids.
    class_weight : dict of label to float or "balanced", optional
        What the weights of each class's samples are multiplied by.
    dropout : float in [0, 1), default 0
        The part of the outputs of each hidden layer that is dropped in training.
    batch_norm : bool, default False
        Whether what goes into the activations of the hidden layers is normalized by batch.
    callbacks : list of fastnn.callbacks.Callback, optional
        Their logs have "loss" and, with validation data, "val_score".
    num_threads : int, optional
        By default those of `fastnn.get_num_threads()`, shared with other models in training.
    dtype : {"float32", "float64", "mixed_bfloat16"}, optional
        By default that of the `X` of the first fit; with "lbfgs" float64.

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        Kernels (inputs, units) and biases (units,). They may be changed.
    classes_, loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_
        As in scikit-learn.
    t_, n_iter_, n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn.
    model_ : Sequential
        A copy, to be saved or trained on.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastnn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier((16,), learning_rate_init=0.05, random_state=0).fit(X, y)
    >>> bool(clf.score(X, y) > 0.95)
    True
    """

    _own_losses: ClassVar[tuple[str, ...]] = ("log_loss",)

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **FastMLP._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: Any = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: Any = 0.001,
        power_t: Any = 0.5,
        max_iter: Any = 200,
        shuffle: Any = True,
        random_state: Any = None,
        tol: Any = 1e-4,
        verbose: Any = False,
        warm_start: Any = False,
        momentum: Any = 0.9,
        nesterovs_momentum: Any = True,
        early_stopping: Any = False,
        validation_fraction: Any = 0.1,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: Any = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: Any = 15000,
        loss: Any = "log_loss",
        class_weight: Any = None,
        dropout: Any = 0.0,
        batch_norm: Any = False,
        callbacks: Any = None,
        num_threads: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
        )
        self.loss = loss
        self.class_weight = class_weight
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.callbacks = callbacks
        self.num_threads = num_threads
        self.dtype = dtype

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> Any:
        """scikit-learn's checks, without its check of labels for each of three calls."""
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(unique_labels(y))
        return X, self._indicators(y)

    def _check_classes(self, classes: np.ndarray) -> None:
        """Refuse others than those of the fit before: in a warm start any, else new ones."""
        if self.warm_start and set(classes) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes_}, `y` has {classes}"
            )
        if not self.warm_start and not set(classes) <= set(self.classes_):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _indicators(self, y: np.ndarray) -> np.ndarray:
        """A column for each class; of two classes one, of a single class one without a sample."""
        if y.ndim == 2 or self._label_binarizer.y_type_.startswith("multilabel"):
            columns: np.ndarray = self._label_binarizer.transform(y).astype(bool)
            return columns
        several = len(self.classes_) > 2
        numbers = np.searchsorted(self.classes_, y)
        return np.equal.outer(numbers, np.arange(len(self.classes_)) if several else [1])

    def _out_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _engine_loss(self, loss: Any, model: Sequential) -> Any:
        if not isinstance(loss, str) or loss != "log_loss":
            return loss
        kind = _network.ClassLogLoss if self.out_activation_ == "softmax" else _network.LogLoss
        return kind(np.finfo(model._dtype).eps)

    def _weigh_classes(self, y: np.ndarray, sample_weight: Any) -> Any:
        if self.class_weight is None:
            return sample_weight
        if isinstance(self.class_weight, str):
            by_class = compute_sample_weight(self.class_weight, self._labels(y))
        else:
            by_class = self._weights_of(self.class_weight, y)
        return by_class if sample_weight is None else sample_weight * by_class

    def _weights_of(self, class_weight: Mapping[Any, float], y: np.ndarray) -> np.ndarray:
        """A weight for each sample; classes that are not named weigh 1."""
        if self._label_binarizer.y_type_.startswith("multilabel"):
            raise ValueError(
                f"class_weight: expected 'balanced' or None for several labels, got {class_weight}"
            )
        classes = self.classes_.tolist()
        unknown = [label for label in class_weight if label not in classes]
        if unknown and len(unknown) + len(classes) > len(class_weight):
            # where all have a weight, others may be of classes that this fold has not
            raise ValueError(f"class_weight: expected weights of {classes}, got {unknown}")
        weights = np.array(
            [
                as_number(class_weight.get(label, 1.0), f"class_weight[{label!r}]", 0)
                for label in classes
            ]
        )
        weighed: np.ndarray = weights[y[:, 0].astype(int) if y.shape[1] == 1 else y.argmax(axis=1)]
        return weighed

    def _labels(self, y: np.ndarray) -> np.ndarray:
        labels: np.ndarray = self._label_binarizer.inverse_transform(y)
        return labels

    def _decide(self, outputs: np.ndarray) -> np.ndarray:
        if self._label_binarizer.y_type_.startswith("multilabel") or len(self.classes_) == 1:
            return self._labels(super()._decide(outputs))
        return _network.most_likely(self.classes_, outputs)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (samples, features)

        Returns
        -------
        ndarray of shape (samples, classes)
        """
        few = self._few(X)
        if few is None:
            proba: np.ndarray = super().predict_proba(X)
            return proba
        return _network.of_both_classes(few)


class MLPRegressor(FastMLP, neural_network.MLPRegressor):  # type: ignore[misc]
    """scikit-learn's MLPRegressor on fastnn's engine: its parameters, results and errors.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, another name of fastnn.losses, Loss or callable
        "poisson" wants targets >= 0, and has an exponential as last activation.
    hidden_layer_sizes ... dtype
        As of `MLPClassifier`, but for `class_weight`.

    Attributes
    ----------
    coefs_ ... model_
        As of `MLPClassifier`, but for `classes_`.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from fastnn import MLPRegressor
    >>> X, y = make_regression(200, 5, random_state=0)
    >>> reg = MLPRegressor(learning_rate_init=0.05, random_state=0).fit(X, y)
    >>> bool(reg.score(X, y) > 0.95)
    True
    """

    _own_losses: ClassVar[tuple[str, ...]] = ("squared_error", "poisson")

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: Any = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: Any = 0.001,
        power_t: Any = 0.5,
        max_iter: Any = 200,
        shuffle: Any = True,
        random_state: Any = None,
        tol: Any = 1e-4,
        verbose: Any = False,
        warm_start: Any = False,
        momentum: Any = 0.9,
        nesterovs_momentum: Any = True,
        early_stopping: Any = False,
        validation_fraction: Any = 0.1,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: Any = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: Any = 15000,
        dropout: Any = 0.0,
        batch_norm: Any = False,
        callbacks: Any = None,
        num_threads: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            loss=loss,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
        )
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.callbacks = callbacks
        self.num_threads = num_threads
        self.dtype = dtype

    def _out_activation(self) -> str:
        return "exp" if isinstance(self.loss, str) and self.loss == "poisson" else "identity"

    def _engine_loss(self, loss: Any, model: Sequential) -> Any:
        if isinstance(loss, str) and loss == "squared_error":
            return _network.HalfSquaredError(self.n_outputs_)
        if isinstance(loss, str) and loss == "poisson":
            return _network.HalfPoisson()
        return loss

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> Any:
        X, y = super()._validate_input(X, y, incremental, reset)
        y = numeric(y, "y")
        if self._out_activation() == "exp" and y.min() < 0:
            raise ValueError(f"y: expected numbers >= 0 for loss='poisson', got {y.min()}")
        return X, y
