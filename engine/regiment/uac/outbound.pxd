# Flows as RFC 5626 has them: the form of a REGISTER that asks for one, and what follows from it.
from libc.stdint cimport int64_t, uint32_t
from regiment.sip.request cimport Fill
from regiment.sip.scanner cimport Message
from regiment.uac.flow cimport Flows
from regiment.uac.policy cimport Result
from regiment.uac.registration cimport PolicyState, Record

cdef enum:
    INSTANCE_BYTES = 36

cdef class Outbound(Flows):
    cdef list timers           # (flow, seconds) for the worker
    # At the start of an attempt: the plain form's time may be over.
    cdef int take_form(self, Record* record, int64_t now_ns) except -1
    # 439: True: the attempt goes on in the plain form.
    cdef bint fall_back(self, Record* record, PolicyState policy, int64_t now_ns) except -1
    # The configuration is another one: whatever was refused may be asked for again.
    cdef int forget_refusal(self, Record* record) except -1
    # What a registrar said goes with the binding; that it refused flows stays known.
    cdef int forget_answers(self, Record* record) except -1
    cdef int lay_flow(self, const Record* record, Fill* fill, char* instance) except -1
    # After a 2xx that granted so many seconds to our Contact: those of our flow, which others may
    # share that URI with. Its Flow-Timer is kept for the worker.
    cdef int64_t take_grant(self, const Record* record, const char* data, const Message* message,
                            int64_t granted) except -2
    # The wait after a failure, if the RFC wants a longer one than `wait_ns`.
    cdef int64_t recovery_ns(self, const Record* record, const Result* result,
                             int64_t wait_ns) except -1
    cdef bint stands_otherwise(self, const Record* record) noexcept
