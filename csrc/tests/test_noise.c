/* Random changes of training against the formulas of fnn.h, in place and cut by rows. */
#include <math.h>

#include "tests.h"

static uint32_t hash(uint32_t x) {
    x ^= x >> 16;
    x *= 0x21f0aaad;
    x ^= x >> 15;
    x *= 0x735a2d97;
    x ^= x >> 15;
    return x;
}

static int kept(const fnn_noise_args *g, uint32_t h) { return h >= g->rate * 4294967296.0; }

/* by bisection of the distribution's function, which the C library has */
static double normal(uint32_t h) {
    const long double p = ((h & 0x7fffffff) + 0.5L) / 4294967296.0L;
    long double low = 0, high = 7;
    for (int i = 0; i < 70; i++) {
        const long double middle = (low + high) / 2;
        *(erfcl(middle * sqrtl(0.5L)) / 2 > p ? &low : &high) = middle;
    }
    return (double)(h >> 31 ? -low : low);
}

static double dropout(const fnn_noise_args *g, uint32_t h, double x, double *bound) {
    const double y = kept(g, h) ? g->scale * x : 0;
    *bound = 2 * fabs(y);
    return y;
}

static double alpha_dropout(const fnn_noise_args *g, uint32_t h, double x, double *bound) {
    *bound = 2 * (fabs(g->scale * x) + fabs(g->shift) + fabs(g->low));
    return kept(g, h) ? g->scale * x + g->shift : g->low;
}

static double gaussian_noise(const fnn_noise_args *g, uint32_t h, double x, double *bound) {
    const double z = normal(h);
    *bound = fabs(g->scale) * (4 * fabs(z) + 1) + fabs(x);
    return x + g->scale * z;
}

static double gaussian_dropout(const fnn_noise_args *g, uint32_t h, double x, double *bound) {
    const double z = normal(h);
    *bound = fabs(x) * (fabs(g->scale) * (5 * fabs(z) + 1) + 2);
    return x * (1 + g->scale * z);
}

const noise_spec spec_dropout = {dropout}, spec_alpha_dropout = {alpha_dropout};
const noise_spec spec_gaussian_noise = {gaussian_noise}, spec_gaussian_dropout = {gaussian_dropout};

/* of element i */
static uint32_t hash_of(uint64_t key, ptrdiff_t i) {
    return hash((uint32_t)key + (uint32_t)i * ((uint32_t)(key >> 32) | 1));
}

/* rate < 0: that at which the first element is just kept */
static void noise_case(kernels k, const char *name, fnn_noise f, const noise_spec *spec,
                       enum side side, ptrdiff_t rows, ptrdiff_t cols, double rate) {
    const uint64_t key = 0x123456789abcdef0u + (uint64_t)(rows * 1000 + cols);
    const ptrdiff_t row0 = 3 + rows, col0 = 5 * k->panel, width = col0 + k->panel + cols;
    if (rate < 0) rate = hash_of(key, row0 * width + col0) * 0x1p-32;
    begin_case(k, side, "%s %td x %td rate %g", name, rows, cols, rate);
    const layout l = panels(k, rows, cols, 1);
    array *x = random_matrix(&l, -1, 1), *y = new_matrix(&l), *in_place = new_matrix(&l);
    fnn_noise_args g = {.rows = rows, .cols = cols, .row0 = row0, .col0 = col0, .width = width,
                        .panel = l.panel, .key = key, .rate = rate, .scale = 1 / (1 - rate),
                        .shift = rate / 3, .low = -rate, .x = at(x, 0), .y = at(y, 0)};
    for (ptrdiff_t r = 0; r < rows; r++) {
        for (ptrdiff_t c = 0; c < cols; c++) {
            const ptrdiff_t i = where(&l, r, c);
            const uint32_t h = hash_of(key, (g.row0 + r) * g.width + g.col0 + c);
            double bound;
            const double want = spec->f(&g, h, get(x, i), &bound);
            put(in_place, i, get(x, i));
            expect(y, i, want, bound * epsilon(k));
        }
    }
    f(&g);
    expect_same(in_place, y);
    g.x = g.y = at(in_place, 0);
    g.rows = rows / 2;
    f(&g);
    if (extent(&l)) {
        g.x = g.y = at(in_place, rows / 2 * k->panel);
        g.row0 += rows / 2;
        g.rows = rows - rows / 2;
        f(&g);
    }
    end_case();
}

void test_noise(kernels k, const char *name, fnn_noise f, const noise_spec *spec) {
    const ptrdiff_t p = k->panel;
    const ptrdiff_t rows[] = {0, 1, 2, 7}, cols[] = {0, 1, p - 1, p, p + 1, 2 * p + 3};
    const double rates[] = {0, 0.3, 0.999, -1};
    for (int side = 0; side < SIDES; side++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
                for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
                    noise_case(k, name, f, spec, (enum side)side, rows[r], cols[c], rates[i]);
}
