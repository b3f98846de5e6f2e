"""The timer wheel against a sorted dict, and its promises one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.wheel import ReferenceWheel
from regiment.errors import LocalError
from regiment.timing.wheel import Wheel

MS = 1_000_000
S = 1000 * MS
DAY = 86_400 * S
YEAR = 366 * DAY
FAR = 2**63 - 1
TIMERS = 12

# Spans of time at every level of the wheel, and the edges of its slots (64^n ms) by a tick or less.
spans = st.one_of(
    st.integers(0, 200 * MS),
    st.integers(0, 5 * S),
    st.integers(0, 2 * DAY),
    st.integers(0, YEAR),
    st.builds(
        lambda level, digit, off: max(0, digit * 64**level * MS + off),
        st.integers(0, 5),
        st.integers(1, 64),
        st.sampled_from([-MS, -1, 0, 1, MS]),
    ),
)
steps = st.one_of(
    st.tuples(st.just("arm"), st.integers(0, TIMERS - 1), spans),
    st.tuples(st.just("arm"), st.integers(0, TIMERS - 1), spans),
    st.tuples(st.just("late"), st.integers(0, TIMERS - 1), spans),
    st.tuples(st.just("cancel"), st.integers(0, TIMERS - 1), st.just(0)),
    st.tuples(st.just("advance"), st.integers(1, TIMERS + 1), spans),
    st.tuples(st.just("deadline"), st.integers(1, TIMERS + 1), st.just(0)),
)
starts = st.one_of(st.just(0), st.integers(0, 40 * YEAR), st.integers(0, 64**3 * MS))


def compare(wheel: Wheel, model: ReferenceWheel) -> None:
    assert wheel.armed == len(model.timers)
    assert [wheel.due_ns(timer) for timer in range(TIMERS)] == [
        model.due_ns(timer) for timer in range(TIMERS)
    ]
    earliest = model.earliest_ns()
    deadline = wheel.deadline_ns()
    assert (deadline == -1) == (earliest == -1)
    assert deadline <= earliest


@settings(max_examples=400, deadline=None)
@given(starts, st.lists(steps, max_size=60))
def test_wheel_answers_as_a_sorted_dict_does(start: int, moves: list[tuple[str, int, int]]) -> None:
    wheel, model, now = Wheel(TIMERS), ReferenceWheel(TIMERS), start
    for verb, number, span in moves:
        if verb == "arm":
            wheel.arm(number, now + span)
            model.arm(number, now + span)
        elif verb == "late":
            wheel.arm(number, now - span)
            model.arm(number, now - span)
        elif verb == "cancel":
            wheel.cancel(number)
            model.cancel(number)
        else:
            now = max(now, wheel.deadline_ns()) if verb == "deadline" else now + span
            assert wheel.fire(now, number) == model.fire(now, number)
        compare(wheel, model)
    for _ in range(TIMERS + 1):
        assert wheel.fire(FAR, 1) == model.fire(FAR, 1)
    assert wheel.armed == 0
    assert wheel.deadline_ns() == -1


@settings(max_examples=200, deadline=None)
@given(starts, st.lists(spans, min_size=1, max_size=TIMERS))
def test_following_the_deadline_fires_each_timer_in_its_own_tick(
    start: int, delays: list[int]
) -> None:
    wheel = Wheel(TIMERS)
    wheel.fire(start)
    due = {timer: start + delay for timer, delay in enumerate(delays)}
    for timer, when in due.items():
        wheel.arm(timer, when)
    now, wakes = start, 0
    while wheel.armed:
        now = max(now, wheel.deadline_ns())
        wakes += 1
        for timer in wheel.fire(now):
            assert 0 <= now - due[timer] < MS
    assert wakes <= 8 * len(delays)


def test_timer_is_never_early_and_fires_at_the_first_tick_not_before_it() -> None:
    wheel = Wheel(1)
    wheel.arm(0, 5 * MS + 1)
    assert wheel.due_ns(0) == 6 * MS
    assert wheel.fire(6 * MS - 1) == []
    assert wheel.fire(6 * MS) == [0]
    assert not wheel.is_armed(0)


def test_timer_at_the_beginning_of_time_is_due_at_once() -> None:
    wheel = Wheel(2)
    wheel.arm(0, 0)
    wheel.arm(1, -5)
    assert wheel.deadline_ns() == 0
    assert wheel.fire(-1) == []
    assert wheel.fire(0) == [0, 1]


def test_timers_fire_by_tick_then_in_the_order_of_arming() -> None:
    wheel = Wheel(6)
    far = 3 * DAY
    for timer in (5, 3, 1):
        wheel.arm(timer, far)
    wheel.fire(far - 2 * MS)
    for timer in (4, 0):
        wheel.arm(timer, far)
    wheel.arm(2, far - MS)
    assert wheel.fire(far) == [2, 5, 3, 1, 4, 0]


def test_past_deadline_fires_at_the_next_expire_even_within_the_same_tick() -> None:
    wheel = Wheel(2)
    assert wheel.fire(100 * MS) == []
    wheel.arm(0, 40 * MS)
    wheel.arm(1, 100 * MS)
    assert wheel.due_ns(0) == 40 * MS
    assert wheel.deadline_ns() == 100 * MS
    assert wheel.fire(100 * MS) == [0, 1]


def test_limit_leaves_the_rest_due_and_the_deadline_says_so() -> None:
    wheel = Wheel(10)
    for timer in range(10):
        wheel.arm(timer, timer // 4 * MS)
    assert wheel.fire(9 * MS, 6) == [0, 1, 2, 3, 4, 5]
    assert wheel.deadline_ns() == MS
    assert wheel.fire(9 * MS, 3) == [6, 7, 8]
    assert wheel.fire(9 * MS, 3) == [9]
    assert wheel.fire(9 * MS, 3) == []


def test_timers_armed_while_others_fire_keep_their_place() -> None:
    wheel = Wheel(4)
    for timer in range(3):
        wheel.arm(timer, MS)
    assert wheel.fire(2 * MS, 1) == [0]
    wheel.arm(0, MS)
    wheel.arm(3, 2 * MS)
    assert wheel.fire(2 * MS, 4) == [1, 2, 0, 3]


def test_rearming_moves_a_timer_both_ways() -> None:
    wheel = Wheel(1)
    wheel.arm(0, YEAR)
    wheel.arm(0, S)
    assert wheel.armed == 1
    assert wheel.fire(S) == [0]
    wheel.arm(0, 2 * S)
    wheel.arm(0, YEAR)
    assert wheel.fire(YEAR - MS) == []
    assert wheel.fire(YEAR) == [0]


def test_time_that_runs_backwards_moves_nothing() -> None:
    wheel = Wheel(2)
    wheel.fire(10 * S)
    wheel.arm(0, 11 * S)
    assert wheel.fire(S) == []
    assert wheel.fire(11 * S) == [0]


@pytest.mark.parametrize("due", [FAR, FAR - 1, FAR - MS, FAR // MS * MS])
def test_the_last_times_of_an_int64_neither_wrap_nor_fire_early(due: int) -> None:
    wheel = Wheel(1)
    wheel.arm(0, due)
    assert due <= wheel.due_ns(0) <= FAR
    assert 0 < wheel.deadline_ns() <= wheel.due_ns(0)
    assert wheel.fire(due - MS) == []


def test_resize_keeps_what_is_armed_and_never_shrinks() -> None:
    wheel = Wheel(1)
    wheel.arm(0, S)
    wheel.resize(100_000)
    wheel.arm(99_999, S)
    wheel.resize(3)
    assert wheel.capacity == 100_000
    assert wheel.fire(S) == [0, 99_999]


def test_numbers_out_of_range_are_ignored() -> None:
    wheel = Wheel(2)
    for timer in (2, 2**31, 2**32 - 1):
        wheel.arm(timer, S)
        wheel.cancel(timer)
        assert not wheel.is_armed(timer)
        assert wheel.due_ns(timer) == -1
    assert wheel.armed == 0
    assert wheel.deadline_ns() == -1


def test_more_timers_than_links_can_name_are_refused() -> None:
    wheel = Wheel(1)
    with pytest.raises(LocalError, match="at most 2147483648 timers"):
        wheel.resize(2**31 + 1)
    assert wheel.capacity == 1
