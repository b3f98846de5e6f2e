"""Opening and binding sockets, with one clear line for whatever goes wrong."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import resource
import socket

from regiment.errors import LocalError

# Linux's numbers, which Python's socket module does not have.
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33

BACKLOG = 4096
"""Connections that wait to be accepted; the kernel takes net.core.somaxconn at most."""


def open_udp(
    host: str,
    port: int,
    *,
    receive_buffer_bytes: int,
    send_buffer_bytes: int,
    tos: int = 0,
    cos: int = 0,
    reuse_port: bool = False,
) -> socket.socket:
    """A bound, non-blocking UDP socket at a literal address; port 0: any.

    Buffers of 0 bytes keep the kernel's default. With the right to (CAP_NET_ADMIN) they exceed
    rmem_max and wmem_max. An IPv6 socket takes IPv6 alone, so that both families can share a port.
    `tos` is the whole byte, `cos` the priority of what is sent (SO_PRIORITY, which VLANs map to
    802.1p); 0: the kernel's. Raises `LocalError`.
    """
    opened, version, place = _open("UDP", socket.SOCK_DGRAM, host, port)
    try:
        if version == 6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if tos and version == 4:
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        elif tos:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
        prioritize(opened, cos)
        if reuse_port:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _size_buffer(opened, SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_buffer_bytes)
        _size_buffer(opened, SO_SNDBUFFORCE, socket.SO_SNDBUF, send_buffer_bytes)
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise LocalError(_reason(place, error)) from None
    return opened


def open_tcp(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A bound, listening, non-blocking TCP socket at a literal address; port 0: any.

    An IPv6 socket takes IPv6 alone. Raises `LocalError`.
    """
    opened, version, place = _open("TCP", socket.SOCK_STREAM, host, port)
    try:
        if version == 6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # What a former process left in TIME_WAIT must not keep us from its port.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind((host, port))
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise LocalError(_reason(place, error)) from None
    return opened


def _open(protocol: str, kind: int, host: str, port: int) -> tuple[socket.socket, int, str]:
    """An unbound, non-blocking socket, the IP version of `host`, and the place for messages."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        raise LocalError(f"{protocol} {host}: not an IP address") from None
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    place = f"{protocol} {host}:{port}" if version == 4 else f"{protocol} [{host}]:{port}"
    if not 0 <= port <= 65535:
        raise LocalError(f"{place}: a port is at most 65535")
    try:
        return socket.socket(family, kind | socket.SOCK_NONBLOCK), version, place
    except OSError as error:
        raise LocalError(_reason(place, error)) from None


def prioritize(opened: socket.socket, cos: int) -> None:
    """Sets SO_PRIORITY; 0: leaves the kernel's. Raises `OSError`.

    To be called after the type of service is set, which sets a priority of its own. 7 wants
    CAP_NET_ADMIN: without it the socket keeps what it has, for packets without a priority are
    better than none.
    """
    if cos:
        with contextlib.suppress(PermissionError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, cos)


def granted_bytes(opened: socket.socket, option: int) -> int:
    """The size of a buffer in the terms in which it was asked for (the kernel keeps the double)."""
    return opened.getsockopt(socket.SOL_SOCKET, option) // 2


def _size_buffer(opened: socket.socket, forced: int, option: int, size_bytes: int) -> None:
    if not size_bytes:
        return
    # The kernel doubles what it is given in an int.
    size_bytes = min(size_bytes, 2**30 - 1)
    try:
        opened.setsockopt(socket.SOL_SOCKET, forced, size_bytes)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, option, size_bytes)


def _reason(place: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{place}: no interface of this machine has that address"
    if error.errno == errno.EACCES:
        return f"{place}: no permission for that port"
    if error.errno == errno.EMFILE:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f"{place}: too few file descriptors, the limit is {limit}: raise it with ulimit -n"
    if error.errno == errno.ENFILE:
        return f"{place}: the system has no file descriptors left: raise fs.file-max"
    if error.errno == errno.EAFNOSUPPORT:
        return f"{place}: this machine has no such address family"
    return f"{place}: {os.strerror(error.errno) if error.errno else error}"
