"""What the service manager hears, at a real datagram socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator

import pytest

from regiment.coordinator import service
from regiment.coordinator.service import EXTENSION_S, Service

PATIENCE_S = 30.0


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path: str) -> None:
        self.address = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + path[1:] if path.startswith("@") else path)
        self.socket.settimeout(PATIENCE_S)

    def hear(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")

    def heard(self) -> list[str]:
        """All lines that have come so far."""
        lines: list[str] = []
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                lines += self.hear()
        self.socket.settimeout(PATIENCE_S)
        return lines


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path) -> Iterator[Manager]:
    place = str(tmp_path / "notify") if request.param == "path" else f"@regiment-{os.getpid()}"
    manager = Manager(place)
    yield manager
    manager.socket.close()


def test_ready_is_heard_at_a_path_and_at_an_abstract_name(manager):
    environ = {"NOTIFY_SOCKET": manager.address, "HOME": "/"}
    Service.from_environment(environ).ready()
    assert manager.hear() == ["READY=1"]
    assert environ == {"HOME": "/"}


def test_a_reload_is_told_with_its_moment_and_ends_ready_even_when_it_fails(manager):
    told = Service(manager.address)
    before_us = time.monotonic_ns() // 1000
    with pytest.raises(ValueError, match="broken"), told.reloading():
        raise ValueError("broken")
    state, moment = manager.hear()
    assert state == "RELOADING=1"
    name, _, value = moment.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before_us <= int(value) <= time.monotonic_ns() // 1000
    assert manager.hear() == ["READY=1"]


def test_a_service_that_stops_in_a_reload_is_not_ready_again(manager):
    told = Service(manager.address)
    with told.reloading():
        told.stopping(10.0)
    assert [line for line in manager.heard() if line.startswith(("READY", "STOPPING"))] == [
        "STOPPING=1"
    ]


def test_stopping_asks_for_no_more_time_than_the_stop_may_take(manager):
    Service(manager.address).stopping(4.0)
    state, extension = manager.hear()
    assert state == "STOPPING=1"
    assert 3_000_000 < int(extension.removeprefix("EXTEND_TIMEOUT_USEC=")) <= 5_000_000
    Service(manager.address).stopping(10_000.0)
    _, extension = manager.hear()
    assert int(extension.removeprefix("EXTEND_TIMEOUT_USEC=")) == EXTENSION_S * 1e6 + 1e6


def test_a_status_is_one_line_and_told_once(manager):
    told = Service(manager.address)
    told.status("5 of 6\nregistered")
    told.status("5 of 6 registered")
    told.status("6 of 6 registered")
    assert manager.heard() == ["STATUS=5 of 6 registered", "STATUS=6 of 6 registered"]


def test_a_status_with_a_path_that_is_no_text_is_told_all_the_same(manager):
    Service(manager.address).status(os.fsdecode(b"loading /\xff.conf"))
    assert manager.heard() == ["STATUS=loading /?.conf"]


def attended(told: Service, manager: Manager, wanted: int, status=lambda: "") -> list[str]:
    """What `attend` says until `wanted` lines were heard."""

    async def scenario() -> list[str]:
        task = asyncio.create_task(told.attend(lambda: True, status))
        lines: list[str] = []
        while len(lines) < wanted:
            lines += await asyncio.to_thread(manager.hear)
        task.cancel()
        return lines

    return asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_the_watchdog_is_fed_while_the_engine_is_alive_and_only_then(manager):
    told = Service(manager.address, watchdog_s=0.02)
    alive = iter([True, True, False, True, False])
    asked: list[bool] = []

    def is_alive() -> bool:
        asked.append(next(alive, False))
        return asked[-1]

    async def scenario() -> None:
        task = asyncio.create_task(told.attend(is_alive, lambda: ""))
        while len(asked) < 10:
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))
    assert manager.heard().count("WATCHDOG=1") == 3


def test_the_extension_is_repeated_until_the_time_is_over(manager, monkeypatch):
    monkeypatch.setattr(service, "STATUS_S", 0.001)
    told = Service(manager.address)
    told.stopping(0.2)
    assert manager.hear()[0] == "STOPPING=1"
    lines = attended(told, manager, 3)
    assert all(line.startswith("EXTEND_TIMEOUT_USEC=") for line in lines)
    told.stopping(0.0)
    manager.heard()
    assert told._extension() == ()


def test_the_status_follows_the_engine(manager, monkeypatch):
    monkeypatch.setattr(service, "STATUS_S", 0.001)
    numbers = iter(range(100_000))
    lines = attended(Service(manager.address), manager, 3, lambda: f"{next(numbers)} registered")
    assert lines[:3] == ["STATUS=0 registered", "STATUS=1 registered", "STATUS=2 registered"]


@pytest.mark.parametrize(
    ("variables", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_a_watchdog_for_another_process_or_of_no_number_is_none_of_ours(variables, watchdog_s):
    environ = dict(variables)
    assert Service.from_environment(environ).watchdog_s == watchdog_s
    assert environ == {}


@pytest.mark.parametrize("address", ["", "vsock:2:3", "relative"])
def test_without_a_socket_that_we_know_nothing_is_said(address):
    told = Service(address)
    assert told.is_mute
    with told.reloading():
        told.status("x")
    told.stopping(1.0)
    asyncio.run(told.attend(lambda: True, lambda: "x"))


def test_a_manager_that_is_gone_costs_nothing(tmp_path):
    told = Service(str(tmp_path / "nobody"))
    told.ready()
    told.status("x")
    told.close()
    told.close()
    assert told.is_mute


def test_a_full_queue_loses_a_sign_of_life_and_does_not_block(manager):
    told = Service(manager.address, watchdog_s=1.0)
    for number in range(3000):
        told.status(f"{number}")
    assert manager.heard()[0] == "STATUS=0"
