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

static void adam(const fnn_hyper *h, double g, weight_state *s) {
    const double m = s->m + (1 - h->beta1) * (g - s->m);
    const double v = s->v + (1 - h->beta2) * (g * g - s->v);
    s->m_bound = 4 * (fabs(s->m) + fabs(g));
    s->v_bound = 4 * (s->v + (1 - h->beta2) * g * g);
    const double root = sqrt(v) + h->epsilon;
    const double root_bound = v > 0 ? s->v_bound / (2 * sqrt(v)) : 0; /* v may have cancelled */
    s->w_bound = 2 * fabs(s->w) + h->lr * (s->m_bound + fabs(m) * (8 + 2 * root_bound / root)) / root;
    s->w -= h->lr * m / root;
    s->m = m;
    s->v = v;
}

const optim_spec spec_sgd = {sgd, 0};
const optim_spec spec_adam = {adam, 1};

typedef struct {
    array *g, *w, *m, *v;
} state;

/* the first is random, one of its gradients NaN; `like` is copied */
static state new_state(const layout *l, const optim_spec *spec, int has_m, const state *like) {
    state s = {random_matrix(l, -1, 1), random_matrix(l, -1, 1), NULL, NULL};
    if (has_m) s.m = random_matrix(l, -1, 1);
    if (spec->has_v) s.v = random_matrix(l, 0, 1);
    if (!like && extent(l)) put(s.g, where(l, l->rows / 2, l->cols / 2), NAN);
    for (ptrdiff_t r = 0; like && r < l->rows; r++) {
        for (ptrdiff_t c = 0; c < l->cols; c++) {
            const ptrdiff_t i = where(l, r, c);
            put(s.g, i, get(like->g, i));
            put(s.w, i, get(like->w, i));
            if (has_m) put(s.m, i, get(like->m, i));
            if (spec->has_v) put(s.v, i, get(like->v, i));
        }
    }
    return s;
}

static void step(fnn_optim f, state *s, ptrdiff_t i, ptrdiff_t rows, ptrdiff_t cols,
                 const fnn_hyper *h) {
    f(rows, cols, h, at(s->g, i), at(s->w, i), at(s->m, i), at(s->v, i));
}

static void expect_state(kernels k, state *s, ptrdiff_t i, const fnn_hyper *h, const optim_spec *spec) {
    const double eps = epsilon(k), tiny = smallest(k);
    weight_state x = {.w = get(s->w, i), .m = s->m ? get(s->m, i) : 0, .v = s->v ? get(s->v, i) : 0};
    spec->f(h, get(s->g, i), &x);
    expect(s->w, i, x.w, eps * x.w_bound + tiny);
    if (s->m) expect(s->m, i, x.m, eps * x.m_bound + tiny);
    if (s->v) expect(s->v, i, x.v, eps * x.v_bound + tiny);
}

static void optim_case(kernels k, const char *name, fnn_optim f, const optim_spec *spec, enum side side,
                       ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *h) {
    begin_case(k, side, "%s %td x %td momentum %g nesterov %d", name, rows, cols, h->momentum,
               h->nesterov);
    const layout l = panels(k, rows, cols, 0);
    const int has_m = spec->has_v || h->momentum != 0;
    state whole = new_state(&l, spec, has_m, NULL), cut = new_state(&l, spec, has_m, &whole);
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t c = 0; c < cols; c++) expect_state(k, &whole, where(&l, r, c), h, spec);
    step(f, &whole, 0, rows, cols, h);

    const ptrdiff_t half = rows / 2, left = cols / 3; /* rows in two parts, the second in columns too */
    if (extent(&l)) {
        step(f, &cut, 0, half, cols, h);
        step(f, &cut, half * k->panel, rows - half, left, h);
        step(f, &cut, half * k->panel + left, rows - half, cols - left, h);
    }
    expect_same(cut.w, whole.w);
    if (has_m) expect_same(cut.m, whole.m);
    if (spec->has_v) expect_same(cut.v, whole.v);
    end_case();
}

void test_optim(kernels k, const char *name, fnn_optim f, const optim_spec *spec) {
    const fnn_hyper hypers[] = {
        {.lr = 0.01, .momentum = 0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7},
        {.lr = 0.3, .momentum = 0.9, .beta1 = 0.5, .beta2 = 0, .epsilon = 1e-3},
        {.lr = 1e-4, .momentum = 0.9, .beta1 = 0, .beta2 = 0.9, .epsilon = 1, .nesterov = 1},
    };
    const ptrdiff_t rows[] = {0, 1, 2, 3, 5, 33};
    const ptrdiff_t cols[] = {0, 1, k->vl - 1, k->vl, k->vl + 1, k->panel - 1, k->panel};
    for (int side = 0; side < SIDES; side++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
                for (size_t h = 0; h < sizeof hypers / sizeof *hypers; h++)
                    optim_case(k, name, f, spec, (enum side)side, rows[r], cols[c], &hypers[h]);
}
