# The life of an attempt: started, sent, answered or not, judged, planned anew.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from regiment.sip.scanner cimport Message
from regiment.timing.pacer cimport Grid
from regiment.uac.ledger cimport Entry, Head
from regiment.uac.outbound cimport Outbound
from regiment.uac.policy cimport Result
from regiment.uac.registration cimport PolicyState, Record
from regiment.uac.target cimport Target

cdef class Attempts(Outbound):
    cdef uint32_t cseq_base
    cdef Grid grid             # of refreshes
    cdef Entry* entries        # the ledger, by slot; not ours
    cdef uint32_t entry_count
    cdef Head* head            # of the ledger; NULL: there is none
    cdef int64_t wall_offset_ns        # the wall clock less the monotonic one
    cdef dict pending          # slot -> what is to be done once it is free for that
    cdef uint32_t unsettled

    cdef int set_state(self, Record* record, Target target, int event) except -1
    cdef bint is_going(self, const Record* record) noexcept nogil
    cdef int keep(self, uint32_t slot, int64_t due_ns) except -1
    cdef int resume(self, uint32_t slot, int64_t now_ns) except -1
    cdef int retire(self, uint32_t slot) except -1
    cdef void plan(self, uint32_t slot, Record* record, int64_t due_ns) noexcept nogil
    cdef int enqueue(self, uint32_t slot, Record* record, Target target) except -1
    cdef void leave_queue(self, Record* record) noexcept
    cdef int start(self, uint32_t slot, Target target, int place, int64_t now_ns) except -1
    cdef int conclude(self, Record* record, PolicyState policy, int ending, int64_t ended_ns,
                      int64_t now_ns) except -1
    cdef int note_overdue(self, Record* record, Target target) except -1
    cdef int learn_refusal(self, const Record* record, Target target, int64_t now_ns) except -1
    cdef int request(self, uint32_t slot, Record* record, Target target, bint new_tag,
                     bint is_answer, int64_t now_ns) except -1
    cdef int on_timer(self, uint32_t slot, int64_t now_ns) except -1
    cdef int on_final(self, uint32_t slot, const char* data, const Message* message,
                      int64_t received_ns, int64_t now_ns) except -1
    cdef int on_error(self, uint32_t slot, int code, int cause, str reason,
                      int64_t now_ns) except -1
    cdef int end_transaction(self, uint32_t slot, Record* record, Target target,
                             int64_t now_ns) except -1
    cdef int fail(self, uint32_t slot, Record* record, PolicyState policy, const Result* result,
                  int64_t now_ns) except -1
    cdef int settle(self, uint32_t slot, Record* record, Target target, int64_t now_ns) except -1
    cdef bint next_address(self, uint32_t slot, Record* record, Target target,
                           int64_t now_ns) except -1
    cdef bint answer(self, uint32_t slot, Record* record, Target target, const char* data,
                     const Message* message, int64_t now_ns) except -1
    cdef bint is_refused_nonce(self, const Record* record, const Message* message) noexcept nogil
    cdef int count_refusal(self, Target target, int64_t now_ns) except -1
    cdef bint raise_expires(self, uint32_t slot, Record* record, Target target,
                            const Message* message, int64_t now_ns) except -1
    cdef bint again_after_494(self, const Record* record, PolicyState policy) noexcept
    cdef int succeed(self, uint32_t slot, Record* record, PolicyState policy, const char* data,
                     const Message* message, int64_t received_ns, int64_t now_ns) except -1
    cdef int learn(self, Record* record, Target target, const char* data,
                   const Message* message) except -1
    cdef int registered(self, uint32_t slot, Record* record, PolicyState policy, int code,
                        int64_t received_ns, int64_t now_ns) except -1
    cdef int unregistered(self, uint32_t slot, Record* record, Target target, int outcome,
                          int64_t now_ns) except -1
    cdef int note_lapse(self, Record* record, Target target, int64_t now_ns) except -1
