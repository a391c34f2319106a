/* Losses with their gradients, and metrics, of each row on its own; formulas in fnn.h.
 *
 * VL rows are done at once, transposed, a row a lane, so that vector j holds column j of them all. A
 * sum over a row is then a plain sum of vectors, in the order of its columns whatever rows stand
 * beside it, and one vector log serves VL rows. Columns that do not exist cost nothing. Class ids
 * enter as the one-hot rows that they stand for.
 */

/* the clipping of probabilities, as in Keras */
#define CLIP_EPSILON 1e-7

/* n rows from row r on, of predictions and of targets */
typedef struct {
    ptrdiff_t n, cols;
    const real *p, *t; /* t NULL: class ids */
    ptrdiff_t p_panel, t_panel;
    vreal label; /* as numbers: exact up to 2^24 in float32 */
} loss_rows;

/* for both kinds of arguments, which share these fields */
#define LOSS_ROWS(args, r)                                                                      \
    {                                                                                           \
        .n = min_size((args)->rows - (r), VL), .cols = (args)->cols,                            \
        .p = (const real *)(args)->p + (r) * P,                                                 \
        .t = (args)->t ? (const real *)(args)->t + (r) * P : NULL, .p_panel = (args)->p_panel,  \
        .t_panel = (args)->t_panel,                                                             \
        .label = labels((args)->label, r, min_size((args)->rows - (r), VL)),                    \
    }

INLINE vreal labels(const int32_t *label, ptrdiff_t r, ptrdiff_t n) {
    real x[VL] = {0};
    if (!label) return v_zero();
    for (ptrdiff_t i = 0; i < n; i++) x[i] = (real)label[r + i];
    return v_load(x);
}

/* the panel of columns from c on */
INLINE layout panel_at(ptrdiff_t cols, ptrdiff_t c) { return (layout){min_size(cols - c, P), P, 0}; }

/* p[j], t[j] = column c + j of all columns of that panel; both give how many there are */
INLINE ptrdiff_t load_p(const loss_rows *rows, ptrdiff_t c, vreal *p) {
    const layout panel = panel_at(rows->cols, c);
    read_columns(panel, rows->n, rows->p + c / P * rows->p_panel, p);
    return panel.cols;
}

INLINE ptrdiff_t load_t(const loss_rows *rows, ptrdiff_t c, vreal *t) {
    const layout panel = panel_at(rows->cols, c);
    if (rows->t) {
        read_columns(panel, rows->n, rows->t + c / P * rows->t_panel, t);
    } else {
        for (ptrdiff_t j = 0; j < panel.cols; j++)
            t[j] = v_select(v_eq(rows->label, v_set1((real)(c + j))), v_set1(1), v_zero());
    }
    return panel.cols;
}

/* the rows' weights */
INLINE vreal load_weight(const fnn_loss_args *args, ptrdiff_t r, ptrdiff_t n) {
    return args->weight ? load_first(n, (const real *)args->weight + r) : v_set1(1);
}

INLINE void store_gradient(const fnn_loss_args *args, ptrdiff_t r, ptrdiff_t n, ptrdiff_t c,
                           const vreal *dp) {
    real *at_c = (real *)args->dp + c / P * args->p_panel + r * P;
    write_columns(panel_at(args->cols, c), n, dp, at_c);
}

/* Losses that are a mean over the columns: an element's loss, and in *d its derivative. */
typedef vreal (*element_loss)(vreal p, vreal t, vreal *d);

INLINE void mean_loss(element_loss loss, const fnn_loss_args *args) {
    const vreal count = v_set1((real)args->cols);
    if (args->cols <= 0) return;
    for (ptrdiff_t r = 0; r < args->rows; r += VL) {
        const loss_rows rows = LOSS_ROWS(args, r);
        const vreal weight = load_weight(args, r, rows.n);
        const vreal scale = v_div(v_mul(v_set1((real)args->scale), weight), count);
        vreal sum = v_zero(), p[P], t[P];
        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            const ptrdiff_t cols = load_p(&rows, c, p);
            load_t(&rows, c, t);
            for (ptrdiff_t j = 0; j < cols; j++) {
                vreal d;
                sum = v_add(sum, loss(p[j], t[j], &d));
                p[j] = v_mul(scale, d);
            }
            if (args->dp) store_gradient(args, r, rows.n, c, p);
        }
        store_first(rows.n, (real *)args->loss + r, v_mul(weight, v_div(sum, count)));
    }
}

INLINE vreal squared_error(vreal p, vreal t, vreal *d) {
    const vreal e = v_sub(p, t);
    *d = v_add(e, e);
    return v_mul(e, e);
}

/* x into [eps, 1 - eps], NaN staying; *moved where it was outside */
INLINE vreal clip_probability(vreal x, vmask *moved) {
    const vreal low = v_set1((real)CLIP_EPSILON), high = v_set1((real)(1 - CLIP_EPSILON));
    const vmask below = v_lt(x, low), above = v_gt(x, high);
    *moved = m_or(below, above);
    return v_select(below, low, v_select(above, high, x));
}

/* -t log q - (1-t) log(1-q); d = (q - t) / (q (1-q)), 0 where p was clipped */
INLINE vreal cross_entropy(vreal p, vreal t, vreal *d) {
    vmask moved;
    const vreal one = v_set1(1), q = clip_probability(p, &moved), rest = v_sub(one, q);
    *d = v_select(moved, v_zero(), v_div(v_sub(q, t), v_mul(q, rest)));
    return v_neg(v_fma(t, v_log(q), v_mul(v_sub(one, t), v_log(rest))));
}

/* max(p,0) - p t + log(1 + e), e = exp(-|p|)
 * d = sigmoid(p) - t, sigmoid(p) = (p < 0 ? e : 1) / (1 + e) */
INLINE vreal cross_entropy_logits(vreal p, vreal t, vreal *d) {
    const vreal zero = v_zero(), one = v_set1(1), e = v_exp_fall(p);
    *d = v_sub(v_div(v_select(v_lt(p, zero), e, one), v_add(one, e)), t);
    return v_add(v_fnma(p, t, v_max(zero, p)), v_log1p(e)); /* zero first: max keeps a NaN p */
}

static void FNN_NAME(mse)(const fnn_loss_args *args) { mean_loss(squared_error, args); }
static void FNN_NAME(bce)(const fnn_loss_args *args) { mean_loss(cross_entropy, args); }
static void FNN_NAME(bce_logits)(const fnn_loss_args *args) { mean_loss(cross_entropy_logits, args); }

/* Cross-entropy couples a row's columns and goes over them several times: a tile of P columns is kept
 * in p and t if it is all there is, else loaded again in each pass. */

/* top = max p;  e = exp(p - top);  loss = (sum t) log(sum e) - sum t (p - top)
 * dp = scale weight (e (sum t) / (sum e) - t) */
static void FNN_NAME(xent_logits)(const fnn_loss_args *args) {
    const int again = args->cols > P;
    if (args->cols <= 0) return;
    for (ptrdiff_t r = 0; r < args->rows; r += VL) {
        const loss_rows rows = LOSS_ROWS(args, r);
        const vreal weight = load_weight(args, r, rows.n);
        const vreal scale = v_mul(v_set1((real)args->scale), weight);
        vreal p[P], t[P], top = v_zero(), sum_e = v_zero(), sum_t = v_zero(), picked = v_zero();

        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            const ptrdiff_t cols = load_p(&rows, c, p);
            if (c == 0) top = p[0];
            for (ptrdiff_t j = 0; j < cols; j++) top = v_max(p[j], top);
        }
        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            if (again) load_p(&rows, c, p);
            const ptrdiff_t cols = load_t(&rows, c, t);
            for (ptrdiff_t j = 0; j < cols; j++) {
                const vreal x = v_sub(p[j], top);
                p[j] = v_exp(x);
                sum_e = v_add(sum_e, p[j]);
                sum_t = v_add(sum_t, t[j]);
                /* a class of no weight adds nothing, though its logit be -inf */
                picked = v_select(v_eq(t[j], v_zero()), picked, v_fma(t[j], x, picked));
            }
        }
        const vreal loss = v_sub(v_mul(sum_t, v_log(sum_e)), picked);
        store_first(rows.n, (real *)args->loss + r, v_mul(weight, loss));
        if (!args->dp) continue;

        const vreal ratio = v_div(sum_t, sum_e);
        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            const ptrdiff_t cols = min_size(args->cols - c, P);
            if (again) {
                load_p(&rows, c, p);
                load_t(&rows, c, t);
                for (ptrdiff_t j = 0; j < cols; j++) p[j] = v_exp(v_sub(p[j], top));
            }
            for (ptrdiff_t j = 0; j < cols; j++) p[j] = v_mul(scale, v_sub(v_mul(p[j], ratio), t[j]));
            store_gradient(args, r, rows.n, c, p);
        }
    }
}

/* q = p / (sum p);  loss = -sum t log clip(q);  with t' = t where q is not clipped, else 0:
 * dp = scale weight / (sum p) (sum t' - t' / q) */
static void FNN_NAME(xent)(const fnn_loss_args *args) {
    const int again = args->cols > P;
    if (args->cols <= 0) return;
    for (ptrdiff_t r = 0; r < args->rows; r += VL) {
        const loss_rows rows = LOSS_ROWS(args, r);
        const vreal weight = load_weight(args, r, rows.n);
        vreal p[P], t[P], sum_p = v_zero(), inside = v_zero(), picked = v_zero();
        vmask moved;

        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            const ptrdiff_t cols = load_p(&rows, c, p);
            for (ptrdiff_t j = 0; j < cols; j++) sum_p = v_add(sum_p, p[j]);
        }
        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            if (again) load_p(&rows, c, p);
            const ptrdiff_t cols = load_t(&rows, c, t);
            for (ptrdiff_t j = 0; j < cols; j++) {
                const vreal q = clip_probability(v_div(p[j], sum_p), &moved);
                picked = v_fma(t[j], v_log(q), picked);
                inside = v_add(inside, v_select(moved, v_zero(), t[j]));
            }
        }
        store_first(rows.n, (real *)args->loss + r, v_mul(weight, v_neg(picked)));
        if (!args->dp) continue;

        const vreal scale = v_div(v_mul(v_set1((real)args->scale), weight), sum_p);
        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            if (again) {
                load_p(&rows, c, p);
                load_t(&rows, c, t);
            }
            for (ptrdiff_t j = 0; j < min_size(args->cols - c, P); j++) {
                const vreal q = clip_probability(v_div(p[j], sum_p), &moved);
                const vreal own = v_select(moved, v_zero(), v_div(t[j], q));
                p[j] = v_mul(scale, v_sub(inside, own));
            }
            store_gradient(args, r, rows.n, c, p);
        }
    }
}

/* Metrics that are a mean over the columns. */
typedef vreal (*element_metric)(vreal p, vreal t, vreal threshold);

INLINE void mean_metric(element_metric metric, const fnn_metric_args *args) {
    const vreal threshold = v_set1((real)args->threshold);
    if (args->cols <= 0) return;
    for (ptrdiff_t r = 0; r < args->rows; r += VL) {
        const loss_rows rows = LOSS_ROWS(args, r);
        vreal sum = v_zero(), p[P], t[P];
        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            const ptrdiff_t cols = load_p(&rows, c, p);
            load_t(&rows, c, t);
            for (ptrdiff_t j = 0; j < cols; j++) sum = v_add(sum, metric(p[j], t[j], threshold));
        }
        store_first(rows.n, (real *)args->value + r, v_div(sum, v_set1((real)args->cols)));
    }
}

INLINE vreal metric_squared(vreal p, vreal t, vreal threshold) {
    (void)threshold;
    const vreal e = v_sub(p, t);
    return v_mul(e, e);
}

INLINE vreal metric_absolute(vreal p, vreal t, vreal threshold) {
    (void)threshold;
    return v_abs(v_sub(p, t));
}

INLINE vreal metric_match(vreal p, vreal t, vreal threshold) {
    const vreal one = v_set1(1), zero = v_zero();
    const vreal predicted = v_select(v_gt(p, threshold), one, zero);
    return v_select(v_eq(predicted, t), one, zero);
}

/* positive: a prediction above the threshold, a target above 1/2 */
INLINE vreal metric_predicted(vreal p, vreal t, vreal threshold) {
    (void)t;
    return v_select(v_gt(p, threshold), v_set1(1), v_zero());
}

INLINE vreal metric_actual(vreal p, vreal t, vreal threshold) {
    (void)p, (void)threshold;
    return v_select(v_gt(t, v_set1((real)0.5)), v_set1(1), v_zero());
}

INLINE vreal metric_true(vreal p, vreal t, vreal threshold) {
    return v_mul(metric_predicted(p, t, threshold), metric_actual(p, t, threshold));
}

static void FNN_NAME(squared_error)(const fnn_metric_args *args) { mean_metric(metric_squared, args); }
static void FNN_NAME(absolute_error)(const fnn_metric_args *args) { mean_metric(metric_absolute, args); }
static void FNN_NAME(threshold_match)(const fnn_metric_args *args) { mean_metric(metric_match, args); }
static void FNN_NAME(true_positive)(const fnn_metric_args *args) { mean_metric(metric_true, args); }
static void FNN_NAME(predicted_positive)(const fnn_metric_args *args) { mean_metric(metric_predicted, args); }
static void FNN_NAME(actual_positive)(const fnn_metric_args *args) { mean_metric(metric_actual, args); }

/* The first largest so far, and its column; the first NaN counts as the largest, as in NumPy. */
typedef struct {
    vreal value, column;
} first_largest;

INLINE void take_larger(first_largest *best, vreal x, ptrdiff_t c) {
    const vmask smaller_or_equal = m_or(v_lt(x, best->value), v_eq(x, best->value));
    const vmask take = m_and(m_not(smaller_or_equal), v_eq(best->value, best->value));
    best->value = v_select(take, x, best->value);
    best->column = v_select(take, v_set1((real)c), best->column);
}

static void FNN_NAME(argmax_match)(const fnn_metric_args *args) {
    if (args->cols <= 0) return;
    for (ptrdiff_t r = 0; r < args->rows; r += VL) {
        const loss_rows rows = LOSS_ROWS(args, r);
        first_largest best_p = {v_zero(), v_zero()}, best_t = best_p;
        vreal p[P], t[P];
        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            const ptrdiff_t cols = load_p(&rows, c, p);
            load_t(&rows, c, t);
            if (c == 0) {
                best_p.value = p[0];
                best_t.value = t[0];
            }
            for (ptrdiff_t j = 0; j < cols; j++) {
                take_larger(&best_p, p[j], c + j);
                take_larger(&best_t, t[j], c + j);
            }
        }
        store_first(rows.n, (real *)args->value + r,
                    v_select(v_eq(best_p.column, best_t.column), v_set1(1), v_zero()));
    }
}
