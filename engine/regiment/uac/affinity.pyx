"""What a registrar said of routes and identities with the binding that stands.

Service-Route (RFC 3608), Path (RFC 3327) and P-Associated-URI (RFC 7315) of the last 2xx, kept as
they came for whoever routes the calls. Half a route leads nowhere: a Service-Route or a Path that
has not room enough is left out as a whole. Of identities those that have room are kept, in order.
"""

from libc.stdint cimport uint8_t, uint32_t

from regiment.sip.field cimport Span, next_listed
from regiment.sip.scanner cimport (
    H_P_ASSOCIATED_URI, H_PATH, H_SERVICE_ROUTE, SCAN_OK, next_header, scan,
)
from regiment.uac.annex cimport ANNEX_AFFINITY, annex_find, annex_put, annexes_free

cdef enum:
    LISTS = 3
    VALUES_MAX = 32              # of one list
    BYTES_MAX = 4096             # of all of them
    HEAD_BYTES = 3               # of each value: its list, its length


cdef int header_of_list(int which) noexcept nogil:
    if which == 0:
        return H_SERVICE_ROUTE
    return H_PATH if which == 1 else H_P_ASSOCIATED_URI


cdef uint32_t add_list(char* out, uint32_t used, const char* data, const Message* message,
                       int which) noexcept nogil:
    """Writes the values of one list behind `used` bytes; how many bytes there are then."""
    cdef Span line, value
    cdef uint32_t cursor = 0, position, at, count = 0
    cdef uint32_t start = used
    cdef int header = header_of_list(which)
    while next_header(data, message, header, &cursor, &line):
        position = line.start
        while next_listed(data, &position, line.start + line.length, &value):
            if count == VALUES_MAX or used + HEAD_BYTES + value.length > BYTES_MAX:
                return used if header == H_P_ASSOCIATED_URI else start
            out[used] = <char>which
            out[used + 1] = <char>(value.length & 0xFF)
            out[used + 2] = <char>(value.length >> 8)
            used += HEAD_BYTES
            for at in range(value.length):
                out[used + at] = data[value.start + at]
                if <uint8_t>out[used + at] < 32 or out[used + at] == 127:
                    out[used + at] = c' '            # folding
            used += value.length
            count += 1
    return used


cdef void take_affinity(Annex** annexes, const char* data, const Message* message) noexcept nogil:
    cdef char out[BYTES_MAX]
    cdef uint32_t used = 0
    cdef int which
    if annexes[0] == NULL and message.count[H_SERVICE_ROUTE] == 0 and (
            message.count[H_PATH] == 0 and message.count[H_P_ASSOCIATED_URI] == 0):
        return
    for which in range(LISTS):
        if message.count[header_of_list(which)]:
            used = add_list(out, used, data, message, which)
    annex_put(annexes, ANNEX_AFFINITY, out, used)


cdef tuple affinity_lists(const Annex* annexes):
    cdef const Annex* annex = annex_find(annexes, ANNEX_AFFINITY)
    cdef uint32_t at = 0, length
    cdef const uint8_t* head
    found = ([], [], [])
    while annex != NULL and at < annex.length:
        head = <const uint8_t*>&annex.data[at]
        length = head[1] | <uint32_t>head[2] << 8
        at += HEAD_BYTES
        (<list>found[head[0]]).append((&annex.data[at])[:length].decode("utf-8", "replace"))
        at += length
    return tuple(map(tuple, found))


def affinity_after(*messages):
    """For tests: the three lists after these responses, one after the other."""
    cdef Annex* annexes = NULL
    cdef Message scanned
    cdef bytes raw
    for message in messages:
        raw = message
        if scan(raw, <uint32_t>len(raw), &scanned) == SCAN_OK:
            take_affinity(&annexes, raw, &scanned)
    found = affinity_lists(annexes)
    annexes_free(&annexes)
    return found
