/* Pairs of bfloat16 out of float32 matrices; contracts in fnn.h.
 *
 * Products run over k, and each of their instructions takes a pair of neighbours in k. Those are
 * columns of X and of dY in Y = X W and dX = dY W^T, rows of both in dW = X^T dY.
 */

static void FNN_NAME(pair_columns)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t x_panel,
                                   const void *x, ptrdiff_t panel, void *dst) {
    for (ptrdiff_t j = 0; 2 * j < cols; j += P) {
        for (int v = 0; v < NV; v++) {
            const ptrdiff_t c = 2 * (j + v * VL), left = cols - c;
            const real *src = (const real *)x + c / P * x_panel + c % P;
            real *y = (real *)dst + j / P * panel + v * VL;
            for (ptrdiff_t r = 0; r < rows; r++, src += row, y += P) {
                v_store(y, v_pair_next(load_up_to(left, src), load_up_to(left - VL, src + VL)));
            }
        }
    }
}

static void FNN_NAME(pair_rows)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t x_panel,
                                const void *x, ptrdiff_t panel, void *dst) {
    for (ptrdiff_t j = 0; j < cols; j += P) {
        const real *src = (const real *)x + j / P * x_panel;
        real *y = (real *)dst + j / P * panel;
        for (ptrdiff_t r = 0; r < rows; r += 2, src += 2 * row, y += P) {
            for (int v = 0; v < NV; v++) {
                const ptrdiff_t left = cols - j - v * VL;
                const vreal high = r + 1 < rows ? load_up_to(left, src + row + v * VL) : v_zero();
                v_store(y + v * VL, v_pair(load_up_to(left, src + v * VL), high));
            }
        }
    }
}
