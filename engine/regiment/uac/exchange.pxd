# What passes between the attempts and the wire.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from regiment.datagram cimport Batch, Datagram
from regiment.sip.scanner cimport Message
from regiment.uac.attempt cimport Attempts
from regiment.uac.inbound cimport Correspondence, Inbound
from regiment.uac.registration cimport Face, PolicyState, Record
from regiment.uac.target cimport Target

cdef extern from *:
    """
    #define regiment_prefetch(address) __builtin_prefetch(address)
    #define regiment_prefetch_to_write(address) __builtin_prefetch(address, 1)
    """
    void prefetch "regiment_prefetch"(const void* address) noexcept nogil
    void prefetch_to_write "regiment_prefetch_to_write"(const void* address) noexcept nogil

cdef enum:
    AHEAD = 16                     # datagrams that are read before the first of them is acted on

cdef class Exchange(Attempts):
    cdef Inbound inbound
    cdef Correspondence correspondence
    cdef Batch replies             # answers to requests that wait for the outbox
    cdef char* scratch             # the header lines of one request's credentials
    cdef uint32_t scratch_bytes
    cdef dict target_at            # a target's address -> the target, for errors without a branch

    cdef int _respond(self, const Datagram* datagram, const Message* message,
                      int64_t now_ns) except -1
    cdef int _meant_by(self, const char* data, const Message* message, int64_t* slot) noexcept
    cdef int _tell_call(self, int64_t slot, const Datagram* datagram, const Message* message,
                        int status) except -1
    cdef int _take_response(self, const Datagram* datagram, const Message* message,
                            int64_t now_ns) except -1
    cdef void _fetch(self, uint32_t slot) noexcept nogil
    cdef void _fetch_rest(self, uint32_t slot) noexcept nogil
    cdef int64_t _own_slot(self, const char* branch, uint32_t length) noexcept
    cdef int _send_one(self, uint32_t slot, Batch outbox, int64_t now_ns) except -2
    cdef int _scratch_for(self, uint32_t length) except -1
    cdef void _mark_sent(self, uint32_t slot, Record* record, PolicyState policy, Face face,
                         int64_t now_ns) noexcept
    cdef bint takes(self, uint32_t number) noexcept
    cdef int _protocol_of(self, const Datagram* datagram) noexcept
    cdef int _count_icmp(self, Target target) except -1
    cdef int _forward_replies(self, Batch outbox) except -1
