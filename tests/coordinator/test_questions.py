"""What people and programs ask a running engine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

import pytest
import structlog

from coordinator.scripted_engine import (
    NAMES,
    names_of,
    options,
    run,
    script,
    until,
)
from regiment.coordinator.coordinator import Coordinator
from regiment.errors import LocalError
from regiment.model import Event


def test_a_question_goes_to_the_worker_of_the_name(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            for name in NAMES:
                status = await engine.status(name)
                assert status is not None
                assert status.name == name
            assert await engine.status("nobody") is None

    run(work())


def test_a_question_about_a_worker_that_is_down_says_so(folder):
    script(folder, 0, dies_before_life=99)

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            with pytest.raises(LocalError, match="worker 0 is down"):
                await engine.status(names_of(0)[0])

    run(work())


def test_a_question_whose_worker_dies_is_answered_by_an_error(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            seat = engine.seats[0]
            os.kill(seat.pid, signal.SIGSTOP)
            question = asyncio.create_task(engine.status(names_of(0)[0]))
            await asyncio.sleep(0)
            os.kill(seat.pid, signal.SIGKILL)
            with pytest.raises(LocalError, match="worker 0 died"):
                await question

    run(work())


def test_events_of_workers_reach_the_listener(folder):
    told: list[Event] = []

    def listen(events: tuple[Event, ...]) -> None:
        told.extend(events)

    async def work() -> None:
        async with Coordinator(options(folder), listen):
            await until(lambda: len(told) == 6)

    run(work())
    assert sorted(event.name for event in told) == sorted(names_of(0)[:3] + names_of(1)[:3])


def test_what_only_listeners_want_reaches_no_log(folder):
    told: list[Event] = []

    async def work() -> None:
        async with Coordinator(options(folder), lambda events: told.extend(events)) as engine:
            minor = Event("minor", "registering", "registered", 200, is_minor=True)
            major = Event("major", "registering", "rejected", 403)
            engine.on_events(engine.seats[0], (minor, major, minor), ())
            engine.on_events(engine.seats[0], (minor,), ())

    run(work())
    names = [event.name for event in told]
    assert "major" in names
    assert "minor" not in names


def test_what_every_worker_warns_of_is_said_once(folder):
    async def work() -> list[Any]:
        with structlog.testing.capture_logs() as logged:
            async with Coordinator(options(folder, workers=3)):
                pass
            return [line for line in logged if line["event"].startswith("a warning that every")]

    assert len(run(work())) == 1


async def fetch(url: str, path: str) -> tuple[int, str]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


def test_http_serves_metrics_and_probes(folder):
    async def work() -> None:
        async with Coordinator(options(folder, api=("127.0.0.1", 0))) as engine:
            assert await fetch(engine.url, "/livez") == (200, "ok\n")
            assert await fetch(engine.url, "/readyz") == (200, "ready\n")
            status, text = await fetch(engine.url, "/metrics")
            assert status == 200
            assert 'regiment_worker_up{worker="1"} 1.0' in text
            wanted = 'regiment_registrations_desired{registrar="registrar.test"} 40.0'
            assert wanted in text

    run(work())


def test_groups_reach_every_worker_and_the_metrics(folder):
    file = folder / "pjsip.conf"
    text = file.read_text()
    names = names_of(0)[:3] + names_of(1)[:2]
    for name in names:
        text = text.replace(f"[{name}]\n", f"[{name}]\n@group=west\n")
    file.write_text(text)

    async def work() -> None:
        async with Coordinator(options(folder, api=("127.0.0.1", 0))) as engine:
            for worker in range(2):
                rows = json.loads((folder / f"{worker}.groups").read_text())
                assert rows == {"west": 1}
            _, exposed = await fetch(engine.url, "/metrics")
            assert 'regiment_group_registrations_desired{group="west"} 5.0' in exposed

    run(work())


def test_readyz_says_why_not(folder):
    script(folder, 0, dies_before_life=99)

    async def work() -> None:
        async with Coordinator(options(folder, api=("127.0.0.1", 0))) as engine:
            status, text = await fetch(engine.url, "/readyz")
            assert status == 503
            assert text == "worker 0: died too often, is started once a minute\n"
            assert (await fetch(engine.url, "/livez"))[0] == 200

    run(work())


def test_probes_answer_while_the_configuration_loads(folder):
    async def work() -> None:
        engine = Coordinator(options(folder, api=("127.0.0.1", 0)))
        starting = asyncio.create_task(engine.start())
        await until(lambda: bool(engine.url))
        assert await fetch(engine.url, "/readyz") == (503, "loading\n")
        await starting
        await engine.close()

    run(work())


def test_an_api_address_in_use_is_one_line(folder):
    async def work() -> None:
        async with Coordinator(options(folder, api=("127.0.0.1", 0))) as engine:
            port = int(engine.url.rpartition(":")[2])
            other = Coordinator(options(folder, api=("127.0.0.1", port)))
            with pytest.raises(LocalError, match="in use"):
                await other.start()
            await other.close()

    run(work())


def test_options_show_no_token(folder):
    assert "s3cret" not in repr(options(folder, token="s3cret"))
