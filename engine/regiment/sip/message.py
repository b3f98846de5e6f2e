"""Whole SIP messages for people, tests and traces (RFC 3261 §7): parse, look, change, print.

Full fidelity: `encode` gives back the very bytes that `parse_message` took, odd spacing, folding
and what follows the body included. Plain Python, some 50 µs a message: not for the road of a
datagram, where `scanner` is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

COMPACT_NAMES = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
}
"""Compact form -> header name in lower case (RFC 3261 §7.3.3 and its extensions)."""

UNLISTED = frozenset(
    {
        "authorization",
        "date",
        "organization",
        "proxy-authenticate",
        "proxy-authorization",
        "reason",
        "retry-after",
        "server",
        "subject",
        "user-agent",
        "www-authenticate",
    }
)
"""Headers in whose values a comma does not separate (§7.3.1)."""

_LINE = re.compile(rb"[^\n]*\n(?:[ \t][^\n]*\n)*")
_STATUS = re.compile(
    r"SIP/2\.0[ \t\r]+([1-6][0-9][0-9])(?:[ \t\r]+(.*?))?[ \t\r]*\Z", re.IGNORECASE
)
_WORD = r"[A-Za-z0-9\-.!%*_+`'~]+"
_REQUEST = re.compile(
    rf'({_WORD})[ \t\r]+(?![<"])([^\x00-\x20\x7f]+)[ \t\r]+SIP/2\.0[ \t\r]*\Z', re.IGNORECASE
)
_FOLD = re.compile(r"[ \t]*\r?\n[ \t]+")
_PART = re.compile(r'"(?:[^"\\]|\\.)*"?|<[^>]*>?|[^",;<]+|[;,]', re.DOTALL)
_AUTH_PARAMETER = re.compile(
    r'\s*([^\s=,"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]*)\s*(?:,|\Z)', re.DOTALL
)


class MessageError(ValueError):
    """The bytes are no SIP message. Says what is wrong, and does not repeat them."""


class Header(msgspec.Struct, frozen=True):
    """One header line."""

    name: str
    """As written; compare `key`."""
    value: str
    """Without white space at its ends, unfolded."""
    raw: bytes
    """The line as it stands in the message, with its line end."""

    @property
    def key(self) -> str:
        """The name in lower case, a compact form spelled out."""
        name = self.name.lower()
        return COMPACT_NAMES.get(name, name)


class Address(msgspec.Struct, frozen=True):
    """A value of From, To, Contact, Route … (§20.10, §25.1 name-addr and addr-spec)."""

    display_name: str
    uri: str
    parameters: dict[str, str]
    """Header parameters; names in lower case, quotes taken off values."""


class Message(msgspec.Struct, frozen=True):
    """A request (with `method`) or a response (with `status`)."""

    start: bytes
    """The start line with its line end, and the line ends before it."""
    headers: tuple[Header, ...]
    rest: bytes
    """The empty line, the body and whatever follows it."""
    method: str = ""
    request_uri: str = ""
    status: int = 0
    reason: str = ""

    @property
    def body(self) -> bytes:
        """What follows the empty line, as far as Content-Length says (absent: all of it, §18.3)."""
        content = self.rest.partition(b"\n")[2]
        length = self.first("content-length")
        return content if length is None else content[: int(length)]

    def all(self, name: str) -> list[str]:
        """The values of all header lines of that name (lower case, long form), in order."""
        return [header.value for header in self.headers if header.key == name]

    def first(self, name: str) -> str | None:
        """The value of the first header line of that name, or None."""
        return next(iter(self.all(name)), None)

    def listed(self, name: str) -> list[str]:
        """As `all`, with comma lists taken apart where the header allows them (§7.3.1)."""
        lines = self.all(name)
        if name in UNLISTED:
            return lines
        return [item for line in lines for item in split_list(line)]

    def addresses(self, name: str) -> list[Address]:
        """As `listed`, each value read as an address."""
        return [parse_address(item) for item in self.listed(name)]

    @property
    def branch(self) -> str:
        """Of the topmost Via value; empty: none."""
        vias = self.listed("via")
        return _split_parameters(vias[0])[1].get("branch", "") if vias else ""

    @property
    def cseq(self) -> tuple[int, str]:
        """Number and method. Raises `MessageError`."""
        found = re.fullmatch(rf"([0-9]{{1,10}})\s+({_WORD})", self.first("cseq") or "")
        if found is None:
            raise MessageError("CSeq is not a number and a method")
        return int(found[1]), found[2]

    def encode(self) -> bytes:
        """The bytes of the message."""
        return self.start + b"".join(header.raw for header in self.headers) + self.rest

    def with_headers(self, headers: Iterable[Header]) -> Message:
        """The same message with other header lines."""
        return msgspec.structs.replace(self, headers=tuple(headers))


def header(name: str, value: str) -> Header:
    """Make a header line. Raises `MessageError` where it would break the message apart."""
    if not re.fullmatch(_WORD, name):
        raise MessageError("a header name is a token")
    if re.search(r"[\r\n\x00]", value):
        raise MessageError("a header value holds no line end and no NUL")
    raw = f"{name}: {value}\r\n".encode("utf-8", "surrogateescape")
    return Header(name, value.strip(), raw)


def request(method: str, uri: str, headers: Iterable[Header], body: bytes = b"") -> Message:
    """Make a request."""
    start = f"{method} {uri} SIP/2.0\r\n".encode("utf-8", "surrogateescape")
    return Message(start, tuple(headers), b"\r\n" + body, method=method, request_uri=uri)


def response(status: int, reason: str, headers: Iterable[Header], body: bytes = b"") -> Message:
    """Make a response."""
    start = f"SIP/2.0 {status} {reason}\r\n".encode("utf-8", "surrogateescape")
    return Message(start, tuple(headers), b"\r\n" + body, status=status, reason=reason)


def parse_message(data: bytes) -> Message:
    """Take a message or datagram apart. Raises `MessageError`.

    Refused is what has no start line of SIP/2.0, a line that is no header, no empty line, or a
    Content-Length beyond the data (§18.3). Whether a needed header is missing is not asked.
    """
    lead = len(data) - len(data.lstrip(b"\r\n"))
    if lead == len(data):
        raise MessageError("the message is empty")
    end = data.find(b"\n", lead) + 1 or len(data)
    line = data[lead:end].decode("utf-8", "surrogateescape").strip("\r\n")
    method = uri = reason = ""
    status = 0
    if found := _STATUS.match(line):
        status, reason = int(found[1]), (found[2] or "").strip()
    elif found := _REQUEST.match(line):
        method, uri = found[1], found[2]
    else:
        raise MessageError("the first line is neither a request line nor a status line of SIP/2.0")
    headers, at = _parse_headers(data, end)
    message = Message(data[:end], headers, data[at:], method, uri, status, reason)
    _check_length(message)
    return message


def _parse_headers(data: bytes, at: int) -> tuple[tuple[Header, ...], int]:
    headers: list[Header] = []
    while not data.startswith((b"\n", b"\r\n"), at):
        line = _LINE.match(data, at)
        if line is None:
            raise MessageError("no empty line follows the headers")
        text = line[0].decode("utf-8", "surrogateescape")
        name, colon, value = text.partition(":")
        if not colon or not name.strip() or re.search(r"[\x00-\x08\x0a-\x1f\x7f]|\A[ \t]", name):
            raise MessageError(f"header line {len(headers) + 1} has no name and colon")
        headers.append(Header(name.strip(" \t"), _FOLD.sub(" ", value).strip(" \t\r\n"), line[0]))
        at = line.end()
    return tuple(headers), at


def _check_length(message: Message) -> None:
    lengths = set(message.all("content-length"))
    if not lengths:
        return
    if any(not re.fullmatch(r"0*[0-9]{1,10}", length) for length in lengths):
        raise MessageError("Content-Length is not a number")
    if len({int(length) for length in lengths}) > 1:
        raise MessageError("Content-Length is there twice, with two values")
    if int(lengths.pop()) > len(message.rest.partition(b"\n")[2]):
        raise MessageError("Content-Length is longer than the message")


def split_list(value: str) -> list[str]:
    """The values of a comma list; commas in quotes and angle brackets do not count."""
    items = [""]
    for part in _PART.findall(value):
        if part == ",":
            items.append("")
        else:
            items[-1] += part
    return [item.strip() for item in items if item.strip()]


def _split_parameters(value: str) -> tuple[str, dict[str, str]]:
    pieces = [""]
    for part in _PART.findall(value):
        if part == ";":
            pieces.append("")
        else:
            pieces[-1] += part
    parameters: dict[str, str] = {}
    for piece in pieces[1:]:
        name, _, text = piece.partition("=")
        parameters.setdefault(name.strip().lower(), _unquoted(text.strip()))
    return pieces[0].strip(), parameters


def _unquoted(text: str) -> str:
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    return text


def parse_address(value: str) -> Address:
    """Read one address. Raises `MessageError` for a bracket or quote that never closes."""
    who, parameters = _split_parameters(value)
    found = re.fullmatch(r'("(?:[^"\\]|\\.)*"|[^"<]*)\s*<([^>]*)>', who, re.DOTALL)
    if found is None and ("<" in who or '"' in who):
        raise MessageError("a quote or an angle bracket does not close")
    if found is None:
        return Address("", who, parameters)
    return Address(_unquoted(found[1].strip()), found[2].strip(), parameters)


def parse_auth(value: str) -> tuple[str, dict[str, str]]:
    """Scheme (lower case) and parameters of a challenge or of credentials (§20.7, §20.44).

    Names in lower case, quotes taken off. Raises `MessageError`.
    """
    scheme, _, rest = value.strip().partition(" ")
    parameters: dict[str, str] = {}
    at = 0
    while at < len(rest):
        found = _AUTH_PARAMETER.match(rest, at)
        if found is None:
            raise MessageError("credentials are a scheme and name=value pairs between commas")
        parameters.setdefault(found[1].lower(), _unquoted(found[2]))
        at = found.end()
    return scheme.lower(), parameters
