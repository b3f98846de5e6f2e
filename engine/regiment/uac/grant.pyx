"""For how long a 2xx to our REGISTER has bound us (RFC 3261 section 10.2.4).

A registrar answers with all bindings of the AOR, so ours has to be found: by the Contact that was
sent; where a NAT or a proxy has rewritten it, by our `line`; else by our user part if only one
Contact has it. Only then the rules for "not found" apply: a lone Contact counts as ours, else the
Expires header, else what was asked for.
"""

from libc.string cimport memcmp

from regiment.sip.response cimport (
    ContactCursor, ContactValue, find_parameter, next_contact, uri_equal, uri_parts,
)
from regiment.sip.scanner cimport SCAN_OK, Span, scan

ctypedef struct Search:
    # The smallest `expires` among those that matched, -1: none had one.
    int64_t by_uri, by_line, by_user, lone
    uint32_t uris, lines, users, contacts


cdef inline int64_t smaller(int64_t a, int64_t b) noexcept nogil:
    if a < 0:
        return b
    return a if b < 0 or a < b else b


cdef bint same_bytes(const char* a, uint32_t a_length, const char* b,
                     uint32_t b_length) noexcept nogil:
    return a_length == b_length and memcmp(a, b, a_length) == 0


cdef void look_at(const char* data, const ContactValue* value, const char* contact,
                  uint32_t contact_length, const char* line, uint32_t line_length,
                  Search* search) noexcept nogil:
    cdef const char* uri = data + value.uri.start
    cdef Span our_user, user, host, parameters, found
    cdef unsigned short port
    search.contacts += 1
    search.lone = value.expires
    # nearly always a registrar echoes the very bytes
    if same_bytes(contact, contact_length, uri, value.uri.length) or uri_equal(
            contact, contact_length, uri, value.uri.length):
        search.uris += 1
        search.by_uri = smaller(search.by_uri, value.expires)
        return
    if uri_parts(uri, value.uri.length, &user, &host, &port, &parameters) < 0:
        return
    if line_length and find_parameter(uri, parameters, b"line", 4, &found) and same_bytes(
            uri + found.start, found.length, line, line_length):
        search.lines += 1
        search.by_line = smaller(search.by_line, value.expires)
    if uri_parts(contact, contact_length, &our_user, &host, &port, &parameters) >= 0 and same_bytes(
            uri + user.start, user.length, contact + our_user.start, our_user.length):
        search.users += 1
        search.by_user = value.expires


cdef int64_t granted_s(const char* data, const Message* message, const char* contact,
                       uint32_t contact_length, const char* line, uint32_t line_length,
                       int64_t requested_s) noexcept nogil:
    cdef Search search
    cdef ContactCursor cursor
    cdef ContactValue value
    cdef int more
    cdef int64_t granted
    search.by_uri = search.by_line = search.by_user = search.lone = -1
    search.uris = search.lines = search.users = search.contacts = 0
    cursor.line = cursor.position = cursor.seen = 0
    cursor.value.start = cursor.value.length = 0
    while True:
        more = next_contact(data, message, &cursor, &value)
        if more == 0:
            break
        if more < 0:
            # somebody else's odd Contact does not undo what was said of ours before it
            if search.uris or search.lines:
                break
            return GRANT_UNREADABLE
        look_at(data, &value, contact, contact_length, line, line_length, &search)
    if search.uris:
        granted = search.by_uri
    elif search.lines:
        granted = search.by_line
    elif search.users == 1:
        granted = search.by_user
    elif search.contacts == 1:
        granted = search.lone
    else:
        granted = -1
    if granted <= 0:
        granted = message.expires if message.expires >= 0 else requested_s
        if granted < 0:
            granted = GRANT_DEFAULT_S
    return min(granted, <int64_t>GRANT_CAP_S)


def granted(message, contact, line=b"", requested_s=3600):
    """For tests: the seconds that the 2xx `message` grants to `contact`; None: unreadable."""
    cdef Message scanned
    cdef bytes raw = message, uri = contact, letters = line
    if scan(raw, <uint32_t>len(raw), &scanned) != SCAN_OK:
        return None
    cdef int64_t seconds = granted_s(raw, &scanned, uri, <uint32_t>len(uri), letters,
                                     <uint32_t>len(letters), requested_s)
    return None if seconds < 0 else seconds
