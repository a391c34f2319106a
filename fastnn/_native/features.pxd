"""Steps that train numbers for each feature: LAYER_NORM, BATCH_NORM and PRELU."""

from libc.stdint cimport int64_t

from fastnn._native.phases cimport Plan, Step, Unit, Workspace

cdef void features_forward(Plan *p, Workspace *w, int l, ptrdiff_t r0, ptrdiff_t r1, char *x, char *y,
                           bint kept, int64_t iteration) noexcept nogil
cdef void features_backward(Plan *p, Workspace *w, int l, ptrdiff_t r0, ptrdiff_t r1) noexcept nogil
cdef void features_gradient(Plan *p, Workspace *w, ptrdiff_t rows, Unit *u, char *dw) noexcept nogil
cdef void couple(Plan *p, Workspace *w, ptrdiff_t rows, int l, bint backward, bint calm, int tid,
                 int size) noexcept nogil
cdef void refresh_calm(Plan *p) noexcept nogil
