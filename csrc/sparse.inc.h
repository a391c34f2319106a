/* Products of sparse rows: only what is not zero is multiplied.
 *
 * A non-zero meets one row of each panel of B, which is contiguous. Addresses of later ones do not
 * wait for sums of earlier ones, so that the CPU has many rows of B under way by itself; several
 * panels at a time keep more sums going and read the columns once for all of them.
 */

enum { SPARSE_PANELS = 4 };

/* one row of `panels` panels of C, the last of which has `cols` columns */
INLINE void sparse_row(const int panels, ptrdiff_t cols, ptrdiff_t n, const int32_t *column,
                       const real *value, const fnn_sparse_args *g, ptrdiff_t j, real *c) {
    const real *b = (const real *)g->b + j * g->b_panel;
    vreal acc[SPARSE_PANELS][NV];
    UNROLL(4) for (int p = 0; p < panels; p++) UNROLL(4) for (int v = 0; v < NV; v++) {
        const real *bias = (const real *)g->bias + (j + p) * g->bias_panel + v * VL;
        const ptrdiff_t left = p + 1 < panels ? VL : cols - v * VL;
        acc[p][v] = g->bias ? load_up_to(left, bias) : v_zero();
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        const real *w = b + (ptrdiff_t)column[i] * P;
        const vreal x = v_set1(value[i]);
        UNROLL(4) for (int p = 0; p < panels; p++) UNROLL(4) for (int v = 0; v < NV; v++)
            acc[p][v] = v_fma(x, v_load(w + p * g->b_panel + v * VL), acc[p][v]);
    }
    UNROLL(4) for (int p = 0; p < panels; p++) UNROLL(4) for (int v = 0; v < NV; v++) {
        const ptrdiff_t left = p + 1 < panels ? VL : min_size(cols - v * VL, VL);
        if (left > 0) store_first(left, c + p * g->c_panel + v * VL, acc[p][v]);
    }
}

#define SPARSE_ROW_FN(panels)                                                                    \
    NOINLINE void sparse_row_##panels(ptrdiff_t cols, ptrdiff_t n, const int32_t *column,        \
                                      const real *value, const fnn_sparse_args *g, ptrdiff_t j,  \
                                      real *c) {                                                 \
        sparse_row(panels, cols, n, column, value, g, j, c);                                     \
    }
SPARSE_ROW_FN(1)
SPARSE_ROW_FN(2)
SPARSE_ROW_FN(4)

static void FNN_NAME(sparse_nn)(const fnn_sparse_args *g) {
    for (ptrdiff_t r = 0; r < g->m; r++) {
        const int64_t *begin = g->begin + (g->index ? g->index[r] : r);
        const ptrdiff_t n = begin[1] - begin[0];
        const int32_t *column = g->column + begin[0];
        const real *value = (const real *)g->value + begin[0];
        ptrdiff_t j = 0;
        for (ptrdiff_t left = (g->n + P - 1) / P; left > 0;) {
            const ptrdiff_t panels = left >= 4 ? 4 : left >= 2 ? 2 : 1;
            const ptrdiff_t cols = min_size(g->n - (j + panels - 1) * P, P);
            real *c = (real *)g->c + j * g->c_panel + r * P;
            (panels == 4 ? sparse_row_4 : panels == 2 ? sparse_row_2 : sparse_row_1)(
                cols, n, column, value, g, j, c);
            j += panels;
            left -= panels;
        }
    }
}

static void FNN_NAME(scatter_add)(ptrdiff_t n, ptrdiff_t cols, const int32_t *to, const int32_t *from,
                                  const void *value, const void *x, void *y) {
    if (cols >= P) {
        for (ptrdiff_t i = 0; i < n; i++) {
            const real *row = (const real *)x + (ptrdiff_t)from[i] * P;
            real *sum = (real *)y + (ptrdiff_t)to[i] * P;
            const vreal a = v_set1(((const real *)value)[i]);
            UNROLL(4) for (int v = 0; v < NV; v++)
                v_store(sum + v * VL, v_fma(a, v_load(row + v * VL), v_load(sum + v * VL)));
        }
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        const real *row = (const real *)x + (ptrdiff_t)from[i] * P;
        real *sum = (real *)y + (ptrdiff_t)to[i] * P;
        const vreal a = v_set1(((const real *)value)[i]);
        for (ptrdiff_t c = 0; c < cols; c += VL) {
            const vmask m = v_first(min_size(cols - c, VL));
            v_store_m(m, sum + c, v_fma(a, v_load_m(m, row + c), v_load_m(m, sum + c)));
        }
    }
}
