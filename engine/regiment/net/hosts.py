"""The machine's own names: a file in the format of /etc/hosts, read again when it changes."""

from __future__ import annotations

import os

from regiment.net.address import family_of

LARGEST_BYTES = 4 << 20
"""What a file has beyond this is not read."""

_LOOPBACK = ("127.0.0.1", "::1")

Stamp = tuple[int, int, int]


def stamp_of(path: str) -> Stamp | None:
    """What changes when a file does; None: there is none, or it cannot be looked at."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class Hosts:
    """Names of one file. A file that is missing or unreadable has none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp: Stamp | None = None
        self._names: dict[str, tuple[str, ...]] = {}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Literal addresses of a name in any case, in the order of the file; empty: none.

        ``localhost`` and what ends in ``.localhost`` mean loopback whatever the file says of them
        or does not say (RFC 6761 6.3), but a file that says something is believed. Costs one
        `stat`, some 2 µs.
        """
        stamp = stamp_of(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            self._names = read(self._path) if stamp else {}
        wanted = name.lower().rstrip(".")
        if found := self._names.get(wanted):
            return found
        return _LOOPBACK if wanted == "localhost" or wanted.endswith(".localhost") else ()


def read(path: str) -> dict[str, tuple[str, ...]]:
    """Name in lower case -> its addresses. Lines that make no sense are passed over, as in libc."""
    names: dict[str, dict[str, None]] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(LARGEST_BYTES)
    except OSError:
        return {}
    for line in text.splitlines():
        address, *aliases = line.partition("#")[0].split() or ("",)
        if not family_of(address):
            continue
        for alias in aliases:
            names.setdefault(alias.lower().rstrip("."), {})[address] = None
    return {name: tuple(found) for name, found in names.items()}
