# What an operator or a reload wants of single registrations while the engine runs.
from libc.stdint cimport int64_t, uint32_t
from regiment.uac.exchange cimport Exchange
from regiment.uac.registration cimport PolicyState, Record
from regiment.uac.target cimport Target

cdef class Changes(Exchange):
    cdef list transports           # (model.Transport, socket or -1, default face) by number
    cdef dict certificates         # model.Certificate or None -> its number
    cdef dict target_by_key
    cdef dict policy_numbers       # policy -> its number; made at the first change

    cdef Target _target_for(self, object policy, tuple numbers)
    cdef int64_t _admit(self, object registration, uint32_t cseq) except -2
    cdef int _count_in(self, uint32_t slot) except -1
    cdef int _count_out(self, uint32_t slot) except -1
    cdef int _now(self, uint32_t slot, int64_t now_ns) except -1
    cdef int _go(self, uint32_t slot, int64_t now_ns) except -1
    cdef int _change(self, uint32_t slot, object kind, object registration,
                     int64_t now_ns) except -1
    cdef int _take_over(self, uint32_t slot, object kind, object registration,
                        int64_t now_ns) except -1
    cdef int _leave(self, uint32_t slot, int64_t now_ns) except -1
    cdef int _replace(self, uint32_t slot, object registration, int64_t now_ns) except -1
    cdef void _disown_entry(self, uint32_t slot) noexcept nogil
    cdef int _forget_wish(self, uint32_t slot) except -1
    cdef int _put_off(self, uint32_t slot, object kind, object registration) except -1
    cdef bint _is_busy(self, uint32_t slot) noexcept nogil
