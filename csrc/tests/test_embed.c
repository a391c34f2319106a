/* Columns copied and rows looked up, to and from any column; a table's gradient. */
#include <math.h>

#include "tests.h"

enum { TABLE_ROWS = 9 };

/* numbers beside rows of the table: those that are none */
static double number_of(ptrdiff_t r) {
    static const double strange[] = {-1, TABLE_ROWS, 0.5, NAN, INFINITY, -INFINITY, 1e30};
    return r % 5 == 4 ? strange[r / 5 % 7] : (double)(r * 7 % TABLE_ROWS);
}

static int is_row(double number) {
    return number >= 0 && number < TABLE_ROWS && number == floor(number);
}

static void copy_case(kernels k, const char *name, fnn_embed f, enum side side, int looks_up,
                      ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t x_col, ptrdiff_t y_col) {
    begin_case(k, side, "%s%s %td x %td from %td to %td", name, looks_up ? " by id" : "", rows, cols,
               x_col, y_col);
    const ptrdiff_t x_rows = looks_up ? TABLE_ROWS : rows;
    const layout of_x = panels(k, x_rows, x_col + cols, 0), of_y = panels(k, rows, y_col + cols, 3);
    const layout of_id = panels(k, rows, 1, 0);
    array *x = random_matrix(&of_x, -1, 1), *y = new_matrix(&of_y), *id = new_matrix(&of_id);
    for (ptrdiff_t r = 0; r < rows; r++) {
        const double number = rounded(k, number_of(r));
        put(id, where(&of_id, r, 0), number);
        const ptrdiff_t from = !looks_up ? r : is_row(number) ? (ptrdiff_t)number : -1;
        for (ptrdiff_t c = 0; c < cols; c++)
            expect(y, where(&of_y, r, y_col + c),
                   from < 0 ? (double)NAN : get(x, where(&of_x, from, x_col + c)), 0);
    }
    fnn_embed_args g = {.rows = rows, .cols = cols, .id = looks_up ? at(id, 0) : NULL, .x = at(x, 0),
                        .x_rows = x_rows, .x_panel = of_x.panel, .x_col = x_col, .y = at(y, 0),
                        .y_panel = of_y.panel, .y_col = y_col};
    f(&g);
    end_case();
}

void test_embed(kernels k, const char *name, fnn_embed f) {
    const ptrdiff_t p = k->panel, v = k->vl;
    const ptrdiff_t rows[] = {0, 1, 8, 40}, cols[] = {0, 1, v, v + 1, p, 2 * p + 3}, first[] = {0, 3, p - 1, p + v};
    for (int side = 0; side < SIDES; side++)
        for (int looks_up = 0; looks_up < 2; looks_up++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
                for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
                    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
                        for (size_t j = 0; j < sizeof first / sizeof *first; j++)
                            copy_case(k, name, f, (enum side)side, looks_up, rows[r], cols[c], first[i],
                                      first[j]);
}

static void gradient_case(kernels k, const char *name, fnn_embed_gradient f, enum side side, ptrdiff_t n,
                          ptrdiff_t cols, ptrdiff_t dy_col, ptrdiff_t width) {
    begin_case(k, side, "%s %td of %td columns from %td, every %td", name, n, cols, dy_col, width);
    const ptrdiff_t rows = 11, times = 3;
    const layout of_dy = panels(k, rows, dy_col + (times - 1) * width + cols, 2);
    const layout of_dx = panels(k, TABLE_ROWS, cols, 0);
    array *dy = random_matrix(&of_dy, -1, 1), *dx = new_matrix(&of_dx);
    array *to = new_ints(n, 4), *row = new_ints(n, 4), *col = new_ints(n, 4);
    double sum[TABLE_ROWS][FNN_MAX_PANEL];
    for (ptrdiff_t i = 0; i < TABLE_ROWS; i++)
        for (ptrdiff_t c = 0; c < cols; c++) put(dx, where(&of_dx, i, c), sum[i][c] = rounded(k, (double)c / 3));
    for (ptrdiff_t i = 0; i < n; i++) {
        const ptrdiff_t t = i * i % TABLE_ROWS, r = i % rows, first = i % times * width;
        put_int(to, i, t);
        put_int(row, i, r);
        put_int(col, i, first);
        for (ptrdiff_t c = 0; c < cols; c++)    /* in their order, each rounded */
            sum[t][c] = rounded(k, sum[t][c] + get(dy, where(&of_dy, r, dy_col + first + c)));
    }
    for (ptrdiff_t i = 0; i < TABLE_ROWS; i++)
        for (ptrdiff_t c = 0; c < cols; c++) expect(dx, where(&of_dx, i, c), sum[i][c], 0);
    fnn_embed_gradient_args g = {.n = n, .cols = cols, .to = at(to, 0), .row = at(row, 0), .col = at(col, 0),
                                 .dy = at(dy, 0), .dy_panel = of_dy.panel, .dy_col = dy_col, .dx = at(dx, 0)};
    f(&g);
    end_case();
}

void test_embed_gradient(kernels k, const char *name, fnn_embed_gradient f) {
    const ptrdiff_t p = k->panel, v = k->vl;
    const ptrdiff_t n[] = {0, 1, 30}, cols[] = {1, v - 1 ? v - 1 : 1, v, v + 1 < p ? v + 1 : p, p};
    const ptrdiff_t first[] = {0, 1, p - 1, p + v}, width[] = {p, 2 * p - 1};
    for (int side = 0; side < SIDES; side++)
        for (size_t i = 0; i < sizeof n / sizeof *n; i++)
            for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
                for (size_t j = 0; j < sizeof first / sizeof *first; j++)
                    for (size_t w = 0; w < 2; w++)
                        gradient_case(k, name, f, (enum side)side, n[i], cols[c], first[j], width[w]);
}
