/* Losses with their gradients, and metrics, against long double. */
#include <math.h>
#include <string.h>

#include "tests.h"

/* t, smoothed; as the kernel rounds that, its error is 3 epsilons where there is smoothing */
static double smooth(double t, double part, double even) {
    return t + part * (even - t);
}

static double smooth_error(double part) { return part > 0 ? 3 : 0; }

static void mse(kernels k, ptrdiff_t cols, const double *param, const double *p, const double *t,
                row_loss *out) {
    (void)k, (void)param;
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

static void bce(kernels k, ptrdiff_t cols, const double *param, const double *p, const double *t,
                row_loss *out) {
    const double unsure = smooth_error(param[0]);
    long double sum = 0, size = 0;
    for (ptrdiff_t c = 0; c < cols; c++) {
        long double q = p[c];
        const int inside = clip(k, &q);
        const double s = smooth(t[c], param[0], 0.5);
        const long double yes = s * logl(q), no = (1 - (long double)s) * logl(1 - q);
        sum -= yes + no;
        size += fabsl(yes) * 4 + (fabsl(no) + fabsl(1 - (long double)s)) * 4;
        size += unsure * (fabsl(logl(q)) + fabsl(logl(1 - q)));
        out->d[c] = inside || isnan(p[c]) ? (double)((q - s) / (q * (1 - q)) / cols) : 0;
        out->d_bound[c] = 8 * fabs(out->d[c]) + unsure * (double)(1 / (q * (1 - q)) / cols);
    }
    out->loss = (double)(sum / cols);
    out->loss_bound = (double)(size / cols + (cols + 2) * fabsl(sum / cols));
}

static void bce_logits(kernels k, ptrdiff_t cols, const double *param, const double *p, const double *t,
                       row_loss *out) {
    (void)k;
    const double unsure = smooth_error(param[0]);
    long double sum = 0, size = 0;
    for (ptrdiff_t c = 0; c < cols; c++) {
        const long double x = p[c], q = 1 / (1 + expl(-x)), top = isnan(x) ? x : fmaxl(x, 0);
        const double s = smooth(t[c], param[0], 0.5);
        const long double tail = log1pl(expl(-fabsl(x)));
        sum += top - x * s + tail;
        size += 2 * (top + fabsl(x * s)) + 4 * tail + unsure * fabsl(x);
        out->d[c] = (double)((q - s) / cols);
        out->d_bound[c] = (double)((6 * q + 4 * fabs(s) + unsure) / cols);
    }
    out->loss = (double)(sum / cols);
    out->loss_bound = (double)(size / cols + (cols + 2) * fabsl(sum / cols));
}

static void xent(kernels k, ptrdiff_t cols, const double *param, const double *p, const double *t,
                 row_loss *out) {
    const double unsure = smooth_error(param[0]), even = 1 / (double)cols;
    long double total = 0, sum = 0, inside_t = 0, bound = 0;
    for (ptrdiff_t c = 0; c < cols; c++) total += p[c];
    for (ptrdiff_t c = 0; c < cols; c++) {
        const double s = smooth(t[c], param[0], even);
        long double q = p[c] / total;
        if (clip(k, &q)) inside_t += s;
        sum -= s * logl(q);
        bound += fabs(s) * (cols + 4 + 4 * fabsl(logl(q))) + unsure * fabsl(logl(q));
    }
    for (ptrdiff_t c = 0; c < cols; c++) {
        const double s = smooth(t[c], param[0], even);
        long double q = p[c] / total;
        const long double own = clip(k, &q) ? s / q : 0;
        out->d[c] = (double)((inside_t - own) / total);
        out->d_bound[c] = (double)((2 * cols + 8) * (fabsl(inside_t) + fabsl(own)) / fabsl(total));
        out->d_bound[c] += unsure * (double)((cols + 1 / q) / fabsl(total));
    }
    out->loss = (double)sum;
    out->loss_bound = (double)(bound + cols * fabsl(sum));
}

static void xent_logits(kernels k, ptrdiff_t cols, const double *param, const double *p, const double *t,
                        row_loss *out) {
    (void)k;
    const double unsure = smooth_error(param[0]), even = 1 / (double)cols;
    long double top = p[0], total = 0, sum_t = 0, sum = 0, bound = 0;
    for (ptrdiff_t c = 0; c < cols; c++) top = fmaxl(top, p[c]);
    for (ptrdiff_t c = 0; c < cols; c++) total += expl(p[c] - top);
    for (ptrdiff_t c = 0; c < cols; c++) {
        const double s = smooth(t[c], param[0], even);
        const long double x = p[c] - top;
        sum_t += s;
        if (s != 0) sum += s * (logl(total) - x);
        bound += fabs(s) * (4 * logl(total) + 2 * cols + 8 + (s != 0 ? 4 * fabsl(x) : 0));
    }
    for (ptrdiff_t c = 0; c < cols; c++) {
        const double s = smooth(t[c], param[0], even);
        const long double x = p[c] - top, q = expl(x) / total;
        out->d[c] = (double)(q * sum_t - s);
        const long double terms = 2 * cols + 8 + fminl(fabsl(x), 1000);
        out->d_bound[c] = (double)(terms * q * sum_t) + 2 * fabs(s) + unsure * (double)(cols * q + 1);
    }
    for (ptrdiff_t c = 0; c < cols; c++) bound += unsure * (logl(total) + fabsl(p[c] - top));
    out->loss = isnan(total) ? NAN : (double)fminl(sum, param[1]);
    out->loss_bound = (double)bound + (double)cols * fabs(out->loss);
}

/* Losses that are a sum over the columns: an element's, with the errors allowed, in epsilons. */
typedef struct {
    long double loss, bound, d, d_bound;
} element;
typedef element element_reference(kernels k, const double *param, long double p, long double t);

static void sum_up(element_reference *f, kernels k, ptrdiff_t cols, ptrdiff_t parts, const double *param,
                   const double *p, const double *t, row_loss *out) {
    long double sum = 0, bound = 0, size = 0;
    for (ptrdiff_t c = 0; c < cols; c++) {
        const element e = f(k, param, p[c], t[c]);
        sum += e.loss;
        size += fabsl(e.loss);
        bound += e.bound;
        out->d[c] = (double)(e.d / parts);
        out->d_bound[c] = (double)((e.d_bound + 2 * fabsl(e.d)) / parts);
    }
    out->loss = (double)(sum / parts);
    out->loss_bound = (double)((bound + (cols + 2) * size) / parts);
}

/* the kernel's test: the mean, or with parts 1 the sum, over the columns */
#define ELEMENTS(name, parts)                                                                      \
    static void name(kernels k, ptrdiff_t cols, const double *param, const double *p,              \
                     const double *t, row_loss *out) {                                             \
        sum_up(name##_element, k, cols, parts, param, p, t, out);                                  \
    }

static element half_squared_element(kernels k, const double *param, long double p, long double t) {
    (void)k;
    const long double e = p - t;
    return (element){param[0] * e * e, 4 * param[0] * e * e, e, fabsl(e)};
}

static element half_poisson_logits_element(kernels k, const double *param, long double p, long double t) {
    (void)k, (void)param;
    const long double q = expl(p), own = t > 0 ? t * logl(t) : 0;
    const long double size = q + fabsl(t * p) + fabsl(own) + t;
    return (element){q - t * p + own - t, 8 * size, q - t, 4 * q + t};
}

static element log_loss_logits_element(kernels k, const double *param, long double p, long double t) {
    const long double q = 1 / (1 + expl(-p)), low = rounded(k, param[0]), high = rounded(k, 1 - param[0]);
    const long double c = q < low ? low : q > high ? high : q, rest = 1 - c;
    const long double loss = -t * logl(c) - (1 - t) * logl(rest);
    const long double bound = 8 * (fabsl(logl(c)) + fabsl(logl(rest))) + 8 * t + 8 * (1 - t) / rest;
    /* 1 / q may overflow where q is subnormal, which is 0 then */
    const long double gone = q < 4 * smallest(k) / epsilon(k) ? q / epsilon(k) : 0;
    return (element){loss, bound, q - t, 8 * q + t + gone};
}

static long double sign(long double x) { return isnan(x) ? x : (x > 0) - (x < 0); }

static element mae_element(kernels k, const double *param, long double p, long double t) {
    (void)k, (void)param;
    return (element){fabsl(p - t), fabsl(p - t), sign(p - t), 0};
}

static element mape_element(kernels k, const double *param, long double p, long double t) {
    (void)param;
    const long double size = fmaxl(fabsl(t), rounded(k, 1e-7));
    const long double loss = 100 * fabsl(p - t) / size, d = 100 * sign(p - t) / size;
    return (element){loss, 3 * loss, d, 2 * fabsl(d)};
}

static element msle_element(kernels k, const double *param, long double p, long double t) {
    (void)param;
    const long double low = rounded(k, 1e-7);
    const long double a = isnan(p) ? p : logl(1 + fmaxl(p, low)), b = logl(1 + fmaxl(t, low));
    const long double e = a - b, error = 4 * (1 + a + b);
    const long double slope = p < low ? 0 : 1 / (1 + p);
    return (element){e * e, 2 * fabsl(e) * error + error * error * epsilon(k), 2 * e * slope,
                     (2 * error + 6 * fabsl(e)) * slope};
}

static element huber_element(kernels k, const double *param, long double p, long double t) {
    (void)k;
    const long double delta = param[0], e = p - t, size = fabsl(e);
    const int large = size > delta;
    const long double loss = large ? delta * size - delta * delta / 2 : size * size / 2;
    return (element){loss, 4 * (loss + delta * delta), large ? delta * sign(e) : e, size};
}

static element log_cosh_element(kernels k, const double *param, long double p, long double t) {
    (void)k, (void)param;
    const long double e = p - t, size = fabsl(e);
    const long double loss = size + log1pl(expl(-2 * size)) - logl(2);
    return (element){loss, 4 * (1 + size), tanhl(e), 4 * fabsl(tanhl(e)) + size / (1 + size * size)};
}

static element quantile_element(kernels k, const double *param, long double p, long double t) {
    (void)k;
    const long double e = p - t, d = e > 0 ? 1 - param[0] : e < 0 ? -param[0] : e;
    return (element){d * e, 3 * fabsl(d * e), d, fabsl(d)};
}

static element poisson_element(kernels k, const double *param, long double p, long double t) {
    (void)param;
    const long double q = p + rounded(k, 1e-7), l = logl(q);
    return (element){p - t * l, 4 * (fabsl(p) + t * (1 + fabsl(l))), 1 - t / q, 1 + 4 * t / fabsl(q)};
}

static element hinge_element(kernels k, const double *param, long double p, long double t) {
    (void)k, (void)param;
    const long double side = t == 0 ? -1 : t, m = 1 - side * p;
    return (element){m < 0 ? 0 : m, 3 * (1 + fabsl(p)), isnan(m) ? m : m > 0 ? -side : 0, 0};
}

static element squared_hinge_element(kernels k, const double *param, long double p, long double t) {
    const element e = hinge_element(k, param, p, t);
    return (element){e.loss * e.loss, 3 * e.loss * e.bound, 2 * e.loss * e.d, 2 * (e.bound + e.loss)};
}

static element kld_element(kernels k, const double *param, long double p, long double t) {
    (void)param;
    const long double low = rounded(k, 1e-7), q = isnan(p) ? p : fminl(fmaxl(p, low), 1);
    const long double s = fminl(fmaxl(t, low), 1), l = logl(s / q);
    return (element){s * l, 4 * s * (1 + fabsl(l)), p < low || p > 1 ? 0 : -s / q, 3 * s / q};
}

/* a x^gamma bce; slope is that of 1 - x = r for t = 1, d the derivative of bce */
static element focal_of(const double *param, long double q, long double rest, long double slope,
                        long double bce, long double d, long double t) {
    const long double x = t * rest + (1 - t) * q, a = t * param[2] + (1 - t) * param[3];
    const long double factor = a * powl(x, param[1]), moves = param[1] * bce * (2 * t - 1) * slope / x;
    const long double unsure = 12 + 6 * param[1] * (2 + fabsl(logl(x))) + 3 * smooth_error(param[0]);
    return (element){factor * bce, unsure * factor * (bce + 1), factor * (d - moves),
                     unsure * factor * (fabsl(d) + fabsl(moves) + slope * (1 + param[1] / x))};
}

static element focal_element(kernels k, const double *param, long double p, long double t) {
    long double q = p;
    const int inside = clip(k, &q) || isnan(p);
    const long double s = smooth((double)t, param[0], 0.5);
    const long double bce = -s * logl(q) - (1 - s) * logl(1 - q);
    return focal_of(param, q, 1 - q, 1, bce, inside ? (q - s) / (q * (1 - q)) : 0, s);
}

static element focal_logits_element(kernels k, const double *param, long double p, long double t) {
    (void)k;
    const long double s = smooth((double)t, param[0], 0.5), tail = log1pl(expl(-fabsl(p)));
    const long double q = 1 / (1 + expl(-p)), rest = 1 / (1 + expl(p));
    const long double bce = (isnan(p) ? p : fmaxl(p, 0)) - s * p + tail;
    element e = focal_of(param, q, rest, q * rest, bce, (1 - s) * q - s * rest, s);
    e.bound += fabsl(4 * powl(s * rest + (1 - s) * q, param[1]) * p); /* of max(p, 0) - p t */
    e.d_bound += 4 * powl(s * rest + (1 - s) * q, param[1]) * (1 + fabsl(p));
    return e;
}

ELEMENTS(mae, cols)
ELEMENTS(mape, cols)
ELEMENTS(msle, cols)
ELEMENTS(huber, cols)
ELEMENTS(log_cosh, cols)
ELEMENTS(quantile, cols)
ELEMENTS(poisson, cols)
ELEMENTS(hinge, cols)
ELEMENTS(squared_hinge, cols)
ELEMENTS(kld, 1)
ELEMENTS(focal, cols)
ELEMENTS(focal_logits, cols)
ELEMENTS(half_squared, 1)
ELEMENTS(half_poisson_logits, 1)
ELEMENTS(log_loss_logits, 1)

static void categorical_hinge(kernels k, ptrdiff_t cols, const double *param, const double *p,
                              const double *t, row_loss *out) {
    (void)k, (void)param;
    long double pos = 0, neg = -INFINITY, size = 1;
    ptrdiff_t at_neg = 0;
    for (ptrdiff_t c = 0; c < cols; c++) {
        const long double other = (1 - (long double)t[c]) * p[c];
        pos += (long double)t[c] * p[c];
        size += fabsl(p[c]);
        if (other > neg) neg = other, at_neg = c;
    }
    const long double margin = 1 + neg - pos;
    for (ptrdiff_t c = 0; c < cols; c++) {
        const long double d = (c == at_neg) * (1 - (long double)t[c]) - t[c];
        out->d[c] = isnan(margin) ? NAN : (double)(margin > 0 ? d : 0);
        out->d_bound[c] = 2 * fabs(out->d[c]) + 2;
    }
    out->loss = (double)(margin < 0 ? 0 : margin);
    out->loss_bound = (double)((cols + 4) * size);
}

static void cosine(kernels k, ptrdiff_t cols, const double *param, const double *p, const double *t,
                   row_loss *out) {
    (void)param;
    const long double low = rounded(k, 1e-7);
    long double pp = 0, tt = 0, pt = 0, size = 0;
    for (ptrdiff_t c = 0; c < cols; c++) {
        pp += (long double)p[c] * p[c];
        tt += (long double)t[c] * t[c];
        pt += (long double)p[c] * t[c];
        size += fabsl((long double)p[c] * t[c]);
    }
    const int tiny = sqrtl(pp) < low;
    const long double i = 1 / (tiny ? low : sqrtl(pp)), j = 1 / fmaxl(sqrtl(tt), low);
    const long double loss = -pt * i * j, unsure = (2 * cols + 16);
    for (ptrdiff_t c = 0; c < cols; c++) {
        const long double own = j * t[c], along = tiny ? 0 : loss * i * p[c];
        out->d[c] = (double)(-i * (own + along));
        out->d_bound[c] = (double)(unsure * i * (fabsl(own) + fabsl(i * p[c]) * size * i * j));
    }
    out->loss = (double)loss;
    out->loss_bound = (double)(unsure * size * i * j);
}

static void focal_xent_of(const double *param, ptrdiff_t cols, const double *t, const long double *q,
                          const long double *log_q, long double unsure, long double *h, row_loss *out,
                          long double *h_bound) {
    const long double even = 1 / (long double)cols, gamma = param[1];
    long double sum = 0, bound = 0;
    for (ptrdiff_t c = 0; c < cols; c++) {
        const long double s = param[2] * smooth(t[c], param[0], (double)even), rest = fmaxl(1 - q[c], 1e-30L);
        const long double power = powl(rest, gamma), size = s != 0 ? fabsl(log_q[c]) : 0;
        const long double own = s != 0 ? -s * power * log_q[c] : 0;
        h[c] = s != 0 ? s * power * (gamma * q[c] * log_q[c] / rest - 1) : 0;
        /* 1 - q and log q are off by `unsure` and more of their size */
        h_bound[c] = fabsl(s) * (1 + gamma) * (unsure + 16) * (1 + size);
        h_bound[c] += smooth_error(param[0]) * param[2] * (1 + gamma) * (1 + fabsl(log_q[c]));
        sum += own;
        bound += h_bound[c];
    }
    out->loss = (double)sum;
    out->loss_bound = (double)(bound + cols * fabsl(sum));
}

static void focal_xent(kernels k, ptrdiff_t cols, const double *param, const double *p, const double *t,
                       row_loss *out) {
    long double q[MAX_COLS] = {0}, log_q[MAX_COLS] = {0}, h[MAX_COLS], h_bound[MAX_COLS];
    int inside[MAX_COLS];
    long double total = 0, sum = 0, bound = 0;
    for (ptrdiff_t c = 0; c < cols; c++) total += p[c];
    for (ptrdiff_t c = 0; c < cols; c++) {
        q[c] = p[c] / total;
        inside[c] = clip(k, &q[c]) || isnan(total);
        log_q[c] = logl(q[c]);
    }
    focal_xent_of(param, cols, t, q, log_q, 2 * cols, h, out, h_bound);
    for (ptrdiff_t c = 0; c < cols; c++) {
        if (!inside[c]) h[c] = 0;
        sum += h[c];
        bound += h_bound[c] + cols * fabsl(h[c]);
    }
    for (ptrdiff_t c = 0; c < cols; c++) {
        out->d[c] = (double)((h[c] / q[c] - sum) / total);
        out->d_bound[c] = (double)((bound + (h_bound[c] + (2 * cols + 8) * fabsl(h[c])) / q[c]) / fabsl(total));
        out->d_bound[c] += (double)((2 * cols + 8) * fabsl(sum / total));
    }
}

static void focal_xent_logits(kernels k, ptrdiff_t cols, const double *param, const double *p,
                              const double *t, row_loss *out) {
    long double q[MAX_COLS] = {0}, log_q[MAX_COLS] = {0}, h[MAX_COLS], h_bound[MAX_COLS];
    long double top = p[0], total = 0, sum = 0, bound = 0;
    (void)k;
    for (ptrdiff_t c = 0; c < cols; c++) top = fmaxl(top, p[c]);
    for (ptrdiff_t c = 0; c < cols; c++) total += expl(p[c] - top);
    for (ptrdiff_t c = 0; c < cols; c++) {
        log_q[c] = p[c] - top - logl(total);
        q[c] = expl(log_q[c]);
    }
    focal_xent_of(param, cols, t, q, log_q, 2 * cols + 8, h, out, h_bound);
    for (ptrdiff_t c = 0; c < cols; c++) {
        sum += h[c];
        bound += h_bound[c] + cols * fabsl(h[c]);
    }
    for (ptrdiff_t c = 0; c < cols; c++) {
        const long double terms = 2 * cols + 8 + fminl(fabsl(log_q[c]), 1000);
        out->d[c] = (double)(h[c] - q[c] * sum);
        out->d_bound[c] = (double)(h_bound[c] + q[c] * (bound + terms * fabsl(sum)));
    }
}

/* t's columns are half as many */
static void gaussian_nll(kernels k, ptrdiff_t cols, const double *param, const double *p, const double *t,
                         row_loss *out) {
    const ptrdiff_t n = cols / 2;
    const double low = rounded(k, param[0]);
    long double sum = 0, bound = 0;
    for (ptrdiff_t c = 0; c < n; c++) {
        const long double e = (long double)p[c] - t[c], s = p[n + c] < low ? low : p[n + c];
        const long double precision = expl(-s), square = e * e * precision;
        sum += s + square;
        bound += (n + 4) * fabsl(s) + (n + 12) * square;
        out->d[c] = (double)(e * precision / n);
        out->d_bound[c] = 12 * fabs(out->d[c]);
        out->d[n + c] = (double)((1 - square) / 2 / n);
        out->d_bound[n + c] = (double)((4 + 12 * square) / n);
    }
    out->loss = (double)(sum / 2 / n + param[1]);
    out->loss_bound = (double)(bound / n) + 4 * fabs(param[1]) + 4 * fabs(out->loss);
}

const loss_spec spec_mse = {mse, -3, 3, 1, 0, 0, {0}, 0};
const loss_spec spec_bce = {bce, 0, 1, 1, 0, 1, {0}, 0};
const loss_spec spec_bce_logits = {bce_logits, -6, 6, 1, 0, 1, {0}, 0};
const loss_spec spec_xent = {xent, 0.01, 1, 0, 1, 1, {0}, 0};
const loss_spec spec_xent_logits = {xent_logits, -6, 6, 1, 1, 1, {0, 5}, 0};
const loss_spec spec_mae = {mae, -3, 3, 1, 0, 0, {0}, 0};
const loss_spec spec_mape = {mape, -3, 3, 1, 0, 0, {0}, 0};
const loss_spec spec_msle = {msle, -1, 9, 1, 0, 0, {0}, 0};
const loss_spec spec_huber = {huber, -3, 3, 1, 0, 0, {0.75}, 0};
const loss_spec spec_log_cosh = {log_cosh, -3, 3, 1, 0, 0, {0}, 0};
const loss_spec spec_quantile = {quantile, -3, 3, 1, 0, 0, {0.875}, 0};
const loss_spec spec_poisson = {poisson, 0.01, 3, 0, 0, 0, {0}, 0};
const loss_spec spec_hinge = {hinge, -3, 3, 1, 0, 0, {0}, 0};
const loss_spec spec_squared_hinge = {squared_hinge, -3, 3, 1, 0, 0, {0}, 0};
const loss_spec spec_categorical_hinge = {categorical_hinge, -3, 3, 1, 0, 0, {0}, 0};
const loss_spec spec_kld = {kld, 0, 1, 1, 0, 0, {0}, 0};
const loss_spec spec_cosine = {cosine, -3, 3, 1, 0, 0, {0}, 0};
const loss_spec spec_focal = {focal, 0, 1, 1, 0, 1, {0, 1.5, 0.25, 0.75}, 0};
const loss_spec spec_focal_logits = {focal_logits, -6, 6, 1, 0, 1, {0, 1.5, 0.25, 0.75}, 0};
const loss_spec spec_focal_xent = {focal_xent, 0.01, 1, 0, 0, 1, {0, 1.5, 0.25}, 0};
const loss_spec spec_focal_xent_logits = {focal_xent_logits, -6, 6, 1, 0, 1, {0, 1.5, 0.25}, 0};
const loss_spec spec_half_squared = {half_squared, -3, 3, 1, 0, 0, {0.25}, 0};
const loss_spec spec_half_poisson_logits = {half_poisson_logits, -3, 3, 0, 0, 0, {0}, 0};
const loss_spec spec_log_loss_logits = {log_loss_logits, -6, 6, 1, 0, 0, {1e-3}, 0};
const loss_spec spec_gaussian_nll = {gaussian_nll, -3, 3, 1, 0, 0, {-4, 0.9}, 1};

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

static void expect_loss(kernels k, const loss_spec *spec, const double *param, const layout *l,
                        array *p, const targets *y, array *weight, double scale, array *loss, array *dp) {
    const double eps = epsilon(k), tiny = (double)(4 + 2 * l->cols) * smallest(k);
    double p_row[MAX_COLS], t_row[MAX_COLS];
    row_loss want;
    for (ptrdiff_t r = 0; l->cols && r < l->rows; r++) {
        const double w = weight ? get(weight, r) : 1;
        for (ptrdiff_t c = 0; c < l->cols; c++) p_row[c] = get(p, where(l, r, c));
        read_targets(y, r, t_row);
        spec->f(k, l->cols, param, p_row, t_row, &want);
        expect(loss, r, w * want.loss, eps * w * (want.loss_bound + fabs(want.loss)) + tiny);
        for (ptrdiff_t c = 0; dp && c < l->cols; c++) {
            const double g = scale * w;
            const double bound = eps * g * (want.d_bound[c] + 3 * fabs(want.d[c])) + tiny;
            expect(dp, where(l, r, c), g * want.d[c], bound);
        }
    }
}

static void loss_case(kernels k, const char *name, fnn_loss f, const loss_spec *spec, enum side side,
                      ptrdiff_t rows, ptrdiff_t cols, int labels, int weighted, int gradient,
                      double smoothing) {
    begin_case(k, side, "%s %td x %td labels %d weighted %d gradient %d smoothing %g", name, rows, cols,
               labels, weighted, gradient, smoothing);
    double param[FNN_LOSS_PARAMS];
    memcpy(param, spec->param, sizeof param);
    if (smoothing > 0) param[0] = smoothing;
    const layout l = panels(k, rows, cols, 1);
    const double scale = 0.37;
    array *p = new_predictions(&l, spec->low, spec->high, spec->extremes), *in_place = new_matrix(&l);
    targets y = new_targets(k, rows, spec->halves ? cols / 2 : cols, labels);
    array *weight = weighted ? new_random(rows, 0, 2) : NULL, *dp = gradient ? new_matrix(&l) : NULL;
    array *loss = new_reals(rows), *loss_again = new_reals(rows), *loss_cut = new_reals(rows);
    array *cut = gradient ? new_matrix(&l) : NULL;
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t c = 0; c < cols; c++) put(in_place, where(&l, r, c), get(p, where(&l, r, c)));
    expect_loss(k, spec, param, &l, p, &y, weight, scale, loss, dp);

    fnn_loss_args args = {
        .rows = rows, .cols = cols, .p = at(p, 0), .p_panel = l.panel, .t = at(y.t, 0),
        .t_panel = y.l.panel, .label = at(y.label, 0), .weight = at(weight, 0), .scale = scale,
        .dp = at(dp, 0), .loss = at(loss, 0),
    };
    memcpy(args.param, param, sizeof param);
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
        const ptrdiff_t cols = widths[j] * (spec->halves ? 2 : 1);
        for (int labels = 0; labels <= spec->labels; labels++) {
            loss_case(k, name, f, spec, (enum side)side, heights[i], cols, labels, side, 1, 0);
            loss_case(k, name, f, spec, (enum side)side, heights[i], cols, labels, !side, side, 0);
            if (!spec->smooths) continue;
            loss_case(k, name, f, spec, (enum side)side, heights[i], cols, labels, side, 1, 0.25);
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

static double argmax_match(ptrdiff_t cols, const double *p, const double *t, double number) {
    (void)number;
    return first_largest(cols, p) == first_largest(cols, t);
}

static double in_top_k(ptrdiff_t cols, const double *p, const double *t, double number) {
    const ptrdiff_t own = first_largest(cols, t);
    double larger = 0;
    for (ptrdiff_t c = 0; c < cols; c++) larger += !(p[c] <= p[own]);
    return !isnan(p[own]) && larger < number;
}

static double threshold_match(ptrdiff_t cols, const double *p, const double *t, double number) {
    double sum = 0;
    for (ptrdiff_t c = 0; c < cols; c++) sum += t[c] == (p[c] > number);
    return sum / (double)cols;
}

static double squared_error(ptrdiff_t cols, const double *p, const double *t, double number) {
    (void)number;
    double sum = 0;
    for (ptrdiff_t c = 0; c < cols; c++) sum += (p[c] - t[c]) * (p[c] - t[c]);
    return sum / (double)cols;
}

static double absolute_error(ptrdiff_t cols, const double *p, const double *t, double number) {
    (void)number;
    double sum = 0;
    for (ptrdiff_t c = 0; c < cols; c++) sum += fabs(p[c] - t[c]);
    return sum / (double)cols;
}

static double predicted_positive(ptrdiff_t cols, const double *p, const double *t, double number) {
    (void)t;
    double sum = 0;
    for (ptrdiff_t c = 0; c < cols; c++) sum += p[c] > number;
    return sum / (double)cols;
}

static double actual_positive(ptrdiff_t cols, const double *p, const double *t, double number) {
    (void)p, (void)number;
    double sum = 0;
    for (ptrdiff_t c = 0; c < cols; c++) sum += t[c] > 0.5;
    return sum / (double)cols;
}

static double true_positive(ptrdiff_t cols, const double *p, const double *t, double number) {
    double sum = 0;
    for (ptrdiff_t c = 0; c < cols; c++) sum += p[c] > number && t[c] > 0.5;
    return sum / (double)cols;
}

const metric_spec spec_argmax_match = {argmax_match, 1, 0.25};
const metric_spec spec_in_top_k = {in_top_k, 1, 3};
const metric_spec spec_threshold_match = {threshold_match, 0, 0.25};
const metric_spec spec_squared_error = {squared_error, 0, 0.25};
const metric_spec spec_absolute_error = {absolute_error, 0, 0.25};
const metric_spec spec_true_positive = {true_positive, 0, 0.25};
const metric_spec spec_predicted_positive = {predicted_positive, 0, 0.25};
const metric_spec spec_actual_positive = {actual_positive, 0, 0.25};

static void metric_case(kernels k, const char *name, fnn_metric f, const metric_spec *spec,
                        enum side side, ptrdiff_t rows, ptrdiff_t cols, int labels) {
    begin_case(k, side, "%s %td x %td labels %d", name, rows, cols, labels);
    const layout l = panels(k, rows, cols, 1);
    array *p = new_predictions(&l, -1, 2, 1), *value = new_reals(rows), *cut = new_reals(rows);
    targets y = new_targets(k, rows, cols, labels);
    for (ptrdiff_t r = 0; cols && r < rows; r++) {
        double p_row[MAX_COLS], t_row[MAX_COLS];
        if (r % 5 == 1) /* a tie of the largest */
            for (ptrdiff_t c = cols / 3; c < cols; c++) put(p, where(&l, r, c), 2);
        if (r % 5 == 3) put(p, where(&l, r, cols / 2), spec->number);
        for (ptrdiff_t c = 0; c < cols; c++) p_row[c] = get(p, where(&l, r, c));
        read_targets(&y, r, t_row);
        const double want = spec->f(cols, p_row, t_row, spec->number);
        expect(value, r, want, (double)(cols + 4) * epsilon(k) * want);
    }
    fnn_metric_args args = {
        .rows = rows, .cols = cols, .p = at(p, 0), .p_panel = l.panel, .t = at(y.t, 0),
        .t_panel = y.l.panel, .label = at(y.label, 0), .number = spec->number, .value = at(value, 0),
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
