# What one REGISTER does to the bindings of its AOR (RFC 3261 section 10.3 steps 6 and 7).
from libc.stdint cimport int64_t, uint32_t, uint64_t
from regiment.keyed cimport Key
from regiment.registrar.location cimport Binding, Location
from regiment.sip.field cimport Span
from regiment.sip.scanner cimport Message

cdef enum:
    MAX_CHANGES = 32             # Contact values of one request (settings.MAX_CONTACTS)
    MAX_URI_BYTES = 1024
    MAX_PARAMETERS_BYTES = 1024

cdef struct Limits:              # seconds
    int64_t min_expires, max_expires, default_expires
    uint32_t max_contacts

cdef struct Change:
    Span uri
    Span parameters              # behind the URI, expires among them
    int64_t granted              # seconds; 0: remove
    uint64_t flow_key            # outbound.flow_key; 0: known by its URI
    Binding* binding             # that it meets, NULL: none

cdef struct Update:
    uint32_t aor                 # NO_AOR: nothing is known of it yet
    uint64_t transaction
    uint64_t call_id             # keyed hash
    uint64_t nonce
    uint32_t nc
    uint32_t cseq
    bint outbound                # RFC 5626 is asked for and done
    const Key* flow_hash         # of flow keys
    bint star
    int count
    int additions
    Change[MAX_CHANGES] changes

# Reads the Contacts into `update` (whose aor … cseq are filled) and judges them all:
# 200, or 400, 403, 423, 500. Changes nothing.
cdef int judge(Location location, const char* data, const Message* message,
               const Limits* limits, Update* update) noexcept nogil
# Carries out what judge() found good. update.aor exists wherever something is added.
# 200, or 500: there is no memory.
cdef int carry_out(Location location, const char* data, Update* update,
                   int64_t now_ns) noexcept nogil
# Whether a REGISTER asks for nothing but removal: by its first Contact.
cdef bint is_removal(const char* data, const Message* message) noexcept nogil
