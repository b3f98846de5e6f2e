# The ledger's writer and reader: what a process leaves to the next one, and takes up from the last.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from regiment.uac.change cimport Changes
from regiment.uac.ledger cimport Entry, Settled
from regiment.uac.registration cimport Face, PolicyState, Record

cdef class Recovery(Changes):
    cdef object ledger             # the buffer that `entries` points into

    cdef uint64_t _place_mark(self, const Record* record, PolicyState policy) noexcept
    cdef uint32_t _settings_mark(self, const Record* record) noexcept
    cdef int _write_nonce(self, Settled* settled, const Record* record, uint32_t used) noexcept
    cdef int _raise_cseq(self, uint64_t former, bint same_boot) except -1
    cdef int _take_up(self, uint32_t slot, const Entry* entry, bint same_boot,
                      int64_t now_ns) except -2
    cdef int _take_up_binding(self, uint32_t slot, const Entry* entry, int64_t now_ns) except -1
    cdef int _take_up_nonce(self, uint32_t slot, const Entry* entry) except -1
    cdef bint _is_as_it_was(self, const Record* record) except -1
    cdef int _take_up_face(self, Record* record, const Settled* settled) except -1
    cdef bint _same_contact(self, uint32_t slot, const Settled* settled) except -1
    cdef int _leave_contact(self, uint32_t slot, const Settled* settled) except -1
    cdef int _put_state(self, uint32_t slot, int state) except -1
    cdef int _plan_again(self, uint32_t slot, int64_t due_wall_ns, int64_t now_ns) except -1
