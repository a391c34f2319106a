"""What holds weights in bounds after a step."""

from fastnn._native.phases cimport Plan

cdef void hold_in_bounds(Plan *p, int tid, int size) noexcept nogil
