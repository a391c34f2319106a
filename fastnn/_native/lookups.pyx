"""Steps that look rows of tables up, EMBED, and that copy columns, TAKE.

Such steps that follow each other are as one: all of them read what the first reads, and write
side by side what the step after the last reads. A table is a kernel; its gradient is dense, as the
optimizer steps all of its rows. A unit's is made in L1: the batch's numbers are sorted, by counting,
by the unit that has their row, in the order of the batch, so that no unit looks at those of others
and no bit depends on who does which unit.
"""

from libc.stdint cimport int64_t
from libc.string cimport memset

from fastnn._native.core cimport ceil_div, fnn_embed_args, fnn_embed_gradient_args
from fastnn._native.phases cimport EMBED, TAKE, UNIT_PANELS, Lookups, Step


cdef inline const char *column_of(Plan *p, Workspace *w, const char *x, ptrdiff_t r,
                                  ptrdiff_t c) noexcept nogil:
    """Where the number of row r and column c of x is."""
    cdef ptrdiff_t P = p.k.panel
    return x + (c // P * w.panel + r * P + c % P) * p.k.itemsize


cdef inline ptrdiff_t row_of(const char *number, ptrdiff_t size, ptrdiff_t rows) noexcept nogil:
    """The row of a table that a number stands for; -1: none, and embed gives NaN."""
    cdef double x = (<const float *>number)[0] if size == 4 else (<const double *>number)[0]
    return <ptrdiff_t>x if x >= 0 and x < rows and <ptrdiff_t>x == x else -1


cdef void take(Plan *p, Workspace *w, Step *s, ptrdiff_t rows, const char *x, char *y,
               bint backward) noexcept nogil:
    """Columns of x into y; backward, out of y's place into x's."""
    cdef ptrdiff_t i = 0
    cdef fnn_embed_args g
    g.rows, g.id, g.x, g.y = rows, NULL, x, y
    g.x_rows, g.x_panel, g.y_panel = rows, w.panel, w.panel
    while i < s.n_columns:
        g.cols = 1
        while i + g.cols < s.n_columns and s.columns[i + g.cols] == s.columns[i] + g.cols:
            g.cols += 1
        g.x_col, g.y_col = s.columns[i], s.to + i
        if backward:
            g.x_col, g.y_col = g.y_col, g.x_col
        p.k.embed(&g)
        i += g.cols


cdef void lookup_forward(Plan *p, Workspace *w, int l, ptrdiff_t r0, ptrdiff_t r1,
                         char **xs) noexcept nogil:
    """Rows r0 .. r1 of what step l writes."""
    cdef Step *s = &p.steps[l]
    cdef ptrdiff_t row = r0 * p.k.panel * p.k.itemsize, i
    cdef const char *x = xs[s.first] + row
    cdef fnn_embed_args g
    if s.kind == TAKE:
        take(p, w, s, r1 - r0, x, xs[s.last + 1] + row, False)
        return
    g.rows, g.cols, g.x, g.x_rows, g.x_panel, g.x_col = r1 - r0, s.w_cols, s.w, s.kernel_rows, s.w_panel, 0
    g.y, g.y_panel = xs[s.last + 1] + row, w.panel
    for i in range(s.n_columns):
        g.id, g.y_col = column_of(p, w, x, 0, s.columns[i]), s.to + i * s.w_cols
        p.k.embed(&g)


cdef void lookups_backward(Plan *p, Workspace *w, int l, ptrdiff_t r0, ptrdiff_t r1) noexcept nogil:
    """Rows r0 .. r1 of the gradient of what all steps of the group read, of which l is the first: that
    of a column taken is the output's; a number that stands for a row has none."""
    cdef ptrdiff_t row = r0 * p.k.panel * p.k.itemsize, j
    cdef int other, last = p.steps[l].last
    for j in range(ceil_div(p.steps[l].inputs, p.k.panel)):
        memset(w.d[l] + j * w.panel * p.k.itemsize + row, 0, (r1 - r0) * p.k.panel * p.k.itemsize)
    for other in range(l, last + 1):
        if p.steps[other].kind == TAKE:
            take(p, w, &p.steps[other], r1 - r0, w.d[last + 1] + row, w.d[l] + row, True)


cdef void sort_table(Plan *p, Workspace *w, int l, ptrdiff_t rows) noexcept nogil:
    cdef Step *s = &p.steps[l]
    cdef Lookups *to = &w.lookups[l]
    cdef ptrdiff_t size = p.k.itemsize, chunk = UNIT_PANELS * p.k.panel, i, r, c, n = 0, at
    cdef int bits = 0
    while 1 << bits < chunk:    # a power of two: vectors are
        bits += 1
    memset(to.end, 0, to.chunks * sizeof(int64_t))
    for r in range(rows):
        for c in range(s.n_columns):
            i = row_of(column_of(p, w, w.x[s.first], r, s.columns[c]), size, s.kernel_rows)
            if i >= 0:
                to.end[i >> bits] += 1
    for i in range(to.chunks):  # where each begins; it ends as it is filled
        n += to.end[i]
        to.end[i] = n - to.end[i]
    for r in range(rows):
        for c in range(s.n_columns):
            i = row_of(column_of(p, w, w.x[s.first], r, s.columns[c]), size, s.kernel_rows)
            if i >= 0:
                at = to.end[i >> bits]
                to.end[i >> bits] = at + 1
                to.to[at], to.row[at], to.col[at] = i & (chunk - 1), r, c * s.w_cols


cdef void sort_lookups(Plan *p, Workspace *w, ptrdiff_t rows, int tid, int size) noexcept nogil:
    """Of a batch, the numbers of thread tid's share of the tables."""
    cdef int l, n = 0
    for l in range(p.n_steps):
        if p.steps[l].kind == EMBED and not p.steps[l].frozen:
            if n % size == tid:
                sort_table(p, w, l, rows)
            n += 1


cdef void lookup_gradient(Plan *p, Workspace *w, Unit *u, char *dw) noexcept nogil:
    """The gradient of a unit's rows of a table, once the batch's numbers are sorted."""
    cdef Step *s = &p.steps[u.l]
    cdef Lookups *of = &w.lookups[u.l]
    cdef ptrdiff_t P = p.k.panel, chunk = u.i0 // (UNIT_PANELS * P)
    cdef ptrdiff_t begin = of.end[chunk - 1] if chunk > 0 else 0
    cdef fnn_embed_gradient_args g
    memset(dw, 0, (u.i1 - u.i0) * P * p.k.itemsize)
    g.n, g.cols = of.end[chunk] - begin, min(P, s.w_cols - u.j * P)
    g.to, g.row, g.col = of.to + begin, of.row + begin, of.col + begin
    g.dy, g.dy_panel, g.dy_col, g.dx = w.d[s.last + 1], w.panel, s.to + u.j * P, dw
    p.k.embed_gradient(&g)


cdef bint stand_for_rows(Plan *p, Workspace *w, ptrdiff_t rows) noexcept nogil:
    """Whether all numbers that were looked up, outside of training, are rows of their tables."""
    cdef int l
    cdef ptrdiff_t r, c
    cdef Step *s
    for l in range(p.n_steps):
        s = &p.steps[l]
        if s.kind == EMBED:
            for r in range(rows):
                for c in range(s.n_columns):
                    if row_of(column_of(p, w, w.x_calm[s.first], r, s.columns[c]), p.k.itemsize,
                              s.kernel_rows) < 0:
                        return False
    return True
