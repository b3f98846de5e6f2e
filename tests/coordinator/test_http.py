"""The small HTTP server, spoken to in bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.coordinator import http
from regiment.errors import LocalError

PATIENCE_S = 30
ROUTES = {
    "/metrics": lambda request: http.Response(200, request.query.encode() or b"metrics\n"),
    "/livez": lambda _: http.Response(200, b"ok\n"),
    "/big": lambda _: http.Response(200, bytes(1 << 20), "application/octet-stream"),
}


def with_server(
    visit: Callable[[http.Server], Awaitable[None]], guard: http.Guard | None = None
) -> None:
    async def serve() -> None:
        server = http.Server(ROUTES, guard)
        await server.start("127.0.0.1", 0)
        try:
            await asyncio.wait_for(visit(server), PATIENCE_S)
        finally:
            await server.close()

    asyncio.run(serve())


async def exchange(server: http.Server, request: bytes) -> bytes:
    """Sends bytes, and reads until the server closes."""
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()


def answer(request: bytes, guard: http.Guard | None = None) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to one request."""
    found: list[bytes] = []

    async def visit(server: http.Server) -> None:
        found.append(await exchange(server, request))

    with_server(visit, guard)
    head, _, body = found[0].partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_get_answers_the_body_with_its_length():
    status, headers, body = answer(get("/livez"))
    assert (status, body) == (200, b"ok\n")
    assert headers["content-length"] == "3"
    assert headers["connection"] == "close"


def test_the_query_reaches_the_handler_and_is_no_part_of_the_path():
    assert answer(get("/metrics?name=x"))[2] == b"name=x"


def test_head_answers_as_get_without_the_body():
    status, headers, body = answer(get("/livez", method="HEAD"))
    assert (status, body, headers["content-length"]) == (200, b"", "3")


def test_an_unknown_path_is_404():
    assert answer(get("/nothing"))[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_another_method_is_405_and_names_those_allowed(method):
    status, headers, _ = answer(get("/livez", method=method))
    assert (status, headers["allow"]) == (405, "get, head")


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/2.0\r\n\r\n",
        b"GET livez HTTP/1.1\r\n\r\n",
        b"GET http://x/livez HTTP/1.1\r\n\r\n",
        b"GET  /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nName : x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n folded: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_what_is_no_request_is_400_and_the_end_of_the_connection(request_):
    status, headers, _ = answer(request_)
    assert (status, headers["connection"]) == (400, "close")


def test_a_head_that_is_too_long_is_431():
    assert answer(get("/livez", "X-Long: " + "x" * http.HEAD_LIMIT_BYTES))[0] == 431


@pytest.mark.parametrize("header", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_body_is_refused_and_never_read(header):
    request = get("/livez", header).replace(b"Connection: close\r\n", b"") + b"hello"
    status, headers, _ = answer(request)
    assert (status, headers["connection"]) == (413, "close")


def test_a_connection_serves_several_requests():
    async def visit(server: http.Server) -> None:
        keep = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        found = await exchange(server, keep + keep + get("/metrics"))
        assert found.count(b"HTTP/1.1 200 OK") == 3
        assert found.count(b"Connection: keep-alive") == 2

    with_server(visit)


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
    ],
)
def test_keep_alive_is_as_the_version_and_the_client_say(head, kept):
    request = http.parse_head(head)
    assert request is not None
    assert request.keep_alive is kept


def test_a_large_answer_arrives_whole():
    assert len(answer(get("/big"))[2]) == 1 << 20


def test_connections_beyond_the_limit_are_closed_and_the_others_served():
    async def visit(server: http.Server) -> None:
        held = [await asyncio.open_connection(*server.address)]
        for _ in range(http.CONNECTION_LIMIT - 1):
            held.append(await asyncio.open_connection(*server.address))
        for reader, writer in held:
            # An answer shows that the server has taken the connection.
            writer.write(b"GET /livez HTTP/1.1\r\n\r\n")
            assert await reader.readuntil(b"ok\n")
        assert await exchange(server, b"") == b""
        reader, writer = held[0]
        writer.write(get("/livez"))
        assert b"200 OK" in await reader.read()
        for _, writer in held:
            writer.close()

    with_server(visit)


def test_who_reads_nothing_loses_the_connection(monkeypatch):
    monkeypatch.setattr(http, "CONNECTION_LIMIT", 1)
    monkeypatch.setattr(http, "SEND_S", 0.05)
    answers = []

    async def visit(server: http.Server) -> None:
        _, deaf = await asyncio.open_connection(*server.address, limit=1024)
        deaf.write(b"GET /big HTTP/1.1\r\n\r\n" * 64)
        # the only place becomes free again
        while not answers:
            with contextlib.suppress(ConnectionError):
                if found := await exchange(server, b"GET /livez HTTP/1.0\r\n\r\n"):
                    answers.append(found)
        deaf.transport.abort()

    with_server(visit)
    assert answers[0].startswith(b"HTTP/1.1 200 ")


def test_close_does_not_wait_for_who_reads_nothing():
    async def serve() -> None:
        server = http.Server(ROUTES)
        await server.start("127.0.0.1", 0)
        reader, deaf = await asyncio.open_connection(*server.address, limit=1024)
        deaf.write(b"GET /big HTTP/1.1\r\n\r\n" * 64)
        await reader.readuntil(b"\r\n\r\n")
        await server.close()
        deaf.transport.abort()

    asyncio.run(asyncio.wait_for(serve(), PATIENCE_S))


def test_close_ends_open_connections():
    async def serve() -> None:
        server = http.Server(ROUTES)
        await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"GET /livez HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"ok\n")
        await server.close()
        await server.close()
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        writer.close()

    asyncio.run(serve())


def test_an_address_in_use_is_one_line_that_names_it():
    async def visit(server: http.Server) -> None:
        _, port = server.address
        with pytest.raises(LocalError, match=f"127.0.0.1:{port}: this address is in use"):
            await http.Server(ROUTES).start("127.0.0.1", port)

    with_server(visit)


def test_an_address_that_is_not_ours_is_one_line_that_names_it():
    async def start() -> None:
        await http.Server(ROUTES).start("192.0.2.1", 0)

    with pytest.raises(LocalError, match=r"192\.0\.2\.1:0: this machine has no such address"):
        asyncio.run(start())


TOKEN = 's3cr%t "ü'
GUARD = http.Guard(TOKEN)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), 401),
        (("Authorization: Bearer wrong",), 401),
        (("Authorization: Basic " + TOKEN,), 401),
        (("Authorization: Bearer",), 401),
        (("Authorization: Bearer " + TOKEN,), 200),
        (("authorization: bearer " + TOKEN,), 200),
    ],
)
def test_with_a_token_only_its_bearers_read(headers, status):
    assert answer(get("/metrics", *headers), GUARD)[0] == status


def test_probes_never_need_a_token():
    assert answer(get("/livez"), GUARD)[0] == 200


def test_no_repr_shows_the_token():
    assert TOKEN not in repr(GUARD)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_token(host):
    assert http.guard_for(host, "", open_reads=False) == http.Guard()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_beyond_loopback_reads_want_a_token_or_to_be_opened(host):
    with pytest.raises(LocalError, match="token"):
        http.guard_for(host, "", open_reads=False)
    assert http.guard_for(host, "t", open_reads=False) == http.Guard("t")
    assert http.guard_for(host, "", open_reads=True) == http.Guard()


@given(st.binary(max_size=300))
def test_no_head_makes_the_parser_raise(head):
    request = http.parse_head(head)
    assert request is None or request.path.startswith("/")
