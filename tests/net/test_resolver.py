"""From hosts to places, with a name server on loopback: RFC 3263 and Asterisk's reading of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import uvloop

from name_server import NameServer
from regiment.datagram import peer_from_address, peer_to_address
from regiment.errors import LocalError
from regiment.model import NameService
from regiment.net import name_servers, resolver
from regiment.net.resolver import Query, Resolution, Resolver

ALL = frozenset((protocol, family) for protocol in ("udp", "tcp", "tls") for family in (4, 6))
UDP4 = frozenset({("udp", 4)})
UDP = frozenset({("udp", 4), ("udp", 6)})

EXAMPLE = {
    "example.test": {
        "NAPTR": [
            '50 50 "s" "SIPS+D2T" "" _sips._tcp.example.test.',
            '90 50 "s" "SIP+D2T" "" _sip._tcp.example.test.',
            '100 50 "s" "SIP+D2U" "" _sip._udp.example.test.',
        ],
        "A": ["192.0.2.80"],
    },
    "_sips._tcp.example.test": {"SRV": ["0 1 5061 one.example.test."]},
    "_sip._tcp.example.test": {"SRV": ["0 1 5060 one.example.test.", "1 1 5060 two.example.test."]},
    "_sip._udp.example.test": {"SRV": ["0 1 5070 one.example.test.", "1 1 5080 two.example.test."]},
    "one.example.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "two.example.test": {"A": ["192.0.2.2"]},
    "plain.test": {"A": ["192.0.2.9"], "AAAA": ["2001:db8::9"]},
    "four.test": {"A": ["192.0.2.4"]},
    "six.test": {"AAAA": ["2001:db8::6"]},
    "services.test": {"A": ["192.0.2.80"]},
    "_sip._udp.services.test": {"SRV": ["0 1 5070 one.example.test."]},
    "_sips._tcp.services.test": {"SRV": ["0 1 5071 two.example.test."]},
    "none.test": {"A": ["192.0.2.80"]},
    "_sip._udp.none.test": {"SRV": ["0 0 0 ."]},
    "lost.test": {"A": ["192.0.2.80"]},
    "_sip._udp.lost.test": {"SRV": ["0 0 5060 missing.example.test."]},
    "empty.test": {"TXT": ['"nothing"']},
    "alias.test": {"CNAME": ["plain.test."]},
    "round.test": {"CNAME": ["round.test."]},
}


class Bench:
    """A resolver with one name server, a time that the test sets, and files of its own."""

    def __init__(self, server: NameServer, folder: Path, seed: int = 1) -> None:
        self.server = server
        self.now_s = 5.0
        self.folder = folder
        self.service = NameService(
            (server.address,), str(folder / "resolv.conf"), str(folder / "hosts")
        )
        self.resolver = Resolver(Random(seed), lambda: int(self.now_s * 1e9), self.service)

    def run(self, *queries: Query, run: Any = asyncio.run) -> list[Resolution]:
        async def conversation() -> list[Resolution]:
            return [await self.resolver.resolve(query) for query in queries]

        found: list[Resolution] = run(conversation())
        return found

    def places(self, host: str, port: int = 0, protocol: str = "", **wanted: Any) -> list[str]:
        """Each as protocol address:port."""
        wanted.setdefault("offers", ALL)
        return spelled(self.run(Query(host, port, protocol, **wanted))[0])

    def refusal(self, host: str, port: int = 0, protocol: str = "", **wanted: Any) -> str:
        with pytest.raises(LocalError) as caught:
            self.places(host, port, protocol, **wanted)
        assert "\n" not in str(caught.value)
        return str(caught.value)


def spelled(resolution: Resolution) -> list[str]:
    return [
        f"{one.protocol} {host}:{port}"
        for one in resolution.candidates
        for host, port in (peer_to_address(one.peer),)
    ]


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer({name: dict(records) for name, records in EXAMPLE.items()}) as running:
        yield running


@pytest.fixture
def bench(server: NameServer, tmp_path: Path) -> Bench:
    return Bench(server, tmp_path)


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not answered on loopback within so long is not answered."""
    monkeypatch.setattr(name_servers, "QUESTION_S", 0.6)


# ---- literal addresses


def test_a_literal_address_is_not_looked_up(bench: Bench) -> None:
    assert bench.places("192.0.2.9", 5070) == ["udp 192.0.2.9:5070"]
    assert bench.places("2001:db8::9") == ["udp 2001:db8::9:5060"]
    assert bench.places("[2001:db8::9]", 5070, "tcp") == ["tcp 2001:db8::9:5070"]
    assert bench.places("192.0.2.9", protocol="tls") == ["tls 192.0.2.9:5061"]
    assert bench.places("192.0.2.9", secure=True) == ["tls 192.0.2.9:5061"]
    assert bench.places("192.0.2.9", offers=frozenset({("tcp", 4)})) == ["tcp 192.0.2.9:5060"]
    assert bench.server.asked == []


def test_the_zone_of_a_literal_is_a_number_or_the_name_of_an_interface(bench: Bench) -> None:
    index = socket.if_nametoindex("lo")
    [by_number, by_name] = bench.run(Query("fe80::1%2"), Query("[fe80::1%lo]"))
    assert by_number.candidates[0].peer == peer_from_address("fe80::1", 5060, 2)
    assert by_name.candidates[0].peer == peer_from_address("fe80::1", 5060, index)
    for zone in ("nosuch0", "99999999999", "\u0663x", "a" * 40):
        assert bench.refusal(f"fe80::1%{zone}") == (f"fe80::1%{zone}: there is no interface {zone}")


def test_a_literal_of_the_wrong_family_is_named(bench: Bench) -> None:
    assert bench.refusal("192.0.2.1", offers=frozenset({("udp", 6)})) == (
        "192.0.2.1 is an IPv4 address, but the transport speaks IPv6"
    )
    assert bench.refusal("::1", offers=UDP4) == (
        "::1 is an IPv6 address, but the transport speaks IPv4"
    )


def test_a_protocol_that_nobody_speaks_is_named(bench: Bench) -> None:
    assert bench.refusal("plain.test", 5060, "tls", offers=UDP) == (
        "plain.test: no transport speaks TLS"
    )
    assert bench.refusal("plain.test", offers=frozenset()) == "plain.test: no transport speaks UDP"
    assert bench.refusal("192.0.2.1", secure=True, offers=UDP) == (
        "192.0.2.1: no transport speaks TLS"
    )


# ---- which questions, and what beats what


def asked_of(bench: Bench) -> list[str]:
    return sorted(f"{kind} {name}" for name, kind, _ in bench.server.asked)


def test_a_host_with_a_port_is_asked_for_addresses_alone(bench: Bench) -> None:
    assert bench.places("example.test", 5099) == ["udp 192.0.2.80:5099"]
    assert asked_of(bench) == ["A example.test", "AAAA example.test"]


def test_without_a_port_everything_is_asked_at_once(bench: Bench) -> None:
    """Asterisk's set for a target whose protocol is open."""
    bench.server.manner = "silent"
    done = bench.resolver.resolve(Query("example.test", offers=ALL))

    async def conversation() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(done, 0.3)
        bench.resolver.close()

    asyncio.run(conversation())
    assert asked_of(bench) == [
        "A example.test",
        "AAAA example.test",
        "NAPTR example.test",
        "SRV _sip._tcp.example.test",
        "SRV _sip._udp.example.test",
        "SRV _sips._tcp.example.test",
    ]


def test_only_what_somebody_can_send_with_is_asked_for(bench: Bench) -> None:
    bench.places("plain.test", offers=UDP4)
    assert asked_of(bench) == ["A plain.test", "NAPTR plain.test", "SRV _sip._udp.plain.test"]


def test_naptr_beats_srv_and_the_first_usable_order_is_all_that_counts(bench: Bench) -> None:
    assert bench.places("example.test") == ["tls 2001:db8::1:5061", "tls 192.0.2.1:5061"]
    assert bench.places("example.test", offers=UDP4) == [
        "udp 192.0.2.1:5070",
        "udp 192.0.2.2:5080",
    ]
    assert bench.places("example.test", protocol="tcp", offers=ALL) == [
        "tcp 2001:db8::1:5060",
        "tcp 192.0.2.1:5060",
        "tcp 192.0.2.2:5060",
    ]


def test_srv_beats_addresses_and_tls_goes_before_tcp_before_udp(bench: Bench) -> None:
    assert bench.places("services.test") == [
        "tls 192.0.2.2:5071",
        "udp 2001:db8::1:5070",
        "udp 192.0.2.1:5070",
    ]
    assert bench.places("services.test", protocol="udp", offers=UDP4) == ["udp 192.0.2.1:5070"]


def test_without_records_the_addresses_count_ipv6_first(bench: Bench) -> None:
    assert bench.places("plain.test") == ["udp 2001:db8::9:5060", "udp 192.0.2.9:5060"]
    assert bench.places("plain.test", protocol="tls") == [
        "tls 2001:db8::9:5061",
        "tls 192.0.2.9:5061",
    ]
    assert bench.places("plain.test", offers=UDP4) == ["udp 192.0.2.9:5060"]
    assert bench.places("alias.test", 5070, offers=UDP4) == ["udp 192.0.2.9:5070"]


def test_naptr_records_that_lead_to_no_services_are_passed_over(bench: Bench) -> None:
    bench.server.zone["services.test"]["NAPTR"] = ['1 1 "s" "SIP+D2U" "" _sip._udp.missing.test.']
    assert bench.places("services.test", offers=UDP4) == ["udp 192.0.2.1:5070"]


def test_a_sips_uri_takes_tls_alone(bench: Bench) -> None:
    assert bench.places("services.test", secure=True) == ["tls 192.0.2.2:5071"]
    assert bench.places("example.test", secure=True, offers=ALL, strict=True) == [
        "tls 2001:db8::1:5061",
        "tls 192.0.2.1:5061",
    ]


# ---- the strict set


def test_the_strict_set_asks_step_by_step(bench: Bench) -> None:
    bench.places("example.test", strict=True, offers=UDP4)
    assert [(kind, name) for name, kind, _ in bench.server.asked] == [
        ("NAPTR", "example.test"),
        ("SRV", "_sip._udp.example.test"),
        ("A", "one.example.test"),
        ("A", "two.example.test"),
    ]


def test_the_strict_set_with_a_protocol_leaves_naptr_out(bench: Bench) -> None:
    assert bench.places("example.test", protocol="udp", strict=True, offers=UDP4) == [
        "udp 192.0.2.1:5070",
        "udp 192.0.2.2:5080",
    ]
    assert bench.server.count("NAPTR") == 0
    bench.server.asked.clear()
    assert bench.places("four.test", protocol="udp", strict=True, offers=UDP4) == [
        "udp 192.0.2.4:5060"
    ]
    assert [kind for _, kind, _ in bench.server.asked] == ["SRV", "A"]


def test_a_question_that_fails_ends_a_strict_search_and_no_other(
    bench: Bench, short_patience: None
) -> None:
    """Home routers that drop what they do not know would cut many off otherwise."""
    bench.server.manners = {"NAPTR": "silent", "SRV": "refused"}
    assert bench.places("plain.test", offers=UDP4) == ["udp 192.0.2.9:5060"]
    assert "no answer from" in bench.refusal("plain.test", offers=UDP4, strict=True)
    assert "says REFUSED" in bench.refusal("plain.test", protocol="udp", offers=UDP4, strict=True)
    # the NAPTR records that nobody tells might have led elsewhere than the SRV records
    bench.server.manners = {"NAPTR": "refused"}
    assert bench.places("services.test", offers=UDP4) == ["udp 192.0.2.1:5070"]
    bench.now_s += 10
    assert "says REFUSED" in bench.refusal("services.test", offers=UDP4, strict=True)


# ---- names: hosts file, search list, IDNA


def test_a_host_in_the_hosts_file_is_asked_nobody(bench: Bench) -> None:
    (bench.folder / "hosts").write_text("127.0.0.5 example.test\n::5 example.test\n")
    assert bench.places("EXAMPLE.test") == ["udp ::5:5060", "udp 127.0.0.5:5060"]
    assert bench.places("example.test", 5070, "tls", offers=ALL) == [
        "tls ::5:5070",
        "tls 127.0.0.5:5070",
    ]
    assert bench.server.asked == []
    assert bench.places("localhost", offers=UDP4) == ["udp 127.0.0.1:5060"]
    assert bench.refusal("example.test", offers=frozenset()) != ""


def test_the_hosts_file_counts_for_targets_of_services_too(bench: Bench) -> None:
    (bench.folder / "hosts").write_text("127.0.0.5 one.example.test\n")
    assert bench.places("services.test", offers=UDP4) == ["udp 127.0.0.5:5070"]


def test_a_host_of_the_other_family_only_is_named(bench: Bench) -> None:
    (bench.folder / "hosts").write_text("::5 listed.test\n")
    assert bench.refusal("four.test", offers=frozenset({("udp", 6)})) == (
        "four.test has IPv4 addresses only, but the transport speaks IPv6"
    )
    assert bench.refusal("six.test", 5060, offers=UDP4) == (
        "six.test has IPv6 addresses only, but the transport speaks IPv4"
    )
    assert bench.refusal("listed.test", offers=UDP4) == (
        "listed.test has IPv6 addresses only, but the transport speaks IPv4"
    )


def test_a_name_without_a_dot_is_tried_in_the_search_list_first(bench: Bench) -> None:
    (bench.folder / "resolv.conf").write_text("search nowhere.test example.test test\n")
    assert bench.places("one", 5070, offers=UDP4) == ["udp 192.0.2.1:5070"]
    assert [name for name, _, _ in bench.server.asked] == ["one.nowhere.test", "one.example.test"]
    bench.server.asked.clear()
    assert bench.places("two.example", 5070, offers=UDP4) == ["udp 192.0.2.2:5070"]
    assert bench.server.asked[0][0] == "two.example"


def test_services_of_a_name_without_a_dot_are_found_in_the_search_list(bench: Bench) -> None:
    (bench.folder / "resolv.conf").write_text("search test\n")
    assert bench.places("services", offers=UDP4) == ["udp 192.0.2.1:5070"]


def test_a_name_with_a_final_dot_is_complete(bench: Bench) -> None:
    (bench.folder / "resolv.conf").write_text("search test\n")
    assert bench.places("plain.test.", offers=UDP4) == ["udp 192.0.2.9:5060"]
    assert bench.refusal("plain.", offers=UDP4) == "plain.: no such name"


def test_letters_beyond_ascii_are_asked_for_in_idna(bench: Bench) -> None:
    bench.server.zone["xn--bcher-kva.test"] = {"A": ["192.0.2.7"]}
    assert bench.places("B\u00fccher.test", offers=UDP4) == ["udp 192.0.2.7:5060"]


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "a..b", ".a", "a" * 64 + ".test", "a.b." * 80, "null\0byte", "a b", "x/y"),
        *("\u00fc" * 70, "\ud800.test", "a\\046b", "${REGISTRAR}", "[half", "1.2.3.4.5:6", "a\nb"),
    ],
)
def test_text_that_is_no_host_name_is_one_line(bench: Bench, host: str) -> None:
    said = bench.refusal(host)
    assert said.endswith("cannot be a host name")
    assert len(said) < 400
    assert bench.server.asked == []


# ---- what goes wrong


def test_a_name_that_does_not_exist_and_one_without_addresses_are_told_apart(bench: Bench) -> None:
    for strict in (False, True):
        assert bench.refusal("missing.test", strict=strict) == "missing.test: no such name"
        assert bench.refusal("missing.test", 5060) == "missing.test: no such name"
        assert bench.refusal("empty.test", strict=strict) == "empty.test: has no address"


def test_a_service_that_is_decidedly_not_there_is_said(bench: Bench) -> None:
    """RFC 2782: the address of the host itself is no substitute for the target ``.``."""
    assert bench.refusal("none.test", offers=UDP4) == (
        "none.test: its SRV records say that it offers no such service"
    )


def test_services_without_an_address_are_said(bench: Bench) -> None:
    assert bench.refusal("lost.test", offers=UDP4) == (
        "lost.test: its SRV records lead to no address for us (missing.example.test)"
    )


def test_aliases_in_circles_are_said(bench: Bench) -> None:
    assert bench.refusal("round.test", 5060).endswith("aliases that go round in circles")


def test_a_dead_server_is_one_line(bench: Bench, short_patience: None) -> None:
    bench.server.manner = "silent"
    assert bench.refusal("plain.test", offers=UDP4) == (
        f"plain.test: no answer from the name server 127.0.0.1:{bench.server.port}"
    )


def test_the_whole_of_a_resolution_is_limited(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "RESOLUTION_S", 0.2)
    bench.server.manner = "silent"
    assert "no answer from the name servers within" in bench.refusal("plain.test")


@pytest.mark.parametrize("kind", ["A", "SRV"])
def test_a_thousand_records_are_32_places(bench: Bench, kind: str) -> None:
    zone = bench.server.zone
    zone["many.test"] = {"A": [f"10.1.{at // 250}.{at % 250}" for at in range(1000)]}
    if kind == "SRV":
        zone["_sip._udp.many.test"] = {"SRV": [f"{at} 1 5060 t{at}.test." for at in range(1000)]}
        zone |= {f"t{at}.test": {"A": [f"10.2.{at // 250}.{at % 250}"]} for at in range(1000)}
    places = bench.places("many.test", offers=UDP4)
    assert len(places) == len(set(places)) == 32
    # with what came by TCP after it was cut short by UDP
    assert bench.server.count("A") <= 2 + (32 if kind == "SRV" else 0)


def test_an_address_that_comes_twice_is_one_place(bench: Bench) -> None:
    services = [f"{at} 1 {port} one.example.test." for at, port in enumerate((5060, 5060, 5070))]
    bench.server.zone["_sip._udp.plain.test"] = {"SRV": services}
    assert bench.places("plain.test", offers=UDP4) == ["udp 192.0.2.1:5060", "udp 192.0.2.1:5070"]


# ---- time


def test_whoever_asks_the_same_shares_one_resolution(bench: Bench) -> None:
    async def conversation() -> Sequence[Resolution]:
        query = Query("services.test", offers=UDP4)
        return await asyncio.gather(*(bench.resolver.resolve(query) for _ in range(200)))

    found = asyncio.run(conversation())
    assert len(set(found)) == 1
    assert bench.server.count("NAPTR") == 1


def test_the_next_moment_is_the_shortest_time_and_up_to_a_tenth_more(
    server: NameServer, tmp_path: Path
) -> None:
    server.ttl_s = 200
    moments = set()
    for seed in range(20):
        [found] = Bench(server, tmp_path, seed).run(Query("example.test", offers=UDP4))
        assert 200 <= found.ttl_s <= 220
        moments.add(found.ttl_s)
    assert len(moments) == 20


def test_where_records_are_missing_they_are_asked_for_within_five_minutes(
    server: NameServer, tmp_path: Path
) -> None:
    server.ttl_s = 86_400
    [found] = Bench(server, tmp_path).run(Query("plain.test", offers=UDP4))
    assert 300 <= found.ttl_s <= 330
    [found] = Bench(server, tmp_path).run(Query("four.test", 5060, offers=UDP4))
    assert found.ttl_s >= 86_400


def test_a_dead_server_changes_nothing_of_what_is_known(bench: Bench, short_patience: None) -> None:
    query = Query("example.test", offers=UDP4)
    [fresh] = bench.run(query)
    bench.server.manner = "silent"
    for _ in range(3):
        bench.now_s += 200
        [stale] = bench.run(query)
        assert stale.candidates == fresh.candidates
        assert 30 <= stale.ttl_s <= 33
    assert bench.resolver.answers.stale > 0
    bench.server.manner = "answer"
    bench.server.zone["one.example.test"] = {"A": ["192.0.2.11"]}
    bench.now_s += 200
    assert spelled(bench.run(query)[0])[0] == "udp 192.0.2.11:5070"


@pytest.mark.parametrize("manner", ["servfail", "refused"])
def test_one_failed_question_poisons_nothing(bench: Bench, manner: str) -> None:
    query = Query("example.test", offers=UDP4)
    [fresh] = bench.run(query)
    bench.server.manners = {"NAPTR": manner}
    bench.now_s += 200
    [later] = bench.run(query)
    assert later.candidates == fresh.candidates


def test_records_that_vanish_do_not_take_the_known_ones_along(bench: Bench) -> None:
    query = Query("services.test", offers=UDP4)
    [fresh] = bench.run(query)
    del bench.server.zone["_sip._udp.services.test"]
    bench.now_s += 200
    assert bench.run(query)[0].candidates == fresh.candidates


def test_other_name_servers_are_believed_at_once(bench: Bench, tmp_path: Path) -> None:
    query = Query("four.test", 5060, offers=UDP4)
    with NameServer({"four.test": {"A": ["192.0.2.44"]}}) as other:
        assert spelled(bench.run(query)[0]) == ["udp 192.0.2.4:5060"]
        bench.resolver.configure(NameService((other.address,)))
        assert spelled(bench.run(query)[0]) == ["udp 192.0.2.44:5060"]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_it_works_on_either_loop(bench: Bench, run: Any) -> None:
    [found] = bench.run(Query("example.test", offers=UDP4), run=run)
    assert spelled(found) == ["udp 192.0.2.1:5070", "udp 192.0.2.2:5080"]
