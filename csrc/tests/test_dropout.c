/* Dropout against the formula of fnn.h, in place and cut by rows. */
#include "tests.h"

static uint32_t hash(uint32_t x) {
    x ^= x >> 16;
    x *= 0x21f0aaad;
    x ^= x >> 15;
    x *= 0x735a2d97;
    x ^= x >> 15;
    return x;
}

static void dropout_case(kernels k, const char *name, fnn_dropout f, enum side side, ptrdiff_t rows,
                         ptrdiff_t cols, double rate) {
    begin_case(k, side, "%s %td x %td rate %g", name, rows, cols, rate);
    const layout l = panels(k, rows, cols, 1);
    const uint64_t key = 0x123456789abcdef0u + (uint64_t)(rows * 1000 + cols);
    const ptrdiff_t row0 = 3 + rows;
    array *x = random_matrix(&l, -1, 1), *y = new_matrix(&l), *in_place = new_matrix(&l);
    for (ptrdiff_t r = 0; r < rows; r++) {
        for (ptrdiff_t c = 0; c < cols; c++) {
            const ptrdiff_t i = where(&l, r, c);
            const uint32_t number = hash((uint32_t)key
                                         + (uint32_t)((row0 + r) * cols + c) * ((uint32_t)(key >> 32) | 1));
            const double want = number >= rate * 4294967296.0 ? get(x, i) / (1 - rate) : 0;
            put(in_place, i, get(x, i));
            expect(y, i, want, 2 * epsilon(k) * (want < 0 ? -want : want));
        }
    }
    fnn_dropout_args g = {.rows = rows, .cols = cols, .row0 = row0, .panel = l.panel, .key = key,
                          .rate = rate, .x = at(x, 0), .y = at(y, 0)};
    f(&g);
    expect_same(in_place, y);
    g.x = g.y = at(in_place, 0);
    g.rows = rows / 2;
    f(&g);
    if (extent(&l)) {
        g.x = g.y = at(in_place, rows / 2 * k->panel);
        g.row0 += rows / 2;
        g.rows = rows - rows / 2;
        f(&g);
    }
    end_case();
}

void test_dropout(kernels k, const char *name, fnn_dropout f) {
    const ptrdiff_t p = k->panel;
    const ptrdiff_t rows[] = {0, 1, 2, 7}, cols[] = {0, 1, p - 1, p, p + 1, 2 * p + 3};
    const double rates[] = {0, 0.3, 0.999};
    for (int side = 0; side < SIDES; side++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
                for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
                    dropout_case(k, name, f, (enum side)side, rows[r], cols[c], rates[i]);
}
