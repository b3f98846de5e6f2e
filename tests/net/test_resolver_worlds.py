"""Whatever name servers answer: places that can be sent to, or one line."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from regiment.datagram import peer_to_address
from regiment.errors import LocalError
from regiment.model import NameService
from regiment.net.answers import Answer, Unanswered
from regiment.net.resolver import Query, Resolution, Resolver
from regiment.net.selection import Pointer, Question, Service

ALL = frozenset((protocol, family) for protocol in ("udp", "tcp", "tls") for family in (4, 6))


class Oracle:
    """Name servers that answer each question as drawn, the same each time."""

    def __init__(self, said: dict[Question, Answer | Unanswered]) -> None:
        self.said = said

    def refresh(self) -> tuple[tuple[str, int], ...]:
        return (("192.0.2.53", 53),)

    def candidates(self, host: str) -> tuple[str, ...]:
        return (host, f"{host}.corp.test")

    async def ask(self, question: Question) -> Answer:
        said = self.said.get(question, Answer((), 60.0, name_exists=False))
        if isinstance(said, Unanswered):
            raise said
        return said


hosts = st.sampled_from(["a.test", "b.test", "a.test.corp.test"])
services = st.builds(
    Service,
    st.integers(0, 2),
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.one_of(hosts, st.just("")),
)
service_names = st.builds(
    str.__add__, st.sampled_from(["_sip._udp.", "_sip._tcp.", "_sips._tcp."]), hosts
)
pointers = st.builds(
    Pointer,
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from(["s", "S", "a", ""]),
    st.sampled_from(["SIP+D2U", "sip+d2t", "SIPS+D2T", "E2U+sip"]),
    st.sampled_from(["", "!^.*$!x!"]),
    st.one_of(service_names, hosts),
)
fours = st.ip_addresses(v=4).map(str)
sixes = st.ip_addresses(v=6).map(str)


def answer_of(records: st.SearchStrategy[Any]) -> st.SearchStrategy[Answer | Unanswered]:
    times = st.floats(0, 2**31, allow_nan=False)
    return st.one_of(
        st.builds(Answer, st.lists(records, max_size=40).map(tuple), times),
        st.builds(Answer, st.just(()), times, st.booleans()),
        st.just(Unanswered("the name server 192.0.2.53:53 says SERVFAIL")),
    )


def outcome(asked: Resolver, query: Query) -> Resolution | str:
    """What comes of it; the line that says why there is nothing."""
    try:
        return asyncio.run(asked.resolve(query))
    except LocalError as error:
        return str(error)


worlds = st.builds(
    lambda *parts: {question: said for part in parts for question, said in part.items()},
    st.dictionaries(st.builds(Question, hosts, st.just("NAPTR")), answer_of(pointers)),
    st.dictionaries(st.builds(Question, service_names, st.just("SRV")), answer_of(services)),
    st.dictionaries(st.builds(Question, hosts, st.just("A")), answer_of(fours)),
    st.dictionaries(st.builds(Question, hosts, st.just("AAAA")), answer_of(sixes)),
)


@given(
    worlds,
    hosts,
    st.sampled_from([0, 5060, 65535]),
    st.sampled_from(["", "udp", "tcp", "tls"]),
    st.sets(st.sampled_from(sorted(ALL)), min_size=1),
    st.booleans(),
    st.booleans(),
)
def test_whatever_is_answered_gives_places_that_can_be_sent_to_or_one_line(
    world: dict[Question, Answer | Unanswered],
    host: str,
    port: int,
    protocol: str,
    offers: set[tuple[str, int]],
    strict: bool,
    secure: bool,
) -> None:
    asked = Resolver(Random(1), lambda: 0, NameService((), "", ""))
    asked._servers = Oracle(world)  # type: ignore[assignment]
    query = Query(host, port, protocol, frozenset(offers), strict, secure)
    found = outcome(asked, query)
    if isinstance(found, str):
        assert found.startswith(host)
        assert "\n" not in found
        return
    places = [(one.peer, one.protocol) for one in found.candidates]
    assert 1 <= len(places) == len(set(places)) <= 32
    assert all((one.protocol, one.family) in offers for one in found.candidates)
    assert {one.protocol for one in found.candidates} <= {protocol} or not protocol
    assert not secure or protocol or {one.protocol for one in found.candidates} == {"tls"}
    assert [one.rank for one in found.candidates] == sorted(one.rank for one in found.candidates)
    assert all(peer_to_address(one.peer)[1] > 0 for one in found.candidates)
    assert 5 <= found.ttl_s <= 1.1 * 86_400
