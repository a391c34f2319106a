"""The contracts of csrc/fnn.h for Cython, and what its modules share: the kernels in use, threads."""

from libc.stdint cimport int32_t, int64_t, uint64_t

cdef extern from "fnn.h" nogil:
    enum: FNN_FLOAT32
    enum: FNN_FLOAT64
    enum: FNN_BFLOAT16
    enum: FNN_DTYPES
    enum: FNN_ISAS
    enum: FNN_MAX_PANEL
    enum: FNN_LOSS_PARAMS
    enum: FNN_CURVE_PARAMS

    ctypedef void (*fnn_unary)(ptrdiff_t n, const void *x, void *y) noexcept nogil
    ctypedef void (*fnn_grad)(ptrdiff_t n, const void *s, const void *dy, void *dx) noexcept nogil
    ctypedef void (*fnn_binary)(ptrdiff_t n, const void *x, const void *y, void *z) noexcept nogil
    ctypedef void (*fnn_rows)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t panel,
                              const void *x, void *y) noexcept nogil
    ctypedef void (*fnn_rows_grad)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t panel,
                                   const void *y, const void *dy, void *dx) noexcept nogil
    ctypedef void (*fnn_curve)(ptrdiff_t n, const double *param, const void *x,
                               void *y) noexcept nogil
    ctypedef void (*fnn_curve_grad)(ptrdiff_t n, const double *param, const void *s, const void *dy,
                                    void *dx) noexcept nogil
    ctypedef struct fnn_gemm_args:
        ptrdiff_t m, n, k
        const void *a
        ptrdiff_t a_panel, a_row
        const void *b
        ptrdiff_t b_row, b_panel
        void *b_to
        void *c
        ptrdiff_t c_row, c_panel
        int accumulate
        const void *bias
        ptrdiff_t bias_panel
        fnn_unary act
        fnn_grad grad
        const void *s
        double scale
        const void *next
        ptrdiff_t next_row, next_rows, next_cols
    ctypedef void (*fnn_gemm)(const fnn_gemm_args *args) noexcept nogil
    ctypedef void (*fnn_pair)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t x_panel,
                              const void *x, ptrdiff_t panel, void *dst) noexcept nogil
    ctypedef void (*fnn_pack)(ptrdiff_t rows, ptrdiff_t cols, const void *src, ptrdiff_t ld,
                              ptrdiff_t panel, void *dst) noexcept nogil
    ctypedef void (*fnn_gather)(ptrdiff_t rows, ptrdiff_t cols, const int64_t *index,
                                const void *x, ptrdiff_t ldx, const void *scale,
                                const void *shift, ptrdiff_t panel, void *dst) noexcept nogil
    enum fnn_source:
        FNN_FROM_U8, FNN_FROM_I8, FNN_FROM_U16, FNN_FROM_I16, FNN_FROM_U32, FNN_FROM_I32
        FNN_FROM_U64, FNN_FROM_I64, FNN_FROM_F16, FNN_FROM_F32, FNN_FROM_F64, FNN_SOURCES
    ctypedef void (*fnn_gather_from)(fnn_source source, ptrdiff_t rows, ptrdiff_t cols,
                                     const int64_t *index, const void *x, ptrdiff_t ldx,
                                     const void *scale, const void *shift, ptrdiff_t panel,
                                     void *dst) noexcept nogil
    ctypedef struct fnn_sparse_args:
        ptrdiff_t m, n
        const int64_t *index
        const int64_t *begin
        const int32_t *column
        const void *value
        const void *b
        ptrdiff_t b_panel
        const void *bias
        ptrdiff_t bias_panel
        void *c
        ptrdiff_t c_panel
    ctypedef void (*fnn_sparse)(const fnn_sparse_args *args) noexcept nogil
    ctypedef void (*fnn_scatter)(ptrdiff_t n, ptrdiff_t cols, const int32_t *to,
                                 const int32_t *from_, const void *value, const void *x,
                                 void *y) noexcept nogil
    ctypedef void (*fnn_scale)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t panel,
                               const void *x, const void *scale, const void *shift,
                               void *y) noexcept nogil
    ctypedef void (*fnn_colsum)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t panel,
                                const void *x, ptrdiff_t sum_panel, void *sum) noexcept nogil
    ctypedef struct fnn_loss_args:
        ptrdiff_t rows, cols
        const void *p
        ptrdiff_t p_panel
        const void *t
        ptrdiff_t t_panel
        const int32_t *label
        const void *weight
        double scale
        double param[FNN_LOSS_PARAMS]
        void *dp
        void *loss
    ctypedef void (*fnn_loss)(const fnn_loss_args *args) noexcept nogil
    ctypedef struct fnn_metric_args:
        ptrdiff_t rows, cols
        const void *p
        ptrdiff_t p_panel
        const void *t
        ptrdiff_t t_panel
        const int32_t *label
        double number
        void *value
    ctypedef void (*fnn_metric)(const fnn_metric_args *args) noexcept nogil
    ctypedef struct fnn_noise_args:
        ptrdiff_t rows, cols, row0, col0, width, panel
        uint64_t key
        double rate, scale, shift, low
        const void *x
        void *y
    ctypedef void (*fnn_noise)(const fnn_noise_args *args) noexcept nogil
    ctypedef struct fnn_layer_norm_args:
        ptrdiff_t rows, cols, panel
        const void *x
        const void *dy
        const void *gamma
        const void *beta
        ptrdiff_t w_panel
        double epsilon
        void *stats
        void *y
        void *dgamma
        void *dbeta
    ctypedef void (*fnn_layer_norm)(const fnn_layer_norm_args *args) noexcept nogil
    enum:
        FNN_MOVING_MEAN
        FNN_MOVING_VARIANCE
        FNN_CALM_SCALE
        FNN_CALM_SHIFT
        FNN_SCALE_BY
        FNN_SHIFT_BY
        FNN_DGAMMA
        FNN_DBETA
        FNN_BATCH_NORM_STATE
    ctypedef struct fnn_batch_norm_args:
        ptrdiff_t rows, cols
        const void *x
        const void *dy
        void *dx
        const void *gamma
        const void *beta
        double epsilon, momentum
        bint calm
        void *state
    ctypedef void (*fnn_batch_norm)(const fnn_batch_norm_args *args) noexcept nogil
    ctypedef struct fnn_prelu_args:
        ptrdiff_t rows, cols
        const void *x
        const void *dy
        const void *alpha
        void *y
    ctypedef void (*fnn_prelu)(const fnn_prelu_args *args) noexcept nogil
    ctypedef struct fnn_embed_args:
        ptrdiff_t rows, cols
        const void *id
        const void *x
        ptrdiff_t x_rows, x_panel, x_col
        void *y
        ptrdiff_t y_panel, y_col
    ctypedef void (*fnn_embed)(const fnn_embed_args *args) noexcept nogil
    ctypedef struct fnn_embed_gradient_args:
        ptrdiff_t n, cols
        const int32_t *to
        const int32_t *row
        const int32_t *col
        const void *dy
        ptrdiff_t dy_panel, dy_col
        void *dx
    ctypedef void (*fnn_embed_gradient)(const fnn_embed_gradient_args *args) noexcept nogil
    ctypedef struct fnn_hyper:
        double lr, momentum, beta1, beta2, epsilon
        double part_m, part_g, l1, l2, clip, decay, factor
        int nesterov, centered
        double *penalty
        bint far
    ctypedef void (*fnn_optim)(ptrdiff_t rows, ptrdiff_t cols, const fnn_hyper *hyper,
                               const void *g, void *w, void *m, void *v,
                               void *u) noexcept nogil
    ctypedef struct fnn_gradient_args:
        ptrdiff_t rows, cols, k
        const void *a
        ptrdiff_t a_panel
        const void *b
        const fnn_hyper *hyper
        void *g
        void *w
        void *m
        void *v
        double *squares
        int far
        const void *ahead
        const void *ahead_end
        void *turned
        ptrdiff_t turned_panel
    ctypedef void (*fnn_norm)(ptrdiff_t rows, ptrdiff_t cols, double l1, double l2, const void *w,
                              const void *g, double *squares, double *penalty) noexcept nogil
    ctypedef void (*fnn_gradient)(const fnn_gradient_args *args) noexcept nogil
    ctypedef struct fnn_few_args:
        ptrdiff_t m, n, k
        const void *a
        ptrdiff_t a_row, a_col
        const void *b
        ptrdiff_t ldb
        void *c
        ptrdiff_t c_row, c_col
        const void *bias
        ptrdiff_t bias_row, bias_col
    ctypedef void (*fnn_few)(const fnn_few_args *args) noexcept nogil
    ctypedef double (*fnn_probe)(ptrdiff_t n) noexcept nogil

    ctypedef struct fnn_kernels:
        const char *isa
        const char *dtype
        ptrdiff_t itemsize, vl, panel, mr, kc, slim
        fnn_unary sigmoid, tanh, relu, relu6, leaky_relu, elu, selu, exp, log, softplus, log_sigmoid
        fnn_unary softsign, hard_tanh, hard_sigmoid, hard_silu, silu, gelu, gelu_tanh, mish
        fnn_grad sigmoid_backward, tanh_backward, relu_backward, relu6_backward
        fnn_grad leaky_relu_backward, elu_backward, selu_backward, exp_backward, log_backward
        fnn_grad softplus_backward, log_sigmoid_backward, softsign_backward, hard_tanh_backward
        fnn_grad hard_sigmoid_backward, hard_silu_backward, silu_backward, gelu_backward
        fnn_grad gelu_tanh_backward, mish_backward
        fnn_rows softmax, log_softmax
        fnn_rows_grad softmax_backward, log_softmax_backward
        fnn_gemm gemm_nn, gemm_tn
        fnn_pair pair_columns, pair_rows
        fnn_few few_nn, few_nt
        fnn_pack pack, pack_transpose, unpack
        fnn_gather gather
        fnn_binary add
        fnn_gather_from gather_from
        fnn_sparse sparse_nn
        fnn_scatter scatter_add
        fnn_scale scale_shift
        fnn_colsum colsum, colsquare
        fnn_curve ramp, exp_tail
        fnn_curve_grad ramp_backward, exp_tail_backward
        fnn_noise dropout, alpha_dropout, gaussian_noise, gaussian_dropout
        fnn_layer_norm layer_norm, layer_norm_backward, layer_norm_gradient
        fnn_batch_norm batch_norm_moments, batch_norm_calm, batch_norm_sums, batch_norm_backward
        fnn_prelu prelu, prelu_backward, prelu_gradient
        fnn_embed embed
        fnn_embed_gradient embed_gradient
        fnn_loss mse, bce, bce_logits, xent, xent_logits, mae, mape, msle, huber, log_cosh, quantile
        fnn_loss poisson, hinge, squared_hinge, categorical_hinge, kld, cosine, focal, focal_logits
        fnn_loss focal_xent, focal_xent_logits, gaussian_nll, half_squared
        fnn_loss half_poisson_logits, log_loss_logits
        fnn_metric argmax_match, in_top_k, threshold_match, squared_error, absolute_error
        fnn_metric true_positive, predicted_positive, actual_positive
        fnn_optim sgd, adam, amsgrad, nadam, adamax, rmsprop, adagrad, lion, average
        fnn_norm norm
        fnn_gradient gradient_sgd, gradient_adam, gradient_norm
        fnn_probe fma_peak

cdef extern from "threads.h" nogil:
    ctypedef struct fnn_barrier:
        pass
    ctypedef struct fnn_counter:
        pass
    ctypedef struct fnn_share:
        double end, part, seconds

    void fnn_share_equally(fnn_share *shares, int size)
    void fnn_share_anew(fnn_share *shares, int size)
    long fnn_take(fnn_counter *counter)
    long fnn_peek(const fnn_counter *counter)
    void fnn_barrier_wait(fnn_barrier *barrier, int size)
    int fnn_team_size()
    int fnn_max_threads()
    int fnn_has_openmp()
    int fnn_begin_team()
    void fnn_join_team(int core, int tid)
    bint fnn_team_pays(double work)
    double fnn_now()
    void fnn_sleep_us(long us)
    void fnn_send(char *to, const char *source, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t bytes)
    void fnn_fetch(char *to, char *source, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t bytes)
    void fnn_hand_back(char *line)
    enum: FNN_LINE

cdef extern from "memory.h" nogil:
    void *fnn_zalloc(size_t bytes, size_t least)
    size_t fnn_l2_size()

# The kernels of the ISA in use; dtype is FNN_FLOAT32, FNN_FLOAT64 or FNN_BFLOAT16.
cdef const fnn_kernels *kernels(int dtype) noexcept
# Threads to use: None is the package's setting, an int is checked. 1 in a forked child.
cdef int n_threads(object num_threads) except -1
# Makes a thread (of a team, in products) late in tests, at the start of a phase.
cdef void maybe_delay(int tid) noexcept nogil
# The activation of a name and its derivative. `act` and `grad` are NULL for None, "linear" and those
# that go row by row, which have `rows` and `rows_grad` instead.
ctypedef struct Activation:
    fnn_unary act
    fnn_grad grad
    fnn_rows rows
    fnn_rows_grad rows_grad
    bint of_input           # the derivative wants the input, not the output

cdef Activation activation(const fnn_kernels *k, object name) except *
# Bytes between the offsets in a page of arrays that are walked side by side: a load waits for an earlier
# store whose address ends in the same 12 bits. Adam on weights and slots that begin alike takes a third
# longer than on some that lie 400 to 1000 bytes apart.
cdef enum:
    STAGGER = 640

# A new array of zeroed bytes for kernels to work in, and where such an array lies.
cdef object zeros(ptrdiff_t items, ptrdiff_t itemsize)
cdef object staggered(ptrdiff_t items, ptrdiff_t itemsize, int place)
cdef char *address(object array) except? NULL
cdef uint64_t flush_subnormals() noexcept nogil
cdef void restore_fp(uint64_t state) noexcept nogil

cdef inline ptrdiff_t ceil_div(ptrdiff_t n, ptrdiff_t unit) noexcept nogil:
    return (n + unit - 1) // unit

cdef inline ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t unit) noexcept nogil:
    return ceil_div(n, unit) * unit
