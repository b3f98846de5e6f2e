"""The resolver: literals without a look-up, names by getaddrinfo, one line for every failure."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvloop

from regiment.datagram import peer_from_address, peer_to_address
from regiment.errors import LocalError
from regiment.net.resolver import resolve

Entry = tuple[int, int, int, str, tuple[Any, ...]]


class Names:
    """Stands in for the system's resolver: a zone of names, and what was asked of it."""

    def __init__(self, zone: dict[str, list[str]], failure: OSError | None = None) -> None:
        self.zone = zone
        self.failure = failure
        self.asked: list[tuple[str, int]] = []

    def getaddrinfo(
        self, host: str, port: int, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Entry]:
        self.asked.append((host, family))
        if self.failure:
            raise self.failure
        found: list[Entry] = []
        for text in self.zone.get(host, []):
            plain, _, scope = text.partition("%")
            its = socket.AF_INET6 if ":" in text else socket.AF_INET
            end = (port, 0, int(scope or 0)) if its == socket.AF_INET6 else (port,)
            if family in (socket.AF_UNSPEC, its):
                found.append((its, type, proto, "", (plain, *end)))
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    zone = {
        "both.example": ["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.1"],
        "four.example": ["192.0.2.1"],
        "six.example": ["2001:db8::1", "fe80::1%3"],
    }
    made = Names(zone)
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    return made


def ask(host: str, port: int = 0, family: int = 0) -> list[bytes]:
    return asyncio.run(resolve(host, port, family))


def refusal(host: str, port: int = 0, family: int = 0) -> str:
    with pytest.raises(LocalError) as caught:
        ask(host, port, family)
    return str(caught.value)


def test_literal_address_is_not_looked_up(names: Names) -> None:
    assert ask("192.0.2.9", 5070) == [peer_from_address("192.0.2.9", 5070)]
    assert ask("2001:db8::9") == [peer_from_address("2001:db8::9", 5060)]
    assert ask("[2001:db8::9]", 5070, 6) == [peer_from_address("2001:db8::9", 5070)]
    assert ask("fe80::1%2", 5060) == [peer_from_address("fe80::1", 5060, 2)]
    assert names.asked == []


def test_zone_of_a_literal_may_be_the_name_of_an_interface() -> None:
    index = socket.if_nametoindex("lo")
    assert ask("fe80::1%lo") == [peer_from_address("fe80::1", 5060, index)]
    assert refusal("fe80::1%nosuch0") == "fe80::1%nosuch0: there is no interface nosuch0"


def test_literal_of_the_wrong_family_is_named() -> None:
    assert refusal("192.0.2.1", 0, 6) == (
        "192.0.2.1 is an IPv4 address, but the transport speaks IPv6"
    )
    assert refusal("::1", 0, 4) == "::1 is an IPv6 address, but the transport speaks IPv4"


def test_name_gives_each_address_once_in_the_resolvers_order(names: Names) -> None:
    assert [peer_to_address(peer) for peer in ask("both.example")] == [
        ("2001:db8::1", 5060),
        ("192.0.2.1", 5060),
        ("192.0.2.2", 5060),
    ]


def test_name_without_a_port_means_5060_and_a_port_is_kept(names: Names) -> None:
    assert ask("four.example") == [peer_from_address("192.0.2.1", 5060)]
    assert ask("four.example", 5070) == [peer_from_address("192.0.2.1", 5070)]


def test_only_the_wanted_family_is_asked_for(names: Names) -> None:
    assert [peer_to_address(peer)[0] for peer in ask("both.example", 0, 4)] == [
        "192.0.2.1",
        "192.0.2.2",
    ]
    assert ask("both.example", 0, 6) == [peer_from_address("2001:db8::1", 5060)]
    assert names.asked == [("both.example", socket.AF_INET), ("both.example", socket.AF_INET6)]


def test_zone_of_a_resolved_address_is_kept(names: Names) -> None:
    assert ask("six.example", 0, 6)[1] == peer_from_address("fe80::1", 5060, 3)


def test_name_with_the_other_family_only_is_named(names: Names) -> None:
    assert refusal("four.example", 0, 6) == (
        "four.example has IPv4 addresses only, but the transport speaks IPv6"
    )
    assert refusal("six.example", 0, 4) == (
        "six.example has IPv6 addresses only, but the transport speaks IPv4"
    )


@pytest.mark.parametrize("family", [0, 4, 6])
def test_name_that_does_not_exist_is_one_line(names: Names, family: int) -> None:
    assert refusal("none.example", 0, family) == "none.example: no such name"


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            "four.example: no answer from the name server",
        ),
        (
            socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure"),
            "four.example: the look-up failed: Non-recoverable failure",
        ),
        (
            OSError(24, "Too many open files"),
            "four.example: the look-up failed: Too many open files",
        ),
    ],
)
def test_failed_look_up_is_one_line(names: Names, failure: OSError, line: str) -> None:
    names.failure = failure
    assert refusal("four.example", 0, 4) == line


@pytest.mark.parametrize("host", ["", "a" * 64 + ".example", "a..b", "null\0byte"])
def test_text_that_is_no_host_name_is_one_line(host: str) -> None:
    assert refusal(host) == f"{host!r} cannot be a host name"


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_localhost_resolves_by_the_system(run: Any) -> None:
    assert run(resolve("localhost", 5060, 4)) == [peer_from_address("127.0.0.1", 5060)]
    for host in ("a" * 64 + ".example", "a..b"):
        with pytest.raises(LocalError, match="cannot be a host name"):
            run(resolve(host))
