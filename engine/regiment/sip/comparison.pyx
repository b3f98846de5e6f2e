"""SIP URIs taken apart and compared (RFC 3261 sections 19.1.1 and 19.1.4): see comparison.pyi."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memchr, memcmp, memset

from regiment.sip.field cimport Span, equals_folded, lower, next_parameter

cdef enum:
    # Comparing URIs is a search of every parameter of one in the other, so what a peer sends is
    # bounded: beyond this many, two URIs are equal only byte for byte.
    COMPARED_PARAMETERS = 32

cdef struct Uri:
    bint secure
    bint has_user, has_password
    uint16_t port
    Span user, password, host
    Span parameters                # from the first ';'
    Span headers                   # behind the '?'


cdef inline bint is_host_byte(char c, bint literal) noexcept nogil:
    if c'0' <= c <= c'9' or c'a' <= lower(c) <= c'z' or c == c'.':
        return True
    return c == c':' if literal else c == c'-' or c == c'_'


# host [":" port] at *position; moves it behind; 0: unreadable. Brackets are not part of the host.
cdef bint read_host_port(const char* data, uint32_t* position, uint32_t end,
                         Uri* out) noexcept nogil:
    cdef uint32_t p = position[0]
    cdef uint32_t port = 0
    cdef bint literal = p < end and data[p] == c'['
    if literal:
        p += 1
    out.host.start = p
    while p < end and is_host_byte(data[p], literal):
        p += 1
    out.host.length = p - out.host.start
    if out.host.length == 0:
        return False
    if literal:
        if p >= end or data[p] != c']':
            return False
        p += 1
    if p < end and data[p] == c':':
        p += 1
        while p < end and c'0' <= data[p] <= c'9' and port <= 65535:
            port = port * 10 + (data[p] - c'0')
            p += 1
        if port == 0 or port > 65535:
            return False
    out.port = <uint16_t>port
    position[0] = p
    return p == end or data[p] == c';' or data[p] == c'?'


cdef bint read_user(const char* data, uint32_t start, uint32_t end, Uri* out) noexcept nogil:
    cdef const char* colon = <const char*>memchr(data + start, c':', end - start)
    out.has_user = True
    out.user.start = start
    out.user.length = end - start
    if colon != NULL:
        out.has_password = True
        out.user.length = <uint32_t>(colon - data) - start
        out.password.start = start + out.user.length + 1
        out.password.length = end - out.password.start
    return out.user.length > 0


cdef bint read_uri(const char* data, uint32_t length, Uri* out) noexcept nogil:
    cdef uint32_t p = 4, i
    cdef const char* found
    cdef Span scheme
    memset(out, 0, sizeof(Uri))
    scheme.start = 0
    scheme.length = 4
    if length < 5:
        return False
    if not equals_folded(data, scheme, b"sip:", 4):
        scheme.length = 5
        if not equals_folded(data, scheme, b"sips:", 5):
            return False
        out.secure = True
        p = 5
    for i in range(p, length):
        if (<uint8_t>data[i] <= 0x20 or data[i] == 0x7f or data[i] == c'<' or data[i] == c'>'
                or data[i] == c'"'):
            return False
    found = <const char*>memchr(data + p, c'@', length - p)
    if found != NULL:
        if not read_user(data, p, <uint32_t>(found - data), out):
            return False
        p = <uint32_t>(found - data) + 1
    if not read_host_port(data, &p, length, out):
        return False
    found = <const char*>memchr(data + p, c'?', length - p)
    out.parameters.start = p
    out.parameters.length = length - p
    if found != NULL:
        out.parameters.length = <uint32_t>(found - data) - p
        out.headers.start = p + out.parameters.length + 1
        out.headers.length = length - out.headers.start
    return True


cdef int uri_parts(const char* data, uint32_t length, Span* user, Span* host,
                   uint16_t* port, Span* parameters) noexcept nogil:
    cdef Uri uri
    if not read_uri(data, length, &uri):
        return -1
    user[0] = uri.user
    host[0] = uri.host
    port[0] = uri.port
    parameters[0] = uri.parameters
    return 0


cdef inline int hex_value(char c) noexcept nogil:
    if c'0' <= c <= c'9':
        return c - c'0'
    c = lower(c)
    return c - c'a' + 10 if c'a' <= c <= c'f' else -1


# The byte at *position, an escape "%" HEX HEX taken as the byte that it means; moves behind it.
cdef inline char decoded(const char* data, uint32_t* position, uint32_t end) noexcept nogil:
    cdef uint32_t p = position[0]
    cdef int high, low
    if data[p] == c'%' and end - p > 2:
        high = hex_value(data[p + 1])
        low = hex_value(data[p + 2])
        if high >= 0 and low >= 0:
            position[0] = p + 3
            return <char>(high * 16 + low)
    position[0] = p + 1
    return data[p]


cdef bint equals_decoded(const char* a, Span x, const char* b, Span y,
                         bint fold) noexcept nogil:
    cdef uint32_t p = x.start, q = y.start
    cdef uint32_t p_end = x.start + x.length, q_end = y.start + y.length
    cdef char c, d
    while p < p_end and q < q_end:
        c = decoded(a, &p, p_end)
        d = decoded(b, &q, q_end)
        if c != d and not (fold and lower(c) == lower(d)):
            return False
    return p == p_end and q == q_end


# Parameters that count even where only one URI has them. Besides those that RFC 3261 names, its
# examples tell `transport` so: without it a URI can resolve to another transport.
cdef bint must_be_in_both(const char* data, Span name) noexcept nogil:
    return (equals_folded(data, name, b"transport", 9) or equals_folded(data, name, b"user", 4)
            or equals_folded(data, name, b"method", 6) or equals_folded(data, name, b"ttl", 3)
            or equals_folded(data, name, b"maddr", 5))


# Every parameter of `a` that must match one of `b` does.
cdef bint parameters_match(const char* a, Span x, const char* b, Span y) noexcept nogil:
    cdef uint32_t p = x.start, q, p_end = x.start + x.length, q_end = y.start + y.length
    cdef int left = COMPARED_PARAMETERS, right
    cdef Span name, value, other_name, other_value
    cdef bint found
    while next_parameter(a, &p, p_end, &name, &value):
        left -= 1
        if left < 0:
            return False
        found = False
        right = COMPARED_PARAMETERS
        q = y.start
        while not found and next_parameter(b, &q, q_end, &other_name, &other_value):
            right -= 1
            if right < 0:
                return False
            found = equals_decoded(a, name, b, other_name, True)
        if found:
            if not equals_decoded(a, value, b, other_value, True):
                return False
        elif must_be_in_both(a, name):
            return False
    return True


# The next `name=value` of a URI's headers component, split at '&'; name and value as one span.
cdef bint next_uri_header(const char* data, uint32_t* position, uint32_t end,
                          Span* item) noexcept nogil:
    cdef uint32_t p = position[0]
    if p >= end:
        return False
    item.start = p
    while p < end and data[p] != c'&':
        p += 1
    item.length = p - item.start
    position[0] = p + 1
    return True


# Every header of `a` is one of `b` (order does not matter, RFC 3261 19.1.4).
cdef bint headers_match(const char* a, Span x, const char* b, Span y) noexcept nogil:
    cdef uint32_t p = x.start, q, p_end = x.start + x.length, q_end = y.start + y.length
    cdef int left = COMPARED_PARAMETERS, right
    cdef Span item, other
    cdef bint found
    while next_uri_header(a, &p, p_end, &item):
        left -= 1
        found = False
        right = COMPARED_PARAMETERS
        q = y.start
        while left >= 0 and right > 0 and not found and next_uri_header(b, &q, q_end, &other):
            right -= 1
            found = equals_decoded(a, item, b, other, True)
        if not found:
            return False
    return True


cdef bint uri_equal(const char* a, uint32_t a_length,
                    const char* b, uint32_t b_length) noexcept nogil:
    cdef Uri x, y
    if a_length == b_length and memcmp(a, b, a_length) == 0:
        return True
    if not read_uri(a, a_length, &x) or not read_uri(b, b_length, &y):
        return False
    if (x.secure != y.secure or x.port != y.port or x.has_user != y.has_user
            or x.has_password != y.has_password):
        return False
    return (equals_decoded(a, x.host, b, y.host, True)
            and equals_decoded(a, x.user, b, y.user, False)
            and equals_decoded(a, x.password, b, y.password, False)
            and parameters_match(a, x.parameters, b, y.parameters)
            and parameters_match(b, y.parameters, a, x.parameters)
            and headers_match(a, x.headers, b, y.headers)
            and headers_match(b, y.headers, a, x.headers))


# --- for tests and tools ------------------------------------------------------------------------

cdef bytes text_of(bytes data, Span span):
    return data[span.start:span.start + span.length]


def are_uris_equal(bytes a not None, bytes b not None):
    return bool(uri_equal(a, <uint32_t>len(a), b, <uint32_t>len(b)))


def uri_parts_of(bytes uri not None):
    cdef Span user, host, parameters
    cdef uint16_t port
    if uri_parts(uri, <uint32_t>len(uri), &user, &host, &port, &parameters) < 0:
        return None
    return text_of(uri, user), text_of(uri, host), port, text_of(uri, parameters)
