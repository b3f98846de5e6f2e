# The canonical form of an address-of-record (RFC 3261 section 10.3 step 5).
from libc.stdint cimport uint32_t, uint64_t
from regiment.keyed cimport Key
from regiment.sip.field cimport Span

cdef enum:
    AOR_BYTES = 512              # nobody has a longer one

cdef struct Identity:
    char[AOR_BYTES] text         # user (unescaped) "@" host (lower case) [":" port]
    uint32_t length
    uint32_t user_length
    uint32_t host_start, host_length
    uint64_t high, low           # keyed_hash_128 of the text

# The canonical AOR of a sip or sips URI; 0: it is none, or too long.
cdef bint identify(const Key* key, const char* uri, uint32_t length, Identity* out) noexcept nogil
# The URI's scheme is sip or sips.
cdef bint is_sip(const char* data, Span uri) noexcept nogil
