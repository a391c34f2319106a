/* The worst error of the elementary functions, in units of the last place, on each ISA of this CPU.
 *
 *     ulp <kernel|all> [stride]
 *
 * float32: every stride-th bit pattern (1, the default: all of them, minutes) against the C library
 * in double. float64: SAMPLES / stride random patterns, half of them with |x| in [2^-60, 2^11),
 * against long double. The unit is the spacing of the dtype at the true value, for a subnormal one
 * the smallest subnormal: a correctly rounded result is within 0.5. A NaN must meet a NaN. Exit
 * status 1 where a bound is exceeded.
 */
#include "../fnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

#define BLOCK 4096
#define SAMPLES (1L << 24)

/* The true functions in a type wider than the kernels'. */
#define REFERENCES(wide)                                                                     \
    static wide exp_##wide(wide x) { return exp(x); }                                        \
    static wide log_##wide(wide x) { return log(x); }                                        \
    static wide tanh_##wide(wide x) { return tanh(x); }                                      \
    static wide sigmoid_##wide(wide x) {                                                     \
        wide z = exp(-fabs(x));                                                              \
        return (x < 0 ? z : 1) / (1 + z);                                                    \
    }                                                                                        \
    static wide softplus_##wide(wide x) { return fmax(x, (wide)0) + log1p(exp(-fabs(x))); }  \
    static wide log_sigmoid_##wide(wide x) { return -softplus_##wide(-x); }                  \
    static wide silu_##wide(wide x) {                                                        \
        return x < -5000 ? (wide)0 : x * sigmoid_##wide(x); /* the limit, not infinity * 0 */ \
    }                                                                                        \
    static wide gelu_##wide(wide x) {                                                        \
        return x < -5000 ? (wide)0 : x * (erfc(-x / sqrt((wide)2)) / 2);                     \
    }                                                                                        \
    static wide gelu_tanh_##wide(wide x) {                                                   \
        const wide c = (wide)1.5957691216057307117597842397375L; /* sqrt(8 / pi) */          \
        return x < -5000 ? (wide)0 : x * sigmoid_##wide(c * x * (1 + (wide)0.044715L * x * x)); \
    }                                                                                        \
    static wide mish_##wide(wide x) {                                                        \
        return x < -5000 ? (wide)0 : x * tanh(softplus_##wide(x));                           \
    }                                                                                        \
    static wide elu_##wide(wide x) { return x > 0 ? x : expm1(x); }                          \
    static wide selu_##wide(wide x) {                                                        \
        const wide scale = (wide)1.0507009873554804934193349852946L;                         \
        const wide alpha = (wide)1.6732632423543772848170429916717L;                         \
        return scale * (x > 0 ? x : alpha * expm1(x));                                       \
    }                                                                                        \
    static wide softsign_##wide(wide x) {                                                    \
        return isinf(x) ? copysign((wide)1, x) : x / (1 + fabs(x));                          \
    }                                                                                        \
    static wide hard_sigmoid_##wide(wide x) {                                                \
        return isnan(x) ? x : fmin((wide)6, fmax((wide)0, x + 3)) / 6;                       \
    }                                                                                        \
    static wide hard_silu_##wide(wide x) { return x < -3 ? (wide)0 : x * hard_sigmoid_##wide(x); }

typedef long double extended;
REFERENCES(double)
REFERENCES(extended)

typedef struct {
    const char *name;
    size_t field; /* of fnn_kernels */
    double bound;
    double (*f32)(double);
    extended (*f64)(extended);
} function;

#define FUNCTION(name, bound) \
    {#name, offsetof(fnn_kernels, name), bound, name##_double, name##_extended}

static const function functions[] = {
    FUNCTION(exp, 2),          FUNCTION(log, 2),          FUNCTION(tanh, 2),
    FUNCTION(sigmoid, 2),      FUNCTION(softplus, 2),     FUNCTION(log_sigmoid, 2),
    FUNCTION(elu, 2),          FUNCTION(selu, 2),         FUNCTION(softsign, 2),
    FUNCTION(hard_sigmoid, 2), FUNCTION(hard_silu, 4),    FUNCTION(silu, 4),
    FUNCTION(gelu, 5), /* 4 where there is an FMA */
    FUNCTION(gelu_tanh, 4),    FUNCTION(mish, 4),
};
#define FUNCTIONS (sizeof functions / sizeof *functions)

typedef struct {
    double ulp, x;
} worst;

/* whether this CPU runs the ISA and it has a table of its own, not that of the one before */
static int has_own(int isa, int dtype) {
    const fnn_kernels *k = fnn_get_kernels((enum fnn_isa)isa, (enum fnn_dtype)dtype);
    return k && (isa == 0 || k != fnn_get_kernels((enum fnn_isa)(isa - 1), (enum fnn_dtype)dtype));
}

static void apply(const function *f, int isa, int dtype, const void *x, void *y) {
    fnn_unary kernel;
    const char *table = (const char *)fnn_get_kernels((enum fnn_isa)isa, (enum fnn_dtype)dtype);
    memcpy(&kernel, table + f->field, sizeof kernel);
    kernel(BLOCK, x, y);
}

/* |got - want| in units of a number with `digits` bits of mantissa and least exponent `low`; an
 * overflow counts as the power of two `high` where the numbers end */
static double error(extended got, extended want, int digits, int low, int high) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (got == want) return 0;
    extended end = ldexp((extended)1, high);
    got = fmax(-end, fmin(end, got));
    want = fmax(-end, fmin(end, want));
    int exponent = want == 0 ? low : ilogb(want);
    if (exponent < low) exponent = low;
    return (double)ldexp(fabs(got - want), digits - 1 - exponent);
}

/* the same for float32 in double, quickly: normal results by the exponent's bits */
static double error_f32(float got, double want) {
    if (got == want) return 0;
    uint64_t bits;
    memcpy(&bits, &want, sizeof bits);
    int exponent = (int)(bits >> 52 & 0x7ff) - 1023;
    if (exponent > 126 || exponent < -126) return error(got, want, 24, -126, 128);
    bits = (uint64_t)(23 - exponent + 1023) << 52; /* 1 / unit */
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    double e = fabs(got - want) * scale;
    return e == e ? e : INFINITY;
}

static void keep_worst(worst *w, double ulp, double x) {
    if (ulp > w->ulp) *w = (worst){ulp, x};
}

static void sweep_f32(const function *f, uint64_t stride, worst *w) {
    float x[BLOCK], y[BLOCK];
    double want[BLOCK];
    for (uint64_t first = 0; first < UINT64_C(1) << 32; first += BLOCK * stride) {
        for (int i = 0; i < BLOCK; i++) {
            uint32_t bits = (uint32_t)(first + (uint64_t)i * stride); /* the end wraps around */
            memcpy(&x[i], &bits, sizeof bits);
            want[i] = f->f32(x[i]);
        }
        for (int isa = 0; isa < FNN_ISAS; isa++) {
            if (!has_own(isa, FNN_FLOAT32)) continue;
            apply(f, isa, FNN_FLOAT32, x, y);
            for (int i = 0; i < BLOCK; i++) keep_worst(&w[isa], error_f32(y[i], want[i]), x[i]);
        }
    }
}

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void sweep_f64(const function *f, uint64_t stride, worst *w) {
    double x[BLOCK], y[BLOCK];
    extended want[BLOCK];
    uint64_t state = 1;
    for (long n = 0; n < SAMPLES / (long)stride; n += BLOCK) {
        for (int i = 0; i < BLOCK; i++) {
            uint64_t bits = next_random(&state);
            memcpy(&x[i], &bits, sizeof bits);
            if (i % 2) x[i] = ldexp(frexp(x[i], &(int){0}), (int)(bits % 71) - 59);
            want[i] = f->f64(x[i]);
        }
        for (int isa = 0; isa < FNN_ISAS; isa++) {
            if (!has_own(isa, FNN_FLOAT64)) continue;
            apply(f, isa, FNN_FLOAT64, x, y);
            for (int i = 0; i < BLOCK; i++)
                keep_worst(&w[isa], error(y[i], want[i], 53, -1022, 1024), x[i]);
        }
    }
}

/* returns whether every ISA keeps the bound */
static int report(const function *f, const char *dtype, const worst *w) {
    int good = 1;
    for (int isa = 0; isa < FNN_ISAS; isa++) {
        if (!has_own(isa, FNN_FLOAT32)) continue;
        int within = w[isa].ulp <= f->bound;
        printf("%-12s %s %-7s %8.4f ulp at %a%s\n", f->name, dtype, fnn_isa_name((enum fnn_isa)isa),
               w[isa].ulp, w[isa].x, within ? "" : "  EXCEEDS THE BOUND");
        good &= within;
    }
    fflush(stdout);
    return good;
}

int main(int argc, char **argv) {
    const long stride = argc > 2 ? strtol(argv[2], NULL, 10) : 1;
    int known = 0, good = 1;
    for (size_t i = 0; argc > 1 && stride > 0 && i < FUNCTIONS; i++) {
        const function *f = &functions[i];
        if (strcmp(argv[1], "all") != 0 && strcmp(argv[1], f->name) != 0) continue;
        worst f32[FNN_ISAS] = {{0}}, f64[FNN_ISAS] = {{0}};
        known = 1;
        sweep_f32(f, (uint64_t)stride, f32);
        good &= report(f, "f32", f32);
        sweep_f64(f, (uint64_t)stride, f64);
        good &= report(f, "f64", f64);
    }
    if (!known) {
        fprintf(stderr, "usage: %s <kernel|all> [stride >= 1]\n", argv[0]);
        return 2;
    }
    return !good;
}
