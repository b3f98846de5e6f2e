"""Moves datagrams between cores in memory: a fake clock, a lossy wire, no sockets, no sleeps.

A `Pump` holds stations (a compiled core behind `CoreStation`, or anything in Python with the same
four words) and jumps from one planned instant to the next: the arrival of a datagram or a
station's deadline. The wire loses, duplicates and delays (and so reorders) by a seeded generator,
so a failing run replays exactly.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from regiment.datagram import Batch

MS = 1_000_000
S = 1_000_000_000
START_NS = 1_000 * S
"""Where clocks start: far from 0, as a machine's monotonic clock is."""
SPIN_LIMIT = 2_000
"""Turns of one instant: more means that somebody asks for a deadline that it never uses."""


class Packet(NamedTuple):
    """A datagram on its way; times are when it was sent and when it arrives."""

    sent_ns: int
    source: bytes
    destination: bytes
    data: bytes
    arrives_ns: int
    lost: bool = False


class Station(Protocol):
    """What the pump moves datagrams for."""

    addresses: Sequence[bytes]

    def receive(self, packets: Sequence[Packet], now_ns: int) -> None:
        """Takes what has arrived."""

    def work(self, now_ns: int) -> list[tuple[bytes, bytes, bytes]]:
        """Does what is due; answers ``(source, destination, data)`` of what it sends."""

    def deadline_ns(self) -> int:
        """When it wants to work next; -1: not before something arrives."""


@dataclass
class Wire:
    """How bad the network is. Probabilities are 0…1 for each datagram."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_ns: tuple[int, int] = (0, 0)
    """Uniform between the two; a spread reorders."""
    seed: int = 0
    dead: set[bytes] = field(default_factory=set)
    """Addresses that swallow everything."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def carry(self, sent_ns: int, source: bytes, destination: bytes, data: bytes) -> list[Packet]:
        """The copies of one datagram, with what becomes of each."""
        copies = 2 if self._random.random() < self.duplication else 1
        packets = []
        for _ in range(copies):
            arrives = sent_ns + self._random.randint(*self.delay_ns)
            lost = self._random.random() < self.loss or destination in self.dead
            packets.append(Packet(sent_ns, source, destination, data, arrives, lost))
        return packets


class CoreStation:
    """A compiled core behind batches; `resolve` is called each turn (a UAC wants its addresses)."""

    def __init__(
        self,
        core: Any,
        addresses: Sequence[bytes],
        resolve: Callable[[int], None] | None = None,
        batch: int = 64,
    ) -> None:
        self.core = core
        self.addresses = addresses
        self.resolve = resolve
        self._inbox = Batch.inbox(batch)
        self._outbox = Batch.outbox(batch)

    def receive(self, packets: Sequence[Packet], now_ns: int) -> None:
        for packet in packets:
            if self._inbox.room == 0:
                self._take(now_ns)
            socket = self.addresses.index(packet.destination)
            self._inbox.append(packet.data, packet.source, socket, now_ns)
        self._take(now_ns)

    def _take(self, now_ns: int) -> None:
        self.core.receive(self._inbox, now_ns)
        self._inbox.clear()

    def work(self, now_ns: int) -> list[tuple[bytes, bytes, bytes]]:
        self.core.expire(now_ns)
        if hasattr(self.core, "launch"):
            self.core.launch(now_ns)
        if self.resolve is not None:
            self.resolve(now_ns)
            self.core.launch(now_ns)
        sent = []
        more = True
        while more:
            more = self.core.send(self._outbox, now_ns)
            for index in range(len(self._outbox)):
                data, peer, socket, _ = self._outbox[index]
                assert peer, "a datagram to nobody"
                sent.append((self.addresses[socket], peer, data))
            assert len(self._outbox) or not more, "more is waiting, but nothing came"
            self._outbox.clear()
        return sent

    def deadline_ns(self) -> int:
        return int(self.core.deadline_ns())


class Pump:
    """The clock and the wire between stations. `trace` and `delivered` tell all that happened."""

    def __init__(self, *stations: Station, wire: Wire | None = None) -> None:
        self.stations = stations
        self.wire = wire or Wire()
        self.now_ns = START_NS
        self.trace: list[Packet] = []
        """Everything sent, copies and lost ones too, in order of sending."""
        self.delivered: list[Packet] = []
        """Everything that arrived, in order of arrival."""
        self._flying: list[tuple[int, int, Packet]] = []
        self._counter = 0

    def inject(self, packet: Packet) -> None:
        """Puts a datagram on its way that no station sent; it arrives for certain."""
        self._counter += 1
        heapq.heappush(self._flying, (packet.arrives_ns, self._counter, packet))

    def settle(self) -> None:
        """Lets every station work at the present instant until nobody sends any more."""
        turns = 0
        while self._turn():
            turns += 1
            assert turns < SPIN_LIMIT, f"still busy after {SPIN_LIMIT} turns of one instant"

    def run(self, until_ns: int, stop: Callable[[], bool] = lambda: False) -> bool:
        """Goes on to `until_ns` or until `stop()`, asked after each instant; True: it stopped."""
        self.settle()
        spins = 0
        while not stop():
            instant = self._next_instant()
            if instant < 0 or instant > until_ns:
                self.now_ns = max(self.now_ns, until_ns)
                return False
            spins = spins + 1 if instant <= self.now_ns else 0
            assert spins < SPIN_LIMIT, f"a deadline in the past, {SPIN_LIMIT} times"
            self.now_ns = max(self.now_ns, instant)
            self.settle()
        return True

    def _next_instant(self) -> int:
        planned = [station.deadline_ns() for station in self.stations]
        if self._flying:
            planned.append(self._flying[0][0])
        return min((instant for instant in planned if instant >= 0), default=-1)

    def _turn(self) -> bool:
        arrived: dict[bytes, list[Packet]] = {}
        while self._flying and self._flying[0][0] <= self.now_ns:
            packet = heapq.heappop(self._flying)[2]
            self.delivered.append(packet)
            arrived.setdefault(packet.destination, []).append(packet)
        busy = bool(arrived)
        for station in self.stations:
            packets = [p for address in station.addresses for p in arrived.pop(address, ())]
            if packets:
                station.receive(packets, self.now_ns)
            for source, destination, data in station.work(self.now_ns):
                busy = True
                for packet in self.wire.carry(self.now_ns, source, destination, data):
                    self.trace.append(packet)
                    if not packet.lost:
                        self.inject(packet)
        return busy
