"""The two phases of a training step, on the rows or the weights that one thread owns.

Phase 1: a thread carries its rows through gather, forward, loss and backward; rows are independent,
so there is no barrier between layers, but around those that couple rows and those whose outputs are shared.
Phase 2: a thread takes its weights through gradient, update and transposition, a block at a time while that
is in cache.

A result depends neither on how rows are cut into blocks nor on which thread does what: the kernels
promise it (csrc/fnn.h), and sums over rows are taken in the order of rows.
"""

from libc.float cimport DBL_MIN
from libc.math cimport pow, sqrt
from libc.string cimport memcpy, memset

from fastnn._native.core cimport (
    FNN_LINE, FNN_MAX_PANEL, FNN_SOURCES, ceil_div, fnn_gemm_args, fnn_gradient_args, fnn_loss_args,
    fnn_metric_args, fnn_noise, fnn_noise_args, fnn_source, fnn_unary, round_up,
)
from fastnn._native.features cimport features_backward, features_forward, features_gradient
from fastnn._native.inputs cimport sparse_gradient, sparse_inputs
from fastnn._native.lookups cimport lookup_forward, lookup_gradient, lookups_backward


cdef void rows_of(ptrdiff_t rows, double begin, double end, ptrdiff_t *r0,
                  ptrdiff_t *r1) noexcept nogil:
    """The part begin .. end (all is 0 .. 1) of so many rows: r0 .. r1; r0 is even, for pairs of rows."""
    cdef ptrdiff_t pairs = ceil_div(rows, 2)
    r0[0] = min(rows, 2 * <ptrdiff_t>(pairs * begin + 0.5))
    r1[0] = min(rows, 2 * <ptrdiff_t>(pairs * end + 0.5))


cdef void gather_inputs(Plan *p, Workspace *w, Rows *b, ptrdiff_t at, ptrdiff_t r0,
                        ptrdiff_t r1) noexcept nogil:
    """x[0] rows r0 .. r1 from rows at + r0 ... of b; through the first step where that only scales
    or where x is sparse."""
    cdef ptrdiff_t cols = p.steps[0].inputs
    cdef ptrdiff_t first = 0 if b.index != NULL else at + r0
    cdef int into = gathered_into(p)
    cdef const int64_t *index = b.index + at + r0 if b.index != NULL else NULL
    cdef const char *x
    cdef const char *scale = p.steps[0].scale if into > 0 else NULL
    cdef const char *shift = p.steps[0].shift if into > 0 else NULL
    cdef char *to
    if b.begin != NULL:
        sparse_inputs(p, w, b, at, r0, r1)
        return
    x = b.x + first * b.x_row * b.x_size
    to = w.x[into] + r0 * p.k.panel * p.k.itemsize
    if b.source == FNN_SOURCES:
        p.k.gather(r1 - r0, cols, index, x, b.x_row, scale, shift, w.panel, to)
    else:
        p.k.gather_from(<fnn_source>b.source, r1 - r0, cols, index, x, b.x_row, scale, shift, w.panel, to)


cdef inline bint ignores(Plan *p, Rows *b) noexcept nogil:
    return p.ignores and b.label != NULL


cdef double weight_factor(Plan *p, Rows *b, ptrdiff_t at, ptrdiff_t rows) noexcept nogil:
    cdef ptrdiff_t r, counted = 0
    if not ignores(p, b):
        return 1
    for r in range(at, at + rows):
        counted += b.label[b.index[r]] != p.ignored
    return rows / <double>counted if counted > 0 else 0


cdef void gather_targets(Plan *p, Workspace *w, Rows *b, ptrdiff_t at, ptrdiff_t r0, ptrdiff_t r1,
                         double factor) noexcept nogil:
    cdef ptrdiff_t size = p.k.itemsize, cols = p.target_cols, r, i
    cdef bint ignoring = ignores(p, b)
    cdef double weight
    if b.y != NULL:
        i = 0 if b.index != NULL else at + r0
        p.k.gather(r1 - r0, cols, b.index + at + r0 if b.index != NULL else NULL,
                   b.y + i * cols * size, cols, NULL, NULL, w.panel,
                   w.target + r0 * p.k.panel * size)
    if b.label != NULL:
        gather_labels(b, at, r0, r1, w.label)
    if b.weight == NULL and not ignoring:
        return
    for r in range(r0, r1):
        i = b.index[at + r] if b.index != NULL else at + r
        weight = factor
        if ignoring and b.label[i] == p.ignored:
            weight = 0
        elif b.weight != NULL:
            weight *= (<const float *>b.weight)[i] if size == 4 else (<const double *>b.weight)[i]
        if size == 4:
            (<float *>w.weight)[r] = <float>weight
        else:
            (<double *>w.weight)[r] = weight


cdef void gather_labels(Rows *b, ptrdiff_t at, ptrdiff_t r0, ptrdiff_t r1, int32_t *to) noexcept nogil:
    """to[r] for rows at + r of b, r0 <= r < r1."""
    cdef const int64_t *index = b.index
    cdef const int32_t *label = b.label
    cdef ptrdiff_t r
    if index == NULL:
        memcpy(to + r0, label + at + r0, (r1 - r0) * sizeof(int32_t))
        return
    for r in range(r0, r1):
        to[r] = label[index[at + r]]


cdef void pair_rows(Step *s, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t cols, char *x,
                    char *to) noexcept nogil:
    """Pairs of rows r0 .. r1 of x; r0 is even, and so is r1 but at the batch's end."""
    cdef ptrdiff_t row = s.k.panel * s.k.itemsize
    s.k.pair_rows(r1 - r0, cols, s.k.panel, w.panel, x + r0 * row, w.rows_panel, to + r0 // 2 * row)


cdef void pair_columns(Step *s, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t cols, char *x) noexcept nogil:
    """What left_operand is of rows r0 .. r1 of x where that is not x."""
    cdef ptrdiff_t row = r0 * s.k.panel * s.k.itemsize
    if s.bf16:
        s.k.pair_columns(r1 - r0, cols, s.k.panel, w.panel, x + row, w.panel, w.pairs + row)


cdef void left_operand(Step *s, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t cols, char *x,
                       fnn_gemm_args *g) noexcept nogil:
    """g.m, g.a and g.k: rows r0 .. r1 of x, in bfloat16, as pair_columns made it, where the step wants that."""
    cdef ptrdiff_t row = r0 * s.k.panel * s.k.itemsize
    g.m, g.a_panel = r1 - r0, w.panel
    g.a, g.k = w.pairs + row if s.bf16 else x + row, ceil_div(cols, 2) if s.bf16 else cols


cdef inline uint64_t mixed(uint64_t x) noexcept nogil:
    """A number that differs from x's neighbours' in half of its bits (splitmix64, Steele 2014)."""
    x = (x ^ (x >> 30)) * <uint64_t>0xbf58476d1ce4e5b9
    x = (x ^ (x >> 27)) * <uint64_t>0x94d049bb133111eb
    return x ^ (x >> 31)


cdef void disturb(Plan *p, Workspace *w, int l, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t j0, ptrdiff_t j1,
                  int64_t iteration, fnn_noise f, char *x, char *y) noexcept nogil:
    """Rows r0 .. r1 of panels j0 .. j1 of y from those of x, with the random numbers of step l in that
    iteration; in 0, a copy."""
    cdef ptrdiff_t P = p.k.panel, at = (j0 * w.panel + r0 * P) * p.k.itemsize
    cdef fnn_noise_args g = p.steps[l].noise_args
    if iteration == 0:
        f, g.rate, g.scale = p.k.dropout, 0, 1
    g.rows, g.row0, g.panel = r1 - r0, r0, w.panel
    g.width, g.col0 = p.steps[l].outputs, j0 * P
    g.cols = min(g.width, j1 * P) - g.col0
    g.key = mixed(p.steps[l].seed + mixed(<uint64_t>iteration * <uint64_t>0x9e3779b97f4a7c15))
    g.x, g.y = x + at, y + at
    f(&g)


cdef void add(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t cols, char *x, char *y,
              char *z) noexcept nogil:
    """Rows r0 .. r1 of z = x + y."""
    cdef ptrdiff_t P = p.k.panel, j, at
    for j in range(ceil_div(cols, P)):
        at = (j * w.panel + r0 * P) * p.k.itemsize
        p.k.add((r1 - r0) * P, x + at, y + at, z + at)


cdef void ready_rows(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, char **xs,
                     bint kept) noexcept nogil:
    cdef Step *s = &p.steps[l]
    if s.bf16 and kept:
        pair_rows(s, w, r0, r1, s.inputs, xs[l], w.x_rows[l])
    pair_columns(s, w, r0, r1, s.inputs, xs[l])


cdef void forward_operands(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, ptrdiff_t j0, ptrdiff_t j1,
                           char **xs, fnn_gemm_args *g) noexcept nogil:
    """Those of dense_forward's product, without the activation."""
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel
    cdef Step *s = &p.steps[l]
    memset(g, 0, sizeof(g[0]))
    left_operand(s, w, r0, r1, s.inputs, xs[l], g)
    g.n = min(s.outputs, j1 * P) - j0 * P
    g.b, g.b_row, g.b_panel = s.wf + j0 * s.wf_panel * size, P, s.wf_panel
    g.c, g.c_row, g.c_panel = xs[l + 1] + (j0 * w.panel + r0 * P) * size, P, w.panel
    if s.bias:
        g.bias, g.bias_panel = s.w + (j0 * s.w_panel + s.inputs * P) * size, s.w_panel


cdef void part_of_sum(Plan *p, const Step *s, Workspace *w, ptrdiff_t i0, ptrdiff_t i1,
                      fnn_gemm_args *g) noexcept nogil:
    """The product over inputs i0 .. i1 only, i0 a panel's first; the bias belongs to the last."""
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel
    g.a, g.b, g.k = <const char *>g.a + i0 // P * w.panel * size, <const char *>g.b + i0 * P * size, i1 - i0
    if i1 < s.inputs:
        g.bias = NULL


cdef void dense_forward(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, ptrdiff_t j0,
                        ptrdiff_t j1, char **xs) noexcept nogil:
    """Rows r0 .. r1 of panels j0 .. j1 of a dense step's outputs, from rows that are ready."""
    cdef Step *s = &p.steps[l]
    cdef fnn_gemm_args g
    forward_operands(p, w, r0, r1, l, j0, j1, xs, &g)
    if s.cut > 0:
        part_of_sum(p, s, w, s.cut, s.inputs, &g)
        s.k.gemm_nn(&g)
        forward_operands(p, w, r0, r1, l, j0, j1, xs, &g)
        part_of_sum(p, s, w, 0, s.cut, &g)
        g.accumulate = True
    g.act = s.f.act
    s.k.gemm_nn(&g)


cdef void half_of_sums(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, bint second,
                       char *to) noexcept nogil:
    cdef Step *s = &p.steps[l]
    cdef fnn_gemm_args g
    forward_operands(p, w, r0, r1, l, 0, ceil_div(s.outputs, p.k.panel), w.x, &g)
    part_of_sum(p, s, w, s.cut if second else 0, s.inputs if second else s.cut, &g)
    g.c = to + r0 * p.k.panel * p.k.itemsize
    s.k.gemm_nn(&g)


cdef void add_halves(Plan *p, Workspace *w, ptrdiff_t rows, int l, const char *one,
                     const char *other) noexcept nogil:
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel, j, r, n, at
    cdef fnn_unary act = p.steps[l].f.act
    cdef char *y
    for j in range(ceil_div(p.steps[l].outputs, P)):
        at = j * w.panel * size
        y = w.x[l + 1] + at
        p.k.add(rows * P, one + at, other + at, y)
        if act == NULL:
            continue
        n = p.steps[l].outputs - j * P
        if n >= P:
            act(rows * P, y, y)
            continue
        for r in range(rows):   # padding stays zero
            act(n, y + r * P * size, y + r * P * size)


cdef void change_columns(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, ptrdiff_t j0, ptrdiff_t j1,
                         char **xs, bint kept, int64_t iteration) noexcept nogil:
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel, j, at
    cdef Step *s = &p.steps[l]
    if s.kind == NOISE:
        if kept:
            disturb(p, w, l, r0, r1, j0, j1, iteration, s.noise, w.x[l], w.x[l + 1])
        return
    for j in range(j0, j1):
        at = (j * w.panel + r0 * P) * size
        if s.kind == ACTIVATE:
            s.f.act((r1 - r0) * P, xs[l] + at, xs[l + 1] + at)
        else:
            s.curve((r1 - r0) * P, s.param, xs[l] + at, xs[l + 1] + at)


cdef void forward(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int start, int stop, bint kept,
                  int64_t iteration) noexcept nogil:
    """x[l + 1] from x[l] for the steps start .. stop; a first step that scales, or whose x is
    sparse, is the gather's."""
    cdef char **xs = w.x if kept else w.x_calm
    cdef ptrdiff_t P = p.k.panel, row = r0 * P * p.k.itemsize
    cdef int l
    cdef Step *s
    cdef char *x
    cdef char *y
    cdef bint gathered = start == 0 and (gathered_into(p) > 0 or w.sparse)
    for l in range(1 if gathered else start, stop):
        s = &p.steps[l]
        x = xs[l] + row
        y = xs[l + 1] + row
        if s.kind == DENSE:
            ready_rows(p, w, r0, r1, l, xs, kept)
            dense_forward(p, w, r0, r1, l, 0, ceil_div(s.outputs, P), xs)
        elif in_columns(s):
            change_columns(p, w, r0, r1, l, 0, ceil_div(s.outputs, P), xs, kept, iteration)
        elif s.kind == ACTIVATE_ROWS:
            s.f.rows(r1 - r0, s.outputs, P, w.panel, x, y)
        elif s.kind == JOIN:
            add(p, w, r0, r1, s.outputs, xs[l], xs[s.mate], xs[l + 1])
        elif s.kind == EMBED or s.kind == TAKE:
            lookup_forward(p, w, l, r0, r1, xs)
        elif s.kind == SCALE:
            p.k.scale_shift(r1 - r0, s.outputs, P, w.panel, x, s.scale, s.shift, y)
        elif s.kind != FORK:
            features_forward(p, w, l, r0, r1, x, y, kept, iteration)


cdef void losses(Plan *p, Workspace *w, Rows *b, ptrdiff_t r0, ptrdiff_t r1, double scale,
                 bint gradient) noexcept nogil:
    """Loss and metrics of rows r0 .. r1, and the gradient at the loss's input, d[loss_step]."""
    cdef ptrdiff_t size = p.k.itemsize, row = r0 * p.k.panel * size
    cdef int i
    cdef fnn_loss_args a
    cdef fnn_metric_args m
    cdef char *value
    a.rows, a.cols = r1 - r0, p.steps[p.n_steps - 1].outputs
    a.p, a.p_panel = (w.x if gradient else w.x_calm)[p.loss_step] + row, w.panel
    a.t, a.t_panel = w.target + row if b.y != NULL else NULL, w.panel
    a.label = w.label + r0 if b.label != NULL else NULL
    a.weight = w.weight + r0 * size if b.weight != NULL or ignores(p, b) else NULL
    a.scale, a.param = scale, p.loss_param
    a.dp = w.d[p.loss_step] + row if gradient else NULL
    a.loss = w.loss + r0 * size
    p.loss(&a)
    a.cols, a.weight, a.scale, a.dp = p.target_cols, NULL, 1, NULL
    a.p = (w.x if gradient else w.x_calm)[p.metric_step] + row
    m.rows, m.cols, m.p, m.p_panel = a.rows, a.cols, a.p, a.p_panel
    m.t, m.t_panel, m.label = a.t, a.t_panel, a.label
    for i in range(p.n_metrics):
        value = w.metric + (i * w.rows + r0) * size
        if p.metrics[i].metric != NULL:
            m.number, m.value = p.metrics[i].number[0], value
            p.metrics[i].metric(&m)
        else:
            a.param, a.loss = p.metrics[i].number, value
            p.metrics[i].loss(&a)
    if gradient:
        through_activation(p, w, r0, r1, p.loss_step, w.d[p.loss_step])


cdef bint activates(Plan *p, int l) noexcept nogil:
    """Whether x[l] is the output of a dense step with an activation."""
    return l > 0 and p.steps[l - 1].kind == DENSE and p.steps[l - 1].f.grad != NULL


cdef void through_activation(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l,
                             char *dy) noexcept nogil:
    """d[l] = dy act'(x[l]) where x[l] is the output of a dense step with an activation."""
    if activates(p, l):
        activation_gradient(p, w, r0, r1, l, 0, ceil_div(p.steps[l - 1].outputs, p.k.panel), dy)


cdef void activation_gradient(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, ptrdiff_t j0,
                              ptrdiff_t j1, char *dy) noexcept nogil:
    """Panels j0 .. j1 of d[l] = dy act'(x[l]), of the output of a dense step with an activation."""
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel, j, at
    for j in range(j0, j1):
        at = (j * w.panel + r0 * P) * size
        p.steps[l - 1].f.grad((r1 - r0) * P, w.x[l] + at, dy + at, w.d[l] + at)


cdef void gradient_rows(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l) noexcept nogil:
    """What dW of dense step l reads of rows r0 .. r1 of d[l + 1], where that is not d itself."""
    cdef Step *s = &p.steps[l]
    if s.bf16:
        pair_rows(s, w, r0, r1, s.outputs, w.d[l + 1], w.d_rows[l])


cdef void ready_gradients(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l) noexcept nogil:
    cdef Step *s = &p.steps[l]
    gradient_rows(p, w, r0, r1, l)
    pair_columns(s, w, r0, r1, s.outputs, w.d[l + 1])


cdef void dense_backward(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, ptrdiff_t j0,
                         ptrdiff_t j1, int64_t iteration) noexcept nogil:
    """Rows r0 .. r1 of panels j0 .. j1 of d[l], from rows of d[l + 1] that are ready."""
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel, at = (j0 * w.panel + r0 * P) * size
    cdef Step *s = &p.steps[l]
    cdef fnn_gemm_args g
    memset(&g, 0, sizeof(g))
    left_operand(s, w, r0, r1, s.outputs, w.d[l + 1], &g)
    g.n = min(s.inputs, j1 * P) - j0 * P
    g.b, g.b_row, g.b_panel = s.wt + j0 * s.wt_panel * size, P, s.wt_panel
    g.c, g.c_row, g.c_panel = w.d[l] + at, P, w.panel
    g.s = w.x[l] + at
    if activates(p, l):
        g.grad = p.steps[l - 1].f.grad
    elif drops_relu(p, l - 1):
        g.grad = s.k.relu_backward
        g.scale = p.steps[l - 1].noise_args.scale if iteration > 0 else 1
    s.k.gemm_nn(&g)


cdef void share_block(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, ptrdiff_t j0, ptrdiff_t j1,
                      bint back, int64_t iteration) noexcept nogil:
    """Rows r0 .. r1, any number of them, of panels j0 .. j1 of what a dense step writes."""
    cdef ptrdiff_t r = r0, end
    while r < r1 and j0 < j1:
        end = min(r + ROW_BLOCK, r1)
        if back:
            dense_backward(p, w, r, end, l, j0, j1, iteration)
        else:
            dense_forward(p, w, r, end, l, j0, j1, w.x)
        r = end


cdef double cut_at(ptrdiff_t panels, double part, int size) noexcept nogil:
    """Where a part of so many panels ends: among whole ones, if each of the team has many, else at quarters."""
    cdef int pieces = 1 if panels >= 8 * size else 4
    return <ptrdiff_t>(panels * part * pieces + 0.5) / <double>pieces


cdef void share_product(Plan *p, Workspace *w, ptrdiff_t rows, int l, double begin, double end, int size,
                        bint back, int64_t iteration) noexcept nogil:
    cdef ptrdiff_t panels = ceil_div(p.steps[l].inputs if back else p.steps[l].outputs, p.k.panel), r0, r1
    # A panel that is cut is shared by its rows.
    cdef double low = cut_at(panels, begin, size), high = cut_at(panels, end, size)
    cdef ptrdiff_t j0 = <ptrdiff_t>low, j1 = <ptrdiff_t>high
    rows_of(rows, low - j0, high - j1, &r0, &r1)
    if j0 == j1:
        share_block(p, w, r0, r1, l, j0, j0 + 1, back, iteration)
        return
    if r0 > 0:
        share_block(p, w, r0, rows, l, j0, j0 + 1, back, iteration)
        j0 += 1
    share_block(p, w, 0, rows, l, j0, j1, back, iteration)
    share_block(p, w, 0, r1, l, j1, j1 + 1, back, iteration)


cdef void change_columns_back(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, ptrdiff_t j0,
                              ptrdiff_t j1, int64_t iteration) noexcept nogil:
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel, j, at
    cdef Step *s = &p.steps[l]
    cdef char *dy = w.d[l]
    if drops_relu(p, l):
        return
    if passes_gradient(s):  # where there is no activation, d[l] is d[l + 1]
        dy = w.d[l + 1]
    elif s.kind == NOISE:
        disturb(p, w, l, r0, r1, j0, j1, iteration, s.noise_grad, w.d[l + 1], dy)
    else:
        for j in range(j0, j1):
            at = (j * w.panel + r0 * P) * size
            if s.kind == ACTIVATE:
                s.f.grad((r1 - r0) * P, w.x[l if s.f.of_input else l + 1] + at, w.d[l + 1] + at, dy + at)
            else:
                s.curve_grad((r1 - r0) * P, s.param, w.x[l if s.of_input else l + 1] + at, w.d[l + 1] + at,
                             dy + at)
    if activates(p, l):
        activation_gradient(p, w, r0, r1, l, j0, j1, dy)


cdef void backward(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int start, int stop,
                   int64_t iteration) noexcept nogil:
    """d[l] from d[l + 1] for the steps l = start - 1 down to stop."""
    cdef ptrdiff_t P = p.k.panel, row = r0 * P * p.k.itemsize
    cdef int l
    cdef Step *s
    for l in range(start - 1, stop - 1, -1):
        s = &p.steps[l]
        if s.kind == DENSE:
            ready_gradients(p, w, r0, r1, l)
            dense_backward(p, w, r0, r1, l, 0, ceil_div(s.inputs, P), iteration)
            continue
        if in_columns(s):
            change_columns_back(p, w, r0, r1, l, 0, ceil_div(s.outputs, P), iteration)
            continue
        if passes_gradient(s):  # where there is no activation, d[l] is d[l + 1]
            through_activation(p, w, r0, r1, l, w.d[l + 1])
            continue
        if s.kind == FORK:
            add(p, w, r0, r1, s.outputs, w.d[l + 1], w.d[s.mate + 1], w.d[l])
        elif s.kind == ACTIVATE_ROWS:
            s.f.rows_grad(r1 - r0, s.outputs, P, w.panel, w.x[l + 1] + row, w.d[l + 1] + row,
                          w.d[l] + row)
        elif s.kind == EMBED or s.kind == TAKE:
            if l > s.first:     # they have one input
                continue
            lookups_backward(p, w, l, r0, r1)
        elif s.kind != SCALE:
            features_backward(p, w, l, r0, r1)
        else:
            p.k.scale_shift(r1 - r0, s.outputs, P, w.panel, w.d[l + 1] + row, s.scale, NULL,
                            w.d[l] + row)
        through_activation(p, w, r0, r1, l, w.d[l])


cdef void pair_weights(Plan *p, Step *s, ptrdiff_t j, ptrdiff_t i0, ptrdiff_t i1) noexcept nogil:
    """What forward products read of rows i0 .. i1 of panel j, where that is not the weights."""
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel
    if s.bf16:
        s.k.pair_rows(min(i1, s.inputs) - i0, min(P, s.outputs - j * P), P, 0,
                      s.w + (j * s.w_panel + i0 * P) * size, 0,
                      s.wf + (j * s.wf_panel + i0 // 2 * P) * size)


cdef void transpose_weights(Plan *p, Step *s, ptrdiff_t j, ptrdiff_t i0,
                            ptrdiff_t i1) noexcept nogil:
    """The transposed weights that belong to rows i0 .. i1 of panel j, what backward products read."""
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel, i, rows, row = j * P
    cdef ptrdiff_t cols = min(P, s.outputs - j * P)
    cdef int32_t pairs[FNN_MAX_PANEL * FNN_MAX_PANEL]
    cdef char *w
    if s.bf16:
        row = j * P // 2
    for i in range(i0 // P, ceil_div(min(i1, s.inputs), P)):
        rows = min(P, s.inputs - i * P)
        w = s.w + (j * s.w_panel + i * P * P) * size
        if s.bf16:
            s.k.pair_columns(rows, cols, P, 0, w, 0, pairs)
            w = <char *>pairs
        p.k.pack_transpose(ceil_div(cols, 2) if s.bf16 else cols, rows, w, P, 0,
                           s.wt + (i * s.wt_panel + row * P) * size)


cdef void refresh_operands(Plan *p, int l, ptrdiff_t j, ptrdiff_t i0, ptrdiff_t i1) noexcept nogil:
    """What products read of those weights, after training has changed them."""
    pair_weights(p, &p.steps[l], j, i0, i1)
    if p.steps[l].kind == DENSE and l > p.first_trained:
        transpose_weights(p, &p.steps[l], j, i0, i1)


cdef inline bint multiplies(Plan *p, Workspace *w, int l) noexcept nogil:
    """Whether step l's gradients are a product of panels, which other work can be done beside."""
    return p.steps[l].kind == DENSE and not (w.sparse and l == 0)


cdef void unit_operands(Plan *p, Workspace *w, ptrdiff_t rows, Unit *u,
                        fnn_gradient_args *g) noexcept nogil:
    """What the gradient of a unit's weights is computed from: X and the panel of dY; the next unit's is fetched."""
    cdef ptrdiff_t itemsize = p.k.itemsize, P = p.k.panel, panel
    cdef Step *s = &p.steps[u.l]
    g.rows, g.cols = min(u.i1, s.inputs) - u.i0, min(P, s.outputs - u.j * P)
    if s.bf16:
        g.k, g.a_panel = ceil_div(rows, 2), w.rows_panel
        g.a, g.b = w.x_rows[u.l], w.d_rows[u.l]
    else:
        g.k, g.a_panel = rows, w.panel
        g.a, g.b = w.x[u.l], w.d[u.l + 1]
    panel = g.a_panel * itemsize
    g.a = <const char *>g.a + u.i0 // P * panel
    g.b = <const char *>g.b + u.j * panel
    g.ahead = g.ahead_end = <const char *>g.b + panel
    if (u.j + 1) * P < s.outputs:
        g.ahead_end = <const char *>g.ahead + g.k * P * itemsize


cdef void bias_gradient(Plan *p, Workspace *w, ptrdiff_t rows, Unit *u, char *db) noexcept nogil:
    """db of the columns of a unit."""
    cdef ptrdiff_t size = p.k.itemsize, P = p.k.panel
    p.k.colsum(rows, min(P, p.steps[u.l].outputs - u.j * P), P, w.panel,
               w.d[u.l + 1] + u.j * w.panel * size, 0, db)


cdef inline ptrdiff_t blocks_of(Plan *p, Unit *u) noexcept nogil:
    """How many times P rows of a kernel a unit has, the last ones fewer."""
    return ceil_div(min(u.i1, p.steps[u.l].kernel_rows) - u.i0, p.k.panel)


cdef inline bint has_bias(Plan *p, Unit *u) noexcept nogil:
    return u.i1 > p.steps[u.l].kernel_rows


cdef ptrdiff_t slots_of(Plan *p, Unit *u) noexcept nogil:
    """How many sums of each kind a unit has."""
    return blocks_of(p, u) + has_bias(p, u)


cdef ptrdiff_t bytes_of_sums(const Plan *p) noexcept nogil:
    """Of one thread."""
    return FNN_LINE + 2 * round_up(p.n_slots * sizeof(double), FNN_LINE)


cdef Sums *sums_of(const Plan *p, int tid) noexcept nogil:
    return <Sums *>(p.sums + tid * bytes_of_sums(p))


cdef void lay_out_sums(const Plan *p, Sums *s) noexcept nogil:
    """In zeroed memory."""
    s.squares = <double *>(<char *>s + FNN_LINE)
    s.penalty = <double *>(<char *>s.squares + round_up(p.n_slots * sizeof(double), FNN_LINE))


cdef void gradient(Plan *p, Workspace *w, ptrdiff_t rows, Unit *u, char *dw) noexcept nogil:
    """dW = X^T dY of a unit, and db with the last of a panel, as the row after it; where the step is
    not a dense one, the gradients of its weights in the same rows."""
    cdef Step *s = &p.steps[u.l]
    cdef fnn_gradient_args o
    cdef fnn_gemm_args g
    if s.kind == EMBED:
        lookup_gradient(p, w, u, dw)
        return
    if s.kind != DENSE:
        features_gradient(p, w, rows, u, dw)
        return
    if not multiplies(p, w, u.l):
        sparse_gradient(p, w, u, dw)
    else:
        unit_operands(p, w, rows, u, &o)
        memset(&g, 0, sizeof(g))
        g.m, g.n, g.k = o.rows, o.cols, o.k
        g.a, g.a_panel, g.b = o.a, o.a_panel, o.b
        g.b_row = g.c_row = p.k.panel
        g.c = dw
        s.k.gemm_tn(&g)
    if has_bias(p, u):
        bias_gradient(p, w, rows, u, dw + (s.kernel_rows - u.i0) * p.k.panel * p.k.itemsize)


cdef const fnn_hyper *with_terms(const Turn *turn, const Terms *terms, double factor, double *penalty,
                                 fnn_hyper *own) noexcept nogil:
    """What the optimizer's step on rows of a tensor reads: `own`, where the tensor asks for anything."""
    if terms.l1 == 0 and terms.l2 == 0 and factor == 0 and terms.rate == 1:
        return &turn.hyper
    own[0] = turn.hyper
    own.l1, own.l2 = turn.penalty_scale * terms.l1, turn.penalty_scale * terms.l2
    own.penalty = penalty
    own.factor = factor
    own.lr *= terms.rate
    own.decay *= terms.rate
    return own


cdef void update_rows(Plan *p, Unit *u, ptrdiff_t row, ptrdiff_t rows, const fnn_hyper *hyper,
                      char *g) noexcept nogil:
    """One optimizer step on so many of the unit's rows, with the gradients g."""
    cdef Step *s = &p.steps[u.l]
    cdef ptrdiff_t at = weights_at(p, u, row)
    p.optim(rows, min(p.k.panel, s.w_cols - u.j * p.k.panel), hyper, g, s.w + at,
            s.m + at if s.m != NULL else NULL, s.v + at if s.v != NULL else NULL,
            s.u + at if s.u != NULL else NULL)


cdef inline double *penalty_at(const Turn *turn, ptrdiff_t slot) noexcept nogil:
    """Where an update sums up the penalties that slots are for, if it does."""
    return &turn.own.penalty[slot] if turn.sums_penalties else NULL


cdef void update_bias(Plan *p, Unit *u, const Turn *turn, char *g) noexcept nogil:
    """The same on the bias, the last row of the last unit."""
    cdef Step *s = &p.steps[u.l]
    cdef fnn_hyper own
    update_rows(p, u, s.kernel_rows, 1,
                with_terms(turn, &s.of_bias, turn.bias_factor,
                           penalty_at(turn, u.slot + blocks_of(p, u)), &own), g)


cdef void update(Plan *p, Unit *u, const Turn *turn, char *g) noexcept nogil:
    """The same on all of the unit's weights."""
    cdef Step *s = &p.steps[u.l]
    cdef ptrdiff_t rows = min(u.i1, s.kernel_rows) - u.i0
    cdef fnn_hyper own
    if rows > 0:
        update_rows(p, u, u.i0, rows,
                    with_terms(turn, &s.of_kernel, turn.kernel_factor, penalty_at(turn, u.slot), &own),
                    g)
    if has_bias(p, u):
        update_bias(p, u, turn, g + rows * p.k.panel * p.k.itemsize)


cdef inline char *turned_soon(Plan *p, const Unit *u) noexcept nogil:
    """Where the transposed weights of a unit lie that its update is followed by, if that is far; or NULL."""
    cdef ptrdiff_t P = p.k.panel, size = p.k.itemsize
    cdef const Step *s = &p.steps[u.l]
    if (u.l <= p.first_trained or s.bf16 or is_bound(s)
            or s.inputs * s.outputs * size < TURNED_BYTES):
        return NULL
    return s.wt + (u.i0 // P * s.wt_panel + u.j * P * P) * size


cdef void gradient_and_update(Plan *p, Workspace *w, ptrdiff_t rows, Unit *u, const Turn *turn,
                              bint keeps) noexcept nogil:
    """Both of a unit, side by side; the gradient goes to memory only if it is to be kept: writing
    all of them took a tenth of the memory traffic of a step."""
    cdef Step *s = &p.steps[u.l]
    cdef ptrdiff_t at = weights_at(p, u, u.i0)
    cdef double sums[FNN_MAX_PANEL]
    cdef double dw[(UNIT_PANELS * FNN_MAX_PANEL + 1) * FNN_MAX_PANEL]
    cdef char *db = <char *>sums
    cdef char *to
    cdef fnn_gradient_args g
    cdef fnn_hyper own
    if not multiplies(p, w, u.l) or (p.optim != p.k.sgd and p.optim != p.k.adam):
        to = s.g + at if keeps else <char *>dw
        gradient(p, w, rows, u, to)
        update(p, u, turn, to)
        return
    unit_operands(p, w, rows, u, &g)
    g.turned, g.turned_panel = turned_soon(p, u), s.wt_panel
    g.hyper = with_terms(turn, &s.of_kernel, 0, penalty_at(turn, u.slot), &own)
    g.g = s.g + at if keeps else NULL
    g.far = is_far(p)
    g.w = s.w + at
    g.m = s.m + at if s.m != NULL else NULL
    g.v = s.v + at if s.v != NULL else NULL
    (s.k.gradient_adam if p.optim == p.k.adam else s.k.gradient_sgd)(&g)
    if has_bias(p, u):
        if keeps:
            db = s.g + weights_at(p, u, s.kernel_rows)
        bias_gradient(p, w, rows, u, db)
        update_bias(p, u, turn, db)


cdef void add_up(Plan *p, Unit *u, double share, char *g) noexcept nogil:
    """A unit's share of a step in the sums of gradients: one of SGD on them."""
    cdef fnn_hyper h
    memset(&h, 0, sizeof(h))
    h.lr, h.far = -share, is_far(p)
    p.k.sgd(u.i1 - u.i0, min(p.k.panel, p.steps[u.l].w_cols - u.j * p.k.panel), &h, g,
            p.steps[u.l].sums + weights_at(p, u, u.i0), NULL, NULL, NULL)


cdef void sum_and_update(Plan *p, Workspace *w, ptrdiff_t rows, Unit *u, Turn *turn,
                         Gradients gradients, bint keeps) noexcept nogil:
    """A unit's gradients into the sums, and where it is time for it the update from these."""
    cdef Step *s = &p.steps[u.l]
    cdef ptrdiff_t at = weights_at(p, u, u.i0)
    cdef double dw[(UNIT_PANELS * FNN_MAX_PANEL + 1) * FNN_MAX_PANEL]
    cdef char *g = s.g + at
    if gradients == TO_COMPUTE:
        g = s.g + at if keeps else <char *>dw
        gradient(p, w, rows, u, g)
    if gradients != READY:
        add_up(p, u, turn.share, g)
    if turn.updates:
        update(p, u, turn, s.sums + at)
        memset(s.sums + at, 0, (u.i1 - u.i0) * p.k.panel * p.k.itemsize)


cdef void average(Plan *p, Unit *u, const Turn *turn) noexcept nogil:
    """The moving averages of a unit's weights; the weights become these where it is time for it."""
    cdef Step *s = &p.steps[u.l]
    cdef ptrdiff_t at = weights_at(p, u, u.i0), rows = u.i1 - u.i0
    cdef fnn_hyper h
    memset(&h, 0, sizeof(h))
    h.beta1, h.far = turn.average_kept, is_far(p)
    p.k.average(rows, min(p.k.panel, s.w_cols - u.j * p.k.panel), &h, s.w + at, s.average + at, NULL,
                NULL, NULL)
    if turn.overwrites:
        memcpy(s.w + at, s.average + at, rows * p.k.panel * p.k.itemsize)


cdef void tensor_norm(Plan *p, Unit *u, ptrdiff_t row, ptrdiff_t rows, Terms *terms, double scale,
                      bint squares, ptrdiff_t slot, Sums *own) noexcept nogil:
    """What some rows of a unit, of one tensor, add to penalties and squares from that slot on."""
    cdef Step *s = &p.steps[u.l]
    cdef ptrdiff_t at = weights_at(p, u, row)
    if squares or terms.l1 != 0 or terms.l2 != 0:
        p.k.norm(rows, min(p.k.panel, s.w_cols - u.j * p.k.panel), scale * terms.l1, scale * terms.l2,
                 s.w + at, (s.g if s.sums == NULL else s.sums) + at if squares else NULL,
                 &own.squares[slot], &own.penalty[slot])


cdef inline void forget_sums(Plan *p, Unit *u, bint squares, Sums *own) noexcept nogil:
    cdef ptrdiff_t slot
    for slot in range(u.slot, u.slot + slots_of(p, u)):
        if squares:
            own.squares[slot] = 0
        if p.penalised:
            own.penalty[slot] = 0


cdef void unit_norms(Plan *p, Unit *u, double scale, bint squares, Sums *own) noexcept nogil:
    """The penalties on a unit's weights and, if asked for, its gradients' squares."""
    cdef Step *s = &p.steps[u.l]
    forget_sums(p, u, squares, own)
    tensor_norm(p, u, u.i0, min(u.i1, s.kernel_rows) - u.i0, &s.of_kernel, scale, squares, u.slot, own)
    if has_bias(p, u):
        tensor_norm(p, u, s.kernel_rows, 1, &s.of_bias, scale, squares, u.slot + blocks_of(p, u), own)


cdef void gradient_and_norms(Plan *p, Workspace *w, ptrdiff_t rows, Unit *u, const Turn *turn) noexcept nogil:
    """The gradients of a unit of a dense step, and its penalties and squares, side by side."""
    cdef Step *s = &p.steps[u.l]
    cdef ptrdiff_t at = weights_at(p, u, u.i0)
    cdef double scale = turn.penalty_scale
    cdef fnn_gradient_args g
    cdef fnn_hyper terms
    memset(&terms, 0, sizeof(terms))
    forget_sums(p, u, True, turn.own)
    terms.l1, terms.l2 = scale * s.of_kernel.l1, scale * s.of_kernel.l2
    terms.penalty = &turn.own.penalty[u.slot]
    unit_operands(p, w, rows, u, &g)
    g.hyper, g.squares, g.far, g.turned = &terms, &turn.own.squares[u.slot], is_far(p), NULL
    g.g, g.w, g.m, g.v = s.g + at, s.w + at, NULL, NULL
    s.k.gradient_norm(&g)
    if has_bias(p, u):
        bias_gradient(p, w, rows, u, s.g + weights_at(p, u, s.kernel_rows))
        tensor_norm(p, u, s.kernel_rows, 1, &s.of_bias, scale, True, u.slot + blocks_of(p, u), turn.own)


cdef void only_gradients(Plan *p, Workspace *w, ptrdiff_t rows, Unit *u, const Turn *turn,
                         Gradients gradients, bint norms) noexcept nogil:
    """The gradients of a unit, if these are to be computed, and, with `norms`, their sums and norms."""
    cdef Step *s = &p.steps[u.l]
    cdef char *g = s.g + weights_at(p, u, u.i0)
    if norms and gradients == TO_COMPUTE and s.sums == NULL and multiplies(p, w, u.l):
        gradient_and_norms(p, w, rows, u, turn)
        return
    if gradients == TO_COMPUTE:
        gradient(p, w, rows, u, g)
    if norms:
        if s.sums != NULL:
            add_up(p, u, turn.share, g)
        unit_norms(p, u, turn.penalty_scale, True, turn.own)


cdef double clipped(double squares, double most) noexcept nogil:
    """What a gradient of that norm, squared, is multiplied by to be no longer than `most`; 0: it is not.

    Squares of large numbers are infinite: then next to nothing, as 0 is no factor (fnn_hyper)."""
    cdef double norm = sqrt(squares)
    return max(most / norm, DBL_MIN) if norm > most else 0


cdef double squares_of(Plan *p, int l, bint of_bias, int team) noexcept nogil:
    """The sum of the squares of one of step l's tensors' gradients, in the order of the units."""
    cdef double total = 0
    cdef ptrdiff_t slot, end
    cdef Unit *u
    cdef int i, tid = 0
    for i in range(p.n_units):
        u = &p.units[i]
        if u.l != l or (of_bias and not has_bias(p, u)):
            continue
        slot, end = u.slot, u.slot + blocks_of(p, u)
        if of_bias:
            slot, end = end, end + 1
        while slot < end:
            while slot >= sums_of(p, tid).end and tid < team - 1:
                tid += 1
            total += sums_of(p, tid).squares[slot]
            slot += 1
    return total


cdef double total_of(Plan *p, bint squares, int team) noexcept nogil:
    """The sum of all squares, or of all penalties, in the order of the units."""
    cdef double total = 0
    cdef const double *x
    cdef ptrdiff_t slot = 0
    cdef Sums *sums
    cdef int tid
    for tid in range(team):
        sums = sums_of(p, tid)
        x = sums.squares if squares else sums.penalty
        while slot < sums.end:
            total += x[slot]
            slot += 1
    return total


cdef void choose_factors(Plan *p, int l, Turn *turn) noexcept nogil:
    """The factors of step l's tensors."""
    if p.global_clipnorm > 0:
        turn.kernel_factor = clipped(total_of(p, True, turn.team), p.global_clipnorm)
        turn.bias_factor = turn.kernel_factor
    else:
        turn.kernel_factor = clipped(squares_of(p, l, False, turn.team), p.clipnorm)
        turn.bias_factor = clipped(squares_of(p, l, True, turn.team), p.clipnorm)


cdef void measure_penalties(Plan *p) noexcept nogil:
    """The penalties of all units, for weights as they are, as a team of one."""
    cdef int i
    for i in range(p.n_units):
        unit_norms(p, &p.units[i], 1, False, sums_of(p, 0))
    sums_of(p, 0).end = p.n_slots


cdef double penalty(Plan *p, int team) noexcept nogil:
    """The sum of the penalties, as that team measured them."""
    return total_of(p, False, team)


cdef inline ptrdiff_t row_at(Plan *p, Unit *u, double before, double part) noexcept nogil:
    """The row of a unit at which a thread's part begins or ends that has so much of all costs before it."""
    cdef ptrdiff_t blocks = blocks_of(p, u)
    cdef ptrdiff_t n = <ptrdiff_t>(blocks * max(0.0, part - before) / (u.cost - before) + 0.5)
    return u.i0 + n * p.k.panel if n < blocks else u.i1


cdef double take_part(Plan *p, Workspace *w, int i, double low, double high, Unit *part) noexcept nogil:
    """Units lie where their middle does whose gradients are no product of panels, or are there already."""
    cdef Unit *u = &p.units[i]
    cdef double before = p.units[i - 1].cost if i > 0 else 0, cost = u.cost - before, middle = before + cost / 2
    if u.cost <= low or before >= high:
        return 0
    part[0] = u[0]
    if low <= before and u.cost <= high:
        return cost
    if w == NULL or not multiplies(p, w, u.l):
        return cost if low <= middle < high else 0
    part.i0, part.i1 = row_at(p, u, before, low), row_at(p, u, before, high)
    part.slot += (part.i0 - u.i0) // p.k.panel
    return cost * (part.i1 - part.i0) / (u.i1 - u.i0)


cdef double weights_phase(Plan *p, Workspace *w, ptrdiff_t rows, Turn *turn, bint updates,
                          Gradients gradients, bint keeps, bint norms, int u0, int u1, double begin,
                          double end) noexcept nogil:
    """The part begin .. end of units u0 .. u1, chunk by chunk of rows: panels of X, of which a unit has several,
    stay in cache while those of dY pass. Of each: gradients, and, if `updates`, all that the turn does
    with them; else, with `norms`, the sums and norms that the update waits for. With both, the
    penalties alone, which else are the update's. Gradients are kept if they are not used at once.

    Returns the part that was taken."""
    cdef double before = p.units[u0 - 1].cost if u0 > 0 else 0
    cdef double total = p.units[u1 - 1].cost - before if u1 > u0 else 0
    cdef double cost, low = before + total * begin, high = before + total * end, taken = 0
    cdef bint sums = norms or (updates and turn.sums_penalties)
    cdef ptrdiff_t slots = 0
    cdef int n, i, chosen = -1
    cdef Unit part
    cdef Unit *u = &part
    cdef Step *s
    for n in range(p.n_units):
        # Where all of it comes from memory, in the order of addresses.
        i = p.units[n].by_panel if gradients == READY else p.units[n].by_chunk
        if not u0 <= i < u1:
            continue
        cost = take_part(p, w, i, low, high, u)
        if cost == 0:
            continue
        taken += cost
        slots = max(slots, u.slot + slots_of(p, u))
        s = &p.steps[u.l]
        if updates and turn.clips and (chosen < 0 or (p.clipnorm > 0 and chosen != u.l)):
            choose_factors(p, u.l, turn)
            chosen = u.l
        if not updates:
            only_gradients(p, w, rows, u, turn, gradients, norms)
            continue
        if turn.sums_penalties:
            forget_sums(p, u, False, turn.own)
        elif norms:
            unit_norms(p, u, turn.penalty_scale, False, turn.own)
        if s.sums != NULL:
            sum_and_update(p, w, rows, u, turn, gradients, keeps)
        elif gradients == TO_COMPUTE:
            gradient_and_update(p, w, rows, u, turn, keeps)
        else:
            update(p, u, turn, s.g + weights_at(p, u, u.i0))
        if s.average != NULL:
            average(p, u, turn)
        if (turn.updates or turn.overwrites) and not is_bound(s):
            refresh_operands(p, u.l, u.j, u.i0, u.i1)
    if sums and turn.own.end != slots:  # a line that others read and nobody writes stays in all caches
        turn.own.end = slots
    return taken / total if total > 0 else 0


# The product of 1 - 0.96^i / 2 over i = 1 .. t, which Nadam's momentum is multiplied by (Dozat 2016).
cdef double nadam_factor[NADAM_STEPS + 1]


cdef void make_nadam_factors() noexcept:
    cdef int i
    nadam_factor[0] = 1
    for i in range(1, NADAM_STEPS + 1):
        nadam_factor[i] = nadam_factor[i - 1] * (1 - 0.5 * pow(0.96, i))


make_nadam_factors()


cdef Turn turn_at(Plan *p, int64_t iteration, double rate, double penalty_scale,
                  double share) noexcept nogil:
    """What step `iteration` = 1, 2, ... does; `share` is its part of all, where no update follows."""
    cdef Turn turn
    cdef int64_t update = iteration
    turn.penalty_scale, turn.sums_penalties = penalty_scale, False
    turn.clips, turn.kernel_factor, turn.bias_factor = False, 0, 0
    turn.own, turn.team = NULL, 1
    turn.updates, turn.share, turn.overwrites = p.summed > 0, share, False
    if p.summed > 0:
        turn.updates, turn.share = iteration % p.summed == 0, 1.0 / p.summed
        update = ceil_div(iteration, p.summed)
    turn.hyper = hyper_at(p, update, rate)
    turn.hyper.far = is_far(p)
    turn.average_kept = p.average_kept if update > 1 else 0
    if p.overwrite_every > 0:
        turn.overwrites = update % p.overwrite_every == 0
    return turn


cdef fnn_hyper hyper_at(Plan *p, int64_t iteration, double rate) noexcept nogil:
    """The numbers of update `iteration` = 1, 2, ..., corrected for the means' bias to 0."""
    cdef fnn_hyper h = p.hyper
    cdef double t = <double>iteration, root, now, soon, product
    h.lr = rate
    h.decay *= rate
    if p.correction == ADAM_CORRECTION or p.correction == NADAM_CORRECTION:
        root = sqrt(1.0 - pow(h.beta2, t))
        if p.correction == ADAM_CORRECTION:
            h.lr *= root / (1.0 - pow(h.beta1, t))
        else:
            h.lr *= root
            h.epsilon *= root
            now = h.beta1 * (1 - 0.5 * pow(0.96, t))
            soon = h.beta1 * (1 - 0.5 * pow(0.96, t + 1))
            product = pow(h.beta1, t) * nadam_factor[min(iteration, <int64_t>NADAM_STEPS)]
            h.part_m = soon / (1 - product * soon)
            h.part_g = (1 - now) / (1 - product)
    elif p.correction == ADAMAX_CORRECTION:
        h.lr /= 1.0 - pow(h.beta1, t)
    return h


cdef void add_rows(Plan *p, Workspace *w, ptrdiff_t rows, double *sums) noexcept nogil:
    """sums[0] += the losses of the rows, sums[1 + i] += metric i, in the order of the rows."""
    cdef ptrdiff_t r
    cdef int i
    cdef char *values
    for i in range(p.n_metrics + 1):
        values = w.loss if i == 0 else w.metric + (i - 1) * w.rows * p.k.itemsize
        for r in range(rows):
            sums[i] += (<float *>values)[r] if p.k.itemsize == 4 else (<double *>values)[r]
