/* One optimizer step on a block of weights; formulas in fnn.h.
 *
 * Every element is on its own, so its bits do not depend on how a matrix is cut into calls. Adam's
 * square root and division stay as they are: out-of-order cores overlap those of neighbouring
 * vectors, and reciprocal estimates with Newton steps measured no faster.
 */

typedef struct {
    vreal lr, momentum, beta1, beta2, epsilon; /* beta1, beta2: 1 - beta, subtracted in double */
    vreal kept, part_m, part_g;                /* kept: beta2 itself */
    int heavy, nesterov, centered;             /* heavy: momentum is not 0 */
} optim_hyper;

INLINE optim_hyper optim_broadcast(const fnn_hyper *h) {
    return (optim_hyper){
        .lr = v_set1((real)h->lr),
        .momentum = v_set1((real)h->momentum),
        .beta1 = v_set1((real)(1 - h->beta1)),
        .beta2 = v_set1((real)(1 - h->beta2)),
        .epsilon = v_set1((real)h->epsilon),
        .kept = v_set1((real)h->beta2),
        .part_m = v_set1((real)h->part_m),
        .part_g = v_set1((real)h->part_g),
        .heavy = h->momentum != 0,
        .nesterov = h->nesterov,
        .centered = h->centered,
    };
}

/* The vectors of a step: elements i .. i+n-1, n <= VL. */
typedef struct {
    real *w, *m, *v, *u;
} optim_state;
typedef void (*optim_step)(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                           const optim_state *s);

/* mean += part (x - mean): a moving mean, written back; returns it */
INLINE vreal moving_mean(ptrdiff_t n, vreal part, vreal x, real *mean) {
    vreal old = load_first(n, mean), new = v_fma(part, v_sub(x, old), old);
    store_first(n, mean, new);
    return new;
}

INLINE void move_weights(ptrdiff_t n, vreal lr, vreal move, real *w) {
    store_first(n, w, v_fnma(lr, move, load_first(n, w)));
}

INLINE void sgd_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                     const optim_state *s) {
    const vreal grad = load_first(n, g + i);
    if (!h->heavy) {
        move_weights(n, h->lr, grad, s->w + i);
        return;
    }
    const vreal move = v_fnma(h->lr, grad, v_mul(h->momentum, load_first(n, s->m + i)));
    const vreal ahead = h->nesterov ? v_fnma(h->lr, grad, v_mul(h->momentum, move)) : move;
    store_first(n, s->m + i, move);
    store_first(n, s->w + i, v_add(load_first(n, s->w + i), ahead));
}

INLINE void adam_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                      const optim_state *s) {
    const vreal grad = load_first(n, g + i);
    const vreal mean = moving_mean(n, h->beta1, grad, s->m + i);
    const vreal square = moving_mean(n, h->beta2, v_mul(grad, grad), s->v + i);
    move_weights(n, h->lr, v_div(mean, v_add(v_sqrt(square), h->epsilon)), s->w + i);
}

INLINE void amsgrad_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                         const optim_state *s) {
    const vreal grad = load_first(n, g + i);
    const vreal mean = moving_mean(n, h->beta1, grad, s->m + i);
    const vreal square = moving_mean(n, h->beta2, v_mul(grad, grad), s->v + i);
    const vreal most = v_max(load_first(n, s->u + i), square); /* NaN where square is */
    store_first(n, s->u + i, most);
    move_weights(n, h->lr, v_div(mean, v_add(v_sqrt(most), h->epsilon)), s->w + i);
}

INLINE void nadam_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                       const optim_state *s) {
    const vreal grad = load_first(n, g + i);
    const vreal mean = moving_mean(n, h->beta1, grad, s->m + i);
    const vreal square = moving_mean(n, h->beta2, v_mul(grad, grad), s->v + i);
    const vreal ahead = v_fma(h->part_m, mean, v_mul(h->part_g, grad));
    move_weights(n, h->lr, v_div(ahead, v_add(v_sqrt(square), h->epsilon)), s->w + i);
}

INLINE void adamax_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                        const optim_state *s) {
    const vreal grad = load_first(n, g + i);
    const vreal mean = moving_mean(n, h->beta1, grad, s->m + i);
    const vreal most = v_max(v_mul(h->kept, load_first(n, s->v + i)), v_abs(grad));
    store_first(n, s->v + i, most);
    move_weights(n, h->lr, v_div(mean, v_add(most, h->epsilon)), s->w + i);
}

INLINE void rmsprop_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                         const optim_state *s) {
    const vreal grad = load_first(n, g + i);
    vreal square = moving_mean(n, h->beta2, v_mul(grad, grad), s->v + i);
    if (h->centered) {
        const vreal mean = moving_mean(n, h->beta2, grad, s->u + i);
        square = v_max(v_zero(), v_fnma(mean, mean, square));
    }
    vreal move = v_div(grad, v_sqrt(v_add(square, h->epsilon)));
    if (!h->heavy) {
        move_weights(n, h->lr, move, s->w + i);
        return;
    }
    move = v_fma(h->lr, move, v_mul(h->momentum, load_first(n, s->m + i)));
    store_first(n, s->m + i, move);
    store_first(n, s->w + i, v_sub(load_first(n, s->w + i), move));
}

INLINE void adagrad_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                         const optim_state *s) {
    const vreal grad = load_first(n, g + i);
    const vreal sum = v_fma(grad, grad, load_first(n, s->v + i));
    store_first(n, s->v + i, sum);
    move_weights(n, h->lr, v_div(grad, v_sqrt(v_add(sum, h->epsilon))), s->w + i);
}

INLINE void lion_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                      const optim_state *s) {
    const vreal grad = load_first(n, g + i), mean = load_first(n, s->m + i);
    const vreal ahead = v_fma(h->beta1, v_sub(grad, mean), mean);
    /* NaN stays, and so does 0 */
    const vmask moves = v_gt(v_abs(ahead), v_zero());
    const vreal sign = v_select(moves, v_copysign(v_set1(1), ahead), ahead);
    move_weights(n, h->lr, sign, s->w + i);
    moving_mean(n, h->beta2, grad, s->m + i);
}

/* n contiguous elements */
INLINE void optim_span(optim_step step, ptrdiff_t n, const optim_hyper *h, const real *g,
                       const optim_state *s) {
    ptrdiff_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL) {
        UNROLL(4) for (int u = 0; u < 4; u++) step(i + u * VL, VL, h, g, s);
    }
    for (; i + VL <= n; i += VL) step(i, VL, h, g, s);
    if (i < n) step(i, n - i, h, g, s);
}

/* the state that begins `i` elements later */
INLINE optim_state optim_at(const optim_state *s, ptrdiff_t i) {
    return (optim_state){s->w + i, s->m ? s->m + i : NULL, s->v ? s->v + i : NULL,
                         s->u ? s->u + i : NULL};
}

INLINE void optim_block(optim_step step, ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *hyper,
                        const real *g, const optim_state *s) {
    const optim_hyper h = optim_broadcast(hyper);
    const int together = cols == P; /* no padding: the rows are one span */
    const ptrdiff_t spans = together ? 1 : rows, n = together ? rows * P : cols;
    for (ptrdiff_t r = 0; r < spans; r++) {
        const optim_state row = optim_at(s, r * P);
        optim_span(step, n, &h, g + r * P, &row);
    }
}

/* w -= decay w */
INLINE void decay_weights(ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *hyper, real *w) {
    const vreal kept = v_set1((real)(1 - hyper->decay));
    if (hyper->decay == 0) return;
    for (ptrdiff_t r = 0; r < rows; r++, w += P) {
        for (ptrdiff_t c = 0; c < cols; c += VL) {
            const ptrdiff_t n = min_size(cols - c, VL);
            store_first(n, w + c, v_mul(kept, load_first(n, w + c)));
        }
    }
}

#if !FNN_BF16
#define FNN_OPTIM(name)                                                                          \
    static void FNN_NAME(name)(ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *hyper,           \
                               const void *g, void *w, void *m, void *v, void *u) {              \
        decay_weights(rows, cols, hyper, w);                                                     \
        optim_block(name##_step, rows, cols, hyper, g, &(optim_state){w, m, v, u});              \
    }
FNN_OPTIM(sgd)
FNN_OPTIM(adam)
FNN_OPTIM(amsgrad)
FNN_OPTIM(nadam)
FNN_OPTIM(adamax)
FNN_OPTIM(rmsprop)
FNN_OPTIM(adagrad)
FNN_OPTIM(lion)
#undef FNN_OPTIM
#endif
