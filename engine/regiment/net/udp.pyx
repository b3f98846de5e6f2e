# cython: boundscheck=False, wraparound=False
"""UDP in batches: one Python call moves up to a thousand datagrams.

No call here blocks, so the GIL is kept: giving it up would let a thread that wants it hold the
worker off for its switch interval, thousands of times what a call takes. That is also why one set
of headers serves every socket of the process.
"""

import select
import socket as sockets_of_python

from libc.errno cimport (EAGAIN, ECONNREFUSED, EINTR, EINVAL, EIO, EMSGSIZE, ENOPROTOOPT, EPROTO,
                         errno)
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy, memset

from regiment.datagram cimport (RUN_DATAGRAMS, Batch, Datagram, Peer, peer_from_bytes,
                                peer_to_bytes, same_peer)
from regiment.net.kernel cimport (CMSG_DATA, CMSG_FIRSTHDR, CMSG_LEN, CMSG_NXTHDR, CMSG_SPACE,
                                  IP_RECVERR, IPPROTO_IP, IPPROTO_IPV6, IPV6_RECVERR, MSG_DONTWAIT,
                                  MSG_ERRQUEUE, MSG_TRUNC, SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6,
                                  SO_RXQ_OVFL, SO_TIMESTAMPNS, SOL_SOCKET, SOL_UDP, UDP_GRO,
                                  UDP_SEGMENT, cmsghdr, iovec, mmsghdr, msghdr, recvmmsg, recvmsg,
                                  sendmmsg, sendmsg, sock_extended_err, timespec)

from regiment.errors import LocalError
from regiment.net import binding
from regiment.net.icmp import IcmpError

cdef enum:
    FIRST_RECEIVE = 16           # most wake-ups find few datagrams: few headers are laid out
    RECEIVE_HEADERS = 256
    SEND_HEADERS = 256
    SEND_PIECES = 1024
    # Control data in words of 8 bytes. Received: a time stamp (4), a drop count (3), a segment size
    # (3), and as much to spare, for without its segment size a run would pass as one datagram.
    # Sent: a segment size. Of an ICMP error: that and the address of who sent it.
    RECEIVE_CONTROL = 20
    SEND_CONTROL = 3
    ERROR_CONTROL = 64
    ERROR_BYTES = 2048
    SEGMENTS = 64                # in one run, as every kernel that segments takes
    RUN_BYTES = 65507            # of one run: the largest payload of UDP over IPv4
    PEER_BYTES = 28
    PENDING_TRIES = 16
    # Bits of Datagram.flags
    PLAIN = 1                    # its run was refused: it goes alone
    SUSPECT_SIZE = 2             # and if it does go, then the size of the run's segments was wrong
    SUSPECT_ROUTE = 4            # or the route cannot take runs

cdef struct Receipt:
    # what a message's control data say
    int64_t time_ns
    int segment_bytes        # 0: it is one datagram

cdef mmsghdr receive_headers[RECEIVE_HEADERS]
cdef iovec receive_pieces[RECEIVE_HEADERS]
cdef Peer receive_peers[RECEIVE_HEADERS]
cdef uint64_t receive_controls[RECEIVE_HEADERS][RECEIVE_CONTROL]
cdef mmsghdr send_headers[SEND_HEADERS]
cdef uint32_t send_spans[SEND_HEADERS]      # how many datagrams a header carries
cdef iovec send_pieces[SEND_PIECES]
cdef uint64_t send_controls[SEND_HEADERS][SEND_CONTROL]


cdef class Socket:

    def __cinit__(self):
        self.fd = self.handle = -1

    def __init__(self, str host not None, int port, *, object receive_buffer_bytes=0,
                 object send_buffer_bytes=0, int tos=0, int cos=0,
                 bint reuse_port=False, bint segment=True, bint coalesce=True):
        if self.handle >= 0:
            raise LocalError("this socket is open")
        opened = binding.open_udp(
            host, port, receive_buffer_bytes=receive_buffer_bytes,
            send_buffer_bytes=send_buffer_bytes, tos=tos, cos=cos, reuse_port=reuse_port)
        try:
            opened.setsockopt(SOL_SOCKET, SO_TIMESTAMPNS, 1)
            opened.setsockopt(SOL_SOCKET, SO_RXQ_OVFL, 1)
            if opened.family == sockets_of_python.AF_INET:
                opened.setsockopt(IPPROTO_IP, IP_RECVERR, 1)
            else:
                opened.setsockopt(IPPROTO_IPV6, IPV6_RECVERR, 1)
            poll = select.epoll()
            poll.register(opened.fileno(), select.EPOLLIN)
        except OSError as error:
            opened.close()
            raise LocalError(f"UDP {host}:{port}: {error.strerror}") from None
        self.socket = opened
        self.poll = poll
        self.fd = poll.fileno()
        self.handle = opened.fileno()
        self.address = opened.getsockname()[:2]
        self.receive_buffer_bytes = binding.granted_bytes(opened, sockets_of_python.SO_RCVBUF)
        self.send_buffer_bytes = binding.granted_bytes(opened, sockets_of_python.SO_SNDBUF)
        self.cos = opened.getsockopt(SOL_SOCKET, sockets_of_python.SO_PRIORITY)
        self.segment = segment and _kernel_segments(opened)
        self.segment_limit = RUN_BYTES
        self.coalesce = coalesce and _kernel_coalesces(opened)

    def receive(self, Batch inbox not None, uint16_t index, int64_t offset_ns, uint32_t limit):
        if self.handle < 0:
            raise LocalError("the socket is closed")
        if not inbox.slot_bytes:
            raise LocalError("datagrams are received into an inbox")
        return _receive(self, inbox, index, offset_ns, limit)

    def send_one(self, bytes data not None, bytes peer not None):
        cdef Peer address
        cdef msghdr header
        cdef iovec piece
        cdef int failures = 0
        if self.handle < 0:
            raise LocalError("the socket is closed")
        peer_from_bytes(&address, peer)
        memset(&header, 0, sizeof(header))
        piece.iov_base = <char*>data
        piece.iov_len = len(data)
        header.msg_name = address.bytes
        header.msg_namelen = address.length
        header.msg_iov = &piece
        header.msg_iovlen = 1
        for _ in range(PENDING_TRIES):
            self.syscalls += 1
            if sendmsg(self.handle, &header, MSG_DONTWAIT) >= 0:
                self.sent += 1
                return True
            if errno == EAGAIN:
                return False
            if errno == EINTR:
                continue
            # as in _send_by: it may be an ICMP answer to an earlier datagram
            failures += 1
            if failures > 1 and errno != ECONNREFUSED and errno != ENOPROTOOPT and errno != EPROTO:
                self.send_errors += 1
                return False
            self.pending_errors += 1
        return False

    def attend(self, bint on):
        if self.handle >= 0 and not self.blocked:
            self.poll.modify(self.handle, select.EPOLLIN if on else 0)

    def errors(self, uint32_t limit=256):
        cdef list found = []
        if self.handle < 0:
            raise LocalError("the socket is closed")
        while limit and _read_error(self, found):
            limit -= 1
        return found

    def close(self):
        if self.handle < 0:
            return
        self.fd = self.handle = -1
        self.poll.close()
        self.socket.close()

    def __repr__(self):
        return f"<UDP socket {self.address[0]} port {self.address[1]}>"


cdef bint _kernel_segments(object opened):
    # A kernel that does not know the option would send a whole run as one datagram.
    try:
        opened.getsockopt(SOL_UDP, UDP_SEGMENT)
    except OSError:
        return False
    return True


cdef bint _kernel_coalesces(object opened):
    try:
        opened.setsockopt(SOL_UDP, UDP_GRO, 1)
    except OSError:
        return False
    return True


# --------------------------------------------------------------------------------------- receive


cdef void _lay_out_receive(Batch inbox, uint32_t headers) noexcept nogil:
    cdef uint32_t i
    cdef char* slot = inbox.arena + inbox.used_bytes
    cdef msghdr* header
    for i in range(headers):
        receive_pieces[i].iov_base = slot
        receive_pieces[i].iov_len = inbox.slot_bytes
        header = &receive_headers[i].msg_hdr
        header.msg_name = receive_peers[i].bytes
        header.msg_namelen = PEER_BYTES
        header.msg_iov = &receive_pieces[i]
        header.msg_iovlen = 1
        header.msg_control = receive_controls[i]
        header.msg_controllen = RECEIVE_CONTROL * 8
        slot += inbox.slot_bytes


cdef inline Receipt _read_control(Socket socket, msghdr* header, int64_t offset_ns) noexcept nogil:
    cdef cmsghdr* control = CMSG_FIRSTHDR(header)
    cdef timespec stamp
    cdef uint32_t drops
    cdef Receipt receipt
    receipt.time_ns = 0
    receipt.segment_bytes = 0
    while control != NULL:
        if control.cmsg_level == SOL_SOCKET:
            if control.cmsg_type == SO_TIMESTAMPNS:
                memcpy(&stamp, CMSG_DATA(control), sizeof(stamp))
                receipt.time_ns = stamp.tv_sec * 1000000000 + stamp.tv_nsec + offset_ns
            elif control.cmsg_type == SO_RXQ_OVFL:
                memcpy(&drops, CMSG_DATA(control), sizeof(drops))
                socket.overflow_drops += <uint32_t>(drops - socket.drops_seen)
                socket.drops_seen = drops
        elif control.cmsg_level == SOL_UDP and control.cmsg_type == UDP_GRO:
            memcpy(&receipt.segment_bytes, CMSG_DATA(control), sizeof(int))
        control = CMSG_NXTHDR(header, control)
    return receipt


cdef inline uint32_t _take_in(Socket socket, Batch inbox, uint32_t number, uint16_t index,
                              int64_t offset_ns) noexcept nogil:
    # What came in the next slot becomes one item of the inbox or, if it is a run, one for each of
    # its datagrams; returns how many.
    cdef mmsghdr* received = &receive_headers[number]
    cdef Receipt receipt = _read_control(socket, &received.msg_hdr, offset_ns)
    cdef uint32_t length = received.msg_len, inside = min(length, inbox.slot_bytes)
    cdef uint32_t size = length, at = 0, count = 0
    cdef Datagram* item = &inbox.items[inbox.count]
    if 0 < receipt.segment_bytes < <int64_t>length:
        size = receipt.segment_bytes
    receive_peers[number].length = <uint8_t>received.msg_hdr.msg_namelen
    while True:
        item.data = inbox.arena + inbox.used_bytes + at
        item.length = min(size, inside - at)
        item.socket = index
        item.flags = 0
        item.flow = 0
        item.time_ns = receipt.time_ns
        item.peer = receive_peers[number]
        item += 1
        count += 1
        at += size
        if at >= inside or count == RUN_DATAGRAMS:
            break
    if at < length or inside < length:
        # Of all that came, those which are not here whole.
        socket.truncated += (length + size - 1) // size - min(count, inside // size)
    if size < length:
        socket.gro_runs += 1
        socket.gro_received += count
    inbox.used_bytes += inbox.slot_bytes
    inbox.count += count
    return count


cdef uint32_t _receive(Socket socket, Batch inbox, uint16_t index, int64_t offset_ns,
                       uint32_t limit) noexcept nogil:
    cdef uint32_t total = 0, ask = FIRST_RECEIVE, failures = 0, i
    cdef int got
    limit = min(limit, <uint32_t>((inbox.arena_bytes - inbox.used_bytes) // inbox.slot_bytes))
    while limit:
        ask = min(ask, limit)
        _lay_out_receive(inbox, ask)
        # With MSG_TRUNC the kernel tells the length that it was, also of what it had to cut.
        got = recvmmsg(socket.handle, receive_headers, ask, MSG_DONTWAIT | MSG_TRUNC, NULL)
        socket.syscalls += 1
        if got < 0:
            if errno == EAGAIN:
                break
            # An ICMP error is reported before the datagrams that wait behind it.
            socket.pending_errors += errno != EINTR
            failures += 1
            if failures == PENDING_TRIES:
                break
            continue
        for i in range(<uint32_t>got):
            total += _take_in(socket, inbox, i, index, offset_ns)
        limit -= got
        if <uint32_t>got < ask:
            break
        ask = RECEIVE_HEADERS
    socket.received += total
    return total


cdef bint _read_error(Socket socket, list found) except -1:
    # Appends what the next entry of the error queue says, if it came by ICMP. False: none is left.
    cdef char quoted[ERROR_BYTES]
    cdef uint64_t controls[ERROR_CONTROL]
    cdef Peer peer
    cdef iovec piece
    cdef msghdr header
    cdef cmsghdr* control
    cdef sock_extended_err error
    cdef ssize_t length
    memset(&peer, 0, sizeof(peer))
    memset(&header, 0, sizeof(header))
    piece.iov_base = quoted
    piece.iov_len = ERROR_BYTES
    header.msg_name = peer.bytes
    header.msg_namelen = PEER_BYTES
    header.msg_iov = &piece
    header.msg_iovlen = 1
    header.msg_control = controls
    header.msg_controllen = ERROR_CONTROL * 8
    length = recvmsg(socket.handle, &header, MSG_ERRQUEUE | MSG_DONTWAIT)
    socket.syscalls += 1
    if length < 0:
        return False
    peer.length = <uint8_t>header.msg_namelen
    control = CMSG_FIRSTHDR(&header)
    while control != NULL:
        if ((control.cmsg_level == IPPROTO_IP and control.cmsg_type == IP_RECVERR)
                or (control.cmsg_level == IPPROTO_IPV6 and control.cmsg_type == IPV6_RECVERR)):
            memcpy(&error, CMSG_DATA(control), sizeof(error))
            if error.ee_origin == SO_EE_ORIGIN_ICMP or error.ee_origin == SO_EE_ORIGIN_ICMP6:
                found.append(IcmpError(quoted[:length], peer_to_bytes(&peer), error.ee_errno,
                                       error.ee_type, error.ee_code))
        control = CMSG_NXTHDR(&header, control)
    return True


# ------------------------------------------------------------------------------------------ send


cdef inline uint32_t _run_length(Socket socket, Batch outbox, uint32_t start) noexcept nogil:
    # How many datagrams from `start` on the kernel can cut out of one piece: of one size, to one
    # peer, the last may be shorter.
    cdef Datagram* first = &outbox.items[start]
    cdef Datagram* item = first
    cdef uint32_t size = first.length, total = size, count = 1
    cdef uint32_t most = min(<uint32_t>SEGMENTS, outbox.count - start)
    if (not socket.segment or size == 0 or size > socket.segment_limit
            or first.flags & PLAIN):
        return 1
    while count < most:
        item += 1
        total += item.length
        if (item.length > size or item.length == 0 or total > RUN_BYTES or item.flags & PLAIN
                or item.socket != first.socket or not same_peer(&item.peer, &first.peer)):
            break
        count += 1
        if item.length < size:
            break
    return count


cdef inline void _set_segment_bytes(msghdr* header, uint64_t* controls,
                                    uint16_t size) noexcept nogil:
    cdef cmsghdr* control
    header.msg_control = controls
    header.msg_controllen = CMSG_SPACE(sizeof(size))
    control = CMSG_FIRSTHDR(header)
    control.cmsg_level = SOL_UDP
    control.cmsg_type = UDP_SEGMENT
    control.cmsg_len = CMSG_LEN(sizeof(size))
    memcpy(CMSG_DATA(control), &size, sizeof(size))


cdef uint32_t _lay_out_send(Socket socket, Batch outbox, uint16_t index) noexcept nogil:
    # Headers for what comes next by this socket; returns how many.
    cdef uint32_t at = outbox.cursor, headers = 0, pieces = 0, span
    cdef msghdr* header
    cdef Datagram* item
    cdef Datagram* last
    cdef iovec* piece
    while (headers < SEND_HEADERS and pieces <= SEND_PIECES - SEGMENTS and at < outbox.count
           and outbox.items[at].socket == index):
        span = _run_length(socket, outbox, at)
        item = &outbox.items[at]
        piece = &send_pieces[pieces]
        header = &send_headers[headers].msg_hdr
        header.msg_name = item.peer.bytes
        header.msg_namelen = item.peer.length
        header.msg_iov = piece
        header.msg_control = NULL
        header.msg_controllen = 0
        if span > 1:
            _set_segment_bytes(header, send_controls[headers], <uint16_t>item.length)
        piece.iov_base = item.data
        piece.iov_len = item.length
        last = item + (span - 1)
        while item < last:
            item += 1
            # Neighbours in the arena are one piece: the kernel walks it faster than many.
            if <char*>piece.iov_base + piece.iov_len != item.data:
                piece += 1
                piece.iov_base = item.data
                piece.iov_len = 0
            piece.iov_len += item.length
        header.msg_iovlen = piece - header.msg_iov + 1
        pieces += <uint32_t>header.msg_iovlen
        send_spans[headers] = span
        headers += 1
        at += span
    return headers


cdef inline void _account(Socket socket, Batch outbox, uint32_t span) noexcept nogil:
    cdef Datagram* first = &outbox.items[outbox.cursor]
    outbox.cursor += span
    socket.sent += span
    if span > 1:
        socket.gso_runs += 1
        socket.gso_sent += span
    elif first.flags & SUSPECT_SIZE:
        socket.segment_limit = min(socket.segment_limit, first.length - 1)
    elif first.flags & SUSPECT_ROUTE:
        socket.segment = False


cdef void _blame(Socket socket, Batch outbox, uint32_t span, int error) noexcept nogil:
    # The next header was refused twice: a run goes on one by one, a single datagram is given up.
    cdef Datagram* first = &outbox.items[outbox.cursor]
    cdef uint32_t i
    if span == 1:
        socket.send_errors += 1
        socket.oversized += error == EMSGSIZE
        outbox.cursor += 1
        return
    socket.gso_refused += 1
    for i in range(span):
        first[i].flags |= PLAIN
    # A segment beyond the path's MTU is EMSGSIZE or EINVAL, a route that cannot segment (IPsec, no
    # checksum offload) EIO. But they have other causes too, and those refuse a single datagram as
    # well.
    if error == EMSGSIZE or error == EINVAL:
        first.flags |= SUSPECT_SIZE
    elif error == EIO:
        first.flags |= SUSPECT_ROUTE


cdef bint _send_by(Socket socket, Batch outbox, uint16_t index) noexcept nogil:
    # Sends up to the next datagram of another socket. False: the buffer is full.
    cdef uint32_t headers = 0, done = 0, failures = 0, i
    cdef int taken, error
    while True:
        if done == headers:
            headers = _lay_out_send(socket, outbox, index)
            done = 0
            if headers == 0:
                return True
        taken = sendmmsg(socket.handle, &send_headers[done], headers - done, MSG_DONTWAIT)
        error = errno
        socket.syscalls += 1
        if taken > 0:
            failures = 0
            for i in range(<uint32_t>taken):
                _account(socket, outbox, send_spans[done + i])
            done += taken
            continue
        if error == EAGAIN:
            return False
        if error == EINTR:
            continue
        # The error may be an ICMP answer to an earlier datagram, which the kernel reports at
        # whatever is sent next: it is asked again. ECONNREFUSED and its like are always of that
        # kind.
        failures += 1
        if failures == 1:
            socket.pending_errors += 1
            continue
        if error == ECONNREFUSED or error == ENOPROTOOPT or error == EPROTO:
            socket.pending_errors += 1
            if failures == PENDING_TRIES:
                return False
            continue
        _blame(socket, outbox, send_spans[done], error)
        failures = 0
        headers = done = 0


def send(Batch outbox not None, list sockets not None):
    cdef Socket socket
    cdef uint16_t index
    if outbox.cursor == 0:
        outbox.group()
    while outbox.cursor < outbox.count:
        if outbox.items[outbox.cursor].flow:
            outbox.cursor += 1         # a connection's: net/stream has looked at it already
            continue
        index = outbox.items[outbox.cursor].socket
        if index >= len(sockets):
            raise LocalError(f"there is no socket number {index}")
        socket = sockets[index]
        if socket.handle < 0:
            raise LocalError("the socket is closed")
        if not _send_by(socket, outbox, index):
            if not socket.blocked:
                socket.blocked = True
                socket.poll.modify(socket.handle, select.EPOLLIN | select.EPOLLOUT)
            return False
        if socket.blocked:
            socket.blocked = False
            socket.poll.modify(socket.handle, select.EPOLLIN)
    return True
