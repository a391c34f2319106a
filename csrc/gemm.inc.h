/* Matrix products on packed operands.
 *
 *     gemm_nn   C (m,n) = A B      A (m,k) in panels [k/P][rows][P]
 *     gemm_tn   C (m,n) = A B      A^T (k,m) in panels [m/P][k][P]
 *     B (k,n) in panels [n/P][k][P]; C panelled with any strides
 *
 * with act(A B + bias), C + A B or (A B) act'(s) on the way out. A, or A^T, may also lie row-major: where it
 * is small and few panels of B go by, packing would take longer than it saves.
 *
 * One register tile holds mr x nv vectors of C. A step of k loads the nv vectors of B's panel row
 * and broadcasts mr values of A, so that it does mr * nv multiply-adds for mr + nv loads:
 *
 *     acc[r][v] += A(r, k) * B(k, v)     r < mr <= MR, v < nv <= NV
 *
 *     A(r, k) lies at a[r * P + k] (nn) or a[k * P + r] (tn): one base and constants, so that the
 *     compiler addresses all of it from one pointer; row-major a_row stands for P; MR * NV + NV + 1
 *     registers.
 *
 * Loops, outer to inner: panel of C (P columns), tile of rows; each tile runs through all of k.
 * Cutting k into blocks whose panel of B stays in L1 was measured and lost (0.75 to 0.92 of peak
 * against 0.90 to 0.97): C then goes through memory once a block, while the hardware prefetches
 * B's one contiguous stream well. What it does not see coming is fetched by hand while the tile
 * multiplies: its rows of C, which lie far apart, into L1, a few every P steps (all at once would
 * take every fill buffer, and A and B would wait); into L2, a line every two steps, the next panel of
 * B; and what the caller packs next, a few lines every P steps.
 *
 * B may be packed on the way: a panel's first tile of rows reads it where it lies and stores what it
 * has loaded, where a pass of its own took as long as a dozen rows of C.
 *
 * In bfloat16 the elements of A and B are words, pairs of neighbours in k, which only v_mac looks
 * into: the tiles and their addresses are the same, with k in words.
 *
 * A tile adds its products in the order of k, from the bias or zero, and their sum to what C holds
 * where it accumulates: so a result does not depend on how m and n are cut. Accumulators that
 * begin with C would wait for it.
 */

/* c + a b; operands that are pairs give two products */
#if FNN_BF16
#define v_mac v_dot2
enum { PRODUCTS = 2 };
#else
#define v_mac v_fma
enum { PRODUCTS = 1 };
#endif

enum {
    LATE = 8,        /* panels of C from the end on that fetch `next` */
    PACK_AHEAD = 16, /* rows of B */
};

/* How A lies. */
enum { PANELS_NN, PANELS_TN, ROWS, LAYOUTS }; /* ROWS: of A or of A^T */

/* Lines of a matrix, to be fetched column of lines by column, a few at a time. */
typedef struct {
    const real *at;
    ptrdiff_t stride, rows; /* of the matrix */
    ptrdiff_t row;          /* that `at` lies in */
    ptrdiff_t left;         /* lines still to fetch */
    ptrdiff_t pace;         /* lines every P steps */
} walk;

typedef struct {
    ptrdiff_t k;
    const real *a;
    ptrdiff_t a_panel;
    ptrdiff_t a_row, a_col; /* of ROWS, from A(r, k) to A(r + 1, k), to A(r, k + 1) */
    const real *b;
    ptrdiff_t b_row;
    real *b_to; /* NULL, or where the panel of B is packed meanwhile, row stride P */
    const real *ahead, *ahead_end; /* lines to fetch meanwhile, one every two steps */
    ptrdiff_t ahead_step; /* from one of them to the next; 0 where all are fetched */
    real *c;
    ptrdiff_t c_row;
    walk *next;       /* through what the caller packs next */
    const real *bias; /* NULL: none */
    const real *s;    /* NULL, or relu's output where C is its gradient */
    real scale;       /* of that; 0: 1 */
    ptrdiff_t cols;   /* columns of this panel that exist, 1 .. P */
    int accumulate;   /* add to what C holds */
    int relu;
} tile_args;

/* mask of vector v where only `cols` columns exist */
INLINE vmask cols_mask(ptrdiff_t cols, int v) {
    ptrdiff_t left = cols - v * VL;
    return v_first(left < 0 ? 0 : left > VL ? VL : left);
}

/* Rows of A by groups, each from an address of its own */
enum { GROUP = 5, GROUPS = (MR + GROUP - 1) / GROUP };

INLINE void tile_step_by_groups(const int mr, const int nv, const ptrdiff_t row, const real *const *a,
                                const real *b, vreal (*acc)[NV]) {
    vreal bv[NV];
    UNROLL(4) for (int v = 0; v < nv; v++) bv[v] = v_load(b + v * VL);
    UNROLL(16) for (int r = 0; r < mr; r++) {
        vreal av = v_set1(a[r / GROUP][r % GROUP * row]);
        UNROLL(4) for (int v = 0; v < nv; v++) acc[r][v] = v_mac(av, bv[v], acc[r][v]);
    }
}

INLINE void tile_step(const int mr, const int nv, const ptrdiff_t row, const real *a, const real *b,
                      vreal (*acc)[NV]) {
    const real *groups[GROUPS];
    UNROLL(4) for (int g = 0; g < GROUPS; g++) groups[g] = a + g * GROUP * row;
    tile_step_by_groups(mr, nv, row, groups, b, acc);
}

/* Plain counting, no minimum: gcc would compute that in vector registers, and the branch on it then
 * waits behind the multiply-adds. */
INLINE void fetch_lines(walk *w, const int into_l1) {
    for (ptrdiff_t i = w->pace; i > 0 && w->left > 0; i--, w->left--) {
        into_l1 ? __builtin_prefetch(w->at, 0, 3) : __builtin_prefetch(w->at, 0, 2);
        if (++w->row < w->rows) {
            w->at += w->stride;
        } else {
            w->at += LINE - (w->rows - 1) * w->stride;
            w->row = 0;
        }
    }
}

/* acc += A B over k steps that lie at stride `col` in A; lines `ahead` are fetched meanwhile */
INLINE void tile_steps(const int mr, const int nv, const ptrdiff_t row, const ptrdiff_t col, ptrdiff_t k,
                       const real *a, const real *b, const ptrdiff_t b_row, const real *ahead,
                       ptrdiff_t ahead_step, vreal (*acc)[NV]) {
    for (; k >= 2; k -= 2, a += 2 * col, b += 2 * b_row, ahead += ahead_step) {
        __builtin_prefetch(ahead, 0, 2);
        tile_step(mr, nv, row, a, b, acc);
        tile_step(mr, nv, row, a + col, b + b_row, acc);
    }
    for (; k > 0; k--, a += col, b += b_row) tile_step(mr, nv, row, a, b, acc);
}

/* The same where `row` is no constant. Within a group rows lie 1 to 4 times that apart, which addresses can
 * say; the compiler would keep an offset for each row of a tile, more than it has registers for, so it must
 * not see that groups have to do with each other. */
INLINE void tile_steps_of_rows(const int mr, const int nv, const ptrdiff_t row, const ptrdiff_t col,
                               ptrdiff_t k, const real *a, const real *b, const ptrdiff_t b_row,
                               vreal (*acc)[NV]) {
    const real *groups[GROUPS];
    UNROLL(4) for (int g = 0; g < GROUPS; g++) {
        groups[g] = a + g * GROUP * row;
        __asm__("" : "+r"(groups[g]));
    }
    for (; k > 0; k--, b += b_row) {
        tile_step_by_groups(mr, nv, row, groups, b, acc);
        UNROLL(4) for (int g = 0; g < GROUPS; g++) groups[g] += col;
    }
}

/* The same for a full panel of B that is packed: its rows may lie far apart, which no prefetcher sees
 * coming. As in C, lines' last elements are asked for. */
INLINE void tile_steps_packing(const int mr, const ptrdiff_t row, const ptrdiff_t col, ptrdiff_t k,
                               const real *a, const real *b, const ptrdiff_t b_row, real *b_to,
                               vreal (*acc)[NV]) {
    for (; k > 0; k--, a += col, b += b_row, b_to += P) {
        UNROLL(4) for (int c = LINE - 1; c < P; c += LINE)
            __builtin_prefetch(b + PACK_AHEAD * b_row + c, 0, 3);
        tile_step(mr, NV, row, a, b, acc);
        UNROLL(4) for (int v = 0; v < NV; v++) v_store(b_to + v * VL, v_load(b + v * VL));
    }
}

/* from A(r, k) to A(r + 1, k), and to A(r, k + 1) within a panel */
INLINE ptrdiff_t row_step(const int layout, const tile_args *t) {
    return layout == PANELS_NN ? P : layout == PANELS_TN ? 1 : t->a_row;
}
INLINE ptrdiff_t col_step(const int layout, const tile_args *t) {
    return layout == PANELS_NN ? 1 : layout == PANELS_TN ? P : t->a_col;
}

INLINE void tile(const int mr, const int nv, const int layout, const int packing, const tile_args *t) {
    const ptrdiff_t row = row_step(layout, t), col = col_step(layout, t);
    vreal acc[MR][NV];
    const int full = t->cols >= nv * VL;
    vmask mask[NV];
    UNROLL(4) for (int v = 0; v < nv; v++) mask[v] = cols_mask(t->cols, v);

    UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++)
        acc[r][v] = v_zero();
    if (t->bias) {
        UNROLL(4) for (int v = 0; v < nv; v++) {
            vreal bias = v_load_m(mask[v], t->bias + v * VL);
            UNROLL(16) for (int r = 0; r < mr; r++) acc[r][v] = bias;
        }
    }

    const real *a = t->a, *b = t->b, *ahead = t->ahead;
    real *b_to = t->b_to;
    /* Lines' last elements: where C is not aligned, the panel before fetched the first. A short
     * tile ends before they could come. */
    walk tile_c = {.at = t->c + min_size(LINE, nv * VL) - 1, .stride = t->c_row, .rows = mr};
    if (t->k >= 8 * P) {
        tile_c.left = mr * ((nv * VL + LINE - 1) / LINE);
        tile_c.pace = 1 + tile_c.left * P / t->k;
    }
    for (ptrdiff_t k = t->k; k > 0; k -= P, b += P * t->b_row) {
        fetch_lines(&tile_c, 1);
        fetch_lines(t->next, 0);
        if (packing) {
            tile_steps_packing(mr, row, col, min_size(k, P), a, b, t->b_row, b_to, acc);
            b_to += P * P;
        } else if (layout == ROWS) {
            tile_steps_of_rows(mr, nv, row, col, min_size(k, P), a, b, t->b_row, acc);
        } else {
            tile_steps(mr, nv, row, col, min_size(k, P), a, b, t->b_row, ahead, t->ahead_step, acc);
        }
        a += layout == PANELS_NN ? t->a_panel : P * col;
        ahead += P / 2 * t->ahead_step;
    }

    real *c = t->c;
    if (t->accumulate) {
        UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++) {
            const real *p = c + r * t->c_row + v * VL;
            acc[r][v] = v_add(full ? v_load(p) : v_load_m(mask[v], p), acc[r][v]);
        }
    }
    if (t->relu) { /* 0 first: max gives its second argument where that is NaN */
        UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++)
            acc[r][v] = v_max(v_zero(), acc[r][v]);
    }
    if (t->s) {
        const real *s = t->s;
        UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++) {
            vreal sv = v_load_m(mask[v], s + r * t->c_row + v * VL);
            acc[r][v] = relu_backward_1(sv, acc[r][v]);
        }
        if (t->scale != 0) {
            const vreal scale = v_set1(t->scale);
            UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++)
                acc[r][v] = v_mul(scale, acc[r][v]);
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

/* A function for every tile height and way that A lies: for a full panel, for one that fits into one vector,
 * and for a full one that it packs. */
enum { FULL, NARROW, PACKING, KINDS };
typedef void (*tile_fn)(const tile_args *);
#define TILE_FN(name, mr, nv, layout, packing) \
    NOINLINE void tile_##name##_##mr(const tile_args *t) { tile(mr, nv, layout, packing, t); }
#if FNN_BF16 /* its operands are made, and packed with that */
#define ROWS_FNS(mr)
#define ROWS_ROW(mr)
#else
#define ROWS_FNS(mr) \
    TILE_FN(rows, mr, NV, ROWS, 0) TILE_FN(rows_narrow, mr, 1, ROWS, 0)
#define ROWS_ROW(mr) {tile_rows_##mr, tile_rows_narrow_##mr, NULL},
#endif
#define TILE_FNS(mr)                                                                           \
    TILE_FN(nn, mr, NV, PANELS_NN, 0) TILE_FN(nn_narrow, mr, 1, PANELS_NN, 0)                  \
    TILE_FN(nn_packing, mr, NV, PANELS_NN, 1)                                                  \
    TILE_FN(tn, mr, NV, PANELS_TN, 0) TILE_FN(tn_narrow, mr, 1, PANELS_TN, 0)                  \
    TILE_FN(tn_packing, mr, NV, PANELS_TN, 1) ROWS_FNS(mr)
#define TILE_ROW(mr)                                                                           \
    {{tile_nn_##mr, tile_nn_narrow_##mr, tile_nn_packing_##mr},                                \
     {tile_tn_##mr, tile_tn_narrow_##mr, tile_tn_packing_##mr}, ROWS_ROW(mr)},
#define TILES_TO_4(X) X(1) X(2) X(3) X(4)
#define TILES_TO_6(X) TILES_TO_4(X) X(5) X(6)
#define TILES_TO_14(X) TILES_TO_6(X) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#define TILES__(n) TILES_TO_##n
#define TILES_(n) TILES__(n)
#define TILES TILES_(MR)
TILES(TILE_FNS)
static const tile_fn TILE[MR][LAYOUTS][KINDS] = {TILES(TILE_ROW)}; /* [mr - 1][layout][kind] */

/* The tiles of m rows of one panel of C: as few as possible, all about equally high. */
INLINE void tiles(const int layout, ptrdiff_t m, tile_args *t) {
    const int kind = t->cols <= VL ? NARROW : FULL;
    const ptrdiff_t n_tiles = (m + MR - 1) / MR;
    for (ptrdiff_t left = n_tiles; left > 0; left--) {
        const ptrdiff_t mr = (m + left - 1) / left;
        if (t->b_to) {
            TILE[mr - 1][layout][PACKING](t);
            t->b = t->b_to;
            t->b_row = P;
            t->b_to = NULL;
        } else {
            t->ahead_step = t->ahead < t->ahead_end ? LINE : 0;
            TILE[mr - 1][layout][kind](t);
            t->ahead += t->k / 2 * t->ahead_step;
        }
        t->a += mr * row_step(layout, t);
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

/* Through `next`, during the last panels of C: what is fetched sooner leaves L2 again before its
 * turn, as B's panels pass through. */
INLINE walk walk_next(const fnn_gemm_args *g, ptrdiff_t panels) {
    const ptrdiff_t row_lines = g->next ? (g->next_cols + LINE - 1) / LINE : 0;
    const ptrdiff_t lines = row_lines * g->next_rows;
    const ptrdiff_t steps = (g->m + MR - 1) / MR * panels * ((g->k + P - 1) / P);
    return (walk){.at = g->next, .stride = g->next_row, .rows = g->next_rows, .left = lines,
                  .pace = steps > 0 ? (lines + steps - 1) / steps : 0};
}

INLINE void gemm(const int tn, const fnn_gemm_args *g) {
    const int relu = g->act == FNN_NAME(relu), relu_grad = g->grad == FNN_NAME(relu_backward);
    const int after = (g->act && !relu) || (g->grad && !relu_grad);
    const ptrdiff_t panels = (g->n + P - 1) / P, late = min_size(panels, LATE);
    walk next = walk_next(g, late), nothing = {0};
    if (g->m <= 0) return;
    for (ptrdiff_t j = 0; j < panels; j++) {
        const ptrdiff_t cols = min_size(g->n - j * P, P);
        const int last = j + 1 == panels;
        const real *b = (const real *)g->b + j * g->b_panel;
        real *c = (real *)g->c + j * g->c_panel;
        const real *s = g->s ? (const real *)g->s + j * g->c_panel : NULL;
        tile_args t = {
            .k = g->k, .a = g->a, .a_panel = g->a_panel,
            .a_row = tn ? 1 : g->a_row, .a_col = tn ? g->a_row : 1,
            .b = b, .b_row = g->b_row,
            .b_to = g->b_to ? (real *)g->b_to + j * g->k * P : NULL,
            .ahead = b + g->b_panel, .ahead_end = b + g->b_panel + (last ? 0 : g->k * P),
            .c = c, .c_row = g->c_row, .cols = cols,
            .bias = g->bias ? (const real *)g->bias + j * g->bias_panel : NULL,
            .next = j < panels - late ? &nothing : &next, .accumulate = g->accumulate,
            .relu = relu, .s = relu_grad ? s : NULL, .scale = (real)g->scale,
        };
        if (g->a_row) {
            tiles(ROWS, g->m, &t);
        } else if (tn) { /* a tile must not straddle two panels of A */
            for (ptrdiff_t i = 0; i < g->m; i += P) {
                t.a = (const real *)g->a + i / P * g->a_panel;
                tiles(PANELS_TN, min_size(g->m - i, P), &t);
            }
        } else {
            tiles(PANELS_NN, g->m, &t);
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
        UNROLL(32) for (int i = 0; i < MR * NV; i++) acc[i] = v_mac(x, y, acc[i]);
    }
    vreal sum = v_zero();
    UNROLL(32) for (int i = 0; i < MR * NV; i++) sum = v_add(sum, acc[i]);
    volatile real keep = v_sum(sum);
    (void)keep;
    return 2.0 * PRODUCTS * MR * NV * VL * (double)n;
}
