/* Tiles of a matrix product that has no more columns than a fourth of a vector has lanes: one output, or
 * the last few of a panel. A vector for each row of C would be three fourths padding.
 *
 *     A's rows lie together    four steps of k at a time, side by side for each column, whose four sums
 *                              are added up at the end
 *     A^T's do                 the vectors run down C's columns; the order of k stays
 *
 * bfloat16 has none: the order of its sums is promised.
 */
#if VL >= 4 && !FNN_BF16

/* columns; steps of k that B is rearranged for at once, on the stack: of more, again for every tile */
enum { SLIM = VL / 4, SLIM_GROUPS = (MR + GROUP - 1) / GROUP, SLIM_STEPS = 1024 };

/* k <= 4 steps, `col` apart, of rows that lie `row` apart: four numbers of each row side by side, zeros for
 * steps that are not there */
NOINLINE void pack_fours(ptrdiff_t rows, ptrdiff_t k, const real *a, ptrdiff_t row, ptrdiff_t col, real *to) {
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t i = 0; i < 4; i++) to[4 * r + i] = i < k ? a[r * row + i * col] : 0;
}

/* Some steps of a panel of B, four of each column side by side. */
typedef struct {
    ptrdiff_t first; /* of them; -1: none yet */
    real fours[SLIM_STEPS * SLIM];
} slim_steps;

/* k steps from `first` on; whole rows are read while that stays within B */
NOINLINE void pack_slim(const tile_args *t, ptrdiff_t first, ptrdiff_t k, slim_steps *to) {
    const ptrdiff_t row = t->b_row, end = (t->k - 1) * row + t->cols;
    real *fours = to->fours;
    for (ptrdiff_t i = first; i < first + k; i += 4, fours += VL) {
        if (i + 4 <= first + k && (i + 3) * row + SLIM <= end) {
            v_store(fours, v_columns(t->b + i * row, row));
        } else {
            v_store(fours, v_zero());
            pack_fours(t->cols, min_size(first + k - i, 4), t->b + i * row, 1, row, fours);
        }
    }
    to->first = first;
}

/* acc += A B over k <= P steps that lie together in A */
INLINE void slim_products(const int mr, ptrdiff_t k, const real *a, ptrdiff_t row, const real *fours,
                          vreal (*acc)[NV]) {
    const real *groups[SLIM_GROUPS];
    part_rows(SLIM_GROUPS, a, row, groups);
    for (; k >= 4; k -= 4, fours += VL) {
        const vreal bv = v_load(fours);
        UNROLL(16) for (int r = 0; r < mr; r++)
            acc[r][0] = v_fma(v_repeat(groups[r / GROUP] + r % GROUP * row), bv, acc[r][0]);
        UNROLL(4) for (int g = 0; g < SLIM_GROUPS; g++) groups[g] += 4;
    }
    if (k > 0) {
        real rest[4 * MR];
        pack_fours(mr, k, groups[0], row, 1, rest);
        const vreal bv = v_load(fours);
        UNROLL(16) for (int r = 0; r < mr; r++) acc[r][0] = v_fma(v_repeat(rest + 4 * r), bv, acc[r][0]);
    }
}

INLINE void slim_rows(const int mr, ptrdiff_t row, ptrdiff_t panel, const tile_args *t, slim_steps *b) {
    vreal acc[MR][NV];
    UNROLL(16) for (int r = 0; r < mr; r++) acc[r][0] = v_zero();
    const real *a = t->a;
    for (ptrdiff_t i = 0; i < t->k; i += P, a += panel) {
        const ptrdiff_t first = i / SLIM_STEPS * SLIM_STEPS;
        if (b->first != first) pack_slim(t, first, min_size(t->k - first, SLIM_STEPS), b);
        slim_products(mr, min_size(t->k - i, P), a, row, b->fours + (i - first) * SLIM, acc);
    }
    const vmask mask = v_first(t->cols);
    const vreal bias = t->bias ? v_load_m(mask, t->bias) : v_zero();
    UNROLL(16) for (int r = 0; r < mr; r++) acc[r][0] = v_add(v_sums(acc[r][0]), bias);
    finish(mr, 1, 0, &mask, 0, t, acc);
}

/* rows lie `row` apart, the next P steps of k `panel` after these */
typedef void (*slim_fn)(ptrdiff_t row, ptrdiff_t panel, const tile_args *t, slim_steps *b);
#define SLIM_FN(mr)                                                                               \
    NOINLINE void slim_##mr(ptrdiff_t row, ptrdiff_t panel, const tile_args *t, slim_steps *b) {  \
        slim_rows(mr, row, panel, t, b);                                                          \
    }
#define SLIM_ROW(mr) slim_##mr,
TILES_(MR)(SLIM_FN)
static const slim_fn SLIM_TILE[MR] = {TILES_(MR)(SLIM_ROW)}; /* [mr - 1] */

/* up to P rows of C; those of A^T lie `col` apart, and so many numbers of one can be read */
NOINLINE void slim_columns(ptrdiff_t m, ptrdiff_t col, ptrdiff_t readable, const tile_args *t) {
    vreal acc[SLIM][NV];
    UNROLL(4) for (int c = 0; c < SLIM; c++) UNROLL(4) for (int v = 0; v < NV; v++)
        acc[c][v] = v_set1(t->bias && c < t->cols ? t->bias[c] : 0);
    const real *a = t->a, *b = t->b;
    ptrdiff_t at[SLIM]; /* no column past those that exist is read */
    for (ptrdiff_t c = 0; c < SLIM; c++) at[c] = min_size(c, t->cols - 1);
    for (ptrdiff_t k = t->k; k > 0; k--, a += col, b += t->b_row) {
        vreal av[NV];
        UNROLL(4) for (int v = 0; v < NV; v++)
            av[v] = readable >= P ? v_load(a + v * VL) : load_up_to(readable - v * VL, a + v * VL);
        UNROLL(4) for (int c = 0; c < SLIM; c++) UNROLL(4) for (int v = 0; v < NV; v++)
            acc[c][v] = v_fma(av[v], v_set1(b[at[c]]), acc[c][v]);
    }
    real rows[P * VL];
    UNROLL(4) for (int v = 0; v < NV; v++) {
        vreal x[VL];
        UNROLL(16) for (int i = 0; i < VL; i++) x[i] = i < SLIM ? acc[i][v] : v_zero();
        v_transpose(x);
        UNROLL(16) for (int i = 0; i < VL; i++) v_store(rows + (v * VL + i) * VL, x[i]);
    }
    const vmask mask = v_first(t->cols);
    for (ptrdiff_t r = 0; r < m; r++) {
        vreal row[1][NV] = {{v_load(rows + r * VL)}};
        finish(1, 1, 0, &mask, r, t, row);
    }
}

/* m rows of C; of PANELS_TN no more than P */
INLINE void slim_tiles(const int layout, ptrdiff_t m, tile_args *t) {
    const ptrdiff_t row = row_step(layout, t), col = col_step(layout, t);
    if (col != 1) {
        for (; m > 0; m -= P, next_rows(layout, P, t))
            slim_columns(min_size(m, P), col, layout == PANELS_TN ? P : m, t);
        return;
    }
    slim_steps b;
    b.first = -1;
    for (ptrdiff_t left = (m + MR - 1) / MR; left > 0; left--) {
        const ptrdiff_t mr = (m + left - 1) / left;
        SLIM_TILE[mr - 1](row, layout == PANELS_NN ? t->a_panel : P, t, &b);
        next_rows(layout, mr, t);
        m -= mr;
    }
}

#else
enum { SLIM = 0 };
INLINE void slim_tiles(const int layout, ptrdiff_t m, tile_args *t) { (void)layout, (void)m, (void)t; }
#endif
