"""Values that end at a ``;`` which was probably meant: a comment begins there unless it is ``\\;``.

The grammar knows no mistake of that kind, so this reads the lines of a file once more, as they were
written. Only `check` asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from regiment.config.lines import read_lines

_READ_BYTES = 1 << 20

# Options whose values have parameters behind semicolons, and those in which one is a character.
_URIS = (
    b"server_uri|client_uri|outbound_proxy|contact_header_params|contact|@contact"
    b"|server_uri_pattern|client_uri_pattern|contact_pattern"
)
_LINE = re.compile(
    rb"[ \t]*(?:[a-z_]+/)?(?:(?P<uri>" + _URIS + rb")|password)[ \t]*\+?=>?[ \t]*"
    rb"(?P<kept>(?:\\;|[^;\n])*)(?<![\s\\=>]);(?!--)(?P<tail>[^\s;][^\n]*)",
    re.IGNORECASE,
)
_PARAMETER = re.compile(rb"(?:lr|ob|hide|\+sip\.[\w.-]+|[\w.!%*+~-]+=[^\s;,>]*)(?=[\s;,>]|$)")


class Cut(NamedTuple):
    """A line whose value stops at an unescaped semicolon."""

    line: int
    section: str
    option: str


def cuts(path: str) -> Iterator[Cut]:
    """Yield the suspicious lines of one file, not of what it includes. Shows no value.

    Raises `OSError` where the file cannot be read.
    """
    wanted = _candidates(path)
    if not wanted:
        return
    wanted.reverse()
    section = ""
    for first, lines in read_lines(path, lambda _message, _line: None):
        seen = 0
        while wanted and wanted[-1] < first + len(lines):
            at = wanted.pop() - first
            section, seen = _header(lines, seen, at) or section, at
            option, equals, _ = lines[at].partition("=")
            if equals:  # else it lies in a block comment
                yield Cut(first + at, section, option.rstrip("+ \t"))
        section = _header(lines, seen, len(lines)) or section


def _candidates(path: str) -> list[int]:
    """Return the numbers of lines that look cut, block comments or not."""
    found = []
    number = 1
    rest = b""
    with open(path, "rb") as file:
        while chunk := file.read(_READ_BYTES):
            block = rest + chunk
            cut = block.rfind(b"\n") + 1
            found += _in(block[:cut], number)
            number += block.count(b"\n")
            rest = block[cut:]
    return found + _in(rest, number)


def _in(block: bytes, number: int) -> list[int]:
    """Return the numbers of such lines in a block whose first line has `number`."""
    found = []
    counted = end = 0
    while (mark := block.find(b";", end)) >= 0:
        start = block.rfind(b"\n", 0, mark) + 1
        end = block.find(b"\n", mark)
        end = len(block) if end < 0 else end
        match = _LINE.match(block, start, end)
        if match and (not match["uri"] or _PARAMETER.match(match["tail"])):
            number += block.count(b"\n", counted, start)
            counted = start
            found.append(number)
    return found


def _header(lines: list[str], begin: int, end: int) -> str:
    """Return the name of the last section header among some lines; empty: there is none."""
    for at in range(end - 1, begin - 1, -1):
        if lines[at].startswith("["):
            return lines[at][1:].partition("]")[0]
    return ""
