"""Steps that look rows of tables up, EMBED, and that copy columns, TAKE."""

from fastnn._native.phases cimport Plan, Unit, Workspace

cdef void lookup_forward(Plan *p, Workspace *w, int l, ptrdiff_t r0, ptrdiff_t r1,
                         char **xs) noexcept nogil
cdef void lookups_backward(Plan *p, Workspace *w, int l, ptrdiff_t r0, ptrdiff_t r1) noexcept nogil
cdef void sort_lookups(Plan *p, Workspace *w, ptrdiff_t rows, int tid, int size) noexcept nogil
cdef void lookup_gradient(Plan *p, Workspace *w, Unit *u, char *dw) noexcept nogil
cdef bint stand_for_rows(Plan *p, Workspace *w, ptrdiff_t rows) noexcept nogil
