"""Readers of header values on the scanner's spans: see response.pyi and response.pxd."""
from collections import namedtuple

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memchr, memcmp, memset

from regiment.sip.scanner cimport (
    H_CONTACT,
    Message,
    Span,
    equals_folded,
    is_blank,
    lower,
    next_header,
    next_parameter,
    read_number,
    scan,
    skip_address,
    trimmed,
)

ALGORITHMS = ("", "MD5", "SHA-256", "SHA-512-256", "unknown")

Contact = namedtuple("Contact", ("uri", "expires", "is_star"))
DigestChallenge = namedtuple("DigestChallenge", (
    "is_digest", "realm", "nonce", "opaque", "domain", "algorithm", "has_qop", "qop_auth",
    "stale",
))
NextNonce = namedtuple("NextNonce", ("nextnonce", "rspauth", "qop_auth"))

cdef enum:
    # Comparing URIs is a search of every parameter of one in the other, so what a peer sends is
    # bounded: beyond this many, two URIs are equal only byte for byte.
    COMPARED_PARAMETERS = 32
    LINES_DONE = 0xffffffff

cdef struct Uri:
    bint secure
    bint has_user, has_password
    uint16_t port
    Span user, password, host
    Span parameters                # from the first ';'
    Span headers                   # behind the '?'


# --- Contact ------------------------------------------------------------------------------------

# Moves the cursor to the next Contact line; 0: there is none.
cdef bint open_line(const char* data, const Message* message,
                    ContactCursor* cursor) noexcept nogil:
    if cursor.seen >= message.count[H_CONTACT]:
        return False
    if message.count[H_CONTACT] == 1:
        cursor.value = message.first[H_CONTACT]
    elif not next_header(data, message, H_CONTACT, &cursor.line, &cursor.value):
        return False
    cursor.seen += 1
    cursor.position = cursor.value.start
    return True


cdef int next_contact(const char* data, const Message* message, ContactCursor* cursor,
                      ContactValue* out) noexcept nogil:
    cdef uint32_t p, end
    cdef Span name, value
    while True:
        p = cursor.position
        end = cursor.value.start + cursor.value.length
        while p < end and (is_blank(data[p]) or data[p] == c','):
            p += 1
        if p < end:
            break
        if not open_line(data, message, cursor):
            return 0
    p = skip_address(data, p, end, &out.uri)
    if p > end or out.uri.length == 0:
        cursor.position = end
        cursor.seen = LINES_DONE
        return -1
    out.is_star = out.uri.length == 1 and data[out.uri.start] == c'*'
    out.expires = -1
    while next_parameter(data, &p, end, &name, &value):
        if out.expires < 0 and equals_folded(data, name, b"expires", 7):
            out.expires = read_number(data, value)
    cursor.position = p
    return 1


# --- challenges ---------------------------------------------------------------------------------

# The next `name=value` of a comma list; quotes are taken off. 1: one, 0: no more (or another
# scheme begins), -1: unreadable. A name without a value is passed over.
cdef int next_auth_parameter(const char* data, uint32_t* position, uint32_t end,
                             Span* name, Span* value) noexcept nogil:
    cdef uint32_t p = position[0]
    while True:
        while p < end and (is_blank(data[p]) or data[p] == c','):
            p += 1
        if p >= end:
            return 0
        name.start = p
        while p < end and data[p] != c'=' and data[p] != c',' and not is_blank(data[p]):
            p += 1
        name.length = p - name.start
        while p < end and is_blank(data[p]):
            p += 1
        if p < end and data[p] == c'=':
            break
        if p < end and data[p] != c',':
            return 0
    if name.length == 0:
        return -1
    p += 1
    while p < end and is_blank(data[p]):
        p += 1
    value.start = p
    if p < end and data[p] == c'"':
        p += 1
        value.start = p
        while p < end and data[p] != c'"':
            p += 2 if data[p] == c'\\' else 1
        if p >= end:
            return -1
        value.length = p - value.start
        p += 1
    else:
        while p < end and data[p] != c',' and not is_blank(data[p]):
            p += 1
        value.length = p - value.start
    position[0] = p
    return 1


cdef uint8_t algorithm_of(const char* data, Span value) noexcept nogil:
    if equals_folded(data, value, b"md5", 3):
        return A_MD5
    if equals_folded(data, value, b"sha-256", 7):
        return A_SHA256
    if equals_folded(data, value, b"sha-512-256", 11):
        return A_SHA512_256
    return A_UNKNOWN


# "auth" among the comma-separated tokens of a qop value.
cdef bint offers_auth(const char* data, Span value) noexcept nogil:
    cdef uint32_t p = value.start, end = value.start + value.length
    cdef Span item
    while p < end:
        item.start = p
        while p < end and data[p] != c',':
            p += 1
        item.length = p - item.start
        if equals_folded(data, trimmed(data, item), b"auth", 4):
            return True
        p += 1
    return False


cdef void keep_first(Span* kept, Span value) noexcept nogil:
    if kept.length == 0:
        kept[0] = value


cdef int read_challenge(const char* data, Span value, Challenge* out) noexcept nogil:
    cdef uint32_t p = value.start, end = value.start + value.length
    cdef Span name, text
    cdef bint has_realm = False
    cdef int got
    memset(out, 0, sizeof(Challenge))
    while p < end and not is_blank(data[p]):
        p += 1
    name.start = value.start
    name.length = p - value.start
    if name.length == 0:
        return -1
    if not equals_folded(data, name, b"digest", 6):
        return 0
    out.is_digest = True
    while True:
        got = next_auth_parameter(data, &p, end, &name, &text)
        if got <= 0:
            break
        if equals_folded(data, name, b"realm", 5):
            keep_first(&out.realm, text)
            has_realm = True
        elif equals_folded(data, name, b"nonce", 5):
            keep_first(&out.nonce, text)
        elif equals_folded(data, name, b"opaque", 6):
            keep_first(&out.opaque, text)
        elif equals_folded(data, name, b"domain", 6):
            keep_first(&out.domain, text)
        elif equals_folded(data, name, b"stale", 5):
            out.stale = equals_folded(data, text, b"true", 4)
        elif equals_folded(data, name, b"algorithm", 9):
            out.algorithm = algorithm_of(data, text)
        elif equals_folded(data, name, b"qop", 3) and trimmed(data, text).length:
            out.has_qop = True
            out.qop_auth = out.qop_auth or offers_auth(data, text)
    return -1 if got < 0 or out.nonce.length == 0 or not has_realm else 0


cdef int read_authentication_info(const char* data, Span value,
                                  AuthenticationInfo* out) noexcept nogil:
    cdef uint32_t p = value.start, end = value.start + value.length
    cdef Span name, text
    cdef int got
    memset(out, 0, sizeof(AuthenticationInfo))
    while True:
        got = next_auth_parameter(data, &p, end, &name, &text)
        if got <= 0:
            return got
        if equals_folded(data, name, b"nextnonce", 9):
            keep_first(&out.nextnonce, text)
        elif equals_folded(data, name, b"rspauth", 7):
            keep_first(&out.rspauth, text)
        elif equals_folded(data, name, b"qop", 3):
            out.qop_auth = offers_auth(data, text)


cdef bint find_parameter(const char* data, Span value, const char* name, uint32_t name_length,
                         Span* out) noexcept nogil:
    cdef uint32_t p = value.start, end = value.start + value.length
    cdef const char* found
    cdef Span found_name, found_value
    if value.length == 0:
        return False
    if data[p] != c';':
        # a ';' before the '@' of a bare URI belongs to its user part (RFC 3261 19.1.2)
        if memchr(data + p, c'<', value.length) == NULL:
            if memchr(data + p, c'"', value.length) == NULL:
                found = <const char*>memchr(data + p, c'@', value.length)
                if found != NULL:
                    p = <uint32_t>(found - data)
        p = skip_address(data, p, end, &found_value)
        if p > end:
            return False
    while next_parameter(data, &p, end, &found_name, &found_value):
        if equals_folded(data, found_name, name, name_length):
            out[0] = found_value
            return True
    return False


# --- URIs (RFC 3261 19.1) -----------------------------------------------------------------------

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

cdef Span whole(bytes data):
    cdef Span span
    span.start = 0
    span.length = <uint32_t>len(data)
    return span


cdef bytes text_of(bytes data, Span span):
    return data[span.start:span.start + span.length]


def contacts_of(bytes data not None):
    cdef Message message
    cdef ContactCursor cursor
    cdef ContactValue contact
    cdef int got
    scan(data, <uint32_t>len(data), &message)
    memset(&cursor, 0, sizeof(cursor))
    found = []
    while True:
        got = next_contact(data, &message, &cursor, &contact)
        if got <= 0:
            return found, got == 0
        found.append(Contact(text_of(data, contact.uri), contact.expires, bool(contact.is_star)))


def challenge_of(bytes value not None):
    cdef Challenge challenge
    if read_challenge(value, whole(value), &challenge) < 0:
        return None
    return DigestChallenge(
        bool(challenge.is_digest), text_of(value, challenge.realm),
        text_of(value, challenge.nonce), text_of(value, challenge.opaque),
        text_of(value, challenge.domain), ALGORITHMS[challenge.algorithm],
        bool(challenge.has_qop), bool(challenge.qop_auth), bool(challenge.stale),
    )


def authentication_info_of(bytes value not None):
    cdef AuthenticationInfo info
    if read_authentication_info(value, whole(value), &info) < 0:
        return None
    return NextNonce(text_of(value, info.nextnonce), text_of(value, info.rspauth),
                     bool(info.qop_auth))


def parameter_of(bytes value not None, bytes name not None):
    cdef Span found
    if not find_parameter(value, whole(value), name, <uint32_t>len(name), &found):
        return None
    return text_of(value, found)


def are_uris_equal(bytes a not None, bytes b not None):
    return bool(uri_equal(a, <uint32_t>len(a), b, <uint32_t>len(b)))


def uri_parts_of(bytes uri not None):
    cdef Span user, host, parameters
    cdef uint16_t port
    if uri_parts(uri, <uint32_t>len(uri), &user, &host, &port, &parameters) < 0:
        return None
    return text_of(uri, user), text_of(uri, host), port, text_of(uri, parameters)
