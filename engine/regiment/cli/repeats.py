"""Log lines that are alike are counted, so that 100,000 trunks that fail make some lines a minute.

Alike are lines of the same text, registrar, code and failure class. Lines without a registrar are
of the engine itself and always pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from typing import Any

import msgspec
import structlog

EventDict = MutableMapping[str, Any]

INTERVAL_S = 60.0
FIRST = 5
"""So many lines of a kind that was quiet pass at once: a handful of trunks are all named."""
KINDS_MAX = 1000


class _Kind(msgspec.Struct):
    """What is known of lines that are alike."""

    since_s: float
    free: int
    """So many more may pass in this interval."""
    held: int = 0
    last: EventDict | None = None
    """The last one held back."""


class Repeats:
    """Passes the first lines of a kind; from then on one an interval, which tells the count.

    A kind of which nothing was held back for a whole interval is forgotten: its next line passes at
    once. At most `limit` kinds are kept; beyond that the oldest one's interval ends early.
    """

    def __init__(
        self,
        interval_s: float = INTERVAL_S,
        first: int = FIRST,
        limit: int = KINDS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval_s = interval_s
        self._first = first
        self._limit = limit
        self._clock = clock
        # oldest interval first
        self._kinds: dict[tuple[object, ...], _Kind] = {}
        self._over: list[EventDict] = []

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        """structlog's face: returns the event, or raises `DropEvent`."""
        if "registrar" not in event or "repeated" in event:
            return event
        fields = ("event", "registrar", "code", "failure_class")
        key = tuple(event.get(field) for field in fields)
        now_s = self._clock()
        kind = self._kinds.get(key)
        if kind is not None and now_s - kind.since_s >= self._interval_s:
            self._end(key, now_s)
            kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind(now_s, self._first)
            while len(self._kinds) > self._limit:
                self._forget(next(iter(self._kinds)))
        if kind.free:
            kind.free -= 1
            return event
        kind.held += 1
        kind.last = dict(event)
        raise structlog.DropEvent

    def flush(self) -> list[EventDict]:
        """What was held back in intervals that are over, each with `repeated`."""
        now_s = self._clock()
        for key in [
            key for key, kind in self._kinds.items() if now_s - kind.since_s >= self._interval_s
        ]:
            self._end(key, now_s)
        return self._drain()

    def flush_all(self) -> list[EventDict]:
        """The same for every interval, which all end: for the end of a run."""
        for key in list(self._kinds):
            self._forget(key)
        return self._drain()

    def _end(self, key: tuple[object, ...], now_s: float) -> None:
        """An interval is over; the next one begins if the kind was not quiet."""
        if self._forget(key).held:
            self._kinds[key] = _Kind(now_s, 0)

    def _forget(self, key: tuple[object, ...]) -> _Kind:
        kind = self._kinds.pop(key)
        # whoever never calls `flush` must not fill the memory with counts
        if kind.last is not None and len(self._over) < 2 * self._limit:
            self._over.append({**kind.last, "repeated": kind.held})
        return kind

    def _drain(self) -> list[EventDict]:
        over, self._over = self._over, []
        return over
