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
/* Lines of x that are asked for ahead then: prefetchers stop at pages' ends. */
enum { STREAM_AHEAD = 64 };

/* y[i] = f(x[i]), n <= VL */
INLINE void map_part(vreal (*f)(vreal), ptrdiff_t n, const real *x, real *y) {
    vmask m = v_first(n);
    v_store_m(m, y, f(v_load_m(m, x)));
}

/* y[i] = f(x[i]), four vectors at a time so that their latencies overlap */
INLINE void map_by(vreal (*f)(vreal), void (*store)(real *, vreal), const int ahead, ptrdiff_t n,
                   const real *x, real *y) {
    ptrdiff_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL) {
        vreal t[4];
        if (ahead) {
            UNROLL(4) for (int c = 0; c < 4 * VL; c += LINE) __builtin_prefetch(x + i + ahead * LINE + c);
        }
        UNROLL(4) for (int j = 0; j < 4; j++) t[j] = f(v_load(x + i + j * VL));
        UNROLL(4) for (int j = 0; j < 4; j++) store(y + i + j * VL, t[j]);
    }
    for (; i < n; i += VL) map_part(f, min_size(VL, n - i), x + i, y + i);
}

INLINE void map(vreal (*f)(vreal), ptrdiff_t n, const real *x, real *y) {
    if (n < STREAM_BYTES / (ptrdiff_t)sizeof(real) || x == y) {
        map_by(f, v_store, 0, n, x, y);
    } else { /* from a vector's boundary on */
        const ptrdiff_t first = (ptrdiff_t)(-(uintptr_t)y % sizeof(vreal) / sizeof(real));
        map_part(f, first, x, y);
        map_by(f, v_stream, STREAM_AHEAD, n - first, x + first, y + first);
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

/* The derivatives: op_backward_1(s, dy) for one vector. */
INLINE vreal sigmoid_backward_1(vreal y, vreal dy) {
    return v_mul(dy, v_mul(y, v_sub(v_set1(1), y)));
}
INLINE vreal tanh_backward_1(vreal y, vreal dy) { return v_mul(dy, v_fnma(y, y, v_set1(1))); }
INLINE vreal relu_backward_1(vreal y, vreal dy) { /* NaN where y is */
    return v_select(v_gt(y, v_zero()), dy, v_relu(y));
}
/* dy where f has a slope, low < y < high, else 0; NaN where y is */
INLINE vreal clip_backward(real low, real high, vreal y, vreal dy) {
    vmask within = m_and(v_gt(y, v_set1(low)), v_lt(y, v_set1(high)));
    return v_select(within, dy, v_sub(y, y));
}
INLINE vreal relu6_backward_1(vreal y, vreal dy) { return clip_backward(0, 6, y, dy); }
INLINE vreal hard_tanh_backward_1(vreal y, vreal dy) { return clip_backward(-1, 1, y, dy); }
INLINE vreal hard_sigmoid_backward_1(vreal y, vreal dy) {
    return clip_backward(0, 1, y, v_mul(dy, v_set1((real)(1.0 / 6))));
}
INLINE vreal leaky_relu_backward_1(vreal y, vreal dy) {
    vreal slope = v_select(v_eq(y, y), v_set1((real)LEAKY_SLOPE), y);
    return v_mul(dy, v_select(v_gt(y, v_zero()), v_set1(1), slope));
}
INLINE vreal elu_backward_1(vreal y, vreal dy) { /* e^x = y + 1 */
    return v_mul(dy, v_select(v_gt(y, v_zero()), v_set1(1), v_add(y, v_set1(1))));
}
INLINE vreal selu_backward_1(vreal y, vreal dy) {
    vreal falling = v_add(y, v_set1(SELU_LOWEST));
    return v_mul(dy, v_select(v_gt(y, v_zero()), v_set1((real)SELU_SCALE), falling));
}
INLINE vreal softsign_backward_1(vreal y, vreal dy) { /* 1 / (1 + |x|) = 1 - |y| */
    vreal t = v_sub(v_set1(1), v_abs(y));
    return v_mul(dy, v_mul(t, t));
}
INLINE vreal exp_backward_1(vreal y, vreal dy) { return v_mul(dy, y); }
INLINE vreal log_backward_1(vreal y, vreal dy) { return v_mul(dy, v_exp(v_neg(y))); } /* 1/x */
/* sigmoid(x) = 1 - e^-y */
INLINE vreal softplus_backward_1(vreal y, vreal dy) {
    return v_mul(dy, v_neg(v_expm1(v_neg(y))));
}
INLINE vreal log_sigmoid_backward_1(vreal y, vreal dy) {
    return softplus_backward_1(v_neg(y), dy);
}
INLINE vreal hard_silu_backward_1(vreal x, vreal dy) { /* relu(NaN) is NaN */
    vreal slope = v_fma(x, v_set1((real)(1.0 / 3)), v_set1((real)0.5));
    slope = v_select(v_lt(x, v_set1(3)), slope, v_set1(1));
    return v_mul(dy, v_select(v_gt(x, v_set1(-3)), slope, v_relu(x)));
}
/* of x sigmoid(g): sigmoid(g) (1 + x g' sigmoid(-g)) */
INLINE vreal gate_backward(vreal g, vreal x_dg, vreal dy) {
    vreal one = v_set1(1), z = v_exp_fall(g), q = v_div(z, v_add(one, z)), p = v_sub(one, q);
    vmask negative = v_lt(g, v_zero());
    vreal s = v_select(negative, q, p), t = v_select(negative, p, q);
    return v_mul(dy, v_mul(s, v_fma(x_dg, t, one)));
}
/* what follows bounds x where f' is 0 or 1: infinity times zero is not meant */
INLINE vreal silu_backward_1(vreal x, vreal dy) {
    x = v_clip(EXP_LOW, -EXP_LOW, x);
    return gate_backward(x, x, dy);
}
INLINE vreal gelu_tanh_backward_1(vreal x, vreal dy) {
    x = v_clip(-GELU_TANH_HIGH, GELU_TANH_HIGH, x);
    vreal c1 = v_set1(GELU_C1), t = v_mul(v_set1(GELU_C3), v_mul(x, x));
    return gate_backward(v_mul(x, v_add(c1, t)), v_mul(x, v_fma(v_set1(3), t, c1)), dy);
}
/* Phi(x) + x phi(x); of -|x|, and 1 - that for the others */
INLINE vreal gelu_backward_1(vreal x, vreal dy) {
    vreal n, a = v_min(v_set1(GELU_HIGH), v_abs(x)), m = v_gauss(a, &n);
    vreal fall = v_fnma(v_set1((real)0.39894228040143268), a, v_mills(a)); /* 1 / sqrt(2 pi) */
    fall = v_scale(v_mul(m, fall), n);
    return v_mul(dy, v_select(v_lt(x, v_zero()), fall, v_sub(v_set1(1), fall)));
}
/* t + x (1 - t^2) sigmoid(x), t = tanh(log(1 + e^x)) = num / den; 1 - t^2 = 4 (v + vz)^2 / den^2 with
 * v = 1 for negative x, z = e^-|x| for the others, and sigmoid(x) = z / v / (1 + z) */
INLINE vreal mish_backward_1(vreal x, vreal dy) {
    x = v_clip(EXP_LOW, -EXP_LOW, x);
    vreal den, one = v_set1(1), z = v_exp_fall(x);
    vmask negative = v_lt(x, v_zero());
    vreal rest = v_mish_parts(negative, z, &den), num = v_sub(den, rest);
    num = v_select(negative, v_mul(z, num), num);
    vreal vz = v_select(negative, z, v_mul(z, z));
    vreal rise = v_mul(v_mul(v_mul(v_set1(4), x), vz), v_add(one, z));
    return v_mul(dy, v_div(v_fma(num, den, rise), v_mul(den, den)));
}

#define FNN_UNARY(op) \
    static void FNN_NAME(op)(ptrdiff_t n, const void *x, void *y) { map(v_##op, n, x, y); }
FNN_UNARY(sigmoid)
FNN_UNARY(tanh)
FNN_UNARY(relu)
FNN_UNARY(relu6)
FNN_UNARY(leaky_relu)
FNN_UNARY(elu)
FNN_UNARY(selu)
FNN_UNARY(exp)
FNN_UNARY(log)
FNN_UNARY(softplus)
FNN_UNARY(log_sigmoid)
FNN_UNARY(softsign)
FNN_UNARY(hard_tanh)
FNN_UNARY(hard_sigmoid)
FNN_UNARY(hard_silu)
FNN_UNARY(silu)
FNN_UNARY(gelu)
FNN_UNARY(gelu_tanh)
FNN_UNARY(mish)
#undef FNN_UNARY

#define FNN_GRAD(op) \
    static void FNN_NAME(op##_backward)(ptrdiff_t n, const void *s, const void *dy, void *dx) { \
        map2(op##_backward_1, n, s, dy, dx); \
    }
FNN_GRAD(sigmoid)
FNN_GRAD(tanh)
FNN_GRAD(relu)
FNN_GRAD(relu6)
FNN_GRAD(leaky_relu)
FNN_GRAD(elu)
FNN_GRAD(selu)
FNN_GRAD(exp)
FNN_GRAD(log)
FNN_GRAD(softplus)
FNN_GRAD(log_sigmoid)
FNN_GRAD(softsign)
FNN_GRAD(hard_tanh)
FNN_GRAD(hard_sigmoid)
FNN_GRAD(hard_silu)
FNN_GRAD(silu)
FNN_GRAD(gelu)
FNN_GRAD(gelu_tanh)
FNN_GRAD(mish)
#undef FNN_GRAD

#if defined __GNUC__ && !defined __clang__
#pragma GCC pop_options
#endif

#include "softmax.inc.h"
