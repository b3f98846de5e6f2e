# What is asked of the registrations.
from libc.stdint cimport int64_t, uint32_t

from regiment.uac.health cimport Address
from regiment.uac.recovery cimport Recovery
from regiment.uac.registration cimport PolicyState, Record
from regiment.uac.target cimport Target

cdef class Inquiry(Recovery):
    cdef object _health_of(self, Target target, int64_t now_ns)
    cdef object _address_health(self, Target target, const Address* address, int64_t gate_ns)
    cdef object _status_of(self, uint32_t slot, int64_t now_ns, bint with_changes)
    cdef tuple _changes_of(self, uint32_t slot, int64_t now_ns)
    cdef str _auth_text(self, const Record* record)
    cdef str _contact_text(self, Record* record, PolicyState policy)
    cdef bint _is_unhealthy(self, const Record* record) noexcept nogil
