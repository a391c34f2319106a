/* Activations and their derivatives, element by element and, for softmax, row by row.
 *
 * An element's result depends on its value alone, not on where it lies: the last, partial vector
 * goes through the same arithmetic under a mask. So a matrix may be cut anywhere.
 */
#include "math.inc.h"

/* On x86, gcc schedules after it has given out registers only, and leaves the chains of map's four
 * vectors one after another: more than the CPU's scheduler holds at once. Interleaved, sigmoid is a
 * fifth faster. (Not for the file: register tiles of the products get slower.) */
#if defined __GNUC__ && !defined __clang__
#pragma GCC push_options
#pragma GCC optimize("schedule-insns", "sched-pressure")
#endif

/* Bytes of one call's y from which on it is written past the caches, whose 32 MiB x and y would fill:
 * a line that is written whole need not be read first, a quarter less traffic than a plain copy. */
enum { STREAM_BYTES = 16 << 20 };

/* y[i] = f(x[i]), n <= VL */
INLINE void map_part(vreal (*f)(vreal), ptrdiff_t n, const real *x, real *y) {
    vmask m = v_first(n);
    v_store_m(m, y, f(v_load_m(m, x)));
}

/* y[i] = f(x[i]), four vectors at a time so that their latencies overlap */
INLINE void map_by(vreal (*f)(vreal), void (*store)(real *, vreal), ptrdiff_t n, const real *x, real *y) {
    ptrdiff_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL) {
        vreal t[4];
        UNROLL(4) for (int j = 0; j < 4; j++) t[j] = f(v_load(x + i + j * VL));
        UNROLL(4) for (int j = 0; j < 4; j++) store(y + i + j * VL, t[j]);
    }
    for (; i < n; i += VL) map_part(f, min_size(VL, n - i), x + i, y + i);
}

INLINE void map(vreal (*f)(vreal), ptrdiff_t n, const real *x, real *y) {
    if (n < STREAM_BYTES / (ptrdiff_t)sizeof(real) || x == y) {
        map_by(f, v_store, n, x, y);
    } else { /* from a vector's boundary on */
        const ptrdiff_t first = (ptrdiff_t)(-(uintptr_t)y % sizeof(vreal) / sizeof(real));
        map_part(f, first, x, y);
        map_by(f, v_stream, n - first, x + first, y + first);
        v_fence();
    }
}

/* dx[i] = f(s[i], dy[i]) */
INLINE void map2(vreal (*f)(vreal, vreal), ptrdiff_t n, const real *s, const real *dy, real *dx) {
    ptrdiff_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        vreal a = f(v_load(s + i), v_load(dy + i));
        vreal b = f(v_load(s + i + VL), v_load(dy + i + VL));
        v_store(dx + i, a);
        v_store(dx + i + VL, b);
    }
    for (; i < n; i += VL) {
        vmask m = v_first(min_size(VL, n - i));
        v_store_m(m, dx + i, f(v_load_m(m, s + i), v_load_m(m, dy + i)));
    }
}

/* v_max returns its second argument where one is NaN: relu(NaN) is NaN */
INLINE vreal v_relu(vreal x) { return v_max(v_zero(), x); }

/* The derivatives: op_backward_1(s, dy) for one vector. */
INLINE vreal sigmoid_backward_1(vreal y, vreal dy) {
    return v_mul(dy, v_mul(y, v_sub(v_set1(1), y)));
}
INLINE vreal tanh_backward_1(vreal y, vreal dy) { return v_mul(dy, v_fnma(y, y, v_set1(1))); }
INLINE vreal relu_backward_1(vreal y, vreal dy) { /* NaN where y is */
    return v_select(v_gt(y, v_zero()), dy, v_relu(y));
}
INLINE vreal exp_backward_1(vreal y, vreal dy) { return v_mul(dy, y); }
INLINE vreal log_backward_1(vreal y, vreal dy) { return v_mul(dy, v_exp(v_neg(y))); } /* 1/x */
/* sigmoid(x) = 1 - e^-y */
INLINE vreal softplus_backward_1(vreal y, vreal dy) {
    return v_mul(dy, v_neg(v_expm1(v_neg(y))));
}
/* sigmoid(x) (1 + x sigmoid(-x)) */
INLINE vreal silu_backward_1(vreal x, vreal dy) {
    vreal bound = v_set1(-EXP_LOW), one = v_set1(1);
    x = v_min(bound, v_max(v_neg(bound), x)); /* infinity times zero is not meant */
    vreal z = v_exp_fall(x), q = v_div(z, v_add(one, z)), p = v_sub(one, q);
    vmask negative = v_lt(x, v_zero());
    vreal s = v_select(negative, q, p), t = v_select(negative, p, q);
    return v_mul(dy, v_mul(s, v_fma(x, t, one)));
}

#define FNN_UNARY(op) \
    static void FNN_NAME(op)(ptrdiff_t n, const void *x, void *y) { map(v_##op, n, x, y); }
FNN_UNARY(sigmoid)
FNN_UNARY(tanh)
FNN_UNARY(relu)
FNN_UNARY(exp)
FNN_UNARY(log)
FNN_UNARY(softplus)
FNN_UNARY(silu)
#undef FNN_UNARY

#define FNN_GRAD(op) \
    static void FNN_NAME(op##_backward)(ptrdiff_t n, const void *s, const void *dy, void *dx) { \
        map2(op##_backward_1, n, s, dy, dx); \
    }
FNN_GRAD(sigmoid)
FNN_GRAD(tanh)
FNN_GRAD(relu)
FNN_GRAD(exp)
FNN_GRAD(log)
FNN_GRAD(softplus)
FNN_GRAD(silu)
#undef FNN_GRAD

#if defined __GNUC__ && !defined __clang__
#pragma GCC pop_options
#endif

#include "softmax.inc.h"
