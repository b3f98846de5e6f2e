"""Connections in a worker: every dial and hang-up of the core is answered, and all is counted."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
import uvloop

from authority import Authority
from net.peers import echo, server
from net.test_tls import serving
from regiment.datagram import Batch, peer_from_address
from regiment.metrics.catalogue import STREAM_FAILURES
from regiment.metrics.scoreboard import Scoreboard
from regiment.model import Certificate, Tls, Transport
from regiment.net import failure
from regiment.uac.destination import Dial
from regiment.worker.alarm import Alarm
from regiment.worker.shard import HOLD_NS, Shard
from regiment.worker.streams import Connections
from sip.samples import REGISTER

TCP, TLS = 0, 1
DOMAIN = "sip.example.com"
PATIENCE_S = 20


def dial(
    flow: int,
    peer: bytes,
    transport: int = TCP,
    server_name: str = DOMAIN,
    certificate: Certificate | None = None,
) -> Dial:
    return Dial(flow, peer, transport, server_name, certificate)


class FakeCore:
    """Wants the connections that a test says, and sends a request over each that stands."""

    def __init__(self) -> None:
        self.wanted: list[Dial] = []
        self.unwanted: list[int] = []
        self.to_send: list[int] = []
        self.local: dict[int, bytes] = {}
        self.ended: dict[int, str] = {}
        self.taps: list[tuple[int, bool]] = []
        self.messages: list[tuple[int, bytes]] = []
        self.requests_each = 1
        self.timers: list[tuple[int, int]] = []

    def dials(self) -> list[Dial]:
        wanted, self.wanted = self.wanted, []
        return wanted

    def hangups(self) -> list[int]:
        unwanted, self.unwanted = self.unwanted, []
        return unwanted

    def flow_timers(self) -> list[tuple[int, int]]:
        timers, self.timers = self.timers, []
        return timers

    def connected(self, number: int, local: bytes, now_ns: int) -> None:
        self.local[number] = local
        self.to_send += [number] * self.requests_each

    def disconnected(self, number: int, reason: str, now_ns: int) -> None:
        assert number not in self.ended
        self.ended[number] = reason

    def writable(self, number: int, on: bool, now_ns: int) -> None:
        self.taps.append((number, on))

    def receive(self, inbox: Batch, now_ns: int) -> None:
        self.messages += [(inbox.flow(i), inbox[i][0]) for i in range(len(inbox))]

    def expire(self, now_ns: int) -> None:
        pass

    def launch(self, now_ns: int) -> None:
        pass

    def send(self, outbox: Batch, now_ns: int) -> bool:
        while self.to_send and outbox.room:
            outbox.append(REGISTER, peer_from_address("192.0.2.1", 1), flow=self.to_send.pop())
        return bool(self.to_send)

    def deadline_ns(self) -> int:
        return -1

    def icmp(self, quoted: bytes, peer: bytes, now_ns: int) -> None:
        raise AssertionError


class Worker:
    """A real shard on a real loop, with connections, around the fake core."""

    def __init__(self, *transports: Transport) -> None:
        self.core = FakeCore()
        self.board = Scoreboard(bytearray(Scoreboard.size_bytes()))
        self.failure: BaseException | None = None
        self.changed = asyncio.Event()
        self.alarm = Alarm()
        self.shard = Shard(
            asyncio.get_running_loop(),
            self.core,
            self.alarm,
            chores=lambda now_ns: None,
            after=self._after,
            failed=self._fail,
            hold_ns=HOLD_NS,
        )
        self.connections = Connections(
            self.core, attach=self.shard.add_streams, wake=self.shard.wake
        )
        for number, transport in enumerate(transports):
            self.connections.add(number, transport)
        self.shard.start()

    def _after(self, now_ns: int) -> None:
        self.connections.after(now_ns)
        self.changed.set()

    def _fail(self, error: BaseException) -> None:
        self.failure = error
        self.changed.set()

    async def until(self, happened: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not happened():
                if self.failure is not None:
                    raise self.failure
                self.changed.clear()
                await self.changed.wait()

    def count(self, family: str, *labels: str) -> int:
        self.connections.publish(self.board)
        return self.board.get(family, labels)

    def close(self) -> None:
        self.shard.stop()
        self.connections.close()
        self.connections.close()
        self.alarm.close()


def run(case: Callable[[Worker], Coroutine[None, None, None]], *transports: Transport) -> None:
    async def live() -> None:
        worker = Worker(*(transports or (Transport("tcp", protocol="tcp"),)))
        try:
            await case(worker)
        finally:
            worker.close()

    uvloop.run(live())


def test_a_dial_a_request_and_a_hang_up() -> None:
    async def case(worker: Worker) -> None:
        core = worker.core
        core.wanted = [dial(flow, peer.peer) for flow in range(1, 30)]
        core.requests_each = 100
        worker.shard.wake()
        await worker.until(lambda: len(core.messages) == 2900)
        assert worker.count("regiment_transport_connections", "tcp", "open") == 29
        assert worker.count("regiment_transport_connections", "tcp", "connecting") == 0
        core.unwanted = list(range(1, 30))
        worker.shard.wake()
        await worker.until(lambda: len(core.ended) == 29)
        assert set(core.ended.values()) == {""}
        assert worker.count("regiment_transport_connections", "tcp", "open") == 0
        for reason in STREAM_FAILURES:
            assert worker.count("regiment_transport_failures_total", "tcp", reason) == 0

    with server(echo) as peer:
        run(case)


def test_a_flow_timer_makes_keep_alives_for_its_connection() -> None:
    async def case(worker: Worker) -> None:
        core = worker.core
        core.wanted = [dial(1, peer.peer)]
        worker.shard.wake()
        await worker.until(lambda: core.messages)
        core.timers = [(1, 30), (7, 30)]
        worker.shard.wake()
        await worker.until(lambda: not core.timers)
        streams = worker.connections.streams
        assert streams is not None
        assert streams._flows[1].keep_alive_ns == 30 * 10**9

    with server(echo) as peer:
        run(case)


def test_a_dial_that_fails_is_told_and_counted() -> None:
    async def case(worker: Worker) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            peer = peer_from_address(*taken.getsockname())
        worker.core.wanted = [dial(1, peer), dial(2, peer_from_address("224.0.0.1", 1))]
        worker.shard.wake()
        await worker.until(lambda: len(worker.core.ended) == 2)
        assert worker.core.ended == {1: "connection refused", 2: "network unreachable"}
        for reason in ("refused", "unreachable"):
            assert worker.count("regiment_transport_failures_total", "tcp", reason) == 1
        assert worker.count("regiment_transport_connections", "tcp", "connecting") == 0

    run(case)


def test_a_peer_that_takes_nothing_stops_its_messages_alone() -> None:
    async def case(worker: Worker) -> None:
        core = worker.core
        core.wanted = [dial(1, deaf.peer), dial(2, peer.peer)]
        core.requests_each = 20_000
        worker.shard.wake()
        await worker.until(lambda: (1, False) in core.taps and len(core.messages) == 20_000)
        assert {flow for flow, _ in core.messages} == {2}

    def only_begin(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wait_for_reset(connection)

    with server(echo) as peer, server(only_begin) as deaf:
        run(case)


def wait_for_reset(connection: socket.socket) -> None:
    """Reads nothing until the other side is gone."""
    poll = select.poll()
    poll.register(connection, select.POLLHUP)
    poll.poll(PATIENCE_S * 1000)


def test_tls_is_counted_with_its_handshakes_and_certificates() -> None:
    async def case(worker: Worker) -> None:
        core = worker.core
        core.wanted = [dial(1, peer.peer, TLS), dial(2, peer.peer, TLS, "other.example.com")]
        worker.shard.wake()
        await worker.until(lambda: core.messages and core.ended)
        assert core.messages == [(1, REGISTER)]
        assert core.ended == {2: f"TLS: certificate is not for other.example.com but for {DOMAIN}"}
        assert worker.count("regiment_transport_connections", "tls", "open") == 1
        assert worker.count("regiment_transport_failures_total", "tls", "certificate") == 1
        expiry = int(issued.certificate.not_valid_after_utc.timestamp())
        family = "regiment_tls_certificate_expiry_timestamp_seconds"
        assert worker.count(family, "peer") == expiry
        assert worker.count(family, "own") == 0
        assert worker.connections.take_warnings() == ()

    with Authority() as authority:
        issued = authority.issue(dns=[DOMAIN])
        tls = Tls(ca_list_file=str(authority.ca_file), verify_server=True)
        with server(echo, serving(issued)) as peer:
            run(case, Transport("tcp", protocol="tcp"), Transport("tls", protocol="tls", tls=tls))


def test_a_certificate_that_cannot_be_used_ends_the_dial_with_its_line(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.pem")

    async def case(worker: Worker) -> None:
        own = Certificate(missing)
        worker.core.wanted = [dial(1, peer_from_address("127.0.0.1", 1), TLS, DOMAIN, own)]
        worker.shard.wake()
        await worker.until(lambda: worker.core.ended)
        assert worker.core.ended == {1: f"TLS: cert_file {missing}: No such file or directory"}
        assert worker.count("regiment_transport_failures_total", "tls", "local") == 1

    run(case, Transport("tcp", protocol="tcp"), Transport("tls", protocol="tls", tls=Tls()))


def test_what_verification_would_refuse_is_a_warning_once() -> None:
    async def case(worker: Worker) -> None:
        core = worker.core
        core.wanted = [dial(1, peer.peer, TLS), dial(2, peer.peer, TLS)]
        worker.shard.wake()
        await worker.until(lambda: len(core.messages) == 2)
        assert worker.connections.take_warnings() == (
            f"TLS: certificate is not for {DOMAIN} but for a.example.net; verify_server is off",
        )
        assert worker.connections.take_warnings() == ()

    with Authority() as authority:
        issued = authority.issue(dns=["a.example.net"])
        with server(echo, serving(issued)) as peer:
            run(
                case,
                Transport("tcp", protocol="tcp"),
                Transport("tls", protocol="tls", tls=Tls()),
            )


def test_a_worker_without_stream_transports_has_no_streams() -> None:
    core = FakeCore()
    connections = Connections(core, attach=pytest.fail, wake=pytest.fail)
    connections.after(0)
    connections.publish(Scoreboard(bytearray(Scoreboard.size_bytes())))
    connections.close()
    assert connections.streams is None
    assert connections.take_warnings() == ()


def test_every_kind_of_failure_is_in_the_catalogue() -> None:
    named = [value for value in vars(failure).values() if isinstance(value, failure.Failure)]
    kinds = {each.kind for each in (*named, *failure._OS_ERRORS.values())} - {""}
    assert kinds | {"certificate"} == set(STREAM_FAILURES)
    assert failure.no_sip("x").kind == "no_sip"
