"""Where a policy's REGISTERs go: the next hop, read from the first Route or the server_uri."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from regiment.errors import LocalError
from regiment.model import Policy


class Destination(NamedTuple):
    """Scheme, host, port (0: not given) and protocol of a next hop."""

    scheme: str
    host: str
    port: int
    protocol: str
    is_literal: bool
    """The host is an IP address."""


class TargetInfo(msgspec.Struct, frozen=True, array_like=True):
    """What a worker and its coordinator need to know of a target."""

    index: int
    label: str
    host: str
    port: int
    protocol: str
    registrations: int
    max_rate: float
    """Attempts a second over the whole engine; 0: no limit."""
    socket: int = 0
    """Index of the socket by which it is reached."""


def split_uri(uri: str) -> tuple[str, str, int, dict[str, str]]:
    """``(scheme, host, port or 0, parameters)`` of a sip URI, with or without angle brackets.

    Raises LocalError where there is no host or the port is no number.
    """
    text = uri.strip()
    if text.startswith("<"):
        text = text[1:].partition(">")[0]
    scheme, colon, rest = text.partition(":")
    rest = rest.partition("?")[0]
    # a user part may hold semicolons: only what follows the last @ is host and parameters
    hostport, _, parameters = rest.rpartition("@")[2].partition(";")
    if hostport.startswith("["):
        host, _, tail = hostport[1:].partition("]")
        port_text = tail.removeprefix(":")
    else:
        host, _, port_text = hostport.partition(":")
    if not colon or not host or (port_text and not port_text.isdecimal()):
        raise LocalError(f"{uri!r} is no SIP URI with a host")
    pairs = (item.partition("=") for item in parameters.split(";") if item)
    return (
        scheme.lower(),
        host.lower(),
        int(port_text or 0),
        {name.strip().lower(): value.strip() for name, _, value in pairs},
    )


def is_address(host: str) -> bool:
    """An IPv4 or IPv6 literal (the latter without brackets)."""
    if ":" in host:
        return True
    parts = host.split(".")
    return len(parts) == 4 and all(part.isdecimal() and int(part) < 256 for part in parts)


def destination_of(policy: Policy) -> Destination:
    """The next hop of a policy: the first Route if there is one, else server_uri (RFC 3261 8.1.2).

    `maddr` takes the place of the host.
    """
    uri = policy.outbound_proxy[0] if policy.outbound_proxy else policy.server_uri
    scheme, host, port, parameters = split_uri(uri)
    host = parameters.get("maddr", host).lower()
    protocol = parameters.get("transport", "tls" if scheme == "sips" else "udp").lower()
    return Destination(scheme, host, port, protocol, is_address(host))


def label_of(server_uri: str) -> str:
    """host[:port] of a server_uri in lower case: the `registrar` label."""
    _, host, port, _ = split_uri(server_uri)
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port else shown
