# cython: boundscheck=False, wraparound=False
"""Messages out of a stream of bytes (RFC 3261 18.3): see framer.pyi, and framer.pxd for lifetimes.

A message is read line by line up to the empty one; Content-Length says where it ends. All offsets
are kept, so that a message that comes byte by byte costs no more than one that comes whole. Where
headers end is decided as `sip.scanner` decides it: two readers that differ there would see
different messages in the same bytes.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy

from regiment.sip.field cimport Span, equals_folded, is_blank, lower, read_number, trimmed

from regiment.errors import LocalError

# The compiled face has these as enums.
globals().update(
    HEADER_LIMIT=int(HEADER_LIMIT), BODY_LIMIT=int(BODY_LIMIT),
    START_LINE_LIMIT=int(START_LINE_LIMIT),
)

ERRORS = (
    "",
    "no SIP: the peer speaks HTTP",
    "no SIP: the peer speaks TLS",
    "no SIP: the peer sends what is no SIP message",
    f"no SIP: headers of more than {HEADER_LIMIT} bytes",
    f"no SIP: a body of more than {BODY_LIMIT} bytes",
    "no SIP: a message without Content-Length",
    "no SIP: a message whose Content-Length is unreadable",
)

cdef enum:
    FIRST_PIECE = 1024       # a message that comes in parts grows by this, then doubles


cdef class Framer:

    def __cinit__(self):
        self.body_bytes = -1

    def __dealloc__(self):
        free(self.part)
        free(self.spent)

    def feed(self, bytes data not None, uint32_t at=0):
        cdef const char* message
        cdef uint32_t message_bytes
        if at > len(data):
            raise LocalError(f"there are {len(data)} bytes, not {at}")
        at += self.take(<const char*>data + at, <uint32_t>len(data) - at, &message, &message_bytes)
        return at, None if message == NULL else message[:message_bytes]

    cdef uint32_t take(self, const char* data, uint32_t length, const char** message,
                       uint32_t* message_bytes) noexcept nogil:
        cdef uint32_t at = 0, rest
        message[0] = NULL
        if self.part == NULL and not self.code:
            at = _skip_line_ends(self, data, length)
            rest = length - at
            if rest and not self.code:
                if _read(self, data + at, rest) and self.total <= rest:
                    message[0] = data + at
                    message_bytes[0] = self.total
                    at += _end_message(self)
                elif not self.code:
                    # Its beginning is kept, with what is known of it.
                    _keep(self, data + at, rest)
                    at = length
        while at < length and self.part != NULL and not self.code:
            at += _complete(self, data + at, length - at, message, message_bytes)
        if self.code:
            free(self.part)
            self.part = NULL
            return length
        return at

    def release(self):
        self.free_spent()

    cdef void free_spent(self) noexcept nogil:
        free(self.spent)
        self.spent = NULL

    def settle(self):
        return _settle(self)

    @property
    def error(self):
        return ERRORS[self.code]

    @property
    def is_partial(self):
        return self.part != NULL

    @property
    def kept_bytes(self):
        return self.part_room if self.part != NULL else 0


# --- between messages ---------------------------------------------------------------------------

cdef bint _settle(Framer self) noexcept nogil:
    cdef bint alone = self.half
    self.half = False
    self.pongs += alone
    return alone


cdef uint32_t _skip_line_ends(Framer self, const char* data, uint32_t length) noexcept nogil:
    # Counts pings, two CRLFs each. A bare LF is passed over: the scanner allows it, too.
    cdef uint32_t at = 0
    while at < length:
        if data[at] == c'\n':
            if self.cr:
                self.cr = False
                self.pings += self.half
                self.half = not self.half
        elif self.cr:
            self.code = FRAME_START_LINE
            break
        elif data[at] == c'\r':
            self.cr = True
        else:
            _settle(self)
            break
        at += 1
    return at


# --- one message --------------------------------------------------------------------------------

cdef bint _read(Framer self, const char* data, uint32_t length) noexcept nogil:
    # Goes on reading the message at `data`. True: its headers are whole and `total` is known.
    cdef const char* found
    cdef uint32_t stop
    while self.total == 0:
        found = <const char*>memchr(data + self.searched, c'\n', length - self.searched)
        stop = length if found == NULL else <uint32_t>(found - data)
        if self.line == 0 and not _read_start_line(self, data, stop, found != NULL):
            return False
        if stop >= <uint32_t>HEADER_LIMIT:
            self.code = FRAME_HEADERS
            return False
        self.searched = stop
        if found == NULL:
            return False
        if self.line and not _is_empty(data + self.line, stop - self.line):
            if stop + 1 == length:
                return False        # the next byte tells whether the line goes on (RFC 3261 7.3.1)
            if data[stop + 1] == c' ' or data[stop + 1] == c'\t':
                self.searched = stop + 1
                continue
            if not _read_header(self, data, stop):
                return False
        elif self.line:
            return _end_headers(self, stop + 1)
        self.line = self.searched = stop + 1
    return True


cdef inline bint _is_empty(const char* line, uint32_t length) noexcept nogil:
    return length == 0 or (length == 1 and line[0] == c'\r')


cdef bint _read_start_line(Framer self, const char* data, uint32_t stop,
                           bint whole) noexcept nogil:
    # What is there of it, so that a peer that speaks something else is told early.
    cdef uint32_t i
    cdef uint8_t first = <uint8_t>data[0]
    if 0x14 <= first <= 0x17:
        self.code = FRAME_TLS       # RFC 8446 5.1: the content types
        return False
    for i in range(self.searched, stop):
        if <uint8_t>data[i] < 0x20 and data[i] != c'\r' and data[i] != c'\t':
            self.code = FRAME_START_LINE
            return False
    if first <= 0x20 or stop > START_LINE_LIMIT:
        self.code = FRAME_START_LINE
    elif whole:
        while stop and is_blank(data[stop - 1]):
            stop -= 1
        if stop >= 5 and _begins(data, b"http/", 5):
            self.code = FRAME_HTTP
        elif not _names_sip(data, stop):
            self.code = FRAME_START_LINE
            if stop >= 9 and _begins(data + stop - 9, b" http/1.", 8):
                self.code = FRAME_HTTP
    return self.code == FRAME_OK


cdef inline bint _names_sip(const char* data, uint32_t length) noexcept nogil:
    # a status line, or a request line: what is between is the scanner's affair
    if length < 8:
        return False
    return ((_begins(data, b"sip/2.0", 7) and is_blank(data[7]))
            or (_begins(data + length - 7, b"sip/2.0", 7) and is_blank(data[length - 8])))


cdef inline bint _begins(const char* data, const char* word, uint32_t length) noexcept nogil:
    cdef uint32_t i
    for i in range(length):
        if lower(data[i]) != word[i]:
            return False
    return True


cdef bint _read_header(Framer self, const char* data, uint32_t stop) noexcept nogil:
    # Of the line data[line:stop] only Content-Length is of interest, or `l` (RFC 3261 20.14).
    cdef char first = lower(data[self.line])
    cdef uint32_t at = self.line
    cdef int64_t number
    cdef Span name, value
    if first != c'c' and first != c'l':
        return True
    while at < stop and data[at] != c':' and data[at] != c' ' and data[at] != c'\t':
        at += 1
    name.start = self.line
    name.length = at - self.line
    if not equals_folded(data, name, b"content-length", 14) and name.length != 1:
        return True
    while at < stop and (data[at] == c' ' or data[at] == c'\t'):
        at += 1
    if at == stop or data[at] != c':' or (name.length == 1 and first != c'l'):
        return True
    value.start = at + 1
    value.length = stop - value.start
    value = trimmed(data, value)
    number = read_number(data, value)
    if number < 0 or (self.body_bytes >= 0 and number != self.body_bytes):
        self.code = FRAME_LENGTH
    elif number > BODY_LIMIT:
        self.code = FRAME_BODY
    else:
        self.body_bytes = <int32_t>number
    return self.code == FRAME_OK


cdef bint _end_headers(Framer self, uint32_t headers_end) noexcept nogil:
    if self.body_bytes < 0:
        self.code = FRAME_NO_LENGTH
        return False
    self.total = headers_end + <uint32_t>self.body_bytes
    return True


cdef uint32_t _end_message(Framer self) noexcept nogil:
    cdef uint32_t length = self.total
    self.messages += 1
    self.total = self.line = self.searched = 0
    self.body_bytes = -1
    return length


# --- a message that comes in several reads ------------------------------------------------------

cdef bint _keep(Framer self, const char* data, uint32_t length) noexcept nogil:
    # Appends to `part`. Rooms double up to the message's known length: what is copied is linear.
    cdef uint32_t wanted = self.part_bytes + length
    cdef char* larger
    if self.part == NULL or wanted > self.part_room:
        if self.total >= wanted:
            wanted = self.total
        elif wanted < FIRST_PIECE:
            wanted = FIRST_PIECE
        else:
            wanted *= 2
        larger = <char*>realloc(self.part, wanted)
        if larger == NULL:
            self.code = FRAME_HEADERS       # no memory for it is as good as too long
            return False
        self.part = larger
        self.part_room = wanted
    memcpy(self.part + self.part_bytes, data, length)
    self.part_bytes += length
    return True


cdef uint32_t _complete(Framer self, const char* data, uint32_t length, const char** message,
                        uint32_t* message_bytes) noexcept nogil:
    # Adds to the message that has begun, in pieces, since where it ends may not be known yet.
    # Returns how much of `data` belongs to it.
    cdef uint32_t before = self.part_bytes, piece = length
    if self.total:
        piece = min(piece, self.total - before)
    else:
        piece = min(piece, max(before, <uint32_t>FIRST_PIECE))
    if not _keep(self, data, piece):
        return piece
    if not _read(self, self.part, self.part_bytes) or self.total > self.part_bytes:
        return piece
    free(self.spent)
    self.spent = self.part
    self.part = NULL
    self.part_bytes = self.part_room = 0
    message[0] = self.spent
    message_bytes[0] = self.total
    # What was added beyond its end is read again, as what comes behind it.
    return _end_message(self) - before
