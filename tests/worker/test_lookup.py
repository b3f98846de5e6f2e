"""Look-ups of a worker's targets: asked for, repeated in time, and never two of one target."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from name_server import NameServer
from regiment.datagram import peer_from_address, peer_to_address
from regiment.model import NameService, Transport
from regiment.net import answers
from regiment.net.resolver import Candidate, Resolver
from regiment.uac.destination import Place, TargetInfo
from regiment.worker import lookup
from regiment.worker.faces import Face, Faces
from regiment.worker.lookup import Lookup, keep_order

PATIENCE_S = 20
TRANSPORTS = (
    Transport("udp4", "udp", "127.0.0.1", 5060),
    Transport("udp6", "udp", "::1", 5060),
    Transport("tls4", "tls", "127.0.0.1", 5061),
    Transport("spare", "udp", "127.0.0.1", 5070),
)


class Told:
    """What the core was told, and a way to wait for it."""

    def __init__(self) -> None:
        self.results: list[tuple[int, list[Place], str]] = []
        self._news = asyncio.Event()

    def __call__(self, number: int, places: Sequence[Place], reason: str) -> None:
        self.results.append((number, list(places), reason))
        self._news.set()

    async def times(self, count: int) -> list[tuple[int, list[Place], str]]:
        while len(self.results) < count:
            self._news.clear()
            await self._news.wait()
        return self.results

    def spelled(self) -> list[list[str]]:
        return [[spell(place) for place in places] for _, places, _ in self.results]


def spell(place: Place) -> str:
    host, port = peer_to_address(place.peer)
    return f"{TRANSPORTS[place.transport].name} {host}:{port}"


def target(
    host: str, port: int = 0, protocol: str = "", carriers: tuple[int, ...] = (0,), index: int = 0
) -> TargetInfo:
    return TargetInfo(index, host, host, port, protocol, 10, 0.0, carriers)


class Bench:
    def __init__(self, server: NameServer, folder: Path) -> None:
        self.told = Told()
        self.failures: list[BaseException] = []
        faces = Faces()
        for number, transport in enumerate(TRANSPORTS):
            faces.add(number, Face(transport, transport.bind_port))
        files = str(folder / "resolv.conf"), str(folder / "hosts")
        self.service = NameService((server.address,), *files)
        clock = asyncio.get_running_loop().time
        resolver = Resolver(Random(1), lambda: int(clock() * 1e9))
        self.lookup = Lookup(resolver, faces, Random(2), self.told, self.failures.append)
        self.lookup.configure(self.service)


@pytest.fixture
def server() -> Iterator[NameServer]:
    zone = {
        "pbx.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
        "_sips._tcp.pbx.test": {"SRV": ["1 1 5061 secure.test."]},
        "_sip._udp.pbx.test": {"SRV": ["1 1 5080 pbx.test."]},
        "secure.test": {"A": ["192.0.2.2"]},
    }
    with NameServer(zone) as running:
        yield running


Conversation = Callable[[Bench], Awaitable[None]]


def converse(conversation: Conversation, server: NameServer, folder: Path) -> None:
    async def whole() -> None:
        bench = Bench(server, folder)
        try:
            await asyncio.wait_for(conversation(bench), PATIENCE_S)
        finally:
            bench.lookup.close()
        assert bench.failures == []

    asyncio.run(whole())


def test_a_target_is_told_its_places_by_the_transports_that_lead_there(
    server: NameServer, tmp_path: Path
) -> None:
    """The first transport of the file carries; our side is what its face says."""

    async def conversation(bench: Bench) -> None:
        bench.lookup.know([target("pbx.test", carriers=(2, 0, 1, 3))])
        bench.lookup.take([0])
        [(number, places, reason)] = await bench.told.times(1)
        assert (number, reason) == (0, "")
        assert bench.told.spelled() == [
            ["tls4 192.0.2.2:5061", "udp6 2001:db8::1:5080", "udp4 192.0.2.1:5080"]
        ]
        assert [(place.host, place.port) for place in places] == [
            ("127.0.0.1", 5061),
            ("::1", 5060),
            ("127.0.0.1", 5060),
        ]

    converse(conversation, server, tmp_path)


def test_a_failure_is_told_with_its_reason(server: NameServer, tmp_path: Path) -> None:
    async def conversation(bench: Bench) -> None:
        bench.lookup.know([target("missing.test"), target("fe80::1", index=1)])
        bench.lookup.take([0, 1])
        results = sorted(await bench.told.times(2), key=lambda result: result[0])
        assert results == [
            (0, [], "missing.test: no such name"),
            (1, [], "fe80::1 is an IPv6 address, but the transport speaks IPv4"),
        ]

    converse(conversation, server, tmp_path)


def test_many_wishes_for_a_target_are_one_look_up(server: NameServer, tmp_path: Path) -> None:
    async def conversation(bench: Bench) -> None:
        bench.lookup.know([target("pbx.test")])
        for _ in range(100):
            bench.lookup.take([0, 0])
        await bench.told.times(1)
        bench.lookup.take([0])
        await bench.told.times(2)
        assert server.count("NAPTR") == 1

    converse(conversation, server, tmp_path)


def test_a_target_is_looked_up_again_when_its_time_is_over(
    server: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LEAST_S", 0.05)
    server.ttl_s = 0

    async def conversation(bench: Bench) -> None:
        bench.lookup.know([target("pbx.test", 5060)])
        bench.lookup.take([0])
        await bench.told.times(1)
        server.zone["pbx.test"] = {"A": ["192.0.2.9"]}
        while bench.told.spelled()[-1] != ["udp4 192.0.2.9:5060"]:
            await bench.told.times(len(bench.told.results) + 1)

    converse(conversation, server, tmp_path)


def test_a_target_that_could_not_be_found_is_looked_up_again(
    server: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "RETRY_S", 0.05)
    monkeypatch.setattr(answers, "LEAST_S", 0.01)
    server.negative_ttl_s = 0

    async def conversation(bench: Bench) -> None:
        bench.lookup.know([target("new.test", 5060)])
        bench.lookup.take([0])
        await bench.told.times(1)
        server.zone["new.test"] = {"A": ["192.0.2.9"]}
        while bench.told.spelled()[-1] != ["udp4 192.0.2.9:5060"]:
            await bench.told.times(len(bench.told.results) + 1)

    converse(conversation, server, tmp_path)


def test_a_target_without_registrations_is_left_alone(
    server: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LEAST_S", 0.01)
    server.ttl_s = 0

    async def conversation(bench: Bench) -> None:
        lives, gone = target("pbx.test", 5060), target("secure.test", 5060, index=1)
        bench.lookup.know([lives, gone])
        bench.lookup.take([0, 1])
        await bench.told.times(2)
        bench.lookup.know([lives, TargetInfo(1, "gone", "secure.test", 5060, "", 0, 0.0)])
        asked = server.count(name="secure.test")
        await bench.told.times(len(bench.told.results) + 5)
        assert server.count(name="secure.test") == asked

    converse(conversation, server, tmp_path)


def test_other_name_servers_are_asked_at_once(server: NameServer, tmp_path: Path) -> None:
    async def conversation(bench: Bench) -> None:
        bench.lookup.know([target("pbx.test", 5060), target("192.0.2.7", 5060, index=1)])
        bench.lookup.take([0, 1])
        await bench.told.times(2)
        bench.lookup.configure(bench.service)
        assert len(bench.told.results) == 2
        with NameServer({"pbx.test": {"A": ["192.0.2.5"]}}) as other:
            bench.lookup.configure(NameService((other.address,), "", ""))
            await bench.told.times(4)
        assert ["udp4 192.0.2.5:5060"] in bench.told.spelled()[2:]

    converse(conversation, server, tmp_path)


def test_nothing_is_told_after_the_end(server: NameServer, tmp_path: Path) -> None:
    server.manner = "silent"

    async def conversation(bench: Bench) -> None:
        bench.lookup.know([target("pbx.test")])
        bench.lookup.take([0])
        while not server.asked:
            await asyncio.sleep(0)
        bench.lookup.close()
        bench.lookup.take([0])
        await asyncio.sleep(0)
        assert bench.told.results == []

    converse(conversation, server, tmp_path)


def test_only_so_many_targets_are_looked_up_at_a_time(
    server: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "AT_ONCE", 3)
    names = [f"t{at}.test" for at in range(30)]
    server.zone |= {name: {"A": ["192.0.2.1"]} for name in names}
    server.manner = "silent"

    async def conversation(bench: Bench) -> None:
        bench.lookup.know([target(name, 5060, index=at) for at, name in enumerate(names)])
        bench.lookup.take(range(30))
        while len(server.asked) < 3:
            await asyncio.sleep(0.001)
        assert len({name for name, _, _ in server.asked}) == 3
        server.manner = "answer"
        await bench.told.times(30)

    converse(conversation, server, tmp_path)


# ---- the order of what is worth the same


def places(*names: str, rank: int = 0) -> list[Candidate]:
    """One candidate a name, whose port is made of it."""
    return [
        Candidate(peer_from_address("192.0.2.1", 1024 + ord(each)), "udp", rank) for each in names
    ]


def test_the_order_stays_while_a_rank_has_the_same_members() -> None:
    former = (*places("b", "a", "c"), *places("z", "y", rank=1))
    found = (*places("c", "b", "a"), *places("x", "y", "z", rank=1))
    assert keep_order(former, found) == (*places("b", "a", "c"), *places("x", "y", "z", rank=1))
    assert keep_order((), found) == found
    assert keep_order(former, ()) == ()


@given(
    st.lists(st.sampled_from("abcdef"), unique=True),
    st.lists(st.sampled_from("abcdef"), unique=True),
    st.integers(0, 6),
)
def test_nothing_is_lost_and_ranks_stay_in_order(
    former: list[str], found: list[str], border: int
) -> None:
    now = (*places(*found[:border]), *places(*found[border:], rank=1))
    kept = keep_order(tuple(places(*former)), now)
    assert sorted(kept) == sorted(now)
    assert [one.rank for one in kept] == [one.rank for one in now]
