"""Keep-alives of UDP transports: CRLF CRLF to each address of their targets (`@udp_keepalive`).

They keep what a router on the way remembers of our port, so that the registrar's requests still get
in. RFC 5626 section 4.4.2 wants STUN over UDP; the double CRLF of section 4.4.1 is what registrars
of the field throw away without a word. No answer is waited for, and nothing is concluded from one.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random

from regiment.net import udp
from regiment.uac.destination import Place, TargetInfo

KEEP_ALIVE = b"\r\n\r\n"

PER_BEAT = 1000
"""Datagrams in one beat: some 3 ms. With more addresses than that a second, all come later."""

Way = tuple[int, bytes]
"""The number of a transport, and a peer."""


class KeepAlive:
    """The keep-alives of one worker. No clock and no timers: the shard's chores give the beat."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._carriers: dict[int, tuple[udp.Socket, int]] = {}
        self._by_target: dict[int, frozenset[Way]] = {}
        self._uses: Counter[Way] = Counter()
        """Targets that lead there: two of them want one datagram."""
        self._due: list[tuple[int, Way]] = []
        """A heap. A way that nobody uses any more leaves it when it is due."""
        self._planned: set[Way] = set()

    def add(self, number: int, socket: udp.Socket, interval_s: int) -> None:
        """A UDP transport, by the number that the core gave it; 0 s: it wants none."""
        if interval_s:
            self._carriers[number] = socket, interval_s * 1_000_000_000

    def know(self, targets: Iterable[TargetInfo]) -> None:
        """The targets as they are now; those without registrations get nothing any more."""
        for target in targets:
            if not target.registrations:
                self._use(target.index, frozenset())

    def tell(self, target: int, places: Sequence[Place], now_ns: int) -> None:
        """Where a target is found. The first datagram leaves at some moment of the interval."""
        ways = frozenset(
            (place.transport, place.peer) for place in places if place.transport in self._carriers
        )
        self._use(target, ways)
        # In the order of the places, so that one seed gives one schedule.
        for place in places:
            way = place.transport, place.peer
            if way in ways and way not in self._planned:
                self._planned.add(way)
                _, interval_ns = self._carriers[place.transport]
                phase_ns = int(interval_ns * self._random.random())
                heapq.heappush(self._due, (now_ns + phase_ns, way))

    def beat(self, now_ns: int) -> int:
        """Sends what is due, `PER_BEAT` at most; returns how many the kernel took.

        One that the kernel does not take is left out: the next one follows. Some 3 µs each.
        """
        sent = 0
        for _ in range(PER_BEAT):
            if not self._due or self._due[0][0] > now_ns:
                break
            due_ns, way = self._due[0]
            if way not in self._uses:
                heapq.heappop(self._due)
                self._planned.remove(way)
                continue
            number, peer = way
            socket, interval_ns = self._carriers[number]
            sent += socket.send_one(KEEP_ALIVE, peer)
            # What was missed is not made up for.
            following_ns = due_ns + interval_ns
            if following_ns <= now_ns:
                following_ns = now_ns + interval_ns
            heapq.heapreplace(self._due, (following_ns, way))
        return sent

    def _use(self, target: int, ways: frozenset[Way]) -> None:
        former = self._by_target.pop(target, frozenset())
        if ways:
            self._by_target[target] = ways
        self._uses.update(ways - former)
        for way in former - ways:
            self._uses[way] -= 1
            if not self._uses[way]:
                del self._uses[way]
