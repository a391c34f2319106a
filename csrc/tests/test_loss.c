/* Losses with their gradients, and metrics, against long double. */
#include <math.h>

#include "tests.h"

static void mse(kernels k, ptrdiff_t cols, const double *p, const double *t, row_loss *out) {
    (void)k;
    long double sum = 0;
    for (ptrdiff_t c = 0; c < cols; c++) {
        const long double e = (long double)p[c] - t[c];
        sum += e * e;
        out->d[c] = (double)(2 * e / cols);
        out->d_bound[c] = 6 * fabs(out->d[c]);
    }
    out->loss = (double)(sum / cols);
    out->loss_bound = (double)(cols + 6) * out->loss;
}

/* q clipped; whether it was inside */
static int clip(kernels k, long double *q) {
    const double low = rounded(k, 1e-7), high = rounded(k, 1 - 1e-7);
    const int below = *q < low, above = *q > high;
    if (below) *q = low;
    if (above) *q = high;
    return !below && !above;
}

static void bce(kernels k, ptrdiff_t cols, const double *p, const double *t, row_loss *out) {
    long double sum = 0, size = 0;
    for (ptrdiff_t c = 0; c < cols; c++) {
        long double q = p[c];
        const int inside = clip(k, &q);
        const long double yes = t[c] * logl(q), no = (1 - (long double)t[c]) * logl(1 - q);
        sum -= yes + no;
        size += fabsl(yes) * 4 + (fabsl(no) + fabsl(1 - (long double)t[c])) * 4;
        out->d[c] = inside || isnan(p[c]) ? (double)((q - t[c]) / (q * (1 - q)) / cols) : 0;
        out->d_bound[c] = 8 * fabs(out->d[c]);
    }
    out->loss = (double)(sum / cols);
    out->loss_bound = (double)(size / cols + (cols + 2) * fabsl(sum / cols));
}

static void bce_logits(kernels k, ptrdiff_t cols, const double *p, const double *t, row_loss *out) {
    (void)k;
    long double sum = 0, size = 0;
    for (ptrdiff_t c = 0; c < cols; c++) {
        const long double x = p[c], q = 1 / (1 + expl(-x)), top = isnan(x) ? x : fmaxl(x, 0);
        const long double tail = log1pl(expl(-fabsl(x)));
        sum += top - x * t[c] + tail;
        size += 2 * (top + fabsl(x * t[c])) + 4 * tail;
        out->d[c] = (double)((q - t[c]) / cols);
        out->d_bound[c] = (double)((6 * q + 4 * fabs(t[c])) / cols);
    }
    out->loss = (double)(sum / cols);
    out->loss_bound = (double)(size / cols + (cols + 2) * fabsl(sum / cols));
}

static void xent(kernels k, ptrdiff_t cols, const double *p, const double *t, row_loss *out) {
    long double total = 0, sum = 0, inside_t = 0, bound = 0;
    for (ptrdiff_t c = 0; c < cols; c++) total += p[c];
    for (ptrdiff_t c = 0; c < cols; c++) {
        long double q = p[c] / total;
        if (clip(k, &q)) inside_t += t[c];
        sum -= t[c] * logl(q);
        bound += fabs(t[c]) * (cols + 4 + 4 * fabsl(logl(q)));
    }
    for (ptrdiff_t c = 0; c < cols; c++) {
        long double q = p[c] / total;
        const long double own = clip(k, &q) ? t[c] / q : 0;
        out->d[c] = (double)((inside_t - own) / total);
        out->d_bound[c] = (double)((2 * cols + 8) * (fabsl(inside_t) + fabsl(own)) / fabsl(total));
    }
    out->loss = (double)sum;
    out->loss_bound = (double)(bound + cols * fabsl(sum));
}

static void xent_logits(kernels k, ptrdiff_t cols, const double *p, const double *t, row_loss *out) {
    (void)k;
    long double top = p[0], total = 0, sum_t = 0, sum = 0, bound = 0;
    for (ptrdiff_t c = 0; c < cols; c++) top = fmaxl(top, p[c]);
    for (ptrdiff_t c = 0; c < cols; c++) total += expl(p[c] - top);
    for (ptrdiff_t c = 0; c < cols; c++) {
        const long double x = p[c] - top;
        sum_t += t[c];
        if (t[c] != 0) sum += t[c] * (logl(total) - x);
        bound += fabs(t[c]) * (4 * logl(total) + 2 * cols + 8 + (t[c] != 0 ? 4 * fabsl(x) : 0));
    }
    for (ptrdiff_t c = 0; c < cols; c++) {
        const long double x = p[c] - top, q = expl(x) / total;
        out->d[c] = (double)(q * sum_t - t[c]);
        const long double terms = 2 * cols + 8 + fminl(fabsl(x), 1000);
        out->d_bound[c] = (double)(terms * q * sum_t) + 2 * fabs(t[c]);
    }
    out->loss = isnan(total) ? NAN : (double)sum;
    out->loss_bound = (double)bound + (double)cols * fabs(out->loss);
}

const loss_spec spec_mse = {mse, -3, 3, 1, 0};
const loss_spec spec_bce = {bce, 0, 1, 1, 0};
const loss_spec spec_bce_logits = {bce_logits, -6, 6, 1, 0};
const loss_spec spec_xent = {xent, 0.01, 1, 0, 1};
const loss_spec spec_xent_logits = {xent_logits, -6, 6, 1, 1};

/* Targets of a loss or a metric: rows of t, or class ids. */
typedef struct {
    layout l;
    array *t, *label;
} targets;

static targets new_targets(kernels k, ptrdiff_t rows, ptrdiff_t cols, int labels) {
    targets y = {.l = panels(k, rows, cols, 2)};
    if (labels) {
        y.label = new_ints(rows, sizeof(int32_t));
        for (ptrdiff_t r = 0; r < rows; r++) put_int(y.label, r, r * 5 % (cols ? cols : 1));
        return y;
    }
    y.t = random_matrix(&y.l, 0, 1);
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t c = 0; c < cols; c++)
            if ((r + c) % 3) put(y.t, where(&y.l, r, c), (r + c) % 3 - 1);
    return y;
}

static void read_targets(const targets *y, ptrdiff_t r, double *t) {
    for (ptrdiff_t c = 0; c < y->l.cols; c++)
        t[c] = y->t ? get(y->t, where(&y->l, r, c)) : c == r * 5 % y->l.cols;
}

/* predictions: some rows with a NaN or an infinity, some values far out */
static array *new_predictions(const layout *l, double low, double high, int extremes) {
    const double far[] = {0, 1, -1e-9, 1e-9, 1 - 1e-9, -90, 90, 1e4, -1e4};
    array *p = random_matrix(l, low, high);
    for (ptrdiff_t r = 0; l->cols && r < l->rows; r++) {
        const ptrdiff_t c = r * 3 % l->cols;
        if (extremes && r % 2) put(p, where(l, r, c), far[r / 2 % 9]);
        if (r % 7 == 2) put(p, where(l, r, c), NAN);
    }
    return p;
}

static void expect_loss(kernels k, const loss_spec *spec, const layout *l, array *p, const targets *y,
                        array *weight, double scale, array *loss, array *dp) {
    const double eps = epsilon(k), tiny = (double)(4 + 2 * l->cols) * smallest(k);
    double p_row[MAX_COLS], t_row[MAX_COLS];
    row_loss want;
    for (ptrdiff_t r = 0; l->cols && r < l->rows; r++) {
        const double w = weight ? get(weight, r) : 1;
        for (ptrdiff_t c = 0; c < l->cols; c++) p_row[c] = get(p, where(l, r, c));
        read_targets(y, r, t_row);
        spec->f(k, l->cols, p_row, t_row, &want);
        expect(loss, r, w * want.loss, eps * w * (want.loss_bound + fabs(want.loss)) + tiny);
        for (ptrdiff_t c = 0; dp && c < l->cols; c++) {
            const double g = scale * w;
            const double bound = eps * g * (want.d_bound[c] + 3 * fabs(want.d[c])) + tiny;
            expect(dp, where(l, r, c), g * want.d[c], bound);
        }
    }
}

static void loss_case(kernels k, const char *name, fnn_loss f, const loss_spec *spec, enum side side,
                      ptrdiff_t rows, ptrdiff_t cols, int labels, int weighted, int gradient) {
    begin_case(k, side, "%s %td x %td labels %d weighted %d gradient %d", name, rows, cols, labels,
               weighted, gradient);
    const layout l = panels(k, rows, cols, 1);
    const double scale = 0.37;
    array *p = new_predictions(&l, spec->low, spec->high, spec->extremes), *in_place = new_matrix(&l);
    targets y = new_targets(k, rows, cols, labels);
    array *weight = weighted ? new_random(rows, 0, 2) : NULL, *dp = gradient ? new_matrix(&l) : NULL;
    array *loss = new_reals(rows), *loss_again = new_reals(rows), *loss_cut = new_reals(rows);
    array *cut = gradient ? new_matrix(&l) : NULL;
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t c = 0; c < cols; c++) put(in_place, where(&l, r, c), get(p, where(&l, r, c)));
    expect_loss(k, spec, &l, p, &y, weight, scale, loss, dp);

    fnn_loss_args args = {
        .rows = rows, .cols = cols, .p = at(p, 0), .p_panel = l.panel, .t = at(y.t, 0),
        .t_panel = y.l.panel, .label = at(y.label, 0), .weight = at(weight, 0), .scale = scale,
        .dp = at(dp, 0), .loss = at(loss, 0),
    };
    f(&args);
    args.p = args.dp = at(in_place, 0);
    args.loss = at(loss_again, 0);
    if (gradient) {
        f(&args);
        expect_same(in_place, dp);
        expect_same(loss_again, loss);
    }
    args.rows = 1;
    for (ptrdiff_t r = 0; r < rows && cols; r++) {
        args.p = at(p, r * l.row);
        args.t = at(y.t, y.t ? r * y.l.row : 0);
        args.label = at(y.label, r);
        args.weight = at(weight, r);
        args.dp = at(cut, r * l.row);
        args.loss = at(loss_cut, r);
        f(&args);
    }
    expect_same(loss_cut, loss);
    if (gradient) expect_same(cut, dp);
    end_case();
}

#define FOR_SHAPES(k)                                                                              \
    const ptrdiff_t v = (k)->vl, w = (k)->panel;                                                   \
    const ptrdiff_t heights[] = {0, 1, 3, v - 1, v, v + 1, 2 * v + 1, 33};                         \
    const ptrdiff_t widths[] = {0, 1, 2, 10, v - 1, v, v + 1, w - 1, w, w + 1, 2 * w + 3};         \
    for (size_t i = 0; i < sizeof heights / sizeof *heights; i++)                                  \
        for (size_t j = 0; j < sizeof widths / sizeof *widths; j++)                                \
            for (int side = 0; side < SIDES; side++)

void test_loss(kernels k, const char *name, fnn_loss f, const loss_spec *spec) {
    FOR_SHAPES(k) {
        for (int labels = 0; labels <= spec->labels; labels++) {
            loss_case(k, name, f, spec, (enum side)side, heights[i], widths[j], labels, side, 1);
            loss_case(k, name, f, spec, (enum side)side, heights[i], widths[j], labels, !side, side);
        }
    }
}

/* the first NaN counts as the largest */
static ptrdiff_t first_largest(ptrdiff_t n, const double *x) {
    ptrdiff_t best = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (isnan(x[i])) return i;
        if (x[i] > x[best]) best = i;
    }
    return best;
}

static double argmax_match(ptrdiff_t cols, const double *p, const double *t, double threshold) {
    (void)threshold;
    return first_largest(cols, p) == first_largest(cols, t);
}

static double threshold_match(ptrdiff_t cols, const double *p, const double *t, double threshold) {
    double sum = 0;
    for (ptrdiff_t c = 0; c < cols; c++) sum += t[c] == (p[c] > threshold);
    return sum / (double)cols;
}

static double squared_error(ptrdiff_t cols, const double *p, const double *t, double threshold) {
    (void)threshold;
    double sum = 0;
    for (ptrdiff_t c = 0; c < cols; c++) sum += (p[c] - t[c]) * (p[c] - t[c]);
    return sum / (double)cols;
}

static double absolute_error(ptrdiff_t cols, const double *p, const double *t, double threshold) {
    (void)threshold;
    double sum = 0;
    for (ptrdiff_t c = 0; c < cols; c++) sum += fabs(p[c] - t[c]);
    return sum / (double)cols;
}

static double predicted_positive(ptrdiff_t cols, const double *p, const double *t, double threshold) {
    (void)t;
    double sum = 0;
    for (ptrdiff_t c = 0; c < cols; c++) sum += p[c] > threshold;
    return sum / (double)cols;
}

static double actual_positive(ptrdiff_t cols, const double *p, const double *t, double threshold) {
    (void)p, (void)threshold;
    double sum = 0;
    for (ptrdiff_t c = 0; c < cols; c++) sum += t[c] > 0.5;
    return sum / (double)cols;
}

static double true_positive(ptrdiff_t cols, const double *p, const double *t, double threshold) {
    double sum = 0;
    for (ptrdiff_t c = 0; c < cols; c++) sum += p[c] > threshold && t[c] > 0.5;
    return sum / (double)cols;
}

const metric_spec spec_argmax_match = {argmax_match, 1};
const metric_spec spec_threshold_match = {threshold_match, 0};
const metric_spec spec_squared_error = {squared_error, 0};
const metric_spec spec_absolute_error = {absolute_error, 0};
const metric_spec spec_true_positive = {true_positive, 0};
const metric_spec spec_predicted_positive = {predicted_positive, 0};
const metric_spec spec_actual_positive = {actual_positive, 0};

static void metric_case(kernels k, const char *name, fnn_metric f, const metric_spec *spec,
                        enum side side, ptrdiff_t rows, ptrdiff_t cols, int labels) {
    begin_case(k, side, "%s %td x %td labels %d", name, rows, cols, labels);
    const layout l = panels(k, rows, cols, 1);
    array *p = new_predictions(&l, -1, 2, 1), *value = new_reals(rows), *cut = new_reals(rows);
    const double threshold = 0.25;
    targets y = new_targets(k, rows, cols, labels);
    for (ptrdiff_t r = 0; cols && r < rows; r++) {
        double p_row[MAX_COLS], t_row[MAX_COLS];
        if (r % 5 == 1) /* a tie of the largest */
            for (ptrdiff_t c = cols / 3; c < cols; c++) put(p, where(&l, r, c), 2);
        if (r % 5 == 3) put(p, where(&l, r, cols / 2), threshold);
        for (ptrdiff_t c = 0; c < cols; c++) p_row[c] = get(p, where(&l, r, c));
        read_targets(&y, r, t_row);
        const double want = spec->f(cols, p_row, t_row, threshold);
        expect(value, r, want, (double)(cols + 4) * epsilon(k) * want);
    }
    fnn_metric_args args = {
        .rows = rows, .cols = cols, .p = at(p, 0), .p_panel = l.panel, .t = at(y.t, 0),
        .t_panel = y.l.panel, .label = at(y.label, 0), .threshold = threshold, .value = at(value, 0),
    };
    f(&args);
    args.rows = 1;
    for (ptrdiff_t r = 0; r < rows && cols; r++) {
        args.p = at(p, r * l.row);
        args.t = at(y.t, y.t ? r * y.l.row : 0);
        args.label = at(y.label, r);
        args.value = at(cut, r);
        f(&args);
    }
    expect_same(cut, value);
    end_case();
}

void test_metric(kernels k, const char *name, fnn_metric f, const metric_spec *spec) {
    FOR_SHAPES(k) {
        for (int labels = 0; labels <= spec->labels; labels++)
            metric_case(k, name, f, spec, (enum side)side, heights[i], widths[j], labels);
    }
}
