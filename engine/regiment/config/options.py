"""What an option's text may be, and how a section's variables become typed values.

The rules of Asterisk's option types: a boolean never fails (anything but a word for yes is no); a
number is read as C's ``strtoul`` with base 0 reads it and must be complete; an unknown option
refuses the whole object. Our own ``@`` options are stricter, because nobody's old file has them.
"""

from __future__ import annotations

import difflib
import functools
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from regiment.config.section import Variable
from regiment.model import ALGORITHMS, MD5

MAX_UINT = 0xFFFFFFFF
MAX_GROUP_CHARS = 64
MAX_AUTHS = 255
"""Names in one outbound_auth."""

_YES = frozenset(("yes", "true", "y", "t", "1", "on"))
_NO = frozenset(("no", "false", "n", "f", "0", "off"))
_UNSIGNED = re.compile(r"[\t-\r ]*\+?(0[xX][0-9a-fA-F]+|[0-9]+)")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")
_LOSSY = re.compile("[\ud800-\udfff]")
_HEX = re.compile(r"[0-9a-fA-F]*")
_TOS_NAMES = frozenset(
    [f"cs{n}" for n in range(8)]
    + [f"af{n}{drop}" for n in range(1, 5) for drop in range(1, 4)]
    + ["ef", "lowdelay", "throughput", "reliability", "mincost", "none"]
)
_CODEPOINTS = {"ef": 0xB8, "lowdelay": 0x10, "throughput": 8, "reliability": 4, "mincost": 2}


class Refused(Exception):
    """One object may not load. `variable` is the line at fault, None: the section as a whole."""

    def __init__(self, reason: str, variable: Variable | None = None, option: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.variable = variable
        self.option = option
        """Name of the option at fault where `variable` is not at hand."""


class Option(NamedTuple):
    """How one option is read."""

    read: Callable[[str], Any]
    """Raises `ValueError` with what would be right."""
    default: Any = ""
    appends: bool = False
    """A repeated option adds to the tuple that the first one gave."""


def text(value: str) -> str:
    """Anything."""
    return value


def wire_text(value: str) -> str:
    """A text that goes into a header: no control characters."""
    if any(c < " " or c == "\x7f" for c in value):
        raise ValueError("holds a control character")
    return value


def boolean(value: str) -> bool:
    """Asterisk's boolean: every text that is no word for yes is no."""
    return value.lower() in _YES


def is_word_for_no(value: str) -> bool:
    """Whether somebody who wrote `value` meant no."""
    return value.lower() in _NO


def flag(value: str) -> bool:
    """Our own boolean: yes or no and nothing else."""
    if (lower := value.lower()) in _YES:
        return True
    if lower in _NO:
        return False
    raise ValueError(f"'{value}' is neither yes nor no")


def unsigned(value: str) -> int:
    """``strtoul`` with base 0, complete, at most 32 bits."""
    match = _UNSIGNED.fullmatch(value)
    if match is not None:
        digits = match[1]
        octal = digits[0] == "0" and digits[1:2] not in ("x", "X")
        try:
            number = int(digits, 8) if octal else int(digits, 0)
        except ValueError:
            number = -1
        if 0 <= number <= MAX_UINT:
            return number
    raise ValueError(f"'{value}' is not a whole number from 0 to {MAX_UINT}")


def whole(low: int, high: int) -> Callable[[str], int]:
    """An `unsigned` within bounds."""

    def read(value: str) -> int:
        number = unsigned(value)
        if not low <= number <= high:
            raise ValueError(f"{number} is not from {low} to {high}")
        return number

    return read


def decimal(low: float, high: float) -> Callable[[str], float]:
    """A decimal number within bounds (our own options)."""

    def read(value: str) -> float:
        if _DECIMAL.fullmatch(value) is None or not low <= float(value) <= high:
            raise ValueError(f"'{value}' is not a number from {low:g} to {high:g}")
        return float(value)

    return read


def choice(*words: str) -> Callable[[str], str]:
    """One of some words in any case; gives it in lower case."""

    def read(value: str) -> str:
        if (lower := value.lower()) not in words:
            raise ValueError(f"'{value}' is none of {', '.join(words)}")
        return lower

    return read


def names(value: str) -> tuple[str, ...]:
    """A comma list: parts trimmed, empty ones left out."""
    return tuple(part for raw in value.split(",") if (part := raw.strip()))


def auth_names(value: str) -> tuple[str, ...]:
    """`names`, but no more than a registration has room for."""
    found = names(value)
    if len(found) > MAX_AUTHS:
        raise ValueError(f"holds {len(found)} names, more than {MAX_AUTHS}")
    return found


def algorithms(value: str) -> tuple[str, ...]:
    """A comma list of digest algorithms in any case."""
    known = {name.lower(): name for name in ALGORITHMS}
    found = []
    for part in names(value):
        if part.lower() not in known:
            raise ValueError(f"'{part}' is none of {', '.join(ALGORITHMS)}")
        found.append(known[part.lower()])
    return tuple(dict.fromkeys(found))


def digests(value: str) -> tuple[tuple[str, str], ...]:
    """A comma list of ``algorithm:hex``; without ``algorithm:`` it is MD5. Shows no secret."""
    known = {name.lower(): name for name in ALGORITHMS}
    found = []
    for part in names(value):
        word, colon, digest = part.rpartition(":")
        algorithm = known.get(word.strip().lower()) if colon else MD5
        if algorithm is None:
            raise ValueError(f"the algorithm is none of {', '.join(ALGORITHMS)}")
        digits = 32 if algorithm == MD5 else 64
        digest = digest.strip()
        if len(digest) != digits or _HEX.fullmatch(digest) is None:
            raise ValueError(f"{algorithm} wants exactly {digits} hexadecimal digits")
        found.append((algorithm, digest.lower()))
    return tuple(found)


def md5_cred(value: str) -> tuple[tuple[str, str], ...]:
    """32 hexadecimal digits, or nothing."""
    if not value:
        return ()
    if ":" in value or "," in value:
        raise ValueError("wants exactly 32 hexadecimal digits")
    return digests(value)


def networks(value: str) -> tuple[str, ...]:
    """Addresses with a prefix length or a mask."""
    parts = names(value)
    for part in parts:
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError:
            raise ValueError(f"'{part}' is not address/prefix or address/mask") from None
    return parts


def tos(value: str) -> int:
    """A DSCP name or the whole byte as a number."""
    lower = value.lower()
    if lower not in _TOS_NAMES:
        try:
            return whole(0, 255)(value) & 0xFC
        except ValueError:
            raise ValueError(f"'{value}' is neither a DSCP name nor a number to 255") from None
    if lower.startswith("cs"):
        return int(lower[2]) << 5
    if lower.startswith("af"):
        return int(lower[2]) << 5 | int(lower[3]) << 3
    return _CODEPOINTS.get(lower, 0)


def connection(value: str) -> str:
    """``shared``, ``own`` or a number of connections."""
    if value.lower() in ("shared", "own"):
        return value.lower()
    try:
        return str(whole(1, 1024)(value))
    except ValueError:
        raise ValueError(f"'{value}' is neither shared, own nor a number from 1 to 1024") from None


def group(value: str) -> str:
    """A short printable label."""
    if len(value) > MAX_GROUP_CHARS or not value.isprintable():
        raise ValueError(f"is not a printable text of at most {MAX_GROUP_CHARS} characters")
    return value


def evaluate(
    variables: Iterable[Variable], table: Mapping[str, Option], unknown: Callable[[Variable], None]
) -> dict[str, Any]:
    """Apply variables in order; the result holds the options that were written, and only those.

    `unknown` is told every ``@`` option that the table does not know. Raises `Refused` at the first
    option that is unknown otherwise or has a bad value.
    """
    values: dict[str, Any] = {}
    for variable in variables:
        name = variable.name.lower()
        option = table.get(name)
        if option is None:
            if name.startswith("@"):
                unknown(variable)
                continue
            raise Refused(f"unknown option '{variable.name}'{suggestion(name, table)}", variable)
        if _LOSSY.search(variable.value):
            raise Refused(f"{name}: the value is not UTF-8: save the file as UTF-8", variable)
        try:
            value = option.read(variable.value)
        except ValueError as error:
            raise Refused(f"{name}: {error}", variable) from None
        values[name] = values.get(name, ()) + value if option.appends else value
    return values


def is_lossy(value: str) -> bool:
    """Whether a text holds bytes that were not UTF-8."""
    return _LOSSY.search(value) is not None


def suggestion(name: str, table: Mapping[str, Option]) -> str:
    """Return `` (did you mean …?)`` or nothing."""
    return _suggestion(name[:40], tuple(table))


@functools.lru_cache(maxsize=256)
def _suggestion(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.75)
    return f" (did you mean {close[0]}?)" if close else ""
