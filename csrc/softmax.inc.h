/* softmax: y[r,:] = exp(x[r,:] - max) / sum, and its derivative dx = y (dy - sum over c of y dy);
 * log_softmax: y[r,:] = x[r,:] - max - log sum, and dx = dy - exp(y) sum over c of dy.
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

INLINE void softmax_short_rows(int log, layout m, ptrdiff_t n, const real *x, real *y) {
    vreal e[P], sum = v_zero();
    read_columns(m, n, x, e);
    vreal max = e[0];
    for (ptrdiff_t c = 1; c < m.cols; c++) max = v_max(max, e[c]);
    for (ptrdiff_t c = 0; c < m.cols; c++) {
        const vreal d = v_sub(e[c], max), power = v_exp(d);
        sum = v_add(sum, power);
        e[c] = log ? d : power;
    }
    const vreal total = log ? v_log(sum) : sum;
    for (ptrdiff_t c = 0; c < m.cols; c++) e[c] = log ? v_sub(e[c], total) : v_div(e[c], total);
    write_columns(m, n, e, y);
}

INLINE void softmax_long_row(int log, layout m, ptrdiff_t r, const real *x, real *y) {
    const vreal lowest = v_set1((real)-INFINITY);
    vreal largest = lowest, sum = v_zero();
    for (ptrdiff_t c = 0; c < m.cols; c += VL) {
        const vmask in = within(m, c);
        largest = v_max(largest, v_select(in, v_load_m(in, x + at(m, r, c)), lowest));
    }
    const vreal max = v_set1(v_largest(largest));
    for (ptrdiff_t c = 0; c < m.cols; c += VL) {
        const vmask in = within(m, c);
        const vreal d = v_sub(v_load_m(in, x + at(m, r, c)), max), e = v_exp(d);
        v_store_m(in, y + at(m, r, c), log ? d : e);
        sum = v_add(sum, v_select(in, e, v_zero()));
    }
    const vreal all = v_set1(v_sum(sum)), total = log ? v_log(all) : all;
    for (ptrdiff_t c = 0; c < m.cols; c += VL) {
        const vmask in = within(m, c);
        real *p = y + at(m, r, c);
        const vreal e = v_load_m(in, p);
        v_store_m(in, p, log ? v_sub(e, total) : v_div(e, total));
    }
}

INLINE void softmax_rows(int log, ptrdiff_t rows, layout m, const real *x, real *y) {
    if (m.cols <= 0) return;
    if (m.cols > P) {
        for (ptrdiff_t r = 0; r < rows; r++) softmax_long_row(log, m, r, x, y);
    } else {
        for (ptrdiff_t r = 0; r < rows; r += VL)
            softmax_short_rows(log, m, min_size(VL, rows - r), x + r * m.row, y + r * m.row);
    }
}

static void FNN_NAME(softmax)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t panel,
                              const void *x, void *y) {
    softmax_rows(0, rows, (layout){cols, row, panel}, x, y);
}

static void FNN_NAME(log_softmax)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t panel,
                                  const void *x, void *y) {
    softmax_rows(1, rows, (layout){cols, row, panel}, x, y);
}

INLINE void softmax_rows_backward(int log, ptrdiff_t rows, layout m, const real *y, const real *dy,
                                  real *dx) {
    for (ptrdiff_t r = 0; r < rows; r++) {
        vreal sum = v_zero();
        for (ptrdiff_t c = 0; c < m.cols; c += VL) {
            const vmask in = within(m, c);
            const ptrdiff_t i = at(m, r, c);
            const vreal d = v_load_m(in, dy + i);
            sum = log ? v_add(d, sum) : v_fma(v_load_m(in, y + i), d, sum);
        }
        const vreal total = v_set1(v_sum(sum));
        for (ptrdiff_t c = 0; c < m.cols; c += VL) {
            const vmask in = within(m, c);
            const ptrdiff_t i = at(m, r, c);
            const vreal s = v_load_m(in, y + i), d = v_load_m(in, dy + i);
            v_store_m(in, dx + i, log ? v_fnma(v_exp(s), total, d) : v_mul(s, v_sub(d, total)));
        }
    }
}

static void FNN_NAME(softmax_backward)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row,
                                       ptrdiff_t panel, const void *y, const void *dy, void *dx) {
    softmax_rows_backward(0, rows, (layout){cols, row, panel}, y, dy, dx);
}

static void FNN_NAME(log_softmax_backward)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row,
                                           ptrdiff_t panel, const void *y, const void *dy, void *dx) {
    softmax_rows_backward(1, rows, (layout){cols, row, panel}, y, dy, dx);
}
