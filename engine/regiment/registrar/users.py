"""Who may register: a list, ranges of names, or anybody who knows one password.

The core asks here once per user and algorithm and keeps the HA1 that it was given, so this is plain
Python. Secrets stay inside: no `repr`, no error and no count shows one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from regiment.errors import ConfigError
from regiment.model import ALGORITHMS, MD5

_HEX_DIGITS = {name: 32 if name == MD5 else 64 for name in ALGORITHMS}
_CONVERSION = re.compile(r"%(?:(0?)(\d{0,2})d|(%))")
_BOUNDS = re.compile(r"(\d{1,12})(?:-|\.\.)(\d{1,12})")


class Pattern:
    """A text with at most one ``%d`` or ``%06d``, as printf has it; ``%%`` is a ``%``."""

    def __init__(self, text: str) -> None:
        """Raises `ValueError` for another use of ``%``."""
        parts: list[str] = [""]
        self._format = ""
        position = 0
        for match in _CONVERSION.finditer(text):
            parts[-1] += text[position : match.start()]
            position = match.end()
            if match[3]:
                parts[-1] += "%"
                continue
            if self._format:
                raise ValueError("one %d at most")
            self._format = f"{match[1]}{match[2]}d"
            parts.append("")
        parts[-1] += text[position:]
        if "%" in _CONVERSION.sub("", text):
            raise ValueError("% stands for nothing here: write %d, %06d or %%")
        self._before, self._after = parts[0], parts[-1]

    @property
    def has_number(self) -> bool:
        """It holds a ``%d``."""
        return bool(self._format)

    def write(self, number: int) -> str:
        """The text for `number`."""
        if not self._format:
            return self._before
        return f"{self._before}{number:{self._format}}{self._after}"

    def read(self, text: str) -> int:
        """The number whose `write` is `text`; -1: there is none."""
        end = len(text) - len(self._after)
        digits = text[len(self._before) : end]
        if not 1 <= len(digits) <= 12 or not digits.isascii() or not digits.lstrip(" ").isdecimal():
            return -1
        number = int(digits)
        return number if self.write(number) == text else -1


class Range(msgspec.Struct, frozen=True):
    """Users by number: ``trunk%06d`` from `first` to `last`, with a password pattern."""

    name: str
    first: int
    last: int
    password: str

    def __repr__(self) -> str:
        return f"Range({self.name!r}, {self.first}, {self.last})"

    def __len__(self) -> int:
        return self.last - self.first + 1

    def password_of(self, username: str) -> str | None:
        """The password of `username`; None: not in this range."""
        number = Pattern(self.name).read(username)
        if not self.first <= number <= self.last:
            return None
        return Pattern(self.password).write(number)


class Users(msgspec.Struct):
    """All who may register. Filled by the `add_…` methods before the registrar starts."""

    passwords: dict[str, str] = {}
    digests: dict[str, dict[str, bytes]] = {}
    """User -> algorithm -> raw HA1."""
    ranges: list[Range] = []
    any_password: str | None = None
    """Everybody else registers with it."""

    def __repr__(self) -> str:
        anybody = ", anybody" if self.is_open else ""
        return f"Users({len(self)} named{anybody})"

    def __len__(self) -> int:
        """How many have a name of their own here (anybody else not counted)."""
        return len(self.passwords.keys() | self.digests.keys()) + sum(map(len, self.ranges))

    def __bool__(self) -> bool:
        return bool(len(self)) or self.is_open

    @property
    def is_open(self) -> bool:
        """Any name may register with the one password."""
        return self.any_password is not None

    def add_password(self, username: str, password: str) -> None:
        """One user with a password in the clear."""
        self.passwords[username] = password

    def add_digest(self, username: str, algorithm: str, ha1: str) -> None:
        """One user of whom only the HA1 for `algorithm` is known, as hex digits.

        Raises `ConfigError` (without the digits) for another algorithm or length.
        """
        digits = _HEX_DIGITS.get(algorithm)
        if digits is None:
            raise ConfigError(
                f"user {username!r}: unknown algorithm, one of {', '.join(ALGORITHMS)} is needed"
            )
        if len(ha1) != digits or not re.fullmatch(r"[0-9A-Fa-f]+", ha1):
            raise ConfigError(f"user {username!r}: an HA1 of {algorithm} has {digits} hex digits")
        self.digests.setdefault(username, {})[algorithm] = bytes.fromhex(ha1)

    def add_range(self, name: str, first: int, last: int, password: str) -> None:
        """Users ``name % first`` … ``name % last``, each with ``password % number``.

        Raises `ConfigError`.
        """
        try:
            names = Pattern(name)
            Pattern(password)
        except ValueError as error:
            raise ConfigError(f"user range {name!r}: {error}") from None
        if not names.has_number:
            raise ConfigError(f"user range {name!r}: the name needs a %d, as in trunk%06d")
        if first > last:
            raise ConfigError(f"user range {name!r}: {first}-{last} is empty")
        self.ranges.append(Range(name, first, last, password))

    def allow_anybody(self, password: str) -> None:
        """Every name that is not listed may register with `password`."""
        self.any_password = password

    def password(self, username: str) -> str | None:
        """The password of `username`; None: nobody of that name, or only an HA1 is known."""
        if username in self.passwords:
            return self.passwords[username]
        if username in self.digests:
            return None
        for each in self.ranges:
            password = each.password_of(username)
            if password is not None:
                return password
        return self.any_password

    def digest(self, username: str, algorithm: str) -> bytes | None:
        """The given HA1 of `username` for `algorithm`, raw; None: compute it from the password."""
        return self.digests.get(username, {}).get(algorithm)


def read_user(users: Users, text: str) -> None:
    """``name:password`` or ``name:algorithm:ha1`` into `users`; the name ``*`` is anybody.

    A password may hold colons: only ``algorithm:`` and nothing but hex digits is an HA1. Raises
    `ConfigError`.
    """
    username, colon, secret = text.partition(":")
    if not colon or not username:
        raise ConfigError("a user is written name:password or name:algorithm:ha1")
    if username == "*":
        users.allow_anybody(secret)
        return
    algorithm, second, ha1 = secret.partition(":")
    if second and algorithm in _HEX_DIGITS and re.fullmatch(r"[0-9A-Fa-f]+", ha1):
        users.add_digest(username, algorithm, ha1)
    else:
        users.add_password(username, secret)


def read_range(users: Users, text: str) -> None:
    """``trunk%06d:0-99999:secret%06d`` into `users`. Raises `ConfigError`."""
    name, colon, rest = text.partition(":")
    bounds, second, password = rest.partition(":")
    match = _BOUNDS.fullmatch(bounds.strip())
    if not colon or not second or match is None:
        raise ConfigError("a user range is written NAME%06d:FIRST-LAST:PASSWORD")
    users.add_range(name, int(match[1]), int(match[2]), password)


def read_users(users: Users, lines: Iterable[str], file: str) -> None:
    """A file of `read_user` and `read_range` lines; empty ones, ``#`` and ``;`` are skipped.

    Raises `ConfigError` with the file and line, without the line's text.
    """
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not line.strip() or line.lstrip()[0] in "#;":
            continue
        try:
            name, _, rest = line.partition(":")
            if "%" in name and _BOUNDS.match(rest):
                read_range(users, line)
            else:
                read_user(users, line)
        except ConfigError as error:
            raise ConfigError(error.message, file, number) from None
