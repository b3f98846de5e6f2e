"""Logs: safe fields only, one line each, repetitions counted."""

import base64
import io
import json

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from regiment.cli.logs import Repeats, keep_safe, render_text, safe_text, set_up, tell
from regiment.errors import LocalError

SECRET = 's%25"ecrét'


@pytest.fixture
def stream():
    yield io.StringIO()
    structlog.reset_defaults()


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


def test_a_repeated_message_passes_once_an_interval_and_is_counted():
    clock = Clock()
    repeats = Repeats(interval_s=10, clock=clock)
    assert passes(repeats, event()) == event()
    assert [passes(repeats, event()) for _ in range(5)] == [None] * 5
    clock.now = 10.0
    assert passes(repeats, event()) == event(repeated=5)
    clock.now = 20.0
    assert passes(repeats, event()) == event()


def test_registrar_and_code_tell_messages_apart():
    repeats = Repeats(clock=Clock())
    assert passes(repeats, event())
    assert passes(repeats, event(code=404))
    assert passes(repeats, event(registrar="other.example"))
    assert not passes(repeats, event(code=404))


def test_a_message_without_registrar_always_passes():
    repeats = Repeats(clock=Clock())
    told = {"event": "worker died", "worker": 1}
    assert passes(repeats, told)
    assert passes(repeats, told)


def test_flush_tells_the_last_one_held_back_when_its_interval_is_over():
    clock = Clock()
    repeats = Repeats(interval_s=10, clock=clock)
    passes(repeats, event(name="a"))
    passes(repeats, event(name="b"))
    passes(repeats, event(name="c"))
    assert repeats.flush() == []
    clock.now = 10.0
    assert repeats.flush() == [event(name="c", repeated=2)]
    assert repeats.flush() == []


def test_no_count_is_lost_when_more_kinds_than_the_limit_come():
    repeats = Repeats(limit=10, clock=Clock())
    for number in range(15):
        passes(repeats, event(registrar=str(number)))
        passes(repeats, event(registrar=str(number)))
    told = repeats.flush_all()
    assert len(told) == 15
    assert all(one["repeated"] == 1 for one in told)


def test_at_the_end_everything_held_back_is_told(stream):
    repeats = set_up("json", stream=stream)
    logger = structlog.get_logger()
    for _ in range(4):
        logger.error("rejected", registrar="sip.example", code=403)
    tell(repeats, at_end=True)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line.get("repeated") for line in lines] == [None, 3]
    assert lines[1]["level"] == "error"


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
