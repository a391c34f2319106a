/* What each kind of kernel is tested with: for every line of kernels.def a spec_<name> or want_<name>,
 * so that a kernel without a test does not link and a kind without one does not compile. */
#ifndef TESTS_H
#define TESTS_H

#include "harness.h"

typedef struct {
    long double (*f)(long double x);
    double ulp;
    int positive; /* domain x > 0 */
} unary_spec;

/* dx = dy f(s) within |dy| epsilon (ulp |f(s)| + absolute), s in [low, high] */
typedef struct {
    long double (*f)(long double s);
    double ulp, absolute, low, high;
} grad_spec;

/* y = f(x) of the numbers, within ulp */
typedef struct {
    long double (*f)(const double *param, long double x);
    double ulp;
} curve_spec;

/* dx = dy f(s) of the numbers, as for grad_spec; s is an output of the curve, or any number */
typedef struct {
    long double (*f)(const double *param, long double s);
    double ulp, absolute;
    int of_output;
} curve_grad_spec;

/* y of x, the hash h and the arguments, and the error allowed, in epsilons */
typedef struct {
    double (*f)(const fnn_noise_args *g, uint32_t h, double x, double *bound);
} noise_spec;

/* y = f(x) for a row of n, and the error allowed, in epsilons */
typedef void rows_reference(ptrdiff_t n, const double *x, double *y, double *bound);
typedef void rows_grad_reference(ptrdiff_t n, const double *y, const double *dy, double *dx,
                                 double *bound);

typedef struct {
    int transpose_a;
} gemm_spec;

typedef struct {
    int of_rows;
} pair_spec;

typedef struct {
    int transpose_b;
} few_spec;

typedef struct {
    int transpose, unpack;
} pack_spec;

enum { MAX_COLS = 256 };

/* The loss of one row and its derivatives, with the errors allowed, in epsilons. */
typedef struct {
    double loss, loss_bound, d[MAX_COLS], d_bound[MAX_COLS];
} row_loss;

typedef struct {
    void (*f)(const fnn_kernels *k, ptrdiff_t cols, const double *param, const double *p,
              const double *t, row_loss *out);
    double low, high; /* of p */
    int extremes;     /* p may be anything finite beside */
    int labels;       /* takes class ids too */
    int smooths;      /* its first parameter is the labels' smoothing */
    double param[FNN_LOSS_PARAMS];
    int halves;       /* p has twice as many columns as t */
} loss_spec;

typedef struct {
    double (*f)(ptrdiff_t cols, const double *p, const double *t, double number);
    int labels;
    double number;
} metric_spec;

/* one weight's state, and the errors allowed, in epsilons */
typedef struct {
    double w, m, v, u, w_bound, m_bound, v_bound, u_bound;
} weight_state;

/* which of m, v and u an optimizer has */
enum slots {
    HEAVY_M = 1, M = 2, V = 4, U = 8, CENTERED_U = 16, /* HEAVY_M: with momentum only */
    AS_IT_IS = 32                                      /* g is not penalised, w does not decay */
};

typedef struct {
    void (*f)(const fnn_hyper *hyper, double g, weight_state *state);
    int slots;
} optim_spec;

/* the optimizer, of a table; NULL: norms */
typedef struct {
    fnn_optim (*optim)(const fnn_kernels *k);
    int has_v;
} gradient_spec;

/* One case of a kernel; `with`: bit 0 gamma, bit 1 beta, bit 2 far from 0 or calm. */
typedef void layer_norm_case(const fnn_kernels *k, const char *name, fnn_layer_norm f, enum side side,
                             ptrdiff_t rows, ptrdiff_t cols, int with);
typedef void batch_norm_case(const fnn_kernels *k, const char *name, fnn_batch_norm f, enum side side,
                             ptrdiff_t rows, ptrdiff_t cols, int with);
typedef void prelu_case(const fnn_kernels *k, const char *name, fnn_prelu f, enum side side,
                        ptrdiff_t rows, ptrdiff_t cols);

#define FNN_UNARY(name) extern const unary_spec spec_##name;
#define FNN_GRAD(name) extern const grad_spec spec_##name;
#define FNN_BINARY(name)
#define FNN_ROWS(name) rows_reference want_##name;
#define FNN_ROWS_GRAD(name) rows_grad_reference want_##name;
#define FNN_GEMM(name) extern const gemm_spec spec_##name;
#define FNN_PAIR(name) extern const pair_spec spec_##name;
#define FNN_FEW(name) extern const few_spec spec_##name;
#define FNN_PACK(name) extern const pack_spec spec_##name;
#define FNN_GATHER(name)
#define FNN_GATHER_FROM(name)
#define FNN_SPARSE(name)
#define FNN_SCATTER(name)
#define FNN_SCALE(name)
#define FNN_COLSUM(name)
#define FNN_CURVE(name) extern const curve_spec spec_##name;
#define FNN_CURVE_GRAD(name) extern const curve_grad_spec spec_##name;
#define FNN_NOISE(name) extern const noise_spec spec_##name;
#define FNN_LAYER_NORM(name) layer_norm_case want_##name;
#define FNN_BATCH_NORM(name) batch_norm_case want_##name;
#define FNN_PRELU(name) prelu_case want_##name;
#define FNN_EMBED(name)
#define FNN_EMBED_GRADIENT(name)
#define FNN_LOSS(name) extern const loss_spec spec_##name;
#define FNN_METRIC(name) extern const metric_spec spec_##name;
#define FNN_OPTIM(name) extern const optim_spec spec_##name;
#define FNN_NORM(name)
#define FNN_GRADIENT(name) extern const gradient_spec spec_##name;
#define FNN_PROBE(name)
#include "../kernels.def"
#include "../kernels_undef.h"

typedef const fnn_kernels *kernels;

void test_unary(kernels k, const char *name, fnn_unary f, const unary_spec *spec);
void test_grad(kernels k, const char *name, fnn_grad f, const grad_spec *spec);
void test_binary(kernels k, const char *name, fnn_binary f);
void test_rows(kernels k, const char *name, fnn_rows f, rows_reference *want);
void test_rows_grad(kernels k, const char *name, fnn_rows_grad f, rows_grad_reference *want);
void test_gemm(kernels k, const char *name, fnn_gemm f, const gemm_spec *spec);
void test_probe(kernels k, const char *name, fnn_probe f);
void test_few(kernels k, const char *name, fnn_few f, const few_spec *spec);
void test_pair(kernels k, const char *name, fnn_pair f, const pair_spec *spec);
void test_pack(kernels k, const char *name, fnn_pack f, const pack_spec *spec);
void test_gather(kernels k, const char *name, fnn_gather f);
void test_gather_from(kernels k, const char *name, fnn_gather_from f);
void test_sparse(kernels k, const char *name, fnn_sparse f);
void test_scatter(kernels k, const char *name, fnn_scatter f);
void test_scale(kernels k, const char *name, fnn_scale f);
void test_colsum(kernels k, const char *name, fnn_colsum f);
void test_curve(kernels k, const char *name, fnn_curve f, const curve_spec *spec);
void test_curve_grad(kernels k, const char *name, fnn_curve_grad f, const curve_grad_spec *spec);
void test_noise(kernels k, const char *name, fnn_noise f, const noise_spec *spec);
void test_layer_norm(kernels k, const char *name, fnn_layer_norm f, layer_norm_case *want);
void test_batch_norm(kernels k, const char *name, fnn_batch_norm f, batch_norm_case *want);
void test_prelu(kernels k, const char *name, fnn_prelu f, prelu_case *want);
void test_embed(kernels k, const char *name, fnn_embed f);
void test_embed_gradient(kernels k, const char *name, fnn_embed_gradient f);
void test_loss(kernels k, const char *name, fnn_loss f, const loss_spec *spec);
void test_metric(kernels k, const char *name, fnn_metric f, const metric_spec *spec);
void test_optim(kernels k, const char *name, fnn_optim f, const optim_spec *spec);
void test_norm(kernels k, const char *name, fnn_norm f);
void test_gradient(kernels k, const char *name, fnn_gradient f, const gradient_spec *spec);
void test_dispatch(void);

#endif
