# Where registrations go: one next hop with its addresses, its rate and those that wait for it.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from regiment.datagram cimport Peer
from regiment.uac.governor cimport Bucket, Queue

cdef enum:
    ADDRESSES_MAX = 32           # how many of a lookup's addresses are kept
    PLACES = 64                  # addresses remembered: those, and former ones still in use

cdef struct Address:
    Peer peer
    uint16_t face                # how our side looks from there
    int64_t gated_until_ns       # a 503 with Retry-After came from it
    int64_t busy_until_ns        # a transaction towards it may run until then

cdef class Target:
    cdef readonly uint32_t index
    cdef readonly str label, host, protocol
    cdef readonly uint16_t port
    cdef readonly uint32_t registrations         # without those that only leave
    cdef readonly double max_rate
    cdef readonly tuple transports               # numbers of those that may carry requests to it
    cdef bint is_literal, is_secure, is_strict
    # An address keeps its place as long as a transaction may need it, whatever the resolver says
    # meanwhile; `order` names the places of the present ones, best first.
    cdef Address* addresses
    cdef int places              # how many there is room for
    cdef uint8_t order[ADDRESSES_MAX]
    cdef uint32_t address_count
    cdef bint resolving, ready   # ready: stands in the list that the next launch() drains
    cdef int64_t resolved_ns     # when the last lookup ended
    cdef Bucket bucket
    cdef Queue queue             # who waits to register
    cdef Bucket departure_bucket
    cdef Queue departures        # who waits to un-REGISTER
    cdef int row
    cdef uint32_t states[8]
    cdef uint8_t refusals        # cached nonces refused in a row
    cdef int64_t reuse_off_until_ns

    # the place of the first address that is not gated, in order; -1: none
    cdef int first_free(self, int64_t now_ns) noexcept nogil
    # the same among those that stand after the one at `place`
    cdef int next_free(self, int place, int64_t now_ns) noexcept nogil
    cdef int _pick(self, uint32_t start, int64_t now_ns) noexcept nogil
    # takes the answer of a lookup
    cdef int take(self, list peers, list faces, int64_t now_ns) except -1
    cdef int _place_for(self, const Peer* peer, uint16_t face, uint32_t taken) except -1
    cdef int _new_place(self) except -2
    # when the first of its addresses is free again; 0: one is free now
    cdef int64_t gate_ns(self, int64_t now_ns) noexcept nogil
    cdef bint reuse_allowed(self, int64_t now_ns) noexcept nogil
    # a cached nonce was refused; True: reuse was switched off by this
    cdef bint reuse_refused(self, int64_t now_ns) noexcept nogil
