/* softmax: y[r,:] = exp(x[r,:] - max) / sum, and its derivative dx = y (dy - sum over c of y dy).
 *
 * A row within one panel is worked on with VL - 1 others, transposed: lane i holds row i, so that
 * max and sum are plain vector operations and nothing crosses lanes. A longer row goes alone, its
 * vectors spanning columns. The way depends on the columns only, and each row has its own lane or
 * its own vectors: how rows are grouped does not change a bit. A NaN or +infinity in a row makes
 * its sum, hence the whole row, NaN.
 */

/* The strides of a panelled matrix with `cols` columns, and where its element (r, c) lies. */
typedef struct { ptrdiff_t cols, row, panel; } layout;

INLINE ptrdiff_t at(layout m, ptrdiff_t r, ptrdiff_t c) {
    return c / P * m.panel + r * m.row + c % P;
}

/* those of the VL columns from c on that exist */
INLINE vmask within(layout m, ptrdiff_t c) { return v_first(min_size(VL, m.cols - c)); }

/* column[c] = column c of n <= VL rows of one panel, a row a lane; lanes of missing rows are 0 */
INLINE void read_columns(layout m, ptrdiff_t n, const real *x, vreal *column) {
    for (ptrdiff_t c = 0; c < m.cols; c += VL) {
        const vmask in = within(m, c);
        vreal v[VL];
        UNROLL(16) for (int i = 0; i < VL; i++)
            v[i] = i < n ? v_load_m(in, x + i * m.row + c) : v_zero();
        v_transpose(v);
        UNROLL(16) for (int i = 0; i < VL; i++) column[c + i] = v[i];
    }
}

INLINE void write_columns(layout m, ptrdiff_t n, const vreal *column, real *y) {
    for (ptrdiff_t c = 0; c < m.cols; c += VL) {
        const vmask in = within(m, c);
        vreal v[VL];
        UNROLL(16) for (int i = 0; i < VL; i++) v[i] = column[c + i];
        v_transpose(v);
        UNROLL(16) for (int i = 0; i < VL; i++)
            if (i < n) v_store_m(in, y + i * m.row + c, v[i]);
    }
}

INLINE void softmax_short_rows(layout m, ptrdiff_t n, const real *x, real *y) {
    vreal e[P], sum = v_zero();
    read_columns(m, n, x, e);
    vreal max = e[0];
    for (ptrdiff_t c = 1; c < m.cols; c++) max = v_max(max, e[c]);
    for (ptrdiff_t c = 0; c < m.cols; c++) {
        e[c] = v_exp(v_sub(e[c], max));
        sum = v_add(sum, e[c]);
    }
    for (ptrdiff_t c = 0; c < m.cols; c++) e[c] = v_div(e[c], sum);
    write_columns(m, n, e, y);
}

INLINE void softmax_long_row(layout m, ptrdiff_t r, const real *x, real *y) {
    const vreal lowest = v_set1((real)-INFINITY);
    vreal largest = lowest, sum = v_zero();
    for (ptrdiff_t c = 0; c < m.cols; c += VL) {
        const vmask in = within(m, c);
        largest = v_max(largest, v_select(in, v_load_m(in, x + at(m, r, c)), lowest));
    }
    const vreal max = v_set1(v_largest(largest));
    for (ptrdiff_t c = 0; c < m.cols; c += VL) {
        const vmask in = within(m, c);
        const vreal e = v_exp(v_sub(v_load_m(in, x + at(m, r, c)), max));
        v_store_m(in, y + at(m, r, c), e);
        sum = v_add(sum, v_select(in, e, v_zero()));
    }
    const vreal total = v_set1(v_sum(sum));
    for (ptrdiff_t c = 0; c < m.cols; c += VL) {
        const vmask in = within(m, c);
        real *p = y + at(m, r, c);
        v_store_m(in, p, v_div(v_load_m(in, p), total));
    }
}

static void FNN_NAME(softmax)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t panel,
                              const void *x, void *y) {
    const layout m = {cols, row, panel};
    if (cols <= 0) return;
    if (cols > P) {
        for (ptrdiff_t r = 0; r < rows; r++) softmax_long_row(m, r, x, y);
    } else {
        for (ptrdiff_t r = 0; r < rows; r += VL)
            softmax_short_rows(m, min_size(VL, rows - r), (const real *)x + r * row,
                               (real *)y + r * row);
    }
}

static void FNN_NAME(softmax_backward)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row,
                                       ptrdiff_t panel, const void *yv, const void *dyv,
                                       void *dxv) {
    const real *y = yv, *dy = dyv;
    real *dx = dxv;
    const layout m = {cols, row, panel};
    for (ptrdiff_t r = 0; r < rows; r++) {
        vreal sum = v_zero();
        for (ptrdiff_t c = 0; c < cols; c += VL) {
            const vmask in = within(m, c);
            const ptrdiff_t i = at(m, r, c);
            sum = v_fma(v_load_m(in, y + i), v_load_m(in, dy + i), sum);
        }
        const vreal dot = v_set1(v_sum(sum));
        for (ptrdiff_t c = 0; c < cols; c += VL) {
            const vmask in = within(m, c);
            const ptrdiff_t i = at(m, r, c);
            const vreal d = v_sub(v_load_m(in, dy + i), dot);
            v_store_m(in, dx + i, v_mul(v_load_m(in, y + i), d));
        }
    }
}
