/* Activations that take numbers, and their derivatives, against long double. */
#include <float.h>
#include <math.h>

#include "tests.h"

static long double ramp(const double *c, long double x) {
    if (x > c[1]) return fminl(x, c[2]);
    return c[0] == 0 && !isnan(x) ? 0 : c[0] * (x - c[1]);
}
static long double d_ramp(const double *c, long double x) { return x > c[1] ? x < c[2] : c[0]; }

static long double exp_tail(const double *c, long double x) {
    return x > 0 ? x : c[0] * expm1l(c[1] * x);
}
static long double d_exp_tail(const double *c, long double y) { return y > 0 ? 1 : c[1] * (y + c[0]); }

const curve_spec spec_ramp = {ramp, 2}, spec_exp_tail = {exp_tail, 4};
const curve_grad_spec spec_ramp_backward = {d_ramp, 2, 0, 0};
const curve_grad_spec spec_exp_tail_backward = {d_exp_tail, 4, 4, 1};

/* numbers that every dtype has, so that thresholds are the same; as those of both curves */
static const double params[][FNN_CURVE_PARAMS] = {
    {0, 0, 2}, {0.25, 0, INFINITY}, {0.5, 1, 4}, {0, 2.5, INFINITY}, {1, 0.125, 0.0625}, {2, 8, 1}};
enum { PARAMS = sizeof params / sizeof *params };

static double value(kernels k, ptrdiff_t i) {
    const double max = k->itemsize == sizeof(float) ? (double)FLT_MAX : DBL_MAX;
    const double special[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1, 2.5, 4, 2, max, -max,
                              smallest(k), -smallest(k)};
    if (i % 3 == 2) return special[i / 3 % (ptrdiff_t)(sizeof special / sizeof *special)];
    return uniform(-1, 1) * exp2(uniform(-10, 6));
}

static double unit(kernels k, double x) {
    return isfinite(x) && x != 0 ? fmax(ldexp(epsilon(k), ilogb(x)), smallest(k)) : smallest(k);
}

/* exp_tail has a height and a rate > 0 */
static const double *numbers(const char *name, int i, double *own) {
    for (int j = 0; j < FNN_CURVE_PARAMS; j++) own[j] = params[i][j];
    if (name[0] == 'e') own[1] += 0.25;
    return own;
}

static void curve_case(kernels k, const char *name, fnn_curve f, const curve_spec *spec,
                       enum side side, ptrdiff_t n, int i) {
    double own[FNN_CURVE_PARAMS];
    const double *c = numbers(name, i, own);
    begin_case(k, side, "%s {%g, %g, %g} n %td", name, c[0], c[1], c[2], n);
    array *x = new_reals(n), *y = new_reals(n), *cut = new_reals(n), *in_place = new_reals(n);
    for (ptrdiff_t j = 0; j < n; j++) {
        put(x, j, value(k, j));
        put(in_place, j, get(x, j));
        double want = (double)spec->f(c, get(x, j));
        if (isinf(rounded(k, want))) want = rounded(k, want);
        expect(y, j, want, spec->ulp * unit(k, want));
    }
    f(n, c, at(x, 0), at(y, 0));
    f(n / 3, c, at(x, 0), at(cut, 0));
    f(n - n / 3, c, at(x, n / 3), at(cut, n / 3));
    f(n, c, at(in_place, 0), at(in_place, 0));
    expect_same(cut, y);
    expect_same(in_place, y);
    end_case();
}

static void curve_grad_case(kernels k, const char *name, fnn_curve_grad f, const curve_grad_spec *spec,
                            enum side side, ptrdiff_t n, int i) {
    double own[FNN_CURVE_PARAMS];
    const double *c = numbers(name, i, own);
    begin_case(k, side, "%s {%g, %g, %g} n %td", name, c[0], c[1], c[2], n);
    array *s = new_random(n, spec->of_output ? -c[0] : -5, 5), *dy = new_random(n, -2, 2);
    array *dx = new_reals(n), *cut = new_reals(n), *in_place = new_reals(n);
    for (ptrdiff_t j = 0; j < n; j++) {
        if (j % 7 == 3) put(s, j, j % 2 ? NAN : c[1]);
        if (j % 7 == 5) put(s, j, c[2]);
        put(in_place, j, get(dy, j));
        const double slope = isnan(get(s, j)) ? NAN : (double)spec->f(c, get(s, j)), g = get(dy, j);
        const double bound = epsilon(k) * (spec->ulp * fabs(slope) + spec->absolute);
        expect(dx, j, g * slope, fabs(g) * bound + 4 * smallest(k));
    }
    f(n, c, at(s, 0), at(dy, 0), at(dx, 0));
    f(n / 3, c, at(s, 0), at(dy, 0), at(cut, 0));
    f(n - n / 3, c, at(s, n / 3), at(dy, n / 3), at(cut, n / 3));
    f(n, c, at(s, 0), at(in_place, 0), at(in_place, 0));
    expect_same(cut, dx);
    expect_same(in_place, dx);
    end_case();
}

#define FOR_CASES(k)                                                                          \
    const ptrdiff_t v = (k)->vl;                                                                 \
    const ptrdiff_t sizes[] = {0, 1, v - 1, v, v + 1, 2 * v - 1, 2 * v, 2 * v + 1, 5 * v + 3, 500}; \
    for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)                                    \
        for (int side = 0; side < SIDES; side++)                                                 \
            for (int i = 0; i < PARAMS; i++)

void test_curve(kernels k, const char *name, fnn_curve f, const curve_spec *spec) {
    FOR_CASES(k) curve_case(k, name, f, spec, (enum side)side, sizes[j], i);
}

void test_curve_grad(kernels k, const char *name, fnn_curve_grad f, const curve_grad_spec *spec) {
    FOR_CASES(k) curve_grad_case(k, name, f, spec, (enum side)side, sizes[j], i);
}
