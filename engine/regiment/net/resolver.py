"""Names to places: RFC 3263, the one door through which the hosts of URIs are looked up.

With Asterisk's set of questions a host without a port is asked for NAPTR, SRV, AAAA and A records,
all at once; usable NAPTR records beat SRV records, and those beat plain addresses. The strict set
(`Query.strict`) asks one after the other and no more than RFC 3263 4.1 and 4.2 want. Either way
only protocols and families that somebody can send with are asked for.

A host that the machine's own hosts file names is not asked about at all: whoever wrote it there
wants it there, `localhost` among it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from regiment.datagram import peer_from_address, peer_to_address
from regiment.errors import LocalError
from regiment.model import NameService
from regiment.net import selection
from regiment.net.address import family_of
from regiment.net.answers import RECHECK_S, Answer, Answers, Unanswered
from regiment.net.hosts import Hosts
from regiment.net.selection import PREFERENCE, SERVICE_PREFIXES, Pointer, Question, Service

if TYPE_CHECKING:
    from regiment.net.name_servers import NameServers

ADDRESSES_MAX = 32
"""So many addresses of a host are told, as in Asterisk; no more SRV targets are looked up."""
RESOLUTION_S = 10.0
"""A resolution that takes longer has failed."""
LITERAL_TTL_S = 86_400.0
UNSURE_TTL_S = 300.0
"""Where some question had a negative answer (no SRV records yet), it is asked again after this."""
LONGEST_HOST = 253
LONGEST_LABEL = 63
SHOWN = 80
"""So much of a host that is no name stands in a message."""

DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
_FAMILY_TYPES = {6: selection.AAAA, 4: selection.A}


class Query(NamedTuple):
    """What is wanted of a host."""

    host: str
    port: int = 0
    """0: none is given, and NAPTR and SRV records say it."""
    protocol: str = ""
    """``udp``, ``tcp`` or ``tls`` where it is fixed; empty: what the records prefer."""
    offers: frozenset[tuple[str, int]] = frozenset({("udp", 4), ("udp", 6)})
    """(protocol, 4 or 6) that can be sent with."""
    strict: bool = False
    """RFC 3263's set of questions, not Asterisk's; a failed question fails the resolution."""
    secure: bool = False
    """A sips URI: TLS alone will do."""


class Candidate(NamedTuple):
    """One place to try."""

    peer: bytes
    """A `datagram.peer_from_address` value."""
    protocol: str
    rank: int = 0
    """Those of one rank are worth the same, and only weights have put them in order; 0 is best."""

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in peer_to_address(self.peer)[0] else 4


class Resolution(NamedTuple):
    """Where a host can be reached."""

    candidates: tuple[Candidate, ...]
    """Best first, weights drawn; never empty."""
    ttl_s: float
    """When to ask again: the records' shortest time, and up to a tenth of it more by chance."""


class Resolver:
    """Resolves hosts on the running loop; one for a worker, with one cache.

    `random` draws weights and moments, `clock_ns` is a monotonic clock. What name servers have
    answered, and how often what was out of date had to do, stands in `answers`.
    """

    def __init__(
        self, random: Random, clock_ns: Callable[[], int], service: NameService | None = None
    ) -> None:
        self.answers = Answers(self._ask, clock_ns)
        self._random = random
        self._running: dict[Query, asyncio.Task[Resolution]] = {}
        self.configure(service or NameService())

    def configure(self, service: NameService) -> None:
        """Who is asked from now on. What is known already stays as a reserve."""
        self._service = service
        self._hosts = Hosts(service.hosts_file)
        self._servers: NameServers | None = None

    def prepare(self) -> None:
        """Loads what asking takes: some 70 ms and 7 MB, better spent before the first turn."""
        self._name_servers()

    async def resolve(self, query: Query) -> Resolution:
        """Where `query.host` is. Raises `LocalError` with one line.

        Whoever asks the same meanwhile gets the same answer. A literal address, with or without
        brackets and with or without a zone, is not looked up. Takes `RESOLUTION_S` at most.
        """
        task = self._running.get(query)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._resolve(query))
            self._running[query] = task
            task.add_done_callback(lambda _: self._running.pop(query, None))
        return await asyncio.shield(task)

    def close(self) -> None:
        """Gives up what is running."""
        for task in list(self._running.values()):
            task.cancel()
        self.answers.close()

    # ---- one resolution

    async def _resolve(self, query: Query) -> Resolution:
        host = _bare(query.host)
        families = _families(query, default_protocol(query))
        if not families and not _services_wanted(query):
            wanted = (query.protocol or default_protocol(query)).upper()
            raise LocalError(f"{_shown(host)}: no transport speaks {wanted}")
        if family_of(host):
            return Resolution((_literal(host, query, families),), LITERAL_TTL_S)
        name = _plain_name(host)
        if there := self._hosts.addresses(name):
            return self._from_hosts(host, query, there, families)
        try:
            async with asyncio.timeout(RESOLUTION_S):
                found = await self._from_servers(name, query)
        except TimeoutError:
            raise LocalError(
                f"{host}: no answer from the name servers within {RESOLUTION_S:.0f} s"
            ) from None
        ttl_s = found.ttl_s * (1 + self._random.random() / 10)
        return Resolution(tuple(found.candidates[:ADDRESSES_MAX]), ttl_s)

    def _from_hosts(
        self, host: str, query: Query, addresses: Sequence[str], families: Sequence[int]
    ) -> Resolution:
        ours = [one for family in families for one in addresses if family_of(one) == family]
        if not ours:
            other = family_of(addresses[0])
            raise LocalError(_wrong_family(host, f"has IPv{other} addresses only", families))
        candidates = _candidates(ours, query.port, default_protocol(query))
        return Resolution(tuple(candidates[:ADDRESSES_MAX]), UNSURE_TTL_S)

    async def _from_servers(self, host: str, query: Query) -> _Search:
        """The first of the names that `host` may stand for that leads anywhere."""
        servers = self._name_servers()
        self.answers.believe(servers.refresh())
        search = _Search(self, query)
        for name in servers.candidates(host):
            await search.look(name)
            if search.candidates:
                return search
            if said := search.failure or search.refusal:
                raise LocalError(f"{host}: {said}")
        raise LocalError(await self._why(search))

    async def _why(self, search: _Search) -> str:
        """One line for a host that has no address for us."""
        query, host = search.query, _plain_name(search.query.host)
        families = _families(query, default_protocol(query))
        others = [family for family in (4, 6) if family not in families]
        for family in others if families else ():
            for name in self._name_servers().candidates(host):
                if await self.addresses_of(name, (family,), search):
                    said = f"has IPv{family} addresses only"
                    return _wrong_family(host, said, families)
        return f"{host}: {'has no address' if search.name_exists else 'no such name'}"

    async def addresses_of(self, name: str, families: Iterable[int], search: _Search) -> list[str]:
        """The addresses of a name, IPv6 before IPv4; what fails is noted in `search`."""
        if there := self._hosts.addresses(name):
            return [one for family in families for one in there if family_of(one) == family]
        types = [_FAMILY_TYPES[family] for family in families]
        answers = await asyncio.gather(*(search.ask(name, kind) for kind in types))
        return [address for answer in answers for address in answer.records]

    def order(self, services: Iterable[Service]) -> list[Service]:
        """By priority, weights drawn."""
        return selection.order_services(services, self._random)

    # ---- who is asked

    def _name_servers(self) -> NameServers:
        if self._servers is None:
            # dnspython is not loaded where no name is ever looked up.
            from regiment.net.name_servers import NameServers

            self._servers = NameServers(self._service)
            self._servers.refresh()
        return self._servers

    async def _ask(self, question: Question) -> Answer:
        return await self._name_servers().ask(question)


class _Search:
    """One way from a host to candidates, and what was learnt on it."""

    def __init__(self, resolver: Resolver, query: Query) -> None:
        self.query = query
        self.candidates: list[Candidate] = []
        self.ttl_s = LITERAL_TTL_S
        self.failure: Unanswered | None = None
        """The first question that nobody answered; only of weight where nothing was found."""
        self.refusal = ""
        """What the records say in so many words: there is nothing for us."""
        self.name_exists = False
        self._resolver = resolver

    async def ask(self, name: str, kind: str) -> Answer:
        """The answer to one question; a failure counts as a negative one, and is noted."""
        try:
            answer = await self._resolver.answers.get(Question(name, kind))
        except Unanswered as error:
            self.failure = self.failure or error
            self.ttl_s = min(self.ttl_s, RECHECK_S)
            return Answer((), RECHECK_S)
        self.name_exists |= answer.name_exists
        self.ttl_s = min(self.ttl_s, answer.ttl_s if answer.records else UNSURE_TTL_S)
        return answer

    async def look(self, host: str) -> None:
        """Follows `host` as far as it leads."""
        protocols = _services_wanted(self.query)
        if protocols:
            if not self.query.strict:
                await self._ask_all(host, protocols)
            if await self._take_records(host, protocols):
                return
        await self._take_addresses(host)

    async def _ask_all(self, host: str, protocols: Sequence[str]) -> None:
        """Puts Asterisk's whole set of questions at once: the answers are known from then on."""
        families = _families(self.query, default_protocol(self.query))
        questions = [Question(host, selection.NAPTR)]
        questions += [Question(SERVICE_PREFIXES[each] + host, selection.SRV) for each in protocols]
        questions += [Question(host, _FAMILY_TYPES[family]) for family in families]
        await asyncio.gather(*map(self._resolver.answers.renew, questions))

    async def _take_records(self, host: str, protocols: Sequence[str]) -> bool:
        """Takes what NAPTR, else SRV records lead to. False: there are none, addresses count.

        With the strict set a question that nobody answers ends the search; Asterisk goes on as if
        there were no records.
        """
        query = self.query
        if not (query.strict and query.protocol):
            pointers = await self.ask(host, selection.NAPTR)
            if query.strict and self.failure:
                return True
            if await self._follow(pointers.records, protocols):
                return True
        direct = await asyncio.gather(
            *(self._services(SERVICE_PREFIXES[each] + host) for each in protocols)
        )
        taken = await self._take(list(zip(protocols, direct, strict=True)))
        return taken or (query.strict and self.failure is not None)

    async def _services(self, name: str) -> list[Service]:
        return list((await self.ask(name, selection.SRV)).records)

    async def _follow(self, pointers: Iterable[Pointer], protocols: Sequence[str]) -> bool:
        """Takes the services that NAPTR records lead to. False: they lead to none."""
        named = selection.usable(pointers, protocols)
        found = await asyncio.gather(*(self._services(name) for name, _ in named))
        return await self._take(
            [(protocol, each) for (_, protocol), each in zip(named, found, strict=True)]
        )

    async def _take(self, offered: Sequence[tuple[str, Sequence[Service]]]) -> bool:
        """Takes the addresses of services, AAAA before A for each. False: there are no services."""
        ordered = [
            (place, protocol, service)
            for place, (protocol, services) in enumerate(offered)
            for service in self._resolver.order(services)
        ]
        if not ordered:
            return False
        # RFC 2782: a target that is the root says that the service is not to be had here.
        wanted = [each for each in ordered if each[2].target and each[2].port][:ADDRESSES_MAX]
        if not wanted:
            self.refusal = "its SRV records say that it offers no such service"
            return True
        found = await asyncio.gather(
            *(
                self._resolver.addresses_of(service.target, _families(self.query, protocol), self)
                for _, protocol, service in wanted
            )
        )
        ranks = list(dict.fromkeys((place, service.priority) for place, _, service in wanted))
        for (place, protocol, service), addresses in zip(wanted, found, strict=True):
            rank = ranks.index((place, service.priority))
            self._add(_candidates(addresses, service.port, protocol, rank))
        if not self.candidates:
            targets = list(dict.fromkeys(service.target for _, _, service in wanted))
            more = ", …" if len(targets) > 1 else ""
            self.refusal = f"its SRV records lead to no address for us ({targets[0]}{more})"
        return True

    async def _take_addresses(self, host: str) -> None:
        protocol = default_protocol(self.query)
        families = _families(self.query, protocol)
        addresses = await self._resolver.addresses_of(host, families, self)
        self._add(_candidates(addresses, self.query.port, protocol))

    def _add(self, candidates: Iterable[Candidate]) -> None:
        known = {(one.peer, one.protocol) for one in self.candidates}
        for one in candidates:
            if (one.peer, one.protocol) not in known:
                known.add((one.peer, one.protocol))
                self.candidates.append(one)


def default_protocol(query: Query) -> str:
    """What a host is spoken to with where no record says it: UDP, or TLS for a sips URI.

    Where nobody can send that, the best of what somebody can.
    """
    if query.protocol or query.secure:
        return query.protocol or "tls"
    offered = {protocol for protocol, _ in query.offers}
    return next((one for one in ("udp", *PREFERENCE) if one in offered), "udp")


def _services_wanted(query: Query) -> list[str]:
    """The protocols whose SRV records are asked for, the best first; none for a host:port."""
    if query.port or family_of(_bare(query.host)):
        return []
    fixed = query.protocol or ("tls" if query.secure else "")
    return [one for one in PREFERENCE if fixed in ("", one) and _families(query, one)]


def _families(query: Query, protocol: str) -> list[int]:
    """The families in which a protocol can be sent, IPv6 first."""
    return [family for family in (6, 4) if (protocol, family) in query.offers]


def _candidates(
    addresses: Iterable[str], port: int, protocol: str, rank: int = 0
) -> list[Candidate]:
    port = port or DEFAULT_PORTS[protocol]
    return [Candidate(_peer(address, port), protocol, rank) for address in addresses]


def _literal(host: str, query: Query, families: Sequence[int]) -> Candidate:
    family = family_of(host)
    if family not in families:
        raise LocalError(_wrong_family(host, f"is an IPv{family} address", families))
    protocol = default_protocol(query)
    return Candidate(_peer(host, query.port or DEFAULT_PORTS[protocol]), protocol)


def _peer(address: str, port: int) -> bytes:
    plain, _, zone = address.partition("%")
    try:
        scope = int(zone or 0) if zone.isdecimal() or not zone else socket.if_nametoindex(zone)
        return peer_from_address(plain, port, scope)
    except (OSError, OverflowError, ValueError):
        raise LocalError(f"{_shown(address)}: there is no interface {_shown(zone)}") from None


def _plain_name(host: str) -> str:
    """A host as it is asked for: ASCII (IDNA where it was not), lower case. Raises `LocalError`."""
    host = _bare(host)
    try:
        plain = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        plain = ""
    labels = plain.removesuffix(".").split(".")
    if (
        len(plain) > LONGEST_HOST
        or not all(0 < len(label) <= LONGEST_LABEL for label in labels)
        or not all(character.isalnum() or character in "-_." for character in plain)
    ):
        raise LocalError(f"{_shown(host)!r} cannot be a host name")
    return plain.lower()


def _bare(host: str) -> str:
    """Without the brackets of an IPv6 address."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _shown(host: str) -> str:
    return host if len(host) <= SHOWN else f"{host[:SHOWN]}…"


def _wrong_family(host: str, said: str, wanted: Sequence[int]) -> str:
    spoken = " and ".join(f"IPv{family}" for family in wanted) or "neither"
    return f"{host} {said}, but the transport speaks {spoken}"
