"""`regiment run` under a service manager: what it hears, and what workers must not know."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from regiment.coordinator.reloading import STOP_S
from regiment.coordinator.service import EXTENSION_S
from system.engine import TRUNKS, finish, registrar, run_of, until, write_config

pytestmark = pytest.mark.system


def test_the_manager_hears_of_readiness_life_and_the_end(tmp_path):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    manager.bind(str(tmp_path / "notify"))
    environ = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}

    async def heard(wanted: str) -> list[str]:
        """The lines of the first message with `wanted` in it."""
        while True:
            message = await asyncio.get_running_loop().sock_recv(manager, 4096)
            if wanted in (text := message.decode()):
                return text.split("\n")

    async def work() -> None:
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            command = [sys.executable, "-P", "-m", "regiment.cli", "run", str(config)]
            async with run_of(
                [*command, "--workers", "2", "--api", "none", "--stop-timeout", "7"],
                env=environ,
                cwd=tmp_path,
            ) as run:
                assert await heard("STATUS") == [f"STATUS=loading {config}"]
                assert await heard("READY") == ["READY=1"]
                assert await heard("WATCHDOG") == ["WATCHDOG=1"]
                assert f"STATUS={TRUNKS} registrations: " in (await heard("STATUS"))[0]
                for pid in run.workers():
                    assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()
                await until(lambda: pool.counts()["bindings"] == TRUNKS)
                before_us = time.monotonic_ns() // 1000
                run.process.send_signal(signal.SIGHUP)
                state, moment = await heard("RELOADING")
                assert state == "RELOADING=1"
                assert int(moment.removeprefix("MONOTONIC_USEC=")) >= before_us
                assert await heard("READY") == ["READY=1"]
                run.process.send_signal(signal.SIGTERM)
                state, extension = await heard("STOPPING")
                assert state == "STOPPING=1"
                # A reload may go before the stop; and more is asked for later.
                most_s = min(7 + STOP_S, EXTENSION_S) + 1
                asked_us = int(extension.removeprefix("EXTEND_TIMEOUT_USEC="))
                assert (most_s - 1) * 1e6 < asked_us <= most_s * 1e6
                assert await run.ended() == 0

    with manager:
        finish(work())


def test_in_the_journal_lines_carry_priorities_and_no_time(tmp_path):
    journal = tmp_path / "journal"
    config = tmp_path / "pjsip.conf"
    config.write_text("[broken\n")

    async def work() -> None:
        with journal.open("w") as stream:
            found = os.fstat(stream.fileno())
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "regiment.cli", "run", str(config)),
                *("--api", "none", "--workers", "1"),
                env={**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"},
                cwd=tmp_path,
                stderr=stream,
            )
            assert await process.wait() == 1

    finish(work())
    lines = journal.read_text().splitlines()
    assert lines[-1].startswith(f"<3>regiment: {config}:1: ")
    assert all(line.startswith("<") for line in lines)
