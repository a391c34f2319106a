"""Rows of tables looked up, and columns taken, in both engines; Embedding, CategoricalEmbedding."""

import copy
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import reference
from fastnn._native import network as native
from fastnn.layers import (
    Activation,
    CategoricalEmbedding,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    Reshape,
    Residual,
)
from fastnn.models import Sequential, clone_model, load_model

# Columns of the inputs with so many ids each; the others are numbers.
IDS = {0: 5, 2: 300, 3: 7, 6: 5}
INPUTS = 8
LOOKUPS = [
    ("embed", 5, 3, (0,)),
    ("embed", 300, 40, (2,)),
    ("embed", 7, 2, (3,)),
    ("take", (1, 4, 5, 7)),
]
STACKS = {
    "tables": [*LOOKUPS, ("dense", 20, "relu", True), ("dense", 3, "linear", True)],
    "shared": [("embed", 7, 5, (3, 0, 6)), ("dense", 3, "tanh", True)],
    "wide": [("embed", 300, 70, (0, 2)), ("dense", 3, "linear", False)],
    "alone": [("embed", 5, 3, (0,))],
    "normalized": [
        *LOOKUPS,
        ("batch_norm", 0.9, 1e-3, True, True),
        ("dropout", 0.2, 3),
        ("dense", 3, "linear", True),
    ],
    "taken": [
        ("dropout", 0.0, 1),
        ("take", (7, 1)),
        ("take", (4, 5)),
        ("dense", 3, "linear", True),
    ],
    "bfloat16": [
        *LOOKUPS,
        ("dense", 20, "relu", True, "bfloat16"),
        ("dense", 3, "linear", True, "bfloat16"),
    ],
}
SGD = {"learning_rate": 1.0, "momentum": 0.0, "nesterov": False}
ENGINES = (native.Network, reference.Network)


def rows(n: int, dtype: str, seed: int = 1) -> np.ndarray:
    """Rows of ids and numbers."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, INPUTS)).astype(dtype)
    for column, size in IDS.items():
        x[:, column] = rng.integers(0, size, n)
    return x


def kernels_of(net) -> list[np.ndarray]:
    return [net.get_kernel(i) for i, op in enumerate(net.ops) if op[0] in ("dense", "embed")]


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["adam", "momentum", "clipnorm", "adagrad"])
def test_both_engines_train_the_same(build, compile_with, name, dtype, optimizer):
    if name == "bfloat16" and dtype == "float64":
        pytest.skip("products of bfloat16 are of networks of float32")
    x = rows(70, dtype)
    y = np.random.default_rng(2).normal(size=(70, 3)).astype(dtype)
    loose = name == "bfloat16"
    tight = {"rtol": 3e-2 if loose else 2e-3, "atol": 3e-2 if loose else 2e-4}
    if dtype == "float64":
        tight = {"rtol": 1e-9, "atol": 1e-11}
    results = []
    for engine in ENGINES:
        net = build(engine, dtype, INPUTS, STACKS[name])
        compile_with(net, "mse", optimizer)
        if STACKS[name][0][0] == "embed":
            net.set_penalty(0, (1e-3, 1e-2), (0, 0))
        sums = [net.train(x, y, None, np.arange(70), 16, 0, 1e9, None)[1] for _ in range(2)]
        out = np.empty((70, 3), dtype)
        net.predict(x, out, None)
        both = []
        for training in (False, True):
            both += [net.forward(x, None, training), net.backward(np.ones_like(out), None)]
        gradients = net.flat_gradients.astype(np.float64).sum()
        results.append([np.array(sums), out, *both, *kernels_of(net), gradients])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, **tight)


@pytest.mark.parametrize("name", STACKS)
def test_same_bits_for_any_number_of_threads(build, compile_with, name):
    x = rows(333, "float32")
    y = np.random.default_rng(2).normal(size=(333, 3)).astype("float32")
    found = []
    for threads in (1, 2, 3, 8):
        net = build(native.Network, "float32", INPUTS, STACKS[name])
        compile_with(net, "mse", "adam")
        total = net.train(x, y, None, np.arange(333), 150, 0, 1e9, threads)[1]
        kept = net.forward(x, threads, True)
        dx = net.backward(np.ones_like(kept), threads)
        found.append([np.array(total), kept, dx, np.array(net.flat_gradients), *kernels_of(net)])
    for others in found[1:]:
        for first, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("constraint", [("non_neg",), ("norm", 0.5, 2.0, 0.7)])
@pytest.mark.parametrize("optimizer", ["adam", "clipnorm"])
@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"gradient_accumulation_steps": 3},
        {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    ],
)
def test_upkeep(build, compile_with, constraint, optimizer, extra):
    """Constraints, rates of their own, sums of gradients and averages, of tables as of kernels."""
    x, y = rows(70, "float64"), np.random.default_rng(2).normal(size=(70, 3))
    results = []
    for engine, threads in ((native.Network, 1), (native.Network, 3), (reference.Network, None)):
        net = build(engine, "float64", INPUTS, STACKS["tables"])
        compile_with(net, "mse", optimizer, **extra)
        for number in (0, 1, 2):
            net.set_constraint(number, constraint, None)
            net.set_rate(number, 0.5 + number)
        for _ in range(2):
            net.train(x, y, None, np.arange(70), 16, 0, 1e9, threads)
        results.append(kernels_of(net))
    for one, three, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)
        np.testing.assert_allclose(one, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", [n for n in STACKS if n not in ("bfloat16", "normalized")])
def test_gradients(engine, build, name):
    """Of tables and inputs, against central differences; of the ids there is none."""
    ops = STACKS[name]
    net = build(engine, "float64", INPUTS, ops)
    x, c = rows(6, "float64"), np.random.default_rng(3).normal(size=(6, 3))
    net.compile(None, "sgd", [], SGD)

    def value() -> float:
        return float((net.forward(x, None, False) * c).sum())

    for number, op in enumerate(ops):
        if op[0] != "embed":
            continue
        kernel = net.get_kernel(number)
        value()
        net.backward(c, None)
        net.apply_gradients(None)
        moved = kernel - net.get_kernel(number)
        net = build(engine, "float64", INPUTS, ops)
        net.compile(None, "sgd", [], SGD)
        seen = {int(i) for column in op[3] for i in x[:, column]}
        assert not np.delete(moved, list(seen), axis=0).any()
        for place in [(i, j) for i in seen for j in range(0, op[2], 3)]:
            both = []
            for step in (1e-6, -1e-6):
                other = kernel.copy()
                other[place] += step
                net.set_kernel(number, other)
                both.append(value())
            net.set_kernel(number, kernel)
            assert (both[0] - both[1]) / 2e-6 == pytest.approx(moved[place], rel=1e-5, abs=1e-7)
    value()
    dx = net.backward(c, None)
    looked_up = {column for op in ops if op[0] == "embed" for column in op[3]}
    for column in range(INPUTS):
        if column in looked_up:
            assert not dx[:, column].any()
            continue
        both = []
        for step in (1e-6, -1e-6):
            x[2, column] += step
            both.append(value())
            x[2, column] -= step
        assert (both[0] - both[1]) / 2e-6 == pytest.approx(dx[2, column], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_no_row_is_nan_and_moves_nothing(engine, build, compile_with, dtype):
    """The engine reads nothing outside of a table, whatever comes."""
    net = build(engine, dtype, 2, [("embed", 4, 3, (0,)), ("take", (1,))])
    table = net.get_kernel(0)
    strange = [-1, 4, 0.5, np.nan, np.inf, -np.inf, 1e30, -1e30, 3.999]
    x = np.array([[number, 1] for number in [*strange, 2]], dtype)
    net.compile(None, "sgd", [], SGD)
    y = net.forward(x)
    assert np.isnan(y[:-1, :3]).all()
    np.testing.assert_array_equal(y[-1, :3], table[2])
    assert (y[:, 3] == 1).all()
    net.backward(np.ones_like(y))
    net.apply_gradients()
    table[2] -= 1
    np.testing.assert_allclose(net.get_kernel(0), table, rtol=1e-6)


def test_ops_that_do_not_fit_are_refused(engine):
    for ops in (
        [("embed", 4, 3, (2,))],
        [("embed", 4, 3, (-1,))],
        [("embed", 4, 3, ())],
        [("embed", 0, 3, (0,))],
        [("embed", 4, 0, (0,))],
        [("take", (0, 2))],
        [("take", (0, 0))],
        [("take", (0,)), ("embed", 4, 3, (1,)), ("take", (0,))],
    ):
        with pytest.raises(ValueError, match="ops: expected"):
            engine("float32", 2, ops)


def test_frozen_tables(engine, build, compile_with):
    """All of them, or one among others; what is not trained moves no bit."""
    x, y = rows(50, "float64"), np.random.default_rng(2).normal(size=(50, 3))
    for frozen in ([0], [1], [0, 1, 2], [0, 1, 2, 4]):
        results = []
        for each in (engine, reference.Network):
            net = build(each, "float64", INPUTS, STACKS["tables"])
            compile_with(net, "mse", "adam")
            for number in frozen:
                net.set_trainable(number, False)
            before = [net.get_kernel(number) for number in frozen]
            net.train(x, y, None, np.arange(50), 16, 0, 1e9, None)
            for number, kernel in zip(frozen, before, strict=True):
                np.testing.assert_array_equal(net.get_kernel(number), kernel)
            results.append([*kernels_of(net), net.forward(x), net.backward(np.ones_like(y))])
        for one, two in zip(*results, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)


def test_long_steps_in_parts(build, compile_with):
    """A step of more operations than are waited for is run in parts, the same bits."""
    ops = [("embed", 70000, 300, (2,)), ("dense", 3, "linear", True)]
    x, y = rows(40, "float32"), np.ones((40, 3), np.float32)
    found = []
    for threads in (1, 2):
        net = build(native.Network, "float32", INPUTS, ops)
        compile_with(net, "mse", "sgd")
        net.train(x, y, None, np.arange(40), 20, 0, 1e9, threads)
        found.append(net.get_kernel(0))
    np.testing.assert_array_equal(*found)


# ---- the layers ---------------------------------------------------------------------------


def tabular(**settings) -> Sequential:
    """A model of a table with two columns of ids, 1 and 3."""
    encode = CategoricalEmbedding({3: (9, 4), 1: 6}, name="encode", **settings)
    return Sequential([Input((5,)), encode, Dense(8, activation="relu"), Dense(1)])


def table(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    x[:, 1], x[:, 3] = rng.integers(0, 6, n), rng.integers(0, 9, n)
    return x, (np.sin(x[:, 1]) + x[:, 3] / 9 + x[:, 0])[:, None]


def test_embedding_looks_up():
    weights = np.arange(20.0).reshape(10, 2)
    model = Sequential([Embedding(10, 2, weights=weights, input_shape=(3,))])
    assert model.output_shape == (None, 3, 2)
    assert model.count_params() == 20
    ids = np.array([[1, 2, 9], [0, 0, 5]])
    for x in (ids, ids.astype(np.uint8), ids.astype(np.float32), ids.tolist()):
        np.testing.assert_array_equal(model.predict(x), weights[ids].astype(np.float32))
    np.testing.assert_array_equal(model.layers[0].embeddings, weights)
    assert model.predict(ids[:0]).shape == (0, 3, 2)
    np.testing.assert_array_equal(model.predict_on_batch(ids.astype(np.float32)), weights[ids])


def test_built_at_the_first_data():
    model = Sequential([Embedding(10, 2), Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"x: expected ids of layer .* from 0 to 9, got 10"):
        model.fit([[1, 10]], [1], verbose=0)
    assert not model.built
    model.fit([[1, 9], [0, 0]], [1, 2], verbose=0)
    assert model.input_shape == (None, 2)


@pytest.mark.parametrize("length", [None, 3, 7])
def test_input_length_says_nothing(length):
    """As in Keras 3: the shape is that of the data."""
    layer = Embedding(10, 4, input_length=length)
    model = Sequential([layer, Flatten(), Dense(1)])
    assert not model.built
    ids = [[1, 2, 9], [0, 0, 5]]
    assert model.predict(ids, verbose=0).shape == (2, 1)
    assert layer.output_shape == (None, 3, 4)
    assert "input_length" not in layer.get_config()


def test_ids_of_several_axes():
    model = Sequential([Input((6,)), Reshape((2, 3)), Embedding(10, 2), Flatten(), Dense(1)])
    assert [layer.output_shape for layer in model.layers] == [
        (None, 2, 3), (None, 2, 3, 2), (None, 12), (None, 1),
    ]  # fmt: skip
    assert model.predict(np.ones((2, 6))).shape == (2, 1)


def test_categorical_embedding_joins():
    model = tabular()
    layer = model.layers[0]
    x, _ = table(7)
    assert layer.output_shape == (None, 3 + 4 + 3)  # min(50, (6 + 1) // 2) = 3
    assert layer.weight_names == ("embeddings_1", "embeddings_3")
    one, three = layer.get_weights()
    assert one.shape == (6, 3)
    assert three.shape == (9, 4)
    alone = Sequential([Input((5,)), CategoricalEmbedding({3: (9, 4), 1: 6})])
    alone.set_weights([one, three])
    ids = x.astype(int)
    expected = np.concatenate([one[ids[:, 1]], three[ids[:, 3]], x[:, [0, 2, 4]]], axis=1)
    np.testing.assert_array_equal(alone.predict(x), expected.astype(np.float32))


def test_columns_by_name():
    names = ["a", "b", "c"]
    layer = CategoricalEmbedding({"c": (5, 2), "a": 3}, feature_names=names)
    assert layer.tables == ((0, 3, 2), (2, 5, 2))
    model = Sequential([Input((3,)), layer])
    with pytest.raises(ValueError, match=r"x: expected ids in column 2 \(c\) from 0 to 4, got 5"):
        model.predict([[0, 0.5, 5]])
    with pytest.raises(ValueError, match="expected 3 columns, as many as feature_names, got 4"):
        Sequential([Input((4,)), CategoricalEmbedding({"c": 5}, feature_names=names)])


def test_each_column_draws_its_own():
    for settings in ({}, {"embeddings_initializer": fastnn.initializers.RandomUniform(seed=3)}):
        layer = CategoricalEmbedding({0: (4, 3), 1: (4, 3)}, **settings)
        Sequential([Input((2,)), layer])
        assert (layer.get_weights()[0] != layer.get_weights()[1]).all()


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_bfloat16"])
def test_it_learns(optimizer, policy):
    fastnn.utils.set_random_seed(1)
    x, y = table(400)
    encode = CategoricalEmbedding({3: 9, 1: 6}, dtype=policy)
    model = Sequential(
        [Input((5,), dtype=policy), encode, Dense(16, "relu", dtype=policy), Dense(1, dtype=policy)]
    )
    model.compile(optimizer, "mse")
    before = encode.get_weights()
    losses = model.fit(x, y, epochs=15, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    assert all((a != b).all() for a, b in zip(before, encode.get_weights(), strict=True))


def test_freezing_and_regularizers():
    x, y = table()
    model = tabular(embeddings_regularizer="l2")
    model.compile("sgd", "mse")
    tables = model.layers[0].get_weights()
    penalty = 0.01 * sum(float((w.astype(np.float64) ** 2).sum()) for w in tables)
    free = tabular()
    free.compile("sgd", "mse")
    free.set_weights(model.get_weights())
    added = model.evaluate(x, y, verbose=0) - free.evaluate(x, y, verbose=0)
    assert added == pytest.approx(penalty, rel=1e-3)
    model.layers[0].trainable = False
    assert model.layers[0].trainable_weights == []
    dense = model.layers[1].get_weights()
    model.fit(x, y, verbose=0)
    for a, b in zip(tables, model.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (dense[0] != model.layers[1].get_weights()[0]).any()


def models() -> list[Sequential]:
    ids = Sequential([Input((4,)), Embedding(9, 3), Flatten(), Dense(1)])
    return [tabular(embeddings_regularizer="l1", embeddings_constraint="max_norm"), ids]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("way", ["save", "pickle", "deepcopy"])
def test_a_copy_goes_on_like_the_original(which, way, tmp_path):
    model = models()[which]
    x, y = table()
    x = x if which == 0 else np.abs(x[:, :4]).astype(int) % 9
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    if way == "save":
        model.save(tmp_path / "model.safetensors")
        other = load_model(tmp_path / "model.safetensors")
    else:
        other = pickle.loads(pickle.dumps(model)) if way == "pickle" else copy.deepcopy(model)
    for each in (model, other):
        each.fit(x, y, shuffle=False, verbose=0)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("which", [0, 1])
def test_settings_survive(which):
    model = models()[which]
    clone = clone_model(model)
    assert clone.get_config() == model.get_config()
    assert [w.shape for w in clone.get_weights()] == [w.shape for w in model.get_weights()]


def test_other_engine_trains_the_same(monkeypatch):
    x, y = table()
    results = []
    for network in ENGINES:
        monkeypatch.setattr(Sequential, "_network_class", staticmethod(network))
        fastnn.utils.set_random_seed(3)
        model = models()[0]
        model.compile("adam", "mse")
        model.fit(x, y, epochs=3, verbose=0)
        results.append(model.get_weights())
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("bad", [-1, 9, 0.5, np.nan, np.inf, 1e30])
def test_ids_that_there_are_not_are_refused_everywhere(bad):
    model = tabular()
    model.compile("adam", "mse")
    x, y = table()
    wrong = x.copy()
    wrong[17, 3] = bad
    weights, message = model.get_weights(), r"x: expected ids in column 3 from 0 to 8, got "
    with pytest.raises(ValueError, match=f"validation_{message}"):
        model.fit(x, y, validation_data=(wrong, y), verbose=0)
    for call in (
        lambda: model.fit(wrong, y, verbose=0),
        lambda: model.evaluate(wrong, y, verbose=0),
        lambda: model.train_on_batch(wrong, y),
        lambda: model.forward(wrong),
        lambda: model.predict(wrong, verbose=0),
        lambda: model.predict_on_batch(wrong[17:18]),
        lambda: model.predict_on_batch(wrong[17:18].astype(np.float32)),
        lambda: model(wrong[10:20].astype(np.float32)),
        lambda: tabular().predict(wrong),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            call()
    for one, two in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert model.iterations == 0
    ids = Sequential([Input((3,)), Embedding(9, 2, name="words")])
    with pytest.raises(ValueError, match="x: expected ids of layer 'words' from 0 to 8, got"):
        ids.predict([[1, 2, bad]])


def test_where_they_may_stand():
    for before in (Dense(4), Activation("relu"), Dropout(0.5), Embedding(9, 2)):
        for layer in (Embedding(4, 2), CategoricalEmbedding({0: 4})):
            with pytest.raises(ValueError, match="expected to read the model's inputs"):
                Sequential([before, layer])
    with pytest.raises(ValueError, match="no layer around it"):
        Sequential([Input((3,)), Residual([CategoricalEmbedding({0: 4}), Dense(3)])])
    with pytest.raises(ValueError, match="inputs of one axis"):
        Sequential([Input((2, 2)), CategoricalEmbedding({0: 4})])
    with pytest.raises(ValueError, match="got 3 columns, no column 5"):
        Sequential([Input((3,)), CategoricalEmbedding({5: 4})])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Embedding(0, 2), ValueError, "input_dim: expected an integer >= 1, got 0"),
        (lambda: Embedding(2.5, 2), TypeError, "input_dim: expected an integer"),
        (lambda: Embedding(2, -1), ValueError, "output_dim: expected an integer >= 1, got -1"),
        (lambda: Embedding(2**24 + 1, 1), ValueError, "input_dim: expected at most 16777216"),
        (lambda: Embedding(4, 2, mask_zero=True), ValueError, "mask_zero: expected False"),
        (
            lambda: Embedding(4, 2, weights=np.ones((2, 4))),
            ValueError,
            r"weights.*expected shape",
        ),
        (lambda: CategoricalEmbedding({}), TypeError, "columns: expected a dict"),
        (lambda: CategoricalEmbedding(3), TypeError, "columns: expected a dict"),
        (lambda: CategoricalEmbedding({0: 0}), ValueError, "the vocabulary: expected .* >= 1"),
        (lambda: CategoricalEmbedding({0: (3, 0)}), ValueError, "the dim: expected .* >= 1"),
        (lambda: CategoricalEmbedding({0: (3, 1, 2)}), ValueError, r"a vocabulary or \(voc"),
        (lambda: CategoricalEmbedding({-1: 3}), ValueError, "number: expected .* >= 0"),
        (lambda: CategoricalEmbedding({"a": 3}), ValueError, "or feature_names, got 'a'"),
        (lambda: CategoricalEmbedding([(1, 3), (1, 4)]), ValueError, "each column once, got 1"),
        (lambda: CategoricalEmbedding([1, 2]), TypeError, "expected tuples"),
        (
            lambda: CategoricalEmbedding({"a": 3}, feature_names=["b"]),
            ValueError,
            "names out of feature_names, got 'a'",
        ),
        (lambda: CategoricalEmbedding({0: 3}, feature_names="ab"), TypeError, "the columns' names"),
        (lambda: CategoricalEmbedding({0: 3}, feature_names=["a", "a"]), ValueError, "name once"),
        (
            lambda: CategoricalEmbedding({0: 2**24 + 1}),
            ValueError,
            r"columns\[0\]: expected at mos",
        ),
    ],
)
def test_bad_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_float64_counts_further():
    assert Embedding(2**24 + 1, 1, dtype="float64").input_dim == 2**24 + 1


def test_a_given_table_is_there_before_the_model_is_built(tmp_path):
    table = np.arange(12.0).reshape(4, 3).astype(np.float32)
    model = fastnn.Sequential([Embedding(4, 3, weights=table), Flatten(), Dense(1)])
    assert model.layers[0].built
    assert model.layers[0].count_params() == 12
    model.save(tmp_path / "m")
    loaded = fastnn.load_model(tmp_path / "m")
    for each in (model, loaded):
        np.testing.assert_array_equal(each.layers[0].get_weights()[0], table)
    assert loaded.predict([[1, 2], [0, 3]]).shape == (2, 1)
    np.testing.assert_array_equal(loaded.layers[0].embeddings, table)


def test_a_table_goes_into_a_model_of_other_lengths():
    model = fastnn.Sequential([Input((2,)), Embedding(4, 3)])
    layer = model.pop()
    table = layer.get_weights()[0]
    longer = fastnn.Sequential([Input((5,)), layer])
    assert longer.output_shape == (None, 5, 3)
    np.testing.assert_array_equal(layer.embeddings, table)
