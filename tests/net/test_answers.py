"""The cache of answers: times, negative answers, stale ones, failures, one question for many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from regiment.metrics.catalogue import DNS_RESULTS
from regiment.net import answers
from regiment.net.answers import Answer, Answers, Unanswered
from regiment.net.selection import Question

PBX = Question("pbx.test", "A")
GOOD = Answer(("192.0.2.1",), 60.0)
OTHER = Answer(("192.0.2.2",), 60.0)
NOTHING = Answer((), 60.0)
NO_NAME = Answer((), 60.0, name_exists=False)
DEAD = Unanswered("no answer from the name server 127.0.0.1:53", "timeout")
DAY_S = 86_400


class Desk:
    """Answers as a script says, the last line again and again, at a time that the test sets."""

    def __init__(self, *script: Answer | Exception | Awaitable[Answer]) -> None:
        self.script = list(script)
        self.asked: list[Question] = []
        self.now_s = 1000.0
        self.cache = Answers(self._ask, lambda: int(self.now_s * 1e9))

    async def _ask(self, question: Question) -> Answer:
        self.asked.append(question)
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Answer) else await said

    async def after(self, seconds: float, question: Question = PBX) -> Answer:
        self.now_s += seconds
        return await self.cache.get(question)


def run(conversation: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(conversation(), 20))


def test_an_answer_holds_for_its_time_and_not_longer() -> None:
    async def conversation() -> None:
        desk = Desk(GOOD, OTHER)
        assert await desk.after(0) == GOOD
        assert await desk.after(59.5) == GOOD._replace(ttl_s=0.5)
        assert len(desk.asked) == 1
        assert await desk.after(0.5) == OTHER

    run(conversation)


@pytest.mark.parametrize(
    ("told_s", "kept_s"), [(0, 5), (4, 5), (5, 5), (300, 300), (DAY_S, DAY_S), (2**31, DAY_S)]
)
def test_times_to_live_are_bounded(told_s: int, kept_s: int) -> None:
    async def conversation() -> None:
        desk = Desk(GOOD._replace(ttl_s=told_s), OTHER)
        assert (await desk.after(0)).ttl_s == kept_s
        assert (await desk.after(kept_s - 0.001)).records == GOOD.records
        assert (await desk.after(0.001)).records == OTHER.records

    run(conversation)


def test_a_negative_answer_is_kept_for_a_minute_at_most() -> None:
    async def conversation() -> None:
        desk = Desk(NO_NAME._replace(ttl_s=3600.0), GOOD)
        assert not (await desk.after(0)).name_exists
        assert not (await desk.after(59.9)).name_exists
        assert (await desk.after(0.1)).records == GOOD.records

    run(conversation)


@pytest.mark.parametrize("worse", [NOTHING, NO_NAME, DEAD], ids=["no records", "no name", "dead"])
def test_a_good_answer_outlives_what_is_worse(worse: Answer | Exception) -> None:
    """It is stale, counted, asked again every 30 s, and replaced by the next good one."""

    async def conversation() -> None:
        desk = Desk(GOOD, worse)
        await desk.after(0)
        stale = await desk.after(60)
        assert (stale.records, stale.is_stale, stale.ttl_s) == (GOOD.records, True, 30.0)
        await desk.after(29.9)
        assert (len(desk.asked), desk.cache.stale) == (2, 2)
        for _ in range(20):
            assert (await desk.after(30)).records == GOOD.records
        assert len(desk.asked) == 22
        desk.script = [OTHER]
        fresh = await desk.after(30)
        assert (fresh.records, fresh.is_stale) == (OTHER.records, False)

    run(conversation)


@pytest.mark.parametrize("worse", [NOTHING, DEAD])
def test_after_a_day_without_a_good_answer_the_truth_comes_out(worse: Answer | Exception) -> None:
    async def conversation() -> None:
        desk = Desk(GOOD, worse)
        await desk.after(0)
        assert (await desk.after(60 + DAY_S - 1)).records == GOOD.records
        if worse is NOTHING:
            assert (await desk.after(30)).records == ()
        else:
            with pytest.raises(Unanswered):
                await desk.after(30)

    run(conversation)


def test_a_failure_is_remembered_for_some_seconds() -> None:
    async def conversation() -> None:
        desk = Desk(DEAD, GOOD)
        for seconds in (0, 2.5, 2.4):
            with pytest.raises(Unanswered, match=r"127\.0\.0\.1:53"):
                await desk.after(seconds)
        assert len(desk.asked) == 1
        assert await desk.after(0.1) == GOOD

    run(conversation)


def test_many_askers_put_one_question() -> None:
    async def conversation() -> None:
        gate: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        desk = Desk(gate)
        asking = [asyncio.create_task(desk.cache.get(PBX)) for _ in range(100)]
        await asyncio.sleep(0)
        asking[0].cancel()
        gate.set_result(GOOD)
        told = await asyncio.gather(*asking, return_exceptions=True)
        assert told[1:] == [GOOD] * 99
        assert len(desk.asked) == 1

    run(conversation)


def test_who_has_a_stale_answer_does_not_wait_for_a_slow_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "PATIENCE_S", 0.01)

    async def conversation() -> None:
        gate: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        desk = Desk(GOOD, gate)
        await desk.after(0)
        assert (await desk.after(60)).is_stale
        gate.set_result(OTHER)
        assert (await desk.after(0)).records == OTHER.records

    run(conversation)


def test_other_name_servers_are_asked_anew_and_known_answers_stay_in_reserve() -> None:
    async def conversation() -> None:
        desk = Desk(GOOD, DEAD)
        desk.cache.believe(("127.0.0.1", 53))
        await desk.after(0)
        desk.cache.believe(("127.0.0.1", 53))
        assert not (await desk.after(1)).is_stale
        desk.cache.believe(("127.0.0.2", 53))
        assert (await desk.after(0)).is_stale

    run(conversation)


def test_whatever_a_library_makes_of_an_answer_is_a_failure() -> None:
    async def conversation() -> None:
        desk = Desk(ZeroDivisionError("hostile"))
        with pytest.raises(Unanswered, match=r"makes no sense \(ZeroDivisionError\)"):
            await desk.after(0)
        assert desk.cache.asked == {("A", "failed"): 1}

    run(conversation)


def test_questions_are_counted_by_what_became_of_them() -> None:
    async def conversation() -> None:
        desk = Desk(GOOD, NOTHING, NO_NAME, DEAD, Unanswered("refused"))
        for at in range(5):
            try:
                await desk.after(0, Question(f"{at}.test", "SRV"))
            except Unanswered:
                continue
        assert desk.cache.asked == {("SRV", result): 1 for result in DNS_RESULTS}

    run(conversation)


def test_what_is_kept_is_bounded_and_the_longest_unasked_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "KEPT", 3)

    async def conversation() -> None:
        desk = Desk(GOOD)
        names = [Question(name, "A") for name in ("a", "b", "c", "a", "d")]
        for question in names:
            await desk.cache.get(question)
        assert (len(desk.cache), len(desk.asked)) == (3, 4)
        await desk.cache.get(names[0])
        assert len(desk.asked) == 4
        await desk.cache.get(names[1])
        assert len(desk.asked) == 5

    run(conversation)


def test_only_so_many_questions_are_out_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "AT_ONCE", 4)
    out = most = 0

    async def ask(question: Question) -> Answer:
        nonlocal out, most
        out += 1
        most = max(most, out)
        await asyncio.sleep(0)
        out -= 1
        return GOOD

    async def conversation() -> None:
        cache = Answers(ask, lambda: 0)
        await asyncio.gather(*(cache.get(Question(f"{at}.test", "A")) for at in range(50)))
        assert most == 4

    run(conversation)
