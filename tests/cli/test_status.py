"""`regiment status`, at a scripted API."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from cli.scripted_api import engine_status
from regiment import cli
from regiment.cli import status
from regiment.coordinator import schema


def text_of(seen: schema.EngineStatus) -> str:
    stream = io.StringIO()
    Console(file=stream, width=200).print(status.render(seen))
    return stream.getvalue()


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = cli.invoke(arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_one_look_has_states_registrars_reasons_and_workers(api, capsys):
    code, out, err = run(capsys, "status")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "regiment 1.2.3 /etc/asterisk/pjsip.conf up 1 d 01:01:01 ready"
    assert lines[1] == "2 registrations: 1 registered, 1 waiting"
    assert "sip.example.net 2 1 1 0 0" in lines
    assert "1 sip.example.net waiting transient 500 Oh [31mdear trunk1" in lines
    assert "0 4711 running 2 0" in lines
    assert lines[-1].endswith("RRD p50 12.0 ms p95 50.0 ms")
    assert "\x1b" not in out


def test_an_engine_that_is_well_has_no_reasons():
    text = text_of(engine_status(unhealthy=[]))
    assert "reasons" not in text


def test_an_engine_that_is_not_ready_says_why_and_the_exit_code_is_0(api, capsys):
    api.answers["/status"] = (
        200, engine_status(is_ready=False, complaint="worker 1: makes no turns"),
    )  # fmt: skip
    code, out, _ = run(capsys, "status")
    assert code == 0
    assert "not ready: worker 1: makes no turns" in out


def test_many_registrars_and_reasons_are_cut_with_their_number():
    registrars = [schema.RegistrarOf(f"r{number}", 1, {}) for number in range(25)]
    reasons = [
        schema.ReasonOf(f"r{number}", "rejected", "policy", 403, "No", 1, "t")
        for number in range(21)
    ]
    text = text_of(engine_status(registrars=registrars, unhealthy=reasons))
    assert "and 5 more registrars" in text
    assert "and 1 more reasons" in text


def test_json_is_the_answer_on_one_line(api, capsys):
    _, out, _ = run(capsys, "status", "--json")
    assert out.count("\n") == 1
    assert json.loads(out)["workers"][0]["pid"] == 4711


def test_watch_looks_again_and_again_until_interrupted(api, capsys, monkeypatch):
    looks = 0

    def sleep(seconds: float) -> None:
        nonlocal looks
        assert seconds == 0.5
        looks += 1
        if looks == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", sleep)
    code, out, _ = run(capsys, "status", "--watch", "--interval", "0.5", "--json")
    assert code == 0
    assert [json.loads(line)["version"] for line in out.splitlines()] == ["1.2.3"] * 3


def test_watch_on_a_terminal_redraws_in_place_and_gives_the_screen_back(api, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(
        status, "Console", lambda: Console(file=stream, force_terminal=True, width=120, height=30)
    )
    looks = iter([None, None])

    def sleep(_: float) -> None:
        try:
            next(looks)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(status.time, "sleep", sleep)
    assert cli.invoke(["status", "--watch"]) == 0
    drawn = stream.getvalue()
    assert drawn.count("4711") == 3
    assert drawn.index("\x1b[?1049h") < drawn.index("4711")
    assert drawn.rindex("\x1b[?1049l") > drawn.rindex("4711")


def test_watch_ends_with_a_line_when_the_engine_does(api, capsys, monkeypatch):
    monkeypatch.setattr(status.time, "sleep", lambda _: api.answers.update({"/status": GONE}))
    code, out, err = run(capsys, "status", "--watch")
    assert code == 1
    assert "2 registrations" in out
    assert err == "regiment: stopping\n"


GONE = (503, schema.Problem(503, "stopping"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "00:00:00"), (3661, "01:01:01"), (86399.9, "23:59:59"), (259200, "3 d 00:00:00")],
)
def test_a_duration_is_days_and_a_clock(seconds, text):
    assert status.duration(seconds) == text
