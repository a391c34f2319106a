/* Pairs of bfloat16 against the rounding's definition. */
#include <float.h>
#include <math.h>

#include "tests.h"

const pair_spec spec_pair_columns = {0};
const pair_spec spec_pair_rows = {1};

/* numbers around each edge of the rounding: ties either way, overflow, subnormals, no numbers */
static double edge(ptrdiff_t i) {
    static const double edges[] = {
        1.00390625, 1.01171875, 0x1.010001p0, 0x1.00ffffp0, -0x1.03p0, FLT_MAX, -FLT_MAX, 0x1.fep127,
        FLT_MIN, FLT_MIN / 2, -FLT_MIN / 4, FLT_TRUE_MIN, 0.0, -0.0, INFINITY, -INFINITY, NAN};
    return edges[i % (ptrdiff_t)(sizeof edges / sizeof *edges)];
}

static double value(array *x, const layout *l, ptrdiff_t r, ptrdiff_t c) {
    return r < l->rows && c < l->cols ? get(x, where(l, r, c)) : 0;
}

static void pair_case(kernels k, const char *name, fnn_pair f, const pair_spec *spec, enum side side,
                      layout l) {
    begin_case(k, side, "%s %td x %td row %td", name, l.rows, l.cols, l.row);
    const layout to = spec->of_rows ? panels(k, (l.rows + 1) / 2, l.cols, 1)
                                    : panels(k, l.rows, (l.cols + 1) / 2, 1);
    array *x = random_matrix(&l, -1, 1), *dst = new_ints(extent(&to), sizeof(uint32_t));
    array *want = new_ints(extent(&to), sizeof(uint32_t));
    for (ptrdiff_t r = 0; r < l.rows; r++)
        for (ptrdiff_t c = 0; c < l.cols; c++)
            if ((r + c) % 3 == 1) put(x, where(&l, r, c), edge(r * l.cols + c));
    const ptrdiff_t end = (to.cols + to.width - 1) / to.width * to.width;
    for (ptrdiff_t r = 0; r < to.rows; r++) {
        for (ptrdiff_t c = 0; c < end; c++) {
            const ptrdiff_t r1 = spec->of_rows ? 2 * r + 1 : r, c1 = spec->of_rows ? c : 2 * c + 1;
            const double low = spec->of_rows ? value(x, &l, 2 * r, c) : value(x, &l, r, 2 * c);
            put_pair(want, where(&to, r, c), low, value(x, &l, r1, c1));
        }
    }
    f(l.rows, l.cols, l.row, l.panel, at(x, 0), to.panel, at(dst, 0));
    expect_same(dst, want);
    end_case();
}

void test_pair(kernels k, const char *name, fnn_pair f, const pair_spec *spec) {
    const ptrdiff_t v = k->vl, p = k->panel;
    const ptrdiff_t sizes[] = {0, 1, 2, 7, v - 1, v + 1, 2 * v, p - 1, p, p + 1, 2 * p, 4 * p + 3};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            for (int side = 0; side < SIDES; side++) {
                const ptrdiff_t rows = sizes[i], cols = sizes[j];
                pair_case(k, name, f, spec, (enum side)side, panels(k, rows, cols, 1));
                pair_case(k, name, f, spec, (enum side)side, row_major(k, rows, cols, 3));
            }
        }
    }
}
