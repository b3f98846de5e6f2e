"""What Via and Contact say towards an address: where answers and calls come back to.

`external_signaling_address` or `external_signaling_hostname`, unless `local_net` is given and holds
the address; else the host of `bind`; else, for a wildcard, the address of ours from which that one
is reached. The port is that of the socket (UDP) or of `bind` as it is written (TCP and TLS, which
have no socket of their own), in place of which `external_signaling_port` may stand. All of it is
decided for each address of a target by itself: one may be on the near side of the router and the
next beyond it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache

import msgspec

from regiment.datagram import peer_from_address, peer_to_address
from regiment.errors import LocalError
from regiment.model import Transport
from regiment.net import address
from regiment.uac.destination import Place

REMEMBERED = 4096
"""So many addresses are remembered with the one of ours that leads there."""

# Addresses for documentation (RFC 5737, RFC 3849): nothing is sent, only the route is asked for.
_ANYWHERE = {False: "192.0.2.1", True: "2001:db8::1"}
_LOOPBACK = {False: "127.0.0.1", True: "::1"}

Route = Callable[[bytes], str]
"""The address of ours from which a peer is reached; raises `LocalError` where no way leads."""


class Face(msgspec.Struct, frozen=True):
    """A transport as one worker has it."""

    transport: Transport
    port: int
    """Of the worker's socket; of `bind` where there is none."""
    worker: int = 0
    """Worker k of n has the external port + k, as it has the port + k."""

    def port_outside(self) -> int:
        """The port behind an external address."""
        external = self.transport.external_signaling_port
        if not external:
            return self.port
        return external if self.transport.is_stream else external + self.worker


def decide(face: Face, host: str, local: Callable[[], str]) -> tuple[str, int]:
    """Host (without brackets) and port that Via and Contact say towards the address `host`.

    `local` is called for a wildcard alone, and gives the address of ours that leads there.
    """
    transport = face.transport
    external = external_of(transport)
    if external and not is_near(transport.local_net, host):
        return external, face.port_outside()
    if not transport.is_everywhere:
        return transport.bind_host, face.port
    return local(), face.port


def external_of(transport: Transport) -> str:
    """The host that a transport has beyond the router, without brackets; empty: none is given."""
    external = transport.external_signaling_address or transport.external_signaling_hostname
    return external.strip("[]")


def is_near(local_net: tuple[str, ...], host: str) -> bool:
    """Whether an address is in one of the networks. No networks: everything is beyond them."""
    if not local_net:
        return False
    found = ipaddress.ip_address(host)
    return any(found in network for network in _networks(local_net))


@lru_cache(maxsize=64)
def _networks(
    written: tuple[str, ...],
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(each, strict=False) for each in written)


class Faces:
    """The faces of a worker's transports, by the numbers that the core gave them."""

    def __init__(self, route: Route = address.local_address) -> None:
        self._route = route
        self._faces: dict[int, Face] = {}
        self._locals: dict[bytes, str] = {}

    def add(self, number: int, face: Face) -> None:
        """A transport that the core knows by this number."""
        self._faces[number] = face

    def general(self, face: Face) -> tuple[str, int]:
        """Host and port as long as no address is known: as towards one beyond the router."""
        anywhere = _ANYWHERE[":" in face.transport.bind_host]
        return decide(face, anywhere, lambda: self._local(peer_from_address(anywhere, 0)))

    def offer(self, number: int) -> tuple[str, int]:
        """Protocol and address family (4 or 6) of a transport."""
        transport = self._faces[number].transport
        return transport.protocol, 6 if ":" in transport.bind_host else 4

    def place(self, peer: bytes, number: int) -> Place:
        """The address `peer` (`datagram.peer_from_address`) as the core wants it.

        Some 2 µs; some 15 µs more where the system is asked which address of ours leads there.
        """
        host, _ = peer_to_address(peer)
        bare = host.partition("%")[0]
        return Place(peer, number, *decide(self._faces[number], bare, lambda: self._local(peer)))

    def forget(self) -> None:
        """The routes may have changed: the system is asked again. To be called now and then."""
        self._locals.clear()

    def _local(self, peer: bytes) -> str:
        found = self._locals.get(peer)
        if found is None:
            if len(self._locals) >= REMEMBERED:
                self._locals.clear()
            found = self._locals[peer] = self._ask(peer)
        return found

    def _ask(self, peer: bytes) -> str:
        """Without a route nothing can be sent either: any address of ours is as good then."""
        is_v6 = ":" in peer_to_address(peer)[0]
        for candidate in (peer, peer_from_address(_ANYWHERE[is_v6], 0)):
            try:
                # a zone belongs to this machine and means nothing in a Contact
                return self._route(candidate).partition("%")[0]
            except LocalError:
                continue
        return _LOOPBACK[is_v6]
