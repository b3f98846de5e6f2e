"""Sums of scoreboards, differences and the questions people ask."""

import math

import pytest

from regiment.metrics.scoreboard import Scoreboard
from regiment.metrics.snapshot import ATTEMPTS, DURATION, Snapshot

STATES = "regiment_registrations"
RESPONSES = "regiment_sip_responses_total"
SECOND_NS = 10**9


@pytest.fixture
def boards():
    memories = {number: bytearray(Scoreboard.size_bytes()) for number in range(3)}
    return memories, {number: Scoreboard(memory) for number, memory in memories.items()}


def test_states_are_summed_over_workers_and_registrars(boards):
    memories, writers = boards
    writers[0].add(STATES, ("registered",), 5, row=1)
    writers[1].add(STATES, ("registered",), 7, row=1)
    writers[2].add(STATES, ("registered",), 100, row=0)
    writers[2].add(STATES, ("waiting",), 3, row=50)
    snapshot = Snapshot.of(memories)
    assert snapshot.states()["registered"] == 112
    assert snapshot.states(row=1)["registered"] == 12
    assert snapshot.states() == {
        "unregistered": 0,
        "registering": 0,
        "registered": 112,
        "refreshing": 0,
        "waiting": 3,
        "rejected": 0,
        "unregistering": 0,
    }


def test_codes_names_only_what_came_up(boards):
    memories, writers = boards
    writers[0].add(RESPONSES, ("received", "REGISTER", "200"), 9)
    writers[1].add(RESPONSES, ("received", "REGISTER", "699"), 1)
    writers[1].add(RESPONSES, ("sent", "OPTIONS", "200"), 4)
    snapshot = Snapshot.of(memories)
    assert snapshot.codes() == {200: 9, 699: 1}
    assert snapshot.codes("sent", "OPTIONS") == {200: 4}


def test_attempts_are_filtered_by_kind_and_outcome(boards):
    memories, writers = boards
    writers[0].add(ATTEMPTS, ("initial", "success"), 10, row=2)
    writers[0].add(ATTEMPTS, ("initial", "timeout"), 1, row=3)
    writers[1].add(ATTEMPTS, ("refresh", "success"), 100)
    snapshot = Snapshot.of(memories)
    assert snapshot.attempts() == 111
    assert snapshot.attempts("initial") == 11
    assert snapshot.attempts(outcome="success") == 110
    assert snapshot.attempts("refresh", "timeout") == 0


def test_a_snapshot_does_not_follow_its_boards(boards):
    memories, writers = boards
    snapshot = Snapshot.of(memories)
    writers[0].add("regiment_turns_total", (), 3)
    assert snapshot.total("regiment_turns_total") == 0
    assert snapshot.worker_value(0, "regiment_turns_total") == 0


def test_per_worker_families_are_told_apart(boards):
    memories, writers = boards
    writers[0].add("regiment_turns_total", (), 3)
    writers[2].add("regiment_turns_total", (), 4)
    writers[2].record("regiment_worker_loop_lag_seconds", (), 2 * SECOND_NS)
    snapshot = Snapshot.of(memories)
    assert [snapshot.worker_value(n, "regiment_turns_total") for n in range(3)] == [3, 0, 4]
    assert snapshot.total("regiment_turns_total") == 7
    assert snapshot.worker_histogram(2, "regiment_worker_loop_lag_seconds").count == 1
    assert snapshot.worker_histogram(0, "regiment_worker_loop_lag_seconds").count == 0


def test_minus_makes_counters_differences_and_keeps_gauges(boards):
    memories, writers = boards
    writers[0].add(ATTEMPTS, ("initial", "success"), 10)
    writers[0].add("regiment_turns_total", (), 10)
    writers[0].record(DURATION, ("initial",), SECOND_NS)
    writers[0].add(STATES, ("registered",), 10)
    older = Snapshot.of(memories, at_ns=SECOND_NS)
    writers[1].add(ATTEMPTS, ("initial", "success"), 30)
    writers[0].add("regiment_turns_total", (), 5)
    writers[0].record(DURATION, ("initial",), SECOND_NS // 100)
    writers[0].add(STATES, ("registered",), 30)
    change = Snapshot.of(memories, at_ns=3 * SECOND_NS).minus(older)
    assert change.seconds == 2.0
    assert change.attempts() == 30
    assert change.rate(ATTEMPTS, ("initial", "success")) == 15.0
    assert change.rate(ATTEMPTS) == 15.0
    assert change.worker_value(0, "regiment_turns_total") == 5
    assert change.histogram(DURATION).count == 1
    assert change.quantile(DURATION, 0.5) == pytest.approx(0.01, rel=0.03)
    assert change.states()["registered"] == 40


def test_a_difference_without_time_has_no_rate(boards):
    memories, writers = boards
    writers[0].add("regiment_turns_total", (), 3)
    snapshot = Snapshot.of(memories, at_ns=SECOND_NS)
    assert snapshot.minus(snapshot).rate("regiment_turns_total") == 0.0
    assert snapshot.rate("regiment_turns_total") == 0.0


def test_a_worker_that_came_after_the_older_snapshot_counts_from_nothing(boards):
    memories, writers = boards
    older = Snapshot.of({0: memories[0]})
    writers[2].add("regiment_turns_total", (), 3)
    change = Snapshot.of(memories, at_ns=SECOND_NS).minus(older)
    assert change.worker_value(2, "regiment_turns_total") == 3
    assert change.rate("regiment_turns_total") == 3.0


def test_a_dead_workers_gauges_go_and_its_counters_stay(boards):
    memories, writers = boards
    writers[1].add(STATES, ("registered",), 8)
    writers[1].add(ATTEMPTS, ("initial", "success"), 8)
    writers[1].clear_gauges()
    snapshot = Snapshot.of(memories)
    assert snapshot.states()["registered"] == 0
    assert snapshot.attempts() == 8


def test_a_gauge_caught_below_nothing_reads_as_nothing(boards):
    memories, writers = boards
    writers[0].add("regiment_target_gated", (), -1)
    assert Snapshot.of(memories).value("regiment_target_gated") == 0


def test_a_histogram_without_values_has_no_quantile_and_no_mean(boards):
    memories, _ = boards
    histogram = Snapshot.of(memories).histogram(DURATION)
    assert histogram.count == 0
    assert math.isnan(histogram.quantile(0.5))
    assert math.isnan(histogram.mean_s)


def test_histograms_of_all_labels_are_added_up(boards):
    memories, writers = boards
    writers[0].record(DURATION, ("initial",), SECOND_NS)
    writers[1].record(DURATION, ("refresh",), 3 * SECOND_NS)
    histogram = Snapshot.of(memories).histogram(DURATION)
    assert histogram.count == 2
    assert histogram.mean_s == 2.0
    assert histogram.quantile(1.0) == pytest.approx(3.0, rel=0.03)


def test_values_beyond_the_last_edge_read_as_64_seconds(boards):
    memories, writers = boards
    writers[0].record(DURATION, ("initial",), 100 * SECOND_NS)
    assert Snapshot.of(memories).quantile(DURATION, 0.5) == 64.0


def test_no_board_at_all_is_all_zero():
    snapshot = Snapshot.of({})
    assert not any(snapshot.cells)
    assert snapshot.codes() == {}
