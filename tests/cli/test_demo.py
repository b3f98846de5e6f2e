"""The demo: its plan, its comparison, and the whole of it with real processes."""

import json
import subprocess
import sys

import pytest

from regiment.cli.demo import Plan, compare, registrar_for, stagger_for, trunk_plan
from regiment.cli.trunks import credentials
from regiment.metrics.scoreboard import Scoreboard
from regiment.metrics.snapshot import Snapshot


class Engine:
    """A board as an engine of 10 trunks leaves it: challenged once, then un-registered."""

    def __init__(self) -> None:
        self.memory = bytearray(Scoreboard.size_bytes())
        self.board = Scoreboard(self.memory)
        self.board.add("regiment_registrations", ("registered",), 9)
        self.board.add("regiment_registrations", ("refreshing",), 1)
        self.exchange(20, {200: 10, 401: 10})
        self.at_stop = self.snapshot()
        self.board.add("regiment_registrations", ("registered",), -9)
        self.board.add("regiment_registrations", ("refreshing",), -1)
        self.board.add("regiment_registrations", ("unregistered",), 10)
        self.exchange(10, {200: 10})

    def exchange(self, requests: int, answers: dict[int, int]) -> None:
        self.board.add("regiment_sip_requests_total", ("sent", "REGISTER", "udp"), requests)
        for code, count in answers.items():
            labels = ("received", "REGISTER", str(code))
            self.board.add("regiment_sip_responses_total", labels, count)

    def snapshot(self) -> Snapshot:
        return Snapshot.of({0: self.memory})


REGISTRAR = {"bindings": 0, "requests_REGISTER": 30, "responses_200": 20, "responses_401": 10}


def verdicts(engine, counts, bindings=10):
    rows = compare(engine.at_stop, bindings, engine.snapshot(), counts)
    return {row.subject: row.verdict for row in rows}


def test_equal_counts_agree_row_by_row():
    assert verdicts(Engine(), REGISTRAR) == {
        "bindings before the stop": "agree",
        "REGISTERs, with retransmissions": "agree",
        "answers 200": "agree",
        "answers 401": "agree",
        "bindings after the stop": "agree",
    }


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        ({"requests_REGISTER": 31}, "REGISTERs, with retransmissions"),
        ({"responses_200": 19}, "answers 200"),
        ({"responses_403": 1}, "answers 403"),
        ({"bindings": 1}, "bindings after the stop"),
    ],
)
def test_a_count_that_differs_is_named(change, subject):
    found = verdicts(Engine(), REGISTRAR | change)
    assert [name for name, verdict in found.items() if verdict == "differ"] == [subject]


def test_a_binding_that_only_one_side_knows_is_named():
    assert verdicts(Engine(), REGISTRAR, bindings=9)["bindings before the stop"] == "differ"


@pytest.mark.parametrize("state", ["unregistered", "registering"])
def test_bindings_are_not_compared_while_some_are_being_made(state):
    engine = Engine()
    engine.board.add("regiment_registrations", (state,), 1)
    engine.at_stop = engine.snapshot()
    assert "bindings before the stop" not in verdicts(engine, REGISTRAR, bindings=3)


def test_retransmissions_and_late_copies_are_accounted_for():
    engine = Engine()
    engine.board.add("regiment_sip_retransmissions_total", ("REGISTER",), 3)
    engine.board.add("regiment_sip_discarded_total", ("retransmitted",), 2)
    counts = REGISTRAR | {"requests_REGISTER": 32, "receive_drops": 1, "responses_200": 22}
    found = verdicts(engine, counts)
    assert found["answers"] == "agree"
    assert "answers 200" not in found
    assert set(found.values()) == {"agree"}


def test_the_stagger_grows_with_the_trunks():
    assert [stagger_for(count) for count in (1, 2500, 10_000, 10_001)] == [1, 1, 4, 5]


def test_the_registrar_knows_every_trunk_and_takes_any_port():
    options = registrar_for(Plan(trunks=3, seconds=1, workers=1, api=None))
    users = options.settings.users
    assert options.port == 0
    for name, password in credentials(trunk_plan(3, "127.0.0.1:5060")):
        assert users.password(name) == password


@pytest.mark.system
def test_a_demo_ends_with_counts_that_agree():
    arguments = ["demo", "--trunks", "200", "--seconds", "2", "--workers", "2", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "regiment.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["registered"] == 200
    assert document["attempts"]["unregister"] == {"success": 200}
    assert {row["verdict"] for row in document["comparison"]} == {"agree"}
    assert "/metrics" in done.stderr
    assert "registered" in done.stderr.splitlines()[1]


@pytest.mark.system
def test_a_demo_with_a_log_in_json_writes_nothing_else_to_it():
    arguments = ["demo", "--trunks", "20", "--seconds", "1", "--workers", "1", "--api", "none"]
    done = subprocess.run(
        [sys.executable, "-m", "regiment.cli", *arguments, "--json", "--log-format", "json"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events[0].startswith("20 trunks at the registrar")
    assert any("registered 0/20" in event for event in events)
    assert json.loads(done.stdout)["registered"] == 20
