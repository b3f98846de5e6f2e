# Who starts when: the seeded generator, the stagger of first attempts, jitter.
# Inline here, so that a core that draws a number pays no call.
cimport cython
from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    static inline uint64_t regiment_multiply_high(uint64_t a, uint64_t b) {
        return (uint64_t)(((unsigned __int128)a * b) >> 64);
    }
    """
    uint64_t multiply_high "regiment_multiply_high"(uint64_t a, uint64_t b) noexcept nogil

# splitmix64: one addition and a mix, period 2**64, any state will do. Not for secrets.
cdef inline uint64_t mix_random(uint64_t word) noexcept nogil:
    word = (word ^ (word >> 30)) * <uint64_t>0xbf58476d1ce4e5b9
    word = (word ^ (word >> 27)) * <uint64_t>0x94d049bb133111eb
    return word ^ (word >> 31)

cdef inline uint64_t next_random(uint64_t* state) noexcept nogil:
    state[0] += <uint64_t>0x9e3779b97f4a7c15
    return mix_random(state[0])

# evenly in [0, 1): 53 bits of a random word
cdef inline double unit_interval(uint64_t word) noexcept nogil:
    return <double>(word >> 11) * (1.0 / 9007199254740992.0)

# uniform in [low_ns, high_ns); low_ns where the range is empty. The bias is below span / 2**64.
cdef inline int64_t uniform_ns(uint64_t* state, int64_t low_ns, int64_t high_ns) noexcept nogil:
    if high_ns <= low_ns:
        return low_ns
    # The difference may exceed an int64, a uint64 never.
    return <int64_t>(<uint64_t>low_ns
                     + multiply_high(next_random(state), <uint64_t>high_ns - <uint64_t>low_ns))

# uniform in (0, max_ns]; 0 where max_ns is not positive: start at once
cdef inline int64_t stagger_ns(uint64_t* state, int64_t max_ns) noexcept nogil:
    return 1 + uniform_ns(state, 0, max_ns) if max_ns > 0 else 0

# How far apart the moments are to which what recurs is drawn: as long as some GRID_TURNS take at
# the pace of the last ones, so that an idle engine wakes for several at once and a busy one makes
# no bursts; at most GRID_NS_MAX, and a part of the window in which each has its moment.
cdef enum:
    GRID_NS_MAX = 250_000_000
    GRID_TURNS = 8
    GRID_PER_WINDOW = 12
    PACE_SHARE = 16              # the last gap's weight in the pace is one in so many

cdef struct Grid:
    int64_t pace_ns              # between turns, smoothed
    int64_t turned_ns            # the last one

# counts one more turn, and answers with the distance
cdef inline int64_t grid_ns(Grid* grid, int64_t window_ns, int64_t now_ns) noexcept nogil:
    cdef int64_t gap_ns = min(now_ns - grid.turned_ns, <int64_t>GRID_NS_MAX)
    grid.pace_ns += (gap_ns - grid.pace_ns) // PACE_SHARE
    grid.turned_ns = now_ns
    return max(min(grid.pace_ns * GRID_TURNS, window_ns // GRID_PER_WINDOW, <int64_t>GRID_NS_MAX),
               <int64_t>1)


@cython.final
cdef class Pacer:
    cdef uint64_t state

    cpdef uint64_t word(self) noexcept nogil
    cpdef int64_t uniform_ns(self, int64_t low_ns, int64_t high_ns) noexcept nogil
    cpdef int64_t stagger_ns(self, int64_t max_ns) noexcept nogil
