"""Lines that are alike: which pass, which are counted, and that no count is lost."""

from __future__ import annotations

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from regiment.cli.repeats import Repeats


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def event(registrar="sip.example", code=403, **fields):
    return {"event": "rejected", "level": "warning", "registrar": registrar, "code": code, **fields}


def passes(repeats, told):
    try:
        return repeats(None, "", dict(told))
    except structlog.DropEvent:
        return None


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def repeats(clock):
    return Repeats(interval_s=10, first=2, clock=clock)


def test_the_first_of_a_kind_pass_at_once_and_further_ones_are_counted(repeats, clock):
    assert [passes(repeats, event()) for _ in range(5)] == [event(), event(), None, None, None]
    assert repeats.flush() == []
    clock.now = 10.0
    assert repeats.flush() == [event(repeated=3)]
    assert repeats.flush() == []


def test_a_kind_that_goes_on_makes_one_line_an_interval(repeats, clock):
    for _ in range(3):
        passes(repeats, event())
    for number in range(1, 4):
        clock.now = 10.0 * number
        assert len(repeats.flush()) == 1
        assert [passes(repeats, event()) for _ in range(4)] == [None] * 4


def test_a_kind_that_was_quiet_for_an_interval_begins_anew(repeats, clock):
    for _ in range(3):
        passes(repeats, event())
    clock.now = 10.0
    assert len(repeats.flush()) == 1
    clock.now = 20.0
    assert repeats.flush() == []
    assert [passes(repeats, event()) for _ in range(3)] == [event(), event(), None]


def test_a_line_now_and_then_always_passes(repeats, clock):
    for number in range(5):
        clock.now = 10.0 * number
        assert passes(repeats, event())


@pytest.mark.parametrize(
    "other",
    [event(code=404), event(registrar="other.example"), event(failure_class="transport")],
)
def test_registrar_code_and_class_tell_kinds_apart(repeats, other):
    for _ in range(3):
        passes(repeats, event())
    assert not passes(repeats, event())
    assert passes(repeats, other)


def test_a_line_without_registrar_always_passes(repeats):
    told = {"event": "worker died", "worker": 1}
    assert [passes(repeats, told) for _ in range(9)] == [told] * 9


def test_a_count_that_is_told_is_not_counted_itself(repeats):
    for _ in range(3):
        passes(repeats, event())
    assert passes(repeats, event(repeated=7)) == event(repeated=7)


def test_the_last_one_held_back_is_the_one_told(repeats, clock):
    for name in "abcd":
        passes(repeats, event(name=name))
    clock.now = 10.0
    assert repeats.flush() == [event(name="d", repeated=2)]


def test_the_end_tells_every_count_that_is_left(repeats):
    for _ in range(4):
        passes(repeats, event())
        passes(repeats, event(code=404))
    assert repeats.flush_all() == [event(repeated=2), event(code=404, repeated=2)]
    assert repeats.flush_all() == []


def test_no_count_is_lost_when_more_kinds_than_the_limit_come():
    repeats = Repeats(first=1, limit=10, clock=Clock())
    for number in range(15):
        passes(repeats, event(registrar=str(number)))
        passes(repeats, event(registrar=str(number)))
    assert len(repeats._kinds) == 10
    told = repeats.flush_all()
    assert len(told) == 15
    assert all(one["repeated"] == 1 for one in told)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 30)), max_size=60),
    st.booleans(),
)
def test_every_line_is_either_passed_or_counted(steps, flushes):
    clock = Clock()
    repeats = Repeats(interval_s=10, first=2, clock=clock)
    passed = told = 0
    for registrar, pause in steps:
        clock.now += pause
        if flushes:
            told += sum(one["repeated"] for one in repeats.flush())
        passed += passes(repeats, event(registrar)) is not None
    told += sum(one["repeated"] for one in repeats.flush_all())
    assert passed + told == len(steps)
