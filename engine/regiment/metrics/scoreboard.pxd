# Cells in memory that one worker writes and the coordinator reads. The memory is given.
from libc.stdint cimport int64_t, uint64_t

cdef class Scoreboard:
    cdef uint64_t* cells
    cdef object buffer
    cdef Py_ssize_t cell_count

    # The address of one cell / of one histogram, looked up by name once, at set-up.
    # `labels` in the catalogue's order, without `registrar`; `row` = the registrar's (0 = other).
    # Unknown name or label value: KeyError.
    cdef uint64_t* cell(self, str family, tuple labels, int row=*) except NULL
    cdef uint64_t* histogram(self, str family, tuple labels) except NULL

# One value in nanoseconds into a histogram (log-linear buckets, layout known to exposition.py).
cdef void record_ns(uint64_t* histogram, int64_t value_ns) noexcept nogil
