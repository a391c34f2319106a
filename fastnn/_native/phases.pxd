"""A network as the engine runs it, and the two phases of a training step.

Legend. l: a step of the plan; x[l]: what step l reads, x[l + 1]: what it writes; d[l]: the gradient
of x[l], or, where x[l] is the output of a dense step with an activation, of what goes into the
activation. All of them are panels of `rows` rows (csrc/fnn.h) at panel stride `panel`.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t

from fastnn._native.core cimport (
    Activation, FNN_CURVE_PARAMS, FNN_LOSS_PARAMS, fnn_curve, fnn_curve_grad, fnn_hyper, fnn_kernels,
    fnn_loss, fnn_metric, fnn_noise, fnn_noise_args, fnn_optim,
)

# Rows that one thread carries through all layers at a time, so that they stay in its cache.
cdef enum:
    ROW_BLOCK = 64
    # Panels of weight rows in one unit of phase 2.
    UNIT_PANELS = 4
    # Factors of Nadam's momentum that differ from 1: 0.96^1024 is 7e-19.
    NADAM_STEPS = 1024
    # Of a kernel, from which on two threads gain more by sharing its outputs than two barriers cost
    SPLIT_BYTES = 1 << 14
    # Of weights and slots, from which on they are not in L2 when their turn comes.
    FAR_BYTES = 1 << 19
    # Of a transposed kernel, from which on none of it is.
    TURNED_BYTES = 1 << 20

cdef enum StepKind:
    DENSE
    ACTIVATE
    ACTIVATE_ROWS
    CURVE
    SCALE
    NOISE
    LAYER_NORM
    BATCH_NORM
    PRELU
    EMBED
    TAKE
    FORK                    # x[l + 1] is x[l], which the join reads, too
    JOIN                    # x[l + 1] = x[l] + x[fork]

# What weights are brought to after a step.
cdef enum BoundKind:
    UNBOUND
    NON_NEGATIVE
    OF_NORM

ctypedef struct Bound:
    BoundKind kind
    double low, high, rate      # OF_NORM: from norm to rate clip(norm, low, high) + (1 - rate) norm

# What is special in one tensor's step: its penalties, a factor of the learning rate, its bound.
ctypedef struct Terms:
    double l1, l2
    double rate
    Bound bound

# How an optimizer corrects its numbers for the first steps' bias.
cdef enum Correction:
    NO_CORRECTION
    ADAM_CORRECTION
    NADAM_CORRECTION
    ADAMAX_CORRECTION

ctypedef struct Step:
    StepKind kind
    const fnn_kernels *k    # of its products and its activation: bfloat16's, or the plan's
    ptrdiff_t inputs, outputs
    Activation f            # of ACTIVATE, ACTIVATE_ROWS, and DENSE with one in its epilogue; else linear
    # DENSE: 0, or how many inputs come first where the sums over them are two, added up: see Plan.fan_in.
    ptrdiff_t cut
    # Weights in panels [w_cols/P][kernel_rows + bias][P], the bias as the last row; gradients and
    # slots likewise; w_cols are the outputs, but of EMBED, whose kernel is a table. One of DENSE has a
    # row for each input, gamma of LAYER_NORM and BATCH_NORM and alpha of PRELU are one row; beta is
    # a bias. Rows of neither: no weights.
    ptrdiff_t kernel_rows, w_cols
    bint bias
    # What products of DENSE read, forward and backward: the weights themselves, and transposed ones
    # in panels [inputs/P][outputs][P]; or pairs of bfloat16 out of the weights, of rows in
    # [outputs/P][inputs/2][P], and of columns, transposed, in [inputs/P][outputs/2][P].
    bint bf16
    char *w
    char *g
    char *m
    char *v
    char *u
    char *average           # of the weights; NULL without
    char *sums              # of gradients, where steps take those of several; NULL without
    char *wf
    char *wt
    ptrdiff_t w_panel, wf_panel, wt_panel
    bint frozen             # not trained
    Terms of_kernel, of_bias
    # SCALE: plain vectors
    char *scale
    char *shift
    # CURVE
    fnn_curve curve
    fnn_curve_grad curve_grad
    double param[FNN_CURVE_PARAMS]
    bint of_input           # the derivative wants the input, not the output
    # NOISE: random in training, else nothing. A gradient without noise of its own (NULL) passes, and
    # d[l] is d[l + 1].
    fnn_noise noise
    fnn_noise noise_grad
    fnn_noise_args noise_args   # its numbers
    uint64_t seed
    # LAYER_NORM and BATCH_NORM; state in panels [outputs/P][FNN_BATCH_NORM_STATE][P]
    double epsilon, momentum
    char *state
    # EMBED and TAKE: steps first .. last read x[first] and write x[last + 1]; this one reads so many
    # columns and writes w_cols from column `to` on for each.
    int first, last
    ptrdiff_t to, n_columns
    ptrdiff_t *columns
    # FORK, JOIN: each other's step
    int mate

# A piece of phase 2: rows i0 .. i1 of panel j of step l's weights; i0 is a multiple of P. Threads share
# units out in the order they are in.
ctypedef struct Unit:
    int l
    ptrdiff_t j, i0, i1
    double cost             # of this unit and all before it
    # The unit at this one's place in the order of a step's chunks of rows, and in that of its panels.
    int by_chunk, by_panel
    ptrdiff_t slot          # its first one in Sums

# Of weights that a thread takes: gradients' squares, where these are clipped by norms, and penalties. Each unit
# has a slot for each P rows of the kernel and one more for the bias, whoever takes which of them. A thread's
# slots follow those of the thread before it, up to `end`; they lie on lines that no other writes.
ctypedef struct Sums:
    ptrdiff_t end
    double *squares
    double *penalty

# What is reported beside the loss: a metric's kernel, or, where that is NULL, a loss's.
ctypedef struct Measure:
    fnn_metric metric
    fnn_loss loss
    double number[FNN_LOSS_PARAMS]

ctypedef struct Plan:
    const fnn_kernels *k
    int n_steps
    Step *steps
    int first_trained       # the first step with weights that are; its input needs no gradient then
    # Where threads meet in training: steps whose rows depend on each other (BATCH_NORM, but where it is
    # frozen), so many, and dense steps whose outputs a team shares and not its rows, so that each thread
    # reads the weights that it updates and no others.
    int n_couplings
    int n_meetings
    int *meetings
    # Two dense steps that a team of two can halve, with nothing but `in_columns` between them; -1: none. Each
    # thread has half of the outputs of fan_out, and of each sum in fan_in the part over these. The units
    # are those of the first half, up to n_halved[0], of the second, up to n_halved[1], and of steps after
    # fan_in; n_halved[0] is 0 where one of the two is frozen.
    int fan_out, fan_in
    int n_halved[2]
    bint looks_up               # some step is EMBED
    int n_tables                # those that are trained
    int n_units
    Unit *units
    ptrdiff_t n_slots
    char *sums              # of each thread, where there is something to sum up
    ptrdiff_t parameter_bytes   # of the weights and the optimizer's slots
    fnn_loss loss
    double loss_param[FNN_LOSS_PARAMS]
    int loss_step           # the loss reads x[loss_step]: before the last activation where fused
    bint ignores            # rows of class id `ignored` do not count
    int32_t ignored
    ptrdiff_t target_cols   # of dense targets
    int n_metrics
    Measure *metrics
    int metric_step         # the metrics read x[metric_step], its first target_cols columns
    fnn_optim optim
    Correction correction
    fnn_hyper hyper
    bint penalised          # some weights are
    double clipnorm, global_clipnorm    # the largest norm of a tensor's gradient, of all; 0: any
    int64_t summed          # steps that an update takes the mean gradient of; 0: no update follows
    double average_kept     # how much of the averages is
    int64_t overwrite_every # updates, after which weights become their averages; 0: never
    bint bound              # some weights are

# What is done in one step; each thread has one of its own.
ctypedef struct Turn:
    fnn_hyper hyper
    bint updates            # or else gradients are only summed up
    double share            # of this step's gradients in a sum
    double average_kept
    bint overwrites         # weights by their averages
    double penalty_scale    # of all penalties
    bint sums_penalties     # the update sums them up, of the weights before it
    Sums *own               # the thread's
    int team
    # Gradients are clipped by their norm: by these factors (0: as they are) in the step at hand.
    bint clips
    double kernel_factor, bias_factor

# Where a step's gradients are: nowhere yet; in `g`, to be summed up where that is asked for; or where
# the update reads them.
cdef enum Gradients:
    TO_COMPUTE
    GIVEN
    READY

# A batch's numbers for the table of an EMBED step, sorted by units' rows: the row in its chunk of the
# table, the row of the batch, the column from `to` on. Those of chunk i are before end[i].
ctypedef struct Lookups:
    ptrdiff_t chunks
    int64_t *end
    int32_t *to
    int32_t *row
    int32_t *col

# Memory for batches of up to `rows` rows.
ctypedef struct Workspace:
    ptrdiff_t rows, panel
    char **x
    char **x_calm           # the same where no backward follows and it is not training: what a step
                            # without effect there writes is what it reads
    char **d
    char **stats            # of LAYER_NORM, two numbers a row
    # For dense steps with bfloat16 operands: pairs of the columns of one x or d at a time; pairs of
    # the rows of the step's x and of the d of its output, panels of rows/2 rows, in training.
    char *pairs
    ptrdiff_t rows_panel
    char **x_rows
    char **d_rows
    Lookups *lookups        # of EMBED, in training
    char *target            # panels of outputs columns
    int32_t *label
    char *weight
    char *loss              # a value a row
    char *metric            # [n_metrics][rows]
    # Of sparse x, which has no panels. In training its batch's non-zeros, sorted by chunks of columns (a
    # unit's rows of weights): the row of weights in the chunk, the row of x, the number. Chunk i
    # ends before chunk_end[i]. There is room for so many.
    bint sparse
    ptrdiff_t chunks, room
    int64_t *chunk_end
    int32_t *to_row
    int32_t *from_row
    char *nonzero

# Rows to work on: x[index[i]], y or label and weight likewise; index NULL: i itself.
ctypedef struct Rows:
    const char *x           # of sparse rows the non-zeros
    int source              # x's type: FNN_SOURCES where it is the network's, else an fnn_source
    ptrdiff_t x_size, x_row # bytes of an element, elements from one row to the next
    const int64_t *begin    # of sparse rows: see fnn_sparse_args; else NULL
    const int32_t *column
    const char *y           # NULL where the targets are class ids
    const int32_t *label
    const char *weight      # NULL: all 1
    const int64_t *index

cdef void gather_inputs(Plan *p, Workspace *w, Rows *b, ptrdiff_t at, ptrdiff_t r0,
                        ptrdiff_t r1) noexcept nogil
# What the weights of so many rows from position `at` on are multiplied by, because some do not count.
cdef double weight_factor(Plan *p, Rows *b, ptrdiff_t at, ptrdiff_t rows) noexcept nogil
cdef void gather_targets(Plan *p, Workspace *w, Rows *b, ptrdiff_t at, ptrdiff_t r0, ptrdiff_t r1,
                         double factor) noexcept nogil
# `kept`: backward is to follow. `iteration`: the optimizer step that the pass is part of, 1, 2, ...;
# 0: none, it is not training.
cdef void forward(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int start, int stop, bint kept,
                  int64_t iteration) noexcept nogil
# What products of dense step l read of rows r0 .. r1 of x[l], and of d[l + 1].
cdef void ready_rows(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, char **xs, bint kept) noexcept nogil
cdef void ready_gradients(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l) noexcept nogil
# The part begin .. end of the columns of all rows of what dense step l makes of rows that are ready: of
# x[l + 1], or, on the way back, of d[l].
cdef void share_product(Plan *p, Workspace *w, ptrdiff_t rows, int l, double begin, double end, int size,
                        bint back, int64_t iteration) noexcept nogil
# The same of a step that is in_columns, of panels j0 .. j1, and its backward.
cdef void change_columns(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, ptrdiff_t j0, ptrdiff_t j1,
                         char **xs, bint kept, int64_t iteration) noexcept nogil
cdef void change_columns_back(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, ptrdiff_t j0,
                              ptrdiff_t j1, int64_t iteration) noexcept nogil
# Rows r0 .. r1 of panels j0 .. j1 of what a dense step makes, from rows that are ready; of its input's gradient.
cdef void dense_forward(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, ptrdiff_t j0,
                        ptrdiff_t j1, char **xs) noexcept nogil
cdef void dense_backward(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, ptrdiff_t j0,
                         ptrdiff_t j1, int64_t iteration) noexcept nogil
# One of the two sums that step l's outputs are made of, into panels as x[l + 1] has them; and from both of
# these the outputs, of all rows.
cdef void half_of_sums(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l, bint second,
                       char *to) noexcept nogil
cdef void add_halves(Plan *p, Workspace *w, ptrdiff_t rows, int l, const char *one,
                     const char *other) noexcept nogil
cdef void losses(Plan *p, Workspace *w, Rows *b, ptrdiff_t r0, ptrdiff_t r1, double scale,
                 bint gradient) noexcept nogil
cdef bint activates(Plan *p, int l) noexcept nogil
cdef void through_activation(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l,
                             char *dy) noexcept nogil
cdef void gradient_rows(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int l) noexcept nogil
cdef void backward(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int start, int stop,
                   int64_t iteration) noexcept nogil
cdef double weights_phase(Plan *p, Workspace *w, ptrdiff_t rows, Turn *turn, bint updates,
                          Gradients gradients, bint keeps, bint norms, int u0, int u1, double begin,
                          double end) noexcept nogil
cdef void pair_weights(Plan *p, Step *s, ptrdiff_t j, ptrdiff_t i0, ptrdiff_t i1) noexcept nogil
cdef void refresh_operands(Plan *p, int l, ptrdiff_t j, ptrdiff_t i0, ptrdiff_t i1) noexcept nogil
cdef void transpose_weights(Plan *p, Step *s, ptrdiff_t j, ptrdiff_t i0, ptrdiff_t i1) noexcept nogil
cdef Turn turn_at(Plan *p, int64_t iteration, double rate, double penalty_scale,
                  double share) noexcept nogil
cdef void measure_penalties(Plan *p) noexcept nogil
cdef double penalty(Plan *p, int team) noexcept nogil
cdef ptrdiff_t slots_of(Plan *p, Unit *u) noexcept nogil
cdef ptrdiff_t bytes_of_sums(const Plan *p) noexcept nogil
cdef Sums *sums_of(const Plan *p, int tid) noexcept nogil
cdef void lay_out_sums(const Plan *p, Sums *s) noexcept nogil
cdef void add_rows(Plan *p, Workspace *w, ptrdiff_t rows, double *sums) noexcept nogil

# Whether there is something in a step that an optimizer changes.
cdef inline bint has_weights(const Step *s) noexcept nogil:
    return s.kernel_rows + s.bias > 0

# Whether each column of a step's output depends on the same one of its input, and on no weights.
cdef inline bint in_columns(const Step *s) noexcept nogil:
    return s.kind == ACTIVATE or s.kind == CURVE or s.kind == NOISE

# Whether the gradient of a step's input is that of its output.
cdef inline bint passes_gradient(const Step *s) noexcept nogil:
    return s.kind == JOIN or (s.kind == NOISE and s.noise_grad == NULL)

# Whether step l drops some of what a dense step's relu has made, for a dense step: then where x[l + 1] is
# positive tells where gradients pass both, and the dense step's product writes d[l], which d[l + 1] is.
cdef inline bint drops_relu(const Plan *p, int l) noexcept nogil:
    if l < 1 or l + 1 >= p.n_steps or p.steps[l].kind != NOISE or p.steps[l].noise != p.k.dropout:
        return False
    return (p.steps[l - 1].kind == DENSE and p.steps[l + 1].kind == DENSE
            and p.steps[l - 1].f.grad == p.steps[l + 1].k.relu_backward)

# Which x rows are gathered into: through the first step where that only scales.
cdef inline int gathered_into(const Plan *p) noexcept nogil:
    return 1 if p.steps[0].kind == SCALE else 0

# Whether something binds a step's weights.
cdef inline bint is_bound(const Step *s) noexcept nogil:
    return s.of_kernel.bound.kind != UNBOUND or s.of_bias.bound.kind != UNBOUND

# Whether weights and slots are likely to lie outside L2 when their turn comes.
cdef inline bint is_far(const Plan *p) noexcept nogil:
    return p.parameter_bytes > FAR_BYTES

# Whether the update waits for the norms of whole tensors, or of all.
cdef inline bint clips_by_norm(const Plan *p) noexcept nogil:
    return p.clipnorm > 0 or p.global_clipnorm > 0

cdef void rows_of(ptrdiff_t rows, double begin, double end, ptrdiff_t *r0,
                  ptrdiff_t *r1) noexcept nogil

# Bytes from a step's weights, gradients or slots to that row of the unit's panel.
cdef inline ptrdiff_t weights_at(const Plan *p, const Unit *u, ptrdiff_t row) noexcept nogil:
    return (u.j * p.steps[u.l].w_panel + row * p.k.panel) * p.k.itemsize

# The rows of unit i that lie, by their costs, in low .. high; returns what these cost.
cdef double take_part(Plan *p, Workspace *w, int i, double low, double high, Unit *part) noexcept nogil
