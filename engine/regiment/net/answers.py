"""What name servers have answered: kept for its time, and beyond it while nobody answers.

A good answer outlives failures and negative answers to the same question: it is used on, *stale*,
for up to `STALE_S` after its time, while the question is asked again every `RECHECK_S` (RFC 8767).
A negative answer is kept for a minute at most and a failure for `FAILURE_S`, so that what comes to
be is found soon and yet a thousand askers put one question.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, NamedTuple

from regiment.net.selection import Question

LEAST_S = 5
MOST_S = 86_400
"""A record's time to live is taken as at least and at most this."""
NEGATIVE_MOST_S = 60
FAILURE_S = 5.0
RECHECK_S = 30.0
STALE_S = 86_400.0
PATIENCE_S = 1.8
"""Whoever has a stale answer waits no longer for a fresh one, which comes into the cache later."""
KEPT = 16_384
"""So many questions are kept; beyond, those that were asked longest ago go first."""
AT_ONCE = 128
"""So many questions are put at a time; each takes a descriptor."""

NS_PER_S = 1_000_000_000


class Answer(NamedTuple):
    """Records, or the word of a name server that there are none."""

    records: tuple[Any, ...]
    """Of one kind of `net.selection`; addresses as text. Empty: a negative answer."""
    ttl_s: float
    """How long it holds from now on."""
    name_exists: bool = True
    """False: there is nothing at all of that name."""
    is_stale: bool = False
    """Its time is over, and there is no better one."""


class Unanswered(Exception):
    """Nobody gave a usable answer; the text is one line that says who did what."""

    def __init__(self, reason: str, result: str = "failed") -> None:
        super().__init__(reason)
        self.result = result


Ask = Callable[[Question], Awaitable[Answer]]
"""Puts a question to name servers; raises `Unanswered`."""


class _Entry:
    """What is known for one question."""

    __slots__ = ("answer", "expires_ns", "failure", "good_until_ns", "recheck_ns")

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.expires_ns = 0
        self.recheck_ns = 0
        """Not asked again before this, although the time is over."""
        self.good_until_ns = 0
        """Until then a good answer is better than none."""
        self.failure: Unanswered | None = None


class Answers:
    """A cache in front of `ask`. One question is put once, however many wait for the answer."""

    def __init__(self, ask: Ask, clock_ns: Callable[[], int]) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        """(type, one of `metrics.catalogue.DNS_RESULTS`) -> questions that were put."""
        self.stale = 0
        """How often a stale answer was used."""
        self._ask = ask
        self._clock_ns = clock_ns
        self._entries: dict[Question, _Entry] = {}
        self._running: dict[Question, asyncio.Task[None]] = {}
        self._turnstile = asyncio.Semaphore(AT_ONCE)
        self._origin: Hashable = None

    def __len__(self) -> int:
        return len(self._entries)

    def believe(self, origin: Hashable) -> None:
        """Where answers come from now. Another origin: all that is known is asked again.

        Good answers stay as a reserve.
        """
        if origin == self._origin:
            return
        self._origin = origin
        for entry in self._entries.values():
            entry.expires_ns = entry.recheck_ns = 0

    async def get(self, question: Question) -> Answer:
        """The answer to a question. Raises `Unanswered`."""
        return self._tell(await self._renewed(question))

    async def renew(self, question: Question) -> None:
        """Puts a question unless its answer is known; what comes of it, `get` tells."""
        await self._renewed(question)

    async def _renewed(self, question: Question) -> _Entry:
        entry = self._entry(question)
        now_ns = self._clock_ns()
        if now_ns >= entry.expires_ns and now_ns >= entry.recheck_ns:
            task = self._running.get(question)
            if task is None:
                task = asyncio.get_running_loop().create_task(self._put(question, entry))
                self._running[question] = task
                task.add_done_callback(lambda _: self._running.pop(question, None))
            patience_s = PATIENCE_S if self._has_reserve(entry, now_ns) else None
            await asyncio.wait((task,), timeout=patience_s)
        return entry

    def _entry(self, question: Question) -> _Entry:
        entry = self._entries.pop(question, None) or _Entry()
        self._entries[question] = entry
        while len(self._entries) > KEPT:
            del self._entries[next(iter(self._entries))]
        return entry

    def _tell(self, entry: _Entry) -> Answer:
        now_ns = self._clock_ns()
        if entry.answer is not None and now_ns < entry.expires_ns:
            return entry.answer._replace(ttl_s=(entry.expires_ns - now_ns) / NS_PER_S)
        if entry.answer is not None and self._has_reserve(entry, now_ns):
            self.stale += 1
            return entry.answer._replace(ttl_s=RECHECK_S, is_stale=True)
        raise entry.failure or Unanswered("the question was given up")

    def _has_reserve(self, entry: _Entry, now_ns: int) -> bool:
        return bool(entry.answer and entry.answer.records) and now_ns < entry.good_until_ns

    async def _put(self, question: Question, entry: _Entry) -> None:
        """Asks, and keeps what is better. Raises nothing."""
        async with self._turnstile:
            try:
                answer = await self._ask(question)
            except Unanswered as error:
                self.asked[question.type, error.result] += 1
                self._keep_failure(entry, error)
                return
            except Exception as error:
                # What a stranger sent must not end a worker, whatever the library makes of it.
                self.asked[question.type, "failed"] += 1
                reason = f"the answer makes no sense ({type(error).__name__})"
                self._keep_failure(entry, Unanswered(reason))
                return
        kind = "answered" if answer.records else "no_records" if answer.name_exists else "no_name"
        self.asked[question.type, kind] += 1
        self._keep(entry, answer)

    def _keep(self, entry: _Entry, answer: Answer) -> None:
        now_ns = self._clock_ns()
        if not answer.records and self._has_reserve(entry, now_ns):
            entry.recheck_ns = now_ns + int(RECHECK_S * NS_PER_S)
            return
        most_s = MOST_S if answer.records else NEGATIVE_MOST_S
        ttl_s = min(max(answer.ttl_s, LEAST_S), most_s)
        entry.answer = answer
        entry.failure = None
        entry.expires_ns = now_ns + int(ttl_s * NS_PER_S)
        entry.good_until_ns = entry.expires_ns + int(STALE_S * NS_PER_S)

    def _keep_failure(self, entry: _Entry, failure: Unanswered) -> None:
        now_ns = self._clock_ns()
        has_reserve = self._has_reserve(entry, now_ns)
        entry.failure = failure
        entry.recheck_ns = now_ns + int((RECHECK_S if has_reserve else FAILURE_S) * NS_PER_S)

    def close(self) -> None:
        """Gives up what is being asked."""
        for task in list(self._running.values()):
            task.cancel()
