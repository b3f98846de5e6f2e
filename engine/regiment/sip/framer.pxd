# Messages out of a stream of bytes (RFC 3261 18.3, 20.14; RFC 5626 3.5.1).
cimport cython
from libc.stdint cimport int32_t, uint8_t, uint32_t

cdef enum:
    HEADER_LIMIT = 65536       # bytes of start line and headers, with the empty line
    BODY_LIMIT = 65536
    START_LINE_LIMIT = 8192

cdef enum:                     # FrameError
    FRAME_OK = 0
    FRAME_HTTP                 # the start line is HTTP's
    FRAME_TLS                  # a TLS record where a message should begin
    FRAME_START_LINE           # neither request line nor status line of SIP/2.0
    FRAME_HEADERS              # beyond HEADER_LIMIT
    FRAME_BODY                 # beyond BODY_LIMIT
    FRAME_NO_LENGTH            # without Content-Length a message has no end in a stream
    FRAME_LENGTH               # Content-Length is no number, or two differ
    FRAME_COUNT                # how many kinds there are


@cython.no_gc
cdef class Framer:
    # An idle framer owns no memory besides itself: nothing is kept between messages, and nothing
    # copied but a message that comes in several reads.
    cdef char* part            # the beginning of a message whose end has not come; NULL: none
    cdef char* spent           # the last message that came in parts
    cdef uint32_t part_bytes
    cdef uint32_t part_room
    # Offsets into the message at hand; 0: it has not begun
    cdef uint32_t line         # where the header line at hand begins; 0: it is the start line
    cdef uint32_t searched     # no line end before
    cdef uint32_t total        # length of the message, once its headers are whole
    cdef int32_t body_bytes    # Content-Length; -1: not met yet
    cdef uint8_t code          # FrameError
    cdef bint cr               # between messages: a CR came, its LF not yet
    cdef bint half             # between messages: a CRLF came that may be half of a ping
    cdef readonly uint32_t messages, pings, pongs

    # Takes data[:length] in, up to the end of one message. Returns how much it took; *message are
    # that message's bytes and message_bytes[0] their number, or *message is NULL: everything was
    # taken, and no message ended in it. Lifetime: the bytes lie in `data`, or in `spent`, which
    # holds until the next message that came in several reads ends, or until `free_spent`.
    # After an error (`code`) everything is taken and nothing found.
    cdef uint32_t take(self, const char* data, uint32_t length, const char** message,
                       uint32_t* message_bytes) noexcept nogil
    cdef void free_spent(self) noexcept nogil
