/* Matrix products on packed operands.
 *
 *     gemm_nn   C (m,n) = A B      A (m,k) in panels [k/P][rows][P]
 *     gemm_tn   C (m,n) = A B      A^T (k,m) in panels [m/P][k][P]
 *     B (k,n) in panels [n/P][k][P]; C panelled with any strides
 *
 * with act(A B + bias), C + A B or (A B) act'(s) on the way out.
 *
 * One register tile holds mr x nv vectors of C. A step of k loads the nv vectors of B's panel row
 * and broadcasts mr values of A, so that it does mr * nv multiply-adds for mr + nv loads:
 *
 *     acc[r][v] += A(r, k) * B(k, v)     r < mr <= MR, v < nv <= NV
 *
 *     A(r, k) lies at a[r * P + k] (nn) or a[k * P + r] (tn): one base and constants, so that the
 *     compiler addresses all of it from one pointer; MR * NV + NV + 1 registers.
 *
 * Loops, outer to inner: panel of C (P columns), tile of rows; each tile runs through all of k.
 * Cutting k into blocks whose panel of B stays in L1 was measured and lost (0.75 to 0.92 of peak
 * against 0.90 to 0.97): C then goes through memory once a block, while the hardware prefetches
 * B's one contiguous stream well. What it does not see coming is fetched into L2 by hand: C of
 * the next tile, whose rows lie far apart, and, a line every two steps, the next panel of B. On
 * large matrices that was worth 0.08 of peak; into L1 it gained nothing.
 *
 * A tile adds its products in the order of k, to what C holds where it accumulates, so that a
 * result does not depend on how m, n and k are cut.
 */

typedef struct {
    ptrdiff_t k;
    const real *a;
    ptrdiff_t a_panel;
    const real *b;
    ptrdiff_t b_row;
    const real *ahead; /* lines of the next panel of B to fetch meanwhile */
    ptrdiff_t ahead_step; /* from two of them to the next two; 0 where all are fetched */
    const real *next_c; /* C of the next tile, of which next_rows rows are fetched every P steps: */
    ptrdiff_t next_rows; /* all at once would take every fill buffer, and A and B would wait */
    real *c;
    ptrdiff_t c_row;
    const real *bias; /* NULL: none */
    const real *s;    /* NULL, or relu's output where C is its gradient */
    ptrdiff_t cols;   /* columns of this panel that exist, 1 .. P */
    int load;         /* add to what C holds */
    int relu;
} tile_args;

/* mask of vector v where only `cols` columns exist */
INLINE vmask cols_mask(ptrdiff_t cols, int v) {
    ptrdiff_t left = cols - v * VL;
    return v_first(left < 0 ? 0 : left > VL ? VL : left);
}

INLINE void tile_step(const int mr, const int nv, const int row, const real *a, const real *b,
                      vreal (*acc)[NV]) {
    vreal bv[NV];
    UNROLL(4) for (int v = 0; v < nv; v++) bv[v] = v_load(b + v * VL);
    UNROLL(16) for (int r = 0; r < mr; r++) {
        vreal av = v_set1(a[r * row]);
        UNROLL(4) for (int v = 0; v < nv; v++) acc[r][v] = v_fma(av, bv[v], acc[r][v]);
    }
}

/* fetched into L2 without waiting; any address will do */
INLINE void fetch(const real *p) { __builtin_prefetch(p, 0, 2); }

/* acc += A B over k steps that lie at stride `col` in A; lines `ahead` are fetched meanwhile */
INLINE void tile_steps(const int mr, const int nv, const int row, const int col, ptrdiff_t k,
                       const real *a, const real *b, const ptrdiff_t b_row, const real *ahead,
                       ptrdiff_t ahead_step, vreal (*acc)[NV]) {
    for (; k >= 4; k -= 4, a += 4 * col, b += 4 * b_row, ahead += ahead_step) {
        fetch(ahead);
        fetch(ahead + LINE);
        tile_step(mr, nv, row, a, b, acc);
        tile_step(mr, nv, row, a + col, b + b_row, acc);
        tile_step(mr, nv, row, a + 2 * col, b + 2 * b_row, acc);
        tile_step(mr, nv, row, a + 3 * col, b + 3 * b_row, acc);
    }
    for (; k > 0; k--, a += col, b += b_row) tile_step(mr, nv, row, a, b, acc);
}

INLINE void tile(const int mr, const int nv, const int tn, const tile_args *t) {
    vreal acc[MR][NV];
    const int full = t->cols >= nv * VL;
    vmask mask[NV];
    UNROLL(4) for (int v = 0; v < nv; v++) mask[v] = cols_mask(t->cols, v);

    UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++) acc[r][v] = v_zero();
    if (t->bias) {
        UNROLL(4) for (int v = 0; v < nv; v++) {
            vreal bias = v_load_m(mask[v], t->bias + v * VL);
            UNROLL(16) for (int r = 0; r < mr; r++) acc[r][v] = bias;
        }
    } else if (t->load) {
        UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++)
            acc[r][v] = full ? v_load(t->c + r * t->c_row + v * VL)
                             : v_load_m(mask[v], t->c + r * t->c_row + v * VL);
    }

    const real *a = t->a, *b = t->b, *ahead = t->ahead, *next_c = t->next_c;
    const real *next_end = next_c + mr * t->c_row;
    for (ptrdiff_t k = t->k; k > 0; k -= P, b += P * t->b_row) {
        for (ptrdiff_t i = 0; i < t->next_rows && next_c < next_end; i++, next_c += t->c_row) {
            /* lines' last elements: where C is not aligned, the panel before fetched the first */
            for (int v = LINE - 1; v < nv * VL; v += LINE) fetch(next_c + v);
        }
        tile_steps(mr, nv, tn ? 1 : P, tn ? P : 1, min_size(k, P), a, b, t->b_row, ahead,
                   t->ahead_step, acc);
        a += tn ? P * P : t->a_panel;
        ahead += P / 4 * t->ahead_step;
    }

    if (t->relu) { /* 0 first: max gives its second argument where that is NaN */
        UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++)
            acc[r][v] = v_max(v_zero(), acc[r][v]);
    }
    real *c = t->c;
    if (t->s) {
        const real *s = t->s;
        UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++) {
            vreal sv = v_load_m(mask[v], s + r * t->c_row + v * VL);
            acc[r][v] = relu_backward_1(sv, acc[r][v]);
        }
    }
    if (full) {
        UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++)
            v_store(c + r * t->c_row + v * VL, acc[r][v]);
    } else {
        UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++)
            v_store_m(mask[v], c + r * t->c_row + v * VL, acc[r][v]);
    }
}

/* A function for every tile height, for a full panel and for one that fits into one vector. */
typedef void (*tile_fn)(const tile_args *);
#define TILE_FNS(mr)                                                                            \
    static __attribute__((noinline)) void tile_nn_##mr(const tile_args *t) { tile(mr, NV, 0, t); } \
    static __attribute__((noinline)) void tile_nn_narrow_##mr(const tile_args *t) { tile(mr, 1, 0, t); } \
    static __attribute__((noinline)) void tile_tn_##mr(const tile_args *t) { tile(mr, NV, 1, t); } \
    static __attribute__((noinline)) void tile_tn_narrow_##mr(const tile_args *t) { tile(mr, 1, 1, t); }
#define TILE_ROW(mr) {{tile_nn_##mr, tile_nn_narrow_##mr}, {tile_tn_##mr, tile_tn_narrow_##mr}},
#define TILES_TO_4(X) X(1) X(2) X(3) X(4)
#define TILES_TO_6(X) TILES_TO_4(X) X(5) X(6)
#define TILES_TO_14(X) TILES_TO_6(X) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#define TILES__(n) TILES_TO_##n
#define TILES_(n) TILES__(n)
#define TILES TILES_(MR)
TILES(TILE_FNS)
static const tile_fn TILE[MR][2][2] = {TILES(TILE_ROW)}; /* [mr - 1][tn][narrow] */

/* The tiles of m rows of one panel of C: as few as possible, all about equally high. What comes
 * after them in C is at next_c; the next panel of B ends at b_end. */
INLINE void tiles(const int tn, ptrdiff_t m, tile_args *t, const real *next_c, const real *b_end) {
    const int narrow = t->cols <= VL;
    const ptrdiff_t n_tiles = (m + MR - 1) / MR;
    for (ptrdiff_t left = n_tiles; left > 0; left--) {
        const ptrdiff_t mr = (m + left - 1) / left;
        t->next_c = left > 1 ? t->c + mr * t->c_row : next_c;
        t->ahead_step = t->ahead < b_end ? 2 * LINE : 0;
        TILE[mr - 1][tn][narrow](t);
        t->ahead += t->k / 4 * t->ahead_step;
        t->a += tn ? mr : mr * P;
        t->c += mr * t->c_row;
        if (t->s) t->s += mr * t->c_row;
        m -= mr;
    }
}

/* act, or its derivative, on m rows of one panel of C */
INLINE void activate(const fnn_gemm_args *g, real *c, const real *s, ptrdiff_t cols) {
    const int together = g->c_row == cols;
    const ptrdiff_t rows = together ? 1 : g->m, n = together ? g->m * cols : cols;
    for (ptrdiff_t r = 0; r < rows; r++, c += g->c_row) {
        if (g->act) {
            g->act(n, c, c);
        } else {
            g->grad(n, s, c, c);
            s += g->c_row;
        }
    }
}

INLINE void gemm(const int tn, const fnn_gemm_args *g) {
    const int relu = g->act == FNN_NAME(relu), relu_grad = g->grad == FNN_NAME(relu_backward);
    const int after = (g->act && !relu) || (g->grad && !relu_grad);
    if (g->m <= 0) return;
    for (ptrdiff_t j = 0; j * P < g->n; j++) {
        const ptrdiff_t cols = min_size(g->n - j * P, P);
        real *c = (real *)g->c + j * g->c_panel;
        const real *s = g->s ? (const real *)g->s + j * g->c_panel : NULL;
        tile_args t = {
            .k = g->k, .a = g->a, .a_panel = g->a_panel,
            .b = (const real *)g->b + j * g->b_panel, .b_row = g->b_row,
            .ahead = (const real *)g->b + (j + 1) * g->b_panel,
            .c = c, .c_row = g->c_row, .cols = cols,
            .bias = g->bias ? (const real *)g->bias + j * g->bias_panel : NULL,
            .next_rows = (MR * P + g->k - 1) / (g->k > 0 ? g->k : 1), .load = g->accumulate, .relu = relu, .s = relu_grad ? s : NULL,
        };
        const real *next_c = c + g->c_panel, *b_end = t.ahead + ((j + 1) * P < g->n ? g->k * P : 0);
        if (tn) { /* a tile must not straddle two panels of A */
            for (ptrdiff_t i = 0; i < g->m; i += P) {
                t.a = (const real *)g->a + i / P * g->a_panel;
                tiles(1, min_size(g->m - i, P), &t, i + P < g->m ? c + (i + P) * g->c_row : next_c,
                      b_end);
            }
        } else {
            tiles(0, g->m, &t, next_c, b_end);
        }
        if (after) activate(g, c, s, cols);
    }
}

static void FNN_NAME(gemm_nn)(const fnn_gemm_args *args) { gemm(0, args); }
static void FNN_NAME(gemm_tn)(const fnn_gemm_args *args) { gemm(1, args); }

/* MR * NV independent chains of multiply-adds, as many as the widest tile has */
static double FNN_NAME(fma_peak)(ptrdiff_t n) {
    vreal acc[MR * NV], x = v_set1((real)0.5), y = v_set1((real)1.0);
    UNROLL(32) for (int i = 0; i < MR * NV; i++) acc[i] = v_set1((real)i);
    for (ptrdiff_t step = 0; step < n; step++) {
        UNROLL(32) for (int i = 0; i < MR * NV; i++) acc[i] = v_fma(acc[i], x, y);
    }
    vreal sum = v_zero();
    UNROLL(32) for (int i = 0; i < MR * NV; i++) sum = v_add(sum, acc[i]);
    volatile real keep = v_sum(sum);
    (void)keep;
    return 2.0 * MR * NV * VL * (double)n;
}
