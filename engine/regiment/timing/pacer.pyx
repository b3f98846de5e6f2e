"""The pacer: who starts when, from a seed; and the grid to which what recurs is drawn.

Entropy comes from outside as one seed; from there on every draw is arithmetic, so a run with the
same seed starts everybody at the same moments. The functions are inline in the ``.pxd``; the class
binds them to a state of their own.
"""

from libc.stdint cimport int64_t, uint64_t


cdef class Pacer:

    def __init__(self, seed):
        # Mixed, so that neighbouring seeds (one a worker) begin far apart.
        self.state = mix_random(<uint64_t>(seed & 0xffffffffffffffff))

    cpdef uint64_t word(self) noexcept nogil:
        return next_random(&self.state)

    cpdef int64_t uniform_ns(self, int64_t low_ns, int64_t high_ns) noexcept nogil:
        return uniform_ns(&self.state, low_ns, high_ns)

    cpdef int64_t stagger_ns(self, int64_t max_ns) noexcept nogil:
        return stagger_ns(&self.state, max_ns)
