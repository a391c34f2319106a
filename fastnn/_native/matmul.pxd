"""Matrix products of row-major matrices, for the modules that offer them on arrays."""

from fastnn._native.core cimport fnn_kernels, fnn_unary

# C (m,n) = act(A B + bias), every matrix row-major with its leading dimension in elements.
# transpose_a: `a` is A^T (k,m); transpose_b: `b` is B^T (n,k). bias and act may be NULL.
cdef struct product:
    ptrdiff_t m, n, k
    const char *a
    ptrdiff_t lda
    bint transpose_a
    const char *b
    ptrdiff_t ldb
    bint transpose_b
    char *c
    ptrdiff_t ldc
    const char *bias
    fnn_unary act

# `kernels` of FNN_BFLOAT16: operands of float32, rounded to bfloat16.
# Runs it on at most `threads` threads with the GIL released. C must not overlap the others.
cdef int multiply(const fnn_kernels *kernels, const product *what, int threads) except -1

# Multiply-adds for which another thread pays, and how many a product counts as.
cdef enum:
    THREAD_WORK = 3 << 17
cdef ptrdiff_t work_of(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k) noexcept nogil

# The first of `total` things of part `part` out of `parts`; parts begin at multiples of `unit`.
cdef ptrdiff_t share(ptrdiff_t total, ptrdiff_t unit, ptrdiff_t part,
                     ptrdiff_t parts) noexcept nogil
