/* Normalization of rows and of columns, and PReLU: the layers that train one number a feature.
 *
 *   layer_norm  x^[r,c] = (x[r,c] - mean[r]) / sqrt(variance[r] + epsilon),   y = x^ gamma + beta
 *   batch_norm  the same by columns, of the batch's mean and variance (Ioffe and Szegedy 2015)
 *
 * With g = dy gamma, and means over what is normalized together, both have
 *
 *   dx = (g - mean(g) - x^ mean(g x^)) / sqrt(variance + epsilon),   dgamma[c] = sum of dy x^
 *
 * which is g times a scale, (x - mean) times a slope, and an offset. Mean and variance take two
 * passes: sums of squares would cancel. Sums over rows go in blocks, so that their error does not
 * grow with a large batch; their order depends on the rows' number alone.
 *
 * VL rows go together: each has a vector of sums over its columns, and these, transposed, become
 * one vector of a total a row. So nothing waits for the sum across one row's lanes, its division and
 * its root, and a row's lane, of VL or of fewer, does the same arithmetic.
 */

enum { SUM_BLOCK = 64 };

/* ---- rows ---- */

/* lane i: the sum over the lanes of sum[i] */
INLINE vreal totals(vreal *sum) {
    v_transpose(sum);
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) sum[i] = v_add(sum[i], sum[i + half]);
    return sum[0];
}

/* vector c of gamma or beta; `otherwise` without */
INLINE vreal panelled(const fnn_layer_norm_args *g, const void *weights, ptrdiff_t c, ptrdiff_t cols,
                      real otherwise) {
    if (!weights) return v_set1(otherwise);
    return load_first(cols, (const real *)weights + c / P * g->w_panel + c % P);
}

/* sum[i] += row i's x, or, of squares, (x - mean[i])^2, in n rows and `cols` columns, each <= VL */
INLINE void add_rows(ptrdiff_t n, ptrdiff_t cols, const real *x, int squares, const real *mean,
                     vreal *sum) {
    UNROLL(16) for (int i = 0; i < VL; i++) {
        if (i >= n) break;
        const vreal v = load_first(cols, x + i * P);
        if (!squares) {
            sum[i] = v_add(sum[i], v);
            continue;
        }
        vreal d = v_sub(v, v_set1(mean[i]));
        if (cols < VL) d = v_select(v_first(cols), d, v_zero());
        sum[i] = v_fma(d, d, sum[i]);
    }
}

/* The means over n <= VL rows of the same, a row a lane. */
INLINE vreal row_means(layout m, ptrdiff_t n, const real *x, int squares, const real *mean) {
    vreal sum[VL];
    UNROLL(16) for (int i = 0; i < VL; i++) sum[i] = v_zero();
    for (ptrdiff_t c = 0; c < m.cols; c += VL) {
        const ptrdiff_t left = m.cols - c;
        if (n == VL && left >= VL) add_rows(VL, VL, x + at(m, 0, c), squares, mean, sum);
        else add_rows(n, min_size(VL, left), x + at(m, 0, c), squares, mean, sum);
    }
    return v_div(totals(sum), v_set1((real)m.cols));
}

/* 1 / sqrt(variance + epsilon) */
INLINE vreal root_of(vreal variance, double epsilon) {
    return v_div(v_set1(1), v_sqrt(v_add(variance, v_set1((real)epsilon))));
}

/* y of n rows and the columns from c on */
INLINE void normalize(const fnn_layer_norm_args *g, ptrdiff_t n, ptrdiff_t c, ptrdiff_t cols, const real *x,
                      const real *mean, const real *rstd, real *y) {
    const vreal gamma = panelled(g, g->gamma, c, cols, 1), beta = panelled(g, g->beta, c, cols, 0);
    UNROLL(16) for (int i = 0; i < VL; i++) {
        if (i >= n) break;
        const vreal away = v_sub(load_first(cols, x + i * P), v_set1(mean[i]));
        store_first(cols, y + i * P, v_fma(v_mul(away, v_set1(rstd[i])), gamma, beta));
    }
}

static void FNN_NAME(layer_norm)(const fnn_layer_norm_args *g) {
    const layout m = {g->cols, P, g->panel};
    real *stats = g->stats, mean[VL], rstd[VL];
    for (ptrdiff_t r = 0; r < g->rows && g->cols > 0; r += VL) {
        const ptrdiff_t n = min_size(VL, g->rows - r);
        const real *x = (const real *)g->x + r * P;
        real *y = (real *)g->y + r * P;
        v_store(mean, row_means(m, n, x, 0, mean));
        v_store(rstd, root_of(row_means(m, n, x, 1, mean), g->epsilon));
        for (ptrdiff_t c = 0; c < m.cols; c += VL) {
            const ptrdiff_t left = m.cols - c, i = at(m, 0, c);
            if (n == VL && left >= VL) normalize(g, VL, c, VL, x + i, mean, rstd, y + i);
            else normalize(g, n, c, min_size(VL, left), x + i, mean, rstd, y + i);
        }
        for (ptrdiff_t i = 0; i < n && stats; i++)
            stats[2 * (r + i)] = rstd[i], stats[2 * (r + i) + 1] = mean[i];
    }
}

/* rows whose two sums stay in registers */
enum { ROW_PAIRS = VL < 4 ? VL : 4 };

/* sum[i] += dy gamma and product[i] += that times x - mean[i], of n <= ROW_PAIRS rows */
INLINE void add_products(const fnn_layer_norm_args *g, ptrdiff_t n, ptrdiff_t c, ptrdiff_t cols,
                         const real *x, const real *dy, const real *mean, vreal *sum, vreal *product) {
    const vreal gamma = panelled(g, g->gamma, c, cols, 1);
    UNROLL(4) for (int i = 0; i < ROW_PAIRS; i++) {
        if (i >= n) break;
        const vreal d = v_mul(load_first(cols, dy + i * P), gamma);
        vreal away = v_sub(load_first(cols, x + i * P), v_set1(mean[i]));
        if (cols < VL) away = v_select(v_first(cols), away, v_zero());
        sum[i] = v_add(sum[i], d);
        product[i] = v_fma(d, away, product[i]);
    }
}

INLINE void row_products(const fnn_layer_norm_args *g, ptrdiff_t n, const real *x, const real *dy,
                         const real *mean, vreal *sum, vreal *product) {
    const layout m = {g->cols, P, g->panel};
    vreal s[ROW_PAIRS], p[ROW_PAIRS];
    UNROLL(4) for (int i = 0; i < ROW_PAIRS; i++) s[i] = p[i] = v_zero();
    for (ptrdiff_t c = 0; c < m.cols; c += VL) {
        const ptrdiff_t left = m.cols - c, i = at(m, 0, c);
        if (n >= ROW_PAIRS && left >= VL) add_products(g, ROW_PAIRS, c, VL, x + i, dy + i, mean, s, p);
        else add_products(g, n, c, min_size(VL, left), x + i, dy + i, mean, s, p);
    }
    UNROLL(4) for (int i = 0; i < ROW_PAIRS; i++) sum[i] = s[i], product[i] = p[i];
}

/* What dx of VL rows is made of: dy gamma rstd + (x - mean) slope + offset. */
typedef struct { real rstd[VL], mean[VL], slope[VL], offset[VL]; } slopes;

INLINE void row_slopes(const fnn_layer_norm_args *g, ptrdiff_t n, ptrdiff_t c, ptrdiff_t cols,
                       const slopes *s, const real *x, const real *dy, real *dx) {
    const vreal gamma = panelled(g, g->gamma, c, cols, 1);
    UNROLL(16) for (int i = 0; i < VL; i++) {
        if (i >= n) break;
        const vreal away = v_sub(load_first(cols, x + i * P), v_set1(s->mean[i]));
        const vreal d = v_mul(load_first(cols, dy + i * P), gamma);
        const vreal rest = v_fma(away, v_set1(s->slope[i]), v_set1(s->offset[i]));
        store_first(cols, dx + i * P, v_fma(d, v_set1(s->rstd[i]), rest));
    }
}

static void FNN_NAME(layer_norm_backward)(const fnn_layer_norm_args *g) {
    const layout m = {g->cols, P, g->panel};
    const vreal count = v_set1((real)g->cols);
    for (ptrdiff_t r = 0; r < g->rows && g->cols > 0; r += VL) {
        const ptrdiff_t n = min_size(VL, g->rows - r);
        const real *x = (const real *)g->x + r * P, *dy = (const real *)g->dy + r * P;
        const real *stats = (const real *)g->stats + 2 * r;
        real *dx = (real *)g->y + r * P;
        vreal sum[VL], product[VL];
        slopes s;
        for (int i = 0; i < VL; i++) {
            s.rstd[i] = i < n ? stats[2 * i] : 0;
            s.mean[i] = i < n ? stats[2 * i + 1] : 0;
        }
        for (int i = 0; i < VL; i += ROW_PAIRS)
            row_products(g, n - i, x + i * P, dy + i * P, s.mean + i, sum + i, product + i);
        const vreal rstd = v_load(s.rstd), of_hat = v_mul(v_div(totals(product), count), rstd);
        v_store(s.offset, v_neg(v_mul(v_div(totals(sum), count), rstd)));
        v_store(s.slope, v_neg(v_mul(v_mul(of_hat, rstd), rstd))); /* rstd^3 might overflow */
        for (ptrdiff_t c = 0; c < m.cols; c += VL) {
            const ptrdiff_t left = m.cols - c, i = at(m, 0, c);
            if (n == VL && left >= VL) row_slopes(g, VL, c, VL, &s, x + i, dy + i, dx + i);
            else row_slopes(g, n, c, min_size(VL, left), &s, x + i, dy + i, dx + i);
        }
    }
}

/* ---- columns: a panel of `cols` columns, of P where that is known, vector by vector ---- */

#define BY_PANEL(body, g)                                                                          \
    do {                                                                                           \
        if ((g)->cols == P) body(g, P);                                                            \
        else if ((g)->cols > 0) body(g, (g)->cols);                                                \
    } while (0)

INLINE void add_column(ptrdiff_t n, const real *x, int squares, vreal mean, vreal *sum) {
    const vreal v = load_up_to(n, x), d = v_sub(v, mean);
    *sum = squares ? v_fma(d, d, *sum) : v_add(*sum, v);
}

/* The sums over rows of x, or, of squares, of (x - mean)^2. */
INLINE void moment_sums(ptrdiff_t rows, ptrdiff_t cols, const real *x, int squares, const vreal *mean,
                        vreal *total) {
    UNROLL(NV) for (int v = 0; v < NV; v++) total[v] = v_zero();
    for (ptrdiff_t r = 0; r < rows; r += SUM_BLOCK) {
        const ptrdiff_t end = min_size(r + SUM_BLOCK, rows), whole = r + (end - r) / 4 * 4;
        vreal sum[4][NV];
        UNROLL(4) for (int u = 0; u < 4; u++)
            UNROLL(NV) for (int v = 0; v < NV; v++) sum[u][v] = v_zero();
        for (ptrdiff_t i = r; i < whole; i += 4)
            UNROLL(4) for (int u = 0; u < 4; u++)
                UNROLL(NV) for (int v = 0; v < NV; v++)
                    add_column(cols - v * VL, x + (i + u) * P + v * VL, squares, mean[v], &sum[u][v]);
        UNROLL(3) for (int u = 0; u < 3; u++) {
            if (whole + u >= end) break;
            UNROLL(NV) for (int v = 0; v < NV; v++)
                add_column(cols - v * VL, x + (whole + u) * P + v * VL, squares, mean[v], &sum[u][v]);
        }
        UNROLL(NV) for (int v = 0; v < NV; v++)
            total[v] = v_add(total[v],
                             v_add(v_add(sum[0][v], sum[1][v]), v_add(sum[2][v], sum[3][v])));
    }
}

/* The sums over rows of dy and of dy (x - mean), of columns; with stats, mean is each row's, and
 * its number before the mean a factor. */
INLINE void gradient_sums(ptrdiff_t rows, ptrdiff_t cols, const real *x, const real *dy,
                          const real *stats, const vreal *mean, vreal *sum, vreal *product) {
    UNROLL(NV) for (int v = 0; v < NV; v++) sum[v] = product[v] = v_zero();
    for (ptrdiff_t r = 0; r < rows; r += SUM_BLOCK) {
        const ptrdiff_t end = min_size(r + SUM_BLOCK, rows);
        vreal s[2][NV], p[2][NV];
        UNROLL(2) for (int u = 0; u < 2; u++)
            UNROLL(NV) for (int v = 0; v < NV; v++) s[u][v] = p[u][v] = v_zero();
        for (ptrdiff_t i = r; i < end; i += 2) {
            UNROLL(2) for (int u = 0; u < 2; u++) {
                if (i + u >= end) break;
                UNROLL(NV) for (int v = 0; v < NV; v++) {
                    const ptrdiff_t at = (i + u) * P + v * VL, n = cols - v * VL;
                    const vreal center = stats ? v_set1(stats[2 * (i + u) + 1]) : mean[v];
                    const vreal d = load_up_to(n, dy + at);
                    vreal away = v_sub(load_up_to(n, x + at), center);
                    if (stats) away = v_mul(away, v_set1(stats[2 * (i + u)]));
                    s[u][v] = v_add(s[u][v], d);
                    p[u][v] = v_fma(d, away, p[u][v]);
                }
            }
        }
        UNROLL(NV) for (int v = 0; v < NV; v++) {
            sum[v] = v_add(sum[v], v_add(s[0][v], s[1][v]));
            product[v] = v_add(product[v], v_add(p[0][v], p[1][v]));
        }
    }
}

INLINE void layer_norm_gradient_of(const fnn_layer_norm_args *g, ptrdiff_t cols) {
    vreal none[NV], sum[NV], product[NV];
    UNROLL(NV) for (int v = 0; v < NV; v++) none[v] = v_zero();
    gradient_sums(g->rows, cols, g->x, g->dy, g->stats, none, sum, product);
    UNROLL(NV) for (int v = 0; v < NV; v++) {
        if (g->dgamma) store_up_to(cols - v * VL, (real *)g->dgamma + v * VL, product[v]);
        if (g->dbeta) store_up_to(cols - v * VL, (real *)g->dbeta + v * VL, sum[v]);
    }
}

static void FNN_NAME(layer_norm_gradient)(const fnn_layer_norm_args *g) {
    BY_PANEL(layer_norm_gradient_of, g);
}

/* vector v of one of the numbers that batch_norm keeps */
INLINE real *kept(const fnn_batch_norm_args *g, int number, int v) {
    return (real *)g->state + number * P + v * VL;
}

INLINE void keep(const fnn_batch_norm_args *g, ptrdiff_t cols, int number, int v, vreal value) {
    store_up_to(cols - v * VL, kept(g, number, v), value);
}

INLINE vreal or_one(ptrdiff_t n, const void *vector, int v) {
    return vector ? load_up_to(n, (const real *)vector + v * VL) : v_set1(1);
}

/* scale and shift of y = x scale + shift */
INLINE void scale_and_shift(const fnn_batch_norm_args *g, ptrdiff_t cols, int v, vreal mean, vreal rstd,
                            int scale, int shift) {
    const ptrdiff_t n = cols - v * VL;
    const vreal a = v_mul(rstd, or_one(n, g->gamma, v));
    const vreal b = g->beta ? load_up_to(n, (const real *)g->beta + v * VL) : v_zero();
    keep(g, cols, scale, v, a);
    keep(g, cols, shift, v, v_fnma(mean, a, b));
}

/* moving = moving momentum + now (1 - momentum) */
INLINE void follow(const fnn_batch_norm_args *g, ptrdiff_t cols, int number, int v, vreal now) {
    const vreal part = v_mul(now, v_set1((real)(1 - g->momentum)));
    const vreal before = load_up_to(cols - v * VL, kept(g, number, v));
    keep(g, cols, number, v, v_fma(before, v_set1((real)g->momentum), part));
}

INLINE void moments_of(const fnn_batch_norm_args *g, ptrdiff_t cols) {
    const vreal n = v_set1((real)g->rows);
    vreal mean[NV], variance[NV];
    UNROLL(NV) for (int v = 0; v < NV; v++) mean[v] = v_zero();
    moment_sums(g->rows, cols, g->x, 0, mean, variance);
    UNROLL(NV) for (int v = 0; v < NV; v++) mean[v] = v_div(variance[v], n);
    moment_sums(g->rows, cols, g->x, 1, mean, variance);
    UNROLL(NV) for (int v = 0; v < NV; v++) {
        variance[v] = v_div(variance[v], n);
        const vreal rstd = root_of(variance[v], g->epsilon);
        follow(g, cols, FNN_MOVING_MEAN, v, mean[v]);
        follow(g, cols, FNN_MOVING_VARIANCE, v, variance[v]);
        keep(g, cols, FNN_MEAN, v, mean[v]);
        keep(g, cols, FNN_RSTD, v, rstd);
        scale_and_shift(g, cols, v, mean[v], rstd, FNN_SCALE_BY, FNN_SHIFT_BY);
    }
}

static void FNN_NAME(batch_norm_moments)(const fnn_batch_norm_args *g) {
    if (g->rows > 0) BY_PANEL(moments_of, g);
}

INLINE vreal moving_rstd(const fnn_batch_norm_args *g, ptrdiff_t cols, int v) {
    return root_of(load_up_to(cols - v * VL, kept(g, FNN_MOVING_VARIANCE, v)), g->epsilon);
}

INLINE void calm_of(const fnn_batch_norm_args *g, ptrdiff_t cols) {
    UNROLL(NV) for (int v = 0; v < NV; v++) {
        const vreal mean = load_up_to(cols - v * VL, kept(g, FNN_MOVING_MEAN, v));
        scale_and_shift(g, cols, v, mean, moving_rstd(g, cols, v), FNN_CALM_SCALE, FNN_CALM_SHIFT);
    }
}

static void FNN_NAME(batch_norm_calm)(const fnn_batch_norm_args *g) { BY_PANEL(calm_of, g); }

INLINE void sums_of(const fnn_batch_norm_args *g, ptrdiff_t cols) {
    const vreal n = v_set1((real)g->rows);
    vreal mean[NV], sum[NV], product[NV];
    UNROLL(NV) for (int v = 0; v < NV; v++)
        mean[v] = load_up_to(cols - v * VL, kept(g, g->calm ? FNN_MOVING_MEAN : FNN_MEAN, v));
    gradient_sums(g->rows, cols, g->x, g->dy, NULL, mean, sum, product);
    UNROLL(NV) for (int v = 0; v < NV; v++) {
        const vreal rstd = g->calm ? moving_rstd(g, cols, v)
                                   : load_up_to(cols - v * VL, kept(g, FNN_RSTD, v));
        const vreal scale = v_mul(rstd, or_one(cols - v * VL, g->gamma, v));
        const vreal dgamma = v_mul(product[v], rstd);
        vreal slope = v_zero(), offset = v_zero();
        if (!g->calm) {
            slope = v_neg(v_mul(v_mul(scale, rstd), v_div(dgamma, n)));
            offset = v_neg(v_mul(scale, v_div(sum[v], n)));
        }
        keep(g, cols, FNN_MEAN, v, mean[v]);
        keep(g, cols, FNN_SCALE_BY, v, scale);
        keep(g, cols, FNN_SLOPE, v, slope);
        keep(g, cols, FNN_OFFSET, v, offset);
        keep(g, cols, FNN_DGAMMA, v, dgamma);
        keep(g, cols, FNN_DBETA, v, sum[v]);
    }
}

static void FNN_NAME(batch_norm_sums)(const fnn_batch_norm_args *g) {
    if (g->rows > 0) BY_PANEL(sums_of, g);
}

INLINE void batch_gradient_of(const fnn_batch_norm_args *g, ptrdiff_t cols) {
    vreal mean[NV], scale[NV], slope[NV], offset[NV];
    UNROLL(NV) for (int v = 0; v < NV; v++) {
        mean[v] = load_up_to(cols - v * VL, kept(g, FNN_MEAN, v));
        scale[v] = load_up_to(cols - v * VL, kept(g, FNN_SCALE_BY, v));
        slope[v] = load_up_to(cols - v * VL, kept(g, FNN_SLOPE, v));
        offset[v] = load_up_to(cols - v * VL, kept(g, FNN_OFFSET, v));
    }
    for (ptrdiff_t r = 0; r < g->rows; r++) {
        UNROLL(NV) for (int v = 0; v < NV; v++) {
            const ptrdiff_t at = r * P + v * VL, n = cols - v * VL;
            const vreal away = v_sub(load_up_to(n, (const real *)g->x + at), mean[v]);
            const vreal dy = load_up_to(n, (const real *)g->dy + at);
            store_up_to(n, (real *)g->dx + at, v_fma(dy, scale[v], v_fma(away, slope[v], offset[v])));
        }
    }
}

static void FNN_NAME(batch_norm_backward)(const fnn_batch_norm_args *g) {
    BY_PANEL(batch_gradient_of, g);
}

/* ---- PReLU: x where x > 0, else x alpha (He et al. 2015) ---- */

/* y = of where x > 0, else of alpha */
INLINE void sloped(const fnn_prelu_args *g, ptrdiff_t cols, const void *of) {
    vreal alpha[NV];
    UNROLL(NV) for (int v = 0; v < NV; v++)
        alpha[v] = load_up_to(cols - v * VL, (const real *)g->alpha + v * VL);
    for (ptrdiff_t r = 0; r < g->rows; r++) {
        UNROLL(NV) for (int v = 0; v < NV; v++) {
            const ptrdiff_t at = r * P + v * VL, n = cols - v * VL;
            const vreal x = load_up_to(n, (const real *)g->x + at), a = load_up_to(n, (const real *)of + at);
            store_up_to(n, (real *)g->y + at, v_select(v_gt(x, v_zero()), a, v_mul(a, alpha[v])));
        }
    }
}

INLINE void prelu_of(const fnn_prelu_args *g, ptrdiff_t cols) { sloped(g, cols, g->x); }

INLINE void prelu_backward_of(const fnn_prelu_args *g, ptrdiff_t cols) { sloped(g, cols, g->dy); }

static void FNN_NAME(prelu)(const fnn_prelu_args *g) { BY_PANEL(prelu_of, g); }

static void FNN_NAME(prelu_backward)(const fnn_prelu_args *g) { BY_PANEL(prelu_backward_of, g); }

INLINE void prelu_gradient_of(const fnn_prelu_args *g, ptrdiff_t cols) {
    vreal total[NV];
    UNROLL(NV) for (int v = 0; v < NV; v++) total[v] = v_zero();
    for (ptrdiff_t r = 0; r < g->rows; r += SUM_BLOCK) {
        const ptrdiff_t end = min_size(r + SUM_BLOCK, g->rows);
        vreal sum[2][NV];
        UNROLL(2) for (int u = 0; u < 2; u++)
            UNROLL(NV) for (int v = 0; v < NV; v++) sum[u][v] = v_zero();
        for (ptrdiff_t i = r; i < end; i += 2) {
            UNROLL(2) for (int u = 0; u < 2; u++) {
                if (i + u >= end) break;
                UNROLL(NV) for (int v = 0; v < NV; v++) {
                    const ptrdiff_t at = (i + u) * P + v * VL, n = cols - v * VL;
                    const vreal x = load_up_to(n, (const real *)g->x + at);
                    const vreal dy = load_up_to(n, (const real *)g->dy + at);
                    const vreal below = v_select(v_gt(x, v_zero()), v_zero(), x);
                    sum[u][v] = v_fma(dy, below, sum[u][v]);
                }
            }
        }
        UNROLL(NV) for (int v = 0; v < NV; v++)
            total[v] = v_add(total[v], v_add(sum[0][v], sum[1][v]));
    }
    UNROLL(NV) for (int v = 0; v < NV; v++)
        store_up_to(cols - v * VL, (real *)g->y + v * VL, total[v]);
}

static void FNN_NAME(prelu_gradient)(const fnn_prelu_args *g) { BY_PANEL(prelu_gradient_of, g); }
