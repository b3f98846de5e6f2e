"""A reload: from the wish for one to workers that hold what the file says now.

The file is read by a loader as at the start, into new spools that stand beside those in force. What
it says is judged as a whole, and new sockets are opened; until then nothing has changed and every
way out leads back. Then the new spools take the place of the old ones in one step, and each worker
is told what it holds differently. A worker that dies over that has a successor that reads the new
spool. Last, rates and rows are shared out anew.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec
import structlog

from regiment.coordinator import loading
from regiment.coordinator.dealer import Share
from regiment.coordinator.difference import SHOWN_NAMES
from regiment.coordinator.roster import Roster
from regiment.coordinator.seat import Seat
from regiment.coordinator.service import Service
from regiment.coordinator.shares import Shares
from regiment.coordinator.spool import Spool
from regiment.errors import ConfigError, LocalError, RegimentError
from regiment.model import Finding

REMOVALS = 100
REMOVALS_PART = 0.1
"""A reload that removes more than so many, and more than this part, must be asked for in words."""
READINGS = 5
"""A file that seems to be being written is read so often at most."""
READING_PAUSE_S = 0.5
COUNTS = ("added", "policy", "wire", "moved", "removed", "kept", "refused")
STOP_S = 10.0
"""A reload that has come into force is given so long when the engine is to stop."""

logger = structlog.get_logger()


class ReloadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload has changed. Counts are of registrations."""

    added: int = 0
    policy: int = 0
    """Changed in nothing that is sent."""
    wire: int = 0
    """Changed in what is sent, but for the Contact: one refresh each."""
    moved: int = 0
    """Another Contact, AOR or registrar: un-REGISTERed and registered anew."""
    removed: int = 0
    kept: int = 0
    """Unchanged: no worker has heard of them."""
    refused: int = 0
    """Objects of the file that cannot be used; one that was loaded before stays as it was."""
    findings: tuple[Finding, ...] = ()
    """The first of these refusals."""
    warnings: tuple[Finding, ...] = ()
    names: dict[str, tuple[str, ...]] = {}
    """``added``, ``policy``, ``wire``, ``moved``, ``removed`` -> the first names of that kind."""
    transports_pending: tuple[str, ...] = ()
    """Transports that were changed in the file and stay as they are until a restart."""
    seconds: float = 0.0


class Engine(Protocol):
    """What is reloaded."""

    seats: list[Seat]
    service: Service

    def refusal(self) -> str: ...
    def order(self) -> loading.Order: ...
    def on_reload_failed(self, reason: str) -> None: ...
    def take_over(self, done: loading.Done) -> None: ...
    async def share_out_anew(self) -> None: ...
    def on_reloaded(self, report: ReloadReport) -> None: ...


class Reloads:
    """The reloads of an engine, one at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._task: asyncio.Task[ReloadReport] | None = None
        self._in_force = False

    async def run(self, allow_removals: bool, wait: bool) -> ReloadReport:
        """Reloads; `wait`: after the one that may be running, which else is an error.

        A caller that is cancelled leaves the reload running. Raises `ConfigError`, `LocalError`.
        """
        while self._task is not None and not self._task.done():
            if not wait:
                raise LocalError("a reload is running")
            await asyncio.wait({self._task})
        if refusal := self._engine.refusal():
            raise LocalError(refusal)
        task = self._task = asyncio.create_task(self._reload(allow_removals))
        # If nobody waits for it any more: what went wrong was logged.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and (refusal := self._engine.refusal()):
                raise LocalError(refusal) from None
            raise

    async def stop(self, patience_s: float = STOP_S) -> None:
        """Ends a reload that is not yet in force, and waits a while for one that is."""
        task = self._task
        if task is None or task.done():
            return
        if self._in_force:
            await asyncio.wait({task}, timeout=patience_s)
        task.cancel()
        await asyncio.wait({task})

    async def _reload(self, allow_removals: bool) -> ReloadReport:
        with self._engine.service.reloading():
            return await self._reload_now(allow_removals)

    async def _reload_now(self, allow_removals: bool) -> ReloadReport:
        engine, started_s = self._engine, time.monotonic()
        self._in_force = False
        order = engine.order()
        try:
            fresh = await read(order)
            try:
                judge(fresh.done, os.fsdecode(order.path), allow_removals)
                lives = [seat.replacements if seat.running else -1 for seat in engine.seats]
                if fresh.is_new:
                    await prepare(engine.seats, fresh.done)
            except BaseException:
                fresh.close()
                raise
        except RegimentError as error:
            engine.on_reload_failed(str(error))
            raise
        self._in_force = True
        engine.take_over(fresh.done)
        if fresh.is_new:
            try:
                await change(engine.seats, fresh, lives)
            finally:
                fresh.close_changes()
            await engine.share_out_anew()
        else:
            fresh.close()
            if asks_others(order, fresh.done):
                await engine.share_out_anew()
        report = report_of(fresh.done, time.monotonic() - started_s)
        engine.on_reloaded(report)
        return report


class Fresh(NamedTuple):
    """A configuration that was read and is not in force."""

    spools: list[Spool]
    rosters: list[Roster]
    changes: list[Spool]
    """For each worker, the frames that make what it holds into what it shall hold."""
    done: loading.Done

    @property
    def is_new(self) -> bool:
        """Some worker holds something differently."""
        return any(changes.size_bytes for changes in self.changes)

    def close_changes(self) -> None:
        """Gives the memory of what was passed on back."""
        for spool in self.changes:
            spool.close()

    def close(self) -> None:
        """Gives all memory back: it will not be in force."""
        self.close_changes()
        for spool in self.spools:
            spool.close()


async def read(order: loading.Order) -> Fresh:
    """What the file says now; it is read again while it seems to be being written.

    Raises `ConfigError` and `LocalError`.
    """
    for reading in range(1, READINGS + 1):
        try:
            fresh = await _read_once(order)
        except loading.UnsettledError:
            if reading == READINGS:
                raise
        else:
            if not fresh.done.unsettled or reading == READINGS:
                return fresh
            fresh.close()
        logger.info("the configuration is being written: it is read again")
        await asyncio.sleep(READING_PAUSE_S)
    raise AssertionError("the last reading returns or raises")


async def _read_once(order: loading.Order) -> Fresh:
    workers = range(order.workers)
    spools = [Spool(f"regiment worker {index}") for index in workers]
    changes = [Spool(f"regiment changes {index}") for index in workers]
    rosters = [Roster() for _ in workers]
    try:
        async for item in loading.load(order):
            match item:
                case Share(worker, digests, frame):
                    rosters[worker].add(digests)
                    spools[worker].append(frame)
                case loading.Changes(worker, frame):
                    changes[worker].append(frame)
                case loading.Done():
                    return Fresh(spools, rosters, changes, item)
        raise LocalError("the loader ended without a word")
    except BaseException:
        for spool in (*spools, *changes):
            spool.close()
        raise


def asks_others(order: loading.Order, done: loading.Done) -> bool:
    """Other name servers are to be asked than those of what is in force."""
    return order.foundation is not None and order.foundation.names != done.foundation.names


def judge(done: loading.Done, config: str, allow_removals: bool) -> None:
    """Raises where a configuration must not come into force: `ConfigError` or `LocalError`."""
    if not done.registrations:
        first = f"; {done.refused[0]}" if done.refused else ""
        refused = f" ({len(done.refused)} refused{first})" if done.refused else ""
        raise ConfigError(f"nothing is left to register{refused}", config)
    if done.counts is None:
        raise LocalError("the loader has compared nothing")
    before, removed = done.counts.before, done.counts.by_kind["removed"]
    if allow_removals or removed <= REMOVALS or removed <= before * REMOVALS_PART:
        return
    raise LocalError(
        f"{config}: {removed:,} of {before:,} registrations would be removed, which has to be "
        "asked for: regiment reload --allow-removals"
    )


async def prepare(seats: Sequence[Seat], done: loading.Done) -> None:
    """Opens in every worker the sockets that it lacks. All or nothing; raises `LocalError`."""
    missing = {
        seat: tuple(one for one in listeners if one.transport.name not in seat.ports)
        for seat, listeners in zip(seats, done.listeners, strict=True)
        if seat.running
    }
    asked = [seat for seat, listeners in missing.items() if listeners]
    answers = await asyncio.gather(
        *(seat.prepare(missing[seat]) for seat in asked), return_exceptions=True
    )
    reasons = [str(answer) for answer in answers if answer]
    if reasons:
        for seat in asked:
            seat.discard()
        raise LocalError(reasons[0])


async def change(seats: Sequence[Seat], fresh: Fresh, lives: Sequence[int]) -> None:
    """Puts a configuration in force whose sockets are open. Nothing can prevent it any more.

    `lives`: whose sockets were opened, as the seats' `replacements` of that time; -1: nobody's.
    """
    shares = zip(fresh.spools, fresh.rosters, lives, strict=True)
    told = [
        seat.change(changes)
        for seat, share, changes in zip(seats, shares, fresh.changes, strict=True)
        if seat.swap(*share) and changes.size_bytes
    ]
    for problem in await asyncio.gather(*told, return_exceptions=True):
        if isinstance(problem, LocalError):
            logger.warning("a worker is replaced in a reload", reason=str(problem))
        elif problem is not None:
            raise problem


async def begin(seats: Sequence[Seat], shares: Shares) -> None:
    """Lets every worker go on by new shares."""
    going = []
    for seat in seats:
        if seat.loaded is None:
            continue
        wish = shares.begin(seat.loaded.targets)
        if seat.running:
            going.append(seat.begin_again(wish))
        else:
            # It was told to begin by the shares of before, while others were told of changes.
            seat.begin(wish)
    for problem in await asyncio.gather(*going, return_exceptions=True):
        if isinstance(problem, LocalError):
            logger.warning("a worker does not go on after a reload", reason=str(problem))
        elif problem is not None:
            raise problem


def report_of(done: loading.Done, seconds: float) -> ReloadReport:
    """What people want to know of a reload that is done."""
    counts = done.counts
    if counts is None:
        return ReloadReport(seconds=seconds)
    by_kind, names = counts.by_kind, counts.names
    return ReloadReport(
        added=by_kind["added"],
        policy=by_kind["policy"],
        wire=by_kind["wire"],
        moved=by_kind["contact"] + by_kind["replaced"],
        removed=by_kind["removed"],
        kept=counts.kept,
        refused=len(done.refused),
        findings=done.refused[:SHOWN_NAMES],
        warnings=done.warnings[:SHOWN_NAMES],
        names={
            "added": names["added"],
            "policy": names["policy"],
            "wire": names["wire"],
            "moved": (names["contact"] + names["replaced"])[:SHOWN_NAMES],
            "removed": names["removed"],
        },
        transports_pending=done.transports_pending,
        seconds=seconds,
    )
