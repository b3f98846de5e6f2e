"""UDP in batches on loopback: what is sent arrives, and everything odd is counted."""

from __future__ import annotations

import errno
import resource
import select
import socket
import time
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.datagram import Batch, peer_from_address
from regiment.errors import LocalError
from regiment.net import udp

from .loopback import HOSTS, PATIENCE_S, bind, dead_peer, outbox_of, peer_of, receive, wait


@pytest.mark.parametrize("host", HOSTS)
def test_datagram_arrives_with_its_sender_and_the_index_of_its_socket(
    opened: ExitStack, host: str
) -> None:
    here, there = bind(opened, host), bind(opened, host)
    outbox = outbox_of([(b"REGISTER", peer_of(there), 0)])
    assert udp.send(outbox, [here])
    [(data, peer, index, _)] = receive(there, 1, index=7)
    assert (data, peer, index) == (b"REGISTER", peer_of(here), 7)
    assert (here.sent, here.syscalls, here.gso_runs, there.received) == (1, 1, 0, 1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 7, 700, 900, 1472, 1473, 9000]), st.integers(0, 3)),
        max_size=90,
    ),
    st.booleans(),
    st.booleans(),
)
def test_all_datagrams_arrive_whole_and_equal_ones_in_order_with_runs_or_without(
    parts: list[tuple[int, int]], segment: bool, coalesce: bool
) -> None:
    with ExitStack() as stack:
        here = [bind(stack, segment=segment) for _ in range(2)]
        there = [bind(stack, coalesce=coalesce) for _ in range(2)]
        wanted: dict[tuple[int, int], list[bytes]] = {}
        datagrams = []
        for number, (size, lane) in enumerate(parts):
            data = number.to_bytes(4, "big")[:size].ljust(size, b".")
            datagrams.append((data, peer_of(there[lane % 2]), lane // 2))
            wanted.setdefault((lane % 2, lane // 2), []).append(data)
        assert udp.send(outbox_of(datagrams), here)
        senders = {peer_of(one): index for index, one in enumerate(here)}
        for number, receiver in enumerate(there):
            expected = {sender: wanted.get((number, sender), []) for sender in range(2)}
            got: dict[int, list[bytes]] = {0: [], 1: []}
            for data, peer, _, _ in receive(receiver, sum(map(len, expected.values()))):
                got[senders[peer]].append(data)
            for sender in range(2):
                # Those of one length keep their order, others may pass each other.
                assert sorted(got[sender], key=len) == sorted(expected[sender], key=len)
        assert sum(one.sent for one in here) == len(parts)
        assert all(one.gso_runs == one.gso_sent == 0 for one in here) or segment
        # On loopback a run that is sent is a run that comes, if it is taken as such.
        taken = coalesce * sum(one.gso_sent for one in here)
        assert sum(one.gro_received for one in there) == taken


@pytest.mark.parametrize("host", HOSTS)
def test_run_of_equal_datagrams_goes_as_one_and_its_last_may_be_shorter(
    opened: ExitStack, host: str
) -> None:
    here, there = bind(opened, host), bind(opened, host)
    sent = [bytes([number]) * 700 for number in range(9)] + [b"short"]
    assert udp.send(outbox_of([(data, peer_of(there), 0) for data in sent]), [here])
    assert [data for data, _, _, _ in receive(there, 10)] == sent
    assert (here.gso_runs, here.gso_sent, here.syscalls) == (1, 10, 1)


def runs(opened: ExitStack, sizes: list[int]) -> tuple[int, int]:
    here, there = bind(opened), bind(opened)
    sent = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    assert udp.send(outbox_of([(data, peer_of(there), 0) for data in sent]), [here])
    assert [data for data, _, _, _ in receive(there, len(sent))] == sent
    return here.gso_runs, here.gso_sent


def test_run_ends_at_64_segments(opened: ExitStack) -> None:
    assert runs(opened, [100] * 129) == (2, 128)


def test_run_ends_before_it_outgrows_a_datagram(opened: ExitStack) -> None:
    assert runs(opened, [30_000] * 5) == (2, 4)
    assert runs(opened, [32_753, 32_754]) == (0, 0)
    assert runs(opened, [32_754, 32_753]) == (1, 2)


def test_longer_datagram_begins_a_new_run_and_empty_ones_stand_alone(opened: ExitStack) -> None:
    assert runs(opened, [100, 100, 0, 0, 200, 200, 300]) == (2, 4)


def test_datagrams_of_two_sizes_and_peers_in_turn_are_four_runs(opened: ExitStack) -> None:
    here, one, other = bind(opened), bind(opened), bind(opened)
    texts = [(b"%d" % number) * 50 for number in range(10)] + [(b"%d" % n) * 9 for n in range(10)]
    mixed = [text for pair in zip(texts[:10], texts[10:], strict=True) for text in pair]
    peers = [peer_of(one), peer_of(one), peer_of(other), peer_of(other)] * 5
    pairs = [(text, peer, 0) for text, peer in zip(mixed, peers, strict=True)]
    assert udp.send(outbox_of(pairs), [here])
    assert (here.gso_runs, here.gso_sent) == (4, 20)
    for made, first in ((one, 0), (other, 1)):
        got = [data for data, _, _, _ in receive(made, 10)]
        assert sorted(got, key=len) == texts[10 + first :: 2] + texts[first:10:2]


def test_pieces_that_are_not_neighbours_make_a_run_too(opened: ExitStack) -> None:
    # An inbox that is sent (a relay does that) has its datagrams in slots, far apart.
    here, there = bind(opened), bind(opened)
    relay = Batch.inbox(5, 1000)
    for number in range(5):
        relay.append(bytes([number]) * 300, peer_of(there))
    assert udp.send(relay, [here])
    assert [data[0] for data, _, _, _ in receive(there, 5)] == [0, 1, 2, 3, 4]
    assert (here.gso_runs, here.gso_sent) == (1, 5)


def test_receive_stops_at_its_limit_and_at_the_room_of_the_inbox(opened: ExitStack) -> None:
    here, there = bind(opened), bind(opened, coalesce=False)
    assert udp.send(outbox_of([(b"%d" % n, peer_of(there), 0) for n in range(300)]), [here])
    inbox = Batch.inbox(290, 2048)
    wait(there)
    assert there.receive(inbox, 0, 0, 3) == 3
    assert there.receive(inbox, 0, 0, 1000) == 287
    assert there.receive(inbox, 0, 0, 1000) == 0
    assert [inbox[n][0] for n in range(290)] == [b"%d" % n for n in range(290)]
    inbox.clear()
    assert there.receive(inbox, 0, 0, 1000) == 10
    assert there.receive(inbox, 0, 0, 1000) == 0


def test_time_of_receipt_is_the_kernels_plus_the_offset_and_not_ours(opened: ExitStack) -> None:
    here, there = bind(opened), bind(opened)
    inbox = Batch.inbox(1)
    offset_ns = 10**18
    before_the_call = 0
    for _ in range(1000):
        inbox.clear()
        before_ns = time.time_ns()
        assert udp.send(outbox_of([(b"x", peer_of(there), 0)]), [here])
        wait(there)
        after_ns = time.time_ns()
        assert there.receive(inbox, 0, offset_ns, 1) == 1
        assert before_ns <= inbox[0][3] - offset_ns <= time.time_ns()
        before_the_call += inbox[0][3] - offset_ns <= after_ns
    # Stamping begins a moment after the first socket asks for it; until then the kernel gives the
    # time of the call.
    assert before_the_call


def test_datagram_longer_than_a_slot_is_cut_and_counted(opened: ExitStack) -> None:
    here, there = bind(opened), bind(opened)
    assert udp.send(outbox_of([(b"a" * 101, peer_of(there), 0)]), [here])
    inbox = Batch.inbox(1, 100)
    wait(there)
    assert there.receive(inbox, 0, 0, 1) == 1
    assert (inbox[0][0], there.truncated) == (b"a" * 100, 1)


def test_largest_datagram_passes_whole(opened: ExitStack) -> None:
    here, there = bind(opened, send_buffer_bytes=1 << 20), bind(opened)
    assert udp.send(outbox_of([(b"x" * 65_507, peer_of(there), 0)]), [here])
    assert [len(data) for data, _, _, _ in receive(there, 1)] == [65_507]
    assert there.truncated == 0


def test_what_overflows_the_receive_buffer_is_counted(opened: ExitStack) -> None:
    here, there = bind(opened), bind(opened, receive_buffer_bytes=4096, coalesce=False)
    pairs = [(b"x" * 1000, peer_of(there), 0)] * 500
    assert udp.send(outbox_of(pairs), [here])
    inbox = Batch.inbox(600)
    while there.receive(inbox, 0, 0, 600):
        pass
    kept = len(inbox)
    # The kernel tells with the next datagram.
    assert udp.send(outbox_of(pairs[:1]), [here])
    assert len(receive(there, 1)) == 1
    assert 0 < kept < 500
    assert there.overflow_drops == 500 - kept


def test_oversized_datagram_is_counted_and_the_others_go(opened: ExitStack) -> None:
    here, there = bind(opened, send_buffer_bytes=1 << 20), bind(opened)
    sent = [b"one", b"x" * 65_508, b"two"]
    assert udp.send(outbox_of([(data, peer_of(there), 0) for data in sent]), [here])
    assert [data for data, _, _, _ in receive(there, 2)] == [b"one", b"two"]
    assert (here.sent, here.send_errors, here.oversized) == (2, 1, 1)


def test_unroutable_datagrams_are_counted_and_the_others_go(opened: ExitStack) -> None:
    here, there = bind(opened), bind(opened)
    # From an address of loopback nothing leads outside, and port 0 leads nowhere.
    outside = peer_from_address("192.0.2.1", 5060)
    nowhere = peer_from_address("127.0.0.1", 0)
    peers = [outside, peer_of(there), nowhere, nowhere, peer_of(there)]
    assert udp.send(outbox_of([(b"%d" % n, peer, 0) for n, peer in enumerate(peers)]), [here])
    assert [data for data, _, _, _ in receive(there, 2)] == [b"1", b"4"]
    assert (here.sent, here.send_errors, here.oversized) == (2, 3, 0)
    assert here.segment


def test_refused_run_goes_one_by_one_and_every_datagram_is_judged_alone(
    opened: ExitStack,
) -> None:
    here, there = bind(opened), bind(opened)
    outside = peer_from_address("192.0.2.1", 5060)
    pairs = [(b"xx", outside, 0)] * 3 + [(b"yy", peer_of(there), 0)] * 3
    assert udp.send(outbox_of(pairs), [here])
    assert len(receive(there, 3)) == 3
    assert (here.gso_refused, here.send_errors, here.gso_sent) == (1, 3, 3)


@pytest.mark.parametrize("host", HOSTS)
def test_icmp_error_comes_out_of_the_queue_with_quote_and_peer(
    opened: ExitStack, host: str
) -> None:
    here, dead = bind(opened, host), dead_peer(host)
    assert udp.send(outbox_of([(b"branch=z9hG4bK" * 20, dead, 0)]), [here])
    wait(here)
    assert here.receive(Batch.inbox(1), 0, 0, 1) == 0
    [error] = here.errors()
    assert error.quoted
    assert (b"branch=z9hG4bK" * 20).startswith(error.quoted)
    assert error.peer == dead
    assert error.errno == errno.ECONNREFUSED
    assert (error.type, error.code) == ((3, 3) if host == "127.0.0.1" else (1, 4))
    assert here.errors() == []
    assert not select.select([here.fd], [], [], 0)[0]


def test_pending_refusal_is_never_charged_to_the_datagram_at_hand(opened: ExitStack) -> None:
    here, there, dead = bind(opened), bind(opened), dead_peer()
    assert udp.send(outbox_of([(b"lost", dead, 0)]), [here])
    wait(here)
    assert udp.send(outbox_of([(b"fine", peer_of(there), 0)]), [here])
    assert (here.sent, here.send_errors, here.pending_errors) == (2, 0, 1)
    assert receive(there, 1)[0][0] == b"fine"
    assert [error.quoted for error in here.errors()] == [b"lost"]


def test_dead_peer_costs_the_living_ones_nothing(opened: ExitStack) -> None:
    # In runs loopback would refuse each run as one datagram, by one ICMP error.
    here, there, dead = bind(opened, segment=False), bind(opened), dead_peer()
    peers = [dead, peer_of(there)] * 40
    quotes = set()
    for turn in range(2):
        pairs = [(b"%d.%d" % (turn, n), peer, 0) for n, peer in enumerate(peers)]
        assert udp.send(outbox_of(pairs), [here])
        assert len(receive(there, 40)) == 40
    wanted = {b"%d.%d" % (turn, n) for turn in range(2) for n in range(0, 80, 2)}
    while len(quotes) < len(wanted):
        wait(here)
        quotes |= {error.quoted for error in here.errors()}
    assert quotes == wanted
    assert (here.sent, here.send_errors) == (160, 0)


def test_datagrams_behind_a_pending_error_are_received(opened: ExitStack) -> None:
    here, there, dead = bind(opened), bind(opened), dead_peer()
    assert udp.send(outbox_of([(b"x", peer_of(here), 0)]), [there])
    assert udp.send(outbox_of([(b"x", dead, 0)]), [here])
    wait(here)
    assert here.receive(Batch.inbox(4), 0, 0, 4) == 1
    assert here.pending_errors == 1


def test_errors_stop_at_their_limit(opened: ExitStack) -> None:
    here, dead = bind(opened, segment=False), dead_peer()
    assert udp.send(outbox_of([(b"%d" % n, dead, 0) for n in range(6)]), [here])
    quotes: list[bytes] = []
    while len(quotes) < 6:
        wait(here)
        found = here.errors(2)
        assert len(found) <= 2
        quotes += [error.quoted for error in found]
    assert quotes == [b"%d" % n for n in range(6)]


def test_number_without_a_socket_and_closed_sockets_are_refused(opened: ExitStack) -> None:
    here, there = bind(opened), bind(opened)
    outbox = outbox_of([(b"x", peer_of(there), 1)])
    with pytest.raises(LocalError, match="no socket number 1"):
        udp.send(outbox, [here])
    here.close()
    here.close()
    assert here.fd == -1
    with pytest.raises(LocalError, match="closed"):
        udp.send(outbox_of([(b"x", peer_of(there), 0)]), [here])
    for call in (lambda: here.receive(Batch.inbox(1), 0, 0, 1), here.errors):
        with pytest.raises(LocalError, match="closed"):
            call()
    with pytest.raises(LocalError, match="into an inbox"):
        there.receive(Batch.outbox(1), 0, 0, 1)


def test_buffers_are_told_as_the_kernel_gave_them(opened: ExitStack) -> None:
    made = bind(opened, receive_buffer_bytes=100_000, send_buffer_bytes=50_000)
    assert (made.receive_buffer_bytes, made.send_buffer_bytes) == (100_000, 50_000)


def test_tos_is_set_on_both_families(opened: ExitStack) -> None:
    for host, level, option in (
        ("127.0.0.1", socket.IPPROTO_IP, socket.IP_RECVTOS),
        ("::1", socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS),
    ):
        family = socket.AF_INET if "." in host else socket.AF_INET6
        listener = opened.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        listener.settimeout(PATIENCE_S)
        listener.setsockopt(level, option, 1)
        listener.bind((host, 0))
        peer = peer_from_address(*listener.getsockname()[:2])
        assert udp.send(outbox_of([(b"x", peer, 0)]), [bind(opened, host, tos=0x60)])
        [(_, _, value)] = listener.recvmsg(10, 64)[1]
        assert value[0] == 0x60


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(("tos", "cos"), [(0, 5), (0xB8, 2), (0, 0)])
def test_cos_is_the_priority_whatever_the_type_of_service_says(
    host: str, tos: int, cos: int, opened: ExitStack
) -> None:
    assert bind(opened, host, tos=tos, cos=cos).cos == cos


def test_a_priority_that_we_have_no_right_to_is_left_out(
    opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unprivileged(socket.socket):
        def setsockopt(self, level: int, option: int, value: Any, *more: Any) -> None:
            if option == socket.SO_PRIORITY and value > 6:
                raise PermissionError
            super().setsockopt(level, option, value, *more)

    monkeypatch.setattr(socket, "socket", Unprivileged)
    assert bind(opened, cos=7).cos == 0
    assert bind(opened, cos=6).cos == 6


@pytest.mark.parametrize("host", HOSTS)
def test_one_datagram_goes_apart_from_any_batch(host: str, opened: ExitStack) -> None:
    here, there = bind(opened, host), bind(opened, host)
    assert here.send_one(b"one", peer_of(there))
    assert [data for data, _, _, _ in receive(there, 1)] == [b"one"]
    assert (here.sent, here.blocked) == (1, False)


@pytest.mark.parametrize("host", HOSTS)
def test_one_datagram_goes_in_spite_of_errors_of_earlier_ones(host: str, opened: ExitStack) -> None:
    here, there = bind(opened, host), bind(opened, host)
    dead = dead_peer(host)
    for _ in range(3):
        assert here.send_one(b"lost", dead)
    assert here.send_one(b"one", peer_of(there))
    assert [data for data, _, _, _ in receive(there, 1)] == [b"one"]
    assert here.send_errors == 0


def test_one_datagram_that_cannot_go_is_counted(opened: ExitStack) -> None:
    here = bind(opened)
    assert not here.send_one(bytes(70_000), peer_of(here))
    assert (here.sent, here.send_errors) == (0, 1)
    with pytest.raises(LocalError):
        here.send_one(b"x", b"no address")
    here.close()
    with pytest.raises(LocalError, match="closed"):
        here.send_one(b"x", peer_of(bind(opened)))


def test_port_in_use_is_one_clear_line(opened: ExitStack) -> None:
    port = bind(opened).address[1]
    with pytest.raises(LocalError, match=rf"^UDP 127\.0\.0\.1:{port} is in use$"):
        udp.Socket("127.0.0.1", port)
    port = bind(opened, "::1").address[1]
    with pytest.raises(LocalError, match=rf"^UDP \[::1\]:{port} is in use$"):
        udp.Socket("::1", port)


def test_reuse_port_lets_two_sockets_share_it(opened: ExitStack) -> None:
    port = bind(opened, reuse_port=True).address[1]
    second = udp.Socket("127.0.0.1", port, reuse_port=True)
    opened.callback(second.close)
    assert second.address == ("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "line"),
    [
        ("192.0.2.77", 0, "UDP 192.0.2.77:0: no interface of this machine has that address"),
        ("localhost", 0, "UDP localhost: not an IP address"),
        ("127.0.0.1", 65_536, "UDP 127.0.0.1:65536: a port is at most 65535"),
        ("::1", -1, r"UDP \[::1\]:-1: a port is at most 65535"),
    ],
)
def test_impossible_bind_is_one_clear_line(host: str, port: int, line: str) -> None:
    with pytest.raises(LocalError, match=f"^{line}$"):
        udp.Socket(host, port)


def test_too_few_file_descriptors_is_one_clear_line(opened: ExitStack) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = socket.socket()
    limit = lowest_free.fileno()
    lowest_free.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        with pytest.raises(LocalError, match="too few file descriptors, the limit is"):
            udp.Socket("127.0.0.1", 0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_uvloop_goes_on_watching_after_an_icmp_error(opened: ExitStack) -> None:
    uvloop = pytest.importorskip("uvloop")
    here, there, dead = bind(opened), bind(opened), dead_peer()
    loop = uvloop.new_event_loop()
    opened.callback(loop.close)
    inbox = Batch.inbox(4)
    refused = 0

    def readable() -> None:
        nonlocal refused
        here.receive(inbox, 0, 0, 4)
        refused += len(here.errors())
        if len(inbox):
            loop.stop()
        elif refused == 1:
            udp.send(outbox_of([(b"x", dead, 0)]), [here])
        elif refused == 2:
            udp.send(outbox_of([(b"alive", peer_of(here), 0)]), [there])

    loop.add_reader(here.fd, readable)
    loop.call_later(PATIENCE_S, loop.stop)
    udp.send(outbox_of([(b"x", dead, 0)]), [here])
    loop.run_forever()
    assert (refused, inbox[0][0]) == (2, b"alive")
