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
FEWER = 3000
EXPIRATION_S = 40
RATE = 2000
PLANNED_S = EXPIRATION_S * 0.9 - 10
"""The earliest refresh after a 200."""
SENT = "regiment_sip_requests_total"


@pytest.fixture
def kamailio():
    require("kamailio", "kamcmd")
    # One child: with several a copy of a refresh may be looked at after the un-REGISTER that
    # followed it, and binds again: a location service forgets the CSeq of a contact that is gone.
    with Kamailio(memory_mb=256, children=1) as peer:
        yield peer


def trunks(folder: Path, kamailio: Kamailio, count: int, expiration: int) -> Path:
    file = folder / "pjsip.conf"
    server = f"127.0.0.1:{kamailio.port}"
    plan = TrunkPlan(server, count, expiration=expiration, max_random_initial_delay=5)
    write_trunks(file, plan)
    return file


async def registered(run: Run) -> float:
    return await run.metric("regiment_registrations{", 'state="registered"')


async def until_registered(run: Run, count: int) -> None:
    while await registered(run) < count:
        await asyncio.sleep(10 * POLL_S)


def begin(config: Path, state: Path, workers: int):
    # A stop that is quick enough for no binding to lapse meanwhile: we do not remove such a one,
    # and Kamailio counts it until its timer comes round.
    rates = ("--max-rate", str(RATE), "--stop-rate", str(RATE))
    return regiment(config, "--state", str(state), "--workers", str(workers), *rates)


async def kill_everything(run: Run) -> None:
    for pid in (*run.workers(), run.process.pid):
        os.kill(pid, signal.SIGKILL)
    await run.ended()


async def ends_without_bindings(run: Run, kamailio: Kamailio) -> None:
    run.process.send_signal(signal.SIGTERM)
    assert await run.ended() == 0
    assert kamailio.statistic("usrloc:location_contacts") == 0


async def all_are_kept(run: Run, kamailio: Kamailio, seconds: float) -> None:
    """Nobody's binding lapses, for so long."""
    clock = asyncio.get_running_loop()
    end_s = clock.time() + seconds
    while clock.time() < end_s:
        assert kamailio.statistic("usrloc:location_contacts") == TRUNKS
        await asyncio.sleep(1)
    assert await run.metric("regiment_registration_expired_total") == 0


def test_ten_thousand_trunks_outlive_their_engine(kamailio, tmp_path):
    async def work() -> None:
        clock = asyncio.get_running_loop()
        config, state = trunks(tmp_path, kamailio, TRUNKS, EXPIRATION_S), tmp_path / "state"
        async with begin(config, state, 2) as run:
            first_s = clock.time()
            await run.said(" ready ")
            await until_registered(run, TRUNKS)
            await kill_everything(run)
        async with begin(config, state, 2) as run:
            await run.said(" ready ")
            assert await registered(run) == TRUNKS
            while clock.time() < first_s + PLANNED_S - 1:
                assert await run.metric(SENT, 'direction="sent"', 'method="REGISTER"') == 0
                await asyncio.sleep(10 * POLL_S)
            await all_are_kept(run, kamailio, 2 * EXPIRATION_S)
            await ends_without_bindings(run, kamailio)

    finish(work(), patience_s=3 * EXPIRATION_S + 100)


def test_another_number_of_workers_moves_only_its_part(kamailio, tmp_path):
    """From two workers to three: a third of the trunks gets another worker, and so another port."""

    async def work() -> None:
        config, state = trunks(tmp_path, kamailio, FEWER, 600), tmp_path / "state"
        async with begin(config, state, 2) as run:
            await run.said(" ready ")
            await until_registered(run, FEWER)
            await kill_everything(run)
        async with begin(config, state, 3) as run:
            await run.said(" ready ")
            done = "regiment_register_attempts_total"
            moved = 0.0
            while not 0 < moved == await run.metric(
                done, 'kind="initial"', 'outcome="success"'
            ) or (await run.metric("regiment_target_gated")):
                moved = await run.metric(done, 'kind="unregister"', 'outcome="success"')
                await asyncio.sleep(10 * POLL_S)
            await until_registered(run, FEWER)
            assert 0.27 < moved / FEWER < 0.4
            assert kamailio.statistic("usrloc:location_contacts") == FEWER
            await ends_without_bindings(run, kamailio)

    finish(work())
