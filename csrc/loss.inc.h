/* Losses with their gradients, and metrics, of each row on its own; formulas in fnn.h.
 *
 * VL rows are done at once, transposed, a row a lane, so that vector j holds column j of them all. A
 * sum over a row is then a plain sum of vectors, in the order of its columns whatever rows stand
 * beside it, and one vector log serves VL rows. Columns that do not exist cost nothing. Class ids
 * enter as the one-hot rows that they stand for.
 */

/* Keras's: what probabilities are clipped to, what divisors and logarithms are kept from 0 by */
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

/* Losses that are a sum over the columns, divided by `parts`: an element's loss, and in *d its
 * derivative. */
typedef vreal (*element_loss)(vreal p, vreal t, const double *param, vreal *d);

INLINE void sum_loss(element_loss loss, const fnn_loss_args *args, ptrdiff_t parts) {
    const vreal count = v_set1((real)parts);
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
                sum = v_add(sum, loss(p[j], t[j], args->param, &d));
                p[j] = v_mul(scale, d);
            }
            if (args->dp) store_gradient(args, r, rows.n, c, p);
        }
        store_first(rows.n, (real *)args->loss + r, v_mul(weight, v_div(sum, count)));
    }
}

INLINE void mean_loss(element_loss loss, const fnn_loss_args *args) {
    sum_loss(loss, args, args->cols);
}

INLINE vreal squared_error(vreal p, vreal t, const double *param, vreal *d) {
    const vreal e = v_sub(p, t);
    (void)param;
    *d = v_add(e, e);
    return v_mul(e, e);
}

/* above where x > 0, below where x < 0, else x: 0 and NaN stay */
INLINE vreal by_sign(vreal x, vreal below, vreal above) {
    const vreal zero = v_zero();
    return v_select(v_gt(x, zero), above, v_select(v_lt(x, zero), below, x));
}

INLINE vreal sign(vreal x) { return by_sign(x, v_set1(-1), v_set1(1)); }

INLINE vreal absolute_error(vreal p, vreal t, const double *param, vreal *d) {
    const vreal e = v_sub(p, t);
    (void)param;
    *d = sign(e);
    return v_abs(e);
}

INLINE vreal percentage_error(vreal p, vreal t, const double *param, vreal *d) {
    const vreal size = v_max(v_set1((real)CLIP_EPSILON), v_abs(t));
    const vreal ratio = v_div(absolute_error(p, t, param, d), size);
    *d = v_div(v_mul(v_set1(100), *d), size);
    return v_mul(v_set1(100), ratio);
}

/* log(1 + max(x, eps)); *below where x < eps */
INLINE vreal log_of_more(vreal x, vmask *below) {
    const vreal low = v_set1((real)CLIP_EPSILON);
    *below = v_lt(x, low);
    return v_log(v_add(v_set1(1), v_select(*below, low, x)));
}

INLINE vreal logarithmic_error(vreal p, vreal t, const double *param, vreal *d) {
    vmask p_below, t_below;
    const vreal log_p = log_of_more(p, &p_below), e = v_sub(log_p, log_of_more(t, &t_below));
    const vreal slope = v_div(v_add(e, e), v_add(v_set1(1), p));
    (void)param;
    *d = v_select(p_below, v_zero(), slope);
    return v_mul(e, e);
}

/* |e| is cut to delta: delta (|e| - delta/2) is e^2/2 where it is less, and e the derivative */
INLINE vreal huber_loss(vreal p, vreal t, const double *param, vreal *d) {
    const vreal delta = v_set1((real)param[0]), e = v_sub(p, t), size = v_abs(e);
    const vreal cut = v_min(delta, size); /* in this order a NaN stays */
    *d = v_copysign(cut, e);
    return v_mul(cut, v_fnma(v_set1((real)0.5), cut, size));
}

/* |e| + log(1 + exp(-2 |e|)) - log 2; the derivative of log(cosh(e)) is tanh(e) */
INLINE vreal log_cosh_loss(vreal p, vreal t, const double *param, vreal *d) {
    const vreal e = v_sub(p, t), tail = v_log1p(v_exp_fall(v_add(e, e)));
    (void)param;
    *d = v_tanh(e);
    return v_add(v_abs(e), v_sub(tail, v_set1((real)0.69314718055994531)));
}

/* d = -tau where p < t, 1 - tau where it is larger */
INLINE vreal quantile_loss(vreal p, vreal t, const double *param, vreal *d) {
    const vreal e = v_sub(p, t);
    *d = by_sign(e, v_set1((real)-param[0]), v_set1((real)(1 - param[0])));
    return v_mul(*d, e);
}

INLINE vreal poisson_loss(vreal p, vreal t, const double *param, vreal *d) {
    const vreal q = v_add(p, v_set1((real)CLIP_EPSILON));
    (void)param;
    *d = v_sub(v_set1(1), v_div(t, q));
    return v_fnma(t, v_log(q), p);
}

/* max(1 - t p, 0), and its derivative; 0 stands for the class -1 */
INLINE vreal hinge_loss(vreal p, vreal t, const double *param, vreal *d) {
    const vreal side = v_select(v_eq(t, v_zero()), v_set1(-1), t);
    const vreal margin = v_fnma(side, p, v_set1(1));
    (void)param;
    *d = by_sign(margin, v_zero(), v_neg(side));
    return v_max(v_zero(), margin); /* zero first: a NaN stays */
}

INLINE vreal squared_hinge_loss(vreal p, vreal t, const double *param, vreal *d) {
    const vreal margin = hinge_loss(p, t, param, d);
    *d = v_mul(*d, v_add(margin, margin));
    return v_mul(margin, margin);
}

/* x into [low, high], NaN staying; *moved where it was outside */
INLINE vreal clip(vreal x, vreal low, vreal high, vmask *moved) {
    const vmask below = v_lt(x, low), above = v_gt(x, high);
    *moved = m_or(below, above);
    return v_select(below, low, v_select(above, high, x));
}

INLINE vreal clip_probability(vreal x, vmask *moved) {
    return clip(x, v_set1((real)CLIP_EPSILON), v_set1((real)(1 - CLIP_EPSILON)), moved);
}

INLINE vreal divergence(vreal p, vreal t, const double *param, vreal *d) {
    const vreal low = v_set1((real)CLIP_EPSILON), one = v_set1(1);
    vmask p_moved, t_moved;
    const vreal q = clip(p, low, one, &p_moved), s = clip(t, low, one, &t_moved);
    (void)param;
    *d = v_select(p_moved, v_zero(), v_neg(v_div(s, q)));
    return v_mul(s, v_log(v_div(s, q)));
}

/* label smoothing: t moved by a part of the way to `even` */
INLINE vreal smooth(vreal t, double part, vreal even) {
    return v_fma(v_set1((real)part), v_sub(even, t), t);
}

INLINE vreal smooth_binary(vreal t, const double *param) {
    return smooth(t, param[0], v_set1((real)0.5));
}

/* -t log q - (1-t) log(1-q); d = (q - t) / (q (1-q)), 0 where p was clipped */
INLINE vreal cross_entropy(vreal p, vreal t, const double *param, vreal *d) {
    vmask moved;
    const vreal one = v_set1(1), q = clip_probability(p, &moved), rest = v_sub(one, q);
    t = smooth_binary(t, param);
    *d = v_select(moved, v_zero(), v_div(v_sub(q, t), v_mul(q, rest)));
    return v_neg(v_fma(t, v_log(q), v_mul(v_sub(one, t), v_log(rest))));
}

/* max(p,0) - p t + log(1 + e), e = exp(-|p|)
 * d = sigmoid(p) - t, sigmoid(p) = (p < 0 ? e : 1) / (1 + e) */
INLINE vreal cross_entropy_logits(vreal p, vreal t, const double *param, vreal *d) {
    const vreal zero = v_zero(), one = v_set1(1), e = v_exp_fall(p);
    t = smooth_binary(t, param);
    *d = v_sub(v_div(v_select(v_lt(p, zero), e, one), v_add(one, e)), t);
    return v_add(v_fnma(p, t, v_max(zero, p)), v_log1p(e)); /* zero first: max keeps a NaN p */
}

/* -t log c - (1-t) log(1-c), c = clip(q, eps, 1-eps), q = 1 / (1 + exp(-p)); d = q - t, not clipped.
 * scikit-learn's, step by step: where q is close to 1, what 1-c is goes by how q was rounded. */
INLINE vreal log_loss(vreal p, vreal t, const double *param, vreal *d) {
    const vreal one = v_set1(1), q = v_div(one, v_add(one, v_exp(v_neg(p))));
    vmask moved;
    const vreal c = clip(q, v_set1((real)param[0]), v_set1((real)(1 - param[0])), &moved);
    *d = v_sub(q, t);
    return v_neg(v_fma(t, v_log(c), v_mul(v_sub(one, t), v_log(v_sub(one, c)))));
}

INLINE vreal half_squared_error(vreal p, vreal t, const double *param, vreal *d) {
    *d = v_sub(p, t);
    return v_mul(v_mul(v_set1((real)param[0]), *d), *d);
}

/* exp(p) - t p + (t log t - t) */
INLINE vreal half_poisson(vreal p, vreal t, const double *param, vreal *d) {
    const vreal q = v_exp(p), own = v_fma(t, v_log(t), v_neg(t));
    (void)param;
    *d = v_sub(q, t);
    return v_add(v_fnma(t, p, q), v_select(v_eq(t, v_zero()), v_zero(), own));
}

/* a x^gamma bce of x = 1 - r = t (1-q) + (1-t) q and r' = slope (2t - 1), given bce and in *d bce':
 * d = a x^gamma (bce' - gamma bce r' / x) */
INLINE vreal focus(vreal q, vreal rest, vreal slope, vreal bce, vreal t, const double *param, vreal *d) {
    const vreal other = v_sub(v_set1(1), t), gamma = v_set1((real)param[1]);
    const vreal positive = v_set1((real)param[2]), negative = v_set1((real)param[3]);
    const vreal sum = v_fma(t, rest, v_mul(other, q));
    const vreal x = v_max(v_set1((real)1e-30), sum); /* no division by 0; a NaN stays */
    const vreal balance = v_fma(t, positive, v_mul(other, negative));
    const vreal factor = v_mul(balance, v_exp(v_mul(gamma, v_log(x))));
    const vreal moves = v_mul(v_mul(gamma, bce), v_mul(v_sub(t, other), v_div(slope, x)));
    *d = v_mul(factor, v_sub(*d, moves));
    return v_mul(factor, bce);
}

/* q clipped here as in bce; the factor's derivative is not 0 there, so that p can come back */
INLINE vreal focal_loss(vreal p, vreal t, const double *param, vreal *d) {
    vmask moved;
    const vreal one = v_set1(1), q = clip_probability(p, &moved);
    const vreal bce = cross_entropy(p, t, param, d);
    return focus(q, v_sub(one, q), one, bce, smooth_binary(t, param), param, d);
}

INLINE vreal focal_loss_logits(vreal p, vreal t, const double *param, vreal *d) {
    const vreal q = v_sigmoid(p), rest = v_sigmoid(v_neg(p));
    const vreal bce = cross_entropy_logits(p, t, param, d);
    return focus(q, rest, v_mul(q, rest), bce, smooth_binary(t, param), param, d);
}

static void FNN_NAME(mse)(const fnn_loss_args *args) { mean_loss(squared_error, args); }
static void FNN_NAME(bce)(const fnn_loss_args *args) { mean_loss(cross_entropy, args); }
static void FNN_NAME(bce_logits)(const fnn_loss_args *args) { mean_loss(cross_entropy_logits, args); }
static void FNN_NAME(mae)(const fnn_loss_args *args) { mean_loss(absolute_error, args); }
static void FNN_NAME(mape)(const fnn_loss_args *args) { mean_loss(percentage_error, args); }
static void FNN_NAME(msle)(const fnn_loss_args *args) { mean_loss(logarithmic_error, args); }
static void FNN_NAME(huber)(const fnn_loss_args *args) { mean_loss(huber_loss, args); }
static void FNN_NAME(log_cosh)(const fnn_loss_args *args) { mean_loss(log_cosh_loss, args); }
static void FNN_NAME(quantile)(const fnn_loss_args *args) { mean_loss(quantile_loss, args); }
static void FNN_NAME(poisson)(const fnn_loss_args *args) { mean_loss(poisson_loss, args); }
static void FNN_NAME(hinge)(const fnn_loss_args *args) { mean_loss(hinge_loss, args); }
static void FNN_NAME(squared_hinge)(const fnn_loss_args *args) { mean_loss(squared_hinge_loss, args); }
static void FNN_NAME(half_squared)(const fnn_loss_args *args) { sum_loss(half_squared_error, args, 1); }
static void FNN_NAME(half_poisson_logits)(const fnn_loss_args *args) { sum_loss(half_poisson, args, 1); }
static void FNN_NAME(log_loss_logits)(const fnn_loss_args *args) { sum_loss(log_loss, args, 1); }
static void FNN_NAME(kld)(const fnn_loss_args *args) { sum_loss(divergence, args, 1); }
static void FNN_NAME(focal)(const fnn_loss_args *args) { mean_loss(focal_loss, args); }
static void FNN_NAME(focal_logits)(const fnn_loss_args *args) { mean_loss(focal_loss_logits, args); }

/* The losses from here on couple a row's columns and go over them several times: a tile of P columns is
 * kept in p and t if it is all there is, else loaded again in each pass. */

/* for the cross-entropies: t, smoothed */
INLINE ptrdiff_t load_smooth_t(const fnn_loss_args *args, const loss_rows *rows, ptrdiff_t c, vreal *t) {
    const ptrdiff_t cols = load_t(rows, c, t);
    const vreal even = v_div(v_set1(1), v_set1((real)args->cols));
    for (ptrdiff_t j = 0; j < cols; j++) t[j] = smooth(t[j], args->param[0], even);
    return cols;
}

/* top = max p;  e = exp(p - top);  loss = (sum t) log(sum e) - sum t (p - top),
 * at most param[1], where that is not 0, which does not stop dp
 * dp = scale weight (e (sum t) / (sum e) - t) */
static void FNN_NAME(xent_logits)(const fnn_loss_args *args) {
    const int again = args->cols > P;
    const vreal most = v_set1(args->param[1] > 0 ? (real)args->param[1] : (real)INFINITY);
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
            const ptrdiff_t cols = load_smooth_t(args, &rows, c, t);
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
        store_first(rows.n, (real *)args->loss + r, v_mul(weight, v_min(most, loss))); /* NaN stays */
        if (!args->dp) continue;

        const vreal ratio = v_div(sum_t, sum_e);
        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            const ptrdiff_t cols = min_size(args->cols - c, P);
            if (again) {
                load_p(&rows, c, p);
                load_smooth_t(args, &rows, c, t);
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
            const ptrdiff_t cols = load_smooth_t(args, &rows, c, t);
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
                load_smooth_t(args, &rows, c, t);
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

/* Of one class: t a (1-q)^gamma (-log q), and in *h the derivative to q, times q:
 * h = t a (1-q)^gamma (gamma q log q / (1-q) - 1) */
INLINE vreal focal_class(vreal q, vreal log_q, vreal t, const double *param, vreal *h) {
    const vreal zero = v_zero(), one = v_set1(1), gamma = v_set1((real)param[1]);
    const vmask none = v_eq(t, zero); /* a class of no weight adds nothing, though log q be -inf */
    const vreal rest = v_max(v_set1((real)1e-30), v_sub(one, q)); /* no division by 0; a NaN stays */
    const vreal factor = v_mul(v_mul(t, v_set1((real)param[2])), v_exp(v_mul(gamma, v_log(rest))));
    const vreal moves = v_div(v_mul(v_mul(gamma, q), log_q), rest);
    *h = v_select(none, zero, v_mul(factor, v_sub(moves, one)));
    return v_select(none, zero, v_neg(v_mul(factor, log_q)));
}

/* e = exp(p - top);  q = e / (sum e), log q = p - top - log(sum e)
 * dp = scale weight (h - q (sum h)) */
static void FNN_NAME(focal_xent_logits)(const fnn_loss_args *args) {
    const int again = args->cols > P;
    if (args->cols <= 0) return;
    for (ptrdiff_t r = 0; r < args->rows; r += VL) {
        const loss_rows rows = LOSS_ROWS(args, r);
        const vreal weight = load_weight(args, r, rows.n);
        const vreal scale = v_mul(v_set1((real)args->scale), weight);
        vreal p[P], t[P], top = v_zero(), sum_e = v_zero(), loss = v_zero(), sum_h = v_zero();

        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            const ptrdiff_t cols = load_p(&rows, c, p);
            if (c == 0) top = p[0];
            for (ptrdiff_t j = 0; j < cols; j++) top = v_max(p[j], top);
        }
        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            if (again) load_p(&rows, c, p);
            for (ptrdiff_t j = 0; j < min_size(args->cols - c, P); j++)
                sum_e = v_add(sum_e, v_exp(v_sub(p[j], top)));
        }
        const vreal log_sum = v_log(sum_e);
        for (int pass = 0; pass < (args->dp ? 2 : 1); pass++) {
            for (ptrdiff_t c = 0; c < args->cols; c += P) {
                const ptrdiff_t cols = min_size(args->cols - c, P);
                if (pass == 0 || again) { /* else p and t are q and h */
                    if (again) load_p(&rows, c, p);
                    load_smooth_t(args, &rows, c, t);
                    for (ptrdiff_t j = 0; j < cols; j++) {
                        const vreal x = v_sub(p[j], top);
                        p[j] = v_div(v_exp(x), sum_e);
                        const vreal own = focal_class(p[j], v_sub(x, log_sum), t[j], args->param, &t[j]);
                        if (pass > 0) continue;
                        loss = v_add(loss, own);
                        sum_h = v_add(sum_h, t[j]);
                    }
                }
                if (pass == 0) continue;
                for (ptrdiff_t j = 0; j < cols; j++) p[j] = v_mul(scale, v_fnma(p[j], sum_h, t[j]));
                store_gradient(args, r, rows.n, c, p);
            }
        }
        store_first(rows.n, (real *)args->loss + r, v_mul(weight, loss));
    }
}

/* q = p / (sum p), clipped;  with h' = h where q is not clipped, else 0:
 * dp = scale weight / (sum p) (h' / q - sum h') */
static void FNN_NAME(focal_xent)(const fnn_loss_args *args) {
    const int again = args->cols > P;
    if (args->cols <= 0) return;
    for (ptrdiff_t r = 0; r < args->rows; r += VL) {
        const loss_rows rows = LOSS_ROWS(args, r);
        const vreal weight = load_weight(args, r, rows.n);
        vreal p[P], t[P], sum_p = v_zero(), loss = v_zero(), sum_h = v_zero();

        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            const ptrdiff_t cols = load_p(&rows, c, p);
            for (ptrdiff_t j = 0; j < cols; j++) sum_p = v_add(sum_p, p[j]);
        }
        const vreal scale = v_div(v_mul(v_set1((real)args->scale), weight), sum_p);
        for (int pass = 0; pass < (args->dp ? 2 : 1); pass++) {
            for (ptrdiff_t c = 0; c < args->cols; c += P) {
                const ptrdiff_t cols = min_size(args->cols - c, P);
                if (pass == 0 || again) { /* else p and t are q and h' */
                    if (again) load_p(&rows, c, p);
                    load_smooth_t(args, &rows, c, t);
                    for (ptrdiff_t j = 0; j < cols; j++) {
                        vmask moved;
                        p[j] = clip_probability(v_div(p[j], sum_p), &moved);
                        const vreal own = focal_class(p[j], v_log(p[j]), t[j], args->param, &t[j]);
                        t[j] = v_select(moved, v_zero(), t[j]);
                        if (pass > 0) continue;
                        loss = v_add(loss, own);
                        sum_h = v_add(sum_h, t[j]);
                    }
                }
                if (pass == 0) continue;
                for (ptrdiff_t j = 0; j < cols; j++)
                    p[j] = v_mul(scale, v_sub(v_div(t[j], p[j]), sum_h));
                store_gradient(args, r, rows.n, c, p);
            }
        }
        store_first(rows.n, (real *)args->loss + r, v_mul(weight, loss));
    }
}

/* p's columns are k means m, then k logarithms of variances; e = m - t, s = max(that, low):
 * loss = mean of (s + e^2 exp(-s)) / 2, + base;  dm = e exp(-s) / k;  ds = (1 - e^2 exp(-s)) / (2 k),
 * also where s is low, so that it can come back */
static void FNN_NAME(gaussian_nll)(const fnn_loss_args *args) {
    const ptrdiff_t k = args->cols / 2;
    const vreal half = v_set1((real)0.5), one = v_set1(1), count = v_set1((real)k);
    const vreal low = v_set1((real)args->param[0]), base = v_set1((real)args->param[1]);
    if (k <= 0) return;
    for (ptrdiff_t r = 0; r < args->rows; r += VL) {
        const loss_rows rows = LOSS_ROWS(args, r);
        const vreal weight = load_weight(args, r, rows.n);
        const vreal scale = v_div(v_mul(v_set1((real)args->scale), weight), count);
        vreal m[P], s[P], t[P], sum = v_zero();
        ptrdiff_t cols;
        for (ptrdiff_t c = 0; c < k; c += cols) { /* columns c ... and k + c ... within a panel each */
            const ptrdiff_t at_m = c / P * args->p_panel + c % P;
            const ptrdiff_t at_s = (k + c) / P * args->p_panel + (k + c) % P;
            cols = min_size(min_size(k - c, P - c % P), P - (k + c) % P);
            const layout part = {cols, P, 0};
            read_columns(part, rows.n, rows.p + at_m, m);
            read_columns(part, rows.n, rows.p + at_s, s);
            read_columns(part, rows.n, rows.t + c / P * args->t_panel + c % P, t);
            for (ptrdiff_t j = 0; j < cols; j++) {
                const vreal e = v_sub(m[j], t[j]), log_variance = v_max(low, s[j]); /* a NaN stays */
                const vreal slope = v_mul(e, v_exp(v_neg(log_variance))), square = v_mul(e, slope);
                sum = v_add(sum, v_add(log_variance, square));
                m[j] = v_mul(scale, slope);
                s[j] = v_mul(v_mul(scale, half), v_sub(one, square));
            }
            if (!args->dp) continue;
            write_columns(part, rows.n, m, (real *)args->dp + r * P + at_m);
            write_columns(part, rows.n, s, (real *)args->dp + r * P + at_s);
        }
        const vreal loss = v_fma(half, v_div(sum, count), base);
        store_first(rows.n, (real *)args->loss + r, v_mul(weight, loss));
    }
}

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

/* neg = max (1-t) p, first at column c;  loss = max(1 + neg - sum t p, 0)
 * dp = scale weight ((1-t) at c - t) where the loss is positive */
static void FNN_NAME(categorical_hinge)(const fnn_loss_args *args) {
    const vreal one = v_set1(1);
    if (args->cols <= 0) return;
    for (ptrdiff_t r = 0; r < args->rows; r += VL) {
        const loss_rows rows = LOSS_ROWS(args, r);
        const vreal weight = load_weight(args, r, rows.n);
        vreal p[P], t[P], sum = v_zero();
        first_largest neg = {v_zero(), v_zero()};

        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            const ptrdiff_t cols = load_p(&rows, c, p);
            load_t(&rows, c, t);
            if (c == 0) neg.value = v_mul(v_sub(one, t[0]), p[0]);
            for (ptrdiff_t j = 0; j < cols; j++) {
                sum = v_fma(t[j], p[j], sum);
                take_larger(&neg, v_mul(v_sub(one, t[j]), p[j]), c + j);
            }
        }
        const vreal margin = v_add(v_sub(neg.value, sum), one);
        store_first(rows.n, (real *)args->loss + r, v_mul(weight, v_max(v_zero(), margin)));
        if (!args->dp) continue;

        const vreal scale = v_mul(v_set1((real)args->scale), weight);
        const vreal active = v_mul(scale, by_sign(margin, v_zero(), one));
        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            if (args->cols > P) load_t(&rows, c, t);
            for (ptrdiff_t j = 0; j < min_size(args->cols - c, P); j++) {
                const vmask at_neg = v_eq(neg.column, v_set1((real)(c + j)));
                const vreal own = v_select(at_neg, v_sub(one, t[j]), v_zero());
                p[j] = v_mul(active, v_sub(own, t[j]));
            }
            store_gradient(args, r, rows.n, c, p);
        }
    }
}

/* i = 1 / max(|p|, eps), k = 1 / max(|t|, eps);  loss = -i k sum p t
 * dp = -scale weight i (k t + loss i p), without the second term where |p| < eps */
static void FNN_NAME(cosine)(const fnn_loss_args *args) {
    const vreal one = v_set1(1), low = v_set1((real)CLIP_EPSILON);
    if (args->cols <= 0) return;
    for (ptrdiff_t r = 0; r < args->rows; r += VL) {
        const loss_rows rows = LOSS_ROWS(args, r);
        const vreal weight = load_weight(args, r, rows.n);
        vreal p[P], t[P], pp = v_zero(), tt = v_zero(), pt = v_zero();

        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            const ptrdiff_t cols = load_p(&rows, c, p);
            load_t(&rows, c, t);
            for (ptrdiff_t j = 0; j < cols; j++) {
                pp = v_fma(p[j], p[j], pp);
                tt = v_fma(t[j], t[j], tt);
                pt = v_fma(p[j], t[j], pt);
            }
        }
        const vreal norm = v_sqrt(pp), i = v_div(one, v_max(low, norm));
        const vreal k = v_div(one, v_max(low, v_sqrt(tt)));
        const vreal loss = v_neg(v_mul(v_mul(pt, i), k));
        store_first(rows.n, (real *)args->loss + r, v_mul(weight, loss));
        if (!args->dp) continue;

        const vreal scale = v_neg(v_mul(v_mul(v_set1((real)args->scale), weight), i));
        const vreal along = v_select(v_lt(norm, low), v_zero(), v_mul(loss, i));
        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            if (args->cols > P) {
                load_p(&rows, c, p);
                load_t(&rows, c, t);
            }
            for (ptrdiff_t j = 0; j < min_size(args->cols - c, P); j++)
                p[j] = v_mul(scale, v_fma(along, p[j], v_mul(k, t[j])));
            store_gradient(args, r, rows.n, c, p);
        }
    }
}

/* Metrics that are a mean over the columns. */
typedef vreal (*element_metric)(vreal p, vreal t, vreal threshold);

INLINE void mean_metric(element_metric metric, const fnn_metric_args *args) {
    const vreal threshold = v_set1((real)args->number);
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
        const vreal wanted = rows.t ? best_t.column : rows.label;
        store_first(rows.n, (real *)args->value + r,
                    v_select(v_eq(best_p.column, wanted), v_set1(1), v_zero()));
    }
}

/* The class, the first largest t, is among the top where fewer than `number` p are larger than its
 * own, which a NaN is: then ties count for it. */
static void FNN_NAME(in_top_k)(const fnn_metric_args *args) {
    const vreal one = v_set1(1), number = v_set1((real)args->number);
    if (args->cols <= 0) return;
    for (ptrdiff_t r = 0; r < args->rows; r += VL) {
        const loss_rows rows = LOSS_ROWS(args, r);
        first_largest best_t = {v_zero(), v_zero()};
        vreal p[P], t[P], own = v_set1((real)NAN), larger = v_zero();
        for (ptrdiff_t c = 0; rows.t && c < args->cols; c += P) {
            const ptrdiff_t cols = load_t(&rows, c, t);
            if (c == 0) best_t.value = t[0];
            for (ptrdiff_t j = 0; j < cols; j++) take_larger(&best_t, t[j], c + j);
        }
        const vreal wanted = rows.t ? best_t.column : rows.label;
        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            const ptrdiff_t cols = load_p(&rows, c, p);
            for (ptrdiff_t j = 0; j < cols; j++)
                own = v_select(v_eq(wanted, v_set1((real)(c + j))), p[j], own);
        }
        for (ptrdiff_t c = 0; c < args->cols; c += P) {
            const ptrdiff_t cols = args->cols > P ? load_p(&rows, c, p) : args->cols;
            for (ptrdiff_t j = 0; j < cols; j++) {
                const vmask no_larger = m_or(v_lt(p[j], own), v_eq(p[j], own));
                larger = v_add(larger, v_select(no_larger, v_zero(), one));
            }
        }
        const vmask among = m_and(v_lt(larger, number), v_eq(own, own));
        store_first(rows.n, (real *)args->value + r, v_select(among, one, v_zero()));
    }
}
