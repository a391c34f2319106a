/* Products of few rows against plain loops, every way their operands may lie. */
#include <math.h>

#include "tests.h"

const few_spec spec_few_nn = {0};
const few_spec spec_few_nt = {1};

enum { NO_BIAS, OF_COLUMNS, OF_ROWS };

static void few_case(kernels k, const char *name, fnn_few f, const few_spec *spec, enum side side,
                     ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth, int count) {
    const int a_transposed = count % 2, gap = count % 3;
    const int c_transposed = count / 2 % 2;
    const int bias = count / 3 % 3, spoil = count % 5 == 0 && m && depth;
    begin_case(k, side, "%s m %td n %td k %td%s%s bias %d", name, m, n, depth,
               a_transposed ? " A transposed" : "", c_transposed ? " C transposed" : "", bias);
    const layout la = a_transposed ? row_major(k, depth, m, gap) : row_major(k, m, depth, gap);
    const layout lb = spec->transpose_b ? row_major(k, n, depth, gap) : row_major(k, depth, n, gap);
    const layout lc = c_transposed ? row_major(k, n, m, gap) : row_major(k, m, n, gap);
    array *a = random_matrix(&la, -1, 1), *b = random_matrix(&lb, -1, 1), *c = new_matrix(&lc);
    array *v = bias ? new_random(bias == OF_ROWS ? m : n, -1, 1) : NULL;
    if (spoil) { /* one row of C is lost, no other */
        const ptrdiff_t r = m / 2, i = depth / 2;
        put(a, a_transposed ? where(&la, i, r) : where(&la, r, i), m % 2 ? NAN : INFINITY);
    }
    for (ptrdiff_t r = 0; r < m; r++) {
        for (ptrdiff_t j = 0; j < n; j++) {
            double z = bias ? get(v, bias == OF_ROWS ? r : j) : 0, size = fabs(z);
            for (ptrdiff_t i = 0; i < depth; i++) {
                const double x = get(a, a_transposed ? where(&la, i, r) : where(&la, r, i));
                const double y = get(b, spec->transpose_b ? where(&lb, j, i) : where(&lb, i, j));
                z += x * y;
                size += fabs(x * y);
            }
            expect(c, c_transposed ? where(&lc, j, r) : where(&lc, r, j), z,
                   (double)(depth + 2) * epsilon(k) * size);
        }
    }
    f(&(fnn_few_args){
        .m = m, .n = n, .k = depth,
        .a = at(a, 0), .a_row = a_transposed ? 1 : la.row, .a_col = a_transposed ? la.row : 1,
        .b = at(b, 0), .ldb = lb.row,
        .c = at(c, 0), .c_row = c_transposed ? 1 : lc.row, .c_col = c_transposed ? lc.row : 1,
        .bias = at(v, 0), .bias_row = bias == OF_ROWS, .bias_col = bias != OF_ROWS,
    });
    end_case();
}

void test_few(kernels k, const char *name, fnn_few f, const few_spec *spec) {
    const ptrdiff_t v = k->vl;
    const ptrdiff_t ns[] = {0, 1, v - 1, v, v + 1, 2 * v + 1, 5 * v, 2049};
    const ptrdiff_t ks[] = {0, 1, 3, 4, 5, v, v + 1, 3 * v - 1, 130};
    int count = 0;
    for (ptrdiff_t m = 0; m <= k->mr + 3; m++)
        for (size_t j = 0; j < sizeof ns / sizeof *ns; j++)
            for (size_t l = 0; l < sizeof ks / sizeof *ks; l++)
                for (int side = 0; side < SIDES; side++)
                    few_case(k, name, f, spec, (enum side)side, m, ns[j], ks[l], count++ * 7 / 2);
    const ptrdiff_t deep[][2] = {{2, 257}, {3, 300}, {3, 2800}, {12, 1100}, {17, 700}}; /* rows, k */
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++)
        for (ptrdiff_t n = 1; n < 30; n += 4)
            for (int side = 0; side < SIDES; side++)
                few_case(k, name, f, spec, (enum side)side, deep[i][0], n, deep[i][1], count++ * 7 / 2);
    const ptrdiff_t far = (4 << 20) / k->itemsize / 2049 + 2; /* rows of a B that is fetched ahead */
    for (int side = 0; side < SIDES; side++) few_case(k, name, f, spec, (enum side)side, 1 + side, 2049, far, side);
}
