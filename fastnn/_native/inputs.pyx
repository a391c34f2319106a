"""What x may be: rows of any type of numbers, converted as they are read, and sparse ones.

Sparse rows never become dense. Forward, each non-zero meets one row of the weights. Backward, the
batch's non-zeros are sorted by the units whose gradient they are part of, in the order of the rows: a
unit's gradient is made of its own in L1, and no bit depends on who does which unit.
"""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from fastnn._sparse import CSR

from fastnn._native.core cimport (
    FNN_FLOAT32, FNN_FROM_F16, FNN_FROM_F32, FNN_FROM_F64, FNN_FROM_I8, FNN_FROM_I16, FNN_FROM_I32,
    FNN_FROM_I64, FNN_FROM_U8, FNN_FROM_U16, FNN_FROM_U32, FNN_FROM_U64, FNN_SOURCES, ceil_div,
    fnn_sparse_args,
)
from fastnn._native.phases cimport Step, UNIT_PANELS


cdef int source_of(char format, ptrdiff_t size) noexcept:
    """The type of a buffer's elements; -1 where it is none that can be read."""
    if format in (b"f", b"d", b"e"):
        return FNN_FROM_F16 if size == 2 else FNN_FROM_F32 if size == 4 else FNN_FROM_F64
    if format in (b"?", b"B", b"H", b"I", b"L", b"Q"):
        return (FNN_FROM_U8 if size == 1 else FNN_FROM_U16 if size == 2
                else FNN_FROM_U32 if size == 4 else FNN_FROM_U64)
    if format in (b"b", b"h", b"i", b"l", b"q"):
        return (FNN_FROM_I8 if size == 1 else FNN_FROM_I16 if size == 2
                else FNN_FROM_I32 if size == 4 else FNN_FROM_I64)
    return -1


cdef int look_at_x(object x, int dtype, ptrdiff_t cols, Rows *rows) except -1:
    cdef Py_buffer view
    cdef int source
    cdef bint good
    rows.begin = NULL
    if type(x) is CSR:
        return look_at_sparse(x, dtype, cols, rows)
    if x.ndim != 2 or x.shape[1] != cols:
        raise ValueError(f"x: expected shape {(len(x), cols)}, got {x.shape}")
    PyObject_GetBuffer(x, &view, PyBUF_FORMAT | PyBUF_STRIDES)
    source = source_of(view.format[0], view.itemsize) if view.format[1] == 0 else -1
    good = (source >= 0 and <size_t>view.buf % view.itemsize == 0
            and (cols <= 1 or view.strides[1] == view.itemsize)
            and (view.shape[0] <= 1 or view.strides[0] % view.itemsize == 0))
    rows.x, rows.x_size = <const char *>view.buf, view.itemsize
    # Of one row a stride may be anything, and of a column it says nothing.
    rows.x_row = view.strides[0] // view.itemsize if view.shape[0] > 1 else cols
    rows.source = source
    if source == <int>(FNN_FROM_F32 if dtype == FNN_FLOAT32 else FNN_FROM_F64):
        rows.source = FNN_SOURCES   # what the network computes in
    PyBuffer_Release(&view)         # the caller holds x
    if not good:
        raise ValueError(f"x: expected aligned native numbers, each row's in a row, got {x.dtype} "
                         f"at strides {x.strides}")
    return 0


cdef const char *vector(object a, ptrdiff_t size, bytes formats) except NULL:
    """Where a contiguous vector of such numbers lies."""
    cdef Py_buffer view
    cdef bint good
    PyObject_GetBuffer(a, &view, PyBUF_FORMAT | PyBUF_STRIDES)
    good = (view.ndim == 1 and view.itemsize == size and view.format[1] == 0
            and view.format[0] in formats and (view.shape[0] <= 1 or view.strides[0] == size))
    PyBuffer_Release(&view)         # the caller holds a
    if not good:
        raise ValueError(f"x: expected a vector of {formats!r}, got {a.dtype} {a.shape}")
    return <const char *>view.buf


cdef int look_at_sparse(object x, int dtype, ptrdiff_t cols, Rows *rows) except -1:
    """x, a CSR, has checked itself."""
    if x.shape[1] != cols:
        raise ValueError(f"x: expected shape {(len(x), cols)}, got {x.shape}")
    rows.x = vector(x.value, 4, b"f") if dtype == FNN_FLOAT32 else vector(x.value, 8, b"d")
    rows.begin = <const int64_t *>vector(x.begin, 8, b"lq")
    rows.column = <const int32_t *>vector(x.column, 4, b"il")
    return 0


cdef void sparse_inputs(Plan *p, Workspace *w, Rows *b, ptrdiff_t at, ptrdiff_t r0,
                        ptrdiff_t r1) noexcept nogil:
    cdef Step *s = &p.steps[0]
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel, j
    cdef char *y = w.x[1] + r0 * P * size
    cdef fnn_sparse_args g
    g.m, g.n = r1 - r0, s.outputs
    g.index = b.index + at + r0 if b.index != NULL else NULL
    g.begin = b.begin if b.index != NULL else b.begin + at + r0
    g.column, g.value = b.column, b.x
    g.b, g.b_panel = s.w, s.w_panel
    g.bias, g.bias_panel = s.w + s.inputs * P * size if s.bias else NULL, s.w_panel
    g.c, g.c_panel = y, w.panel
    p.k.sparse_nn(&g)
    if s.f.act != NULL:
        for j in range(ceil_div(s.outputs, P)):
            s.f.act((r1 - r0) * P, y + j * w.panel * size, y + j * w.panel * size)


cdef inline ptrdiff_t row_of(const Rows *b, ptrdiff_t at) noexcept nogil:
    return b.index[at] if b.index != NULL else at


cdef ptrdiff_t most_nonzeros(Rows *b, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t batch,
                             ptrdiff_t epoch) noexcept nogil:
    cdef ptrdiff_t at, i, n = 0, most = 0
    for at in range(start, stop):
        n = 0 if at % epoch % batch == 0 else n
        i = row_of(b, at)
        n += b.begin[i + 1] - b.begin[i]
        most = max(most, n)
    return most


cdef void sort_nonzeros(Plan *p, Workspace *w, Rows *b, ptrdiff_t at, ptrdiff_t rows) noexcept nogil:
    """By counting: the non-zeros of each chunk of columns, a unit's rows of weights, follow those of
    the chunk before it; in a chunk they stay in the order of the rows."""
    cdef ptrdiff_t chunk = UNIT_PANELS * p.k.panel, r, z, i, n = 0
    cdef int64_t *end = w.chunk_end
    cdef int bits = 0
    if p.steps[0].frozen:
        return
    while 1 << bits < chunk:    # a power of two: vectors are
        bits += 1
    memset(end, 0, w.chunks * sizeof(int64_t))
    for r in range(rows):
        i = row_of(b, at + r)
        for z in range(b.begin[i], b.begin[i + 1]):
            end[b.column[z] >> bits] += 1
    for i in range(w.chunks):   # where each begins; it ends as it is filled
        n += end[i]
        end[i] = n - end[i]
    for r in range(rows):
        i = row_of(b, at + r)
        for z in range(b.begin[i], b.begin[i + 1]):
            n = end[b.column[z] >> bits]
            end[b.column[z] >> bits] = n + 1
            w.to_row[n] = b.column[z] & <int32_t>(chunk - 1)
            w.from_row[n] = <int32_t>r
            if p.k.itemsize == 4:
                (<float *>w.nonzero)[n] = (<const float *>b.x)[z]
            else:
                (<double *>w.nonzero)[n] = (<const double *>b.x)[z]


cdef void sparse_gradient(Plan *p, Workspace *w, Unit *u, char *dw) noexcept nogil:
    cdef Step *s = &p.steps[u.l]
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel, i = u.i0 // (UNIT_PANELS * P)
    cdef ptrdiff_t begin = w.chunk_end[i - 1] if i > 0 else 0
    memset(dw, 0, (min(u.i1, s.inputs) - u.i0) * P * size)
    p.k.scatter_add(w.chunk_end[i] - begin, min(P, s.outputs - u.j * P), w.to_row + begin,
                    w.from_row + begin, w.nonzero + begin * size,
                    w.d[u.l + 1] + u.j * w.panel * size, dw)
