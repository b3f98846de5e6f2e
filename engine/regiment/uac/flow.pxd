# TCP and TLS connections: asked for, used, lost, and who was on them.
from libc.stdint cimport int64_t, uint16_t, uint32_t
from regiment.uac.governor cimport Bucket
from regiment.uac.health cimport Ring
from regiment.uac.passage cimport Passages
from regiment.uac.registration cimport PolicyState, Record
from regiment.uac.target cimport Target

cdef enum FlowState:
    FLOW_CONNECTING = 0
    FLOW_OPEN
    FLOW_LEFT                  # we asked for its end

cdef class Flow:
    cdef readonly uint32_t number
    cdef Target target
    cdef int place
    cdef tuple key             # of target.shared; None: it is a registration's own
    cdef int64_t owner         # slot; -1: it is shared
    cdef int state
    cdef bint writable
    cdef int certificate       # that it shows: PolicyState.certificate
    cdef int64_t opened_ns
    cdef bint proven           # a response came over it
    cdef int64_t heard_ns      # when the last one did
    cdef int idle_surveys      # so often nobody was found on it
    cdef uint32_t users
    cdef Ring waiting          # requests that wait until it takes them
    cdef str local             # host:port of our end
    cdef uint32_t timer_s      # its peer's Flow-Timer; 0: it said none

cdef class Flows(Passages):
    cdef dict flows            # number -> Flow
    cdef uint32_t flow_count   # the last number that was given
    cdef list dialed, left     # Dials and numbers for the worker
    cdef list losses           # [flow, reason, next slot]: whose registrations are told of it

    cdef Flow flow_at(self, uint32_t number)
    cdef bint is_stream(self, const Record* record) noexcept
    # when a connection for that registration may be opened; 0: now, or none is needed
    cdef int64_t connect_ns(self, uint32_t slot, Record* record, Target target, int place,
                            int64_t now_ns) except -1
    cdef Flow _usable(self, uint32_t slot, Record* record, PolicyState policy, int place)
    cdef Flow _open(self, uint32_t slot, PolicyState policy, int place, int64_t now_ns)
    cdef int leave_flow(self, Flow flow) except -1
    cdef int _drop(self, Flow flow) except -1
    cdef int tell_losses(self, int64_t now_ns) except -1
    cdef int64_t _tell_loss(self, list loss, int64_t now_ns) except -1
    cdef int _lose(self, uint32_t slot, Flow flow, str reason, int64_t now_ns) except -1
    cdef int note_flow(self, uint32_t number, int64_t now_ns) except -1
    cdef int count_flow_users(self) except -1
    cdef int give_up_flow(self, Record* record, Target target) except -1
    # what the attempts do with it
    cdef int on_flow_error(self, uint32_t slot, str reason, int64_t now_ns) except -1
    cdef int recall(self, uint32_t slot, int64_t now_ns) except -1
