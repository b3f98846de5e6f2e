"""Name servers asked for real, on loopback: good ones, dead ones, and those with bad manners."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from name_server import NameServer
from regiment.model import NameService
from regiment.net import name_servers
from regiment.net.answers import Answer, Unanswered
from regiment.net.name_servers import NameServers
from regiment.net.selection import Pointer, Question, Service

ZONE = {
    "four.test": {"A": ["192.0.2.1", "192.0.2.2"]},
    "six.test": {"AAAA": ["2001:db8::1"]},
    "alias.test": {"CNAME": ["four.test."]},
    "round.test": {"CNAME": ["about.test."]},
    "about.test": {"CNAME": ["round.test."]},
    "nowhere.test": {"CNAME": ["missing.test."]},
    "_sip._udp.four.test": {"SRV": ["10 5 5070 Four.test.", "20 0 0 ."]},
    "sip.test": {"NAPTR": ['10 20 "S" "SIP+D2U" "" _sip._udp.four.test.']},
    "large.test": {"A": [f"10.0.{at // 250}.{at % 250}" for at in range(1000)]},
}

FOUR = {"192.0.2.1", "192.0.2.2"}


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer(ZONE) as running:
        yield running


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not answered on loopback within so long is not answered."""
    monkeypatch.setattr(name_servers, "QUESTION_S", 0.6)


def ask(name: str, kind: str, *servers: NameServer, run: Any = asyncio.run) -> Answer:
    asked = NameServers(NameService(tuple(server.address for server in servers)))
    asked.refresh()
    answer: Answer = run(asked.ask(Question(name, kind)))
    return answer


def refusal(name: str, kind: str, *servers: NameServer) -> Unanswered:
    with pytest.raises(Unanswered) as caught:
        ask(name, kind, *servers)
    return caught.value


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_records_come_as_plain_tuples(server: NameServer, run: Any) -> None:
    four = ask("four.test", "A", server, run=run)
    assert (set(four.records), four.ttl_s) == (FOUR, 60.0)
    assert ask("six.test", "AAAA", server, run=run).records == ("2001:db8::1",)
    assert ask("_sip._udp.four.test", "SRV", server, run=run).records == (
        Service(10, 5, 5070, "four.test"),
        Service(20, 0, 0, ""),
    )
    assert ask("sip.test", "NAPTR", server, run=run).records == (
        Pointer(10, 20, "S", "SIP+D2U", "", "_sip._udp.four.test"),
    )


def test_an_alias_is_followed(server: NameServer) -> None:
    assert set(ask("alias.test", "A", server).records) == FOUR


def test_no_records_and_no_name_are_told_apart_and_have_the_zones_time(server: NameServer) -> None:
    server.negative_ttl_s = 17
    assert ask("four.test", "AAAA", server) == Answer((), 17.0, name_exists=True)
    assert ask("missing.test", "A", server) == Answer((), 17.0, name_exists=False)
    assert ask("nowhere.test", "A", server) == Answer((), 17.0, name_exists=False)


@pytest.mark.parametrize("name", ["a" * 64 + ".test", "a..test", ".".join(["long"] * 60), ""])
def test_what_can_be_no_name_does_not_exist_and_is_not_asked(server: NameServer, name: str) -> None:
    assert ask(name if name else "..", "A", server) == Answer((), 0.0, name_exists=False)
    assert server.asked == []


def test_a_long_answer_comes_by_tcp_and_is_cut(server: NameServer) -> None:
    assert len(ask("large.test", "A", server).records) == name_servers.MOST_RECORDS
    assert [way for _, _, way in server.asked] == ["udp", "tcp"]


def test_the_least_wanted_records_are_cut(server: NameServer) -> None:
    server.zone = {"x.test": {"SRV": [f"{at} 0 5060 s{at}.test." for at in range(999, -1, -1)]}}
    records = ask("x.test", "SRV", server).records
    assert [one.priority for one in records] == list(range(name_servers.MOST_RECORDS))


def test_truncated_by_udp_is_asked_by_tcp(server: NameServer) -> None:
    server.manner = "truncate"
    assert set(ask("four.test", "A", server).records) == FOUR


def test_a_server_that_hangs_up_is_named(server: NameServer) -> None:
    server.manner = "hang up"
    assert ask("four.test", "A", server).records
    said = str(refusal("large.test", "A", server))
    assert said == f"the name server 127.0.0.1:{server.port} answers with garbage (EOFError)"


@pytest.mark.parametrize("manner", ["silent", "garbage", "other question", "other id"])
def test_what_answers_another_question_is_no_answer(
    server: NameServer, manner: str, short_patience: None
) -> None:
    server.manner = manner
    failure = refusal("four.test", "A", server)
    assert str(failure) == f"no answer from the name server 127.0.0.1:{server.port}"
    assert failure.result == "timeout"
    assert server.count() >= name_servers.TRIES


@pytest.mark.parametrize("manner", ["servfail", "refused"])
def test_a_server_that_says_no_is_quoted(server: NameServer, manner: str) -> None:
    server.manner = manner
    failure = refusal("four.test", "A", server)
    assert str(failure) == f"the name server 127.0.0.1:{server.port} says {manner.upper()}"
    assert failure.result == "failed"


def test_aliases_that_go_round_in_circles_are_a_failure(server: NameServer) -> None:
    said = str(refusal("round.test", "A", server))
    assert said.endswith("answers with aliases that go round in circles")


@pytest.mark.parametrize("manner", ["silent", "servfail", "refused", "garbage"])
def test_the_next_server_is_asked_and_the_one_that_answers_is_first_from_then_on(
    server: NameServer, manner: str
) -> None:
    async def conversation() -> None:
        asked = NameServers(NameService((broken.address, server.address)))
        asked.refresh()
        for _ in range(3):
            assert (await asked.ask(Question("four.test", "A"))).records

    with NameServer(ZONE) as broken:
        broken.manner = manner
        asyncio.run(conversation())
        assert (broken.count(), server.count()) == (1, 3)


def test_a_server_that_cannot_be_reached_is_named() -> None:
    """Nothing may be sent to the broadcast address without leave."""
    asked = NameServers(NameService((("255.255.255.255", 53),)))
    asked.refresh()
    with pytest.raises(Unanswered, match=r"^the name server 255.* cannot be reached: Permission"):
        asyncio.run(asked.ask(Question("four.test", "A")))


def test_an_ipv6_server_is_asked() -> None:
    with NameServer(ZONE, "::1") as server:
        assert set(ask("four.test", "A", server).records) == FOUR
        server.manner = "refused"
        assert str(refusal("four.test", "A", server)) == (
            f"the name server [::1]:{server.port} says REFUSED"
        )


# ---- resolv.conf


@pytest.mark.parametrize(
    ("text", "servers", "search"),
    [
        ("nameserver 192.0.2.53\n", ["192.0.2.53"], []),
        ("nameserver 192.0.2.53 # first\nnameserver fe80::1%2\n", ["192.0.2.53", "fe80::1%2"], []),
        ("nameserver ns.example\nnameserver\n;nameserver 192.0.2.1\n", [], []),
        ("search A.test b.test.\noptions ndots:5 rotate\n", [], ["a.test", "b.test"]),
        ("domain a.test\nsearch b.test c.test\n", [], ["b.test", "c.test"]),
        ("search b.test\ndomain a.test\n", [], ["a.test"]),
        ("search .\n", [], []),
        ("search a b c d e f g h\n", [], ["a", "b", "c", "d", "e", "f"]),
        ("\0\xff\n\n   \nnameserver\t192.0.2.53", ["192.0.2.53"], []),
    ],
)
def test_resolv_conf_is_read_as_libc_reads_it(
    tmp_path: Path, text: str, servers: list[str], search: list[str]
) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(text, encoding="latin-1")
    assert name_servers.read(str(file)) == (
        tuple((server, 53) for server in servers),
        tuple(search),
    )


def test_without_any_server_the_local_one_is_asked(tmp_path: Path) -> None:
    asked = NameServers(NameService(resolv_file=str(tmp_path / "none")))
    assert asked.refresh() == (("127.0.0.1", 53),)


def test_a_change_of_resolv_conf_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.0.2.1\n")
    asked = NameServers(NameService(resolv_file=str(file)))
    assert asked.refresh() == (("192.0.2.1", 53),)
    new = tmp_path / "new"
    new.write_text("nameserver 192.0.2.2\nsearch corp.test\n")
    os.replace(new, file)
    assert asked.refresh() == (("192.0.2.2", 53),)
    assert asked.candidates("pbx") == ("pbx.corp.test", "pbx")


def test_servers_of_our_own_keep_the_search_list_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.0.2.1\nsearch a.test b.test\n")
    asked = NameServers(NameService((("192.0.2.9", 5353),), str(file)))
    assert asked.refresh() == (("192.0.2.9", 5353),)
    assert asked.candidates("pbx") == ("pbx.a.test", "pbx.b.test", "pbx")
    assert asked.candidates("pbx.c") == ("pbx.c", "pbx.c.a.test", "pbx.c.b.test")
    assert asked.candidates("pbx.") == ("pbx",)


def test_no_more_servers_are_asked_than_the_time_is_enough_for(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("".join(f"nameserver 192.0.2.{at}\n" for at in range(1, 100)))
    servers = NameServers(NameService(resolv_file=str(file))).refresh()
    assert len(servers) == name_servers.MOST_SERVERS
    assert re.fullmatch(r"192\.0\.2\.8", servers[-1][0])
