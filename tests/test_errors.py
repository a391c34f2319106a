"""Every bad argument is refused by name, before anything changes; every good form is taken."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import fastnn
from fastnn import (
    activations,
    callbacks,
    constraints,
    initializers,
    losses,
    metrics,
    regularizers,
)
from fastnn.layers import Activation, Dense
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adagrad, Adam, Adamax, AdamW, Lion, Nadam, RMSprop
from fastnn.utils import set_random_seed

N, FEATURES, CLASSES = 12, 4, 3
rng = np.random.default_rng(0)
X = rng.normal(size=(N, FEATURES)).astype(np.float32)
LABELS = np.arange(N) % CLASSES
NUMBERS = rng.normal(size=(N, CLASSES)).astype(np.float32)


class OwnConstraint(constraints.Constraint):
    def __call__(self, w: Any) -> np.ndarray:
        return np.asarray(w)


def classifier() -> Sequential:
    model = Sequential([Dense(5, "relu", input_shape=(FEATURES,)), Dense(CLASSES, "softmax")])
    model.compile(Adam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def regressor() -> Sequential:
    model = Sequential([Dense(CLASSES, input_shape=(FEATURES,))])
    model.compile(SGD(), "mse")
    return model


def changed(array: Any, value: float) -> np.ndarray:
    """Labels with one of them replaced."""
    result = np.array(array, dtype=np.float64)
    result[3] = value
    return result


BAD_X = {
    "too few features": (X[:, :3], ValueError, "4 features.*12, 3"),
    "too many features": (np.ones((N, 5)), ValueError, "4 features"),
    "1-D": (X[:, 0], ValueError, "2-D"),
    "3-D": (X[None], ValueError, "2-D"),
    "scalar": (3.0, ValueError, "2-D"),
    "None": (None, TypeError, "NoneType"),
    "strings": (X.astype(str), TypeError, "real numbers"),
    "strings in a list": ([["a", "b", "c", "d"]] * N, TypeError, "real numbers"),
    "numbers as text": (X.astype(str).astype(object), TypeError, "real numbers.*str"),
    "complex": (X.astype(complex), TypeError, "real numbers.*complex"),
    "dates": (np.zeros((N, FEATURES), "M8[D]"), TypeError, "real numbers"),
    "ragged": ([[1, 2, 3, 4], [1, 2]] * 6, ValueError, "rectangular"),
    "a frame with text": (pd.DataFrame(X).assign(**{"0": "a"}), TypeError, "str"),
    "a frame with gaps": (pd.DataFrame(X).astype("Float64").mask(X > 1), ValueError, "missing"),
    "masked": (np.ma.masked_greater(X, 0), ValueError, "masked"),
    "a set": ({1.0, 2.0}, TypeError, "set"),
}


@pytest.mark.parametrize("case", BAD_X)
@pytest.mark.parametrize(
    "call", ["fit", "evaluate", "predict", "train_on_batch", "forward", "__call__"]
)
def test_bad_x(call, case):
    x, error, words = BAD_X[case]
    model = classifier()
    before = model.get_weights()
    targets = (LABELS,) if call in ("fit", "evaluate", "train_on_batch") else ()
    with pytest.raises(error, match=f"^x: expected.*{words}"):
        getattr(model, call)(x, *targets)
    for got, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)


FIT_ERRORS = {
    "x without rows": ({"x": X[:0], "y": LABELS[:0]}, ValueError, "x: .*at least one row"),
    "y missing": ({"y": None}, ValueError, "y: .*None"),
    "y too short": ({"y": LABELS[:-1]}, ValueError, "y: expected 12 rows.*11"),
    "y too long": ({"y": np.arange(13) % 3}, ValueError, "y: expected 12 rows.*13"),
    "one-hot for a sparse loss": ({"y": np.eye(3)[LABELS]}, ValueError, "y: .*one-hot"),
    "negative class": ({"y": changed(LABELS, -1)}, ValueError, "y: .*0 to 2.*-1"),
    "class too large": ({"y": changed(LABELS, 3)}, ValueError, "y: .*0 to 2.*got 3"),
    "fractional class": ({"y": changed(LABELS, 0.5)}, ValueError, "y: .*fractional"),
    "missing class": ({"y": changed(LABELS, np.nan)}, ValueError, "y: .*missing"),
    "endless class": ({"y": changed(LABELS, np.inf)}, ValueError, "y: .*inf"),
    "class names": ({"y": LABELS.astype(str)}, TypeError, "y: .*real numbers"),
    "complex classes": ({"y": LABELS.astype(complex)}, TypeError, "y: .*complex"),
    "weights too short": ({"sample_weight": np.ones(5)}, ValueError, "sample_weight: .*12.*5"),
    "2-D weights": ({"sample_weight": np.ones((N, 2))}, ValueError, "sample_weight"),
    "text weights": ({"sample_weight": ["a"] * N}, TypeError, "sample_weight"),
    "batch_size 0": ({"batch_size": 0}, ValueError, "batch_size: .*>= 1.*0"),
    "batch_size -1": ({"batch_size": -1}, ValueError, "batch_size"),
    "batch_size 2.5": ({"batch_size": 2.5}, TypeError, "batch_size: .*2.5"),
    "batch_size text": ({"batch_size": "32"}, TypeError, "batch_size"),
    "batch_size True": ({"batch_size": True}, TypeError, "batch_size"),
    "epochs -1": ({"epochs": -1}, ValueError, "epochs: .*-1"),
    "epochs -3": ({"epochs": -3}, ValueError, "epochs"),
    "epochs 1.5": ({"epochs": 1.5}, TypeError, "epochs"),
    "initial_epoch -1": ({"initial_epoch": -1}, ValueError, "initial_epoch"),
    "split 1": ({"validation_split": 1}, ValueError, "validation_split: .*1"),
    "split 1.5": ({"validation_split": 1.5}, ValueError, "validation_split"),
    "split -0.1": ({"validation_split": -0.1}, ValueError, "validation_split"),
    "split nan": ({"validation_split": float("nan")}, ValueError, "validation_split"),
    "split text": ({"validation_split": "0.1"}, TypeError, "validation_split"),
    "split of all": ({"validation_split": 0.99}, ValueError, "validation_split"),
    "validation x": ({"validation_data": (X[:, :2], LABELS)}, ValueError, "validation_x"),
    "validation y": ({"validation_data": (X, LABELS[:3])}, ValueError, "validation_y"),
    "validation alone": ({"validation_data": X}, ValueError, "validation_data"),
    "class_weight list": ({"class_weight": [1.0, 2.0]}, TypeError, "class_weight: .*dict"),
    "class_weight text": ({"class_weight": "equal"}, TypeError, "class_weight: .*balanced"),
    "class_weight key": ({"class_weight": {CLASSES: 1.0}}, ValueError, "class_weight's classes"),
    "class_weight key 0.5": ({"class_weight": {0.5: 1.0}}, TypeError, "class_weight's classes"),
    "class_weight -1": ({"class_weight": {0: -1.0}}, ValueError, r"class_weight\[0\]: .*-1"),
    "class_weight nan": ({"class_weight": {0: float("nan")}}, ValueError, r"class_weight\[0\]"),
    "validation_freq 0": ({"validation_freq": 0}, ValueError, "validation_freq"),
    "validation_freq [0]": ({"validation_freq": [0]}, ValueError, "validation_freq"),
    "validation_freq 1.5": ({"validation_freq": 1.5}, TypeError, "validation_freq"),
    "steps_per_epoch 0": ({"steps_per_epoch": 0}, ValueError, "steps_per_epoch"),
    "validation_steps 0": (
        {"validation_steps": 0, "validation_data": (X, LABELS)},
        ValueError,
        "validation_steps",
    ),
    "unknown argument": ({"epoch": 2}, TypeError, ".*epoch"),
    "verbose 3": ({"verbose": 3}, ValueError, "verbose: .*3"),
    "shuffle text": ({"shuffle": "batch"}, TypeError, "shuffle"),
    "shuffle 2": ({"shuffle": 2}, TypeError, "shuffle"),
    "callbacks": ({"callbacks": [print]}, TypeError, "callbacks"),
    "a callback's class": ({"callbacks": [callbacks.History]}, TypeError, "callbacks"),
}


@pytest.mark.parametrize("case", FIT_ERRORS)
def test_bad_fit_arguments(case):
    arguments, error, words = FIT_ERRORS[case]
    model = classifier()
    before, iterations = model.get_weights(), model._network.iterations
    with pytest.raises(error, match=f"^{words}"):
        model.fit(**{"x": X, "y": LABELS, "verbose": 0, **arguments})
    assert model._network.iterations == iterations
    for got, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_refused_data_does_not_build_a_model():
    model = Sequential([Dense(CLASSES, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    for x, y in ((X, LABELS + 5), (X[:0], LABELS[:0]), (X[:, :0], LABELS), (X[0], LABELS)):
        with pytest.raises(ValueError, match="expected"):
            model.fit(x, y)
    assert not model.built


@pytest.mark.parametrize("shape", [(N,), (N, 2), (N, CLASSES, 1), (N - 1, CLASSES)])
def test_targets_of_another_shape_never_broadcast(shape):
    model = regressor()
    with pytest.raises(ValueError, match=r"^y: expected"):
        model.fit(X, np.ones(shape), verbose=0)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Dense(0), ValueError, "units"),
        (lambda: Dense(-3), ValueError, "units"),
        (lambda: Dense(2.5), TypeError, "units"),
        (lambda: Dense("3"), TypeError, "units"),
        (lambda: Dense(True), TypeError, "units"),
        (lambda: Dense(None), TypeError, "units"),
        (lambda: Dense(2**31), ValueError, "units"),
        (lambda: Dense(3, "rleu"), ValueError, "activation: .*relu.*'rleu'"),
        (lambda: Dense(3, len), TypeError, "activation"),
        (lambda: Activation("none"), ValueError, "activation"),
        (lambda: Dense(3, use_bias="yes"), TypeError, "use_bias"),
        (lambda: Dense(3, kernel_initializer="glorot"), ValueError, "kernel_initializer"),
        (lambda: Dense(3, bias_initializer=0), TypeError, "bias_initializer"),
        (lambda: initializers.HeNormal(seed=-1), ValueError, "seed"),
        (lambda: initializers.RandomNormal(stddev=-1), ValueError, "stddev"),
        (lambda: initializers.VarianceScaling(mode="fan"), ValueError, "mode"),
        (lambda: Adam(float("nan")), ValueError, "learning_rate: .*nan"),
        (lambda: Adam(-0.1), ValueError, "learning_rate: .*-0.1"),
        (lambda: SGD(float("inf")), ValueError, "learning_rate"),
        (lambda: SGD("0.1"), TypeError, "learning_rate"),
        (lambda: SGD(10**400), ValueError, "learning_rate: .*no float"),
        (
            lambda: Adam(loss_scale_factor=2.0),
            ValueError,
            "loss_scale_factor: .*None.*2.0.*not support",
        ),
        (lambda: Adam(use_ema="yes"), TypeError, "use_ema"),
        (lambda: Adam(ema_momentum=1.1), ValueError, "ema_momentum: .*1.1"),
        (lambda: Adam(ema_overwrite_frequency=0), ValueError, "ema_overwrite_frequency: .*0"),
        (
            lambda: Adam(gradient_accumulation_steps=1),
            ValueError,
            "gradient_accumulation_steps: .*2.*1",
        ),
        (lambda: Dense(1, kernel_constraint="nothing"), ValueError, "kernel_constraint: .*nothing"),
        (lambda: Dense(1, bias_constraint=abs), TypeError, "bias_constraint"),
        (lambda: constraints.MaxNorm(-1), ValueError, "max_value: .*-1"),
        (lambda: constraints.MaxNorm(axis=1), ValueError, "axis: expected 0.*1"),
        (lambda: constraints.MinMaxNorm(2.0, 1.0), ValueError, "min_value"),
        (lambda: constraints.MinMaxNorm(rate=2.0), ValueError, "rate"),
        (lambda: constraints.get(OwnConstraint()), TypeError, "constraint: .*compiled code"),
        (lambda: Dense(1, learning_rate_multiplier=-1), ValueError, "learning_rate_multiplier"),
        (lambda: Adam(amsgrad=2), TypeError, "amsgrad"),
        (lambda: Adam(weight_decay=-1), ValueError, "weight_decay"),
        (lambda: AdamW(weight_decay=None), ValueError, "weight_decay"),
        (lambda: RMSprop(rho=1), ValueError, "rho"),
        (lambda: RMSprop(centered=2), TypeError, "centered"),
        (lambda: Adagrad(initial_accumulator_value=-1), ValueError, "initial_accumulator_value"),
        (lambda: Lion(beta_1=1.0), ValueError, "beta_1"),
        (lambda: Nadam(epsilon=0), ValueError, "epsilon"),
        (lambda: Adamax(clipnorm=0.0), ValueError, "clipnorm: .*0"),
        (lambda: SGD(clipvalue="1"), TypeError, "clipvalue"),
        (lambda: SGD(clipvalue=1.0, global_clipnorm=1.0), ValueError, "clipnorm, clipvalue, .*one"),
        (lambda: SGD(amsgrad=False), TypeError, "SGD: .*amsgrad"),
        (lambda: Dense(3, kernel_regularizer="l3"), ValueError, "kernel_regularizer: .*'l3'"),
        (lambda: Dense(3, bias_regularizer=0.1), TypeError, "bias_regularizer"),
        (lambda: regularizers.L1(-0.1), ValueError, "l1"),
        (lambda: Dense(3, trainable=2), TypeError, "trainable"),
        (lambda: Dense(3, unit=4), TypeError, "Dense: .*unit"),
        (lambda: Sequential([regressor(), Dense(1)]), TypeError, "models are not nested"),
        (lambda: regressor().compile("adam", "mse", run_eagerly=2), ValueError, "run_eagerly"),
        (lambda: regressor().compile(steps_per_execution=0), ValueError, "steps_per_execution"),
        (lambda: regressor().compile("adam", "mse", loss_weights=[2]), ValueError, "loss_weights"),
        (lambda: regressor().predict(X, steps=0), ValueError, "steps: .*0"),
        (lambda: regressor().evaluate(X, NUMBERS, steps=0.5), TypeError, "steps: .*0.5"),
        (lambda: setattr(Adam(), "lr", 0.5), AttributeError, "lr: no attribute of Adam"),
        (lambda: setattr(Adam(), "beta_1", 1), ValueError, "beta_1"),
        (lambda: setattr(Adam(), "name", "a"), AttributeError, "name: read-only.*Adam"),
        (lambda: setattr(Dense(3), "units", 4), AttributeError, "units: read-only.*Dense"),
        (lambda: setattr(Dense(3), "activation", "relu"), AttributeError, "activation: read-only"),
        (lambda: setattr(Dense(3), "use_bias", False), AttributeError, "use_bias: read-only"),
        (lambda: setattr(Dense(3), "trainable", "no"), TypeError, "trainable"),
        (lambda: setattr(Dense(3), "kernel", X), AttributeError, "kernel: read-only"),
        (lambda: setattr(Dense(3), "kernel_regulariser", 1), AttributeError, "no attribute"),
        (lambda: setattr(losses.BinaryCrossentropy(), "from_logits", True), AttributeError, "read"),
        (lambda: setattr(regressor(), "optimizer", Adam()), AttributeError, "optimizer"),
        (lambda: setattr(regressor(), "loss", "mae"), AttributeError, "loss"),
        (lambda: regressor().get_layer(), ValueError, "either"),
        (lambda: regressor().get_layer("nothing"), ValueError, "name: .*'nothing'"),
        (lambda: regressor().get_layer(index=1), ValueError, "index: .*1"),
        (lambda: regressor().save(5), TypeError, "path: .*5 of type int"),
        (lambda: fastnn.load_model(None), TypeError, "path: .*None"),
        (lambda: SGD(momentum=1.5), ValueError, "momentum"),
        (lambda: SGD(momentum=float("nan")), ValueError, "momentum"),
        (lambda: SGD(nesterov="yes"), TypeError, "nesterov"),
        (lambda: Adam(beta_1=1.0), ValueError, "beta_1"),
        (lambda: Adam(beta_2=-0.1), ValueError, "beta_2"),
        (lambda: Adam(epsilon=0), ValueError, "epsilon"),
        (lambda: setattr(Adam(), "learning_rate", -1), ValueError, "learning_rate"),
        (lambda: regressor().compile("adamm", "mse"), ValueError, "optimizer: .*adam.*'adamm'"),
        (lambda: regressor().compile(3, "mse"), TypeError, "optimizer"),
        (lambda: regressor().compile("adam", "msee"), ValueError, "loss: .*mse.*'msee'"),
        (lambda: regressor().compile("adam", 3), TypeError, "loss"),
        (lambda: regressor().compile("adam", "mse", ["acuracy"]), ValueError, "metrics: .*acuracy"),
        (lambda: regressor().compile("adam", "mse", "mae"), TypeError, "metrics"),
        (
            lambda: regressor().compile("adam", "mse", ["sparse_categorical_accuracy"]),
            ValueError,
            "metrics: .*class ids",
        ),
        (
            lambda: classifier().compile("adam", losses.SparseCategoricalCrossentropy(), ["mse"]),
            ValueError,
            "metrics",
        ),
        (lambda: losses.BinaryCrossentropy(from_logits=2), TypeError, "from_logits"),
        (lambda: losses.BinaryCrossentropy(label_smoothing=1.5), ValueError, "label_smoothing"),
        (lambda: losses.CategoricalCrossentropy(label_smoothing="1"), TypeError, "label_smoothing"),
        (lambda: losses.Huber(0), ValueError, "delta"),
        (lambda: losses.Huber(delta=float("nan")), ValueError, "delta"),
        (lambda: losses.Quantile(1.0), ValueError, "quantile"),
        (lambda: losses.Quantile(None), TypeError, "quantile"),
        (lambda: losses.BinaryFocalCrossentropy(alpha=-0.1), ValueError, "alpha"),
        (lambda: losses.BinaryFocalCrossentropy(gamma=-1), ValueError, "gamma"),
        (lambda: losses.BinaryFocalCrossentropy("yes"), TypeError, "apply_class_balancing"),
        (lambda: setattr(losses.Huber(), "delta", 2.0), AttributeError, "read"),
        (lambda: losses.get("nothing"), ValueError, "loss"),
        (lambda: metrics.get("nothing"), ValueError, "metrics"),
        (lambda: activations.get("nothing"), ValueError, "activation"),
        (lambda: fastnn.set_num_threads(0), ValueError, "n: .*0"),
        (lambda: fastnn.set_num_threads(-2), ValueError, "n: "),
        (lambda: fastnn.set_num_threads(1.5), TypeError, "n: "),
        (lambda: fastnn.set_num_threads("2"), TypeError, "n: "),
        (lambda: set_random_seed(-1), ValueError, "seed"),
        (lambda: set_random_seed(2**32), ValueError, "seed"),
        (lambda: set_random_seed(1.5), TypeError, "seed"),
    ],
)
def test_bad_settings(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize(
    "refused",
    [
        {"metrics": ["nothing"]},
        {"metrics": [metrics.MeanSquaredError(name="loss")]},
        {"weighted_metrics": ["mse"]},
    ],
)
def test_a_refused_compile_keeps_the_old_one(refused, built):
    model = classifier() if built else Sequential([Dense(CLASSES, "softmax")])
    model.compile(Adam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    optimizer, loss = model.optimizer, model.loss
    with pytest.raises(ValueError, match="metrics"):
        model.compile("sgd", "mse", **refused)
    assert (model.optimizer, model.loss) == (optimizer, loss)
    assert model.metrics_names == ["loss", "accuracy"]
    history = model.fit(X, LABELS, verbose=0).history
    assert list(history) == model.metrics_names
    assert type(history["loss"][0]) is float
    assert model.optimizer.iterations == 1


@pytest.mark.parametrize(
    "between",
    [
        lambda model: model.evaluate(X, NUMBERS, verbose=0),
        lambda model: model.test_on_batch(X, NUMBERS),
        lambda model: model.compile("sgd", "mse"),
        lambda model: model.fit(X, NUMBERS, verbose=0),
        lambda model: model.train_on_batch(X, NUMBERS),
    ],
)
def test_backward_needs_the_activations_of_its_forward(between):
    model = regressor()
    model.forward(X)
    between(model)
    with pytest.raises(ValueError, match="expected a forward before it"):
        model.backward(NUMBERS)


@pytest.mark.parametrize("overwrite", ["compile", "fit", "train_on_batch", "add", "evaluate"])
def test_overwritten_gradients_are_not_applied(overwrite):
    model = regressor()
    model.forward(X)
    model.backward(NUMBERS)
    arguments = {"compile": ("sgd", "mse"), "add": (Dense(CLASSES),)}.get(overwrite, (X, NUMBERS))
    getattr(model, overwrite)(*arguments)
    if overwrite == "evaluate":  # which has no gradients
        model.apply_gradients()
        return
    with pytest.raises(ValueError, match="expected a backward before it"):
        model.apply_gradients()


class Hostile:
    """Like a tensor with gradients."""

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise RuntimeError("call detach() first")


def test_whatever_an_object_raises_names_the_argument():
    with pytest.raises(TypeError, match=r"^x: expected.*Hostile: call detach"):
        regressor().predict(Hostile())
    with pytest.raises(TypeError, match=r"^y: expected.*Hostile"):
        regressor().fit(X, Hostile())
    with pytest.raises(ValueError, match=r"^x: expected.*float"):
        regressor().predict([[10**400, 1, 1, 1]])


def test_own_layers_and_steps_are_refused_with_the_alternative():
    with pytest.raises(TypeError, match=r"call\(\).*model\.forward"):
        type("Mine", (fastnn.layers.Layer,), {"call": lambda self, x: x})
    with pytest.raises(TypeError, match=r"train_step\(\).*model\.forward"):
        type("Mine", (Sequential,), {"train_step": lambda self, data: {}})
    mine = type("Mine", (fastnn.layers.Layer,), {})
    with pytest.raises(TypeError, match=r"fastnn\.layers.*got a Mine"):
        Sequential([Dense(3, input_shape=(2,)), mine()])


def test_neutral_values_of_what_keras_has_and_fastnn_has_not():
    model = Sequential(
        [Dense(CLASSES, kernel_regularizer=None, bias_constraint=None, trainable=True)]
    )
    for optimizer in (Adam(clipnorm=None, weight_decay=None, amsgrad=False), "ADAM", "Sgd"):
        model.compile(optimizer, "mse", loss_weights=None, run_eagerly=False, jit_compile="auto")
    for shuffle, verbose in ((1, False), (0, 0), (np.True_, False)):
        model.fit(
            X, NUMBERS, verbose=verbose, shuffle=shuffle, class_weight=None, validation_freq=1
        )
    model.evaluate(X, NUMBERS, verbose=False, steps=None)
    assert model.predict(X, verbose=False, steps=None, callbacks=[]).shape == NUMBERS.shape


@pytest.mark.parametrize(
    "weights",
    [
        [],
        [np.ones((4, 5))],
        [np.ones((4, 5)), np.ones(5), np.ones((5, 3)), np.ones(3), np.ones(3)],
        [np.ones((5, 4)), np.ones(5), np.ones((5, 3)), np.ones(3)],
        [np.ones((4, 5)), np.ones(5), np.ones((5, 3)), np.ones((1, 3))],
        [np.ones((4, 5)), np.ones(5), np.ones((5, 3)), 1.0],
        [np.ones((4, 5)), np.ones(5), np.ones((5, 3)), ["a", "b", "c"]],
        np.ones((4, 5)),
        None,
    ],
)
def test_bad_weights(weights):
    model = classifier()
    before = model.get_weights()
    with pytest.raises((ValueError, TypeError), match=r"weights.*: expected"):
        model.set_weights(weights)
    for got, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises((ValueError, TypeError), match=r"weights.*: expected"):
        model.layers[0].set_weights(weights)


def test_calls_out_of_order():
    model = Sequential([Dense(CLASSES, input_shape=(FEATURES,))])
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="compile"):
            call(X, NUMBERS)
    with pytest.raises(ValueError, match="compile"):
        model.apply_gradients()
    model.compile("sgd")
    with pytest.raises(ValueError, match="loss"):
        model.fit(X, NUMBERS)
    with pytest.raises(ValueError, match="forward"):
        model.backward(NUMBERS)
    with pytest.raises(ValueError, match="backward"):
        model.apply_gradients()
    model.forward(X)
    for wrong in (NUMBERS[:-1], NUMBERS[:, :2], NUMBERS[0]):
        with pytest.raises(ValueError, match=r"^dy: expected"):
            model.backward(wrong)
    with pytest.raises(ValueError, match=r"^x: .*at least one row"):
        model.forward(X[:0])


def unaligned(array: np.ndarray) -> np.ndarray:
    raw = np.zeros(array.nbytes + 1, np.uint8)
    result = raw[1:].view(array.dtype).reshape(array.shape)
    result[...] = array
    return result


def read_only(array: np.ndarray) -> np.ndarray:
    result = array.copy()
    result.flags.writeable = False
    return result


def mapped(array: np.ndarray, folder: Any) -> np.ndarray:
    np.save(folder / "x.npy", array)
    return np.load(folder / "x.npy", mmap_mode="r")


FORMS = {
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(map(tuple, a.tolist())) if a.ndim == 2 else tuple(a.tolist()),
    "float64": lambda a: a.astype(np.float64),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "Fortran": np.asfortranarray,
    "reversed twice": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "read-only": read_only,
    "unaligned": unaligned,
    "objects": lambda a: a.astype(object),
    "frame": lambda a: pd.DataFrame(a) if a.ndim == 2 else pd.Series(a, index=range(9, 9 + len(a))),
    "matrix column slice": lambda a: np.hstack([a, a])[:, : a.shape[1]] if a.ndim == 2 else a,
}


def fitted(make: Any, x: Any, y: Any, weight: Any = None) -> tuple[Any, ...]:
    set_random_seed(3)
    model = make()
    history = model.fit(x, y, batch_size=5, epochs=2, verbose=0, sample_weight=weight)
    return history.history, model.predict(x), model.evaluate(x, y, verbose=0, sample_weight=weight)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("make", "y"), [(classifier, LABELS), (regressor, NUMBERS)])
def test_every_form_of_data_gives_the_same(form, make, y):
    convert, weight = FORMS[form], np.linspace(0.5, 2, N).astype(np.float32)
    history, outputs, results = fitted(make, convert(X), convert(y), convert(weight))
    expected = fitted(make, X, y, weight)
    assert history == expected[0]
    np.testing.assert_array_equal(outputs, expected[1])
    assert results == expected[2]


def test_memory_mapped_and_integer_data(tmp_path):
    np.testing.assert_array_equal(
        fitted(classifier, mapped(X, tmp_path), LABELS)[1], fitted(classifier, X, LABELS)[1]
    )
    whole = np.round(X * 3)
    expected = fitted(classifier, whole, LABELS)[1]
    for dtype in (np.int8, np.int64, np.float16):
        for labels in (LABELS.astype(np.uint8), LABELS.astype(float), LABELS[:, None]):
            np.testing.assert_array_equal(
                fitted(classifier, whole.astype(dtype), labels)[1], expected
            )
    np.testing.assert_array_equal(
        fitted(regressor, X > 0, NUMBERS > 0)[1],
        fitted(regressor, (X > 0).astype(np.float32), (NUMBERS > 0).astype(np.float32))[1],
    )


def test_one_row_and_no_rows():
    model = classifier()
    assert model.fit(X[:1], LABELS[:1], verbose=0).history["loss"][0] > 0
    np.testing.assert_allclose(model.predict(X[:1]), model.predict(X)[:1], rtol=1e-5)
    for call in (model.predict, model.predict_on_batch, model):
        empty = call(X[:0])
        assert (empty.shape, empty.dtype) == ((0, CLASSES), np.float32)
    with pytest.raises(ValueError, match="at least one row"):
        model.evaluate(X[:0], LABELS[:0])


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_flat_targets_of_one_output_are_a_column(loss):
    def run(y: np.ndarray) -> Any:
        set_random_seed(1)
        model = Sequential([Dense(1, "sigmoid", input_shape=(FEATURES,))])
        model.compile("sgd", loss, metrics=["accuracy"])
        return model.fit(X, y, epochs=2, verbose=0).history

    y = (LABELS > 0).astype(int)
    assert run(y) == run(y[:, None])
    assert run(pd.Series(y)) == run(y)
