"""A compiled Sequential as an estimator of scikit-learn."""

from copy import deepcopy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_array, column_or_1d, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastnn import activations, losses
from fastnn.models import Sequential
from fastnn.sklearn._network import OF_SEVERAL_OUTPUTS, most_likely, of_both_classes
from fastnn.sklearn._training import validation_parts

# whose outputs stand for classes: probabilities or logits of them; margins
_BINARY = (losses.BinaryCrossentropy, losses.BinaryFocalCrossentropy)
_OF_PROBABILITIES = (
    *_BINARY,
    losses.CategoricalCrossentropy,
    losses.CategoricalFocalCrossentropy,
    losses.SparseCategoricalCrossentropy,
)
_OF_MARGINS = (losses.Hinge, losses.SquaredHinge, losses.CategoricalHinge)


class _Wrapped(BaseEstimator):  # type: ignore[misc]
    """The part of both kinds."""

    def __init__(
        self,
        model: Any = None,
        *,
        epochs: Any = 1,
        batch_size: Any = 32,
        validation_split: Any = 0.0,
        shuffle: Any = True,
        callbacks: Any = None,
        verbose: Any = 0,
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_split = validation_split
        self.shuffle = shuffle
        self.callbacks = callbacks
        self.verbose = verbose

    def __sklearn_is_fitted__(self) -> bool:
        return "model_" in vars(self) or (isinstance(self.model, Sequential) and self.model.built)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        return tags

    def _trained(self) -> Sequential:
        """The model that predicts: the fitted copy or, before a fit, the one that was given."""
        check_is_fitted(self)
        model: Sequential = vars(self).get("model_", self.model)
        return model

    def _check_x(self, X: Any) -> Any:
        if "n_features_in_" not in vars(self):  # a model that came trained: it knows its shape
            return check_array(
                X, accept_sparse="csr", allow_nd=True, estimator=self, input_name="X"
            )
        return validate_data(self, X, reset=False, accept_sparse="csr", allow_nd=True)

    def _check_both(self, X: Any, y: Any, **more: Any) -> Any:
        return validate_data(
            self, X, y, accept_sparse="csr", allow_nd=True, multi_output=True, **more
        )

    def _check_model(self) -> None:
        if not isinstance(self.model, Sequential) or self.model.loss is None:
            raise TypeError(f"model: expected a compiled Sequential, got {self.model!r}")

    def _fit_or_restore(self, *data: Any) -> None:
        """`_fit`, which leaves the estimator as it was where it fails."""
        before = dict(vars(self))
        try:
            self._fit(*data)
        except BaseException:
            self.__dict__ = before
            raise

    def _fit(self, X: Any, y: Any, sample_weight: Any, validation_data: Any) -> None:
        raise NotImplementedError

    def _train(self, X: Any, y: Any, sample_weight: Any, validation_data: Any) -> None:
        model = deepcopy(self.model)
        model.fit(
            X,
            y,
            batch_size=self.batch_size,
            epochs=self.epochs,
            verbose=self.verbose,
            callbacks=self.callbacks,
            validation_split=self.validation_split,
            validation_data=validation_data,
            shuffle=self.shuffle,
            sample_weight=sample_weight,
        )
        self.model_ = model
        self.history_: dict[str, list[float]] = model.history.history

    def _outputs(self, X: Any) -> np.ndarray:
        model = self._trained()
        return model.predict(self._check_x(X))


class SequentialRegressor(RegressorMixin, _Wrapped):  # type: ignore[misc]
    """A Sequential as a regressor; made by `from_keras_model`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> from fastnn.sklearn import SequentialRegressor
    >>> X = np.linspace(-1, 1, 64)[:, None]
    >>> model = Sequential([Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> SequentialRegressor(model, epochs=50).fit(X, 3 * X[:, 0]).predict(X).shape
    (64,)
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None
    ) -> "SequentialRegressor":
        """Train a copy of the model, from the weights that it has.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (samples, features), or of the model's input
        y : array_like of shape (samples,) or (samples, outputs)
        sample_weight : array_like of shape (samples,), optional
        validation_data : tuple, optional
            As of `Sequential.fit`.

        Raises
        ------
        ValueError, TypeError
            If an argument is wrong or the model is not compiled.
        """
        self._fit_or_restore(X, y, sample_weight, validation_data)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, validation_data: Any) -> None:
        self._check_model()
        X, y = self._check_both(X, y, y_numeric=True)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        self._train(X, y, sample_weight, validation_data)

    def predict(self, X: Any) -> np.ndarray:
        """Numbers (samples,), or (samples, outputs) where there are several."""
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1:] == (1,) else outputs


class SequentialClassifier(ClassifierMixin, _Wrapped):  # type: ignore[misc]
    """A Sequential as a classifier; made by `from_keras_model`.

    A model of one output tells two classes apart, others one class an output.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> from fastnn.sklearn import SequentialClassifier
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = Sequential([Dense(16, "relu"), Dense(3, "softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> clf = SequentialClassifier(model, epochs=2).fit(X, y)
    >>> clf.predict_proba(X).shape
    (150, 3)
    """

    def __init__(
        self,
        model: Any = None,
        *,
        epochs: Any = 1,
        batch_size: Any = 32,
        validation_split: Any = 0.0,
        shuffle: Any = True,
        callbacks: Any = None,
        verbose: Any = 0,
        class_weight: Any = None,
    ) -> None:
        super().__init__(
            model,
            epochs=epochs,
            batch_size=batch_size,
            validation_split=validation_split,
            shuffle=shuffle,
            callbacks=callbacks,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @property
    def classes_(self) -> np.ndarray:
        """The labels, in the order of the outputs; of a model that came trained their numbers."""
        if "_binarizer" in vars(self):
            classes: np.ndarray = self._binarizer.classes_
            return classes
        if not self.__sklearn_is_fitted__():
            raise AttributeError("classes_: expected a fitted classifier, got one that is not")
        return np.arange(max(2, self.model.output_shape[1]))

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None
    ) -> "SequentialClassifier":
        """Train a copy of the model, from the weights that it has.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (samples, features), or of the model's input
        y : array_like of shape (samples,), or (samples, labels) of 0 and 1
        sample_weight : array_like of shape (samples,), optional
        validation_data : tuple (X, y) or (X, y, sample_weight), optional

        Raises
        ------
        ValueError, TypeError
            If an argument is wrong, the model is not compiled or has no output for each class.
        """
        self._fit_or_restore(X, y, sample_weight, validation_data)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, validation_data: Any) -> None:
        self._check_model()
        X, y = self._check_both(X, y)
        check_classification_targets(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        binarizer = LabelBinarizer().fit(y)
        outputs = self._check_outputs(X, len(binarizer.classes_), y.ndim == 2)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        if self.class_weight is not None:
            by_class = compute_sample_weight(self.class_weight, y)
            sample_weight = by_class if sample_weight is None else sample_weight * by_class
        if validation_data is not None:
            X_val, y_val, weight_val = validation_parts(validation_data)
            validation_data = (X_val, self._validation_targets(binarizer, y_val, outputs))
            validation_data += () if weight_val is None else (weight_val,)
        self._train(X, self._targets(binarizer, y, outputs), sample_weight, validation_data)
        self._binarizer = binarizer

    def _check_outputs(self, X: Any, classes: int, several: bool) -> int:
        """How many outputs the model has, which is to be one a class, or one for two classes."""
        shape, loss = self.model._output_shape_for(X.shape[1:]), self.model.loss
        if classes < 2:
            raise ValueError(f"y: expected two classes or more, got {classes} class")
        if several and loss.sparse:
            raise ValueError(
                f"model: expected a loss that takes several labels of a sample, got {loss!r}"
            )
        one_for_two = classes == 2 and not several and not isinstance(loss, OF_SEVERAL_OUTPUTS)
        if shape != (classes,) and not (one_for_two and shape == (1,)):
            raise ValueError(
                f"model: expected an output for each of {classes} classes, got {shape}"
            )
        outputs: int = shape[0]
        return outputs

    def _targets(self, binarizer: LabelBinarizer, y: Any, outputs: int) -> np.ndarray:
        """Labels as the model's loss takes them."""
        targets: np.ndarray = binarizer.transform(y)
        if self.model.loss.sparse:
            return targets.argmax(axis=1) if targets.shape[1] > 1 else targets[:, 0]
        return of_both_classes(targets) if targets.shape[1] < outputs else targets

    def _validation_targets(self, binarizer: LabelBinarizer, y: Any, outputs: int) -> np.ndarray:
        if not binarizer.y_type_.startswith("multilabel") and (
            strangers := sorted(set(np.ravel(y)) - set(binarizer.classes_), key=repr)
        ):
            raise ValueError(
                f"validation_data: expected labels that are among those of y, got {strangers}"
            )
        return self._targets(binarizer, y, outputs)

    @property
    def _loss(self) -> Any:
        """That of the model that predicts."""
        return vars(self).get("model_", self.model).loss

    def _gives_probabilities(self) -> bool:
        if not isinstance(self._loss, _OF_PROBABILITIES):
            raise AttributeError(f"predict_proba: the loss {self._loss!r} is not of probabilities")
        return True

    def _scores(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, or what stands for them."""
        outputs, loss = self._outputs(X), self._loss
        if not getattr(loss, "from_logits", False):
            return outputs
        return (activations.sigmoid if isinstance(loss, _BINARY) else activations.softmax)(outputs)

    def _tells_several_labels(self) -> bool:
        return "_binarizer" in vars(self) and self._binarizer.y_type_.startswith("multilabel")

    @available_if(_gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (samples, classes), or (samples, labels) of several labels."""
        proba = of_both_classes(self._scores(X))
        one_each = "_binarizer" in vars(self) and not self._tells_several_labels()
        if one_each and isinstance(self._loss, _BINARY):  # each output by itself
            sums = proba.sum(axis=1, keepdims=True)
            np.divide(proba, sums, out=proba, where=sums > 0)
        return proba

    def _gives_margins(self) -> bool:
        if not isinstance(self._loss, _OF_MARGINS):
            raise AttributeError(f"decision_function: the loss {self._loss!r} is not of margins")
        return True

    @available_if(_gives_margins)  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> np.ndarray:
        """Margins (samples, classes), or (samples,) of the second of two classes."""
        margins = self._outputs(X)
        return margins[:, 0] if margins.shape[1] == 1 else margins

    def predict(self, X: Any) -> np.ndarray:
        """The most likely classes (samples,); of several labels 0 or 1 each."""
        scores = self._scores(X)
        threshold = 0 if isinstance(self._loss, _OF_MARGINS) else 0.5
        if self._tells_several_labels():
            return (scores > threshold).astype(int)
        return most_likely(self.classes_, scores, threshold)


def from_keras_model(model: Sequential, **parameters: Any) -> Any:
    """A compiled `Sequential` as an estimator: for pipelines, searches and cross-validation.

    Its loss says which: cross-entropies and hinges are a classifier's. A model that is trained
    already predicts at once; `fit` trains a copy, from the weights that the model has.

    Parameters
    ----------
    model : Sequential
        Compiled with a loss.
    **parameters
        `epochs`, `batch_size`, `validation_split`, `shuffle`, `callbacks` and `verbose` as of
        `Sequential.fit`; of a classifier `class_weight`, too.

    Returns
    -------
    SequentialClassifier or SequentialRegressor

    Raises
    ------
    TypeError
        If `model` is no compiled Sequential, or there is no such parameter.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> from fastnn.sklearn import from_keras_model
    >>> model = Sequential([Dense(1, input_shape=(2,))])
    >>> model.compile("sgd", "mse")
    >>> type(from_keras_model(model, epochs=3)).__name__
    'SequentialRegressor'
    """
    if not isinstance(model, Sequential) or model.loss is None:
        raise TypeError(f"model: expected a Sequential compiled with a loss, got {model!r}")
    of_classes = isinstance(model.loss, (*_OF_PROBABILITIES, *_OF_MARGINS))
    return (SequentialClassifier if of_classes else SequentialRegressor)(model, **parameters)
