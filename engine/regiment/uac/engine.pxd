# The user agent client's core: the verbs that a worker calls once a turn.
from libc.stdint cimport int64_t, uint32_t

from regiment.uac.inquiry cimport Inquiry
from regiment.uac.target cimport Target

cdef class Engine(Inquiry):
    cdef list transports           # (model.Transport, host, port) by socket index
    cdef dict target_by_key
    cdef uint32_t begun            # slots below took part in a begin()

    cdef Target _target_for(self, object policy, int socket)
    cdef void _empty_queue(self, Target target) noexcept
    cdef int _drain(self, Target target, int64_t now_ns) except -1
