# What is known of one address: whether it answers, and how many transactions it may have.
from libc.stdint cimport int64_t, uint16_t, uint32_t
from regiment.datagram cimport Peer

cdef enum:
    WINDOW_FIRST = 8             # transactions that an address may have before it ever answered
    WINDOW_MOST = 1 << 16        # beyond it nothing is limited
    SILENT_COUNT = 4             # so many of them have to wait before silence means something

cdef int64_t SILENT_NS           # nothing came for so long: it is suspect
cdef int64_t FOURTH_NS           # the last of those that wait is at least so old

cdef struct Ring:
    uint32_t first, last         # of slots, linked by Record.send_next

cdef struct Address:
    Peer peer
    uint16_t face                # how our side looks from there
    uint16_t seen_as             # 1 + the face that a NAT makes of ours; 0: none is known
    bint is_stream               # it is reached over connections
    int64_t gated_until_ns       # a 503 with Retry-After came from it, or connecting failed
    int64_t busy_until_ns        # a transaction towards it may run until then
    uint32_t outstanding         # transactions that run towards it
    uint32_t window              # how many may; 0: as many as there are
    int64_t silent_ns            # since when something is out and nothing came; 0: not so
    int64_t fourth_ns            # since when SILENT_COUNT of them are out; 0: they are fewer
    uint32_t flows               # connections to it
    uint32_t failures            # connects that failed in a row
    int64_t probe_ns             # suspect: from when on one may try it; 0: it is not suspect
    int64_t probe_wait_ns        # what is between two tries
    Ring parked                  # requests that wait for room in its window

cdef void address_init(Address* address, bint is_watched) noexcept nogil
cdef bint has_room(const Address* address) noexcept nogil
cdef void address_occupy(Address* address, int64_t now_ns) noexcept nogil
cdef void address_vacate(Address* address) noexcept nogil
# True: more may be sent to it than before
cdef bint address_heard(Address* address, int64_t now_ns) noexcept nogil
# when its silence makes it suspect, or ends a try; 0: nothing is waited for
cdef int64_t verdict_ns(const Address* address) noexcept nogil
# it is suspect, and silent for so long that a try has failed, too
cdef bint is_given_up(const Address* address, int64_t now_ns) noexcept nogil
# jitter: [0, 1)
cdef void address_suspect(Address* address, int64_t now_ns, double jitter) noexcept nogil
# one tries whether it answers again
cdef void address_probe(Address* address, int64_t now_ns) noexcept nogil
