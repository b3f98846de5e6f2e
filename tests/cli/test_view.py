"""The live view and the plain lines, from snapshots alone."""

import io
import os

import pytest
import structlog
from rich.console import Console

from regiment.cli.view import Course, PlainView, TerminalView, open_view, plain_line, render
from regiment.metrics.scoreboard import Scoreboard
from regiment.metrics.snapshot import Snapshot

STATES = "regiment_registrations"
SECOND_NS = 10**9


class Engine:
    """A board, and snapshots of it at given seconds."""

    def __init__(self) -> None:
        self.memory = bytearray(Scoreboard.size_bytes())
        self.board = Scoreboard(self.memory)

    def at(self, seconds: float) -> Snapshot:
        return Snapshot.of({0: self.memory}, int(seconds * SECOND_NS))

    def send(self, count: int) -> None:
        self.board.add("regiment_sip_requests_total", ("sent", "REGISTER", "udp"), count)


@pytest.fixture
def engine():
    return Engine()


def shown(moment) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(moment))
    return console.export_text()


def test_the_rate_is_that_of_the_last_10_seconds(engine):
    course = Course(desired=10)
    for second in range(30):
        engine.send(1000 if second < 10 else 20)
        moment = course.take(engine.at(second))
    assert moment.recent.seconds == 10.0
    assert "20 requests/s" in plain_line(moment)
    assert moment.elapsed_s == 29.0


def test_the_first_moment_has_no_rate(engine):
    engine.send(50)
    assert "0 requests/s" in plain_line(Course(10).take(engine.at(5)))


def test_quantiles_are_recent_ones_and_those_of_the_run_when_nothing_is_recent(engine):
    course = Course(10, window_s=1)
    course.take(engine.at(0))
    engine.board.record("regiment_register_duration_seconds", ("initial",), 5_000_000)
    assert "p50 4.9" in plain_line(course.take(engine.at(1)))
    engine.board.record("regiment_register_duration_seconds", ("initial",), 500_000_000)
    assert "p50 496" in plain_line(course.take(engine.at(2)))
    # Both are of the run now, and neither is recent: the median is the smaller.
    assert "p50 4.9" in plain_line(course.take(engine.at(9)))


def test_a_plain_line_names_what_is_not_registered_and_the_codes(engine):
    engine.board.add(STATES, ("registered",), 90)
    engine.board.add(STATES, ("refreshing",), 5)
    engine.board.add(STATES, ("rejected",), 3)
    engine.board.add("regiment_sip_responses_total", ("received", "REGISTER", "403"), 3)
    line = plain_line(Course(100).take(engine.at(0)))
    assert "registered 95/100" in line
    assert "rejected 3" in line
    assert "403:3" in line
    assert "waiting" not in line
    assert "\n" not in line


def test_the_live_view_shows_states_quantiles_and_codes(engine):
    engine.board.add(STATES, ("registered",), 1234)
    engine.board.add(STATES, ("waiting",), 7)
    engine.board.add("regiment_sip_responses_total", ("received", "REGISTER", "200"), 1234)
    engine.board.add("regiment_target_gated", (), 42)
    text = shown(Course(2000).take(engine.at(0)))
    lines = {words[1]: words for words in (line.split() for line in text.splitlines()) if words[1:]}
    assert "1,234 of 2,000 registered" in text
    assert lines["registered"][2] == "1,234"
    assert lines["waiting"][2] == "7"
    assert "RRD p99" in text
    assert "42" in text
    assert "200" in text


def test_the_progress_bar_is_there_only_while_registering(engine):
    engine.board.add(STATES, ("registering",), 5)
    engine.board.add(STATES, ("registered",), 5)
    assert "━" in shown(Course(10).take(engine.at(0)))
    engine.board.add(STATES, ("registering",), -5)
    engine.board.add(STATES, ("registered",), 5)
    assert "━" not in shown(Course(10).take(engine.at(1)))
    engine.board.add(STATES, ("registered",), -4)
    engine.board.add(STATES, ("unregistering",), 4)
    engine.board.add(STATES, ("unregistered",), 4)
    assert "━" not in shown(Course(10).take(engine.at(2)))


def test_the_bar_takes_a_line_of_its_own(engine):
    engine.board.add(STATES, ("unregistered",), 5)
    engine.board.add(STATES, ("registered",), 5)
    bars = [line for line in shown(Course(10).take(engine.at(0))).splitlines() if "━" in line]
    assert len(bars) == 1
    assert "unregistered" not in bars[0]


def test_many_codes_are_cut_to_the_most_frequent_ones(engine):
    for code in range(400, 420):
        labels = ("received", "REGISTER", str(code))
        engine.board.add("regiment_sip_responses_total", labels, code)
    text = shown(Course(1).take(engine.at(0)))
    assert "419" in text
    assert "others" in text
    assert f"{sum(range(400, 412)):,}" in text


def test_without_a_terminal_there_is_one_line_every_10_seconds(engine):
    stream = io.StringIO()
    with open_view(100, stream) as view:
        assert isinstance(view, PlainView)
        for tenth in range(251):
            view.update(engine.at(tenth / 10))
    lines = stream.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "10", "20"]


def test_in_the_journal_there_is_a_line_of_the_log_every_10_minutes(engine, tmp_path, monkeypatch):
    with (tmp_path / "journal").open("w") as journal, structlog.testing.capture_logs() as lines:
        found = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        with open_view(100, journal) as view:
            for minute in range(25):
                view.update(engine.at(60 * minute))
    assert [line["event"].split()[0] for line in lines] == ["0", "600", "1200"]
    assert (tmp_path / "journal").read_text() == ""


def test_on_a_terminal_the_view_redraws_and_clears_itself(engine):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    with TerminalView(Course(100), console, "demo") as view:
        view.update(engine.at(0))
        engine.board.add(STATES, ("registered",), 77)
        view.update(engine.at(1))
    text = stream.getvalue()
    assert "demo" in text
    assert "77 of 100 registered" in text
    assert text.endswith("\x1b[2K")
