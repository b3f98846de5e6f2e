# cython: boundscheck=False, wraparound=False, cdivision=True
"""The canonical form of an address-of-record, by which bindings are found.

RFC 3261 section 10.3 step 5: URI parameters go, escapes become what they mean. The host goes to
lower case. The scheme goes too: sip and sips name one user, whose bindings are one list.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from regiment.keyed cimport Key, keyed_hash_128
from regiment.sip.comparison cimport uri_parts
from regiment.sip.digest cimport read_hex
from regiment.sip.field cimport Span, equals_folded, lower


cdef bint identify(const Key* key, const char* uri, uint32_t length, Identity* out) noexcept nogil:
    cdef Span user, host, parameters
    cdef uint16_t port = 0
    cdef uint32_t at, end, written = 0
    cdef uint8_t byte = 0
    # what is written is never longer than the URI
    if length >= AOR_BYTES or uri_parts(uri, length, &user, &host, &port, &parameters) < 0:
        return 0
    at = user.start
    end = user.start + user.length
    while at < end:
        if uri[at] == c"%" and end - at > 2 and read_hex(&byte, uri + at + 1, 1) == 0:
            out.text[written] = <char>byte
            at += 3
        else:
            out.text[written] = uri[at]
            at += 1
        written += 1
    out.user_length = written
    if user.length:
        out.text[written] = c"@"
        written += 1
    out.host_start = written
    out.host_length = host.length
    for at in range(host.length):
        out.text[written] = lower(uri[host.start + at])
        written += 1
    if port:
        out.text[written] = c":"
        written += 1 + _write_port(out.text + written + 1, port)
    out.length = written
    keyed_hash_128(key, out.text, written, &out.high, &out.low)
    return 1


cdef uint32_t _write_port(char* out, uint16_t port) noexcept nogil:
    cdef uint32_t length = 1, i
    cdef uint16_t rest = port // 10
    while rest:
        length += 1
        rest //= 10
    for i in range(length):
        out[length - 1 - i] = <char>(c"0" + port % 10)
        port //= 10
    return length


cdef bint is_sip(const char* data, Span uri) noexcept nogil:
    cdef Span scheme = uri
    scheme.length = min(uri.length, <uint32_t>4)
    if equals_folded(data, scheme, b"sip:", 4):
        return 1
    scheme.length = min(uri.length, <uint32_t>5)
    return equals_folded(data, scheme, b"sips:", 5)
