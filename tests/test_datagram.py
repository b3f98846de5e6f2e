"""Batches of datagrams, and socket addresses as the kernel writes them."""

from __future__ import annotations

import ctypes
import ipaddress
import socket
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from regiment.datagram import (
    DEFAULT_SLOT_BYTES,
    Batch,
    peer_from_address,
    peer_to_address,
)
from regiment.errors import LocalError

PEER = peer_from_address("192.0.2.1", 5060)
OTHER = peer_from_address("2001:db8::1", 5061)


class SockaddrIn(ctypes.Structure):
    _fields_ = [
        ("family", ctypes.c_uint16),
        ("port", ctypes.c_uint8 * 2),
        ("address", ctypes.c_uint8 * 4),
        ("zero", ctypes.c_uint8 * 8),
    ]


class SockaddrIn6(ctypes.Structure):
    _fields_ = [
        ("family", ctypes.c_uint16),
        ("port", ctypes.c_uint8 * 2),
        ("flow", ctypes.c_uint32),
        ("address", ctypes.c_uint8 * 16),
        ("scope", ctypes.c_uint32),
    ]


def sockaddr(host: str, port: int, scope: int = 0) -> bytes:
    big = (ctypes.c_uint8 * 2)(*port.to_bytes(2, "big"))
    packed = ipaddress.ip_address(host).packed
    if len(packed) == 4:
        return bytes(SockaddrIn(socket.AF_INET, big, (ctypes.c_uint8 * 4)(*packed)))
    return bytes(SockaddrIn6(socket.AF_INET6, big, 0, (ctypes.c_uint8 * 16)(*packed), scope))


ports = st.integers(0, 65_535)
# Groups of zeroes are what the text form of IPv6 is about.
inet6 = st.lists(st.sampled_from([0, 0, 0, 1, 0xF, 0xDB8, 0xFFFF]), min_size=8, max_size=8).map(
    lambda groups: b"".join(group.to_bytes(2, "big") for group in groups)
)


@given(st.ip_addresses(), ports)
def test_peer_is_the_kernels_socket_address(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    assert peer_from_address(str(address), port) == sockaddr(str(address), port)


@given(st.binary(min_size=4, max_size=4), ports)
@example(b"\xff\xff\xff\xff", 65_535)
@example(b"\0\0\0\0", 0)
def test_ipv4_peer_is_written_as_inet_ntop_does(packed: bytes, port: int) -> None:
    text = socket.inet_ntop(socket.AF_INET, packed)
    assert peer_to_address(peer_from_address(text, port)) == (text, port)


@given(st.one_of(inet6, st.binary(min_size=16, max_size=16)), ports)
@example(b"\0" * 16, 1)
@example(b"\0" * 15 + b"\1", 1)
@example(b"\0" * 10 + b"\xff\xff" + b"\x7f\0\0\1", 1)
def test_ipv6_peer_is_written_as_rfc_5952_says(packed: bytes, port: int) -> None:
    address = ipaddress.IPv6Address(packed)
    mapped = address.ipv4_mapped
    text = f"::ffff:{mapped}" if mapped else str(address)
    assert peer_to_address(peer_from_address(str(address), port)) == (text, port)


def test_zone_of_a_link_local_address_is_its_scope() -> None:
    assert peer_from_address("fe80::1%3", 5060) == sockaddr("fe80::1", 5060, 3)
    assert peer_from_address("fe80::1", 5060, 3) == sockaddr("fe80::1", 5060, 3)
    assert peer_to_address(peer_from_address("fe80::1%3", 5060)) == ("fe80::1", 5060)
    with pytest.raises(LocalError, match="zone"):
        peer_from_address("fe80::1%eth0", 5060)


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("example.com", 1, "not an IP address: 'example.com'"),
        ("", 1, "not an IP address: ''"),
        ("[::1]", 1, "not an IP address"),
        ("192.0.2.1", -1, "not a port: -1"),
        ("192.0.2.1", 65_536, "not a port: 65536"),
    ],
)
def test_what_is_no_address_is_refused(host: str, port: int, said: str) -> None:
    with pytest.raises(LocalError) as caught:
        peer_from_address(host, port)
    assert said in str(caught.value)


@given(st.binary(max_size=40))
@example(PEER[:15])
@example(PEER + b"\0" * 12)
@example(OTHER[:16])
def test_bytes_of_another_shape_are_no_peer(raw: bytes) -> None:
    family = int.from_bytes(raw[:2], "little")
    if (family, len(raw)) in ((socket.AF_INET, 16), (socket.AF_INET6, 28)):
        assert peer_to_address(raw)[1] == int.from_bytes(raw[2:4], "big")
    else:
        with pytest.raises(LocalError, match="not a socket address"):
            peer_to_address(raw)
        with pytest.raises(LocalError, match="not a socket address"):
            Batch.outbox(1).append(b"", raw)


@pytest.mark.parametrize("batch", [Batch.inbox(3, 100), Batch.outbox(3, 100)])
def test_batch_gives_back_what_was_appended(batch: Batch) -> None:
    entries = [(b"one", PEER, 0, -5), (b"", OTHER, 65_535, 2**62), (b"\0\xff", PEER, 1, 0)]
    for _ in range(2):
        batch.clear()
        assert (len(batch), batch.room, batch.sent) == (0, 3, 0)
        for data, peer, number, time_ns in entries:
            batch.append(data, peer, number, time_ns)
        assert [batch[number] for number in range(3)] == entries
        assert batch[-1] == entries[-1]
        assert (len(batch), batch.room) == (3, 0)
    for index in (3, -4):
        with pytest.raises(IndexError):
            batch[index]


def test_batch_that_is_full_says_so_and_keeps_what_it_has() -> None:
    for batch in (Batch.inbox(1, 100), Batch.outbox(1, 100), Batch.outbox(9, 3)):
        batch.append(b"abc", PEER)
        with pytest.raises(LocalError, match="no room for 1 bytes more"):
            batch.append(b"d", PEER)
        assert [batch[n][0] for n in range(len(batch))] == [b"abc"]


def test_slot_of_an_inbox_bounds_each_datagram_and_the_arena_of_an_outbox_their_sum() -> None:
    inbox, outbox = Batch.inbox(2, 10), Batch.outbox(9, 10)
    inbox.append(b"0123456789", PEER)
    inbox.append(b"0123456789", PEER)
    for _ in range(2):
        outbox.append(b"01234", PEER)
    for batch in (Batch.inbox(1, 10), outbox):
        with pytest.raises(LocalError):
            batch.append(b"0123456789x", PEER)
    assert inbox[0][0] == inbox[1][0] == b"0123456789"


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([PEER, OTHER]), st.integers(0, 1)),
        max_size=60,
    )
)
def test_group_brings_like_datagrams_together_and_keeps_their_order(
    kinds: list[tuple[int, bytes, int]],
) -> None:
    entries = [
        (b"x" * length, peer, number, time_ns)
        for time_ns, (length, peer, number) in enumerate(kinds)
    ]
    for batch in (Batch.outbox(100), Batch.inbox(100)):
        for entry in entries:
            batch.append(*entry)
        batch.group()
        first = {kind: at for at, kind in reversed(list(enumerate(kinds)))}
        expected = sorted(entries, key=lambda entry: first[(len(entry[0]), entry[1], entry[2])])
        assert [batch[number] for number in range(len(batch))] == expected


def test_group_works_on_1024_datagrams_at_a_time() -> None:
    batch = Batch.outbox(2500, 10_000)
    for number in range(2500):
        batch.append(b"x" * (number % 3), PEER, 0, number)
    batch.group()
    for start in (0, 1024, 2048):
        window = range(start, min(start + 1024, 2500))
        first = window[0] % 3
        expected = sorted(window, key=lambda number: (number - first) % 3)
        assert [batch[place][3] for place in window] == expected


def test_group_tells_many_peers_apart() -> None:
    # Peers that differ only where the buckets do not look, and more of them than buckets.
    peers = [peer_from_address(f"2001:db8::{n:x}", 5060) for n in range(500)]
    batch = Batch.outbox(1000)
    for number in range(1000):
        batch.append(b"x", peers[number % 500], 0, number)
    batch.group()
    assert [batch[place][3] for place in range(1000)] == [
        number for peer in range(500) for number in (peer, peer + 500)
    ]


def test_batch_without_a_size_is_refused_and_a_bare_one_has_no_room() -> None:
    for make in (lambda: Batch.inbox(0), lambda: Batch.inbox(1, 0), lambda: Batch.outbox(1, 0)):
        with pytest.raises(LocalError, match="at least 1"):
            make()
    with pytest.raises(LocalError, match="no room"):
        Batch().append(b"", PEER)


def test_each_datagram_that_is_appended_to_an_inbox_takes_a_slot() -> None:
    inbox = Batch.inbox(3, 10)
    for text in (b"", b"0123456789", b""):
        inbox.append(text, PEER)
    assert (len(inbox), inbox.room) == (3, 0)
    with pytest.raises(LocalError, match="no room for 0 bytes more"):
        inbox.append(b"", PEER)
    inbox.clear()
    assert (len(inbox), inbox.room) == (0, 3)


def test_inbox_beyond_all_memory_is_refused() -> None:
    for slots in (2**25, 2**32 - 1):
        with pytest.raises(MemoryError):
            Batch.inbox(slots)


def test_slots_hold_the_largest_datagram_and_do_not_alias_in_the_caches() -> None:
    assert DEFAULT_SLOT_BYTES >= 65_527
    assert DEFAULT_SLOT_BYTES % 64 == 0
    assert DEFAULT_SLOT_BYTES % 4096 != 0


def test_inbox_costs_memory_only_where_it_was_written() -> None:
    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident_bytes()
    inbox = Batch.inbox(1024)
    for _ in range(10):
        inbox.append(b"x" * 700, PEER)
    assert resident_bytes() - before < 1024 * DEFAULT_SLOT_BYTES // 20
