"""Where a policy's REGISTERs go: the next hop, read from the first Route or the server_uri."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import msgspec

from regiment.model import Certificate, Policy
from regiment.sip.uri import hop_of, parse_uri


class Destination(NamedTuple):
    """Scheme, host, port (0: not given) and protocol of a next hop."""

    scheme: str
    host: str
    port: int
    protocol: str
    is_literal: bool
    """The host is an IP address."""


class Place(NamedTuple):
    """An address of a target, the transport that leads there, and our side as seen from there."""

    peer: bytes
    """A `datagram.peer_from_address` value."""
    transport: int
    """Number of the transport, as `add_transport` gave it."""
    host: str
    """What Via and Contact say there, without brackets."""
    port: int


class Dial(NamedTuple):
    """A connection that the core wants."""

    flow: int
    """The number that it gives it."""
    peer: bytes
    transport: int
    server_name: str
    """The next hop as configured: for SNI, and what the certificate has to be for (RFC 5922)."""
    certificate: Certificate | None
    """What it shows of itself; None: the transport's own."""


class TargetInfo(msgspec.Struct, frozen=True, array_like=True):
    """What a worker and its coordinator need to know of a target."""

    index: int
    label: str
    host: str
    port: int
    protocol: str
    """Empty: the resolver chooses among its transports."""
    registrations: int
    max_rate: float
    """Attempts a second over the whole engine; 0: no limit."""
    transports: tuple[int, ...] = (0,)
    """Numbers of the transports that may carry requests to it, in the order of the file."""
    is_secure: bool = False
    """A `sips:` URI leads there: TLS alone will do."""
    is_strict: bool = False
    """RFC 3263's set of questions, not Asterisk's."""
    max_outstanding: int = 0
    """Attempts that may be outstanding over the whole engine; 0: no limit."""


class AddressHealth(msgspec.Struct, frozen=True, array_like=True):
    """One address of a target, as a worker has come to know it."""

    address: str
    """host:port, IPv6 in brackets."""
    transport: str
    """Name of the transport by which it is reached."""
    protocol: str
    state: str
    """One of `ADDRESS_STATES`."""
    outstanding: int = 0
    """Transactions towards it that nothing has answered yet."""
    window: int = 0
    """So many may be; 0: no limit."""
    gate_s: float = 0.0
    """Until its Retry-After is over; 0: it is not gated."""
    reason: str = ""
    """Why it is not up, in one line; empty: nothing is known against it."""


class Health(msgspec.Struct, frozen=True, array_like=True):
    """How a target is, seen from one worker."""

    index: int
    """Of the target, as in `TargetInfo`."""
    addresses: tuple[AddressHealth, ...] = ()
    """Best first, without those that a lookup no longer gives."""
    outstanding: int = 0
    """Transactions towards all of its addresses."""
    window: int = 0
    """So many the governor allows; 0: no limit."""
    rate: float = 0.0
    """Attempts a second that the governor has learned; 0: it has not had to."""
    gate_s: float = 0.0
    """Until the target as a whole may be asked again; 0: now."""
    retry_after_s: float = 0.0
    """The longest Retry-After that still runs at one of its addresses; 0: none does."""
    waiting: int = 0
    """Due attempts that wait for rate, window or gate."""
    open: int = 0
    """Connections that stand (TCP, TLS)."""
    connecting: int = 0
    reason: str = ""
    """Why it has no address or no connection; empty: it has, or none was wanted yet."""


ADDRESS_STATES = ("up", "unproven", "suspect", "gated", "down")
"""Answers; has not answered yet; silent of late; asked for a pause; refused connections."""


def is_address(host: str) -> bool:
    """An IPv4 or IPv6 literal (the latter without brackets)."""
    if ":" in host:
        return True
    parts = host.split(".")
    return len(parts) == 4 and all(part.isdecimal() and int(part) < 256 for part in parts)


def destination_of(policy: Policy, protocols: frozenset[str] = frozenset()) -> Destination:
    """The next hop of a policy: the first Route if there is one, else server_uri (RFC 3261 8.1.2).

    `maddr` takes the place of the host. `protocols`: those of the transports that may be used; the
    protocol stays open (empty) if there are several and the URI asks for none. Raises
    `sip.uri.UriError` (config has looked before).
    """
    uri = parse_uri(policy.outbound_proxy[0] if policy.outbound_proxy else policy.server_uri)
    host = (uri.parameter("maddr") or uri.host).lower()
    protocol = uri.parameter("transport") or ("tls" if uri.scheme == "sips" else "")
    if not protocol and len(protocols) < 2:
        protocol = next(iter(protocols), "udp")
    return Destination(uri.scheme, host, uri.port, protocol.lower(), is_address(host))


@lru_cache(maxsize=4096)
def redirect_of(redirect: str, server_uri: str) -> str:
    """Where calls are sent on to; empty where that is the registrar from which they come.

    A provider's endpoint usually has the provider itself as its aor's contact, for the calls to it:
    a call from there would go round in circles.
    """
    if not redirect:
        return ""
    return "" if hop_of(redirect) == hop_of(server_uri) else redirect


def label_of(server_uri: str) -> str:
    """host[:port] of a server_uri in lower case: the `registrar` label."""
    uri = parse_uri(server_uri)
    host = uri.host.lower()
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{uri.port}" if uri.port else shown
