"""Runs that come in one piece: each of their datagrams is one of the inbox, none is lost unseen."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from regiment.datagram import DEFAULT_SLOT_BYTES, Batch
from regiment.net import udp

from .loopback import HOSTS, bind, dead_peer, outbox_of, peer_of, receive, wait

HERE = Path(__file__).parent
SOL_UDP, UDP_SEGMENT = 17, 103


def send_run(there: udp.Socket, data: bytes, size: int) -> None:
    """One run of segments of `size`, as any peer may send it, made without `regiment.net.udp`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        control = [(SOL_UDP, UDP_SEGMENT, struct.pack("H", size))]
        plain.sendmsg([data], control, 0, there.address)


def lengths(inbox: Batch) -> list[int]:
    return [len(inbox[number][0]) for number in range(len(inbox))]


@pytest.mark.parametrize("host", HOSTS)
def test_each_datagram_of_a_run_has_peer_socket_and_the_kernels_time(
    opened: ExitStack, host: str
) -> None:
    here, there = bind(opened, host), bind(opened, host)
    sent = [bytes([number]) * 700 for number in range(9)] + [b"short"]
    before_ns = time.time_ns()
    assert udp.send(outbox_of([(data, peer_of(there), 0) for data in sent]), [here])
    wait(there)
    inbox = Batch.inbox(2)
    offset_ns = 10**18
    assert there.receive(inbox, 7, offset_ns, 2) == len(inbox) == 10
    after_ns = time.time_ns()
    assert inbox.room == 1
    got = [inbox[number] for number in range(10)]
    assert [data for data, _, _, _ in got] == sent
    assert {(peer, index) for _, peer, index, _ in got} == {(peer_of(here), 7)}
    assert all(before_ns <= time_ns - offset_ns <= after_ns for _, _, _, time_ns in got)
    assert (there.coalesce, there.gro_runs, there.gro_received) == (True, 1, 10)
    assert (there.received, there.truncated, there.syscalls) == (10, 0, 1)


def test_socket_that_does_not_coalesce_takes_the_same_one_by_one(opened: ExitStack) -> None:
    here, there = bind(opened), bind(opened, coalesce=False)
    sent = [bytes([number]) * 700 for number in range(9)] + [b"short"]
    assert udp.send(outbox_of([(data, peer_of(there), 0) for data in sent]), [here])
    wait(there)
    inbox = Batch.inbox(12)
    assert there.receive(inbox, 0, 0, 12) == 10
    assert [inbox[number][0] for number in range(10)] == sent
    assert inbox.room == 2
    assert (there.coalesce, there.received, there.gro_runs) == (False, 10, 0)
    assert there.gro_received == 0


def test_single_datagrams_between_runs_keep_their_place(opened: ExitStack) -> None:
    there = bind(opened)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.connect(there.address)
        for size in (0, 3, 2):
            plain.send(b"s" * size)
            plain.sendmsg([b"r" * 11], [(SOL_UDP, UDP_SEGMENT, struct.pack("H", 4))])
    inbox = Batch.inbox(8, 100)
    wait(there)
    assert there.receive(inbox, 0, 0, 8) == 12
    assert lengths(inbox) == [0, 4, 4, 3, 3, 4, 4, 3, 2, 4, 4, 3]
    assert (there.gro_runs, there.gro_received, inbox.room) == (3, 9, 2)


def test_limit_and_room_are_of_slots_so_that_tiny_segments_lose_nothing(opened: ExitStack) -> None:
    there = bind(opened)
    texts = [bytes([10 * run + n % 10 for n in range(64)]) for run in range(9)]
    for text in texts:
        send_run(there, text, 1)
    inbox = Batch.inbox(5, 64)
    wait(there)
    assert there.receive(inbox, 0, 0, 2) == 128
    assert there.receive(inbox, 0, 0, 9) == 192
    assert (there.receive(inbox, 0, 0, 9), inbox.room) == (0, 0)
    got = [inbox[number][0] for number in range(len(inbox))]
    inbox.clear()
    assert there.receive(inbox, 0, 0, 9) == 256
    assert inbox.room == 1
    got += [inbox[number][0] for number in range(len(inbox))]
    assert b"".join(got) == b"".join(texts)
    assert {len(data) for data in got} == {1}
    assert (there.received, there.truncated) == (576, 0)


def test_longest_run_fits_a_slot_of_the_usual_size(opened: ExitStack) -> None:
    there = bind(opened)
    send_run(there, b"x" * 65_000, 1024)
    inbox = Batch.inbox(1)
    wait(there)
    assert there.receive(inbox, 0, 0, 1) == 64
    assert lengths(inbox) == [1024] * 63 + [488]
    assert (there.gro_runs, there.truncated) == (1, 0)


@pytest.mark.parametrize(
    ("slot_bytes", "taken", "truncated"),
    [
        (7000, [700] * 10, 0),
        (6999, [700] * 9 + [699], 1),
        (6301, [700] * 9 + [1], 1),
        (6300, [700] * 9, 1),
        (2000, [700, 700, 600], 8),
        (700, [700], 9),
        (100, [100], 10),
    ],
)
def test_what_a_slot_does_not_hold_of_a_run_is_counted_datagram_by_datagram(
    opened: ExitStack, slot_bytes: int, taken: list[int], truncated: int
) -> None:
    there = bind(opened)
    send_run(there, b"x" * 7000, 700)
    inbox = Batch.inbox(2, slot_bytes)
    wait(there)
    assert there.receive(inbox, 0, 0, 2) == len(taken)
    assert lengths(inbox) == taken
    assert (there.received, there.truncated) == (len(taken), truncated)


def test_run_that_overflows_the_receive_buffer_counts_once(opened: ExitStack) -> None:
    there = bind(opened, receive_buffer_bytes=1 << 15)
    for _ in range(50):
        send_run(there, b"x" * 7000, 700)
    kept = there.receive(Batch.inbox(60), 0, 0, 60)
    # The kernel tells with the next datagram.
    send_run(there, b"x", 1)
    assert len(receive(there, 1)) == 1
    assert 0 < kept < 500
    assert there.overflow_drops == 50 - kept // 10


def test_run_behind_a_pending_error_is_received(opened: ExitStack) -> None:
    here, there, dead = bind(opened), bind(opened), dead_peer()
    sent = [b"%d" % number for number in range(5)]
    assert udp.send(outbox_of([(data, peer_of(here), 0) for data in sent]), [there])
    assert udp.send(outbox_of([(b"x", dead, 0)]), [here])
    assert [data for data, _, _, _ in receive(here, 5)] == sent
    assert (here.pending_errors, here.gro_runs) == (1, 1)
    assert [error.quoted for error in here.errors()] == [b"x"]


def test_run_that_was_received_is_sent_as_one_from_where_it_lies(opened: ExitStack) -> None:
    here, there = bind(opened), bind(opened)
    sent = [bytes([number]) * 700 for number in range(10)]
    assert udp.send(outbox_of([(data, peer_of(there), 0) for data in sent]), [here])
    inbox = Batch.inbox(2)
    wait(there)
    assert there.receive(inbox, 0, 0, 2) == 10
    # An echo: each goes back to whom it came from.
    assert udp.send(inbox, [there])
    assert [data for data, _, _, _ in receive(here, 10)] == sent
    assert (there.gso_runs, here.gro_runs) == (1, 1)


# ------------------------------------------------------- what loopback does not do by itself


Play = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    library = tmp_path_factory.mktemp("runs") / "recvmmsg_runs.so"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    source = HERE / "recvmmsg_runs.c"
    subprocess.run([*compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    preload = " ".join(filter(None, [os.environ.get("LD_PRELOAD"), str(library)]))

    def played(claimed: int | None, sizes: list[int], slot_bytes: int) -> dict[str, Any]:
        words = ["none" if claimed is None else str(claimed), json.dumps(sizes), str(slot_bytes)]
        done = subprocess.run(
            [sys.executable, HERE / "claimed_runs.py", library, *words],
            env={**os.environ, "LD_PRELOAD": preload},
            capture_output=True,
            check=True,
            timeout=60,
        )
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return played


def test_run_beyond_128_datagrams_leaves_the_next_slots_theirs(play: Play) -> None:
    # A virtual interface may hand on a run of one-byte segments as long as a datagram.
    got = play(1, [65_507, 5, 60_000, 3], DEFAULT_SLOT_BYTES)
    assert got["lengths"] == [1] * (128 + 5 + 128 + 3)
    places = [*range(128), *range(5), *range(128), *range(3)]
    assert got["firsts"] == [place % 251 for place in places]
    assert got["returned"] == got["received"] == got["gro_received"] == 264
    assert (got["gro_runs"], got["truncated"]) == (4, 65_507 - 128 + 60_000 - 128)


def test_run_beyond_both_128_datagrams_and_its_slot_is_counted_once(play: Play) -> None:
    got = play(3, [3000, 390], 380)
    assert got["lengths"] == [3] * 126 + [2] + [3] * 126 + [2]
    assert got["truncated"] == (1000 - 126) + (130 - 126)
    got = play(2, [3000], 500)
    assert (got["lengths"], got["truncated"]) == ([2] * 128, 1500 - 128)


@pytest.mark.parametrize("claimed", [0, -1, -(2**31), 100, 101, 2**31 - 1])
def test_segment_size_that_cuts_nothing_leaves_one_datagram(play: Play, claimed: int) -> None:
    got = play(claimed, [100, 0], 1000)
    assert got["lengths"] == [100, 0]
    assert (got["gro_runs"], got["truncated"], got["received"]) == (0, 0, 2)


def test_kernel_that_coalesces_nothing_is_no_error(play: Play) -> None:
    got = play(None, [100, 7], 1000)
    assert got["lengths"] == [100, 7]
    assert (got["coalesce"], got["received"], got["gro_runs"]) == (False, 2, 0)
