"""Keeps the addresses of a worker's targets: looked up when the core asks, and again in time.

Each look-up is a task of the loop and no turn ever waits for one. What was found holds until its
time is over (`Resolution.ttl_s`); a look-up that failed is repeated after `RETRY_S`, and meanwhile
the core goes on with the addresses it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from regiment.errors import LocalError
from regiment.model import NameService
from regiment.net.address import family_of
from regiment.net.resolver import Candidate, Query, Resolver
from regiment.uac.destination import Place, TargetInfo
from regiment.worker.faces import Faces

AT_ONCE = 64
"""So many targets are looked up at a time."""
RETRY_S = 30.0
"""After a failure, and up to a tenth more by chance."""

Tell = Callable[[int, Sequence[Place], str], None]
"""A target's number, its places (best first), and why there are none."""


class Lookup:
    """The look-ups of one worker, on the running loop.

    `tell` gets every result; `failed` what no look-up should raise.
    """

    def __init__(
        self,
        resolver: Resolver,
        faces: Faces,
        random: Random,
        tell: Tell,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._resolver = resolver
        self._faces = faces
        self._random = random
        self._tell = tell
        self._failed = failed
        self._service = NameService()
        self._targets: Sequence[TargetInfo] = ()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._planned: dict[int, asyncio.TimerHandle] = {}
        self._found: dict[int, tuple[Candidate, ...]] = {}
        self._idle: set[int] = set()
        """Targets that nobody registered at when they were told last."""
        self._turnstile = asyncio.Semaphore(AT_ONCE)
        self._is_closed = False

    def know(self, targets: Sequence[TargetInfo]) -> None:
        """The targets as they are now; those without registrations are looked up no more."""
        self._targets = targets
        for target in targets:
            if not target.registrations:
                self._cancel(target.index)
                self._found.pop(target.index, None)
                self._idle.add(target.index)
            elif target.index in self._idle:
                self._idle.discard(target.index)
                self.take([target.index])
        if any(target.registrations and not family_of(target.host) for target in targets):
            self._resolver.prepare()

    def configure(self, service: NameService) -> None:
        """Who is asked. Where that is somebody else, every name is looked up again at once."""
        if service == self._service:
            return
        self._service = service
        self._resolver.configure(service)
        self.take(list(self._planned))

    def take(self, numbers: Sequence[int]) -> None:
        """Looks targets up; each is told once, however often it is asked for meanwhile."""
        for number in numbers:
            self._cancel(number)
            if number in self._running or self._is_closed:
                continue
            task = asyncio.get_running_loop().create_task(self._look_up(number))
            self._running[number] = task
            task.add_done_callback(partial(self._ended, number))

    def close(self) -> None:
        """Gives up everything; nothing is told any more."""
        self._is_closed = True
        for handle in self._planned.values():
            handle.cancel()
        for task in list(self._running.values()):
            task.cancel()
        self._resolver.close()

    async def _look_up(self, number: int) -> None:
        target = self._targets[number]
        places: list[Place] = []
        reason = ""
        retry_s = RETRY_S * (1 + self._random.random() / 10)
        try:
            async with self._turnstile:
                found = await self._resolver.resolve(self._query(target))
            candidates = keep_order(self._found.get(number, ()), found.candidates)
            places = self._places(target, candidates)
            self._found[number] = candidates
            retry_s = found.ttl_s
        except LocalError as error:
            reason = str(error)
        except Exception as error:
            self._failed(error)
            return
        if self._is_closed:
            return
        # Whoever is told may ask again at once.
        self._running.pop(number, None)
        self._plan(number, retry_s)
        self._tell(number, places, reason)

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        if self._running.get(number) is task:
            del self._running[number]

    def _query(self, target: TargetInfo) -> Query:
        return Query(
            target.host,
            target.port,
            target.protocol,
            frozenset(map(self._faces.offer, target.transports)),
            target.is_strict,
            target.is_secure,
        )

    def _places(self, target: TargetInfo, candidates: Sequence[Candidate]) -> list[Place]:
        """Each by the first transport of the target that leads there."""
        carriers: dict[tuple[str, int], int] = {}
        for number in target.transports:
            carriers.setdefault(self._faces.offer(number), number)
        return [
            self._faces.place(one.peer, carriers[one.protocol, one.family]) for one in candidates
        ]

    def _plan(self, number: int, after_s: float) -> None:
        self._cancel(number)
        if self._targets[number].registrations:
            loop = asyncio.get_running_loop()
            self._planned[number] = loop.call_later(after_s, self._again, number)

    def _again(self, number: int) -> None:
        self._planned.pop(number, None)
        self.take((number,))

    def _cancel(self, number: int) -> None:
        if handle := self._planned.pop(number, None):
            handle.cancel()


def keep_order(former: Sequence[Candidate], found: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """`found`, each rank in the order of `former` where it has the same members as before.

    Weights spread what comes anew. What is registered already must not move to another address of
    the same worth each time that the dice are thrown again.
    """
    before: dict[int, list[Candidate]] = {}
    for one in former:
        before.setdefault(one.rank, []).append(one)
    ordered: list[Candidate] = []
    for rank in sorted({one.rank for one in found}):
        now = [one for one in found if one.rank == rank]
        then = before.get(rank, [])
        ordered += then if set(then) == set(now) else now
    return tuple(ordered)
