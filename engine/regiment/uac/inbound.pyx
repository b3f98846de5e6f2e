"""Requests that reach our sockets: a registration client answers, and keeps no state for it.

Who is meant is told by the `line` parameter that a registration puts into its Contact: that of the
To URI, else that of the Request-URI (its name in any case, its value exact). A call for a
registration whose endpoint has a contact is sent on there (302). One for an endpoint without a
contact gets 480 with the reason, and so does a request without a line while registrations without
one are loaded, because it may be for any of them. A line that nobody has is 404. A request inside a
dialog is 481, for we have none. OPTIONS is 200 whoever is meant: it asks whether we are alive.

A stateless UAS (RFC 3261 section 8.2.7) sends a retransmitted request the same answer again, with
the same To tag, because the tag is a keyed hash of Call-ID, From tag and CSeq. ACK is absorbed.
An answer is never longer than the request plus To tag and Allow (OPTIONS: and Accept and Supported;
302: Contact instead, for whoever knows a line), so that nobody can make us amplify what he sends in
somebody else's name: the Reason of a 480 goes along only where it fits. A source that is no address
of a target of ours gets at most `ANSWERS_PER_S` answers a second, and what is told of calls is
bounded as well.
"""

import re
from hashlib import blake2b

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from regiment.datagram cimport format_peer, peer_from_bytes
from regiment.sip.comparison cimport uri_parts
from regiment.sip.field cimport skip_address
from regiment.sip.response cimport find_parameter
from regiment.sip.scanner cimport (
    H_CALL_ID, H_CSEQ, H_FROM, H_TO, H_VIA, M_ACK, M_BYE, M_CANCEL, M_INFO, M_INVITE,
    M_NOTIFY, M_OPTIONS, M_PRACK, M_PUBLISH, M_REFER, M_REGISTER, M_UNKNOWN, M_UPDATE, next_header,
)

cdef enum:
    ANSWERS_PER_S = 50
    SOURCES_MAX = 4096
    VIAS_MAX = 64
    VIA_BYTES_MAX = 4096         # of the topmost Via line, which is taken apart here
    TAG_BYTES = 8
    # A registrar may ping thousands of Contacts: its pings must not hide the calls.
    CALLS_PER_S = 100
    PINGS_PER_S = 10
    CALLS_MAX = 1024             # that nobody has taken yet

cdef int64_t NS_PER_S = 1_000_000_000
# Each branch begins with another byte, so a match never goes back: linear in the length.
cdef object FIRST_VALUE = re.compile(rb'(?:[^",]+|"(?:[^"\\]+|\\.)*"?)*', re.DOTALL)
cdef bytes ALLOW = b"Allow: OPTIONS, INVITE, ACK, CANCEL, BYE, NOTIFY\r\n"
# RFC 3261 11.2: what an INVITE could carry, were it for us, and what our REGISTERs understand.
cdef bytes ABILITIES = ALLOW + b"Accept: application/sdp\r\nSupported: path\r\n"
# RFC 3326 and RFC 6432; Q.850 names 20 "subscriber absent".
cdef bytes ABSENT = b'Reason: Q.850;cause=20;text="No contact"\r\n'
cdef bytes NO_BODY = b"Content-Length: 0\r\n"
cdef dict REASONS = {
    200: b"OK",
    302: b"Moved Temporarily",
    404: b"Not Found",
    405: b"Method Not Allowed",
    480: b"Temporarily Unavailable",
    481: b"Call/Transaction Does Not Exist",
    501: b"Not Implemented",
}


cdef bytes source_of(const Peer* peer):
    """The address without its port: family and address bytes of the sockaddr."""
    cdef int family = peer.bytes[0] | peer.bytes[1] << 8
    if peer.length >= 24:
        return PyBytes_FromStringAndSize(<const char*>&peer.bytes[8], 16)
    return PyBytes_FromStringAndSize(<const char*>&peer.bytes[4], 4) if family else b""


cdef bint line_in(const char* data, const Message* message, int which, Span* out) noexcept nogil:
    cdef Span uri = message.request_uri
    cdef Span user, host, parameters
    cdef uint16_t port
    cdef Span to = message.first[H_TO]
    if which == 0 and skip_address(data, to.start, to.start + to.length, &uri) > (
            to.start + to.length):
        return False
    if uri_parts(data + uri.start, uri.length, &user, &host, &port, &parameters) < 0:
        return False
    if not find_parameter(data + uri.start, parameters, b"line", 4, out):
        return False
    out.start += uri.start
    return True


cdef class Correspondence:
    """The requests that are told of, until somebody takes them."""

    def __cinit__(self):
        self.calls = []
        self.second_s = -1

    cdef bint may_tell(self, int method, int64_t now_ns) noexcept:
        """Counts one against what may be told in this second."""
        cdef int64_t second_s = now_ns // NS_PER_S
        if second_s != self.second_s:
            self.second_s = second_s
            self.calls_left, self.pings_left = CALLS_PER_S, PINGS_PER_S
        if method == M_OPTIONS:
            self.pings_left -= 1
            return self.pings_left >= 0
        self.calls_left -= 1
        return self.calls_left >= 0

    cdef int tell(self, object call) except -1:
        if len(self.calls) < CALLS_MAX:
            self.calls.append(call)
        return 0

    cdef list take(self):
        calls = self.calls
        self.calls = []
        return calls


cdef class Inbound:
    """Answers to requests; one object a worker."""

    def __init__(self, bytes tag_key):
        self.allowances = {}
        self.trusted = set()
        self.swept_s = -1
        self.tag_key = tag_key

    cdef int trust(self, const Peer* peer) except -1:
        self.trusted.add(source_of(peer))
        return 0

    def distrust_all_but(self, peers):
        """Forgets addresses that are no target's any more; `peers`: those that are."""
        cdef Peer peer
        self.trusted = set()
        for raw in peers:
            peer_from_bytes(&peer, raw)
            self.trust(&peer)

    cdef bint may_answer(self, const Peer* peer, int64_t now_ns) except -1:
        """Counts this answer against the source. Costs one look-up; memory is bounded."""
        cdef bytes source = source_of(peer)
        cdef int64_t second = now_ns // NS_PER_S
        if source in self.trusted:
            return True
        allowance = self.allowances.get(source)
        if allowance is None or allowance[0] != second:
            if allowance is None and len(self.allowances) >= SOURCES_MAX:
                # once a second at most, or a flood of forged sources would cost a walk each
                if self.swept_s == second:
                    return False
                self._forget(second)
                if len(self.allowances) >= SOURCES_MAX:
                    return False
            self.allowances[source] = [second, ANSWERS_PER_S - 1]
            return True
        if allowance[1] == 0:
            return False
        allowance[1] -= 1
        return True

    def _forget(self, second):
        """Drops the sources that were not heard of in this second."""
        self.swept_s = second
        self.allowances = {
            source: allowance for source, allowance in self.allowances.items()
            if allowance[0] == second
        }

    cdef int status_for(self, const Message* message, int meant, bint has_redirect) noexcept:
        cdef int method = message.method
        if method == M_ACK:
            return 0
        if method == M_OPTIONS:
            return 200
        if method == M_UNKNOWN:
            return 501
        if method == M_REGISTER or method == M_PUBLISH:
            return 405
        if method in (M_BYE, M_CANCEL, M_NOTIFY, M_INFO, M_UPDATE, M_PRACK) or (
                message.to_tag.length):
            return 481
        # INVITE, SUBSCRIBE, MESSAGE, REFER: what begins something with whoever is meant
        if meant == MEANS_NOBODY:
            return 404
        if meant == MEANS_ONE:
            return 302 if has_redirect else 480
        return 480 if method == M_INVITE else 481 if method == M_REFER else 405

    cdef bytes _tag(self, const char* data, const Message* message):
        seed = b"\0".join((
            data[message.first[H_CALL_ID].start:
                 message.first[H_CALL_ID].start + message.first[H_CALL_ID].length],
            data[message.from_tag.start:message.from_tag.start + message.from_tag.length],
            data[message.first[H_CSEQ].start:
                 message.first[H_CSEQ].start + message.first[H_CSEQ].length],
        ))
        return blake2b(seed, key=self.tag_key, digest_size=TAG_BYTES).hexdigest().encode()

    cdef bytes _vias(self, const Datagram* datagram, const Message* message):
        """All Via lines; the topmost value gets received and rport (RFC 3261 18.2.1, RFC 3581)."""
        cdef Span value
        cdef uint32_t cursor = 0
        cdef char address[64]
        cdef uint16_t port = 0
        cdef int length = format_peer(&datagram.peer, address, &port)
        cdef const char* data = datagram.data
        lines = []
        if message.count[H_VIA] == 1:
            lines.append(data[message.first[H_VIA].start:
                              message.first[H_VIA].start + message.first[H_VIA].length])
        else:
            while next_header(data, message, H_VIA, &cursor, &value):
                lines.append(data[value.start:value.start + value.length])
        lines[0] = with_received(lines[0], address[:length], port)
        return b"".join([b"Via: " + line + b"\r\n" for line in lines])

    cdef int answer(self, const Datagram* datagram, const Message* message, Batch outbox,
                    int status, bytes redirect) except -3:
        cdef const char* data = datagram.data
        cdef bytes text
        cdef bytes own = own_lines(status, redirect)
        cdef char* room
        cdef Py_ssize_t limit
        cdef Span to = message.first[H_TO]
        if status == 0:
            return 0
        if message.count[H_VIA] > VIAS_MAX or message.first[H_VIA].length > VIA_BYTES_MAX:
            return -2
        tag = b"" if message.to_tag.length else b";tag=" + self._tag(data, message)
        text = b"".join((
            b"SIP/2.0 %d %s\r\n" % (status, REASONS[status]),
            self._vias(datagram, message),
            b"From: ", slice_of(data, message.first[H_FROM]),
            b"\r\nTo: ", slice_of(data, to), tag,
            b"\r\nCall-ID: ", slice_of(data, message.first[H_CALL_ID]),
            b"\r\nCSeq: ", slice_of(data, message.first[H_CSEQ]),
            b"\r\n", own,
        ))
        limit = datagram.length + len(tag) + len(own)
        for line in (ABSENT if status == 480 else b"", NO_BODY):
            if len(text) + len(line) + 2 <= limit:
                text += line
        text += b"\r\n"
        if len(text) > limit:
            return -2
        room = outbox.reserve(PyBytes_GET_SIZE(text))
        if room == NULL:
            return -1
        memcpy(room, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        if datagram.flow:
            outbox.commit_flow(<uint32_t>PyBytes_GET_SIZE(text), &datagram.peer, datagram.flow)
        else:
            outbox.commit(<uint32_t>PyBytes_GET_SIZE(text), &datagram.peer, datagram.socket)
        return 1


cdef bytes own_lines(int status, bytes redirect):
    """The lines that an answer must have and its request had not."""
    if status == 200:
        return ABILITIES
    if status == 405 or status == 501:
        return ALLOW
    if status == 302:
        return b"Contact: <" + redirect + b">\r\n"
    return b""


cdef bytes slice_of(const char* data, Span span):
    return data[span.start:span.start + span.length]


def with_received(via, address, port):
    """The topmost Via value with `received`, and with `rport` filled where it was asked for."""
    first, comma, rest = split_value(via)
    parts = first.split(b";")
    sent_by = parts[0].split()[-1] if parts[0].split() else b""
    kept = []
    wants_port = False
    for part in parts[1:]:
        name = part.split(b"=")[0].strip().lower()
        if name == b"rport":
            wants_port = True
        elif name != b"received":
            kept.append(part)
    if wants_port:
        kept.append(b"rport=%d" % port)
    if wants_port or sent_by.rpartition(b":")[0] != address and sent_by != address:
        kept.append(b"received=" + address)
    return b";".join([parts[0], *kept]) + comma + rest


def split_value(text):
    """The first of comma-separated values, the comma, and the rest; quotes hide commas."""
    first = FIRST_VALUE.match(text).end()
    return text[:first], text[first:first + 1], text[first + 1:]
