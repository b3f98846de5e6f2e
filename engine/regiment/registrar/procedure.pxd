# What becomes of one datagram: RFC 3261 section 8.2 and section 10.3, with the scripted faults.
cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t
from regiment.datagram cimport Batch, Datagram
from regiment.registrar.challenge cimport Challenger
from regiment.registrar.delay cimport DelayLine
from regiment.keyed cimport Key
from regiment.registrar.keyring cimport Keyring
from regiment.registrar.location cimport Binding, Location
from regiment.registrar.script cimport Script
from regiment.registrar.update cimport Limits
from regiment.sip.scanner cimport Message

cdef struct Request:
    const Datagram* item
    const char* data
    const Message* message
    int64_t now_ns
    uint64_t transaction         # keyed hash of branch, sent-by, Call-ID, method and CSeq


@cython.final
cdef class Procedure:
    cdef object memory           # keeps the cells
    cdef uint64_t* cells         # counts.pxd
    cdef Location location
    cdef Challenger challenger   # None: no authentication
    cdef Keyring seen            # AORs, where there is no authentication
    cdef Script script
    cdef DelayLine delayed
    cdef Batch queue             # answers that wait for send()
    cdef Key transaction_key
    cdef Key aor_key
    cdef Key call_id_key
    cdef Key flow_hash           # of instance-id and reg-id (outbound.pxd)
    cdef Limits limits
    cdef bint match_user
    cdef list domains
    cdef bytes tail              # Server and Content-Length
    cdef bytes service_route
    cdef int outbound            # Outbound
    cdef bytes supported         # headers of the answer to OPTIONS
    cdef bytes outbound_headers  # of a 200 for a flow (RFC 5626 section 6)
    cdef bytes date              # the header line of this second, or b""
    cdef dict notices            # text -> was told

    # Reads one datagram, does what it asks and queues the answer. Raises nothing but MemoryError.
    cdef int take(self, const Datagram* item, int64_t now_ns) except -1

# Seconds until a binding expires, rounded up: what was granted is what is told.
cdef int64_t remaining_s(const Binding* binding, int64_t now_ns) noexcept nogil
