"""A worker's answers, with its turns between their parts."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
import pytest

from regiment.errors import LocalError
from regiment.model import Policy, Status
from regiment.uac.destination import Health
from regiment.worker import control
from regiment.worker.answers import ACTED, MATCHED, PART_NS, SCANNED, TARGETS, Answers
from regiment.worker.pattern import BYTES_MAX, compile_pattern

PATIENCE_S = 30
MANY = 5000


def status_of(name: str) -> Status:
    return Status(name, "", "", "waiting", 403, "policy", "No", "", 1, 0, 0, -1.0, 1.0, "r")


class Core:
    """Holds names; every slot it looks at takes some of its time."""

    def __init__(self, count: int = MANY, slot_ns: int = 10_000) -> None:
        self.all = [f"n{number}" for number in range(count)]
        self.slot_ns = slot_ns
        self.now_ns = 0
        self.part_began_ns = 0
        self.longest_ns = 0
        self.turns = 0
        self.acts: list[tuple[str, str, bool | None]] = []

    def clock_ns(self) -> int:
        return self.now_ns

    def spend(self, slots: int) -> None:
        self.now_ns += slots * self.slot_ns
        self.longest_ns = max(self.longest_ns, self.now_ns - self.part_began_ns)

    def slots(self) -> int:
        return len(self.all)

    def names(self, start: int, count: int) -> list[str]:
        return self.all[start : start + count]

    def status(self, name: str, now_ns: int) -> Status | None:
        return status_of(name) if name in self.all else None

    def policy_of(self, name: str) -> Policy | None:
        return Policy("sip:r", expiration=77) if name in self.all else None

    def page(self, start: int, limit: int, scan: int, now_ns: int, **filters: Any) -> Any:
        end = min(start + scan, len(self.all))
        like = filters["like"]
        found = []
        slot = start
        while slot < end and len(found) < limit:
            if like is None or like.search(self.all[slot].encode()):
                found.append(status_of(self.all[slot]))
            slot += 1
        self.spend(slot - start)
        return found, -1 if slot >= len(self.all) else slot

    def tally(self, start: int, scan: int, counts: dict[Any, list[Any]]) -> int:
        end = min(start + scan, len(self.all))
        for name in self.all[start:end]:
            code = 403 if int(name[1:]) % 3 else 503
            counts.setdefault(("r", "waiting", "policy", code, "No"), [0, name])[0] += 1
        self.spend(end - start)
        return -1 if end >= len(self.all) else end

    def healths(self, now_ns: int, targets: tuple[int, ...]) -> list[Health]:
        self.spend(len(targets))
        return [Health(index) for index in targets if index < len(self.all)]

    def refresh(self, name: str, now_ns: int, fresh: bool) -> bool:
        self.acts.append(("refresh", name, fresh))
        self.spend(1)
        return name in self.all

    def unregister(self, name: str, now_ns: int) -> bool:
        self.acts.append(("unregister", name, None))
        self.spend(1)
        return name in self.all

    def turn(self) -> None:
        self.turns += 1


def ask(core: Core, *questions: Any) -> list[Any]:
    """The replies in the order of the questions, which are all asked at once."""

    async def work() -> list[Any]:
        replies: dict[int, Any] = {}
        failed: list[BaseException] = []
        answers = Answers(
            core,
            say=lambda answer: replies.update({answer.number: answer.reply}),
            turn=core.turn,
            failed=failed.append,
            clock_ns=core.clock_ns,
        )
        for number, question in enumerate(questions):
            answers.take(control.Ask(number, question))
        while len(replies) < len(questions) and not failed:
            # one time round the loop: all that was done in it is one stay away from the sockets
            core.part_began_ns = core.now_ns
            await asyncio.sleep(0)
        answers.close()
        if failed:
            raise failed[0]
        return [replies[number] for number in range(len(questions))]

    return asyncio.run(asyncio.wait_for(work(), PATIENCE_S))


def longest_allowed_ns(core: Core, step: int) -> int:
    """A part ends at the first look at the clock after its time."""
    return PART_NS + step * core.slot_ns


def test_a_question_about_one_is_answered_at_once_with_its_options():
    core = Core(10)
    [known] = ask(core, control.StatusOf("n3"))
    assert known.status.options["expiration"] == "77"
    assert msgspec.structs.replace(known.status, options={}) == status_of("n3")
    assert ask(core, control.StatusOf("nobody")) == [control.Known(None)]


def test_a_list_ends_where_its_part_ends_and_goes_on_there():
    core = Core()
    slot, met = 0, []
    while slot >= 0:
        [page] = ask(core, control.Page(slot, 1000, 1 << 31))
        met += [status.name for status in page.found]
        slot = page.following
    assert met == core.all
    assert core.longest_ns <= longest_allowed_ns(core, SCANNED)


def test_a_list_looks_at_no_more_slots_than_it_is_told():
    [page] = ask(Core(slot_ns=0), control.Page(10, 1000, 20))
    assert [status.name for status in page.found] == [f"n{at}" for at in range(10, 30)]
    assert page.following == 30


def test_a_pattern_is_searched_for_in_small_steps():
    core = Core(slot_ns=50_000)
    [page] = ask(core, control.Page(0, 1000, 1 << 31, like="7$"))
    assert all(status.name.endswith("7") for status in page.found)
    assert core.longest_ns <= longest_allowed_ns(core, MATCHED)


def test_reasons_are_counted_over_all_with_the_most_frequent_first():
    core = Core()
    [reasons] = ask(core, control.Unhealthy(1))
    assert reasons.found == (control.Reason("r", "waiting", "policy", 403, "No", 3333, "n1"),)
    assert core.longest_ns <= longest_allowed_ns(core, SCANNED)


def test_the_health_of_many_targets_is_told_in_parts_and_in_order():
    core = Core(3000, slot_ns=100_000)
    wanted = tuple(range(2999, -1, -3))
    [reply] = ask(core, control.Healths(wanted))
    assert tuple(health.index for health in reply.found) == wanted
    assert core.longest_ns <= longest_allowed_ns(core, TARGETS)


def test_targets_that_there_are_not_are_left_out():
    assert ask(Core(2), control.Healths((5, 1)), control.Healths(())) == [
        control.HealthsOf((Health(1),)),
        control.HealthsOf(()),
    ]


@pytest.mark.parametrize(
    ("action", "act"),
    [
        ("register", ("refresh", False)),
        ("fresh", ("refresh", True)),
        ("unregister", ("unregister", None)),
    ],
)
def test_an_act_reaches_those_that_are_named_and_says_who_is_not_there(action, act):
    core = Core(10)
    [acted] = ask(core, control.Act(action, ("n1", "nobody", "n2")))
    assert acted == control.Acted(2, ("nobody",))
    assert core.acts == [(act[0], name, act[1]) for name in ("n1", "nobody", "n2")]
    assert core.turns >= 1


def test_an_act_on_everyone_reaches_everyone_with_turns_in_between():
    core = Core()
    [acted] = ask(core, control.Act("register", everyone=True))
    assert acted == control.Acted(MANY)
    assert [name for _, name, _ in core.acts] == core.all
    assert core.turns >= MANY // ACTED
    assert core.longest_ns <= longest_allowed_ns(core, ACTED)


def test_many_questions_at_once_stay_away_from_the_turns_no_longer_than_one():
    core = Core()
    lists = [control.Page(0, 1000, 1 << 31)] * 10
    counts = [control.Unhealthy(5)] * 10
    acts = [control.Act("register", everyone=True)] * 3
    replies = ask(core, *lists, *counts, *acts)
    assert len(replies) == 23
    assert core.longest_ns <= longest_allowed_ns(core, SCANNED)


def test_what_a_question_raises_ends_the_worker():
    class Broken(Core):
        def tally(self, start: int, scan: int, counts: Any) -> int:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        ask(Broken(), control.Unhealthy(1))


@pytest.mark.parametrize("pattern", ["(", "[a", "a{2,1}", r"\1", "(?=x)", "(?P<n", "*"])
def test_what_is_no_pattern_is_one_line(pattern):
    with pytest.raises(LocalError, match="like: "):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["x" * (BYTES_MAX + 1), "(x{1,50}){1,50}", r"(\pL{1,30}){30}", "(((x{30}){30}){30})"]
)
def test_a_pattern_that_would_grow_is_refused(pattern):
    with pytest.raises(LocalError, match="like: "):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("runk", "trunk1", True),
        ("^runk", "trunk1", False),
        ("(?i)TRUNK", "trunk1", True),
        ("ü$", "grün-ü", True),
        ("^.$", "ü", True),
        ("((a|a)*)*b", "a" * 80, False),
        ("(a?){100}a{100}", "a" * 80, False),
        ("(.*)*(.*)*x", "ab" * 40, False),
    ],
)
def test_a_pattern_is_searched_for_in_the_name(pattern, name, found):
    assert bool(compile_pattern(pattern).search(name.encode())) is found


def test_a_pattern_means_what_python_means_where_both_know_it():
    for pattern in ("a.c", "^a|c$", "[a-c]+d?", "a{2,3}b", r"\d+\.\d*"):
        for name in ("abc", "aab", "1.5", "ccd", "x", "aaab"):
            expected = re.search(pattern, name) is not None
            assert bool(compile_pattern(pattern).search(name.encode())) is expected
