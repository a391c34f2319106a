"""Data frames and series of pandas, polars and pyarrow as data."""

import numpy as np
import pandas as pd
import pytest

from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.utils import set_random_seed

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype(np.float32)
X[:, 2] = RNG.integers(0, 9, 40)
LABELS = RNG.integers(0, 3, 40)
WEIGHT = RNG.uniform(0.5, 2, 40)
NAMES = ["a", "b", "c"]


def pandas_kinds():
    yield "numpy", lambda frame: frame
    yield "masked", lambda frame: frame.convert_dtypes()
    yield "pyarrow", lambda frame: frame.convert_dtypes(dtype_backend="pyarrow")


def polars_frame(**columns):
    polars = pytest.importorskip("polars")
    return polars.DataFrame(columns)


def classifier():
    set_random_seed(5)
    model = Sequential([Dense(4, "relu", input_shape=(3,)), Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def results(x, y, weight):
    model = classifier()
    history = model.fit(x, y, epochs=2, verbose=0, sample_weight=weight, validation_data=(x, y))
    return history.history, model.predict(x), model.evaluate(x, y, 9, 0, weight)


def assert_like_arrays(x, y, weight):
    history, out, loss = results(x, y, weight)
    expected_history, expected_out, expected_loss = results(X, LABELS, WEIGHT)
    assert (history, loss) == (expected_history, expected_loss)
    np.testing.assert_array_equal(out, expected_out)


@pytest.mark.parametrize("kind", ["numpy", "masked", "pyarrow"])
def test_pandas(kind):
    if kind == "pyarrow":
        pytest.importorskip("pyarrow")
    as_kind = dict(pandas_kinds())[kind]
    frame = pd.DataFrame(X, columns=NAMES).assign(c=X[:, 2].astype(int), y=LABELS, w=WEIGHT)
    frame = as_kind(frame)
    assert_like_arrays(frame[NAMES], frame["y"], frame["w"])
    assert_like_arrays(frame[NAMES], frame[["y"]], frame["w"])


def test_polars():
    frame = polars_frame(a=X[:, 0], b=X[:, 1], c=X[:, 2].astype(int), y=LABELS, w=WEIGHT)
    assert_like_arrays(frame[NAMES], frame["y"], frame["w"])
    assert_like_arrays(frame[NAMES], frame[["y"]], frame["w"])


def test_pyarrow():
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({**dict(zip(NAMES, X.T, strict=True)), "y": LABELS, "w": WEIGHT})
    assert_like_arrays(table.select(NAMES), table["y"], table["w"])
    with pytest.raises(ValueError, match=r"^x: expected no missing values, got some in b$"):
        classifier().predict(pyarrow.table({"a": [1.0], "b": [None], "c": [2.0]}))


def gaps(kind):
    """A frame and a series with a null each, and the frame's column that has it."""
    b = [None, *X[1:, 1].tolist()]
    columns = {"a": X[:, 0], "b": b, "c": X[:, 2]}
    if kind == "polars":
        frame = polars_frame(**columns, y=[None, *LABELS[1:].tolist()])
    else:
        if kind == "pyarrow":
            pytest.importorskip("pyarrow")
        frame = pd.DataFrame({**columns, "b": pd.array(b, "Float64")})
        frame["y"] = pd.array([None, *LABELS[1:].tolist()], "Int64")
        frame = dict(pandas_kinds())[kind](frame)
    return frame[NAMES], frame["y"]


@pytest.mark.parametrize("kind", ["polars", "masked", "pyarrow"])
def test_nulls_are_refused(kind):
    frame, series = gaps(kind)
    model = classifier()
    weights = model.get_weights()
    for call in (model.predict, model.predict_on_batch, model.forward):
        with pytest.raises(ValueError, match=r"^x: expected no missing values, got some in b$"):
            call(frame)
    with pytest.raises(ValueError, match=r"^x: expected no missing values, got some in b$"):
        model.fit(frame, LABELS, verbose=0)
    with pytest.raises(ValueError, match=r"^y: expected no missing values, got 1$"):
        model.fit(X, series, verbose=0)
    with pytest.raises(ValueError, match=r"^sample_weight: expected no missing values, got 1$"):
        model.train_on_batch(X, LABELS, series)
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["pandas", "polars", "categorical"])
def test_texts_are_refused(kind):
    texts = ["u", "v"] * 20
    if kind == "polars":
        frame = polars_frame(a=X[:, 0], b=texts, c=X[:, 2])
    else:
        frame = pd.DataFrame({"a": X[:, 0], "b": texts, "c": X[:, 2]})
        if kind == "categorical":
            frame["b"] = frame["b"].astype("category")
    with pytest.raises(TypeError, match=r"^x: expected real numbers, got .*str"):
        classifier().predict(frame)
    with pytest.raises(TypeError, match=r"^y: expected real numbers, got"):
        classifier().fit(X, frame["b"], verbose=0)


def test_batches_of_frames():
    frame = polars_frame(a=X[:, 0], b=X[:, 1], c=X[:, 2], y=LABELS)
    model, expected = classifier(), classifier()
    parts = frame.iter_slices(8)
    model.fit(((part[NAMES], part["y"]) for part in parts), verbose=0)
    expected.fit(X, LABELS, 8, verbose=0, shuffle=False)
    for one, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
