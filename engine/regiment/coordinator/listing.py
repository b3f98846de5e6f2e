"""Lists over the registrations of all workers, a page at a time.

A page is filled worker by worker in the order of their slots. Where it ends is told in the cursor,
so nothing is kept between two pages, and a registration that is there all the while is met exactly
once, whatever its state does meanwhile.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Protocol

import msgspec

from regiment.coordinator import rendering, schema
from regiment.errors import LocalError
from regiment.worker import control
from regiment.worker.pattern import compile_pattern

SEARCH_S = 1.0
"""A page that is not full after this ends there."""
_SLOTS = 1 << 31


class Misunderstood(LocalError):
    """A pattern or a cursor that is none."""


class StaleCursor(LocalError):
    """The list that the cursor belongs to is no more."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a list goes on."""

    worker: int
    slot: int
    life: int
    """Of that worker; 0: the first one."""


class Asked(Protocol):
    """What a list needs of `coordinator.seat.Seat`."""

    index: int
    replacements: int

    async def ask(self, question: control.Question) -> control.Reply: ...


class Filters(msgspec.Struct, frozen=True):
    """What is looked for; empty: everything."""

    state: str = ""
    registrar: str = ""
    prefix: str = ""
    like: str = ""


async def page_of(
    seats: Sequence[Asked], filters: Filters, limit: int, cursor: str = ""
) -> schema.Page:
    """One page of at most `limit` registrations.

    Raises `Misunderstood`, `StaleCursor`, and `LocalError` where a worker is down.
    """
    if filters.like:
        try:
            compile_pattern(filters.like)
        except LocalError as error:
            raise Misunderstood(str(error)) from None
    place = _place_of(cursor, seats) if cursor else Place(0, 0, seats[0].replacements)
    end_s = time.monotonic() + SEARCH_S
    found: list[schema.RegistrationOf] = []
    while place.worker < len(seats):
        seat = seats[place.worker]
        reply = await seat.ask(
            control.Page(place.slot, limit - len(found), _SLOTS, **msgspec.structs.asdict(filters))
        )
        if not isinstance(reply, control.PageOf):
            raise LocalError(f"worker {seat.index} did not understand")
        now_s = time.time()
        found += [rendering.registration_of(status, now_s) for status in reply.found]
        if reply.following >= 0:
            place = Place(place.worker, reply.following, seat.replacements)
        elif place.worker + 1 < len(seats):
            place = Place(place.worker + 1, 0, seats[place.worker + 1].replacements)
        else:
            return schema.Page(found, None)
        if len(found) >= limit or time.monotonic() >= end_s:
            break
    return schema.Page(found, _cursor_of(place))


def _cursor_of(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).rstrip(b"=").decode()


def _place_of(cursor: str, seats: Sequence[Asked]) -> Place:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        place = msgspec.msgpack.decode(raw, type=Place)
    except (ValueError, msgspec.DecodeError):
        raise Misunderstood("cursor: give back the one of the page before") from None
    if not 0 <= place.worker < len(seats) or not 0 <= place.slot < _SLOTS:
        raise Misunderstood("cursor: give back the one of the page before")
    if place.life != seats[place.worker].replacements:
        raise StaleCursor(f"worker {place.worker} was replaced: begin again without a cursor")
    return place
