# Who may start now: a token bucket and the queue of those that wait for it.
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef struct Bucket:
    int64_t interval_ns        # between two attempts; 0: no limit
    int64_t tolerance_ns       # how far ahead of the even pace a burst may run
    int64_t theoretical_ns     # the moment at which the next attempt is due at the even pace

cdef void bucket_set_rate(Bucket* bucket, double rate) noexcept nogil
cdef bint bucket_take(Bucket* bucket, int64_t now_ns) noexcept nogil
# When to come back after a refused take: late enough for a batch, so that a gated target costs
# some hundred wake-ups a second at most.
cdef int64_t bucket_ready_ns(const Bucket* bucket) noexcept nogil

cdef struct Waiting:
    uint64_t key
    uint32_t slot

cdef class Queue:
    # binary heap by key: refreshes by earliest expiry, then the rest in the order of arrival
    cdef Waiting* items
    cdef uint32_t count, capacity
    cdef uint64_t arrivals
    cdef int push(self, uint32_t slot, int64_t expires_ns) except -1     # 0: not a refresh
    cdef int64_t pop(self) noexcept nogil                                # slot, or -1: empty
