"""Who may ask what of the HTTP API.

Over the Unix socket everybody who can open it may do everything: its mode says who that is. Over
TCP a change always wants the bearer token; with none set there are no changes over TCP. Reads want
it beyond loopback, unless they were opened; probes never do.

A web page must not reach the engine through somebody's browser. A browser says in `Origin` where a
script comes from: anything but ourselves is refused. A page whose name was made to point at
loopback (DNS rebinding) is told by `Host`: a listener on loopback answers to addresses and to
``localhost`` only. Beyond loopback names are legitimate, and there nothing is open that the user
has not opened: a page has no token.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from regiment.errors import LocalError

PROBES = frozenset({"/livez", "/readyz"})
METRICS = "/metrics"
_READS = ("GET", "HEAD")
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.%]+\]|[^][:/?#@\s]*)(:[0-9]{1,5})?")


class Refusal(NamedTuple):
    """Why a request is not even looked at."""

    status: int
    detail: str


class Guard(msgspec.Struct, frozen=True):
    """The rules of one listener."""

    token: str = ""
    is_local: bool = False
    """A Unix socket."""
    is_loopback: bool = True
    open_metrics: bool = False
    open_reads: bool = False

    def __repr__(self) -> str:
        return f"Guard(token={'set' if self.token else 'none'}, is_local={self.is_local})"

    def refusal(
        self, method: str, path: str, version: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> Refusal | None:
        """Why this request is refused; None: it may be answered.

        `headers` have lower-case names. Compares tokens in constant time.
        """
        if self.is_local:
            return None
        if method in _READS and path in PROBES:
            return None
        given: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in (b"host", b"origin", b"authorization"):
                given.setdefault(name, []).append(value)
        hosts = given.get(b"host", [])
        if len(hosts) > 1 or (not hosts and version != "1.0"):
            return Refusal(400, "a request names one Host")
        host = hosts[0].decode("latin-1").strip().lower() if hosts else ""
        if (problem := self._host_problem(host)) is not None:
            return problem
        for origin in given.get(b"origin", ()):
            if origin.decode("latin-1").strip().lower() not in (
                f"http://{host}",
                f"https://{host}",
            ):
                return Refusal(403, "requests of web pages from elsewhere are refused")
        return self._token_problem(method, path, given.get(b"authorization", []))

    def _host_problem(self, host: str) -> Refusal | None:
        if not host:
            return None
        found = _HOST.fullmatch(host)
        if found is None:
            return Refusal(400, "Host is no host[:port]")
        if self.is_loopback and not _is_plain(found["name"]):
            return Refusal(403, "here Host must be an address or localhost")
        return None

    def _token_problem(self, method: str, path: str, given: list[bytes]) -> Refusal | None:
        if method in _READS:
            is_open = self.open_metrics if path == METRICS else self.open_reads
            if self.is_loopback or is_open:
                return None
        if not self.token:
            return Refusal(403, "this wants a token, and the engine has none: see --token-file")
        if len(given) == 1 and self._is_token(given[0]):
            return None
        return Refusal(401, "this wants the bearer token")

    def _is_token(self, value: bytes) -> bool:
        scheme, _, offered = value.partition(b" ")
        expected = self.token.encode("utf-8", "surrogateescape")
        return scheme.lower() == b"bearer" and hmac.compare_digest(offered.strip(), expected)


def guard_for(host: str, token: str, *, open_metrics: bool, open_reads: bool) -> Guard:
    """The guard of a listener at `host`.

    Raises `LocalError` where nobody but everybody could read.
    """
    loopback = is_loopback(host)
    if not loopback and not token and not open_metrics and not open_reads:
        raise LocalError(
            f"--api {host}: reads beyond loopback want a token (--token-file or REGIMENT_TOKEN), "
            "or --open-metrics, or --open-reads"
        )
    return Guard(token, False, loopback, open_metrics, open_reads)


def is_loopback(host: str) -> bool:
    """Only this machine can reach `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_plain(name: str) -> bool:
    """No name that somebody else's server of names could point at this machine."""
    if name in ("localhost", "localhost."):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
