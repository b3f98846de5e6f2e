"""Connections: TCP and TLS, thousands of them behind one descriptor, served in batches.

No event loop is needed but one that watches `Streams.fd` and then calls `serve`: a connection that
is idle costs its socket and a record here, and nothing wakes for it. Like `net.udp` this is handed
the time. Whoever owns the streams is told what happens by the four calls of `Owner`.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket as sockets
import ssl
import struct
from collections.abc import Callable
from typing import Protocol

from regiment.datagram import Batch
from regiment.model import Transport
from regiment.net import failure, outlet, wire
from regiment.net.failure import Failure
from regiment.net.flow import CLOSING, CONNECTING, OPEN, PONG_NS, SHAKING, STALL_NS, Flow
from regiment.net.records import READ_BYTES, Records
from regiment.net.tls import Security

UNSENT_BYTES = 4 * 1024 * 1024
"""Of one connection; its owner stops long before, at the first that does not go out."""
EVENTS = 256
"""Connections that are looked at in one `serve`; the others keep `fd` readable."""

PING = b"\r\n\r\n"
PONG = b"\r\n"

_SECOND_NS = 1_000_000_000
_READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
_ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER: a close is a reset, and the kernel forgets what the peer would not take."""


class Owner(Protocol):
    """Who is told. Each may be called from within any call to the streams."""

    def connected(self, flow: int, local: bytes, now_ns: int) -> None: ...
    def disconnected(self, flow: int, why: Failure, now_ns: int) -> None: ...
    def writable(self, flow: int, on: bool, now_ns: int) -> None: ...
    def received(self, inbox: Batch, now_ns: int) -> None: ...


class Streams:
    """The connections of one worker, by the numbers that its core gives them.

    `wall_s` gives the time by which certificates are judged.
    """

    def __init__(self, owner: Owner, wall_s: Callable[[], int]) -> None:
        self._owner = owner
        self._wall_s = wall_s
        self._poll = select.epoll()
        # The outer one is what the loop watches: whether the inner one may wake it is one call.
        self._outer = select.epoll()
        self._outer.register(self._poll.fileno(), select.EPOLLIN)
        self._flows: dict[int, Flow] = {}
        self._by_fd: dict[int, Flow] = {}
        self._due: dict[int, list[int]] = {}
        self._records = Records()
        self._buffer = bytearray(READ_BYTES)
        self._view = memoryview(self._buffer)
        self.standing = 0
        """Connections that are open; the rest of them are being made or closed."""
        self.received = 0
        """Messages so far."""
        self.handshakes_ns: list[int] = []
        """How long each TLS handshake took; the owner takes and clears it."""
        self.warnings: list[str] = []
        """What `verify_server=yes` would have refused; the owner takes and clears it."""

    @property
    def fd(self) -> int:
        """Readable while there is something to `serve`."""
        return self._outer.fileno()

    def __len__(self) -> int:
        return len(self._flows)

    # ---- what the owner asks for

    def open(
        self,
        number: int,
        peer: bytes,
        transport: Transport,
        security: Security | None,
        now_ns: int,
    ) -> None:
        """Begins to connect to `peer`; one `disconnected` follows in the end, whatever comes."""
        try:
            opened = wire.connect(peer, transport)
        except OSError as error:
            self._owner.disconnected(number, failure.from_os(error), now_ns)
            return
        flow = Flow(number, peer, opened)
        flow.dress(transport, security)
        self._admit(flow, select.EPOLLOUT, now_ns)

    def close(self, number: int, now_ns: int) -> None:
        """Ends a connection in good order: what waits is sent first. Nothing for an unknown one."""
        flow = self._flows.get(number)
        if flow is None or flow.state == CLOSING:
            return
        if flow.state != OPEN:
            self._end(flow, failure.HUNG_UP, now_ns)
            return
        flow.state = CLOSING
        self.standing -= 1
        flow.since_ns = now_ns
        flow.due_s = 0
        self._plan(flow, flow.next_check_ns())
        if not flow.unsent:
            self._say_farewell(flow, now_ns)

    def set_flow_timer(self, number: int, seconds: int, now_ns: int) -> None:
        """The peer promised pongs and wants to hear something every so often (Flow-Timer)."""
        flow = self._flows.get(number)
        if flow is None or seconds <= 0:
            return
        asked_ns = seconds * _SECOND_NS
        flow.keep_alive_ns = min(flow.keep_alive_ns or asked_ns, asked_ns)
        flow.wants_pong = True
        if flow.state == OPEN:
            flow.ping_ns = now_ns + flow.interval_ns()
            self._plan(flow, flow.ping_ns)

    def send(self, outbox: Batch, now_ns: int) -> int:
        """Sends an outbox's messages for connections; returns how many datagrams are in it.

        Those for a connection that is gone, or not there yet, are dropped: the owner was told.
        """
        pieces, datagrams = outlet.runs(outbox)
        for number, data in pieces:
            flow = self._flows.get(number)
            if flow is not None and flow.state == OPEN:
                self._write(flow, data, now_ns)
        return datagrams

    def attend(self, on: bool) -> None:
        """Off: `fd` is not readable whatever comes; on: it is again. One system call."""
        self._outer.modify(self._poll.fileno(), select.EPOLLIN if on else 0)

    def shut(self) -> None:
        """Closes everything at once, without a word to the owner. May be called twice."""
        for flow in self._flows.values():
            if flow.secret is not None and flow.state == OPEN and not flow.unsent:
                self._say_last(flow, self._records.end(flow.secret))
            flow.socket.close()
        self._flows.clear()
        self.standing = 0
        self._by_fd.clear()
        self._outer.close()
        self._poll.close()

    # ---- what happens

    def serve(self, inbox: Batch, now_ns: int) -> int:
        """Looks at what is ready; messages go to the owner by `inbox`. Returns how many."""
        before = self.received
        for fd, mask in self._poll.poll(0, EVENTS):
            flow = self._by_fd.get(fd)
            if flow is None:
                continue
            if flow.state == CONNECTING:
                if mask != select.EPOLLIN:  # which would be meant for who had this descriptor
                    self._reach(flow, now_ns)
                continue
            if mask & select.EPOLLOUT:
                self._flush(flow, now_ns)
            if mask & _READABLE and self._by_fd.get(fd) is flow:
                self._read(flow, inbox, now_ns)
        return self.received - before

    def tick(self, now_ns: int) -> None:
        """What is due by time; to be called about once a second."""
        now_s = now_ns // _SECOND_NS
        for second in sorted(second for second in self._due if second <= now_s):
            for number in self._due.pop(second):
                flow = self._flows.get(number)
                if flow is not None and flow.due_s == second:
                    flow.due_s = 0
                    self._check(flow, now_ns)

    # ---- the life of one

    def _admit(self, flow: Flow, events: int, now_ns: int) -> None:
        self._flows[flow.number] = flow
        self._by_fd[flow.fd] = flow
        self._poll.register(flow.fd, events)
        flow.since_ns = now_ns
        self._plan(flow, flow.next_check_ns())

    def _reach(self, flow: Flow, now_ns: int) -> None:
        """The socket says whether it is connected."""
        number = flow.socket.getsockopt(sockets.SOL_SOCKET, sockets.SO_ERROR)
        if number:
            self._end(flow, failure.from_os(OSError(number, "")), now_ns)
            return
        self._poll.modify(flow.fd, select.EPOLLIN)
        security = flow.security
        if security is None:
            self._stand(flow, now_ns)
            return
        try:
            flow.secret = self._records.client(security.context, security.name, security.session)
        except ValueError:
            why = Failure("tls", f"TLS: {security.name} is no name that can be asked for (SNI)")
            self._end(flow, why, now_ns)
            return
        flow.state = SHAKING
        self._shake(flow, b"", now_ns)

    def _shake(self, flow: Flow, received: memoryview | bytes, now_ns: int) -> bytes | None:
        """Goes on with the handshake. Once the connection stands: what came behind it."""
        secret = flow.secret
        assert secret is not None
        try:
            rest = self._records.shake(secret, received)
        except ssl.SSLError as error:
            self._say_last(flow, self._records.take())
            self._end(flow, failure.from_tls(error, flow.peer_name), now_ns)
            return None
        self._post(flow, self._records.take(), now_ns)
        if rest is None or self._flows.get(flow.number) is not flow:
            return None
        self.handshakes_ns.append(now_ns - flow.since_ns)
        if security := flow.security:
            der = secret.getpeercert(True)
            if refusal := security.refuse(der, self._wall_s()):
                self._say_last(flow, self._records.end(secret))
                self._end(flow, refusal, now_ns)
                return None
            if warning := security.warning(der, self._wall_s()):
                self.warnings.append(warning)
        self._stand(flow, now_ns)
        return rest

    def _stand(self, flow: Flow, now_ns: int) -> None:
        try:
            local = wire.local_end(flow.socket)
        except OSError as error:
            self._end(flow, failure.from_os(error), now_ns)
            return
        if local == flow.inlet.peer_address:
            # Nobody listens: the kernel chose the very port that we called, and answered itself.
            self._end(flow, failure.from_os(ConnectionRefusedError(errno.ECONNREFUSED, "")), now_ns)
            return
        flow.state = OPEN
        self.standing += 1
        if flow.keep_alive_ns:
            flow.ping_ns = now_ns + flow.interval_ns()
            self._plan(flow, flow.ping_ns)
        self._owner.connected(flow.number, local, now_ns)

    def _say_farewell(self, flow: Flow, now_ns: int) -> None:
        if flow.secret is not None:
            self._post(flow, self._records.end(flow.secret), now_ns)
        with contextlib.suppress(OSError):
            flow.socket.shutdown(sockets.SHUT_WR)

    def _say_last(self, flow: Flow, data: bytes) -> None:
        """An alert that explains why it ends, if the socket takes it."""
        with contextlib.suppress(OSError):
            flow.socket.send(data)

    def _end(self, flow: Flow, why: Failure, now_ns: int) -> None:
        if self._flows.pop(flow.number, None) is None:
            return
        del self._by_fd[flow.fd]
        self.standing -= flow.state == OPEN
        if flow.unsent and flow.state != CLOSING:
            with contextlib.suppress(OSError):
                flow.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _ABORT)
        # This also takes it off the poll.
        flow.socket.close()
        self._owner.disconnected(flow.number, why, now_ns)

    # ---- reading

    def _read(self, flow: Flow, inbox: Batch, now_ns: int) -> None:
        try:
            count = flow.socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError as error:
            flow.broken = failure.from_os(error)
            count = 0
        if not count:
            self._end(flow, flow.closed_by_peer(), now_ns)
        elif flow.state == CLOSING:
            return
        elif flow.secret is None:
            self._deliver(flow, self._buffer, count, inbox, now_ns)
        elif flow.state == OPEN:
            self._decrypt(flow, self._view[:count], inbox, now_ns)
        elif rest := self._shake(flow, self._view[:count], now_ns):
            self._decrypt(flow, rest, inbox, now_ns)

    def _decrypt(self, flow: Flow, received: memoryview | bytes, inbox: Batch, now_ns: int) -> None:
        records, secret, security = self._records, flow.secret, flow.security
        assert secret is not None
        count, has_ended, error = records.open(secret, received)
        if said := records.take():
            self._post(flow, said, now_ns)
        if count:
            if security is not None and not flow.messages:
                _keep_session(security, secret)
            self._deliver(flow, records.plain, count, inbox, now_ns)
        if error is not None:
            self._end(flow, failure.from_tls(error, flow.peer_name), now_ns)
        elif has_ended:
            self._end(flow, flow.closed_by_peer(), now_ns)

    def _deliver(self, flow: Flow, data: bytearray, count: int, inbox: Batch, now_ns: int) -> None:
        inlet = flow.inlet
        at = 0
        while at < count:
            inbox.clear()
            at = inlet.fill(data, count, inbox, now_ns, at)
            if found := len(inbox):
                self.received += found
                self._owner.received(inbox, now_ns)
        inbox.clear()
        if inlet.error:
            self._end(flow, failure.no_sip(inlet.error), now_ns)
            return
        flow.note_reading(now_ns)
        if flow.partial_ns:
            self._plan(flow, flow.partial_ns + STALL_NS)
        if inlet.settle():
            flow.wants_pong = True
            flow.pong_ns = 0
        if flow.pings != inlet.pings:
            # Two pongs in one piece look like a ping; to answer that harms nobody.
            flow.pong_ns = 0
            answer = PONG * min(inlet.pings - flow.pings, 16)
            flow.pings = inlet.pings
            if flow.state == OPEN and not flow.unsent:
                self._write(flow, answer, now_ns)

    # ---- writing

    def _write(self, flow: Flow, data: memoryview | bytes, now_ns: int) -> None:
        if flow.secret is not None:
            try:
                data = self._records.seal(flow.secret, data)
            except ssl.SSLError as error:
                self._end(flow, failure.from_tls(error, flow.peer_name), now_ns)
                return
        self._post(flow, data, now_ns)

    def _post(self, flow: Flow, data: memoryview | bytes, now_ns: int) -> None:
        """Bytes as they are to the socket; what it does not take waits."""
        if not data or flow.broken or self._flows.get(flow.number) is not flow:
            return
        if flow.unsent:
            flow.unsent += data
            if len(flow.unsent) > UNSENT_BYTES:
                self._end(flow, failure.STALLED, now_ns)
            return
        try:
            sent = flow.socket.send(data)
        except BlockingIOError:
            sent = 0
        except (BrokenPipeError, ConnectionResetError) as error:
            # What the peer said before, perhaps why it hung up, is still to be read.
            flow.broken = failure.from_os(error)
            return
        except OSError as error:
            self._end(flow, failure.from_os(error), now_ns)
            return
        if sent == len(data):
            return
        flow.unsent = bytearray(data[sent:])
        self._poll.modify(flow.fd, select.EPOLLIN | select.EPOLLOUT)
        if flow.state == OPEN:
            flow.since_ns = now_ns
            self._plan(flow, flow.next_check_ns())
            self._owner.writable(flow.number, False, now_ns)

    def _flush(self, flow: Flow, now_ns: int) -> None:
        """The socket takes more of what waits."""
        if flow.unsent:
            try:
                sent = flow.socket.send(flow.unsent)
            except BlockingIOError:
                return
            except OSError as error:
                why = failure.HUNG_UP if flow.state == CLOSING else failure.from_os(error)
                self._end(flow, why, now_ns)
                return
            del flow.unsent[:sent]
            if flow.state == OPEN:
                flow.since_ns = now_ns
            if flow.unsent:
                return
        flow.unsent = None
        self._poll.modify(flow.fd, select.EPOLLIN)
        if flow.state == OPEN:
            self._owner.writable(flow.number, True, now_ns)
        elif flow.state == CLOSING:
            self._say_farewell(flow, now_ns)

    # ---- time

    def _plan(self, flow: Flow, at_ns: int) -> None:
        """Sees to it that the flow is checked at `at_ns`, or up to a second later."""
        second = at_ns // _SECOND_NS + 1
        if 0 < flow.due_s <= second:
            return
        flow.due_s = second
        self._due.setdefault(second, []).append(flow.number)

    def _check(self, flow: Flow, now_ns: int) -> None:
        if why := flow.overdue(now_ns):
            self._end(flow, why, now_ns)
            return
        if flow.state == OPEN and flow.ping_ns and now_ns >= flow.ping_ns:
            self._ping(flow, now_ns)
        if self._flows.get(flow.number) is flow and (at_ns := flow.next_check_ns()):
            self._plan(flow, at_ns)

    def _ping(self, flow: Flow, now_ns: int) -> None:
        flow.ping_ns = now_ns + flow.interval_ns()
        if flow.unsent:
            return  # those bytes keep it alive, or it will be given up by them
        if flow.wants_pong and not flow.pong_ns:
            flow.pong_ns = now_ns + PONG_NS
        self._write(flow, PING, now_ns)


def _keep_session(security: Security, secret: ssl.SSLObject) -> None:
    """TLS 1.3 gives tickets behind the handshake: they are there with the first message."""
    session = secret.session
    if session is not None and session.has_ticket:
        security.session = session
