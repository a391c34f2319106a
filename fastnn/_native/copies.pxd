"""A small network for each thread of a team of two, whole or with half of its weights, and what goes between them.

A line of memory that two caches hold takes its writer 19 ns, or 70 where the cores share no L3; one that the
other cache alone holds, and has written to, takes 2. So threads do not read what others write to again: each
has all weights and all rows of its own, and copies what the other made out of a post box. Whoever takes a line
from there writes to it, which hands it over.

Whole networks share rows out, then units. Where two steps can be halved (Plan.fan_out), neither is: a thread
has half of these steps and all that come after, and only the halves of fan_in's sums go to and fro.
"""

from libc.stdint cimport int64_t

from fastnn._native.phases cimport Plan, Rows, Workspace

# More steps or wider ones are no small network.
cdef enum:
    COPIED_STEPS = 32
    COPIED_PANELS = 64

ctypedef struct Copies:
    Plan plan               # the second thread's, with weights and transposed ones of its own
    Workspace *w            # likewise; losses and metrics are the first one's, unless it is halved
    bint halved
    bint ran                # a team of two has changed weights since `Twin.begin`
    char *own_sums[2]       # of each thread, its halves of fan_in's sums,
    char *sums_post[2][2]   # and what the other one takes of them, by turns
    char *arenas[2]         # where the threads' workspaces and weights begin, laid out alike,
    char *weights[2]
    char *rows_post         # and what the post boxes have of those
    char *weights_post

cdef void send_rows(Copies *c, Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int tid) noexcept nogil
# What the part begin .. end of the units reads of rows r0 .. r1, the other thread's, of the batch at `at`.
cdef void fetch_rows(Copies *c, Plan *p, Workspace *w, Rows *b, ptrdiff_t at, ptrdiff_t r0, ptrdiff_t r1,
                     double begin, double end, int tid) noexcept nogil
# The weights of the part begin .. end, the thread's own, or the other's.
cdef void send_weights(Copies *c, Plan *p, Workspace *w, double begin, double end, int tid) noexcept nogil
cdef void fetch_weights(Copies *c, Plan *p, Workspace *w, double begin, double end, int tid) noexcept nogil

# Halved networks: rows r0 .. r1 of the thread's half up to fan_in's sums, and, on the way back, from their gradient.
cdef void forward_half(Copies *c, Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int64_t iteration,
                       int tid) noexcept nogil
cdef void backward_half(Plan *p, Workspace *w, ptrdiff_t r0, ptrdiff_t r1, int64_t iteration, int tid) noexcept nogil
# The sums of all rows: the thread's to the post box, and the other's from there, which makes them whole.
cdef void send_sums(Copies *c, Plan *p, Workspace *w, ptrdiff_t rows, int64_t iteration, int tid) noexcept nogil
cdef void take_sums(Copies *c, Plan *p, Workspace *w, ptrdiff_t rows, int64_t iteration, int tid) noexcept nogil
