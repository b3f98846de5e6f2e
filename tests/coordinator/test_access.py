"""Who may ask what of the HTTP API."""

from __future__ import annotations

import pytest

from regiment.coordinator.access import Guard, guard_for, is_loopback
from regiment.errors import LocalError

TOKEN = 's3cr%t "ü'
LOOPBACK = Guard(TOKEN)
BEYOND = Guard(TOKEN, is_loopback=False)
BARE = Guard()
READS = ("GET", "HEAD")
CHANGES = ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")


def status(
    guard: Guard,
    method: str = "GET",
    path: str = "/status",
    *headers: tuple[str, str],
    host: str = "127.0.0.1:9465",
    version: str = "1.1",
) -> int:
    """What the request is refused with; 0: it is not."""
    given = [("host", host), *headers] if host else list(headers)
    raw = [(name.encode(), value.encode()) for name, value in given]
    refusal = guard.refusal(method, path, version, raw)
    return 0 if refusal is None else refusal.status


def bearing(token: str, scheme: str = "Bearer") -> tuple[str, str]:
    return ("authorization", f"{scheme} {token}")


@pytest.mark.parametrize("method", READS)
def test_reads_on_loopback_need_no_token(method):
    assert status(LOOPBACK, method) == 0
    assert status(BARE, method) == 0


@pytest.mark.parametrize("method", CHANGES)
def test_changes_over_tcp_always_want_the_token(method):
    assert status(LOOPBACK, method) == 401
    assert status(LOOPBACK, method, "/livez") == 401
    assert status(LOOPBACK, method, "/status", bearing(TOKEN)) == 0


@pytest.mark.parametrize("method", CHANGES)
def test_changes_over_tcp_are_403_where_no_token_is_set(method):
    for given in ((), (bearing(""),), (bearing("x"),), (("authorization", "Bearer"),)):
        assert status(BARE, method, "/reload", *given) == 403


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (bearing("wrong"), 401),
        (bearing(TOKEN, "Basic"), 401),
        (bearing(TOKEN + "x"), 401),
        (bearing(TOKEN[:-1]), 401),
        (("authorization", "Bearer"), 401),
        (("authorization", TOKEN), 401),
        (bearing(TOKEN), 0),
        (bearing(TOKEN, "bearer"), 0),
    ],
)
def test_beyond_loopback_only_bearers_of_the_token_read(header, expected):
    assert status(BEYOND, "GET", "/registrations", header) == expected


def test_two_tokens_in_one_request_are_none():
    assert status(BEYOND, "GET", "/status", bearing(TOKEN), bearing(TOKEN)) == 401


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
@pytest.mark.parametrize("method", READS)
def test_probes_never_need_anything(path, method):
    for guard in (LOOPBACK, BEYOND, Guard(is_loopback=False)):
        assert status(guard, method, path, host="pod.example:1") == 0


def test_open_metrics_opens_the_metrics_only():
    guard = Guard(TOKEN, is_loopback=False, open_metrics=True)
    assert status(guard, "GET", "/metrics") == 0
    assert status(guard, "GET", "/status") == 401
    assert status(guard, "POST", "/metrics") == 401


def test_open_reads_opens_every_read_but_the_metrics_and_no_change():
    guard = Guard(TOKEN, is_loopback=False, open_reads=True)
    assert status(guard, "GET", "/registrations") == 0
    assert status(guard, "GET", "/metrics") == 401
    assert status(guard, "POST", "/reload") == 401


def test_the_unix_socket_wants_nothing():
    guard = Guard(is_local=True)
    for method in READS + CHANGES:
        assert status(guard, method, "/reload", ("origin", "http://evil.example"), host="x") == 0


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", 0),
        ("127.0.0.1:9465", 0),
        ("[::1]:9465", 0),
        ("LOCALHOST:80", 0),
        ("localhost.:80", 0),
        ("192.0.2.1", 0),
        ("evil.example", 403),
        ("evil.example:9465", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("127.0.0.1:port", 400),
        ("[::1", 400),
        ("a b", 400),
        ("user@127.0.0.1", 400),
        ("127.0.0.1/path", 400),
    ],
)
def test_on_loopback_a_page_whose_name_points_at_us_is_refused(host, expected):
    assert status(LOOPBACK, host=host) == expected
    assert status(LOOPBACK, "POST", "/reload", bearing(TOKEN), host=host) == expected


def test_beyond_loopback_a_name_is_a_name():
    assert status(BEYOND, "GET", "/status", bearing(TOKEN), host="regiment.example:9465") == 0


def test_a_request_names_one_host():
    assert status(LOOPBACK, "GET", "/status", ("host", "127.0.0.1")) == 400
    assert status(LOOPBACK, host="") == 400
    assert status(LOOPBACK, host="", version="1.0") == 0


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://127.0.0.1:9465", 0),
        ("https://127.0.0.1:9465", 0),
        ("http://127.0.0.1:9466", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_web_pages_from_elsewhere_are_refused_even_with_the_token(origin, expected, method):
    assert status(LOOPBACK, method, "/status", ("origin", origin), bearing(TOKEN)) == expected


def test_of_several_origins_none_may_be_foreign():
    pair = ("origin", "http://127.0.0.1:9465"), ("origin", "http://evil.example")
    assert status(LOOPBACK, "GET", "/status", *pair) == 403


def test_no_repr_shows_the_token():
    assert TOKEN not in repr(LOOPBACK)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_on_loopback_an_engine_may_start_without_a_token(host):
    guard = guard_for(host, "", open_metrics=False, open_reads=False)
    assert guard == Guard()
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_beyond_loopback_reads_want_a_token_or_to_be_opened(host):
    with pytest.raises(LocalError, match="token"):
        guard_for(host, "", open_metrics=False, open_reads=False)
    for token, metrics, reads in (("t", False, False), ("", True, False), ("", False, True)):
        guard = guard_for(host, token, open_metrics=metrics, open_reads=reads)
        assert guard == Guard(token, False, False, metrics, reads)
