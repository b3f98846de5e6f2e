"""A small HTTP/1.1 server for scrapes and probes: GET and HEAD of a few fixed paths.

Everything is bounded: the head of a request, the time it may take, the number of connections. A
request body is never read. Handlers are plain functions that answer at once.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import ipaddress
import os
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from regiment.errors import LocalError
from regiment.version import VERSION

HEAD_LIMIT_BYTES = 16_384
CONNECTION_LIMIT = 64
IDLE_S = 75.0
"""A connection without a request is closed after this; Prometheus keeps its own for longer gaps
by opening a new one."""
HEAD_S = 10.0
"""A request head that has begun must be complete within this."""
SEND_S = 10.0
"""An answer must be taken within this, or the connection is dropped."""

TEXT = "text/plain; charset=utf-8"


class Request(msgspec.Struct, frozen=True):
    """The head of a request."""

    method: str
    path: str
    """Without query."""
    query: str
    headers: dict[str, str]
    """Lower-case names; of repeated ones the last."""
    keep_alive: bool


class Response(NamedTuple):
    """What a handler answers."""

    status: int
    body: bytes
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Response]


class Guard(msgspec.Struct, frozen=True):
    """Who may read: with a token, only its bearers, except on the paths that never need one."""

    token: str = ""
    free_paths: frozenset[str] = frozenset({"/livez", "/readyz"})

    def __repr__(self) -> str:
        return f"Guard(token={'set' if self.token else 'none'})"

    def admits(self, request: Request) -> bool:
        """May this request be answered? Compares in constant time."""
        if not self.token or request.path in self.free_paths:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        expected = self.token.encode("utf-8", "surrogateescape")
        offered = given.strip().encode("latin-1", "replace")
        return scheme.lower() == "bearer" and hmac.compare_digest(offered, expected)


def guard_for(host: str, token: str, open_reads: bool) -> Guard:
    """The guard of a server at `host`: loopback and `open_reads` need no token.

    Raises `LocalError` where anybody could read.
    """
    if open_reads or is_loopback(host):
        return Guard()
    if not token:
        raise LocalError(
            f"--api {host}: reads beyond loopback want a token (--token-file or REGIMENT_TOKEN), "
            "or --open-metrics"
        )
    return Guard(token)


def is_loopback(host: str) -> bool:
    """Only this machine can reach `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Server:
    """Serves `routes` (path -> handler) until closed."""

    def __init__(self, routes: Mapping[str, Handler], guard: Guard | None = None) -> None:
        self._routes = dict(routes)
        self._guard = guard or Guard()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.address = ("", 0)
        """Where it listens, once started (port 0 made real)."""

    async def start(self, host: str, port: int) -> None:
        """Listens. Raises `LocalError` in one line where that cannot be."""
        try:
            self._server = await asyncio.start_server(
                self._accept, host.strip("[]"), port, limit=HEAD_LIMIT_BYTES
            )
        except OSError as error:
            raise LocalError(f"--api {host}:{port}: {_reason(error)}") from None
        found = self._server.sockets[0].getsockname()
        self.address = (found[0], found[1])

    async def close(self) -> None:
        """Stops listening and drops every connection. May be called twice."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= CONNECTION_LIMIT:
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            # The server closes: it waits for this task and wants no more of it.
            writer.transport.abort()
        finally:
            await _end(writer)
            self._connections.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    first = await reader.readexactly(1)
                async with asyncio.timeout(HEAD_S):
                    head = first + await reader.readuntil(b"\r\n\r\n")
            except asyncio.LimitOverrunError:
                await _send(writer, _encode(_plain(431), keep_alive=False, with_body=True))
                return
            request = parse_head(head)
            if request is None:
                await _send(writer, _encode(_plain(400), keep_alive=False, with_body=True))
                return
            response = self._answer(request)
            # What follows a head with a body is never read, so the connection ends there.
            keep_alive = request.keep_alive and not _has_body(request)
            await _send(writer, _encode(response, keep_alive, request.method != "HEAD"))
            if not keep_alive:
                return

    def _answer(self, request: Request) -> Response:
        if _has_body(request) and request.method in ("GET", "HEAD"):
            return _plain(413)
        handler = self._routes.get(request.path)
        if handler is None:
            return _plain(404)
        if request.method not in ("GET", "HEAD"):
            return _plain(405, (("Allow", "GET, HEAD"),))
        if not self._guard.admits(request):
            return _plain(401, (("WWW-Authenticate", "Bearer"),))
        return handler(request)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Writes `data`. A reader that takes none of it does not hold a place for ever."""
    writer.write(data)
    try:
        async with asyncio.timeout(SEND_S):
            await writer.drain()
    except TimeoutError:
        writer.transport.abort()
        raise


async def _end(writer: asyncio.StreamWriter) -> None:
    """Closes; what its reader does not take within `SEND_S` is dropped."""
    writer.close()
    try:
        async with asyncio.timeout(SEND_S):
            await writer.wait_closed()
    except (TimeoutError, asyncio.CancelledError):
        writer.transport.abort()
    except OSError:
        pass


def parse_head(head: bytes) -> Request | None:
    """A request head with its empty line; None if it is none (RFC 9112 sections 3 and 5)."""
    lines = head.decode("latin-1").lstrip("\r\n").removesuffix("\r\n\r\n").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[0].isalpha() or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
        return None
    method, target, version = words
    if not target.startswith("/"):
        return None
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            return None
        headers[name.lower()] = value.strip()
    wish = headers.get("connection", "").lower()
    keep_alive = wish != "close" if version == "HTTP/1.1" else wish == "keep-alive"
    path, _, query = target.partition("?")
    return Request(method, path, query, headers, keep_alive)


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or (
        "transfer-encoding" in request.headers
    )


def _plain(status: int, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    return Response(status, f"{HTTPStatus(status).phrase}\n".encode(), TEXT, headers)


def _encode(response: Response, keep_alive: bool, with_body: bool) -> bytes:
    fields = [
        ("Server", f"regiment/{VERSION}"),
        ("Date", formatdate(usegmt=True)),
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        ("Connection", "keep-alive" if keep_alive else "close"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        *response.headers,
    ]
    head = f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
    return head.encode("latin-1") + (response.body if with_body else b"")


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "this address is in use"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address"
    return os.strerror(error.errno) if error.errno else str(error)
