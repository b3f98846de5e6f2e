# Readers of header values, on spans that scanner found.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from regiment.sip.comparison cimport uri_equal, uri_parts
from regiment.sip.field cimport Span
from regiment.sip.scanner cimport Message

cdef enum:              # Algorithm
    A_NONE = 0          # parameter absent: MD5 (RFC 7616 3.3), and not echoed
    A_MD5
    A_SHA256
    A_SHA512_256
    A_UNKNOWN           # -sess, AKA, anything else: skipped

cdef struct ContactValue:
    Span uri             # without angle brackets
    int64_t expires      # -1 absent or unreadable; capped at 2**32-1
    bint is_star

cdef struct Challenge:
    bint is_digest
    Span realm, nonce, opaque, domain     # quotes removed; quoted-pairs still escaped
    uint8_t algorithm
    bint has_qop, qop_auth                # qop present and not empty; it offers "auth"
    bint stale

cdef struct AuthenticationInfo:
    Span nextnonce, rspauth
    uint8_t qop_auth

# Iterates all Contact values over all Contact lines (comma lists, quoted names, folding).
# All zero to start. Returns 1 and fills out, 0: no more, -1: unreadable rest.
cdef struct ContactCursor:
    uint32_t line        # next_header cursor
    uint32_t position    # within the current value
    Span value
    uint32_t seen
cdef int next_contact(const char* data, const Message* message, ContactCursor* cursor,
                      ContactValue* out) noexcept nogil

# One challenge a header line (WWW-Authenticate / Proxy-Authenticate); 0 ok (is_digest tells whether
# it is a Digest one), -1 unreadable: a quote that never closes, Digest without realm or nonce.
# The Algorithm that a parameter's value names.
cdef uint8_t algorithm_of(const char* data, Span value) noexcept nogil
cdef int read_challenge(const char* data, Span value, Challenge* out) noexcept nogil
cdef int read_authentication_info(const char* data, Span value,
                                  AuthenticationInfo* out) noexcept nogil

# A named parameter `;name=value` / `;name` in a header value or URI (case-insensitive name, outside
# of quotes and angle brackets). 1 found (value may be empty), 0 not.
cdef bint find_parameter(const char* data, Span value, const char* name, uint32_t name_length,
                         Span* out) noexcept nogil
