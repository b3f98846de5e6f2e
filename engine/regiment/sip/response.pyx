"""Readers of header values on the scanner's spans: see response.pyi and response.pxd."""
from collections import namedtuple

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr, memset

from regiment.sip.field cimport (
    Span,
    equals_folded,
    is_blank,
    next_parameter,
    read_number,
    skip_address,
    trimmed,
)
from regiment.sip.scanner cimport H_CONTACT, Message, next_header, scan

ALGORITHMS = ("", "MD5", "SHA-256", "SHA-512-256", "unknown")

Contact = namedtuple("Contact", ("uri", "expires", "is_star"))
DigestChallenge = namedtuple("DigestChallenge", (
    "is_digest", "realm", "nonce", "opaque", "domain", "algorithm", "has_qop", "qop_auth",
    "stale",
))
NextNonce = namedtuple("NextNonce", ("nextnonce", "rspauth", "qop_auth"))

cdef enum:
    LINES_DONE = 0xffffffff


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
