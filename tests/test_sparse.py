"""SciPy's sparse matrices as x: what dense rows of the same numbers give, and no dense copy."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from fastnn import reference
from fastnn._native.network import Network
from fastnn._sparse import CSR, as_csr
from fastnn.layers import Activation, Dense, Dropout, Normalization
from fastnn.models import Sequential
from fastnn.utils import set_random_seed

FEATURES = 301  # several units of weights at every instruction set, and a tail
EVERYTHING = 1e9
CLOSE = {"float64": {"rtol": 1e-9, "atol": 1e-11}, "float32": {"rtol": 1e-3, "atol": 1e-4}}
OPTIMIZERS = [
    *("sgd", "momentum", "adam", "decay", "amsgrad", "nadam", "adamax", "rmsprop", "centered"),
    *("adagrad", "clipped", "clipnorm", "global_clipnorm", "lion"),
]


def matrix(rows=70, features=FEATURES, density=0.03, dtype="float32", seed=0):
    """With empty rows and empty columns."""
    x = sparse.random(
        rows, features, density, "csr", np.dtype(dtype), np.random.default_rng(seed)
    ).tolil()
    x[3] = 0
    x[-1] = 0
    return x.tocsr().astype(dtype)


def rows_of(x, dtype="float32"):
    return as_csr(x, np.dtype(dtype), "x")


def scrambled(x):
    """The same numbers, their columns out of order, some of them in two parts."""
    rng = np.random.default_rng(5)
    indptr, indices, data = [0], [], []
    for r in range(x.shape[0]):
        part = slice(x.indptr[r], x.indptr[r + 1])
        column, value = x.indices[part], x.data[part]
        column = np.concatenate([column, column[:3]])
        value = np.concatenate([value, value[:3]])
        value[: len(value[:3])] /= 2
        value[len(x.indices[part]) :] /= 2
        order = rng.permutation(len(column))
        indices.extend(column[order])
        data.extend(value[order])
        indptr.append(len(indices))
    return sparse.csr_matrix((np.array(data, x.dtype), indices, indptr), shape=x.shape)


def model_of(dtype="float32", units=40, optimizer="adam"):
    set_random_seed(3)
    model = Sequential([Dense(units, "tanh", dtype=dtype), Dense(3, "softmax", dtype=dtype)])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def everything(model, x, y):
    """What each way into the engine makes of x."""
    weight = np.linspace(0.5, 2, x.shape[0])
    model.fit(
        x,
        y,
        epochs=2,
        batch_size=16,
        validation_split=0.2,
        sample_weight=weight,
        class_weight={0: 2.0, 1: 0.5},
        verbose=0,
    )
    return [
        *model.get_weights(),
        model.predict(x),
        model.predict(x[:5]),
        model.predict_on_batch(x[5:6]),
        np.array(model.evaluate(x, y, verbose=0)),
        np.array(model.train_on_batch(x[:20], y[:20])),
        model.forward(x[:7]),
    ]


def assert_close(found, expected, dtype):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, **CLOSE[dtype])


# ---- models ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", ["float32", "float64", "int8", "bool"])
@pytest.mark.parametrize("change", [lambda x: x, scrambled], ids=["sorted", "scrambled"])
def test_as_dense_rows(dtype, given, change):
    x = matrix()
    x.data[:] = np.arange(x.nnz) % 7 - 3 if given == "int8" else x.data
    x = x.astype(given)
    y = np.random.default_rng(1).integers(0, 3, x.shape[0])
    given_rows = change(x) if given in ("float32", "float64") else x
    expected = everything(model_of(dtype), x.toarray(), y)
    assert_close(everything(model_of(dtype), given_rows, y), expected, dtype)


@pytest.mark.parametrize(
    "make", ["csr_matrix", "csr_array", "csc_matrix", "coo_array", "lil_array"]
)
def test_formats(make):
    x = matrix()
    given = getattr(sparse, make)(x)
    np.testing.assert_array_equal(model_of().predict(given), model_of().predict(x))


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_index_types(index):
    x = matrix()
    given = sparse.csr_array(x)
    given.indices, given.indptr = given.indices.astype(index), given.indptr.astype(index)
    np.testing.assert_array_equal(model_of().predict(given), model_of().predict(x))


def test_data_that_fits_is_not_copied():
    x = sparse.csr_array(matrix())
    rows = rows_of(x)
    assert np.shares_memory(rows.value, x.data)
    assert np.shares_memory(rows.column, x.indices)
    assert np.shares_memory(rows[5:9].value, x.data)


def test_no_dense_copy():
    """Half a million columns: a dense batch alone would be a hundred times what is allowed."""
    code = """if True:
        import sys, resource
        import numpy as np
        from scipy import sparse
        from fastnn.layers import Dense
        from fastnn.models import Sequential
        x = sparse.random(2000, 500_000, 2e-5, "csr", np.float32, np.random.default_rng(0))
        model = Sequential([Dense(4, "relu"), Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.build((None, 500_000))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        model.fit(x, np.arange(2000) % 3, batch_size=1000, validation_split=0.1, verbose=0)
        model.predict(x)
        model.evaluate(x, np.arange(2000) % 3, verbose=0)
        model.train_on_batch(x[:500], np.arange(500) % 3)
        model.forward(x[:500])
        model.backward(np.ones((500, 3)))
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    """
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 50, "MiB; a batch of 1000 dense rows has 1907"


@pytest.mark.parametrize("units", [1, 5, 33, 130])
def test_units(units):
    x = matrix()
    y = np.arange(x.shape[0]) % 3
    assert_close(
        everything(model_of(units=units), x, y),
        everything(model_of(units=units), x.toarray(), y),
        "float32",
    )


@pytest.mark.parametrize(
    "x",
    [
        sparse.csr_array((6, 9), dtype=np.float32),
        matrix(features=1, density=0.5),
        matrix(rows=5, features=3, density=1.0),
    ],
    ids=["zeros", "one column", "dense"],
)
def test_corners(x):
    y = np.arange(x.shape[0]) % 3
    expected = everything(model_of(), x.toarray(), y)
    assert_close(everything(model_of(), x, y), expected, "float32")


def test_no_rows():
    model, x = model_of(), matrix()
    model.predict(x)
    assert model.predict(x[:0]).shape == (0, 3)
    assert model.predict_on_batch(x[:0]).shape == (0, 3)


def test_one_layer_fused_with_its_loss():
    x, y = matrix(), np.arange(70) % 3
    found = []
    for each in (x, x.toarray()):
        set_random_seed(1)
        model = Sequential([Dense(3, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        found.append(everything(model, each, y))
    assert_close(*found, "float32")


@pytest.mark.parametrize("activation", ["gelu", "softmax", "sigmoid", "linear"])
def test_activations_of_the_first_layer(activation):
    x, y = matrix(), np.arange(70) % 3
    found = []
    for each in (x, x.toarray()):
        set_random_seed(1)
        model = Sequential(
            [Dense(17, activation, use_bias=False), Dropout(0.3), Dense(3, "softmax")]
        )
        model.compile("sgd", "sparse_categorical_crossentropy")
        found.append(everything(model, each, y))
    assert_close(*found, "float32")


def test_bfloat16_layers_take_sparse_rows_in_float32():
    x, y = matrix(), np.arange(70) % 3
    model, alike = model_of("mixed_bfloat16"), model_of("mixed_bfloat16")
    model.fit(x, y, verbose=0, shuffle=False)
    alike.fit(x.toarray(), y, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), alike.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=0.02)
    # the first layer's output is that of a float32 one; what dense rows meet is up to date, too
    np.testing.assert_allclose(model.predict(x), model.predict(x.toarray()), atol=0.02)


def test_frozen_first_layer():
    x, y = matrix(), np.arange(70) % 3
    found = []
    for each in (x, x.toarray()):
        model = model_of()
        model.layers[0].trainable = False
        found.append(everything(model, each, y))
    assert_close(*found, "float32")


def test_dense_and_sparse_rows_in_turn():
    x, y = matrix(), np.arange(70) % 3
    mixed, dense = model_of(), model_of()
    for turn in range(4):
        mixed.train_on_batch(x if turn % 2 else x.toarray(), y)
        dense.train_on_batch(x.toarray(), y)
    assert_close(mixed.get_weights(), dense.get_weights(), "float32")


def test_forward_and_backward():
    x = matrix()
    dy = np.random.default_rng(2).normal(size=(70, 3)).astype(np.float32)
    found = []
    for each in (x, x.toarray()):
        model = model_of()
        y = model.forward(each)
        dx = model.backward(dy)
        found.append([y, model._network.flat_gradients.copy()])
        assert (dx is None) == sparse.issparse(each)
        model.apply_gradients()
        found[-1].extend(model.get_weights())
    assert_close(*found, "float32")


def test_function_as_loss():
    def loss(y, p):
        return ((p - y) ** 2).mean(axis=1), 2 * (p - y) / p.shape[1]

    x, target, found = matrix(), np.random.default_rng(4).normal(size=(70, 3)), []
    for each in (x, x.toarray()):
        set_random_seed(3)
        model = Sequential([Dense(5, "tanh"), Dense(3)])
        model.compile("adam", loss)
        model.fit(each, target, verbose=0)
        found.append([*model.get_weights(), np.array(model.evaluate(each, target, verbose=0))])
    assert_close(*found, "float32")


# ---- engines ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_engine_and_twin_and_dense_rows(build, compile_with, dtype, optimizer):
    x = matrix(dtype=dtype)
    y = np.random.default_rng(1).normal(size=(70, 4)).astype(dtype)
    index = np.random.default_rng(2).permutation(70)
    ops = [("dense", 37, "relu", True), ("dense", 4, "linear", True)]
    found = []
    for engine, rows in (
        (Network, x.toarray()),
        (Network, rows_of(x, dtype)),
        (Network, rows_of(scrambled(x), dtype)),
        (reference.Network, rows_of(scrambled(x), dtype)),
    ):
        net = build(engine, dtype, FEATURES, ops)
        compile_with(net, "mse", optimizer, ("squared_error",))
        net.set_penalty(0, (1e-3, 1e-3), (0.0, 1e-3))
        sums = [net.train(rows, y, None, index, 32, 0, EVERYTHING)[1:] for _ in range(2)]
        measured = net.evaluate(rows, y, None, index, 0, EVERYTHING)
        found.append([net.get_kernel(0), net.get_bias(0), net.get_kernel(1)])
        found[-1] += [np.hstack([loss, *metrics]) for loss, metrics in sums]
        found[-1].append(np.hstack(measured[1:]))
    for other in found[1:]:
        assert_close(other, found[0], dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(build, compile_with, dtype):
    x = matrix(rows=300, dtype=dtype)
    y = np.random.default_rng(1).normal(size=(300, 4)).astype(dtype)
    index = np.arange(300)[::-1].copy()
    results = []
    for threads in (1, 2, 3, 5):
        net = build(
            Network, dtype, FEATURES, [("dense", 70, "relu", True), ("dense", 4, "tanh", True)]
        )
        compile_with(net, "mse", "adam")
        rows = rows_of(x, dtype)
        sums = net.train(rows, y, None, index, 130, 0, EVERYTHING, threads)
        out = np.empty((300, 4), dtype)
        net.predict(rows, out, threads)
        kept = net.forward(rows, threads, True)
        assert net.backward(y, threads) is None
        results.append([net.flat_weights.copy(), out, kept, net.flat_gradients.copy(), sums[1]])
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_step_in_parts(build, compile_with):
    """One of so many non-zeros that the engine looks for Ctrl-C within it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 4200)) * (rng.random((2000, 4200)) < 0.5)
    y = rng.normal(size=(2000, 140))
    found = []
    for rows in (x, rows_of(sparse.csr_array(x), "float64")):
        net = build(Network, "float64", 4200, [("dense", 140, "relu", True)])
        compile_with(net, "mse", "adam")
        net.train(rows, y, None, np.arange(2000), 2000, 0, EVERYTHING, 1)
        found.append([net.get_kernel(0), net.get_bias(0)])
    assert_close(*found, "float64")


def test_a_row_may_come_often(build, compile_with):
    """Room for non-zeros is for those of the batch, however often its rows come."""
    x = matrix()
    index = np.full(500, np.diff(x.indptr).argmax())
    found = []
    for rows in (rows_of(x), x.toarray()):
        net = build(Network, "float32", FEATURES, [("dense", 3, "linear", True)])
        compile_with(net, "mse", "sgd")
        net.train(rows[:2], np.ones((2, 3), np.float32), None, np.arange(2), 2, 0, EVERYTHING)
        net.train(rows, np.ones((70, 3), np.float32), None, index, 250, 0, EVERYTHING)
        found.append([net.flat_weights.copy()])
    assert_close(*found, "float32")


# ---- CSR -------------------------------------------------------------------------------------


def test_rows_of_a_csr():
    x = matrix()
    rows = rows_of(x)
    for chosen in (slice(3, 9), slice(60, 900), slice(9, 3), slice(0, 70, 2), np.array([5, 5, 3])):
        part = rows[chosen]
        dense = np.zeros(part.shape, np.float32)
        for r in range(len(part)):
            at = slice(part.begin[r], part.begin[r + 1])
            np.add.at(dense[r], part.column[at], part.value[at])
        expected = x[chosen].toarray() if not isinstance(chosen, slice) else x.toarray()[chosen]
        np.testing.assert_array_equal(dense, expected)
        assert part.nonzeros == int(part.begin[-1] - part.begin[0])


@pytest.mark.parametrize(
    ("begin", "column", "message"),
    [
        ([0, 2, 1], [0, 1], "index pointers"),
        ([0, 1, 3], [0, 1], "index pointers"),
        ([-1, 1, 2], [0, 1], "index pointers"),
        ([], [0, 1], "index pointers"),
        ([0, 1, 2], [0, 4], "column indices 0 to 3, got 4"),
        ([0, 1, 2], [-1, 1], "column indices 0 to 3, got -1"),
        ([0, 1, 2], [0, 2**32], "column indices 0 to 3, got 4294967296"),
    ],
)
def test_csr_checks_itself(begin, column, message):
    with pytest.raises(ValueError, match=message):
        CSR(np.array(begin, np.int64), np.array(column), np.ones(2, np.float32), 4)


def test_far_offsets(build, compile_with, tmp_path):
    """Non-zeros past the 2^31st, in files with a hole before them."""
    x, far = matrix(), 2**31 + 5
    files = []
    for name, array in (("column", x.indices), ("value", x.data)):
        with (tmp_path / name).open("wb") as file:
            file.seek(far * array.itemsize)
            file.write(array.tobytes())
        files.append(np.memmap(tmp_path / name, array.dtype, "r"))
    rows = CSR(x.indptr.astype(np.int64) + far, *files, FEATURES)
    found = []
    for each in (rows, rows_of(x)):
        net = build(Network, "float32", FEATURES, [("dense", 3, "relu", True)])
        compile_with(net, "mse", "adam")
        net.train(each, np.ones((70, 3), np.float32), None, np.arange(70), 16, 0, EVERYTHING)
        found.append(net.flat_weights.copy())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    "first",
    [Dropout(0.5), Normalization(), Activation("relu")],
    ids=["dropout", "normalization", "activation"],
)
@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch", "predict", "forward"])
def test_only_dense_comes_first(first, call):
    model = Sequential([type(first).from_config(first.get_config()), Dense(3)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = matrix()
    arguments = (x, np.zeros(70)) if call in ("fit", "evaluate", "train_on_batch") else (x,)
    with pytest.raises(ValueError, match=r"x: expected a dense array.*begins with"):
        getattr(model, call)(*arguments)
    assert not model.built


@pytest.mark.parametrize("engine", [Network, reference.Network])
def test_engines_refuse_sparse_rows_elsewhere(build, engine):
    net = build(engine, "float32", FEATURES, [("scale_shift",), ("dense", 2, "relu", True)])
    with pytest.raises(ValueError, match="x: sparse rows go into a dense op"):
        net.predict(rows_of(matrix()), np.zeros((70, 2), np.float32))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (matrix(features=7), ValueError, r"x: expected 301 features, got shape \(70, 7\)"),
        (sparse.coo_array(np.ones(301)), ValueError, "x: expected a 2-D array"),
        (matrix().astype(complex), TypeError, "x: expected real numbers, got dtype complex"),
    ],
    ids=["features", "vector", "complex"],
)
def test_refusals(x, error, message):
    model = model_of()
    model.build((None, FEATURES))
    with pytest.raises(error, match=message):
        model.predict(x)


def test_wrong_indices_are_refused():
    x = matrix()
    x.indices[4] = FEATURES
    with pytest.raises(ValueError, match="x: expected column indices 0 to 300, got 301"):
        model_of().predict(x)
    x.indices[4] = -1
    with pytest.raises(ValueError, match="x: expected column indices 0 to 300, got -1"):
        model_of().fit(x, np.zeros(70))


def test_targets_are_dense():
    with pytest.raises(TypeError, match="y: expected"):
        model_of().fit(matrix(), matrix(features=1))


def test_adapt_wants_dense_data():
    with pytest.raises(TypeError, match="data: expected a dense array, got csr_matrix"):
        Normalization().adapt(matrix())


def test_scipy_is_not_loaded():
    code = """if True:
        import sys
        import numpy as np
        from fastnn.layers import Dense
        from fastnn.models import Sequential
        model = Sequential([Dense(2)])
        model.compile("sgd", "mse")
        model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
        sys.exit("scipy" in sys.modules)
    """
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == 0
