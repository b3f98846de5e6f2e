"""Which transport carries a registration to its next hop."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.config.options import Refused
from regiment.config.uri import Uri
from regiment.model import Transport

_PROTOCOLS = frozenset(("udp", "tcp", "tls", "ws", "wss"))


def choose(
    transports: Mapping[str, Transport], named: str, server: Uri, route: Uri | None
) -> Transport:
    """Return the transport `named`, else the first of the kind that the URIs imply.

    `route` is the first Route, where the packets go if there is one. Raises `Refused`: no such
    transport, an unknown protocol in a URI, a named transport of another protocol than a URI asks.
    """
    server_asks = _implied(server, "server_uri")
    target, option = (server, "server_uri") if route is None else (route, "outbound_proxy")
    asks = server_asks if route is None else _implied(route, option)
    if not named:
        _first(transports, server, server_asks, "server_uri")
        return _first(transports, target, asks, option)
    transport = transports[named]
    is_explicit = bool(target.transport) or target.scheme == "sips"
    if is_explicit and transport.protocol not in (asks, "flow"):
        raise Refused(
            f"transport={named} is {transport.protocol}, but {option} asks for {asks}",
            option="transport",
        )
    return transport


def _implied(target: Uri, option: str) -> str:
    """Return the protocol that a URI implies; sips wants a secure one (RFC 3261 §26.2.2)."""
    asked = target.transport
    if asked and asked not in _PROTOCOLS:
        raise Refused(f"{option}: unknown transport '{asked}'", option=option)
    if target.scheme == "sips" and asked not in ("tls", "wss"):
        return "tls"
    return asked or "udp"


def _first(
    transports: Mapping[str, Transport], target: Uri, protocol: str, option: str
) -> Transport:
    """Return the first transport of that protocol and of the family that `target` implies."""
    for transport in transports.values():
        if transport.protocol == protocol and (":" in transport.bind_host) == target.is_ipv6:
            return transport
    family = " over IPv6" if target.is_ipv6 else ""
    raise Refused(f"no {protocol} transport{family} is configured for {option}", option=option)
