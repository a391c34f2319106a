/* One optimizer step on a block of weights; formulas in fnn.h.
 *
 * Every element is on its own, so its bits do not depend on how a matrix is cut into calls. Adam's
 * square root and division stay as they are: out-of-order cores overlap those of neighbouring
 * vectors (between products those of one vector are taken apart, gradient.inc.h), and reciprocal
 * estimates with Newton steps measured no faster.
 */

/* What is summed of gradients and of weights. */
typedef struct {
    vreal gradients, squares, sizes;
} norm_sums;

typedef struct {
    vreal lr, momentum, beta1, beta2, epsilon; /* beta1, beta2: 1 - beta, subtracted in double */
    vreal kept, part_m, part_g;                /* kept: beta2 itself */
    vreal l1, l2, clip, factor, decayed;       /* l2: twice; decayed: 1 - decay */
    int heavy, nesterov, centered, far;        /* heavy: momentum is not 0 */
    int lasso, scales, decays, clips;          /* l1, factor, decay or clip is not 0 */
    int shaped;                                /* one of these or l2 is not */
    norm_sums *sums;                           /* FOUR that norm_step adds to */
} optim_hyper;

/* What SGD and Adam read. What is not asked for is left out: a small network's blocks are so few vectors
 * that to fill all of this took a fortieth of a training step. */
INLINE optim_hyper optim_broadcast(const fnn_hyper *h) {
    optim_hyper o;
    o.lr = v_set1((real)h->lr);
    o.momentum = v_set1((real)h->momentum);
    o.beta1 = v_set1((real)(1 - h->beta1));
    o.beta2 = v_set1((real)(1 - h->beta2));
    o.epsilon = v_set1((real)h->epsilon);
    o.heavy = h->momentum != 0;
    o.nesterov = h->nesterov;
    o.far = 0;
    o.shaped = h->l1 != 0 || h->l2 != 0 || h->clip > 0 || h->factor > 0 || h->decay != 0;
    if (o.shaped) {
        o.l1 = v_set1((real)h->l1);
        o.l2 = v_set1((real)(2 * h->l2));
        o.clip = v_set1((real)h->clip);
        o.factor = v_set1((real)h->factor);
        o.decayed = v_set1((real)(1 - h->decay));
        o.lasso = h->l1 != 0;
        o.scales = h->factor > 0;
        o.decays = h->decay != 0;
        o.clips = h->clip > 0;
    }
    return o;
}

/* What any optimizer reads. */
INLINE optim_hyper optim_broadcast_all(const fnn_hyper *h) {
    optim_hyper o = optim_broadcast(h);
    o.kept = v_set1((real)h->beta2);
    o.part_m = v_set1((real)h->part_m);
    o.part_g = v_set1((real)h->part_g);
    o.centered = h->centered;
    o.far = h->far;
    return o;
}

/* The vectors of a step: elements i .. i+n-1, n <= VL. */
typedef struct {
    real *w, *m, *v, *u;
} optim_state;
typedef void (*optim_step)(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                           const optim_state *s);

/* size with x's sign; 0 and NaN stay */
INLINE vreal signed_as(vreal size, vreal x) {
    return v_select(v_gt(v_abs(x), v_zero()), v_copysign(size, x), x);
}

/* grad + l1 sign(w) + l2 w; without lasso l1 is 0 */
INLINE vreal penalized(vreal grad, int lasso, vreal l1, vreal l2, vreal w) {
    grad = v_fma(l2, w, grad);
    return lasso ? v_add(grad, v_mul(l1, signed_as(v_set1(1), w))) : grad;
}

/* The gradient of vector i, and the weights decayed. Branches cost nothing beside the products; a
 * second set of tiles would cost a fifth of the binary. */
INLINE vreal gradient_of(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                         const optim_state *s) {
    vreal grad = load_first(n, g + i);
    if (!h->shaped) return grad;
    const vreal w = load_first(n, s->w + i);
    grad = penalized(grad, h->lasso, h->l1, h->l2, w);
    if (h->scales) grad = v_mul(h->factor, grad);
    if (h->decays) store_first(n, s->w + i, v_mul(h->decayed, w));
    return h->clips ? v_min(h->clip, v_max(v_neg(h->clip), grad)) : grad; /* NaN stays */
}

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
    const vreal grad = gradient_of(i, n, h, g, s);
    if (!h->heavy) {
        move_weights(n, h->lr, grad, s->w + i);
        return;
    }
    const vreal move = v_fnma(h->lr, grad, v_mul(h->momentum, load_first(n, s->m + i)));
    const vreal ahead = h->nesterov ? v_fnma(h->lr, grad, v_mul(h->momentum, move)) : move;
    store_first(n, s->m + i, move);
    store_first(n, s->w + i, v_add(load_first(n, s->w + i), ahead));
}

/* Adam's means of the gradient and of its square, written back */
typedef struct {
    vreal grad, mean, square;
} adam_means;

INLINE adam_means moved_means(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                              const optim_state *s) {
    const vreal grad = gradient_of(i, n, h, g, s);
    const vreal mean = moving_mean(n, h->beta1, grad, s->m + i);
    return (adam_means){grad, mean, moving_mean(n, h->beta2, v_mul(grad, grad), s->v + i)};
}

/* Adam's step in two: all but the division, then that and the weights. */
typedef struct {
    vreal mean, root;
} adam_move;

INLINE adam_move adam_begin(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                            const optim_state *s) {
    const adam_means a = moved_means(i, n, h, g, s);
    return (adam_move){a.mean, v_sqrt(a.square)};
}

INLINE void adam_end(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, adam_move a, const optim_state *s) {
    move_weights(n, h->lr, v_div(a.mean, v_add(a.root, h->epsilon)), s->w + i);
}

INLINE void adam_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                      const optim_state *s) {
    adam_end(i, n, h, adam_begin(i, n, h, g, s), s);
}

INLINE void amsgrad_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                         const optim_state *s) {
    const adam_means a = moved_means(i, n, h, g, s);
    const vreal most = v_max(load_first(n, s->u + i), a.square); /* NaN where that is */
    store_first(n, s->u + i, most);
    move_weights(n, h->lr, v_div(a.mean, v_add(v_sqrt(most), h->epsilon)), s->w + i);
}

INLINE void nadam_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                       const optim_state *s) {
    const adam_means a = moved_means(i, n, h, g, s);
    const vreal ahead = v_fma(h->part_m, a.mean, v_mul(h->part_g, a.grad));
    move_weights(n, h->lr, v_div(ahead, v_add(v_sqrt(a.square), h->epsilon)), s->w + i);
}

INLINE void adamax_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                        const optim_state *s) {
    const vreal grad = gradient_of(i, n, h, g, s);
    const vreal mean = moving_mean(n, h->beta1, grad, s->m + i);
    const vreal most = v_max(v_mul(h->kept, load_first(n, s->v + i)), v_abs(grad));
    store_first(n, s->v + i, most);
    move_weights(n, h->lr, v_div(mean, v_add(most, h->epsilon)), s->w + i);
}

INLINE void rmsprop_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                         const optim_state *s) {
    const vreal grad = gradient_of(i, n, h, g, s);
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
    const vreal grad = gradient_of(i, n, h, g, s);
    const vreal sum = v_fma(grad, grad, load_first(n, s->v + i));
    store_first(n, s->v + i, sum);
    move_weights(n, h->lr, v_div(grad, v_sqrt(v_add(sum, h->epsilon))), s->w + i);
}

INLINE void lion_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                      const optim_state *s) {
    const vreal grad = gradient_of(i, n, h, g, s), mean = load_first(n, s->m + i);
    const vreal ahead = v_fma(h->beta1, v_sub(grad, mean), mean);
    move_weights(n, h->lr, signed_as(v_set1(1), ahead), s->w + i);
    moving_mean(n, h->beta2, grad, s->m + i);
}

/* Vectors, of what is far: prefetchers lose three or four streams at each page's end. What lies near is not
 * fetched: the next rows may be those of another thread, whose lines must not be in two caches. */
enum { OPTIM_AHEAD = 32 };

INLINE void fetch_ahead(const real *g, const optim_state *s, ptrdiff_t i) {
    __builtin_prefetch(g + i);
    __builtin_prefetch(s->w + i, 1);
    if (s->m) __builtin_prefetch(s->m + i, 1);
    if (s->v) __builtin_prefetch(s->v + i, 1);
    if (s->u) __builtin_prefetch(s->u + i, 1);
}

INLINE void average_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                         const optim_state *s) {
    moving_mean(n, h->beta1, load_first(n, g + i), s->w + i);
}

/* n contiguous elements */
INLINE void optim_span(optim_step step, ptrdiff_t n, const optim_hyper *h, const real *g,
                       const optim_state *s) {
    ptrdiff_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL) {
        UNROLL(4) for (int u = 0; u < 4; u++) {
            if (h->far && n > OPTIM_AHEAD * VL) fetch_ahead(g, s, i + (u + OPTIM_AHEAD) * VL);
            step(i + u * VL, VL, h, g, s);
        }
    }
    for (; i + VL <= n; i += VL) step(i, VL, h, g, s);
    if (i < n) step(i, n - i, h, g, s);
}

/* the state that begins `i` elements later */
INLINE optim_state optim_at(const optim_state *s, ptrdiff_t i) {
    return (optim_state){s->w + i, s->m ? s->m + i : NULL, s->v ? s->v + i : NULL,
                         s->u ? s->u + i : NULL};
}

/* Rows of a panel that is not full are too short to have enough lines of memory under way: those of
 * later rows are asked for, but for those of small blocks, such as a bias, which are in cache. Adam on
 * 33000 rows of 18 of 32 columns, out of memory: 950 to 350 us. */
enum { LATER_ROWS = 32 };

INLINE void optim_rows(optim_step step, ptrdiff_t rows, ptrdiff_t cols, const optim_hyper *h,
                       const real *g, const optim_state *s) {
    const int together = cols == P; /* no padding: the rows are one span */
    const ptrdiff_t spans = together ? 1 : rows, n = together ? rows * P : cols;
    for (ptrdiff_t r = 0; r < spans; r++) {
        const optim_state row = optim_at(s, r * P);
        if (h->far && spans > LATER_ROWS) {
            const optim_state later = optim_at(s, (r + LATER_ROWS) * P);
            for (ptrdiff_t c = 0; c < cols; c += LINE) fetch_ahead(g + (r + LATER_ROWS) * P, &later, c);
        }
        optim_span(step, n, h, g + r * P, &row);
    }
}

INLINE void norm_vector(ptrdiff_t n, const int penalises, const int lasso, vreal l1, vreal twice,
                        const real *w, const real *g, norm_sums *sum) {
    vreal grad = load_first(n, g);
    if (penalises) { /* else w is not read, which may be far */
        const vreal x = load_first(n, w);
        sum->squares = v_fma(x, x, sum->squares);
        if (lasso) sum->sizes = v_add(v_abs(x), sum->sizes);
        grad = penalized(grad, lasso, l1, twice, x);
    }
    sum->gradients = v_fma(grad, grad, sum->gradients);
}

enum { FOUR = 4 }; /* sums of neighbouring vectors, enough for the additions' latency */

/* No optimizer's: the weights stay, only their norms and those of gradients are summed up. */
INLINE void norm_step(ptrdiff_t i, ptrdiff_t n, const optim_hyper *h, const real *g,
                      const optim_state *s) {
    norm_vector(n, h->shaped, h->lasso, h->l1, h->l2, s->w + i, g + i, &h->sums[i / VL % FOUR]);
}

INLINE void begin_norms(norm_sums sum[FOUR]) {
    UNROLL(4) for (int u = 0; u < FOUR; u++) sum[u] = (norm_sums){v_zero(), v_zero(), v_zero()};
}

#define SUM_OF_FOUR(part) \
    (double)v_sum(v_add(v_add(sum[0].part, sum[1].part), v_add(sum[2].part, sum[3].part)))

INLINE void add_norms(const norm_sums sum[FOUR], double l1, double l2, double *squares, double *penalty) {
    *squares += SUM_OF_FOUR(gradients);
    if (l1 != 0) *penalty += l1 * SUM_OF_FOUR(sizes);
    if (l2 != 0) *penalty += l2 * SUM_OF_FOUR(squares);
}
#undef SUM_OF_FOUR

/* Column by column of a panel: sums of w^2 and of |w|, which a penalty is made of. */
typedef struct {
    vreal squares[NV], sizes[NV];
} weight_sums;

/* Those of even rows and those of odd ones, zeroed; NULL where a step is not to make them. */
INLINE weight_sums *begin_sums(const fnn_hyper *h, weight_sums sums[2]) {
    if (!h->penalty || (h->l1 == 0 && h->l2 == 0)) return NULL;
    sums[0] = sums[1] = (weight_sums){0};
    return sums;
}

INLINE void sum_row(ptrdiff_t cols, const int lasso, const real *w, weight_sums *sums) {
    UNROLL(4) for (int v = 0; v < NV; v++) {
        const vreal x = load_up_to(cols - v * VL, w + v * VL);
        sums->squares[v] = v_fma(x, x, sums->squares[v]);
        if (lasso) sums->sizes[v] = v_add(sums->sizes[v], v_abs(x));
    }
}

INLINE void sum_pairs(ptrdiff_t row, ptrdiff_t rows, ptrdiff_t cols, const int lasso, const real *w,
                      weight_sums *sums) {
    weight_sums one = sums[row & 1], other = sums[~row & 1];
    for (; rows >= 2; rows -= 2, w += 2 * P) {
        sum_row(cols, lasso, w, &one);
        sum_row(cols, lasso, w + P, &other);
    }
    if (rows > 0) sum_row(cols, lasso, w, &one);
    sums[row & 1] = one;
    sums[~row & 1] = other;
}

/* Rows `row` ... of a block, each to the sum of its kind, in their order: however they are cut. */
NOINLINE void sum_rows(ptrdiff_t row, ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *h, const real *w,
                       weight_sums *sums) {
    if (h->l1 != 0) sum_pairs(row, rows, cols, 1, w, sums);
    else if (cols == P) sum_pairs(row, rows, P, 0, w, sums);
    else sum_pairs(row, rows, cols, 0, w, sums);
}

/* l (x + y), and no NaN of a sum that overflowed where l is 0 */
INLINE double part_of_penalty(double l, const vreal x[NV], const vreal y[NV]) {
    vreal sum = v_add(x[0], y[0]);
    UNROLL(4) for (int v = 1; v < NV; v++) sum = v_add(sum, v_add(x[v], y[v]));
    return l != 0 ? l * (double)v_sum(sum) : 0;
}

/* the P rows from row r on are summed up */
INLINE void end_sums(const fnn_hyper *h, ptrdiff_t r, const weight_sums *s) {
    if (s) h->penalty[r / P] += part_of_penalty(h->l1, s[0].sizes, s[1].sizes)
                                + part_of_penalty(h->l2, s[0].squares, s[1].squares);
}

/* the penalties on so many rows, if they are asked for */
INLINE void sum_block(ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *h, const real *w) {
    for (ptrdiff_t r = 0; r < rows; r += P) {
        weight_sums memory[2], *sums = begin_sums(h, memory);
        if (!sums) return;
        sum_rows(0, min_size(rows - r, P), cols, h, w + r * P, sums);
        end_sums(h, r, sums);
    }
}

INLINE void optim_block(optim_step step, ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *hyper,
                        const real *g, const optim_state *s) {
    const optim_hyper h = optim_broadcast_all(hyper);
    sum_block(rows, cols, hyper, s->w);
    optim_rows(step, rows, cols, &h, g, s);
}

#if !FNN_BF16
#define FNN_OPTIM(name)                                                                          \
    static void FNN_NAME(name)(ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *hyper,           \
                               const void *g, void *w, void *m, void *v, void *u) {              \
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

static void FNN_NAME(average)(ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *hyper, const void *g,
                              void *w, void *m, void *v, void *u) {
    const optim_hyper h = optim_broadcast_all(hyper);
    optim_rows(average_step, rows, cols, &h, g, &(optim_state){w, m, v, u});
}

/* of no more than P rows */
INLINE void norm_rows(ptrdiff_t rows, ptrdiff_t cols, const int penalises, const int lasso, double l1,
                      double l2, const real *w, const real *g, double *squares, double *penalty) {
    const vreal one = v_set1((real)l1), twice = v_set1((real)(2 * l2));
    const int together = cols == P; /* no padding: the rows are one span */
    const ptrdiff_t spans = together ? 1 : rows, n = together ? rows * P : cols;
    norm_sums sum[FOUR];
    begin_norms(sum);
    for (ptrdiff_t r = 0; r < spans; r++, w += P, g += P) {
        ptrdiff_t i = 0;
        for (; i + FOUR * VL <= n; i += FOUR * VL) {
            UNROLL(4) for (int u = 0; u < FOUR; u++)
                norm_vector(VL, penalises, lasso, one, twice, w + i + u * VL, g + i + u * VL, &sum[u]);
        }
        UNROLL(4) for (int u = 0; u < FOUR; u++, i += VL) {
            if (i < n)
                norm_vector(min_size(VL, n - i), penalises, lasso, one, twice, w + i, g + i, &sum[u]);
        }
    }
    add_norms(sum, l1, l2, squares, penalty);
}

INLINE void norm_block(ptrdiff_t rows, ptrdiff_t cols, const int penalises, const int lasso, double l1,
                       double l2, const real *w, const real *g, double *squares, double *penalty) {
    for (ptrdiff_t r = 0; r < rows; r += P)
        norm_rows(min_size(rows - r, P), cols, penalises, lasso, l1, l2, w + r * P, g + r * P,
                  squares + r / P, penalty + r / P);
}

static void FNN_NAME(norm)(ptrdiff_t rows, ptrdiff_t cols, double l1, double l2, const void *w,
                           const void *g, double *squares, double *penalty) {
    const fnn_hyper terms = {.l1 = l1, .l2 = l2, .penalty = penalty};
    if (!g) sum_block(rows, cols, &terms, w);
    else if (l1 != 0) norm_block(rows, cols, 1, 1, l1, l2, w, g, squares, penalty);
    else if (l2 != 0) norm_block(rows, cols, 1, 0, l1, l2, w, g, squares, penalty);
    else norm_block(rows, cols, 0, 0, l1, l2, w, g, squares, penalty);
}
#endif
