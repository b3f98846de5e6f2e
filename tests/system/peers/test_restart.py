"""Ten thousand trunks at Kamailio, and an engine that is killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from regiment.cli.trunks import TrunkPlan, write_trunks
from system.engine import POLL_S, Run, finish, regiment
from system.peers.kamailio import Kamailio
from system.peers.presence import require

pytestmark = [pytest.mark.system, pytest.mark.peer]

TRUNKS = 10_000
EXPIRATION_S = 40
RATE = 2000
PLANNED_S = EXPIRATION_S * 0.9 - 10
"""The earliest refresh after a 200."""
SENT = "regiment_sip_requests_total"


@pytest.fixture
def kamailio():
    require("kamailio", "kamcmd")
    with Kamailio(memory_mb=256, children=2) as peer:
        yield peer


@pytest.fixture
def config(tmp_path, kamailio):
    file = tmp_path / "pjsip.conf"
    server = f"127.0.0.1:{kamailio.port}"
    plan = TrunkPlan(server, TRUNKS, expiration=EXPIRATION_S, max_random_initial_delay=5)
    write_trunks(file, plan)
    return file


async def until_registered(run: Run) -> None:
    while await run.metric("regiment_registrations{", 'state="registered"') < TRUNKS:
        await asyncio.sleep(10 * POLL_S)


def begin(config: Path, state: Path, workers: int):
    return regiment(
        config, "--state", str(state), "--workers", str(workers), "--max-rate", str(RATE)
    )


async def kill_everything(run: Run) -> None:
    for pid in (*run.workers(), run.process.pid):
        os.kill(pid, signal.SIGKILL)
    await run.ended()


async def all_are_kept(run: Run, kamailio: Kamailio, seconds: float) -> None:
    """Nobody's binding lapses, for so long."""
    clock = asyncio.get_running_loop()
    end_s = clock.time() + seconds
    while clock.time() < end_s:
        assert kamailio.statistic("usrloc:location_contacts") == TRUNKS
        await asyncio.sleep(1)
    assert await run.metric("regiment_registration_expired_total") == 0


def test_ten_thousand_trunks_outlive_their_engine(kamailio, config, tmp_path):
    async def work() -> None:
        clock = asyncio.get_running_loop()
        state = tmp_path / "state"
        async with begin(config, state, 2) as run:
            first_s = clock.time()
            await run.said(" ready ")
            await until_registered(run)
            await kill_everything(run)
        async with begin(config, state, 2) as run:
            await run.said(" ready ")
            assert await run.metric("regiment_registrations{", 'state="registered"') == TRUNKS
            while clock.time() < first_s + PLANNED_S - 1:
                assert await run.metric(SENT, 'direction="sent"', 'method="REGISTER"') == 0
                await asyncio.sleep(10 * POLL_S)
            await all_are_kept(run, kamailio, 2 * EXPIRATION_S)
            await kill_everything(run)
        async with begin(config, state, 3) as run:
            await run.said(" ready ")
            moved = 0.0
            while not moved or await run.metric("regiment_registrations{", 'state="un') or (
                await run.metric("regiment_registrations{", 'state="registered"') < TRUNKS
            ):
                moved = await run.metric(
                    "regiment_register_attempts_total", 'kind="unregister"', 'outcome="success"'
                )
                await asyncio.sleep(10 * POLL_S)
            assert 0.27 < moved / TRUNKS < 0.4
            assert kamailio.statistic("usrloc:location_contacts") == TRUNKS
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0
            assert kamailio.statistic("usrloc:location_contacts") == 0

    finish(work())
