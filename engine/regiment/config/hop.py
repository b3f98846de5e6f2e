"""Which transports may carry a registration to its next hop."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from regiment.config.options import Refused
from regiment.config.uri import Uri
from regiment.model import Transport

SPOKEN = ("udp", "tcp", "tls")
"""Protocols of transports that registrations go over."""

_PROTOCOLS = frozenset((*SPOKEN, "ws", "wss"))
_SECURE = frozenset(("tls", "wss"))


def candidates(
    transports: Mapping[str, Transport],
    named: str,
    server: Uri,
    route: Uri | None,
    *,
    switches: bool = False,
) -> tuple[Transport, ...]:
    """Return those that may be used, in the order of the file: the one `named`, and no other.

    Without a name there are several if the resolver may choose: for a host name without port and
    without ``;transport=`` the first transport of each protocol and family; else of the protocol
    asked for (UDP) in the families possible. `route` is the first Route, where the packets go if
    there is one. `switches`: a long request may go over TCP where it would go over UDP
    (`disable_tcp_switch=no`), so the first one for TCP is among them too.

    Raises `Refused`: no such transport, an unknown protocol in a URI, a named transport of another
    protocol than a URI asks, a ``sips:`` URI over anything but TLS.
    """
    server_asks = _asked(server, "server_uri")
    target, option, asks = server, "server_uri", server_asks
    if route is not None:
        target, option, asks = route, "outbound_proxy", _asked(route, "outbound_proxy")
    is_secure = "sips" in (server.scheme, target.scheme)
    if named:
        return (_named(transports[named], option, asks, is_secure),)
    # Asterisk's own check, whatever the packets go over in the end.
    if not _first(transports, server_asks or "udp", server.is_ipv6):
        raise _missing(server_asks or "udp", server.is_ipv6, "server_uri")
    if is_secure and asks and asks not in _SECURE:
        raise Refused(f"server_uri is sips:, but {option} asks for {asks}", option=option)
    wanted: tuple[str, ...] = (asks or ("tls" if is_secure else "udp"),)
    is_open = target.is_name and not target.port and not asks and not is_secure
    also: tuple[str, ...] = SPOKEN if is_open else ("tcp",) if switches and not asks else ()
    families = (False, True) if target.is_name else (target.is_ipv6,)
    found = [
        one
        for protocol, is_ipv6 in product(dict.fromkeys((*wanted, *also)), families)
        if (one := _first(transports, protocol, is_ipv6)) is not None
        and not (is_secure and protocol not in _SECURE)
    ]
    if not found or not (is_open or any(one.protocol in wanted for one in found)):
        raise _missing(wanted[0], target.is_ipv6, option)
    order = {name: at for at, name in enumerate(transports)}
    return tuple(sorted(found, key=lambda one: order[one.name]))


def _named(transport: Transport, option: str, asks: str, is_secure: bool) -> Transport:
    name, protocol = transport.name, transport.protocol
    if asks and protocol not in (asks, "flow"):
        raise Refused(
            f"transport={name} is {protocol}, but {option} asks for {asks}", option="transport"
        )
    if is_secure and protocol not in (*_SECURE, "flow"):
        raise Refused(
            f"transport={name} is {protocol}, but server_uri is sips:, which is for TLS alone",
            option="transport",
        )
    return transport


def _asked(target: Uri, option: str) -> str:
    """Return the protocol that a URI asks for; sips wants a secure one (RFC 3261 26.2.2)."""
    asked = target.transport
    if asked and asked not in _PROTOCOLS:
        raise Refused(f"{option}: unknown transport '{asked}'", option=option)
    if target.scheme == "sips" and asked not in _SECURE:
        return "tls"
    return asked


def _first(transports: Mapping[str, Transport], protocol: str, is_ipv6: bool) -> Transport | None:
    for transport in transports.values():
        if transport.protocol == protocol and (":" in transport.bind_host) == is_ipv6:
            return transport
    return None


def _missing(protocol: str, is_ipv6: bool, option: str) -> Refused:
    family = " over IPv6" if is_ipv6 else ""
    return Refused(f"no {protocol} transport{family} is configured for {option}", option=option)
