"""Connections for the pump: a station whose core also dials, and a network that takes or refuses.

A connection has an address of its own at our end, so that the pump's datagrams between the two
addresses are its messages: whole, in order, and never lost while it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pump import MS, START_NS, CoreStation, Packet, Pump, S, Wire
from regiment.datagram import Batch, peer_from_address
from regiment.metrics.scoreboard import Scoreboard
from regiment.model import Registration, Transport
from regiment.uac.destination import Dial, Place
from regiment.uac.engine import Engine
from regiment.uac.ledger import ENTRY_SIZE
from responder import Answer, Request, Responder
from uac.single import CSEQ_BASE, HOST, KEY, REGISTRARS, ok, policy_of

WALL_OFFSET_NS = 1_700_000_000 * S
CONNECT_NS = 30 * MS
CONNECT_TIMEOUT_NS = 10 * S


@dataclass
class Network:
    """What becomes of a dial, by the peer's address."""

    refusing: set[bytes] = field(default_factory=set)
    silent: set[bytes] = field(default_factory=set)


class StreamStation(CoreStation):
    """A core with one TCP transport."""

    def __init__(self, core: Engine, resolve: Callable[[int], None], network: Network) -> None:
        super().__init__(core, [], resolve)
        self.network = network
        self.dials: list[tuple[int, Dial]] = []
        """When, and what was asked for."""
        self.open: dict[int, Dial] = {}
        self.closed: list[int] = []
        self.timers: list[tuple[int, int]] = []
        self.lost_s: dict[int, float] = {}
        self._planned: list[tuple[int, int, str]] = []
        self._flows: dict[bytes, int] = {}
        self.addresses: list[bytes] = []

    @staticmethod
    def end_of(flow: int) -> bytes:
        """Our end of a connection."""
        return peer_from_address(f"192.0.{2 + flow // 50000}.10", 10000 + flow % 50000)

    def cut(self, flow: int, reason: str, now_ns: int) -> None:
        """The far end is gone."""
        dial = self.open.pop(flow)
        self._forget(dial.flow)
        self.core.disconnected(flow, reason, now_ns)

    def _forget(self, flow: int) -> None:
        end = self.end_of(flow)
        if self._flows.pop(end, None) is not None:
            self.addresses.remove(end)

    def receive(self, packets: Sequence[Packet], now_ns: int) -> None:
        inbox = Batch.inbox(len(packets))
        for packet in packets:
            flow = self._flows[packet.destination]
            inbox.append(packet.data, packet.source, 0, now_ns, flow)
        self.core.receive(inbox, now_ns)

    def work(self, now_ns: int) -> list[tuple[bytes, bytes, bytes]]:
        for at_ns, flow, reason in [plan for plan in self._planned if plan[0] <= now_ns]:
            self._planned.remove((at_ns, flow, reason))
            self._happen(flow, reason, now_ns)
        self.core.expire(now_ns)
        self.core.launch(now_ns)
        if self.resolve is not None:
            self.resolve(now_ns)
            self.core.launch(now_ns)
        sent = []
        outbox = Batch.outbox(64)
        more = True
        while more:
            more = self.core.send(outbox, now_ns)
            for index in range(len(outbox)):
                data, peer, socket, _ = outbox[index]
                assert socket == 0xFFFF
                flow = outbox.flow(index)
                assert self.open[flow].peer == peer, "a message to somebody else"
                sent.append((self.end_of(flow), peer, data))
            outbox.clear()
        self._take_dials(now_ns)
        return sent

    def _take_dials(self, now_ns: int) -> None:
        self.timers += self.core.flow_timers()
        for flow in self.core.hangups():
            self.closed.append(flow)
            self._planned.append((now_ns, flow, "hangup"))
        for dial in self.core.dials():
            self.dials.append((now_ns, dial))
            self.open[dial.flow] = dial
            reason, delay_ns = "", CONNECT_NS
            if dial.peer in self.network.refusing:
                reason = "connection refused"
            elif dial.peer in self.network.silent:
                reason, delay_ns = "connect timeout", CONNECT_TIMEOUT_NS
            self._planned.append((now_ns + delay_ns, dial.flow, reason))

    def _happen(self, flow: int, reason: str, now_ns: int) -> None:
        if flow not in self.open:
            return
        if reason:
            self.cut(flow, "" if reason == "hangup" else reason, now_ns)
            return
        self._flows[self.end_of(flow)] = flow
        self.addresses.append(self.end_of(flow))
        self.core.connected(flow, self.end_of(flow), now_ns)

    def deadline_ns(self) -> int:
        deadlines = [super().deadline_ns(), *(plan[0] for plan in self._planned)]
        return min((deadline for deadline in deadlines if deadline >= 0), default=-1)


class StreamFleet:
    """Registrations over TCP at scripted registrars."""

    def __init__(
        self,
        count: int,
        *,
        addresses: int = 1,
        script: Callable[[Request], Answer] = lambda request: [(0, ok(request, 600))],
        network: Network | None = None,
        former: bytes | None = None,
        **options: object,
    ) -> None:
        self.network = network or Network()
        self.peers = REGISTRARS[:addresses]
        self.registrar = Responder(self.peers, script)
        self.board = Scoreboard(bytearray(Scoreboard.size_bytes()))
        self.engine = Engine(self.board, seed=1, instance_key=KEY, cseq_base=CSEQ_BASE)
        self.engine.add_transport(Transport("tcp", "tcp"), -1, HOST, 5060)
        exact = {"max_random_initial_delay": 0, "refresh_jitter": 0.0, "retry_jitter": 0.0}
        self.engine.add_policy(policy_of(transports=("tcp",), **(exact | options)))
        self.names = [f"trunk{number}" for number in range(count)]
        self.engine.load([Registration(n, f"sip:{n}@example.com", 0) for n in self.names])
        self.ledger = bytearray((count + 1) * ENTRY_SIZE)
        self.engine.attach(self.ledger, WALL_OFFSET_NS)
        if former is not None:
            self.engine.adopt(former, True, START_NS)
        self.station = StreamStation(self.engine, self._resolve, self.network)
        self.pump = Pump(self.station, self.registrar, wire=Wire(delay_ns=(10 * MS, 10 * MS)))
        self.engine.begin(START_NS)

    def _resolve(self, now_ns: int) -> None:
        for target in self.engine.lookups():
            places = [Place(peer, 0, HOST, 5060) for peer in self.peers]
            self.engine.set_addresses(target, places, now_ns)

    def run(self, seconds: float, stop: Callable[[], bool] = lambda: False) -> bool:
        """Lets time pass; True: `stop` did it."""
        return self.pump.run(self.pump.now_ns + int(seconds * S), stop)

    def cut_all(self, reason: str = "connection reset") -> None:
        """Every connection ends."""
        for flow in list(self.station.open):
            self.station.cut(flow, reason, self.pump.now_ns)

    def count(self, state: str) -> int:
        """Registrations in a state."""
        return self.board.get("regiment_registrations", (state,))

    def is_registered(self) -> bool:
        """All are."""
        return self.count("registered") == len(self.names)

    @property
    def requests(self) -> list[Request]:
        """Each transaction's request, in order."""
        return self.registrar.requests

    @property
    def at_s(self) -> float:
        """Seconds since the start."""
        return (self.pump.now_ns - START_NS) / S
