# Hierarchical timer wheel: O(1) arm and cancel, 1 ms ticks, range over a year, no allocation
# after `resize`. Timers are the integers 0 … capacity-1 (a registration's slot is its timer).
# The cpdef faces ignore a timer out of range; Python's face of `expire` is `fire`.
cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t


@cython.final
cdef class Wheel:
    cdef readonly uint32_t capacity
    cdef readonly uint32_t armed          # how many timers are armed
    cdef uint64_t now_tick                # everything due up to here has been fired
    cdef uint64_t* due_tick               # per timer; 0 = not armed
    cdef uint32_t* next
    cdef uint32_t* previous
    cdef uint32_t* heads                  # LEVELS * 64 list heads, and one of what is due
    cdef uint32_t* tails
    cdef uint64_t* occupied               # one 64-bit map a level

    cpdef int resize(self, uint32_t capacity) except -1         # grows only
    # (re)arms: fires never before due_ns and at the first tick not before it
    cpdef void arm(self, uint32_t timer, int64_t due_ns) noexcept nogil
    cpdef void cancel(self, uint32_t timer) noexcept nogil
    cpdef bint is_armed(self, uint32_t timer) noexcept nogil
    cpdef int64_t due_ns(self, uint32_t timer) noexcept nogil    # -1: not armed
    # writes up to `limit` due timers to `fired` (disarmed, in order of tick); returns how many.
    # Less than `limit`: all that was due by now_ns has fired.
    cdef uint32_t expire(self, int64_t now_ns, uint32_t* fired, uint32_t limit) noexcept nogil
    # the next moment at which expire() has work (a timer or a cascade; never later than the
    # earliest timer), -1: nothing armed
    cpdef int64_t deadline_ns(self) noexcept nogil
