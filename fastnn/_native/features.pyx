"""Steps that train numbers for each feature: LAYER_NORM, BATCH_NORM and PRELU.

Their weights lie as a dense step's do: gamma or alpha is a kernel of one row, beta a bias. Rows of
BATCH_NORM depend on each other in training: between its input's last row and its output's first, the
threads share its panels out, and each takes the mean and the variance of its panels' columns over
all rows; likewise in backward, with the sums that the gradients are made of. Outside of training it
scales and shifts by numbers of the moving mean and variance.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastnn._native.core cimport (
    FNN_BATCH_NORM_STATE, FNN_CALM_SCALE, FNN_CALM_SHIFT, FNN_DBETA, FNN_DGAMMA, FNN_SCALE_BY,
    FNN_SHIFT_BY, ceil_div, fnn_batch_norm_args, fnn_layer_norm_args, fnn_prelu_args,
)
from fastnn._native.phases cimport BATCH_NORM, LAYER_NORM, PRELU, Plan, Step, Unit, Workspace


cdef inline ptrdiff_t panel_cols(Plan *p, Step *s, ptrdiff_t j) noexcept nogil:
    return min(p.k.panel, s.outputs - j * p.k.panel)


cdef inline char *weights_of(Plan *p, Step *s, ptrdiff_t j, bint bias) noexcept nogil:
    """Panel j of the step's kernel or bias; NULL without one."""
    if (bias and not s.bias) or (not bias and s.kernel_rows == 0):
        return NULL
    return s.w + (j * s.w_panel + (s.kernel_rows * p.k.panel if bias else 0)) * p.k.itemsize


cdef inline char *state_of(Plan *p, Step *s, ptrdiff_t j, int number) noexcept nogil:
    """Panel j of one of the numbers that BATCH_NORM keeps."""
    return s.state + (j * FNN_BATCH_NORM_STATE + number) * p.k.panel * p.k.itemsize


cdef void row_args(Plan *p, Workspace *w, Step *s, int l, ptrdiff_t r0, ptrdiff_t r1,
                   fnn_layer_norm_args *g) noexcept nogil:
    memset(g, 0, sizeof(g[0]))
    g.rows, g.cols, g.panel = r1 - r0, s.outputs, w.panel
    g.gamma, g.beta, g.w_panel = weights_of(p, s, 0, False), weights_of(p, s, 0, True), s.w_panel
    g.epsilon = s.epsilon
    g.stats = w.stats[l] + 2 * r0 * p.k.itemsize if w.stats[l] != NULL else NULL


cdef void batch_args(Plan *p, Step *s, ptrdiff_t rows, ptrdiff_t j,
                     fnn_batch_norm_args *g) noexcept nogil:
    memset(g, 0, sizeof(g[0]))
    g.rows, g.cols = rows, panel_cols(p, s, j)
    g.gamma, g.beta = weights_of(p, s, j, False), weights_of(p, s, j, True)
    g.epsilon, g.momentum, g.state = s.epsilon, s.momentum, state_of(p, s, j, 0)


cdef void features_forward(Plan *p, Workspace *w, int l, ptrdiff_t r0, ptrdiff_t r1, char *x, char *y,
                           bint kept, int64_t iteration) noexcept nogil:
    """Rows r0 .. r1 of x[l + 1]; x and y are where row r0 lies."""
    cdef Step *s = &p.steps[l]
    cdef ptrdiff_t j, at
    cdef bint calm = iteration == 0 or s.frozen
    cdef fnn_layer_norm_args rows
    cdef fnn_prelu_args prelu
    if s.kind == LAYER_NORM:
        row_args(p, w, s, l, r0, r1, &rows)
        rows.x, rows.y = x, y
        if not kept:
            rows.stats = NULL
        p.k.layer_norm(&rows)
        return
    for j in range(ceil_div(s.outputs, p.k.panel)):
        at = j * w.panel * p.k.itemsize
        if s.kind == BATCH_NORM:
            p.k.scale_shift(r1 - r0, panel_cols(p, s, j), p.k.panel, 0, x + at,
                            state_of(p, s, j, FNN_CALM_SCALE if calm else FNN_SCALE_BY),
                            state_of(p, s, j, FNN_CALM_SHIFT if calm else FNN_SHIFT_BY), y + at)
        else:
            prelu.rows, prelu.cols, prelu.alpha = r1 - r0, panel_cols(p, s, j), weights_of(p, s, j, False)
            prelu.x, prelu.y = x + at, y + at
            p.k.prelu(&prelu)


cdef void features_backward(Plan *p, Workspace *w, int l, ptrdiff_t r0, ptrdiff_t r1) noexcept nogil:
    """Rows r0 .. r1 of d[l] from those of d[l + 1]."""
    cdef Step *s = &p.steps[l]
    cdef ptrdiff_t row = r0 * p.k.panel * p.k.itemsize, j, at
    cdef fnn_layer_norm_args rows
    cdef fnn_batch_norm_args batch
    cdef fnn_prelu_args prelu
    if s.kind == LAYER_NORM:
        row_args(p, w, s, l, r0, r1, &rows)
        rows.x, rows.dy, rows.y = w.x[l] + row, w.d[l + 1] + row, w.d[l] + row
        p.k.layer_norm_backward(&rows)
        return
    for j in range(ceil_div(s.outputs, p.k.panel)):
        at = j * w.panel * p.k.itemsize + row
        if s.kind == PRELU:
            prelu.rows, prelu.cols, prelu.alpha = r1 - r0, panel_cols(p, s, j), weights_of(p, s, j, False)
            prelu.x, prelu.dy, prelu.y = w.x[l] + at, w.d[l + 1] + at, w.d[l] + at
            p.k.prelu_backward(&prelu)
        elif s.frozen:
            p.k.scale_shift(r1 - r0, panel_cols(p, s, j), p.k.panel, 0, w.d[l + 1] + at,
                            state_of(p, s, j, FNN_CALM_SCALE), NULL, w.d[l] + at)
        else:
            batch_args(p, s, r1 - r0, j, &batch)
            batch.x, batch.dy, batch.dx = w.x[l] + at, w.d[l + 1] + at, w.d[l] + at
            p.k.batch_norm_backward(&batch)


cdef void features_gradient(Plan *p, Workspace *w, ptrdiff_t rows, Unit *u, char *dw) noexcept nogil:
    """The gradients of a unit's weights: a row of its kernel, where it has one, then its bias."""
    cdef Step *s = &p.steps[u.l]
    cdef ptrdiff_t row = p.k.panel * p.k.itemsize, at = u.j * w.panel * p.k.itemsize
    cdef char *db = dw + s.kernel_rows * row
    cdef fnn_layer_norm_args sums
    cdef fnn_prelu_args prelu
    if s.kind == BATCH_NORM and rows == 0:
        memset(dw, 0, (s.kernel_rows + s.bias) * row)
    elif s.kind == BATCH_NORM:
        if s.kernel_rows:
            memcpy(dw, state_of(p, s, u.j, FNN_DGAMMA), row)
        if s.bias:
            memcpy(db, state_of(p, s, u.j, FNN_DBETA), row)
    elif s.kind == LAYER_NORM:
        row_args(p, w, s, u.l, 0, rows, &sums)
        sums.cols = panel_cols(p, s, u.j)
        sums.x, sums.dy = w.x[u.l] + at, w.d[u.l + 1] + at
        sums.dgamma, sums.dbeta = dw if s.kernel_rows else NULL, db if s.bias else NULL
        p.k.layer_norm_gradient(&sums)
    else:
        prelu.rows, prelu.cols, prelu.alpha = rows, panel_cols(p, s, u.j), NULL
        prelu.x, prelu.dy, prelu.y = w.x[u.l] + at, w.d[u.l + 1] + at, dw
        p.k.prelu_gradient(&prelu)


cdef void couple(Plan *p, Workspace *w, ptrdiff_t rows, int l, bint backward, bint calm, int tid,
                 int size) noexcept nogil:
    """What all rows of a batch have in common in BATCH_NORM step l: thread tid's share of the panels."""
    cdef Step *s = &p.steps[l]
    cdef ptrdiff_t j
    cdef fnn_batch_norm_args g
    j = tid
    while j < ceil_div(s.outputs, p.k.panel):
        batch_args(p, s, rows, j, &g)
        g.x = w.x[l] + j * w.panel * p.k.itemsize
        if backward:
            g.dy, g.calm = w.d[l + 1] + j * w.panel * p.k.itemsize, calm
            p.k.batch_norm_sums(&g)
        else:
            p.k.batch_norm_moments(&g)
        j += size


cdef void refresh_calm(Plan *p) noexcept nogil:
    """What every BATCH_NORM step does outside of training, from its weights and statistics of now."""
    cdef int l
    cdef ptrdiff_t j
    cdef fnn_batch_norm_args g
    for l in range(p.n_steps):
        if p.steps[l].kind == BATCH_NORM:
            for j in range(ceil_div(p.steps[l].outputs, p.k.panel)):
                batch_args(p, &p.steps[l], 0, j, &g)
                p.k.batch_norm_calm(&g)
