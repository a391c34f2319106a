/* Products of few rows by a B whose transpose, B^T (n,k), is row-major.
 *
 * Of one row, and of up to FEW_DOT_ROWS long ones, an element is a sum of VL parts, which run along k.
 */

enum {
    FEW_AHEAD = 4 * LINE, /* of a row of B^T */
    FEW_DOT_ROWS = 3,
    FEW_LONG = 256,       /* k of several such rows: of less, their parts would not pay for being added up */
    FEW_ROOM = (32 << 10) / sizeof(real), /* for rows whose elements lie apart */
    FEW_DOTS = MR == 14 ? 8 : 4, /* columns at a time: what registers hold */
};

#if VL == 16
#include "few_quads.inc.h"
#else
#include "few_blocks.inc.h"
#endif

/* columns j .. j+cols-1 of C's m rows */
INLINE void few_dots(const int m, const int cols, const fnn_few_args *g, ptrdiff_t j) {
    const ptrdiff_t k = g->k, ldb = g->ldb, row = g->a_row;
    const real *a = g->a, *b = (const real *)g->b + j * ldb;
    vreal acc[FEW_DOT_ROWS][FEW_DOTS], av[FEW_DOT_ROWS];
    UNROLL(3) for (int r = 0; r < m; r++) UNROLL(8) for (int q = 0; q < cols; q++) acc[r][q] = v_zero();
    ptrdiff_t i = 0;
    for (; i + VL <= k; i += VL) {
        UNROLL(3) for (int r = 0; r < m; r++) av[r] = v_load(a + r * row + i);
        UNROLL(8) for (int q = 0; q < cols; q++) {
            const vreal bv = v_load(b + q * ldb + i);
            UNROLL(3) for (int r = 0; r < m; r++) acc[r][q] = v_fma(av[r], bv, acc[r][q]);
        }
    }
    UNROLL(3) for (int r = 0; r < m; r++) av[r] = load_up_to(k - i, a + r * row + i);
    UNROLL(8) for (int q = 0; q < cols; q++) {
        const vreal bv = load_up_to(k - i, b + q * ldb + i);
        UNROLL(3) for (int r = 0; r < m; r++) {
            const real *bias = g->bias ? (const real *)g->bias + r * g->bias_row + (j + q) * g->bias_col : NULL;
            real *c = (real *)g->c + r * g->c_row + (j + q) * g->c_col;
            *c = (bias ? *bias : 0) + v_sum(v_fma(av[r], bv, acc[r][q]));
        }
    }
}

typedef void (*few_dots_fn)(const fnn_few_args *g, ptrdiff_t j);
#define FEW_DOTS_FN(m)                                                                            \
    NOINLINE void few_dots_##m(const fnn_few_args *g, ptrdiff_t j) { few_dots(m, FEW_DOTS, g, j); } \
    NOINLINE void few_dot_##m(const fnn_few_args *g, ptrdiff_t j) { few_dots(m, 1, g, j); }
#define FEW_DOTS_ROW(m) {few_dots_##m, few_dot_##m},
FEW_DOTS_FN(1) FEW_DOTS_FN(2) FEW_DOTS_FN(3)
static const few_dots_fn FEW_DOTS_OF[FEW_DOT_ROWS][2] = {FEW_DOTS_ROW(1) FEW_DOTS_ROW(2) FEW_DOTS_ROW(3)}; /* [m - 1] */

static void FNN_NAME(few_nt)(const fnn_few_args *g) {
    const int few = g->m == 1 || (g->m <= FEW_DOT_ROWS && g->k >= FEW_LONG);
    if (g->m <= 0) return;
    if (!few || (g->a_col != 1 && g->m * g->k > FEW_ROOM)) {
        few_many(g);
        return;
    }
    real rows[FEW_ROOM];
    fnn_few_args h = *g;
    if (g->a_col != 1) {
        h.a = rows, h.a_row = g->k;
        for (ptrdiff_t i = 0; i < g->k; i++)
            for (ptrdiff_t r = 0; r < g->m; r++) rows[r * g->k + i] = ((const real *)g->a)[r * g->a_row + i * g->a_col];
    }
    ptrdiff_t j = 0;
    for (; j + FEW_DOTS <= g->n; j += FEW_DOTS) FEW_DOTS_OF[g->m - 1][0](&h, j);
    for (; j < g->n; j++) FEW_DOTS_OF[g->m - 1][1](&h, j);
}
