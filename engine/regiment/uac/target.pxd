# Where registrations go: one next hop with its addresses, its rate and those that wait for it.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from regiment.datagram cimport Peer
from regiment.uac.governor cimport Bucket, Queue

cdef enum:
    ADDRESSES_MAX = 32

cdef struct Address:
    Peer peer
    int64_t gated_until_ns       # a 503 with Retry-After came from it

cdef class Target:
    cdef readonly uint32_t index
    cdef readonly str label, host, protocol
    cdef readonly uint16_t port
    cdef readonly uint32_t registrations
    cdef readonly double max_rate
    cdef bint is_literal
    cdef uint16_t socket
    cdef Address addresses[ADDRESSES_MAX]
    cdef uint32_t address_count
    cdef bint resolving, ready   # ready: stands in the list that the next launch() drains
    cdef int64_t resolved_ns     # when the last lookup ended
    cdef Bucket bucket
    cdef Queue queue
    cdef int row
    cdef uint32_t states[8]
    cdef uint8_t refusals        # cached nonces refused in a row
    cdef int64_t reuse_off_until_ns
    cdef uint64_t icmp_errors

    # index of the first address at or after `start` that is not gated, or -1
    cdef int pick(self, int start, int64_t now_ns) noexcept nogil
    # when the first of its addresses is free again; 0: one is free now
    cdef int64_t gate_ns(self, int64_t now_ns) noexcept nogil
    cdef bint reuse_allowed(self, int64_t now_ns) noexcept nogil
    # a cached nonce was refused; True: reuse was switched off by this
    cdef bint reuse_refused(self, int64_t now_ns) noexcept nogil
