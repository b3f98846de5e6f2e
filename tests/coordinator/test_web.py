"""The HTTP server, spoken to in bytes: nothing that a client does is without a limit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.coordinator import web
from regiment.coordinator.access import Guard
from regiment.coordinator.local_socket import claim, connect
from regiment.coordinator.tcp_socket import listeners
from regiment.errors import LocalError

PATIENCE_S = 30
HEAD, END = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"\r\n"
GET = HEAD + END
GET_AND_CLOSE = HEAD + b"Connection: close\r\n" + END


def failing(_: str) -> web.Plain:
    raise ValueError("s3cret")


ROUTES: dict[str, Callable[[str], web.Plain]] = {
    "/livez": lambda _: web.Plain(200, b"ok\n"),
    "/accept": lambda accept: web.Plain(200, accept.encode()),
    "/big": lambda _: web.Plain(200, bytes(1 << 20), "application/octet-stream"),
    "/failing": failing,
}


async def echo(scope: web.Scope, receive: web.Receive, send: web.Send) -> None:
    """Answers the body that it was sent, and the path as it came."""
    message = await receive()
    body = scope["path"].encode() + b" " + message["body"]
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Visited:
    """A running server."""

    def __init__(self, server: web.Server, address: tuple[str, int]) -> None:
        self.server = server
        self.address = address

    async def exchange(self, request: bytes) -> bytes:
        """Sends bytes, and reads until the server closes."""
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(request)
        try:
            return await reader.read()
        finally:
            writer.close()


def with_server(
    visit: Callable[[Visited], Awaitable[Any]],
    application: web.Application | None = None,
    guard: Guard | None = None,
) -> Any:
    async def serve() -> Any:
        server = web.Server(application or web.routes_of(ROUTES))
        [listener] = listeners("127.0.0.1", 0)
        address = listener.getsockname()
        await server.serve(listener, guard or Guard())
        try:
            return await asyncio.wait_for(visit(Visited(server, address)), PATIENCE_S)
        finally:
            await server.close()

    return asyncio.run(serve())


def answer(
    request: bytes, application: web.Application | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to one request."""
    found = with_server(lambda visited: visited.exchange(request), application)
    head, _, body = found.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


def ask(path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


# A token, so that every method is let through to the application.
TOKEN = "token"
BEARER = f"Authorization: Bearer {TOKEN}"
OPEN = Guard(TOKEN)


def test_get_answers_the_body_with_its_length():
    status, headers, body = answer(ask("/livez"))
    assert (status, body) == (200, b"ok\n")
    assert headers["content-length"] == "3"
    assert headers["connection"] == "close"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


def test_head_answers_as_get_without_the_body():
    status, headers, body = answer(ask("/livez", method="HEAD"))
    assert (status, body, headers["content-length"]) == (200, b"", "3")


def test_an_unknown_path_is_404():
    assert answer(ask("/nothing"))[0] == 404


def test_another_method_is_405_and_names_those_allowed():
    request = ask("/livez", BEARER, method="DELETE")
    found = with_server(lambda visited: visited.exchange(request), None, OPEN)
    assert found.startswith(b"HTTP/1.1 405 ")
    assert b"allow: GET, HEAD" in found


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nName : x\r\n\r\n",
        b"GET http:// HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_what_is_no_request_is_400_and_the_end_of_the_connection(request_):
    status, headers, body = answer(request_)
    assert (status, headers["connection"]) == (400, "close")
    assert json.loads(body)["status"] == 400


def test_another_version_of_http_is_505():
    assert answer(b"GET /livez HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n")[0] == 505


def test_empty_lines_after_an_answer_hold_no_place(monkeypatch):
    monkeypatch.setattr(web, "HEAD_S", 0.05)

    async def visit(visited: Visited) -> bytes:
        reader, writer = await asyncio.open_connection(*visited.address)
        writer.write(GET)
        await reader.readuntil(b"ok\n")
        writer.write(b"\r\n")
        with contextlib.suppress(ConnectionError):
            return await reader.read()
        return b""

    assert with_server(visit) == b""


@pytest.mark.parametrize("end", [b"\r\n\r\n", b""])
def test_a_head_that_is_too_long_is_431(end):
    head = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * (web.HEAD_BYTES + 1)

    async def visit(visited: Visited) -> bytes:
        reader, writer = await asyncio.open_connection(*visited.address)
        writer.write(head)
        await writer.drain()
        # more of it in further pieces, until the server has had enough
        with contextlib.suppress(ConnectionError):
            while not end and not reader.at_eof() and not reader._buffer:  # type: ignore[attr-defined]
                writer.write(b"x" * web.HEAD_BYTES)
                await writer.drain()
                await asyncio.sleep(0)
        writer.write(end)
        found = await reader.readuntil(b"\r\n")
        writer.close()
        return found

    assert with_server(visit).startswith(b"HTTP/1.1 431 ")


def test_a_read_with_a_body_is_answered_as_one_without():
    status, _, body = answer(HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello")
    assert (status, body) == (200, b"ok\n")


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (f"Content-Length: {web.BODY_BYTES + 1}", b""),
        (
            "Transfer-Encoding: chunked",
            (b"10000\r\n" + bytes(1 << 16) + b"\r\n") * (web.BODY_BYTES // (1 << 16) + 1),
        ),
    ],
)
def test_a_body_that_is_too_long_is_413(header, body):
    async def visit(visited: Visited) -> bytes:
        reader, writer = await asyncio.open_connection(*visited.address)
        writer.write(ask("/x", BEARER, header, method="POST", body=body))
        try:
            return await reader.readuntil(b"\r\n")
        finally:
            writer.transport.abort()

    assert with_server(visit, echo, OPEN).startswith(b"HTTP/1.1 413 ")


def test_a_body_reaches_the_application_whole():
    body = b"x" * web.BODY_BYTES
    request = ask("/x", BEARER, f"Content-Length: {len(body)}", method="POST", body=body)
    found = with_server(lambda visited: visited.exchange(request), echo, OPEN)
    assert found.endswith(b"/x " + body)


def test_a_path_reaches_the_application_with_its_percent_encoding():
    assert answer(ask("/a%2Fb%25"), echo)[2] == b"/a%2Fb%25 "


def test_a_connection_serves_several_requests():
    found = with_server(lambda visited: visited.exchange(GET + GET + GET_AND_CLOSE))
    assert found.count(b"HTTP/1.1 200 OK") == 3
    assert found.count(b"connection: close") == 1


def test_who_says_no_more_still_gets_the_answer():
    async def visit(visited: Visited) -> bytes:
        reader, writer = await asyncio.open_connection(*visited.address)
        writer.write(GET)
        writer.write_eof()
        found = await reader.read()
        writer.close()
        return found

    assert with_server(visit).endswith(b"ok\n")


@pytest.mark.parametrize("what", ["websocket", "h2c", "nonsense"])
def test_an_upgrade_is_passed_over(what):
    status, _, body = answer(ask("/livez", "Connection: Upgrade, close", f"Upgrade: {what}"))
    assert (status, body) == (200, b"ok\n")


def test_a_tunnel_is_refused():
    found = with_server(lambda v: v.exchange(b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n"))
    assert found.startswith(b"HTTP/1.1 4")


def test_a_large_answer_arrives_whole():
    assert len(answer(ask("/big"))[2]) == 1 << 20


def test_what_fails_is_500_and_quotes_nothing():
    status, _, body = answer(ask("/failing"))
    assert status == 500
    assert b"s3cret" not in body


def test_connections_beyond_the_limit_are_closed_and_the_others_served():
    async def visit(visited: Visited) -> None:
        held = []
        for _ in range(web.CONNECTIONS):
            reader, writer = await asyncio.open_connection(*visited.address)
            # an answer shows that the server has taken the connection
            writer.write(GET)
            assert await reader.readuntil(b"ok\n")
            held.append((reader, writer))
        with contextlib.suppress(ConnectionError):
            assert await visited.exchange(b"") == b""
        reader, writer = held[0]
        writer.write(GET_AND_CLOSE)
        assert b"200 OK" in await reader.read()
        for _, writer in held:
            writer.close()

    with_server(visit)


@pytest.mark.parametrize(
    ("limit", "sent"),
    [
        ("IDLE_S", b""),
        ("HEAD_S", b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "),
        ("IDLE_S", b"\r\n"),
        ("BODY_S", ask("/x", BEARER, "Content-Length: 5", method="POST", body=b"he")),
        ("BODY_S", ask("/x", BEARER, "Transfer-Encoding: chunked", method="POST", body=b"5\r\nh")),
    ],
)
def test_who_says_too_little_loses_the_connection(monkeypatch, limit, sent):
    monkeypatch.setattr(web, limit, 0.05)

    async def visit(visited: Visited) -> bytes:
        with contextlib.suppress(ConnectionError):
            return await visited.exchange(sent)
        return b""

    assert with_server(visit, echo, OPEN) == b""


def test_a_connection_that_rests_after_an_answer_is_closed(monkeypatch):
    monkeypatch.setattr(web, "IDLE_S", 1)
    found = with_server(lambda visited: visited.exchange(GET))
    assert found.endswith(b"ok\n")


def test_who_reads_nothing_loses_the_connection(monkeypatch):
    monkeypatch.setattr(web, "CONNECTIONS", 1)
    monkeypatch.setattr(web, "SEND_S", 0.05)
    answers = []

    async def visit(visited: Visited) -> None:
        _, deaf = await asyncio.open_connection(*visited.address, limit=1024)
        deaf.write(b"GET /big HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 64)
        # the only place becomes free again
        while not answers:
            with contextlib.suppress(ConnectionError):
                if found := await visited.exchange(GET_AND_CLOSE):
                    answers.append(found)
        deaf.transport.abort()

    with_server(visit)
    assert answers[0].startswith(b"HTTP/1.1 200 ")


def test_close_waits_for_nobody_and_ends_open_connections():
    async def serve() -> bytes:
        server = web.Server(web.routes_of(ROUTES))
        [listener] = listeners("127.0.0.1", 0)
        address = listener.getsockname()
        await server.serve(listener, Guard())
        reader, idle = await asyncio.open_connection(*address)
        idle.write(GET)
        await reader.readuntil(b"ok\n")
        other, deaf = await asyncio.open_connection(*address, limit=1024)
        deaf.write(b"GET /big HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 64)
        await other.readuntil(b"\r\n\r\n")
        await server.close()
        await server.close()
        deaf.transport.abort()
        with contextlib.suppress(ConnectionError):
            return await reader.read()
        return b""

    assert asyncio.run(asyncio.wait_for(serve(), PATIENCE_S)) == b""


def test_an_address_in_use_is_one_line_that_names_it():
    [listener] = listeners("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with listener, pytest.raises(LocalError, match=f"127.0.0.1:{port}: this address is in use"):
        listeners("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "reason"),
    [("192.0.2.1", "this machine has no such address"), ("name.invalid", "has no address")],
)
def test_an_address_that_is_not_ours_is_one_line_that_names_it(host, reason):
    with pytest.raises(LocalError, match=f"{host}:0: .*{reason}"):
        listeners(host, 0)


def test_every_address_of_a_name_has_the_same_port():
    found = listeners("localhost", 0)
    assert len({listener.getsockname()[1] for listener in found}) == 1
    for listener in found:
        listener.close()


def test_the_unix_socket_needs_no_token(tmp_path):
    async def visit(visited: Visited) -> bytes:
        local = claim(tmp_path / "here.sock")
        await visited.server.serve_local(local)
        connection = connect(local.path)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        writer.write(ask("/x", "Host: anything", "Content-Length: 2", method="POST", body=b"hi"))
        found = await reader.read()
        writer.close()
        await visited.server.close()
        local.close()
        assert not local.path.exists()
        return found

    assert with_server(visit, echo, Guard(TOKEN, is_loopback=False)).endswith(b"/x hi")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=5))
def test_no_bytes_at_all_disturb_the_server(pieces):
    async def visit(visited: Visited) -> bytes:
        with socket.create_connection(visited.address) as rude:
            rude.setblocking(False)
            for piece in pieces:
                with contextlib.suppress(ConnectionError, BlockingIOError):
                    rude.send(piece)
                await asyncio.sleep(0)
        return await visited.exchange(GET_AND_CLOSE)

    assert with_server(visit).endswith(b"ok\n")
