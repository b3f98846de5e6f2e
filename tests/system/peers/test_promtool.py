"""What Prometheus says of our /metrics."""

from __future__ import annotations

import asyncio
import subprocess

import pytest

from regiment.coordinator.registrar_pool import Options, RegistrarPool
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from system.engine import (
    SECRET,
    TRUNKS,
    exposition,
    finish,
    regiment,
    registered_at,
    until,
    write_config,
)
from system.peers.presence import require

pytestmark = [pytest.mark.system, pytest.mark.peer]


async def complaints(text: str) -> str:
    """What ``promtool check metrics`` has against an exposition; empty: nothing."""
    process = await asyncio.create_subprocess_exec(
        "promtool",
        "check",
        "metrics",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await process.communicate(text.encode())
    return said.decode() or f"exit code {process.returncode}" * bool(process.returncode)


def test_promtool_accepts_the_metrics_of_engine_and_registrar(tmp_path):
    require("promtool")

    async def work() -> None:
        settings = Settings(users=Users(any_password=SECRET))
        options = Options(settings=settings, port=0, api=("127.0.0.1", 0))
        async with (
            RegistrarPool(options) as pool,
            regiment(write_config(tmp_path, pool.address[1]), "--workers", "2") as run,
        ):
            await run.said(" ready ")
            await until(lambda: pool.counts()["bindings"] == TRUNKS)
            engine = await exposition(run.url)
            assert registered_at(pool) in engine
            assert await complaints(engine) == ""
            registrar = await exposition(pool.url)
            assert "regiment_registrar_bindings 60.0" in registrar
            assert await complaints(registrar) == ""
            assert await complaints("nonsense{") != ""

    finish(work())
