"""Keep-alives over UDP: to whom, how often, and how many at once. The sockets are lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.loopback import bind, peer_of, receive
from regiment.datagram import peer_from_address
from regiment.uac.destination import Place, TargetInfo
from regiment.worker.keepalive import KEEP_ALIVE, PER_BEAT, KeepAlive

SECOND = 1_000_000_000
UDP, QUIET, OTHER = range(3)


class Wire:
    """A socket that takes everything, or nothing."""

    def __init__(self, takes: bool = True) -> None:
        self.sent: list[bytes] = []
        self._takes = takes

    def send_one(self, data: bytes, peer: bytes) -> bool:
        assert data == b"\r\n\r\n"
        self.sent.append(peer)
        return self._takes


def alive(wire: Any, seconds: int = 30) -> KeepAlive:
    keep_alive = KeepAlive(Random(1))
    keep_alive.add(UDP, wire, seconds)
    keep_alive.add(QUIET, wire, 0)
    return keep_alive


def peer(number: int) -> bytes:
    return peer_from_address(f"192.0.{number // 256}.{number % 256}", 5060)


def places(numbers: Sequence[int], transport: int = UDP) -> list[Place]:
    return [Place(peer(number), transport, "192.0.2.1", 5060) for number in numbers]


def info(index: int, registrations: int) -> TargetInfo:
    return TargetInfo(index, "r", "r", 5060, "udp", registrations, 100.0)


def beats(keep_alive: KeepAlive, first: int, last: int) -> int:
    return sum(keep_alive.beat(second * SECOND) for second in range(first, last))


def test_each_address_of_a_target_gets_one_in_each_interval() -> None:
    wire = Wire()
    keep_alive = alive(wire, 30)
    keep_alive.tell(0, places([1, 2, 3]), 0)
    assert beats(keep_alive, 1, 31) == 3
    assert Counter(wire.sent) == {peer(1): 1, peer(2): 1, peer(3): 1}
    assert beats(keep_alive, 31, 301) == 27
    assert set(Counter(wire.sent).values()) == {10}


def test_they_are_spread_over_the_interval() -> None:
    wire = Wire()
    keep_alive = alive(wire, 60)
    keep_alive.tell(0, places(range(600)), 0)
    most = max(keep_alive.beat(second * SECOND) for second in range(1, 61))
    assert len(wire.sent) == 600
    assert most <= 30


def test_a_transport_that_asks_for_none_and_one_of_connections_get_none() -> None:
    wire = Wire()
    keep_alive = alive(wire)
    keep_alive.tell(0, places([1], QUIET) + places([2], OTHER), 0)
    assert beats(keep_alive, 1, 100) == 0
    assert wire.sent == []


def test_targets_that_share_an_address_share_its_keep_alive() -> None:
    wire = Wire()
    keep_alive = alive(wire, 10)
    for target in range(5):
        keep_alive.tell(target, places([1]), 0)
    assert beats(keep_alive, 1, 11) == 1
    keep_alive.know([info(target, int(target == 4)) for target in range(5)])
    assert beats(keep_alive, 11, 21) == 1
    keep_alive.know([info(4, 0)])
    assert beats(keep_alive, 21, 100) == 0


def test_an_address_that_a_name_no_longer_has_gets_none() -> None:
    wire = Wire()
    keep_alive = alive(wire, 10)
    keep_alive.tell(0, places([1, 2]), 0)
    beats(keep_alive, 1, 11)
    wire.sent.clear()
    keep_alive.tell(0, places([2, 3]), 11 * SECOND)
    beats(keep_alive, 12, 32)
    assert set(wire.sent) == {peer(2), peer(3)}


def test_an_address_that_comes_back_is_not_written_to_twice_as_often() -> None:
    wire = Wire()
    keep_alive = alive(wire, 10)
    for numbers in ([1], [], [1], [2], [1]):
        keep_alive.tell(0, places(numbers), 0)
    beats(keep_alive, 1, 101)
    assert Counter(wire.sent) == {peer(1): 10}


def test_a_beat_is_bounded_and_leaves_the_rest_to_the_next() -> None:
    keep_alive = alive(Wire(), 1)
    keep_alive.tell(0, places(range(2 * PER_BEAT + 7)), 0)
    assert [keep_alive.beat(5 * SECOND) for _ in range(4)] == [PER_BEAT, PER_BEAT, 7, 0]


def test_what_was_missed_is_not_made_up_for() -> None:
    keep_alive = alive(Wire(), 10)
    keep_alive.tell(0, places([1]), 0)
    assert keep_alive.beat(1000 * SECOND) == 1
    assert keep_alive.beat(1009 * SECOND) == 0
    assert keep_alive.beat(1010 * SECOND) == 1


def test_what_the_kernel_does_not_take_is_not_counted_and_the_next_one_follows() -> None:
    wire = Wire(takes=False)
    keep_alive = alive(wire, 10)
    keep_alive.tell(0, places([1]), 0)
    assert beats(keep_alive, 1, 31) == 0
    assert len(wire.sent) == 3


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.integers(0, 6), max_size=5, unique=True)),
        max_size=30,
    )
)
def test_whatever_names_turn_into_each_address_in_use_gets_one_an_interval(
    changes: list[tuple[int, list[int]]],
) -> None:
    wire = Wire()
    keep_alive = alive(wire, 10)
    found: dict[int, list[int]] = {}
    for second, (target, numbers) in enumerate(changes):
        keep_alive.tell(target, places(numbers), second * SECOND)
        keep_alive.beat(second * SECOND)
        found[target] = numbers
    beats(keep_alive, len(changes), len(changes) + 10)
    wire.sent.clear()
    beats(keep_alive, len(changes) + 10, len(changes) + 20)
    wanted = {peer(number) for numbers in found.values() for number in numbers}
    assert Counter(wire.sent) == dict.fromkeys(wanted, 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_peer_gets_a_double_crlf_from_the_transports_own_port(host: str) -> None:
    with ExitStack() as stack:
        ours, theirs = bind(stack, host), bind(stack, host)
        keep_alive = alive(ours)
        keep_alive.tell(0, [Place(peer_of(theirs), UDP, host, 5060)], 0)
        assert keep_alive.beat(60 * SECOND) == 1
        ((data, source, _, _),) = receive(theirs, 1)
        assert (data, source) == (KEEP_ALIVE, peer_of(ours))
