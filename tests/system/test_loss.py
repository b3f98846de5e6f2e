"""`regiment run` through a network that loses, delays and reorders datagrams."""

from __future__ import annotations

import asyncio
import signal

import pytest

from system.engine import POLL_S, TRUNKS, Run, finish, regiment, registrar, write_config
from system.relay import Weather, relay

pytestmark = pytest.mark.system

REGISTERED = 'state="registered"'


async def all_bound(run: Run, pool) -> None:
    await run.said(" ready ")
    while True:
        registered = await run.metric("regiment_registrations{", REGISTERED)
        if registered == TRUNKS == pool.counts()["bindings"]:
            return
        await asyncio.sleep(POLL_S)


def test_a_tenth_lost_each_way_costs_retransmissions_and_no_registration(tmp_path):
    async def work() -> None:
        async with (
            registrar() as pool,
            relay(pool.address, Weather(loss=0.1)) as between,
            regiment(write_config(tmp_path, between.address[1]), "--workers", "2") as run,
        ):
            await all_bound(run, pool)
            assert between.lost > 0
            sent_again = await run.metric("regiment_sip_retransmissions_total")
            assert sent_again > 0
            # A challenge that was lost is another challenge; nobody is asked for more than two.
            assert (
                await run.metric("regiment_register_attempts_total", 'outcome="auth_failed"') == 0
            )
            between.weather = Weather(loss=0.1, delay_s=(0.0, 0.03))
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0
            while pool.counts()["bindings"]:
                await asyncio.sleep(POLL_S)

    finish(work())


def test_delays_that_reorder_change_nothing(tmp_path):
    async def work() -> None:
        weather = Weather(delay_s=(0.0, 0.2))
        async with (
            registrar() as pool,
            relay(pool.address, weather) as between,
            regiment(write_config(tmp_path, between.address[1]), "--workers", "1") as run,
        ):
            await all_bound(run, pool)
            assert between.overtaken > 0
            counts = pool.counts()
            assert counts["credentials_wrong"] == counts["credentials_replayed"] == 0
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0
            while pool.counts()["bindings"]:
                await asyncio.sleep(POLL_S)

    finish(work())


def test_a_black_hole_that_ends_is_survived(tmp_path):
    async def work() -> None:
        async with (
            registrar() as pool,
            relay(pool.address, Weather(loss=1.0)) as between,
        ):
            config = write_config(tmp_path, between.address[1])
            text = config.read_text().replace(
                "[trunk](!)\n", "[trunk](!)\nretry_interval=1\nmax_retries=1000\n"
            )
            config.write_text(text + "[system]\ntype=system\ntimer_t1=100\ntimer_b=6400\n")
            async with regiment(config, "--workers", "1") as run:
                while between.taken < 20:
                    await asyncio.sleep(POLL_S)
                assert pool.counts()["bindings"] == 0
                between.weather = Weather()
                await all_bound(run, pool)

    finish(work())
