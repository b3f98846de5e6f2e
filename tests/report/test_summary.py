"""The summary of a run, for programs and for people."""

import io
import json

import pytest
from rich.console import Console

from regiment.metrics.scoreboard import Scoreboard
from regiment.metrics.snapshot import Snapshot
from regiment.report.summary import Comparison, duration_text, render, summarise, to_json

ATTEMPTS = "regiment_register_attempts_total"


@pytest.fixture
def run():
    """A run of 100 trunks: all registered at the end but 3, then 97 un-registered."""
    memory = bytearray(Scoreboard.size_bytes())
    board = Scoreboard(memory)
    board.add("regiment_registrations", ("registered",), 95)
    board.add("regiment_registrations", ("refreshing",), 2)
    board.add("regiment_registrations", ("rejected",), 3)
    board.add(ATTEMPTS, ("initial", "success"), 97, row=1)
    board.add(ATTEMPTS, ("initial", "auth_failed"), 3, row=1)
    board.add("regiment_sip_responses_total", ("received", "REGISTER", "401"), 103)
    board.add("regiment_sip_responses_total", ("received", "REGISTER", "200"), 97)
    board.add("regiment_sip_requests_total", ("sent", "REGISTER", "udp"), 200)
    board.add("regiment_sip_requests_total", ("received", "OPTIONS", "udp"), 5)
    board.add("regiment_sip_retransmissions_total", ("REGISTER",), 4)
    board.add("regiment_worker_cpu_seconds_total", (), 2_000_000_000)
    board.add("regiment_udp_receive_drops_total", (), 6)
    board.add("regiment_registration_expired_total", (), 1, row=2)
    for _ in range(97):
        board.record("regiment_register_duration_seconds", ("initial",), 2_000_000)
    at_stop = Snapshot.of({0: memory})
    board.add("regiment_registrations", ("registered",), -95)
    board.add("regiment_registrations", ("refreshing",), -2)
    board.add("regiment_registrations", ("unregistered",), 97)
    board.add(ATTEMPTS, ("unregister", "success"), 97, row=1)
    final = Snapshot.of({0: memory})
    return summarise(final, seconds=10.0, desired=100, at_stop=at_stop, worker_restarts=1)


def shown(*arguments) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(*arguments))
    return console.export_text()


def test_states_are_those_before_unregistering(run):
    assert run.registered == 97
    assert run.states["rejected"] == 3
    assert run.states["unregistered"] == 0


def test_counts_are_those_of_the_whole_run(run):
    assert run.attempts == {
        "initial": {"success": 97, "auth_failed": 3},
        "unregister": {"success": 97},
    }
    assert run.responses == {200: 97, 401: 103}
    assert run.requests_sent == 200
    assert run.retransmissions == 4
    assert run.attempts_per_s == pytest.approx(9.7)
    assert (run.receive_drops, run.expired, run.worker_restarts) == (6, 1, 1)
    assert run.cpu_s == 2.0


def test_json_has_the_same_and_null_for_what_was_not_measured(run):
    document = json.loads(to_json(run))
    assert document["desired"] == 100
    assert document["responses"] == {"200": 97, "401": 103}
    assert document["register_duration"]["count"] == 97
    assert document["register_duration"]["quantiles_s"]["p99"] == pytest.approx(0.002, rel=0.03)
    assert document["register_response"]["quantiles_s"] == {"p50": None, "p95": None, "p99": None}
    assert "comparison" not in document


def test_json_of_a_comparison_says_whether_the_counts_agree(run):
    rows = [Comparison("401", 103, 103), Comparison("200", 97, 96)]
    found = json.loads(to_json(run, rows))["comparison"]
    assert [row["verdict"] for row in found] == ["agree", "differ"]
    assert found[1] == {"subject": "200", "engine": 97, "registrar": 96, "verdict": "differ"}


def test_people_see_every_figure(run):
    text = shown(run)
    for part in (
        "97 of 100",
        "rejected 3",
        "success 97, auth_failed 3",
        "200 97, 401 103",
        "retransmissions",
        "p99 1.98 ms",
        "2.00 s",
        "workers replaced",
    ):
        assert part in text


def test_people_see_agree_and_differ(run):
    text = shown(run, [Comparison("bindings", 97, 97), Comparison("200", 97, 96)])
    agreeing = next(line for line in text.splitlines() if "bindings" in line and "97" in line)
    assert "agree" in agreeing
    assert "differ" in text


def test_processor_time_before_the_start_is_left_out():
    memory = bytearray(Scoreboard.size_bytes())
    board = Scoreboard(memory)
    board.add("regiment_worker_cpu_seconds_total", (), 300_000_000)
    at_start = Snapshot.of({0: memory})
    board.add("regiment_worker_cpu_seconds_total", (), 500_000_000)
    final = Snapshot.of({0: memory})
    assert summarise(final, seconds=1, desired=1, at_start=at_start).cpu_s == 0.5
    assert summarise(final, seconds=1, desired=1).cpu_s == 0.8


def test_a_run_of_nothing_can_be_summarised():
    summary = summarise(Snapshot.of({}), seconds=0.0, desired=0)
    assert summary.attempts_per_s == 0.0
    assert "0 of 0" in shown(summary)
    assert json.loads(to_json(summary))["attempts"] == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.00042, "0.42 ms"),
        (0.0123, "12.3 ms"),
        (1.5, "1.50 s"),
    ],
)
def test_durations_are_told_in_a_fitting_unit(seconds, text):
    assert duration_text(seconds) == text
