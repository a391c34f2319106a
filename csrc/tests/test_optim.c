/* Optimizer steps against the textbook formulas. */
#include <math.h>

#include "tests.h"

static void sgd(const fnn_hyper *h, double g, weight_state *s) {
    const double step = h->lr * g, move = h->momentum * s->m - step;
    const double size = fabs(h->momentum * s->m) + fabs(step);
    if (h->momentum == 0) {
        s->w_bound = 2 * (fabs(s->w) + fabs(step));
        s->w -= step;
        return;
    }
    s->w_bound = 2 * fabs(s->w) + 8 * size;
    s->w += h->nesterov ? h->momentum * move - step : move;
    s->m = move;
    s->m_bound = 4 * size;
}

/* m and v, moving means of g and g^2 */
static void means(const fnn_hyper *h, double g, weight_state *s) {
    s->m_bound = 4 * (fabs(s->m) + 2 * fabs(g));
    s->v_bound = 4 * (fabs(s->v) + (1 - h->beta2) * g * g);
    s->m += (1 - h->beta1) * (g - s->m);
    s->v += (1 - h->beta2) * (g * g - s->v);
}

/* w -= lr x / (root + epsilon); bounds of x and of the root */
static void move(const fnn_hyper *h, double x, double x_bound, double root, double root_bound,
                 weight_state *s) {
    const double below = root + h->epsilon;
    s->w_bound = 2 * fabs(s->w)
                 + h->lr * (x_bound + fabs(x) * (8 + 2 * root_bound / below)) / below;
    s->w -= h->lr * x / below;
}

/* the bound of a root of x, which may have cancelled */
static double root_bound(double x, double bound) { return x > 0 ? bound / (2 * sqrt(x)) : 0; }

static void adam(const fnn_hyper *h, double g, weight_state *s) {
    means(h, g, s);
    move(h, s->m, s->m_bound, sqrt(s->v), root_bound(s->v, s->v_bound), s);
}

static void amsgrad(const fnn_hyper *h, double g, weight_state *s) {
    means(h, g, s);
    s->u_bound = s->v_bound;
    if (!(s->u > s->v)) s->u = s->v;
    move(h, s->m, s->m_bound, sqrt(s->u), root_bound(s->u, s->u_bound), s);
}

static void nadam(const fnn_hyper *h, double g, weight_state *s) {
    means(h, g, s);
    const double m = h->part_m * s->m, ahead = m + h->part_g * g;
    const double bound = fabs(h->part_m) * s->m_bound + 4 * (fabs(m) + fabs(h->part_g * g));
    move(h, ahead, bound, sqrt(s->v), root_bound(s->v, s->v_bound), s);
}

static void adamax(const fnn_hyper *h, double g, weight_state *s) {
    const double before = s->v;
    means(h, g, s);
    s->v = h->beta2 * before;
    if (!(s->v > fabs(g))) s->v = fabs(g);
    s->v_bound = 4 * s->v;
    move(h, s->m, s->m_bound, s->v, s->v_bound, s);
}

/* w -= lr g / sqrt(square + epsilon), or by momentum */
static void scaled(const fnn_hyper *h, double g, double square, double bound, weight_state *s) {
    const double root = sqrt(square + h->epsilon), d = h->lr * g / root;
    const double d_bound = fabs(d) * (8 + bound / (square + h->epsilon));
    if (h->momentum == 0) {
        s->w_bound = 2 * (fabs(s->w) + fabs(d)) + d_bound;
        s->w -= d;
        return;
    }
    s->m_bound = 4 * (fabs(h->momentum * s->m) + fabs(d)) + d_bound;
    s->m = h->momentum * s->m + d;
    s->w_bound = 2 * (fabs(s->w) + fabs(s->m)) + s->m_bound;
    s->w -= s->m;
}

static void rmsprop(const fnn_hyper *h, double g, weight_state *s) {
    const double u_before = s->u, v_bound = 4 * (s->v + (1 - h->beta2) * g * g);
    s->v += (1 - h->beta2) * (g * g - s->v);
    double square = s->v, bound = v_bound;
    if (h->centered) {
        s->u += (1 - h->beta2) * (g - u_before);
        s->u_bound = 4 * (fabs(u_before) + 2 * fabs(g));
        square = fmax(0, s->v - s->u * s->u);
        bound += 2 * fabs(s->u) * s->u_bound + 2 * s->u * s->u;
    }
    s->v_bound = v_bound;
    if (isnan(s->v)) square = s->v; /* fmax drops it */
    scaled(h, g, square, bound, s);
}

static void adagrad(const fnn_hyper *h, double g, weight_state *s) {
    fnn_hyper plain = *h;
    plain.momentum = 0; /* it has none */
    s->v += g * g;
    s->v_bound = 2 * s->v;
    scaled(&plain, g, s->v, s->v_bound, s);
}

static void lion(const fnn_hyper *h, double g, weight_state *s) {
    const double ahead = s->m + (1 - h->beta1) * (g - s->m);
    const double sign = isnan(ahead) ? ahead : (ahead > 0) - (ahead < 0);
    s->w_bound = 2 * (fabs(s->w) + h->lr);
    s->w -= h->lr * sign;
    s->m_bound = 4 * (fabs(s->m) + 2 * fabs(g));
    s->m += (1 - h->beta2) * (g - s->m);
}

static void average(const fnn_hyper *h, double g, weight_state *s) {
    s->w_bound = 4 * (fabs(s->w) + 2 * fabs(g));
    s->w += (1 - h->beta1) * (g - s->w);
}

const optim_spec spec_sgd = {sgd, HEAVY_M};
const optim_spec spec_adam = {adam, M | V};
const optim_spec spec_amsgrad = {amsgrad, M | V | U};
const optim_spec spec_nadam = {nadam, M | V};
const optim_spec spec_adamax = {adamax, M | V};
const optim_spec spec_rmsprop = {rmsprop, HEAVY_M | V | CENTERED_U};
const optim_spec spec_adagrad = {adagrad, V};
const optim_spec spec_lion = {lion, M};
const optim_spec spec_average = {average, AS_IT_IS};

/* the slots of it with these numbers: M, V and U */
static int slots_of(const optim_spec *spec, const fnn_hyper *h) {
    int slots = spec->slots & (M | V | U);
    if (spec->slots & HEAVY_M && h->momentum != 0) slots |= M;
    if (spec->slots & CENTERED_U && h->centered) slots |= U;
    return slots;
}

enum { PARTS = 5 };

typedef struct {
    array *part[PARTS]; /* g, w, m, v, u; NULL where there is none */
} state;

/* the first is random, one of its gradients NaN; `like` is copied */
static state new_state(const layout *l, int slots, const state *like) {
    const int has[PARTS] = {1, 1, slots & M, slots & V, slots & U};
    state s = {{NULL}};
    for (int p = 0; p < PARTS; p++) {
        if (has[p]) s.part[p] = random_matrix(l, p < 3 ? -1 : 0, 1);
        for (ptrdiff_t r = 0; like && has[p] && r < l->rows; r++)
            for (ptrdiff_t c = 0; c < l->cols; c++)
                put(s.part[p], where(l, r, c), get(like->part[p], where(l, r, c)));
    }
    if (!like && extent(l)) put(s.part[0], where(l, l->rows / 2, l->cols / 2), NAN);
    return s;
}

static void step(fnn_optim f, state *s, ptrdiff_t i, ptrdiff_t rows, ptrdiff_t cols,
                 const fnn_hyper *h) {
    f(rows, cols, h, at(s->part[0], i), at(s->part[1], i), at(s->part[2], i), at(s->part[3], i),
      at(s->part[4], i));
}

static double value(const array *x, ptrdiff_t i) { return x ? get(x, i) : 0; }

static void expect_state(kernels k, state *s, ptrdiff_t i, const fnn_hyper *h, const optim_spec *spec) {
    const double eps = epsilon(k), tiny = smallest(k);
    array **p = s->part;
    weight_state x = {.w = get(p[1], i), .m = value(p[2], i), .v = value(p[3], i), .u = value(p[4], i)};
    const double sign = (x.w > 0) - (x.w < 0), size = fabs(h->l1) + fabs(2 * h->l2 * x.w);
    double g = get(p[0], i);
    if (!(spec->slots & AS_IT_IS)) {
        g += h->l1 * sign + 2 * h->l2 * x.w;
        if (h->factor > 0) g *= h->factor;
        if (h->clip > 0 && fabs(g) > h->clip) g = g > 0 ? h->clip : -h->clip;
        x.w *= 1 - h->decay;
    }
    spec->f(h, g, &x);
    const double want[PARTS] = {0, x.w, x.m, x.v, x.u};
    const double bound[PARTS] = {0, x.w_bound, x.m_bound, x.v_bound, x.u_bound};
    /* a gradient that is a sum has that one's error */
    const double wider = size > 0 ? 1 + 8 * size / (fabs(g) + 1e-3) : 1;
    for (int j = 1; j < PARTS; j++)
        if (p[j]) expect(p[j], i, want[j], eps * wider * bound[j] + tiny);
}

enum { BLOCKS = 34 }; /* of P rows: enough for any P */

/* what each P rows' penalty grows by, of weights before a step */
static void add_penalties(const state *s, const layout *l, const fnn_hyper *h, ptrdiff_t p, double *sums) {
    for (ptrdiff_t r = 0; r < l->rows; r++) {
        for (ptrdiff_t c = 0; c < l->cols; c++) {
            const double w = get(s->part[1], where(l, r, c));
            sums[r / p] += h->l1 * fabs(w) + h->l2 * w * w;
        }
    }
}

static double sum_of(const double *x) {
    double sum = 0;
    for (int i = 0; i < BLOCKS; i++) sum += x[i];
    return sum;
}

static void expect_sums(kernels k, const char *what, const double *got, const double *want) {
    for (int i = 0; i < BLOCKS; i++)
        if (fabs(got[i] - want[i]) > epsilon(k) * 16 * want[i]) fail("%s[%d] %g, not %g", what, i, got[i], want[i]);
}

static void optim_case(kernels k, const char *name, fnn_optim f, const optim_spec *spec, enum side side,
                       ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *hyper) {
    double penalty[BLOCKS], in_parts[BLOCKS], want[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) penalty[i] = in_parts[i] = want[i] = 5 + i;
    fnn_hyper asks = *hyper, *h = &asks;
    begin_case(k, side, "%s %td x %td momentum %g nesterov %d centered %d", name, rows, cols,
               h->momentum, h->nesterov, h->centered);
    const layout l = panels(k, rows, cols, 0);
    const int slots = slots_of(spec, h);
    state whole = new_state(&l, slots, NULL), cut = new_state(&l, slots, &whole);
    state once = new_state(&l, slots, &whole);
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t c = 0; c < cols; c++) expect_state(k, &whole, where(&l, r, c), h, spec);
    if (!(spec->slots & AS_IT_IS)) add_penalties(&whole, &l, h, k->panel, want);
    step(f, &whole, 0, rows, cols, h); /* nobody asks for the penalty */

    h->penalty = in_parts;
    const ptrdiff_t half = rows / 2, left = cols / 3; /* rows in two parts, the second in columns too */
    if (extent(&l)) {
        step(f, &cut, 0, half, cols, h);
        step(f, &cut, half * k->panel, rows - half, left, h);
        step(f, &cut, half * k->panel + left, rows - half, cols - left, h);
    }
    for (int p = 1; p < PARTS; p++)
        if (cut.part[p]) expect_same(cut.part[p], whole.part[p]);
    h->penalty = penalty;
    step(f, &once, 0, rows, cols, h);
    for (int p = 1; p < PARTS; p++)
        if (once.part[p]) expect_same(once.part[p], whole.part[p]);
    expect_sums(k, "penalty", penalty, want);
    const double all = sum_of(want), parts = sum_of(in_parts);
    if (fabs(parts - all) > epsilon(k) * 16 * all) fail("penalty in parts %g, not %g", parts, all);
    end_case();
}

void test_optim(kernels k, const char *name, fnn_optim f, const optim_spec *spec) {
    const fnn_hyper hypers[] = {
        {.lr = 0.01, .momentum = 0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7, .part_m = 0.9,
         .part_g = 0.1},
        {.lr = 0.3, .momentum = 0.9, .beta1 = 0.5, .beta2 = 0, .epsilon = 1e-3, .part_m = 2,
         .part_g = -1, .centered = 1},
        {.lr = 1e-4, .momentum = 0.9, .beta1 = 0, .beta2 = 0.9, .epsilon = 1, .nesterov = 1,
         .decay = 0.01, .far = 1},
        {.lr = 0.1, .momentum = 0.5, .beta1 = 0.9, .beta2 = 0.9, .epsilon = 0.1, .part_m = 1,
         .part_g = 1, .l1 = 0.25, .l2 = 0.125, .clip = 0.5, .factor = 0.75, .decay = 0.125},
        {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.9, .epsilon = 0.1, .l2 = 0.25, .centered = 1},
    };
    const ptrdiff_t rows[] = {0, 1, 2, 3, 5, 33};
    const ptrdiff_t cols[] = {0, 1, k->vl - 1, k->vl, k->vl + 1, k->panel - 1, k->panel};
    for (int side = 0; side < SIDES; side++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
                for (size_t h = 0; h < sizeof hypers / sizeof *hypers; h++)
                    optim_case(k, name, f, spec, (enum side)side, rows[r], cols[c], &hypers[h]);
}

static void norm_case(kernels k, const char *name, fnn_norm f, enum side side, ptrdiff_t rows,
                      ptrdiff_t cols, double l1, double l2) {
    begin_case(k, side, "%s %td x %td l1 %g l2 %g", name, rows, cols, l1, l2);
    const layout l = panels(k, rows, cols, 0);
    array *w = random_matrix(&l, -1, 1), *g = random_matrix(&l, -1, 1);
    double want_squares[BLOCKS], want_penalty[BLOCKS], squares[BLOCKS], penalty[BLOCKS], alone[BLOCKS];
    double none[BLOCKS], as_was[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        want_squares[i] = squares[i] = none[i] = as_was[i] = 3 + i;
        want_penalty[i] = penalty[i] = alone[i] = 5 + i;
    }
    for (ptrdiff_t r = 0; r < rows; r++) {
        for (ptrdiff_t c = 0; c < cols; c++) {
            const double x = get(w, where(&l, r, c));
            const double y = get(g, where(&l, r, c)) + l1 * ((x > 0) - (x < 0)) + 2 * l2 * x;
            want_squares[r / k->panel] += y * y;
            want_penalty[r / k->panel] += l1 * fabs(x) + l2 * x * x;
        }
    }
    expect_same(w, w);
    expect_same(g, g);
    f(rows, cols, l1, l2, at(w, 0), at(g, 0), squares, penalty);
    f(rows, cols, l1, l2, at(w, 0), NULL, none, alone);
    expect_sums(k, "squares", squares, want_squares);
    expect_sums(k, "penalty", penalty, want_penalty);
    expect_sums(k, "penalty alone", alone, want_penalty);
    expect_sums(k, "squares without gradients", none, as_was);
    end_case();
}

void test_norm(kernels k, const char *name, fnn_norm f) {
    const ptrdiff_t rows[] = {0, 1, 2, 33}, cols[] = {0, 1, k->vl + 1, k->panel - 1, k->panel};
    for (int side = 0; side < SIDES; side++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
                for (int which = 0; which < 3; which++)
                    norm_case(k, name, f, (enum side)side, rows[r], cols[c], which == 1 ? 0.5 : 0,
                              which == 2 ? 0.25 : 0);
}
