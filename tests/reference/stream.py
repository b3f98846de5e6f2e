"""What `regiment.sip.framer` must find in a stream, said slowly over all of its bytes at once.

Nothing is shared with it but the limits and the lines for people. How the stream was cut cannot
matter here, for there are no cuts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from regiment.sip.framer import BODY_LIMIT, ERRORS, HEADER_LIMIT, START_LINE_LIMIT

_, HTTP, TLS, START_LINE, HEADERS, BODY, NO_LENGTH, LENGTH = ERRORS

BLANKS = b" \t\r\n"
BETWEEN = re.compile(rb"(?:\r?\n)*")
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
HEADER = re.compile(rb"[^\n]*(?:\n[ \t][^\n]*)*\n(?![ \t])(?=.)", re.DOTALL)
CONTENT_LENGTH = re.compile(rb"(?:content-length|l)[ \t]*:(.*)", re.IGNORECASE | re.DOTALL)
SIP = re.compile(rb"sip/2\.0[ \t\r\n].*|.*[ \t\r\n]sip/2\.0", re.IGNORECASE | re.DOTALL)
HTTP_LINE = re.compile(rb".* http/1\..", re.IGNORECASE | re.DOTALL)


@dataclass
class Framed:
    """What a stream held, up to its end or to the first error."""

    messages: list[bytes] = field(default_factory=list)
    pings: int = 0
    pongs: int = 0
    error: str = ""
    is_partial: bool = False


def frame(data: bytes) -> Framed:
    """Everything in `data`, by a side that leaves a lone CRLF at the end pending."""
    framed = Framed()
    at = 0
    while not framed.error:
        gap = BETWEEN.match(data, at)
        assert gap is not None
        crlfs = gap.group().count(b"\r\n")
        framed.pings += crlfs // 2
        at = gap.end()
        rest = data[at:]
        if rest in (b"", b"\r"):
            break
        if rest.startswith(b"\r"):
            framed.error = START_LINE
            break
        framed.pongs += crlfs % 2
        length, framed.error = message_length(rest)
        if framed.error:
            break
        if length is None or length > len(rest):
            framed.is_partial = True
            break
        framed.messages.append(rest[:length])
        at += length
    return framed


def message_length(data: bytes) -> tuple[int | None, str]:
    """How long the message at the beginning of `data` is, None: unknown yet; or what is wrong."""
    line, line_end, _ = data.partition(b"\n")
    if wrong := start_line_error(line, bool(line_end)):
        return None, wrong
    if not line_end:
        return None, ""
    at = len(line) + 1
    body: int | None = None
    while True:
        if data.startswith((b"\n", b"\r\n"), at):
            at = data.index(b"\n", at) + 1
            if at > HEADER_LIMIT:
                return None, HEADERS
            return (None, NO_LENGTH) if body is None else (at + body, "")
        header = HEADER.match(data, at)
        if header is None or header.end() > HEADER_LIMIT:
            # Lines without their end so far: how much is there of them?
            return None, HEADERS if beyond_limit(data, at) else ""
        at = header.end()
        found = CONTENT_LENGTH.fullmatch(header.group())
        if found:
            value = found[1].strip(BLANKS)
            if not re.fullmatch(rb"[0-9]+", value) or body not in (None, int(value)):
                return None, LENGTH
            if int(value) > BODY_LIMIT:
                return None, BODY
            body = int(value)


def beyond_limit(data: bytes, at: int) -> bool:
    """No header line from `at` on ends within the limit."""
    header = HEADER.match(data, at)
    return (len(data) if header is None else header.end() - 1) >= HEADER_LIMIT


def start_line_error(line: bytes, is_whole: bool) -> str:
    """Why a message cannot begin with `line`, as far as it is there."""
    if 0x14 <= line[0] <= 0x17:
        return TLS
    if CONTROL.search(line) or line[0] <= 0x20 or len(line) > START_LINE_LIMIT:
        return START_LINE
    bare = line.rstrip(BLANKS)
    if not is_whole:
        return ""
    if bare.lower().startswith(b"http/"):
        return HTTP
    # A status line needs eight bytes, for its version ends with a blank.
    if len(bare) > 7 and SIP.fullmatch(bare):
        return ""
    return HTTP if HTTP_LINE.fullmatch(bare) else START_LINE
