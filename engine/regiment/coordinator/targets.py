"""The health of targets: what each worker knows of its own, put together.

A target is the same one in two workers if host, port and protocol of the next hop are. Workers are
asked for as many targets at a time as a page may hold; a worker that is down or does not answer is
left out, since the others know most of what it would say.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from regiment.coordinator import schema
from regiment.coordinator.listing import Misunderstood
from regiment.errors import LocalError
from regiment.metrics.catalogue import ADDRESSES, REGISTRAR_ROWS
from regiment.metrics.exposition import TargetFacts
from regiment.uac.destination import AddressHealth, Health, TargetInfo
from regiment.worker import control

if TYPE_CHECKING:
    from regiment.coordinator.coordinator import Coordinator
    from regiment.coordinator.seat import Seat

LOOK_S = 5.0
"""Metrics are no older than this, and an answer's time."""
SEARCH_S = 1.0
"""A page that is not full after this ends there."""
ASKED = 256
"""Targets that a worker is asked for at a time."""
FOLLOWED = REGISTRAR_ROWS * ADDRESSES
"""So many targets at most are asked for the metrics."""
MOST_ADDRESSES = 64
"""Of one target. A worker keeps 32, but two may have been told different ones."""

STATES: tuple[schema.AddressState, ...] = ("unproven", "up", "suspect", "gated", "down")
"""From what says least to the worst: one worker's answer is worth more than another's silence."""
WELL = ("unproven", "up")


class Key(msgspec.Struct, frozen=True, array_like=True, order=True):
    """What makes targets of two workers the same one, in the order of lists."""

    registrar: str
    host: str
    port: int
    protocol: str


class Place(msgspec.Struct, frozen=True):
    """A target in one worker."""

    seat: int
    index: int
    registrations: int


class Targets:
    """Answers what is asked of the targets of `engine`, and keeps what the metrics tell of them."""

    def __init__(self, engine: Coordinator) -> None:
        self.facts: Mapping[str, TargetFacts] = {}
        """Registrar -> what was known of it at the last look."""
        self._engine = engine
        self._looking: asyncio.Task[None] | None = None
        self._looked_s = -LOOK_S
        # what `_found` was computed from is kept, so that no other tuple can take its identity
        self._loaded: list[tuple[int, tuple[TargetInfo, ...]]] = []
        self._found: dict[Key, list[Place]] = {}

    # ---- for the metrics

    def look(self) -> None:
        """To be called about once a second: asks the workers now and then, and waits for none."""
        if self._looking is not None and not self._looking.done():
            return
        if time.monotonic() - self._looked_s >= LOOK_S:
            self._looked_s = time.monotonic()
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def close(self) -> None:
        """Asks no more. May be called twice."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        shares = self._engine.shares
        named = set(shares.registrars) if shares else set()
        places = {key: at for key, at in self._places().items() if key.registrar in named}
        most = sorted(places, key=lambda key: -sum(at.registrations for at in places[key]))
        followed = most[:FOLLOWED]
        found: dict[str, list[schema.TargetOf]] = {}
        for start in range(0, len(followed), ASKED):
            chosen = {key: places[key] for key in followed[start : start + ASKED]}
            for target in await self._ask(chosen):
                found.setdefault(target.registrar, []).append(target)
        self.facts = {registrar: facts_of(targets) for registrar, targets in found.items()}

    # ---- for people and programs

    async def page(self, registrar: str, troubled: bool, limit: int, cursor: str) -> schema.Targets:
        """One page of at most `limit` targets, of that registrar, and only those in trouble.

        Raises `listing.Misunderstood` for a cursor that is none.
        """
        last = _key_of(cursor) if cursor else None
        places = self._places()
        keys = sorted(
            key
            for key in places
            if (last is None or key > last) and (not registrar or key.registrar == registrar)
        )
        end_s = time.monotonic() + SEARCH_S
        found: list[schema.TargetOf] = []
        start = 0
        while start < len(keys) and len(found) < limit and (not start or time.monotonic() < end_s):
            part = keys[start : start + min(ASKED, limit - len(found))]
            start += len(part)
            asked = await self._ask({key: places[key] for key in part})
            found += (target for target in asked if target.is_troubled or not troubled)
        return schema.Targets(found, _cursor_of(keys[start - 1]) if start < len(keys) else None)

    # ---- inside

    def _places(self) -> dict[Key, list[Place]]:
        """Where each target is, without those that nothing goes to any more.

        Computed again only when a worker has come, gone or loaded something else: some 2 µs a
        target, which is felt where every registration has a registrar of its own.
        """
        loaded = [
            (seat.index, seat.loaded.targets)
            for seat in self._engine.seats
            if seat.loaded is not None and seat.running
        ]
        if [(index, id(of)) for index, of in loaded] != [(n, id(of)) for n, of in self._loaded]:
            self._loaded, self._found = loaded, {}
            for index, of in loaded:
                for target in of:
                    if target.registrations:
                        key = Key(target.label, target.host, target.port, target.protocol)
                        place = Place(index, target.index, target.registrations)
                        self._found.setdefault(key, []).append(place)
        return self._found

    async def _ask(self, places: Mapping[Key, Sequence[Place]]) -> list[schema.TargetOf]:
        """How these targets are, in their order."""
        indices: dict[int, list[int]] = {}
        for place in (place for at in places.values() for place in at):
            indices.setdefault(place.seat, []).append(place.index)
        asked = (_healths_of(self._engine.seats[seat], of) for seat, of in indices.items())
        answers = dict(zip(indices, await asyncio.gather(*asked), strict=True))
        return [
            merged(
                key,
                sum(place.registrations for place in at),
                [
                    health
                    for place in at
                    if (health := answers[place.seat].get(place.index)) is not None
                ],
            )
            for key, at in places.items()
        ]


async def _healths_of(seat: Seat, indices: Iterable[int]) -> dict[int, Health]:
    life = seat.replacements
    try:
        reply = await seat.ask(control.Healths(tuple(indices)))
    except LocalError:
        # a worker that is down is told of among the workers
        return {}
    if not isinstance(reply, control.HealthsOf) or seat.replacements != life:
        return {}
    return {health.index: health for health in reply.found}


def merged(key: Key, registrations: int, views: Sequence[Health]) -> schema.TargetOf:
    """One target as all these workers see it together."""
    addresses = list(_addresses(views))
    reason = next((view.reason for view in views if view.reason), "")
    return schema.TargetOf(
        registrar=key.registrar,
        host=key.host,
        port=key.port,
        protocol=key.protocol,
        registrations=registrations,
        is_troubled=bool(reason) or any(each.state not in WELL for each in addresses),
        addresses=addresses,
        outstanding=sum(view.outstanding for view in views),
        window=_limit(view.window for view in views),
        learned_rate=round(sum(view.rate for view in views), 3) or None,
        gate_s=_longest(view.gate_s for view in views),
        retry_after_s=_longest(view.retry_after_s for view in views),
        waiting=sum(view.waiting for view in views),
        open=sum(view.open for view in views),
        connecting=sum(view.connecting for view in views),
        reason=reason,
    )


def _addresses(views: Sequence[Health]) -> Iterator[schema.AddressOf]:
    """Each address once, in the order in which the first worker that knows it has them."""
    seen: dict[tuple[str, str], list[AddressHealth]] = {}
    for address in (address for view in views for address in view.addresses):
        way = (address.address, address.transport)
        if way in seen or len(seen) < MOST_ADDRESSES:
            seen.setdefault(way, []).append(address)
    for (name, transport), each in seen.items():
        states = [state for state in STATES if any(one.state == state for one in each)]
        yield schema.AddressOf(
            address=name,
            transport=transport,
            protocol=each[0].protocol,
            state=states[-1],
            workers={state: sum(one.state == state for one in each) for state in states},
            outstanding=sum(one.outstanding for one in each),
            window=_limit(one.window for one in each),
            gate_s=_longest(one.gate_s for one in each),
            reason=next((one.reason for one in each if one.reason), ""),
        )


def _limit(limits: Iterable[int]) -> int | None:
    """The sum of limits of which 0 is none: then there is none at all."""
    each = list(limits)
    return sum(each) if each and all(each) else None


def _longest(seconds: Iterable[float]) -> float:
    return round(max(seconds, default=0.0), 3)


def facts_of(targets: Iterable[schema.TargetOf]) -> TargetFacts:
    """What the metrics tell of the targets of one registrar."""
    up: dict[tuple[str, str], bool] = {}
    rate, retry_after_s = 0.0, 0.0
    for target in targets:
        rate += target.learned_rate or 0.0
        retry_after_s = max(retry_after_s, target.retry_after_s)
        for address in target.addresses:
            name = (address.address, address.protocol)
            if name in up or len(up) < ADDRESSES:
                up[name] = up.get(name, True) and address.state in WELL
    return TargetFacts(up, rate, retry_after_s)


def _cursor_of(key: Key) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(key)).rstrip(b"=").decode()


def _key_of(cursor: str) -> Key:
    with contextlib.suppress(ValueError, msgspec.DecodeError):
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(raw, type=Key)
    raise Misunderstood("cursor: give back the one of the page before")
