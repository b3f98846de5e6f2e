"""How our side looks from there: what a NAT has made of our address (RFC 3581).

A registrar that sees a request come from elsewhere than its Via says adds `received`, and `rport`
when asked. With `@rport_contact` a registration then shows that address in its Contact.
"""

from ipaddress import ip_address

from libc.stdint cimport uint32_t

from regiment.sip.field cimport Span, equals_folded, next_parameter, read_number
from regiment.sip.scanner cimport H_VIA, SCAN_OK, scan


cdef object seen_from(const char* data, const Message* message):
    cdef Span via = message.first[H_VIA]
    cdef Span name, value, received, rport
    cdef uint32_t position = message.via_sent_by.start + message.via_sent_by.length
    cdef long long port = -1
    received.length = rport.length = 0
    while next_parameter(data, &position, via.start + via.length, &name, &value):
        if equals_folded(data, name, b"received", 8):
            received = value
        elif equals_folded(data, name, b"rport", 5):
            rport = value
    if rport.length:
        port = read_number(data, rport)
    sent_by = data[message.via_sent_by.start:message.via_sent_by.start
                   + message.via_sent_by.length].decode("ascii", "replace")
    host, _, own_port = sent_by.rpartition(":")
    if not own_port.isdecimal() or sent_by.endswith("]"):
        host, own_port = sent_by, "5060"
    if received.length:
        host = data[received.start:received.start + received.length].decode("ascii", "replace")
    try:
        host = str(ip_address(host.strip().strip("[]")))
    except ValueError:
        return None
    if not 0 < port < 65536:
        port = int(own_port) if len(own_port) < 6 else 0
    return (host, port) if 0 < port < 65536 else None


def seen_in(bytes response):
    """For tests: what `seen_from` reads of a response."""
    cdef Message message
    if scan(response, <uint32_t>len(response), &message) != SCAN_OK:
        return None
    return seen_from(response, &message)
