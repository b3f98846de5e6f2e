# cython: language_level=3, boundscheck=False, wraparound=False
"""Loops over a scoreboard as a core runs them."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from regiment.metrics.scoreboard cimport Scoreboard, record_ns
from regiment.timing.pacer cimport next_random, uniform_ns


def record(Scoreboard board, str family, tuple labels, uint32_t count):
    """`count` values, spread from 10 µs to 1 s."""
    cdef uint64_t* histogram = board.histogram(family, labels)
    cdef uint64_t state = 1
    cdef uint32_t _
    with nogil:
        for _ in range(count):
            record_ns(histogram,
                      uniform_ns(&state, 10000, 1000000000) >> (next_random(&state) & 15))


def draw(uint32_t count):
    """What `record` does beside recording."""
    cdef uint64_t state = 1
    cdef int64_t kept = 0
    cdef uint32_t _
    with nogil:
        for _ in range(count):
            kept ^= uniform_ns(&state, 10000, 1000000000) >> (next_random(&state) & 15)
    return kept
