"""What x may be: arrays of any type of numbers, read where they lie, and memory maps."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn import reference
from fastnn.layers import Activation, Dense, Dropout, Normalization
from fastnn.models import Sequential
from fastnn.utils import set_random_seed

TYPES = [
    *(np.bool_, np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64),
    *(np.float16, np.float32, np.float64),
]
ROWS, FEATURES = 90, 70  # a panel's tail at every instruction set
RNG = np.random.default_rng(0)
TABLE = RNG.normal(0, 60, (ROWS, FEATURES)) * RNG.choice([0.01, 1], (ROWS, FEATURES))
Y = RNG.integers(0, 3, ROWS)


class NumpySequential(Sequential):
    """The same model in plain NumPy."""

    _network_class = reference.Network


def table_of(kind, table=TABLE):
    kind = np.dtype(kind)
    if kind.kind == "u":
        table = np.abs(table)
    return table.astype(kind)


def model_of(dtype="float32", first=(), kind=Sequential):
    set_random_seed(3)
    model = kind([*first, Dense(9, "tanh", dtype=dtype), Dense(3, "softmax", dtype=dtype)])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def everything(model, x):
    """What each way into the engine makes of x."""
    model.fit(x, Y, epochs=2, batch_size=16, validation_split=0.2, verbose=0)
    return [
        *model.get_weights(),
        model.predict(x),
        model.predict(x[:5]),
        model.predict_on_batch(x[5:6]),
        np.array(model.evaluate(x, Y, verbose=0)),
        np.array(model.train_on_batch(x[:20], Y[:20])),
        model.forward(x[:7]),
        np.array(model.test_on_batch(x[:7], Y[:7])),
    ]


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: np.dtype(kind).name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("normalized", [False, True], ids=["", "normalized"])
def test_every_type_is_as_if_converted_before(kind, dtype, normalized):
    x = table_of(kind)
    first = [Normalization(mean=1.5, variance=9.0, dtype=dtype)] if normalized else []
    with np.errstate(over="ignore"):
        converted = x.astype(dtype)
    expected = everything(model_of(dtype, first), converted)
    first = [Normalization(mean=1.5, variance=9.0, dtype=dtype)] if normalized else []
    assert_same(everything(model_of(dtype, first), x), expected)


@pytest.mark.parametrize("kind", [np.uint8, np.float16, np.float64])
def test_twin_converts_too(kind):
    x = table_of(kind)
    expected = everything(model_of(kind=NumpySequential), x.astype(np.float32))
    assert_same(everything(model_of(kind=NumpySequential), x), expected)


def test_mixed_bfloat16_reads_integers():
    x = table_of(np.uint8)
    expected = everything(model_of("mixed_bfloat16"), x.astype(np.float32))
    assert_same(everything(model_of("mixed_bfloat16"), x), expected)


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[:, :40],
        lambda x: x[::2],
        lambda x: x[::-1],
        lambda x: np.broadcast_to(x[:1], x.shape),
        lambda x: np.asfortranarray(x),
        lambda x: x[:, ::2],
        lambda x: x.astype(x.dtype.newbyteorder()),
        lambda x: x.astype(np.longdouble),
    ],
    ids=["columns", "stride", "backwards", "broadcast", "fortran", "gaps", "swapped", "long"],
)
def test_any_layout(kind, view):
    x = view(table_of(kind))
    y = Y[: len(x)]
    results = []
    for each in (x, np.ascontiguousarray(x, np.float32)):
        model = model_of()
        model.fit(each, y, epochs=1, verbose=0)
        results.append([*model.get_weights(), model.predict(each), model.predict(each[:1])])
    assert_same(*results)


def test_unaligned():
    raw = np.zeros(ROWS * FEATURES * 8 + 1, np.uint8)
    x = raw[1:].view(np.float64).reshape(ROWS, FEATURES)
    x[:] = TABLE
    assert not x.flags.aligned
    assert_same(everything(model_of(), x), everything(model_of(), TABLE))


def test_one_column():
    x = table_of(np.uint8)[:, :1]
    assert_same(everything(model_of(), x), everything(model_of(), x.astype(np.float32)))


def test_same_bits_for_any_number_of_threads(build, compile_with):
    from fastnn._native.network import Network

    x, index = table_of(np.int16), np.arange(ROWS)
    flats = []
    for threads in (1, 2, 3):
        net = build(Network, "float32", FEATURES, [("dense", 5, "relu", True)])
        compile_with(net, "mse", "adam")
        net.train(x, TABLE[:, :5].astype(np.float32), None, index, 32, 0, 1e9, threads)
        flats.append(net.flat_weights.copy())
    assert_same(flats[1:], flats[:1] * 2)


def test_engine_refuses_what_it_cannot_read(build):
    from fastnn._native.network import Network

    net = build(Network, "float32", 4, [("dense", 2, "relu", True)])
    for x in (np.zeros((4, 3)).T[:, :3], np.zeros((3, 8))[:, ::2], np.zeros((3, 4), complex)):
        with pytest.raises(ValueError, match="x: expected"):
            net.predict(x, np.zeros((len(x), 2), np.float32))


def test_function_as_loss():
    def loss(y, p):
        return ((p - y) ** 2).mean(axis=1), 2 * (p - y) / p.shape[1]

    x, found = table_of(np.uint8), []
    for each in (x, x.astype(np.float32)):
        set_random_seed(3)
        model = Sequential([Dense(3)])
        model.compile("sgd", loss)
        model.fit(each, TABLE[:, :3], verbose=0)
        found.append(
            [*model.get_weights(), np.array(model.evaluate(each, TABLE[:, :3], verbose=0))]
        )
    assert_same(*found)


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_adapt_in_blocks(kind, monkeypatch):
    monkeypatch.setattr("fastnn.layers._scaling.BLOCK_NUMBERS", 7 * FEATURES)
    x, layer = table_of(kind), Normalization()
    layer.adapt(x)
    wide = x.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(layer.mean, wide.mean(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(layer.variance, wide.var(axis=0), rtol=1e-6)


def test_adapt_refuses_nan_in_any_block(monkeypatch):
    monkeypatch.setattr("fastnn.layers._scaling.BLOCK_NUMBERS", 7 * FEATURES)
    x = TABLE.copy()
    x[80, 3] = np.nan
    with pytest.raises(ValueError, match="data: expected finite"):
        Normalization().adapt(x)


@pytest.mark.parametrize("first", [[Dropout(0.5)], [Activation("tanh")]])
def test_first_layers_without_weights(first):
    x, found = table_of(np.uint8), []
    for each in (x, x.astype(np.float32)):
        layers = [type(layer).from_config(layer.get_config()) for layer in first]
        found.append(everything(model_of(first=layers), each))
    assert_same(*found)


# ---- memory maps -----------------------------------------------------------------------------

# trains on a map of zeros, and prints by how much anonymous memory grew at most, in MB
MAPPED = """
import sys, threading, time
import numpy as np
from fastnn.callbacks import LambdaCallback
from fastnn.layers import Dense, Normalization
from fastnn.models import Sequential

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1000

path, kind, features, rows = sys.argv[1], sys.argv[2], 1024, int(sys.argv[3])
x = np.memmap(path, np.dtype(kind), "r", shape=(rows, features))
y = np.arange(rows, dtype=np.int32) % 2
before, most, done = anonymous(), 0.0, False

def watch():
    global most
    while not done:
        most = max(most, anonymous())
        time.sleep(0.002)

thread = threading.Thread(target=watch)
thread.start()
model = Sequential([Normalization(mean=0.0, variance=1.0), Dense(8, "relu"), Dense(2, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, batch_size=512, epochs=1, validation_split=0.1, verbose=0)
model.evaluate(x[: rows // 8], y[: rows // 8], verbose=0)
model.predict(x[: rows // 8])
model.train_on_batch(x[:512], y[:512])
done = True
thread.join()
print(before, max(most, anonymous()))
"""


def anonymous_memory(tmp_path: Path, kind: str, size: int) -> tuple[float, float]:
    """RssAnon in MB before and at most, of training on a sparse file of `size` bytes."""
    path = tmp_path / "x.raw"
    with path.open("wb") as file:
        file.truncate(size)
    rows = size // 1024 // np.dtype(kind).itemsize
    run = subprocess.run(
        [sys.executable, "-P", "-c", MAPPED, str(path), kind, str(rows)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    before, most = map(float, run.stdout.split())
    return before, most


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads RssAnon where Linux says it"
)


@needs_proc
@pytest.mark.parametrize("kind", ["f4", "f8", "u1"])
def test_a_map_is_not_copied(tmp_path, kind):
    size = 2**27  # 134 MB: a copy, in the network's dtype, would be 67 to 537
    before, most = anonymous_memory(tmp_path, kind, size)
    # 8 bytes a row for each of several orders, targets and threads' stacks
    assert most - before < 40


@needs_proc
@pytest.mark.slow
def test_a_map_of_4_gb_trains_in_300_mb(tmp_path):
    _, most = anonymous_memory(tmp_path, "f4", 2**32)
    assert most < 300
