"""The training engine: a network compiled into a static plan, run by a team of threads.

The plan, all parameters and all workspace are laid out before the first step; the workers
(workers.pyx) are plain functions on them. See docs/architecture.md.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from itertools import pairwise

import numpy as np

from fastnn._measures import THRESHOLDED, split_measure
from fastnn._slots import initial_value, slot_names
from fastnn._sparse import CSR

from fastnn._native.arrays cimport Array, look
from fastnn._native.core cimport (
    FNN_BATCH_NORM_STATE, FNN_BFLOAT16, FNN_FLOAT32, FNN_FLOAT64, FNN_LOSS_PARAMS,
    FNN_MOVING_MEAN, FNN_MOVING_VARIANCE, FNN_SOURCES, Activation, activation, address,
    ceil_div, fnn_hyper,
    fnn_kernels, fnn_loss, fnn_metric, fnn_noise_args, fnn_now, fnn_optim, fnn_share,
    STAGGER, fnn_share_equally, kernels, n_threads, round_up, staggered, zeros,
)
from fastnn._native.inputs cimport look_at_x, most_nonzeros
from fastnn._native.phases cimport (
    ACTIVATE, ACTIVATE_ROWS, ADAM_CORRECTION, ADAMAX_CORRECTION, BATCH_NORM, CURVE, DENSE, EMBED,
    FORK, JOIN, LAYER_NORM, NADAM_CORRECTION, NO_CORRECTION, NOISE, NON_NEGATIVE, OF_NORM, PRELU,
    ROW_BLOCK, SCALE, SPLIT_BYTES, TAKE, UNBOUND, UNIT_PANELS, Bound, Correction, Lookups, Measure, Plan, Rows,
    Step, Unit, Workspace, activates, add_rows, bytes_of_sums, clips_by_norm, drops_relu,
    gathered_into, has_weights, in_columns, is_bound, lay_out_sums, measure_penalties, pair_weights,
    passes_gradient, penalty, refresh_operands, slots_of, sums_of, transpose_weights, weight_factor, weights_at,
)
from fastnn._native.copies cimport COPIED_PANELS, COPIED_STEPS, Copies
from fastnn._native.features cimport refresh_calm
from fastnn._native.lookups cimport stand_for_rows
from fastnn._native.team cimport Part, pays
from fastnn._native.workers cimport (
    Job, backward_worker, evaluate_worker, forward_worker, gradient_worker, predict_worker,
    after_steps, of_step, rows_worker, run, step_at, train_worker, update_worker,
)

cdef object empty = np.empty

cdef tuple OF_SIGMOID = ("bce", "focal", "log_loss")     # losses that are fused with one
cdef tuple NOISES = ("dropout", "alpha_dropout", "gaussian_noise", "gaussian_dropout")
# Ops that are one step without an activation.
cdef dict ONE_STEP = {"layer_norm": LAYER_NORM, "batch_norm": BATCH_NORM, "prelu": PRELU,
                      "fork": FORK, "join": JOIN, **dict.fromkeys(NOISES, NOISE)}
# Those that, following each other, read one input and write side by side.
cdef dict LOOKUPS = {"embed": EMBED, "take": TAKE}

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

# For each thread and lane of a vector; a step of more floating-point operations is run in parts of
# so many, which take about 0.2 s.
cdef double SLICE_FLOPS = 1.5e9
# A step of fewer may be faster on one thread, when the others' cores are busy: that is measured.
cdef double UNSURE_FLOPS = 1e9

# A team that was slower than one thread is tried again for about so long.
cdef double TRIAL_SECONDS = 5e-4
# One thread's pace is taken anew after so long.
cdef double PACE_SECONDS = 1
# A team measures the phases of every step of more, and of some of the smaller ones.
cdef double MEASURED_FLOPS = 2e7

cdef enum:
    # Below this many operations a call, a second thread costs more than it brings; below so many a
    # training step, too, and above it may: that is measured.
    SERIAL_FLOPS = 8000000
    SERIAL_STEP_FLOPS = 500000
    # An update, alone, costs about as much as the products on so many rows.
    UPDATE_ROWS = 4
    # A product with a sparse row's non-zero costs about as much as so many others.
    SPARSE_COST = 4
    # Of a batch of so many, units of tables are shared out as rightly as the others.
    UNIT_ROWS = 128
    # A prediction of fewer is made at once, without the GIL's release and threads.
    FEW_FLOPS = 1000000
    FEW_ROWS = 16
    # Weights and workspace of a network that is copied for each of two threads.
    COPIED_BYTES = 9 << 15
    # The same of one of which each of two threads has half.
    HALVED_BYTES = 1 << 21
    # Weights, their gradients and an optimizer's slots: m, v, u, averages and sums.
    FLATS = 7
    # Batches of the workspace's rows between two looks at the clock in evaluate.
    EVALUATE_BLOCKS = 16


# What steps of `batch` rows took in the last slice: [0] on one thread, [1] on a team.
ctypedef struct Pace:
    ptrdiff_t batch
    int threads             # of the team
    ptrdiff_t slices[2]
    ptrdiff_t steps[2]      # in the last slice; a team's 0: its next one is a trial
    double seconds[2]       # a step
    double pause            # of the team, when it was slower last; 0: forgiven
    double alone_until
    double alone_at         # when one thread's pace was last taken


cdef class Memory:
    """A workspace: x and d for every step of a plan and the rows' losses, for batches of `rows`."""

    cdef Workspace w
    cdef object arena, pointers, chunks, nonzeros, lookups
    cdef ptrdiff_t itemsize

    def __cinit__(self, Network network, ptrdiff_t rows, bint training, bint sparse):
        cdef Plan *p = &network.plan
        cdef ptrdiff_t P = p.k.panel, size = p.k.itemsize, cols, items
        cdef int l
        cdef char *base
        self.w.rows = rows
        self.w.panel = panel_stride(rows, P, size)
        self.w.rows_panel = panel_stride(ceil_div(rows, 2), P, size)
        self.w.sparse, self.itemsize = sparse, size
        # Sparse rows do not go through panels.
        widths = [0 if sparse else p.steps[0].inputs] + [written(p, l) for l in range(p.n_steps)]
        panels = [ceil_div(cols, P) * self.w.panel for cols in widths]
        paired = [l for l in range(p.n_steps) if p.steps[l].bf16]
        pairs = max([max(panels[l], panels[l + 1]) for l in paired], default=0)
        x_rows = [ceil_div(widths[l], P) * self.w.rows_panel for l in paired]
        d_rows = [ceil_div(widths[l + 1], P) * self.w.rows_panel for l in paired]
        # What is the same as its neighbour takes no room of its own.
        of_x = [0 if l > 0 and p.steps[l - 1].kind == FORK else panels[l]
                for l in range(len(panels))]
        of_d = [0 if same_gradient(p, l) else panels[l] for l in range(len(panels))]
        items = sum(of_x) + pairs
        normalized = [l for l in range(p.n_steps) if p.steps[l].kind == LAYER_NORM]
        stats = [2 * round_up(rows, 16)] * len(normalized)
        if training:
            items += (sum(stats) + sum(of_d) + sum(x_rows) + sum(d_rows) + panels[len(panels) - 1]
                      + round_up(rows, 16) * (3 + p.n_metrics))
        self.arena = zeros(items * size + 5 * len(widths) * STAGGER, 1)  # no more are placed
        self.pointers = zeros(6 * len(widths), sizeof(void *))
        self.w.x = <char **>address(self.pointers)
        self.w.x_calm = self.w.x + len(widths)
        self.w.d = self.w.x_calm + len(widths)
        self.w.x_rows = self.w.d + len(widths)
        self.w.d_rows = self.w.x_rows + len(widths)
        self.w.stats = self.w.d_rows + len(widths)
        base = address(self.arena)
        base = place(self.w.x, range(len(panels)), of_x, size, base)
        self.w.x_calm[0] = self.w.x[0]
        for l in range(p.n_steps):
            if p.steps[l].kind == FORK:
                self.w.x[l + 1] = self.w.x[l]
            self.w.x_calm[l + 1] = (self.w.x_calm[l] if p.steps[l].kind in (NOISE, FORK)
                                    else self.w.x[l + 1])
        self.w.pairs = base
        base += pairs * size
        if not training:
            return
        base = place(self.w.d, range(len(panels)), of_d, size, base)
        for l in range(p.n_steps - 1, -1, -1):
            if same_gradient(p, l):
                self.w.d[l] = self.w.d[l + 1]
        base = place(self.w.x_rows, paired, x_rows, size, base)
        base = place(self.w.d_rows, paired, d_rows, size, base)
        base = place(self.w.stats, normalized, stats, size, base)
        self.make_lookups(p)
        self.w.target = base
        base += panels[len(panels) - 1] * size
        self.w.label = <int32_t *>base
        base += round_up(rows, 16) * size
        self.w.weight = base
        base += round_up(rows, 16) * size
        self.w.loss = base
        self.w.metric = base + round_up(rows, 16) * size
        if sparse:
            self.w.chunks = ceil_div(p.steps[0].inputs, UNIT_PANELS * P)
            self.chunks = zeros(self.w.chunks, sizeof(int64_t))
            self.w.chunk_end = <int64_t *>address(self.chunks)

    cdef void make_lookups(self, Plan *p) except *:
        cdef Lookups *of
        cdef ptrdiff_t n
        cdef int l
        tables = [l for l in range(p.n_steps) if p.steps[l].kind == EMBED]
        self.lookups = [zeros(p.n_steps, sizeof(Lookups))]
        self.w.lookups = <Lookups *>address(self.lookups[0]) if tables else NULL
        for l in tables:
            of, n = &self.w.lookups[l], self.w.rows * p.steps[l].n_columns
            of.chunks = ceil_div(p.steps[l].kernel_rows, UNIT_PANELS * p.k.panel)
            self.lookups += [zeros(of.chunks, sizeof(int64_t)), zeros(3 * n, sizeof(int32_t))]
            of.end = <int64_t *>address(self.lookups[len(self.lookups) - 2])
            of.to = <int32_t *>address(self.lookups[len(self.lookups) - 1])
            of.row, of.col = of.to + n, of.to + 2 * n

    cdef int reserve(self, ptrdiff_t n) except -1:
        """Room for so many non-zeros of a batch."""
        if n <= self.w.room:
            return 0
        n += n // 4
        self.nonzeros = zeros(n, self.itemsize + 2 * sizeof(int32_t))
        self.w.nonzero = address(self.nonzeros)
        self.w.to_row = <int32_t *>(self.w.nonzero + n * self.itemsize)
        self.w.from_row = self.w.to_row + n
        self.w.room = n
        return 0


cdef class Twin:
    """What the second thread of a team of two has of its own, and the post boxes of both."""

    cdef Copies c
    cdef Plan *network
    cdef Memory of, memory
    cdef object steps, operands, others, rows_post, weights_post, sums_post
    cdef char *loss
    # Where the network's weights, gradients and slots are, and the second thread's: so many, of so many bytes.
    # Of a large network they are those of the steps after fan_in alone. The second thread changes its half of that
    # where the first one's is, and a prefetch for one half may ask for the other's lines: too seldom, in as
    # many bytes, to pay for copies there and back.
    cdef char *flats[2][FLATS]
    cdef int n_flats
    cdef ptrdiff_t bytes
    cdef bint large

    def __cinit__(self, Network network, Memory memory):
        cdef Plan *p = &network.plan
        cdef ptrdiff_t size
        cdef int tid, turn
        self.network = p
        self.of, self.memory = memory, Memory(network, memory.w.rows, True, False)
        self.loss, self.memory.w.metric = self.memory.w.loss, memory.w.metric
        self.steps = zeros(p.n_steps, sizeof(Step))
        flats = [network.params["w"], network.params["g"], *network.slots.values()]
        self.n_flats, self.bytes, size = len(flats), len(flats[0]), 0
        self.large = self.bytes > COPIED_BYTES
        if self.large:
            size = (p.steps[p.fan_in].w - address(flats[0])
                    + ceil_div(p.steps[p.fan_in].outputs, p.k.panel) * p.steps[p.fan_in].w_panel * p.k.itemsize)
            self.bytes -= size
        if self.n_flats > FLATS:
            raise RuntimeError(f"expected at most {FLATS - 2} slots, got {[*network.slots]}")
        self.others = [staggered(max(self.bytes, 1), 1, place) for place in range(self.n_flats)]
        for turn in range(self.n_flats):
            self.flats[0][turn], self.flats[1][turn] = address(flats[turn]) + size, address(self.others[turn])
        self.operands = zeros(len(network.operands), 1)
        self.c.w = &self.memory.w
        self.c.arenas[0], self.c.arenas[1] = address(memory.arena), address(self.memory.arena)
        self.c.weights[0], self.c.weights[1] = self.flats[0][0], self.flats[1][0]
        if p.fan_in >= 0:
            size = ceil_div(p.steps[p.fan_in].outputs, p.k.panel) * memory.w.panel * p.k.itemsize + STAGGER
            self.sums_post = zeros(6, size)
            for tid in range(2):
                self.c.own_sums[tid] = address(self.sums_post) + 3 * tid * size
                for turn in range(2):
                    self.c.sums_post[tid][turn] = self.c.own_sums[tid] + (1 + turn) * size

    cdef Copies *begin(self, Network network) except NULL:
        """With the network's weights as they are, and, where it is halved, all else that an update changes. Of a large
        one that is only what comes after the halves."""
        cdef Plan *p = &self.c.plan
        cdef Step *s
        cdef int l
        p[0] = network.plan
        p.steps = <Step *>address(self.steps)
        memcpy(p.steps, network.plan.steps, p.n_steps * sizeof(Step))
        self.c.halved, self.c.ran = p.n_halved[0] > 0, False
        self.memory.w.loss = self.of.w.loss
        if self.c.halved:
            self.memory.w.loss, p.n_metrics = self.loss, 0
        for l in range(p.fan_in + 1 if self.large else 0, p.n_steps):
            s = &p.steps[l]
            if s.kind != DENSE or (self.c.halved and s.frozen):     # nobody changes it
                continue
            s.wt = address(self.operands) + (s.wt - address(network.operands))
            s.w = s.wf = self.own(s.w)
            if self.c.halved:
                s.g, s.m, s.v, s.u = self.own(s.g), self.own(s.m), self.own(s.v), self.own(s.u)
                s.average, s.sums = self.own(s.average), self.own(s.sums)
        if self.c.halved:
            self.copy_units(0, 1, p.n_halved[self.large], p.n_units)
        else:
            memcpy(self.flats[1][0], self.flats[0][0], self.bytes)
            self.operands[:] = network.operands
            self.make_posts()
        return &self.c

    cdef int make_posts(self) except -1:
        """What whole networks need, and halves do not."""
        if self.rows_post is None:
            self.rows_post, self.weights_post = zeros(len(self.of.arena), 1), zeros(self.bytes, 1)
            self.c.rows_post, self.c.weights_post = address(self.rows_post), address(self.weights_post)
        return 0

    cdef char *own(self, char *at) noexcept:
        """Where the second thread has what the network has there."""
        cdef int i
        for i in range(self.n_flats):
            if self.flats[0][i] <= at < self.flats[0][i] + self.bytes:
                return self.flats[1][i] + (at - self.flats[0][i])
        return NULL

    cdef void copy_units(self, int one, int other, int first, int stop) noexcept:
        """Weights, gradients and slots of some units from one of the threads to the other, who gets them ready."""
        cdef Plan *p = &self.c.plan
        cdef Unit *u
        cdef ptrdiff_t at
        cdef int n, i
        for n in range(first, stop):
            u = &p.units[n]
            at = p.steps[u.l].w - self.flats[1][0] + weights_at(p, u, u.i0)
            for i in range(self.n_flats):
                memcpy(self.flats[other][i] + at, self.flats[one][i] + at,
                       (u.i1 - u.i0) * p.k.panel * p.k.itemsize)
            refresh_operands(p if other == 1 else self.network, u.l, u.j, u.i0, u.i1)

    cdef void end(self) noexcept:
        """The network takes the second thread's half."""
        cdef Plan *p = &self.c.plan
        if self.c.halved and not self.large:
            self.copy_units(1, 0, p.n_halved[0], p.n_halved[1])


cdef bint is_split(Plan *p, int l) noexcept:
    """Whether a team shares the outputs of a step: of a dense one with a kernel that is worth two barriers."""
    cdef Step *s = &p.steps[l]
    return (s.kind == DENSE and s.outputs > p.k.panel
            and s.inputs * s.outputs * p.k.itemsize >= SPLIT_BYTES)


cdef bint pays_to_own(Plan *p, Workspace *w, ptrdiff_t bytes) noexcept:
    """Whether threads of a team of two do better with a network, or half of one, each: a small one, of steps that
    leave no more behind than x and d. `bytes` are those of weights and workspace."""
    cdef Step *s
    cdef int l
    cdef ptrdiff_t most = HALVED_BYTES if p.n_halved[0] > 0 else COPIED_BYTES
    if bytes > most or w.sparse or p.n_steps > COPIED_STEPS or p.n_couplings > 0 or p.bound:
        return False
    for l in range(p.n_steps):
        s = &p.steps[l]
        if s.bf16 or max(s.inputs, s.outputs) > COPIED_PANELS * p.k.panel:
            return False
        if s.kind not in (DENSE, ACTIVATE, ACTIVATE_ROWS, CURVE, SCALE, NOISE, FORK, JOIN):
            return False
    return p.n_units > 0


cdef ptrdiff_t products(Plan *p, int l) noexcept:
    """Multiplications of a row in a dense step, as many as vectors have."""
    cdef Step *s = &p.steps[l]
    return s.inputs * round_up(s.outputs, p.k.vl) if s.kind == DENSE else 0


cdef bint can_be_halved(Plan *p, int l) noexcept:
    return l < p.n_steps and p.steps[l].kind == DENSE and not p.steps[l].bf16


cdef void find_halves(Plan *p) noexcept:
    """The steps that a team of two can halve, in a small network with little after them. By its shape alone,
    since to cut a sum in two changes its last bits."""
    cdef int first = gathered_into(p), last = first + 1, l
    cdef ptrdiff_t outputs, half, whole = 0
    p.fan_out = p.fan_in = -1
    while last < p.n_steps and in_columns(&p.steps[last]):
        last += 1
    if not (can_be_halved(p, first) and can_be_halved(p, last)):
        return
    outputs = p.steps[first].outputs
    half = round_up(ceil_div(outputs, 2), p.k.panel)
    # Of the two halves the second one is the smaller.
    if outputs <= half or 4 * round_up(outputs - half, p.k.vl) < 3 * half:
        return
    for l in range(p.n_steps):
        whole += products(p, l)
    if (5 * (products(p, first) + products(p, last)) < 4 * whole
            or whole * p.k.itemsize > HALVED_BYTES):
        return
    p.fan_out, p.fan_in, p.steps[last].cut = first, last, half


cdef bint same_gradient(Plan *p, int l) noexcept:
    """Whether d[l] is d[l + 1]: where a step passes it on, unless an activation comes in between."""
    if l >= p.n_steps:
        return False
    return drops_relu(p, l) or (passes_gradient(&p.steps[l]) and not activates(p, l))


cdef int half_of_unit(const Plan *p, object unit) except -1:
    """0 or 1; 2 of steps that are not halved."""
    cdef int l
    cdef ptrdiff_t j, i, cut = p.steps[p.fan_in].cut
    l, j, i = unit
    if l == p.fan_out:
        return j * p.k.panel >= cut
    return i >= cut if l == p.fan_in else 2


cdef object first_rows(const Step *s, ptrdiff_t chunk, bint halves):
    """Where the units of a panel of a step's weights begin, if it has any that are trained."""
    if s.frozen or not has_weights(s):
        return []
    starts = {*range(0, max(s.kernel_rows, 1), chunk)}
    if halves and s.cut > 0:
        starts = {*range(0, s.cut, chunk), *range(s.cut, s.kernel_rows, chunk)}
    return sorted(starts)


cdef ptrdiff_t written(Plan *p, int l) noexcept:
    """Columns of x[l + 1]; none where steps that follow write what x[last + 1] holds."""
    cdef Step *s = &p.steps[l]
    return 0 if s.kind in (EMBED, TAKE) and l < s.last else s.outputs


cdef char *place(char **to, steps, items, ptrdiff_t size, char *base) except NULL:
    """Gives each of the steps so many items from base on, one after the other; where they end."""
    cdef ptrdiff_t l, n
    for l, n in zip(steps, items, strict=True):
        to[l] = base
        base += n * size + STAGGER
    return base


cdef ptrdiff_t panel_stride(ptrdiff_t rows, ptrdiff_t P, ptrdiff_t size) noexcept:
    """Elements from one panel to the next. Panels 64 KiB apart would fall on the same sets of a
    1 MiB L2, and a block of rows would evict itself: keep them a quarter or half of that apart.
    Likewise 4 KiB and L1, through which a row is gathered into all panels."""
    cdef ptrdiff_t stride = rows * P
    if stride * size >= 65536:
        while not 12288 <= stride * size % 65536 <= 53248:
            stride += ROW_BLOCK * P // 4
    if stride * size % 4096 == 0:
        stride += 2 * P
    return stride


cdef class Network:
    """A dense network on the compiled kernels; the interface is in docs/architecture.md.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    input_size : int
        Features of a row, at least 1.
    ops : list of tuple
        ("dense", units, activation, use_bias), with "bfloat16" as a fifth for products of
        bfloat16 operands in a network of float32; ("activation", activation), with its numbers where
        it takes any; ("scale_shift",); ("dropout", rate, seed), or another noise instead;
        ("layer_norm", epsilon, scale, center), ("batch_norm", momentum, epsilon, scale, center),
        ("prelu",), ("embed", rows, units, columns), ("take", columns), ("fork",) or ("join",).
    """

    trains_epochs = True    # `train` takes several at once

    cdef Plan plan
    cdef int type
    cdef object steps_memory, units_memory, sums_memory, metrics_memory, params, operands, constants
    cdef object memory
    cdef object meetings_memory, columns_memory
    cdef Twin twin
    cdef readonly str own       # what each of two threads had in the last `train`: None, "network" or "half"
    cdef ptrdiff_t row_weights, table_weights   # that meet each row; of tables
    cdef bint stale         # batch_norm's numbers for outside of training are those of older weights
    cdef list idle          # workspaces of FEW_ROWS rows that no call is using
    cdef object numpy_dtype
    cdef dict slots
    cdef object optimizer
    cdef object made        # what slots and workspaces were made for: the next `compile` for the same keeps them
    cdef list step_of       # index of the step that holds an op's weights
    cdef ptrdiff_t forward_rows
    cdef int64_t forward_iteration      # of the activations that are kept; 0: not in training
    cdef int64_t draws                  # forwards in training since step `drawn_at`, each with its own numbers
    cdef public int64_t drawn_at
    cdef Pace pace
    cdef object shares_memory
    cdef int team           # that the shares are of
    cdef readonly str dtype
    cdef readonly tuple ops
    cdef readonly ptrdiff_t input_size, output_size
    cdef readonly object flat_weights, flat_gradients
    cdef readonly tuple slot_names
    cdef public int64_t iterations

    def __init__(self, str dtype, ptrdiff_t input_size, ops):
        self.dtype, self.ops, self.input_size = dtype, tuple(tuple(op) for op in ops), input_size
        self.type = {"float32": FNN_FLOAT32, "float64": FNN_FLOAT64}[dtype]
        self.numpy_dtype = np.dtype(dtype)
        self.plan.k = kernels(self.type)
        self.idle = []
        self.slots, self.slot_names = {}, ()
        self.forward_rows = self.drawn_at = -1
        self.make_steps()
        self.make_parameters()
        self.make_units()

    cdef void make_steps(self) except *:
        """One step an op; a dense op whose activation cannot ride in its epilogue becomes two."""
        cdef Step *s
        cdef Activation f
        cdef ptrdiff_t width = self.input_size
        cdef int l
        spec = []
        self.step_of = []
        for i, op in enumerate(self.ops):
            self.step_of.append(len(spec))
            if op[0] == "dense":
                act = op[2]
                f = activation(self.plan.k, act)
                apart = self.stands_apart(i, act)
                spec.append((DENSE, op[1], None if apart else act, op[3], self.in_bfloat16(op)))
                if apart:
                    kind = ACTIVATE if f.rows == NULL else ACTIVATE_ROWS
                    spec.append((kind, op[1], act, False, False))
            elif op[0] == "activation" and len(op) > 2:
                spec.append((CURVE, None, None, False, False))
            elif op[0] == "activation" and op[1] != "linear":
                kind = ACTIVATE if activation(self.plan.k, op[1]).rows == NULL else ACTIVATE_ROWS
                spec.append((kind, None, op[1], False, False))
            elif op[0] in ONE_STEP:
                spec.append((ONE_STEP[op[0]], None, None, False, False))
            elif op[0] in LOOKUPS:
                before = spec[len(spec) - 1] if spec else (None, 0)
                units = len(op[len(op) - 1]) * (op[2] if op[0] == "embed" else 1)
                units += before[1] if before[0] in (EMBED, TAKE) else 0
                spec.append((LOOKUPS[op[0]], units, None, False, False))
            elif op[0] in ("activation", "scale_shift"):  # linear, as a step, is to scale by 1
                spec.append((SCALE, None, None, False, False))
            else:
                raise ValueError(f"ops: unknown {op!r}")
        self.steps_memory = zeros(len(spec), sizeof(Step))
        self.plan.steps = <Step *>address(self.steps_memory)
        self.plan.n_steps = len(spec)
        for l, (kind, units, act, bias, bf16) in enumerate(spec):
            s = &self.plan.steps[l]
            s.kind = kind
            s.bf16 = bf16
            s.k = kernels(FNN_BFLOAT16) if bf16 else self.plan.k
            s.inputs = width
            width = s.outputs = units or width
            s.bias = bias
            s.f = activation(s.k, act)
            s.kernel_rows = s.inputs if s.kind == DENSE else 0
            s.w_cols = s.outputs
            s.of_kernel.rate = s.of_bias.rate = 1
        for i, op in enumerate(self.ops):
            s = &self.plan.steps[<int>self.step_of[i]]
            if s.kind == NOISE:
                take_noise(self.plan.k, s, op[0], op[1], op[2])
            elif s.kind == CURVE:
                take_curve(self.plan.k, s, op[1], op[2:])
            elif s.kind == LAYER_NORM:
                s.epsilon, s.kernel_rows, s.bias = op[1], op[2], op[3]
            elif s.kind == BATCH_NORM:
                s.momentum, s.epsilon, s.kernel_rows, s.bias = op[1], op[2], op[3], op[4]
            elif s.kind == PRELU:
                s.kernel_rows = 1
        self.make_lookups()
        self.pair_forks()
        self.output_size = width
        find_halves(&self.plan)
        self.meetings_memory = zeros(len(spec), sizeof(int))
        self.plan.meetings = <int *>address(self.meetings_memory)
        self.find_trained()

    cdef void make_lookups(self) except *:
        """Which columns such steps read, and which steps go together."""
        cdef Plan *p = &self.plan
        cdef Step *s
        cdef int l, other
        cdef ptrdiff_t n = 0, c
        ops = [(self.step_of[i], op) for i, op in enumerate(self.ops) if op[0] in LOOKUPS]
        self.columns_memory = zeros(sum([len(op[len(op) - 1]) for l, op in ops]), sizeof(ptrdiff_t))
        p.looks_up, taken = False, set()
        for l, op in ops:
            s = &p.steps[l]
            p.looks_up |= s.kind == EMBED
            follows = l > 0 and p.steps[l - 1].kind in (EMBED, TAKE)
            s.first = p.steps[l - 1].first if follows else l
            s.inputs = p.steps[s.first].inputs
            for other in range(s.first, l + 1):
                p.steps[other].last = l
            columns = op[len(op) - 1]
            if not columns or not 0 <= min(columns) <= max(columns) < s.inputs:
                raise ValueError(f"ops: expected columns of {s.inputs} inputs, got {op!r}")
            taken = taken if follows else set()
            if s.kind == TAKE and len(taken | set(columns)) < len(taken) + len(columns):
                raise ValueError(f"ops: expected columns to be taken once, got {op!r}")
            s.w_cols = 1
            if s.kind == TAKE:
                taken |= set(columns)
            else:
                s.kernel_rows, s.w_cols = op[1], op[2]
                if s.kernel_rows < 1 or s.w_cols < 1:
                    raise ValueError(f"ops: expected a table of numbers, got {op!r}")
            s.n_columns = len(columns)
            s.to = s.outputs - s.n_columns * s.w_cols
            s.columns = <ptrdiff_t *>address(self.columns_memory) + n
            for c in columns:
                (<ptrdiff_t *>address(self.columns_memory))[n] = c
                n += 1

    cdef void find_trained(self) noexcept:
        """The first step that is trained, and those where threads meet in training."""
        cdef Plan *p = &self.plan
        cdef int l
        p.first_trained, p.n_couplings, p.n_meetings, p.n_tables = p.n_steps, 0, 0, 0
        for l in range(p.n_steps):
            if p.steps[l].frozen:
                continue
            if has_weights(&p.steps[l]):
                p.first_trained = min(p.first_trained, l)
            p.n_couplings += p.steps[l].kind == BATCH_NORM
            if p.steps[l].kind == BATCH_NORM or is_split(p, l):
                p.meetings[p.n_meetings] = l
                p.n_meetings += 1
            p.n_tables += p.steps[l].kind == EMBED

    cdef void pair_forks(self) except *:
        """Each join's fork is the last one that is open."""
        cdef Step *s
        cdef int l
        forks = []
        for l in range(self.plan.n_steps):
            s = &self.plan.steps[l]
            if s.kind == FORK:
                forks.append(l)
            elif s.kind == JOIN:
                if not forks:
                    raise ValueError("ops: expected a fork before each join")
                s.mate = forks.pop()
                if self.plan.steps[s.mate].inputs != s.inputs:
                    raise ValueError("ops: expected a join as wide as its fork")
                self.plan.steps[s.mate].mate = l
        if forks:
            raise ValueError("ops: expected a join for each fork")

    cdef bint stands_apart(self, ptrdiff_t i, name) except -1:
        """Whether op i's activation cannot ride in a product's epilogue. A last sigmoid or exponential
        could, but losses are fused from what enters it, as with softmax."""
        cdef Activation f = activation(self.plan.k, name)
        return f.rows != NULL or f.of_input or (
            name in ("sigmoid", "exp") and i == len(self.ops) - 1)

    cdef bint in_bfloat16(self, op) except -1:
        if len(op) == 4:
            return False
        if op[4] != "bfloat16" or self.type != FNN_FLOAT32:
            raise ValueError(f"ops: expected bfloat16 products in a float32 network, got {op!r}")
        return True

    cdef void make_parameters(self) except *:
        """The flat vectors: for each step with weights its panels, one after the other."""
        cdef ptrdiff_t P = self.plan.k.panel, size = self.plan.k.itemsize, n = 0, n_o = 0, n_c = 0
        cdef Step *s
        cdef int l
        for l in range(self.plan.n_steps):
            s = &self.plan.steps[l]
            if has_weights(s):
                s.w_panel = (s.kernel_rows + s.bias) * P
                s.w = <char *>(n * size)
                n += ceil_div(s.w_cols, P) * s.w_panel
                if s.kind == EMBED:
                    self.row_weights += s.n_columns * s.w_cols
                    self.table_weights += ceil_div(s.w_cols, P) * s.w_panel
                else:
                    self.row_weights += ceil_div(s.w_cols, P) * s.w_panel
            if s.kind == DENSE:
                s.wt_panel = (ceil_div(s.outputs, 2) if s.bf16 else s.outputs) * P
                s.wf_panel = ceil_div(s.inputs, 2) * P if s.bf16 else s.w_panel
                s.wt = <char *>(n_o * size)
                n_o += ceil_div(s.inputs, P) * s.wt_panel
                s.wf = <char *>(n_o * size)
                n_o += ceil_div(s.outputs, P) * s.wf_panel if s.bf16 else 0
            elif s.kind == SCALE:
                s.scale = <char *>(n_c * size)
                n_c += round_up(s.inputs, P)
                s.shift = <char *>(n_c * size)
                n_c += round_up(s.inputs, P)
            elif s.kind == BATCH_NORM:
                s.state = <char *>(n_c * size)
                n_c += round_up(s.inputs, P) * FNN_BATCH_NORM_STATE
        self.params = {name: staggered(n, size, place) for place, name in enumerate(("w", "g"))}
        self.operands = zeros(n_o, size)
        self.constants = zeros(n_c, size)
        for l in range(self.plan.n_steps):
            s = &self.plan.steps[l]
            if has_weights(s):
                s.g = address(self.params["g"]) + <ptrdiff_t>s.w
                s.w = address(self.params["w"]) + <ptrdiff_t>s.w
            if s.kind == DENSE:
                s.wt = address(self.operands) + <ptrdiff_t>s.wt
                s.wf = address(self.operands) + <ptrdiff_t>s.wf if s.bf16 else s.w
            elif s.kind == SCALE:
                s.scale = address(self.constants) + <ptrdiff_t>s.scale
                s.shift = address(self.constants) + <ptrdiff_t>s.shift
            elif s.kind == BATCH_NORM:
                s.state = address(self.constants) + <ptrdiff_t>s.state
        self.flat_weights = self.flat_view("w")
        self.flat_gradients = self.flat_view("g")
        for i, op in enumerate(self.ops):
            if op[0] == "scale_shift" or op == ("activation", "linear"):
                width = self.plan.steps[<int>self.step_of[i]].inputs
                self.set_scale_shift(i, np.ones(width, self.dtype), np.zeros(width, self.dtype))

    def flat_view(self, name):
        view = self.params[name].view(self.dtype)
        view.flags.writeable = False
        return view

    cdef object order_of_units(self, object units):
        """Units (step, panel, first row) in the order that threads share them out.

        By chunks of rows a part is a range of rows of one step or a few. Where outputs of one are shared, it
        is about the same range of all steps' outputs."""
        if self.plan.n_meetings == self.plan.n_couplings:
            return sorted(units, key=lambda u: (u[0], u[2], u[1]))
        panels = {l: ceil_div(self.plan.steps[<int>l].w_cols, self.plan.k.panel) for l, _, _ in units}
        return sorted(units, key=lambda u: ((u[1] + 0.5) / panels[u[0]], u))

    cdef void make_units(self) except *:
        cdef ptrdiff_t P = self.plan.k.panel, i, j, chunk = UNIT_PANELS * P
        cdef double cost = 0, share
        cdef int l, n = 0
        cdef Step *s
        cdef Unit *u
        cdef bint halves = self.plan.fan_in >= 0 and not (
            self.plan.steps[self.plan.fan_out].frozen or self.plan.steps[self.plan.fan_in].frozen)
        starts = [first_rows(&self.plan.steps[l], chunk, halves) for l in range(self.plan.n_steps)]
        units = [(l, j, i) for l in range(self.plan.n_steps)
                 for j in range(ceil_div(self.plan.steps[l].w_cols, P)) for i in starts[l]]
        ends = [dict(pairwise(of_step)) for of_step in starts]
        found = self.order_of_units(units)
        if halves:  # in any team, since norms are summed up in the order of units
            found.sort(key=lambda unit: half_of_unit(&self.plan, unit))
        places = [half_of_unit(&self.plan, unit) if halves else 2 for unit in found]
        self.plan.n_halved[0], self.plan.n_halved[1] = places.count(0), places.count(0) + places.count(1)
        self.units_memory = zeros(len(found), sizeof(Unit))
        self.plan.units = <Unit *>address(self.units_memory) if found else NULL
        self.plan.n_units, self.plan.n_slots, self.plan.sums = len(found), 0, NULL
        by_panel = sorted(range(len(found)), key=found.__getitem__)
        by_chunk = sorted(by_panel, key=lambda n: (found[n][0], found[n][2]))
        for n, (l, j, i) in enumerate(found):
            s = &self.plan.steps[l]
            u = &self.plan.units[n]
            u.l, u.j, u.i0, u.by_chunk, u.by_panel = l, j, i, by_chunk[n], by_panel[n]
            u.i1 = ends[l].get(i, s.kernel_rows + s.bias)
            share = UPDATE_ROWS / <double>UNIT_ROWS if s.kind == EMBED else 1
            cost += share * (u.i1 - i) * round_up(min(P, s.w_cols - j * P), self.plan.k.vl)
            u.cost = cost
            u.slot = self.plan.n_slots
            self.plan.n_slots += slots_of(&self.plan, u)

    cdef object sums_for(self, int threads):
        """Memory for what the update of a team waits for or adds up; None where that is nothing. Of halved
        networks both threads add up what is not halved: the first one to no purpose, so apart."""
        cdef ptrdiff_t size = bytes_of_sums(&self.plan)
        cdef int tid
        if not (self.plan.penalised or clips_by_norm(&self.plan)):
            return None
        if self.plan.sums == NULL or len(self.sums_memory) < (threads + 1) * size:
            self.sums_memory = zeros(threads + 1, size)
            self.plan.sums = address(self.sums_memory)
            for tid in range(threads + 1):
                lay_out_sums(&self.plan, sums_of(&self.plan, tid))
        return self.sums_memory

    # Weights in and out: every writer packs, and refreshes the transposed copy.

    cdef Step *weighted(self, int op) except NULL:
        if not 0 <= op < len(self.ops) or not has_weights(&self.plan.steps[<int>self.step_of[op]]):
            raise ValueError(f"op {op} has no weights")
        return &self.plan.steps[<int>self.step_of[op]]

    cdef object read(self, int op, object flat, bint bias):
        """The kernel or the bias of an op out of a flat vector; None where it has none."""
        cdef Step *s = self.weighted(op)
        cdef ptrdiff_t P = self.plan.k.panel, size = self.plan.k.itemsize
        cdef char *w = address(flat) + (s.w - address(self.params["w"]))
        cdef ptrdiff_t rows = s.bias if bias else s.kernel_rows
        if rows == 0:
            return None
        out = np.empty((rows, s.w_cols), self.dtype)
        self.plan.k.unpack(rows, s.w_cols, w + s.kernel_rows * P * size if bias else w, s.w_cols,
                           s.w_panel, self.matrix(out, rows, s.w_cols, "out"))
        return out[0] if bias else out

    cdef void write(self, int op, object flat, object value, bint bias) except *:
        cdef Step *s = self.weighted(op)
        cdef ptrdiff_t P = self.plan.k.panel, size = self.plan.k.itemsize, j
        cdef char *w = address(flat) + (s.w - address(self.params["w"]))
        cdef ptrdiff_t rows = s.bias if bias else s.kernel_rows
        if rows == 0:
            raise ValueError(f"op {op} has no {'bias' if bias else 'kernel'}")
        value = np.reshape(value, (rows, -1)) if bias else value
        self.plan.k.pack(rows, s.w_cols, self.matrix(value, rows, s.w_cols, "value"), s.w_cols,
                         s.w_panel, w + s.kernel_rows * P * size if bias else w)
        self.stale = True
        if flat is self.params["w"] and not bias and s.kind == DENSE:
            for j in range(ceil_div(s.outputs, P)):
                pair_weights(&self.plan, s, j, 0, s.inputs)
                transpose_weights(&self.plan, s, j, 0, s.inputs)

    def get_kernel(self, int op):
        return self.read(op, self.params["w"], False)

    def get_bias(self, int op):
        return self.read(op, self.params["w"], True)

    def set_kernel(self, int op, value):
        self.write(op, self.params["w"], value, False)

    def set_bias(self, int op, value):
        self.write(op, self.params["w"], value, True)

    def get_slot(self, str name, int op):
        flat = self.slots[name]
        return self.read(op, flat, False), self.read(op, flat, True)

    def set_slot(self, str name, int op, kernel, bias):
        if self.weighted(op).kernel_rows:
            self.write(op, self.slots[name], kernel, False)
        if self.weighted(op).bias:
            self.write(op, self.slots[name], bias, True)

    def get_statistics(self, int op):
        """Moving mean and variance of a batch_norm op, copies."""
        return self.statistic(op, FNN_MOVING_MEAN, None), self.statistic(op, FNN_MOVING_VARIANCE, None)

    def set_statistics(self, int op, mean, variance):
        self.statistic(op, FNN_MOVING_MEAN, mean)
        self.statistic(op, FNN_MOVING_VARIANCE, variance)
        self.stale = True

    cdef object statistic(self, int op, int number, object value):
        """Reads one of the numbers that a batch_norm op keeps, or writes it."""
        cdef Step *s = &self.plan.steps[<int>self.step_of[op]]
        cdef ptrdiff_t P = self.plan.k.panel, stride = FNN_BATCH_NORM_STATE * P
        cdef char *at = s.state + number * P * self.plan.k.itemsize
        if s.kind != BATCH_NORM:
            raise ValueError(f"op {op} has no statistics")
        row = np.empty((1, s.outputs), self.dtype) if value is None else np.reshape(value, (1, -1))
        if value is None:
            self.plan.k.unpack(1, s.outputs, at, s.outputs, stride,
                               self.matrix(row, 1, s.outputs, "value"))
        else:
            self.plan.k.pack(1, s.outputs, self.matrix(row, 1, s.outputs, "value"), s.outputs, stride,
                             at)
        return row[0]

    cdef void refresh(self) noexcept:
        """What batch_norm ops do outside of training follows their weights."""
        if self.stale:
            self.stale = False
            refresh_calm(&self.plan)

    def get_scale_shift(self, int op):
        width = self.plan.steps[<int>self.step_of[op]].inputs
        scale, shift = self.constants_of(op)
        return scale[:width].copy(), shift[:width].copy()

    def set_scale_shift(self, int op, scale, shift):
        width = self.plan.steps[<int>self.step_of[op]].inputs
        for part, value in zip(self.constants_of(op), (scale, shift), strict=True):
            part[:width] = value

    cdef object constants_of(self, int op):
        """Views of the scale and the shift of an op."""
        cdef Step *s = &self.plan.steps[<int>self.step_of[op]]
        if s.kind != SCALE:
            raise ValueError(f"op {op} does not scale")
        flat = self.constants.view(self.dtype)
        start = (s.scale - address(self.constants)) // self.plan.k.itemsize
        width = round_up(s.inputs, self.plan.k.panel)
        return flat[start:start + width], flat[start + width:start + 2 * width]

    def set_trainable(self, int op, bint value):
        """Whether training changes the weights of an op; at first it does. A batch_norm op that is
        not trained works as outside of training."""
        cdef Step *s = &self.plan.steps[<int>self.step_of[op]]
        if s.kind != BATCH_NORM:
            self.weighted(op)
        self.refresh_input_weights()    # another layer may become the first that is trained
        if value and s.frozen and s.average != NULL:    # no average was taken meanwhile
            self.set_slot("average", op, self.get_kernel(op), self.get_bias(op))
        if value == s.frozen and s.sums != NULL:    # updates of others would leave them as they are
            memset(s.sums, 0, ceil_div(s.w_cols, self.plan.k.panel) * s.w_panel * self.plan.k.itemsize)
        if value == s.frozen and self.reads_forward(s):
            self.forward_rows = -1
        s.frozen = not value
        self.find_trained()
        self.make_units()
        self.params["g"][:] = 0

    cdef bint reads_forward(self, Step *s):
        """Whether backward reads of a step what a forward does not keep where it is not trained."""
        cdef Memory memory = self.memory
        return s.kind == BATCH_NORM or (s == self.plan.steps and memory is not None and memory.w.sparse)

    def set_penalty(self, int op, kernel, bias):
        """l1 and l2 of an op's kernel and of its bias: the loss has l1 |w| + l2 w^2 of each more."""
        cdef Step *s = self.weighted(op)
        cdef int l
        s.of_kernel.l1, s.of_kernel.l2 = kernel
        s.of_bias.l1, s.of_bias.l2 = bias
        self.plan.penalised = False
        for l in range(self.plan.n_steps):
            s = &self.plan.steps[l]
            self.plan.penalised |= (s.of_kernel.l1 != 0 or s.of_kernel.l2 != 0
                                    or s.of_bias.l1 != 0 or s.of_bias.l2 != 0)

    def set_constraint(self, int op, kernel, bias):
        """What an op's kernel and bias are brought to after each step: None, ("non_neg",) or
        ("norm", low, high, rate), of each column of a dense kernel or a table, and of others as a whole."""
        cdef Step *s = self.weighted(op)
        cdef Bound of_kernel = bound_of(kernel), of_bias = bound_of(bias)
        cdef int l
        s.of_kernel.bound, s.of_bias.bound = of_kernel, of_bias
        self.plan.bound = False
        for l in range(self.plan.n_steps):
            self.plan.bound |= is_bound(&self.plan.steps[l])

    def set_rate(self, int op, double factor):
        """What the learning rate is multiplied by for an op's weights; at first by 1."""
        cdef Step *s = self.weighted(op)
        s.of_kernel.rate = s.of_bias.rate = factor

    # Arguments: the caller has validated them; these checks are what memory safety needs.

    cdef char *matrix(self, object a, ptrdiff_t rows, ptrdiff_t cols, str name) except? NULL:
        """Where a C-contiguous (rows, cols) array of this dtype lies."""
        cdef const float[:, ::1] singles
        cdef const double[:, ::1] doubles
        if a.shape != (rows, cols):
            raise ValueError(f"{name}: expected shape {(rows, cols)}, got {a.shape}")
        if self.type == FNN_FLOAT32:
            singles = a
            return <char *>&singles[0, 0]
        doubles = a
        return <char *>&doubles[0, 0]

    cdef int take_x(self, Rows *b, object x) except -1:
        look_at_x(x, self.type, self.input_size, b)
        if b.begin != NULL and self.plan.steps[0].kind != DENSE:
            raise ValueError(f"x: sparse rows go into a dense op, got {self.ops[0]!r} first")
        return 0

    cdef void take_rows(self, Rows *b, object x, object y, object weight, object index,
                        ptrdiff_t start) except *:
        cdef const int32_t[::1] labels
        cdef const int64_t[::1] positions
        cdef ptrdiff_t i, n = len(x)
        self.take_x(b, x)
        b.y, b.label, b.weight = NULL, NULL, NULL
        if y is not None and y.ndim == 1:
            if self.plan.loss not in (self.plan.k.xent, self.plan.k.xent_logits):
                raise ValueError("y: class ids go with the loss xent alone")
            labels = y
            if labels.shape[0] != n:
                raise ValueError(f"y: expected {n} class ids, got {labels.shape[0]}")
            if start == 0:  # once an epoch; no kernel takes a class id for an address
                for i in range(n):
                    if self.plan.ignores and labels[i] == self.plan.ignored:
                        continue
                    if not 0 <= labels[i] < self.output_size:
                        raise ValueError(
                            f"y: class id {labels[i]} outside 0 .. {self.output_size - 1}")
            b.label = &labels[0]
        elif y is not None:
            b.y = self.matrix(y, n, self.plan.target_cols, "y")
        if weight is not None:
            b.weight = self.matrix(np.reshape(weight, (1, -1)), 1, n, "sample_weight")
        positions = index
        if not 0 <= start <= positions.shape[0]:
            raise ValueError(f"start: expected 0 .. {positions.shape[0]}, got {start}")
        b.index = &positions[0]

    cdef Memory memory_for(self, ptrdiff_t rows, bint sparse):
        """The training workspace, grown where it is too small."""
        cdef Memory memory = self.memory
        if memory is None or memory.w.rows < rows or memory.w.sparse != sparse:
            self.memory = Memory(self, rows, True, sparse)
        return self.memory

    cdef Twin twin_for(self, Memory memory, ptrdiff_t rows):
        """What the second thread has of its own beside that workspace, in batches of so many rows; or None."""
        cdef Twin twin = self.twin
        cdef ptrdiff_t used = len(memory.arena) * rows // memory.w.rows     # of it by a batch
        if not pays_to_own(&self.plan, &memory.w, len(self.params["w"]) + used):
            return None
        if twin is None or twin.of is not memory:
            self.twin = Twin(self, memory)
        return self.twin

    # Training

    def compile(self, loss, optimizer, metrics, hyper, loss_params=(), ignored=None):
        # All that can fail comes first, so that a failure changes nothing.
        cdef Plan *p = &self.plan
        cdef Step *last = &p.steps[p.n_steps - 1]
        cdef Step *s
        cdef int l
        cdef int32_t ignored_class = 0 if ignored is None else ignored
        cdef bint fused = ((loss in OF_SIGMOID and last.kind == ACTIVATE
                            and last.f.act == p.k.sigmoid)
                           or (loss == "half_poisson" and last.kind == ACTIVATE
                               and last.f.act == p.k.exp)
                           or (loss in ("xent", "focal_xent") and last.f.rows == p.k.softmax))
        cdef fnn_loss loss_kernel = loss_of(p.k, loss + "_logits" if fused else loss)
        cdef fnn_optim optim = optim_of(p.k, optimizer)
        if len(loss_params) > FNN_LOSS_PARAMS:
            raise ValueError(
                f"loss_params: expected at most {FNN_LOSS_PARAMS}, got {len(loss_params)}")
        numbers_of_loss = [float(value) for value in loss_params]
        target_cols = self.output_size
        if loss == "gaussian_nll":
            if target_cols % 2:
                raise ValueError(f"loss: gaussian_nll needs an even number of outputs, got {target_cols}")
            target_cols //= 2
        measures = [split_measure(metric) for metric in metrics]
        # The order of the classes, and a sigmoid's side of 1/2, can be read off the logits.
        on_logits = fused and all(
            name in ("argmax_match", "in_top_k")
            or (loss in OF_SIGMOID and name in THRESHOLDED and numbers == (0.5,))
            for name, numbers in measures)
        measure_memory = zeros(len(measures), sizeof(Measure))
        for l, (name, numbers) in enumerate(measures):
            if on_logits and name in THRESHOLDED:
                numbers = (0.0,)
            fill_measure(p.k, name, numbers, &(<Measure *>address(measure_memory))[l])
        names = slot_names(optimizer, hyper)
        made = (loss, tuple(metrics), names)
        again = made == self.made
        slots = self.slots if again else {
            name: staggered(len(self.params["w"]), 1, 2 + place) for place, name in enumerate(names)}
        self.take_hyper(optimizer, hyper)
        for slot in slots.values() if again else ():
            slot[:] = 0
        if "v" in slots and initial_value(hyper):
            slots["v"].view(self.dtype)[:] = initial_value(hyper)

        self.optimizer = optimizer
        p.loss, p.optim, p.correction = loss_kernel, optim, correction_of(optimizer)
        memset(p.loss_param, 0, sizeof(p.loss_param))
        for l, value in enumerate(numbers_of_loss):
            p.loss_param[l] = value
        p.loss_step = p.n_steps - fused
        p.ignores, p.ignored, p.target_cols = ignored is not None, ignored_class, target_cols
        p.metric_step = p.n_steps - <bint>on_logits
        self.metrics_memory = measure_memory
        p.metrics = <Measure *>address(measure_memory) if measures else NULL
        p.n_metrics = len(measures)
        self.slots, self.slot_names = slots, names
        p.parameter_bytes = (1 + len(slots)) * len(self.params["w"])
        for l in range(p.n_steps):
            s = &p.steps[l]
            s.m, s.v, s.u = self.slot_of(s, "m"), self.slot_of(s, "v"), self.slot_of(s, "u")
            s.average, s.sums = self.slot_of(s, "average"), self.slot_of(s, "sums")
        if not again:
            self.made, self.memory, self.twin = made, None, None
        self.forward_rows, self.iterations, self.drawn_at = -1, 0, -1

    cdef char *slot_of(self, Step *s, name) except? NULL:
        """Where a step's part of a slot lies; NULL without that slot."""
        if not has_weights(s) or name not in self.slots:
            return NULL
        return address(self.slots[name]) + (s.w - address(self.params["w"]))

    def set_hyper(self, hyper):
        if slot_names(self.optimizer, hyper) != self.slot_names:
            raise ValueError("hyper: momentum, use_ema and gradient_accumulation_steps need slots, which "
                             "compile makes; compile again")
        self.take_hyper(self.optimizer, hyper)

    cdef void take_hyper(self, optimizer, hyper) except *:
        cdef fnn_hyper numbers = hyper_of(hyper)
        cdef double clipnorm = hyper.get("clipnorm") or 0.0
        cdef double global_clipnorm = hyper.get("global_clipnorm") or 0.0
        cdef int64_t summed = hyper.get("gradient_accumulation_steps") or 1
        cdef double average_kept = hyper.get("ema_momentum") or 0.0
        cdef int64_t overwrite_every = 0
        if hyper.get("use_ema"):
            overwrite_every = hyper.get("ema_overwrite_frequency") or 0
        self.plan.hyper, self.plan.clipnorm = numbers, clipnorm
        self.plan.global_clipnorm = global_clipnorm
        self.plan.summed = 0 if optimizer == "sum" else summed
        self.plan.average_kept, self.plan.overwrite_every = average_kept, overwrite_every

    def take_averages(self):
        """The weights that are trained become their moving averages."""
        cdef int op
        cdef Step *s
        for op in range(len(self.ops)):
            s = &self.plan.steps[<int>self.step_of[op]]
            if not has_weights(s) or s.frozen:
                continue
            kernel, bias = self.get_slot("average", op)
            if kernel is not None:
                self.set_kernel(op, kernel)
            if bias is not None:
                self.set_bias(op, bias)

    def train_threads(self, ptrdiff_t batch_size, num_threads=None, x=None):
        """Threads that a step on batch_size rows (of x, if they are sparse) is divided among."""
        cdef int n = n_threads(num_threads)
        if num_threads is None and self.flops(batch_size, 6, x) < SERIAL_STEP_FLOPS:
            return 1
        return max(1, min(<ptrdiff_t>n, batch_size))

    cdef double flops(self, ptrdiff_t rows, int per_weight, object x=None):
        """Of products on so many rows (of x, if they are sparse). With gradients, tables count as in an
        update, whatever the rows."""
        cdef double weights = self.row_weights, updates = self.table_weights, first
        if type(x) is CSR:
            first = <double>self.plan.steps[0].inputs * self.plan.steps[0].outputs
            weights -= first
            weights += SPARSE_COST * self.plan.steps[0].outputs * (x.nonzeros / <double>max(1, len(x)))
            # The update of all weights, which products on dense rows outweigh, is most of a step here.
            updates += first
        return per_weight * (rows * weights + (UPDATE_ROWS * updates if per_weight == 6 else 0))

    cdef double slice_flops(self, int threads):
        return SLICE_FLOPS * threads * self.plan.k.vl

    cdef int threads(self, ptrdiff_t rows, int flops_per_weight, object num_threads,
                     object x=None) except -1:
        """Threads that one pass over the rows (of x, if they are sparse) is divided among."""
        cdef int n = n_threads(num_threads)
        cdef double work = self.flops(rows, flops_per_weight, x) / SERIAL_FLOPS
        if num_threads is None and (work < 1 or not pays(2 * work)):
            return 1
        return max(1, min(<ptrdiff_t>n, rows))

    cdef int take_outputs(self, Job *job, object outputs, ptrdiff_t n) except -1:
        """Where the outputs of n positions go, if they are wanted."""
        job.out_cols = self.output_size
        job.out = NULL if outputs is None else self.matrix(outputs, n, self.output_size, "outputs")
        return 0

    cdef double *totals(self, sums, ptrdiff_t epochs=1) except NULL:
        cdef double[::1] view = sums
        cdef ptrdiff_t expected = epochs * (1 + self.plan.n_metrics)
        if view.shape[0] != expected:
            raise ValueError(f"sums: expected {expected}, got {view.shape[0]}")
        return &view[0]

    def train(self, x, y, sample_weight, index, ptrdiff_t batch_size, ptrdiff_t start,
              double max_seconds, num_threads=None, sums=None, learning_rates=None,
              outputs=None, penalty_scales=None, epoch=None):
        """As docs/architecture.md has it; `index` may be of several epochs, of `epoch` positions each,
        one after the other: then `sums` is of each, one after the other."""
        cdef Job job
        cdef ptrdiff_t n = len(index), steps, rows, epochs
        cdef double began = fnn_now(), now = began, then
        cdef int threads, team
        cdef double flops, seconds
        cdef bint in_parts, unsure
        cdef Twin twin
        if self.plan.loss == NULL or self.plan.optim == NULL:
            raise RuntimeError("train: compile with a loss and an optimizer first")
        if y is None or batch_size < 1:
            raise ValueError("train: expected y and batch_size >= 1")
        job.epoch = max(n, 1) if epoch is None else epoch
        if job.epoch < 1 or n % job.epoch != 0:
            raise ValueError(f"epoch: expected one of {n} positions' divisors, got {epoch}")
        epochs = max(1, n // job.epoch)
        batch_size = min(batch_size, job.epoch)
        if start % job.epoch % batch_size != 0:
            raise ValueError(f"start: expected the first position of a batch, got {start}")
        steps = epochs * ceil_div(job.epoch, batch_size)
        job.rates = one_a_step(learning_rates, steps, "learning_rates")
        job.penalty_scales = one_a_step(penalty_scales, steps, "penalty_scales")
        threads = self.train_threads(batch_size, num_threads, x)
        flops = self.flops(batch_size, 6, x)
        in_parts = flops > self.slice_flops(threads) and self.plan.n_couplings == 0
        unsure = num_threads is None and flops < UNSURE_FLOPS
        self.take_rows(&job.rows, x, y, sample_weight, index, start)
        self.take_outputs(&job, outputs, n)
        sums = np.zeros(epochs * (1 + self.plan.n_metrics)) if sums is None else sums
        job.sums = self.totals(sums, epochs)
        memory = self.memory_for(batch_size, job.rows.begin != NULL)
        self.forward_rows = -1
        self.refresh()
        job.plan, job.w, job.batch, job.start = &self.plan, &memory.w, batch_size, start
        job.rows_in_all = job.epoch
        shares, held = self.shares_of(threads), self.sums_for(threads)  # whatever another call does
        job.shares, job.team = <fnn_share *>address(shares), threads
        job.measure_every = 1 if flops > MEASURED_FLOPS else 16
        twin = self.twin_for(memory, batch_size) if threads == 2 else None
        self.own = None
        if batch_size != self.pace.batch or threads != self.pace.threads:
            memset(&self.pace, 0, sizeof(self.pace))
            self.pace.batch, self.pace.threads = batch_size, threads
        while job.start < n and (now - began < max_seconds or job.start == start):
            team = self.team_for(threads, flops, now) if unsure else threads
            seconds = max_seconds - (now - began)
            if unsure and now < self.pace.alone_until:
                seconds = min(seconds, self.pace.alone_until - now)
            steps = 1 if in_parts else self.steps_in(seconds, team > 1)
            job.stop = min(n, after_steps(&job, steps))
            check_index(&job, len(x))
            if memory.w.sparse:
                memory.reserve(most_nonzeros(&job.rows, job.start, job.stop, batch_size, job.epoch))
            job.iteration = self.iterations
            job.copies = NULL   # a few steps pay for making them
            if twin is not None and team == 2 and job.stop - job.start > 4 * batch_size:
                job.copies = twin.begin(self)
            then = fnn_now()
            if in_parts:
                self.step_in_parts(&job, team, flops)
            else:
                with nogil:
                    run(train_worker, &job, team)
            if job.copies != NULL and job.copies.ran:
                twin.end()
                self.own = "half" if job.copies.halved else "network"
            now = fnn_now()
            self.stale = True
            rows = job.stop - job.start
            steps = step_at(&job, job.stop) - step_at(&job, job.start)
            self.iterations += steps
            if rows >= batch_size:  # a short batch at the end counts for its rows
                self.keep_pace(team > 1, (now - then) * batch_size / rows, steps, now)
                if unsure and team > 1:
                    self.judge_team(now)
            job.start = job.stop
        return job.start, sums[0], sums[1:].tolist()

    cdef int step_in_parts(self, Job *job, int threads, double flops) except -1:
        """One step too long to be waited for: in parts, with a look for Ctrl-C after each.

        Until the update, which is short, an interrupted step leaves the weights as they were."""
        cdef ptrdiff_t rows = job.stop - job.start, units = self.plan.n_units, size
        cdef ptrdiff_t parts = <ptrdiff_t>(flops / self.slice_flops(threads)) + 1, total
        cdef Part worker
        cdef bint by_units
        for by_units in range(2):
            worker = gradient_worker if by_units else rows_worker
            total = units if by_units else rows
            size = round_up(ceil_div(total, parts), 2)  # pairs of rows stay together
            job.part0 = 0
            while job.part0 < total:
                job.part1 = min(total, job.part0 + size)
                with nogil:
                    run(worker, job, threads)
                job.part0 = job.part1
                PyErr_CheckSignals()
        job.rate = of_step(job.rates, job, job.start, self.plan.hyper.lr)
        job.penalty_scale = of_step(job.penalty_scales, job, job.start, 1)
        with nogil:
            run(update_worker, job, threads)
        add_rows(&self.plan, job.w, rows, job.sums)
        if self.plan.penalised:
            job.sums[0] += rows * penalty(&self.plan, threads)
        return 0

    @property
    def shares(self):
        """Of the last team: where each thread's part of the rows and of the units ends."""
        cdef fnn_share *shares
        if self.team == 0:
            return [], []
        shares = <fnn_share *>address(self.shares_memory)
        ends = [shares[i].end for i in range(2 * self.team)]
        return ends[:self.team], ends[self.team:]

    cdef object shares_of(self, int threads):
        """What each thread of a team takes of the rows, and of the units, as learned so far."""
        cdef fnn_share *shares
        if threads != self.team:
            self.shares_memory = zeros(2 * threads, sizeof(fnn_share))
            shares = <fnn_share *>address(self.shares_memory)
            fnn_share_equally(shares, threads)
            fnn_share_equally(shares + threads, threads)
            self.team = threads
        return self.shares_memory

    cdef int team_for(self, int threads, double flops, double now):
        """Threads for the next slice: one where a team is slower, and at times, to know that pace.

        Caches are to be warm for it. Short steps begin alone; for long ones, of which an epoch may
        have few, the team warms them."""
        cdef Pace *pace = &self.pace
        if now < pace.alone_until:
            return 1
        if flops < MEASURED_FLOPS and pace.slices[0] < 4:
            return 1
        if pace.slices[1] >= 4 and (pace.seconds[0] == 0 or now > pace.alone_at + PACE_SECONDS):
            pace.steps[0] = 0
            return 1
        return threads

    cdef ptrdiff_t steps_in(self, double seconds, bint team):
        """Steps that fill the time. It is learned: from one step, and then at most twice as many
        as the last time, so that a wrong measurement does not hold up a Ctrl-C."""
        cdef Pace *pace = &self.pace
        if seconds <= 0:    # somebody looks at every step
            return 1
        if pace.steps[team] == 0:
            seconds = min(seconds, TRIAL_SECONDS)
            # Of a team more than one: the first wakes its threads.
            return max(1 + team, <ptrdiff_t>(seconds / pace.seconds[0])) if pace.seconds[0] > 0 else 1
        # Endless time stays a number of steps: the least is taken before the conversion.
        return max(1, <ptrdiff_t>min(seconds / pace.seconds[team], 2.0 * pace.steps[team]))

    cdef void keep_pace(self, bint team, double seconds, ptrdiff_t steps, double now) noexcept:
        self.pace.steps[team] = steps
        self.pace.seconds[team] = seconds
        self.pace.slices[team] += 1
        if not team:
            self.pace.alone_at = now

    cdef void judge_team(self, double now) noexcept:
        """Where it is slower than one thread (it waits for a core that a neighbour has), one goes
        on alone: as long as that took, and twice as long each time it is found again. What it
        does well for as long is forgiven."""
        cdef Pace *pace = &self.pace
        cdef double taken = pace.seconds[1] * pace.steps[1]
        if pace.seconds[0] == 0 or pace.seconds[1] < pace.seconds[0]:
            pace.pause = max(0.0, pace.pause - taken)
            return
        pace.pause = min(max(2 * pace.pause, taken), 30 * taken)
        pace.alone_until = now + pace.pause
        pace.steps[1] = 0

    def evaluate(self, x, y, sample_weight, index, ptrdiff_t start, double max_seconds,
                 num_threads=None, sums=None, outputs=None):
        cdef Job job
        cdef ptrdiff_t n = len(index)
        cdef double began = fnn_now(), blocks
        cdef int threads = self.threads(n - start, 2, num_threads, x)
        if self.plan.loss == NULL:
            raise RuntimeError("evaluate: compile with a loss first")
        if y is None:
            raise ValueError("evaluate: expected y")
        self.take_rows(&job.rows, x, y, sample_weight, index, start)
        self.take_outputs(&job, outputs, n)
        sums = np.zeros(1 + self.plan.n_metrics) if sums is None else sums
        job.sums = self.totals(sums)
        self.forward_rows = -1
        self.refresh()
        memory = self.memory_for(max(1, min(n, ROW_BLOCK * threads)), job.rows.begin != NULL)
        job.plan, job.w, job.start = &self.plan, &memory.w, start
        if self.plan.ignores:
            job.start, job.stop = 0, n
            check_index(&job, len(x))
            job.start = start
        job.factor = weight_factor(&self.plan, &job.rows, 0, n)
        while job.start < n and (job.start == start or fnn_now() - began < max_seconds):
            # As many rows as a batch of the workspace has, and again, up to EVALUATE_BLOCKS times.
            job.batch = job.w.rows
            # Of no weights they are endless: the least is taken before the conversion.
            blocks = self.slice_flops(threads) / self.flops(job.batch, 2, x)
            job.stop = min(n, job.start + max(1, <ptrdiff_t>min(blocks, EVALUATE_BLOCKS)) * job.batch)
            check_index(&job, len(x))
            with nogil:
                run(evaluate_worker, &job, threads)
            job.start = job.stop
        if self.plan.penalised:
            job.sums[0] += (job.start - start) * self.penalty()
        return job.start, sums[0], sums[1:].tolist()

    def penalty(self):
        """What the weights add to the loss."""
        if not self.plan.penalised:
            return 0.0
        held = self.sums_for(1)
        measure_penalties(&self.plan)
        return penalty(&self.plan, 1)

    def predict(self, x, out, num_threads=None):
        cdef Job job
        cdef ptrdiff_t n = len(x)
        cdef int threads = self.threads(n, 2, num_threads, x)
        self.take_x(&job.rows, x)
        job.rows.index = NULL
        job.out = self.matrix(out, n, self.output_size, "out")
        if n == 0:
            return
        self.refresh()
        memory = Memory(self, n if threads == 1 and n < ROW_BLOCK else threads * ROW_BLOCK, False,
                        job.rows.begin != NULL)
        job.plan, job.w, job.start, job.stop = &self.plan, &memory.w, 0, n
        job.out_cols = self.output_size
        with nogil:
            run(predict_worker, &job, threads)

    def predict_few(self, x):
        cdef Array rows, y
        cdef Job job
        cdef Memory memory
        if (not look(x, &rows) or rows.ndim != 2 or rows.dtype != self.type
                or rows.cols != self.input_size or not 0 < rows.rows <= FEW_ROWS
                or self.flops(rows.rows, 2) > FEW_FLOPS):
            return None
        out = empty((rows.rows, self.output_size), self.numpy_dtype)
        look(out, &y)
        self.refresh()
        try:
            memory = self.idle.pop()
        except IndexError:
            memory = Memory(self, FEW_ROWS, False, False)
        job.rows.x, job.rows.index, job.rows.begin = rows.data, NULL, NULL
        job.rows.source, job.rows.x_size, job.rows.x_row = FNN_SOURCES, self.plan.k.itemsize, rows.cols
        job.plan, job.w, job.start, job.stop = &self.plan, &memory.w, 0, rows.rows
        job.out, job.out_cols = y.data, self.output_size
        run(predict_worker, &job, 1)
        good = not self.plan.looks_up or stand_for_rows(&self.plan, &memory.w, rows.rows)
        self.idle.append(memory)
        return out if good else None

    cdef int64_t next_draw(self):
        """What a forward in training draws its random numbers by: at first what `train`'s next step would."""
        self.draws = self.draws + 1 if self.drawn_at == self.iterations else 0
        self.drawn_at = self.iterations
        return self.iterations + 1 + (self.draws << 32)

    def forward(self, x, num_threads=None, bint training=False):
        cdef Job job
        cdef ptrdiff_t n = len(x)
        cdef int threads = self.threads(n, 2, num_threads, x)
        cdef Memory memory
        self.take_x(&job.rows, x)
        job.rows.index = NULL
        self.forward_rows = -1
        self.refresh()
        memory = self.memory_for(max(n, 1), job.rows.begin != NULL)
        if memory.w.sparse and n > 0:
            memory.reserve(most_nonzeros(&job.rows, 0, n, n, n))
        out = np.empty((n, self.output_size), self.dtype)
        job.out = self.matrix(out, n, self.output_size, "out")
        job.plan, job.w, job.stop, job.out_cols = &self.plan, &memory.w, n, self.output_size
        job.iteration = self.forward_iteration = self.next_draw() if training else 0
        with nogil:
            run(forward_worker, &job, threads)
        self.forward_rows = n
        self.stale |= training
        return out

    def backward(self, dy, num_threads=None):
        cdef Job job
        cdef ptrdiff_t n = self.forward_rows
        cdef int threads
        cdef Memory memory
        if n < 0:
            raise RuntimeError("backward: call forward first")
        threads = self.threads(n, 6, num_threads)
        memory = <Memory>self.memory
        job.rows.y = self.matrix(dy, n, self.output_size, "dy")
        dx, job.out = None, NULL
        if not memory.w.sparse:
            dx = np.empty((n, self.input_size), self.dtype)
            job.out = self.matrix(dx, n, self.input_size, "dx")
        job.plan, job.w, job.stop = &self.plan, &memory.w, n
        job.iteration = self.forward_iteration
        if not memory.w.sparse:
            self.refresh_input_weights()
        with nogil:
            run(backward_worker, &job, threads)
        return dx

    cdef void refresh_input_weights(self) noexcept:
        """Training never reads the first weights transposed, and does not keep them up to date."""
        cdef Step *s
        cdef ptrdiff_t j
        if self.plan.first_trained < self.plan.n_steps:
            s = &self.plan.steps[self.plan.first_trained]
            for j in range(ceil_div(s.outputs, self.plan.k.panel) if s.kind == DENSE else 0):
                transpose_weights(&self.plan, s, j, 0, s.inputs)

    def apply_gradients(self, num_threads=None, double penalty_scale=1):
        cdef Job job
        cdef int threads = self.threads(UPDATE_ROWS, 6, num_threads)
        if self.plan.optim == NULL:
            raise RuntimeError("apply_gradients: compile with an optimizer first")
        job.plan, job.w, job.iteration = &self.plan, NULL, self.iterations
        job.rate, job.penalty_scale = self.plan.hyper.lr, penalty_scale
        job.start, job.stop, job.rows_in_all = 0, 1, 1
        held = self.sums_for(threads)
        with nogil:
            run(update_worker, &job, threads)
        self.iterations += 1
        self.stale = True


cdef const double *one_a_step(numbers, ptrdiff_t steps, str name) except? NULL:
    """Where they lie; NULL without any."""
    cdef const double[::1] view
    if numbers is None or steps == 0:
        return NULL
    view = numbers
    if view.shape[0] != steps:
        raise ValueError(f"{name}: expected {steps}, one a step, got {view.shape[0]}")
    return &view[0]


cdef int check_index(Job *job, ptrdiff_t n) except -1:
    """The rows that are about to be read exist."""
    cdef ptrdiff_t i
    for i in range(job.start, job.stop):
        if not 0 <= job.rows.index[i] < n:
            raise ValueError(f"index: {job.rows.index[i]} outside 0 .. {n - 1}")
    return 0


# What alpha dropout puts in place of a number: selu's limit
cdef double SELU_LOWEST = -1.7580993408473766


cdef void take_noise(const fnn_kernels *k, Step *s, name, double amount, seed) except *:
    """Kernels and numbers of a step: of a rate, or of gaussian_noise's standard deviation."""
    cdef fnn_noise_args *g = &s.noise_args
    cdef double kept = 1 - amount
    s.seed, g.rate = seed, amount
    if name == "dropout":
        s.noise = s.noise_grad = k.dropout
        g.scale = 1 / kept
    elif name == "alpha_dropout":   # mean 0 and variance 1 stay
        s.noise, s.noise_grad = k.alpha_dropout, k.dropout
        g.scale = (kept * (1 + amount * SELU_LOWEST * SELU_LOWEST)) ** -0.5
        g.shift = -g.scale * SELU_LOWEST * amount
        g.low = g.scale * SELU_LOWEST + g.shift
    elif name == "gaussian_noise":
        s.noise, g.scale = k.gaussian_noise, amount
    else:
        s.noise = s.noise_grad = k.gaussian_dropout
        g.scale = (amount / kept) ** 0.5


cdef void take_curve(const fnn_kernels *k, Step *s, name, numbers) except *:
    """Kernels and numbers of an activation that takes any."""
    s.of_input = name == "ramp"
    if name == "ramp" and len(numbers) == 3:
        s.curve, s.curve_grad = k.ramp, k.ramp_backward
    elif name == "exp_tail" and len(numbers) == 2:
        s.curve, s.curve_grad = k.exp_tail, k.exp_tail_backward
    else:
        raise ValueError(f"ops: unknown activation {name!r} of {len(numbers)} numbers")
    for i, number in enumerate(numbers):
        s.param[<int>i] = number


cdef Bound bound_of(constraint) except *:
    cdef Bound b
    b.kind, b.low, b.high, b.rate = UNBOUND, 0, 0, 0
    if constraint is None:
        return b
    if constraint == ("non_neg",):
        b.kind = NON_NEGATIVE
        return b
    name, b.low, b.high, b.rate = constraint
    if name != "norm":
        raise ValueError(f"constraint: unknown {constraint!r}")
    b.kind = OF_NORM
    return b


cdef fnn_hyper hyper_of(hyper) except *:
    cdef fnn_hyper h
    h.lr = hyper.get("learning_rate", 0.0)
    h.momentum = hyper.get("momentum", 0.0)
    h.nesterov = bool(hyper.get("nesterov", False))
    h.beta1 = hyper.get("beta_1", 0.0)
    h.beta2 = hyper.get("beta_2", hyper.get("rho", 0.0))
    h.part_m = h.part_g = 0     # hyper_at's
    h.l1 = h.l2 = h.factor = 0  # each tensor's
    h.penalty = NULL            # each unit's
    h.far = False               # each turn's
    h.clip = hyper.get("clipvalue") or 0.0
    h.decay = hyper.get("weight_decay") or 0.0
    h.centered = bool(hyper.get("centered", False))
    h.epsilon = hyper.get("epsilon", 0.0)
    return h


cdef fnn_loss loss_of(const fnn_kernels *k, name) except? NULL:
    if name is None:
        return NULL
    if name == "mse":
        return k.mse
    if name == "bce":
        return k.bce
    if name == "bce_logits":
        return k.bce_logits
    if name == "xent":
        return k.xent
    if name == "xent_logits":
        return k.xent_logits
    if name == "mae":
        return k.mae
    if name == "mape":
        return k.mape
    if name == "msle":
        return k.msle
    if name == "huber":
        return k.huber
    if name == "log_cosh":
        return k.log_cosh
    if name == "quantile":
        return k.quantile
    if name == "poisson":
        return k.poisson
    if name == "hinge":
        return k.hinge
    if name == "squared_hinge":
        return k.squared_hinge
    if name == "categorical_hinge":
        return k.categorical_hinge
    if name == "kld":
        return k.kld
    if name == "cosine":
        return k.cosine
    if name == "focal":
        return k.focal
    if name == "focal_logits":
        return k.focal_logits
    if name == "focal_xent":
        return k.focal_xent
    if name == "focal_xent_logits":
        return k.focal_xent_logits
    if name == "gaussian_nll":
        return k.gaussian_nll
    if name == "half_squared":
        return k.half_squared
    if name == "half_poisson_logits":
        return k.half_poisson_logits
    if name == "log_loss_logits":
        return k.log_loss_logits
    raise ValueError(f"loss: unknown {name!r}")


cdef fnn_optim optim_of(const fnn_kernels *k, name) except? NULL:
    if name is None:
        return NULL
    if name in ("sgd", "sum"):  # to sum up gradients is a step of SGD on the sums
        return k.sgd
    if name == "adam":
        return k.adam
    if name == "amsgrad":
        return k.amsgrad
    if name == "nadam":
        return k.nadam
    if name == "adamax":
        return k.adamax
    if name == "rmsprop":
        return k.rmsprop
    if name == "adagrad":
        return k.adagrad
    if name == "lion":
        return k.lion
    raise ValueError(f"optimizer: unknown {name!r}")


cdef Correction correction_of(name):
    corrections = {"adam": ADAM_CORRECTION, "amsgrad": ADAM_CORRECTION, "nadam": NADAM_CORRECTION,
                   "adamax": ADAMAX_CORRECTION}
    return corrections.get(name, NO_CORRECTION)


cdef int fill_measure(const fnn_kernels *k, name, numbers, Measure *measure) except -1:
    """A metric's kernel or a loss's, whose outputs are as many as its targets, with its numbers."""
    cdef int i
    if len(numbers) > FNN_LOSS_PARAMS or name == "gaussian_nll":
        raise ValueError(f"metrics: unknown {(name, *numbers)!r}")
    measure.metric = metric_of(k, name)
    if measure.metric == NULL:
        try:
            measure.loss = loss_of(k, name)
        except ValueError:
            raise ValueError(f"metrics: unknown {name!r}") from None
    for i, number in enumerate(numbers):
        measure.number[i] = number
    return 0


cdef fnn_metric metric_of(const fnn_kernels *k, name) except? NULL:
    """NULL: none is called so."""
    if name == "argmax_match":
        return k.argmax_match
    if name == "in_top_k":
        return k.in_top_k
    if name == "threshold_match":
        return k.threshold_match
    if name == "squared_error":
        return k.squared_error
    if name == "absolute_error":
        return k.absolute_error
    if name == "true_positive":
        return k.true_positive
    if name == "predicted_positive":
        return k.predicted_positive
    if name == "actual_positive":
        return k.actual_positive
    return NULL
