# cython: boundscheck=False, wraparound=False
"""Cells in memory that one worker writes and the coordinator reads. The memory is given."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.memoryview cimport PyMemoryView_GET_BUFFER
from libc.stdint cimport int64_t, uint64_t, uintptr_t

from regiment.metrics import layout

cdef extern from *:
    int leading_zeros "__builtin_clzll"(unsigned long long value) nogil

# The same numbers as in layout.py, as constants of C; checked once below.
cdef enum:
    FINE = 865
    OVERFLOW = 864

if FINE != layout.FINE_BUCKETS or OVERFLOW != layout.OVERFLOW_BUCKET:
    raise ImportError("scoreboard and layout disagree about histograms: build again")

# Everything beyond 64 s is one bucket; capping there also keeps the product below in 64 bits.
cdef int64_t CAP_NS = 64_000_000_000

cdef Py_ssize_t CELLS = layout.CELL_COUNT
cdef Py_ssize_t SIZE = layout.SIZE_BYTES


cdef void record_ns(uint64_t* histogram, int64_t value_ns) noexcept nogil:
    """One value into its bucket: (lower edge, upper edge], 32 to an octave of 2**-25 s."""
    cdef uint64_t units
    cdef int shift
    if value_ns <= 0:
        histogram[1] += 1
        return
    histogram[0] += <uint64_t>value_ns
    if value_ns > CAP_NS:
        histogram[1 + OVERFLOW] += 1
        return
    # ceil(value * 2**25 / 10**9) - 1, with the common factor 2**9 taken out; the divisor is a
    # constant, so this is a multiplication.
    units = (((<uint64_t>value_ns) << 16) - 1) // <uint64_t>1953125
    if units < 32:
        histogram[1 + units] += 1
        return
    shift = 58 - leading_zeros(units)
    histogram[1 + shift * 32 + (units >> shift)] += 1


cdef class Scoreboard:
    def __init__(self, buffer):
        view = memoryview(buffer)
        if view.readonly:
            raise ValueError("a scoreboard needs memory that can be written")
        view = view.cast("B")
        if view.nbytes < SIZE:
            raise ValueError(f"a scoreboard needs {SIZE} bytes, not {view.nbytes}")
        self.cells = <uint64_t*>PyMemoryView_GET_BUFFER(view).buf
        if <uintptr_t>self.cells % 8:
            raise ValueError("a scoreboard needs memory aligned to 8 bytes")
        self.buffer = view
        self.cell_count = CELLS

    cdef uint64_t* cell(self, str family, tuple labels, int row=0) except NULL:
        place = layout.place_of(family)
        if place.family.kind == "histogram":
            raise KeyError(f"{family} is a histogram")
        cdef Py_ssize_t at = place.find(labels, row)
        return self.cells + at

    cdef uint64_t* histogram(self, str family, tuple labels) except NULL:
        place = layout.place_of(family)
        if place.family.kind != "histogram":
            raise KeyError(f"{family} is no histogram")
        cdef Py_ssize_t at = place.find(labels)
        return self.cells + at

    @staticmethod
    def size_bytes():
        return SIZE

    def add(self, str family, tuple labels=(), int64_t amount=1, int row=0):
        self.cell(family, labels, row)[0] += <uint64_t>amount

    def set(self, str family, tuple labels=(), uint64_t value=0, int row=0):
        self.cell(family, labels, row)[0] = value

    def get(self, str family, tuple labels=(), int row=0):
        return self.cell(family, labels, row)[0]

    def record(self, str family, tuple labels, int64_t value_ns):
        record_ns(self.histogram(family, labels), value_ns)

    def clear_gauges(self):
        cdef Py_ssize_t at, end
        for place in layout.PLACES.values():
            if place.family.kind == "gauge":
                at = place.offset
                end = at + place.cells
                while at < end:
                    self.cells[at] = 0
                    at += 1


def add_cells(bytearray total not None, source):
    """See scoreboard.pyi."""
    if len(total) != SIZE:
        raise ValueError(f"the total of scoreboards has {SIZE} bytes, not {len(total)}")
    cdef Py_buffer view
    PyObject_GetBuffer(source, &view, PyBUF_SIMPLE)
    cdef uint64_t* into = <uint64_t*><char*>total
    cdef const uint64_t* cells = <const uint64_t*>view.buf
    cdef Py_ssize_t i, count = CELLS
    try:
        if view.len < count * 8:
            raise ValueError(f"a scoreboard has {SIZE} bytes, not {view.len}")
        with nogil:
            for i in range(count):
                into[i] += cells[i]
    finally:
        PyBuffer_Release(&view)
