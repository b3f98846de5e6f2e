"""One turn: receive, expire, launch, send, re-arm. Where a clock, the sockets and a core meet.

The loop calls a turn when a socket is readable or when the alarm has fired, never for one message:
a turn costs some ten Python calls and moves up to a thousand datagrams. What a turn does is bounded
everywhere, so that neither a flood of datagrams nor a mass of due registrations keeps the other
from its share: what is left over is done in the next turn, after the loop has looked at the other
sockets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from regiment.datagram import Batch
from regiment.net import udp

RECEIVE_LIMIT = 1024
"""Datagrams of one socket in one turn, after which it is not read again. What is read at a time is
`INBOX_SLOTS`, and a peer that sends runs gets up to 128 datagrams into each."""
INBOX_SLOTS = 32
"""Of 64 KB, which runs fill: more would cost memory and cache, fewer more calls a datagram."""
OUTBOX_DATAGRAMS = 1024
OUTBOXES_PER_TURN = 2

STREAMS = -2
"""Stands for the connections where a turn is told which socket is readable."""

CHORES_NS = 1_000_000_000
"""Counters are published and events asked for at least this often."""

HOLD_NS = 2_000_000
BUSY_DATAGRAMS = 16
BUSY_TURNS = 4
"""A busy shard leaves its sockets alone for `HOLD_NS` after a turn, so that one turn takes what
would have woken several: waking costs more than the datagram that woke. Busy is who moved so many
datagrams in a turn, or made so many turns within `HOLD_NS` of each other; a turn that moves
nothing ends it. Timers may fire that much late meanwhile."""

BLOCKED_NS = 1_000_000
"""While the kernel takes no datagrams, timers are looked at this often."""

STEP_NS = 5_000_000
STEP_PER_NS = 0.001
"""The wall clock was set when it moved against the monotonic one by more than this: NTP slews by
at most 500 parts in a million."""


class Core(Protocol):
    """What a turn needs of a core (`uac.Engine`, or the registrar's with two methods added)."""

    def receive(self, inbox: Batch, now_ns: int) -> None: ...
    def expire(self, now_ns: int) -> None: ...
    def launch(self, now_ns: int) -> None: ...
    def send(self, outbox: Batch, now_ns: int) -> bool: ...
    def deadline_ns(self) -> int: ...
    def icmp(self, quoted: bytes, peer: bytes, now_ns: int) -> None: ...


class Streams(Protocol):
    """What a turn needs of connections (`net.stream.Streams`)."""

    @property
    def fd(self) -> int: ...
    def serve(self, inbox: Batch, now_ns: int) -> int: ...
    def send(self, outbox: Batch, now_ns: int) -> int: ...
    def attend(self, on: bool) -> None: ...


class Timer(Protocol):
    """What a turn needs of `worker.alarm.Alarm`."""

    @property
    def fd(self) -> int: ...
    def set(self, deadline_ns: int) -> None: ...
    def acknowledge(self) -> int: ...


class Shard:
    """The turns of one core over its sockets, on a given loop.

    `chores(now_ns)` is called about once a second, and `after(now_ns)` at the end of each turn;
    `failed` gets what a turn raised, after which no turn is made any more. The number of a socket
    in `sockets` is the number by which the core knows it. `hold_ns`: how long a busy shard lets
    datagrams gather (`HOLD_NS`); 0: it takes each as soon as it comes.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        core: Core,
        alarm: Timer,
        *,
        chores: Callable[[int], None],
        after: Callable[[int], None],
        failed: Callable[[BaseException], None],
        hold_ns: int = 0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.core = core
        self.sockets: list[udp.Socket] = []
        self.streams: Streams | None = None
        """TCP and TLS connections, which hand what they receive to the core themselves."""
        self.turns = 0
        self.clock_steps = 0
        self.lags_ns: list[int] = []
        """How late each firing of the alarm was; the chores take and clear it."""
        self._loop = loop
        self._alarm = alarm
        self._chores = chores
        self._after = after
        self._failed = failed
        self._hold_ns = hold_ns
        self._holding = False
        self._moved = 0
        self._quick_turns = 0
        self._turned_ns = 0
        self._clock_ns = clock_ns
        self._wall_ns = wall_ns
        self._inbox = Batch.inbox(INBOX_SLOTS)
        self._outbox = Batch.outbox(OUTBOX_DATAGRAMS)
        self._blocked = False
        self._again: asyncio.Handle | None = None
        self._running = False
        self._chores_due_ns = 0
        self._offset_ns = 0
        self._offset_at_ns = 0

    # ---- start and end

    def add_socket(self, socket: udp.Socket) -> None:
        """Takes one more socket; its number is how many there were before."""
        self.sockets.append(socket)
        if self._running:
            self._loop.add_reader(socket.fd, self.turn, len(self.sockets) - 1)
            if self._holding:
                socket.attend(False)

    def add_streams(self, streams: Streams) -> None:
        """Takes the connections, all of them behind one descriptor. Once."""
        self.streams = streams
        if self._running:
            self._loop.add_reader(streams.fd, self.turn, STREAMS)
            if self._holding:
                streams.attend(False)

    def start(self) -> None:
        """Begins to wait on the sockets and the alarm, and makes a turn. Twice: just the turn."""
        if self._running:
            self.turn()
            return
        now_ns = self._clock_ns()
        self._running = True
        self._offset_ns = now_ns - self._wall_ns()
        self._offset_at_ns = now_ns
        self._chores_due_ns = now_ns + CHORES_NS
        for number, socket in enumerate(self.sockets):
            self._loop.add_reader(socket.fd, self.turn, number)
        if self.streams is not None:
            self._loop.add_reader(self.streams.fd, self.turn, STREAMS)
        self._loop.add_reader(self._alarm.fd, self._fired)
        self.turn()

    def stop(self) -> None:
        """No turn from now on. The sockets stay open. May be called twice."""
        if not self._running:
            return
        self._running = False
        for socket in self.sockets:
            self._loop.remove_reader(socket.fd)
        if self.streams is not None:
            self._loop.remove_reader(self.streams.fd)
        self._loop.remove_reader(self._alarm.fd)
        self._alarm.set(-1)
        if self._again is not None:
            self._again.cancel()
            self._again = None

    # ---- the turn

    def wake(self) -> None:
        """Sees to it that a turn follows soon; from wherever the core was told something."""
        if self._running and self._again is None:
            self._again = self._loop.call_soon(self._run_again)

    def turn(self, readable: int = -1) -> None:
        """One turn; `readable` is the number of the socket that has something, -1: none.

        `STREAMS`: the connections have something.
        """
        if not self._running:
            return
        try:
            self._turn(readable)
        except BaseException as error:
            self.stop()
            self._failed(error)

    def _turn(self, readable: int) -> None:
        core = self.core
        now_ns = self._clock_ns()
        self.turns += 1
        self._moved = 0
        if self._holding:
            for number in range(len(self.sockets)):
                self._receive(number, now_ns)
        elif readable >= 0:
            self._receive(readable, now_ns)
        if self.streams is not None and (self._holding or readable == STREAMS):
            self._moved += self.streams.serve(self._inbox, now_ns)
        core.expire(now_ns)
        if not self._blocked:
            core.launch(now_ns)
        more = self._send(now_ns)
        self._after(now_ns)
        if now_ns >= self._chores_due_ns:
            self._chores_due_ns = now_ns + CHORES_NS
            self._chores(now_ns)
        if self._running:
            self._hold_off(now_ns, more)
            self._rearm(now_ns, more)

    def _receive(self, number: int, now_ns: int) -> None:
        """Drains one socket, up to `RECEIVE_LIMIT`; what stays makes the loop call again."""
        socket = self.sockets[number]
        inbox = self._inbox
        offset_ns = self._clock_offset_ns(now_ns)
        taken = 0
        while taken < RECEIVE_LIMIT:
            inbox.clear()
            received = socket.receive(inbox, number, offset_ns, INBOX_SLOTS)
            if received:
                self.core.receive(inbox, now_ns)
            taken += received
            if inbox.room:
                break
        self._moved += taken
        for error in socket.errors():
            self.core.icmp(error.quoted, error.peer, now_ns)

    def _clock_offset_ns(self, now_ns: int) -> int:
        """What turns the kernel's wall-clock stamps into monotonic time; notices steps."""
        offset_ns = now_ns - self._wall_ns()
        slewed_ns = STEP_NS + int((now_ns - self._offset_at_ns) * STEP_PER_NS)
        if abs(offset_ns - self._offset_ns) > slewed_ns:
            self.clock_steps += 1
        self._offset_ns = offset_ns
        self._offset_at_ns = now_ns
        return offset_ns

    def _send(self, now_ns: int) -> bool:
        """Sends what waits, up to some outboxes; True: there is more, and the kernel takes it."""
        outbox = self._outbox
        if self._blocked and not self._drain():
            return False
        for _ in range(OUTBOXES_PER_TURN):
            more = self.core.send(outbox, now_ns)
            self._moved += len(outbox)
            if self.streams is not None and not self.streams.send(outbox, now_ns):
                outbox.clear()  # nothing but messages for connections, or nothing at all
            elif len(outbox) and not self._drain():
                return False
            if not more:
                return False
        return True

    def _drain(self) -> bool:
        """Hands the outbox to the kernel; False: it is full, and the socket says when it is not."""
        if udp.send(self._outbox, self.sockets):
            self._outbox.clear()
            self._blocked = False
        else:
            self._blocked = True
        return not self._blocked

    # ---- when to wake

    def _hold_off(self, turned_ns: int, more: bool) -> None:
        """Decides whether the sockets may wake the next turn, or the alarm alone."""
        if not self._hold_ns:
            return
        is_quick = turned_ns - self._turned_ns < self._hold_ns
        self._quick_turns = self._quick_turns + 1 if is_quick else 0
        self._turned_ns = turned_ns
        if self._holding:
            busy = self._moved > 0
        else:
            busy = self._moved >= BUSY_DATAGRAMS or self._quick_turns >= BUSY_TURNS
        busy = busy and not more and not self._blocked
        if busy != self._holding:
            self._holding = busy
            self._quick_turns = 0
            for socket in self.sockets:
                socket.attend(not busy)
            if self.streams is not None:
                self.streams.attend(not busy)

    def _rearm(self, turned_ns: int, more: bool) -> None:
        now_ns = self._clock_ns()
        deadline_ns = self.core.deadline_ns()
        if deadline_ns < 0 or deadline_ns > self._chores_due_ns:
            deadline_ns = self._chores_due_ns
        if self._holding:
            deadline_ns = turned_ns + self._hold_ns
        if self._blocked:
            # The kernel wakes us; timers that fire meanwhile must not turn into a busy loop.
            self._alarm.set(max(deadline_ns, now_ns + BLOCKED_NS))
        elif more or deadline_ns <= now_ns:
            # At once, but after the loop has looked at the sockets: much cheaper than an alarm
            # that is set into the past.
            self.wake()
        else:
            self._alarm.set(deadline_ns)

    def _run_again(self) -> None:
        self._again = None
        self.turn()

    def _fired(self) -> None:
        intended_ns = self._alarm.acknowledge()
        if intended_ns >= 0:
            self.lags_ns.append(self._clock_ns() - intended_ns)
            self.turn()
