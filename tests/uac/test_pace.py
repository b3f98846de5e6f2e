"""The rate that is learned from refusals: against the reference, and at limiters of many kinds."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pump import MS, START_NS, S
from reference.pace import Pace
from regiment.uac.pace import Learner

Grant = Callable[[int], bool]


def bucket(per_s: float, burst: int) -> Grant:
    """A registrar with a token bucket, full at the start."""
    interval_ns = S / per_s
    next_ns = 0.0

    def grant(now_ns: int) -> bool:
        nonlocal next_ns
        if next_ns > now_ns + interval_ns * (burst - 1):
            return False
        next_ns = max(next_ns, now_ns) + interval_ns
        return True

    return grant


def by_the_second(per_s: int) -> Grant:
    """A registrar that counts from each whole second on."""
    second, count = -1, 0

    def grant(now_ns: int) -> bool:
        nonlocal second, count
        if now_ns // S != second:
            second, count = now_ns // S, 0
        count += 1
        return count <= per_s

    return grant


class Crowd:
    """Attempts that all wait for one target, and what becomes of them, millisecond by millisecond.

    A refused one waits its Retry-After with up to 10 %, as a registration does.
    """

    def __init__(self, count: int, grant: Grant, *, trip_ms: int = 10, retry_after_s: int = 1):
        self.learner = Learner()
        self.grant = grant
        self.trip_ns = trip_ms * MS
        self.retry_ns = retry_after_s * S
        self.now_ns = START_NS
        self.waiting = count
        self.starts: list[int] = []
        self.refused: list[int] = []
        self.granted: list[int] = []
        self._random = random.Random(1)
        self._coming: list[tuple[int, int, str, int]] = []
        self._gate_ns = 0

    def _later(self, delay_ns: float, what: str, started_ns: int = 0) -> None:
        number = len(self.starts) + len(self.refused) + len(self.granted)
        heapq.heappush(self._coming, (self.now_ns + int(delay_ns), number, what, started_ns))

    def _trip(self) -> float:
        return self.trip_ns * self._random.uniform(0.4, 0.6)

    def _take(self, what: str, started_ns: int) -> None:
        if what == "request":
            answer = "granted" if self.grant(self.now_ns) else "refused"
            self._later(self._trip(), answer, started_ns)
        elif what == "granted":
            self.granted.append(self.now_ns)
            self.learner.served(self.now_ns)
        elif what == "refused":
            self.refused.append(self.now_ns)
            self._gate_ns = self.now_ns + self.retry_ns
            self.learner.refused(started_ns, self._gate_ns, self.now_ns)
            self._later(self.retry_ns * self._random.uniform(1.0, 1.1), "again")
        else:
            self.waiting += 1

    def run(self, seconds: float, most_a_ms: int = 100) -> None:
        end_ns = self.now_ns + int(seconds * S)
        while self.now_ns < end_ns and (self.waiting or self._coming):
            while self._coming and self._coming[0][0] <= self.now_ns:
                self._take(*heapq.heappop(self._coming)[2:])
            for _ in range(min(self.waiting, most_a_ms)):
                if self.now_ns < self._gate_ns or not self.learner.take(self.now_ns):
                    break
                self.waiting -= 1
                self.starts.append(self.now_ns)
                self._later(self.trip_ns + self._trip(), "request", self.now_ns)
            self.now_ns += MS

    def rate(self, first_s: float, last_s: float) -> float:
        """Granted a second in that time since the start."""
        found = sum(first_s <= (moment - START_NS) / S < last_s for moment in self.granted)
        return found / (last_s - first_s)

    def refused_after(self, second: float) -> int:
        return sum(moment >= START_NS + second * S for moment in self.refused)


@pytest.mark.parametrize("trip_ms", [2, 80])
@pytest.mark.parametrize("per_s", [20, 200, 2000])
@pytest.mark.parametrize("seconds_worth", [0.1, 1.0, 5.0])
def test_after_some_seconds_a_bucket_of_any_depth_is_used_to_nine_tenths(
    per_s: int, seconds_worth: float, trip_ms: int
) -> None:
    depth = max(int(per_s * seconds_worth), 4)
    crowd = Crowd(200 * per_s, bucket(per_s, depth), trip_ms=trip_ms)
    crowd.run(150)
    assert crowd.rate(20, 150) > 0.9 * per_s
    assert crowd.refused_after(30) < 0.01 * len(crowd.granted)


@pytest.mark.parametrize("trip_ms", [2, 80])
def test_a_registrar_that_counts_by_the_second_is_used_well_too(trip_ms: int) -> None:
    crowd = Crowd(40_000, by_the_second(200), trip_ms=trip_ms)
    crowd.run(150)
    assert crowd.rate(30, 150) > 0.87 * 200
    assert crowd.refused_after(30) < 0.01 * len(crowd.granted)


def test_no_rate_is_learned_where_nothing_is_refused() -> None:
    crowd = Crowd(20_000, lambda _: True)
    crowd.run(10)
    assert len(crowd.granted) == 20_000
    assert crowd.starts[-1] - crowd.starts[0] < 201 * MS
    assert crowd.learner.rate == 0


def test_a_limit_that_falls_and_rises_is_followed() -> None:
    low, high = bucket(50, 20), bucket(400, 40)
    crowd = Crowd(200_000, high)
    crowd.run(60)
    assert crowd.learner.rate == pytest.approx(400, rel=0.1)
    crowd.grant = low
    crowd.run(60)
    assert crowd.learner.rate == pytest.approx(50, rel=0.25)
    assert crowd.rate(90, 120) > 40
    crowd.grant = high
    crowd.run(120)
    assert crowd.rate(200, 240) > 340


def test_a_rate_is_given_up_once_nothing_is_refused_far_above_it() -> None:
    crowd = Crowd(2_000_000, bucket(100, 20))
    crowd.run(40)
    assert crowd.learner.rate > 0
    crowd.grant = lambda _: True
    crowd.run(150)
    assert crowd.learner.rate == 0
    assert crowd.refused_after(42) == 0


def test_a_single_refusal_slows_everybody_for_seconds_only() -> None:
    odd = iter([False])
    crowd = Crowd(100_000, lambda _: next(odd, True))
    crowd.run(20)
    assert len(crowd.granted) == 100_000
    assert crowd.learner.refusals == 1


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("retry_after_s", [0, 1])
def test_refusals_that_no_rate_avoids_are_found_out(share: float, retry_after_s: int) -> None:
    rng = random.Random(5)
    crowd = Crowd(20_000, lambda _: rng.random() >= share, retry_after_s=retry_after_s)
    crowd.run(90)
    assert crowd.learner.rate == 0
    if retry_after_s == 0:
        assert len(crowd.granted) == 20_000


def test_behind_them_a_limit_is_still_seen() -> None:
    rng = random.Random(5)
    limit = bucket(200, 20)
    crowd = Crowd(20_000, lambda _: rng.random() >= 0.1, retry_after_s=0)
    crowd.run(60)
    assert crowd.learner.rate == 0
    crowd.waiting += 40_000
    crowd.retry_ns = S
    crowd.grant = limit
    crowd.run(60)
    assert crowd.learner.rate == pytest.approx(200, rel=0.2)


def test_a_rate_that_outlived_its_hold_is_where_the_next_one_falls_to() -> None:
    crowd = Crowd(100_000, bucket(200, 200))
    crowd.run(40)
    learner = crowd.learner
    now_ns = crowd.now_ns + 100 * S
    learner.refused(now_ns, now_ns + S, now_ns)  # long after its hold: it is proven
    proven = learner.rate
    for _ in range(8):
        while learner.rate < 1.1 * proven:  # raised, and refused after its hold again
            now_ns += 10 * MS
            while learner.take(now_ns):
                learner.served(now_ns)
        learner.refused(now_ns, now_ns + S, now_ns)
        now_ns += S
        learner.refused(now_ns, now_ns + S, now_ns)  # and at once when the gate opens
        now_ns += S
        assert learner.rate >= proven


def test_a_burst_of_refusals_is_one_refusal() -> None:
    learner = Learner()
    for k in range(100):
        learner.served(START_NS + k * MS)
    assert learner.refused(START_NS, START_NS + S, START_NS + 100 * MS)
    rate = learner.rate
    for k in range(500):
        now_ns = START_NS + (101 + k) * MS
        assert not learner.refused(now_ns - 50 * MS, now_ns + S, now_ns)
    assert (learner.rate, learner.refusals) == (rate, 1)


def test_a_refusal_without_retry_after_makes_the_first_guess_wait_a_second() -> None:
    learner = Learner()
    learner.refused(START_NS, START_NS, START_NS)
    assert not learner.take(START_NS + S - 1)
    assert learner.take(START_NS + S)


def events() -> Iterator[tuple[str, int]]:
    return st.lists(
        st.tuples(
            st.sampled_from(("served", "served", "take", "take", "take", "refused", "old")),
            st.one_of(st.integers(0, 20 * MS), st.integers(0, 3 * S), st.integers(0, 90 * S)),
            st.integers(1, 60),
        ),
        max_size=60,
    )  # type: ignore[return-value]


@settings(max_examples=200, deadline=None)
@given(events(), st.integers(0, 10**9))
def test_it_is_the_reference_move_by_move(moves: list[tuple[str, int, int]], offset: int) -> None:
    learner, reference = Learner(), Pace()
    now_ns = START_NS + offset
    for what, gap_ns, times in moves:
        for number in range(times):
            now_ns += gap_ns // times
            if what == "served":
                learner.served(now_ns)
                reference.served(now_ns)
            elif what == "take":
                assert learner.take(now_ns) == reference.take(now_ns)
            elif number == 0:
                started_ns = now_ns - (0 if what == "refused" else 50 * MS)
                opens_ns = now_ns + (times - 1) * 100 * MS
                assert learner.refused(started_ns, opens_ns, now_ns) == reference.refused(
                    started_ns, opens_ns, now_ns
                )
            assert learner.rate == pytest.approx(reference.rate, rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5 * S), st.integers(0, 30)), min_size=1, max_size=30))
def test_whoever_waits_is_told_a_moment_at_which_one_may_start(
    refusals: list[tuple[int, int]],
) -> None:
    learner = Learner()
    now_ns = START_NS
    taken: deque[int] = deque()
    for gap_ns, retry_after_s in refusals:
        now_ns += gap_ns
        learner.refused(now_ns, now_ns + retry_after_s * S, now_ns)
        for _ in range(20):
            if not learner.take(now_ns):
                ready_ns = learner.ready_ns
                assert now_ns < ready_ns <= now_ns + 31 * S
                now_ns = ready_ns
                assert learner.take(now_ns)
            learner.served(now_ns)
            taken.append(now_ns)
    assert len(taken) == 20 * len(refusals)
