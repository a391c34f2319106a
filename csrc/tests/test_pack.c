/* Packing, gathering, the affine map and column sums. */
#include <math.h>

#include "tests.h"

const pack_spec spec_pack = {0, 0};
const pack_spec spec_pack_transpose = {1, 0};
const pack_spec spec_unpack = {0, 1};

/* padding columns of the last panel are to be zero */
static void expect_padding(array *a, const layout *l) {
    const ptrdiff_t end = (l->cols + l->width - 1) / l->width * l->width;
    for (ptrdiff_t r = 0; r < l->rows; r++)
        for (ptrdiff_t c = l->cols; c < end; c++) expect(a, where(l, r, c), 0, 0);
}

static ptrdiff_t place(const layout *l, int transpose, ptrdiff_t r, ptrdiff_t c) {
    return transpose ? where(l, c, r) : where(l, r, c);
}

static void pack_case(kernels k, const char *name, fnn_pack f, const pack_spec *spec, enum side side,
                      ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t gap) {
    begin_case(k, side, "%s %td x %td gap %td", name, rows, cols, gap);
    const layout packed = panels(k, rows, cols, gap);
    const layout x = spec->transpose ? row_major(k, cols, rows, gap) : row_major(k, rows, cols, gap);
    const layout *from = spec->unpack ? &packed : &x, *to = spec->unpack ? &x : &packed;
    array *src = random_matrix(from, -1, 1), *dst = new_matrix(to);
    for (ptrdiff_t r = 0; r < rows; r++) {
        for (ptrdiff_t c = 0; c < cols; c++) {
            if ((r + c) % 17 == 5) put(src, place(from, spec->transpose, r, c), c % 2 ? NAN : -INFINITY);
            expect(dst, where(to, r, c), get(src, place(from, spec->transpose, r, c)), 0);
        }
    }
    if (!spec->unpack) expect_padding(dst, to);
    f(rows, cols, at(src, 0), x.row, packed.panel, at(dst, 0));
    end_case();
}

static void gather_case(kernels k, const char *name, fnn_gather f, enum side side, ptrdiff_t rows,
                        ptrdiff_t cols, int indexed, int scaled) {
    begin_case(k, side, "%s %td x %td indexed %d scaled %d", name, rows, cols, indexed, scaled);
    const ptrdiff_t source_rows = indexed ? 2 * rows + 1 : rows;
    const layout to = panels(k, rows, cols, 1), from = row_major(k, source_rows, cols, 3);
    array *src = random_matrix(&from, -1, 1), *dst = new_matrix(&to);
    array *index = indexed ? new_ints(rows, sizeof(int64_t)) : NULL;
    array *scale = scaled ? new_random(cols, -2, 2) : NULL;
    array *shift = scaled ? new_random(cols, -2, 2) : NULL;
    for (ptrdiff_t r = 0; r < rows; r++) {
        const ptrdiff_t source = indexed ? r * 7 % source_rows : r;
        if (indexed) put_int(index, r, source);
        for (ptrdiff_t c = 0; c < cols; c++) {
            const double x = get(src, where(&from, source, c));
            const double product = scaled ? x * get(scale, c) : x, b = scaled ? get(shift, c) : 0;
            const double bound = scaled ? 2 * epsilon(k) * (fabs(product) + fabs(b)) : 0;
            expect(dst, where(&to, r, c), product + b, bound);
        }
    }
    expect_padding(dst, &to);
    f(rows, cols, at(index, 0), at(src, 0), from.row, at(scale, 0), at(shift, 0), to.panel, at(dst, 0));
    end_case();
}

static void scale_case(kernels k, const char *name, fnn_scale f, enum side side, layout l, int shifted) {
    begin_case(k, side, "%s %td x %td row %td shifted %d", name, l.rows, l.cols, l.row, shifted);
    array *x = random_matrix(&l, -1, 1), *y = new_matrix(&l), *in_place = new_matrix(&l);
    array *scale = new_random(l.cols, -2, 2), *shift = shifted ? new_random(l.cols, -2, 2) : NULL;
    for (ptrdiff_t r = 0; r < l.rows; r++) {
        for (ptrdiff_t c = 0; c < l.cols; c++) {
            const ptrdiff_t i = where(&l, r, c);
            if (r == l.rows / 2 && c == l.cols / 2) put(x, i, NAN);
            put(in_place, i, get(x, i));
            const double product = get(x, i) * get(scale, c), b = shifted ? get(shift, c) : 0;
            expect(y, i, product + b, 2 * epsilon(k) * (fabs(product) + fabs(b)));
        }
    }
    f(l.rows, l.cols, l.row, l.panel, at(x, 0), at(scale, 0), at(shift, 0), at(y, 0));
    f(l.rows, l.cols, l.row, l.panel, at(in_place, 0), at(scale, 0), at(shift, 0), at(in_place, 0));
    expect_same(in_place, y);
    end_case();
}

static void colsum_case(kernels k, const char *name, fnn_colsum f, enum side side, layout l) {
    const int squares = f == k->colsquare;
    begin_case(k, side, "%s %td x %td row %td", name, l.rows, l.cols, l.row);
    const layout sums = {1, l.cols, k->panel, k->panel + 1, k->panel, 0};
    array *x = random_matrix(&l, -1, 1), *sum = new_matrix(&sums), *one = new_matrix(&sums);
    for (ptrdiff_t c = 0; c < l.cols; c++) {
        double want = 0, size = 0;
        if (c % 8 == 5 && l.rows) put(x, where(&l, l.rows / 2, c), NAN);
        for (ptrdiff_t r = 0; r < l.rows; r++) {
            const double v = get(x, where(&l, r, c));
            want += squares ? v * v : v;
            size += squares ? v * v : fabs(v);
        }
        expect(sum, where(&sums, 0, c), want, (double)(l.rows + 1) * epsilon(k) * size);
    }
    f(l.rows, l.cols, l.row, l.panel, at(x, 0), sums.panel, at(sum, 0));
    for (ptrdiff_t c = 0; c < l.cols; c += k->panel) { /* a panel at a time */
        const ptrdiff_t cols = l.cols - c < k->panel ? l.cols - c : k->panel;
        f(l.rows, cols, l.row, l.panel, at(x, where(&l, 0, c)), sums.panel, at(one, where(&sums, 0, c)));
    }
    expect_same(one, sum);
    end_case();
}

#define FOR_SHAPES(k)                                                                              \
    const ptrdiff_t v = (k)->vl, p = (k)->panel;                                                   \
    const ptrdiff_t sizes[] = {0, 1, 2, 7, 13, v - 1, v, v + 1, p - 1, p, p + 1, 2 * p + 3};       \
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)                                      \
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)                                  \
            for (int side = 0; side < SIDES; side++)

void test_pack(kernels k, const char *name, fnn_pack f, const pack_spec *spec) {
    FOR_SHAPES(k) pack_case(k, name, f, spec, (enum side)side, sizes[i], sizes[j], side ? 0 : 3);
}

void test_gather(kernels k, const char *name, fnn_gather f) {
    FOR_SHAPES(k) {
        for (int flags = 0; flags < 4; flags++)
            gather_case(k, name, f, (enum side)side, sizes[i], sizes[j], flags & 1, flags >> 1);
    }
}

void test_scale(kernels k, const char *name, fnn_scale f) {
    FOR_SHAPES(k) {
        scale_case(k, name, f, (enum side)side, panels(k, sizes[i], sizes[j], 1), side);
        scale_case(k, name, f, (enum side)side, row_major(k, sizes[i], sizes[j], 3), !side);
    }
}

void test_colsum(kernels k, const char *name, fnn_colsum f) {
    FOR_SHAPES(k) {
        colsum_case(k, name, f, (enum side)side, panels(k, sizes[i], sizes[j], 1));
        colsum_case(k, name, f, (enum side)side, row_major(k, sizes[i], sizes[j], 3));
    }
}
