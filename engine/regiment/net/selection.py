"""DNS records as the resolver uses them, and the choices that RFC 3263 and RFC 2782 make of them.

Nothing here asks anybody anything: records come in as plain tuples, and so does the generator that
the weights are drawn with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import NamedTuple

A = "A"
AAAA = "AAAA"
SRV = "SRV"
NAPTR = "NAPTR"

TYPES = (NAPTR, SRV, AAAA, A)

PREFERENCE = ("tls", "tcp", "udp")
"""Where a host offers several protocols and nobody asked for one: the best first."""

SERVICE_PREFIXES = {"tls": "_sips._tcp.", "tcp": "_sip._tcp.", "udp": "_sip._udp."}
"""Protocol -> what stands before a host in the question for its SRV records."""

_PROTOCOLS = {"sips+d2t": "tls", "sip+d2t": "tcp", "sip+d2u": "udp"}
"""NAPTR service in lower case -> protocol (RFC 3263 4.1)."""


class Question(NamedTuple):
    """What is asked of a name server; the name without a final dot, in lower case."""

    name: str
    type: str


class Service(NamedTuple):
    """An SRV record."""

    priority: int
    weight: int
    port: int
    target: str
    """Empty: the service is decidedly not there (``.``)."""


class Pointer(NamedTuple):
    """A NAPTR record."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str


def usable(pointers: Iterable[Pointer], protocols: Sequence[str]) -> list[tuple[str, str]]:
    """(name to ask for SRV records, protocol) of the NAPTR records that lead to `protocols`.

    Flag ``s``, no regular expression, one of the three services; of the lowest order among those
    alone (RFC 3403 4.1), by preference, and where that is equal by `PREFERENCE`.
    """
    found = sorted(
        (pointer.order, pointer.preference, PREFERENCE.index(protocol), pointer.replacement)
        for pointer in pointers
        if (protocol := _PROTOCOLS.get(pointer.service.lower(), "")) in protocols
        and pointer.flags.lower() == "s"
        and not pointer.regexp
        and pointer.replacement
    )
    return list(
        dict.fromkeys(
            (replacement, PREFERENCE[protocol])
            for order, _, protocol, replacement in found
            if order == found[0][0]
        )
    )


def order_services(services: Iterable[Service], random: Random) -> list[Service]:
    """In the order to be tried: by priority, and within one drawn by weight as RFC 2782 says.

    The weights count up along the records, those with 0 first, and the record at which the sum
    reaches a number from 0 to the whole is next; then the same with the rest.
    """
    ordered: list[Service] = []
    waiting = sorted(set(services))
    while waiting:
        peers = [service for service in waiting if service.priority == waiting[0].priority]
        waiting = waiting[len(peers) :]
        # `sorted` has put the weight behind the priority: those with 0 stand first already.
        while peers:
            drawn = random.randint(0, sum(service.weight for service in peers))
            for at, service in enumerate(peers):
                drawn -= service.weight
                if drawn <= 0:
                    ordered.append(peers.pop(at))
                    break
    return ordered
