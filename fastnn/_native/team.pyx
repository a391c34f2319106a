"""Teams of OpenMP threads: the one place that starts them."""

from cython.parallel cimport parallel, threadid

from fastnn._native.core cimport fnn_begin_team, fnn_join_team, fnn_team_pays, fnn_team_size


cdef void run_team(Part part, void *what, int threads) noexcept nogil:
    cdef int core
    if threads == 1:
        part(what, 0, 1)
    else:
        core = fnn_begin_team()
        with parallel(num_threads=threads):
            fnn_join_team(core, threadid())
            part(what, threadid(), fnn_team_size())


cdef bint pays(double work) noexcept nogil:
    return fnn_team_pays(work)
