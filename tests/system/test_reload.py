"""Reloads and restarts of `regiment run` at the embedded registrar: what reaches the registrar."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from regiment.coordinator.registrar_pool import RegistrarPool
from system.engine import (
    TRUNKS,
    all_registered,
    finish,
    regiment,
    registrar,
    until,
    write_config,
)

pytestmark = pytest.mark.system


def edit(file: Path, old: str, new: str, count: int) -> None:
    """Changes the first `count` places, and lets the file look as if it had been left alone."""
    text = file.read_text()
    assert text.count(old) >= count
    file.write_text(text.replace(old, new, count))
    os.utime(file, (1, 1))


def requests(pool: RegistrarPool) -> int:
    """All that the registrar has answered."""
    return sum(
        count for name, count in pool.counts().items() if re.fullmatch(r"responses_\d+", name)
    )


def test_a_change_on_the_wire_is_one_register_each_and_the_rest_hears_nothing(tmp_path):
    async def work() -> None:
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            async with regiment(config, "--workers", "2") as run:
                await run.said(" ready ")
                await all_registered(run, pool)
                before = requests(pool)
                edit(config, "outbound_auth=", "contact_header_params=q=0.5\noutbound_auth=", 7)
                run.process.send_signal(signal.SIGHUP)
                line = await run.said("reloaded")
                assert f"wire=7 moved=0 removed=0 kept={TRUNKS - 7} refused=0" in line
                refreshed = lambda: pool.counts()["binding_changes_refreshed"]  # noqa: E731
                await until(lambda: refreshed() == 7)
                await all_registered(run, pool)
                # Their nonces are good, so each needed one REGISTER.
                assert requests(pool) == before + 7
                run.process.send_signal(signal.SIGTERM)
                assert await run.ended() == 0
                await until(lambda: pool.counts()["bindings"] == 0)

    finish(work())


def test_removed_trunks_leave_and_added_ones_come(tmp_path):
    async def work() -> None:
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            async with regiment(config, "--workers", "2") as run:
                await run.said(" ready ")
                await all_registered(run, pool)
                write_config(tmp_path, pool.address[1], count=TRUNKS + 20)
                edit(config, "[trunk0](trunk)", "[trunk0](!,trunk)", 1)
                run.process.send_signal(signal.SIGHUP)
                line = await run.said("reloaded")
                assert f"added=20 policy=0 wire=0 moved=0 removed=1 kept={TRUNKS - 1}" in line
                await all_registered(run, pool, TRUNKS + 19)
                assert pool.counts()["binding_changes_removed"] == 1

    finish(work())


def test_a_broken_file_changes_nothing_and_is_told_with_its_line(tmp_path):
    async def work() -> None:
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            async with regiment(config, "--workers", "1") as run:
                await run.said(" ready ")
                await all_registered(run, pool)
                before = requests(pool)
                edit(config, "[trunk1]", "[trunk1", 1)
                run.process.send_signal(signal.SIGHUP)
                line = await run.said("the configuration was not reloaded")
                assert re.search(r"pjsip\.conf:\d+: .*never closed", line)
                assert await run.metric("regiment_config_reload_success") == 0
                assert requests(pool) == before
                assert pool.counts()["bindings"] == TRUNKS

    finish(work())


def test_an_engine_that_keeps_its_bindings_goes_on_without_a_request(tmp_path):
    async def work() -> None:
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            how = ("--workers", "2", "--state", str(tmp_path / "state"), "--on-stop", "keep")
            async with regiment(config, *how) as run:
                await run.said(" ready ")
                await all_registered(run, pool)
                run.process.send_signal(signal.SIGTERM)
                assert await run.ended() == 0
            assert pool.counts()["bindings"] == TRUNKS
            before = requests(pool)
            async with regiment(config, *how) as run:
                await run.said(" ready ")
                await all_registered(run, pool)
                run.process.kill()
                await run.ended()
            # The next one waits until the last worker of the one that was killed is gone.
            async with regiment(config, *how) as run:
                await run.said(" ready ")
                await all_registered(run, pool)
                assert requests(pool) == before

    finish(work())


def test_a_port_that_is_taken_at_a_restart_ends_it_with_its_number(tmp_path):
    async def work() -> None:
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            how = ("--workers", "1", "--state", str(tmp_path / "state"), "--on-stop", "keep")
            async with regiment(config, *how) as run:
                await run.said(" ready ")
                run.process.send_signal(signal.SIGTERM)
                assert await run.ended() == 0
            port = int(re.search(r'"udp": (\d+)', (tmp_path / "state/engine.json").read_text())[1])
            loop = asyncio.get_running_loop()
            taken, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, ("127.0.0.1", port)
            )
            async with regiment(config, *how) as run:
                assert await run.ended() == 1
                assert str(port) in run.lines[-1]
            taken.close()

    finish(work())


def test_two_engines_on_one_directory_are_one_too_many(tmp_path):
    async def work() -> None:
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            state = str(tmp_path / "state")
            async with regiment(config, "--state", state) as first:
                await first.said(" ready ")
                async with regiment(config, "--state", state) as second:
                    assert await second.ended() == 1
                    assert f"in use by the engine with pid {first.process.pid}" in second.lines[-1]
                assert first.process.returncode is None

    finish(work())


@pytest.mark.parametrize("how", [["--on-stop", "keep"], ["--on-stop", "perhaps"]])
def test_a_wish_for_the_end_that_cannot_be_met_is_one_line(tmp_path, how):
    async def work() -> None:
        async with regiment(write_config(tmp_path, 9), *how) as run:
            assert await run.ended() == 1
            assert "--on-stop" in run.lines[-1]

    finish(work())
