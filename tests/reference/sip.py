"""What the compiled readers of SIP must find, said slowly with regular expressions.

The same answers as `regiment.sip.scanner`, `response` and `field`, by other means: nothing here is
shared with them but the vocabulary of the result.
"""

from __future__ import annotations

import re

from regiment.sip.names import COMPACT, HEADERS, METHODS
from regiment.sip.response import Contact
from regiment.sip.scanner import Scan

Span = tuple[int, int]

NONE: Span = (0, 0)
BLANKS = b" \t\r\n"
LARGEST = 2**32 - 1

_TOKEN = rb"[A-Za-z0-9\-.!%*_+`'~]+"
_S = rb"[ \t\r\n]"
_QUOTED = rb'"(?:[^"\\]|\\.)*"'

HEADER_LINE = re.compile(rb"[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)")
NAME = re.compile(rb"(" + _TOKEN + rb")[ \t]*:")
LOOSE_NAME = re.compile(rb"(?![ \t])[^:\x00-\x08\x0a-\x1f\x7f]+:")
STATUS_LINE = re.compile(
    rb"(?i:SIP)/2\.0" + _S + rb"+([1-6][0-9][0-9])(?=" + _S + rb"|\Z)(.*)\Z", re.DOTALL
)
REQUEST_LINE = re.compile(
    rb"("
    + _TOKEN
    + rb")"
    + _S
    + rb'+(?![<"])([^\x00-\x20\x7f]+)'
    + _S
    + rb"+(?i:SIP)/2\.0"
    + _S
    + rb"*\Z"
)
VIA = re.compile(
    _TOKEN
    + _S
    + rb"*/"
    + _S
    + rb"*"
    + _TOKEN
    + _S
    + rb"*/"
    + _S
    + rb"*"
    + _TOKEN
    + _S
    + rb"+([^;,]*)"
)
CSEQ = re.compile(rb"([0-9]+)" + _S + rb"+(" + _TOKEN + rb")\Z")
LEADING_NUMBER = re.compile(rb"([0-9]+)(?=[ \t\r\n(;]|\Z)")
# a quote that never closes hides the rest
BEFORE_PARAMETER = re.compile(rb'(?:[^";,]|"(?:[^"\\]|\\.)*(?:"|\\?\Z))*', re.DOTALL)
PARAMETER = re.compile(
    rb";" + _S + rb"*([^=;, \t\r\n]*)" + _S + rb"*"
    rb"(?:=" + _S + rb'*(?:"((?:[^"\\]|\\.)*(?:\\\Z)?)(?:"|\Z)|([^;, \t\r\n]*)))?',
    re.DOTALL,
)
BEFORE_BRACKET = re.compile(rb'(?:[^;,"<]|' + _QUOTED + rb")*", re.DOTALL)


def trim(data: bytes, start: int, end: int) -> Span:
    inside = data[start:end]
    start += len(inside) - len(inside.lstrip(BLANKS))
    kept = inside.strip(BLANKS)
    return (start, len(kept)) if kept else NONE


def number(text: bytes) -> int:
    if not re.fullmatch(rb"[0-9]+", text):
        return -1
    digits = text.lstrip(b"0")
    return min(int(digits or b"0"), LARGEST) if len(digits) <= 10 else LARGEST


def parameters(data: bytes, at: int, end: int) -> tuple[list[tuple[bytes, Span]], int]:
    """All parameters (name in lower case, span of the value), and where their list ends."""
    found: list[tuple[bytes, Span]] = []
    while True:
        before = BEFORE_PARAMETER.match(data, at, end)
        assert before is not None
        at = before.end()
        one = PARAMETER.match(data, at, end)
        if one is None:
            return found, at
        group = 2 if one[2] is not None else 3
        value = NONE if one[group] is None else (one.start(group), len(one[group]))
        found.append((one[1].lower(), value if value[1] else NONE))
        at = one.end()


def address(data: bytes, at: int, end: int) -> tuple[Span, int] | None:
    """Span of the URI and the offset behind the address."""
    before = BEFORE_BRACKET.match(data, at, end)
    assert before is not None
    behind = before.end()
    if behind < end and data[behind : behind + 1] == b'"':
        return None
    if behind < end and data[behind : behind + 1] == b"<":
        close = data.find(b">", behind, end)
        if close < 0:
            return None
        return trim(data, behind + 1, close), close + 1
    return trim(data, at, behind), behind


def value_of(found: list[tuple[bytes, Span]], name: bytes) -> Span:
    return next((value for key, value in found if key == name), NONE)


class Reader:
    """One message, read line by line."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.error = ""
        self.is_request = False
        self.status = 0
        self.method_name = self.request_uri = self.reason = NONE
        self.headers_end = len(data)
        self.values: dict[str, list[Span]] = {}
        self.read()

    def complain(self, error: str) -> None:
        self.error = self.error or error

    def text(self, span: Span) -> bytes:
        return self.data[span[0] : span[0] + span[1]]

    def read(self) -> None:
        start = len(self.data) - len(self.data.lstrip(b"\r\n"))
        if start == len(self.data) or self.data[start] == 0:
            self.complain("start_line" if self.data.strip(b"\r\n\0") else "empty")
            return
        newline = self.data.find(b"\n", start)
        end = len(self.data) if newline < 0 else newline + 1
        if not self.read_start_line(start, end):
            self.complain("start_line")
            return
        self.read_headers(end)

    def read_start_line(self, start: int, end: int) -> bool:
        if found := STATUS_LINE.match(self.data, start, end):
            self.status = int(found[1])
            self.reason = trim(self.data, found.start(2), end)
            return True
        if found := REQUEST_LINE.match(self.data, start, end):
            self.is_request = True
            self.method_name = (found.start(1), len(found[1]))
            self.request_uri = (found.start(2), len(found[2]))
            return True
        return False

    def read_headers(self, at: int) -> None:
        sound = True
        while at < len(self.data):
            if end_line := re.compile(rb"\r?\n").match(self.data, at):
                self.headers_end = end_line.end()
                break
            line = HEADER_LINE.match(self.data, at)
            assert line is not None
            sound = self.read_header(at, line.end()) and sound
            at = line.end()
        else:
            self.complain("truncated")
        if not sound:
            self.complain("header")

    def read_header(self, at: int, end: int) -> bool:
        stop = end - 1 if self.data[end - 1 : end] == b"\n" else end
        name = ""
        if found := NAME.match(self.data, at, stop):
            name = found[1].decode().lower()
            name = COMPACT.get(name, name)
        else:
            found = LOOSE_NAME.match(self.data, at, stop)
            if found is None:
                return False
        key = name if name in HEADERS else ""
        self.values.setdefault(key, []).append(trim(self.data, found.end(), stop))
        return True

    def first(self, name: str) -> Span | None:
        return self.values[name][0] if name in self.values else None

    def number_in(self, name: str) -> int:
        span = self.first(name)
        return -1 if span is None else number(self.text(span))

    def via(self) -> tuple[Span, Span]:
        span = self.first("via")
        end = span[0] + span[1] if span else 0
        found = VIA.match(self.data, span[0], end) if span else None
        if found is None:
            self.complain("via")
            return NONE, NONE
        sent_by = trim(self.data, found.start(1), found.end(1))
        if sent_by == NONE:
            self.complain("via")
        return sent_by, value_of(parameters(self.data, found.end(), end)[0], b"branch")

    def cseq(self) -> tuple[int, Span]:
        span = self.first("cseq")
        found = CSEQ.match(self.data, span[0], span[0] + span[1]) if span else None
        if found is None or number(found[1]) >= 2**31:
            self.complain("cseq")
            return 0, NONE
        return number(found[1]), (found.start(2), len(found[2]))

    def tag(self, name: str) -> Span:
        span = self.first(name)
        if span is None:
            return NONE
        end = span[0] + span[1]
        who = address(self.data, span[0], end)
        return NONE if who is None else value_of(parameters(self.data, who[1], end)[0], b"tag")

    def retry_after(self) -> int:
        span = self.first("retry-after")
        found = LEADING_NUMBER.match(self.data, span[0], span[0] + span[1]) if span else None
        return -1 if found is None else number(found[1])

    def content_length(self) -> int:
        if "content-length" not in self.values:
            return -1
        lengths = [number(self.text(span)) for span in self.values["content-length"]]
        room = len(self.data) - self.headers_end
        if lengths[0] < 0 or lengths[0] > room or set(lengths) != {lengths[0]}:
            self.complain("length")
        return lengths[0]

    def method_of(self, span: Span) -> str:
        name = self.text(span).decode("latin-1")
        return name if name in METHODS else ""


def scan(data: bytes) -> Scan:
    """As `scanner.scan_message`; of a message whose start line fails only the verdict counts."""
    reader = Reader(data)
    via_sent_by, via_branch = reader.via()
    cseq, cseq_method_name = reader.cseq()
    if any((reader.first(name) or NONE) == NONE for name in ("from", "to", "call-id")):
        reader.complain("mandatory")
    content_length = reader.content_length()
    return Scan(
        error=reader.error or "ok",
        is_request=reader.is_request,
        status=reader.status,
        method=reader.method_of(reader.method_name),
        method_name=reader.method_name,
        request_uri=reader.request_uri,
        reason=reader.reason,
        via_sent_by=via_sent_by,
        via_branch=via_branch,
        from_tag=reader.tag("from"),
        to_tag=reader.tag("to"),
        cseq=cseq,
        cseq_method=reader.method_of(cseq_method_name),
        cseq_method_name=cseq_method_name,
        expires=reader.number_in("expires"),
        min_expires=reader.number_in("min-expires"),
        retry_after=reader.retry_after(),
        content_length=content_length,
        headers_end=reader.headers_end,
        first={name: spans[0] for name, spans in reader.values.items()},
        lines={name: len(spans) for name, spans in reader.values.items()},
    )


def header_values(data: bytes, name: str) -> list[bytes]:
    reader = Reader(data)
    return [reader.text(span) for span in reader.values.get(name, [])]


def contacts(data: bytes) -> tuple[list[Contact], bool]:
    """As `response.contacts_of`."""
    reader = Reader(data)
    found: list[Contact] = []
    for start, length in reader.values.get("contact", []):
        at, end = start, start + length
        while True:
            at += len(data[at:end]) - len(data[at:end].lstrip(BLANKS + b","))
            if at >= end:
                break
            who = address(data, at, end)
            if who is None or who[0] == NONE:
                return found, False
            listed, at = parameters(data, who[1], end)
            numbers = [number(reader.text(span)) for name, span in listed if name == b"expires"]
            uri = reader.text(who[0])
            expires = next((seconds for seconds in numbers if seconds >= 0), -1)
            found.append(Contact(uri, expires, uri == b"*"))
    return found, True
