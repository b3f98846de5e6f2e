# cython: boundscheck=False, wraparound=False, cdivision=True
"""Writes what every answer takes from its request (RFC 3261 section 8.2.6).

The topmost Via gets ``received`` and, where the client asked for it, the port in ``rport`` (RFC
3581 section 4); answers go to the source address and port of the request in any case, which is what
that section wants of a client with ``rport`` and what a client behind a NAT needs without it.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from regiment.datagram cimport Peer, format_peer
from regiment.sip.field cimport Span, equals_folded, next_parameter
from regiment.sip.scanner cimport H_CALL_ID, H_CSEQ, H_FROM, H_TO, H_VIA, Message, next_header


cdef inline void _put_span(Writer* w, const char* data, Span span) noexcept nogil:
    put(w, data + span.start, span.length)


cdef void put_number(Writer* w, uint64_t number) noexcept nogil:
    cdef char[20] digits
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = <char>(c"0" + number % 10)
        number //= 10
        if number == 0:
            break
    put(w, digits + at, 20 - at)


cdef void put_hex(Writer* w, uint64_t word) noexcept nogil:
    cdef char[16] digits
    cdef int i
    for i in range(15, -1, -1):
        digits[i] = b"0123456789abcdef"[word & 15]
        word >>= 4
    put(w, digits, 16)


cdef bint _is_sent_by(const char* data, Span sent_by, const char* address,
                      int length) noexcept nogil:
    # The host of sent-by is the very address that the request came from.
    cdef const char* host = data + sent_by.start
    cdef int room = <int>sent_by.length
    if room and host[0] == c"[":
        host += 1
        room -= 1
    if room < length or memcmp(host, address, length) != 0:
        return 0
    return room == length or host[length] == c":" or host[length] == c"]"


cdef void _put_via(Writer* w, const char* data, const Message* message,
                   const Peer* peer) noexcept nogil:
    # The topmost value may share its line with others; only it is touched.
    cdef Span value = message.first[H_VIA], name, text
    cdef uint32_t end = value.start + value.length
    cdef uint32_t at = message.via_sent_by.start + message.via_sent_by.length
    cdef uint32_t written = value.start
    cdef bint has_rport = 0
    cdef char[48] address
    cdef uint16_t port = 0
    cdef int length = format_peer(peer, address, &port)
    put(w, b"Via: ", 5)
    while next_parameter(data, &at, end, &name, &text):
        if has_rport or text.length or not equals_folded(data, name, b"rport", 5):
            continue
        has_rport = 1
        put(w, data + written, name.start + 5 - written)
        written = name.start + 5
        if written < end and data[written] == c"=":
            written += 1
        put(w, b"=", 1)
        put_number(w, port)
    put(w, data + written, at - written)
    if has_rport or not _is_sent_by(data, message.via_sent_by, address, length):
        put(w, b";received=", 10)
        put(w, address, length)
    put(w, data + at, end - at)
    put(w, b"\r\n", 2)


cdef void copy_headers(Writer* w, const char* name, size_t name_length, const char* data,
                       const Message* message, int header) noexcept nogil:
    cdef Span value = message.first[header]
    cdef uint32_t cursor = 0
    if message.count[header] == 1:
        put(w, name, name_length)
        _put_span(w, data, value)
        put(w, b"\r\n", 2)
        return
    while next_header(data, message, header, &cursor, &value):
        put(w, name, name_length)
        _put_span(w, data, value)
        put(w, b"\r\n", 2)


cdef void write_head(Writer* w, const char* line, size_t line_length, const char* data,
                     const Message* message, const Peer* peer, uint64_t tag) noexcept nogil:
    cdef Span value
    cdef uint32_t cursor = 0
    put(w, b"SIP/2.0 ", 8)
    put(w, line, line_length)
    put(w, b"\r\n", 2)
    _put_via(w, data, message, peer)
    if message.count[H_VIA] > 1:
        next_header(data, message, H_VIA, &cursor, &value)
        while next_header(data, message, H_VIA, &cursor, &value):
            put(w, b"Via: ", 5)
            _put_span(w, data, value)
            put(w, b"\r\n", 2)
    put(w, b"From: ", 6)
    _put_span(w, data, message.first[H_FROM])
    put(w, b"\r\nTo: ", 6)
    _put_span(w, data, message.first[H_TO])
    if message.to_tag.length == 0:
        put(w, b";tag=", 5)
        put_hex(w, tag)
    put(w, b"\r\nCall-ID: ", 11)
    _put_span(w, data, message.first[H_CALL_ID])
    put(w, b"\r\nCSeq: ", 8)
    _put_span(w, data, message.first[H_CSEQ])
    put(w, b"\r\n", 2)
