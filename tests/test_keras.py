"""The same training with Keras: same weights, data and order, the same losses and weights."""

import os
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
}
CLASSES = {
    "momentum": "SGD",
    "nesterov": "SGD",
    "amsgrad": "Adam",
    "weight_decay": "Adam",
    "centered": "RMSprop",
}
SCHEDULES = {
    "ExponentialDecay": (0.05, 10, 0.7),
    "InverseTimeDecay": (0.05, 10, 0.7, True),
    "PolynomialDecay": (0.05, 15, 0.001, 2.0, True),
    "PiecewiseConstantDecay": ([5, 12], [0.05, 0.01, 0.002]),
    "CosineDecay": (0.01, 12, 0.1, "CosineDecay", 0.05, 6),
    "CosineDecayRestarts": (0.05, 6, 2.0, 0.8, 0.1),  # powers of 2: Keras finds restarts in float32
}


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


def both(dtype: str = "float32", **compiled: Any) -> list[Any]:
    """A model of ours and one of Keras, of equal weights; compiled(library) gives arguments."""
    models = []
    for library in (keras, fastnn):
        keras.utils.set_random_seed(1)
        layers = library.layers
        model = (Sequential if library is fastnn else library.Sequential)(
            [
                layers.Input((9,), dtype=dtype),
                layers.Dense(16, activation="tanh", dtype=dtype),
                layers.Dense(8, activation="relu", dtype=dtype),
                layers.Dense(3, activation="softmax", dtype=dtype),
            ]
        )
        arguments = {name: make(library) for name, make in compiled.items()}
        model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"], **arguments)
        models.append(model)
    models[1].set_weights(models[0].get_weights())
    return models


def assert_train_alike(models: list[Any], **arguments: Any) -> None:
    """Losses within 1e-3, weights within 2 % of the way they have moved."""
    start = models[0].get_weights()
    histories = [
        model.fit(
            X, LABELS, batch_size=32, epochs=EPOCHS, shuffle=False, verbose=0, **arguments
        ).history
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
