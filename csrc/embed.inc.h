/* Columns of panels copied to another place, rows of tables looked up, and the gradient of a table.
 *
 * A run of columns lies in at most one panel of both matrices: what is between two ends of panels.
 * Rows are short, so a run goes down all of its rows, the masks of its vectors being the same.
 */

enum { NO_ROW = -1 };

/* the row of a table that a number stands for */
INLINE ptrdiff_t row_of(real number, ptrdiff_t n) {
    if (!(number >= 0 && number < (real)n)) return NO_ROW; /* NaN, too */
    const ptrdiff_t i = (ptrdiff_t)number;
    return (real)i == number ? i : NO_ROW;
}

/* y = x, or the row of x that id says, n <= P columns of one panel */
INLINE void copy_run(int looks_up, ptrdiff_t rows, ptrdiff_t n, const real *id, ptrdiff_t x_rows,
                     const real *x, real *y) {
    vmask m[NV];
    for (int v = 0; v < NV; v++) m[v] = v_first(n < v * VL ? 0 : min_size(n - v * VL, VL));
    for (ptrdiff_t r = 0; r < rows; r++, y += P) {
        const ptrdiff_t i = looks_up ? row_of(id[r * P], x_rows) : r;
        for (int v = 0; v < NV && v * VL < n; v++)
            v_store_m(m[v], y + v * VL,
                      looks_up && i == NO_ROW ? v_set1((real)NAN) : v_load_m(m[v], x + i * P + v * VL));
    }
}

static void FNN_NAME(embed)(const fnn_embed_args *g) {
    for (ptrdiff_t c = 0, n; c < g->cols; c += n) {
        const ptrdiff_t from = g->x_col + c, to = g->y_col + c;
        const real *x = (const real *)g->x + from / P * g->x_panel + from % P;
        real *y = (real *)g->y + to / P * g->y_panel + to % P;
        n = min_size(min_size(g->cols - c, P - from % P), P - to % P);
        if (g->id) copy_run(1, g->rows, n, g->id, g->x_rows, x, y);
        else copy_run(0, g->rows, n, NULL, 0, x, y);
    }
}

INLINE void add_run(ptrdiff_t n, const real *x, real *sum) {
    for (ptrdiff_t c = 0; c < n; c += VL) {
        const vmask m = v_first(min_size(n - c, VL));
        v_store_m(m, sum + c, v_add(v_load_m(m, sum + c), v_load_m(m, x + c)));
    }
}

static void FNN_NAME(embed_gradient)(const fnn_embed_gradient_args *g) {
    for (ptrdiff_t i = 0; i < g->n; i++) {
        const ptrdiff_t from = g->dy_col + g->col[i], left = P - from % P;
        const real *dy = (const real *)g->dy + from / P * g->dy_panel + (ptrdiff_t)g->row[i] * P;
        real *sum = (real *)g->dx + (ptrdiff_t)g->to[i] * P;
        add_run(min_size(g->cols, left), dy + from % P, sum);
        if (g->cols > left) add_run(g->cols - left, dy + g->dy_panel, sum + left);
    }
}
