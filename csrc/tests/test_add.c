/* The sum of two arrays, also into either of them. */
#include <math.h>

#include "tests.h"

static void add_case(kernels k, const char *name, fnn_binary f, enum side side, ptrdiff_t n) {
    begin_case(k, side, "%s %td", name, n);
    array *x = new_random(n, -1, 1), *y = new_random(n, -1, 1), *z = new_reals(n);
    array *into_x = new_reals(n), *into_y = new_reals(n);
    for (ptrdiff_t i = 0; i < n; i++) {
        if (i % 19 == 7) put(x, i, i % 2 ? NAN : INFINITY);
        put(into_x, i, get(x, i));
        put(into_y, i, get(y, i));
        expect(z, i, rounded(k, get(x, i) + get(y, i)), 0);
    }
    f(n, at(x, 0), at(y, 0), at(z, 0));
    expect_same(into_x, z);
    expect_same(into_y, z);
    f(n, at(into_x, 0), at(y, 0), at(into_x, 0));
    f(n, at(x, 0), at(into_y, 0), at(into_y, 0));
    end_case();
}

void test_binary(kernels k, const char *name, fnn_binary f) {
    for (int side = 0; side < SIDES; side++)
        for (ptrdiff_t n = 0; n <= 4 * k->vl + 3; n++) add_case(k, name, f, (enum side)side, n);
}
