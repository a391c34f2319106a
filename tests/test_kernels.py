"""fastnn.kernels against its NumPy twin in higher precision, over sizes, layouts and errors."""

import re
from pathlib import Path

import numpy as np
import pytest

from fastnn import kernels, reference

# worst error in units in the last place of float32, subnormals in units of the smallest one
ULP = {
    **dict.fromkeys(("relu", "relu6", "hard_tanh"), 0),
    **dict.fromkeys(("sigmoid", "tanh", "exp", "log", "softplus", "log_sigmoid"), 2),
    **dict.fromkeys(("leaky_relu", "elu", "selu", "softsign", "hard_sigmoid"), 2),
    **dict.fromkeys(("hard_silu", "silu", "gelu_tanh", "mish"), 4),
    "gelu": 5,
}
UNARY = list(ULP)
BACKWARD = [f"{name}_backward" for name in UNARY]
DTYPES = ["float32", "float64"]
# 0, 1, and one to either side of a vector, a panel, a tile of rows and a block of rows
SIZES = [0, 1, 2, 7, 8, 9, 13, 14, 15, 16, 17, 31, 32, 33, 63, 65, 127, 128, 129, 255, 257, 1000]


def higher(array):
    """Return the array in float64, or in long double where it is float64 already."""
    return array.astype(np.longdouble if array.dtype == np.float64 else np.float64)


def ulps(y, exact):
    """Return |y - exact| in units of the last place of y's dtype; 0 where both are not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = exact.astype(y.dtype)
        unit = np.spacing(np.abs(rounded))
        distance = np.abs(higher(y) - exact) / unit
    return np.where((y == rounded) | (np.isnan(y) & np.isnan(rounded)), 0, distance)


def inputs_of(name, shape, dtype, seed=0):
    """Return arguments that suit the function: positive for log, its outputs for its _backward."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 3, shape).astype(dtype)
    if name.removesuffix("_backward") == "log":
        x = np.abs(x) + np.asarray(0.01, dtype)
    if not name.endswith("_backward"):
        return (x,)
    forward = name.removesuffix("_backward")
    y = x if forward in reference.kernels.SAVES_INPUT else getattr(reference, forward)(x)
    return y, rng.normal(size=shape).astype(dtype)


# ---- functions of one element, and of a row --------------------------------------------------


@pytest.mark.parametrize("name", UNARY)
def test_ulp(name):
    """Every exponent and sign by random bits, and densely where the functions bend."""
    bits = np.random.default_rng(1).integers(0, 2**32, 1 << 19, dtype=np.uint32)
    x = bits.view(np.float32)
    bends = np.linspace(-110, 110, 1 << 19, dtype=np.float32)
    edges = np.array([0.0, -0.0, 1, -1, 88.72283, -87.33655, -103.97208, 1e-45, 3.4e38], np.float32)
    x = np.concatenate([x[np.isfinite(x)], bends, bends / 100, 1 + bends / 1e4, edges])
    if name == "log":
        x = np.abs(x)
    error = ulps(getattr(kernels, name)(x), getattr(reference, name)(higher(x)))
    worst = error.argmax()
    assert error[worst] <= ULP[name], f"{error[worst]:.2f} ulp at {x[worst]!r}"


@pytest.mark.parametrize("name", UNARY)
def test_float64(name):
    (x,) = inputs_of(name, 20_000, "float64")
    x = np.concatenate([x, x * 30, x / 1e6])
    y = getattr(kernels, name)(x)
    assert y.dtype == np.float64
    # the twins of gelu round what goes into an exponential, up to 745; the C tests are stricter
    rtol = 1e-12 if name.startswith("gelu") else 4e-15
    np.testing.assert_allclose(y, getattr(reference, name)(x), rtol=rtol, atol=1e-300)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BACKWARD)
def test_backward(name, dtype):
    eps = np.finfo(dtype).eps
    y, dy = inputs_of(name, 20_000, dtype)
    dx = getattr(kernels, name)(y, dy)
    assert dx.dtype == dtype
    exact = getattr(reference, name)(y.astype(np.float64), dy.astype(np.float64))
    # where 1 - y or 1 + x (1 - s) cancels, the error is one of dy's size, not of dx's
    np.testing.assert_array_less(np.abs(dx - exact), 8 * eps * (np.abs(exact) + np.abs(dy)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*UNARY, *BACKWARD])
def test_sizes(name, dtype):
    """An element's result does not depend on how many stand beside it."""
    arguments = inputs_of(name, max(SIZES), dtype)
    whole = getattr(kernels, name)(*arguments)
    for size in SIZES:
        part = getattr(kernels, name)(*(argument[:size] for argument in arguments))
        np.testing.assert_array_equal(part, whole[:size])
    square = [argument.reshape(10, 20, 5) for argument in arguments]
    np.testing.assert_array_equal(getattr(kernels, name)(*square), whole.reshape(10, 20, 5))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cols", [1, *SIZES[2:-1]])
def test_softmax(dtype, cols):
    eps = np.finfo(dtype).eps
    x, dy = np.random.default_rng(2).normal(0, 5, (2, 19, cols)).astype(dtype)
    y = kernels.softmax(x)
    exact = reference.softmax(x.astype(np.float64))
    # exp turns an error of rounding in x - max into a relative one of its size
    tolerance = eps * (np.ptp(x) + cols + 8)
    np.testing.assert_allclose(y, exact, rtol=tolerance)
    dx = kernels.softmax_backward(y, dy)
    exact = reference.softmax_backward(y.astype(np.float64), dy.astype(np.float64))
    bound = eps * (cols + 8) * y * np.abs(dy).max(axis=1, keepdims=True)
    np.testing.assert_array_less(np.abs(dx - exact), bound + np.finfo(dtype).tiny)
    assert y.dtype == dx.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cols", [1, *SIZES[2:-1]])
def test_log_softmax(dtype, cols):
    eps = np.finfo(dtype).eps
    x, dy = np.random.default_rng(2).normal(0, 5, (2, 19, cols)).astype(dtype)
    y = kernels.log_softmax(x)
    exact = reference.log_softmax(x.astype(np.float64))
    np.testing.assert_allclose(y, exact, rtol=4 * eps, atol=eps * (cols + 8))
    dx = kernels.log_softmax_backward(y, dy)
    exact = reference.log_softmax_backward(y.astype(np.float64), dy.astype(np.float64))
    bound = eps * (cols + 8) * (np.abs(dy) + np.exp(y) * np.abs(dy).sum(axis=1, keepdims=True))
    np.testing.assert_array_less(np.abs(dx - exact), bound)
    assert y.dtype == dx.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_nothing(name, dtype, shape):
    x = np.empty(shape, dtype)
    assert getattr(kernels, name)(x).shape == shape
    assert getattr(kernels, f"{name}_backward")(x, x).shape == shape


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_is_stable(dtype):
    """A shift of the row changes nothing, however large; a bad row is bad alone."""
    x = np.random.default_rng(3).integers(-8, 8, (30, 40)).astype(dtype)
    expected = kernels.softmax(x)
    np.testing.assert_array_equal(kernels.softmax(x + 1e6), expected)
    x[7, 3] = np.nan
    x[9, 0] = np.inf
    x[11, 1:] = -np.inf
    y = kernels.softmax(x)
    assert np.isnan(y[7]).all()
    assert np.isnan(y[9]).any()
    assert y[11, 0] == 1
    assert not y[11, 1:].any()
    others = np.delete(np.arange(30), [7, 9, 11])
    np.testing.assert_array_equal(y[others], expected[others])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("sigmoid", [(np.inf, 1), (-np.inf, 0), (0, 0.5), (1e4, 1), (-1e4, 0)]),
        ("tanh", [(np.inf, 1), (-np.inf, -1), (0, 0), (1e4, 1), (-1e4, -1)]),
        ("relu", [(np.inf, np.inf), (-np.inf, 0), (0, 0), (-5, 0)]),
        ("exp", [(np.inf, np.inf), (-np.inf, 0), (0, 1), (1e4, np.inf), (-1e4, 0)]),
        ("log", [(np.inf, np.inf), (0, -np.inf), (1, 0), (-1, np.nan), (-np.inf, np.nan)]),
        ("softplus", [(np.inf, np.inf), (-np.inf, 0), (1e4, 1e4), (-1e4, 0)]),
        *(
            (name, [(np.inf, np.inf), (-np.inf, 0), (0, 0), (1e4, 1e4), (-1e4, 0)])
            for name in ("hard_silu", "silu", "gelu", "gelu_tanh", "mish")
        ),
        ("relu6", [(np.inf, 6), (-np.inf, 0), (5, 5), (7, 6)]),
        ("leaky_relu", [(np.inf, np.inf), (-np.inf, -np.inf), (3, 3), (0, 0)]),
        ("elu", [(np.inf, np.inf), (-np.inf, -1), (3, 3), (0, 0), (-1e4, -1)]),
        ("selu", [(np.inf, np.inf), (-np.inf, -1.7580993408473768), (0, 0)]),
        ("log_sigmoid", [(np.inf, 0), (-np.inf, -np.inf), (1e4, 0), (-1e4, -1e4)]),
        ("softsign", [(np.inf, 1), (-np.inf, -1), (1, 0.5), (3e38, 1), (-3e38, -1)]),
        ("hard_tanh", [(np.inf, 1), (-np.inf, -1), (0.25, 0.25), (-2, -1)]),
        ("hard_sigmoid", [(np.inf, 1), (-np.inf, 0), (0, 0.5), (3, 1), (-3, 0)]),
    ],
)
def test_limits(name, limits, dtype):
    x, expected = np.array([*limits, (np.nan, np.nan)], dtype).T
    np.testing.assert_array_equal(getattr(kernels, name)(x), expected)


# ---- matrix products -------------------------------------------------------------------------


def gamma(k, dtype):
    """Return Higham's gamma_k = k u / (1 - k u): k roundings, one after the other."""
    u = np.finfo(dtype).eps / 2
    return k * u / (1 - k * u)


def assert_matmul(a, b, **transposes):
    """Assert |C - A B| <= gamma_k |A| |B| for the product of a and b as the transposes say."""
    c = kernels.matmul(a, b, **transposes)
    exact_a, exact_b = higher(a), higher(b)
    if transposes.get("transpose_a"):
        exact_a = exact_a.T
    if transposes.get("transpose_b"):
        exact_b = exact_b.T
    assert c.dtype == a.dtype
    bound = gamma(exact_a.shape[1], a.dtype) * (np.abs(exact_a) @ np.abs(exact_b))
    assert (np.abs(c - exact_a @ exact_b) <= bound).all(), (a.shape, b.shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_matmul(dtype, transpose_a, transpose_b):
    rng = np.random.default_rng(5)
    sizes = [
        (m, n, k) for m in (0, 1, 13, 14, 15, 29) for n in (0, 1, 4, 16, 17, 33) for k in SIZES[:12]
    ]
    sizes += [(129, 65, 127), (64, 31, 257), (1, 200, 300), (200, 1, 300), (127, 128, 1)]
    for m, n, k in sizes:
        a = rng.normal(size=(k, m) if transpose_a else (m, k)).astype(dtype)
        b = rng.normal(size=(n, k) if transpose_b else (k, n)).astype(dtype)
        assert_matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_large_matmul(transpose_a, transpose_b):
    """Past every block of the packing: one more than powers of two, and primes."""
    rng = np.random.default_rng(6)
    for m, n, k in [
        (513, 257, 1025),
        (1031, 67, 509),
        (65, 1031, 2049),
        (1, 4500, 131),
        (4, 2500, 37),
        (2501, 11, 303),
        (2501, 1, 303),
    ]:
        a = rng.normal(size=(k, m) if transpose_a else (m, k)).astype(np.float32)
        b = rng.normal(size=(n, k) if transpose_b else (k, n)).astype(np.float32)
        assert_matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_matmul_keeps_bad_values_in_their_row(dtype, bad):
    rng = np.random.default_rng(7)
    a, b = rng.uniform(1, 2, (40, 50)).astype(dtype), rng.uniform(1, 2, (50, 35)).astype(dtype)
    clean = kernels.matmul(a, b)
    a[17, 3] = bad
    b[4, 20] = bad
    c = kernels.matmul(a, b)
    np.testing.assert_array_equal(c[17], np.full(35, bad, dtype))
    np.testing.assert_array_equal(c[:, 20], np.full(40, bad, dtype))
    c[17], c[:, 20] = clean[17], clean[:, 20]
    np.testing.assert_array_equal(c, clean)


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_of_nothing(dtype):
    """K = 0 sums nothing: zeros, over what `out` held."""
    out = np.full((3, 4), np.nan, dtype)
    c = kernels.matmul(np.empty((3, 0), dtype), np.empty((0, 4), dtype), out=out)
    assert c is out
    assert not out.any()
    bias = np.arange(4, dtype=dtype)
    y = kernels.dense_forward(np.empty((3, 0), dtype), np.empty((0, 4), dtype), bias)
    np.testing.assert_array_equal(y, np.tile(bias, (3, 1)))


ACTIVATIONS = [None, "linear", *reference.kernels.FORWARD]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense(dtype, activation):
    rng = np.random.default_rng(8)
    eps = np.finfo(dtype).eps
    for n, k, m in [
        (1, 1, 1),
        (14, 16, 32),
        (15, 17, 33),
        (33, 64, 10),
        (129, 30, 1),
        (5, 100, 257),
    ]:
        x = rng.normal(size=(n, k)).astype(dtype)
        kernel = (rng.normal(size=(k, m)) / np.sqrt(k)).astype(dtype)
        bias, dy = rng.normal(size=m).astype(dtype), rng.normal(size=(n, m)).astype(dtype)
        exact = [array.astype(np.float64) for array in (x, kernel, bias, dy)]

        for given in (bias, None):
            y = kernels.dense_forward(x, kernel, given, activation=activation)
            plain = kernels.dense_forward(x, kernel, given)
            expected = reference.dense_forward(
                exact[0], exact[1], None if given is None else exact[2], activation=activation
            )
            # sums of k + 1 numbers of size 1, then exp, which multiplies an error by its value
            np.testing.assert_allclose(y, expected, rtol=4 * eps * (k + m), atol=4 * eps * (k + 8))
            if activation in UNARY:
                np.testing.assert_array_equal(y, getattr(kernels, activation)(plain))

        if activation in reference.kernels.SAVES_INPUT:
            with pytest.raises(ValueError, match="activation"):
                kernels.dense_backward(x, kernel, y, dy, activation=activation)
            continue
        gradients = kernels.dense_backward(x, kernel, y, dy, activation=activation)
        expected = reference.dense_backward(
            exact[0], exact[1], y.astype(np.float64), exact[3], activation=activation
        )
        for mine, theirs in zip(gradients, expected, strict=True):
            assert mine.dtype == dtype
            scale = np.abs(theirs).max(initial=0) + 1
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=4 * eps * (n + m + 8) * scale)


# ---- layouts and dtypes of the input -----------------------------------------------------------


def unaligned(x):
    buffer = bytearray(x.nbytes + 1)
    view = np.frombuffer(buffer, x.dtype, x.size, offset=1).reshape(x.shape)
    view[...] = x
    return view


def strided(x):
    wide = np.full([3 * size for size in x.shape], np.nan, x.dtype)
    view = wide[tuple(slice(1, None, 3) for _ in x.shape)]
    view[...] = x
    return view


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def reversed_view(x):
    return np.ascontiguousarray(np.flip(x))[tuple(slice(None, None, -1) for _ in x.shape)]


LAYOUTS = {
    "fortran": np.asfortranarray,
    "reversed": reversed_view,
    "strided": strided,
    "row_stride": lambda x: np.hstack([x, x])[:, : x.shape[1]],
    "read_only": read_only,
    "unaligned": unaligned,
    "big_endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "list": lambda x: x.tolist(),
    "integer": lambda x: x.astype(np.int64),
    "unsigned": lambda x: np.abs(x).astype(np.uint8),
    "bool": lambda x: x > 0,
    "float16": lambda x: x.astype(np.float16),
}
CALLS = {
    "sigmoid": lambda x, y: kernels.sigmoid(x),
    "silu_backward": kernels.silu_backward,
    "softmax": lambda x, y: kernels.softmax(x),
    "softmax_backward": kernels.softmax_backward,
    "matmul": lambda x, y: kernels.matmul(x, y, transpose_b=True),
    "matmul_tn": lambda x, y: kernels.matmul(x, y, transpose_a=True),
    "dense_forward": lambda x, y: kernels.dense_forward(x, np.transpose(y), activation="tanh"),
    "dense_backward": lambda x, y: np.concatenate(
        [dw.ravel() for dw in kernels.dense_backward(x, np.resize(x, (37, 37)), x, y)]
    ),
}


def plain(x):
    """Return what the kernels should see: aligned, contiguous, native, float32 unless float64."""
    x = np.asarray(x)
    return np.array(x, np.float64 if x.dtype.type is np.float64 else np.float32, order="C")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts(call, layout, dtype):
    rng = np.random.default_rng(9)
    x, y = (LAYOUTS[layout](rng.integers(-4, 5, (23, 37)).astype(dtype)) for _ in range(2))
    result, expected = CALLS[call](x, y), CALLS[call](plain(x), plain(y))
    assert result.dtype == expected.dtype == plain(x).dtype
    np.testing.assert_array_equal(result, expected)


def test_memmap(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(20, 30))
    x[...] = np.random.default_rng(10).normal(size=x.shape)
    np.testing.assert_array_equal(kernels.tanh(x), kernels.tanh(np.array(x)))
    np.testing.assert_array_equal(
        kernels.matmul(x, x, transpose_b=True), kernels.matmul(np.array(x), np.array(x.T))
    )


# ---- out= ------------------------------------------------------------------------------------


def calls_with_out(name, dtype):
    """Return the function, its arguments and the shape of its result."""
    rng = np.random.default_rng(11)
    if name == "matmul":
        return (rng.normal(size=(19, 20)).astype(dtype), rng.normal(size=(20, 21)).astype(dtype))
    if name == "dense_forward":
        return (*calls_with_out("matmul", dtype), rng.normal(size=21).astype(dtype))
    return inputs_of(name, (19, 21), dtype)


ROWS = ["softmax", "softmax_backward", "log_softmax", "log_softmax_backward"]
OUT = [*UNARY, *BACKWARD, *ROWS, "matmul", "dense_forward"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OUT)
def test_out(name, dtype):
    function, arguments = getattr(kernels, name), calls_with_out(name, dtype)
    expected = function(*arguments)
    guarded = np.full((21, 21), 7, dtype)  # canaries in the rows above and below
    out = guarded[1:-1]
    assert function(*arguments, out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert (guarded[[0, -1]] == 7).all()


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.empty((19, 22), np.float32), ValueError),
        (np.empty((1, 21), np.float32), ValueError),
        (np.empty(19 * 21, np.float32), ValueError),
        (np.empty((19, 21), np.float64), TypeError),
        (np.empty((19, 21), np.int32), TypeError),
        (np.empty((19, 21), ">f4"), TypeError),
        (read_only(np.empty((19, 21), np.float32)), ValueError),
        ([[0.0] * 21] * 19, TypeError),
    ],
    ids=["cols", "rows", "1-D", "float64", "int32", "big-endian", "read-only", "list"],
)
def test_bad_out(name, out, error):
    with pytest.raises(error, match="out"):
        getattr(kernels, name)(*calls_with_out(name, "float32"), out=out)


@pytest.mark.parametrize("name", OUT)
def test_out_overlaps_an_input(name):
    """Sharing one element with an input is refused, and the input is as it was."""
    function = getattr(kernels, name)
    arguments = calls_with_out(name, "float32")
    size = 19 * 21
    for place, argument in enumerate(arguments):
        buffer = np.zeros(2 * max(size, argument.size), np.float32)
        held = buffer[: argument.size].reshape(argument.shape)
        held[...] = argument
        moved = [*arguments[:place], held, *arguments[place + 1 :]]
        for first in (1, argument.size - 1):
            out = buffer[first : first + size].reshape(19, 21)
            with pytest.raises(ValueError, match="out must not overlap"):
                function(*moved, out=out)
        np.testing.assert_array_equal(held, argument)
        beside = buffer[argument.size : argument.size + size].reshape(19, 21)
        np.testing.assert_array_equal(function(*moved, out=beside), function(*arguments))


@pytest.mark.parametrize("name", OUT)
def test_out_is_an_input(name):
    """In place is for what goes element by element or row by row, not for products."""
    function = getattr(kernels, name)
    if name in ("matmul", "dense_forward"):
        square, other = np.ones((2, 20, 20), np.float32)
        for arguments in ((square, other), (other, square)):
            with pytest.raises(ValueError, match="out must not overlap"):
                function(*arguments, out=square)
        assert (square == 1).all()
        return
    arguments = inputs_of(name, (19, 21), "float32")
    expected = function(*arguments)
    for place in range(len(arguments)):
        moved = [argument.copy() for argument in arguments]
        assert function(*moved, out=moved[place]) is moved[place]
        np.testing.assert_array_equal(moved[place], expected)


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize("layout", [strided, reversed_view, unaligned, np.asfortranarray])
def test_out_in_any_layout(name, layout):
    arguments = calls_with_out(name, "float32")
    out = layout(np.zeros((19, 21), np.float32))
    assert getattr(kernels, name)(*arguments, out=out) is out
    np.testing.assert_array_equal(out, getattr(kernels, name)(*arguments))


# ---- refusals --------------------------------------------------------------------------------

TWO = np.ones((2, 2), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "word"),
    [
        (lambda: kernels.sigmoid(["a", "b"]), TypeError, "x"),
        (lambda: kernels.sigmoid(np.ones(2, complex)), TypeError, "x"),
        (lambda: kernels.sigmoid(np.array([None])), TypeError, "x"),
        (lambda: kernels.sigmoid_backward(np.ones(2), np.ones(3)), ValueError, "dy"),
        (lambda: kernels.softmax(np.ones(3)), ValueError, "x"),
        (lambda: kernels.softmax(np.ones((1, 2, 3))), ValueError, "x"),
        (lambda: kernels.softmax_backward(TWO, np.ones((3, 2))), ValueError, "dy"),
        (lambda: kernels.matmul(np.ones(2), TWO), ValueError, "a"),
        (lambda: kernels.matmul(TWO, np.ones((2, 2, 2))), ValueError, "b"),
        (lambda: kernels.matmul(np.ones((2, 3)), np.ones((2, 3))), ValueError, "b"),
        (lambda: kernels.matmul(TWO, np.ones((2, 2), complex)), TypeError, "b"),
        (lambda: kernels.dense_forward(TWO, np.ones((3, 2))), ValueError, "kernel"),
        (lambda: kernels.dense_forward(TWO, TWO, np.ones(3)), ValueError, "bias"),
        (lambda: kernels.dense_forward(TWO, TWO, activation="selu2"), ValueError, "activation"),
        (lambda: kernels.dense_backward(TWO, TWO, TWO, np.ones((3, 2))), ValueError, "dy"),
        (lambda: kernels.dense_backward(TWO, TWO, np.ones((3, 2)), TWO), ValueError, "y"),
        (lambda: kernels.sigmoid(TWO, num_threads=0), ValueError, "num_threads"),
        (lambda: kernels.matmul(TWO, TWO, num_threads=-2), ValueError, "num_threads"),
    ],
)
def test_refusals(call, error, word):
    with pytest.raises(error, match=rf"\b{word}\b"):
        call()


# ---- the twins themselves --------------------------------------------------------------------


def test_every_kernel_has_its_twin():
    lines = (Path(__file__).parents[1] / "csrc" / "kernels.def").read_text()
    assert set(re.findall(r"^FNN_[A-Z_]+\((\w+)\)", lines, re.MULTILINE)) == set(reference.KERNELS)


@pytest.mark.parametrize("cols", [0, 1, 31, 32, 33, 70])
def test_panels(cols):
    """Element (r, c) lies at [c // P][r][c % P], and the padding is zero."""
    x = np.arange(1.0, 1 + 5 * cols).reshape(5, cols)
    twins = reference.KERNELS
    panels = twins["pack"](x, 32)
    assert panels.shape == (-(-cols // 32), 5, 32)
    assert all(panels[c // 32, r, c % 32] == x[r, c] for r in range(5) for c in range(cols))
    assert np.count_nonzero(panels) == x.size
    np.testing.assert_array_equal(twins["pack_transpose"](x.T, 32), panels)
    np.testing.assert_array_equal(twins["unpack"](panels, cols), x)
