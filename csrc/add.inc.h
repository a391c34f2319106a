/* z = x + y, element by element: where two branches of a network join, and their gradients do. */

INLINE vreal add_1(vreal x, vreal y) { return v_add(x, y); }

static void FNN_NAME(add)(ptrdiff_t n, const void *x, const void *y, void *z) {
    map2(add_1, n, x, y, z);
}
