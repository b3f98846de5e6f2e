"""Name servers, asked by dnspython: which ones there are, and what they answer.

Over UDP, and over TCP where an answer was cut short. A server that gives no answer in its part of
`QUESTION_S` is passed over for the next one, and whoever has answered is asked first from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.rcode
import dns.rdatatype
import dns.resolver

from regiment.model import NameService
from regiment.net import selection
from regiment.net.address import family_of, join
from regiment.net.answers import Answer, Unanswered
from regiment.net.hosts import Stamp, stamp_of
from regiment.net.selection import Pointer, Question, Service

QUESTION_S = 5.0
"""One question is given up after this, over all servers and tries."""
TRIES = 2
"""At least so often every server is asked in that time."""
LONGEST_TRY_S = 2.0
MOST_SERVERS = 8
MOST_SEARCHED = 6
"""Domains of a search list; libc takes no more either."""
MOST_RECORDS = 256
"""Of one answer; the rest is left."""
PORT = 53

_DEFAULT_SERVER = ("127.0.0.1", PORT)
"""Asked where no file names any, as libc does."""

Server = tuple[str, int]


class NameServers:
    """The servers of `service`, or else of its resolv.conf, which is read again when it changes."""

    def __init__(self, service: NameService) -> None:
        self._service = service
        self._stamp: Stamp | None = None
        self._is_read = False
        self._search: tuple[str, ...] = ()
        self._servers: tuple[Server, ...] = ()
        self._backend = dns.asyncbackend.get_backend("asyncio")
        self._stub = dns.asyncresolver.Resolver(configure=False)

    def refresh(self) -> tuple[Server, ...]:
        """The servers as they are now. Costs one `stat`."""
        stamp = stamp_of(self._service.resolv_file)
        if self._is_read and stamp == self._stamp:
            return self._servers
        self._stamp, self._is_read = stamp, True
        servers, self._search = read(self._service.resolv_file)
        self._servers = (self._service.servers or servers or (_DEFAULT_SERVER,))[:MOST_SERVERS]
        stub = dns.asyncresolver.Resolver(configure=False)
        stub.nameservers = [dns.nameserver.Do53Nameserver(*server) for server in self._servers]
        stub.timeout = min(QUESTION_S / (TRIES * len(self._servers)), LONGEST_TRY_S)
        stub.lifetime = QUESTION_S
        self._stub = stub
        return self._servers

    def candidates(self, host: str) -> tuple[str, ...]:
        """Full names that `host` may stand for, in the order to try them (resolv.conf's search).

        One without a dot is tried in the domains of the search list first, any other as it is
        first; one with a final dot is full.
        """
        if host.endswith("."):
            return (host.rstrip("."),)
        longer = tuple(f"{host}.{domain}" for domain in self._search)
        return (host, *longer) if "." in host else (*longer, host)

    async def ask(self, question: Question) -> Answer:
        """Puts one question. Raises `Unanswered` with one line.

        A name that is no name (too long with what stands before it) does not exist.
        """
        stub = self._stub
        try:
            name = dns.name.from_text(question.name, dns.name.root)
        except (dns.exception.DNSException, UnicodeError, ValueError):
            return Answer((), 0.0, name_exists=False)
        try:
            answer = await stub.resolve(
                name,
                question.type,
                raise_on_no_answer=False,
                search=False,
                backend=self._backend,
            )
        except dns.resolver.NXDOMAIN as error:
            responses: dict[Any, Any] = error.kwargs["responses"]
            ttl_s = float(responses[name].resolve_chaining().minimum_ttl)
            return Answer((), ttl_s, name_exists=False)
        except dns.resolver.LifetimeTimeout as error:
            said = _reason(error.kwargs.get("errors", ()))
            raise Unanswered(said or f"no answer from {self._spelled()}", "timeout") from None
        except dns.resolver.NoNameservers as error:
            said = _reason(error.kwargs.get("errors", ()))
            raise Unanswered(said or f"no answer from {self._spelled()}") from None
        except (dns.exception.DNSException, OSError) as error:
            raise Unanswered(f"the look-up failed ({type(error).__name__})") from None
        self._prefer(stub, answer.nameserver, answer.port)
        ttl_s = float(answer.chaining_result.minimum_ttl)
        return Answer(tuple(_records(question.type, answer.rrset or ())), ttl_s)

    def _prefer(self, stub: dns.asyncresolver.Resolver, host: str | None, port: int | None) -> None:
        """Whoever has answered is the first to be asked."""
        servers: list[Any] = list(stub.nameservers)
        servers.sort(key=lambda one: (one.answer_nameserver(), one.answer_port()) != (host, port))
        stub.nameservers = servers

    def _spelled(self) -> str:
        named = ", ".join(join(*server) for server in self._servers)
        return f"the name server{'s' if len(self._servers) > 1 else ''} {named}"


def read(path: str) -> tuple[tuple[Server, ...], tuple[str, ...]]:
    """Servers and search list of a resolv.conf; what makes no sense is passed over, as in libc."""
    servers: list[Server] = []
    search: tuple[str, ...] = ()
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(1 << 16)
    except OSError:
        return (), ()
    for line in text.splitlines():
        word, *values = line.partition("#")[0].partition(";")[0].split() or ("",)
        if word == "nameserver" and values and family_of(values[0]):
            servers.append((values[0], PORT))
        elif word in ("search", "domain") and values:
            domains = (value.strip(".").lower() for value in values[:MOST_SEARCHED])
            search = tuple(domain for domain in domains if domain)
    return tuple(servers), search


def _records(kind: str, found: Iterable[Any]) -> list[Any]:
    """Of dnspython's records those that are of use, and no more than `MOST_RECORDS`."""
    taken: list[Any] = []
    for each in found:
        match kind:
            case selection.SRV:
                taken.append(Service(each.priority, each.weight, each.port, _text(each.target)))
            case selection.NAPTR:
                taken.append(
                    Pointer(
                        each.order,
                        each.preference,
                        each.flags.decode("latin-1"),
                        each.service.decode("latin-1"),
                        each.regexp.decode("latin-1"),
                        _text(each.replacement),
                    )
                )
            case _:
                taken.append(str(each.address))
    if kind in (selection.SRV, selection.NAPTR):
        # Those that are left out shall be the least wanted.
        taken.sort()
    return taken[:MOST_RECORDS]


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _reason(errors: Iterable[tuple[str, bool, int, Any, Any]]) -> str:
    """What the last server did that did anything but keep silent; empty: none did."""
    for server, _, port, error, _ in reversed(list(errors)):
        address = server.partition(":")[2].rpartition("@")[0]
        who = f"the name server {join(address, port)}"
        match error:
            case str():
                return f"{who} says {error}"
            case dns.exception.Timeout() | asyncio.TimeoutError() | dns.message.Truncated():
                continue
            case dns.message.ChainTooLong():
                return f"{who} answers with aliases that go round in circles"
            case OSError() if error.errno:
                return f"{who} cannot be reached: {error.strerror or type(error).__name__}"
            case _:
                return f"{who} answers with garbage ({type(error).__name__})"
    return ""
