/* Gradient and optimizer step in one: dW = A B with A^T in panels [m/P][k][P], then W = step(dW, W); the
 * same with no step, but the norms of both.
 *
 * A tile of dW is computed as gemm_tn does. While it multiplies, the weights of the tile before it
 * are updated, a vector every step of k: multiplications leave the divider, which bounds Adam,
 * and the port for stores idle. Adam's division waits for the next step: a core that multiplies twice
 * a cycle has no registers left for further products before a root and a division after it are done.
 * What k is too short for follows at once. A gradient that is not kept never leaves L1. Weights that
 * are `far` are fetched a tile ahead, and those of a tile are summed up for the penalty once they are
 * there; a sum between the products measured slower.
 *
 * Registers: the update needs six beside the tile, of Adam two from one step to the next. Tiles of 11
 * rows split a panel of 32 as evenly as those of 14 do, and use 22 + 2 + 1. With V_STEPS those of 6 are the fastest,
 * though sums go to memory while the update runs: most of the products come after it.
 */

#if MR == 14
#define GRADIENT_MR 11
#define GRADIENT_TILES(X) TILES_TO_6(X) X(7) X(8) X(9) X(10) X(11)
#elif V_STEPS
#define GRADIENT_MR 6
#define GRADIENT_TILES TILES_TO_6
#else
#define GRADIENT_MR 4
#define GRADIENT_TILES TILES_TO_4
#endif

/* Weights whose gradient is known and that are to be updated. */
typedef struct {
    ptrdiff_t rows;
    const real *g;
    optim_state s;
} tile_weights;

typedef struct {
    ptrdiff_t k;
    const real *a, *b;
    real *g;
    ptrdiff_t cols;      /* of the panel: P, or fewer in tiles one vector wide */
    tile_weights before; /* the weights of the tile after it are the next in memory */
    int far;             /* fetch those meanwhile */
    const real *ahead;   /* and then lines from here on, one every two steps or V_STEPS */
    ptrdiff_t ahead_step;
    optim_hyper hyper;
} gradient_args;

/* `keeps`: their gradients are in memory, too, and will be written */
INLINE void fetch_weights(const int keeps, const tile_weights *t, ptrdiff_t i) {
    if (keeps) __builtin_prefetch(t->g + i, 1);
    __builtin_prefetch(t->s.w + i);
    if (t->s.m) __builtin_prefetch(t->s.m + i);
    if (t->s.v) __builtin_prefetch(t->s.v + i);
}

/* the share of mr rows, from row i + r on, in the lines that the transposes of up to P rows from row i on lie in */
INLINE void fetch_turned(const fnn_gradient_args *g, ptrdiff_t i, ptrdiff_t r, ptrdiff_t mr) {
    const real *to = (const real *)g->turned + i / P * g->turned_panel;
    const ptrdiff_t all = g->cols * P, rows = min_size(g->rows - i, P);
    for (ptrdiff_t n = r * all / rows; n < (r + mr) * all / rows; n += LINE) __builtin_prefetch(to + n, 1, 2);
}

/* the last k steps of mr rows, and these out into memory */
INLINE void gradient_end(const int r0, const int mr, const int nv, ptrdiff_t k, const real *a, const real *b,
                         ptrdiff_t cols, real *g, vreal (*acc)[NV]) {
    for (; k > 0; k--, a += P, b += P) tile_step(mr, nv, 1, a + r0, b, acc + r0);
    UNROLL(16) for (int r = r0; r < r0 + mr; r++) UNROLL(4) for (int v = 0; v < nv; v++)
        store_first(cols, g + r * P + v * VL, acc[r][v]);
}

INLINE void gradient_tile(const optim_step step, const int mr, const int nv, const gradient_args *t) {
    vreal acc[MR][NV];
    UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++)
        acc[r][v] = v_zero();
    const ptrdiff_t cols = nv == NV ? VL : t->cols, stride = nv == NV ? VL : P;
    const tile_weights u = t->before; /* a copy: stores to weights cannot change it */
    const int half = first_half(mr, nv);
    const ptrdiff_t tail = tail_of(half < mr, t->k), vectors = u.rows * nv, together = min_size(t->k - tail, vectors);
    const real *a = t->a, *b = t->b, *ahead = t->ahead;
    const int adam = step == adam_step;
    adam_move move;
    ptrdiff_t k = t->k - tail, i = 0;
    for (; i < together; i++, k--, a += P, b += P) {
        if (t->far) fetch_weights(step == norm_step, &u, (vectors + i) * stride);
        tile_step(mr, nv, 1, a, b, acc);
        if (!adam) step(i * stride, cols, &t->hyper, u.g, &u.s);
        if (adam && i > 0) adam_end((i - 1) * stride, cols, &t->hyper, move, &u.s);
        if (adam) move = adam_begin(i * stride, cols, &t->hyper, u.g, &u.s);
    }
    if (adam && i > 0) adam_end((i - 1) * stride, cols, &t->hyper, move, &u.s);
    const ptrdiff_t whole = V_STEPS && nv == NV ? k - k % WHOLE : 0;
    whole_steps(mr, 1, P, whole, a, b, P, ahead, t->ahead_step, acc);
    k -= whole, a += whole * P, b += whole * P, ahead += whole / WHOLE * t->ahead_step;
    tile_steps(mr, nv, 1, P, k, a, b, P, a, ahead, t->ahead_step, acc);
    a += k / 2 * 2 * P, b += k / 2 * 2 * P;
    if (k % 2 > 0) tile_step(mr, nv, 1, a, b, acc), a += P, b += P;
    for (; i < vectors; i++) step(i * stride, cols, &t->hyper, u.g, &u.s);
    gradient_end(0, half, nv, tail, a, b, cols, t->g, acc);
    if (half < mr) gradient_end(half, mr - half, nv, tail, a, b, cols, t->g, acc);
}

/* A function for every optimizer and height, for a full panel and for one that fits into a vector. */
typedef void (*gradient_fn)(const gradient_args *);
#define GRADIENT_FN(step, mr)                                                              \
    NOINLINE void step##_tile_##mr(const gradient_args *t) { gradient_tile(step, mr, NV, t); } \
    NOINLINE void step##_narrow_##mr(const gradient_args *t) { gradient_tile(step, mr, 1, t); }
#define GRADIENT_FNS(mr) \
    GRADIENT_FN(sgd_step, mr) GRADIENT_FN(adam_step, mr)                                   \
    NOINLINE void norm_step_tile_##mr(const gradient_args *t) { gradient_tile(norm_step, mr, NV, t); }
#define SGD_ROW(mr) {sgd_step_tile_##mr, sgd_step_narrow_##mr},
#define ADAM_ROW(mr) {adam_step_tile_##mr, adam_step_narrow_##mr},
#define NORM_ROW(mr) {norm_step_tile_##mr, NULL},
GRADIENT_TILES(GRADIENT_FNS)
static const gradient_fn SGD_TILE[GRADIENT_MR][2] = {GRADIENT_TILES(SGD_ROW)};
static const gradient_fn ADAM_TILE[GRADIENT_MR][2] = {GRADIENT_TILES(ADAM_ROW)};
static const gradient_fn NORM_TILE[GRADIENT_MR][2] = {GRADIENT_TILES(NORM_ROW)};

/* the P rows from row r on have had their step, and the next ones have not begun */
INLINE void end_norms(const fnn_gradient_args *g, ptrdiff_t r, norm_sums *norms) {
    if (!norms) return;
    add_norms(norms, g->hyper->l1, g->hyper->l2, g->squares + r / P, g->hyper->penalty + r / P);
    begin_norms(norms);
}

/* the tiles of a panel that is full or fits into one vector */
INLINE void gradient_tiles(const optim_step step, const gradient_fn (*tile_of)[2],
                           const fnn_gradient_args *g, norm_sums *norms) {
    real buffer[2][GRADIENT_MR * P];
    real *keep = g->g;
    const optim_state s = {g->w, g->m, g->v, NULL};
    gradient_args t; /* field by field: to zero all of it first takes longer */
    t.k = g->k, t.b = g->b, t.cols = g->cols, t.far = g->far;
    t.before = (tile_weights){0};
    t.ahead = g->far ? g->ahead : g->b, t.ahead_step = 0;
    t.hyper = optim_broadcast(g->hyper);
    t.hyper.sums = norms;
    const int narrow = g->cols <= VL;
    if (!norms && !g->far) sum_block(g->rows, g->cols, g->hyper, s.w);
    int odd = 0;
    for (ptrdiff_t i = 0; i < g->rows; i += P) {
        const ptrdiff_t rows = min_size(g->rows - i, P);
        const real *panel = (const real *)g->a + i / P * g->a_panel;
        weight_sums memory[2], *sums = !norms && g->far ? begin_sums(g->hyper, memory) : NULL;
        ptrdiff_t r = 0;
        for (ptrdiff_t left = (rows + GRADIENT_MR - 1) / GRADIENT_MR; left > 0; left--) {
            const ptrdiff_t mr = (rows - r + left - 1) / left, at = (i + r) * P;
            t.a = panel + r;
            t.g = keep ? keep + at : buffer[odd];
            if (g->far) t.ahead_step = t.ahead < (const real *)g->ahead_end ? LINE : 0;
            if (g->turned) fetch_turned(g, i, r, mr);
            tile_of[mr - 1][narrow](&t);
            const ptrdiff_t alone = g->k / 2 - t.before.rows * (narrow ? 1 : NV); /* twos of steps */
            if (alone > 0) t.ahead += (V_STEPS && !narrow ? 2 * alone / WHOLE : alone) * t.ahead_step;
            if (r == 0 && i > 0) end_norms(g, i - P, norms);
            if (sums) sum_rows(r, mr, g->cols, g->hyper, s.w + at, sums); /* now in L1 */
            t.before = (tile_weights){mr, t.g, optim_at(&s, at)};
            odd = !odd;
            r += mr;
        }
        end_sums(g->hyper, i, sums);
    }
    optim_rows(step, t.before.rows, g->cols, &t.hyper, t.before.g, &t.before.s);
    if (g->rows > 0) end_norms(g, g->rows - 1, norms);
}

/* Other panels, and for norms narrow ones, are the last of their layer, and not worth tiles of their own; those
 * of few columns have gemm_tn's. */
INLINE void gradient_panel(const optim_step step, const fnn_gradient_args *g, norm_sums *norms) {
    real buffer[P * P], *keep = g->g;
    const optim_state s = {g->w, g->m, g->v, NULL};
    optim_hyper h = optim_broadcast(g->hyper);
    h.sums = norms;
    if (!norms) sum_block(g->rows, g->cols, g->hyper, s.w);
    for (ptrdiff_t i = 0; i < g->rows; i += P) {
        const ptrdiff_t rows = min_size(g->rows - i, P), at = i * P;
        real *to = keep ? keep + at : buffer;
        const fnn_gemm_args product = {
            .m = rows, .n = g->cols, .k = g->k,
            .a = (const real *)g->a + i / P * g->a_panel, .a_panel = g->a_panel,
            .b = g->b, .b_row = P, .c = to, .c_row = P,
        };
        FNN_NAME(gemm_tn)(&product);
        const optim_state here = optim_at(&s, at);
        optim_rows(step, rows, g->cols, &h, to, &here);
        end_norms(g, i, norms);
    }
}

INLINE void gradient(const optim_step step, const gradient_fn (*tile_of)[2],
                     const fnn_gradient_args *g, norm_sums *norms) {
    if (g->cols <= 0) return;
    if (g->cols == P || (g->cols <= VL && g->cols > SLIM && tile_of[0][1])) gradient_tiles(step, tile_of, g, norms);
    else gradient_panel(step, g, norms);
}

static void FNN_NAME(gradient_sgd)(const fnn_gradient_args *g) { gradient(sgd_step, SGD_TILE, g, NULL); }
static void FNN_NAME(gradient_adam)(const fnn_gradient_args *g) { gradient(adam_step, ADAM_TILE, g, NULL); }

static void FNN_NAME(gradient_norm)(const fnn_gradient_args *args) {
    fnn_gradient_args g = *args;
    norm_sums norms[FOUR];
    begin_norms(norms);
    g.m = g.v = NULL;
    g.far = g.far && (g.hyper->l1 != 0 || g.hyper->l2 != 0); /* else weights are not read */
    gradient(norm_step, NORM_TILE, &g, norms);
}
