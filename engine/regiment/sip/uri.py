"""SIP and SIPS URIs for people, configuration and tests (RFC 3261 §19.1). Cold: set-up only.

The compiled twin on the road of a datagram is `response` (`uri_equal`, `uri_parts`); both follow
the same rules and are tested against each other.
"""

from __future__ import annotations

import re
from typing import NamedTuple

COMPARED_PARAMETERS = 32
"""URIs with more parameters or headers than that are equal only byte for byte."""

MUST_BE_IN_BOTH = frozenset({"transport", "user", "method", "ttl", "maddr"})
"""Parameters that make two URIs differ when only one has them (§19.1.4)."""

NOT_IN_FROM_OR_TO = frozenset({"transport", "ttl", "maddr", "lr"})
"""What `identity_uri` drops besides the port, as Asterisk prints From and To."""

_FORBIDDEN = re.compile(r'[\x00-\x20\x7f<>"]')
_HOST_PORT = re.compile(r"(?:\[([0-9A-Za-z.:]+)\]|([0-9A-Za-z._-]+))(?::0*([0-9]{1,5}))?\Z")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


class UriError(ValueError):
    """The text is no SIP or SIPS URI. The message does not repeat it: it may hold a password."""


class Uri(NamedTuple):
    """A SIP or SIPS URI in its parts, as written (escapes are not resolved).

    `str()` gives a text that parses to the same parts.
    """

    scheme: str
    """``sip`` or ``sips``."""
    user: str | None
    password: str | None
    host: str
    """A name or address; IPv6 without brackets."""
    port: int = 0
    """0: none was written (which differs from 5060, §19.1.4)."""
    parameters: tuple[tuple[str, str], ...] = ()
    """Names in lower case; a parameter without a value has an empty one."""
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return str_of(self)

    def parameter(self, name: str) -> str | None:
        """Return the value of the first parameter `name` (lower case), or None."""
        return next((value for key, value in self.parameters if key == name), None)


def str_of(uri: Uri) -> str:
    """Print `uri`. Parameters without a value get no ``=``."""
    user = ""
    if uri.user is not None:
        user = uri.user + (f":{uri.password}" if uri.password is not None else "") + "@"
    host = f"[{uri.host}]" if ":" in uri.host else uri.host
    port = f":{uri.port}" if uri.port else ""
    parameters = "".join(
        f";{name}={value}" if value else f";{name}" for name, value in uri.parameters
    )
    headers = "&".join(f"{name}={value}" for name, value in uri.headers)
    return f"{uri.scheme}:{user}{host}{port}{parameters}{'?' + headers if headers else ''}"


def without_brackets(text: str) -> str:
    """Return the URI of ``<uri>`` or ``uri``."""
    text = text.strip()
    return text[1:-1].strip() if text.startswith("<") and text.endswith(">") else text


def parse_uri(text: str) -> Uri:
    """Parse a SIP or SIPS URI, bare or in angle brackets. Raises `UriError`."""
    text = without_brackets(text)
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if scheme not in ("sip", "sips") or not colon:
        raise UriError("a URI that begins with sip: or sips: is needed")
    if _FORBIDDEN.search(rest):
        raise UriError("a URI holds no blanks, quotes, angle brackets or control characters")
    user: str | None = None
    password: str | None = None
    if "@" in rest:
        userinfo, _, rest = rest.partition("@")
        user, colon, secret = userinfo.partition(":")
        password = secret if colon else None
        if not user:
            raise UriError("a URI with '@' needs a user before it")
    cut = re.search(r"[;?]", rest)
    end = cut.start() if cut else len(rest)
    host, port = _host_and_port(rest[:end])
    parameters, _, headers = rest[end:].partition("?")
    return Uri(scheme, user, password, host, port, _parameters(parameters), _headers(headers))


def hop_of(text: str) -> str:
    """Return ``host:port`` of a URI, with the port that is meant where none is written.

    Raises `UriError`.
    """
    uri = parse_uri(text)
    transport = (uri.parameter("transport") or "").lower()
    is_secure = uri.scheme == "sips" or transport in ("tls", "wss")
    host = uri.host.lower()
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{uri.port or (5061 if is_secure else 5060)}"


def _host_and_port(text: str) -> tuple[str, int]:
    found = _HOST_PORT.match(text)
    if found is None:
        raise UriError("a URI needs a host: a name, an IPv4 address or an [IPv6] address")
    port = int(found[3] or 0)
    if port > 65535 or (found[3] is not None and port == 0):
        raise UriError("the port of a URI is between 1 and 65535")
    return found[1] or found[2], port


def _parameters(text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for item in text.split(",", maxsplit=1)[0].split(";")[1:]:
        name, _, value = item.partition("=")
        pairs.append((name.lower(), value))
    return tuple(pairs)


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for item in text.split("&") if text else ():
        name, _, value = item.partition("=")
        pairs.append((name, value))
    return tuple(pairs)


def unescape(text: str) -> str:
    """Resolve ``%`` HEX HEX; bytes that are no UTF-8 become surrogate escapes."""
    return _decoded(text).decode("utf-8", "surrogateescape")


def _decoded(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), raw)


def _folded(text: str) -> bytes:
    return _decoded(text).lower()


def are_equal(first: str, second: str) -> bool:
    """Compare two URIs by RFC 3261 §19.1.4; text that is no SIP URI is equal only to itself.

    As in Asterisk an escaped character is equal to the same one unescaped even where it is a
    reserved one, because registrars rewrite those too.
    """
    if first == second:
        return True
    try:
        a, b = parse_uri(first), parse_uri(second)
    except UriError:
        return False
    if (a.scheme, a.port, a.host.lower()) != (b.scheme, b.port, b.host.lower()):
        return False
    for one, other in ((a.user, b.user), (a.password, b.password)):
        if (one is None) != (other is None) or _decoded(one or "") != _decoded(other or ""):
            return False
    if max(map(len, (a.parameters, b.parameters, a.headers, b.headers))) > COMPARED_PARAMETERS:
        return False
    return (
        _parameters_match(a, b)
        and _parameters_match(b, a)
        and {(_folded(f"{k}={v}")) for k, v in a.headers}
        == {(_folded(f"{k}={v}")) for k, v in b.headers}
    )


def _parameters_match(a: Uri, b: Uri) -> bool:
    others: dict[bytes, bytes] = {}
    for name, value in b.parameters:
        others.setdefault(_folded(name), _folded(value))
    for name, value in a.parameters:
        other = others.get(_folded(name))
        if other is None:
            if name in MUST_BE_IN_BOTH:
                return False
        elif other != _folded(value):
            return False
    return True


def identity_uri(client_uri: str) -> str:
    """Return `client_uri` as it goes into From and To (`Fill.client_uri`).

    Port, the parameters of `NOT_IN_FROM_OR_TO` and headers are dropped (RFC 3261 §19.1.1 table 1
    and as Asterisk prints it); user parameters stay. About 0.3 µs for a plain ``sip:user@host``.
    Raises `UriError`.
    """
    if client_uri.count(":") == 1 and client_uri.isascii() and not set(client_uri) & set(";?<> "):
        return client_uri
    uri = parse_uri(client_uri)
    kept = tuple(pair for pair in uri.parameters if pair[0] not in NOT_IN_FROM_OR_TO)
    return str_of(uri._replace(port=0, parameters=kept, headers=()))
