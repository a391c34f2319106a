/* Products of sparse rows, and the sums of their gradient. */
#include <math.h>

#include "tests.h"

enum { MAX_NONZEROS = 9, MANY = 150 }; /* of a row */

/* Rows of 0 .. MAX_NONZEROS non-zeros, the second of MANY, in random columns, some of them twice. */
static void sparse_case(kernels k, const char *name, fnn_sparse f, enum side side, ptrdiff_t rows,
                        ptrdiff_t cols, ptrdiff_t depth, int indexed, int biased) {
    begin_case(k, side, "%s %td x %td k %td indexed %d biased %d", name, rows, cols, depth, indexed,
               biased);
    const ptrdiff_t source_rows = indexed ? 2 * rows + 1 : rows;
    const layout l = panels(k, depth + 1, cols, 1), to = panels(k, rows, cols, 1);
    array *b = random_matrix(&l, -1, 1), *c = new_matrix(&to);
    array *begin = new_ints(source_rows + 1, sizeof(int64_t));
    array *index = indexed ? new_ints(rows, sizeof(int64_t)) : NULL;
    array *bias = biased ? new_random(cols, -1, 1) : NULL;
    ptrdiff_t n = 3;
    for (ptrdiff_t i = 0; i <= source_rows; i++) {
        put_int(begin, i, n);
        if (i < source_rows && depth > 0) n += i == 1 ? MANY : (ptrdiff_t)uniform(0, MAX_NONZEROS + 1);
    }
    array *column = new_ints(n, sizeof(int32_t)), *value = new_random(n, -2, 2);
    for (ptrdiff_t z = 3; z < n; z++) put_int(column, z, (int64_t)uniform(0, (double)depth));
    for (ptrdiff_t r = 0; r < rows; r++) {
        const ptrdiff_t i = indexed ? r * 7 % source_rows : r;
        const int64_t *at_begin = (const int64_t *)at(begin, i);
        if (indexed) put_int(index, r, i);
        for (ptrdiff_t j = 0; j < cols; j++) {
            double want = biased ? get(bias, j) : 0, size = fabs(want);
            for (int64_t z = at_begin[0]; z < at_begin[1]; z++) {
                const int32_t row = ((const int32_t *)at(column, 0))[z];
                const double product = get(value, z) * get(b, where(&l, row, j));
                want += product;
                size += fabs(product);
            }
            expect(c, where(&to, r, j), want, (double)(at_begin[1] - at_begin[0] + 2) * epsilon(k) * size);
        }
    }
    f(&(fnn_sparse_args){
        .m = rows, .n = cols, .index = at(index, 0), .begin = at(begin, 0), .column = at(column, 0),
        .value = at(value, 0), .b = at(b, 0), .b_panel = l.panel, .bias = at(bias, 0),
        .bias_panel = k->panel, .c = at(c, 0), .c_panel = to.panel});
    end_case();
}

void test_sparse(kernels k, const char *name, fnn_sparse f) {
    const ptrdiff_t v = k->vl, p = k->panel;
    const ptrdiff_t rows[] = {0, 1, 2, 9}, depths[] = {0, 1, p, 3 * p + 2};
    const ptrdiff_t cols[] = {0, 1, v - 1, v + 1, p - 1, p, p + 1, 3 * p, 4 * p - 1, 6 * p, 7 * p + 2};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
            for (size_t d = 0; d < sizeof depths / sizeof *depths; d++)
                for (int flags = 0; flags < 8; flags++)
                    sparse_case(k, name, f, (enum side)(flags & 1), rows[r], cols[c], depths[d],
                                flags >> 1 & 1, flags >> 2);
}

static void scatter_case(kernels k, const char *name, fnn_scatter f, enum side side, ptrdiff_t n,
                         ptrdiff_t cols) {
    begin_case(k, side, "%s %td x %td", name, n, cols);
    enum { FROM = 5, TO = 4 };
    const layout lx = panels(k, FROM, cols, 0), ly = panels(k, TO, cols, 0);
    array *x = random_matrix(&lx, -1, 1), *y = random_matrix(&ly, -1, 1);
    array *to = new_ints(n, sizeof(int32_t)), *from = new_ints(n, sizeof(int32_t));
    array *value = new_random(n, -2, 2);
    for (ptrdiff_t i = 0; i < n; i++) {
        put_int(to, i, (int64_t)uniform(0, TO));
        put_int(from, i, (int64_t)uniform(0, FROM));
    }
    for (ptrdiff_t r = 0; r < TO; r++) {
        for (ptrdiff_t c = 0; c < cols; c++) {
            double want = get(y, where(&ly, r, c)), size = fabs(want);
            for (ptrdiff_t i = 0; i < n; i++) {
                if (((const int32_t *)at(to, 0))[i] != r) continue;
                const int32_t row = ((const int32_t *)at(from, 0))[i];
                const double product = get(value, i) * get(x, where(&lx, row, c));
                want += product;
                size += fabs(product);
            }
            expect(y, where(&ly, r, c), want, (double)(2 * n + 1) * epsilon(k) * size);
        }
    }
    f(n, cols, at(to, 0), at(from, 0), at(value, 0), at(x, 0), at(y, 0));
    end_case();
}

void test_scatter(kernels k, const char *name, fnn_scatter f) {
    const ptrdiff_t v = k->vl, p = k->panel;
    const ptrdiff_t ns[] = {0, 1, 2, 30}, cols[] = {0, 1, v - 1, v, v + 1, p - 1, p};
    for (size_t i = 0; i < sizeof ns / sizeof *ns; i++)
        for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
            for (int side = 0; side < SIDES; side++)
                scatter_case(k, name, f, (enum side)side, ns[i], cols[c]);
}
