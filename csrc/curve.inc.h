/* Activations whose shape numbers choose, and their derivatives, element by element.
 *
 * As in act.inc.h, an element's result depends on its value alone, not on where it lies.
 */

typedef struct {
    vreal c[FNN_CURVE_PARAMS];
} curve_numbers;

INLINE curve_numbers numbers_of(const double *param) {
    curve_numbers k;
    UNROLL(3) for (int i = 0; i < FNN_CURVE_PARAMS; i++) k.c[i] = v_set1((real)param[i]);
    return k;
}

/* slope (x - threshold) up to the threshold; 0 where the slope is, not zero times infinity */
INLINE vreal ramp_1(const curve_numbers *k, vreal x) {
    const vreal slope = k->c[0], threshold = k->c[1], highest = k->c[2];
    vmask flat = m_and(v_eq(slope, v_zero()), v_eq(x, x));
    vreal low = v_select(flat, v_zero(), v_mul(slope, v_sub(x, threshold)));
    return v_select(v_gt(x, threshold), v_min(highest, x), low);
}
INLINE vreal ramp_backward_1(const curve_numbers *k, vreal x, vreal dy) { /* NaN where x is */
    const vreal slope = k->c[0], threshold = k->c[1], highest = k->c[2];
    vreal high = v_select(v_lt(x, highest), v_set1(1), v_zero());
    vreal d = v_select(v_gt(x, threshold), high, slope);
    return v_mul(dy, v_select(v_eq(x, x), d, x));
}

INLINE vreal exp_tail_1(const curve_numbers *k, vreal x) {
    vreal tail = v_mul(k->c[0], v_expm1(v_min(v_zero(), v_mul(k->c[1], x))));
    return v_select(v_gt(x, v_zero()), x, tail);
}
INLINE vreal exp_tail_backward_1(const curve_numbers *k, vreal y, vreal dy) { /* e^(b x) = y / a + 1 */
    vreal tail = v_mul(k->c[1], v_add(y, k->c[0]));
    return v_mul(dy, v_select(v_gt(y, v_zero()), v_set1(1), tail));
}

/* two vectors at a time, so that their latencies overlap; the last one under a mask */
#define FNN_CURVE(op)                                                                            \
    static void FNN_NAME(op)(ptrdiff_t n, const double *param, const void *x_, void *y_) {       \
        const curve_numbers k = numbers_of(param);                                               \
        const real *x = x_;                                                                      \
        real *y = y_;                                                                            \
        ptrdiff_t i = 0;                                                                         \
        for (; i + 2 * VL <= n; i += 2 * VL) {                                                   \
            vreal a = op##_1(&k, v_load(x + i)), b = op##_1(&k, v_load(x + i + VL));             \
            v_store(y + i, a);                                                                   \
            v_store(y + i + VL, b);                                                              \
        }                                                                                        \
        for (; i < n; i += VL) {                                                                 \
            vmask m = v_first(min_size(VL, n - i));                                              \
            v_store_m(m, y + i, op##_1(&k, v_load_m(m, x + i)));                                 \
        }                                                                                        \
    }
FNN_CURVE(ramp)
FNN_CURVE(exp_tail)
#undef FNN_CURVE

#define FNN_CURVE_GRAD(op)                                                                       \
    static void FNN_NAME(op)(ptrdiff_t n, const double *param, const void *s_, const void *dy_,  \
                             void *dx_) {                                                        \
        const curve_numbers k = numbers_of(param);                                               \
        const real *s = s_, *dy = dy_;                                                           \
        real *dx = dx_;                                                                          \
        for (ptrdiff_t i = 0; i < n; i += VL) {                                                  \
            const ptrdiff_t part = min_size(VL, n - i);                                          \
            store_first(part, dx + i, op##_1(&k, load_first(part, s + i), load_first(part, dy + i))); \
        }                                                                                        \
    }
FNN_CURVE_GRAD(ramp_backward)
FNN_CURVE_GRAD(exp_tail_backward)
#undef FNN_CURVE_GRAD
