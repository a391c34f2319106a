"""How the compiled modules read NumPy arrays."""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES

cdef struct Array:
    char *data
    int dtype               # FNN_FLOAT32 or FNN_FLOAT64
    int ndim
    ptrdiff_t rows, cols    # cols: the last axis, rows: the product of the others
    ptrdiff_t size, bytes   # bytes: from the first to behind the last
    ptrdiff_t ld            # of a matrix: elements from one row to the next, or, transposed, one column
    bint transposed

cdef bint look(object x, Array *a, int flags=*)
