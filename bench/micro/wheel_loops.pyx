# cython: language_level=3, boundscheck=False, wraparound=False
"""Loops over a timer wheel as a core runs them: no Python between one timer and the next."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from regiment.timing.pacer cimport next_random, uniform_ns
from regiment.timing.wheel cimport Wheel


def arm(Wheel wheel, uint32_t count, int64_t low_ns, int64_t high_ns):
    """`count` times a random timer, armed at random in [low_ns, high_ns)."""
    cdef uint64_t state = 1
    cdef uint32_t _
    for _ in range(count):
        wheel.arm(<uint32_t>(next_random(&state) % wheel.capacity),
                  uniform_ns(&state, low_ns, high_ns))


def draw(Wheel wheel, uint32_t count, int64_t low_ns, int64_t high_ns):
    """What `arm` does beside arming: the two random numbers."""
    cdef uint64_t state = 1, kept = 0
    cdef uint32_t _
    for _ in range(count):
        kept += next_random(&state) % wheel.capacity + <uint64_t>uniform_ns(&state, low_ns, high_ns)
    return kept


def exchange(Wheel wheel, uint32_t count, int64_t now_ns):
    """`count` times a random timer: a retransmission armed and cancelled, a refresh armed."""
    cdef uint64_t state = 1
    cdef uint32_t timer, _
    for _ in range(count):
        timer = <uint32_t>(next_random(&state) % wheel.capacity)
        wheel.arm(timer, now_ns + 500000000)
        wheel.cancel(timer)
        wheel.arm(timer, uniform_ns(&state, now_ns + 3240000000000, now_ns + 3420000000000))


def deadline(Wheel wheel, uint32_t count):
    """`count` questions for the next moment with work."""
    cdef int64_t kept = 0
    cdef uint32_t _
    for _ in range(count):
        kept ^= wheel.deadline_ns()
    return kept


def follow(Wheel wheel):
    """Fires all that is armed, waking at each deadline; returns timers and wakes."""
    cdef uint32_t fired[1024]
    cdef uint32_t got, count = 0, wakes = 0
    cdef int64_t now_ns
    while wheel.armed:
        now_ns = wheel.deadline_ns()
        wakes += 1
        while True:
            got = wheel.expire(now_ns, fired, 1024)
            count += got
            if got < 1024:
                break
    return count, wakes
