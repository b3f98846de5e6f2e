"""What routers and hosts said about datagrams that could not be delivered."""

from __future__ import annotations

from typing import NamedTuple


class IcmpError(NamedTuple):
    """One ICMP or ICMPv6 error from a socket's error queue."""

    quoted: bytes
    """The start of the payload of the datagram that failed: as much as the error quoted, maybe
    none."""
    peer: bytes
    """Where that datagram went, as `datagram.peer_from_address` writes it."""
    errno: int
    """What the kernel makes of it: ECONNREFUSED, EHOSTUNREACH …"""
    type: int
    code: int
