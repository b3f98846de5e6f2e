"""The lines of one .conf file: decoded, without comments and outer blanks, numbers kept.

Works a megabyte at a time with `str` methods, because a file with a million registrations has
twelve million lines: about 0.3 microseconds a line. Only a stretch that holds a block comment, an
over-long line or a NUL byte is walked line by line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from regiment.errors import ConfigError

BLANKS = "".join(map(chr, range(1, 33)))
"""White space of the grammar: every control character and the blank, and no other Unicode space."""
MAX_LINE_BYTES = 8191
MAX_COMMENT_DEPTH = 128

_CHUNK_BYTES = 1 << 20
_WINDOW_BYTES = (MAX_LINE_BYTES + 1) // 2
_ESCAPED = "\0"
_COMMENT = re.compile(r";[^\n]*")
_BLOCK_OPENS = re.compile(r";--(?!-)")
_BOM = b"\xef\xbb\xbf"

Warn = Callable[[str, int], None]
"""Takes a warning and the number of its line."""


def read_lines(path: str, warn: Warn) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the first line, lines) until the end of the file.

    Bytes that are not UTF-8 become lone surrogates (``surrogateescape``). Raises `OSError` where
    the file cannot be read and `ConfigError` for UTF-16.
    """
    cleaner = _Cleaner(path, warn)
    rest = b""
    at_start = True
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if at_start:
                at_start = False
                chunk = _without_bom(chunk, path)
            cut = chunk.rfind(b"\n")
            if cut < 0:
                # Without a newline in sight only what proves the line too long is kept.
                rest = (rest + chunk)[: MAX_LINE_BYTES + 1]
                continue
            yield cleaner.clean(rest + chunk[:cut])
            rest = chunk[cut + 1 :]
    if rest:
        yield cleaner.clean(rest)
    cleaner.finish()


def _without_bom(chunk: bytes, path: str) -> bytes:
    if chunk.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError("this is UTF-16: save the file as UTF-8", path, 1)
    return chunk.removeprefix(_BOM)


class _Cleaner:
    """Takes comments out of consecutive blocks of whole lines of one file."""

    def __init__(self, path: str, warn: Warn) -> None:
        self._path = path
        self._warn = warn
        self._number = 1
        self._depth = 0
        self._opened_line = 0

    def clean(self, block: bytes) -> tuple[int, list[str]]:
        """Clean one block, given without its last newline."""
        number = self._number
        self._number += block.count(b"\n") + 1
        text = _decode(block)
        if not self._depth and b"\0" not in block and not _has_long_line(block):
            if ";" in text:
                text = text.replace("\\;", _ESCAPED)
                if ";--" in text and _BLOCK_OPENS.search(text):
                    return number, self._walk(_decode(block).split("\n"), number)
                text = _COMMENT.sub("", text).replace(_ESCAPED, ";")
            return number, [line.strip(BLANKS) for line in text.split("\n")]
        return number, self._walk(text.split("\n"), number)

    def finish(self) -> None:
        """Warn if the file ended inside a block comment."""
        if self._depth:
            self._warn("the block comment ';--' is never closed by '--;'", self._opened_line)

    def _walk(self, lines: list[str], number: int) -> list[str]:
        return [self._one(line, number + at).strip(BLANKS) for at, line in enumerate(lines)]

    def _one(self, line: str, number: int) -> str:
        if len(line.encode("utf-8", "surrogateescape")) > MAX_LINE_BYTES:
            self._warn(f"longer than {MAX_LINE_BYTES} bytes: the line is ignored", number)
            return ""
        if "\0" in line:
            self._warn("holds a NUL byte: the rest of the line is ignored", number)
            line = line[: line.index("\0")]
        return self._uncomment(line, number)

    def _uncomment(self, line: str, number: int) -> str:
        """Return what of `line` lies outside comments, with each ``\\;`` as ``;``."""
        kept: list[str] = []
        at = 0
        while (mark := line.find(";", at)) >= 0:
            outside = not self._depth
            if mark > at and line[mark - 1] == "\\":
                if outside:
                    kept.append(line[at : mark - 1] + ";")
                at = mark + 1
            elif _BLOCK_OPENS.match(line, mark):
                if outside:
                    kept.append(line[at:mark])
                self._enter(number)
                at = mark + 3
            elif outside:
                kept.append(line[at:mark])
                return "".join(kept)
            else:
                if mark >= at + 2 and line[mark - 2 : mark] == "--":
                    self._depth -= 1
                at = mark + 1
        if not self._depth:
            kept.append(line[at:])
        return "".join(kept)

    def _enter(self, number: int) -> None:
        if not self._depth:
            self._opened_line = number
        if self._depth < MAX_COMMENT_DEPTH:
            self._depth += 1
        else:
            self._warn(f"block comments nest deeper than {MAX_COMMENT_DEPTH}", number)


def _decode(block: bytes) -> str:
    return block.decode("utf-8", "surrogateescape")


def _has_long_line(block: bytes) -> bool:
    """Whether a line *may* be too long: a half-length window holds no newline."""
    return any(
        block.find(b"\n", at, at + _WINDOW_BYTES) < 0
        for at in range(0, len(block) - _WINDOW_BYTES + 1, _WINDOW_BYTES)
    )
