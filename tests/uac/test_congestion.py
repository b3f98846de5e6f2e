"""The window: how many attempts may be outstanding, and what makes it smaller and larger."""

from __future__ import annotations

import itertools
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pump import MS, START_NS, S
from regiment.uac.congestion import Guard

LEAST = 16
MINUTE = 60 * S


def fill(guard: Guard, count: int) -> int:
    """Starts up to `count` attempts; how many could."""
    return sum(guard.enter() for _ in range(count))


def settle(guard: Guard, count: int, now_ns: int, *, took_ns: int = 10 * MS, lost: int = 0) -> None:
    """`count` attempts end, the last `lost` of them without an answer."""
    for number in range(count):
        ending = "timed_out" if number >= count - lost else "answered"
        guard.leave(ending, took_ns, now_ns)


def cut_down(guard: Guard, now_ns: int, count: int = 100) -> None:
    """A first round in which half is lost."""
    fill(guard, count)
    settle(guard, count, now_ns, lost=count // 2)


def warm(guard: Guard, count: int = 1000) -> None:
    """`count` are finished in the present span, so that as many may be outstanding."""
    for _ in range(count):
        assert guard.enter()
        guard.leave("answered", 10 * MS, START_NS)


def test_what_was_idle_gets_256_and_twice_as_many_with_each_round_trip() -> None:
    guard = Guard()
    rounds = []
    for number in range(8):
        rounds.append(fill(guard, 100_000))
        settle(guard, rounds[-1], START_NS + number * 10 * MS)
    assert rounds[0] == 256
    assert all(after >= 2 * before for before, after in itertools.pairwise(rounds[1:]))
    assert (guard.size, guard.limit, guard.outstanding) == (0, 0, 0)


@settings(max_examples=20, deadline=None)
@given(st.integers(1000, 100_000), st.integers(1, 60))
def test_nobody_waits_for_more_than_half_of_t1_in_a_registrars_queue(
    per_s: int, trip_ms: int
) -> None:
    guard = Guard()
    line: deque[int] = deque()
    waits = []
    served = 0.0
    for now_ms in range(3000):
        while guard.enter():
            line.append(now_ms)
        served += per_s / 1000
        while served >= 1 and line and line[0] + trip_ms <= now_ms:
            served -= 1
            took_ms = now_ms - line.popleft()
            waits.append(took_ms)
            guard.leave("answered", took_ms * MS, START_NS + now_ms * MS)
        served = min(served, per_s / 1000)
    late = waits[len(waits) // 2 :]
    assert max(late) <= max(250, 256_000 / per_s) + 2 * trip_ms + 20
    assert len(waits) > 0.8 * min(per_s * 3, 256 / trip_ms * 3000)


def test_who_is_overdue_stands_in_nobodys_way() -> None:
    guard = Guard()
    assert fill(guard, 1000) == 256
    for _ in range(200):
        guard.overdue()
    assert fill(guard, 1000) == 200


@pytest.mark.parametrize(("lost", "is_cut"), [(1, False), (4, False), (5, True), (50, True)])
def test_one_time_out_in_twenty_cuts_and_a_stray_few_do_not(lost: int, is_cut: bool) -> None:
    guard = Guard()
    fill(guard, 100)
    settle(guard, 100, START_NS, lost=lost)
    assert (guard.size > 0) == is_cut


def test_a_single_time_out_of_a_small_round_is_a_stray_one() -> None:
    guard = Guard()
    for _ in range(50):
        fill(guard, 20)
        settle(guard, 20, START_NS, lost=1)
    assert guard.size == 0


def test_a_cut_leaves_seven_tenths_of_what_was_outstanding() -> None:
    guard = Guard()
    cut_down(guard, START_NS)
    assert guard.size == pytest.approx(70)
    assert fill(guard, 100) == 70


def test_what_was_under_way_at_a_cut_says_nothing_more() -> None:
    guard = Guard()
    warm(guard)
    fill(guard, 1000)
    settle(guard, 256, START_NS, lost=256)
    size = guard.size
    assert size == pytest.approx(700)
    settle(guard, 744, START_NS, lost=744)
    assert guard.size == size


def test_late_answers_cut_when_they_are_half_of_a_round() -> None:
    guard = Guard()
    fill(guard, 40)
    settle(guard, 20, START_NS, took_ns=20 * MS)
    settle(guard, 20, START_NS, took_ns=501 * MS)
    assert guard.size == pytest.approx(28)
    guard = Guard()
    fill(guard, 40)
    settle(guard, 21, START_NS, took_ns=20 * MS)
    settle(guard, 19, START_NS, took_ns=501 * MS)
    assert guard.size == 0


def test_a_registrar_that_is_merely_far_away_is_no_congested_one() -> None:
    guard = Guard()
    for _ in range(20):
        fill(guard, 100)
        settle(guard, 100, START_NS, took_ns=900 * MS)
    assert guard.size == 0


def test_it_never_falls_below_its_least_where_everything_is_lost() -> None:
    guard = Guard()
    for number in range(40):
        now_ns = START_NS + number * 32 * S
        started = fill(guard, 500)
        settle(guard, started, now_ns, lost=started)
    assert guard.size == LEAST
    assert fill(guard, 500) == LEAST


def test_it_grows_by_one_or_a_thirty_second_part_a_round_while_somebody_waits() -> None:
    guard = Guard()
    cut_down(guard, START_NS, 30)
    for expected in (22, 23, 24):
        assert fill(guard, 100) == int(guard.size)
        settle(guard, guard.outstanding, START_NS)
        assert guard.size == expected
    guard = Guard()
    cut_down(guard, START_NS, 250)
    fill(guard, 500)
    settle(guard, guard.outstanding, START_NS)
    assert guard.size == pytest.approx(175 * 33 / 32)


def test_it_does_not_grow_while_nobody_waits_and_is_given_up_after_ten_minutes() -> None:
    guard = Guard()
    cut_down(guard, START_NS)
    for minutes in range(1, 11):
        fill(guard, 20)
        settle(guard, 20, START_NS + minutes * MINUTE)
        assert guard.size == pytest.approx(70)
    fill(guard, 20)
    settle(guard, 20, START_NS + 10 * MINUTE + 1)
    assert guard.size == 0


def test_a_share_that_is_lost_however_few_there_are_is_no_congestion() -> None:
    guard = Guard()
    now_ns = START_NS
    for _ in range(200):
        now_ns += S
        started = fill(guard, 1000)
        for number in range(started):
            guard.leave("timed_out" if number % 10 == 0 else "answered", 10 * MS, now_ns)
        if guard.size == 0:
            break
    assert guard.size == 0
    started = fill(guard, 1000)
    settle(guard, started, now_ns, lost=started // 10)
    assert guard.size == 0, "it is deaf for a while"


def test_a_refusal_cuts_once_for_all_that_were_under_way() -> None:
    guard = Guard()
    fill(guard, 100)
    guard.refused(START_NS)
    guard.refused(START_NS)
    assert guard.size == pytest.approx(70)


def test_a_configured_limit_holds_whatever_was_learned() -> None:
    guard = Guard(limit=25)
    assert fill(guard, 100) == 25
    assert guard.limit == 25
    settle(guard, 25, START_NS, lost=25)
    assert guard.size < 25
    assert guard.limit == int(guard.size)


@settings(deadline=None)
@given(
    st.integers(0, 300),
    st.lists(st.tuples(st.sampled_from("es"), st.integers(0, 400), st.integers(0, 100))),
)
def test_it_is_never_shut_while_nothing_is_outstanding_and_never_beyond_its_limit(
    limit: int, moves: list[tuple[str, int, int]]
) -> None:
    guard = Guard(limit)
    now_ns = START_NS
    for what, count, lost in moves:
        now_ns += 10 * S
        if what == "e":
            fill(guard, count)
            assert not limit or guard.outstanding <= limit
        else:
            settle(guard, min(count, guard.outstanding), now_ns, lost=lost)
        assert guard.size == 0 or guard.size >= LEAST
    settle(guard, guard.outstanding, now_ns)
    assert guard.enter()
