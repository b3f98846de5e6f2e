"""Turns, on a fake loop, clock, core and sockets: order, bounds, back-pressure and waking."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from regiment.net.icmp import IcmpError
from regiment.worker import shard as shard_module
from regiment.worker.shard import (
    BLOCKED_NS,
    BUSY_DATAGRAMS,
    BUSY_TURNS,
    CHORES_NS,
    HOLD_NS,
    INBOX_SLOTS,
    OUTBOXES_PER_TURN,
    RECEIVE_LIMIT,
    STREAMS,
    Shard,
)

MS = 1_000_000
S = 1000 * MS
PEER = bytes([2, 0, 0x13, 0xC4, 192, 0, 2, 1]) + bytes(8)


class FakeLoop:
    def __init__(self) -> None:
        self.readers: dict[int, tuple[Callable[..., None], tuple[Any, ...]]] = {}
        self.soon: list[Callable[[], None]] = []

    def add_reader(self, fd: int, callback: Callable[..., None], *args: Any) -> None:
        self.readers[fd] = (callback, args)

    def remove_reader(self, fd: int) -> None:
        self.readers.pop(fd, None)

    def call_soon(self, callback: Callable[[], None]) -> Any:
        self.soon.append(callback)
        return SimpleNamespace(cancel=lambda: self.soon.remove(callback))

    def readable(self, fd: int) -> None:
        callback, args = self.readers[fd]
        callback(*args)

    def run_soon(self) -> int:
        ready, self.soon = self.soon, []
        for callback in ready:
            callback()
        return len(ready)


class FakeAlarm:
    fd = 9

    def __init__(self) -> None:
        self.deadline_ns = -1

    def set(self, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns

    def acknowledge(self) -> int:
        fired, self.deadline_ns = self.deadline_ns, -1
        return fired


class FakeSocket:
    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.waiting = 0
        self.run = 1
        self.attended = True
        self.offsets_ns: list[int] = []
        self.icmp: list[IcmpError] = []

    def receive(self, inbox: Any, index: int, offset_ns: int, limit: int) -> int:
        self.offsets_ns.append(offset_ns)
        taken = min(self.waiting, limit)
        for _ in range(taken):
            inbox.append(b"x", PEER, index)
        self.waiting -= taken
        return taken * self.run

    def attend(self, on: bool) -> None:
        self.attended = on

    def errors(self) -> list[IcmpError]:
        told, self.icmp = self.icmp, []
        return told


class FakeCore:
    def __init__(self) -> None:
        self.did: list[str] = []
        self.received: list[int] = []
        self.to_send: list[int] = []
        self.deadline = -1
        self.quoted: list[bytes] = []
        self.failure: Exception | None = None

    def receive(self, inbox: Any, now_ns: int) -> None:
        self.did.append("receive")
        self.received.append(len(inbox))

    def expire(self, now_ns: int) -> None:
        self.did.append("expire")
        if self.failure:
            raise self.failure

    def launch(self, now_ns: int) -> None:
        self.did.append("launch")

    def send(self, outbox: Any, now_ns: int) -> bool:
        self.did.append("send")
        for _ in range(self.to_send.pop(0) if self.to_send else 0):
            outbox.append(b"y", PEER)
        return bool(self.to_send)

    def deadline_ns(self) -> int:
        return self.deadline

    def icmp(self, quoted: bytes, peer: bytes, now_ns: int) -> None:
        self.quoted.append(quoted)


class Bench:
    """A shard with everything around it faked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hold_ns: int = 0) -> None:
        self.loop = FakeLoop()
        self.core = FakeCore()
        self.alarm = FakeAlarm()
        self.socket = FakeSocket(5)
        self.now_ns = 100 * S
        self.wall_ns = 1_700_000_000 * S
        self.chores: list[int] = []
        self.failures: list[BaseException] = []
        self.kernel_takes = True
        self.sent: list[int] = []
        monkeypatch.setattr(shard_module, "udp", SimpleNamespace(send=self._send))
        self.shard = Shard(
            self.loop,  # type: ignore[arg-type]
            self.core,
            self.alarm,
            chores=self.chores.append,
            after=lambda now_ns: self.core.did.append("after"),
            failed=self.failures.append,
            hold_ns=hold_ns,
            clock_ns=lambda: self.now_ns,
            wall_ns=lambda: self.wall_ns,
        )
        self.shard.sockets.append(self.socket)  # type: ignore[arg-type]

    def _send(self, outbox: Any, sockets: Any) -> bool:
        if self.kernel_takes:
            self.sent.append(len(outbox))
        return self.kernel_takes

    def start(self) -> None:
        self.shard.start()
        self.core.did.clear()

    def pass_time(self, duration_ns: int) -> None:
        self.now_ns += duration_ns
        self.wall_ns += duration_ns


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


def test_a_turn_receives_then_expires_launches_and_sends(bench):
    bench.start()
    bench.socket.waiting = 1
    bench.loop.readable(5)
    assert bench.core.did == ["receive", "expire", "launch", "send", "after"]


def test_a_turn_by_the_alarm_reads_no_socket(bench):
    bench.start()
    bench.socket.waiting = 1
    bench.pass_time(CHORES_NS // 2)
    bench.loop.readable(bench.alarm.fd)
    assert bench.core.did == ["expire", "launch", "send", "after"]


def test_an_alarm_that_has_not_fired_makes_no_turn(bench):
    bench.start()
    bench.alarm.deadline_ns = -1
    bench.loop.readable(bench.alarm.fd)
    assert bench.core.did == []


def test_a_flood_is_bounded_so_that_timers_get_their_turn(bench):
    bench.start()
    bench.socket.waiting = 10 * RECEIVE_LIMIT
    bench.loop.readable(5)
    assert sum(bench.core.received) == RECEIVE_LIMIT
    assert bench.core.did.count("expire") == 1


def test_a_socket_is_read_until_a_batch_is_not_full(bench):
    bench.start()
    bench.socket.waiting = INBOX_SLOTS + 3
    bench.loop.readable(5)
    assert bench.core.received == [INBOX_SLOTS, 3]


def test_datagrams_of_runs_count_towards_the_bound_of_a_turn(bench):
    bench.start()
    bench.socket.waiting = 10 * RECEIVE_LIMIT
    bench.socket.run = RECEIVE_LIMIT // (2 * INBOX_SLOTS)
    bench.loop.readable(5)
    assert bench.core.received == [INBOX_SLOTS] * 2


def test_every_outbox_that_the_core_fills_is_sent(bench):
    bench.start()
    bench.core.to_send = [3, 2]
    bench.loop.readable(5)
    assert bench.sent == [3, 2]


def test_sending_is_bounded_and_goes_on_after_the_loop_looked_at_the_sockets(bench):
    bench.start()
    bench.core.to_send = [1] * (OUTBOXES_PER_TURN + 1)
    bench.loop.readable(5)
    assert len(bench.sent) == OUTBOXES_PER_TURN
    assert bench.loop.run_soon() == 1
    assert len(bench.sent) == OUTBOXES_PER_TURN + 1


def test_while_the_kernel_takes_nothing_the_core_neither_launches_nor_writes(bench):
    bench.start()
    bench.kernel_takes = False
    bench.core.to_send = [2]
    bench.loop.readable(5)
    bench.core.did.clear()
    bench.loop.readable(5)
    assert bench.core.did == ["expire", "after"]


def test_what_the_kernel_did_not_take_goes_first_once_it_does(bench):
    bench.start()
    bench.kernel_takes = False
    bench.core.to_send = [2]
    bench.loop.readable(5)
    bench.kernel_takes = True
    bench.core.to_send = [4]
    bench.loop.readable(5)
    assert bench.sent == [2, 4]


def test_while_blocked_a_deadline_that_has_passed_is_no_busy_loop(bench):
    bench.start()
    bench.kernel_takes = False
    bench.core.to_send = [1]
    bench.core.deadline = bench.now_ns - 1
    bench.loop.readable(5)
    assert bench.loop.soon == []
    assert bench.alarm.deadline_ns == bench.now_ns + BLOCKED_NS


def test_the_alarm_is_set_to_the_cores_deadline(bench):
    bench.core.deadline = bench.now_ns + 7 * MS
    bench.start()
    assert bench.alarm.deadline_ns == bench.now_ns + 7 * MS


def test_without_a_deadline_the_alarm_waits_for_the_chores(bench):
    bench.start()
    assert bench.alarm.deadline_ns == bench.now_ns + CHORES_NS


def test_a_deadline_that_has_passed_makes_one_more_turn_and_no_alarm(bench):
    bench.start()
    bench.core.deadline = bench.now_ns
    bench.alarm.deadline_ns = -1
    bench.loop.readable(5)
    bench.loop.readable(5)
    assert bench.alarm.deadline_ns == -1
    bench.core.deadline = -1
    bench.core.did.clear()
    assert bench.loop.run_soon() == 1
    assert bench.core.did == ["expire", "launch", "send", "after"]


def test_chores_are_done_once_a_second_however_many_turns_there_are(bench):
    bench.start()
    for _ in range(40):
        bench.pass_time(100 * MS)
        bench.loop.readable(5)
    assert len(bench.chores) == 4


def test_lag_is_how_late_the_alarm_was_noticed(bench):
    bench.core.deadline = bench.now_ns + 5 * MS
    bench.start()
    bench.pass_time(6 * MS)
    bench.loop.readable(bench.alarm.fd)
    assert bench.shard.lags_ns == [MS]


def test_sockets_get_the_offset_from_wall_clock_to_monotonic_time(bench):
    bench.start()
    bench.loop.readable(5)
    assert bench.socket.offsets_ns == [bench.now_ns - bench.wall_ns]


@pytest.mark.parametrize(
    ("passed_ns", "moved_ns", "steps"),
    [
        (10 * MS, 4 * MS, 0),
        (10 * MS, 6 * MS, 1),
        (10 * MS, -6 * MS, 1),
        (100 * S, 50 * MS, 0),  # 500 parts in a million, the most that NTP slews
        (100 * S, 200 * MS, 1),
        (10 * MS, -3600 * S, 1),
    ],
)
def test_a_step_of_the_wall_clock_is_counted_and_slewing_is_not(bench, passed_ns, moved_ns, steps):
    bench.start()
    bench.pass_time(passed_ns)
    bench.wall_ns += moved_ns
    bench.loop.readable(5)
    bench.loop.readable(5)
    assert bench.shard.clock_steps == steps


def test_icmp_errors_reach_the_core(bench):
    bench.start()
    bench.socket.icmp = [IcmpError(b"REGISTER", PEER, 111, 3, 3)]
    bench.loop.readable(5)
    assert bench.core.quoted == [b"REGISTER"]


def test_what_a_turn_raises_is_told_and_ends_the_turns(bench):
    bench.start()
    bench.core.failure = RuntimeError("broken")
    bench.loop.readable(5)
    assert bench.failures == [bench.core.failure]
    assert bench.loop.readers == {}
    assert bench.alarm.deadline_ns == -1


def test_after_stop_no_turn_is_made_even_if_one_was_planned(bench):
    bench.start()
    bench.core.deadline = bench.now_ns
    bench.loop.readable(5)
    bench.shard.stop()
    bench.shard.stop()
    bench.core.did.clear()
    bench.loop.run_soon()
    bench.shard.turn()
    assert bench.core.did == []
    assert bench.loop.readers == {}


def test_turns_are_counted(bench):
    bench.shard.start()
    bench.loop.readable(5)
    assert bench.shard.turns == 2


# ---------------------------------------------------------------------- holding off


@pytest.fixture
def holding(monkeypatch):
    """A shard that holds off, and has just become busy."""
    bench = Bench(monkeypatch, HOLD_NS)
    bench.start()
    bench.pass_time(S // 2)
    bench.socket.waiting = BUSY_DATAGRAMS
    bench.loop.readable(5)
    assert not bench.socket.attended
    return bench


def test_a_busy_turn_leaves_the_sockets_to_the_alarm(holding):
    assert holding.alarm.deadline_ns == holding.now_ns + HOLD_NS
    holding.socket.waiting = 3
    holding.pass_time(HOLD_NS)
    holding.loop.readable(holding.alarm.fd)
    assert holding.core.received == [BUSY_DATAGRAMS, 3]
    assert not holding.socket.attended


def test_a_held_turn_that_moves_nothing_attends_again(holding):
    holding.pass_time(HOLD_NS)
    holding.loop.readable(holding.alarm.fd)
    assert holding.socket.attended
    assert holding.alarm.deadline_ns > holding.now_ns + HOLD_NS
    holding.socket.waiting = 1
    holding.pass_time(S // 10)
    holding.loop.readable(5)
    assert holding.core.received[-1] == 1
    assert holding.socket.attended


def test_what_is_sent_counts_as_busy_too(monkeypatch):
    bench = Bench(monkeypatch, HOLD_NS)
    bench.start()
    bench.pass_time(S // 2)
    bench.core.to_send = [BUSY_DATAGRAMS]
    bench.loop.readable(bench.alarm.fd)
    assert not bench.socket.attended


def test_single_datagrams_in_quick_turns_become_busy(monkeypatch):
    bench = Bench(monkeypatch, HOLD_NS)
    bench.start()
    bench.pass_time(S // 2)
    for turn in range(BUSY_TURNS + 1):
        assert bench.socket.attended, turn
        bench.socket.waiting = 1
        bench.loop.readable(5)
        bench.pass_time(HOLD_NS // 2)
    assert not bench.socket.attended


def test_slow_turns_hold_nothing_off(monkeypatch):
    bench = Bench(monkeypatch, HOLD_NS)
    bench.start()
    for _ in range(4 * BUSY_TURNS):
        bench.pass_time(HOLD_NS)
        bench.socket.waiting = 1
        bench.loop.readable(5)
        assert bench.socket.attended


def test_a_full_kernel_ends_the_hold(holding):
    holding.kernel_takes = False
    holding.core.to_send = [1]
    holding.pass_time(HOLD_NS)
    holding.loop.readable(holding.alarm.fd)
    assert holding.socket.attended


def test_what_is_left_to_send_ends_the_hold(holding):
    holding.core.to_send = [1] * (OUTBOXES_PER_TURN + 1)
    holding.pass_time(HOLD_NS)
    holding.loop.readable(holding.alarm.fd)
    assert holding.socket.attended
    assert len(holding.loop.soon) == 1


# --- connections -----------------------------------------------------------------------------


class FakeStreams:
    fd = 7

    def __init__(self, core: FakeCore) -> None:
        self.core = core
        self.attended = True
        self.messages = 0
        self.datagrams = 0
        self.sent: list[int] = []

    def serve(self, inbox: Any, now_ns: int) -> int:
        self.core.did.append("serve")
        taken, self.messages = self.messages, 0
        return taken

    def send(self, outbox: Any, now_ns: int) -> int:
        self.sent.append(len(outbox))
        return min(self.datagrams, len(outbox))

    def attend(self, on: bool) -> None:
        self.attended = on


@pytest.fixture
def streams(bench):
    made = FakeStreams(bench.core)
    bench.shard.add_streams(made)
    return made


def test_connections_that_have_something_are_served_first_in_a_turn(bench, streams):
    bench.start()
    bench.loop.readable(streams.fd)
    assert bench.core.did == ["serve", "expire", "launch", "send", "after"]
    bench.core.did.clear()
    bench.loop.readable(5)
    assert "serve" not in bench.core.did


def test_connections_that_come_while_it_runs_are_watched_at_once(bench):
    bench.start()
    late = FakeStreams(bench.core)
    bench.shard.add_streams(late)
    assert bench.loop.readers[late.fd] == (bench.shard.turn, (STREAMS,))
    bench.shard.stop()
    assert bench.loop.readers == {}


def test_an_outbox_goes_to_the_connections_before_the_sockets(bench, streams):
    bench.start()
    streams.sent.clear()
    bench.sent.clear()
    bench.core.to_send = [5]
    streams.datagrams = 2
    bench.loop.readable(5)
    assert streams.sent == [5]
    assert bench.sent == [5]


def test_an_outbox_for_connections_alone_never_reaches_the_sockets(bench, streams):
    bench.start()
    bench.sent.clear()
    bench.core.to_send = [5, 3]
    bench.loop.readable(5)
    assert streams.sent[-2:] == [5, 3]
    assert bench.sent == []


def test_what_a_blocked_socket_holds_is_not_given_to_the_connections_twice(bench, streams):
    bench.start()
    streams.sent.clear()
    streams.datagrams = 9
    bench.kernel_takes = False
    bench.core.to_send = [5]
    bench.loop.readable(5)
    bench.kernel_takes = True
    bench.loop.readable(5)
    assert streams.sent == [5, 0]


def test_a_busy_shard_lets_messages_gather_on_connections_too(monkeypatch):
    bench = Bench(monkeypatch, hold_ns=HOLD_NS)
    streams = FakeStreams(bench.core)
    bench.shard.add_streams(streams)
    bench.start()
    streams.messages = BUSY_DATAGRAMS
    bench.loop.readable(streams.fd)
    assert not streams.attended
    bench.core.did.clear()
    bench.pass_time(HOLD_NS)
    bench.loop.readable(bench.alarm.fd)
    assert bench.core.did[:1] == ["serve"]
    assert streams.attended


def test_a_word_to_the_core_outside_of_a_turn_brings_one(bench):
    bench.shard.wake()
    assert bench.loop.soon == []
    bench.start()
    bench.shard.wake()
    bench.shard.wake()
    assert bench.loop.run_soon() == 1
    assert bench.core.did[0] == "expire"
