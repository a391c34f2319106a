"""Operands of products that are no contiguous arrays: right, and which are read where they lie."""

import tracemalloc

import numpy as np
import pytest

from fastnn import kernels

SHAPES = [(0, 5), (5, 0), (1, 1), (1, 9), (9, 1), (3, 4), (17, 33), (100, 100), (70, 2), (2, 70)]


def lies_apart(x, gap=3):
    """`x` in a larger array, with gaps between its rows."""
    larger = np.full((x.shape[0], x.shape[1] + gap), np.nan, x.dtype)
    larger[:, 1 : 1 + x.shape[1]] = x
    return larger[:, 1 : 1 + x.shape[1]]


def every_other(x):
    larger = np.full((x.shape[0], 2 * x.shape[1]), np.nan, x.dtype)
    larger[:, ::2] = x
    return larger[:, ::2]


# layout -> (the array so, whether it is read where it lies)
LAYOUTS = {
    "plain": (np.ascontiguousarray, True),
    "transposed": (np.asfortranarray, True),
    "gaps": (lies_apart, True),
    "transposed with gaps": (lambda x: lies_apart(np.ascontiguousarray(x.T)).T, True),
    "read-only": (lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape), True),
    "column gaps": (every_other, False),
    "upside down": (lambda x: np.ascontiguousarray(x[::-1])[::-1], False),
    "mirrored": (lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1], False),
    "other byte order": (lambda x: x.astype(x.dtype.newbyteorder()), False),
    "unaligned": (
        lambda x: np.frombuffer(b" " + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
        False,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_any_layout(layout, dtype):
    rng = np.random.default_rng(1)
    as_laid = LAYOUTS[layout][0]
    for m, k in SHAPES:
        for n in (1, 3, 64):
            a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
            c = kernels.matmul(a, b)
            tight = {"rtol": 1e-4, "atol": 1e-4 if dtype == np.float32 else 1e-12}
            np.testing.assert_allclose(c, a.astype(np.float64) @ b.astype(np.float64), **tight)
            for threads in (1, 3):
                for flip_a, flip_b in ((False, False), (True, False), (False, True), (True, True)):
                    x = as_laid(a.T if flip_a else a)
                    y = as_laid(b.T if flip_b else b)
                    flips = {"transpose_a": flip_a, "transpose_b": flip_b, "num_threads": threads}
                    got = kernels.matmul(x, y, **flips)
                    np.testing.assert_allclose(got, c, **tight)
                    np.testing.assert_allclose(
                        kernels.matmul(x, b, **flips | {"transpose_b": False}), c, **tight
                    )


@pytest.mark.parametrize("precision", [None, "bfloat16"])
@pytest.mark.parametrize("shape", [(130, 70, 90), (300, 6, 65), (4, 300, 80), (400, 300, 7)])
def test_a_view_gives_the_bits_of_the_flag(shape, precision):
    m, n, k = shape
    rng = np.random.default_rng(2)
    a = rng.normal(size=(k, m)).astype(np.float32)
    b = rng.normal(size=(n, k)).astype(np.float32)
    flags = kernels.matmul(a, b, transpose_a=True, transpose_b=True, precision=precision)
    np.testing.assert_array_equal(kernels.matmul(a.T, b.T, precision=precision), flags)
    gaps = kernels.matmul(lies_apart(a).T, lies_apart(b).T, precision=precision)
    np.testing.assert_array_equal(gaps, flags)
    back = kernels.matmul(a.T, lies_apart(b), transpose_b=True, precision=precision)
    np.testing.assert_array_equal(back, flags)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_copied(layout):
    as_laid, in_place = LAYOUTS[layout]
    a = as_laid(np.ones((600, 500), np.float32))
    out = np.empty((600, 3), np.float32)
    b = np.ones((500, 3), np.float32)
    kernels.matmul(a, b, out=out)
    tracemalloc.start()
    kernels.matmul(a, b, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (peak < 50_000) == in_place
    assert (out == 500).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("activation", ["relu", "softmax"])
def test_dense_of_any_layout(layout, activation):
    rng = np.random.default_rng(3)
    as_laid = LAYOUTS[layout][0]
    x, kernel = rng.normal(size=(40, 12)), rng.normal(size=(12, 5))
    dy = rng.normal(size=(40, 5))
    y = kernels.dense_forward(x, kernel, activation=activation)
    laid = as_laid(x), as_laid(kernel)
    np.testing.assert_array_equal(kernels.dense_forward(*laid, activation=activation), y)
    wanted = kernels.dense_backward(x, kernel, y, dy, activation=activation)
    got = kernels.dense_backward(*laid, as_laid(y), as_laid(dy), activation=activation)
    for ours, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_out_beside_a_view():
    """`out` may lie in the gaps of an operand, and must not share an element with it."""
    whole = np.random.default_rng(4).normal(size=(30, 60))
    a, b = whole[:, :30], np.eye(30)
    wanted = a.copy()
    kernels.matmul(a, b, out=whole[:, 30:])
    np.testing.assert_allclose(whole[:, 30:], wanted, rtol=1e-12)
    for out in (a, a.T, whole[:, 5:35]):
        with pytest.raises(ValueError, match="out must not overlap a"):
            kernels.matmul(a, b, out=out)
        with pytest.raises(ValueError, match="out must not overlap b"):
            kernels.matmul(b, a.T, out=out)
    square = np.empty((30, 30))
    with pytest.raises(ValueError, match="out must not overlap a"):
        kernels.matmul(square.T, b, out=square)


def test_broadcasts_and_windows():
    row = np.arange(6.0)
    same = np.broadcast_to(row, (4, 6))
    np.testing.assert_allclose(kernels.matmul(same, np.eye(6)), same)
    np.testing.assert_allclose(kernels.matmul(np.eye(6), same.T), same.T)
    windows = np.lib.stride_tricks.sliding_window_view(row, 3)
    np.testing.assert_allclose(kernels.matmul(windows, np.eye(3)), windows)
    np.testing.assert_allclose(kernels.matmul(np.eye(3), windows.T), windows.T)
