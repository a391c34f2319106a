"""The kernels of csrc/kernels.def in plain NumPy, on row-major arrays.

Shapes: n rows of a batch, k inputs, m outputs. `dx` is the gradient of the loss with respect to
`x`. float32 and float64 keep their dtype, everything else is computed in float32, as in
`fastnn.kernels`; `out` may be the input itself here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

LEAKY_SLOPE = 0.2  # Keras's negative_slope
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017
GELU_SLOPE, GELU_CUBE = math.sqrt(8 / math.pi), 0.044715  # of the tanh form
CLIP = 1e-7  # Keras's epsilon: probabilities are clipped to [CLIP, 1 - CLIP] before the logarithm


def _real(x: ArrayLike) -> Array:
    """Return `x` as a float32 or float64 array in native byte order."""
    x = np.asarray(x)
    return np.asarray(x, dtype=np.float64 if x.dtype.type is np.float64 else np.float32)


# ---- activations: y = f(x) ------------------------------------------------------------------


def sigmoid(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return 1 / (1 + exp(-x)); an exp that overflows gives the right limit, 0."""
    y = np.negative(_real(x), out=out)
    with np.errstate(over="ignore"):
        np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)


def tanh(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return tanh(x)."""
    return np.tanh(_real(x), out=out)


def relu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return max(x, 0)."""
    return np.maximum(_real(x), 0, out=out)


def relu6(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return max(x, 0), at most 6."""
    return np.clip(_real(x), 0, 6, out=out)


def hard_tanh(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return x, at least -1 and at most 1."""
    return np.clip(_real(x), -1, 1, out=out)


def hard_sigmoid(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return relu6(x + 3) / 6."""
    y = np.add(_real(x), 3, out=out)
    np.clip(y, 0, 6, out=y)
    y /= 6
    return y


def hard_silu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return x hard_sigmoid(x), 0 at -inf."""
    x = _real(x)
    return np.multiply(np.maximum(x, -3), hard_sigmoid(x), out=out)


def leaky_relu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return x where x > 0, else 0.2 x."""
    x = _real(x)
    return np.maximum(x, LEAKY_SLOPE * x, out=out)


def _expm1_below(x: Array) -> Array:
    """Return exp(min(x, 0)) - 1."""
    y: Array = np.minimum(x, 0)
    return np.expm1(y, out=y)


def elu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return x where x > 0, else exp(x) - 1."""
    x = _real(x)
    return np.maximum(x, _expm1_below(x), out=out)


def selu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return scale x where x > 0, else scale alpha (exp(x) - 1)."""
    x = _real(x)
    falling = _expm1_below(x)
    falling *= SELU_SCALE * SELU_ALPHA
    return np.add(SELU_SCALE * np.maximum(x, 0), falling, out=out)


def softsign(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return x / (1 + |x|), of an infinity its sign."""
    x = np.clip(_real(x), -1e30, 1e30)
    y: Array = np.divide(x, 1 + np.abs(x), out=out)
    return y


def exp(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return exp(x)."""
    with np.errstate(over="ignore"):
        return np.exp(_real(x), out=out)


def log(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return log(x): -inf at 0, NaN below."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(_real(x), out=out)


def softplus(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return log(1 + exp(x)) as max(x, 0) + log1p(exp(-|x|)), which never overflows."""
    x = _real(x)
    tail = np.abs(x)
    np.negative(tail, out=tail)
    np.exp(tail, out=tail)
    np.log1p(tail, out=tail)
    y = np.maximum(x, 0, out=out)
    y += tail
    return y


def log_sigmoid(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return log(sigmoid(x)) = -softplus(-x)."""
    y = softplus(-_real(x), out=out)
    return np.negative(y, out=y)


def silu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return x sigmoid(x)."""
    x = _real(x)
    return np.multiply(x, sigmoid(x), out=out)


_erfc = np.frompyfunc(math.erfc, 1, 1)  # NumPy has none that is vectorised


def _normal(x: Array) -> Array:
    """Return Phi(x), the standard normal distribution's function, without cancellation."""
    return 0.5 * np.asarray(_erfc(x * -math.sqrt(0.5)), x.dtype)


def gelu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return x Phi(x), 0 at -inf."""
    x = np.maximum(_real(x), -1e3)
    return np.multiply(x, _normal(x), out=out)


def gelu_tanh(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return x (1 + tanh(g / 2)) / 2 = x sigmoid(g), g = sqrt(8 / pi) (x + 0.044715 x^3)."""
    x = np.maximum(_real(x), -1e3)
    with np.errstate(over="ignore"):
        return np.multiply(x, sigmoid(_gelu_gate(x)), out=out)


def _gelu_gate(x: Array) -> Array:
    gate: Array = GELU_SLOPE * x * (1 + GELU_CUBE * x * x)
    return gate


def mish(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return x tanh(softplus(x)), 0 at -inf."""
    x = np.maximum(_real(x), -1e3)
    y = softplus(x)
    np.tanh(y, out=y)
    return np.multiply(x, y, out=out)


def ramp(
    x: ArrayLike,
    slope: float = 0.0,
    threshold: float = 0.0,
    highest: float = math.inf,
    *,
    out: Array | None = None,
) -> Array:
    """Return min(x, highest) where x > threshold, else slope (x - threshold)."""
    x = _real(x)
    low = slope * (x - threshold) if slope else np.where(np.isnan(x), x, 0)
    return _into(out, np.where(x > threshold, np.minimum(x, highest), low).astype(x.dtype))


def exp_tail(
    x: ArrayLike, height: float = 1.0, rate: float = 1.0, *, out: Array | None = None
) -> Array:
    """Return x where x > 0, else height (exp(rate x) - 1)."""
    x = _real(x)
    tail = _expm1_below(x * x.dtype.type(rate))
    tail *= x.dtype.type(height)
    return _into(out, np.where(x > 0, x, tail))


def _into(out: Array | None, y: Array) -> Array:
    """Return y, or `out` with y in it."""
    if out is None:
        return y
    out[...] = y
    return out


def softmax(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return exp(x) / sum(exp(x)) of each row of the 2-D array `x`."""
    x = _real(x)
    if x.shape[1] == 0:
        return x.copy() if out is None else out
    with np.errstate(invalid="ignore"):  # inf - inf: a row with an infinity is a row of NaN
        y: Array = np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    np.exp(y, out=y)
    y /= y.sum(axis=1, keepdims=True)
    return y


def log_softmax(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return x - log(sum(exp(x))) of each row of the 2-D array `x`."""
    x = _real(x)
    if x.shape[1] == 0:
        return x.copy() if out is None else out
    with np.errstate(invalid="ignore"):  # as in softmax
        y: Array = np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    y -= np.log(np.exp(y).sum(axis=1, keepdims=True))
    return y


# ---- their derivatives: dx = dy f'(x), from y = f(x); those in SAVES_INPUT from x -------------


def sigmoid_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy y (1 - y)."""
    y = _real(y)
    slope: Array = 1 - y
    slope *= y
    return np.multiply(slope, dy, out=out)


def tanh_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy (1 - y^2)."""
    y = _real(y)
    slope: Array = y * y
    np.subtract(1, slope, out=slope)
    return np.multiply(slope, dy, out=out)


def relu_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy where y > 0, else 0."""
    return np.multiply(_real(dy), _real(y) > 0, out=out)


def relu6_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy where 0 < y < 6, else 0."""
    y = _real(y)
    dx: Array = np.multiply(_real(dy), (y > 0) & (y < 6), out=out)
    return dx


def hard_tanh_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy where -1 < y < 1, else 0."""
    return np.multiply(_real(dy), np.abs(_real(y)) < 1, out=out)


def hard_sigmoid_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy / 6 where 0 < y < 1, else 0."""
    y = _real(y)
    dx = np.multiply(_real(dy), (y > 0) & (y < 1), out=out)
    dx /= 6
    return dx


def hard_silu_backward(x: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return 0 for x <= -3, dy for x >= 3, and dy (x / 3 + 1/2) between."""
    x = _real(x)
    slope = np.where(np.abs(x) < 3, x / 3 + x.dtype.type(0.5), x > 0)
    dx: Array = np.multiply(slope.astype(x.dtype, copy=False), dy, out=out)
    return dx


def leaky_relu_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy where y > 0, else 0.2 dy."""
    y = _real(y)
    slope: Array = np.where(y > 0, y.dtype.type(1), y.dtype.type(LEAKY_SLOPE))
    return np.multiply(slope, dy, out=out)


def elu_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy where y > 0, else dy (y + 1)."""
    slope: Array = np.minimum(_real(y), 0)
    slope += 1
    return np.multiply(slope, dy, out=out)


def selu_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy scale where y > 0, else dy (y + scale alpha)."""
    y = _real(y)
    slope: Array = np.where(
        y > 0, y.dtype.type(SELU_SCALE), y + y.dtype.type(SELU_SCALE * SELU_ALPHA)
    )
    return np.multiply(slope, dy, out=out)


def softsign_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy (1 - |y|)^2."""
    slope: Array = 1 - np.abs(_real(y))
    slope *= slope
    return np.multiply(slope, dy, out=out)


def exp_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy y."""
    return np.multiply(_real(y), dy, out=out)


def log_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy / x = dy exp(-y)."""
    return np.multiply(exp(-_real(y)), dy, out=out)


def softplus_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy sigmoid(x) = dy (1 - exp(-y))."""
    slope = np.expm1(-_real(y))
    np.negative(slope, out=slope)
    return np.multiply(slope, dy, out=out)


def log_sigmoid_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy sigmoid(-x) = dy (1 - exp(y))."""
    return softplus_backward(-_real(y), dy, out=out)


def silu_backward(x: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy s (1 + x (1 - s)), s = sigmoid(x); from the input `x`, since y has no inverse."""
    x = _real(x)
    s = sigmoid(x)
    slope: Array = 1 - s
    slope *= x
    slope += 1
    slope *= s
    return np.multiply(slope, dy, out=out)


def gelu_backward(x: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy (Phi(x) + x phi(x)), phi the normal density."""
    x = np.clip(_real(x), -1e3, 1e3)
    slope: Array = np.exp(-x * x / 2)
    slope *= x
    slope *= 1 / math.sqrt(2 * math.pi)
    slope += _normal(x)
    return np.multiply(slope, dy, out=out)


def gelu_tanh_backward(x: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy s (1 + x g'(x) (1 - s)), s = sigmoid(g), as in `gelu_tanh`."""
    x = np.clip(_real(x), -1e3, 1e3)
    gate = _gelu_gate(x)
    slope: Array = GELU_SLOPE * x * (1 + 3 * GELU_CUBE * x * x)
    slope *= sigmoid(-gate)  # 1 - s would cancel
    slope += 1
    slope *= sigmoid(gate)
    return np.multiply(slope, dy, out=out)


def mish_backward(x: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy (t + x (1 - t^2) sigmoid(x)), t = tanh(softplus(x))."""
    x = np.clip(_real(x), -1e3, 1e3)
    t = np.tanh(softplus(x))
    slope: Array = 1 - t * t
    slope *= silu(x)
    slope += t
    return np.multiply(slope, dy, out=out)


def ramp_backward(
    x: ArrayLike,
    dy: ArrayLike,
    slope: float = 0.0,
    threshold: float = 0.0,
    highest: float = math.inf,
    *,
    out: Array | None = None,
) -> Array:
    """Return slope dy where x <= threshold, 0 where x >= highest, else dy; from the input `x`."""
    x = _real(x)
    d = np.where(x > threshold, x < highest, slope).astype(x.dtype)
    return np.multiply(np.where(np.isnan(x), x, d), dy, out=out)


def exp_tail_backward(
    y: ArrayLike,
    dy: ArrayLike,
    height: float = 1.0,
    rate: float = 1.0,
    *,
    out: Array | None = None,
) -> Array:
    """Return dy where y > 0, else dy rate (y + height)."""
    y = _real(y)
    slope = np.where(y > 0, y.dtype.type(1), y.dtype.type(rate) * (y + y.dtype.type(height)))
    dx: Array = np.multiply(slope, dy, out=out)
    return dx


def softmax_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return y (dy - sum(y dy)) of each row."""
    y, dy = _real(y), _real(dy)
    inner = np.einsum("nm,nm->n", y, dy)[:, None]
    dx: Array = np.subtract(dy, inner, out=out)
    dx *= y
    return dx


def log_softmax_backward(y: ArrayLike, dy: ArrayLike, *, out: Array | None = None) -> Array:
    """Return dy - exp(y) sum(dy) of each row."""
    y, dy = _real(y), _real(dy)
    part = np.exp(y)
    part *= dy.sum(axis=1, keepdims=True)
    return np.subtract(dy, part, out=out)


# ---- matrix products -------------------------------------------------------------------------


def matmul(
    a: ArrayLike,
    b: ArrayLike,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    precision: str | None = None,
    out: Array | None = None,
) -> Array:
    """Return op(a) @ op(b) of two 2-D arrays, op being the transpose where asked for.

    With precision="bfloat16" the operands are rounded to that first.
    """
    a, b = _real(a), _real(b)
    if precision not in (None, "bfloat16"):
        raise ValueError(f"precision must be 'bfloat16' or None, got {precision!r}")
    if precision is not None:
        if np.float64 in (a.dtype, b.dtype):
            raise ValueError("precision must be None for operands of float64, got 'bfloat16'")
        a, b = round_bfloat16(a), round_bfloat16(b)
    return np.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out=out)


def gemm_nn(a: Array, b: Array, bias: Array | None = None) -> Array:
    """Return a (m, k) @ b (k, n) + bias (n,)."""
    c: Array = a @ b
    if bias is not None:
        c += bias
    return c


def gemm_tn(a: Array, b: Array, bias: Array | None = None) -> Array:
    """Return a^T @ b + bias, a being (k, m): the product of a gradient of weights."""
    return gemm_nn(a.T, b, bias)


def few_nn(a: Array, b: Array, bias: Array | None = None) -> Array:
    """Return a (m, k) @ b (k, n) + bias (n,), m being small."""
    return gemm_nn(a, b, bias)


def few_nt(a: Array, b: Array, bias: Array | None = None) -> Array:
    """Return a (m, k) @ b^T + bias, b being (n, k) and m small."""
    return gemm_nn(a, b.T, bias)


def dense_forward(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    activation: str | None = None,
    out: Array | None = None,
) -> Array:
    """Return y (n, m) = activation(x (n, k) @ kernel (k, m) + bias (m,))."""
    y = matmul(x, kernel, out=out)
    if bias is not None:
        y += _real(bias)
    return y if activation in (None, "linear") else FORWARD[activation](y, out=y)


def dense_backward(
    x: ArrayLike,
    kernel: ArrayLike,
    y: ArrayLike,
    dy: ArrayLike,
    *,
    activation: str | None = None,
) -> tuple[Array, Array, Array]:
    """Return (dx, dkernel, dbias) of `dense_forward`, from its input, output `y` and `dy`.

    Those in SAVES_INPUT are a ValueError: their output does not determine their derivative.
    """
    if activation in SAVES_INPUT:
        raise ValueError(f"activation must have a derivative that y determines, got {activation!r}")
    x, kernel, dz = _real(x), _real(kernel), _real(dy)
    if activation not in (None, "linear"):
        dz = BACKWARD[activation](y, dz)
    return dz @ kernel.T, x.T @ dz, dz.sum(axis=0)


FORWARD: dict[str, Callable[..., Array]] = {
    function.__name__: function
    for function in (
        relu, relu6, leaky_relu, elu, selu,
        sigmoid, tanh, exp, softplus, log_sigmoid,
        softsign, hard_tanh, hard_sigmoid,
        hard_silu, silu, gelu, gelu_tanh, mish,
        softmax, log_softmax,
    )
}  # fmt: skip
BACKWARD: dict[str, Callable[..., Array]] = {
    function.__name__.removesuffix("_backward"): function
    for function in (
        relu_backward, relu6_backward, leaky_relu_backward, elu_backward, selu_backward,
        sigmoid_backward, tanh_backward, exp_backward, softplus_backward, log_sigmoid_backward,
        softsign_backward, hard_tanh_backward, hard_sigmoid_backward,
        hard_silu_backward, silu_backward, gelu_backward, gelu_tanh_backward, mish_backward,
        softmax_backward, log_softmax_backward,
    )
}  # fmt: skip

# those that take numbers
CURVES: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "ramp": (ramp, ramp_backward),
    "exp_tail": (exp_tail, exp_tail_backward),
}

# the derivative is a function of x, not of y
SAVES_INPUT = {"hard_silu", "silu", "gelu", "gelu_tanh", "mish", "ramp"}


# ---- copies: panels [columns / P][rows][P], rows by index, scale, column sums -----------------


def pack(x: Array, panel: int = 32) -> Array:
    """Return `x` (rows, cols) as panels (ceil(cols / panel), rows, panel), padded with zeros."""
    rows, cols = x.shape
    count = -(-cols // panel)
    padded = np.zeros((rows, count * panel), x.dtype)
    padded[:, :cols] = x
    return np.ascontiguousarray(padded.reshape(rows, count, panel).transpose(1, 0, 2))


def pack_transpose(x: Array, panel: int = 32) -> Array:
    """Return the transpose of `x` as panels."""
    return pack(x.T, panel)


def unpack(panels: Array, cols: int) -> Array:
    """Return the first `cols` columns of `panels` as a matrix (rows, cols)."""
    count, rows, panel = panels.shape
    return panels.transpose(1, 0, 2).reshape(rows, count * panel)[:, :cols].copy()


def round_bfloat16(x: Array) -> Array:
    """Return float32 `x` rounded to bfloat16's 8 significant bits, ties to even; subnormals are 0.

    Returns
    -------
    ndarray of float32
        Numbers that bfloat16 has, which is the upper half of float32.
    """
    x = np.asarray(x, np.float32)
    bits = x.view(np.uint32)
    rounded = ((bits + ((bits >> 16 & 1) + 0x7FFF)) & 0xFFFF0000).view(np.float32)
    rounded = np.where(np.isnan(x), x, rounded)
    return np.where(np.abs(x) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), x), rounded)


def pair_rows(x: Array) -> Array:
    """Return words ((n + 1) // 2, m) of bfloat16 pairs: row 2r low, row 2r + 1 high."""
    even = np.zeros((-(-x.shape[0] // 2) * 2, x.shape[1]), np.float32)
    even[: x.shape[0]] = round_bfloat16(x)
    bits = even.view(np.uint32)
    words: Array = bits[::2] >> 16 | bits[1::2]
    return words


def pair_columns(x: Array) -> Array:
    """Return words (n, (m + 1) // 2) of bfloat16 pairs of neighbouring columns."""
    return pair_rows(x.T).T


def gather(x: Array, index: Array, scale: Array | None = None, shift: Array | None = None) -> Array:
    """Return the rows x[index], scaled and shifted by feature where asked for."""
    rows: Array = x.take(index, axis=0)
    return rows if scale is None else scale_shift(rows, scale, shift)


def gather_from(
    x: Array,
    index: Array,
    dtype: Any = np.float32,
    scale: Array | None = None,
    shift: Array | None = None,
) -> Array:
    """Return the rows x[index] of another type as `dtype`, scaled and shifted where asked for."""
    rows: Array = x.take(index, axis=0).astype(dtype)
    return rows if scale is None else scale_shift(rows, scale, shift)


def sparse_nn(
    begin: Array, column: Array, value: Array, b: Array, bias: Array | None = None
) -> Array:
    """Return X B + bias; row r of X has value[z] in column[z], begin[r] <= z < begin[r + 1]."""
    c = np.zeros((len(begin) - 1, b.shape[1]), b.dtype)
    if bias is not None:
        c += bias
    inner = slice(begin[0], begin[-1])
    row = np.repeat(np.arange(len(c)), np.diff(begin))
    np.add.at(c, row, value[inner, None] * b[column[inner]])
    return c


def scatter_add(to: Array, source: Array, value: Array, x: Array, y: Array) -> None:
    """y[to[i]] += value[i] x[source[i]], for one i after the other."""
    np.add.at(y, to, value[:, None] * x[source])


def add(x: Array, y: Array) -> Array:
    """Return x + y."""
    z: Array = x + y
    return z


def scale_shift(x: Array, scale: Array, shift: Array | None = None) -> Array:
    """Return x scale + shift, a scale and a shift for each column."""
    y: Array = x * scale
    if shift is not None:
        y += shift
    return y


def colsum(x: Array) -> Array:
    """Return the sum of each column."""
    total: Array = x.sum(axis=0)
    return total


def colsquare(x: Array) -> Array:
    """Return the sum of the squares of each column."""
    total: Array = (x * x).sum(axis=0)
    return total


# ---- losses: (loss of each row, dp) ----------------------------------------------------------
# p (n, m); targets t (n, m), or for xent integer class ids (n,). weight (n,) multiplies the loss of
# its row; dp is the gradient of scale * the sum of the losses.


def _weighted(loss: Array, dp: Array, weight: Array | None, scale: float) -> tuple[Array, Array]:
    """Apply the rows' weights to the loss, weights and scale to its gradient, both in place."""
    if weight is not None:
        loss *= weight
        dp *= weight[:, None]
    if scale != 1.0:
        dp *= scale
    return loss, dp


def _smooth(t: Array, part: float, even: float) -> Array:
    """Return `t` moved by `part` of the way to `even`: label smoothing."""
    smoothed: Array = t + t.dtype.type(part) * (t.dtype.type(even) - t) if part else t
    return smoothed


def _dense_targets(p: Array, t: Array) -> Array:
    """Return `t`, class ids as the one-hot rows that they stand for."""
    return np.eye(p.shape[1], dtype=p.dtype)[t] if t.ndim == 1 else t


def mse(p: Array, t: Array, weight: Array | None = None, scale: float = 1.0) -> tuple[Array, Array]:
    """Return the mean over columns of (p - t)^2, and dp."""
    dp = p - t
    loss = np.einsum("nm,nm->n", dp, dp)
    loss /= p.shape[1]
    return _weighted(loss, dp, weight, scale * 2 / p.shape[1])


def bce(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0, smoothing: float = 0.0
) -> tuple[Array, Array]:
    """Return the binary cross-entropy of probabilities `p`, mean over columns, and dp.

    `p` is clipped to [CLIP, 1 - CLIP] as in Keras; outside, the gradient is 0.
    """
    q, t = p.clip(CLIP, 1 - CLIP), _smooth(t, smoothing, 0.5)
    loss = -(t * np.log(q) + (1 - t) * np.log1p(-q)).mean(axis=1)
    dp = (q - t) / (q * (1 - q))
    dp *= q == p
    return _weighted(loss, dp, weight, scale / p.shape[1])


def bce_logits(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0, smoothing: float = 0.0
) -> tuple[Array, Array]:
    """Return the binary cross-entropy of sigmoid(p), mean over columns, and dp."""
    t = _smooth(t, smoothing, 0.5)
    loss = softplus(p)
    loss -= p * t
    dp = sigmoid(p)
    dp -= t
    return _weighted(loss.mean(axis=1), dp, weight, scale / p.shape[1])


def xent(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0, smoothing: float = 0.0
) -> tuple[Array, Array]:
    """Return the cross-entropy of the probabilities q = p / sum(p), clipped as in `bce`, and dp."""
    t = _smooth(_dense_targets(p, t), smoothing, 1 / p.shape[1])
    total = p.sum(axis=1, keepdims=True)
    q = p / total
    clipped = q.clip(CLIP, 1 - CLIP)
    loss = -(t * np.log(clipped)).sum(axis=1)
    dq = -t / clipped
    dq *= clipped == q
    dp = dq - np.einsum("nm,nm->n", dq, q)[:, None]
    dp /= total
    return _weighted(loss, dp, weight, scale)


def xent_logits(
    p: Array,
    t: Array,
    weight: Array | None = None,
    scale: float = 1.0,
    smoothing: float = 0.0,
    most: float = 0.0,
) -> tuple[Array, Array]:
    """Return the cross-entropy of q = softmax(p), fused so that nothing overflows, and dp.

    A row's loss is at most `most`, where that is not 0; dp goes on.
    """
    z = p - p.max(axis=1, keepdims=True)
    dp = np.exp(z)
    total = dp.sum(axis=1, keepdims=True)
    dp /= total
    log_total = np.log(total[:, 0])
    if t.ndim == 1 and not smoothing:  # class ids: -log q[label] and q - onehot(label)
        rows = np.arange(len(t))
        loss = log_total - z[rows, t]
        dp[rows, t] -= 1
    else:
        t = _smooth(_dense_targets(p, t), smoothing, 1 / p.shape[1])
        mass = t.sum(axis=1)
        loss = mass * log_total - np.einsum("nm,nm->n", t, z)
        dp *= mass[:, None]
        dp -= t
    loss = np.minimum(loss, loss.dtype.type(most or np.inf))
    return _weighted(loss, dp, weight, scale)


def log_loss_logits(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0, eps: float = 1e-7
) -> tuple[Array, Array]:
    """Return scikit-learn's binary log loss of q = sigmoid(p), summed over columns, and dp = q - t.

    The loss is that of q clipped to [eps, 1 - eps], and 1 - q that of q as it is rounded.
    """
    with np.errstate(over="ignore"):
        q = 1 / (1 + np.exp(-p))
    c = q.clip(q.dtype.type(eps), q.dtype.type(1 - eps))
    loss = -(t * np.log(c) + (1 - t) * np.log(1 - c))
    return _weighted(loss.sum(axis=1), q - t, weight, scale)


def half_squared(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0, factor: float = 0.5
) -> tuple[Array, Array]:
    """Return the sum over columns of factor (p - t)^2, and dp = p - t, whatever the factor."""
    e = p - t
    return _weighted(e.dtype.type(factor) * (e * e).sum(axis=1), e, weight, scale)


def half_poisson_logits(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0
) -> tuple[Array, Array]:
    """Return the sum over columns of q - t log q + t log t - t, q = exp(p), and dp = q - t."""
    q = np.exp(p)
    own = t * np.log(np.where(t == 0, 1, t)) - t
    return _weighted((q - t * p + own).sum(axis=1), q - t, weight, scale)


def _from_zero(x: Array) -> Array:
    """Return max(x, CLIP); a NaN stays."""
    raised: Array = np.maximum(x, x.dtype.type(CLIP))
    return raised


def mae(p: Array, t: Array, weight: Array | None = None, scale: float = 1.0) -> tuple[Array, Array]:
    """Return the mean over columns of |p - t|, and dp."""
    e = p - t
    return _weighted(np.abs(e).mean(axis=1), np.sign(e), weight, scale / p.shape[1])


def mape(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0
) -> tuple[Array, Array]:
    """Return the mean over columns of 100 |p - t| / |t|, |t| being at least CLIP, and dp."""
    dp = 100 / _from_zero(np.abs(t))
    loss = (np.abs(p - t) * dp).mean(axis=1)
    dp *= np.sign(p - t)
    return _weighted(loss, dp, weight, scale / p.shape[1])


def msle(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0
) -> tuple[Array, Array]:
    """Return the mean over columns of (log(1 + p) - log(1 + t))^2, and dp.

    `p` and `t` are at least CLIP; where p is less, the gradient is 0.
    """
    e = np.log1p(_from_zero(p)) - np.log1p(_from_zero(t))
    dp = np.where(p < CLIP, 0, 2 * e / (1 + _from_zero(p)))
    return _weighted((e * e).mean(axis=1), dp, weight, scale / p.shape[1])


def huber(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0, delta: float = 1.0
) -> tuple[Array, Array]:
    """Return the mean over columns of e^2 / 2, linear from |e| = delta on, and dp; e = p - t."""
    e = p - t
    size = np.abs(e)
    cut = np.minimum(size, delta)
    dp = np.copysign(cut, e)
    return _weighted((cut * (size - cut / 2)).mean(axis=1), dp, weight, scale / p.shape[1])


def log_cosh(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0
) -> tuple[Array, Array]:
    """Return the mean over columns of log(cosh(p - t)), and dp."""
    e = p - t
    loss = np.logaddexp(e, -e) - np.log(e.dtype.type(2))
    return _weighted(loss.mean(axis=1), np.tanh(e), weight, scale / p.shape[1])


def quantile(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0, tau: float = 0.5
) -> tuple[Array, Array]:
    """Return the mean over columns of max(tau e, (tau - 1) e), and dp; e = t - p."""
    e = p - t
    dp = np.where(e > 0, 1 - tau, np.where(e < 0, -tau, e)).astype(e.dtype)
    return _weighted((dp * e).mean(axis=1), dp, weight, scale / p.shape[1])


def poisson(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0
) -> tuple[Array, Array]:
    """Return the mean over columns of p - t log(p + CLIP), and dp."""
    q = p + p.dtype.type(CLIP)
    dp = 1 - t / q
    return _weighted((p - t * log(q)).mean(axis=1), dp, weight, scale / p.shape[1])


def _sides(t: Array) -> Array:
    """Return `t`, -1 and 1, from itself or from 0 and 1."""
    return np.where(t == 0, t.dtype.type(-1), t)


def hinge(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0
) -> tuple[Array, Array]:
    """Return the mean over columns of max(1 - t p, 0), and dp; a t of 0 stands for -1."""
    side = _sides(t)
    margin = relu(1 - side * p)
    dp = -side * np.sign(margin)
    return _weighted(margin.mean(axis=1), dp, weight, scale / p.shape[1])


def squared_hinge(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0
) -> tuple[Array, Array]:
    """Return the mean over columns of max(1 - t p, 0)^2, and dp; a t of 0 stands for -1."""
    side = _sides(t)
    margin = relu(1 - side * p)
    dp = -2 * side * margin
    return _weighted((margin * margin).mean(axis=1), dp, weight, scale / p.shape[1])


def categorical_hinge(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0
) -> tuple[Array, Array]:
    """Return max(1 + max of (1 - t) p - sum of t p, 0) of each row, and dp."""
    others = (1 - t) * p
    first = others.argmax(axis=1)
    rows = np.arange(len(p))
    margin = relu(1 + others[rows, first] - np.einsum("nm,nm->n", t, p))
    dp = -t
    dp[rows, first] += 1 - t[rows, first]
    dp *= np.sign(margin)[:, None]
    return _weighted(margin, dp, weight, scale)


def kld(p: Array, t: Array, weight: Array | None = None, scale: float = 1.0) -> tuple[Array, Array]:
    """Return the sum over columns of t log(t / p), both clipped to [CLIP, 1], and dp."""
    q, s = p.clip(CLIP, 1), t.clip(CLIP, 1)
    loss = (s * np.log(s / q)).sum(axis=1)
    dp = np.where(q == p, -s / q, 0)
    return _weighted(loss, dp, weight, scale)


def cosine(
    p: Array, t: Array, weight: Array | None = None, scale: float = 1.0
) -> tuple[Array, Array]:
    """Return minus the cosine of the angle between the rows of `p` and `t`, and dp.

    Norms are taken to be at least CLIP.
    """

    def normalized(x: Array) -> tuple[Array, Array]:
        norm = _from_zero(np.sqrt(np.einsum("nm,nm->n", x, x)))[:, None]
        return x / norm, norm

    (u, norm), (v, _) = normalized(p), normalized(t)
    loss = -np.einsum("nm,nm->n", u, v)
    along = np.where(norm > CLIP, loss[:, None], 0)
    return _weighted(loss, -(v + along * u) / norm, weight, scale)


def _focused(
    x: Array, slope: Array, t: Array, gamma: float, positive: float, negative: float
) -> tuple[Array, Array]:
    """Return what bce is multiplied by, a x^gamma, and the derivative of its logarithm.

    `x` is how far the probabilities are from `t`, `slope` their derivative.
    """
    factor = (t * positive + (1 - t) * negative) * x**gamma
    return factor, gamma * (1 - 2 * t) * slope / x


def focal(
    p: Array,
    t: Array,
    weight: Array | None = None,
    scale: float = 1.0,
    smoothing: float = 0.0,
    gamma: float = 2.0,
    positive: float = 1.0,
    negative: float = 1.0,
) -> tuple[Array, Array]:
    """Return the mean over columns of a x^gamma bce, x = t (1 - p) + (1 - t) p, and dp.

    `a` is `positive` for a t of 1, `negative` for 0. `p` is clipped as in `bce`.
    """
    q, t = p.clip(CLIP, 1 - CLIP), _smooth(t, smoothing, 0.5)
    bce_of = -(t * np.log(q) + (1 - t) * np.log1p(-q))
    slope = np.where(q == p, (q - t) / (q * (1 - q)), 0)
    x = t * (1 - q) + (1 - t) * q
    factor, moves = _focused(x, np.ones_like(q), t, gamma, positive, negative)
    dp = factor * (slope + bce_of * moves)
    return _weighted((factor * bce_of).mean(axis=1), dp, weight, scale / p.shape[1])


def focal_logits(
    p: Array,
    t: Array,
    weight: Array | None = None,
    scale: float = 1.0,
    smoothing: float = 0.0,
    gamma: float = 2.0,
    positive: float = 1.0,
    negative: float = 1.0,
) -> tuple[Array, Array]:
    """Return `focal` of sigmoid(p), fused so that nothing is clipped, and dp."""
    q, rest, t = sigmoid(p), sigmoid(-p), _smooth(t, smoothing, 0.5)
    bce_of = softplus(p) - p * t
    x = np.maximum(t * rest + (1 - t) * q, p.dtype.type(1e-30))
    factor, moves = _focused(x, q * rest, t, gamma, positive, negative)
    dp = factor * (q - t + bce_of * moves)
    return _weighted((factor * bce_of).mean(axis=1), dp, weight, scale / p.shape[1])


def _focal_classes(
    q: Array, log_q: Array, t: Array, gamma: float, alpha: float
) -> tuple[Array, Array]:
    """Return t alpha (1 - q)^gamma (-log q), and its derivative to q, times q."""
    rest = np.maximum(1 - q, q.dtype.type(1e-30))
    factor = t * alpha * rest**gamma
    h = factor * (gamma * q * log_q / rest - 1)
    return np.where(t == 0, 0, -factor * log_q), np.where(t == 0, 0, h)


def focal_xent(
    p: Array,
    t: Array,
    weight: Array | None = None,
    scale: float = 1.0,
    smoothing: float = 0.0,
    gamma: float = 2.0,
    alpha: float = 0.25,
) -> tuple[Array, Array]:
    """Return -sum over columns of alpha t (1 - q)^gamma log q, and dp; q as in `xent`."""
    t = _smooth(_dense_targets(p, t), smoothing, 1 / p.shape[1])
    total = p.sum(axis=1, keepdims=True)
    q = p / total
    clipped = q.clip(CLIP, 1 - CLIP)
    loss, h = _focal_classes(clipped, np.log(clipped), t, gamma, alpha)
    h *= clipped == q
    dp = (h / clipped - h.sum(axis=1, keepdims=True)) / total
    return _weighted(loss.sum(axis=1), dp, weight, scale)


def focal_xent_logits(
    p: Array,
    t: Array,
    weight: Array | None = None,
    scale: float = 1.0,
    smoothing: float = 0.0,
    gamma: float = 2.0,
    alpha: float = 0.25,
) -> tuple[Array, Array]:
    """Return `focal_xent` of q = softmax(p), fused so that nothing is clipped, and dp."""
    t = _smooth(_dense_targets(p, t), smoothing, 1 / p.shape[1])
    log_q = log_softmax(p)
    q = np.exp(log_q)
    loss, h = _focal_classes(q, log_q, t, gamma, alpha)
    dp = h - q * h.sum(axis=1, keepdims=True)
    return _weighted(loss.sum(axis=1), dp, weight, scale)


def gaussian_nll(
    p: Array,
    t: Array,
    weight: Array | None = None,
    scale: float = 1.0,
    low: float = -math.inf,
    base: float = 0.0,
) -> tuple[Array, Array]:
    """Return the mean over columns of (s + (m - t)^2 exp(-s)) / 2 + base, and dp.

    `p` (n, 2k) are means m, then logarithms of variances, for targets (n, k); s is such a one, at
    least `low`. The derivative to it is that to s also where it is less.
    """
    k = t.shape[1]
    e, s = p[:, :k] - t, np.maximum(p[:, k:], p.dtype.type(low))
    slope = e * np.exp(-s)
    loss = (s + e * slope).mean(axis=1) / 2 + p.dtype.type(base)
    dp = np.concatenate([slope, (1 - e * slope) / 2], axis=1)
    return _weighted(loss, dp, weight, scale / k)


# ---- metrics: a value for each row -----------------------------------------------------------


def argmax_match(p: Array, t: Array) -> Array:
    """Return 1 where the first largest `p` is the class id `t` (n,), or the first largest `t`."""
    label = t if t.ndim == 1 else t.argmax(axis=1)
    match: Array = p.argmax(axis=1) == label
    return match.astype(p.dtype)


def in_top_k(p: Array, t: Array, k: float) -> Array:
    """Return 1 where fewer than `k` p are larger than that of the class, as in `argmax_match`.

    A class that is no column, or whose p is NaN, is not among them; other NaNs are the largest.
    """
    label = t if t.ndim == 1 else t.argmax(axis=1)
    known = (label >= 0) & (label < p.shape[1])
    own = p[np.arange(len(p)), np.where(known, label, 0)][:, None]
    larger = np.count_nonzero(~(p <= own), axis=1)
    among: Array = known & (larger < k) & ~np.isnan(own[:, 0])
    return among.astype(p.dtype)


def threshold_match(p: Array, t: Array, threshold: float = 0.5) -> Array:
    """Return the mean over columns of t == (1 if p > threshold else 0)."""
    match: Array = ((p > threshold) == t).mean(axis=1, dtype=p.dtype)
    return match


def squared_error(p: Array, t: Array) -> Array:
    """Return the mean over columns of (p - t)^2."""
    difference = p - t
    error: Array = np.einsum("nm,nm->n", difference, difference) / p.shape[1]
    return error


def absolute_error(p: Array, t: Array) -> Array:
    """Return the mean over columns of |p - t|."""
    error: Array = np.abs(p - t).mean(axis=1)
    return error


def predicted_positive(p: Array, t: Array, threshold: float = 0.5) -> Array:
    """Return the mean over columns of p > threshold."""
    positive: Array = (p > threshold).mean(axis=1, dtype=p.dtype)
    return positive


def actual_positive(p: Array, t: Array, threshold: float = 0.5) -> Array:
    """Return the mean over columns of t > 1/2."""
    positive: Array = (t > 0.5).mean(axis=1, dtype=p.dtype)
    return positive


def true_positive(p: Array, t: Array, threshold: float = 0.5) -> Array:
    """Return the mean over columns of both p > threshold and t > 1/2."""
    positive: Array = ((p > threshold) & (t > 0.5)).mean(axis=1, dtype=p.dtype)
    return positive


# ---- random numbers --------------------------------------------------------------------------


# ---- random changes in training ----------------------------------------------------------------


def dropout_key(seed: int, iteration: int) -> int:
    """Return the key of an op's random numbers in optimizer step `iteration` (splitmix64)."""

    def mixed(x: int) -> int:
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
        return x ^ x >> 31

    return mixed((seed + mixed(iteration * 0x9E3779B97F4A7C15 % 2**64)) % 2**64)


def _hashes(x: Array, row0: int, key: int) -> Array:
    """Return a number below 2^32 for each element, by its place under `key`.

    Element (r, c) is number (row0 + r) * columns + c.
    """
    rows, cols = x.shape
    number = np.arange(row0 * cols, (row0 + rows) * cols, dtype=np.uint64).reshape(rows, cols)
    h = ((key >> 32 | 1) * number + key % 2**32 & 0xFFFFFFFF).astype(np.uint64)
    h = (h ^ h >> np.uint64(16)) * np.uint64(0x21F0AAAD) & np.uint64(0xFFFFFFFF)
    h = (h ^ h >> np.uint64(15)) * np.uint64(0x735A2D97) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(15)
    return h


def dropout(x: Array, row0: int, key: int, rate: float) -> Array:
    """Return x / (1 - rate) where the element's hash is at least rate 2^32, else 0."""
    kept = _hashes(x, row0, key) >= rate * 2**32
    y: Array = np.where(kept, x * x.dtype.type(1 / (1 - rate)), x.dtype.type(0))
    return y


def alpha_numbers(rate: float) -> tuple[float, float, float]:
    """Return scale, shift and low of `alpha_dropout`, with which mean 0 and variance 1 stay."""
    lowest = -SELU_SCALE * SELU_ALPHA
    scale = ((1 - rate) * (1 + rate * lowest**2)) ** -0.5
    shift = -scale * lowest * rate
    return scale, shift, scale * lowest + shift


def alpha_dropout(x: Array, row0: int, key: int, rate: float) -> Array:
    """Return scale x + shift where `dropout` keeps x, else low."""
    scale, shift, low = map(x.dtype.type, alpha_numbers(rate))
    kept = _hashes(x, row0, key) >= rate * 2**32
    y: Array = np.where(kept, x * scale + shift, low)
    return y


_quantile = np.frompyfunc(NormalDist().inv_cdf, 1, 1)


def normal(x: Array, row0: int, key: int) -> Array:
    """Return a standard normal number for each element: the quantile that its hash names."""
    h = _hashes(x, row0, key)
    tail = _quantile(((h & np.uint64(2**31 - 1)) + 0.5) / 2**32)
    return np.where(h >> np.uint64(31), tail, -tail).astype(x.dtype)


def gaussian_noise(x: Array, row0: int, key: int, stddev: float) -> Array:
    """Return x + stddev z, z normal."""
    y: Array = x + x.dtype.type(stddev) * normal(x, row0, key)
    return y


def gaussian_dropout(x: Array, row0: int, key: int, stddev: float) -> Array:
    """Return x (1 + stddev z), z normal."""
    y: Array = x * (1 + x.dtype.type(stddev) * normal(x, row0, key))
    return y


# ---- normalization, and relu with a trained slope ------------------------------------------------


def layer_norm(
    x: Array, gamma: Array | None, beta: Array | None, epsilon: float
) -> tuple[Array, Array]:
    """Return x normalized by each row's mean and variance, and (1 / root, mean) of each row."""
    mean = x.mean(axis=1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=1, keepdims=True)
    rstd = 1 / np.sqrt(variance + x.dtype.type(epsilon))
    y = (x - mean) * rstd
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta, np.hstack([rstd, mean])


def layer_norm_backward(x: Array, dy: Array, gamma: Array | None, stats: Array) -> Array:
    """Return dx of layer_norm."""
    rstd, mean = stats[:, :1], stats[:, 1:]
    hat, g = (x - mean) * rstd, dy if gamma is None else dy * gamma
    product = (g * hat).mean(axis=1, keepdims=True)
    dx: Array = rstd * (g - g.mean(axis=1, keepdims=True) - hat * product)
    return dx


def layer_norm_gradient(x: Array, dy: Array, stats: Array) -> tuple[Array, Array]:
    """Return the gradients of gamma and of beta."""
    return (dy * (x - stats[:, 1:]) * stats[:, :1]).sum(axis=0), dy.sum(axis=0)


def batch_norm_moments(
    x: Array, moving_mean: Array, moving_variance: Array, momentum: float
) -> tuple[Array, Array]:
    """Return mean and variance of the columns; the moving ones follow, in place."""
    mean = x.mean(axis=0)
    variance = ((x - mean) ** 2).mean(axis=0)
    for moving, now in ((moving_mean, mean), (moving_variance, variance)):
        moving *= momentum
        moving += (1 - momentum) * now
    return mean, variance


def batch_norm_calm(
    mean: Array, variance: Array, gamma: Array | None, beta: Array | None, epsilon: float
) -> tuple[Array, Array]:
    """Return scale and shift of y = (x - mean) / sqrt(variance + epsilon) gamma + beta."""
    scale = 1 / np.sqrt(variance + mean.dtype.type(epsilon))
    scale = scale if gamma is None else scale * gamma
    shift = -mean * scale
    return scale, shift if beta is None else shift + beta


def batch_norm_sums(
    x: Array, dy: Array, mean: Array, variance: Array, epsilon: float
) -> tuple[Array, Array]:
    """Return the gradients of gamma and of beta."""
    rstd = 1 / np.sqrt(variance + mean.dtype.type(epsilon))
    return (dy * (x - mean) * rstd).sum(axis=0), dy.sum(axis=0)


def batch_norm_backward(
    x: Array,
    dy: Array,
    mean: Array,
    variance: Array,
    gamma: Array | None,
    epsilon: float,
    sums: tuple[Array, Array],
) -> Array:
    """Return dx where mean and variance are those of x, and `sums` what batch_norm_sums gave."""
    rstd = 1 / np.sqrt(variance + mean.dtype.type(epsilon))
    scale = rstd if gamma is None else rstd * gamma
    dgamma, dbeta = sums
    n = x.dtype.type(len(x))
    dx: Array = scale * (dy - dbeta / n - (x - mean) * rstd * (dgamma / n))
    return dx


def prelu(x: Array, alpha: Array) -> Array:
    """Return x where that is above 0, else x alpha."""
    return np.where(x > 0, x, x * alpha)


def prelu_backward(x: Array, dy: Array, alpha: Array) -> Array:
    """Return dx of prelu."""
    return np.where(x > 0, dy, dy * alpha)


def prelu_gradient(x: Array, dy: Array) -> Array:
    """Return the gradient of alpha."""
    total: Array = np.where(x > 0, x.dtype.type(0), dy * x).sum(axis=0)
    return total


def embed(x: Array, number: Array | None = None) -> Array:
    """Return the rows of x that the numbers stand for, NaN for a number that stands for none."""
    if number is None:
        return x.copy()
    with np.errstate(invalid="ignore"):
        good = (number >= 0) & (number < len(x)) & (np.floor(number) == number)
    return np.where(
        good[:, None], x[np.where(good, number, 0).astype(np.int64)], x.dtype.type(np.nan)
    )


def embed_gradient(number: Array, dy: Array, rows: int) -> Array:
    """Return the gradient of x, of so many rows, in embed: row by row of dy, in their order."""
    dx = np.zeros((rows, dy.shape[1]), dy.dtype)
    with np.errstate(invalid="ignore"):
        good = (number >= 0) & (number < rows) & (np.floor(number) == number)
    np.add.at(dx, number[good].astype(np.int64), dy[good])
    return dx


# ---- optimizers: one step, in place on w and the slots m, v and u -----------------------------

Slots = Mapping[str, Array]
Hyper = Mapping[str, Any]


def _mean(x: Array, mean: Array, part: float) -> None:
    """mean += part (x - mean), in place."""
    mean += part * (x - mean)


def sgd(g: Array, w: Array, slots: Slots, hyper: Hyper) -> None:
    """Take a step of gradient descent: m = momentum m - lr g; w += m, or Nesterov's look ahead.

    `hyper`: learning_rate, momentum, nesterov. There is no m where momentum is 0.
    """
    step = g * -hyper["learning_rate"]
    if "m" in slots:
        m = slots["m"]
        m *= hyper["momentum"]
        m += step
        if hyper["nesterov"]:
            step += hyper["momentum"] * m
        else:
            step = m
    w += step


def adam(g: Array, w: Array, slots: Slots, hyper: Hyper) -> None:
    """Take a step of Adam: w -= lr m / (sqrt(v) + epsilon) after the moving means m and v.

    `hyper`: learning_rate (already corrected for bias), beta_1, beta_2, epsilon.
    """
    m, v = slots["m"], slots["v"]
    t = g - m
    t *= 1 - hyper["beta_1"]
    m += t
    np.multiply(g, g, out=t)
    t -= v
    t *= 1 - hyper["beta_2"]
    v += t
    np.sqrt(v, out=t)
    t += hyper["epsilon"]
    np.divide(m, t, out=t)
    t *= hyper["learning_rate"]
    w -= t


def amsgrad(g: Array, w: Array, slots: Slots, hyper: Hyper) -> None:
    """Take a step of Adam with u, the largest v so far, in place of v (Reddi et al. 2018)."""
    m, v, u = slots["m"], slots["v"], slots["u"]
    _mean(g, m, 1 - hyper["beta_1"])
    _mean(g * g, v, 1 - hyper["beta_2"])
    np.maximum(u, v, out=u)
    w -= hyper["learning_rate"] * m / (np.sqrt(u) + hyper["epsilon"])


def nadam(g: Array, w: Array, slots: Slots, hyper: Hyper) -> None:
    """Take a step of Adam along part_m m + part_g g (Dozat 2016).

    `hyper`: Adam's, learning_rate and epsilon already corrected for bias; part_m, part_g.
    """
    m, v = slots["m"], slots["v"]
    _mean(g, m, 1 - hyper["beta_1"])
    _mean(g * g, v, 1 - hyper["beta_2"])
    ahead = hyper["part_m"] * m + hyper["part_g"] * g
    w -= hyper["learning_rate"] * ahead / (np.sqrt(v) + hyper["epsilon"])


def adamax(g: Array, w: Array, slots: Slots, hyper: Hyper) -> None:
    """Take a step of Adamax, whose v is a falling maximum of |g| (Kingma & Ba 2015)."""
    m, v = slots["m"], slots["v"]
    _mean(g, m, 1 - hyper["beta_1"])
    np.maximum(hyper["beta_2"] * v, np.abs(g), out=v)
    w -= hyper["learning_rate"] * m / (v + hyper["epsilon"])


def rmsprop(g: Array, w: Array, slots: Slots, hyper: Hyper) -> None:
    """Take a step along g / sqrt(v + epsilon), v the moving mean of g^2 (Tieleman & Hinton 2012).

    `hyper`: learning_rate, rho, momentum, epsilon, centered: v without the square of the mean u.
    """
    v = slots["v"]
    _mean(g * g, v, 1 - hyper["rho"])
    square = v
    if hyper["centered"]:
        _mean(g, slots["u"], 1 - hyper["rho"])
        square = np.maximum(v - slots["u"] ** 2, 0)
    step = hyper["learning_rate"] * g / np.sqrt(square + hyper["epsilon"])
    if "m" in slots:
        m = slots["m"]
        m *= hyper["momentum"]
        m += step
        step = m
    w -= step


def adagrad(g: Array, w: Array, slots: Slots, hyper: Hyper) -> None:
    """Take a step along g / sqrt(v + epsilon), v the sum of all g^2 (Duchi et al. 2011)."""
    v = slots["v"]
    v += g * g
    w -= hyper["learning_rate"] * g / np.sqrt(v + hyper["epsilon"])


def lion(g: Array, w: Array, slots: Slots, hyper: Hyper) -> None:
    """Take a step of one size in every weight, by the sign of a mean (Chen et al. 2023)."""
    m = slots["m"]
    w -= hyper["learning_rate"] * np.sign(m + (1 - hyper["beta_1"]) * (g - m))
    _mean(g, m, 1 - hyper["beta_2"])


def average(g: Array, w: Array, slots: Slots, hyper: Hyper) -> None:
    """Take weights `g` into their moving average `w`."""
    _mean(g, w, 1 - hyper["beta_1"])


def norm(l1: float, l2: float, w: Array, g: Array) -> tuple[float, float]:
    """Return the sum of (g + l1 sign(w) + 2 l2 w)^2 and the penalty, of l1 |w| + l2 w^2."""
    shaped = g + l1 * np.sign(w) + 2 * l2 * w
    return float((shaped * shaped).sum()), float((l1 * np.abs(w) + l2 * w * w).sum())


def gradient_sgd(x: Array, dy: Array, w: Array, slots: Slots, hyper: Hyper) -> Array:
    """Return the gradient x^T dy of the weights `w`, and take the step of `sgd` with it."""
    g: Array = gemm_tn(x, dy)
    sgd(g, w, slots, hyper)
    return g


def gradient_adam(x: Array, dy: Array, w: Array, slots: Slots, hyper: Hyper) -> Array:
    """Return the gradient x^T dy of the weights `w`, and take the step of `adam` with it."""
    g: Array = gemm_tn(x, dy)
    adam(g, w, slots, hyper)
    return g


def gradient_norm(
    x: Array, dy: Array, w: Array, l1: float, l2: float
) -> tuple[Array, float, float]:
    """Return the gradient x^T dy of the weights `w`, and what `norm` makes of both."""
    g: Array = gemm_tn(x, dy)
    return (g, *norm(l1, l2, w, g))


def fma_peak(n: int) -> float:
    """Run n rounds of multiply-adds on an array that stays in cache; return their operations."""
    x = np.ones(4096, np.float32)
    for _ in range(n):
        x *= 0.5
        x += 0.5
    return 2.0 * n * x.size


LOSSES: dict[str, Callable[..., Any]] = {
    kernel.__name__: kernel
    for kernel in (
        mse, bce, bce_logits, xent, xent_logits, mae, mape, msle, huber, log_cosh, quantile,
        poisson, hinge, squared_hinge, categorical_hinge, kld, cosine, focal, focal_logits,
        focal_xent, focal_xent_logits, gaussian_nll, half_squared, half_poisson_logits,
        log_loss_logits,
    )
}  # fmt: skip
KERNELS: dict[str, Callable[..., Any]] = {
    **FORWARD,
    **LOSSES,
    **{f"{name}_backward": backward for name, backward in BACKWARD.items()},
} | {
    kernel.__name__: kernel
    for kernel in (
        log, log_backward,
        ramp, ramp_backward, exp_tail, exp_tail_backward,
        gemm_nn, gemm_tn,
        pair_columns, pair_rows,
        few_nn, few_nt,
        pack, pack_transpose, unpack, gather, gather_from,
        sparse_nn, scatter_add,
        add, scale_shift, colsum, colsquare,
        dropout, alpha_dropout, gaussian_noise, gaussian_dropout,
        layer_norm, layer_norm_backward, layer_norm_gradient,
        batch_norm_moments, batch_norm_calm, batch_norm_sums, batch_norm_backward,
        prelu, prelu_backward, prelu_gradient,
        embed, embed_gradient,
        argmax_match, in_top_k, threshold_match, squared_error, absolute_error,
        true_positive, predicted_positive, actual_positive,
        sgd, adam, amsgrad, nadam, adamax, rmsprop, adagrad, lion, average,
        norm,
        gradient_sgd, gradient_adam, gradient_norm,
        fma_peak,
    )
}  # fmt: skip
