"""The TCP listeners of the HTTP API."""

from __future__ import annotations

import errno
import os
import socket

from regiment.errors import LocalError

BACKLOG = 128


def listeners(host: str, port: int) -> list[socket.socket]:
    """Listens at every address of `host`, all with one port (0: any).

    Raises `LocalError` in one line where that cannot be.
    """
    found: list[socket.socket] = []
    try:
        addresses = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in dict.fromkeys(addresses):
            listener = socket.socket(family, kind, protocol)
            found.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # else "::" takes the port of 0.0.0.0 too
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address[0], port, *address[2:]))
            listener.listen(BACKLOG)
            listener.setblocking(False)
            port = listener.getsockname()[1]
    except OSError as error:
        for listener in found:
            listener.close()
        raise LocalError(f"--api {host}:{port}: {_reason(error)}") from None
    return found


def url_of(listener: socket.socket) -> str:
    """Where it is reached, without a path."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "this name has no address"
    if error.errno == errno.EADDRINUSE:
        return "this address is in use"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address"
    return os.strerror(error.errno) if error.errno else str(error)
