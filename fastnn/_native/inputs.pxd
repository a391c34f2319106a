"""What x may be: rows of any type of numbers, and sparse ones."""

from fastnn._native.phases cimport Plan, Rows, Unit, Workspace

# Where x lies, of so many columns, and of what type; a dtype is FNN_FLOAT32 or FNN_FLOAT64.
cdef int look_at_x(object x, int dtype, ptrdiff_t cols, Rows *rows) except -1

# Of sparse x. The first step's output, of rows r0 .. r1; the batch's non-zeros in the order that
# gradients want; how many the largest batch has of positions start .. stop; and dW of a unit.
cdef void sparse_inputs(Plan *p, Workspace *w, Rows *b, ptrdiff_t at, ptrdiff_t r0,
                        ptrdiff_t r1) noexcept nogil
cdef void sort_nonzeros(Plan *p, Workspace *w, Rows *b, ptrdiff_t at, ptrdiff_t rows) noexcept nogil
cdef ptrdiff_t most_nonzeros(Rows *b, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t batch,
                             ptrdiff_t epoch) noexcept nogil
cdef void sparse_gradient(Plan *p, Workspace *w, Unit *u, char *dw) noexcept nogil
