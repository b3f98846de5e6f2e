# Answers that wait before they leave.
cimport cython
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from regiment.datagram cimport Batch, Datagram, Peer
from regiment.timing.wheel cimport Wheel

cdef struct Waiting:
    char* data                   # own allocation; NULL: a free place
    uint32_t length
    uint16_t socket
    uint32_t flow
    Peer peer
    uint64_t transaction
    uint32_t next_free


@cython.final
cdef class DelayLine:
    cdef Waiting* waiting
    cdef uint32_t capacity
    cdef uint32_t free_head
    cdef uint32_t count
    cdef uint32_t limit
    cdef Wheel wheel             # timer n: answer n leaves
    cdef dict transactions       # transaction -> place, to absorb retransmissions meanwhile

    # Copies one answer to `item` in; 0: no room is left, it must leave now or never.
    cdef bint put(self, const char* data, uint32_t length, const Datagram* item,
                  uint64_t transaction, int64_t due_ns) except -1
    # An answer of that transaction waits here.
    cdef bint holds(self, uint64_t transaction) except -1
    # Moves what is due into `queue` as far as it has room; the rest comes a tick later.
    cdef int release(self, int64_t now_ns, Batch queue) except -1
