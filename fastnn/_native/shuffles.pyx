"""NumPy's shuffle, draw for draw, without its mispredicted branches: less than half of the time.

`shuffle` of a RandomState or a Generator swaps place i = n-1 .. 1 with a place drawn from 0 .. i: bits
of the generator below the next power of two, drawn again while they are greater than i. Whether
they are is a coin's toss, which no processor foresees; so here what is too great is swapped with
itself, and draws again. NumPy keeps RandomState's stream as it is (its NEP 19); a Generator's it may
change, and then fastnn's seeds still give the orders that they gave.
"""

import numpy as np

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastnn._native.core cimport address

# numpy/random/bitgen.h
ctypedef struct bitgen:
    void *state
    uint64_t (*next_uint64)(void *state) noexcept nogil
    uint32_t (*next_uint32)(void *state) noexcept nogil
    double (*next_double)(void *state) noexcept nogil
    uint64_t (*next_raw)(void *state) noexcept nogil


cdef void shuffle_places(int64_t *x, int64_t n, bitgen *generator) noexcept nogil:
    cdef int64_t i = n - 1, j, half, kept, whole = 1
    cdef bint fits
    while whole <= i:
        whole *= 2
    while i > 0:
        half = whole // 2
        while i >= half:
            j = generator.next_uint32(generator.state) & (whole - 1)
            fits = j <= i
            j = j if fits else i
            kept = x[i]
            x[i] = x[j]
            x[j] = kept
            i -= fits
        whole = half


def shuffle(order, random, part=None):
    """Shuffle in place, as `random.shuffle(order)` does: the same order, the same state after.

    Parameters
    ----------
    order : ndarray of int64
    random : numpy.random.RandomState or numpy.random.Generator
    part : int, optional
        Each so many places are shuffled on their own, one after the other; by default all, fewer than 2^32.

    Raises
    ------
    ValueError
        If it is no such array, or no whole number of such parts.
    """
    cdef int64_t size = order.size, n = size if part is None else part, i = 0
    if order.dtype != np.int64 or order.ndim != 1 or not order.flags.carray:
        raise ValueError("order: expected a contiguous vector of int64 that may be written to")
    if n >= 1 << 32:
        raise ValueError(f"order: expected fewer than 2^32 places, got {n}")
    if size > 0 and part is not None and (n < 1 or size % n != 0):
        raise ValueError(f"part: expected a divisor of {size} places, got {n}")
    if n < 2:
        return
    source = random._bit_generator
    cdef bitgen *generator = <bitgen *>PyCapsule_GetPointer(source.capsule, "BitGenerator")
    # A typed memoryview, of which core has one, would be 50 KB of this module.
    cdef int64_t *places = <int64_t *>address(order.view(np.uint8))
    with source.lock, nogil:
        while i < size:
            shuffle_places(places + i, n, generator)
            i += n
