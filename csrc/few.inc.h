/* Products of few rows, whose time is the reading of B, which is not packed.
 *
 *     few_nn   B (k,n) row-major: four of its rows at a time are added to C, which stays in L1; of a B that
 *              no cache near the core holds the next four are fetched into L2 meanwhile
 *     few_nt   B^T (n,k) row-major: few_nt.inc.h
 *
 * Panel by panel, as tiles read it, a row-major B came at half of this speed: no prefetcher follows
 * 128 bytes of each row. An element of few_nn adds its products in the order of k, as those of tiles do.
 */
#include <string.h>

enum {
    FEW_STEPS = 4,
    FEW_GROUP = 5,                    /* rows: their elements of A, four steps of them, stay in registers */
    FEW_BLOCK = 4096 / sizeof(real),  /* columns: C and two times four rows of B stay in L1 */
    SUMS_ROW = FEW_BLOCK + 5 * LINE, /* and what it begins beyond a boundary */
    FEW_FAR = (4 << 20) / sizeof(real), /* elements of B: of fewer, prefetchers follow the rows well enough */
};

/* `cols` columns, at most nv vectors, of m rows of C += those of `steps` rows of B, each by an element of
 * a row of A */
INLINE void few_vectors(const int m, const int steps, const int nv, int far, vreal (*a)[FEW_STEPS],
                        const real *b, ptrdiff_t ldb, real *c, ptrdiff_t c_row, ptrdiff_t cols) {
    vreal bv[FEW_STEPS][NV];
    UNROLL(4) for (int s = 0; s < steps; s++) UNROLL(4) for (int v = 0; v < nv; v++)
        bv[s][v] = load_first(cols, b + s * ldb + v * VL);
    if (far) { /* into L1, which it would crowd, measured as slow as nothing fetched, or slower */
        UNROLL(4) for (int s = 0; s < steps; s++) UNROLL(4) for (int c = 0; c < nv * VL; c += LINE)
            __builtin_prefetch(b + (s + FEW_STEPS) * ldb + c, 0, 2);
    }
    UNROLL(16) for (int r = 0; r < m; r++) {
        vreal sum[NV];
        UNROLL(4) for (int v = 0; v < nv; v++) sum[v] = load_first(cols, c + r * c_row + v * VL);
        UNROLL(4) for (int s = 0; s < steps; s++) UNROLL(4) for (int v = 0; v < nv; v++)
            sum[v] = v_fma(a[r][s], bv[s][v], sum[v]);
        UNROLL(4) for (int v = 0; v < nv; v++) store_first(cols, c + r * c_row + v * VL, sum[v]);
    }
}

/* Elements from the last boundary of a vector to B's first. NumPy's arrays begin anywhere, and vectors that cross
 * lines took a seventh longer for one long row; for several, or short ones, a part of a vector is not worth it. */
INLINE ptrdiff_t few_beyond(const fnn_few_args *g) {
    return g->m == 1 && g->n >= 16 * VL ? (ptrdiff_t)((uintptr_t)g->b / sizeof(real) % VL) : 0;
}

/* C += the products of `steps` rows of B from row i on; the first `head` columns on their own */
INLINE void few_steps(const int m, const int steps, int far, const fnn_few_args *g, ptrdiff_t head,
                      ptrdiff_t i) {
    const ptrdiff_t n = g->n, ldb = g->ldb, c_row = g->c_row; /* stores to C cannot change these */
    const real *a = (const real *)g->a + i * g->a_col, *b = (const real *)g->b + i * ldb;
    real *c = g->c;
    vreal av[FEW_GROUP][FEW_STEPS];
    UNROLL(16) for (int r = 0; r < m; r++) UNROLL(4) for (int s = 0; s < steps; s++)
        av[r][s] = v_set1(a[r * g->a_row + s * g->a_col]);
    ptrdiff_t j = head;
    if (head) few_vectors(m, steps, 1, far, av, b, ldb, c, c_row, head);
    for (; j + P <= n; j += P) few_vectors(m, steps, NV, far, av, b + j, ldb, c + j, c_row, VL);
    for (; j < n; j += VL)
        few_vectors(m, steps, 1, far, av, b + j, ldb, c + j, c_row, min_size(VL, n - j));
}

INLINE void few_rows(const int m, const fnn_few_args *g) {
    const ptrdiff_t beyond = m == 1 ? few_beyond(g) : 0, head = beyond ? VL - beyond : 0;
    const real *bias = g->bias;
    real *c = g->c;
    ptrdiff_t i = 0;
    for (int r = 0; r < m; r++, c += g->c_row) {
        if (!bias) memset(c, 0, (size_t)g->n * sizeof(real));
        for (ptrdiff_t j = 0; bias && j < g->n; j++) c[j] = bias[r * g->bias_row + j * g->bias_col];
    }
    const int far = g->k * g->ldb > FEW_FAR; /* asked in the loop: a second one would be the size of a tile */
    for (; i + FEW_STEPS <= g->k; i += FEW_STEPS) few_steps(m, FEW_STEPS, far, g, head, i);
    for (; i < g->k; i++) few_steps(m, 1, 0, g, head, i);
}

typedef void (*few_rows_fn)(const fnn_few_args *g);
#define FEW_ROWS_FN(m) \
    NOINLINE void few_rows_##m(const fnn_few_args *g) { few_rows(m, g); }
#define FEW_ROWS_ROW(m) few_rows_##m,
TILES_TO_4(FEW_ROWS_FN)
FEW_ROWS_FN(5)
static const few_rows_fn FEW_ROWS[FEW_GROUP] = {TILES_TO_4(FEW_ROWS_ROW) FEW_ROWS_ROW(5)}; /* [m - 1] */

/* C from its rows x */
INLINE void store_rows(const fnn_few_args *g, const real *x) {
    real *c = g->c;
    if (g->c_col == 1) {
        for (ptrdiff_t r = 0; r < g->m; r++)
            memcpy(c + r * g->c_row, x + r * SUMS_ROW, (size_t)g->n * sizeof(real));
        return;
    }
    const ptrdiff_t m = min_size(g->m, FEW_GROUP); /* as it is: the compiler is to know it */
    for (ptrdiff_t j = 0; j < g->n; j += VL)
        for (ptrdiff_t r = 0; r < m; r += VL)
            transpose_block(min_size(VL, g->n - j), min_size(VL, m - r), x + r * SUMS_ROW + j,
                            SUMS_ROW, c + j * g->c_col + r, g->c_col);
}

/* Sums of several rows are made apart: rows of C often lie a multiple of 4 KiB apart, and loads then wait for
 * stores to other rows, whose addresses end alike. So are those of a long row, where they lie to the boundaries
 * of vectors as B does. */
INLINE void few_block_rows(const fnn_few_args *g) {
    real sums[FEW_GROUP * SUMS_ROW] __attribute__((aligned(64)));
    const ptrdiff_t beyond = few_beyond(g);
    fnn_few_args h = *g;
    const int apart = g->m > 1 || g->c_col != 1 || beyond;
    if (apart) h.c = sums + beyond, h.c_row = SUMS_ROW;
    FEW_ROWS[g->m - 1](&h);
    if (apart) store_rows(g, sums + beyond);
}

static void FNN_NAME(few_nn)(const fnn_few_args *g) {
    ptrdiff_t r = 0;
    for (ptrdiff_t left = (g->m + FEW_GROUP - 1) / FEW_GROUP; left > 0; left--) {
        const ptrdiff_t m = (g->m - r + left - 1) / left;
        for (ptrdiff_t j = 0; j < g->n; j += FEW_BLOCK) {
            fnn_few_args h = *g;
            h.m = m;
            h.n = min_size(g->n - j, FEW_BLOCK);
            h.a = (const real *)g->a + r * g->a_row;
            h.b = (const real *)g->b + j;
            h.c = (real *)g->c + r * g->c_row + j * g->c_col;
            if (g->bias) h.bias = (const real *)g->bias + r * g->bias_row + j * g->bias_col;
            few_block_rows(&h);
        }
        r += m;
    }
}

#include "few_nt.inc.h"
