"""`regiment status`, at a scripted API."""

from __future__ import annotations

import io
import json

import msgspec
import pytest
from rich.console import Console

from cli.scripted_api import address, engine_status, target
from regiment import cli
from regiment.cli import status
from regiment.coordinator import schema


def text_of(seen: schema.EngineStatus, *targets: schema.TargetOf) -> str:
    stream = io.StringIO()
    look = status.Look(**msgspec.structs.asdict(seen), targets=list(targets))
    Console(file=stream, width=200).print(status.render(look))
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


def test_nothing_is_said_of_targets_that_are_well(api, capsys):
    code, out, _ = run(capsys, "status")
    assert code == 0
    assert "next hop" not in out
    assert ("GET", "/targets", {"limit": "1000", "troubled": "true"}, None) in api.asked


def test_a_target_in_trouble_has_a_row_with_the_reason(api, capsys):
    api.targets.append(
        target(
            "lost.example",
            host="2001:db8::1",
            port=5061,
            protocol="tls",
            registrations=1234,
            is_troubled=True,
            addresses=[
                address("[2001:db8::1]:5061", protocol="tls"),
                address("[2001:db8::2]:5061", "down", protocol="tls"),
            ],
            waiting=7,
            learned_rate=12.34,
            gate_s=29.6,
            reason="TLS: certificate of lost.example \x1b[31mhas expired",
        )
    )
    code, out, _ = run(capsys, "status")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert (
        "lost.example [2001:db8::1]:5061/tls 1,234 [2001:db8::2]:5061/tls down 0 7 12.3 30 s "
        "TLS: certificate of lost.example [31mhas expired"
    ) in lines
    assert "[2001:db8::1]:5061/tls up" in lines
    assert not [line for line in lines if line.startswith("sip.example.net sip.example.net/udp")]
    assert "\x1b" not in out


def test_a_target_without_an_address_says_so_and_many_addresses_are_cut():
    nowhere = target(addresses=[], is_troubled=True, reason="sip.example.net: no such name")
    text = text_of(engine_status(), nowhere)
    assert "none known" in text
    assert "no such name" in text
    down = [address(f"192.0.2.{number}:5060", "down", reason="refused") for number in range(6)]
    text = text_of(engine_status(), target(addresses=down, is_troubled=True))
    assert "and 2 more addresses" in text
    assert "refused" in text


def test_more_troubled_targets_than_fit_are_not_asked_for(api, capsys):
    api.targets = [target(f"r{number}", is_troubled=True) for number in range(40)]
    _, out, _ = run(capsys, "status")
    assert "and more targets" in out
    assert "r19" in out
    assert "r20" not in out
    pages = [asked for asked in api.asked if asked[1] == "/targets"]
    assert len(pages) == 11


def test_json_has_all_targets_over_all_pages(api, capsys):
    api.targets = [target(f"r{number}") for number in range(5)]
    _, out, _ = run(capsys, "status", "--json")
    found = json.loads(out)
    assert [each["registrar"] for each in found["targets"]] == ["r0", "r1", "r2", "r3", "r4"]
    assert found["targets"][0]["addresses"][0]["state"] == "up"


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
