/* y = x scale on elements that a random number keeps, 0 on the others.
 *
 * The number is a hash of the element's place in the batch under a key, so that whoever computes it,
 * forward or backward, on any thread and ISA, gets the same one and none is stored: an affine map of
 * 2^32 that the key chooses, then the two multiplications and three shifts of mix, which spread every
 * bit to all (C. Wellons, "hash prospector", the function of least bias of that form).
 */

INLINE uint32_t mix(uint32_t x) {
    x = (x ^ x >> 16) * 0x21f0aaadu;
    x = (x ^ x >> 15) * 0x735a2d97u;
    return x ^ x >> 15;
}

#if defined __GNUC__ && !defined __clang__
#pragma GCC push_options
#pragma GCC optimize("O3")
#endif

/* n elements of a row from element `id` on */
INLINE void dropout_row(ptrdiff_t n, uint32_t id, uint32_t add, uint32_t times, uint32_t below,
                        real scale, const real *x, real *y) {
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = mix(add + (id + (uint32_t)i) * times) >= below ? x[i] * scale : 0;
}

static void FNN_NAME(dropout)(const fnn_dropout_args *g) {
    const uint32_t add = (uint32_t)g->key, times = (uint32_t)(g->key >> 32) | 1;
    const uint32_t below = (uint32_t)(g->rate * 4294967296.0);
    const real scale = (real)(1 / (1 - g->rate));
    for (ptrdiff_t j = 0; j * P < g->cols; j++) {
        const real *x = (const real *)g->x + j * g->panel;
        real *y = (real *)g->y + j * g->panel;
        for (ptrdiff_t r = 0; r < g->rows; r++, x += P, y += P) {
            const uint32_t id = (uint32_t)((g->row0 + r) * g->cols + j * P);
            if (g->cols - j * P >= P) dropout_row(P, id, add, times, below, scale, x, y);
            else dropout_row(g->cols - j * P, id, add, times, below, scale, x, y);
        }
    }
}

#if defined __GNUC__ && !defined __clang__
#pragma GCC pop_options
#endif
