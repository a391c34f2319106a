/* few_nt where a vector has no room for four rows of A by four steps of k (few_quads.inc.h): blocks of VL by VL
 * of B^T are transposed in registers, and VL columns of C run through all of k. An element adds its
 * products in the order of k.
 */

/* acc += the products of a block of B: columns j .. j+cols-1, rows i .. i+depth-1 */
INLINE void few_block(const int m, const fnn_few_args *g, const real *a, ptrdiff_t j, ptrdiff_t cols,
                      ptrdiff_t i, const ptrdiff_t depth, vreal *acc) {
    const real *b = (const real *)g->b + j * g->ldb + i;
    vreal bv[VL];
    UNROLL(16) for (int q = 0; q < VL; q++) {
        if (depth == VL) __builtin_prefetch(b + q * g->ldb + FEW_AHEAD);
        bv[q] = q < cols ? load_first(depth, b + q * g->ldb) : v_zero();
    }
    v_transpose(bv);
    a += i * g->a_col;
    UNROLL(16) for (int s = 0; s < VL; s++) {
        if (s < depth) {
            UNROLL(16) for (int r = 0; r < m; r++)
                acc[r] = v_fma(v_set1(a[r * g->a_row + s * g->a_col]), bv[s], acc[r]);
        }
    }
}

/* rows r0 .. r0+m-1 of C, columns j .. j+cols-1 */
INLINE void few_columns(const int m, const fnn_few_args *g, ptrdiff_t r0, ptrdiff_t j, ptrdiff_t cols) {
    const real *a = (const real *)g->a + r0 * g->a_row;
    const real *bias = g->bias ? (const real *)g->bias + r0 * g->bias_row + j * g->bias_col : NULL;
    real *c = (real *)g->c + r0 * g->c_row + j * g->c_col;
    vreal acc[MR];
    UNROLL(16) for (int r = 0; r < m; r++) {
        acc[r] = v_zero();
        if (bias) acc[r] = g->bias_row ? v_set1(bias[r]) : load_first(cols, bias);
    }
    ptrdiff_t i = 0;
    if (cols == VL) {
        for (; i + VL <= g->k; i += VL) few_block(m, g, a, j, VL, i, VL, acc);
    }
    for (; i < g->k; i += VL) few_block(m, g, a, j, cols, i, min_size(g->k - i, VL), acc);
    UNROLL(16) for (int r = 0; r < m; r++) {
        if (g->c_col == 1) {
            store_first(cols, c + r * g->c_row, acc[r]);
        } else {
            real column[VL];
            v_store(column, acc[r]);
            for (ptrdiff_t q = 0; q < cols; q++) c[r * g->c_row + q * g->c_col] = column[q];
        }
    }
}

typedef void (*few_fn)(const fnn_few_args *g, ptrdiff_t r0, ptrdiff_t j, ptrdiff_t cols);
#define FEW_FN(mr)                                                                              \
    NOINLINE void few_columns_##mr(const fnn_few_args *g, ptrdiff_t r0, ptrdiff_t j, ptrdiff_t cols) { \
        few_columns(mr, g, r0, j, cols);                                                        \
    }
#define FEW_ROW(mr) few_columns_##mr,
TILES(FEW_FN)
static const few_fn FEW[MR] = {TILES(FEW_ROW)}; /* [mr - 1] */

INLINE void few_many(const fnn_few_args *g) {
    for (ptrdiff_t j = 0; j < g->n; j += VL) {
        const ptrdiff_t cols = min_size(g->n - j, VL);
        ptrdiff_t r = 0;
        for (ptrdiff_t left = (g->m + MR - 1) / MR; left > 0; left--) {
            const ptrdiff_t mr = (g->m - r + left - 1) / left;
            FEW[mr - 1](g, r, j, cols);
            r += mr;
        }
    }
}
