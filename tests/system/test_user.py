"""`--user`: root binds what only root may, and nobody of the engine is root afterwards."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import regiment
from system.engine import (
    POLL_S,
    TRUNKS,
    finish,
    registered_at,
    registrar,
    run_of,
    until,
    write_config,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user"),
]

NOBODY = pwd.getpwnam("nobody").pw_uid
PATHS = (str(Path(regiment.__file__).parent.parent), sysconfig.get_path("purelib"))


def python_for_everybody() -> str:
    """An interpreter that another user may execute: ours may lie in root's home."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            done = subprocess.run(
                [python, "-c", "import regiment.worker.process"],
                user="nobody",
                env={"PYTHONPATH": os.pathsep.join(PATHS)},
                capture_output=True,
                timeout=60,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    raise AssertionError("nobody may execute no Python here")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def low_ports(count: int) -> int:
    """The first of some free UDP ports that only root may bind."""
    for first in range(600, 1000, count):
        opened = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
        try:
            for offset, each in enumerate(opened):
                each.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        finally:
            for each in opened:
                each.close()
        return first
    raise AssertionError("no free ports under 1024")


def owner(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def test_nobody_holds_low_ports_and_a_successor_takes_them_again(open_folder):
    async def work() -> None:
        async with registrar() as pool:
            config = write_config(open_folder, pool.address[1], bind=f"127.0.0.1:{low_ports(2)}")
            command = [python_for_everybody(), "-P", "-m", "regiment.cli", "run", str(config)]
            environ = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}
            state, socket_path = open_folder / "state", open_folder / "engine.sock"
            options = (
                *("--workers", "2", "--api", "127.0.0.1:0", "--user", "nobody"),
                *("--state", str(state), "--socket", str(socket_path)),
            )
            async with run_of([*command, *options], env=environ, cwd=open_folder) as run:
                await run.said(" ready ")
                await until(lambda: pool.counts()["bindings"] == TRUNKS)
                first, second = run.workers()
                assert [owner(pid) for pid in (run.process.pid, first, second)] == [NOBODY] * 3
                os.kill(first, signal.SIGKILL)
                await run.said("worker replaced")
                files = [socket_path, state, *state.iterdir()]
                assert {file.stat().st_uid for file in files} == {NOBODY}
                assert [owner(pid) for pid in run.workers()] == [NOBODY] * 2
                while await run.metric(registered_at(pool)) != TRUNKS:
                    await asyncio.sleep(POLL_S)
                run.process.send_signal(signal.SIGTERM)
                assert await run.ended() == 0
                assert pool.counts()["bindings"] == 0

    finish(work())
