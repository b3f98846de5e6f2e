# A batch of datagrams: the only thing that passes between a core and the network.
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef struct Peer:
    # A socket address as the kernel writes it (struct sockaddr_in or sockaddr_in6): cores copy and
    # compare it, only `format_peer` and net/ look inside. length 0: none.
    uint8_t length
    uint8_t bytes[28]

cdef struct Datagram:
    char* data
    uint32_t length
    uint16_t socket        # index of the socket it came by or leaves by; NO_SOCKET: by `flow`
    uint16_t flags         # free for net/
    uint32_t flow          # number of the TCP or TLS connection; 0: it is a datagram
    int64_t time_ns        # inbox: monotonic time of receipt
    Peer peer

cdef enum:
    NO_SOCKET = 0xFFFF
    # So many datagrams Linux lets a sender put into one run, so many come out of an inbox's slot.
    RUN_DATAGRAMS = 128


@cython.final
@cython.no_gc
cdef class Batch:
    # inbox: the arena is slots of slot_bytes each; net/ fills one with a datagram, or with a run
    # that lies end to end and is as many items
    # outbox: data is laid down one after the other in the arena by reserve/commit
    cdef Datagram* items
    cdef uint32_t capacity       # number of items
    cdef uint32_t count          # number of items in use
    cdef uint32_t cursor         # outbox: items already sent
    cdef char* arena
    cdef size_t arena_bytes
    cdef size_t used_bytes       # inbox: of whole slots
    cdef uint32_t slot_bytes     # 0 for an outbox

    # room for one datagram of up to `length` bytes, or NULL: full
    cdef char* reserve(self, size_t length) noexcept nogil
    # the datagram laid at the last reserve() is `length` bytes long and goes to `peer`
    cdef void commit(self, uint32_t length, const Peer* peer, uint16_t socket) noexcept nogil
    # the same for a message that goes over a connection
    cdef void commit_flow(self, uint32_t length, const Peer* peer, uint32_t flow) noexcept nogil
    cpdef void clear(self) noexcept nogil
    # brings datagrams of one socket, peer and length together, for the network to send as runs;
    # such keep their order, and groups that of their first datagrams
    cpdef void group(self) noexcept nogil

cdef bint same_peer(const Peer* a, const Peer* b) noexcept nogil
# "192.0.2.1" or "2001:db8::1" (no brackets) into out (>= 48 bytes); returns its length; and *port
cdef int format_peer(const Peer* peer, char* out, uint16_t* port) noexcept nogil
# Python: peer_from_address("192.0.2.1", 5060) -> bytes of the sockaddr; peer_to_address(bytes)
cdef int peer_from_bytes(Peer* peer, bytes raw) except -1
cdef bytes peer_to_bytes(const Peer* peer)
