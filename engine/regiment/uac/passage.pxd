# Who may be sent where: addresses with their health, and the rings of what waits to be sent.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from regiment.keyed cimport Key
from regiment.timing.wheel cimport Wheel
from regiment.uac.cells cimport Cells
from regiment.uac.health cimport Address, Ring
from regiment.uac.ledger cimport Entry, Head
from regiment.uac.notice cimport Notices
from regiment.uac.registration cimport Record
from regiment.uac.target cimport Target

cdef enum:
    NOBODY = 0xFFFFFFFF        # end of a ring

cdef class Passages(Notices):
    cdef Wheel wheel           # a registration's timer: Timer E/F, or its next attempt
    cdef Wheel gates           # a target's: when it lets somebody go again, or is looked after
    cdef Cells cells
    cdef uint64_t random       # state of the generator for jitter
    cdef Key secret            # salts and tags are keyed hashes of a counter
    cdef uint64_t secrets_used
    cdef Ring sending          # what the next send() lays into the outbox
    cdef list target_list, ready, wanted
    cdef dict face_by_key          # (number of a transport, host, port) -> number of the face
    cdef list sweeps           # [target, place, next slot]: whose transactions move on
    cdef bint any_learned      # some face has a `seen_as`
    cdef bint stopping

    cdef double uniform(self) noexcept nogil
    cdef uint64_t secret_word(self) noexcept nogil
    cdef int make_ready(self, Target target) except -1
    cdef void want_addresses(self, Target target, int64_t now_ns)
    cdef int face_number(self, int number, object transport, object socket, str host,
                         int port) except -1
    cdef void put(self, Ring* ring, uint32_t slot) noexcept nogil
    cdef int64_t take_first(self, Ring* ring) noexcept nogil
    cdef void push_send(self, uint32_t slot, Record* record) noexcept nogil
    cdef void aim(self, Record* record, Target target, int place) noexcept
    # its request goes out as soon as the address may have it
    cdef int dispatch(self, uint32_t slot, Record* record, Target target, bint is_answer,
                      int64_t now_ns) except -1
    cdef int occupy(self, uint32_t slot, Record* record, Target target, int64_t now_ns) except -1
    # its transaction is over
    cdef int vacate(self, Record* record, Target target, int64_t now_ns) except -1
    # something came from the address that its transaction runs with
    cdef int heard(self, const Record* record, Target target, int64_t now_ns) except -1
    cdef int release(self, Target target, int place, int64_t now_ns) except -1
    cdef void arm_gate(self, Target target, int64_t due_ns) noexcept
    # who is silent becomes suspect; when to look again
    cdef int look_after(self, Target target, int64_t now_ns) except -1
    cdef int _suspect(self, Target target, int place, int64_t now_ns) except -1
    cdef int move_ring(self, Ring* ring, int64_t now_ns) except -1
    # over a connection or not: what flow.pyx adds
    cdef int convey(self, uint32_t slot, Record* record, Target target, int64_t now_ns) except -1
    cdef int postpone(self, uint32_t slot, int64_t now_ns) except -1
    cdef int withdraw(self, Target target, int place, int64_t now_ns) except -1
    cdef int sweep(self, int64_t now_ns) except -1
    cdef bint move_on(self, uint32_t slot, int64_t now_ns) except -1
