# SIP URIs taken apart and compared (RFC 3261 19.1.1, 19.1.4).
from libc.stdint cimport uint16_t, uint32_t

from regiment.sip.field cimport Span

# RFC 3261 19.1.4 on two sip/sips URIs given as bytes; what is no such URI is equal only to itself.
# As in Asterisk an escaped character is equal to the same one unescaped even where it is a reserved
# one, because registrars rewrite those too.
cdef bint uri_equal(const char* a, uint32_t a_length,
                    const char* b, uint32_t b_length) noexcept nogil
# The user part of a URI (without password), host (IPv6 without brackets), port (0 = none) and the
# parameters from their ';' on; -1: no sip URI.
cdef int uri_parts(const char* data, uint32_t length, Span* user, Span* host,
                   uint16_t* port, Span* parameters) noexcept nogil
