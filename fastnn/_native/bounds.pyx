"""What holds weights in bounds after a step: Keras's constraints.

A column of a dense kernel or of a table, which has a norm of its own, lies in several units, so this is a pass of
its own over panels, each with one thread; of a vector, such as a bias, all has one norm.
"""

from libc.math cimport sqrt

from fastnn._native.core cimport FNN_MAX_PANEL, ceil_div
from fastnn._native.phases cimport (
    DENSE, EMBED, NON_NEGATIVE, OF_NORM, Bound, Plan, Step, Unit, is_bound, refresh_operands,
)

# Keras's epsilon, which keeps the division by a norm away from 0.
cdef double EPSILON = 1e-7


cdef double scale_to(const Bound *b, double squares) noexcept nogil:
    """What weights of that norm, squared, are multiplied by."""
    cdef double norm = sqrt(squares), inside = norm
    if norm < b.low:
        inside = b.low
    elif norm > b.high:
        inside = b.high
    return (b.rate * inside + (1 - b.rate) * norm) / (EPSILON + norm)


cdef inline double number(Plan *p, const char *vector, ptrdiff_t c) noexcept nogil:
    return (<float *>vector)[c] if p.k.itemsize == 4 else (<double *>vector)[c]


cdef inline void set_number(Plan *p, char *vector, ptrdiff_t c, double value) noexcept nogil:
    if p.k.itemsize == 4:
        (<float *>vector)[c] = <float>value
    else:
        (<double *>vector)[c] = value


cdef void bound_panel(Plan *p, const Bound *b, ptrdiff_t rows, ptrdiff_t cols, char *w) noexcept nogil:
    """Each column of a panel by its own norm."""
    cdef double vector[FNN_MAX_PANEL]
    cdef char *scales = <char *>vector
    cdef ptrdiff_t c, P = p.k.panel
    if b.kind == NON_NEGATIVE:
        p.k.relu(rows * P, w, w)
    elif b.kind == OF_NORM:
        p.k.colsquare(rows, cols, P, 0, w, 0, scales)
        for c in range(cols):
            set_number(p, scales, c, scale_to(b, number(p, scales, c)))
        p.k.scale_shift(rows, cols, P, 0, w, scales, NULL, w)


cdef void bound_vector(Plan *p, const Step *s, const Bound *b, char *w) noexcept nogil:
    """A row of all panels by its norm."""
    cdef double vector[FNN_MAX_PANEL]
    cdef double squares = 0, nothing = 0
    cdef ptrdiff_t c, j, cols, P = p.k.panel, stride = s.w_panel * p.k.itemsize
    cdef ptrdiff_t panels = ceil_div(s.outputs, P)
    if b.kind == NON_NEGATIVE:
        for j in range(panels):
            p.k.relu(P, w + j * stride, w + j * stride)
    elif b.kind == OF_NORM:
        for j in range(panels):
            cols = min(P, s.outputs - j * P)
            p.k.norm(1, cols, 0, 0, w + j * stride, w + j * stride, &squares, &nothing)
        for c in range(P):
            set_number(p, <char *>vector, c, scale_to(b, squares))
        for j in range(panels):
            cols = min(P, s.outputs - j * P)
            p.k.scale_shift(1, cols, P, 0, w + j * stride, vector, NULL, w + j * stride)


cdef void hold_in_bounds(Plan *p, int tid, int size) noexcept nogil:
    """The panels of thread tid; vectors are the first thread's."""
    cdef ptrdiff_t P = p.k.panel, itemsize = p.k.itemsize
    cdef int i
    cdef Unit *u
    cdef Step *s
    cdef char *w
    for i in range(p.n_units):
        u = &p.units[i]
        s = &p.steps[u.l]
        if u.i0 > 0 or u.j % size != tid or not is_bound(s):    # the first unit of each panel
            continue
        w = s.w + u.j * s.w_panel * itemsize
        if s.kind == DENSE or s.kind == EMBED:
            bound_panel(p, &s.of_kernel.bound, s.kernel_rows, min(P, s.w_cols - u.j * P), w)
        elif u.j == 0 and s.kernel_rows > 0:
            bound_vector(p, s, &s.of_kernel.bound, w)
        if u.j == 0 and s.bias:
            bound_vector(p, s, &s.of_bias.bound, w + s.kernel_rows * P * itemsize)
        refresh_operands(p, u.l, u.j, 0, s.kernel_rows + s.bias)
