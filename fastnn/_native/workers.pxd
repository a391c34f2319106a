"""What one thread of a team does: a function for each thing that a network can be asked for."""

from libc.stdint cimport int64_t

from fastnn._native.copies cimport Copies
from fastnn._native.core cimport fnn_barrier, fnn_counter, fnn_share
from fastnn._native.phases cimport Plan, Rows, Workspace
from fastnn._native.team cimport Part

ctypedef struct Job:
    Plan *plan
    Workspace *w
    Rows rows
    ptrdiff_t start, stop, batch    # positions in rows.index
    ptrdiff_t epoch                 # train: positions of each epoch, whose last batch may be shorter
    ptrdiff_t rows_in_all           # of one pass
    int64_t iteration
    const double *rates             # learning rates of the steps from position 0 on; NULL: hyper's
    const double *penalty_scales    # of the steps, likewise; NULL: 1
    double rate, penalty_scale      # of one step that is run in parts
    double *sums                    # train: of the first epoch, before those of the others
    double factor                   # evaluate: weight_factor of all rows
    char *out                       # predict; train and evaluate: NULL, or takes each position's outputs
    ptrdiff_t out_cols
    bint input_gradient             # backward
    ptrdiff_t part0, part1          # of a step that is run in parts: its rows or units
    fnn_barrier *barrier
    fnn_counter blocks              # of rows, that threads take as they get to them
    # What each of `team` threads takes in training: of the rows and, after those, of the units.
    fnn_share *shares
    int team
    int measure_every       # steps
    Copies *copies          # train, of a team of two: NULL, or what each thread has of its own

# Workers, whose first argument is a Job.
cdef void train_worker(void *job, int tid, int size) noexcept nogil
cdef void rows_worker(void *job, int tid, int size) noexcept nogil
cdef void gradient_worker(void *job, int tid, int size) noexcept nogil
cdef void evaluate_worker(void *job, int tid, int size) noexcept nogil
cdef void predict_worker(void *job, int tid, int size) noexcept nogil
cdef void forward_worker(void *job, int tid, int size) noexcept nogil
cdef void backward_worker(void *job, int tid, int size) noexcept nogil
cdef void update_worker(void *job, int tid, int size) noexcept nogil
# How many steps there are before position `at`.
cdef ptrdiff_t step_at(const Job *job, ptrdiff_t at) noexcept nogil
# The position after so many steps from job.start on.
cdef ptrdiff_t after_steps(const Job *job, ptrdiff_t steps) noexcept nogil
# The rows of the batch that begins at position `at`.
cdef ptrdiff_t batch_at(const Job *job, ptrdiff_t at) noexcept nogil
cdef double of_step(const double *numbers, Job *job, ptrdiff_t at, double usual) noexcept nogil
cdef void run(Part worker, Job *job, int threads) noexcept nogil
