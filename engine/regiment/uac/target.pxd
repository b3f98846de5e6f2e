# Where registrations go: one next hop with its addresses, its rate and those that wait for it.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from regiment.datagram cimport Peer
from regiment.uac.congestion cimport Window
from regiment.uac.health cimport Address
from regiment.uac.governor cimport Bucket, Queue
from regiment.uac.pace cimport Pace

cdef enum:
    ADDRESSES_MAX = 32           # how many of a lookup's addresses are kept
    PLACES = 64                  # addresses remembered: those, and former ones still in use

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
    cdef readonly uint32_t max_outstanding       # @max_outstanding, the lowest; 0: none
    cdef Bucket bucket
    cdef Pace pace               # what it was found to grant
    cdef Window window           # attempts that are outstanding, and how many may be
    cdef uint32_t min_expires_s  # what a 423 of its asked for; 0: nothing is known
    cdef int64_t min_expires_until_ns            # then it is forgotten
    cdef Queue queue             # who waits to register
    cdef Bucket departure_bucket
    cdef Queue departures        # who waits to un-REGISTER
    cdef bint is_watched         # silence makes an address suspect (@failover=fast)
    cdef int64_t watch_ns        # when one of them is to be looked at; 0: none is
    cdef int64_t opens_ns        # what choose() has found: when to ask again; 0: an event tells
    cdef dict shared             # (place, which of some, certificate) -> the Flow that is shared
    cdef uint32_t open, connecting               # connections
    cdef Bucket connects         # new ones
    cdef readonly str trouble    # why the last connect failed
    cdef int row
    cdef uint32_t states[8]
    cdef uint8_t refusals        # cached nonces refused in a row
    cdef int64_t reuse_off_until_ns

    cdef void ask_again(self, int64_t at_ns) noexcept nogil
    # the place that the next attempt goes to; -1: none has room, opens_ns says when to ask again
    cdef int choose(self, int64_t now_ns) noexcept nogil
    # the same for an un-REGISTER, which waits for a gate, but for no room
    cdef int choose_any(self, int64_t now_ns) noexcept nogil
    # the first that is neither gated nor suspect among those after the one at `place`; -1: none
    cdef int next_free(self, int place, int64_t now_ns) noexcept nogil
    # takes the answer of a lookup
    cdef int take(self, list peers, list faces, list are_streams,
                  int64_t now_ns) except -1
    cdef int _place_for(self, const Peer* peer, uint16_t face, uint32_t taken) except -1
    cdef int _new_place(self) except -2
    # what a registration has to ask for at least, as far as is known; 0: anything
    cdef uint32_t least_expires_s(self, int64_t now_ns) noexcept nogil
    cdef void learn_min_expires(self, int64_t seconds, int64_t now_ns) noexcept nogil
    cdef bint reuse_allowed(self, int64_t now_ns) noexcept nogil
    # a cached nonce was refused; True: reuse was switched off by this
    cdef bint reuse_refused(self, int64_t now_ns) noexcept nogil
