/* Normalization of rows and of columns, and PReLU, against their formulas, and cut by rows. */
#include <math.h>

#include "tests.h"

/* rows of panels, and the weights of their columns, whose panels lie a little apart */
typedef struct {
    layout rows, weights;
} shape;

static shape shape_of(kernels k, ptrdiff_t rows, ptrdiff_t cols) {
    return (shape){panels(k, rows, cols, 1), {1, cols, k->panel, k->panel + 3, k->panel, 0}};
}

static array *weights_if(int there, const shape *s, double low, double high) {
    return there ? random_matrix(&s->weights, low, high) : NULL;
}

static double weight(const array *a, const shape *s, ptrdiff_t c, double otherwise) {
    return a ? get(a, where(&s->weights, 0, c)) : otherwise;
}

/* A NaN in the middle of x, where it has several rows. */
static void put_nan(array *x, const shape *s) {
    if (s->rows.rows > 2 && s->rows.cols) put(x, where(&s->rows, s->rows.rows / 2, s->rows.cols / 2), NAN);
}

/* Mean, variance and 1 / sqrt(variance + epsilon) of n numbers, with the errors allowed. */
typedef struct {
    double mean, variance, rstd, mean_bound, variance_bound, rstd_bound;
} moments;

/* element i of row or column `line` */
typedef ptrdiff_t place_of(const layout *l, ptrdiff_t line, ptrdiff_t i);

static ptrdiff_t in_column(const layout *l, ptrdiff_t c, ptrdiff_t r) { return where(l, r, c); }

static moments moments_of(kernels k, const array *x, ptrdiff_t n, place_of *place, const layout *l,
                          ptrdiff_t line, double offset) {
    moments m = {0};
    long double sum = 0, size = 0, squares = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        const double v = get(x, place(l, line, i));
        sum += v;
        size += fabs(v);
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        const long double d = get(x, place(l, line, i)) - sum / (long double)n;
        squares += d * d;
    }
    const double eps = epsilon(k), terms = (double)n + 8;
    m.mean = (double)(sum / (long double)n);
    m.variance = (double)(squares / (long double)n);
    m.rstd = 1 / sqrt(m.variance + offset);
    m.mean_bound = n == 1 ? 0 : terms * eps * (double)size / (double)n;
    m.variance_bound = terms * eps * m.variance + m.mean_bound * m.mean_bound;
    m.rstd_bound = m.rstd * (4 * eps + m.variance_bound / (2 * (m.variance + offset)));
    return m;
}

/* ---- rows ---- */

static fnn_layer_norm_args row_args(const shape *s, array *x, array *gamma, array *beta, array *stats) {
    return (fnn_layer_norm_args){.rows = s->rows.rows, .cols = s->rows.cols, .panel = s->rows.panel,
                                 .x = at(x, 0), .gamma = at(gamma, 0), .beta = at(beta, 0),
                                 .w_panel = s->weights.panel, .epsilon = 1e-3, .stats = at(stats, 0)};
}

void want_layer_norm(kernels k, const char *name, fnn_layer_norm f, enum side side, ptrdiff_t rows,
                     ptrdiff_t cols, int with) {
    begin_case(k, side, "%s %td x %td with %d", name, rows, cols, with);
    const shape s = shape_of(k, rows, cols);
    const ptrdiff_t half = rows / 2 * k->panel;
    const double far = with & 4 ? 1000 : 0, eps = epsilon(k);
    array *x = random_matrix(&s.rows, far - 1, far + 1), *y = new_matrix(&s.rows);
    array *in_place = new_matrix(&s.rows), *stats = cols ? new_reals(2 * rows) : NULL;
    array *gamma = weights_if(with & 1, &s, -2, 2), *beta = weights_if(with & 2, &s, -2, 2);
    put_nan(x, &s);
    for (ptrdiff_t r = 0; r < rows && cols; r++) {
        const moments m = moments_of(k, x, cols, where, &s.rows, r, 1e-3);
        expect(stats, 2 * r, m.rstd, m.rstd_bound);
        expect(stats, 2 * r + 1, m.mean, m.mean_bound);
        for (ptrdiff_t c = 0; c < cols; c++) {
            const ptrdiff_t i = where(&s.rows, r, c);
            const double d = get(x, i) - m.mean, g = weight(gamma, &s, c, 1), b = weight(beta, &s, c, 0);
            const double bound = (m.mean_bound + eps * fabs(d)) * m.rstd + fabs(d) * m.rstd_bound;
            put(in_place, i, get(x, i));
            expect(y, i, d * m.rstd * g + b,
                   2 * bound * fabs(g) + 4 * eps * (fabs(d * m.rstd * g) + fabs(b)));
        }
    }
    fnn_layer_norm_args g = row_args(&s, x, gamma, beta, stats);
    g.y = at(y, 0);
    f(&g);
    expect_same(in_place, y);
    g.stats = NULL;
    g.x = g.y = at(in_place, 0);
    g.rows = rows / 2;
    f(&g);
    if (extent(&s.rows)) {
        g.x = g.y = at(in_place, half);
        g.rows = rows - rows / 2;
        f(&g);
    }
    end_case();
}

void want_layer_norm_backward(kernels k, const char *name, fnn_layer_norm f, enum side side,
                              ptrdiff_t rows, ptrdiff_t cols, int with) {
    begin_case(k, side, "%s %td x %td with %d", name, rows, cols, with);
    const shape s = shape_of(k, rows, cols);
    const ptrdiff_t half = rows / 2 * k->panel;
    const double eps = epsilon(k), n = (double)cols;
    array *x = random_matrix(&s.rows, -1, 1), *dy = random_matrix(&s.rows, -1, 1);
    array *dx = new_matrix(&s.rows), *in_place = new_matrix(&s.rows);
    array *stats = new_random(2 * rows, 0.5, 1.5), *gamma = weights_if(with & 1, &s, -2, 2);
    put_nan(dy, &s);
    for (ptrdiff_t r = 0; r < rows; r++) {
        const double rstd = get(stats, 2 * r), mean = get(stats, 2 * r + 1);
        long double sum = 0, product = 0, size = 0, product_size = 0;
        for (ptrdiff_t c = 0; c < cols; c++) {
            const ptrdiff_t i = where(&s.rows, r, c);
            const double d = get(dy, i) * weight(gamma, &s, c, 1), hat = (get(x, i) - mean) * rstd;
            sum += d / n;
            size += fabs(d) / n;
            product += d * hat / n;
            product_size += fabs(d * hat) / n;
        }
        for (ptrdiff_t c = 0; c < cols; c++) {
            const ptrdiff_t i = where(&s.rows, r, c);
            const double d = get(dy, i) * weight(gamma, &s, c, 1), hat = (get(x, i) - mean) * rstd;
            const double bound = (n + 8) * (double)size + fabs(hat) * (n + 12) * (double)product_size;
            put(in_place, i, get(dy, i));
            expect(dx, i, rstd * (d - (double)sum - hat * (double)product),
                   eps * rstd * (bound + 6 * fabs(d)));
        }
    }
    fnn_layer_norm_args g = row_args(&s, x, gamma, NULL, stats);
    g.dy = at(dy, 0);
    g.y = at(dx, 0);
    f(&g);
    expect_same(in_place, dx);
    g.dy = g.y = at(in_place, 0);
    g.rows = rows / 2;
    f(&g);
    if (extent(&s.rows)) {
        g.x = at(x, half);
        g.dy = g.y = at(in_place, half);
        g.stats = at(stats, rows / 2 * 2);
        g.rows = rows - rows / 2;
        f(&g);
    }
    end_case();
}

/* The sums over rows of dy and of dy (x - mean) rstd in column c, with the errors allowed. */
typedef struct {
    double sum, product, sum_bound, product_bound;
} column_sums;

static column_sums column_sums_of(kernels k, const shape *s, const array *x, const array *dy, ptrdiff_t c,
                                  const array *stats, double mean, double rstd) {
    const double terms = epsilon(k) * (double)(s->rows.rows + 8);
    long double sum = 0, product = 0, size = 0, product_size = 0;
    for (ptrdiff_t r = 0; r < s->rows.rows; r++) {
        const ptrdiff_t i = where(&s->rows, r, c);
        if (stats) rstd = get(stats, 2 * r), mean = get(stats, 2 * r + 1);
        const double d = get(dy, i), hat = (get(x, i) - mean) * rstd;
        sum += d;
        size += fabs(d);
        product += d * hat;
        product_size += fabs(d * hat);
    }
    return (column_sums){(double)sum, (double)product, terms * (double)size, terms * (double)product_size};
}

void want_layer_norm_gradient(kernels k, const char *name, fnn_layer_norm f, enum side side,
                              ptrdiff_t rows, ptrdiff_t cols, int with) {
    if (cols > k->panel) return;
    begin_case(k, side, "%s %td x %td with %d", name, rows, cols, with);
    const shape s = shape_of(k, rows, cols);
    array *x = random_matrix(&s.rows, -1, 1), *dy = random_matrix(&s.rows, -1, 1);
    array *stats = new_random(2 * rows, 0.5, 1.5);
    array *dgamma = with & 1 ? new_reals(cols) : NULL, *dbeta = with & 2 ? new_reals(cols) : NULL;
    put_nan(x, &s);
    for (ptrdiff_t c = 0; c < cols; c++) {
        const column_sums sums = column_sums_of(k, &s, x, dy, c, stats, 0, 0);
        if (dgamma) expect(dgamma, c, sums.product, sums.product_bound);
        if (dbeta) expect(dbeta, c, sums.sum, sums.sum_bound);
    }
    fnn_layer_norm_args g = row_args(&s, x, NULL, NULL, stats);
    g.dy = at(dy, 0);
    g.dgamma = at(dgamma, 0);
    g.dbeta = at(dbeta, 0);
    f(&g);
    end_case();
}

/* ---- columns ---- */

static array *new_state(kernels k) { return new_reals(FNN_BATCH_NORM_STATE * k->panel); }

/* element c of a number that batch_norm keeps */
static ptrdiff_t kept(kernels k, int number, ptrdiff_t c) { return number * k->panel + c; }

static void put_kept(kernels k, array *state, int number, ptrdiff_t cols, double low, double high) {
    for (ptrdiff_t c = 0; c < cols; c++) put(state, kept(k, number, c), uniform(low, high));
}

static double get_kept(kernels k, const array *state, int number, ptrdiff_t c) {
    return get(state, kept(k, number, c));
}

static void expect_scale_and_shift(kernels k, array *state, int scale, int shift, ptrdiff_t c, double g,
                                   double b, const moments *m) {
    const double eps = epsilon(k), a = m->rstd * g, bound = fabs(g) * m->rstd_bound + eps * fabs(a);
    expect(state, kept(k, scale, c), a, bound);
    expect(state, kept(k, shift, c), b - m->mean * a,
           fabs(m->mean) * bound + m->mean_bound * fabs(a) + 2 * eps * (fabs(b) + fabs(m->mean * a)));
}

static fnn_batch_norm_args column_args(const shape *s, array *x, array *gamma, array *beta, array *state) {
    return (fnn_batch_norm_args){.rows = s->rows.rows, .cols = s->rows.cols, .x = at(x, 0),
                                 .gamma = at(gamma, 0), .beta = at(beta, 0), .epsilon = 1e-3,
                                 .momentum = 0.9, .state = at(state, 0)};
}

void want_batch_norm_moments(kernels k, const char *name, fnn_batch_norm f, enum side side,
                             ptrdiff_t rows, ptrdiff_t cols, int with) {
    begin_case(k, side, "%s %td x %td with %d", name, rows, cols, with);
    const shape s = shape_of(k, rows, cols);
    const double far = with & 4 ? 1000 : 0, eps = epsilon(k);
    array *x = random_matrix(&s.rows, far - 1, far + 1), *state = new_state(k);
    array *gamma = weights_if(with & 1, &s, -2, 2), *beta = weights_if(with & 2, &s, -2, 2);
    put_kept(k, state, FNN_MOVING_MEAN, cols, -1, 1);
    put_kept(k, state, FNN_MOVING_VARIANCE, cols, 0, 2);
    put_nan(x, &s);
    for (ptrdiff_t c = 0; c < cols && rows; c++) {
        const moments m = moments_of(k, x, rows, in_column, &s.rows, c, 1e-3);
        const double mean = 0.9 * get_kept(k, state, FNN_MOVING_MEAN, c);
        const double variance = 0.9 * get_kept(k, state, FNN_MOVING_VARIANCE, c);
        expect(state, kept(k, FNN_MOVING_MEAN, c), mean + 0.1 * m.mean,
               m.mean_bound + 4 * eps * (fabs(mean) + fabs(m.mean)));
        expect(state, kept(k, FNN_MOVING_VARIANCE, c), variance + 0.1 * m.variance,
               m.variance_bound + 4 * eps * (variance + m.variance));
        expect(state, kept(k, FNN_MEAN, c), m.mean, m.mean_bound);
        expect(state, kept(k, FNN_RSTD, c), m.rstd, m.rstd_bound);
        expect_scale_and_shift(k, state, FNN_SCALE_BY, FNN_SHIFT_BY, c, weight(gamma, &s, c, 1),
                               weight(beta, &s, c, 0), &m);
    }
    fnn_batch_norm_args g = column_args(&s, x, gamma, beta, state);
    f(&g);
    end_case();
}

void want_batch_norm_calm(kernels k, const char *name, fnn_batch_norm f, enum side side,
                          ptrdiff_t rows, ptrdiff_t cols, int with) {
    begin_case(k, side, "%s %td with %d", name, cols, with);
    const shape s = shape_of(k, rows, cols);
    array *gamma = weights_if(with & 1, &s, -2, 2), *beta = weights_if(with & 2, &s, -2, 2);
    array *state = new_state(k);
    put_kept(k, state, FNN_MOVING_MEAN, cols, -1, 1);
    put_kept(k, state, FNN_MOVING_VARIANCE, cols, 0, 2);
    for (ptrdiff_t c = 0; c < cols; c++) {
        moments m = {.mean = get_kept(k, state, FNN_MOVING_MEAN, c)};
        m.rstd = 1 / sqrt(get_kept(k, state, FNN_MOVING_VARIANCE, c) + 1e-3);
        m.rstd_bound = 4 * epsilon(k) * m.rstd;
        expect_scale_and_shift(k, state, FNN_CALM_SCALE, FNN_CALM_SHIFT, c, weight(gamma, &s, c, 1),
                               weight(beta, &s, c, 0), &m);
    }
    fnn_batch_norm_args g = column_args(&s, NULL, gamma, beta, state);
    f(&g);
    end_case();
}

void want_batch_norm_sums(kernels k, const char *name, fnn_batch_norm f, enum side side,
                          ptrdiff_t rows, ptrdiff_t cols, int with) {
    const int calm = !!(with & 4);
    begin_case(k, side, "%s %td x %td with %d", name, rows, cols, with);
    const shape s = shape_of(k, rows, cols);
    const double eps = epsilon(k), n = (double)rows;
    array *x = random_matrix(&s.rows, -1, 1), *dy = random_matrix(&s.rows, -1, 1), *state = new_state(k);
    array *gamma = weights_if(with & 1, &s, -2, 2);
    put_kept(k, state, calm ? FNN_MOVING_MEAN : FNN_MEAN, cols, -1, 1);
    put_kept(k, state, calm ? FNN_MOVING_VARIANCE : FNN_RSTD, cols, 0.5, 2);
    put_nan(x, &s);
    for (ptrdiff_t c = 0; c < cols && rows; c++) {
        const double mean = get_kept(k, state, calm ? FNN_MOVING_MEAN : FNN_MEAN, c);
        const double given = get_kept(k, state, calm ? FNN_MOVING_VARIANCE : FNN_RSTD, c);
        const double rstd = calm ? 1 / sqrt(given + 1e-3) : given;
        const double scale = rstd * weight(gamma, &s, c, 1), square = fabs(scale) * rstd / n;
        const column_sums sums = column_sums_of(k, &s, x, dy, c, NULL, mean, rstd);
        expect(state, kept(k, FNN_MEAN, c), mean, 0);
        expect(state, kept(k, FNN_SCALE_BY, c), scale, 6 * eps * fabs(scale));
        expect(state, kept(k, FNN_SLOPE, c), calm ? 0 : -scale * rstd * sums.product / n,
               square * (sums.product_bound + 4 * eps * fabs(sums.product)));
        expect(state, kept(k, FNN_OFFSET, c), calm ? 0 : -scale * sums.sum / n,
               fabs(scale) / n * (sums.sum_bound + 4 * eps * fabs(sums.sum)));
        expect(state, kept(k, FNN_DGAMMA, c), sums.product, sums.product_bound);
        expect(state, kept(k, FNN_DBETA, c), sums.sum, sums.sum_bound);
    }
    fnn_batch_norm_args g = column_args(&s, x, gamma, NULL, state);
    g.dy = at(dy, 0);
    g.calm = calm;
    f(&g);
    end_case();
}

void want_batch_norm_backward(kernels k, const char *name, fnn_batch_norm f, enum side side,
                              ptrdiff_t rows, ptrdiff_t cols, int with) {
    begin_case(k, side, "%s %td x %td", name, rows, cols);
    const shape s = shape_of(k, rows, cols);
    const ptrdiff_t half = rows / 2 * k->panel;
    array *x = random_matrix(&s.rows, -1, 1), *dy = random_matrix(&s.rows, -1, 1), *state = new_state(k);
    array *dx = new_matrix(&s.rows), *in_place = new_matrix(&s.rows);
    const int numbers[] = {FNN_MEAN, FNN_SCALE_BY, FNN_SLOPE, FNN_OFFSET};
    for (int i = 0; i < 4; i++) put_kept(k, state, numbers[i], cols, -1, 1);
    if (with) put_nan(dy, &s);
    for (ptrdiff_t r = 0; r < rows; r++) {
        for (ptrdiff_t c = 0; c < cols; c++) {
            const ptrdiff_t i = where(&s.rows, r, c);
            const double scaled = get(dy, i) * get_kept(k, state, FNN_SCALE_BY, c);
            const double away = get(x, i) - get_kept(k, state, FNN_MEAN, c);
            const double sloped = away * get_kept(k, state, FNN_SLOPE, c);
            const double offset = get_kept(k, state, FNN_OFFSET, c);
            put(in_place, i, get(dy, i));
            expect(dx, i, scaled + sloped + offset,
                   4 * epsilon(k) * (fabs(scaled) + fabs(sloped) + fabs(offset)));
        }
    }
    fnn_batch_norm_args g = column_args(&s, x, NULL, NULL, state);
    g.dy = at(dy, 0);
    g.dx = at(dx, 0);
    f(&g);
    expect_same(in_place, dx);
    g.dx = at(in_place, 0);
    g.dy = g.dx;
    g.rows = rows / 2;
    f(&g);
    if (extent(&s.rows)) {
        g.x = at(x, half);
        g.dx = at(in_place, half);
        g.dy = g.dx;
        g.rows = rows - rows / 2;
        f(&g);
    }
    end_case();
}

/* ---- PReLU ---- */

/* y, or dx if there is a dy, cut by rows and in place, too */
static void elements(kernels k, fnn_prelu f, const shape *s, array *x, array *dy, array *alpha) {
    const ptrdiff_t rows = s->rows.rows, half = rows / 2 * k->panel;
    array *y = new_matrix(&s->rows), *in_place = new_matrix(&s->rows);
    for (ptrdiff_t r = 0; r < rows; r++) {
        for (ptrdiff_t c = 0; c < s->rows.cols; c++) {
            const ptrdiff_t i = where(&s->rows, r, c);
            const double slope = get(x, i) > 0 ? 1 : weight(alpha, s, c, 0);
            const double want = slope * get(dy ? dy : x, i);
            put(in_place, i, get(dy ? dy : x, i));
            expect(y, i, want, epsilon(k) * fabs(want) + smallest(k));
        }
    }
    fnn_prelu_args g = {.rows = rows, .cols = s->rows.cols, .x = at(x, 0), .dy = at(dy, 0),
                        .alpha = at(alpha, 0), .y = at(y, 0)};
    f(&g);
    expect_same(in_place, y);
    for (int part = 0; part < 2; part++) {
        const ptrdiff_t first = part && extent(&s->rows) ? half : 0;
        g.rows = part ? rows - rows / 2 : rows / 2;
        g.y = at(in_place, first);
        g.x = dy ? at(x, first) : g.y;
        g.dy = dy ? g.y : NULL;
        f(&g);
    }
}

static void put_zeros(array *x, const shape *s) {
    for (ptrdiff_t r = 0; r < s->rows.rows && s->rows.cols; r += 5) put(x, where(&s->rows, r, 0), 0);
}

void want_prelu(kernels k, const char *name, fnn_prelu f, enum side side, ptrdiff_t rows, ptrdiff_t cols) {
    begin_case(k, side, "%s %td x %td", name, rows, cols);
    const shape s = shape_of(k, rows, cols);
    array *x = random_matrix(&s.rows, -1, 1), *alpha = random_matrix(&s.weights, -1, 1);
    put_zeros(x, &s);
    put_nan(x, &s);
    elements(k, f, &s, x, NULL, alpha);
    end_case();
}

void want_prelu_backward(kernels k, const char *name, fnn_prelu f, enum side side, ptrdiff_t rows,
                         ptrdiff_t cols) {
    begin_case(k, side, "%s %td x %td", name, rows, cols);
    const shape s = shape_of(k, rows, cols);
    array *x = random_matrix(&s.rows, -1, 1), *dy = random_matrix(&s.rows, -1, 1);
    array *alpha = random_matrix(&s.weights, -1, 1);
    put_zeros(x, &s);
    put_nan(dy, &s);
    elements(k, f, &s, x, dy, alpha);
    end_case();
}

void want_prelu_gradient(kernels k, const char *name, fnn_prelu f, enum side side, ptrdiff_t rows,
                         ptrdiff_t cols) {
    begin_case(k, side, "%s %td x %td", name, rows, cols);
    const shape s = shape_of(k, rows, cols);
    array *x = random_matrix(&s.rows, -1, 1), *dy = random_matrix(&s.rows, -1, 1);
    array *dalpha = new_matrix(&s.weights);
    put_nan(x, &s);
    for (ptrdiff_t c = 0; c < cols; c++) {
        long double want = 0, size = 0;
        for (ptrdiff_t r = 0; r < rows; r++) {
            const ptrdiff_t i = where(&s.rows, r, c);
            const double term = get(x, i) > 0 ? 0 : get(dy, i) * get(x, i);
            want += term;
            size += fabs(term);
        }
        expect(dalpha, c, (double)want, (double)(rows + 2) * epsilon(k) * (double)size);
    }
    fnn_prelu_args g = {.rows = rows, .cols = cols, .x = at(x, 0), .dy = at(dy, 0), .y = at(dalpha, 0)};
    f(&g);
    end_case();
}

/* sums over rows go in blocks of 64 */
static const ptrdiff_t ROWS[] = {0, 1, 2, 7, 63, 64, 65, 131};
enum { N_ROWS = sizeof ROWS / sizeof *ROWS };

#define FOR_COLUMNS(k)                                                                             \
    const ptrdiff_t v = (k)->vl, p = (k)->panel, cols[] = {0, 1, v - 1, v, v + 1, p - 1, p};        \
    for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)                                        \
        for (int r = 0; r < N_ROWS; r++)                                                           \
            for (int side = 0; side < SIDES; side++)

void test_layer_norm(kernels k, const char *name, fnn_layer_norm f, layer_norm_case *want) {
    FOR_COLUMNS(k) {
        for (int with = 0; with < 8; with++) want(k, name, f, (enum side)side, ROWS[r], cols[c], with);
    }
    const ptrdiff_t wide[] = {p + 1, 2 * p - 1, 2 * p, 3 * p + v + 1, 5 * p + 3};
    for (size_t c = 0; c < sizeof wide / sizeof *wide; c++)
        for (int r = 0; r < 4; r++)
            for (int with = 0; with < 8; with++)
                want(k, name, f, (enum side)(with & 1), ROWS[r], wide[c], with);
}

void test_batch_norm(kernels k, const char *name, fnn_batch_norm f, batch_norm_case *want) {
    FOR_COLUMNS(k) {
        for (int with = 0; with < 8; with++) want(k, name, f, (enum side)side, ROWS[r], cols[c], with);
    }
}

void test_prelu(kernels k, const char *name, fnn_prelu f, prelu_case *want) {
    FOR_COLUMNS(k) want(k, name, f, (enum side)side, ROWS[r], cols[c]);
}
