/* Activations, their derivatives and softmax against long double. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests.h"

static long double sigmoid(long double x) { return 1 / (1 + expl(-x)); }
static long double relu(long double x) { return x > 0 || isnan(x) ? x : 0; }
static long double softplus(long double x) { return (x > 0 ? x : 0) + log1pl(expl(-fabsl(x))); }
static long double silu(long double x) { return x < -2000 ? -0.0L : x * sigmoid(x); }
static long double clip(long double low, long double high, long double x) {
    return isnan(x) ? x : fminl(high, fmaxl(low, x));
}
static long double relu6(long double x) { return clip(0, 6, x); }
static long double hard_tanh(long double x) { return clip(-1, 1, x); }
static long double hard_sigmoid(long double x) { return clip(0, 6, x + 3) / 6; }
static long double hard_silu(long double x) { return x < -3 ? 0 : x * hard_sigmoid(x); }
static long double leaky_relu(long double x) { return x > 0 ? x : 0.2L * x; }
static long double elu(long double x) { return x > 0 ? x : expm1l(x); }
static const long double SELU_SCALE = 1.0507009873554804934193349852946L;
static const long double SELU_LOWEST = SELU_SCALE * 1.6732632423543772848170429916717L;
static long double selu(long double x) { return x > 0 ? SELU_SCALE * x : SELU_LOWEST * expm1l(x); }
static long double log_sigmoid(long double x) { return -softplus(-x); }
static long double softsign(long double x) { return isinf(x) ? copysignl(1, x) : x / (1 + fabsl(x)); }
static long double phi(long double x) { return expl(-x * x / 2) * 0.398942280401432677939946L; }
static long double Phi(long double x) { return erfcl(-x * sqrtl(0.5L)) / 2; }
static long double gelu(long double x) { return x < -2000 ? -0.0L : x * Phi(x); }
static const long double GELU_C = 1.59576912160573071175978L; /* 2 sqrt(2 / pi) */
static long double gelu_tanh(long double x) {
    return x < -2000 ? -0.0L : x * sigmoid(GELU_C * x * (1 + 0.044715L * x * x));
}
static long double mish(long double x) { return x < -2000 ? -0.0L : x * tanhl(softplus(x)); }

const unary_spec spec_sigmoid = {sigmoid, 2, 0};
const unary_spec spec_tanh = {tanhl, 2, 0};
const unary_spec spec_relu = {relu, 0, 0};
const unary_spec spec_exp = {expl, 2, 0};
const unary_spec spec_log = {logl, 2, 0};
const unary_spec spec_softplus = {softplus, 2, 0};
const unary_spec spec_silu = {silu, 4, 0};
const unary_spec spec_relu6 = {relu6, 0, 0};
const unary_spec spec_hard_tanh = {hard_tanh, 0, 0};
const unary_spec spec_hard_sigmoid = {hard_sigmoid, 2, 0};
const unary_spec spec_hard_silu = {hard_silu, 4, 0};
const unary_spec spec_leaky_relu = {leaky_relu, 2, 0};
const unary_spec spec_elu = {elu, 2, 0};
const unary_spec spec_selu = {selu, 2, 0};
const unary_spec spec_log_sigmoid = {log_sigmoid, 2, 0};
const unary_spec spec_softsign = {softsign, 2, 0};
const unary_spec spec_gelu = {gelu, 5, 0};
const unary_spec spec_gelu_tanh = {gelu_tanh, 4, 0};
const unary_spec spec_mish = {mish, 4, 0};

static long double d_sigmoid(long double y) { return y * (1 - y); }
static long double d_tanh(long double y) { return 1 - y * y; }
static long double d_relu(long double y) { return y > 0; }
static long double d_exp(long double y) { return y; }
static long double d_log(long double y) { return expl(-y); }
static long double d_softplus(long double y) { return -expm1l(-y); }
static long double d_silu(long double x) { return sigmoid(x) * (1 + x * sigmoid(-x)); }
static long double d_relu6(long double y) { return y > 0 && y < 6; }
static long double d_hard_tanh(long double y) { return fabsl(y) < 1; }
static long double d_hard_sigmoid(long double y) { return y > 0 && y < 1 ? 1 / 6.0L : 0; }
static long double d_hard_silu(long double x) { return fabsl(x) < 3 ? x / 3 + 0.5L : x > 0; }
static long double d_leaky_relu(long double y) { return y > 0 ? 1 : 0.2L; }
static long double d_elu(long double y) { return y > 0 ? 1 : y + 1; }
static long double d_selu(long double y) { return y > 0 ? SELU_SCALE : y + SELU_LOWEST; }
static long double d_log_sigmoid(long double y) { return -expm1l(y); }
static long double d_softsign(long double y) { return (1 - fabsl(y)) * (1 - fabsl(y)); }
static long double d_gelu(long double x) { return Phi(x) + x * phi(x); }
static long double d_gelu_tanh(long double x) {
    const long double g = GELU_C * x * (1 + 0.044715L * x * x);
    return sigmoid(g) * (1 + GELU_C * x * (1 + 3 * 0.044715L * x * x) * sigmoid(-g));
}
static long double d_mish(long double x) {
    const long double t = tanhl(softplus(x));
    return t + x * (1 - t * t) * sigmoid(x);
}

const grad_spec spec_sigmoid_backward = {d_sigmoid, 4, 0, 0, 1};
const grad_spec spec_tanh_backward = {d_tanh, 4, 1, -1, 1};
const grad_spec spec_relu_backward = {d_relu, 0, 0, -1, 1};
const grad_spec spec_exp_backward = {d_exp, 1, 0, 0, 100};
const grad_spec spec_log_backward = {d_log, 4, 0, -80, 80};
const grad_spec spec_softplus_backward = {d_softplus, 4, 0, 0, 40};
const grad_spec spec_silu_backward = {d_silu, 8, 2, -80, 80};
const grad_spec spec_relu6_backward = {d_relu6, 0, 0, 0, 6};
const grad_spec spec_hard_tanh_backward = {d_hard_tanh, 0, 0, -1, 1};
const grad_spec spec_hard_sigmoid_backward = {d_hard_sigmoid, 2, 0, 0, 1};
const grad_spec spec_hard_silu_backward = {d_hard_silu, 4, 2, -5, 5};
const grad_spec spec_leaky_relu_backward = {d_leaky_relu, 2, 0, -1, 1};
const grad_spec spec_elu_backward = {d_elu, 2, 0, -1, 1};
const grad_spec spec_selu_backward = {d_selu, 2, 2, -1.7578125, 1};
const grad_spec spec_log_sigmoid_backward = {d_log_sigmoid, 4, 0, -40, 0};
const grad_spec spec_softsign_backward = {d_softsign, 8, 0, -1, 1};
const grad_spec spec_gelu_backward = {d_gelu, 8, 4, -80, 80};
const grad_spec spec_gelu_tanh_backward = {d_gelu_tanh, 8, 8, -80, 80};
const grad_spec spec_mish_backward = {d_mish, 8, 4, -80, 80};

static double ulp(kernels k, double x) {
    return isfinite(x) && x != 0 ? fmax(ldexp(epsilon(k), ilogb(x)), smallest(k)) : smallest(k);
}

/* magnitudes from far below 1 to past every threshold, and the special values */
static double wide_value(kernels k, ptrdiff_t i) {
    const double max = k->itemsize == sizeof(float) ? (double)FLT_MAX : DBL_MAX;
    const double special[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, smallest(k), -smallest(k),
                              max, -max, max / 2, 1, -1, 709.5, -745, 88.5, -103.5, -87.5, 9.5};
    if (i % 5 == 4) return special[i / 5 % (ptrdiff_t)(sizeof special / sizeof *special)];
    return uniform(-1, 1) * exp2(uniform(-12, 8));
}

static void unary_case(kernels k, const char *name, fnn_unary f, const unary_spec *spec, enum side side,
                       ptrdiff_t n) {
    begin_case(k, side, "%s n %td", name, n);
    array *x = new_reals(n), *y = new_reals(n), *cut = new_reals(n), *in_place = new_reals(n);
    for (ptrdiff_t i = 0; i < n; i++) {
        put(x, i, wide_value(k, i));
        put(in_place, i, get(x, i));
        double want = (double)spec->f(get(x, i));
        if (isinf(rounded(k, want))) want = rounded(k, want);
        expect(y, i, want, spec->ulp * ulp(k, want));
    }
    f(n, at(x, 0), at(y, 0));
    f(n / 3, at(x, 0), at(cut, 0));
    f(n - n / 3, at(x, n / 3), at(cut, n / 3));
    f(n, at(in_place, 0), at(in_place, 0));
    expect_same(cut, y);
    expect_same(in_place, y);
    end_case();
}

/* So many bytes that y is written past the caches, from an odd address: the bits are those of a small
 * array, again and again, and what lies before and after y stays zero. */
static void large_case(kernels k, const char *name, fnn_unary f) {
    enum { LARGE = 17 << 20, PERIOD = 1021 };
    const size_t item = (size_t)k->itemsize, period = PERIOD * item, bytes = LARGE / period * period;
    begin_case(k, GUARD_AFTER, "%s of %zu bytes", name, bytes);
    array *x = new_random(PERIOD, -9, 9), *y = new_reals(PERIOD);
    char *from = malloc(bytes), *to = calloc(bytes + 2 * item, 1);
    if (!from || !to) {
        fail("no memory for it");
    } else {
        const char zero[sizeof(double)] = {0};
        for (size_t i = 0; i < bytes; i += period) memcpy(from + i, at(x, 0), period);
        f(PERIOD, at(x, 0), at(y, 0));
        expect_same(y, y);
        f((ptrdiff_t)(bytes / item), from, to + item);
        for (size_t i = 0; i < bytes; i += period)
            if (memcmp(to + item + i, at(y, 0), period)) fail("another result from byte %zu on", i);
        if (memcmp(to, zero, item) || memcmp(to + item + bytes, zero, item)) fail("wrote outside");
    }
    free(from);
    free(to);
    end_case();
}

static void grad_case(kernels k, const char *name, fnn_grad f, const grad_spec *spec, enum side side,
                      ptrdiff_t n) {
    begin_case(k, side, "%s n %td", name, n);
    array *s = new_random(n, spec->low, spec->high), *dy = new_random(n, -2, 2), *dx = new_reals(n);
    array *cut = new_reals(n), *in_place = new_reals(n);
    for (ptrdiff_t i = 0; i < n; i++) {
        if (i % 7 == 3) put(s, i, i % 2 ? spec->low : spec->high);
        if (i % 11 == 5) put(dy, i, i % 2 ? NAN : -INFINITY);
        if (i % 11 == 5) put(s, i, (spec->low + 2 * spec->high) / 3); /* f' is not 0 there */
        put(in_place, i, get(dy, i));
        const double slope = (double)spec->f(get(s, i)), g = get(dy, i);
        const double bound = epsilon(k) * (spec->ulp * fabs(slope) + spec->absolute);
        expect(dx, i, g * slope, fabs(g) * bound + 4 * smallest(k));
    }
    f(n, at(s, 0), at(dy, 0), at(dx, 0));
    f(n / 3, at(s, 0), at(dy, 0), at(cut, 0));
    f(n - n / 3, at(s, n / 3), at(dy, n / 3), at(cut, n / 3));
    f(n, at(s, 0), at(in_place, 0), at(in_place, 0));
    expect_same(cut, dx);
    expect_same(in_place, dx);
    end_case();
}

#define FOR_SIZES(n, k)                                                                          \
    const ptrdiff_t v = (k)->vl, p = (k)->panel;                                                 \
    const ptrdiff_t sizes[] = {0,         1,         2,         v - 1, v,   v + 1,    2 * v - 1, 2 * v, \
                               2 * v + 1, p - 1,     p,         p + 1, 4 * v - 1, 4 * v, 4 * v + 1, \
                               8 * v - 1, 8 * v + 1, 9 * v + 3, 257,   1000};                    \
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)                                    \
        for (int side = 0; side < SIDES; side++)

void test_unary(kernels k, const char *name, fnn_unary f, const unary_spec *spec) {
    FOR_SIZES(n, k) unary_case(k, name, f, spec, (enum side)side, sizes[i]);
    large_case(k, name, f);
}

void test_grad(kernels k, const char *name, fnn_grad f, const grad_spec *spec) {
    FOR_SIZES(n, k) grad_case(k, name, f, spec, (enum side)side, sizes[i]);
}

/* y = e / sum e, e = exp(x - max); each e is off by its argument's rounding */
void want_softmax(ptrdiff_t n, const double *x, double *y, double *bound) {
    long double max = x[0], sum = 0;
    for (ptrdiff_t i = 1; i < n; i++) max = fmaxl(max, x[i]);
    for (ptrdiff_t i = 0; i < n; i++) sum += expl(x[i] - max);
    for (ptrdiff_t i = 0; i < n; i++) {
        y[i] = (double)(expl(x[i] - max) / sum);
        bound[i] = y[i] * (double)(2 * n + 8 + fabsl(x[i] - max));
    }
}

void want_log_softmax(ptrdiff_t n, const double *x, double *y, double *bound) {
    long double max = x[0], sum = 0;
    for (ptrdiff_t i = 1; i < n; i++) max = fmaxl(max, x[i]);
    for (ptrdiff_t i = 0; i < n; i++) sum += expl(x[i] - max);
    for (ptrdiff_t i = 0; i < n; i++) {
        y[i] = (double)(x[i] - max - logl(sum));
        bound[i] = (double)(2 * n + 8) + 2 * fabs(y[i]);
    }
}

void want_softmax_backward(ptrdiff_t n, const double *y, const double *dy, double *dx, double *bound) {
    long double sum = 0, size = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        sum += (long double)y[i] * dy[i];
        size += fabsl((long double)y[i] * dy[i]);
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        dx[i] = (double)(y[i] * (dy[i] - sum));
        bound[i] = (double)((n + 4) * fabsl(y[i]) * (fabsl(dy[i]) + size));
    }
}

void want_log_softmax_backward(ptrdiff_t n, const double *y, const double *dy, double *dx,
                               double *bound) {
    long double sum = 0, size = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        sum += dy[i];
        size += fabsl((long double)dy[i]);
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        dx[i] = (double)(dy[i] - expl(y[i]) * sum);
        bound[i] = (double)((n + 8) * (fabsl((long double)dy[i]) + expl(y[i]) * size));
    }
}

/* the elements of row r, as doubles */
static void read_row(const array *a, const layout *l, ptrdiff_t r, double *x) {
    for (ptrdiff_t c = 0; c < l->cols; c++) x[c] = get(a, where(l, r, c));
}

static void expect_row(kernels k, array *a, const layout *l, ptrdiff_t r, const double *want,
                       const double *bound) {
    for (ptrdiff_t c = 0; c < l->cols; c++)
        expect(a, where(l, r, c), want[c], epsilon(k) * bound[c] + 4 * smallest(k));
}

static array *copy_matrix(const array *a, const layout *l) {
    array *b = new_matrix(l);
    for (ptrdiff_t r = 0; r < l->rows; r++)
        for (ptrdiff_t c = 0; c < l->cols; c++) put(b, where(l, r, c), get(a, where(l, r, c)));
    return b;
}

/* NaN and infinities in some rows; the rows beside them are as ever */
static void spoil_rows(array *a, const layout *l) {
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (ptrdiff_t r = 1; l->cols && r < l->rows; r += 2)
        put(a, where(l, r, (r * 3) % l->cols), bad[r / 2 % 3]);
}

static void rows_case(kernels k, const char *name, fnn_rows f, rows_reference *want_row, enum side side,
                      layout l) {
    double x_row[MAX_COLS], want[MAX_COLS], bound[MAX_COLS];
    begin_case(k, side, "%s %td x %td row %td", name, l.rows, l.cols, l.row);
    array *x = random_matrix(&l, -20, 20);
    spoil_rows(x, &l);
    array *y = new_matrix(&l), *cut = new_matrix(&l), *in_place = copy_matrix(x, &l);
    for (ptrdiff_t r = 0; l.cols && r < l.rows; r++) {
        read_row(x, &l, r, x_row);
        want_row(l.cols, x_row, want, bound);
        expect_row(k, y, &l, r, want, bound);
    }
    f(l.rows, l.cols, l.row, l.panel, at(x, 0), at(y, 0));
    f(l.rows, l.cols, l.row, l.panel, at(in_place, 0), at(in_place, 0));
    for (ptrdiff_t r = 0; r < l.rows; r++)
        f(1, l.cols, l.row, l.panel, at(x, r * l.row), at(cut, r * l.row));
    expect_same(cut, y);
    expect_same(in_place, y);
    end_case();
}

static void rows_grad_case(kernels k, const char *name, fnn_rows_grad f, rows_grad_reference *want_row,
                           enum side side, layout l) {
    double y_row[MAX_COLS], dy_row[MAX_COLS], want[MAX_COLS], bound[MAX_COLS];
    begin_case(k, side, "%s %td x %td row %td", name, l.rows, l.cols, l.row);
    array *y = random_matrix(&l, 0, 1), *dy = random_matrix(&l, -1, 1);
    spoil_rows(dy, &l);
    array *dx = new_matrix(&l), *cut = new_matrix(&l), *in_place = copy_matrix(dy, &l);
    for (ptrdiff_t r = 0; r < l.rows; r++) {
        read_row(y, &l, r, y_row);
        read_row(dy, &l, r, dy_row);
        want_row(l.cols, y_row, dy_row, want, bound);
        expect_row(k, dx, &l, r, want, bound);
    }
    f(l.rows, l.cols, l.row, l.panel, at(y, 0), at(dy, 0), at(dx, 0));
    f(l.rows, l.cols, l.row, l.panel, at(y, 0), at(in_place, 0), at(in_place, 0));
    for (ptrdiff_t r = 0; r < l.rows; r++)
        f(1, l.cols, l.row, l.panel, at(y, r * l.row), at(dy, r * l.row), at(cut, r * l.row));
    expect_same(cut, dx);
    expect_same(in_place, dx);
    end_case();
}

#define FOR_SHAPES(k)                                                                              \
    const ptrdiff_t v = (k)->vl, p = (k)->panel;                                                   \
    const ptrdiff_t heights[] = {0, 1, 2, 5, v - 1, v, v + 1, 2 * v + 1};                          \
    const ptrdiff_t widths[] = {0, 1, 2, 10, v - 1, v, v + 1, p - 1, p, p + 1, 2 * p + 3};         \
    for (size_t i = 0; i < sizeof heights / sizeof *heights; i++)                                  \
        for (size_t j = 0; j < sizeof widths / sizeof *widths; j++)                                \
            for (int side = 0; side < SIDES; side++)

void test_rows(kernels k, const char *name, fnn_rows f, rows_reference *want) {
    FOR_SHAPES(k) {
        rows_case(k, name, f, want, (enum side)side, panels(k, heights[i], widths[j], 1));
        rows_case(k, name, f, want, (enum side)side, row_major(k, heights[i], widths[j], side ? 0 : 3));
    }
}

void test_rows_grad(kernels k, const char *name, fnn_rows_grad f, rows_grad_reference *want) {
    FOR_SHAPES(k) {
        rows_grad_case(k, name, f, want, (enum side)side, panels(k, heights[i], widths[j], 1));
        rows_grad_case(k, name, f, want, (enum side)side,
                       row_major(k, heights[i], widths[j], side ? 0 : 3));
    }
}
