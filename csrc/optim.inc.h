/* One optimizer step on a block of weights; formulas in fnn.h.
 *
 * Every element is on its own, so its bits do not depend on how a matrix is cut into calls. Adam's
 * square root and division stay as they are: out-of-order cores overlap those of neighbouring
 * vectors, and reciprocal estimates with Newton steps measured no faster.
 */

typedef struct {
    vreal lr, momentum, beta1, beta2, epsilon; /* beta1, beta2: 1 - beta, subtracted in double */
    int heavy, nesterov;                       /* heavy: momentum is not 0 */
} optim_hyper;

INLINE optim_hyper optim_broadcast(const fnn_hyper *h) {
    return (optim_hyper){
        .lr = v_set1((real)h->lr),
        .momentum = v_set1((real)h->momentum),
        .beta1 = v_set1((real)(1 - h->beta1)),
        .beta2 = v_set1((real)(1 - h->beta2)),
        .epsilon = v_set1((real)h->epsilon),
        .heavy = h->momentum != 0,
        .nesterov = h->nesterov,
    };
}

/* a step on elements i .. i+n-1, n <= VL */
typedef void (*optim_step)(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g, real *w,
                           real *m, real *v);

INLINE void sgd_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g, real *w, real *m,
                     real *v) {
    (void)v;
    const vreal grad = load_first(n, g + i), weight = load_first(n, w + i);
    if (!h->heavy) {
        store_first(n, w + i, v_fnma(h->lr, grad, weight));
        return;
    }
    const vreal move = v_fnma(h->lr, grad, v_mul(h->momentum, load_first(n, m + i)));
    const vreal ahead = h->nesterov ? v_fnma(h->lr, grad, v_mul(h->momentum, move)) : move;
    store_first(n, m + i, move);
    store_first(n, w + i, v_add(weight, ahead));
}

INLINE void adam_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g, real *w, real *m,
                      real *v) {
    const vreal grad = load_first(n, g + i);
    vreal mean = load_first(n, m + i), square = load_first(n, v + i);
    mean = v_fma(h->beta1, v_sub(grad, mean), mean);
    square = v_fma(h->beta2, v_sub(v_mul(grad, grad), square), square);
    store_first(n, m + i, mean);
    store_first(n, v + i, square);
    const vreal move = v_div(mean, v_add(v_sqrt(square), h->epsilon));
    store_first(n, w + i, v_fnma(h->lr, move, load_first(n, w + i)));
}

/* n contiguous elements */
INLINE void optim_span(optim_step step, ptrdiff_t n, const optim_hyper *h, const real *g, real *w,
                       real *m, real *v) {
    ptrdiff_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL) {
        UNROLL(4) for (int u = 0; u < 4; u++) step(i + u * VL, VL, h, g, w, m, v);
    }
    for (; i + VL <= n; i += VL) step(i, VL, h, g, w, m, v);
    if (i < n) step(i, n - i, h, g, w, m, v);
}

INLINE void optim_block(optim_step step, ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *hyper,
                        const real *g, real *w, real *m, real *v) {
    const optim_hyper h = optim_broadcast(hyper);
    const int together = cols == P; /* no padding: the rows are one span */
    const ptrdiff_t spans = together ? 1 : rows, n = together ? rows * P : cols;
    for (ptrdiff_t r = 0; r < spans; r++) {
        const ptrdiff_t at = r * P;
        optim_span(step, n, &h, g + at, w + at, m ? m + at : NULL, v ? v + at : NULL);
    }
}

#if !FNN_BF16
static void FNN_NAME(sgd)(ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *hyper, const void *g,
                          void *w, void *m, void *v) {
    optim_block(sgd_step, rows, cols, hyper, g, w, m, v);
}

static void FNN_NAME(adam)(ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *hyper, const void *g,
                           void *w, void *m, void *v) {
    optim_block(adam_step, rows, cols, hyper, g, w, m, v);
}
#endif
