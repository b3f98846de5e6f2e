"""The connections of a worker: what its core asks for, and what the network says to it.

The core numbers them, says when one is wanted and when it is not, and paces that; here each of its
words is done at once and answered with exactly one `disconnected` in the end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from regiment.datagram import Batch
from regiment.errors import LocalError
from regiment.metrics.catalogue import STREAM_TRANSPORTS
from regiment.metrics.scoreboard import Scoreboard
from regiment.model import Transport
from regiment.net.failure import Failure
from regiment.net.stream import Streams
from regiment.net.tls import Contexts
from regiment.uac.destination import Dial

TICK_NS = 1_000_000_000
"""Keep-alives and time limits are looked at this often."""


class Core(Protocol):
    """What connections need of a core."""

    def dials(self) -> Sequence[Dial]: ...
    def hangups(self) -> Sequence[int]: ...
    def flow_timers(self) -> Sequence[tuple[int, int]]: ...
    def receive(self, inbox: Batch, now_ns: int) -> None: ...
    def connected(self, number: int, local: bytes, now_ns: int) -> None: ...
    def disconnected(self, number: int, reason: str, now_ns: int) -> None: ...
    def writable(self, number: int, on: bool, now_ns: int) -> None: ...


class Connections:
    """Between one core and its TCP and TLS connections.

    `attach` is called once, with the streams, when there is a transport that needs them; `wake`
    when the core was told something outside of its turns.
    """

    def __init__(
        self,
        core: Core,
        *,
        attach: Callable[[Streams], None],
        wake: Callable[[], None],
        wall_s: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self.streams: Streams | None = None
        self._core = core
        self._attach = attach
        self._wake = wake
        self._wall_s = wall_s
        self._contexts = Contexts()
        self._transports: dict[int, Transport] = {}
        self._dialled: dict[int, str] = {}
        """Protocol of each connection that is being made."""
        self._standing: dict[int, str] = {}
        """The same of each that stands, until its end."""
        self._failures: dict[tuple[str, str], int] = {}
        self._ticked_ns = 0
        self._told = False

    def add(self, number: int, transport: Transport) -> None:
        """A TCP or TLS transport, under the number that the core gave it."""
        self._transports[number] = transport
        if self.streams is None:
            self.streams = Streams(self, self._wall_s)
            self._attach(self.streams)

    def after(self, now_ns: int) -> None:
        """At the end of each turn: what the core wants, and what is due by time."""
        streams = self.streams
        if streams is None:
            return
        self._told = False
        for flow in self._core.hangups():
            streams.close(flow, now_ns)
        for dial in self._core.dials():
            self._dial(streams, dial, now_ns)
        for flow, seconds in self._core.flow_timers():
            streams.set_flow_timer(flow, seconds, now_ns)
        if now_ns - self._ticked_ns >= TICK_NS:
            self._ticked_ns = now_ns
            streams.tick(now_ns)
        if self._told:
            self._wake()

    def publish(self, board: Scoreboard) -> None:
        """What is counted since the last time, and what is now."""
        if self.streams is None:
            return
        for state, flows in (("connecting", self._dialled), ("open", self._standing)):
            counted = Counter(flows.values())
            for protocol in STREAM_TRANSPORTS:
                labels = (protocol, state)
                board.set("regiment_transport_connections", labels, counted[protocol])
        for failure, count in self._failures.items():
            board.add("regiment_transport_failures_total", failure, count)
        self._failures.clear()
        for lasted_ns in self.streams.handshakes_ns:
            board.record("regiment_tls_handshake_duration_seconds", (), lasted_ns)
        self.streams.handshakes_ns.clear()
        for side, expires_s in zip(("own", "peer"), self._contexts.expiries(), strict=True):
            board.set("regiment_tls_certificate_expiry_timestamp_seconds", (side,), expires_s)

    def take_warnings(self) -> tuple[str, ...]:
        """What is to be told of certificates since the last time, each line once."""
        if self.streams is None:
            return ()
        found = dict.fromkeys(self.streams.warnings + self._contexts.warnings)
        self.streams.warnings.clear()
        self._contexts.warnings.clear()
        return tuple(found)

    def close(self) -> None:
        """Ends all connections, without a word to the core. May be called twice."""
        if self.streams is not None:
            self.streams.shut()

    def _dial(self, streams: Streams, dial: Dial, now_ns: int) -> None:
        transport = self._transports[dial.transport]
        self._dialled[dial.flow] = transport.protocol
        security = None
        if transport.tls is not None:
            try:
                security = self._contexts.security(
                    transport.tls, dial.certificate, dial.server_name, now_ns
                )
            except LocalError as error:
                self.disconnected(dial.flow, Failure("local", f"TLS: {error}"), now_ns)
                return
        streams.open(dial.flow, dial.peer, transport, security, now_ns)

    # ---- what the streams say

    def received(self, inbox: Batch, now_ns: int) -> None:
        """Messages, in the turn that reads them."""
        self._core.receive(inbox, now_ns)

    def connected(self, flow: int, local: bytes, now_ns: int) -> None:
        """A connection stands."""
        self._standing[flow] = self._dialled.pop(flow)
        self._told = True
        self._core.connected(flow, local, now_ns)

    def disconnected(self, flow: int, why: Failure, now_ns: int) -> None:
        """A connection is gone, or was never made."""
        protocol = self._dialled.pop(flow, "") or self._standing.pop(flow)
        if why.kind:
            key = (protocol, why.kind)
            self._failures[key] = self._failures.get(key, 0) + 1
        self._told = True
        self._core.disconnected(flow, why.text, now_ns)

    def writable(self, flow: int, on: bool, now_ns: int) -> None:
        """A connection takes no more for now, or takes more again."""
        self._told = True
        self._core.writable(flow, on, now_ns)
