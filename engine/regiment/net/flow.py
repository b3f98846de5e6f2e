"""One connection, TCP or TLS: what is known of it, and when it wants to be looked at again."""

from __future__ import annotations

import socket as sockets
import ssl

from regiment.model import Transport
from regiment.net import failure
from regiment.net.failure import Failure
from regiment.net.inlet import Inlet
from regiment.net.tls import Security

CONNECT_NS = 10_000_000_000
"""From the first packet to the end of the TLS handshake."""
PONG_NS = 10_000_000_000
"""RFC 5626 section 4.4.1."""
STALL_NS = 30_000_000_000
"""A peer that takes nothing for so long is given up, and one that does not finish a message."""
CLOSE_NS = 2_000_000_000
"""The peer has so long to close its side after we have closed ours."""

CONNECTING, SHAKING, OPEN, CLOSING = range(4)

_SECOND_NS = 1_000_000_000


class Flow:
    """One connection. 0 in a field that holds a time: it does not run."""

    __slots__ = (
        *("inlet", "socket", "fd", "number", "security", "secret", "state", "unsent", "due_s"),
        *("since_ns", "partial_ns", "ping_ns", "pong_ns", "keep_alive_ns", "wants_pong"),
        *("pings", "messages", "broken"),
    )

    def __init__(self, number: int, peer: bytes, opened: sockets.socket) -> None:
        self.inlet = Inlet(number, peer)
        self.socket = opened
        self.fd = opened.fileno()
        self.number = number
        self.security: Security | None = None
        self.secret: ssl.SSLObject | None = None
        self.state = CONNECTING
        self.unsent: bytearray | None = None
        self.due_s = 0
        """The second for which a check is planned."""
        self.since_ns = 0
        """When connecting or closing began, or when `unsent` last became less."""
        self.partial_ns = 0
        """When the message began that has not ended."""
        self.ping_ns = 0
        self.pong_ns = 0
        """Until when a pong has to be there."""
        self.keep_alive_ns = 0
        self.wants_pong = False
        """The peer answers pings: it did, or it promised to."""
        self.pings = 0
        """Those of the peer that were answered."""
        self.messages = 0
        self.broken: Failure | None = None
        """The kernel refused more; what had come before is read yet."""

    def dress(self, transport: Transport, security: Security | None) -> None:
        """As the transport and, for TLS, the server's name want it."""
        self.security = security
        self.keep_alive_ns = transport.keep_alive_interval * _SECOND_NS

    @property
    def peer_name(self) -> str:
        """Whom a certificate is about."""
        return self.security.name if self.security else "the peer"

    def interval_ns(self) -> int:
        """80 to 100 % of the keep-alive interval, by the number: RFC 5626 section 4.4.1."""
        share = self.number * 2_654_435_761 % (1 << 32)
        return self.keep_alive_ns * 4 // 5 + (self.keep_alive_ns // 5 * share >> 32)

    def note_reading(self, now_ns: int) -> None:
        """Messages were taken in: whether one has begun and not ended, and since when."""
        inlet = self.inlet
        if not inlet.is_partial:
            self.partial_ns = 0
        elif not self.partial_ns or self.messages != inlet.messages:
            self.partial_ns = now_ns
        self.messages = inlet.messages

    def overdue(self, now_ns: int) -> Failure | None:
        """Why it has to end at this time; None: it goes on."""
        waited_ns = now_ns - self.since_ns
        if self.state == CLOSING:
            return failure.HUNG_UP if waited_ns >= CLOSE_NS else None
        if self.state != OPEN:
            if waited_ns < CONNECT_NS:
                return None
            return failure.CONNECT_TIMEOUT if self.state == CONNECTING else failure.TLS_TIMEOUT
        if self.unsent and waited_ns >= STALL_NS:
            return failure.STALLED
        if self.partial_ns and now_ns - self.partial_ns >= STALL_NS:
            return failure.UNFINISHED
        if self.pong_ns and now_ns >= self.pong_ns:
            return failure.NO_PONG
        return None

    def next_check_ns(self) -> int:
        """When it has to be looked at again; 0: never by itself."""
        if self.state == CLOSING:
            return self.since_ns + CLOSE_NS
        if self.state != OPEN:
            return self.since_ns + CONNECT_NS
        times = [at_ns for at_ns in (self.ping_ns, self.pong_ns) if at_ns]
        if self.unsent:
            times.append(self.since_ns + STALL_NS)
        if self.partial_ns:
            times.append(self.partial_ns + STALL_NS)
        return min(times, default=0)

    def closed_by_peer(self) -> Failure:
        """What the end of the peer's stream means now."""
        if self.state == CLOSING:
            return failure.HUNG_UP
        if self.broken:
            return self.broken
        if self.state == SHAKING:
            return failure.TLS_CLOSED
        return failure.CUT if self.inlet.is_partial else failure.CLOSED
