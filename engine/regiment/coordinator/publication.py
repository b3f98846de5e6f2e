"""What Via and Contact say for a transport: where answers and calls come back to.

`external_signaling_address` (a name there is looked up once) or `_hostname` where set, unless the
target is in `local_net`; else the address of `bind`; else, for a wildcard, the local address from
which the target is reached. There is one published host a transport: where its targets want
different ones the first one's holds, and a warning says which transports to separate.
"""

from __future__ import annotations

import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout

import msgspec

from regiment.datagram import peer_from_address
from regiment.errors import LocalError
from regiment.model import Finding, Policy, Transport
from regiment.net import address
from regiment.uac.destination import destination_of

RESOLVE_S = 3.0
"""A target's name that takes longer is not waited for."""
COMPARED = 50
"""So many different targets of a transport are compared."""

_WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, not bound
# Addresses for documentation (RFC 5737, RFC 3849): nothing is sent, only the route is asked for.
_ANYWHERE = {False: "192.0.2.1", True: "2001:db8::1"}
_LOOPBACK = {False: "127.0.0.1", True: "::1"}


class Publication:
    """Decides once for each transport, by the first policy that uses it."""

    def __init__(self) -> None:
        self._hosts: dict[str, str] = {}
        self._outside: set[str] = set()
        self._compared: dict[str, set[str]] = {}
        self._differs: set[str] = set()
        self.warnings: list[Finding] = []

    def host_for(self, transport: Transport, policy: Policy) -> str:
        """The published host of `transport`, without brackets."""
        if transport.name not in self._hosts:
            self._hosts[transport.name] = self._decide(transport, policy)
        elif transport.local_net if _external(transport) else _is_wildcard(transport):
            self._compare(transport, policy)
        return self._hosts[transport.name]

    def adopt(self, name: str, host: str, is_outside: bool) -> None:
        """Keeps what was decided for a transport before; `is_outside`: for its external address."""
        self._hosts[name] = host
        if is_outside:
            self._outside.add(name)

    def is_outside(self, name: str) -> bool:
        """Whether a transport's external address is published."""
        return name in self._outside

    def published(self, transport: Transport) -> Transport:
        """`transport` with its external port only where its external host is published too."""
        if transport.name in self._outside:
            return transport
        return msgspec.structs.replace(transport, external_signaling_port=0)

    def _decide(self, transport: Transport, policy: Policy) -> str:
        target = destination_of(policy).host
        external = _external(transport)
        if external and not _is_near(transport, target):
            self._outside.add(transport.name)
            return self._external_host(transport)
        if not _is_wildcard(transport):
            return transport.bind_host
        is_v6 = ":" in transport.bind_host
        for candidate in (target, _ANYWHERE[is_v6], _LOOPBACK[is_v6]):
            if found := route_from(candidate, is_v6):
                return found
        return _LOOPBACK[is_v6]

    def _external_host(self, transport: Transport) -> str:
        """A name in `external_signaling_address` is looked up; one in `_hostname` is published."""
        host = _external(transport)
        if not transport.external_signaling_address or address.family_of(host):
            return host
        if found := _resolve(host, ":" in transport.bind_host):
            return found
        message = f"external_signaling_address: {host} has no address yet: its name is published"
        self.warnings.append(Finding(message, type="transport", name=transport.name))
        return host

    def _compare(self, transport: Transport, policy: Policy) -> None:
        """Warns once if a later target, given as an address, wants another host published."""
        destination = destination_of(policy)
        seen = self._compared.setdefault(transport.name, set())
        if (
            not destination.is_literal
            or destination.host in seen
            or transport.name in self._differs
            or len(seen) >= COMPARED
        ):
            return
        seen.add(destination.host)
        if difference := self._difference(transport, destination.host):
            self._differs.add(transport.name)
            self.warnings.append(
                Finding(
                    f"{difference}: {self._hosts[transport.name]} is published for all of them; "
                    "give the targets transports of their own, each with its bind",
                    type="transport",
                    name=transport.name,
                )
            )

    def _difference(self, transport: Transport, target: str) -> str:
        """What sets `target` apart from the first one; empty: nothing."""
        published = self._hosts[transport.name]
        if _external(transport):
            is_outside = transport.name in self._outside
            if is_outside != _is_near(transport, target):
                return ""
            where = "inside" if is_outside else "outside"
            return f"{target} is {where} local_net, other targets are not"
        found = route_from(target, ":" in transport.bind_host)
        if not found or found == published:
            return ""
        return f"{target} is reached from {found}, other targets from {published}"


def _is_wildcard(transport: Transport) -> bool:
    return transport.bind_host in _WILDCARDS


def _is_near(transport: Transport, target: str) -> bool:
    """`target` is in `local_net`, where the external address is of no use."""
    if not transport.local_net:
        return False
    is_v6 = ":" in transport.bind_host
    literal = target if address.family_of(target) else _resolve(target, is_v6)
    if not literal:
        return False
    found = ipaddress.ip_address(literal.partition("%")[0])
    return any(found in ipaddress.ip_network(net, strict=False) for net in transport.local_net)


def route_from(host: str, is_v6: bool) -> str:
    """The local address from which `host` is reached in that family; empty: none known."""
    literal = host if address.family_of(host) else _resolve(host, is_v6)
    if not literal or (":" in literal) != is_v6:
        return ""
    try:
        return address.local_address(peer_from_address(literal, 0))
    except LocalError:
        return ""


def _resolve(host: str, is_v6: bool) -> str:
    """The first address of a name; empty if there is none in time."""
    family = socket.AF_INET6 if is_v6 else socket.AF_INET
    pool = ThreadPoolExecutor(1)
    try:
        found = pool.submit(socket.getaddrinfo, host, None, family, socket.SOCK_DGRAM)
        return str(found.result(RESOLVE_S)[0][4][0])
    except (OSError, UnicodeError, FutureTimeout):
        return ""
    finally:
        pool.shutdown(wait=False)


def _external(transport: Transport) -> str:
    return (transport.external_signaling_address or transport.external_signaling_hostname).strip(
        "[]"
    )
