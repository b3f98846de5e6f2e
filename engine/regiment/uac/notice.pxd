# What is told of registrations: changes of state, and where a binding was made.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from regiment.datagram cimport Peer
from regiment.sip.scanner cimport Message
from regiment.uac.registration cimport Face, Population, Record
from regiment.uac.target cimport Target

# One of the last changes of state that tell something about a registration's health.
cdef struct Turn:
    int64_t at_ns
    uint32_t slot
    uint32_t mark              # of the Call-ID: slots are used again
    uint16_t code
    uint8_t state_from, state_to, failure_class

cdef enum:
    TURNS_MAX = 32768

cdef str place_of(const Peer* peer)      # host:port

cdef class Notices(Population):
    cdef bint watched          # somebody wants to hear of every change, not of failures alone
    cdef list noted            # of model.Event
    cdef uint64_t notes_dropped
    cdef Turn* turns           # a ring
    cdef uint32_t turn_at
    # the final response that is being acted on; NULL: what happens now is due to none
    cdef const Message* said
    cdef const char* said_data

    cdef int turned(self, const Record* record, int old, int64_t now_ns) except -1
    cdef int note(self, Record* record, Target target, int old, double retry_in_s,
                  bint is_minor=*) except -1
    cdef int note_if_watched(self, Record* record, Target target, int old) except -1
    cdef str local_of(self, const Record* record, Face face)
    cdef object affinity_of(self, const Record* record)
    cdef str _warning(self)
