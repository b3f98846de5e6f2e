"""`regiment run` at the embedded registrar: start, death, stop, signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from system.engine import (
    POLL_S,
    TRUNKS,
    finish,
    regiment,
    registered_at,
    registrar,
    until,
    write_config,
)

pytestmark = pytest.mark.system


def test_trunks_register_and_sigterm_unregisters_all_of_them(tmp_path):
    async def work() -> None:
        async with (
            registrar() as pool,
            regiment(write_config(tmp_path, pool.address[1]), "--workers", "2") as run,
        ):
            ready = await run.said(" ready ")
            assert f"registrations={TRUNKS} workers=2" in ready
            await until(lambda: pool.counts()["bindings"] == TRUNKS)
            while await run.metric(registered_at(pool)) != TRUNKS:
                await asyncio.sleep(POLL_S)
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0
            await until(lambda: pool.counts()["bindings"] == 0)
            assert pool.counts()["binding_changes_expired"] == 0
            assert f"{TRUNKS} of {TRUNKS}" in "\n".join(run.lines)

    finish(work())


def test_a_log_in_json_is_json_to_the_last_line(tmp_path):
    async def work() -> None:
        async with (
            registrar() as pool,
            regiment(write_config(tmp_path, pool.address[1]), "--log-format", "json") as run,
        ):
            await until(lambda: pool.counts()["bindings"] == TRUNKS)
            await run.said("requests/s")
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0
            events = [json.loads(line) for line in run.lines]
            assert events[-1]["event"] == "summary"
            assert (events[-1]["registered"], events[-1]["desired"]) == (TRUNKS, TRUNKS)
            assert all(event["level"] and event["timestamp"] for event in events)

    finish(work())


def test_an_engine_whose_log_has_no_reader_goes_on(tmp_path):
    async def work() -> None:
        async with registrar() as pool:
            reading, writing = os.pipe()
            process = await asyncio.create_subprocess_exec(
                *[sys.executable, "-P", "-m", "regiment.cli", "run"],
                *[str(write_config(tmp_path, pool.address[1])), "--api", "none"],
                stderr=writing,
                start_new_session=True,
            )
            os.close(writing)
            os.close(reading)
            try:
                await until(lambda: pool.counts()["bindings"] == TRUNKS)
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
                await until(lambda: pool.counts()["bindings"] == 0)
            finally:
                if process.returncode is None:
                    process.kill()

    finish(work())


def test_a_killed_worker_comes_back_and_disturbs_nobody(tmp_path):
    async def work() -> None:
        async with (
            registrar() as pool,
            regiment(write_config(tmp_path, pool.address[1]), "--workers", "2") as run,
        ):
            await run.said(" ready ")
            await until(lambda: pool.counts()["bindings"] == TRUNKS)
            added = pool.counts()["binding_changes_added"]
            victim, other = run.workers()
            os.kill(victim, signal.SIGKILL)
            await run.said("worker replaced")
            # Its registrations alone come again: the same bindings, since Call-ID and port are
            # the same, with a CSeq that the registrar takes.
            await until(lambda: pool.counts()["binding_changes_refreshed"] > 0)
            while await run.metric(registered_at(pool)) != TRUNKS:
                await asyncio.sleep(POLL_S)
            assert other in run.workers()
            assert victim not in run.workers()
            assert pool.counts()["bindings"] == TRUNKS
            assert pool.counts()["responses_200"] >= TRUNKS
            assert pool.counts()["binding_changes_added"] - added <= TRUNKS
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0
            await until(lambda: pool.counts()["bindings"] == 0)

    finish(work())


def test_groups_are_counted_over_all_workers_and_again_after_a_death(tmp_path):
    async def work() -> None:
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            text = config.read_text()
            for number in range(20):
                text = text.replace(
                    f"[trunk{number}](trunk)", f"[trunk{number}](trunk)\n@group=a b"
                )
            config.write_text(text)
            async with regiment(config, "--workers", "2") as run:
                await run.said(" ready ")
                registered = 'regiment_group_registrations{group="a b",state="registered"}'
                while await run.metric(registered) != 20:
                    await asyncio.sleep(POLL_S)
                assert await run.metric('regiment_group_registrations_desired{group="a b"}') == 20
                assert await run.metric("regiment_group_registrations{") == 20
                os.kill(run.workers()[0], signal.SIGKILL)
                await run.said("worker replaced")
                while await run.metric(registered) != 20:
                    await asyncio.sleep(POLL_S)
                assert await run.metric("regiment_group_registrations{") == 20

    finish(work())


def test_ctrl_c_to_the_whole_group_still_unregisters(tmp_path):
    async def work() -> None:
        async with (
            registrar() as pool,
            regiment(write_config(tmp_path, pool.address[1]), "--workers", "2") as run,
        ):
            await run.said(" ready ")
            await until(lambda: pool.counts()["bindings"] == TRUNKS)
            os.killpg(run.process.pid, signal.SIGINT)
            assert await run.ended() == 0
            assert pool.counts()["bindings"] == 0
            assert "Traceback" not in "\n".join(run.lines)

    finish(work())


@pytest.mark.parametrize(("second", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_at_once(tmp_path, silent_registrar, second, code):
    async def work() -> None:
        config = write_config(tmp_path, silent_registrar.getsockname()[1])
        async with regiment(config, "--workers", "1") as run:
            await run.said(" ready ")
            # Once a REGISTER is out, a clean stop has to wait for its answer.
            await asyncio.get_running_loop().sock_recv(silent_registrar, 100)
            run.process.send_signal(signal.SIGTERM)
            await run.said("stopping")
            pids = run.workers()
            run.process.send_signal(second)
            assert await run.ended() == code
            assert not any(Path(f"/proc/{pid}").exists() for pid in pids)

    silent_registrar.setblocking(False)
    finish(work())


def test_a_stop_that_times_out_says_what_is_left_and_ends_well(tmp_path, silent_registrar):
    async def work() -> None:
        config = write_config(tmp_path, silent_registrar.getsockname()[1])
        async with regiment(config, "--workers", "1", "--stop-timeout", "0.5") as run:
            await run.said(" ready ")
            await asyncio.get_running_loop().sock_recv(silent_registrar, 100)
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0
            assert "the stop timed out" in await run.said("timed out")

    silent_registrar.setblocking(False)
    finish(work())


def test_workers_do_not_outlive_a_killed_coordinator(tmp_path):
    async def work() -> None:
        async with (
            registrar() as pool,
            regiment(write_config(tmp_path, pool.address[1]), "--workers", "2") as run,
        ):
            await run.said(" ready ")
            pids = run.workers()
            assert len(pids) == 2
            # One of them cannot react by itself.
            os.kill(pids[0], signal.SIGSTOP)
            run.process.kill()
            await run.ended()
            await until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids))

    finish(work())
