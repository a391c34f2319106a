"""Teams of OpenMP threads: the one place that starts them."""

# What thread `tid` of `size` does.
ctypedef void (*Part)(void *what, int tid, int size) noexcept nogil

# Runs part(what, tid, size) on a team of `threads` threads, or of fewer where OpenMP gives fewer.
cdef void run_team(Part part, void *what, int threads) noexcept nogil

# Whether a team pays for work that is `work` times the least that one of its threads pays for.
cdef bint pays(double work) noexcept nogil
