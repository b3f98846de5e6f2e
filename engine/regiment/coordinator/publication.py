"""Names in `external_signaling_address`, which are looked up once: when the file is read.

The files of a TLS transport are tried out at the same time, so that a key that does not open is
told when the configuration is loaded, not at the first connection.

A worker waits for no name, so it is given the address. `external_signaling_hostname` is said as it
stands (`worker.faces` decides to whom).
"""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout

import msgspec

from regiment.model import Finding, Transport
from regiment.net import address, tls

RESOLVE_S = 3.0
"""A name that takes longer is not waited for."""


class Publication:
    """Transports as workers get them, and what is to be said of it."""

    def __init__(self) -> None:
        self.warnings: list[Finding] = []

    def published(self, transport: Transport) -> Transport:
        """`transport` with an external address instead of a name. Takes `RESOLVE_S` at most."""
        if transport.tls is not None and (objection := tls.objection(transport.tls)):
            message = f"{objection}: nothing can connect over it"
            self.warnings.append(Finding(message, type="transport", name=transport.name))
        host = transport.external_signaling_address.strip("[]")
        if not host or address.family_of(host):
            return transport
        found = resolve(host, ":" in transport.bind_host)
        if not found:
            message = f"external_signaling_address: {host} has no address yet: its name is said"
            self.warnings.append(Finding(message, type="transport", name=transport.name))
            return transport
        return msgspec.structs.replace(transport, external_signaling_address=found)


def resolve(host: str, is_v6: bool) -> str:
    """The first address of a name; empty if there is none in time."""
    family = socket.AF_INET6 if is_v6 else socket.AF_INET
    pool = ThreadPoolExecutor(1)
    try:
        found = pool.submit(socket.getaddrinfo, host, None, family, socket.SOCK_DGRAM)
        return str(found.result(RESOLVE_S)[0][4][0])
    except (OSError, UnicodeError, FutureTimeout):
        return ""
    finally:
        pool.shutdown(wait=False)
