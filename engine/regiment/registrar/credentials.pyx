# cython: boundscheck=False, wraparound=False
"""Reads the credentials of an Authorization header: one pass over ``name=value`` pairs.

Unknown parameters are passed over. A known one that is there twice makes the whole value
unreadable: two usernames would leave open which of them was verified.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr, memset

from regiment.sip.field cimport Span, equals_folded, is_blank
from regiment.sip.response cimport A_NONE, algorithm_of


cdef inline bint _is_token_end(char c) noexcept nogil:
    # One comparison for most bytes: every end but "=" lies below the letters and digits' "/".
    return c == c"=" or (<uint8_t>c < c"/" and (is_blank(c) or c == c"," or c == c'"'))


cdef inline uint32_t _closing_quote(const char* data, uint32_t at, uint32_t end) noexcept nogil:
    # The offset of the quote that closes what is open at `at`, or `end` and beyond.
    cdef const char* found = <const char*>memchr(data + at, c'"', end - at)
    if found == NULL:
        return end
    if found == data + at or memchr(data + at, c"\\", found - data - at) == NULL:
        return <uint32_t>(found - data)
    while at < end and data[at] != c'"':
        at += 2 if data[at] == c"\\" else 1
    return at


cdef int _hex_digit(char c) noexcept nogil:
    if c"0" <= c <= c"9":
        return c - c"0"
    if c"a" <= c <= c"f":
        return c - c"a" + 10
    if c"A" <= c <= c"F":
        return c - c"A" + 10
    return -1


cdef bint _nonce_count(const char* text, uint32_t length, uint32_t* nc) noexcept nogil:
    # RFC 7616 section 3.4: exactly eight hex digits
    cdef uint32_t number = 0, i
    cdef int digit
    if length != 8:
        return 0
    for i in range(8):
        digit = _hex_digit(text[i])
        if digit < 0:
            return 0
        number = (number << 4) | <uint32_t>digit
    nc[0] = number
    return 1


# One bit for each known parameter, so that a second one is noticed.
cdef enum Parameter:
    P_OTHER = 0
    P_USERNAME = 1
    P_REALM = 2
    P_NONCE = 4
    P_URI = 8
    P_RESPONSE = 16
    P_ALGORITHM = 32
    P_CNONCE = 64
    P_OPAQUE = 128
    P_QOP = 256
    P_NC = 512


cdef int _parameter(const char* data, Span name) noexcept nogil:
    cdef char first
    if name.length == 0:
        return P_OTHER
    first = data[name.start] | 0x20
    if first == c"n":
        if equals_folded(data, name, b"nonce", 5):
            return P_NONCE
        return P_NC if equals_folded(data, name, b"nc", 2) else P_OTHER
    if first == c"r":
        if equals_folded(data, name, b"response", 8):
            return P_RESPONSE
        return P_REALM if equals_folded(data, name, b"realm", 5) else P_OTHER
    if first == c"u":
        if equals_folded(data, name, b"uri", 3):
            return P_URI
        return P_USERNAME if equals_folded(data, name, b"username", 8) else P_OTHER
    if first == c"c":
        return P_CNONCE if equals_folded(data, name, b"cnonce", 6) else P_OTHER
    if first == c"q":
        return P_QOP if equals_folded(data, name, b"qop", 3) else P_OTHER
    if first == c"o":
        return P_OPAQUE if equals_folded(data, name, b"opaque", 6) else P_OTHER
    if first == c"a":
        return P_ALGORITHM if equals_folded(data, name, b"algorithm", 9) else P_OTHER
    return P_OTHER


cdef void _keep(int parameter, const char* data, Span value, Credentials* out) noexcept nogil:
    if parameter == P_USERNAME:
        out.username = value
    elif parameter == P_REALM:
        out.realm = value
    elif parameter == P_NONCE:
        out.nonce = value
    elif parameter == P_URI:
        out.uri = value
    elif parameter == P_RESPONSE:
        out.response = value
    elif parameter == P_CNONCE:
        out.cnonce = value
    elif parameter == P_OPAQUE:
        out.opaque = value
    elif parameter == P_ALGORITHM:
        out.algorithm = algorithm_of(data, value)
    elif parameter == P_QOP:
        out.has_qop = 1
        out.qop_auth = equals_folded(data, value, b"auth", 4)
    elif parameter == P_NC:
        out.has_nc = _nonce_count(data + value.start, value.length, &out.nc)


cdef int read_credentials(const char* data, Span value, Credentials* out) noexcept nogil:
    cdef uint32_t at = value.start, end = value.start + value.length
    cdef Span scheme, name, text
    cdef int parameter, seen = 0
    memset(out, 0, sizeof(Credentials))
    out.algorithm = A_NONE
    while at < end and is_blank(data[at]):
        at += 1
    scheme.start = at
    while at < end and not _is_token_end(data[at]):
        at += 1
    scheme.length = at - scheme.start
    if not equals_folded(data, scheme, b"digest", 6):
        return 1
    while True:
        while at < end and (is_blank(data[at]) or data[at] == c","):
            at += 1
        if at >= end:
            return 0
        name.start = at
        while at < end and not _is_token_end(data[at]):
            at += 1
        name.length = at - name.start
        while at < end and is_blank(data[at]):
            at += 1
        if name.length == 0 or at >= end or data[at] != c"=":
            return -1
        at += 1
        while at < end and is_blank(data[at]):
            at += 1
        if at < end and data[at] == c'"':
            at += 1
            text.start = at
            at = _closing_quote(data, at, end)
            if at >= end:
                return -1
            text.length = at - text.start
            at += 1
        else:
            text.start = at
            while at < end and not is_blank(data[at]) and data[at] != c",":
                at += 1
            text.length = at - text.start
        parameter = _parameter(data, name)
        if parameter & seen:
            return -1
        seen |= parameter
        _keep(parameter, data, text, out)


def credentials(bytes value not None):
    """See credentials.pyi."""
    cdef Credentials found
    cdef Span whole
    cdef const char* data = value
    whole.start = 0
    whole.length = <uint32_t>len(value)
    cdef int result = read_credentials(data, whole, &found)
    if result:
        return result
    return {
        "username": value[found.username.start:found.username.start + found.username.length],
        "realm": value[found.realm.start:found.realm.start + found.realm.length],
        "nonce": value[found.nonce.start:found.nonce.start + found.nonce.length],
        "uri": value[found.uri.start:found.uri.start + found.uri.length],
        "response": value[found.response.start:found.response.start + found.response.length],
        "cnonce": value[found.cnonce.start:found.cnonce.start + found.cnonce.length],
        "opaque": value[found.opaque.start:found.opaque.start + found.opaque.length],
        "algorithm": found.algorithm,
        "qop": (b"auth" if found.qop_auth else b"other") if found.has_qop else b"",
        "nc": found.nc if found.has_nc else -1,
    }
