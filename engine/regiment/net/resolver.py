"""Names to addresses: the one door through which targets are looked up.

So far it asks the system's resolver, getaddrinfo, for the host as it stands (a host without a port
means 5060). Callers get socket addresses in the order to try them and know nothing of how.
"""

from __future__ import annotations

import asyncio
import socket

from regiment.datagram import peer_from_address
from regiment.errors import LocalError
from regiment.net.address import family_of

DEFAULT_PORT = 5060

_FAMILIES = {0: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}
_NAMES_NOTHING = (
    socket.EAI_NONAME,
    getattr(socket, "EAI_NODATA", socket.EAI_NONAME),
    getattr(socket, "EAI_ADDRFAMILY", socket.EAI_NONAME),
)


async def resolve(host: str, port: int = 0, family_wanted: int = 0) -> list[bytes]:
    """The addresses of `host` (`datagram.peer_from_address` values), best first; never empty.

    `family_wanted` is 4, 6 or 0 for both. A literal address, with or without brackets, is not
    looked up; a name is, in a thread. Raises `LocalError` with one line: no such name, no answer
    from the name server, addresses of the other family only.
    """
    port = port or DEFAULT_PORT
    host = host.removeprefix("[").removesuffix("]")
    family = family_of(host)
    if family:
        if family_wanted not in (0, family):
            raise LocalError(_wrong_family(host, f"is an IPv{family} address", family_wanted))
        return [_literal(host, port)]
    try:
        if not host or not host.isprintable():
            raise ValueError
        return await _look_up(host, port, family_wanted)
    except socket.gaierror as error:
        if error.errno not in _NAMES_NOTHING:
            raise LocalError(f"{host}: {_reason(error)}") from None
        other = 10 - family_wanted
        if family_wanted and await _has(host, port, other):
            said = f"has IPv{other} addresses only"
            raise LocalError(_wrong_family(host, said, family_wanted)) from None
        raise LocalError(f"{host}: no such name") from None
    except (UnicodeError, ValueError):
        raise LocalError(f"{host!r} cannot be a host name") from None
    except OSError as error:
        raise LocalError(f"{host}: the look-up failed: {error.strerror or error}") from None


async def _look_up(host: str, port: int, family: int) -> list[bytes]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        host, port, family=_FAMILIES[family], type=socket.SOCK_DGRAM, proto=socket.IPPROTO_UDP
    )
    peers: dict[bytes, None] = {}
    for _, _, _, _, address in found:
        # An IPv6 address brings its zone as a number, and maybe as a name behind a per cent sign.
        scope = address[3] if len(address) > 2 else 0
        peers[peer_from_address(str(address[0]).partition("%")[0], port, scope)] = None
    if not peers:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    return list(peers)


async def _has(host: str, port: int, family: int) -> bool:
    try:
        return bool(await _look_up(host, port, family))
    except OSError:
        return False


def _literal(host: str, port: int) -> bytes:
    plain, _, zone = host.partition("%")
    if not zone or zone.isdecimal():
        return peer_from_address(plain, port, int(zone or 0))
    try:
        return peer_from_address(plain, port, socket.if_nametoindex(zone))
    except OSError:
        raise LocalError(f"{host}: there is no interface {zone}") from None


def _wrong_family(host: str, said: str, wanted: int) -> str:
    return f"{host} {said}, but the transport speaks IPv{wanted}"


def _reason(error: socket.gaierror) -> str:
    if error.errno == socket.EAI_AGAIN:
        return "no answer from the name server"
    return f"the look-up failed: {error.strerror}"
