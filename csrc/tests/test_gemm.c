/* Matrix products against three plain loops, with every epilogue; those of bfloat16, whose order and
 * roundings the contract fixes, to the bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests.h"

const gemm_spec spec_gemm_nn = {0};
const gemm_spec spec_gemm_tn = {1};

enum { MAX_M = 64, MAX_K = 1030 };

/* What happens to A B on the way out, each with its kernel of the table; slope bounds |f'|. */
typedef struct {
    const char *name;
    int accumulate, bias;
    fnn_unary act;
    const unary_spec *act_spec;
    fnn_grad grad;
    const grad_spec *grad_spec;
    double scale;
} epilogue;

typedef struct {
    ptrdiff_t m, n, k;
    layout a, b, c, bias;
    int transpose_a;
    int plain; /* A lies row-major */
    int pairs; /* elements of A and B are pairs of bfloat16 */
} shape;

/* One row and column are skipped before A and B, so that they begin at any first row. */
static ptrdiff_t where_a(const shape *s, ptrdiff_t r, ptrdiff_t i) {
    return s->transpose_a ? where(&s->a, i + 1, r) : where(&s->a, r + 1, i);
}

typedef struct {
    array *a, *b, *c, *cut, *bias, *s;
} operands;

static array *random_operand(const shape *s, const layout *l) {
    array *a = random_matrix(l, -1, 1);
    for (ptrdiff_t r = 0; s->pairs && r < l->rows; r++)
        for (ptrdiff_t c = 0; c < l->cols; c++)
            put_pair(a, where(l, r, c), uniform(-1, 1), uniform(-1, 1));
    return a;
}

static shape new_shape(kernels k, int transpose_a, ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth,
                       int dense) {
    shape s = {m, n, depth, .transpose_a = transpose_a, .pairs = !strcmp(k->dtype, "bf16")};
    const ptrdiff_t rows = (transpose_a ? depth : m) + 1, cols = transpose_a ? m : depth;
    s.plain = !s.pairs && (m + 2 * n + depth) % 3 == 0;
    s.a = s.plain ? row_major(k, rows, cols, 1 + n % 3) : panels(k, rows, cols, 1);
    s.b = n % k->panel <= k->slim && m % 2 ? row_major(k, depth, n, n % 3) : panels(k, depth, n, 2);
    s.c = dense ? row_major(k, m, n, (m + n) % 3) : panels(k, m, n, 1);
    s.bias = (layout){1, n, k->panel, k->panel + 1, k->panel, 0};
    return s;
}

static operands new_operands(const shape *s, const epilogue *e, int spoil) {
    operands o = {.a = random_operand(s, &s->a), .b = random_operand(s, &s->b)};
    if (spoil && s->m && s->k) /* one row of C is lost, no other */
        put(o.a, where_a(s, s->m / 2, s->k / 2), s->m % 2 ? NAN : INFINITY);
    o.c = e->accumulate ? random_matrix(&s->c, -1, 1) : new_matrix(&s->c);
    o.cut = new_matrix(&s->c);
    if (e->bias) o.bias = random_matrix(&s->bias, -1, 1);
    if (e->grad) o.s = random_matrix(&s->c, e->grad_spec->low, e->grad_spec->high);
    for (ptrdiff_t r = 0; e->accumulate && r < s->m; r++) {
        for (ptrdiff_t c = 0; c < s->n; c++) {
            const ptrdiff_t i = where(&s->c, r, c);
            put(o.cut, i, get(o.c, i));
        }
    }
    return o;
}

/* rows r .. r+m-1 and columns c .. c+n-1 of C; c a multiple of P, and r for A^T */
static void run(fnn_gemm f, const shape *s, const epilogue *e, operands *o, array *to, ptrdiff_t r,
                ptrdiff_t c, ptrdiff_t m, ptrdiff_t n, array *packed) {
    const int some = m > 0 && n > 0;
    const fnn_gemm_args args = {
        .m = m, .n = n, .k = s->k,
        .a = s->k && some ? at(o->a, where_a(s, r, 0)) : at(o->a, 0), .a_panel = s->a.panel,
        .a_row = s->plain ? s->a.row : 0, .b = at(o->b, some ? where(&s->b, 0, c) : 0), .b_row = s->b.row,
        .b_panel = s->b.panel, .b_to = at(packed, 0),
        .c = at(to, some ? where(&s->c, r, c) : 0), .c_row = s->c.row, .c_panel = s->c.panel,
        .accumulate = e->accumulate,
        .bias = at(o->bias, some ? where(&s->bias, 0, c) : 0), .bias_panel = s->bias.panel,
        .act = e->act, .grad = e->grad, .s = at(o->s, some ? where(&s->c, r, c) : 0),
        .scale = e->scale,
        .next = s->k ? at(o->b, 0) : NULL, .next_row = s->b.row, .next_rows = s->k, .next_cols = n,
    };
    f(&args);
}

/* the sum of k products from `start` on, and its error */
static double dot(kernels k, ptrdiff_t n, const double *a, const double *b, double start,
                  double *bound) {
    double z = start, size = fabs(start);
    for (ptrdiff_t j = 0; j < n; j++) {
        z += a[j] * b[j];
        size += fabs(a[j] * b[j]);
    }
    *bound = (double)(n + 2) * epsilon(k) * size;
    return z;
}

/* the same in bfloat16, without any: the products are exact, and each addition rounds once */
static double dot_of_pairs(ptrdiff_t n, const double *a, const double *b, double start) {
    float z = (float)start;
    for (ptrdiff_t j = 0; j < n; j++) z += (float)(a[j ^ 1] * b[j ^ 1]); /* the high half first */
    return z;
}

/* z = sum of products (+ C or bias), its error within gamma_k |A||B|; then f(z) or z f'(s) */
static void expect_element(kernels k, const shape *s, const epilogue *e, operands *o,
                           const double *a_row, const double *b_col, ptrdiff_t r, ptrdiff_t c) {
    const double eps = epsilon(k);
    const ptrdiff_t i = where(&s->c, r, c);
    const double c_before = e->accumulate ? get(o->c, i) : 0;
    const double start = e->bias ? get(o->bias, where(&s->bias, 0, c)) : 0;
    double z, bound = 0;
    if (s->pairs) {
        z = dot_of_pairs(2 * s->k, a_row, b_col, start);
        if (e->accumulate) z = (float)(c_before + z);
    } else {
        z = dot(k, s->k, a_row, b_col, start + c_before, &bound);
    }
    if (e->act) { /* no |f'| is above 1.1 */
        z = (double)e->act_spec->f(z);
        bound = 1.1 * bound + eps * (e->act_spec->ulp + 1) * fabs(z);
    } else if (e->grad) {
        const double slope = (double)e->grad_spec->f(get(o->s, i));
        const double slope_bound = (e->grad_spec->ulp + 1) * fabs(slope) + e->grad_spec->absolute;
        bound = bound * fabs(slope) + eps * slope_bound * (fabs(z) + bound);
        z *= slope;
        if (e->scale != 0) {
            z *= e->scale;
            bound = fabs(e->scale) * bound + eps * fabs(z);
        }
    }
    expect(o->c, i, z, bound + 4 * smallest(k));
}

/* element i of an operand, the j-th of k, to its place in `to`: a pair to two */
static void read_operand(const shape *s, const array *x, ptrdiff_t i, ptrdiff_t j, double *to) {
    if (s->pairs) {
        to[2 * j] = get_half(x, i, 0);
        to[2 * j + 1] = get_half(x, i, 1);
    } else {
        to[j] = get(x, i);
    }
}

static void expect_product(kernels k, const shape *s, const epilogue *e, operands *o) {
    static double a_rows[MAX_M][2 * MAX_K], b_col[2 * MAX_K];
    for (ptrdiff_t r = 0; r < s->m; r++)
        for (ptrdiff_t j = 0; j < s->k; j++) read_operand(s, o->a, where_a(s, r, j), j, a_rows[r]);
    for (ptrdiff_t c = 0; c < s->n; c++) {
        for (ptrdiff_t j = 0; j < s->k; j++) read_operand(s, o->b, where(&s->b, j, c), j, b_col);
        for (ptrdiff_t r = 0; r < s->m; r++) expect_element(k, s, e, o, a_rows[r], b_col, r, c);
    }
}

/* lower rows; the full panels of B in one call that packs them, what fills none in another */
static void run_packing(kernels k, fnn_gemm f, const shape *s, const epilogue *e, operands *o,
                        ptrdiff_t r) {
    const ptrdiff_t full = r < s->m && !s->plain ? s->n / k->panel * k->panel : 0;
    const layout packed = panels(k, s->k, full, 0);
    array *to = new_matrix(&packed);
    for (ptrdiff_t i = 0; i < s->k; i++)
        for (ptrdiff_t c = 0; c < full; c++)
            expect(to, where(&packed, i, c), get(o->b, where(&s->b, i, c)), 0);
    run(f, s, e, o, o->cut, r, 0, s->m - r, full, to);
    run(f, s, e, o, o->cut, r, full, s->m - r, s->n - full, NULL);
}

static void gemm_case(kernels k, const char *name, fnn_gemm f, const gemm_spec *spec,
                      enum side side, ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth, const epilogue *e) {
    const int dense = (m + n + depth) % 2 == 0, spoil = !e->grad && (m + depth) % 3 == 0;
    const shape s = new_shape(k, spec->transpose_a, m, n, depth, dense);
    begin_case(k, side, "%s m %td n %td k %td %s%s%s", name, m, n, depth, e->name,
               dense ? " C row-major" : "", s.plain ? " A row-major" : "");
    operands o = new_operands(&s, e, spoil);
    expect_product(k, &s, e, &o);
    run(f, &s, e, &o, o.c, 0, 0, m, n, NULL);

    /* the same in parts: upper rows narrow and again whole unless that would add twice, lower rows
     * packing B where A is packed */
    const ptrdiff_t unit = spec->transpose_a ? k->panel : 1, split = m / 2 / unit * unit;
    const ptrdiff_t narrow = s.b.row == k->panel ? n / 2 : n / 2 / k->panel * k->panel; /* of a row-major B */
    if (!e->accumulate) run(f, &s, e, &o, o.cut, 0, 0, split, narrow, NULL);
    run(f, &s, e, &o, o.cut, 0, 0, split, n, NULL);
    run_packing(k, f, &s, e, &o, split);
    expect_same(o.cut, o.c);
    end_case();
}

void test_gemm(kernels k, const char *name, fnn_gemm f, const gemm_spec *spec) {
    const epilogue epilogues[] = {
        {.name = "plain"},
        {.name = "accumulate", .accumulate = 1},
        {.name = "bias", .bias = 1},
        {.name = "relu", .bias = 1, .act = k->relu, .act_spec = &spec_relu},
        {.name = "tanh", .act = k->tanh, .act_spec = &spec_tanh},
        {.name = "silu", .bias = 1, .act = k->silu, .act_spec = &spec_silu},
        {.name = "relu_backward", .grad = k->relu_backward, .grad_spec = &spec_relu_backward},
        {.name = "relu_backward, scaled", .grad = k->relu_backward, .grad_spec = &spec_relu_backward,
         .scale = 1.25},
        {.name = "tanh_backward", .grad = k->tanh_backward, .grad_spec = &spec_tanh_backward},
    };
    const size_t n_epilogues = sizeof epilogues / sizeof *epilogues;
    const ptrdiff_t v = k->vl, p = k->panel, mr = k->mr;
    const ptrdiff_t ms[] = {0, 1, 2, 3, 9, mr - 1, mr, mr + 1, p - 1, p, p + 1, 2 * mr + 1};
    const ptrdiff_t ns[] = {0, 1, v / 4, v / 4 + 1, v - 1, v, v + 1, p - 1, p, p + 1, p + v / 4, 2 * p + 1};
    const ptrdiff_t ks[] = {0, 1, 3, 4, 5, p - 1, p, p + 1, 2 * p + 1, 257, MAX_K};
    size_t count = 0;
    for (size_t i = 0; i < sizeof ms / sizeof *ms; i++)
        for (size_t j = 0; j < sizeof ns / sizeof *ns; j++)
            for (size_t l = 0; l < sizeof ks / sizeof *ks; l++)
                for (int side = 0; side < SIDES; side++)
                    gemm_case(k, name, f, spec, (enum side)side, ms[i], ns[j], ks[l],
                              &epilogues[count++ * 5 / 2 % n_epilogues]);
}

/* as many operations as it says, in proportion to its rounds */
void test_probe(kernels k, const char *name, fnn_probe f) {
    begin_case(k, GUARD_AFTER, "%s", name);
    const double one = f(1), many = f(1000);
    if (f(0) != 0) fail("no rounds are %g operations", f(0));
    if (one < 2.0 * (double)k->vl || many != 1000 * one) fail("%g and %g operations", one, many);
    end_case();
}
