"""One pass over a SIP message (RFC 3261 sections 7 and 25): see scanner.pyi and scanner.pxd.

Every line end is found by memchr and every byte is looked at a bounded number of times, so the
cost is linear in the length whatever the datagram holds. Nothing is copied and nothing allocated.
"""
from collections import namedtuple

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcpy, memset

from regiment.sip.field cimport (
    Span,
    equals_folded,
    is_blank,
    next_parameter,
    read_number,
    skip_address,
    skip_blanks,
    trimmed,
)
from regiment.sip.names cimport header_of, method_of

from regiment.sip.names import HEADERS, METHODS

ERRORS = (
    "ok", "empty", "start_line", "truncated", "header", "via", "cseq", "mandatory", "length",
)
Scan = namedtuple("Scan", (
    "error", "is_request", "status", "method", "method_name", "request_uri", "reason",
    "via_sent_by", "via_branch", "from_tag", "to_tag", "cseq", "cseq_method",
    "cseq_method_name", "expires", "min_expires", "retry_after", "content_length",
    "headers_end", "first", "lines",
))

cdef enum:
    CSEQ_LIMIT = 0x80000000        # RFC 3261 8.1.1.5: less than 2**31
    KIND_TOKEN = 1                 # RFC 3261 25.1, token
    KIND_CONTROL = 2               # what no header name holds, even a sloppy one
    KIND_DIGIT = 4
    NO_HEADER = -1                 # read_name: the line is none

cdef uint8_t[256] KIND


def _fill_table():
    for code in range(256):
        if chr(code).isascii() and (chr(code).isalnum() or chr(code) in "-.!%*_+`'~"):
            KIND[code] |= KIND_TOKEN
        if code < 0x20 and code != 0x09 or code == 0x7f:
            KIND[code] |= KIND_CONTROL
        if chr(code) in "0123456789":
            KIND[code] |= KIND_DIGIT


_fill_table()


# --- small readers ------------------------------------------------------------------------------

# delta-seconds with what may follow it: blanks, a comment, parameters (RFC 3261 20.33).
cdef int64_t read_leading_number(const char* data, Span span) noexcept nogil:
    cdef Span digits = span
    cdef char after
    digits.length = 0
    while (digits.length < span.length
           and KIND[<uint8_t>data[span.start + digits.length]] & KIND_DIGIT):
        digits.length += 1
    if digits.length < span.length:
        after = data[span.start + digits.length]
        if not is_blank(after) and after != c'(' and after != c';':
            return -1
    return read_number(data, digits)


cdef inline uint32_t skip_token(const char* data, uint32_t position, uint32_t end) noexcept nogil:
    while position < end and KIND[<uint8_t>data[position]] & KIND_TOKEN:
        position += 1
    return position


# --- lines --------------------------------------------------------------------------------------

# The offset of the LF that ends the header line at `start` (continuation lines, RFC 3261 7.3.1,
# belong to it); `length`: there is none.
cdef inline uint32_t header_line_end(const char* data, uint32_t start,
                                     uint32_t length) noexcept nogil:
    cdef const char* found
    cdef uint32_t p = start
    while True:
        found = <const char*>memchr(data + p, c'\n', length - p)
        if found == NULL:
            return length
        p = <uint32_t>(found - data)
        if p + 1 >= length or (data[p + 1] != c' ' and data[p + 1] != c'\t'):
            return p
        p += 1


# The kind of the header line data[start:stop], its value in `value`; NO_HEADER: it is none.
cdef inline int read_header_line(const char* data, uint32_t start, uint32_t stop,
                                 Span* value) noexcept nogil:
    cdef uint32_t name_end = skip_token(data, start, stop)
    cdef uint32_t colon = name_end
    cdef int kind = H_OTHER
    while colon < stop and (data[colon] == c' ' or data[colon] == c'\t'):
        colon += 1
    if colon < stop and data[colon] == c':' and name_end > start:
        kind = header_of(data + start, name_end - start)
    else:
        # not `token HCOLON`: any printable name passes as one that we do not know
        colon = start
        while colon < stop and data[colon] != c':':
            if KIND[<uint8_t>data[colon]] & KIND_CONTROL:
                return NO_HEADER
            colon += 1
        if colon == stop or colon == start:
            return NO_HEADER
        if data[start] == c' ' or data[start] == c'\t':
            return NO_HEADER
    value.start = colon + 1
    value.length = stop - colon - 1
    value[0] = trimmed(data, value[0])
    return kind


cdef bint next_header(const char* data, const Message* message, int header,
                      uint32_t* cursor, Span* value) noexcept nogil:
    cdef uint32_t position = cursor[0], stop, end = message.headers_end
    if position == 0:
        # behind the start line, which leading line ends may precede
        while position < end and (data[position] == c'\r' or data[position] == c'\n'):
            position += 1
        stop = line_behind(data, position, end)
        position = stop
    while position < end:
        stop = header_line_end(data, position, end)
        if read_header_line(data, position, stop, value) == header:
            cursor[0] = stop + 1
            return True
        position = stop + 1
    cursor[0] = position
    return False


# The offset behind the line that holds `position` (no folding: a start line); `end` at most.
cdef inline uint32_t line_behind(const char* data, uint32_t position,
                                 uint32_t end) noexcept nogil:
    cdef const char* found = <const char*>memchr(data + position, c'\n', end - position)
    return end if found == NULL else <uint32_t>(found - data) + 1


# --- the start line -----------------------------------------------------------------------------

cdef inline bint is_sip_version(const char* data) noexcept nogil:
    return ((data[0] | 0x20) == c's' and (data[1] | 0x20) == c'i' and (data[2] | 0x20) == c'p'
            and data[3] == c'/' and data[4] == c'2' and data[5] == c'.' and data[6] == c'0')


# Status-Line of RFC 3261 7.2: three digits, 100 … 699; the reason phrase may be empty or absent.
cdef bint read_status_line(const char* data, uint32_t p, uint32_t end,
                           Message* out) noexcept nogil:
    cdef uint32_t digits
    cdef int status = 0
    digits = skip_blanks(data, p + 7, end)
    if digits == p + 7:
        return False
    p = digits
    while p < end and p - digits < 4 and KIND[<uint8_t>data[p]] & KIND_DIGIT:
        status = status * 10 + (data[p] - c'0')
        p += 1
    if p - digits != 3 or not 100 <= status <= 699 or (p < end and not is_blank(data[p])):
        return False
    out.status = <uint16_t>status
    out.reason.start = p
    out.reason.length = end - p
    out.reason = trimmed(data, out.reason)
    return True


# Request-Line of RFC 3261 7.1; blanks between and behind its parts may be more than one.
cdef bint read_request_line(const char* data, uint32_t p, uint32_t end,
                            Message* out) noexcept nogil:
    out.method_name.start = p
    p = skip_token(data, p, end)
    out.method_name.length = p - out.method_name.start
    if out.method_name.length == 0 or p >= end or not is_blank(data[p]):
        return False
    p = skip_blanks(data, p, end)
    out.request_uri.start = p
    if p < end and (data[p] == c'<' or data[p] == c'"'):
        return False
    while p < end and not is_blank(data[p]):
        if KIND[<uint8_t>data[p]] & KIND_CONTROL:
            return False
        p += 1
    out.request_uri.length = p - out.request_uri.start
    p = skip_blanks(data, p, end)
    if end - p < 7 or not is_sip_version(data + p) or skip_blanks(data, p + 7, end) != end:
        return False
    out.is_request = True
    out.method = method_of(data + out.method_name.start, out.method_name.length)
    return out.request_uri.length > 0


# --- what every message must hold ---------------------------------------------------------------

# via-parm of RFC 3261 20.42 (white space around the slashes is legal there); parameters behind.
cdef bint read_via(const char* data, Span via, Message* out) noexcept nogil:
    cdef uint32_t p = via.start, end = via.start + via.length, start
    cdef int part
    cdef Span name, value
    for part in range(3):
        start = p
        p = skip_token(data, p, end)
        if p == start:
            return False
        start = p
        p = skip_blanks(data, p, end)
        if part < 2:
            if p >= end or data[p] != c'/':
                return False
            p = skip_blanks(data, p + 1, end)
        elif p == start:
            return False
    out.via_sent_by.start = p
    while p < end and data[p] != c';' and data[p] != c',':
        p += 1
    out.via_sent_by.length = p - out.via_sent_by.start
    out.via_sent_by = trimmed(data, out.via_sent_by)
    while next_parameter(data, &p, end, &name, &value):
        if equals_folded(data, name, b"branch", 6):
            out.via_branch = value
            break
    return out.via_sent_by.length > 0


cdef void read_tag(const char* data, Span address, Span* tag) noexcept nogil:
    cdef uint32_t end = address.start + address.length
    cdef Span name, value
    cdef uint32_t p = skip_address(data, address.start, end, &name)
    if p > end:
        return
    while next_parameter(data, &p, end, &name, &value):
        if equals_folded(data, name, b"tag", 3):
            tag[0] = value
            return


cdef bint read_cseq(const char* data, Span value, Message* out) noexcept nogil:
    cdef Span digits = value, name
    cdef uint32_t end = value.start + value.length
    cdef int64_t number
    digits.length = 0
    while (digits.length < value.length
           and KIND[<uint8_t>data[value.start + digits.length]] & KIND_DIGIT):
        digits.length += 1
    number = read_number(data, digits)
    if number < 0 or number >= CSEQ_LIMIT:
        return False
    name.start = skip_blanks(data, digits.start + digits.length, end)
    name.length = end - name.start
    if name.start == digits.start + digits.length or name.length == 0:
        return False
    if skip_token(data, name.start, end) != end:
        return False
    out.cseq = <uint32_t>number
    out.cseq_method_name = name
    out.cseq_method = method_of(data + name.start, name.length)
    return True


cdef bint read_content_length(const char* data, uint32_t length, Message* out) noexcept nogil:
    cdef uint32_t cursor = 0
    cdef Span value
    out.content_length = read_number(data, out.first[H_CONTENT_LENGTH])
    if out.content_length < 0 or out.content_length > length - out.headers_end:
        return False
    if out.count[H_CONTENT_LENGTH] > 1:
        while next_header(data, out, H_CONTENT_LENGTH, &cursor, &value):
            if read_number(data, value) != out.content_length:
                return False
    return True


# Reads what hangs on single headers; `error` is what the lines themselves showed.
cdef inline int read_fields(const char* data, uint32_t length, int error,
                            Message* out) noexcept nogil:
    if out.count[H_VIA] == 0 or not read_via(data, out.first[H_VIA], out):
        error = SCAN_VIA if error == SCAN_OK else error
    if out.count[H_CSEQ] == 0 or not read_cseq(data, out.first[H_CSEQ], out):
        error = SCAN_CSEQ if error == SCAN_OK else error
    if (out.first[H_FROM].length == 0 or out.first[H_TO].length == 0
            or out.first[H_CALL_ID].length == 0):
        error = SCAN_MANDATORY if error == SCAN_OK else error
    read_tag(data, out.first[H_FROM], &out.from_tag)
    read_tag(data, out.first[H_TO], &out.to_tag)
    if out.count[H_EXPIRES]:
        out.expires = read_number(data, out.first[H_EXPIRES])
    if out.count[H_MIN_EXPIRES]:
        out.min_expires = read_number(data, out.first[H_MIN_EXPIRES])
    if out.count[H_RETRY_AFTER]:
        out.retry_after = read_leading_number(data, out.first[H_RETRY_AFTER])
    if out.count[H_CONTENT_LENGTH] and not read_content_length(data, length, out):
        error = SCAN_LENGTH if error == SCAN_OK else error
    return error


cdef int scan(const char* data, uint32_t length, Message* out) noexcept nogil:
    cdef uint32_t position = 0, stop
    cdef int kind, error = SCAN_TRUNCATED
    cdef bint sound = True
    cdef Span value
    memset(out, 0, sizeof(Message))
    out.expires = out.min_expires = out.retry_after = out.content_length = -1
    out.headers_end = length
    while position < length and (data[position] == c'\r' or data[position] == c'\n'):
        position += 1
    if position == length or data[position] == 0:
        return empty_or_not(data, position, length)
    stop = line_behind(data, position, length)
    if length - position >= 7 and is_sip_version(data + position):
        if not read_status_line(data, position, stop, out):
            return SCAN_START_LINE
    elif not read_request_line(data, position, stop, out):
        return SCAN_START_LINE
    position = stop
    while position < length:
        if data[position] == c'\n':
            error = SCAN_OK
            position += 1
            break
        if data[position] == c'\r' and position + 1 < length and data[position + 1] == c'\n':
            error = SCAN_OK
            position += 2
            break
        stop = header_line_end(data, position, length)
        kind = read_header_line(data, position, stop, &value)
        if kind < 0:
            sound = False
        else:
            if out.count[kind] == 0:
                out.first[kind] = value
            if out.count[kind] != 0xffff:
                out.count[kind] += 1
        position = stop + 1
    if error == SCAN_OK:
        out.headers_end = position
        if not sound:
            error = SCAN_HEADER
    return read_fields(data, length, error, out)


cdef int empty_or_not(const char* data, uint32_t position, uint32_t length) noexcept nogil:
    while position < length:
        if data[position] != 0 and data[position] != c'\r' and data[position] != c'\n':
            return SCAN_START_LINE
        position += 1
    return SCAN_EMPTY


# --- for tests and tools ------------------------------------------------------------------------

cdef tuple span_pair(Span span):
    # where an absent or empty value would stand says nothing
    if span.length == 0:
        return (0, 0)
    return (span.start, span.length)


# A copy that is no byte longer than the message: a sanitizer sees a read beyond its end.
cdef int scan_copy(bytes data, Message* message) except -1:
    cdef uint32_t length = <uint32_t>len(data)
    cdef char* copy = <char*>malloc(max(length, 1))
    cdef int error
    if copy == NULL:
        raise MemoryError
    memcpy(copy, <const char*>data, length)
    error = scan(copy, length, message)
    free(copy)
    return error


def scan_message(bytes data not None):
    cdef Message message
    cdef int error = scan_copy(data, &message)
    first = {}
    lines = {}
    for number in range(H_COUNT):
        if message.count[number]:
            first[HEADERS[number]] = span_pair(message.first[number])
            lines[HEADERS[number]] = message.count[number]
    return Scan(
        ERRORS[error], bool(message.is_request), message.status, METHODS[message.method],
        span_pair(message.method_name), span_pair(message.request_uri), span_pair(message.reason),
        span_pair(message.via_sent_by), span_pair(message.via_branch),
        span_pair(message.from_tag), span_pair(message.to_tag), message.cseq,
        METHODS[message.cseq_method], span_pair(message.cseq_method_name), message.expires,
        message.min_expires, message.retry_after, message.content_length, message.headers_end,
        first, lines,
    )


def header_values(bytes data not None, str name not None):
    cdef Message message
    cdef uint32_t cursor = 0
    cdef Span value
    cdef int kind = HEADERS.index(name)
    found = []
    scan(data, <uint32_t>len(data), &message)
    while next_header(data, &message, kind, &cursor, &value):
        found.append(data[value.start:value.start + value.length])
    return found
