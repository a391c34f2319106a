"""Files, pickles and copies of models."""

import copy
import json
import os
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import fastnn
from fastnn.initializers import Zeros
from fastnn.io import read_metadata, save_model
from fastnn.layers import Activation, Dense, Input, Normalization, ReLU
from fastnn.losses import Huber, SparseCategoricalCrossentropy
from fastnn.metrics import FunctionMetric
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adam
from fastnn.utils import set_random_seed

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4)).astype(np.float32)
Y = rng.integers(0, 3, 60)


def trained(optimizer: Any = None, dtype: str = "float32") -> Sequential:
    set_random_seed(0)
    normalization = Normalization(dtype=dtype)
    normalization.adapt(X)
    model = Sequential(
        [
            Input((4,), dtype=dtype),
            normalization,
            Dense(6, "tanh", use_bias=False, dtype=dtype),
            Dense(3, dtype=dtype),
            Activation("softmax", dtype=dtype),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer or Adam(0.01), loss, metrics=["accuracy"])
    model.fit(X, Y, epochs=3, verbose=0)
    return model


def through_file(model: Sequential, folder: Path) -> Sequential:
    model.save(folder / "model.fastnn")
    return fastnn.load_model(folder / "model.fastnn")


def assert_goes_on_the_same(model: Sequential, again: Sequential) -> None:
    """Equal predictions now, equal bits after training on, which takes the optimizer's state."""
    assert again.get_config() == model.get_config()
    assert again.get_compile_config() == model.get_compile_config()
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    histories = []
    for each in (model, again):
        set_random_seed(1)
        histories.append(each.fit(X, Y, epochs=2, verbose=0).history)
    assert histories[0] == histories[1]
    for got, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [Adam(0.01), SGD(0.1), SGD(0.1, 0.9, nesterov=True)])
@pytest.mark.parametrize("way", ["file", "pickle", "deepcopy"])
def test_a_copy_goes_on_as_the_original(way, optimizer, dtype, tmp_path):
    model = trained(optimizer, dtype)
    again = {
        "file": lambda: through_file(model, tmp_path),
        "pickle": lambda: pickle.loads(pickle.dumps(model)),
        "deepcopy": lambda: copy.deepcopy(model),
    }[way]()
    assert_goes_on_the_same(model, again)


def test_unbuilt_and_uncompiled_models(tmp_path):
    model = Sequential([Dense(3)])
    again = through_file(model, tmp_path)
    assert not again.built
    assert again.optimizer is None
    adapted = Normalization()
    adapted.adapt(X)
    lazy = Sequential([adapted, Dense(3)])
    for copied in (through_file(lazy, tmp_path), copy.deepcopy(lazy)):
        assert not copied.built
        np.testing.assert_array_equal(copied.layers[0].mean, adapted.mean)
        assert copied.predict(X).shape == (60, 3)


def test_a_layer_can_be_copied_with_its_weights():
    layer = trained().layers[1]
    again = copy.deepcopy(layer)
    np.testing.assert_array_equal(again.get_weights()[0], layer.kernel)
    model = Sequential([Input((4,)), again])
    np.testing.assert_array_equal(model.layers[0].kernel, layer.kernel)


def test_subclasses_stay_what_they_are():
    model = Mine([Dense(2, input_shape=(3,))])
    assert type(pickle.loads(pickle.dumps(model))) is Mine


class Mine(Sequential):
    """A user's subclass."""


class Pyramid(Sequential):
    """One with an `__init__` of its own, and layers under names of its own."""

    def __init__(self, units: int, depth: int) -> None:
        self.blocks = [Dense(units, "tanh") for _ in range(depth)]
        self.head = Dense(3, "softmax", name="head")
        super().__init__([Input((4,)), *self.blocks, self.head])
        self.note = {"units": units}


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_subclass_with_its_own_init_can_be_copied(way):
    model = Pyramid(5, depth=2)
    model.compile(SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    model.fit(X, Y, verbose=0)
    again = way(model)
    assert (type(again), again.note) == (Pyramid, {"units": 5})
    assert [*again.blocks, again.head] == again.layers  # the copies themselves
    assert again.head is not model.head
    assert again.optimizer.iterations == model.optimizer.iterations == 2
    assert_goes_on_the_same(model, again)


def test_saving_replaces_whole_files_only(tmp_path, monkeypatch):
    model, path = trained(), tmp_path / "model.fastnn"
    model.save(path)
    before = path.read_bytes()

    def fail(*args: Any) -> None:
        raise OSError("no")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match=r"no.*model\.fastnn'$"):
        model.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.fastnn"]


class Own(Zeros):
    """A user's initializer."""


class OwnReLU(ReLU):
    """A user's activation."""


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    model = Sequential([Dense(2, kernel_initializer=Own(), input_shape=(4,))])
    with pytest.raises(TypeError, match=r"save: .*Own.*pickle can, and save_weights"):
        model.save(tmp_path / "m.fastnn")
    assert os.listdir(tmp_path) == []
    again = pickle.loads(pickle.dumps(model))
    assert type(again.layers[0].kernel_initializer) is Own


def test_an_activation_of_ones_own_class_is_not_saved(tmp_path):
    model = Sequential([Dense(2, OwnReLU(), input_shape=(4,))])
    with pytest.raises(TypeError, match=r"save: .*OwnReLU.*pickle can"):
        model.save(tmp_path / "m.fastnn")
    assert type(pickle.loads(pickle.dumps(model)).layers[0].activation) is OwnReLU


def test_paths(tmp_path):
    model, path = trained(), tmp_path / "m.fastnn"
    model.save(os.fsencode(path), overwrite=False)
    assert fastnn.load_model(os.fsencode(path)).built
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"m\.fastnn"):
        model.save(path, overwrite=False)
    assert path.read_bytes() == before
    with pytest.raises(FileNotFoundError, match=r"nowhere/m\.fastnn'$"):
        model.save(tmp_path / "nowhere" / "m.fastnn")


def test_metadata_goes_along(tmp_path):
    path = tmp_path / "m.fastnn"
    save_model(trained(), path, metadata={"columns": ["a", "b"], "n": 3})
    assert read_metadata(path) == {"columns": ["a", "b"], "n": 3}


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        fastnn.load_model(tmp_path / "nothing")


# ---- damage -------------------------------------------------------------------------------------


def parts(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    with safe_open(path, framework="numpy") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def assert_refused(path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.fastnn"):
        fastnn.load_model(path)


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, 0.5, -1])
def test_truncated_files(keep, tmp_path):
    path = tmp_path / "model.fastnn"
    trained().save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if keep == 0.5 else keep])
    assert_refused(path)


def test_foreign_files(tmp_path):
    path = tmp_path / "model.fastnn"
    for data in (b"a,b\n1,2\n", pickle.dumps([1]), b"\x00" * 64, b"\xff" * 64, os.urandom(500)):
        path.write_bytes(data)
        assert_refused(path)
    save_file({"weight": np.ones(3)}, path)
    assert_refused(path)
    with pytest.raises(ValueError, match="expected a fastnn model file"):
        fastnn.load_model(tmp_path)


def test_flipped_bytes_in_the_header(tmp_path):
    """Any damage of the header is a ValueError or leaves a model that works."""
    path = tmp_path / "model.fastnn"
    trained().save(path)
    data = path.read_bytes()
    header = int.from_bytes(data[:8], "little") + 8
    for position in range(0, header, 5):
        damaged = bytearray(data)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        try:
            model = fastnn.load_model(path)
        except ValueError as error:
            assert "model.fastnn" in str(error)  # noqa: PT017 - both outcomes are right
        else:
            assert model.predict(X[:, : model.input_size]).shape == (60, model.output_shape[1])


def edited(config: dict[str, Any], keys: list[Any], value: Any) -> dict[str, Any]:
    config = copy.deepcopy(config)
    place = config
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return config


DENSE = ["model", "layers", 2, "config"]


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ([*DENSE, "units"], 7),
        ([*DENSE, "units"], 10**9),
        ([*DENSE, "units"], -1),
        ([*DENSE, "units"], "6"),
        ([*DENSE, "use_bias"], True),
        ([*DENSE, "dtype"], "float64"),
        ([*DENSE, "activation"], "os.system"),
        ([*DENSE, "extra"], 1),
        (["model", "layers", 2, "class_name"], "Sequential"),
        (["model", "layers"], []),
        (["model", "layers"], None),
        (["model", "build_input_shape"], [None, 10**9]),
        (["model", "build_input_shape"], [None]),
        (["model"], "x"),
        (["compile", "optimizer", "config", "learning_rate"], -1),
        (["compile", "optimizer", "config", "learning_rate"], 10**400),
        (["model", "layers", 1, "config", "mean"], [10**400] * 4),
        (["compile", "optimizer", "class_name"], "SGD"),
        (["compile", "loss"], "nothing"),
        (["compile"], {"optimizer": "adam", "run": 1}),
        (["compile"], None),
        (["iterations"], -1),
        (["iterations"], "3"),
    ],
)
def test_configs_that_do_not_fit_the_arrays(keys, value, tmp_path):
    path = tmp_path / "model.fastnn"
    trained().save(path)
    texts, arrays = parts(path)
    config = edited(json.loads(texts["config"]), keys, value)
    save_file(arrays, path, {**texts, "config": json.dumps(config)})
    assert_refused(path)


@pytest.mark.parametrize(
    "name", ["layers.1.kernel", "layers.2.bias", "optimizer.m.layers.1.kernel"]
)
def test_arrays_that_do_not_fit_the_config(name, tmp_path):
    path = tmp_path / "model.fastnn"
    trained().save(path)
    texts, arrays = parts(path)
    good = arrays[name]
    for bad in (good[:-1], good.astype(np.float64), good.astype(np.int32), good[None], None):
        changed = {key: array for key, array in arrays.items() if key != name}
        if bad is not None:
            changed[name] = np.ascontiguousarray(bad)
        save_file(changed, path, texts)
        assert_refused(path)
    save_file({**arrays, "more": np.ones(2, np.float32)}, path, texts)
    assert_refused(path)


@pytest.mark.parametrize("kind", ["normalization", "activation"])
@pytest.mark.parametrize(
    "edits",
    [
        {"build_input_shape": [None, 10**9]},
        {"input": 10**9},
        {"build_input_shape": None, "input": 10**9},
        {"build_input_shape": [None, 10**9], "input": 10**9},
    ],
)
def test_a_forged_input_size_makes_no_room(kind, edits, tmp_path, monkeypatch):
    path = tmp_path / "model.fastnn"
    layer = Normalization(mean=0, variance=1) if kind == "normalization" else Activation("linear")
    Sequential([Input((4,)), layer]).save(path)
    assert fastnn.load_model(path).predict(X).shape == X.shape
    texts, arrays = parts(path)
    config = json.loads(texts["config"])
    if "input" in edits:
        config["model"]["layers"][0]["config"]["shape"] = [edits["input"]]
    if "build_input_shape" in edits:
        config["model"]["build_input_shape"] = edits["build_input_shape"]
    save_file(arrays, path, {**texts, "config": json.dumps(config)})
    monkeypatch.setattr(Sequential, "_network_class", lambda *args: pytest.fail("made"))
    assert_refused(path)


def test_a_deep_config_is_refused(tmp_path):
    path = tmp_path / "model.fastnn"
    trained().save(path)
    texts, arrays = parts(path)
    save_file(arrays, path, {**texts, "config": "[" * 100_000})
    assert_refused(path)


def test_load_without_compiling(tmp_path):
    model = Sequential([Input((2,)), Dense(3), Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.ones((8, 2)), np.ones(8), verbose=0)
    model.save(filepath=tmp_path / "m")
    loaded = fastnn.load_model(tmp_path / "m", custom_objects=None, compile=False, safe_mode=True)
    assert loaded.optimizer is None
    assert loaded.iterations == 0
    np.testing.assert_array_equal(loaded.predict(np.ones((1, 2))), model.predict(np.ones((1, 2))))
    with pytest.raises(TypeError, match="custom_objects: expected a dict or None, got 'mae'"):
        fastnn.load_model(tmp_path / "m", custom_objects="mae")
    with pytest.raises(ValueError, match="skip_mismatch"):
        loaded.load_weights(tmp_path / "m", skip_mismatch=True)


# ---- functions of one's own ---------------------------------------------------------------------


def squared(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    error = y_pred - y_true
    return (error**2).mean(axis=1), 2 * error / error.shape[1]


def worst(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    return np.abs(y_true - y_pred).max()


def regressor(loss: Any = "mse", metrics: Any = None) -> Sequential:
    model = Sequential([Input((4,)), Dense(1)])
    model.compile(SGD(0.1, momentum=0.9), loss, metrics)
    model.fit(X, X[:, 0], verbose=0)
    return model


def test_functions_are_found_by_name(tmp_path):
    model = regressor(squared, [worst, "mae", FunctionMetric(worst, "most"), worst])
    model.save(tmp_path / "m")
    functions = {"squared": squared, "worst": worst, "other": Dense}
    loaded = fastnn.load_model(tmp_path / "m", custom_objects=functions)
    assert loaded.metrics_names == ["loss", "worst", "mae", "most", "worst_1"]
    assert loaded.loss.function is squared
    for each in (model, loaded):
        each.fit(X, X[:, 1], shuffle=False, verbose=0)
    assert loaded.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("loss", "functions", "words"),
    [
        ("mse", None, r"expected the function 'worst'.*custom_objects=\{'worst': .*compile=False"),
        ("mse", {"squared": squared}, "expected the function 'worst'"),
        ("mse", {"worst": "mae"}, "expected a function as 'worst', got 'mae'"),
        ("mse", {"worst": Dense}, "expected a function as 'worst', got <class"),
        (squared, None, "expected the function 'worst'"),
        (squared, {"squared": squared}, "expected the function 'worst'"),
    ],
)
def test_a_function_that_is_missing(loss, functions, words, tmp_path):
    regressor(loss, [worst, "mae"]).save(tmp_path / "m")
    with pytest.raises(ValueError, match=f"^custom_objects: {words}"):
        fastnn.load_model(tmp_path / "m", custom_objects=functions)
    assert fastnn.load_model(tmp_path / "m", compile=False).optimizer is None


def test_a_function_without_a_name_is_found_by_its_metrics(tmp_path):
    for function, name in ((lambda y, p: 2.0, "lambda"), (partial(worst), "partial")):
        regressor(metrics=[function]).save(tmp_path / "m")
        with pytest.raises(ValueError, match=f"expected the function '{name}'.*compile=False"):
            fastnn.load_model(tmp_path / "m")
        loaded = fastnn.load_model(tmp_path / "m", custom_objects={name: function})
        assert loaded.metrics_names == ["loss", name]


def test_a_loss_as_metric_that_the_engine_does_not_measure(tmp_path):
    model = Sequential([Input((4,)), Dense(3, "softmax")])
    loss = SparseCategoricalCrossentropy(ignore_class=0)
    model.compile("sgd", "sparse_categorical_crossentropy", [loss])
    model.save(tmp_path / "m")
    y = np.arange(len(X)) % 3
    loaded = fastnn.load_model(tmp_path / "m")
    assert loaded.evaluate(X, y, verbose=0) == model.evaluate(X, y, verbose=0)


def test_an_own_loss_as_metric_cannot_be_saved(tmp_path):
    class Mine(Huber):
        pass

    model = regressor(metrics=[Mine()])
    with pytest.raises(TypeError, match=r"save: expected .*, got Mine"):
        model.save(tmp_path / "m")
    model.save_weights(tmp_path / "w")
    other = regressor(metrics=[Mine()])
    other.load_weights(tmp_path / "w")
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_a_loss_is_left_out_without_functions(tmp_path):
    regressor(squared, ["mae"]).save(tmp_path / "m")
    loaded = fastnn.load_model(tmp_path / "m", custom_objects={"worst": worst})
    assert (loaded.loss, loaded.metrics_names) == (None, ["loss", "mae"])
    with pytest.raises(ValueError, match="fit: expected a model compiled with a loss"):
        loaded.fit(X, Y, verbose=0)


def test_files_of_before_functions_had_names(tmp_path):
    path = tmp_path / "model.fastnn"
    regressor(squared, [worst, "mae"]).save(path)
    texts, arrays = parts(path)
    config = json.loads(texts["config"])
    config["compile"] |= {"loss": None, "metrics": config["compile"]["metrics"][1:]}
    save_file(arrays, path, {**texts, "config": json.dumps(config)})
    assert fastnn.load_model(path).metrics_names == ["loss", "mae"]


# ---- files of Keras -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04" + bytes(60), r"a Keras archive.*set_weights\(keras_model.get_weights"),
        (b"\x89HDF\r\n\x1a\n" + bytes(60), r"an HDF5 file.*set_weights\(keras_model.get_weights"),
        (None, "this is a folder"),
    ],
)
def test_files_of_keras_are_known(data, words, tmp_path):
    path = tmp_path / "model.h5"
    path.mkdir() if data is None else path.write_bytes(data)
    for load in (fastnn.load_model, read_metadata, regressor().load_weights):
        with pytest.raises(ValueError, match=rf"expected a fastnn model file.*model\.h5.*{words}"):
            load(path)
