/* Matrix products on packed operands.
 *
 *     gemm_nn   C (m,n) = A B      A (m,k) in panels [k/P][rows][P]
 *     gemm_tn   C (m,n) = A B      A^T (k,m) in panels [m/P][k][P]
 *     B (k,n) in panels [n/P][k][P]; C panelled with any strides
 *
 * with act(A B + bias), C + A B or (A B) act'(s) on the way out. A, or A^T, may also lie row-major: where it
 * is small and few panels of B go by, packing would take longer than it saves.
 *
 * Loops, outer to inner: panel of C (P columns), tile of rows; each tile runs through all of k.
 * With AVX-512 cutting k into blocks whose panel of B stays in L1 was measured and lost (0.75 to 0.92 of peak
 * against 0.90 to 0.97; with AVX2 callers do it, KC_BYTES): C then goes through memory once a block, while the hardware prefetches
 * B's one contiguous stream well. What it does not see coming is fetched by hand while the tile
 * multiplies: its rows of C, which lie far apart, into L1, a few every P steps (all at once would
 * take every fill buffer, and A and B would wait), and A's next panel, a line a step; into L2, a line every
 * two steps or V_STEPS, the next panel of B; and what the caller packs next, a few lines every P steps.
 *
 * A panel of few columns has tiles of its own (slim.inc.h).
 *
 * B may be packed on the way: a panel's first tile of rows reads it where it lies and stores what it
 * has loaded, where a pass of its own took as long as a dozen rows of C.
 */

enum { LATE = 8 }; /* panels of C from the end on that fetch `next` */

/* The tiles of m rows of one panel of C: as few as possible, all about equally high. */
INLINE void tiles(const int layout, ptrdiff_t m, tile_args *t) {
    if (t->cols <= SLIM) {
        slim_tiles(layout, m, t);
        return;
    }
    ptrdiff_t left = (m + MR - 1) / MR;
    if (t->b_to) {
        const ptrdiff_t mr = (m + left - 1) / left;
        TILE[mr - 1][layout][PACKING](1, t);
        t->b = t->b_to;
        t->b_row = P;
        t->b_to = NULL;
        m -= mr;
        left--;
    }
    while (left > 0) {
        const ptrdiff_t mr = (m + left - 1) / left, equal = m % left ? m % left : left;
        TILE[mr - 1][layout][t->cols <= VL ? NARROW : FULL](equal, t);
        m -= equal * mr;
        left -= equal;
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
    const ptrdiff_t slim = g->n % P != 0 && g->n % P <= SLIM; /* whose tiles fetch nothing */
    const ptrdiff_t steps = (g->m + MR - 1) / MR * (panels - slim) * ((g->k + P - 1) / P);
    return (walk){.at = g->next, .stride = g->next_row, .rows = g->next_rows, .left = lines,
                  .pace = steps > 0 ? (lines + steps - 1) / steps : 0};
}

/* Through each tile of C; a short one ends before the lines could come. */
INLINE walk walk_tile(const fnn_gemm_args *g) {
    return (walk){.stride = g->c_row, .pace = g->k >= 8 * P ? 1 + MR * ((P + LINE - 1) / LINE) * P / g->k : 0};
}

INLINE void gemm(const int tn, const fnn_gemm_args *g) {
    const int relu = g->act == FNN_NAME(relu), relu_grad = g->grad == FNN_NAME(relu_backward);
    const int after = (g->act && !relu) || (g->grad && !relu_grad);
    const ptrdiff_t panels = (g->n + P - 1) / P, late = min_size(panels, LATE);
    walk next = walk_next(g, late), nothing = {0};
    const walk lines = walk_tile(g);
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
            .ahead_step = last ? 0 : LINE,
            .c = c, .c_row = g->c_row, .cols = cols, .lines = lines,
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
        UNROLL(32) for (int i = 0; i < MR * NV; i++) acc[i] = v_mac(NV, x, y, acc[i]);
    }
    vreal sum = v_zero();
    UNROLL(32) for (int i = 0; i < MR * NV; i++) sum = v_add(sum, acc[i]);
    volatile real keep = v_sum(sum);
    (void)keep;
    return 2.0 * PRODUCTS * MR * NV * VL * (double)n;
}
