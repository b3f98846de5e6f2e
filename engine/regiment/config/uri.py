"""SIP URIs, Route values, header parameters and addresses as a configuration may write them.

Only what a load-time check asks (RFC 3261 §19.1.1, §25.1 and Asterisk's own limits): a text that
passes can be put on the wire as it stands. Every error is a `ValueError` that says what would be
right and shows no password.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

MAX_URI_BYTES = 511
MAX_HOST_BYTES = 255
MAX_SRV_HOST_BYTES = 245
"""Without a port there must be room for the prefix of an SRV query."""

_UNRESERVED = r"A-Za-z0-9\-_.!~*'()"
_ESCAPE = r"%[0-9A-Fa-f]{2}"
_USER = rf"(?:[{_UNRESERVED}&=+$,;?/]|{_ESCAPE})+"
_PASSWORD = rf"(?:[{_UNRESERVED}&=+$,]|{_ESCAPE})*"
_HOST = r"[A-Za-z0-9_.\-]+|\[[0-9A-Fa-f:.]+\]"
_PARAMETER = rf"(?:[{_UNRESERVED}\[\]/:&+$]|{_ESCAPE})+"
_HEADER = rf"(?:[{_UNRESERVED}\[\]/?:+$]|{_ESCAPE})"
_WORD = r"[A-Za-z0-9\-.!%*_+`'~]+"
_QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\x20-\x7e])*"'

_URI = re.compile(
    rf"(?P<scheme>sips?):(?:(?P<user>{_USER})(?::(?P<password>{_PASSWORD}))?@)?"
    rf"(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?"
    rf"(?P<parameters>(?:;{_PARAMETER}(?:={_PARAMETER})?)*)"
    rf"(?P<headers>\?{_HEADER}+={_HEADER}*(?:&{_HEADER}+={_HEADER}*)*)?",
    re.IGNORECASE,
)
_PLAIN_HOST = r"[A-Za-z0-9_.\-]+(?::(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}))?"
_PLAIN_URI = re.compile(rf"sip:{_USER}@{_PLAIN_HOST}")
_PLAIN_SERVER = re.compile(f"sip:{_PLAIN_HOST}")
_USER_PART = re.compile(rf"{_USER}(?::{_PASSWORD})?")
# The three kinds of value begin differently: no text can be read in two ways.
_GENERIC = rf"{_WORD}(?:=(?:{_WORD}|\[[0-9A-Fa-f:.]+\]|{_QUOTED}))?"
_PARAMETERS = re.compile(rf"{_GENERIC}(?:[ \t]*;[ \t]*{_GENERIC})*")
_SCHEME = re.compile(r"[^:@]*?sips?:", re.IGNORECASE)


class Uri(NamedTuple):
    """A checked SIP URI. `text` is the URI without angle brackets."""

    text: str
    scheme: str
    """Lower case."""
    user: str
    host: str
    """An IPv6 address keeps its brackets."""
    port: int
    """0: none was given."""
    parameters: dict[str, str]
    """URI parameters, names in lower case."""
    headers: str

    @property
    def is_ipv6(self) -> bool:
        return self.host.startswith("[")

    @property
    def is_name(self) -> bool:
        """The packets go to a host name: in `maddr`, which stands above the host, or as host."""
        host = self.parameters.get("maddr", "") or self.host
        return not (host.startswith("[") or is_address(host))

    @property
    def transport(self) -> str:
        """What the URI itself asks for, in lower case; empty: nothing."""
        return self.parameters.get("transport", "").lower()


def redact(text: str) -> str:
    """Return a URI, sound or not, with whatever may be a password replaced by ``***``."""
    head, at, tail = text.rpartition("@")
    scheme = _SCHEME.match(head)
    start = scheme.end() if scheme else 0
    user, colon, _ = head[start:].partition(":")
    return f"{head[:start]}{user}:***@{tail}" if at and colon else text


def is_plain(text: str) -> bool:
    """Whether `text` is a short ``sip:user@host[:port]`` and so needs no `parse`.

    Half a microsecond.
    """
    return len(text) <= MAX_SRV_HOST_BYTES and _PLAIN_URI.fullmatch(text) is not None


def plain_server(text: str) -> str:
    """Return what kind of a short ``sip:host[:port]`` a text is: no parameters, no IPv6.

    ``name`` (the resolver may choose), ``port`` (a name with one) or ``address``; empty: none.
    """
    if len(text) > MAX_SRV_HOST_BYTES or _PLAIN_SERVER.fullmatch(text) is None:
        return ""
    host, colon, _ = text[4:].partition(":")
    if is_address(host):
        return "address"
    return "port" if colon else "name"


def is_address(host: str) -> bool:
    """Whether a host is an IP address, without brackets."""
    if ":" not in host and not host[-1:].isdigit():
        return False  # no top-level domain ends in a digit
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_user(text: str) -> bool:
    """Whether `text` may stand as the user part of a SIP URI (RFC 3261 §25.1 userinfo)."""
    return _USER_PART.fullmatch(text) is not None


def are_parameters(text: str) -> bool:
    """Whether `text` may follow ``>;`` in a header: ``name=value;name="…"``."""
    return _PARAMETERS.fullmatch(text) is not None


def parse(text: str) -> Uri:
    """Check a SIP URI, bare or in angle brackets. Raises `ValueError`."""
    if len(text.encode("utf-8", "surrogateescape")) > MAX_URI_BYTES:
        raise ValueError(f"is longer than {MAX_URI_BYTES} bytes")
    bare = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    if not bare.lower().startswith(("sip:", "sips:")):
        raise ValueError(f"'{redact(text)}' does not begin with sip: or sips:")
    match = _URI.fullmatch(bare)
    if match is None:
        raise ValueError(f"'{redact(text)}' is not a SIP URI: {_complaint(bare)}")
    host = match["host"]
    port = int(match["port"] or 0)
    _check_host(host, match["port"] is not None, port)
    parameters: dict[str, str] = {}
    for parameter in match["parameters"].split(";")[1:]:
        name, _, value = parameter.partition("=")
        parameters.setdefault(name.lower(), value)
    return Uri(
        bare,
        match["scheme"].lower(),
        match["user"] or "",
        host,
        port,
        parameters,
        match["headers"] or "",
    )


def _check_host(host: str, has_port: bool, port: int) -> None:
    limit = MAX_HOST_BYTES if has_port else MAX_SRV_HOST_BYTES
    if len(host) > limit:
        raise ValueError(f"has a host of more than {limit} bytes")
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise ValueError(f"'{host}' is not an IPv6 address") from None
    if has_port and not 0 < port < 65536:
        raise ValueError(f"port {port} is not from 1 to 65535")


def _complaint(bare: str) -> str:
    if bare.count("[") != bare.count("]"):
        return "'[' without ']'"
    wrong = next((c for c in bare if not c.isascii() or c in ' "<>\\^`{}|#' or c < " "), "")
    if wrong:
        return f"the character {wrong!r} may not stand in it"
    return "write sip:user@host:port"


def routes(text: str) -> tuple[tuple[str, ...], Uri]:
    """Split Route values (RFC 3261 §20.34) into ``<uri>…`` texts; the first URI too.

    A bare URI keeps its parameters inside the brackets. Raises `ValueError`.
    """
    values: list[str] = []
    first: Uri | None = None
    for part in _split_commas(text):
        bare, trailer = part, ""
        if "<" in part:
            _, _, rest = part.partition("<")
            bare, closed, trailer = rest.partition(">")
            trailer = trailer.strip()
            if not closed:
                raise ValueError("'<' without '>'")
            if trailer and not (trailer[0] == ";" and are_parameters(trailer[1:].strip())):
                raise ValueError("what follows '>' is not a list of ;parameters")
        uri = parse(bare)
        if uri.headers:
            raise ValueError("a Route takes no ?headers")
        first = first or uri
        values.append(f"<{uri.text}>{trailer}")
    if first is None:
        raise ValueError("names no proxy")
    return tuple(values), first


def _split_commas(text: str) -> list[str]:
    """Split at commas outside quotes and angle brackets; parts are stripped, empties kept."""
    parts = [""]
    closing = ""
    for char in text:
        if closing:
            closing = "" if char == closing else closing
        elif char in '<"':
            closing = ">" if char == "<" else '"'
        elif char == ",":
            parts.append("")
            continue
        parts[-1] += char
    return [part.strip() for part in parts]


def address(text: str) -> tuple[str, int]:
    """Split ``addr``, ``addr:port``, ``[v6]:port`` or a bare IPv6 address; port -1: none given.

    Raises `ValueError` unless the address is a literal.
    """
    host, port = text, ""
    colon = False
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed:
            raise ValueError(f"'{text}' has '[' without ']'")
        colon = rest.startswith(":")
        port = rest[1:] if colon else rest
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        colon = True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"'{text}' is not address[:port] with a literal IP address") from None
    if not colon and not port:
        return host, -1
    if not (colon and port.isascii() and port.isdecimal() and int(port) < 65536):
        raise ValueError(f"'{text}': the port is a number from 0 to 65535")
    return host, int(port)
