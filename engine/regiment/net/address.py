"""Addresses as people write them, and which of ours leads to one of theirs."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys

from regiment.datagram import peer_to_address
from regiment.errors import LocalError

LONGEST_PORT = 65535


def family_of(host: str) -> int:
    """4 or 6 for a literal address (no brackets), 0 for anything else."""
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return 0


def join(host: str, port: int) -> str:
    """``host:port``, with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split(text: str, default_port: int = 0) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port``, ``[v6]``, ``[v6]:port`` or a bare IPv6 address.

    Without a port: `default_port`. Raises `LocalError`.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or family_of(host) != 6:
            raise LocalError(f"{text}: within the brackets belongs an IPv6 address")
        if rest and not rest.startswith(":"):
            raise LocalError(f"{text}: after the bracket comes nothing but :port")
        colon, written = rest[:1], rest[1:]
    elif family_of(text) == 6:
        return text, default_port
    else:
        host, colon, written = text.partition(":")
    if not host:
        raise LocalError(f"{text or 'an empty text'}: the host is missing")
    if not colon:
        return host, default_port
    # isdecimal alone takes the digits of every script.
    if not (written.isascii() and written.isdecimal()) or int(written) > LONGEST_PORT:
        raise LocalError(f"{text}: the port must be a number up to {LONGEST_PORT}")
    return host, int(written)


def local_address(peer: bytes) -> str:
    """The address of ours from which a datagram to `peer` leaves, by the routing table.

    `peer` is a `datagram.peer_from_address` value. Sends nothing. Raises `LocalError` where no
    route leads there.
    """
    host, port = peer_to_address(peer)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    scope = int.from_bytes(peer[24:28], sys.byteorder)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Connecting a UDP socket only asks for the route; any port but 0 will do.
            if family == socket.AF_INET:
                probe.connect((host, port or 1))
            else:
                probe.connect((host, port or 1, 0, scope))
            return str(probe.getsockname()[0])
    except OSError as error:
        if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL):
            raise LocalError(f"no route to {host}") from None
        raise LocalError(f"no way to {host}: {error.strerror or error}") from None
