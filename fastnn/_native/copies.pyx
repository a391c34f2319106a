"""A small network for each thread of a team of two, and what goes between them: copies.pxd."""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from fastnn._native.core cimport FNN_LINE, ceil_div, fnn_fetch, fnn_hand_back, fnn_send
from fastnn._native.phases cimport (
    DENSE, Plan, Rows, Unit, Workspace, add_halves, change_columns, change_columns_back, dense_backward,
    dense_forward, gather_inputs, gathered_into, half_of_sums, refresh_operands, take_part, weights_at,
)


cdef inline bint is_read(Plan *p, int l) noexcept nogil:
    """Whether phase 2 reads x[l] and d[l + 1]."""
    return p.steps[l].kind == DENSE and not p.steps[l].frozen


cdef void move_rows(Copies *c, Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t cols, char *x,
                    uint64_t panels, bint fetches, int tid) noexcept nogil:
    """Rows r0 .. r1 of some panels of x, to the post box or from there."""
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel, j, width, at
    cdef char *post = c.rows_post + (x - c.arenas[tid])
    for j in range(ceil_div(cols, P)):
        if not panels >> j & 1:
            continue
        width, at = min(P, cols - j * P) * size, (j * w.panel + r0 * P) * size
        if fetches:
            fnn_fetch(x + at, post + at, r1 - r0, P * size, width)
        else:
            fnn_send(post + at, x + at, r1 - r0, P * size, width)


cdef void send_rows(Copies *c, Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int tid) noexcept nogil:
    cdef uint64_t every = ~<uint64_t>0
    cdef int l
    for l in range(p.n_steps):
        if is_read(p, l):
            if l != gathered_into(p):
                move_rows(c, p, w, r0, r1, p.steps[l].inputs, w.x[l], every, False, tid)
            move_rows(c, p, w, r0, r1, p.steps[l].outputs, w.d[l + 1], every, False, tid)


cdef void fetch_rows(Copies *c, Plan *p, Workspace *w, Rows *b, ptrdiff_t at, ptrdiff_t r0, ptrdiff_t r1,
                     double begin, double end, int tid) noexcept nogil:
    cdef uint64_t of_x[COPIED_STEPS]
    cdef uint64_t of_d[COPIED_STEPS]
    cdef double total = p.units[p.n_units - 1].cost
    cdef ptrdiff_t i
    cdef int l, n
    cdef Unit u
    memset(of_x, 0, sizeof(of_x))
    memset(of_d, 0, sizeof(of_d))
    for n in range(p.n_units):
        if take_part(p, w, n, total * begin, total * end, &u) == 0:
            continue
        of_d[u.l] |= <uint64_t>1 << u.j
        for i in range(u.i0 // p.k.panel, ceil_div(min(u.i1, p.steps[u.l].inputs), p.k.panel)):
            of_x[u.l] |= <uint64_t>1 << i
    for l in range(p.n_steps):
        if not is_read(p, l):
            continue
        if l != gathered_into(p):
            move_rows(c, p, w, r0, r1, p.steps[l].inputs, w.x[l], of_x[l], True, tid)
        elif of_x[l] != 0:
            gather_inputs(p, w, b, at, r0, r1)
        move_rows(c, p, w, r0, r1, p.steps[l].outputs, w.d[l + 1], of_d[l], True, tid)


cdef void move_weights(Copies *c, Plan *p, Workspace *w, double begin, double end, bint fetches,
                       int tid) noexcept nogil:
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel, width
    cdef double total = p.units[p.n_units - 1].cost
    cdef char *mine
    cdef char *post
    cdef int n
    cdef Unit u
    for n in range(p.n_units):
        if take_part(p, w, n, total * begin, total * end, &u) == 0:
            continue
        width = min(P, p.steps[u.l].w_cols - u.j * P) * size
        mine = p.steps[u.l].w + weights_at(p, &u, u.i0)
        post = c.weights_post + (mine - c.weights[tid])
        if fetches:
            fnn_fetch(mine, post, u.i1 - u.i0, P * size, width)
            refresh_operands(p, u.l, u.j, u.i0, u.i1)
        else:
            fnn_send(post, mine, u.i1 - u.i0, P * size, width)


cdef void send_weights(Copies *c, Plan *p, Workspace *w, double begin, double end, int tid) noexcept nogil:
    move_weights(c, p, w, begin, end, False, tid)


cdef void fetch_weights(Copies *c, Plan *p, Workspace *w, double begin, double end, int tid) noexcept nogil:
    move_weights(c, p, w, begin, end, True, tid)


cdef inline void half_of_panels(Plan *p, int tid, ptrdiff_t *j0, ptrdiff_t *j1) noexcept nogil:
    """Panels j0 .. j1 of fan_out's outputs are the thread's; the second one may have fewer."""
    cdef ptrdiff_t P = p.k.panel, n = p.steps[p.fan_in].cut // P
    j0[0], j1[0] = n * tid, min(n * (tid + 1), ceil_div(p.steps[p.fan_out].outputs, P))


cdef void forward_half(Copies *c, Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int64_t iteration,
                       int tid) noexcept nogil:
    cdef ptrdiff_t j0, j1
    cdef int l
    half_of_panels(p, tid, &j0, &j1)
    dense_forward(p, w, r0, r1, p.fan_out, j0, j1, w.x)
    for l in range(p.fan_out + 1, p.fan_in):
        change_columns(p, w, r0, r1, l, j0, j1, w.x, True, iteration)
    half_of_sums(p, w, r0, r1, p.fan_in, tid == 1, c.own_sums[tid])


cdef void backward_half(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int64_t iteration, int tid) noexcept nogil:
    cdef ptrdiff_t j0, j1
    cdef int l
    half_of_panels(p, tid, &j0, &j1)
    dense_backward(p, w, r0, r1, p.fan_in, j0, j1, iteration)
    for l in range(p.fan_in - 1, p.fan_out, -1):
        change_columns_back(p, w, r0, r1, l, j0, j1, iteration)


cdef void send_sums(Copies *c, Plan *p, Workspace *w, ptrdiff_t rows, int64_t iteration, int tid) noexcept nogil:
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel, cols = p.steps[p.fan_in].outputs, j
    cdef char *post = c.sums_post[tid][iteration & 1]
    for j in range(ceil_div(cols, P)):
        fnn_send(post + j * w.panel * size, c.own_sums[tid] + j * w.panel * size, rows, P * size,
                 min(P, cols - j * P) * size)


cdef void take_sums(Copies *c, Plan *p, Workspace *w, ptrdiff_t rows, int64_t iteration, int tid) noexcept nogil:
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel, i, j
    cdef char *post = c.sums_post[1 - tid][iteration & 1]
    add_halves(p, w, rows, p.fan_in, c.own_sums[tid], post)
    for j in range(ceil_div(p.steps[p.fan_in].outputs, P)):
        for i in range(rows * P * size // FNN_LINE):
            fnn_hand_back(post + j * w.panel * size + i * FNN_LINE)
