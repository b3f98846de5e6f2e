# Requests that reach our sockets: answered without state (RFC 3261 8.2.7).
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from regiment.datagram cimport Batch, Datagram, Peer
from regiment.sip.scanner cimport Message

cdef class Inbound:
    cdef dict allowances          # source address -> [window start s, answers left]
    cdef set trusted              # addresses (bytes) of our targets
    cdef int64_t swept_s          # the second in which forgotten sources were dropped last
    cdef bytes tag_key
    cdef int trust(self, const Peer* peer) except -1
    cdef bint may_answer(self, const Peer* peer, int64_t now_ns) except -1
    # the status code to answer a request with; 0: no answer (ACK, or not to be answered)
    cdef int status_for(self, const Message* message) noexcept
    # 1: an answer stands in the outbox; 0: none is due; -1: the outbox is full;
    # -2: it would be longer than the request allows
    cdef int answer(self, const Datagram* datagram, const Message* message, Batch outbox,
                    int status) except -3
    cdef bytes _tag(self, const char* data, const Message* message)
    cdef bytes _vias(self, const Datagram* datagram, const Message* message)
