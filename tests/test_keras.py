"""The same training with Keras: same weights, data and order, the same losses and weights."""

import inspect
import os
import re
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("torch", reason="PyTorch is missing: pip install 'fastnn[oracles]'")
keras = pytest.importorskip("keras", reason="Keras is missing: pip install 'fastnn[oracles]'")

import fastnn  # noqa: E402
from fastnn import activations  # noqa: E402
from fastnn.models import Sequential  # noqa: E402

# Keras's own warnings are its affair.
pytestmark = [pytest.mark.oracles, pytest.mark.filterwarnings("ignore")]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 9)).astype(np.float32)
LABELS = (X[:, :4].sum(axis=1) > 0).astype(np.int32) + (X[:, 4] > 0.5)
EPOCHS = 4
CONSTRUCTORS = {
    "SGD": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "Adam": {},
    "amsgrad": {"amsgrad": True},
    "weight_decay": {"weight_decay": 0.1},
    "AdamW": {},
    "Nadam": {},
    "Adamax": {},
    "RMSprop": {},
    "centered": {"centered": True, "momentum": 0.5},
    "Adagrad": {"learning_rate": 0.05},
    "Lion": {},
    "clipnorm": {"clipnorm": 0.05},
    "clipvalue": {"clipvalue": 0.002},
    "global_clipnorm": {"learning_rate": 0.5, "momentum": 0.5, "global_clipnorm": 0.1},
    "all of it": {"weight_decay": 0.05, "global_clipnorm": 0.1},
    "ema": {"use_ema": True, "ema_momentum": 0.9},
    "overwritten": {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3},
    "summed": {"gradient_accumulation_steps": 3},
    "summed and averaged": {
        "gradient_accumulation_steps": 2,
        "use_ema": True,
        "ema_momentum": 0.7,
        "ema_overwrite_frequency": 3,
        "global_clipnorm": 0.2,
        "weight_decay": 0.05,
    },
}
CLASSES = {
    "momentum": "SGD",
    "nesterov": "SGD",
    "amsgrad": "Adam",
    "weight_decay": "Adam",
    "centered": "RMSprop",
    "clipnorm": "Adam",
    "clipvalue": "Adam",
    "global_clipnorm": "SGD",
    "all of it": "Nadam",
    "ema": "Adam",
    "overwritten": "SGD",
    "summed": "Adam",
    "summed and averaged": "Nadam",
}
REGULARIZERS = {
    "l1": lambda r: {"kernel_regularizer": r.L1(0.01)},
    "l2": lambda r: {"kernel_regularizer": "l2", "bias_regularizer": r.L2(0.1)},
    "both": lambda r: {"kernel_regularizer": r.L1L2(0.003, 0.02)},
}
BETWEEN = {
    "batch": lambda library: [library.layers.BatchNormalization()],
    "batch, other settings": lambda library: [
        library.layers.BatchNormalization(
            momentum=0.7,
            epsilon=0.02,
            gamma_regularizer=library.regularizers.L2(0.02),
            beta_regularizer=library.regularizers.L1(0.003),
        )
    ],
    "batch without both": lambda library: [
        library.layers.BatchNormalization(center=False, scale=False)
    ],
    "layer": lambda library: [library.layers.LayerNormalization()],
    "layer, other settings": lambda library: [
        library.layers.LayerNormalization(
            epsilon=0.02, center=False, gamma_regularizer=library.regularizers.L1L2(0.003, 0.02)
        )
    ],
    "prelu": lambda library: [library.layers.Dense(12), library.layers.PReLU()],
    "prelu, other settings": lambda library: [
        library.layers.PReLU(
            library.initializers.Constant(0.25), alpha_regularizer=library.regularizers.L2(0.02)
        )
    ],
    "constraints": lambda library: [
        library.layers.BatchNormalization(
            gamma_constraint=library.constraints.MaxNorm(2.5), beta_constraint="non_neg"
        ),
        library.layers.LayerNormalization(beta_constraint=library.constraints.UnitNorm()),
        library.layers.PReLU("ones", alpha_constraint=library.constraints.MinMaxNorm(1, 2)),
    ],
    "all": lambda library: [
        library.layers.BatchNormalization(),
        library.layers.PReLU(),
        library.layers.LayerNormalization(),
    ],
}
CONSTRAINTS = {
    "max": lambda c: {"kernel_constraint": c.MaxNorm(0.8), "bias_constraint": c.MaxNorm(0.02)},
    "by name": lambda c: {"kernel_constraint": "max_norm", "bias_constraint": "non_neg"},
    "unit": lambda c: {"kernel_constraint": c.UnitNorm()},
    "slow": lambda c: {"kernel_constraint": c.MinMaxNorm(0.5, 0.9, 0.2)},
    "positive": lambda c: {"kernel_constraint": c.NonNeg()},
}
SCHEDULES = {
    "ExponentialDecay": (0.05, 10, 0.7),
    "InverseTimeDecay": (0.05, 10, 0.7, True),
    "PolynomialDecay": (0.05, 15, 0.001, 2.0, True),
    "PiecewiseConstantDecay": ([5, 12], [0.05, 0.01, 0.002]),
    "CosineDecay": (0.01, 12, 0.1, "CosineDecay", 0.05, 6),
    "CosineDecayRestarts": (0.05, 6, 2.0, 0.8, 0.1),  # powers of 2: Keras finds restarts in float32
}
# what a loss is made with, the last activation, the targets
NUMBERS = X[:, :3] @ np.array([[1, -1, 0], [0.5, 1, 2], [0, 1, -1]], np.float32) + 0.3
COUNTS = np.random.default_rng(1).poisson(np.exp(X[:, :3] / 2)).astype(np.float32)
BINARY = (NUMBERS > 0).astype(np.float32)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
LOSSES = [
    ("MeanSquaredError", {}, "linear", NUMBERS),
    ("MeanAbsoluteError", {}, "linear", NUMBERS),
    ("MeanAbsolutePercentageError", {}, "linear", COUNTS + 1),
    ("MeanSquaredLogarithmicError", {}, "softplus", COUNTS),
    ("MeanSquaredLogarithmicError", {}, "linear", COUNTS),
    ("Huber", {}, "linear", NUMBERS),
    ("Huber", {"delta": 0.4}, "linear", NUMBERS),
    ("LogCosh", {}, "linear", NUMBERS),
    ("Poisson", {}, "softplus", COUNTS),
    ("KLDivergence", {}, "softmax", ONE_HOT * 0.8 + 0.1),
    ("KLDivergence", {}, "softmax", ONE_HOT),
    ("Hinge", {}, "tanh", BINARY),
    ("Hinge", {}, "linear", 2 * BINARY - 1),
    ("SquaredHinge", {}, "linear", BINARY),
    ("CategoricalHinge", {}, "softmax", ONE_HOT),
    ("CosineSimilarity", {}, "linear", NUMBERS),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, "sigmoid", BINARY),
    ("BinaryCrossentropy", {"label_smoothing": 0.2, "from_logits": True}, "linear", BINARY),
    ("BinaryFocalCrossentropy", {}, "sigmoid", BINARY),
    ("BinaryFocalCrossentropy", {"gamma": 1.5, "from_logits": True}, "linear", BINARY),
    (
        "BinaryFocalCrossentropy",
        {"apply_class_balancing": True, "alpha": 0.3, "label_smoothing": 0.1},
        "softmax",
        BINARY,
    ),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, "softmax", ONE_HOT),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2, "from_logits": True}, "linear", ONE_HOT),
    ("CategoricalFocalCrossentropy", {}, "softmax", ONE_HOT),
    ("CategoricalFocalCrossentropy", {"gamma": 0.5, "label_smoothing": 0.1}, "sigmoid", ONE_HOT),
    ("CategoricalFocalCrossentropy", {"alpha": 0.7, "from_logits": True}, "linear", ONE_HOT),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, "softmax", LABELS),
    ("SparseCategoricalCrossentropy", {"ignore_class": -1}, "softmax", LABELS - (LABELS == 0)),
    (
        "SparseCategoricalCrossentropy",
        {"ignore_class": 255, "from_logits": True},
        "linear",
        np.where(LABELS == 2, 255, LABELS),
    ),
]


ACTIVATIONS = [
    "linear", "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "sigmoid", "tanh",
    "exponential", "softplus", "log_sigmoid", "softsign", "hard_tanh", "hard_sigmoid",
    "hard_silu", "hard_swish", "silu", "swish", "gelu", "mish", "softmax", "log_softmax",
]  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    """Keras's string names mean the same functions."""
    theirs = keras.ops.convert_to_numpy(keras.activations.get(name)(3 * X))
    np.testing.assert_allclose(activations.get(name)(3 * X), theirs, rtol=1e-4, atol=1e-5)


def both(
    dense: Any = lambda library: {},
    last: str = "softmax",
    between: Any = lambda library: [],
    **compiled: Any,
) -> list[Any]:
    """A model of ours and one of Keras, of equal weights; functions of the library give arguments.

    `dense` gives those of the first two layers, `last` is the last one's activation, `between`
    gives layers that stand after each of the first two, others give arguments of compile.
    """
    models = []
    for library in (keras, fastnn):
        keras.utils.set_random_seed(1)
        layers = library.layers
        model = (Sequential if library is fastnn else library.Sequential)(
            [
                layers.Input((9,)),
                layers.Dense(16, activation="tanh", **dense(library)),
                *between(library),
                layers.Dense(8, activation="relu", **dense(library)),
                *between(library),
                layers.Dense(3, activation=last),
            ]
        )
        arguments: dict[str, Any] = {"loss": "sparse_categorical_crossentropy"}
        arguments |= {name: make(library) for name, make in compiled.items()}
        model.compile(metrics=["accuracy"], **arguments)
        models.append(model)
    models[1].set_weights(models[0].get_weights())
    return models


def assert_train_alike(models: list[Any], y: Any = LABELS, **arguments: Any) -> None:
    """Losses within 1e-3, weights within 2 % of the way they have moved."""
    start = models[0].get_weights()
    histories = [
        model.fit(X, y, batch_size=32, epochs=EPOCHS, shuffle=False, verbose=0, **arguments).history
        for model in models
    ]
    assert histories[0].keys() == histories[1].keys()
    for name in histories[0]:
        np.testing.assert_allclose(histories[1][name], histories[0][name], rtol=1e-3, err_msg=name)
    for first, theirs, ours in zip(
        start, models[0].get_weights(), models[1].get_weights(), strict=True
    ):
        moved = np.linalg.norm(theirs - first)
        assert np.linalg.norm(ours - theirs) <= 0.02 * moved + 1e-7
        assert moved > 0


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_optimizers(name):
    kind = CLASSES.get(name, name)
    assert_train_alike(
        both(optimizer=lambda library: getattr(library.optimizers, kind)(**CONSTRUCTORS[name]))
    )


@pytest.mark.parametrize("optimizer", ["Adam", "SGD", "RMSprop"])
@pytest.mark.parametrize("name", REGULARIZERS)
def test_regularizers(name, optimizer):
    models = both(
        lambda library: REGULARIZERS[name](library.regularizers),
        optimizer=lambda library: getattr(library.optimizers, optimizer)(global_clipnorm=1.0),
    )
    assert_train_alike(models, validation_split=0.2)
    theirs, ours = (model.evaluate(X, LABELS, verbose=0) for model in models)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


@pytest.mark.parametrize("optimizer", ["Adam", "SGD", "RMSprop", "AdamW"])
@pytest.mark.parametrize("name", BETWEEN)
def test_normalizations_and_prelu(name, optimizer):
    """The moving statistics are among the weights."""
    models = both(
        between=lambda library: BETWEEN[name](library),
        optimizer=lambda library: getattr(library.optimizers, optimizer)(),
    )
    assert_train_alike(models, validation_split=0.2)
    theirs, ours = (model.evaluate(X, LABELS, verbose=0) for model in models)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


@pytest.mark.parametrize("cls", ["BatchNormalization", "LayerNormalization", "PReLU"])
def test_layers_have_keras_arguments(cls):
    ours, theirs = (
        inspect.signature(getattr(library.layers, cls).__init__).parameters
        for library in (fastnn, keras)
    )
    plain = [name for name, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert plain == [name for name in theirs if name != "kwargs"]
    for name in plain:
        default, other = ours[name].default, theirs[name].default
        assert default == (other.lower() if isinstance(other, str) else other)
    built = [library.layers.__dict__[cls]() for library in (fastnn, keras)]
    assert re.sub(r"_\d+$", "", built[0].name) == re.sub(r"_\d+$", "", built[1].name)
    for layer, model in zip(built, (Sequential, keras.Sequential), strict=True):
        model([layer]).build((None, 5))
    for one, two in zip(*(layer.get_weights() for layer in built), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("frozen", [(1,), (1, 3), (0, 1), (3, 4)])
@pytest.mark.parametrize("name", BETWEEN)
def test_frozen_normalizations(name, frozen):
    def fit(model: Any) -> list[np.ndarray]:
        model.fit(X, LABELS, batch_size=32, epochs=2, shuffle=False, verbose=0)
        for number in frozen:
            model.layers[number].trainable = False
        model.compile(loss="sparse_categorical_crossentropy", optimizer="adam")
        model.fit(X, LABELS, batch_size=32, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    models = both(between=lambda library: BETWEEN[name](library)[:1], optimizer=lambda _: "adam")
    for theirs, ours in zip(*map(fit, models), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=2e-4)


@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
@pytest.mark.parametrize("extra", ["nothing", "overwritten", "summed"])
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints(name, extra, optimizer):
    models = both(
        lambda library: CONSTRAINTS[name](library.constraints),
        optimizer=lambda library: getattr(library.optimizers, optimizer)(
            **CONSTRUCTORS.get(extra, {})
        ),
    )
    if name == "positive":  # no dead units, whose equal outputs are ties for the accuracy
        start = [np.abs(w) + 0.05 for w in models[0].get_weights()]
        for model in models:
            model.set_weights(start)
    assert_train_alike(models)


def test_optimizers_have_keras_arguments():
    for name in fastnn.optimizers.__all__:
        kind = getattr(fastnn.optimizers, name)
        if not inspect.isclass(kind) or name in ("Optimizer", "LBFGS"):
            continue
        theirs = inspect.signature(getattr(keras.optimizers, name).__init__).parameters
        theirs = {key: value for key, value in theirs.items() if key not in ("self", "kwargs")}
        ours = inspect.signature(kind).parameters
        assert list(theirs) == list(ours), name
        for key, value in theirs.items():
            if key != "name":
                assert ours[key].default == value.default, (name, key)


@pytest.mark.parametrize("frozen", [(0,), (1,), (0, 2), (2,)])
def test_layers_that_are_not_trained(frozen):
    def fit(model: Any) -> list[np.ndarray]:
        for number in frozen:
            model.layers[number].trainable = False
        model.compile(loss="sparse_categorical_crossentropy", optimizer="adam")
        model.fit(X, LABELS, batch_size=32, epochs=EPOCHS, shuffle=False, verbose=0)
        return model.get_weights()

    models = both(optimizer=lambda library: "sgd")
    start = models[0].get_weights()
    theirs, ours = map(fit, models)
    for number, (first, a, b) in enumerate(zip(start, theirs, ours, strict=True)):
        assert (number // 2 in frozen) == np.array_equal(first, b) == np.array_equal(first, a)
        np.testing.assert_allclose(b, a, rtol=0.02, atol=2e-4)


@pytest.mark.parametrize(("name", "arguments", "last", "y"), LOSSES)
def test_losses(name, arguments, last, y):
    models = both(
        last=last,
        loss=lambda library: getattr(library.losses, name)(**arguments),
        optimizer=lambda library: library.optimizers.SGD(5e-4 if "Percentage" in name else 0.05),
    )
    assert_train_alike(models, y)
    found = [model.evaluate(X, y, verbose=0, batch_size=len(X)) for model in models]
    for theirs, ours in zip(*found, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize("name", {name: None for name, *_ in LOSSES})
def test_losses_have_keras_names(name):
    ours, theirs = (getattr(library.losses, name) for library in (fastnn, keras))
    assert ours().name == theirs().name


def test_class_that_is_ignored_with_weights():
    """With sample and class weights, and a validation of several batches."""
    y = np.where(LABELS == 1, -1, LABELS)
    models = both(
        loss=lambda library: library.losses.SparseCategoricalCrossentropy(ignore_class=-1),
        optimizer=lambda library: library.optimizers.SGD(0.05),
    )
    assert_train_alike(models, y, sample_weight=np.linspace(0.5, 2, len(X)))


# what a metric is made with, the last activation, the targets
METRICS = [
    ("TopKCategoricalAccuracy", {"k": 2}, "softmax", ONE_HOT),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "softmax", LABELS),
    ("BinaryAccuracy", {"threshold": 0.3}, "sigmoid", BINARY),
    ("Precision", {"thresholds": 0.3}, "sigmoid", BINARY),
    ("Recall", {"thresholds": 0.7}, "sigmoid", BINARY),
    ("F1Score", {"average": "micro", "threshold": 0.3}, "sigmoid", BINARY),
    ("FBetaScore", {"average": "micro", "beta": 2.0, "threshold": 0.3}, "sigmoid", BINARY),
    ("TruePositives", {}, "sigmoid", BINARY),
    ("TrueNegatives", {"thresholds": 0.4}, "sigmoid", BINARY),
    ("FalsePositives", {"thresholds": [0.4]}, "sigmoid", BINARY),
    ("FalseNegatives", {}, "sigmoid", BINARY),
    ("Hinge", {}, "linear", 2 * BINARY - 1),
    ("SquaredHinge", {}, "tanh", 2 * BINARY - 1),
    ("CategoricalHinge", {}, "softmax", ONE_HOT),
    ("R2Score", {}, "linear", NUMBERS),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, "linear", NUMBERS),
    ("R2Score", {"num_regressors": 9}, "linear", NUMBERS),
    ("MeanAbsolutePercentageError", {}, "linear", COUNTS + 1),
    ("MeanSquaredLogarithmicError", {}, "softplus", COUNTS),
    ("LogCoshError", {}, "linear", NUMBERS),
    ("KLDivergence", {}, "softmax", ONE_HOT * 0.8 + 0.1),
    ("Poisson", {}, "softplus", COUNTS),
    ("CosineSimilarity", {}, "linear", NUMBERS),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, "sigmoid", BINARY),
    ("BinaryCrossentropy", {"from_logits": True}, "linear", BINARY),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, "softmax", ONE_HOT),
    ("CategoricalCrossentropy", {"from_logits": True}, "linear", ONE_HOT),
    ("SparseCategoricalCrossentropy", {}, "softmax", LABELS),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "linear", LABELS),
    ("AUC", {"curve": "ROC"}, "sigmoid", BINARY),
    ("AUC", {"curve": "PR"}, "sigmoid", BINARY),
]


@pytest.mark.parametrize(("name", "arguments", "last", "y"), METRICS)
def test_metrics(name, arguments, last, y):
    """In training, of which each sees what the step before left, and in evaluation."""
    if name == "AUC":
        pytest.importorskip("sklearn", reason="AUC is scikit-learn's: pip install scikit-learn")
    results, histories = [], []
    loss = "sparse_categorical_crossentropy" if y is LABELS else "mse"
    start = both(last=last, optimizer=lambda library: library.optimizers.SGD(0.01))
    for model, library in zip(start, (keras, fastnn), strict=True):
        more = {"num_thresholds": 5000} if library is keras and name == "AUC" else {}
        metric = getattr(library.metrics, name)(name="metric", **arguments, **more)
        model.compile(library.optimizers.SGD(0.01), loss, metrics=[metric])
        settings = {"epochs": 2, "batch_size": 32, "shuffle": False, "verbose": 0}
        histories.append(model.fit(X, y, **settings).history)
        results.append(model.evaluate(X, y, verbose=0, batch_size=32))
    near = 1e-2 if arguments.get("curve") == "PR" else 2e-3  # Keras interpolates between thresholds
    for key in ("loss", "metric"):
        np.testing.assert_allclose(histories[1][key], histories[0][key], rtol=near, err_msg=key)
    np.testing.assert_allclose(results[1], results[0], rtol=near)


@pytest.mark.parametrize("name", {name: None for name, *_ in METRICS})
def test_metrics_have_keras_names(name):
    ours, theirs = (getattr(library.metrics, name) for library in (fastnn, keras))
    assert ours().name == theirs().name.rstrip("_0123456789")


def test_functions_as_metrics():
    """Of each sample a number: then Keras's mean over batches is that over the samples."""

    def of_keras(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.max(keras.ops.abs(y_true - y_pred), axis=-1)

    def of_ours(y_true: Any, y_pred: Any) -> Any:
        return np.abs(y_true - y_pred).max(axis=-1)

    of_ours.__name__ = of_keras.__name__ = "worst"
    models = both(last="linear", optimizer=lambda library: library.optimizers.SGD(0.01))
    for model, function in zip(models, (of_keras, of_ours), strict=True):
        model.compile("sgd", "mse", metrics=[function])
    assert_train_alike(models, NUMBERS, validation_split=0.2)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    def optimizer(library: Any) -> Any:
        schedule = getattr(library.optimizers.schedules, name)(*SCHEDULES[name])
        return library.optimizers.SGD(schedule, momentum=0.5)

    assert_train_alike(both(optimizer=optimizer))


def test_class_weight_and_validation():
    assert_train_alike(
        both(optimizer=lambda library: library.optimizers.Adam()),
        class_weight={0: 1.0, 1: 3.0, 2: 0.5},
        validation_split=0.25,
    )


@pytest.mark.parametrize("patience", [0, 2])
def test_callbacks(patience):
    """Both stop at the same epoch, at the same learning rate, with the best weights back."""

    def fit(model: Any, library: Any) -> Any:
        calls = library.callbacks
        return model.fit(
            X, LABELS, batch_size=32, epochs=40, shuffle=False, verbose=0, validation_split=0.3,
            callbacks=[
                calls.ReduceLROnPlateau(factor=0.5, patience=1, cooldown=1, min_lr=0.01),
                calls.EarlyStopping(
                    patience=patience, min_delta=1e-3, restore_best_weights=True
                ),
            ],
        ).history  # fmt: skip

    models = both(optimizer=lambda library: library.optimizers.SGD(0.5, momentum=0.9))
    theirs, ours = (fit(m, lib) for m, lib in zip(models, (keras, fastnn), strict=True))
    assert len(theirs["loss"]) == len(ours["loss"]) < 40
    np.testing.assert_allclose(ours["learning_rate"], theirs["learning_rate"], rtol=1e-6)
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=0.02, atol=1e-3)


IMAGES = RNG.integers(0, 256, (300, 28, 28), np.uint8)
DIGITS = (IMAGES[:, :14].mean(axis=(1, 2)) > IMAGES[:, 14:].mean(axis=(1, 2))).astype(np.uint8)


def first_steps(library: Any, reshaped: bool) -> Any:
    """The MNIST example for beginners."""
    layers = library.layers
    x = IMAGES / 255.0
    model = library.Sequential()
    if reshaped:
        x = x.reshape(-1, 784).astype("float32")
        model.add(layers.Input(shape=(784,)))
    else:
        model.add(layers.Flatten(input_shape=(28, 28)))
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(10))
    loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return model, x


@pytest.mark.parametrize("reshaped", [False, True])
def test_first_steps(reshaped):
    (theirs, x), (ours, _) = (first_steps(library, reshaped) for library in (keras, fastnn))
    ours.set_weights(theirs.get_weights())
    assert (ours.input_shape, ours.output_shape) == (theirs.input_shape, theirs.output_shape)
    histories = [
        m.fit(x, DIGITS, epochs=3, verbose=0, shuffle=False).history for m in (theirs, ours)
    ]
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(histories[1][name], histories[0][name], rtol=1e-3)
    np.testing.assert_allclose(
        ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=1e-3, atol=1e-4
    )


def test_outputs_of_several_axes():
    y = RNG.normal(size=(200, 2, 3)).astype(np.float32)
    models = []
    for library in (keras, fastnn):
        layers = library.layers
        models.append(
            library.Sequential(
                [
                    layers.Input((9,)),
                    layers.Reshape((3, -1)),
                    layers.Activation("tanh"),
                    layers.Flatten(),
                    layers.Dense(6),
                    layers.Reshape((-1, 3)),
                ]
            )
        )
        models[-1].compile("sgd", "mse", metrics=["mae"])
    models[1].set_weights(models[0].get_weights())
    assert models[1].output_shape == models[0].output_shape
    assert_train_alike(models, y)


def test_residual():
    """Beside Keras's functional model of the same."""
    inputs = keras.Input((9,))
    h = keras.layers.Dense(16, activation="relu")(inputs)
    f = keras.layers.Dense(8, activation="tanh")(h)
    h = keras.layers.Add()([h, keras.layers.Dense(16)(f)])
    theirs = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(h))
    layers = fastnn.layers
    ours = Sequential(
        [
            layers.Input((9,)),
            layers.Dense(16, activation="relu"),
            layers.Residual([layers.Dense(8, activation="tanh"), layers.Dense(16)]),
            layers.Dense(3, activation="softmax"),
        ]
    )
    for model in (theirs, ours):
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    ours.set_weights(theirs.get_weights())
    assert_train_alike([theirs, ours])
