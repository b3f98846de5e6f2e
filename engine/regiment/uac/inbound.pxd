# Requests that reach our sockets: matched by `line`, answered without state (RFC 3261 8.2.7).
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from regiment.datagram cimport Batch, Datagram, Peer
from regiment.sip.field cimport Span
from regiment.sip.scanner cimport Message

cdef enum Meant:              # whom a request is for
    MEANS_NOBODY = 0          # it names a line that nobody has, or none where all of ours have one
    MEANS_ANYBODY             # it names none, and there are registrations without one
    MEANS_ONE

cdef class Correspondence:
    # What may be told of requests: so many a second, whoever sends them.
    cdef list calls           # of model.Call
    cdef int64_t second_s
    cdef int calls_left, pings_left
    cdef bint may_tell(self, int method, int64_t now_ns) noexcept
    cdef int tell(self, object call) except -1
    cdef list take(self)

# The `line` of the To URI (`which` 0) or of the Request-URI (1), in `out`; False: it has none.
cdef bint line_in(const char* data, const Message* message, int which, Span* out) noexcept nogil

cdef class Inbound:
    cdef dict allowances          # source address -> [window start s, answers left]
    cdef set trusted              # addresses (bytes) of our targets
    cdef int64_t swept_s          # the second in which forgotten sources were dropped last
    cdef bytes tag_key
    cdef int trust(self, const Peer* peer) except -1
    cdef bint may_answer(self, const Peer* peer, int64_t now_ns) except -1
    # the status code to answer a request with; 0: no answer (ACK, or not to be answered)
    cdef int status_for(self, const Message* message, int meant, bint has_redirect) noexcept
    # 1: an answer stands in the outbox; 0: none is due; -1: the outbox is full;
    # -2: it would be longer than the request allows. `redirect`: where a 302 sends the caller.
    cdef int answer(self, const Datagram* datagram, const Message* message, Batch outbox,
                    int status, bytes redirect) except -3
    cdef bytes _tag(self, const char* data, const Message* message)
    cdef bytes _vias(self, const Datagram* datagram, const Message* message)
