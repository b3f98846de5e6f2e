"""Peers for connections, on loopback: servers in threads, and who drives our streams."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from regiment.datagram import Batch, peer_from_address
from regiment.model import Transport
from regiment.net.failure import Failure
from regiment.net.stream import Streams
from regiment.net.tls import Security

PATIENCE_S = 20
"""So long a test waits for what has to happen."""
SECOND_NS = 1_000_000_000

Serve = Callable[[socket.socket], object]
"""What a server does with one connection, blocking; it is closed afterwards."""

TCP = Transport("tcp", protocol="tcp")


class Server:
    """Accepts on a port of loopback; each connection is served by a thread."""

    def __init__(self, serve: Serve, context: ssl.SSLContext | None, host: str) -> None:
        self.connections = 0
        self.errors: list[BaseException] = []
        self._serve = serve
        self._context = context
        self._listener = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
        self.peer = peer_from_address(host, self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._live, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _live(self, connection: socket.socket) -> None:
        try:
            if self._context is None:
                self._serve(connection)
            else:
                secure = self._context.wrap_socket(connection, server_side=True)
                self._open.append(secure)
                self._serve(secure)
                secure.unwrap()
        except (OSError, ValueError) as error:
            self.errors.append(error)
        finally:
            for each in self._open[-1], connection:
                each.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError, ValueError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


@contextmanager
def server(
    serve: Serve, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Server]:
    running = Server(serve, context, host)
    try:
        yield running
    finally:
        running.close()


class Caller:
    """Our side: streams, the clock they are told, and what they tell."""

    def __init__(self) -> None:
        self.streams = Streams(self, lambda: int(time.time()))
        self.inbox = Batch.inbox(1, 64)
        self.now_ns = 1000 * SECOND_NS
        self.local: dict[int, bytes] = {}
        self.ended: dict[int, Failure] = {}
        self.taps: list[tuple[int, bool]] = []
        self.messages: list[tuple[int, bytes]] = []

    def connected(self, flow: int, local: bytes, now_ns: int) -> None:
        assert flow not in self.local
        assert now_ns == self.now_ns
        self.local[flow] = local

    def disconnected(self, flow: int, why: Failure, now_ns: int) -> None:
        assert flow not in self.ended
        assert now_ns == self.now_ns
        self.ended[flow] = why

    def writable(self, flow: int, on: bool, now_ns: int) -> None:
        assert now_ns == self.now_ns
        self.taps.append((flow, on))

    def received(self, inbox: Batch, now_ns: int) -> None:
        assert now_ns == self.now_ns
        self.messages += [(inbox.flow(i), inbox[i][0]) for i in range(len(inbox))]

    def dial(
        self,
        peer: bytes,
        flow: int = 1,
        transport: Transport = TCP,
        security: Security | None = None,
    ) -> None:
        self.streams.open(flow, peer, transport, security, self.now_ns)

    def send(self, *messages: bytes, flow: int = 1) -> None:
        outbox = Batch.outbox(max(len(messages), 1), max(sum(map(len, messages)), 1))
        for message in messages:
            outbox.append(message, peer_from_address("192.0.2.1", 5060), flow=flow)
        assert self.streams.send(outbox, self.now_ns) == 0

    def until(self, happened: Callable[[], object]) -> None:
        """Serves until it has happened; the clock that the streams are told stands still."""
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < deadline, (self.local, self.ended, self.messages)
            select.select([self.streams.fd], [], [], 0.05)
            self.streams.serve(self.inbox, self.now_ns)

    def call(self, peer: bytes, flow: int = 1, **options: object) -> None:
        """Dials and waits until it stands or has failed."""
        self.dial(peer, flow, **options)  # type: ignore[arg-type]
        self.until(lambda: flow in self.local or flow in self.ended)

    def why(self, flow: int = 1) -> str:
        """Waits for the end of a connection: the line for people."""
        self.until(lambda: flow in self.ended)
        return self.ended[flow].text

    def pass_time(self, seconds: float) -> None:
        """Second by second, as a worker would."""
        for _ in range(int(seconds)):
            self.now_ns += SECOND_NS
            self.streams.tick(self.now_ns)


@contextmanager
def caller() -> Iterator[Caller]:
    ours = Caller()
    try:
        yield ours
    finally:
        ours.streams.shut()
        ours.streams.shut()


def wait_for_end(connection: socket.socket) -> bytes:
    """Everything up to the peer's end."""
    got = bytearray()
    while data := connection.recv(65536):
        got += data
    return bytes(got)


def echo(connection: socket.socket) -> None:
    while data := connection.recv(65536):
        connection.sendall(data)
