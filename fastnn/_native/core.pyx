"""The ISA in use and the number of threads: what every compiled module asks before it works."""

import os

import numpy as np

from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdlib cimport free

cdef extern from "fnn.h" nogil:
    ctypedef int fnn_isa "enum fnn_isa"
    ctypedef int fnn_dtype "enum fnn_dtype"
    const fnn_kernels *fnn_get_kernels(fnn_isa isa, fnn_dtype dtype)
    fnn_isa fnn_best_isa()
    const char *fnn_isa_name(fnn_isa isa)
    uint64_t fnn_flush_subnormals()
    void fnn_restore_fp(uint64_t state)

# OpenMP ends the process where it cannot have the threads that it is asked for.
cdef enum:
    MOST_THREADS = 256

cdef const fnn_kernels *in_use[FNN_DTYPES]
cdef str isa_in_use
cdef int chosen_threads = 0     # 0: not set by the user
cdef int cpu_limit = 1          # of the affinity mask and the cgroup's quota
cdef int trainings = 0          # under way, which share the threads
cdef bint forked = False
cdef int delayed_thread = -1    # see set_test_delay
cdef long delay_us = 0


def available_isas():
    """Names of the instruction sets that this build holds and this CPU runs, worst first.

    Returns
    -------
    list of str
    """
    return [fnn_isa_name(<fnn_isa>isa).decode() for isa in range(FNN_ISAS)
            if fnn_get_kernels(<fnn_isa>isa, <fnn_dtype>FNN_FLOAT32) != NULL]


def isa():
    """Name of the instruction set in use."""
    return isa_in_use


def openmp():
    """Whether the package was built with OpenMP."""
    return bool(fnn_has_openmp())


def set_num_threads(n):
    """Use n threads from now on, 256 at most; the caller has checked that n >= 1."""
    global chosen_threads
    chosen_threads = min(n, MOST_THREADS)


def get_num_threads():
    """Threads that work is divided among."""
    return usual_threads()


cdef class Training:
    """`with Training():` around one; those under way at a time, in several threads, share the cores.

    Compiled code, so that Ctrl-C comes before or after it."""

    def __enter__(self):
        global trainings
        trainings += 1

    def __exit__(self, kind, error, traceback):
        global trainings
        trainings -= 1


cdef int usual_threads() noexcept:
    """Where the caller has no wish and nothing else is going on."""
    cdef int most = 1 if forked or not fnn_has_openmp() else MOST_THREADS
    return min(most, chosen_threads or max(1, min(fnn_max_threads(), cpu_limit)))


cdef const fnn_kernels *kernels(int dtype) noexcept:
    return in_use[dtype]


cdef int n_threads(object num_threads) except -1:
    cdef int most = 1 if forked or not fnn_has_openmp() else MOST_THREADS
    if num_threads is None:
        return max(1, usual_threads() // max(1, trainings))
    if type(num_threads) is not int and (
            isinstance(num_threads, bool) or not hasattr(num_threads, "__index__")):
        raise TypeError(f"num_threads must be an integer >= 1 or None, got {num_threads!r}")
    if num_threads < 1:
        raise ValueError(f"num_threads must be an integer >= 1 or None, got {num_threads}")
    return min(most, num_threads)


cdef Activation activation(const fnn_kernels *k, object name) except *:
    cdef Activation a
    a.act, a.grad, a.rows, a.rows_grad = NULL, NULL, NULL, NULL
    a.of_input = name in ("hard_silu", "silu", "gelu", "gelu_tanh", "mish")
    if name is None or name == "linear":
        pass
    elif name == "relu":
        a.act, a.grad = k.relu, k.relu_backward
    elif name == "relu6":
        a.act, a.grad = k.relu6, k.relu6_backward
    elif name == "leaky_relu":
        a.act, a.grad = k.leaky_relu, k.leaky_relu_backward
    elif name == "elu":
        a.act, a.grad = k.elu, k.elu_backward
    elif name == "selu":
        a.act, a.grad = k.selu, k.selu_backward
    elif name == "sigmoid":
        a.act, a.grad = k.sigmoid, k.sigmoid_backward
    elif name == "tanh":
        a.act, a.grad = k.tanh, k.tanh_backward
    elif name == "exp":
        a.act, a.grad = k.exp, k.exp_backward
    elif name == "softplus":
        a.act, a.grad = k.softplus, k.softplus_backward
    elif name == "log_sigmoid":
        a.act, a.grad = k.log_sigmoid, k.log_sigmoid_backward
    elif name == "softsign":
        a.act, a.grad = k.softsign, k.softsign_backward
    elif name == "hard_tanh":
        a.act, a.grad = k.hard_tanh, k.hard_tanh_backward
    elif name == "hard_sigmoid":
        a.act, a.grad = k.hard_sigmoid, k.hard_sigmoid_backward
    elif name == "hard_silu":
        a.act, a.grad = k.hard_silu, k.hard_silu_backward
    elif name == "silu":
        a.act, a.grad = k.silu, k.silu_backward
    elif name == "gelu":
        a.act, a.grad = k.gelu, k.gelu_backward
    elif name == "gelu_tanh":
        a.act, a.grad = k.gelu_tanh, k.gelu_tanh_backward
    elif name == "mish":
        a.act, a.grad = k.mish, k.mish_backward
    elif name == "softmax":
        a.rows, a.rows_grad = k.softmax, k.softmax_backward
    elif name == "log_softmax":
        a.rows, a.rows_grad = k.log_softmax, k.log_softmax_backward
    else:
        raise ValueError(f"activation: unknown {name!r}")
    return a


cdef class Block:
    """Zeroed bytes that others see through the buffer protocol."""

    cdef char *data
    cdef Py_ssize_t size

    def __cinit__(self, Py_ssize_t size, size_t least):
        self.data = <char *>fnn_zalloc(size, least)
        if self.data == NULL:
            raise MemoryError(f"no memory for {size} bytes")
        self.size = size

    def __dealloc__(self):
        free(self.data)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.size, 0, flags)


cdef enum:
    PAGE = 4096


cdef object zeros(ptrdiff_t items, ptrdiff_t itemsize):
    return np.frombuffer(Block(items * itemsize, 64), np.uint8) if items else np.empty(0, np.uint8)


cdef object staggered(ptrdiff_t items, ptrdiff_t itemsize, int place):
    """Zeros for arrays that are walked side by side, each with a `place` of its own."""
    cdef ptrdiff_t before = place * STAGGER
    return np.frombuffer(Block(before + items * itemsize, PAGE), np.uint8)[before:]


cdef char *address(object array) except? NULL:
    cdef const unsigned char[::1] view = array
    return <char *>&view[0]


cdef uint64_t flush_subnormals() noexcept nogil:
    return fnn_flush_subnormals()


cdef void restore_fp(uint64_t state) noexcept nogil:
    fnn_restore_fp(state)


cdef object quota_cpus():
    """CPUs that the cgroup's quota pays for, or None: cpu.max is "max 100000" or "150000 100000"."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None


cdef void choose_isa() except *:
    global isa_in_use
    name = os.environ.get("FASTNN_ISA", "")
    available = available_isas()
    if name and name not in available:
        raise ImportError(
            f"FASTNN_ISA: expected one of {', '.join(available)} "
            f"(what this build and this CPU have), got {name!r}")
    isa_in_use = name or available[len(available) - 1]
    for i in range(FNN_ISAS):
        if fnn_isa_name(<fnn_isa>i).decode() == isa_in_use:
            for dtype in range(FNN_DTYPES):
                in_use[dtype] = fnn_get_kernels(<fnn_isa>i, <fnn_dtype>dtype)


def _after_fork_in_child():
    # The child has none of its parent's OpenMP threads, and waiting for them would hang.
    global forked
    forked = True


cdef void choose_threads() except *:
    global cpu_limit
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cpu_limit = min(cpus, quota_cpus() or cpus)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork_in_child)


choose_isa()
choose_threads()


def set_test_delay(int thread, long microseconds):
    """Make one thread late for every phase, so that tests see whether each barrier is there.

    Parameters
    ----------
    thread : int
        The thread to delay; negative: none.
    microseconds : int
    """
    global delayed_thread, delay_us
    delayed_thread, delay_us = thread, microseconds


cdef void maybe_delay(int tid) noexcept nogil:
    if tid == delayed_thread:
        fnn_sleep_us(delay_us)
