"""The C kernels as functions on NumPy arrays; fastnn.kernels shows them to the user.

An array that lies as the kernels want it (ndarray, float32 or float64 in native byte order,
aligned, C-contiguous; an operand of a product also transposed, or with gaps between its rows) is
read where it is; anything else goes through NumPy once, to be made so.
Results are allocated by NumPy; arithmetic is the kernels' alone.
"""

from numbers import Real

import numpy as np

from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_IsContiguous, PyBuffer_Release,
)
from libc.math cimport INFINITY
from libc.string cimport memset

from fastnn._native.core cimport (
    FNN_BFLOAT16, FNN_FLOAT32, FNN_FLOAT64, Activation, activation as activation_of,
    fnn_barrier, fnn_barrier_wait, fnn_colsum, fnn_curve, fnn_curve_grad, fnn_grad, fnn_kernels, fnn_now,
    fnn_probe, fnn_rows, fnn_rows_grad, fnn_unary, FNN_CURVE_PARAMS, kernels, n_threads,
)
from fastnn._native.matmul cimport THREAD_WORK, multiply, product, share, work_of
from fastnn._native.team cimport pays, run_team

cdef extern from "Python.h":
    # -1 and an exception, or 0
    int PyObject_GetBuffer(object x, Py_buffer *view, int flags) noexcept
    void PyErr_Clear()

cdef object ndarray = np.ndarray
cdef object empty = np.empty
cdef object float32 = np.dtype(np.float32)
cdef object float64 = np.dtype(np.float64)
cdef const fnn_kernels *f32 = kernels(FNN_FLOAT32)
cdef const fnn_kernels *f64 = kernels(FNN_FLOAT64)

# Elements for which another thread pays, and the fewest that it gets where the caller wants it.
cdef enum:
    ELEMENTS_PAY = 1 << 16
    ELEMENTS_LEAST = 1 << 12
    # Multiply-adds that take as long as so many elements: of such work it takes some to pay for waking a team.
    PRODUCTS_UNIT = 1 << 20


# ---- arrays in ---------------------------------------------------------------------------------

cdef bint look(object x, Array *a, int flags=PyBUF_FORMAT | PyBUF_STRIDES):
    """Whether the kernels can read x (write, with PyBUF_WRITABLE) where it lies; then `a`
    describes it."""
    cdef Py_buffer view
    cdef int i
    cdef bint good = False
    if type(x) is not ndarray:
        return False
    if PyObject_GetBuffer(x, &view, flags) != 0:
        PyErr_Clear()       # a dtype that buffers cannot say, such as datetime64, or read-only
        return False
    if view.format[0] in (b"f", b"d") and view.format[1] == 0:
        good = <size_t>view.buf % view.itemsize == 0 and PyBuffer_IsContiguous(&view, b"C")
    if good:
        a.data = <char *>view.buf
        a.dtype = FNN_FLOAT32 if view.format[0] == b"f" else FNN_FLOAT64
        a.ndim = view.ndim
        a.bytes = view.len
        a.size = view.len // view.itemsize
        a.cols = view.shape[view.ndim - 1] if view.ndim else 1
        a.rows = 1
        for i in range(view.ndim - 1):
            a.rows *= view.shape[i]
        a.ld, a.transposed = a.cols, False
    PyBuffer_Release(&view)
    return good


cdef bint look_at_operand(object x, Array *a):
    """The same where products are to read x: of a matrix its rows, or its columns, may lie apart."""
    cdef Py_buffer view
    cdef ptrdiff_t size, row, column
    if look(x, a):
        return True
    if type(x) is not ndarray or x.ndim != 2 or not x.flags.aligned:
        return False
    if PyObject_GetBuffer(x, &view, PyBUF_FORMAT | PyBUF_STRIDES) != 0:
        PyErr_Clear()
        return False
    size, row, column = view.itemsize, view.strides[0], view.strides[1]
    a.rows, a.cols, a.ndim, a.data = view.shape[0], view.shape[1], 2, <char *>view.buf
    a.transposed = row == size and column >= a.rows * size and column % size == 0
    cdef bint good = view.format[0] in (b"f", b"d") and view.format[1] == 0 and (
        a.transposed or (column == size and row >= a.cols * size and row % size == 0))
    if good:
        a.dtype = FNN_FLOAT32 if view.format[0] == b"f" else FNN_FLOAT64
        a.ld = (column if a.transposed else row) // size
        a.size = a.rows * a.cols
        a.bytes = ((a.rows - 1) * row + (a.cols - 1) * column) + size
    PyBuffer_Release(&view)
    return good


cdef object real_array(object x, str name):
    """x as an ndarray of booleans, integers or floats."""
    try:
        array = np.asarray(x)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must be an array of real numbers, got {type(x).__name__}: {error}") from None
    if array.dtype.kind == "O" and all(isinstance(value, Real) for value in array.flat):
        array = array.astype(float64)       # a frame of several dtypes, or of nullable ones
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(
            f"{name} must be an array of real numbers (float32 or float64, or bool, integers or "
            f"float16, which become float32), got dtype {array.dtype}")
    return array


cdef tuple plain(tuple names, tuple xs):
    """xs as arrays for which look() is true, all of one dtype: float64 where one of them is."""
    arrays = [real_array(x, name) for name, x in zip(names, xs)]
    wide = any(a.dtype.kind == "f" and a.dtype.itemsize == 8 for a in arrays)
    dtype = float64 if wide else float32
    return tuple([np.require(a, dtype, "CA") for a in arrays])


cdef inline const fnn_kernels *kernels_of(const Array *a) noexcept:
    return f32 if a.dtype == FNN_FLOAT32 else f64


# ---- arrays out --------------------------------------------------------------------------------

cdef object same_array(object a, object b):
    return (a.shape == b.shape and a.strides == b.strides and a.dtype == b.dtype
            and a.__array_interface__["data"][0] == b.__array_interface__["data"][0])


cdef bint fits(object out, tuple shape, int dtype, tuple xs, Array *y, const Array *known):
    """Whether `out` is plainly right: then `y` describes it. What is not may be right as well, or
    else target() finds out what is wrong. `known` describes xs, if it is not NULL."""
    cdef Array x
    cdef int i
    if len(shape) not in (1, 2) or not look(
            out, y, PyBUF_FORMAT | PyBUF_STRIDES | PyBUF_WRITABLE):
        return False
    if y.dtype != dtype or y.ndim != len(shape) or y.cols != shape[y.ndim - 1]:
        return False
    if y.ndim == 2 and y.rows != shape[0]:
        return False
    for i in range(len(xs)):
        if known != NULL:
            x = known[i]
        elif not look(xs[i], &x):
            return False
        if x.data < y.data + y.bytes and y.data < x.data + x.bytes:
            return False
    return True


cdef int check_apart(object out, object x, str name, bint in_place) except -1:
    cdef Array a, b
    if look(out, &a) and look(x, &b):
        if a.data >= b.data + b.bytes or b.data >= a.data + a.bytes:
            return 0
        shared = a.bytes > 0 and b.bytes > 0
    else:
        # What is no ndarray may still lend its memory to one: a frame, a memoryview.
        shared = np.shares_memory(out, real_array(x, name))
    if shared and not (in_place and same_array(out, x)):
        instead = " or be that very array" if in_place else ""
        raise ValueError(
            f"out must not overlap {name}{instead}, got an array that shares memory with it")
    return 0


cdef object target(object out, tuple shape, int dtype_code, tuple names, tuple xs, bint in_place,
                   Array *y, const Array *known=NULL):
    """The array that `y` then describes, to compute into: a new one, `out`, or, where the kernels
    cannot write `out` as it lies, a temporary for deliver(). xs are the arguments as given;
    `known`, if it is not NULL, describes them, so that small calls need not look again."""
    dtype = float32 if dtype_code == FNN_FLOAT32 else float64
    if out is not None:
        if fits(out, shape, dtype_code, xs, y, known):
            return out
        if not isinstance(out, ndarray):
            raise TypeError(f"out must be a NumPy array, got {type(out).__name__}")
        if out.dtype != dtype:
            raise TypeError(f"out must have dtype {dtype}, got {out.dtype}")
        if out.shape != shape:
            raise ValueError(f"out must have shape {shape}, got {out.shape}")
        if not out.flags.writeable:
            raise ValueError("out must be writable, got a read-only array")
        for name, x in zip(names, xs):
            check_apart(out, x, name, in_place)
        if look(out, y):
            return out
    result = empty(shape, dtype)
    look(result, y)
    return result


cdef inline object deliver(object result, object out):
    if out is None or result is out:
        return result
    out[...] = result
    return out


# ---- element by element ------------------------------------------------------------------------


# One pass over arrays: the one kernel that is not NULL, on `total` elements, rows or (colsum)
# columns, which are divided among the threads at multiples of `unit`. `stride`: bytes from one
# to the next.
cdef struct sweep:
    fnn_unary unary
    fnn_grad grad
    fnn_curve curve
    fnn_curve_grad curve_grad
    double param[FNN_CURVE_PARAMS]
    fnn_rows rows
    fnn_rows_grad rows_grad
    fnn_colsum colsum
    const char *x           # of the backward kernels, what the derivative is computed from
    const char *dy
    char *y
    ptrdiff_t total, unit, stride
    ptrdiff_t n_rows, n_cols, panel


cdef void sweep_part(void *what, int part, int parts) noexcept nogil:
    cdef const sweep *s = <const sweep *>what
    cdef ptrdiff_t first = share(s.total, s.unit, part, parts)
    cdef ptrdiff_t n = share(s.total, s.unit, part + 1, parts) - first
    cdef ptrdiff_t offset = first * s.stride
    cdef const char *x = s.x + offset
    cdef char *y = s.y + offset
    if s.unary != NULL:
        s.unary(n, x, y)
    elif s.grad != NULL:
        s.grad(n, x, s.dy + offset, y)
    elif s.curve != NULL:
        s.curve(n, s.param, x, y)
    elif s.curve_grad != NULL:
        s.curve_grad(n, s.param, x, s.dy + offset, y)
    elif s.rows != NULL:
        s.rows(n, s.n_cols, s.n_cols, s.panel, x, y)
    elif s.rows_grad != NULL:
        s.rows_grad(n, s.n_cols, s.n_cols, s.panel, x, s.dy + offset, y)
    else:
        s.colsum(s.n_rows, n, s.n_cols, s.panel, x, s.panel, y)


cdef void run(const sweep *s, ptrdiff_t threads):
    """The pass on at most `threads` threads, as many as it has elements for."""
    cdef ptrdiff_t size = s.n_rows * s.n_cols
    if size < ELEMENTS_LEAST:
        sweep_part(<void *>s, 0, 1)     # done before another Python thread could make use of the GIL
    else:
        with nogil:
            run_team(sweep_part, <void *>s, min(threads, size // ELEMENTS_LEAST))


cdef sweep elementwise(const Array *x, const Array *dy, Array *y):
    cdef sweep s
    memset(&s, 0, sizeof(s))
    s.x = x.data
    s.dy = dy.data
    s.y = y.data
    s.n_rows = x.rows
    s.n_cols = x.cols
    s.total = x.size
    s.unit = 1024
    s.stride = x.bytes // x.size if x.size else 0
    s.panel = kernels_of(x).panel
    return s


cdef sweep row_by_row(const Array *x, const Array *dy, Array *y):
    cdef sweep s = elementwise(x, dy, y)
    s.total = x.rows
    s.unit = 1
    s.stride *= x.cols
    return s


cdef int team_for(object num_threads, ptrdiff_t work, ptrdiff_t for_one, double unit) except -1:
    """Threads to use: num_threads if given, else as many as have `for_one` of the work each, if to
    wake them pays, which goes by units of work."""
    if num_threads is None:
        if work < 2 * for_one or not pays(work / unit):
            return 1
        return min(n_threads(None), work // for_one)
    if type(num_threads) is int and num_threads == 1:
        return 1
    return n_threads(num_threads)


cdef int team_for_elements(object num_threads, ptrdiff_t n) except -1:
    return team_for(num_threads, n, ELEMENTS_PAY, ELEMENTS_PAY)


cdef int team_for_product(object num_threads, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k) except -1:
    return team_for(num_threads, work_of(m, n, k), THREAD_WORK, PRODUCTS_UNIT)


cdef object unary(object x, object out, object num_threads, fnn_unary single, fnn_unary double):
    cdef Array ax, ay
    given = x
    if not look(x, &ax):
        x, = plain(("x",), (x,))
        look(x, &ax)
    cdef int threads = team_for_elements(num_threads, ax.size)
    y = target(out, x.shape, ax.dtype, ("x",), (given,), True, &ay,
               &ax if x is given else NULL)
    cdef sweep s = elementwise(&ax, &ax, &ay)
    s.unary = single if ax.dtype == FNN_FLOAT32 else double
    run(&s, threads)
    return deliver(y, out)


cdef tuple saved_and_gradient(tuple names, object saved, object dy, Array *a_saved, Array *a_dy):
    """The two inputs of a backward kernel, plain and of one dtype and shape."""
    if not (look(saved, a_saved) and look(dy, a_dy) and a_saved.dtype == a_dy.dtype):
        saved, dy = plain(names, (saved, dy))
        look(saved, a_saved)
        look(dy, a_dy)
    if saved.shape != dy.shape:
        raise ValueError(f"dy must have the shape of {names[0]}, {saved.shape}, got {dy.shape}")
    return saved, dy


cdef object backward(tuple names, object saved, object dy, object out, object num_threads,
                     fnn_grad single, fnn_grad double):
    cdef Array a_saved, a_dy, a_dx
    given = saved, dy
    saved, dy = saved_and_gradient(names, saved, dy, &a_saved, &a_dy)
    cdef int threads = team_for_elements(num_threads, a_dy.size)
    dx = target(out, dy.shape, a_dy.dtype, names, given, True, &a_dx)
    cdef sweep s = elementwise(&a_saved, &a_dy, &a_dx)
    s.grad = single if a_dy.dtype == FNN_FLOAT32 else double
    run(&s, threads)
    return deliver(dx, out)


cdef tuple Y_DY = ("y", "dy")
cdef tuple X_DY = ("x", "dy")


def sigmoid(x, *, out=None, num_threads=None):
    """1 / (1 + exp(-x)), element by element.

    Parameters
    ----------
    x : array_like of real numbers, any shape
    out : ndarray, optional
        Where to put the result: of its shape and dtype, `x` itself or apart from it. One that is
        not C-contiguous is filled by way of a temporary.
    num_threads : int, optional
        At most this many threads; None: the package's setting, and one where more do not pay.

    Returns
    -------
    ndarray of the shape of x
        float64 if x is float64, else float32.

    Raises
    ------
    TypeError
        If x is complex, text or objects, or out is not an array of the right dtype.
    ValueError
        If out has the wrong shape, is read-only or overlaps x in part, or num_threads < 1.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.sigmoid([-1.0, 0.0, 2.0]).round(3)
    array([0.269, 0.5  , 0.881])
    """
    return unary(x, out, num_threads, f32.sigmoid, f64.sigmoid)


def tanh(x, *, out=None, num_threads=None):
    """tanh(x), element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.tanh([-1.0, 0.0, 2.0]).round(3)
    array([-0.762,  0.   ,  0.964])
    """
    return unary(x, out, num_threads, f32.tanh, f64.tanh)


def relu(x, *, out=None, num_threads=None):
    """max(x, 0); NaN stays NaN, element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.relu([-1.0, 0.0, 8.0])
    array([0., 0., 8.])
    """
    return unary(x, out, num_threads, f32.relu, f64.relu)


def exp(x, *, out=None, num_threads=None):
    """exp(x), element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.exp([-1.0, 0.0, 2.0]).round(3)
    array([0.368, 1.   , 7.389])
    """
    return unary(x, out, num_threads, f32.exp, f64.exp)


def log(x, *, out=None, num_threads=None):
    """The natural logarithm: -inf at 0, NaN below, element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.log([1.0, 2.0]).round(3)
    array([0.   , 0.693])
    """
    return unary(x, out, num_threads, f32.log, f64.log)


def softplus(x, *, out=None, num_threads=None):
    """log(1 + exp(x)), without overflow, element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.softplus([-1.0, 0.0, 2.0]).round(3)
    array([0.313, 0.693, 2.127])
    """
    return unary(x, out, num_threads, f32.softplus, f64.softplus)


def silu(x, *, out=None, num_threads=None):
    """x sigmoid(x), element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.silu([-1.0, 0.0, 2.0]).round(3)
    array([-0.269,  0.   ,  1.762])
    """
    return unary(x, out, num_threads, f32.silu, f64.silu)


def relu6(x, *, out=None, num_threads=None):
    """max(x, 0), at most 6, element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.relu6([-1.0, 0.0, 8.0])
    array([0., 0., 6.])
    """
    return unary(x, out, num_threads, f32.relu6, f64.relu6)


def leaky_relu(x, *, out=None, num_threads=None):
    """x where x > 0, else 0.2 x, element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.leaky_relu([-1.0, 0.0, 2.0]).round(3)
    array([-0.2,  0. ,  2. ])
    """
    return unary(x, out, num_threads, f32.leaky_relu, f64.leaky_relu)


def elu(x, *, out=None, num_threads=None):
    """x where x > 0, else exp(x) - 1, element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.elu([-1.0, 0.0, 2.0]).round(3)
    array([-0.632,  0.   ,  2.   ])
    """
    return unary(x, out, num_threads, f32.elu, f64.elu)


def selu(x, *, out=None, num_threads=None):
    """1.0507 x where x > 0, else 1.7581 (exp(x) - 1) (Klambauer et al. 2017), element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.selu([-1.0, 0.0, 2.0]).round(3)
    array([-1.111,  0.   ,  2.101])
    """
    return unary(x, out, num_threads, f32.selu, f64.selu)


def log_sigmoid(x, *, out=None, num_threads=None):
    """log(1 / (1 + exp(-x))), without overflow, element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.log_sigmoid([-1.0, 0.0, 2.0]).round(3)
    array([-1.313, -0.693, -0.127])
    """
    return unary(x, out, num_threads, f32.log_sigmoid, f64.log_sigmoid)


def softsign(x, *, out=None, num_threads=None):
    """x / (1 + |x|), element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.softsign([-1.0, 0.0, 2.0]).round(3)
    array([-0.5  ,  0.   ,  0.667])
    """
    return unary(x, out, num_threads, f32.softsign, f64.softsign)


def hard_tanh(x, *, out=None, num_threads=None):
    """x, at least -1 and at most 1, element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.hard_tanh([-1.0, 0.0, 2.0])
    array([-1.,  0.,  1.])
    """
    return unary(x, out, num_threads, f32.hard_tanh, f64.hard_tanh)


def hard_sigmoid(x, *, out=None, num_threads=None):
    """relu6(x + 3) / 6, element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.hard_sigmoid([-1.0, 0.0, 2.0]).round(3)
    array([0.333, 0.5  , 0.833])
    """
    return unary(x, out, num_threads, f32.hard_sigmoid, f64.hard_sigmoid)


def hard_silu(x, *, out=None, num_threads=None):
    """x hard_sigmoid(x), element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.hard_silu([-1.0, 0.0, 2.0]).round(3)
    array([-0.333,  0.   ,  1.667])
    """
    return unary(x, out, num_threads, f32.hard_silu, f64.hard_silu)


def gelu(x, *, out=None, num_threads=None):
    """x Phi(x), Phi the normal distribution's function: (1 + erf(x / sqrt(2))) / 2, element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.gelu([-1.0, 0.0, 2.0]).round(3)
    array([-0.159,  0.   ,  1.954])
    """
    return unary(x, out, num_threads, f32.gelu, f64.gelu)


def gelu_tanh(x, *, out=None, num_threads=None):
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, close to `gelu`, element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.gelu_tanh([-1.0, 0.0, 2.0]).round(3)
    array([-0.159,  0.   ,  1.955])
    """
    return unary(x, out, num_threads, f32.gelu_tanh, f64.gelu_tanh)


def mish(x, *, out=None, num_threads=None):
    """x tanh(softplus(x)), element by element.

    Parameters, result and errors are those of `sigmoid`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.mish([-1.0, 0.0, 2.0]).round(3)
    array([-0.303,  0.   ,  1.944])
    """
    return unary(x, out, num_threads, f32.mish, f64.mish)


def sigmoid_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `sigmoid`: dy y (1 - y).

    Parameters
    ----------
    y, dy : array_like of real numbers, of one shape
        The output of `sigmoid`, and the gradient of the loss with respect to the output.
    out, num_threads
        As for `sigmoid`; out may be y or dy itself.

    Returns
    -------
    ndarray of that shape
        The gradient of the loss with respect to the input.

    Raises
    ------
    TypeError, ValueError
        As `sigmoid`, and ValueError if the shapes differ.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.sigmoid_backward([0.5, 0.9], [1.0, 1.0]).round(3)
    array([0.25, 0.09])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.sigmoid_backward, f64.sigmoid_backward)


def tanh_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `tanh`: dy (1 - y^2).

    Parameters, result and errors are those of `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.tanh_backward([-0.5, 0.9], [1.0, 1.0]).round(3)
    array([0.75, 0.19])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.tanh_backward, f64.tanh_backward)


def relu_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `relu`: dy where y > 0, else 0.

    Parameters, result and errors are those of `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.relu_backward([-0.5, 2.0], [1.0, 1.0])
    array([0., 1.])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.relu_backward, f64.relu_backward)


def exp_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `exp`: dy y.

    Parameters, result and errors are those of `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.exp_backward([1.0, 2.0], [1.0, 1.0]).round(3)
    array([1., 2.])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.exp_backward, f64.exp_backward)


def log_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `log`: dy / x = dy exp(-y).

    Parameters, result and errors are those of `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.log_backward([-0.5, 2.0], [1.0, 1.0]).round(3)
    array([1.649, 0.135])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.log_backward, f64.log_backward)


def softplus_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `softplus`: dy sigmoid(x) = dy (1 - exp(-y)).

    Parameters, result and errors are those of `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.softplus_backward([0.3, 2.0], [1.0, 1.0]).round(3)
    array([0.259, 0.865])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.softplus_backward, f64.softplus_backward)


def silu_backward(x, dy, *, out=None, num_threads=None):
    """The gradient through `silu`: dy s (1 + x (1 - s)), s = sigmoid(x).

    From the input x: the output does not determine the derivative. Otherwise as `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.silu_backward([-0.5, 2.0], [1.0, 1.0]).round(3)
    array([0.26 , 1.091])
    """
    return backward(X_DY, x, dy, out, num_threads, f32.silu_backward, f64.silu_backward)


def relu6_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `relu6`: dy where 0 < y < 6, else 0.

    Parameters, result and errors are those of `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.relu6_backward([0.0, 2.0, 6.0], [1.0, 1.0, 1.0])
    array([0., 1., 0.])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.relu6_backward, f64.relu6_backward)


def leaky_relu_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `leaky_relu`: dy where y > 0, else 0.2 dy.

    Parameters, result and errors are those of `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.leaky_relu_backward([-0.5, 2.0], [1.0, 1.0]).round(3)
    array([0.2, 1. ])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.leaky_relu_backward, f64.leaky_relu_backward)


def elu_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `elu`: dy where y > 0, else dy (y + 1).

    Parameters, result and errors are those of `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.elu_backward([-0.5, 2.0], [1.0, 1.0]).round(3)
    array([0.5, 1. ])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.elu_backward, f64.elu_backward)


def selu_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `selu`: dy 1.0507 where y > 0, else dy (y + 1.7581).

    Parameters, result and errors are those of `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.selu_backward([-0.5, 2.0], [1.0, 1.0]).round(3)
    array([1.258, 1.051])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.selu_backward, f64.selu_backward)


def log_sigmoid_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `log_sigmoid`: dy sigmoid(-x) = dy (1 - exp(y)).

    Parameters, result and errors are those of `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.log_sigmoid_backward([-2.0, -0.5], [1.0, 1.0]).round(3)
    array([0.865, 0.393])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.log_sigmoid_backward, f64.log_sigmoid_backward)


def softsign_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `softsign`: dy / (1 + |x|)^2 = dy (1 - |y|)^2.

    Parameters, result and errors are those of `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.softsign_backward([-0.5, 0.9], [1.0, 1.0]).round(3)
    array([0.25, 0.01])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.softsign_backward, f64.softsign_backward)


def hard_tanh_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `hard_tanh`: dy where -1 < y < 1, else 0.

    Parameters, result and errors are those of `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.hard_tanh_backward([-1.0, 0.5], [1.0, 1.0])
    array([0., 1.])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.hard_tanh_backward, f64.hard_tanh_backward)


def hard_sigmoid_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `hard_sigmoid`: dy / 6 where 0 < y < 1, else 0.

    Parameters, result and errors are those of `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.hard_sigmoid_backward([0.0, 0.5], [1.0, 1.0]).round(3)
    array([0.   , 0.167])
    """
    return backward(Y_DY, y, dy, out, num_threads, f32.hard_sigmoid_backward, f64.hard_sigmoid_backward)


def hard_silu_backward(x, dy, *, out=None, num_threads=None):
    """The gradient through `hard_silu`: 0 for x <= -3, dy for x >= 3, dy (x / 3 + 1/2) between.

    From the input x: the output does not determine the derivative. Otherwise as `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.hard_silu_backward([-0.5, 2.0], [1.0, 1.0]).round(3)
    array([0.333, 1.167])
    """
    return backward(X_DY, x, dy, out, num_threads, f32.hard_silu_backward, f64.hard_silu_backward)


def gelu_backward(x, dy, *, out=None, num_threads=None):
    """The gradient through `gelu`: dy (Phi(x) + x phi(x)), phi(x) = exp(-x^2 / 2) / sqrt(2 pi).

    From the input x: the output does not determine the derivative. Otherwise as `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.gelu_backward([-0.5, 2.0], [1.0, 1.0]).round(3)
    array([0.133, 1.085])
    """
    return backward(X_DY, x, dy, out, num_threads, f32.gelu_backward, f64.gelu_backward)


def gelu_tanh_backward(x, dy, *, out=None, num_threads=None):
    """The gradient through `gelu_tanh`: dy s (1 + x g' (1 - s)), s = sigmoid(g),
    g = sqrt(8 / pi) (x + 0.044715 x^3).

    From the input x: the output does not determine the derivative. Otherwise as `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.gelu_tanh_backward([-0.5, 2.0], [1.0, 1.0]).round(3)
    array([0.133, 1.086])
    """
    return backward(X_DY, x, dy, out, num_threads, f32.gelu_tanh_backward, f64.gelu_tanh_backward)


def mish_backward(x, dy, *, out=None, num_threads=None):
    """The gradient through `mish`: dy (t + x (1 - t^2) sigmoid(x)), t = tanh(softplus(x)).

    From the input x: the output does not determine the derivative. Otherwise as `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.mish_backward([-0.5, 2.0], [1.0, 1.0]).round(3)
    array([0.29 , 1.069])
    """
    return backward(X_DY, x, dy, out, num_threads, f32.mish_backward, f64.mish_backward)


# ---- element by element, with numbers ------------------------------------------------------------

cdef object curve(object x, object out, object num_threads, fnn_curve single, fnn_curve double,
                  tuple numbers):
    cdef Array ax, ay
    given = x
    if not look(x, &ax):
        x, = plain(("x",), (x,))
        look(x, &ax)
    cdef int threads = team_for_elements(num_threads, ax.size)
    y = target(out, x.shape, ax.dtype, ("x",), (given,), True, &ay,
               &ax if x is given else NULL)
    cdef sweep s = elementwise(&ax, &ax, &ay)
    s.curve = single if ax.dtype == FNN_FLOAT32 else double
    take_numbers(&s, numbers)
    run(&s, threads)
    return deliver(y, out)


cdef object curve_backward(tuple names, object saved, object dy, object out, object num_threads,
                           fnn_curve_grad single, fnn_curve_grad double, tuple numbers):
    cdef Array a_saved, a_dy, a_dx
    given = saved, dy
    saved, dy = saved_and_gradient(names, saved, dy, &a_saved, &a_dy)
    cdef int threads = team_for_elements(num_threads, a_dy.size)
    dx = target(out, dy.shape, a_dy.dtype, names, given, True, &a_dx)
    cdef sweep s = elementwise(&a_saved, &a_dy, &a_dx)
    s.curve_grad = single if a_dy.dtype == FNN_FLOAT32 else double
    take_numbers(&s, numbers)
    run(&s, threads)
    return deliver(dx, out)


cdef int take_numbers(sweep *s, tuple numbers) except -1:
    cdef int i
    for i in range(len(numbers)):
        s.param[i] = numbers[i]
    return 0


cdef tuple ramp_numbers(double slope, double threshold, double highest):
    for name, value in ("slope", slope), ("threshold", threshold), ("highest", highest):
        if not value >= 0:
            raise ValueError(f"{name} must be a number >= 0, got {value}")
    return slope, threshold, highest


cdef tuple tail_numbers(double height, double rate):
    if not 0 <= height < INFINITY:
        raise ValueError(f"height must be a finite number >= 0, got {height}")
    if not 0 < rate < INFINITY:
        raise ValueError(f"rate must be a finite number > 0, got {rate}")
    return height, rate


def ramp(x, slope=0.0, threshold=0.0, highest=INFINITY, *, out=None, num_threads=None):
    """min(x, highest) where x > threshold, else slope (x - threshold), element by element.

    Parameters
    ----------
    x : array_like of real numbers
    slope, threshold, highest : float >= 0
    out, num_threads
        As for `sigmoid`, and so are result and errors.

    Raises
    ------
    ValueError
        If one of the numbers is below 0.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.ramp([-2.0, 0.5, 3.0], 0.1, 1.0, 2.0)
    array([-0.3 , -0.05,  2.  ])
    """
    return curve(x, out, num_threads, f32.ramp, f64.ramp, ramp_numbers(slope, threshold, highest))


def exp_tail(x, height=1.0, rate=1.0, *, out=None, num_threads=None):
    """x where x > 0, else height (exp(rate x) - 1), element by element.

    Parameters
    ----------
    x : array_like of real numbers
    height : float >= 0
    rate : float > 0
    out, num_threads
        As for `sigmoid`, and so are result and errors.

    Raises
    ------
    ValueError
        If a number is not in these bounds.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.exp_tail([-100.0, 0.0, 3.0], 0.5)
    array([-0.5,  0. ,  3. ])
    """
    return curve(x, out, num_threads, f32.exp_tail, f64.exp_tail, tail_numbers(height, rate))


def ramp_backward(x, dy, slope=0.0, threshold=0.0, highest=INFINITY, *, out=None, num_threads=None):
    """The gradient through `ramp`, from its input x: slope dy where x <= threshold, 0 where
    x >= highest, else dy.

    Otherwise as `ramp` and `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.ramp_backward([-2.0, 1.5, 3.0], [1.0, 1.0, 1.0], 0.1, 1.0, 2.0)
    array([0.1, 1. , 0. ])
    """
    return curve_backward(X_DY, x, dy, out, num_threads, f32.ramp_backward, f64.ramp_backward,
                          ramp_numbers(slope, threshold, highest))


def exp_tail_backward(y, dy, height=1.0, rate=1.0, *, out=None, num_threads=None):
    """The gradient through `exp_tail`, from its output y: dy where y > 0, else rate (y + height) dy.

    Otherwise as `exp_tail` and `sigmoid_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.exp_tail_backward([-0.5, 3.0], [1.0, 1.0], 1.0, 2.0)
    array([1., 1.])
    """
    return curve_backward(Y_DY, y, dy, out, num_threads, f32.exp_tail_backward, f64.exp_tail_backward,
                          tail_numbers(height, rate))


# ---- row by row --------------------------------------------------------------------------------

cdef int check_2d(const Array *a, str name, object x) except -1:
    if a.ndim != 2:
        raise ValueError(f"{name} must be 2-D, got {a.ndim}-D of shape {x.shape}")
    return 0


cdef object by_rows(object x, object out, object num_threads, fnn_rows single, fnn_rows double):
    cdef Array ax, ay
    given = x
    if not look(x, &ax):
        x, = plain(("x",), (x,))
        look(x, &ax)
    check_2d(&ax, "x", x)
    cdef int threads = team_for_elements(num_threads, ax.size)
    y = target(out, x.shape, ax.dtype, ("x",), (given,), True, &ay,
               &ax if x is given else NULL)
    cdef sweep s = row_by_row(&ax, &ax, &ay)
    s.rows = single if ax.dtype == FNN_FLOAT32 else double
    run(&s, threads)
    return deliver(y, out)


cdef object backward_by_rows(object y, object dy, object out, object num_threads,
                             fnn_rows_grad single, fnn_rows_grad double):
    cdef Array a_y, a_dy, a_dx
    given = y, dy
    y, dy = saved_and_gradient(Y_DY, y, dy, &a_y, &a_dy)
    check_2d(&a_y, "y", y)
    cdef int threads = team_for_elements(num_threads, a_y.size)
    dx = target(out, dy.shape, a_dy.dtype, Y_DY, given, True, &a_dx)
    cdef sweep s = row_by_row(&a_y, &a_dy, &a_dx)
    s.rows_grad = single if a_y.dtype == FNN_FLOAT32 else double
    run(&s, threads)
    return deliver(dx, out)


def softmax(x, *, out=None, num_threads=None):
    """exp(x) / sum(exp(x)) of each row, without overflow.

    Parameters
    ----------
    x : array_like of real numbers, shape (n, m)
    out, num_threads
        As for `sigmoid`.

    Returns
    -------
    ndarray of shape (n, m)

    Raises
    ------
    TypeError, ValueError
        As `sigmoid`, and ValueError if x is not 2-D.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.softmax([[0.0, 1.0, 1.0]]).round(3)
    array([[0.155, 0.422, 0.422]])
    """
    return by_rows(x, out, num_threads, f32.softmax, f64.softmax)


def log_softmax(x, *, out=None, num_threads=None):
    """x - log(sum(exp(x))) of each row, without overflow.

    Parameters, result and errors are those of `softmax`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.log_softmax([[0.0, 1.0, 1.0]]).round(3)
    array([[-1.862, -0.862, -0.862]])
    """
    return by_rows(x, out, num_threads, f32.log_softmax, f64.log_softmax)


def softmax_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `softmax`: y (dy - sum(y dy)) of each row.

    Parameters
    ----------
    y, dy : array_like of real numbers, shape (n, m)
        The output of `softmax`, and the gradient of the loss with respect to it.
    out, num_threads
        As for `sigmoid`; out may be y or dy itself.

    Returns
    -------
    ndarray of shape (n, m)
        The gradient of the loss with respect to the input.

    Raises
    ------
    TypeError, ValueError
        As `softmax`, and ValueError if the shapes differ.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.softmax_backward([[0.5, 0.25, 0.25]], [[1.0, 0.0, 0.0]]).round(3)
    array([[ 0.25 , -0.125, -0.125]])
    """
    return backward_by_rows(y, dy, out, num_threads, f32.softmax_backward, f64.softmax_backward)


def log_softmax_backward(y, dy, *, out=None, num_threads=None):
    """The gradient through `log_softmax`: dy - exp(y) sum(dy) of each row.

    Parameters, result and errors are those of `softmax_backward`.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.log_softmax_backward([[-0.7, -1.4, -1.4]], [[1.0, 0.0, 0.0]]).round(3)
    array([[ 0.503, -0.247, -0.247]])
    """
    return backward_by_rows(
        y, dy, out, num_threads, f32.log_softmax_backward, f64.log_softmax_backward)


# ---- matrix products ---------------------------------------------------------------------------

cdef const fnn_kernels *product_kernels(const Array *a, object precision) except NULL:
    if precision is None:
        return kernels_of(a)
    if not isinstance(precision, str) or precision != "bfloat16":
        raise ValueError(f"precision must be 'bfloat16' or None, got {precision!r}")
    if a.dtype != FNN_FLOAT32:
        raise ValueError("precision must be None for operands of float64, got 'bfloat16'")
    return kernels(FNN_BFLOAT16)


cdef inline void multiply_from_left(product *p, const Array *a, bint transpose) noexcept:
    """The product's A is `a`, or its transpose."""
    p.a, p.lda, p.transpose_a = a.data, a.ld, transpose != a.transposed


cdef inline void multiply_from_right(product *p, const Array *b, bint transpose) noexcept:
    p.b, p.ldb, p.transpose_b = b.data, b.ld, transpose != b.transposed


def matmul(a, b, *, transpose_a=False, transpose_b=False, precision=None, out=None,
           num_threads=None):
    """The matrix product a @ b, or with either transposed.

    Parameters
    ----------
    a : array_like of real numbers, shape (m, k), or (k, m) where transpose_a
    b : array_like of real numbers, shape (k, n), or (n, k) where transpose_b
        Both are read where they lie, also if they are transposed (`x.T`) or have gaps between their
        rows (`x[:, :100]`), as long as columns, or rows, are contiguous; else they are copied.
    transpose_a, transpose_b : bool
        Multiply by the transpose, which is never formed: the same as passing a.T.
    precision : {None, "bfloat16"}
        "bfloat16" rounds float32 operands to bfloat16, 8 significant bits, and adds their products
        in float32. That is up to twice as fast where the CPU has AVX512-BF16, slower elsewhere.
    out : ndarray of shape (m, n), optional
        Where to put the result: of its dtype, apart from a and b. One that is not C-contiguous is
        filled by way of a temporary.
    num_threads : int, optional
        At most this many threads, and never more than the product has work for; None: the
        package's setting, and one where more do not pay. The result's bits are the same for any.

    Returns
    -------
    ndarray of shape (m, n)
        float64 if a or b is float64, else float32.

    Raises
    ------
    TypeError
        If a or b is complex, text or objects, or out is not an array of the right dtype.
    ValueError
        If a or b is not 2-D, their k differ, out has the wrong shape, is read-only or overlaps a
        or b, precision is unknown or the operands are float64 with it, or num_threads < 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import kernels
    >>> a, b = np.ones((2, 3)), np.ones((4, 3))
    >>> kernels.matmul(a, b, transpose_b=True)
    array([[3., 3., 3., 3.],
           [3., 3., 3., 3.]])
    """
    cdef Array inputs[2]
    cdef Array ac
    cdef Array *aa = &inputs[0]
    cdef Array *ab = &inputs[1]
    cdef product p
    cdef ptrdiff_t k
    given = a, b
    if not (look_at_operand(a, aa) and look_at_operand(b, ab) and aa.dtype == ab.dtype):
        a, b = plain(("a", "b"), given)
        look(a, aa)
        look(b, ab)
    check_2d(aa, "a", a)
    check_2d(ab, "b", b)
    cdef bint flip_a = transpose_a, flip_b = transpose_b
    p.m, p.k = (aa.cols, aa.rows) if flip_a else (aa.rows, aa.cols)
    k, p.n = (ab.cols, ab.rows) if flip_b else (ab.rows, ab.cols)
    if k != p.k:
        raise ValueError(
            f"b must have {p.k} {'columns' if flip_b else 'rows'}, as a of shape {a.shape} "
            f"has {'rows' if flip_a else 'columns'}, got shape {b.shape}")
    cdef const fnn_kernels *use = product_kernels(aa, precision)
    cdef int threads = team_for_product(num_threads, p.m, p.n, p.k)
    c = target(out, (p.m, p.n), aa.dtype, ("a", "b"), given, False, &ac,
               inputs if a is given[0] and b is given[1] else NULL)
    multiply_from_left(&p, aa, flip_a)
    multiply_from_right(&p, ab, flip_b)
    p.c, p.ldc = ac.data, p.n
    p.bias = NULL
    p.act = NULL
    multiply(use, &p, threads)
    return deliver(c, out)


cdef Activation activation_named(const fnn_kernels *k, object activation) except *:
    if activation is not None and not isinstance(activation, str):
        raise TypeError(f"activation must be a name or None, got {type(activation).__name__}")
    return activation_of(k, activation)


def dense_forward(x, kernel, bias=None, *, activation=None, out=None, num_threads=None):
    """The dense layer activation(x @ kernel + bias).

    Parameters
    ----------
    x : array_like of real numbers, shape (n, inputs)
    kernel : array_like of real numbers, shape (inputs, units)
    bias : array_like of real numbers, shape (units,), optional
    activation : str, optional
        "linear" (as None), or the name of an activation here: "relu", "gelu", "softmax", ...
    out : ndarray of shape (n, units), optional
        As for `matmul`: apart from all inputs.
    num_threads : int, optional
        As for `matmul`.

    Returns
    -------
    ndarray of shape (n, units)
        float64 if an input is float64, else float32.

    Raises
    ------
    TypeError, ValueError
        As `matmul`, and ValueError if the shapes do not fit or the activation is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import kernels
    >>> x, kernel = np.array([[1.0, 2.0]]), np.array([[1.0, -1.0], [1.0, -1.0]])
    >>> kernels.dense_forward(x, kernel, [0.5, 0.5], activation="relu")
    array([[3.5, 0. ]])
    """
    cdef Array ax, ak, ab, ay
    cdef product p
    cdef sweep s
    names = ("x", "kernel") if bias is None else ("x", "kernel", "bias")
    given = (x, kernel) if bias is None else (x, kernel, bias)
    if not (look_at_operand(x, &ax) and look_at_operand(kernel, &ak) and ax.dtype == ak.dtype
            and (bias is None or (look(bias, &ab) and ab.dtype == ax.dtype))):
        inputs = plain(names, given)
        x, kernel = inputs[:2]
        look(x, &ax)
        look(kernel, &ak)
        if bias is not None:
            bias = inputs[2]
            look(bias, &ab)
    cdef Activation f = activation_named(kernels_of(&ax), activation)
    check_2d(&ax, "x", x)
    check_2d(&ak, "kernel", kernel)
    if ak.rows != ax.cols:
        raise ValueError(
            f"kernel must have {ax.cols} rows, as x has columns, got shape {kernel.shape}")
    if bias is not None and bias.shape != (ak.cols,):
        raise ValueError(f"bias must have shape {(ak.cols,)}, got {bias.shape}")
    p.m, p.n, p.k = ax.rows, ak.cols, ax.cols
    cdef int threads = team_for_product(num_threads, p.m, p.n, p.k)
    y = target(out, (p.m, p.n), ax.dtype, names, given, False, &ay)
    multiply_from_left(&p, &ax, False)
    multiply_from_right(&p, &ak, False)
    p.c, p.ldc = ay.data, p.n
    p.bias = NULL if bias is None else ab.data
    p.act = f.act
    multiply(kernels_of(&ax), &p, threads)
    if f.rows != NULL:
        s = row_by_row(&ay, &ay, &ay)
        s.rows = f.rows
        run(&s, threads)
    return deliver(y, out)


def dense_backward(x, kernel, y, dy, *, activation=None, num_threads=None):
    """The gradients of `dense_forward` with respect to x, kernel and bias.

    Parameters
    ----------
    x : array_like of real numbers, shape (n, inputs)
    kernel : array_like of real numbers, shape (inputs, units)
    y, dy : array_like of real numbers, shape (n, units)
        The output of `dense_forward`, and the gradient of the loss with respect to it.
    activation : str, optional
        As for `dense_forward`, but for those whose output does not determine their derivative:
        "hard_silu", "silu", "gelu", "gelu_tanh" and "mish".
    num_threads : int, optional
        As for `matmul`.

    Returns
    -------
    dx : ndarray of shape (n, inputs)
    dkernel : ndarray of shape (inputs, units)
    dbias : ndarray of shape (units,)
        All float64 if an input is float64, else float32.

    Raises
    ------
    TypeError, ValueError
        As `dense_forward`, and ValueError for an activation such as "silu".

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import kernels
    >>> x, kernel = np.array([[1.0, 2.0]]), np.array([[1.0, -1.0], [1.0, -1.0]])
    >>> y = kernels.dense_forward(x, kernel, activation="relu")
    >>> dx, dkernel, dbias = kernels.dense_backward(x, kernel, y, np.ones((1, 2)), activation="relu")
    >>> dx
    array([[1., 1.]])
    >>> dkernel
    array([[1., 0.],
           [2., 0.]])
    >>> dbias
    array([1., 0.])
    """
    cdef Array ax, ak, ay, ady, adz, adx, adk, adb
    cdef product p
    cdef sweep s
    if not (look_at_operand(x, &ax) and look_at_operand(kernel, &ak) and look(y, &ay) and look(dy, &ady)
            and ax.dtype == ak.dtype and ax.dtype == ay.dtype and ax.dtype == ady.dtype):
        x, kernel, y, dy = plain(("x", "kernel", "y", "dy"), (x, kernel, y, dy))
        look(x, &ax)
        look(kernel, &ak)
        look(y, &ay)
        look(dy, &ady)
    cdef Activation f = activation_named(kernels_of(&ax), activation)
    if f.of_input:
        raise ValueError(
            f"activation must not be {activation!r} here, since its derivative is not determined by "
            f"its output y: call dense_forward without activation, then {activation}, and "
            f"{activation}_backward on the way back")
    check_2d(&ax, "x", x)
    check_2d(&ak, "kernel", kernel)
    if ak.rows != ax.cols:
        raise ValueError(
            f"kernel must have {ax.cols} rows, as x has columns, got shape {kernel.shape}")
    cdef tuple shape = (ax.rows, ak.cols)
    if y.shape != shape:
        raise ValueError(f"y must have shape {shape}, got {y.shape}")
    if dy.shape != shape:
        raise ValueError(f"dy must have shape {shape}, got {dy.shape}")
    cdef const fnn_kernels *k = kernels_of(&ax)
    cdef int threads = team_for_product(num_threads, ax.rows, ak.cols, ax.cols)
    dx = target(None, x.shape, ax.dtype, (), (), False, &adx)
    dkernel = target(None, kernel.shape, ax.dtype, (), (), False, &adk)
    dbias = target(None, (ak.cols,), ax.dtype, (), (), False, &adb)

    adz = ady   # dz: the gradient of x @ kernel + bias
    if f.grad != NULL or f.rows_grad != NULL:
        dz = target(None, shape, ax.dtype, (), (), False, &adz)
        s = row_by_row(&ay, &ady, &adz) if f.grad == NULL else elementwise(&ay, &ady, &adz)
        s.grad, s.rows_grad = f.grad, f.rows_grad
        run(&s, threads)
    p.bias = NULL
    p.act = NULL

    p.m, p.n, p.k = ax.rows, ax.cols, ak.cols       # dx = dz kernel^T
    multiply_from_left(&p, &adz, False)
    multiply_from_right(&p, &ak, True)
    p.c, p.ldc = adx.data, ax.cols
    multiply(k, &p, threads)

    p.m, p.n, p.k = ax.cols, ak.cols, ax.rows       # dkernel = x^T dz
    multiply_from_left(&p, &ax, True)
    multiply_from_right(&p, &adz, False)
    p.c, p.ldc = adk.data, ak.cols
    multiply(k, &p, threads)

    s = elementwise(&adz, &adz, &adb)               # dbias = the sum of dz's rows
    s.total, s.unit = adz.cols, k.panel
    s.stride = k.itemsize
    s.colsum = k.colsum
    run(&s, threads)
    return dx, dkernel, dbias


# ---- the machine's limits ----------------------------------------------------------------------

cdef struct race:
    fnn_probe probe
    ptrdiff_t rounds
    fnn_barrier barrier
    double start, end, done     # seconds, seconds, floating-point operations


cdef void race_part(void *what, int thread, int size) noexcept nogil:
    cdef race *r = <race *>what
    cdef double done
    fnn_barrier_wait(&r.barrier, size)
    if thread == 0:
        r.start = fnn_now()
    done = r.probe(r.rounds)
    fnn_barrier_wait(&r.barrier, size)
    if thread == 0:
        r.end = fnn_now()
        r.done = done * size


cdef double flops(race *r, int threads):
    """Runs it on `threads` threads at once; floating-point operations per second."""
    with nogil:
        run_team(race_part, r, threads)
    return r.done / (r.end - r.start)


def fma_peak(dtype="float32", num_threads=None):
    """Floating-point operations per second of multiply-adds in registers, the hardware's limit.

    Parameters
    ----------
    dtype : {"float32", "float64", "bfloat16"}
    num_threads : int, optional
        Threads that run at once; None: the package's setting.

    Returns
    -------
    float
        Of all threads together, in the best of five runs of about 20 ms.

    Raises
    ------
    ValueError
        If dtype is another, or num_threads < 1.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.fma_peak("float32", num_threads=1) > 1e8  # floating-point operations a second
    True
    """
    known = {"float32": FNN_FLOAT32, "float64": FNN_FLOAT64, "bfloat16": FNN_BFLOAT16}
    if not isinstance(dtype, str) or dtype not in known:
        raise ValueError(f"dtype must be one of {', '.join(known)}, got {dtype!r}")
    cdef race r
    cdef int threads = n_threads(num_threads)
    memset(&r, 0, sizeof(r))
    r.probe = kernels(known[dtype]).fma_peak
    r.rounds = 1 << 16
    flops(&r, threads)
    r.rounds = <ptrdiff_t>(r.rounds * 0.02 / (r.end - r.start)) + 1
    return max([flops(&r, threads) for _ in range(5)])


cdef enum:
    MEETINGS = 1 << 14


cdef struct meetings:
    fnn_barrier barrier
    double start, end


cdef void meet(void *what, int thread, int size) noexcept nogil:
    cdef meetings *m = <meetings *>what
    cdef int i
    fnn_barrier_wait(&m.barrier, size)
    if thread == 0:
        m.start = fnn_now()
    for i in range(MEETINGS):
        fnn_barrier_wait(&m.barrier, size)
    if thread == 0:
        m.end = fnn_now()


def barrier_seconds(num_threads=None):
    """Seconds that threads without work take to meet, as they do twice in a training step.

    It is the way of a cache line from core to core: several times as long where a virtual machine's
    cores share no cache, which a host may change at any time.

    Parameters
    ----------
    num_threads : int, optional
        None: the package's setting.

    Returns
    -------
    float
        In the median of five runs of 16384 meetings.

    Raises
    ------
    ValueError
        If num_threads < 1.

    Examples
    --------
    >>> from fastnn import kernels
    >>> kernels.barrier_seconds(num_threads=1) < 1e-6
    True
    """
    cdef meetings m
    cdef int threads = n_threads(num_threads)
    seconds = []
    for _ in range(5):
        memset(&m, 0, sizeof(m))
        with nogil:
            run_team(meet, &m, threads)
        seconds.append((m.end - m.start) / MEETINGS)
    return sorted(seconds)[2]
