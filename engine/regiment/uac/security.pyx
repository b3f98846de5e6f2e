"""Security mechanisms that the other side names (RFC 3329), kept for Security-Verify.

What a 401, 407 or 494 says in Security-Server is given back in Security-Verify by every request
from then on, refreshes too (RFC 3329 section 2.3). The list is always the last one: it is replaced
and never added to, and a mechanism that comes twice is kept once, for registrars answer a list that
grows with 403. It is kept as header lines, ready to be sent.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcmp, memcpy

from regiment.sip.field cimport Span, equals_folded, next_listed, trimmed
from regiment.sip.scanner cimport H_SECURITY_SERVER, SCAN_OK, next_header, scan
from regiment.uac.annex cimport ANNEX_SECURITY, annex_find, annex_put, annexes_free

cdef enum:
    MECHANISMS_MAX = 8
    MECHANISM_BYTES_MAX = 256
    NAME_BYTES = 17              # "Security-Verify: "
    LINES_BYTES = MECHANISMS_MAX * (NAME_BYTES + MECHANISM_BYTES_MAX + 2)

cdef struct Listing:
    char data[LINES_BYTES]
    uint32_t length
    uint32_t starts[MECHANISMS_MAX + 1]          # of each line, and where the next one would begin
    uint32_t count


cdef bint is_known(const char* data, Span name) noexcept nogil:
    """The mechanisms that Asterisk knows; any other one is passed over."""
    return (equals_folded(data, name, b"sdes-srtp", 9)
            or equals_folded(data, name, b"dtls-srtp", 9)
            or equals_folded(data, name, b"msrp-tls", 8)
            or equals_folded(data, name, b"none", 4))


cdef inline Span next_part(const char* data, uint32_t* position, uint32_t end) noexcept nogil:
    """What stands before the next unquoted semicolon, without blanks; *position is behind that."""
    cdef Span part
    cdef uint32_t p = position[0]
    cdef bint quoted = False
    part.start = p
    while p < end and (quoted or data[p] != c';'):
        if data[p] == c'"':
            quoted = not quoted
        elif quoted and data[p] == c'\\':
            p += 1
        p += 1
    p = min(p, end)
    part.length = p - part.start
    position[0] = p + 1
    return trimmed(data, part)


cdef bint is_preference(const char* data, Span part) noexcept nogil:
    """`q=…`: it is read, but never sent back."""
    cdef Span name = part
    name.length = 0
    while name.length < part.length and data[part.start + name.length] != c'=':
        name.length += 1
    return name.length < part.length and equals_folded(data, trimmed(data, name), b"q", 1)


cdef bint add_part(Listing* lines, const char* data, Span part, bint first) noexcept nogil:
    """False: the mechanism is too long."""
    cdef uint32_t at, start = lines.starts[lines.count]
    cdef char* out = lines.data + lines.length
    if lines.length + part.length + (not first) > start + NAME_BYTES + MECHANISM_BYTES_MAX:
        return False
    if not first:
        out[0] = c';'
        out += 1
    for at in range(part.length):
        out[at] = data[part.start + at] if <unsigned char>data[part.start + at] >= 32 else c' '
    lines.length = <uint32_t>(out - lines.data) + part.length
    return True


cdef void add_mechanism(Listing* lines, const char* data, Span value) noexcept nogil:
    cdef uint32_t position = value.start, end = value.start + value.length
    cdef uint32_t start = lines.length, at
    cdef Span part = next_part(data, &position, end)
    cdef bint fits
    if lines.count == MECHANISMS_MAX or not is_known(data, part):
        return
    lines.starts[lines.count] = start
    memcpy(lines.data + start, b"Security-Verify: ", NAME_BYTES)
    lines.length += NAME_BYTES
    fits = add_part(lines, data, part, True)
    while fits and position < end:
        part = next_part(data, &position, end)
        if part.length and not is_preference(data, part):
            fits = add_part(lines, data, part, False)
    if fits:
        lines.data[lines.length] = c'\r'
        lines.data[lines.length + 1] = c'\n'
        lines.length += 2
        for at in range(lines.count):
            if lines.starts[at + 1] - lines.starts[at] == lines.length - start and memcmp(
                    lines.data + lines.starts[at], lines.data + start, lines.length - start) == 0:
                fits = False
                break
    if not fits:
        lines.length = start
        return
    lines.count += 1
    lines.starts[lines.count] = lines.length


cdef void take_security_server(Annex** annexes, const char* data,
                               const Message* message) noexcept nogil:
    cdef Listing lines
    cdef Span line, value
    cdef uint32_t cursor = 0, position
    lines.length = lines.count = 0
    lines.starts[0] = 0
    if message.count[H_SECURITY_SERVER] == 0:
        return
    while next_header(data, message, H_SECURITY_SERVER, &cursor, &line):
        position = line.start
        while next_listed(data, &position, line.start + line.length, &value):
            add_mechanism(&lines, data, value)
    annex_put(annexes, ANNEX_SECURITY, lines.data, lines.length)


cdef void forget_security_server(Annex** annexes) noexcept nogil:
    annex_put(annexes, ANNEX_SECURITY, NULL, 0)


cdef Text security_verify(const Annex* annexes) noexcept nogil:
    cdef Text text
    cdef const Annex* annex = annex_find(annexes, ANNEX_SECURITY)
    text.data, text.length = NULL, 0
    if annex != NULL:
        text.data = &annex.data[0]
        text.length = annex.length
    return text


def verify_after(*messages):
    """For tests: the lines of Security-Verify after these responses, one after the other."""
    cdef Annex* annexes = NULL
    cdef Message scanned
    cdef Text text
    cdef bytes raw
    for message in messages:
        raw = message
        if scan(raw, <uint32_t>len(raw), &scanned) == SCAN_OK:
            take_security_server(&annexes, raw, &scanned)
    text = security_verify(annexes)
    found = text.data[:text.length] if text.length else b""
    annexes_free(&annexes)
    return found
