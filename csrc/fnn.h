/* fastnn's C kernels: types, contracts and the kernel table. The only header Cython sees.
 *
 * A kernel does what ONE core does. It knows pointers, sizes and strides in elements, and one
 * block of work; it allocates nothing, keeps no state, and never hears of threads or layers.
 *
 * Legend. m n k: sizes of C (m,n) = A (m,k) B (k,n). VL: lanes of one vector. P: columns of one
 * panel (`panel` below), a small multiple of VL fixed by dtype and ISA. `real`: float or double,
 * by the table's dtype; every `void *` to numbers points to it.
 *
 * Panelled matrix. Element (r, c) of a matrix with row stride `row` and panel stride `panel` lies at
 *
 *     base[(c / P) * panel + r * row + c % P]
 *
 * Panels proper have row = P and panel = rows * P: [columns/P][rows][P], so that a tile's addresses
 * are one base plus constants. A row-major matrix is the same formula with row = ld, panel = P.
 * Columns past the last one are padding: no kernel reads a result out of them, and every kernel
 * leaves those of its output as they were, unless its contract says that it zeroes them.
 *
 * Preconditions common to all: sizes >= 0; pointers aligned to `real`; outputs do not overlap
 * inputs unless the contract says so. Size 0 writes nothing.
 */
#ifndef FNN_H
#define FNN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* FNN_BFLOAT16: float32, but for the operands of the products, which are pairs of bfloat16 */
enum fnn_dtype { FNN_FLOAT32 = 0, FNN_FLOAT64 = 1, FNN_BFLOAT16 = 2, FNN_DTYPES = 3 };

enum { FNN_MAX_PANEL = 32 }; /* no table's P is larger */

/* best last; fnn_best_isa() takes the last one that the CPU can run */
enum fnn_isa {
    FNN_SCALAR = 0, FNN_NEON = 1, FNN_AVX2 = 2, FNN_AVX512 = 3, FNN_AVX512BF16 = 4, FNN_ISAS = 5
};

/* y[i] = f(x[i]) */
typedef void (*fnn_unary)(ptrdiff_t n, const void *x, void *y);

/* dx[i] = dy[i] f'(s[i]); s is y = f(x), or x where kernels.def says so */
typedef void (*fnn_grad)(ptrdiff_t n, const void *s, const void *dy, void *dx);

/* y[i] = f(x[i]), y may be x, of n contiguous elements and f's numbers
 *   ramp      {slope, threshold, highest}: min(x, highest) where x > threshold, else slope (x - threshold)
 *   exp_tail  {a, b}, a >= 0, b > 0: x where x > 0, else a (e^(b x) - 1) */
enum { FNN_CURVE_PARAMS = 3 };
typedef void (*fnn_curve)(ptrdiff_t n, const double *param, const void *x, void *y);

/* dx[i] = dy[i] f'(s[i]), dx may be dy; s is x for ramp, y for exp_tail. ramp' is 0 from `highest` on,
 * and at the threshold, as exp_tail' at 0, that from below. */
typedef void (*fnn_curve_grad)(ptrdiff_t n, const double *param, const void *s, const void *dy,
                               void *dx);
/* z[i] = f(x[i], y[i]); z may be x or y */
typedef void (*fnn_binary)(ptrdiff_t n, const void *x, const void *y, void *z);

/* y[r,:] = f(x[r,:]) on panelled matrices of equal strides; y may be x */
typedef void (*fnn_rows)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t panel,
                         const void *x, void *y);

/* dx[r,:] = J(y[r,:])^T dy[r,:], equal strides; dx may be dy */
typedef void (*fnn_rows_grad)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t panel,
                              const void *y, const void *dy, void *dx);

/* C (m,n) = act(A B + bias), or C += A B, or C = (A B) * act'(s), of relu also times a scale.
 *   gemm_nn: a is A (m,k), panels with row stride P and panel stride a_panel, at any first row
 *   gemm_tn: a is A^T (k,m), the same way: A's columns lie in panels [m/P][k][P]
 *   a_row not 0: a is A or A^T row-major, that its row stride, and B is not to be packed;
 *   not in bfloat16
 *   b is B (k,n): panelled, b_row, b_panel; whole vectors of its last panel are read, P or VL columns, but of one
 *   of `slim` columns or fewer nothing past the end
 *   c: panelled, c_row, c_panel; columns past n are left alone
 * The order of additions over k depends on k, dtype and ISA alone, so neither m, n nor cutting
 * them into several calls changes a bit of the result.
 * Bfloat16: an element of A and B is a word, a pair (see fnn_pair) of neighbours in k; k counts words.
 * To an element of C, in float32, each word adds the product of the high halves, then that of the
 * low halves, both exact before they are added. C and what is done to it are as in float32. */
typedef struct {
    ptrdiff_t m, n, k;
    const void *a;
    ptrdiff_t a_panel, a_row;
    const void *b;
    ptrdiff_t b_row, b_panel;
    void *b_to;             /* NULL, or panels [n/P][k][P] to pack B into; then m > 0, n % P = 0, a_row = 0 */
    void *c;
    ptrdiff_t c_row, c_panel;
    int accumulate;         /* act(C + (A B)), for a sum over blocks of k; then no bias or grad */
    const void *bias;       /* NULL, or n values: bias of column j at bias[(j/P)*bias_panel + j%P] */
    ptrdiff_t bias_panel;
    fnn_unary act;          /* NULL, or applied to every element of C */
    fnn_grad grad;          /* NULL, or C[r,j] *= f'(s[r,j]); then no bias or act */
    const void *s;          /* with c's strides */
    double scale;           /* 0, or of C, where grad is that of relu */
    const void *next;       /* NULL, or a matrix to fetch into L2 meanwhile, for what comes after */
    ptrdiff_t next_row, next_rows, next_cols; /* its row stride and size */
} fnn_gemm_args;
typedef void (*fnn_gemm)(const fnn_gemm_args *args);

/* C (m,n) = A B + bias for few rows, at most VL P of them; B is not packed.
 *   few_nn: b is B (k,n); few_nt: b is B^T (n,k); row stride ldb
 *   A(r,i) lies at a[r * a_row + i * a_col], C(r,j) at c[r * c_row + j * c_col]; one of c_row and c_col is 1
 *   bias: NULL, or that of C(r,j) at bias[r * bias_row + j * bias_col]; bias_row = 0 and bias_col = 1,
 *   or the other way round
 * So C^T = B^T A^T is one of them where it is the columns that are few. The order of additions depends on k,
 * ISA, dtype, and, for few_nt, on m and a_col. */
typedef struct {
    ptrdiff_t m, n, k;
    const void *a;
    ptrdiff_t a_row, a_col;
    const void *b;
    ptrdiff_t ldb;
    void *c;
    ptrdiff_t c_row, c_col;
    const void *bias;
    ptrdiff_t bias_row, bias_col;
} fnn_few_args;
typedef void (*fnn_few)(const fnn_few_args *args);

/* Copies between a row-major matrix (row stride ld >= columns) and panels (row stride P).
 *   pack             panels (rows,cols) = x (rows,cols)      zeroes the padding columns
 *   pack_transpose   panels (rows,cols) = x^T, x (cols,rows) zeroes the padding columns
 *   unpack           x (rows,cols) = panels (rows,cols)
 * src and dst are x and panels, or panels and x. */
typedef void (*fnn_pack)(ptrdiff_t rows, ptrdiff_t cols, const void *src, ptrdiff_t ld,
                         ptrdiff_t panel, void *dst);

/* Pairs of bfloat16 in words of 32 bits, the first in the low half, from a panelled x (rows,cols) in
 * float32, rounded to nearest even; subnormals become 0, and so does a last one's missing partner.
 *   pair_columns  panels (rows,(cols+1)/2): word (r,c) is x[r,2c] and x[r,2c+1]
 *   pair_rows     panels ((rows+1)/2,cols): word (r,c) is x[2r,c] and x[2r+1,c]
 * Both zero the padding columns. */
typedef void (*fnn_pair)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t x_panel,
                         const void *x, ptrdiff_t panel, void *dst);

/* panels (rows,cols) = x[index[r], :] * scale + shift, the padding columns zeroed.
 * index NULL: rows 0, 1, ...; scale NULL: as they are (then shift is NULL too). */
typedef void (*fnn_gather)(ptrdiff_t rows, ptrdiff_t cols, const int64_t *index, const void *x,
                           ptrdiff_t ldx, const void *scale, const void *shift, ptrdiff_t panel,
                           void *dst);

/* What gather_from reads: integers, IEEE halves, reals; each number is rounded to nearest once. */
enum fnn_source {
    FNN_FROM_U8 = 0, FNN_FROM_I8 = 1, FNN_FROM_U16 = 2, FNN_FROM_I16 = 3, FNN_FROM_U32 = 4,
    FNN_FROM_I32 = 5, FNN_FROM_U64 = 6, FNN_FROM_I64 = 7, FNN_FROM_F16 = 8, FNN_FROM_F32 = 9,
    FNN_FROM_F64 = 10, FNN_SOURCES = 11
};

/* As fnn_gather, from an x of another type, aligned to that. */
typedef void (*fnn_gather_from)(enum fnn_source source, ptrdiff_t rows, ptrdiff_t cols,
                                const int64_t *index, const void *x, ptrdiff_t ldx,
                                const void *scale, const void *shift, ptrdiff_t panel, void *dst);

/* C (m,n) = X B + bias for sparse rows. Row r of X is i = index[r] (index NULL: r) of rows whose
 * non-zeros are z = begin[i] .. begin[i+1]-1: value[z] in column column[z]. Their order is that of the
 * additions; a column may come several times.
 *   b is B (k,n) in panels, row stride P; c: panels; bias as for fnn_gemm */
typedef struct {
    ptrdiff_t m, n;
    const int64_t *index, *begin;
    const int32_t *column;
    const void *value;
    const void *b;
    ptrdiff_t b_panel;
    const void *bias;
    ptrdiff_t bias_panel;
    void *c;
    ptrdiff_t c_panel;
} fnn_sparse_args;
typedef void (*fnn_sparse)(const fnn_sparse_args *args);

/* y[to[i],:] += value[i] x[from[i],:] for i = 0 .. n-1 in this order; rows of cols <= P elements of one
 * panel each, row stride P */
typedef void (*fnn_scatter)(ptrdiff_t n, ptrdiff_t cols, const int32_t *to, const int32_t *from,
                            const void *value, const void *x, void *y);

/* y[r,c] = x[r,c] * scale[c] + shift[c] (shift NULL: none), equal strides; y may be x.
 * scale and shift are plain vectors of cols elements. */
typedef void (*fnn_scale)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t panel,
                          const void *x, const void *scale, const void *shift, void *y);

/* sum[c] = sum over r of x[r,c], of colsquare x[r,c]^2, in a fixed order; sum is panelled with panel
 * stride sum_panel */
typedef void (*fnn_colsum)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t panel,
                           const void *x, ptrdiff_t sum_panel, void *sum);

/* Rows of panels with random changes; y may be x.
 *   dropout           y = scale x where the element is kept, else 0
 *   alpha_dropout     y = scale x + shift where it is kept, else low
 *   gaussian_noise    y = x + scale z
 *   gaussian_dropout  y = x (1 + scale z)
 * rows x cols elements from row row0 and column col0 on, a panel's first, of a batch whose rows have `width`: that
 * of row r and of column c of the batch is number i = r width + c modulo 2^32, and has
 * h = hash(low(key) + i (high(key) | 1)), of the key's two halves. It is kept where h >= rate 2^32. z is normal:
 * with p = (h modulo 2^31 + 1/2) / 2^32, it is -Phi^-1(p) where h < 2^31, else Phi^-1(p), to within some units
 * in the last place of 1 + |z|. */
typedef struct {
    ptrdiff_t rows, cols, row0, col0, width;
    ptrdiff_t panel;        /* row stride P */
    uint64_t key;
    double rate;            /* 0 <= rate < 1 */
    double scale, shift, low;
    const void *x;
    void *y;
} fnn_noise_args;
typedef void (*fnn_noise)(const fnn_noise_args *args);

/* Normalization of each row (csrc/normalize.inc.h has the formulas).
 *   layer_norm           y of x; stats are written
 *   layer_norm_backward  y = dx of x, dy and the stats that layer_norm wrote
 *   layer_norm_gradient  dgamma and dbeta (NULL: not wanted) of one panel, cols <= P, of x and dy there
 * x, dy and y are panels, row stride P, equal panel strides; y may be x or dy. */
typedef struct {
    ptrdiff_t rows, cols, panel;
    const void *x, *dy;
    const void *gamma, *beta; /* NULL: 1 and 0; element c at [(c / P) * w_panel + c % P] */
    ptrdiff_t w_panel;
    double epsilon;
    void *stats;            /* [rows][2]: 1 / sqrt(variance + epsilon), mean; layer_norm: or NULL */
    void *y;
    void *dgamma, *dbeta;
} fnn_layer_norm_args;
typedef void (*fnn_layer_norm)(const fnn_layer_norm_args *args);

/* Normalization of the columns of one panel, cols <= P, row stride P, by numbers that `state` keeps,
 * vectors [FNN_BATCH_NORM_STATE][P].
 *   batch_norm_moments   from x: the batch's RSTD, MEAN, SCALE_BY and SHIFT_BY, y = x SCALE_BY + SHIFT_BY;
 *                        MOVING_ = MOVING_ momentum + the batch's (1 - momentum)
 *   batch_norm_calm      CALM_SCALE and CALM_SHIFT of the moving mean and variance
 *   batch_norm_sums      from x and dy: DGAMMA, DBETA, and what batch_norm_backward reads; of the batch's
 *                        mean and variance, or, if `calm`, of the moving ones, which do not depend on x
 *   batch_norm_backward  dx = dy SCALE_BY + (x - MEAN) SLOPE + OFFSET; dx may be dy */
enum {
    FNN_MOVING_MEAN, FNN_MOVING_VARIANCE, FNN_CALM_SCALE, FNN_CALM_SHIFT, FNN_RSTD, FNN_MEAN,
    FNN_SCALE_BY, FNN_SHIFT_BY, FNN_SLOPE, FNN_OFFSET, FNN_DGAMMA, FNN_DBETA, FNN_BATCH_NORM_STATE
};
typedef struct {
    ptrdiff_t rows, cols;
    const void *x, *dy;
    void *dx;
    const void *gamma, *beta; /* NULL: 1 and 0 */
    double epsilon, momentum;
    int calm;
    void *state;
} fnn_batch_norm_args;
typedef void (*fnn_batch_norm)(const fnn_batch_norm_args *args);

/* On one panel, cols <= P, row stride P:
 *   prelu           y = x where x > 0, else x alpha[c]; y may be x
 *   prelu_backward  y = dx; may be dy
 *   prelu_gradient  y[c], one row, = the gradient of alpha[c] */
typedef struct {
    ptrdiff_t rows, cols;
    const void *x, *dy, *alpha;
    void *y;
} fnn_prelu_args;
typedef void (*fnn_prelu)(const fnn_prelu_args *args);

/* y[r, y_col + c] = x[i, x_col + c] for c < cols, of panels with row stride P. i is r; or, of `id` not
 * NULL, the number id[r P]: where that is none of 0 .. x_rows - 1, y is NaN and nothing is read. */
typedef struct {
    ptrdiff_t rows, cols;
    const void *id;
    const void *x;
    ptrdiff_t x_rows, x_panel, x_col;
    void *y;
    ptrdiff_t y_panel, y_col;
} fnn_embed_args;
typedef void (*fnn_embed)(const fnn_embed_args *args);

/* dx[to[i], c] += dy[row[i], dy_col + col[i] + c] for i = 0, 1, ... below n and c < cols <= P; dx is one
 * panel, dy are panels, row stride P */
typedef struct {
    ptrdiff_t n, cols;
    const int32_t *to, *row, *col;
    const void *dy;
    ptrdiff_t dy_panel, dy_col;
    void *dx;
} fnn_embed_gradient_args;
typedef void (*fnn_embed_gradient)(const fnn_embed_gradient_args *args);

/* Loss of each row and its gradient with respect to p, each row on its own.
 *   mse          mean over columns of (p - t)^2
 *   bce          mean over columns of -t log q - (1-t) log(1-q), q = clip(p, eps, 1-eps), eps 1e-7
 *   bce_logits   the same of q = sigmoid(p), no clipping, stable for every finite p
 *   xent         -sum over columns of t log clip(q, eps, 1-eps), q = p / sum of the row's p
 *   xent_logits  the same of q = softmax(p), no clipping, stable
 *   mae          mean of |p - t|;   mape  mean of 100 |p - t| / max(|t|, eps)
 *   msle         mean of (log(1 + max(p, eps)) - log(1 + max(t, eps)))^2
 *   huber        mean of e^2/2 where |e| <= delta, else delta |e| - delta^2/2, of e = p - t
 *   log_cosh     mean of log(cosh(p - t))
 *   quantile     mean of max(tau e, (tau - 1) e), e = t - p
 *   poisson      mean of p - t log(p + eps)
 *   hinge        mean of max(1 - t p, 0), t of 0 standing for -1;   squared_hinge  of its square
 *   categorical_hinge  max(1 + max of (1-t) p - sum of t p, 0)
 *   kld          sum of t log(t / p), both clipped to [eps, 1]
 *   cosine       -sum of p t / (max(|p|, eps) max(|t|, eps)), of the rows' Euclidean norms
 *   focal        mean of a (1 - r)^gamma bce, r = t q + (1-t)(1-q), a = t positive + (1-t) negative;
 *                focal_logits  the same of q = sigmoid(p), no clipping, stable
 *   focal_xent   -sum over columns of alpha t (1 - q)^gamma log q, q as in xent
 *                focal_xent_logits  the same of q = softmax(p), no clipping, stable
 *   gaussian_nll mean over the k = cols / 2 columns of t of (s + (m - t)^2 exp(-s)) / 2 + base, p being
 *                k means m, then k logarithms of variances; s is such a one, but at least `low`
 *   half_squared sum over columns of factor (p - t)^2, dp being scale weight (p - t), whatever the factor
 *   half_poisson_logits  sum over columns of q - t log q + t log t - t, q = exp(p)
 *   log_loss_logits  sum over columns of -t log c - (1-t) log(1-c), c = clip(q, eps, 1-eps), of
 *                q = 1 / (1 + exp(-p)) as it is rounded; dp goes by q
 * param: {smoothing} of bce, xent and bce_logits, {smoothing, most} of xent_logits (a row's unweighted
 * loss is at most that, but for 0, and dp goes on), {factor} of half_squared, {eps} of log_loss_logits,
 * {smoothing, gamma, positive, negative} of focal, {smoothing, gamma, alpha} of focal_xent, {delta} of huber, {tau} of quantile, {low, base} of
 * gaussian_nll. Smoothing s takes t to t + s (1/2 - t), for xent and focal_xent 1/cols - t.
 * The targets are t (dense, panelled with t_panel, row stride P), or for xent class ids in label (of
 * one that is no column all t are 0); the other of the two is NULL. loss[r] = weight[r] * the above (weight NULL: 1). The gradient
 * dp[r,c] = scale * weight[r] * d/dp. dp NULL: no gradient; dp may be p. Where a loss has a kink, its
 * derivative is that of one of the sides or 0. */
enum { FNN_LOSS_PARAMS = 4 };
typedef struct {
    ptrdiff_t rows, cols;
    const void *p;
    ptrdiff_t p_panel;      /* p and dp are panels proper: row stride P */
    const void *t;
    ptrdiff_t t_panel;
    const int32_t *label;
    const void *weight;
    double scale;
    double param[FNN_LOSS_PARAMS];
    void *dp;
    void *loss;
} fnn_loss_args;
typedef void (*fnn_loss)(const fnn_loss_args *args);

/* value[r], each row on its own; p, t and label as in fnn_loss_args.
 *   argmax_match     1 where the first largest p is the label (the first largest t), else 0
 *   in_top_k         1 where fewer than `number` p are larger than the label's own (that of the first
 *                    largest t), else 0, also where that is no column or NaN; a NaN is larger than all
 *   threshold_match  mean over columns of t == (p > number ? 1 : 0)
 *   squared_error, absolute_error   mean over columns of (p - t)^2, |p - t|
 *   predicted_positive, actual_positive, true_positive   mean over columns of p > number, of
 *   t > 1/2, and of both */
typedef struct {
    ptrdiff_t rows, cols;
    const void *p;
    ptrdiff_t p_panel;
    const void *t;
    ptrdiff_t t_panel;
    const int32_t *label;
    double number;
    void *value;
} fnn_metric_args;
typedef void (*fnn_metric)(const fnn_metric_args *args);

/* One optimizer step on rows x cols (cols <= P) weights of one panel, row stride P; padding
 * columns are left alone. In the form Keras uses:
 *   sgd      m = momentum m - lr g;  w += nesterov ? momentum m - lr g : m   (momentum 0: w -= lr g)
 *   adam     m += (1-beta1)(g - m);  v += (1-beta2)(g^2 - v);  w -= lr m / (sqrt(v) + epsilon)
 *   amsgrad  the same, with u = max(u, v) in place of v in the last
 *   nadam    the same m and v;  w -= lr (part_m m + part_g g) / (sqrt(v) + epsilon)
 *   adamax   the same m;  v = max(beta2 v, |g|);  w -= lr m / (v + epsilon)
 *   rmsprop  v += (1-beta2)(g^2 - v);  d = lr g / sqrt(v + epsilon);  w -= d
 *            centered: u += (1-beta2)(g - u), and max(v - u^2, 0) in place of v in d
 *            momentum: m = momentum m + d;  w -= m instead
 *   adagrad  v += g^2;  w -= lr g / sqrt(v + epsilon)
 *   lion     w -= lr sign(m + (1-beta1)(g - m));  m += (1-beta2)(g - m)
 *   average  w += (1-beta1)(g - w), and nothing of the below: of weights g, their moving average w
 * lr and epsilon are those of the step: corrected for bias, where the optimizer does that. Before
 * all of it, where one of these is not 0:
 *   g = factor (g + l1 sign(w) + 2 l2 w), no larger than clip in size (clip 0: any);  w -= decay w
 * penalty[i] grows by l1 |w| + l2 w^2 of the weights as they were in rows i P .. i P + P - 1: whoever
 * takes which P rows, their sum is the same. Of m, v and u those are NULL that are not used; m also where momentum is 0. */
typedef struct {
    double lr, momentum, beta1, beta2, epsilon;
    double part_m, part_g;
    double l1, l2, clip, decay;
    double factor;          /* 0: 1 */
    int nesterov, centered;
    double *penalty;        /* for each P rows; NULL: nobody asks for it */
    int far;                /* a hint: g, w and the slots are likely to lie outside L2 */
} fnn_hyper;
typedef void (*fnn_optim)(ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *hyper, const void *g,
                          void *w, void *m, void *v, void *u);

/* The gradient of rows x cols (cols <= P) weights of one panel, W (row stride P), and one optimizer
 * step on them: the same bits as gemm_tn, dW = A B, and then sgd or adam on W, m and v; penalty, too.
 * gradient_norm: dW, and what norm adds to squares and penalty, where W and all else stays; of hyper it
 * reads l1, l2 and penalty.
 *   a, a_panel, b, k: as for gemm_tn; b is one panel, its row stride P
 *   g: NULL, or takes dW; row stride P, the padding columns left alone */
typedef struct {
    ptrdiff_t rows, cols, k;
    const void *a;
    ptrdiff_t a_panel;
    const void *b;
    const fnn_hyper *hyper;
    void *g, *w, *m, *v;
    double *squares;        /* of gradient_norm */
    int far;                /* a hint: w, m and v are likely to lie outside L2 */
    const void *ahead, *ahead_end; /* where far: what is read next, to be fetched meanwhile; equal: nothing */
    void *turned;           /* NULL, or where the caller writes these weights transposed next, to be fetched, too: */
    ptrdiff_t turned_panel; /* cols x P of them for each P rows */
} fnn_gradient_args;
typedef void (*fnn_gradient)(const fnn_gradient_args *args);

/* squares[i] += the squares of g + l1 sign(w) + 2 l2 w, unless g is NULL, and penalty[i] += l1 |w| + l2 w^2,
 * over rows i P .. i P + P - 1 of rows x cols (cols <= P) weights of one panel, row stride P: whoever takes
 * which P rows, their sums are the same. */
typedef void (*fnn_norm)(ptrdiff_t rows, ptrdiff_t cols, double l1, double l2, const void *w,
                         const void *g, double *squares, double *penalty);

/* Runs n rounds of independent multiply-adds in registers; returns the floating-point operations done. */
typedef double (*fnn_probe)(ptrdiff_t n);

/* The kernels of one ISA and dtype; NULL where kernels.def says that the dtype has none. */
typedef struct {
    const char *isa, *dtype;
    ptrdiff_t itemsize;     /* bytes of a real, or of a pair */
    ptrdiff_t vl, panel;    /* VL and P */
    ptrdiff_t mr;           /* rows of the largest register tile */
    ptrdiff_t kc;           /* elements of k, of words in bfloat16, that a block of a large product takes at most */
    ptrdiff_t slim;         /* of a last panel of B of so many columns or fewer nothing past its end is read */
#define FNN_UNARY(name) fnn_unary name;
#define FNN_GRAD(name) fnn_grad name;
#define FNN_BINARY(name) fnn_binary name;
#define FNN_ROWS(name) fnn_rows name;
#define FNN_ROWS_GRAD(name) fnn_rows_grad name;
#define FNN_GEMM(name) fnn_gemm name;
#define FNN_PAIR(name) fnn_pair name;
#define FNN_FEW(name) fnn_few name;
#define FNN_PACK(name) fnn_pack name;
#define FNN_GATHER(name) fnn_gather name;
#define FNN_GATHER_FROM(name) fnn_gather_from name;
#define FNN_SPARSE(name) fnn_sparse name;
#define FNN_SCATTER(name) fnn_scatter name;
#define FNN_SCALE(name) fnn_scale name;
#define FNN_COLSUM(name) fnn_colsum name;
#define FNN_LAYER_NORM(name) fnn_layer_norm name;
#define FNN_BATCH_NORM(name) fnn_batch_norm name;
#define FNN_PRELU(name) fnn_prelu name;
#define FNN_EMBED(name) fnn_embed name;
#define FNN_EMBED_GRADIENT(name) fnn_embed_gradient name;
#define FNN_CURVE(name) fnn_curve name;
#define FNN_CURVE_GRAD(name) fnn_curve_grad name;
#define FNN_NOISE(name) fnn_noise name;
#define FNN_LOSS(name) fnn_loss name;
#define FNN_METRIC(name) fnn_metric name;
#define FNN_OPTIM(name) fnn_optim name;
#define FNN_NORM(name) fnn_norm name;
#define FNN_GRADIENT(name) fnn_gradient name;
#define FNN_PROBE(name) fnn_probe name;
#include "kernels.def"
#include "kernels_undef.h"
} fnn_kernels;

/* NULL where the ISA was not built in or this CPU or OS cannot run it. */
const fnn_kernels *fnn_get_kernels(enum fnn_isa isa, enum fnn_dtype dtype);
enum fnn_isa fnn_best_isa(void);
const char *fnn_isa_name(enum fnn_isa isa);

/* Flush subnormals to zero on this thread; returns the state that fnn_restore_fp puts back. */
uint64_t fnn_flush_subnormals(void);
void fnn_restore_fp(uint64_t state);

#ifdef __cplusplus
}
#endif
#endif
