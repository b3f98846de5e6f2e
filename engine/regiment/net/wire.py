"""The socket of a connection: made as a transport asks for it, and its two ends."""

from __future__ import annotations

import contextlib
import socket
import sys

from regiment.datagram import peer_from_address, peer_to_address
from regiment.model import WILDCARDS, Transport
from regiment.net.binding import prioritize

# Linux's number, which Python's socket module does not have: no port is taken before it is known
# where the connection goes, so that one port serves connections to several peers.
IP_BIND_ADDRESS_NO_PORT = 24


def connect(peer: bytes, transport: Transport) -> socket.socket:
    """A non-blocking socket that is on its way to `peer`. Raises `OSError`."""
    host, port = peer_to_address(peer)
    is_v6 = ":" in host
    opened = socket.socket(
        socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    )
    try:
        _dress(opened, transport, is_v6)
        address: tuple[str, int] | tuple[str, int, int, int] = (host, port)
        if is_v6:
            address = (host, port, 0, int.from_bytes(peer[24:28], sys.byteorder))
        with contextlib.suppress(BlockingIOError):
            opened.connect(address)
    except OSError:
        opened.close()
        raise
    return opened


def _dress(opened: socket.socket, transport: Transport, is_v6: bool) -> None:
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if transport.tos and is_v6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, transport.tos)
    elif transport.tos:
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, transport.tos)
    prioritize(opened, transport.cos)
    if transport.tcp_keepalive:
        idle_s, interval_s, probes = transport.tcp_keepalive
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval_s)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, probes)
    bind_host = transport.bind_host
    if bind_host not in WILDCARDS and (":" in bind_host) == is_v6:
        opened.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        opened.bind((bind_host, 0))


def local_end(opened: socket.socket) -> bytes:
    """Our end, as `datagram.peer_from_address` writes it. Raises `OSError`."""
    name = opened.getsockname()
    return peer_from_address(name[0].partition("%")[0], name[1], name[3] if len(name) > 2 else 0)
