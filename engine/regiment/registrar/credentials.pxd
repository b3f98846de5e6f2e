# The credentials of an Authorization header (RFC 3261 section 20.7, RFC 7616 section 3.4).
from libc.stdint cimport uint8_t, uint32_t
from regiment.sip.field cimport Span

cdef struct Credentials:
    Span username, realm, nonce, uri, cnonce, opaque    # quotes removed, quoted-pairs still escaped
    Span response                                       # hex digits
    uint32_t nc
    uint8_t algorithm                                   # response.Algorithm; A_NONE: absent
    bint has_qop, qop_auth
    bint has_nc                                         # nc is there and has 8 hex digits

# 0: filled; 1: another scheme than Digest; -1: unreadable. Linear in value.length.
cdef int read_credentials(const char* data, Span value, Credentials* out) noexcept nogil
