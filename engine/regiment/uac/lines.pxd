# Which registration a `line` belongs to: an index of its own, for requests that reach our Contact.
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    LINE_LETTERS = 7

cdef class Lines:
    # Open addressing: the line as a number to base 26, shifted left, and slot + 1; 0: free.
    cdef uint64_t* places
    cdef uint32_t mask
    cdef uint32_t count
    # The slot of that line; -1: nobody has it (or it is no line of ours at all).
    cdef int64_t find(self, const char* text, uint32_t length) noexcept nogil
    # Enters a line. Where another slot has it already, `line` is changed to one that is free.
    cdef int add(self, char* line, uint32_t slot) except -1
    # Takes it out again; False: it was not there.
    cdef bint remove(self, const char* line, uint32_t slot) noexcept nogil
    cdef int _grow(self) except -1
    cdef uint32_t _place(self, uint64_t number) noexcept nogil
