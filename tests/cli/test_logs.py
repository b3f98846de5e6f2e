"""Logs: safe fields only, one line each, repetitions counted."""

import base64
import io
import json
import os

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from regiment.cli.journal import is_journal
from regiment.cli.logs import keep_safe, render_text, set_up, tell
from regiment.cli.repeats import FIRST
from regiment.cli.text import safe_text
from regiment.errors import LocalError

SECRET = 's%25"ecrét'


@pytest.fixture
def stream():
    yield io.StringIO()
    structlog.reset_defaults()


def test_a_field_that_is_not_known_to_be_safe_is_dropped(stream):
    set_up("json", stream=stream)
    structlog.get_logger().info("hello", password=SECRET, auth={"a1": SECRET}, aor="sip:a@b")
    written = json.loads(stream.getvalue())
    assert set(written) == {"event", "level", "timestamp", "aor"}
    for form in (SECRET, SECRET.encode().hex(), base64.b64encode(SECRET.encode()).decode()):
        assert form not in stream.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_password_of_a_uri_is_masked(stream, log_format):
    set_up(log_format, stream=stream)
    structlog.get_logger().info("hello", aor="<sip:alice:hush@example.net>", reason="SIPS:b:hush@x")
    assert "hush" not in stream.getvalue()
    assert "sip:alice:***@example.net" in stream.getvalue()


def test_a_host_with_a_port_is_no_password():
    assert safe_text("sip:example.net:5060;lr") == "sip:example.net:5060;lr"
    assert safe_text("sip:alice@example.net:5060") == "sip:alice@example.net:5060"


@given(st.text(max_size=2000))
def test_a_value_is_one_bounded_line(value):
    text = safe_text(value)
    assert len(text.splitlines()) <= 1
    assert len(text) <= 501


def test_text_has_time_level_message_and_fields(stream):
    set_up("text", stream=stream)
    structlog.get_logger().warning("no answer", name="trunk1", reason='Go "away"', code=0)
    line = stream.getvalue()
    head, _, fields = line.rstrip("\n").partition("no answer")
    assert head.split()[1] == "warning"
    assert head.split()[0].endswith("Z")
    assert fields == '  name=trunk1 reason="Go \\"away\\"" code=0'


def test_an_empty_field_is_shown_as_such():
    told = {"timestamp": "T", "level": "info", "event": "x", "reason": ""}
    assert render_text(None, "", told) == 'T info     x  reason=""'


def test_numbers_stay_numbers_in_json(stream):
    set_up("json", stream=stream)
    structlog.get_logger().info("x", count=3, rate=2.5)
    written = json.loads(stream.getvalue())
    assert (written["count"], written["rate"]) == (3, 2.5)


def test_lines_under_the_level_are_not_written(stream):
    set_up("text", level="warning", stream=stream)
    structlog.get_logger().info("x")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("arguments", [{"log_format": "xml"}, {"level": "loud"}])
def test_an_unknown_format_or_level_is_named(arguments):
    with pytest.raises(LocalError, match="one of"):
        set_up(**arguments)


def test_keep_safe_does_not_touch_the_callers_dictionary():
    told = {"event": "x", "password": SECRET}
    assert keep_safe(None, "", told) == {"event": "x"}
    assert told["password"] == SECRET


def test_at_the_end_everything_held_back_is_told(stream):
    repeats = set_up("json", stream=stream)
    logger = structlog.get_logger()
    for _ in range(FIRST + 3):
        logger.error("rejected", registrar="sip.example", code=403)
    tell(repeats, at_end=True)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line.get("repeated") for line in lines] == [None] * FIRST + [3]
    assert lines[-1]["level"] == "error"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), BrokenPipeError()])
def test_a_line_that_cannot_be_written_is_lost_and_the_next_one_is_not(error):
    class Full(io.StringIO):
        fails = True

        def write(self, text: str) -> int:
            if self.fails:
                raise error
            return super().write(text)

    stream = Full()
    set_up("text", stream=stream)
    logger = structlog.get_logger()
    logger.error("lost")
    stream.fails = False
    logger.warning("kept")
    assert "lost" not in stream.getvalue()
    assert "kept" in stream.getvalue()
    structlog.reset_defaults()


@pytest.fixture
def journal(monkeypatch, tmp_path):
    """A file that the environment calls the journal's stream."""
    with (tmp_path / "journal").open("w+") as file:
        found = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        yield file
    structlog.reset_defaults()


def test_the_journal_gets_priorities_and_no_second_time(journal):
    set_up("text", level="debug", stream=journal)
    logger = structlog.get_logger()
    for level in ("debug", "info", "warning", "error"):
        getattr(logger, level)("hello", name="t1")
    journal.seek(0)
    assert journal.read().splitlines() == [
        "<7>hello  name=t1",
        "<6>hello  name=t1",
        "<4>hello  name=t1",
        "<3>hello  name=t1",
    ]


def test_json_in_the_journal_is_the_same_object_behind_its_priority(journal):
    set_up("json", stream=journal)
    structlog.get_logger().warning("hello", name="t1")
    journal.seek(0)
    priority, body = journal.read()[:3], journal.seek(3) and journal.read()
    assert priority == "<4>"
    assert set(json.loads(body)) == {"event", "level", "name", "timestamp"}


def test_a_stream_that_is_not_the_journals_is_none(journal, tmp_path):
    assert is_journal(journal)
    with (tmp_path / "other").open("w") as other:
        assert not is_journal(other)
    assert not is_journal(io.StringIO())
    assert not is_journal(journal, {})
