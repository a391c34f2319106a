"""The workers: SPMD, every thread of the team runs the same function and takes its share.

They share the job, whose barrier stands between the phases, and nothing else.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from fastnn._native.core cimport (
    ceil_div, flush_subnormals, fnn_barrier, fnn_barrier_wait, fnn_now, fnn_share, fnn_share_anew,
    fnn_take, maybe_delay, restore_fp, round_up,
)
from fastnn._native.bounds cimport hold_in_bounds
from fastnn._native.copies cimport (
    backward_half, fetch_rows, fetch_weights, forward_half, send_rows, send_sums, send_weights, take_sums,
)
from fastnn._native.features cimport couple
from fastnn._native.inputs cimport sort_nonzeros
from fastnn._native.lookups cimport sort_lookups
from fastnn._native.phases cimport (
    DENSE, GIVEN, READY, ROW_BLOCK, SPLIT_BYTES, TO_COMPUTE, Gradients, Plan, Turn, Workspace, add_rows, backward,
    clips_by_norm, forward, gather_inputs, gather_targets, gradient_rows, losses,
    Step, Sums, penalty, ready_gradients, ready_rows, rows_of, share_product, sums_of, through_activation, turn_at,
    weight_factor, weights_phase,
)
from fastnn._native.team cimport Part, run_team


# A thread's part of what is shared within a phase, and its seconds at barriers there, where these are measured.
ctypedef struct Share:
    double begin, end
    bint measures
    double waited


cdef double equal(int tid, int size) noexcept nogil:
    """Where the part of thread tid of the team begins, when all parts are equal."""
    return tid / <double>size


cdef void equal_rows(ptrdiff_t rows, int tid, int size, ptrdiff_t *r0,
                     ptrdiff_t *r1) noexcept nogil:
    """The rows of thread tid when all parts are equal."""
    rows_of(rows, equal(tid, size), equal(tid + 1, size), r0, r1)


cdef double begin_of(fnn_share *shares, int tid, int size) noexcept nogil:
    """Where the part of thread tid begins, and that of the one before it ends."""
    if shares == NULL:
        return equal(tid, size)
    return shares[tid - 1].end if tid > 0 else 0


cdef Share share_of(fnn_share *shares, bint measures, int tid, int size) noexcept nogil:
    cdef Share share
    share.begin, share.end = begin_of(shares, tid, size), begin_of(shares, tid + 1, size)
    share.measures, share.waited = measures, 0
    return share


cdef int last_step(Job *job) noexcept nogil:
    """What forward goes on to before losses and metrics, and before outputs where they are wanted."""
    return job.plan.n_steps if job.out != NULL else max(job.plan.loss_step, job.plan.metric_step)


cdef void keep_outputs(Job *job, char **x, ptrdiff_t at, ptrdiff_t r0, ptrdiff_t r1) noexcept nogil:
    """The outputs of rows r0 .. r1 of the batch at position `at`, where they are wanted."""
    cdef Plan *p = job.plan
    cdef ptrdiff_t itemsize = p.k.itemsize, cols = job.out_cols
    if job.out != NULL:
        p.k.unpack(r1 - r0, cols, x[p.n_steps] + r0 * p.k.panel * itemsize, cols, job.w.panel,
                   job.out + (at + r0) * cols * itemsize)


cdef void meet(Job *job, Share *share, int tid, int size) noexcept nogil:
    """The others of the team, within a phase."""
    if share != NULL and share.measures:
        share.waited -= fnn_now()
    fnn_barrier_wait(job.barrier, size)
    if share != NULL and share.measures:
        share.waited += fnn_now()
    maybe_delay(tid)


cdef bint shares_product(Job *job, int l, ptrdiff_t rows, bint back, const Share *share,
                         int size) noexcept nogil:
    """Whether the team shares the columns of what a split step makes of so many rows, or on the way back.

    Of its input and its outputs each thread then reads what others wrote, instead of the kernel, whose
    size pays for the barriers; there is a panel for each thread."""
    cdef Step *s = &job.plan.steps[l]
    cdef ptrdiff_t kernel = s.inputs * s.outputs, panel = job.plan.k.panel
    return (share != NULL and size > 1 and not (l == 0 and job.w.sparse)
            and rows * (s.inputs + s.outputs) < 4 * kernel
            and 2 * kernel * job.plan.k.itemsize >= size * SPLIT_BYTES
            and ceil_div(s.inputs if back else s.outputs, panel) >= size)


cdef int forward_with_others(Job *job, ptrdiff_t at, ptrdiff_t rows, ptrdiff_t r0, ptrdiff_t r1,
                             int64_t iteration, Share *share, int tid, int size) noexcept nogil:
    """Rows r0 .. r1 up to the last step where threads meet, with barriers around what they do there for all
    rows: with dense steps' outputs the share, unless that is NULL.

    Returns the step from which rows go on on their own; -1: nothing is done."""
    cdef Plan *p = job.plan
    cdef int i, l, start = -1
    cdef ptrdiff_t r, stop
    cdef bint splits
    for i in range(p.n_meetings if iteration > 0 else 0):
        l = p.meetings[i]
        splits = p.steps[l].kind == DENSE
        if splits and not shares_product(job, l, rows, False, share, size):
            continue
        r = r0
        while r < r1:
            stop = min(r + ROW_BLOCK, r1)
            if start < 0:
                gather_inputs(p, job.w, &job.rows, at, r, stop)
            forward(p, job.w, r, stop, max(start, 0), l, True, iteration)
            if splits:
                ready_rows(p, job.w, r, stop, l, job.w.x, True)
            r = stop
        meet(job, share, tid, size)
        if splits:
            share_product(p, job.w, rows, l, share.begin, share.end, size, False, iteration)
        else:
            couple(p, job.w, rows, l, False, False, tid, size)
        meet(job, share, tid, size)
        start = l + 1 if splits else l
    return start


cdef int meeting_before(Job *job, int i, ptrdiff_t rows, int stop, const Share *share, int size) noexcept nogil:
    """The last meeting before i on the way back to `stop`, which leaves out products that nobody asks for; -1:
    none."""
    cdef Plan *p = job.plan
    cdef int l
    for i in range(i - 1, -1, -1):
        l = p.meetings[i]
        if p.steps[l].kind != DENSE or (l >= stop and shares_product(job, l, rows, True, share, size)):
            return i
    return -1


cdef void backward_alone(Job *job, ptrdiff_t r0, ptrdiff_t r1, int start, int meeting, int stop,
                         int64_t iteration) noexcept nogil:
    """Rows r0 .. r1 down to the meeting, or to `stop` where that is earlier."""
    cdef Plan *p = job.plan
    cdef int low = p.meetings[meeting] + 1 if meeting >= 0 else 0
    backward(p, job.w, r0, r1, start, max(low, stop), iteration)
    if stop > low:
        first_rows(p, job.w, r0, r1, stop)
    elif meeting >= 0 and p.steps[low - 1].kind == DENSE:
        ready_gradients(p, job.w, r0, r1, low - 1)


cdef void backward_with_others(Job *job, ptrdiff_t rows, ptrdiff_t r0, ptrdiff_t r1, int64_t iteration,
                               int stop, int meeting, Share *share, int tid, int size) noexcept nogil:
    """Rows r0 .. r1 from the meeting on down to `stop`."""
    cdef Plan *p = job.plan
    cdef int l, start
    cdef ptrdiff_t r, end
    cdef bint splits
    while meeting >= 0 and p.meetings[meeting] >= stop - 1:     # else nobody asks for its gradients
        l = p.meetings[meeting]
        splits = p.steps[l].kind == DENSE
        meet(job, share, tid, size)
        if splits:
            share_product(p, job.w, rows, l, share.begin, share.end, size, True, iteration)
        else:
            couple(p, job.w, rows, l, True, iteration == 0, tid, size)
        meet(job, share, tid, size)
        start = l if splits else l + 1
        meeting = meeting_before(job, meeting, rows, stop, share, size)
        r = r0
        while r < r1:
            end = min(r + ROW_BLOCK, r1)
            backward_alone(job, r, end, start, meeting, stop, iteration)
            r = end


cdef void first_rows(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int stop) noexcept nogil:
    """Where backward stops at a step, what the weights before that read of its rows."""
    if stop > 0 and stop - 1 < p.n_steps:
        gradient_rows(p, w, r0, r1, stop - 1)


cdef void rows_phase(Job *job, ptrdiff_t at, ptrdiff_t rows, ptrdiff_t r0, ptrdiff_t r1,
                     int64_t iteration, Share *share, int tid, int size) noexcept nogil:
    """Phase 1 on rows r0 .. r1 of the batch of `rows` rows that begins at position `at`."""
    cdef Plan *p = job.plan
    cdef ptrdiff_t r = r0, end
    cdef double factor = weight_factor(p, &job.rows, at, rows)
    cdef int start = forward_with_others(job, at, rows, r0, r1, iteration, share, tid, size)
    cdef int stop = p.first_trained + 1
    cdef int meeting = meeting_before(job, p.n_meetings, rows, stop, share, size)
    while r < r1:
        end = min(r + ROW_BLOCK, r1)
        if start < 0:
            gather_inputs(p, job.w, &job.rows, at, r, end)
        gather_targets(p, job.w, &job.rows, at, r, end, factor)
        forward(p, job.w, r, end, max(start, 0), last_step(job), True, iteration)
        losses(p, job.w, &job.rows, r, end, 1.0 / rows, True)
        keep_outputs(job, job.w.x, at, r, end)
        backward_alone(job, r, end, p.loss_step, meeting, stop, iteration)
        r = end
    backward_with_others(job, rows, r0, r1, iteration, stop, meeting, share, tid, size)


cdef void keep_time(fnn_share *share, double part, double began) noexcept nogil:
    if part > 0:  # a thread without work learns nothing
        share.part, share.seconds = part, fnn_now() - began


cdef void share_lookups(Job *job, ptrdiff_t rows, int tid, int size) noexcept nogil:
    """Once all rows are there: what the gradients of tables go by."""
    if job.plan.n_tables > 0:
        sort_lookups(job.plan, job.w, rows, tid, size)
        fnn_barrier_wait(job.barrier, size)


cdef inline Sums *own_sums(Plan *p, int place) noexcept nogil:
    return sums_of(p, place) if p.sums != NULL else NULL


cdef void pass_of_half(Job *job, ptrdiff_t rows, Turn *turn, bint updates, Gradients gradients, bint keeps,
                       bint norms, int tid) noexcept nogil:
    """weights_phase of a thread's half, and of all that is not halved. Both threads sum up the latter, and what the
    second one has counts."""
    cdef Plan *p = job.plan
    turn.own = own_sums(p, tid)
    if tid == 1:
        weights_phase(p, job.w, rows, turn, updates, gradients, keeps, norms, p.n_halved[0], p.n_units, 0, 1)
        return
    weights_phase(p, job.w, rows, turn, updates, gradients, keeps, norms, 0, p.n_halved[0], 0, 1)
    turn.own = own_sums(p, 2)
    weights_phase(p, job.w, rows, turn, updates, gradients, keeps, norms, p.n_halved[1], p.n_units, 0, 1)


cdef void update_units(Job *job, ptrdiff_t rows, Turn *turn, Gradients gradients, bint keeps, int first,
                       int stop) noexcept nogil:
    """The update of some units, which sums nothing up."""
    weights_phase(job.plan, job.w, rows, turn, True, gradients, keeps, False, first, stop, 0, 1)


cdef double pass_of_units(Job *job, ptrdiff_t rows, Turn *turn, bint updates, Gradients gradients, bint keeps,
                          bint norms, const Share *share, int tid) noexcept nogil:
    """weights_phase of a share of all units."""
    cdef Plan *p = job.plan
    turn.own = own_sums(p, tid)
    return weights_phase(p, job.w, rows, turn, updates, gradients, keeps, norms, 0, p.n_units, share.begin,
                         share.end)


cdef void begin_turn(Plan *p, Turn *turn, int size) noexcept nogil:
    """What a team sums up in phase 2, and when."""
    turn.team = size
    turn.clips = clips_by_norm(p) and turn.updates
    turn.sums_penalties = p.penalised and turn.updates and not turn.clips


cdef double change_weights(Job *job, ptrdiff_t rows, Turn *turn, Gradients gradients, bint keeps,
                           Share *share, int tid, int size) noexcept nogil:
    """Phase 2 of a share of the units, in two passes where the update waits for norms."""
    begin_turn(job.plan, turn, size)
    if turn.clips:
        pass_of_units(job, rows, turn, False, gradients, True, True, share, tid)
        meet(job, share, tid, size)
        gradients = READY
    return pass_of_units(job, rows, turn, True, gradients, keeps, job.plan.penalised and not turn.updates, share,
                         tid)


cdef ptrdiff_t step_at(const Job *job, ptrdiff_t at) noexcept nogil:
    return at // job.epoch * ceil_div(job.epoch, job.batch) + at % job.epoch // job.batch


cdef ptrdiff_t after_steps(const Job *job, ptrdiff_t steps) noexcept nogil:
    cdef ptrdiff_t of_epoch = ceil_div(job.epoch, job.batch)
    steps += step_at(job, job.start)
    return steps // of_epoch * job.epoch + steps % of_epoch * job.batch


cdef ptrdiff_t batch_at(const Job *job, ptrdiff_t at) noexcept nogil:
    return min(job.batch, job.stop - at, job.epoch - at % job.epoch)


cdef double of_step(const double *numbers, Job *job, ptrdiff_t at, double usual) noexcept nogil:
    """The number of the step at position `at`, where each has its own."""
    return usual if numbers == NULL else numbers[step_at(job, at)]


cdef void after_update(Job *job, int tid, int size) noexcept nogil:
    """Once all units have had their update: what holds weights in bounds."""
    if job.plan.bound:
        fnn_barrier_wait(job.barrier, size)
        hold_in_bounds(job.plan, tid, size)


cdef Turn turn_of(Job *job, ptrdiff_t at, ptrdiff_t rows, int64_t iteration) noexcept nogil:
    """What the step at position `at` does."""
    return turn_at(job.plan, iteration, of_step(job.rates, job, at, job.plan.hyper.lr),
                   of_step(job.penalty_scales, job, at, 1), rows / <double>job.rows_in_all)


cdef double *sums_at(const Job *job, ptrdiff_t at) noexcept nogil:
    return job.sums + at // job.epoch * (1 + job.plan.n_metrics)


cdef void rows_to_sums(Job *job, ptrdiff_t at, ptrdiff_t rows, int64_t iteration, int tid) noexcept nogil:
    """Phase 1 of a thread that has half of a network and all rows, up to where it needs the other's half."""
    cdef ptrdiff_t r = 0, end
    while r < rows:
        end = min(r + ROW_BLOCK, rows)
        gather_inputs(job.plan, job.w, &job.rows, at, r, end)
        forward_half(job.copies, job.plan, job.w, r, end, iteration, tid)
        r = end
    send_sums(job.copies, job.plan, job.w, rows, iteration, tid)


cdef void rows_from_sums(Job *job, ptrdiff_t at, ptrdiff_t rows, int64_t iteration, int tid) noexcept nogil:
    """And from there to the end."""
    cdef Plan *p = job.plan
    cdef Workspace *w = job.w
    cdef ptrdiff_t r = 0, end
    cdef double factor = weight_factor(p, &job.rows, at, rows)
    take_sums(job.copies, p, w, rows, iteration, tid)
    while r < rows:
        end = min(r + ROW_BLOCK, rows)
        gather_targets(p, w, &job.rows, at, r, end, factor)
        forward(p, w, r, end, p.fan_in + 1, last_step(job), True, iteration)
        losses(p, w, &job.rows, r, end, 1.0 / rows, True)
        if tid == 0:
            keep_outputs(job, w.x, at, r, end)
        backward(p, w, r, end, p.loss_step, p.fan_in + 1, iteration)
        backward_half(p, w, r, end, iteration, tid)
        r = end


cdef void train_halves(Job *job, int tid) noexcept nogil:
    """All batches from start to stop on two threads, of which each has half of the network: they meet once a step,
    in the middle of phase 1, and again where norms or penalties are summed up. Of the post boxes there are two,
    since one thread may write the next step's sums while the other still reads.

    What is not halved has its update when the next step's sums are on their way, unless that sums up penalties:
    it is not needed before, and takes as long as they do."""
    cdef Plan *p = job.plan
    cdef uint64_t fp = flush_subnormals()
    cdef ptrdiff_t at = job.start, rows = 0, before
    cdef int64_t iteration = job.iteration
    cdef int first = 0 if tid == 0 else p.n_halved[0], half = p.n_halved[tid], rest = p.n_halved[1]
    cdef Gradients gradients
    cdef bint late = False, last
    cdef Turn turn
    while at < job.stop:
        before, rows = rows, batch_at(job, at)
        last = at + rows == job.stop
        iteration += 1
        maybe_delay(tid)
        rows_to_sums(job, at, rows, iteration, tid)
        if late:
            update_units(job, before, &turn, gradients, False, rest, p.n_units)
        meet(job, NULL, tid, 2)
        rows_from_sums(job, at, rows, iteration, tid)
        if tid == 0:
            add_rows(p, job.w, rows, sums_at(job, at))
        turn = turn_of(job, at, rows, iteration)
        gradients = TO_COMPUTE
        begin_turn(p, &turn, 2)
        if turn.clips:
            pass_of_half(job, rows, &turn, False, gradients, True, True, tid)
            meet(job, NULL, tid, 2)
            gradients = READY
        late = turn.clips or not p.penalised
        if late:
            update_units(job, rows, &turn, gradients, last, first, half)
        else:
            pass_of_half(job, rows, &turn, True, gradients, last, not turn.updates, tid)
            fnn_barrier_wait(job.barrier, 2)
        if p.penalised and tid == 0:
            sums_at(job, at)[0] += rows * penalty(p, 2)
        at += rows
    if late:
        update_units(job, rows, &turn, gradients, True, rest, p.n_units)
    restore_fp(fp)


cdef void train_worker(void *what, int tid, int size) noexcept nogil:
    """All batches from start to stop: phase 1, barrier, phase 2, barrier.

    Between the barriers thread 0 divides anew what no one reads there: the rows in phase 2, the
    units in phase 1."""
    cdef Job own = (<Job *>what)[0]
    cdef Job *job = &own
    cdef Copies *copies = own.copies if size == 2 else NULL
    if copies != NULL and tid == 1:
        own.plan, own.w, copies.ran = &copies.plan, copies.w, True
    if copies != NULL and copies.halved:
        train_halves(job, tid)
        return
    cdef Plan *p = job.plan
    cdef uint64_t fp = flush_subnormals()
    cdef ptrdiff_t at = job.start, rows, r0, r1, other0 = 0, other1 = 0
    cdef int64_t iteration = job.iteration
    cdef Turn turn
    # The team may be smaller than was asked for.
    cdef bint shared = size > 1 and size == job.team, measures = False, measures_rows
    cdef fnn_share *of_rows = job.shares if shared else NULL
    cdef fnn_share *of_units = job.shares + size if shared else NULL
    cdef double now = 0, part
    cdef Share share, other
    cdef double *sums
    while at < job.stop:
        rows = batch_at(job, at)
        sums = sums_at(job, at)
        iteration += 1
        if measures and tid == 0:
            fnn_share_anew(of_units, size)
        measures = shared and iteration % job.measure_every == 0
        measures_rows = measures and p.n_couplings == 0     # else it would be the wait for others
        if measures:
            now = fnn_now()
        maybe_delay(tid)
        share = share_of(of_rows, measures_rows, tid, size)
        rows_of(rows, share.begin, share.end, &r0, &r1)
        if job.w.sparse and tid == 0:
            sort_nonzeros(p, job.w, &job.rows, at, rows)
        # Those who have all weights share no products.
        rows_phase(job, at, rows, r0, r1, iteration, &share if copies == NULL else NULL, tid, size)
        if copies != NULL:
            other = share_of(of_rows, False, 1 - tid, size)
            rows_of(rows, other.begin, other.end, &other0, &other1)
            send_rows(copies, p, job.w, r0, r1, tid)
        if measures_rows:
            keep_time(&of_rows[tid], (r1 - r0) / <double>rows, now + share.waited)
        fnn_barrier_wait(job.barrier, size)
        share_lookups(job, rows, tid, size)
        if measures:
            if measures_rows and tid == 0:
                fnn_share_anew(of_rows, size)
            now = fnn_now()
        maybe_delay(tid)
        if tid == 0:
            add_rows(p, job.w, rows, sums)
        turn = turn_of(job, at, rows, iteration)
        share = share_of(of_units, measures, tid, size)
        if copies != NULL:
            other = share_of(of_units, False, 1 - tid, size)
            fetch_rows(copies, p, job.w, &job.rows, at, other0, other1, share.begin, share.end, tid)
        # Of the last step the gradients stay, to be looked at.
        part = change_weights(job, rows, &turn, TO_COMPUTE, at + rows == job.stop, &share, tid, size)
        if copies != NULL:
            send_weights(copies, p, job.w, share.begin, share.end, tid)
        if measures:
            keep_time(&of_units[tid], part, now + share.waited)
        after_update(job, tid, size)
        fnn_barrier_wait(job.barrier, size)
        if copies != NULL:
            fetch_weights(copies, p, job.w, other.begin, other.end, tid)
        if p.penalised and tid == 0:    # of the weights before the step, on each of its rows
            sums[0] += rows * penalty(p, size)
        at += rows
    if measures and tid == 0:
        fnn_share_anew(of_units, size)
    restore_fp(fp)


cdef void rows_worker(void *what, int tid, int size) noexcept nogil:
    """A part of phase 1 of one step: rows part0 .. part1 of the batch."""
    cdef Job *job = <Job *>what
    cdef uint64_t fp = flush_subnormals()
    cdef ptrdiff_t r0, r1
    maybe_delay(tid)
    if job.w.sparse and tid == 0 and job.part0 == 0:
        sort_nonzeros(job.plan, job.w, &job.rows, job.start, job.stop - job.start)
    equal_rows(job.part1 - job.part0, tid, size, &r0, &r1)
    rows_phase(job, job.start, job.stop - job.start, job.part0 + r0, job.part0 + r1,
               job.iteration + 1, NULL, tid, size)
    restore_fp(fp)


cdef void gradient_worker(void *what, int tid, int size) noexcept nogil:
    """A part of phase 2 of one step, without the update: units part0 .. part1."""
    cdef Job *job = <Job *>what
    cdef uint64_t fp = flush_subnormals()
    maybe_delay(tid)
    if job.part0 == 0:
        share_lookups(job, job.stop - job.start, tid, size)
    weights_phase(job.plan, job.w, job.stop - job.start, NULL, False, TO_COMPUTE, True, False, job.part0,
                  job.part1, equal(tid, size), equal(tid + 1, size))
    restore_fp(fp)


cdef void evaluate_worker(void *what, int tid, int size) noexcept nogil:
    """Losses and metrics of all batches from start to stop."""
    cdef Job *job = <Job *>what
    cdef Plan *p = job.plan
    cdef ptrdiff_t at = job.start, rows, r0, r1, r, end
    while at < job.stop:
        rows = min(job.batch, job.stop - at)
        maybe_delay(tid)
        equal_rows(rows, tid, size, &r0, &r1)
        r = r0
        while r < r1:
            end = min(r + ROW_BLOCK, r1)
            gather_inputs(p, job.w, &job.rows, at, r, end)
            gather_targets(p, job.w, &job.rows, at, r, end, job.factor)
            forward(p, job.w, r, end, 0, last_step(job), False, 0)
            losses(p, job.w, &job.rows, r, end, 1.0, False)
            keep_outputs(job, job.w.x_calm, at, r, end)
            r = end
        fnn_barrier_wait(job.barrier, size)
        maybe_delay(tid)
        if tid == 0:
            add_rows(p, job.w, rows, job.sums)
        fnn_barrier_wait(job.barrier, size)
        at += rows


cdef void predict_worker(void *what, int tid, int size) noexcept nogil:
    """out rows start .. stop, block by block, each to the thread that comes for it.

    Thread tid owns the workspace rows from tid * ROW_BLOCK on (all rows, where it is alone)."""
    cdef Job *job = <Job *>what
    cdef Plan *p = job.plan
    cdef ptrdiff_t rows = job.stop - job.start, r, end, first = tid * ROW_BLOCK
    cdef ptrdiff_t block = ceil_div(rows, round_up(ceil_div(rows, ROW_BLOCK), size))
    cdef ptrdiff_t itemsize = p.k.itemsize, cols = job.out_cols
    r = fnn_take(&job.blocks) * block
    while r < rows:
        end = min(r + block, rows)
        # The block lies at row `first` of the workspace: shift the rows read to match.
        gather_inputs(p, job.w, &job.rows, job.start + r - first, first, first + end - r)
        forward(p, job.w, first, first + end - r, 0, p.n_steps, False, 0)
        p.k.unpack(end - r, cols, job.w.x_calm[p.n_steps] + first * p.k.panel * itemsize, cols,
                   job.w.panel, job.out + (job.start + r) * cols * itemsize)
        r = fnn_take(&job.blocks) * block


cdef void forward_worker(void *what, int tid, int size) noexcept nogil:
    """out of all rows of one batch, the activations kept."""
    cdef Job *job = <Job *>what
    cdef Plan *p = job.plan
    cdef ptrdiff_t r0, r1, r, end, itemsize = p.k.itemsize, cols = job.out_cols
    cdef int start
    maybe_delay(tid)
    if job.w.sparse and tid == 0:
        sort_nonzeros(p, job.w, &job.rows, 0, job.stop)
    equal_rows(job.stop, tid, size, &r0, &r1)
    start = forward_with_others(job, 0, job.stop, r0, r1, job.iteration, NULL, tid, size)
    r = r0
    while r < r1:
        end = min(r + ROW_BLOCK, r1)
        if start < 0:
            gather_inputs(p, job.w, &job.rows, 0, r, end)
        forward(p, job.w, r, end, max(start, 0), p.n_steps, True, job.iteration)
        p.k.unpack(end - r, cols, job.w.x[p.n_steps] + r * p.k.panel * itemsize, cols, job.w.panel,
                   job.out + r * cols * itemsize)
        r = end


cdef void backward_worker(void *what, int tid, int size) noexcept nogil:
    """Gradients of the weights, and of the input to out, unless it is sparse, from the output's in
    rows.y."""
    cdef Job *job = <Job *>what
    cdef Plan *p = job.plan
    cdef Workspace *w = job.w
    cdef ptrdiff_t r0, r1, r, end, itemsize = p.k.itemsize, P = p.k.panel
    cdef ptrdiff_t n_out = p.steps[p.n_steps - 1].outputs, n_in = p.steps[0].inputs
    cdef int stop = 1 if w.sparse else 0, meeting = meeting_before(job, p.n_meetings, 0, stop, NULL, size)
    maybe_delay(tid)
    equal_rows(job.stop, tid, size, &r0, &r1)
    r = r0
    while r < r1:
        end = min(r + ROW_BLOCK, r1)
        p.k.pack(end - r, n_out, job.rows.y + r * n_out * itemsize, n_out, w.panel,
                 w.d[p.n_steps] + r * P * itemsize)
        through_activation(p, w, r, end, p.n_steps, w.d[p.n_steps])
        backward_alone(job, r, end, p.n_steps, meeting, stop, job.iteration)
        r = end
    backward_with_others(job, job.stop, r0, r1, job.iteration, stop, meeting, NULL, tid, size)
    if not w.sparse:
        p.k.unpack(r1 - r0, n_in, w.d[0] + r0 * P * itemsize, n_in, w.panel,
                   job.out + r0 * n_in * itemsize)
    fnn_barrier_wait(job.barrier, size)
    share_lookups(job, job.stop, tid, size)
    maybe_delay(tid)
    weights_phase(p, w, job.stop, NULL, False, TO_COMPUTE, True, False, 0, p.n_units, equal(tid, size),
                  equal(tid + 1, size))


cdef void update_worker(void *what, int tid, int size) noexcept nogil:
    """One optimizer step from the gradients there are."""
    cdef Job *job = <Job *>what
    cdef Turn turn = turn_at(job.plan, job.iteration + 1, job.rate, job.penalty_scale,
                             (job.stop - job.start) / <double>job.rows_in_all)
    cdef uint64_t fp = flush_subnormals()
    cdef Plan *p = job.plan
    cdef Share share = share_of(NULL, False, tid, size)
    maybe_delay(tid)
    change_weights(job, 0, &turn, GIVEN, True, &share, tid, size)
    after_update(job, tid, size)
    restore_fp(fp)


cdef void run(Part worker, Job *job, int threads) noexcept nogil:
    """The worker on a team of threads; alone, without OpenMP."""
    cdef fnn_barrier barrier
    memset(&barrier, 0, sizeof(barrier))
    job.barrier = &barrier
    memset(&job.blocks, 0, sizeof(job.blocks))
    run_team(worker, job, threads)
