"""The HTTP/1.1 server: uvicorn's protocol on our loop, with every resource bounded.

uvicorn parses (llhttp) and speaks ASGI. What it leaves open is closed here: the length of a head
and the time it may take, the length of a body, the time in which an answer is taken, the number of
connections. It installs no signal handler and configures no logging: only its protocol is used.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from email.utils import formatdate
from typing import Any, NamedTuple

import msgspec
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from regiment.coordinator.access import Guard
from regiment.coordinator.local_socket import LocalSocket
from regiment.coordinator.schema import Problem
from regiment.version import VERSION
from regiment.worker import control

HEAD_BYTES = 16_384
BODY_BYTES = 1 << 20
CONNECTIONS = 64
"""Of each listener."""
IDLE_S = 75.0
"""A connection without a request is closed after this."""
HEAD_S = 10.0
BODY_S = 10.0
"""A head, and a body, that has begun must be complete within this."""
SEND_S = 10.0
"""So long the kernel may take nothing of an answer before the connection is dropped."""

GONE_MS = 30_000
"""So long what was sent may stay unacknowledged."""
STREAMS = frozenset({"/events"})
"""Answers without an end."""

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

logger = structlog.get_logger()

# What uvicorn would log of a client's doings: nobody's business, and at a client's pace.
_SILENT = logging.Logger("regiment.coordinator.web", logging.CRITICAL + 1)
_encode = msgspec.json.Encoder().encode


class Plain(NamedTuple):
    """An answer of `routes_of`."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


def routes_of(routes: Mapping[str, Callable[[str], Plain]]) -> Application:
    """A small application: GET of a few fixed paths, each a function of the Accept header."""

    async def answer(scope: Scope, _: Receive, send: Send) -> None:
        route = routes.get(scope["path"])
        if route is None:
            await _answer(send, 404, "there is nothing at this path")
        elif scope["method"] != "GET":
            await _answer(send, 405, "not so here", (b"allow", b"GET, HEAD"))
        else:
            accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
            status, body, content_type = route(accept)
            headers = [
                (b"content-type", content_type.encode()),
                (b"content-length", b"%d" % len(body)),
            ]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": False})

    return answer


class Server:
    """Serves one ASGI application on any number of listeners until closed."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._servers: list[asyncio.AbstractServer] = []
        self._states: list[ServerState] = []

    async def serve(self, listener: socket.socket, guard: Guard) -> None:
        """Answers on a TCP listener, by the rules of `guard`."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(self._factory(guard), sock=listener))

    async def serve_local(self, local: LocalSocket) -> None:
        """Answers on the Unix socket too; whoever may open it may do everything."""
        loop = asyncio.get_running_loop()
        factory = self._factory(Guard(is_local=True))
        self._servers.append(await loop.create_unix_server(factory, sock=local.listener))

    def _factory(self, guard: Guard) -> Callable[[], asyncio.Protocol]:
        config = Config(
            Gate(self._application, guard),
            log_config=None,
            access_log=False,
            interface="asgi3",
            lifespan="off",
            loop="none",
            proxy_headers=False,
            timeout_keep_alive=int(IDLE_S),
            ws="none",
        )
        config.load()
        state = ServerState()
        self._states.append(state)
        return lambda: Connection(config, state, {})

    async def close(self) -> None:
        """Stops listening and drops every connection. May be called twice."""
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        tasks = []
        for state in self._states:
            for connection in list(state.connections):
                connection.transport.abort()
            tasks += list(state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in servers:
            await server.wait_closed()


class Connection(HttpToolsProtocol):
    """One connection, with a limit on everything that its other end decides."""

    def __init__(self, config: Config, state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, state, app_state)
        self.logger = _SILENT
        self.access_log = False
        self._head_bytes = -1
        """Of the head that is being read; -1: none is."""
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    # ---- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        opened = transport.get_extra_info("socket")
        if opened is not None and opened.family != socket.AF_UNIX:
            # a peer that is gone without a word: a stream of events would hold its place for long
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_MS)
        self._read_within(IDLE_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._read_within(None)
        self._write_within(None)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The other end says no more. It still gets its answer, but for a stream of events."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body or cycle.chunked_encoding:
            return False
        cycle.keep_alive = False
        return True

    # ---- what comes

    def data_received(self, data: bytes) -> None:
        if self._head_bytes >= 0:
            self._head_bytes += len(data)
        elif self._reading is None and (self.cycle is None or self.cycle.response_complete):
            # empty lines before a request are no beginning of one
            self._read_within(HEAD_S)
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES:
            self._refuse(431, "the head of the request is too long")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self._read_within(HEAD_S)

    def on_headers_complete(self) -> None:
        self._head_bytes = -1
        self._read_within(BODY_S)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._read_within(None)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        self._refuse(400, "this is no HTTP/1.1 request")

    def _refuse(self, status: int, detail: str) -> None:
        """Where there is no request that an application could answer."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = _encode(Problem(status, detail))
            fields = [*_fields(body), (b"connection", b"close")]
            head = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
            self.transport.write(b"HTTP/1.1 %d \r\n" % status + head + b"\r\n" + body)
        self._end()

    def _end(self) -> None:
        """Closes; what the other end does not take in time is dropped."""
        self._read_within(None)
        self.transport.close()
        self._write_within(SEND_S)

    # ---- what goes

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._end()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_within(SEND_S)

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._write_within(None)

    # ---- time

    def _read_within(self, seconds: float | None) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._reading = (
            None if seconds is None else self.loop.call_later(seconds, self.transport.abort)
        )

    def _write_within(self, seconds: float | None) -> None:
        if self._writing is not None:
            self._writing.cancel()
        self._writing = (
            None if seconds is None else self.loop.call_later(seconds, self.transport.abort)
        )


class Gate:
    """Stands before the application: who may ask, how long a body may be, how an answer looks.

    A body is read here, before anything else is done with the request.
    """

    def __init__(self, application: Application, guard: Guard) -> None:
        self._application = application
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*_common(), *message.get("headers", ())]
            await send(message)

        try:
            await self._pass(scope, receive, answer)
        except Exception as error:
            # the text of a foreign exception may quote anything: it is told in our words
            logger.error("a request failed", path=scope["path"], reason=control.reason_of(error))
            if started:
                raise
            await _answer(answer, 500, "internal error: see the log")

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        # Names may contain anything: segments stay as they were sent, and each is decoded alone.
        scope["path"] = scope["raw_path"].decode("ascii")
        length = sum(len(name) + len(value) + 4 for name, value in headers)
        if length + len(scope["raw_path"]) + len(scope["query_string"]) > HEAD_BYTES:
            await _answer(send, 431, "the head of the request is too long")
            return
        if scope["http_version"] not in ("1.0", "1.1"):
            await _answer(send, 505, "HTTP/1.1 is spoken here")
            return
        refusal = self._guard.refusal(
            scope["method"], scope["path"], scope["http_version"], headers
        )
        if refusal is not None:
            await _answer(send, refusal.status, refusal.detail)
            return
        body = await self._body(headers, receive)
        if body is None:
            await _answer(send, 413, f"a body has at most {BODY_BYTES} bytes")
            return
        given: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def receive_rest() -> Message:
            nonlocal given
            if given is None:
                return await receive()
            whole, given = given, None
            return whole

        if scope["method"] == "HEAD" and scope["path"] not in STREAMS:
            # answered as GET is; the connection leaves the body out
            scope = {**scope, "method": "GET"}
        await self._application(scope, receive_rest, send)

    async def _body(self, headers: list[tuple[bytes, bytes]], receive: Receive) -> bytes | None:
        """The whole body; None: it is too long (what is said of its length is believed)."""
        for name, value in headers:
            if name == b"content-length" and int(value) > BODY_BYTES:
                return None
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(body)
            body += message.get("body", b"")
            if len(body) > BODY_BYTES:
                return None
            if not message.get("more_body", False):
                return bytes(body)


async def _answer(send: Send, status: int, detail: str, *more: tuple[bytes, bytes]) -> None:
    """A problem, and the end of the connection: what follows a head is not read any more."""
    body = _encode(Problem(status, detail))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        *more,
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _fields(body: bytes) -> list[tuple[bytes, bytes]]:
    return [
        *_common(),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]


def _common() -> list[tuple[bytes, bytes]]:
    return [
        (b"server", f"regiment/{VERSION}".encode()),
        (b"date", formatdate(time.time(), usegmt=True).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
