# Writes answers: what every response takes from its request (RFC 3261 section 8.2.6, RFC 3581).
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy
from regiment.datagram cimport Peer
from regiment.sip.field cimport Span
from regiment.sip.scanner cimport Message

cdef struct Writer:
    char* start
    char* at
    char* end
    bint full                    # something did not fit, so nothing of it may leave

cdef inline void put(Writer* w, const char* text, size_t length) noexcept nogil:
    if length > <size_t>(w.end - w.at):
        w.full = 1
        return
    memcpy(w.at, text, length)
    w.at += length

cdef void put_number(Writer* w, uint64_t number) noexcept nogil
cdef void put_hex(Writer* w, uint64_t word) noexcept nogil

# Status line, all Via (the topmost with received and rport), From, To (with `tag` where it has
# none), Call-ID and CSeq. `line` is "200 OK".
cdef void write_head(Writer* w, const char* line, size_t line_length, const char* data,
                     const Message* message, const Peer* peer, uint64_t tag) noexcept nogil
# Every header of a kind as it stands in the request, under `name` ("Path: ").
cdef void copy_headers(Writer* w, const char* name, size_t name_length, const char* data,
                       const Message* message, int header) noexcept nogil
