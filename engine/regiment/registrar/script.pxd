# faults.Faults as the core reads it: every decision from a keyed hash, without memory.
cimport cython
from libc.stdint cimport int64_t, uint64_t
from regiment.keyed cimport Key

cdef enum Scope:                 # as faults.SCOPES
    SCOPE_ANY = 0
    SCOPE_INITIAL = 1
    SCOPE_REFRESH = 2
    SCOPE_UNREGISTER = 3

cdef enum:
    MAX_STATUSES = 32

cdef struct Scripted:
    int code
    int scope
    double share                 # 0 … 1
    const char* line             # "503 Service Unavailable"
    Py_ssize_t line_length
    const char* headers          # whole header lines
    Py_ssize_t headers_length


@cython.final
cdef class Script:
    cdef Key status_key
    cdef Key delay_key
    cdef uint64_t drop_state
    cdef double drop_in, drop_out
    cdef int delay_kind          # index into faults.DELAYS
    cdef int64_t low_ns, high_ns
    cdef bint silent
    cdef int status_count
    cdef bint scoped             # some status wants to know initial from refresh
    cdef Scripted[MAX_STATUSES] statuses
    cdef object kept             # keeps the texts alive
    cdef int64_t limit_interval_ns, limit_tolerance_ns, limit_next_ns    # interval 0: no limit
    cdef bytes limit_headers

    # The next datagram is lost (draws from the seeded sequence only where a share is set).
    cdef bint loses_inbound(self) noexcept nogil
    cdef bint loses_outbound(self) noexcept nogil
    # The scripted answer to a REGISTER transaction of that scope, or NULL.
    cdef const Scripted* status(self, uint64_t transaction, int scope) noexcept nogil
    # Whether the limit lets one more be granted; takes it from the bucket.
    cdef bint grants(self, int64_t now_ns) noexcept nogil
    # How long the answer of a transaction waits; 0: not at all.
    cdef int64_t delay_ns(self, uint64_t transaction) noexcept nogil
