"""Connections over TCP: how they begin and end, what they carry, and what they do not wait for."""

from __future__ import annotations

import gc
import os
import queue
import socket
import struct

import pytest

from net.peers import Caller, caller, echo, server, wait_for_end
from regiment.datagram import peer_from_address, peer_to_address
from regiment.model import Transport
from regiment.net.stream import EVENTS, UNSENT_BYTES
from sip.samples import OK_200, REGISTER

LOOPBACK = ("127.0.0.1", "::1")


def silent(connection: socket.socket) -> None:
    wait_for_end(connection)


@pytest.mark.parametrize("host", LOOPBACK)
def test_messages_go_and_come(host: str) -> None:
    with server(echo, host=host) as peer, caller() as ours:
        ours.call(peer.peer)
        assert peer_to_address(ours.local[1])[0] == host
        ours.send(REGISTER, OK_200, REGISTER)
        ours.until(lambda: len(ours.messages) == 3)
        assert ours.messages == [(1, REGISTER), (1, OK_200), (1, REGISTER)]
        assert (len(ours.streams), ours.streams.standing, ours.streams.received) == (1, 1, 3)


def test_each_message_takes_the_connection_that_it_names() -> None:
    flows = range(1, EVENTS + 45)
    with server(echo) as peer, caller() as ours:
        for flow in flows:
            ours.dial(peer.peer, flow)
        ours.until(lambda: len(ours.local) == len(flows))
        for flow in flows:
            ours.send(REGISTER, b"", flow=flow)
        ours.until(lambda: len(ours.messages) == len(flows))
        assert sorted(ours.messages) == [(flow, REGISTER) for flow in flows]


def test_a_message_for_no_connection_is_dropped() -> None:
    with server(echo) as peer, caller() as ours:
        ours.send(REGISTER, flow=9)
        ours.dial(peer.peer)
        ours.send(REGISTER)
        ours.until(lambda: ours.local)
        ours.send(OK_200)
        ours.until(lambda: ours.messages)
        assert ours.messages == [(1, OK_200)]


def test_a_message_in_single_bytes_is_one_message() -> None:
    def drip(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(OK_200)):
            connection.sendall(OK_200[at : at + 1])
        wait_for_end(connection)

    with server(drip) as peer, caller() as ours:
        ours.call(peer.peer)
        ours.until(lambda: ours.messages)
        assert ours.messages == [(1, OK_200)]


# --- how they end ----------------------------------------------------------------------------


def free_port() -> bytes:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return peer_from_address(*taken.getsockname())


def test_nobody_listens() -> None:
    with caller() as ours:
        ours.dial(free_port())
        assert ours.why() == "connection refused"
        assert ours.ended[1].kind == "refused"
        assert len(ours.streams) == 0


def test_no_route() -> None:
    # A multicast address is no peer for TCP.
    with caller() as ours:
        ours.dial(peer_from_address("224.0.0.1", 5060))
        assert ours.why() == "network unreachable"


def test_nobody_answers() -> None:
    # A listener whose queue is full lets further ones wait, as a black hole does.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, caller() as ours:
        peer = peer_from_address(*full.getsockname())
        stuffing = [socket.socket() for _ in range(4)]
        for each in stuffing:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        ours.dial(peer)
        ours.pass_time(10)
        assert 1 not in ours.ended
        ours.pass_time(1)
        assert ours.why() == "connect timeout"
        for each in stuffing:
            each.close()


def test_the_peer_closes() -> None:
    with server(lambda connection: None) as peer, caller() as ours:
        ours.call(peer.peer)
        assert ours.why() == "closed by the peer"


def test_the_peer_closes_in_mid_message() -> None:
    with server(lambda connection: connection.sendall(OK_200[:99])) as peer, caller() as ours:
        ours.call(peer.peer)
        assert ours.why() == "closed by the peer in mid-message"


def test_the_peer_resets() -> None:
    def reset(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with server(reset) as peer, caller() as ours:
        ours.call(peer.peer)
        ours.send(REGISTER)
        assert ours.why() == "connection reset"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no SIP: the peer speaks HTTP"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "no SIP: the peer speaks TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no SIP: the peer sends what is no SIP message"),
        (b"\0" * 100, "no SIP: the peer sends what is no SIP message"),
        (b"SIP/2.0 200 OK\r\n\r\n", "no SIP: a message without Content-Length"),
    ],
)
def test_the_peer_speaks_something_else(said: bytes, why: str) -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(said)
        wait_for_end(connection)

    with server(speak) as peer, caller() as ours:
        ours.call(peer.peer)
        assert ours.why() == why
        assert ours.ended[1].kind == "no_sip"


def test_ten_megabytes_of_headers() -> None:
    def pour(connection: socket.socket) -> None:
        connection.sendall(b"SIP/2.0 200 OK\r\n" + b"X-Filler: 0123456789\r\n" * 500_000)

    with server(pour) as peer, caller() as ours:
        ours.call(peer.peer)
        assert ours.why() == "no SIP: headers of more than 65536 bytes"


def test_a_message_that_never_ends_is_given_up() -> None:
    def begin(connection: socket.socket) -> None:
        connection.sendall(OK_200 + OK_200[:50])
        wait_for_end(connection)

    with server(begin) as peer, caller() as ours:
        ours.call(peer.peer)
        ours.until(lambda: ours.messages)
        ours.pass_time(29)
        assert 1 not in ours.ended
        ours.pass_time(3)
        assert ours.why() == "no SIP: a message that does not end"


def test_a_hang_up_ends_with_one_word() -> None:
    told: queue.Queue[bytes] = queue.Queue()
    with server(lambda connection: told.put(wait_for_end(connection))) as peer, caller() as ours:
        ours.call(peer.peer)
        ours.send(REGISTER)
        ours.streams.close(1, ours.now_ns)
        ours.streams.close(1, ours.now_ns)
        assert ours.why() == ""
        assert told.get(timeout=20) == REGISTER
        ours.streams.close(1, ours.now_ns)
        ours.streams.close(77, ours.now_ns)


def test_a_hang_up_does_not_wait_for_a_peer_that_keeps_on() -> None:
    hold: queue.Queue[None] = queue.Queue()
    with server(lambda connection: hold.get(timeout=20)) as peer, caller() as ours:
        ours.call(peer.peer)
        ours.streams.close(1, ours.now_ns)
        assert ours.streams.standing == 0
        ours.pass_time(3)
        assert ours.why() == ""
        hold.put(None)


def test_a_hang_up_before_it_stands() -> None:
    with server(echo) as peer, caller() as ours:
        ours.dial(peer.peer)
        ours.streams.close(1, ours.now_ns)
        assert ours.why() == ""
        assert ours.local == {}


# --- back-pressure ---------------------------------------------------------------------------


def stuff(ours: Caller) -> int:
    """Sends until the connection takes no more; returns how many messages."""
    sent = 0
    while not ours.taps:
        ours.send(*[REGISTER] * 100)
        sent += 100
    return sent


def test_a_slow_peer_stops_its_messages_and_lets_them_go_on() -> None:
    gate: queue.Queue[None] = queue.Queue()
    got: queue.Queue[int] = queue.Queue()

    def slow(connection: socket.socket) -> None:
        gate.get(timeout=20)
        got.put(len(wait_for_end(connection)))

    with server(slow) as peer, caller() as ours:
        ours.call(peer.peer)
        sent = stuff(ours)
        assert ours.taps == [(1, False)]
        ours.send(REGISTER)
        gate.put(None)
        ours.until(lambda: len(ours.taps) == 2)
        assert ours.taps == [(1, False), (1, True)]
        ours.streams.close(1, ours.now_ns)
        assert ours.why() == ""
        assert got.get(timeout=20) == (sent + 1) * len(REGISTER)


def test_a_peer_that_takes_nothing_is_given_up() -> None:
    gate: queue.Queue[None] = queue.Queue()
    with server(lambda connection: gate.get(timeout=20)) as peer, caller() as ours:
        ours.call(peer.peer)
        stuff(ours)
        ours.pass_time(29)
        assert ours.ended == {}
        ours.pass_time(3)
        assert ours.why() == "the peer takes nothing"
        gate.put(None)


def test_what_waits_for_a_peer_is_bounded() -> None:
    gate: queue.Queue[None] = queue.Queue()
    with server(lambda connection: gate.get(timeout=20)) as peer, caller() as ours:
        ours.call(peer.peer)
        stuff(ours)
        waiting = 0
        while not ours.ended:
            ours.send(REGISTER * 100)
            waiting += len(REGISTER) * 100
        assert ours.why() == "the peer takes nothing"
        assert waiting <= UNSENT_BYTES + len(REGISTER) * 200
        gate.put(None)


# --- keep-alive ------------------------------------------------------------------------------

ALIVE = Transport("tcp", protocol="tcp", keep_alive_interval=90)


def test_a_ping_goes_out_within_the_interval_and_a_pong_keeps_it() -> None:
    pings: list[bytes] = []

    def pong(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            pings.append(data)
            connection.sendall(b"\r\n")

    with server(pong) as peer, caller() as ours:
        ours.call(peer.peer, transport=ALIVE)
        ours.pass_time(91)
        ours.until(lambda: flow_of(ours).inlet.pongs == 1)
        for _ in range(100):
            ours.pass_time(9)
            ours.until(lambda: not flow_of(ours).pong_ns)
        assert ours.ended == {}
        assert set(pings) == {b"\r\n\r\n"}
        assert 10 <= len(pings) <= 14


def flow_of(ours: Caller, flow: int = 1):  # type: ignore[no-untyped-def]
    return ours.streams._flows[flow]


def test_a_peer_that_never_answered_pings_need_not() -> None:
    got: queue.Queue[bytes] = queue.Queue()

    def listen(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            got.put(data)

    with server(listen) as peer, caller() as ours:
        ours.call(peer.peer, transport=ALIVE)
        ours.pass_time(91)
        assert got.get(timeout=20) == b"\r\n\r\n"
        ours.pass_time(60)
        assert ours.ended == {}


def test_a_peer_that_stops_to_answer_pings_is_given_up() -> None:
    def once(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"\r\n")
        wait_for_end(connection)

    with server(once) as peer, caller() as ours:
        ours.call(peer.peer, transport=ALIVE)
        ours.pass_time(91)
        ours.until(lambda: flow_of(ours).inlet.pongs == 1)
        ours.pass_time(103)
        assert ours.why() == "keep-alive: no pong"
        assert ours.ended[1].kind == "keep_alive"


def test_who_promised_a_flow_timer_has_to_answer_the_first_ping() -> None:
    with server(silent) as peer, caller() as ours:
        ours.call(peer.peer)
        ours.streams.set_flow_timer(1, 20, ours.now_ns)
        ours.pass_time(20)
        assert ours.ended == {}
        ours.pass_time(12)
        assert ours.why() == "keep-alive: no pong"
        ours.streams.set_flow_timer(1, 20, ours.now_ns)


def test_pings_of_two_connections_fall_apart() -> None:
    with server(silent) as peer, caller() as ours:
        for flow in range(1, 20):
            ours.dial(peer.peer, flow, ALIVE)
        ours.until(lambda: len(ours.local) == 19)
        due = {flow_of(ours, flow).ping_ns - ours.now_ns for flow in range(1, 20)}
        assert len(due) == 19
        assert all(72 * 10**9 <= each <= 90 * 10**9 for each in due)


def test_a_ping_of_the_peer_is_answered() -> None:
    got: queue.Queue[bytes] = queue.Queue()

    def ping(connection: socket.socket) -> None:
        connection.sendall(b"\r\n\r\n" + OK_200)
        got.put(connection.recv(100))

    with server(ping) as peer, caller() as ours:
        ours.call(peer.peer)
        ours.until(lambda: ours.messages)
        assert got.get(timeout=20) == b"\r\n"


# --- sockets ---------------------------------------------------------------------------------


def test_a_socket_is_as_its_transport_says() -> None:
    transport = Transport(
        "tcp", protocol="tcp", bind_host="127.0.0.2", tos=184, cos=3, tcp_keepalive=(30, 7, 5)
    )
    with server(echo) as peer, caller() as ours:
        ours.call(peer.peer, transport=transport)
        assert peer_to_address(ours.local[1])[0] == "127.0.0.2"
        opened = flow_of(ours).socket
        assert opened.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 184
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 3
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 7
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_one_that_does_not_attend_does_not_wake() -> None:
    import select

    with server(echo) as peer, caller() as ours:
        ours.call(peer.peer)
        ours.streams.attend(False)
        ours.send(REGISTER)
        ours.streams.attend(True)
        ours.until(lambda: ours.messages)
        ours.streams.attend(False)
        ours.send(REGISTER)
        poll = select.poll()
        poll.register(flow_of(ours).socket, select.POLLIN)
        assert poll.poll(20_000)
        assert select.select([ours.streams.fd], [], [], 0)[0] == []


def test_ten_thousand_connections_leave_nothing_behind() -> None:
    rounds, at_once = 200, 50

    def census() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), len(gc.get_objects())

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, caller() as ours:
        peer = peer_from_address(*listener.getsockname())

        def reconnect() -> None:
            ours.local.clear()
            ours.ended.clear()
            for flow in range(at_once):
                ours.dial(peer, flow)
            accepted = [listener.accept()[0] for _ in range(at_once)]
            ours.until(lambda: len(ours.local) == at_once)
            for each in accepted:
                each.close()
            ours.until(lambda: len(ours.ended) == at_once)

        reconnect()
        descriptors, objects = census()
        for _ in range(rounds):
            reconnect()
        ours.pass_time(20)
        after = census()
        assert after[0] == descriptors
        # Each connection has more than ten.
        assert after[1] - objects < 1000
        assert ours.streams._due == {}
