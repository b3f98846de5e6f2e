"""`regiment run --state` killed at any instant: what the registrar sees of it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from regiment.coordinator.registrar_pool import RegistrarPool
from system.engine import (
    SECRET,
    TRUNKS,
    Run,
    all_registered,
    finish,
    regiment,
    registered_at,
    registrar,
    write_config,
)
from system.test_api import forms_of, ha1s

pytestmark = pytest.mark.system

KILLS = int(os.environ.get("REGIMENT_KILLS", "12"))
"""How often everything is killed; more for a soak."""


def state_run(config: Path, folder: Path, *more: str, workers: int = 1) -> Any:
    """An engine with a state directory, and its socket in it."""
    own = ("--workers", str(workers), "--state", str(folder), "--socket", str(folder / "socket"))
    return regiment(config, *own, *more)


async def post(folder: Path, path: str, body: bytes) -> bytes:
    """What the engine's own socket answers."""
    reader, writer = await asyncio.open_unix_connection(str(folder / "socket"))
    head = f"POST {path} HTTP/1.1\r\nHost: regiment\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    return answer


async def refresh_all(folder: Path) -> None:
    """Refreshes everything again and again, until it is cancelled or the engine is gone."""
    while True:
        answer = await post(folder, "/registrations/register", b'{"all": true}')
        assert b" 202 " in answer.partition(b"\r\n")[0], answer


def counted(pool: RegistrarPool) -> dict[str, int]:
    """What the registrar has counted, without its own processor time."""
    return {name: count for name, count in pool.counts().items() if name != "cpu_ns"}


async def kill_everything(run: Run) -> None:
    """SIGKILL of the coordinator and all workers, in no particular order."""
    for pid in (*run.workers(), run.process.pid):
        os.kill(pid, signal.SIGKILL)
    assert await run.ended() == -signal.SIGKILL


def test_a_restart_sends_nothing_for_bindings_that_are_good(tmp_path: Path) -> None:
    async def work() -> None:
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            async with state_run(config, tmp_path / "state") as run:
                await run.said(" ready ")
                await all_registered(run, pool)
                await kill_everything(run)
            before = counted(pool)
            async with state_run(config, tmp_path / "state") as run:
                await run.said(" ready ")
                assert await run.metric(registered_at(pool)) == TRUNKS
                assert counted(pool) == before
                run.process.send_signal(signal.SIGTERM)
                assert await run.ended() == 0
            after = pool.counts()
            removed = "binding_changes_removed"
            assert after[removed] - before[removed] == TRUNKS

    finish(work())


def test_kept_bindings_outlive_a_stop(tmp_path: Path) -> None:
    async def work() -> None:
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            for _ in range(2):
                async with state_run(config, tmp_path / "state", "--on-stop", "keep") as run:
                    await run.said(" ready ")
                    await all_registered(run, pool)
                    before = counted(pool)
                    run.process.send_signal(signal.SIGTERM)
                    assert await run.ended() == 0
                    assert counted(pool) == before

    finish(work())


def test_no_file_of_the_state_directory_holds_a_secret(tmp_path: Path) -> None:
    async def work() -> None:
        state = tmp_path / "state"
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            async with state_run(config, state) as run:
                await run.said(" ready ")
                await all_registered(run, pool)
                await kill_everything(run)
            realm = pool.options.settings.realm
        files = [file for file in state.iterdir() if file.is_file()]
        assert any(b"127.0.0.1" in file.read_bytes() for file in files)
        hashes = ha1s(realm)
        for form in forms_of(SECRET) | hashes:
            for file in files:
                assert form.encode() not in file.read_bytes()
        for digest in hashes:
            assert all(bytes.fromhex(digest) not in file.read_bytes() for file in files)

    finish(work())


def test_no_nonce_count_is_used_twice_however_often_everything_is_killed(tmp_path: Path) -> None:
    """Refreshes go on all the while, so that the kills meet them in mid-flight."""

    async def work() -> None:
        chance = random.Random(1)
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            for _ in range(KILLS):
                async with state_run(config, tmp_path / "state", "--max-rate", "0") as run:
                    await run.said(" ready ")
                    asking = asyncio.create_task(refresh_all(tmp_path / "state"))
                    await asyncio.sleep(chance.random() * 0.5)
                    await kill_everything(run)
                    asking.cancel()
                    await asyncio.gather(asking, return_exceptions=True)
            counts = pool.counts()
            assert counts["credentials_verified"] > TRUNKS
            assert counts["credentials_replayed"] == 0
            assert counts["aors"] == counts["bindings"] == TRUNKS

    finish(work())
