"""`regiment run`: its arguments, and what it makes of events. Runs of it are in tests/system."""

from __future__ import annotations

import asyncio
import re
import signal
from typing import Any

import pytest
import structlog

from regiment import cli
from regiment.cli.repeats import Repeats
from regiment.cli.run import (
    Session,
    finished_before,
    log_events,
    parse_api,
    parse_nameservers,
    parse_shard,
)
from regiment.cli.token import read_token
from regiment.coordinator import reloading
from regiment.coordinator.options import Options
from regiment.coordinator.service import Service
from regiment.errors import LocalError
from regiment.metrics.scoreboard import Scoreboard
from regiment.metrics.snapshot import Snapshot
from regiment.model import Event


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0/1", (0, 1)), ("2/3", (2, 3)), ("1023/1024", (1023, 1024))],
)
def test_a_shard_is_k_of_n(text, expected):
    assert parse_shard(text) == expected


@pytest.mark.parametrize(
    "text", ["", "1", "1/", "/2", "3/3", "-1/2", "0/0", "a/b", "0/1025", "1/2/3", "²/3"]
)
def test_a_shard_that_is_none_is_one_line(text):
    with pytest.raises(LocalError, match="--shard") as caught:
        parse_shard(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", None),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("127.0.0.1", ("127.0.0.1", 9465)),
        ("[::1]:9000", ("::1", 9000)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_the_api_listens_at_an_address_or_nowhere(text, expected):
    assert parse_api(text) == expected


@pytest.mark.parametrize("text", ["", ":9465", "x:y", "x:70000", "[x]:1"])
def test_an_api_address_that_is_none_names_the_option(text):
    with pytest.raises(LocalError, match="--api"):
        parse_api(text)


def test_the_token_is_the_files_before_the_environments(tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text("from-file\n")
    monkeypatch.setenv("REGIMENT_TOKEN", " from-environment ")
    assert read_token(file) == "from-file"
    assert read_token(None) == "from-environment"
    monkeypatch.delenv("REGIMENT_TOKEN")
    assert read_token(None) == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b" \n", "empty"), (b"\xff\xfe\xfd", "not a text")],
)
def test_a_token_file_that_cannot_be_used_is_one_line_with_its_name(tmp_path, content, said):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(LocalError, match=said) as caught:
        read_token(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("token", ["tökén", "two\nlines", "bell\a"])
def test_a_token_that_no_header_carries_is_refused_wherever_it_stands(tmp_path, monkeypatch, token):
    file = tmp_path / "token"
    file.write_text(token)
    monkeypatch.setenv("REGIMENT_TOKEN", token)
    with pytest.raises(LocalError, match=re.escape(f"{file}: a token is one line of ASCII")):
        read_token(file)
    with pytest.raises(LocalError, match="REGIMENT_TOKEN: a token is one line of ASCII"):
        read_token(None)


def test_the_help_tells_how_it_ends_and_what_a_reload_refuses(capsys):
    assert cli.invoke(["run", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "more than 100 registrations and more than a tenth" in told
    assert "--allow-removals" in told
    assert "un-REGISTER all, or keep them" in told


async def fail() -> None:
    raise LocalError("broken")


def test_work_that_is_done_first_is_true_and_its_error_raised():
    async def scenario() -> None:
        assert await finished_before(asyncio.sleep(0), asyncio.Event())
        with pytest.raises(LocalError, match="broken"):
            await finished_before(fail(), asyncio.Event())

    asyncio.run(scenario())


def test_an_event_that_comes_first_is_false_and_cancels_the_work():
    cancelled: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    async def scenario() -> None:
        event = asyncio.Event()
        asyncio.get_running_loop().call_soon(event.set)
        assert not await finished_before(work(), event)

    asyncio.run(scenario())
    assert cancelled == [True]


def logged(*events: Event) -> list[Any]:
    with structlog.testing.capture_logs() as lines:
        log_events(events)
    return lines


def test_a_failure_is_a_warning_with_all_that_is_known():
    event = Event("t1", "registering", "waiting", 503, "throttled", "Busy", 12.34, "reg.example")
    assert logged(event) == [
        {
            "log_level": "warning",
            "event": "registration failed",
            "name": "t1",
            "registrar": "reg.example",
            "state": "waiting",
            "code": 503,
            "failure_class": "throttled",
            "reason": "Busy",
            "retry_in_s": 12.3,
        }
    ]


def test_what_is_not_known_is_left_out():
    assert logged(Event("t1", "waiting", "registered", 200)) == [
        {
            "log_level": "info",
            "event": "registration changed",
            "name": "t1",
            "state": "registered",
            "code": 200,
        }
    ]


class IdleEngine:
    """A coordinator at whose workers nothing happens but that they use the processor."""

    registrations = 1
    seats = ()
    load_s = 0.5
    url = ""
    socket = ""
    restarts = 0
    is_alive = True
    stop_timeout_s = 1.0
    shares: object = None
    options = Options(config="pjsip.conf", workers=1)

    def __init__(self) -> None:
        self._memory = bytearray(Scoreboard.size_bytes())
        self._board = Scoreboard(self._memory)
        self._board.add("regiment_worker_cpu_seconds_total", (), 5_000_000_000)
        self.stops = 0

    def snapshot(self) -> Snapshot:
        return Snapshot.of({0: bytes(self._memory)})

    async def wait(self) -> None:
        await asyncio.Event().wait()

    async def start(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None: ...

    async def stop(self) -> int:
        self.stops += 1
        self._board.add("regiment_worker_cpu_seconds_total", (), 250_000_000)
        return 0


class HeardService(Service):
    """Keeps what it was told of the stop."""

    def __init__(self) -> None:
        super().__init__()
        self.stop_s: list[float] = []

    def stopping(self, timeout_s: float) -> None:
        self.stop_s.append(timeout_s)


def idle_session(engine: IdleEngine) -> Session:
    session = Session(Options(config="pjsip.conf", workers=1), Repeats())
    session._engine = engine  # type: ignore[assignment]
    session._service = HeardService()
    return session


def test_the_processor_time_of_the_summary_begins_at_readiness(capsys):
    session = idle_session(IdleEngine())

    async def scenario() -> int:
        session._stop.set()
        return await session._hold()

    assert asyncio.run(scenario()) == 0
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "CPU" in line)
    assert "0.25 s" in line


async def signalled_at_the_start(session: Session) -> int:
    """A whole run that is told to stop while its engine starts."""
    asyncio.get_running_loop().call_later(0.01, session._on_signal, signal.SIGTERM)
    return await session.run()


@pytest.mark.parametrize(("shares", "stops"), [(object(), 1), (None, 0)])
def test_a_signal_before_readiness_unregisters_what_workers_may_have_registered(shares, stops):
    engine = IdleEngine()
    engine.shares = shares
    session = idle_session(engine)
    assert asyncio.run(signalled_at_the_start(session)) == 0
    assert engine.stops == stops


def test_a_second_signal_before_readiness_ends_at_once():
    class SlowEngine(IdleEngine):
        shares = object()

        async def stop(self) -> int:
            session._on_signal(signal.SIGINT)
            await asyncio.Event().wait()
            return 0

    session = idle_session(SlowEngine())
    assert asyncio.run(signalled_at_the_start(session)) == 128 + signal.SIGINT


def test_the_manager_is_told_of_the_time_that_a_reload_may_take_before_the_stop():
    session = idle_session(IdleEngine())

    async def scenario() -> int:
        session._stop.set()
        return await session._hold()

    assert asyncio.run(scenario()) == 0
    assert isinstance(session._service, HeardService)
    assert session._service.stop_s == [IdleEngine.stop_timeout_s + reloading.STOP_S]


def test_a_reload_that_fails_in_any_way_leaves_the_next_hangup_its_reload():
    errors: list[Exception] = [OSError(11, "x"), RuntimeError("quotes a secret"), LocalError("no")]

    class FailingEngine(IdleEngine):
        async def reload(self, *, wait: bool) -> None:
            assert wait
            if errors:
                raise errors.pop(0)
            done.set()

    done = asyncio.Event()
    session = idle_session(FailingEngine())

    async def scenario() -> None:
        reloading_on_hangup = asyncio.create_task(session._reload_on_hangup())
        while not done.is_set():
            session._hangup.set()
            await asyncio.sleep(0)
            assert not reloading_on_hangup.done()
        reloading_on_hangup.cancel()

    with structlog.testing.capture_logs() as lines:
        asyncio.run(asyncio.wait_for(scenario(), 10))
    said = [line["reason"] for line in lines if line["event"] == "a reload failed"]
    assert [text.split(" at ")[0] for text in said] == [
        "internal error: BlockingIOError (Resource temporarily unavailable)",
        "internal error: RuntimeError",
    ]


def test_name_servers_are_addresses_each_once():
    texts = ["192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:5353", "192.0.2.1:53"]
    assert parse_nameservers(texts) == (
        ("192.0.2.1", 53),
        ("192.0.2.1", 5353),
        ("2001:db8::1", 5353),
    )
    assert parse_nameservers([]) == ()


@pytest.mark.parametrize("text", ["ns.example", "192.0.2.1:", "192.0.2.1:0", ""])
def test_a_name_server_that_is_no_address_is_refused(text):
    with pytest.raises(LocalError, match=r"--nameserver .*: an IP address, perhaps with :PORT"):
        parse_nameservers([text])


def test_more_than_eight_name_servers_are_refused():
    with pytest.raises(LocalError, match="--nameserver: 8 at most, not 9"):
        parse_nameservers([f"192.0.2.{at}" for at in range(9)])
