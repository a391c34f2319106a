/* Normalization of rows and of columns, and PReLU: the layers that train one number a feature.
 *
 *   layer_norm  x^[r,c] = (x[r,c] - mean[r]) / sqrt(variance[r] + epsilon),   y = x^ gamma + beta
 *   batch_norm  the same by columns, of the batch's mean and variance (Ioffe and Szegedy 2015)
 *
 * With g = dy gamma, and means over what is normalized together, both have
 *
 *   dx = (g - mean(g) - x^ mean(g x^)) / sqrt(variance + epsilon),   dgamma[c] = sum of dy x^
 *
 * Mean and variance take two passes: sums of squares would cancel. Sums over rows go in blocks, so
 * that their error does not grow with a large batch; their order depends on the rows' number alone.
 */

enum { SUM_BLOCK = 64 };

/* ---- rows ---- */

INLINE vreal panelled(const void *vector, ptrdiff_t w_panel, ptrdiff_t c, vmask in) {
    return v_load_m(in, (const real *)vector + c / P * w_panel + c % P);
}

/* sum over a row of x, or, with a mean, of (x - mean)^2 */
INLINE vreal row_sum(layout m, const real *x, int squares, vreal mean) {
    vreal sum = v_zero();
    for (ptrdiff_t c = 0; c < m.cols; c += VL) {
        const vmask in = within(m, c);
        const vreal v = v_load_m(in, x + at(m, 0, c)), d = v_select(in, v_sub(v, mean), v_zero());
        sum = squares ? v_fma(d, d, sum) : v_add(sum, v);
    }
    return v_set1(v_sum(sum));
}

static void FNN_NAME(layer_norm)(const fnn_layer_norm_args *g) {
    const layout m = {g->cols, P, g->panel};
    const vreal n = v_set1((real)g->cols), epsilon = v_set1((real)g->epsilon), one = v_set1(1);
    real *stats = g->stats;
    for (ptrdiff_t r = 0; r < g->rows && g->cols > 0; r++) {
        const real *x = (const real *)g->x + r * P;
        real *y = (real *)g->y + r * P;
        const vreal mean = v_div(row_sum(m, x, 0, v_zero()), n);
        const vreal variance = v_div(row_sum(m, x, 1, mean), n);
        const vreal rstd = v_div(one, v_sqrt(v_add(variance, epsilon)));
        for (ptrdiff_t c = 0; c < g->cols; c += VL) {
            const vmask in = within(m, c);
            vreal v = v_mul(v_sub(v_load_m(in, x + at(m, 0, c)), mean), rstd);
            if (g->gamma) v = v_mul(v, panelled(g->gamma, g->w_panel, c, in));
            if (g->beta) v = v_add(v, panelled(g->beta, g->w_panel, c, in));
            v_store_m(in, y + at(m, 0, c), v);
        }
        if (stats) {
            v_store_m(v_first(1), stats + 2 * r, rstd);
            v_store_m(v_first(1), stats + 2 * r + 1, mean);
        }
    }
}

static void FNN_NAME(layer_norm_backward)(const fnn_layer_norm_args *g) {
    const layout m = {g->cols, P, g->panel};
    const vreal n = v_set1((real)g->cols);
    const real *stats = g->stats;
    for (ptrdiff_t r = 0; r < g->rows && g->cols > 0; r++) {
        const real *x = (const real *)g->x + r * P, *dy = (const real *)g->dy + r * P;
        real *dx = (real *)g->y + r * P;
        const vreal rstd = v_set1(stats[2 * r]), mean = v_set1(stats[2 * r + 1]);
        vreal sum = v_zero(), product = v_zero();
        for (ptrdiff_t c = 0; c < g->cols; c += VL) {
            const vmask in = within(m, c);
            const vreal hat = v_mul(v_sub(v_load_m(in, x + at(m, 0, c)), mean), rstd);
            vreal d = v_load_m(in, dy + at(m, 0, c));
            if (g->gamma) d = v_mul(d, panelled(g->gamma, g->w_panel, c, in));
            sum = v_add(sum, d);
            product = v_fma(d, v_select(in, hat, v_zero()), product);
        }
        sum = v_div(v_set1(v_sum(sum)), n);
        product = v_div(v_set1(v_sum(product)), n);
        for (ptrdiff_t c = 0; c < g->cols; c += VL) {
            const vmask in = within(m, c);
            const vreal hat = v_mul(v_sub(v_load_m(in, x + at(m, 0, c)), mean), rstd);
            vreal d = v_load_m(in, dy + at(m, 0, c));
            if (g->gamma) d = v_mul(d, panelled(g->gamma, g->w_panel, c, in));
            d = v_mul(rstd, v_fnma(hat, product, v_sub(d, sum)));
            v_store_m(in, dx + at(m, 0, c), d);
        }
    }
}

/* ---- columns ---- */

/* The sum over rows of a vector of columns of x, or, with a mean, of (x - mean)^2. */
INLINE vreal column_sum(ptrdiff_t rows, vmask in, const real *x, int squares, vreal mean) {
    vreal total = v_zero();
    for (ptrdiff_t r0 = 0; r0 < rows; r0 += SUM_BLOCK) {
        const ptrdiff_t r1 = min_size(r0 + SUM_BLOCK, rows);
        vreal sum[4];
        UNROLL(4) for (int u = 0; u < 4; u++) sum[u] = v_zero();
        for (ptrdiff_t r = r0; r < r1; r += 4) {
            UNROLL(4) for (int u = 0; u < 4; u++) {
                if (r + u >= r1) break;
                const vreal v = v_load_m(in, x + (r + u) * P), d = v_sub(v, mean);
                sum[u] = squares ? v_fma(d, d, sum[u]) : v_add(sum[u], v);
            }
        }
        total = v_add(total, v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
    }
    return total;
}

/* The sums over rows of dy and of dy x^, of a vector of columns; mean and rstd of the columns, or,
 * with stats, those of each row. */
INLINE void gradient_sums(ptrdiff_t rows, vmask in, const real *x, const real *dy, const real *stats,
                          vreal mean, vreal rstd, vreal *sum, vreal *product) {
    *sum = *product = v_zero();
    for (ptrdiff_t r0 = 0; r0 < rows; r0 += SUM_BLOCK) {
        const ptrdiff_t r1 = min_size(r0 + SUM_BLOCK, rows);
        vreal s[2], p[2];
        UNROLL(2) for (int u = 0; u < 2; u++) s[u] = p[u] = v_zero();
        for (ptrdiff_t r = r0; r < r1; r += 2) {
            UNROLL(2) for (int u = 0; u < 2; u++) {
                if (r + u >= r1) break;
                if (stats) rstd = v_set1(stats[2 * (r + u)]), mean = v_set1(stats[2 * (r + u) + 1]);
                const vreal d = v_load_m(in, dy + (r + u) * P);
                const vreal v = v_mul(v_sub(v_load_m(in, x + (r + u) * P), mean), rstd);
                s[u] = v_add(s[u], d);
                p[u] = v_fma(d, v, p[u]);
            }
        }
        *sum = v_add(*sum, v_add(s[0], s[1]));
        *product = v_add(*product, v_add(p[0], p[1]));
    }
}

static void FNN_NAME(layer_norm_gradient)(const fnn_layer_norm_args *g) {
    for (ptrdiff_t c = 0; c < g->cols; c += VL) {
        const vmask in = v_first(min_size(VL, g->cols - c));
        vreal sum, product;
        gradient_sums(g->rows, in, (const real *)g->x + c, (const real *)g->dy + c, g->stats, v_zero(),
                      v_zero(), &sum, &product);
        if (g->dgamma) v_store_m(in, (real *)g->dgamma + c, product);
        if (g->dbeta) v_store_m(in, (real *)g->dbeta + c, sum);
    }
}

/* 1 / sqrt(variance + epsilon) */
INLINE vreal root_of(vreal variance, double epsilon) {
    return v_div(v_set1(1), v_sqrt(v_add(variance, v_set1((real)epsilon))));
}

INLINE vreal or_one(const void *vector, ptrdiff_t c, vmask in) {
    return vector ? v_load_m(in, (const real *)vector + c) : v_set1(1);
}

/* scale and shift of y = x scale + shift */
INLINE void scale_and_shift(const fnn_batch_norm_args *g, ptrdiff_t c, vmask in, vreal mean, vreal rstd,
                            real *scale, real *shift) {
    const vreal a = v_mul(rstd, or_one(g->gamma, c, in));
    const vreal b = g->beta ? v_load_m(in, (const real *)g->beta + c) : v_zero();
    v_store_m(in, scale + c, a);
    v_store_m(in, shift + c, v_fnma(mean, a, b));
}

static void FNN_NAME(batch_norm_moments)(const fnn_batch_norm_args *g) {
    real *s = g->state;
    const vreal n = v_set1((real)g->rows), kept = v_set1((real)g->momentum);
    const vreal taken = v_set1((real)(1 - g->momentum));
    for (ptrdiff_t c = 0; c < g->cols && g->rows > 0; c += VL) {
        const vmask in = v_first(min_size(VL, g->cols - c));
        const real *x = (const real *)g->x + c;
        const vreal mean = v_div(column_sum(g->rows, in, x, 0, v_zero()), n);
        const vreal variance = v_div(column_sum(g->rows, in, x, 1, mean), n);
        const vreal rstd = root_of(variance, g->epsilon);
        real *moving_mean = s + FNN_MOVING_MEAN * P + c, *moving = s + FNN_MOVING_VARIANCE * P + c;
        v_store_m(in, moving_mean, v_fma(v_load_m(in, moving_mean), kept, v_mul(mean, taken)));
        v_store_m(in, moving, v_fma(v_load_m(in, moving), kept, v_mul(variance, taken)));
        v_store_m(in, s + FNN_MEAN * P + c, mean);
        v_store_m(in, s + FNN_RSTD * P + c, rstd);
        scale_and_shift(g, c, in, mean, rstd, s + FNN_SCALE_BY * P, s + FNN_SHIFT_BY * P);
    }
}

static void FNN_NAME(batch_norm_calm)(const fnn_batch_norm_args *g) {
    real *s = g->state;
    for (ptrdiff_t c = 0; c < g->cols; c += VL) {
        const vmask in = v_first(min_size(VL, g->cols - c));
        const vreal rstd = root_of(v_load_m(in, s + FNN_MOVING_VARIANCE * P + c), g->epsilon);
        scale_and_shift(g, c, in, v_load_m(in, s + FNN_MOVING_MEAN * P + c), rstd,
                        s + FNN_CALM_SCALE * P, s + FNN_CALM_SHIFT * P);
    }
}

static void FNN_NAME(batch_norm_sums)(const fnn_batch_norm_args *g) {
    real *s = g->state;
    const vreal n = v_set1((real)g->rows);
    for (ptrdiff_t c = 0; c < g->cols && g->rows > 0; c += VL) {
        const vmask in = v_first(min_size(VL, g->cols - c));
        vreal mean = v_load_m(in, s + FNN_MEAN * P + c), rstd = v_load_m(in, s + FNN_RSTD * P + c);
        vreal sum, product, slope = v_zero(), offset = v_zero();
        if (g->calm) {
            mean = v_load_m(in, s + FNN_MOVING_MEAN * P + c);
            rstd = root_of(v_load_m(in, s + FNN_MOVING_VARIANCE * P + c), g->epsilon);
        }
        gradient_sums(g->rows, in, (const real *)g->x + c, (const real *)g->dy + c, NULL, mean, rstd,
                      &sum, &product);
        const vreal scale = v_mul(rstd, or_one(g->gamma, c, in));
        if (!g->calm) {
            slope = v_neg(v_mul(v_mul(scale, rstd), v_div(product, n)));
            offset = v_neg(v_mul(scale, v_div(sum, n)));
        }
        v_store_m(in, s + FNN_MEAN * P + c, mean);
        v_store_m(in, s + FNN_SCALE_BY * P + c, scale);
        v_store_m(in, s + FNN_SLOPE * P + c, slope);
        v_store_m(in, s + FNN_OFFSET * P + c, offset);
        v_store_m(in, s + FNN_DGAMMA * P + c, product);
        v_store_m(in, s + FNN_DBETA * P + c, sum);
    }
}

static void FNN_NAME(batch_norm_backward)(const fnn_batch_norm_args *g) {
    const real *s = g->state;
    for (ptrdiff_t c = 0; c < g->cols; c += VL) {
        const vmask in = v_first(min_size(VL, g->cols - c));
        const vreal mean = v_load_m(in, s + FNN_MEAN * P + c), slope = v_load_m(in, s + FNN_SLOPE * P + c);
        const vreal scale = v_load_m(in, s + FNN_SCALE_BY * P + c);
        const vreal offset = v_load_m(in, s + FNN_OFFSET * P + c);
        for (ptrdiff_t r = 0; r < g->rows; r++) {
            const vreal x = v_load_m(in, (const real *)g->x + r * P + c);
            const vreal dy = v_load_m(in, (const real *)g->dy + r * P + c);
            v_store_m(in, (real *)g->dx + r * P + c,
                      v_fma(dy, scale, v_fma(v_sub(x, mean), slope, offset)));
        }
    }
}

/* ---- PReLU: x where x > 0, else x alpha (He et al. 2015) ---- */

static void FNN_NAME(prelu)(const fnn_prelu_args *g) {
    for (ptrdiff_t c = 0; c < g->cols; c += VL) {
        const vmask in = v_first(min_size(VL, g->cols - c));
        const vreal alpha = v_load_m(in, (const real *)g->alpha + c);
        for (ptrdiff_t r = 0; r < g->rows; r++) {
            const vreal x = v_load_m(in, (const real *)g->x + r * P + c);
            v_store_m(in, (real *)g->y + r * P + c, v_select(v_gt(x, v_zero()), x, v_mul(x, alpha)));
        }
    }
}

static void FNN_NAME(prelu_backward)(const fnn_prelu_args *g) {
    for (ptrdiff_t c = 0; c < g->cols; c += VL) {
        const vmask in = v_first(min_size(VL, g->cols - c));
        const vreal alpha = v_load_m(in, (const real *)g->alpha + c), one = v_set1(1);
        for (ptrdiff_t r = 0; r < g->rows; r++) {
            const vreal x = v_load_m(in, (const real *)g->x + r * P + c);
            const vreal dy = v_load_m(in, (const real *)g->dy + r * P + c);
            const vreal slope = v_select(v_gt(x, v_zero()), one, alpha);
            v_store_m(in, (real *)g->y + r * P + c, v_mul(dy, slope));
        }
    }
}

static void FNN_NAME(prelu_gradient)(const fnn_prelu_args *g) {
    for (ptrdiff_t c = 0; c < g->cols; c += VL) {
        const vmask in = v_first(min_size(VL, g->cols - c));
        vreal total = v_zero();
        for (ptrdiff_t r0 = 0; r0 < g->rows; r0 += SUM_BLOCK) {
            const ptrdiff_t r1 = min_size(r0 + SUM_BLOCK, g->rows);
            vreal sum = v_zero();
            for (ptrdiff_t r = r0; r < r1; r++) {
                const vreal x = v_load_m(in, (const real *)g->x + r * P + c);
                const vreal dy = v_load_m(in, (const real *)g->dy + r * P + c);
                sum = v_fma(dy, v_select(v_gt(x, v_zero()), v_zero(), x), sum);
            }
            total = v_add(total, sum);
        }
        v_store_m(in, (real *)g->y + c, total);
    }
}
