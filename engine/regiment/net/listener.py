"""A TCP or TLS port that clients connect to, and their flows: messages out, answers in.

The other end of `net.stream`: there we connect, here we are connected to. A `Listener` accepts
connections itself, so that its owner can decide about each before a byte of TLS is exchanged; what
a flow reads goes through an `Inlet` into one inbox that all flows of a listener share, and is
handed on before the next flow reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

from regiment.datagram import Batch, peer_from_address
from regiment.errors import LocalError
from regiment.net.binding import open_tcp
from regiment.net.inlet import Inlet

READ_BYTES = 256 * 1024
"""Read at a time, into memory that all flows of a listener share."""
WRITE_HIGH_BYTES = 1024 * 1024
"""With so much waiting for a client that does not read, nothing more is read from it."""
HANDSHAKE_S = 10.0
ACCEPTED_AT_ONCE = 64
MOST_HELD = 4096
"""Connections that are held without a word; the oldest makes room for another."""
STARVED_S = 0.5
"""Without file descriptors nothing can be accepted; it is tried again after this time."""

CRLF = b"\r\n"
HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"
"""A record with a fatal alert (RFC 8446 sections 5.1 and 6.2)."""


class Owner(Protocol):
    """What a listener asks and tells."""

    def number(self) -> int:
        """The number of a connection that was accepted; from 1."""

    def verdict(self, listener: Listener) -> str:
        """What becomes of a connection: ``""``: it is served, ``close`` at once, ``mute``: it is
        held, and nothing is read or said, ``refuse``: its TLS handshake is answered by an alert."""

    def opened(self, flow: Flow) -> None:
        """It can be read and written (its TLS handshake is done)."""

    def received(self, flow: Flow, inbox: Batch) -> None:
        """Messages came; they hold for the time of this call."""

    def closed(self, flow: Flow, reason: str) -> None:
        """It is gone, after `opened`: by ``peer``, ``framing``, ``error``, or what `close` got."""

    def refused(self, listener: Listener, reason: str) -> None:
        """A TLS handshake failed, or a connection could not be accepted."""


class Flow(asyncio.BufferedProtocol):
    """One connection that a client opened."""

    __slots__ = ("_inlet", "_is_stalled", "_pings", "_reason", "listener", "number", "transport")

    def __init__(self, listener: Listener, number: int, peer: bytes) -> None:
        self.listener = listener
        self.number = number
        self.transport: asyncio.Transport | None = None
        self._inlet = Inlet(number, peer)
        self._pings = 0
        self._reason = "peer"
        self._is_stalled = False

    @property
    def messages(self) -> int:
        """Whole messages that came."""
        return self._inlet.messages

    @property
    def is_open(self) -> bool:
        """It can be written to."""
        return self.transport is not None and not self.transport.is_closing()

    def write(self, data: bytes) -> None:
        """Sends, or keeps what the kernel does not take; into a flow that ends: nothing."""
        if self.transport is not None:
            self.transport.write(data)

    def close(self, reason: str) -> None:
        """Ends it once what was written has left."""
        if self.transport is not None and not self.transport.is_closing():
            self._reason = reason
            self.transport.close()

    def abort(self, reason: str) -> None:
        """Ends it now, whatever waits to be written."""
        if self.transport is not None and not self.transport.is_closing():
            self._reason = reason
            self.transport.abort()

    def stall(self) -> None:
        """Reads nothing any more; the client's bytes pile up in the kernels."""
        self._is_stalled = True
        if self.transport is not None:
            self.transport.pause_reading()

    # ---- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        self.listener.flows[self.number] = self
        self.listener.owner.opened(self)

    def get_buffer(self, _: int) -> bytearray:
        return self.listener.room

    def buffer_updated(self, nbytes: int) -> None:
        listener = self.listener
        inlet = self._inlet
        inbox = listener.inbox
        at = 0
        while at < nbytes and self.is_open and not self._is_stalled:
            at = inlet.fill(listener.room, nbytes, inbox, listener.clock_ns(), at)
            if len(inbox):
                listener.owner.received(self, inbox)
                inbox.clear()
        inlet.release()
        if inlet.error:
            self.abort("framing")
        elif inlet.pings != self._pings:
            # RFC 5626 section 4.4.1
            self.write(CRLF * (inlet.pings - self._pings))
            listener.keep_alives += inlet.pings - self._pings
            self._pings = inlet.pings

    def eof_received(self) -> bool:
        # Answers that still come are for nobody: a client that shuts down half has left.
        return False

    def pause_writing(self) -> None:
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.transport is not None and not self._is_stalled:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if exc is not None and self._reason == "peer" and not isinstance(exc, ConnectionError):
            self._reason = "error"
        del self.listener.flows[self.number]
        self.listener.owner.closed(self, self._reason)


class _Refusal(asyncio.Protocol):
    """Answers whatever comes first, a ClientHello, by an alert."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, _: bytes) -> None:
        self._transport.write(HANDSHAKE_FAILURE)
        self._transport.close()


class Listener:
    """A port that is listened on from the start until `close`."""

    def __init__(
        self,
        host: str,
        port: int,
        owner: Owner,
        *,
        transport: str,
        clock_ns: Callable[[], int],
        context: ssl.SSLContext | None = None,
        reuse_port: bool = False,
    ) -> None:
        """Binds a literal address; port 0: any. With `context` it speaks TLS. `transport` is what
        it is called. Raises `LocalError` with one line."""
        self.owner = owner
        self.transport = transport
        self.clock_ns = clock_ns
        self.flows: dict[int, Flow] = {}
        self.keep_alives = 0
        """CRLFs that answered pings."""
        self.room = bytearray(READ_BYTES)
        self.inbox = Batch.inbox(1)
        self._context = context
        self._socket = open_tcp(host, port, reuse_port=reuse_port)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._held: deque[socket.socket] = deque()
        self._starving: asyncio.TimerHandle | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port as bound."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    def start(self) -> None:
        """Accepts from now on, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Ends port and flows. May be called twice."""
        if self._loop is not None and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
        if self._starving is not None:
            self._starving.cancel()
        self._socket.close()
        for task in self._opening:
            task.cancel()
        for held in self._held:
            held.close()
        self._held.clear()
        for flow in list(self.flows.values()):
            flow.abort("stop")

    def drop_all(self, reason: str) -> int:
        """Ends all flows at once; how many there were."""
        flows = list(self.flows.values())
        for flow in flows:
            flow.abort(reason)
        return len(flows)

    def _accept(self) -> None:
        assert self._loop is not None
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self.owner.refused(self, f"accept: {error.strerror}")
                    self._loop.remove_reader(self._socket.fileno())
                    self._starving = self._loop.call_later(STARVED_S, self.start)
                    return
                # The client has gone before it was looked at.
                continue
            self._take(accepted, address)

    def _take(self, accepted: socket.socket, address: Any) -> None:
        assert self._loop is not None
        verdict = self.owner.verdict(self)
        if verdict == "close":
            accepted.close()
            return
        if verdict == "mute":
            if len(self._held) == MOST_HELD:
                self._held.popleft().close()
            self._held.append(accepted)
            return
        accepted.setblocking(False)
        if verdict == "refuse":
            self._spawn(self._refuse(accepted))
            return
        host, port, *scope = address
        peer = peer_from_address(host.partition("%")[0], port, scope[1] if scope else 0)
        self._spawn(self._open(accepted, peer))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None
        task = self._loop.create_task(work)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _refuse(self, accepted: socket.socket) -> None:
        assert self._loop is not None
        try:
            await self._loop.connect_accepted_socket(_Refusal, accepted)
        except OSError as error:
            self.owner.refused(self, f"accept: {error.strerror}")
            accepted.close()

    async def _open(self, accepted: socket.socket, peer: bytes) -> None:
        assert self._loop is not None
        number = self.owner.number()
        try:
            with contextlib.suppress(OSError):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(
                lambda: Flow(self, number, peer),
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_S if self._context is not None else None,
            )
        except (OSError, EOFError) as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else type(error).__name__
            self.owner.refused(self, f"handshake: {reason}")
            accepted.close()
        except asyncio.CancelledError:
            accepted.close()
            raise


def server_context(cert_file: str, key_file: str, client_ca: str = "") -> ssl.SSLContext:
    """What a TLS port shows: a certificate, with its chain, and its key.

    With `client_ca` a client has to show a certificate of those authorities. TLS 1.2 and up. Raises
    `LocalError`, one line, for files that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # With a password, though a wrong one, OpenSSL does not ask for it at the terminal.
        context.load_cert_chain(cert_file, key_file, password=" ")  # noqa: S106
    except ssl.SSLError as error:
        raise LocalError(
            f"{cert_file}, {key_file}: no certificate with its key that is not encrypted "
            f"({error.reason or 'unreadable'})"
        ) from None
    except OSError as error:
        raise LocalError(f"{cert_file}, {key_file}: {error.strerror}") from None
    if client_ca:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as error:
            raise LocalError(f"{client_ca}: no certificates ({error.reason})") from None
        except OSError as error:
            raise LocalError(f"{client_ca}: {error.strerror}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context
