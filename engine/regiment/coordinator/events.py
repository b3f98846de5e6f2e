"""The stream of events: who listens, and what each of them is told (server-sent events).

A listener that is slower than the events keeps a place for `WAITING` of them and no more: the
oldest ones make room, and the stream says how many were not told. Workers tell every change of
state only while somebody listens.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Literal

import msgspec

from regiment.coordinator import rendering, schema
from regiment.errors import LocalError
from regiment.model import Call, Event

LISTENERS = 16
WAITING = 2000
"""Events that wait for one listener, some 500 bytes each."""
BATCH = 100
"""So many go out at once."""
HEARTBEAT_S = 15.0
RETRY_MS = 3000
"""A client that has lost the stream comes again after this."""

_encode = msgspec.json.Encoder().encode

Kind = Literal["state", "call"]


class Filter(msgspec.Struct, frozen=True):
    """Which events a listener wants; empty: all."""

    prefix: str = ""
    """Of the registration's name."""
    state: str = ""
    """That was entered; then no calls are told."""
    kind: str = ""
    """``state`` or ``call``."""

    def wants_event(self, event: Event) -> bool:
        """Is this change to be told?"""
        return (
            self.kind != "call"
            and event.name.startswith(self.prefix)
            and self.state in ("", event.state_to)
        )

    def wants_call(self, call: Call) -> bool:
        """Is this request to be told?"""
        return self.kind != "state" and not self.state and call.name.startswith(self.prefix)


class Listener:
    """One client of the stream."""

    def __init__(self, wish: Filter) -> None:
        self.wish = wish
        self.dropped = 0
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()

    def put(self, chunk: bytes) -> None:
        """One event, as it goes out."""
        if len(self._waiting) >= WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(chunk)
        self._news.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The stream: events as they come, and a comment where none came for a while."""
        yield b"retry: %d\n\n" % RETRY_MS
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._news.wait()
            except TimeoutError:
                yield b":\n\n"
                continue
            if self.dropped:
                dropped, self.dropped = self.dropped, 0
                yield _chunk("dropped", schema.Dropped(dropped), None)
            sent = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if not self._waiting:
                self._news.clear()
            yield b"".join(sent)


class Hub:
    """All listeners. `on_audience` is told when the first one comes and when the last one goes."""

    def __init__(
        self, on_audience: Callable[[bool], None], clock_s: Callable[[], float] = time.time
    ) -> None:
        self.told = 0
        """Events that were told to anybody; the number of the last one."""
        self._on_audience = on_audience
        self._clock_s = clock_s
        self._listeners: set[Listener] = set()

    def __len__(self) -> int:
        return len(self._listeners)

    def join(self, wish: Filter) -> Listener:
        """One more listener, until `leave`. Raises `LocalError`: there are enough."""
        if len(self._listeners) >= LISTENERS:
            raise LocalError(f"{LISTENERS} clients listen to events already")
        listener = Listener(wish)
        self._listeners.add(listener)
        if len(self._listeners) == 1:
            self._on_audience(True)
        return listener

    def leave(self, listener: Listener) -> None:
        """Nothing more is kept for it."""
        if listener in self._listeners:
            self._listeners.discard(listener)
            if not self._listeners:
                self._on_audience(False)

    def tell(self, events: tuple[Event, ...], calls: tuple[Call, ...] = ()) -> None:
        """Passes on what workers said. Each event is rendered once, and only if it is wanted."""
        if not self._listeners:
            return
        now_s = self._clock_s()
        for event in events:
            if takers := [one for one in self._listeners if one.wish.wants_event(event)]:
                self._put(takers, "state", rendering.state_changed(event, now_s))
        for call in calls:
            if takers := [one for one in self._listeners if one.wish.wants_call(call)]:
                self._put(takers, "call", rendering.call_came(call, now_s))

    def _put(
        self, takers: list[Listener], kind: str, data: schema.StateChanged | schema.CallCame
    ) -> None:
        self.told += 1
        chunk = _chunk(kind, data, self.told)
        for taker in takers:
            taker.put(chunk)


def _chunk(kind: str, data: msgspec.Struct, number: int | None) -> bytes:
    # JSON has no line breaks of its own, so the data is one line
    head = b"" if number is None else b"id: %d\n" % number
    return head + b"event: " + kind.encode() + b"\ndata: " + _encode(data) + b"\n\n"
