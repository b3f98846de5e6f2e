# The user agent client's core: the verbs that a worker calls once a turn.
from libc.stdint cimport int64_t, uint32_t

from regiment.uac.governor cimport Bucket, Queue
from regiment.uac.inquiry cimport Inquiry
from regiment.uac.target cimport Target

cdef class Engine(Inquiry):
    cdef dict peers_of             # index of a target -> its addresses as they were told last
    cdef void _empty_queue(self, Target target) noexcept
    cdef int64_t _let_go(self, Target target, Queue queue, Bucket* bucket,
                         int64_t now_ns) except -1
    cdef int _face_at(self, object place) except -1
    cdef int _drain(self, Target target, int64_t now_ns) except -1
