"""A worker's answers to questions about its registrations.

What takes longer than a moment is done in parts of `PART_NS`, and between two parts the loop makes
the shard's turns: a list over 300,000 registrations delays no message by more than one part.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from regiment.errors import LocalError
from regiment.uac.destination import Health
from regiment.worker import control
from regiment.worker.pattern import compile_pattern
from regiment.worker.settings import options_of

PART_NS = 1_000_000
"""So long answering goes on before the turns have their way."""
SCANNED = 512
MATCHED = 64
ACTED = 64
TARGETS = 32
"""Slots, names matched, registrations acted on and targets between two looks at the clock."""


class Answers:
    """Answers an engine's `control.Ask`s; `say` sends, `turn` lets the shard do what was begun."""

    def __init__(
        self,
        engine: Any,
        *,
        say: Callable[[control.Answer], None],
        turn: Callable[[], None],
        failed: Callable[[BaseException], None],
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._engine = engine
        self._say = say
        self._turn = turn
        self._failed = failed
        self._clock_ns = clock_ns
        # Many questions at once still leave the turns their time: whoever has done a part holds
        # this until the loop has been round once.
        self._part = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, ask: control.Ask) -> None:
        """Answers, at once or by and by."""
        match ask.question:
            case control.StatusOf(name):
                status = self._engine.status(name, self._clock_ns())
                if status is not None and (policy := self._engine.policy_of(name)) is not None:
                    status = msgspec.structs.replace(status, options=options_of(policy))
                self._say(control.Answer(ask.number, control.Known(status)))
            case question:
                task = asyncio.get_running_loop().create_task(self._answer(ask.number, question))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Gives up what is not answered yet."""
        for task in self._tasks:
            task.cancel()

    async def _answer(self, number: int, question: control.Question) -> None:
        try:
            self._say(control.Answer(number, await self._reply(question)))
        except Exception as error:
            self._failed(error)

    async def _reply(self, question: control.Question) -> control.Reply:
        match question:
            case control.Page():
                async with self._part:
                    found = self._page(question)
                    await asyncio.sleep(0)
                return found
            case control.Unhealthy(limit):
                return await self._reasons(limit)
            case control.Act(action, names, everyone):
                if everyone:
                    return await self._act_on_all(action)
                return await self._act_on(action, names)
            case control.Healths(targets):
                return await self._healths(targets)
        raise LocalError(f"a question that is not understood: {type(question).__name__}")

    # ---- lists

    def _page(self, page: control.Page) -> control.PageOf:
        """As much as one part allows: whoever wants more goes on at the slot that is named."""
        end_ns = self._clock_ns() + PART_NS
        like = compile_pattern(page.like) if page.like else None
        step = MATCHED if page.like else SCANNED
        found: list[Any] = []
        slot, last = page.start, page.start + page.scan
        while 0 <= slot < last and len(found) < page.limit:
            now_ns = self._clock_ns()
            if now_ns >= end_ns:
                break
            more, slot = self._engine.page(
                slot,
                min(page.limit - len(found), step),
                min(step, last - slot),
                now_ns,
                state=page.state,
                registrar=page.registrar,
                prefix=page.prefix,
                like=like,
            )
            found += more
        return control.PageOf(tuple(found), slot)

    async def _reasons(self, limit: int) -> control.Reasons:
        counts: dict[tuple[str, str, str, int, str], list[Any]] = {}
        slot = 0
        while slot >= 0:
            async with self._part:
                end_ns = self._clock_ns() + PART_NS
                while slot >= 0 and self._clock_ns() < end_ns:
                    slot = self._engine.tally(slot, SCANNED, counts)
                await asyncio.sleep(0)
        first = sorted(counts.items(), key=lambda item: -item[1][0])[:limit]
        return control.Reasons(tuple(control.Reason(*key, *value) for key, value in first))

    async def _healths(self, targets: tuple[int, ...]) -> control.HealthsOf:
        found: list[Health] = []
        start = 0
        while start < len(targets):
            async with self._part:
                end_ns = self._clock_ns() + PART_NS
                while start < len(targets) and (now_ns := self._clock_ns()) < end_ns:
                    found += self._engine.healths(now_ns, targets[start : start + TARGETS])
                    start += TARGETS
                await asyncio.sleep(0)
        return control.HealthsOf(tuple(found))

    # ---- acts

    async def _act_on(self, action: str, names: tuple[str, ...]) -> control.Acted:
        unknown: list[str] = []
        for start in range(0, len(names), ACTED):
            await self._begin(action, names[start : start + ACTED], unknown)
        return control.Acted(len(names) - len(unknown), tuple(unknown))

    async def _act_on_all(self, action: str) -> control.Acted:
        count = 0
        unknown: list[str] = []
        start = 0
        while start < self._engine.slots():
            names = self._engine.names(start, ACTED)
            start += ACTED
            await self._begin(action, names, unknown)
            count += len(names)
        # what went away meanwhile is nobody's mistake
        return control.Acted(count - len(unknown))

    async def _begin(self, action: str, names: Sequence[str], unknown: list[str]) -> None:
        async with self._part:
            now_ns = self._clock_ns()
            for name in names:
                if action == "unregister":
                    is_known = self._engine.unregister(name, now_ns)
                else:
                    is_known = self._engine.refresh(name, now_ns, action == "fresh")
                if not is_known:
                    unknown.append(name)
            self._turn()
            await asyncio.sleep(0)
