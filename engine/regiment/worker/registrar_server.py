"""The registrar's process: ``python -m regiment.worker.registrar_server CONTROL_FD CELLS_FD``.

It is told what to serve over its control socket (one `Serve` frame), answers `Serving` once its
port is bound or `Fault` if it cannot, and from then on only speaks when there is a `Notice`. It
ends, in good order, when the other end of that socket is closed. SIGUSR1 ends all TCP and TLS
flows. Its counts lie in shared memory (`registrar.counts`), so whoever started it reads them at any
time, even after its death.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import mmap
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
import uvloop

from regiment.datagram import Batch
from regiment.errors import LocalError
from regiment.net import udp
from regiment.net.listener import server_context
from regiment.registrar import counts
from regiment.registrar.engine import Engine
from regiment.registrar.settings import Settings
from regiment.worker import control
from regiment.worker.alarm import Alarm, die_with_parent
from regiment.worker.registrar_flows import Flows
from regiment.worker.shard import Shard


class Port(msgspec.Struct, frozen=True, array_like=True):
    """A TCP port, or with a certificate a TLS one; port 0: any."""

    host: str
    port: int
    cert_file: str = ""
    priv_key_file: str = ""
    client_ca_file: str = ""


class Serve(msgspec.Struct, frozen=True, array_like=True, tag="serve"):
    """What to serve, and where."""

    settings: Settings
    seed: bytes
    """The same for all processes of a registrar, so that they take each other's nonces."""
    host: str
    port: int
    reuse_port: bool
    max_aors: int
    receive_buffer_bytes: int
    send_buffer_bytes: int
    streams: tuple[Port, ...] = ()

    def __repr__(self) -> str:
        return f"Serve({self.host!r}, {self.port})"


class Serving(msgspec.Struct, frozen=True, array_like=True, tag="serving"):
    """The port is bound and answered."""

    host: str
    port: int
    receive_buffer_bytes: int
    """What the kernel gave."""
    streams: tuple[tuple[str, int], ...] = ()
    """The addresses of `Serve.streams`, in their order."""


class Notice(msgspec.Struct, frozen=True, array_like=True, tag="notice"):
    """Something for people."""

    text: str


class Fault(msgspec.Struct, frozen=True, array_like=True, tag="fault"):
    """The process cannot go on, for this reason; it ends."""

    message: str


FromServer = Serving | Notice | Fault

decode_serve = msgspec.msgpack.Decoder(Serve).decode
decode_from_server = msgspec.msgpack.Decoder(FromServer).decode


def frame(message: Serve | FromServer) -> bytes:
    """One message as a frame of `worker.control`."""
    body = msgspec.msgpack.encode(message)
    return control.HEADER.pack(len(body) + 1, control.MESSAGE) + body


_RECEIVED = counts.cell_of("regiment_registrar_messages_total", "udp")


class Server:
    """One registrar core on its ports, in turns on the running loop."""

    def __init__(self, serve: Serve, cells: mmap.mmap, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = loop.create_future()
        self._counts = cells
        self._cells = memoryview(cells).cast("B").cast("Q")
        self._writer = writer
        self._engine = Engine(
            serve.settings,
            seed=int.from_bytes(serve.seed, "big"),
            cells=cells,
            max_aors=serve.max_aors,
        )
        self._socket = udp.Socket(
            serve.host,
            serve.port,
            receive_buffer_bytes=serve.receive_buffer_bytes,
            send_buffer_bytes=serve.send_buffer_bytes,
            reuse_port=serve.reuse_port,
        )
        self._alarm = Alarm()
        turning = _Turning(self._engine)
        self._shard = Shard(
            loop,
            turning,
            self._alarm,
            chores=self._chores,
            after=self._after,
            failed=self._fail,
        )
        self._shard.sockets.append(self._socket)
        self._flows = Flows(
            self._engine,
            cells,
            serve.settings.faults.flows,
            serve.seed,
            self._shard.turn,
            lambda text: self._say(Notice(text)),
        )
        turning.write = self._flows.write
        for port in serve.streams:
            self._listen(port, serve.reuse_port)
        loop.add_signal_handler(signal.SIGUSR1, self._flows.drop_all)

    def _listen(self, port: Port, reuse_port: bool) -> None:
        context = None
        if port.cert_file:
            context = server_context(port.cert_file, port.priv_key_file, port.client_ca_file)
        self._flows.listen(port.host, port.port, context, reuse_port=reuse_port)

    def start(self) -> None:
        """Answers from now on."""
        self._engine.begin(time.monotonic_ns(), int(time.time()))
        self._shard.start()
        self._flows.start()
        host, port = self._socket.address
        streams = tuple(each.address for each in self._flows.listeners)
        self._say(Serving(host, port, self._socket.receive_buffer_bytes, streams))

    def close(self) -> None:
        """The last counts are written; the socket is closed."""
        self._chores(time.monotonic_ns())
        self._shard.stop()
        self._flows.close()
        self._socket.close()
        self._alarm.close()

    def _after(self, _: int) -> None:
        # The core's own counts stand there at once: next to them a total that is a second old is
        # one that does not add up.
        self._cells[_RECEIVED] = self._socket.received

    def _chores(self, now_ns: int) -> None:
        # The wall clock may have been set since.
        self._engine.begin(now_ns, int(time.time()))
        cells = self._counts
        counts.set_cell(
            cells, "regiment_registrar_receive_drops_total", self._socket.overflow_drops
        )
        counts.set_cell(cells, "regiment_registrar_send_errors_total", self._socket.send_errors)
        counts.set_cell(cells, "regiment_registrar_cpu_seconds_total", time.process_time_ns())
        self._flows.publish()
        for text in self._engine.events():
            self._say(Notice(text))

    def _fail(self, error: BaseException) -> None:
        if os.environ.get("REGIMENT_DEBUG") == "1":
            traceback.print_exception(error)
        if not self.failed.done():
            self.failed.set_exception(LocalError(control.reason_of(error)))

    def _say(self, message: FromServer) -> None:
        self._writer.write(frame(message))


class _Turning:
    """The registrar's core with the two verbs that only a user agent client has work for."""

    def __init__(self, engine: Engine) -> None:
        self.receive = engine.receive
        self.expire = engine.expire
        self.deadline_ns = engine.deadline_ns
        self.write: Callable[[Batch], None] = _nothing
        self._engine = engine

    def send(self, outbox: Batch, now_ns: int) -> bool:
        """The core's answers; those that go by flows are written before the network sees them."""
        more = self._engine.send(outbox, now_ns)
        self.write(outbox)
        return more

    def launch(self, now_ns: int) -> None:
        """A registrar starts nothing by itself."""

    def icmp(self, quoted: bytes, peer: bytes, now_ns: int) -> None:
        """A client that is gone will not come back for its answer."""


def _nothing(_: object) -> None:
    """After a turn there is nothing to do."""


async def live(control_socket: socket.socket, cells: mmap.mmap) -> None:
    """The process's whole life on this loop."""
    reader, writer = await asyncio.open_connection(sock=control_socket)
    try:
        first = await control.read_frame(reader)
        if first is None:
            return
        try:
            await _serve(Server(decode_serve(first[1]), cells, writer), reader)
        except Exception as error:
            writer.write(frame(Fault(control.reason_of(error))))
        await writer.drain()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _serve(server: Server, reader: asyncio.StreamReader) -> None:
    server.start()
    gone: asyncio.Task[Any] = asyncio.create_task(control.read_frame(reader))
    try:
        await asyncio.wait((gone, server.failed), return_when=asyncio.FIRST_COMPLETED)
        if server.failed.done():
            server.failed.result()
    finally:
        gone.cancel()
        server.close()


def main() -> None:
    """The process: descriptors of the control socket and of the counts are its arguments."""
    die_with_parent()
    control_fd, cells_fd = (int(argument) for argument in sys.argv[1:3])
    cells = mmap.mmap(cells_fd, counts.SIZE_BYTES)
    # A flow takes a descriptor.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.freeze()
    uvloop.run(live(socket.socket(fileno=control_fd), cells))


if __name__ == "__main__":
    main()
