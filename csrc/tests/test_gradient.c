/* Gradient and optimizer step in one: the bits of the two kernels one after the other; of sums of squares
 * the same number. */
#include <math.h>

#include "tests.h"

static fnn_optim sgd_of(const fnn_kernels *k) { return k->sgd; }
static fnn_optim adam_of(const fnn_kernels *k) { return k->adam; }

const gradient_spec spec_gradient_sgd = {sgd_of, 0};
const gradient_spec spec_gradient_adam = {adam_of, 1};
const gradient_spec spec_gradient_norm = {NULL, 0};

/* a second array with the same elements */
static array *copy(const layout *l, const array *x) {
    array *y = new_matrix(l);
    for (ptrdiff_t r = 0; r < l->rows; r++)
        for (ptrdiff_t c = 0; c < l->cols; c++) put(y, where(l, r, c), get(x, where(l, r, c)));
    return y;
}

/* what the two kernels made of x is what x stays, and what y is to become */
static void as_computed(array *x, array *y) {
    expect_same(x, x);
    expect_same(y, x);
}

/* k, or for a bfloat16 table, which has none, the float32 table of its ISA */
static kernels with_optimizers(kernels k) {
    for (int isa = 0; !k->adam && isa < FNN_ISAS; isa++) {
        if (fnn_get_kernels((enum fnn_isa)isa, FNN_BFLOAT16) == k)
            return fnn_get_kernels((enum fnn_isa)isa, FNN_FLOAT32);
    }
    return k;
}

enum { BLOCKS = 5 }; /* of P rows: one more than any case has */

static void gradient_case(kernels k, kernels optimizers, const char *name, fnn_gradient f,
                          const gradient_spec *spec, enum side side, ptrdiff_t rows, ptrdiff_t cols,
                          ptrdiff_t depth, const fnn_hyper *hyper, int keeps) {
    double penalty[BLOCKS], penalty1[BLOCKS], squares[BLOCKS], squares1[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) penalty[i] = penalty1[i] = 3 + i, squares[i] = squares1[i] = 5 + i;
    fnn_hyper first = *hyper, second = *hyper, *h = &first;
    first.penalty = penalty;
    second.penalty = penalty1;
    begin_case(k, side, "%s %td x %td k %td momentum %g%s", name, rows, cols, depth, h->momentum,
               keeps ? " kept" : "");
    const layout a = panels(k, depth, rows, 1), b = panels(k, depth, cols, 0);
    const layout l = panels(k, rows, cols, 0);
    const int has_m = spec->has_v || h->momentum != 0;
    array *x = random_matrix(&a, -1, 1), *dy = random_matrix(&b, -1, 1);
    array *g = new_matrix(&l), *kept = new_matrix(&l);
    array *w = random_matrix(&l, -1, 1), *w1 = copy(&l, w);
    array *m = has_m ? random_matrix(&l, -1, 1) : NULL, *m1 = has_m ? copy(&l, m) : NULL;
    array *v = spec->has_v ? random_matrix(&l, 0, 1) : NULL, *v1 = v ? copy(&l, v) : NULL;

    const fnn_gemm_args product = {
        .m = rows, .n = cols, .k = depth, .a = at(x, 0), .a_panel = a.panel,
        .b = at(dy, 0), .b_row = k->panel, .c = at(g, 0), .c_row = k->panel,
    };
    k->gemm_tn(&product);
    if (spec->optim) spec->optim(optimizers)(rows, cols, h, at(g, 0), at(w, 0), at(m, 0), at(v, 0), NULL);
    else optimizers->norm(rows, cols, h->l1, h->l2, at(w, 0), at(g, 0), squares, penalty);

    as_computed(w, w1);
    if (has_m) as_computed(m, m1);
    if (v) as_computed(v, v1);
    as_computed(g, keeps ? kept : g);
    f(&(fnn_gradient_args){
        .rows = rows, .cols = cols, .k = depth, .a = at(x, 0), .a_panel = a.panel, .b = at(dy, 0),
        .hyper = &second, .g = keeps ? at(kept, 0) : NULL, .w = at(w1, 0), .m = at(m1, 0),
        .v = at(v1, 0), .squares = squares1, .far = keeps,
        .ahead = at(dy, 0), .ahead_end = at(dy, (depth ? depth - 1 : 0) * k->panel),
        .turned = keeps ? NULL : at(w1, 0), .turned_panel = cols * k->panel});
    const double off = spec->optim ? 0 : 16 * epsilon(k);
    for (int i = 0; i < BLOCKS; i++) {
        if (fabs(penalty1[i] - penalty[i]) > off * penalty[i])
            fail("penalty[%d] %.17g, not %.17g", i, penalty1[i], penalty[i]);
        if (fabs(squares1[i] - squares[i]) > off * squares[i])
            fail("squares[%d] %.17g, not %.17g", i, squares1[i], squares[i]);
    }
    end_case();
}

void test_gradient(kernels k, const char *name, fnn_gradient f, const gradient_spec *spec) {
    const fnn_hyper hypers[] = {
        {.lr = 0.01, .momentum = 0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7},
        {.lr = 0.3, .momentum = 0.9, .beta1 = 0.5, .beta2 = 0.9, .epsilon = 1e-3, .nesterov = 1},
        {.lr = 0.3, .momentum = 0.9, .beta1 = 0.5, .beta2 = 0.9, .epsilon = 1e-3, .l1 = 0.1,
         .l2 = 0.2, .clip = 0.5, .factor = 0.75, .decay = 0.1},
        {.lr = 0.3, .momentum = 0.9, .beta1 = 0.5, .beta2 = 0.9, .epsilon = 1e-3, .l2 = 0.2},
    };
    const kernels optimizers = with_optimizers(k);
    const ptrdiff_t v = k->vl, p = k->panel;
    const ptrdiff_t rows[] = {0, 1, 2, p - 1, p, p + 1, 3 * p + 2};
    const ptrdiff_t cols[] = {0, 1, v / 4, v / 4 + 1, v - 1, v, v + 1, p - 1, p};
    const ptrdiff_t ks[] = {0, 1, 2, 5, 44, 97};
    int count = 0;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
            for (size_t i = 0; i < sizeof ks / sizeof *ks; i++)
                for (int side = 0; side < SIDES; side++, count++)
                    gradient_case(k, optimizers, name, f, spec, (enum side)side, rows[r], cols[c],
                                  ks[i], &hypers[count / 2 % 4], count % 3 == 0);
}
