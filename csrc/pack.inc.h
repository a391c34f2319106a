/* Copies between row-major matrices and panels; the affine map and the column sum on panels.
 *
 * Panels of a matrix (rows, cols): element (r, c) at [(c / P) * panel + r * P + c % P]. Packing zeroes
 * the columns that pad the last panel, so that whole vectors of it can be read.
 */

/* one row of one panel: dst[0 .. P) = src[0 .. cols), then zeros */
INLINE void pack_row(ptrdiff_t cols, const real *src, real *dst) {
    if (cols >= P) {
        for (int v = 0; v < NV; v++) v_store(dst + v * VL, v_load(src + v * VL));
    } else {
        for (int v = 0; v < NV; v++)
            v_store(dst + v * VL, load_up_to(cols - v * VL, src + v * VL));
    }
}

INLINE void unpack_row(ptrdiff_t cols, const real *src, real *dst) {
    for (int v = 0; v < NV && v * VL < cols; v++) {
        if (cols - v * VL >= VL) v_store(dst + v * VL, v_load(src + v * VL));
        else v_store_m(v_first(cols - v * VL), dst + v * VL, v_load(src + v * VL));
    }
}

static void FNN_NAME(pack)(ptrdiff_t rows, ptrdiff_t cols, const void *src, ptrdiff_t ld,
                           ptrdiff_t panel, void *dst) {
    for (ptrdiff_t j = 0; j * P < cols; j++) {
        const real *x = (const real *)src + j * P;
        real *y = (real *)dst + j * panel;
        for (ptrdiff_t r = 0; r < rows; r++, x += ld, y += P) pack_row(cols - j * P, x, y);
    }
}

static void FNN_NAME(unpack)(ptrdiff_t rows, ptrdiff_t cols, const void *src, ptrdiff_t ld,
                             ptrdiff_t panel, void *dst) {
    for (ptrdiff_t j = 0; j * P < cols; j++) {
        const real *x = (const real *)src + j * panel;
        real *y = (real *)dst + j * P;
        for (ptrdiff_t r = 0; r < rows; r++, x += P, y += ld) unpack_row(cols - j * P, x, y);
    }
}

/* dst[i * ldd + j] = src[j * lds + i] for i < m, j < n, both at most VL; nothing else is touched
 * and nothing past src's n rows of m is read */
INLINE void transpose_block(ptrdiff_t m, ptrdiff_t n, const real *src, ptrdiff_t lds, real *dst,
                            ptrdiff_t ldd) {
    vreal x[VL];
    if (m == VL && n == VL) {
        UNROLL(16) for (int j = 0; j < VL; j++) {
            __builtin_prefetch(src + j * lds + 2 * LINE); /* of so many rows no prefetcher knows */
            x[j] = v_load(src + j * lds);
        }
        v_transpose(x);
        UNROLL(16) for (int i = 0; i < VL; i++) v_store(dst + i * ldd, x[i]);
    } else {
        const vmask mm = v_first(m), mn = v_first(n);
        for (int j = 0; j < VL; j++) x[j] = j < n ? v_load_m(mm, src + j * lds) : v_zero();
        v_transpose(x);
        for (int i = 0; i < m; i++) v_store_m(mn, dst + i * ldd, x[i]);
    }
}

static void FNN_NAME(pack_transpose)(ptrdiff_t rows, ptrdiff_t cols, const void *src, ptrdiff_t ld,
                                     ptrdiff_t panel, void *dst) {
    for (ptrdiff_t j = 0; j * P < cols; j++) {
        const ptrdiff_t width = min_size(cols - j * P, P);
        const real *x = (const real *)src + j * P * ld;
        real *y = (real *)dst + j * panel;
        if (width < P) {
            for (ptrdiff_t i = 0; i < rows * P; i += VL) v_store(y + i, v_zero());
        }
        for (ptrdiff_t r = 0; r < rows; r += VL) {
            for (ptrdiff_t c = 0; c < width; c += VL) {
                transpose_block(min_size(rows - r, VL), min_size(width - c, VL), x + c * ld + r, ld,
                                y + r * P + c, P);
            }
        }
    }
}

/* Row by row, all of its panels: the rows lie far apart and in any order, so that no prefetcher sees
 * them coming; the lines of the row after next are asked for meanwhile, of narrow rows, which are
 * copied sooner than a line comes, of a later one. */
static void FNN_NAME(gather)(ptrdiff_t rows, ptrdiff_t cols, const int64_t *index, const void *x,
                             ptrdiff_t ldx, const void *scale, const void *shift, ptrdiff_t panel,
                             void *dst) {
    const real *a = scale, *b = shift;
    const ptrdiff_t ahead = 2 + 8 * LINE / (cols + 1);
    for (ptrdiff_t r = 0; r < rows; r++) {
        const ptrdiff_t later = min_size(r + ahead, rows - 1);
        const real *src = (const real *)x + (index ? index[r] : r) * ldx;
        const real *next = (const real *)x + (index ? index[later] : later) * ldx;
        real *y = (real *)dst + r * P;
        for (ptrdiff_t j = 0; j < cols; j += P, y += panel) {
            for (ptrdiff_t c = j; c < j + P; c += LINE) __builtin_prefetch(next + c);
            pack_row(cols - j, src + j, y);
            if (!scale) continue;
            for (ptrdiff_t v = 0; v < min_size(cols - j, P); v += VL) {
                const vmask m = v_first(min_size(cols - j - v, VL));
                vreal z = v_fma(v_load(y + v), v_load_m(m, a + j + v), v_load_m(m, b + j + v));
                v_store_m(m, y + v, z);
            }
        }
    }
}

static void FNN_NAME(scale_shift)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t panel,
                                  const void *x, const void *scale, const void *shift, void *y) {
    const real *a = scale, *b = shift;
    for (ptrdiff_t j = 0; j < cols; j += VL) {
        const ptrdiff_t at = j / P * panel + j % P;
        const vmask m = v_first(min_size(cols - j, VL));
        const vreal va = v_load_m(m, a + j), vb = b ? v_load_m(m, b + j) : v_zero();
        for (ptrdiff_t r = 0; r < rows; r++) {
            vreal z = v_load_m(m, (const real *)x + at + r * row);
            z = b ? v_fma(z, va, vb) : v_mul(z, va);
            v_store_m(m, (real *)y + at + r * row, z);
        }
    }
}

INLINE vreal summed(int squares, vreal x, vreal sum) {
    return squares ? v_fma(x, x, sum) : v_add(sum, x);
}

/* Four partial sums over r mod 4, so that the additions' latencies overlap; then (0+1)+(2+3). */
INLINE void column_sums(const int squares, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row,
                        ptrdiff_t panel, const void *x, ptrdiff_t sum_panel, void *sum) {
    for (ptrdiff_t j = 0; j < cols; j += VL) {
        const real *p = (const real *)x + j / P * panel + j % P;
        const vmask m = v_first(min_size(cols - j, VL));
        vreal acc[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
        ptrdiff_t r = 0;
        for (; r + 4 <= rows; r += 4, p += 4 * row) {
            UNROLL(4) for (int i = 0; i < 4; i++) acc[i] = summed(squares, v_load_m(m, p + i * row), acc[i]);
        }
        UNROLL(3) for (int i = 0; i < 3; i++) {
            if (r + i < rows) acc[i] = summed(squares, v_load_m(m, p + i * row), acc[i]);
        }
        v_store_m(m, (real *)sum + j / P * sum_panel + j % P,
                  v_add(v_add(acc[0], acc[1]), v_add(acc[2], acc[3])));
    }
}

#define FNN_COLSUM(name, squares)                                                                  \
    static void FNN_NAME(name)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t panel,     \
                               const void *x, ptrdiff_t sum_panel, void *sum) {                    \
        column_sums(squares, rows, cols, row, panel, x, sum_panel, sum);                           \
    }
FNN_COLSUM(colsum, 0)
FNN_COLSUM(colsquare, 1)
#undef FNN_COLSUM
