"""The end of an engine."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from coordinator.scripted_engine import (
    NAMES,
    is_alive,
    lives,
    names_of,
    options,
    run,
    script,
    told,
    until,
)
from regiment.coordinator.coordinator import Coordinator
from regiment.coordinator.seat import Seat
from regiment.worker import control


def test_stop_settles_everything_at_its_share_of_the_rate(folder):
    async def work() -> int:
        async with Coordinator(options(folder, stop_rate=80.0)) as engine:
            unsettled = await engine.stop()
            assert engine.complaint() == "stopping"
            assert not any(is_alive(seat.pid) for seat in engine.seats)
            assert engine.restarts == 0
            return unsettled

    assert run(work()) == 0
    rates = sorted(float(line) for line in (folder / "stop_rates").read_text().split())
    assert rates == sorted(80 * len(names_of(worker)) / len(NAMES) for worker in (0, 1))


def test_a_stop_that_takes_too_long_says_how_much_is_left(folder):
    script(folder, 1, never_settles=True)

    async def work() -> int:
        async with Coordinator(options(folder, stop_timeout_s=0.5)) as engine:
            return await engine.stop()

    assert run(work()) == len(names_of(1))


def test_a_worker_that_dies_while_it_stops_is_not_replaced(folder):
    script(folder, 1, never_settles=True)

    async def work() -> int:
        async with Coordinator(options(folder)) as engine:
            stopping = asyncio.create_task(engine.stop())
            await until(lambda: engine.seats[0].settled)
            os.kill(engine.seats[1].pid, signal.SIGKILL)
            return await stopping

    assert run(work()) == len(names_of(1))
    assert len(lives(folder, 1)) == 1


def test_a_stop_does_not_wait_for_a_worker_that_is_down(folder):
    script(folder, 0, dies_before_life=99)

    async def work() -> int:
        async with Coordinator(options(folder)) as engine:
            return await engine.stop()

    assert run(work()) == 0


def test_close_kills_whatever_runs_and_may_be_called_twice(folder):
    async def work() -> None:
        engine = Coordinator(options(folder))
        await engine.start()
        pids = [seat.pid for seat in engine.seats]
        await engine.close()
        await engine.close()
        assert not any(map(is_alive, pids))

    run(work())


def test_what_a_dead_worker_had_registered_counts_as_left(folder):
    async def work() -> int:
        async with Coordinator(options(folder)) as engine:
            seat = engine.seats[0]
            script(folder, 0, dies_before_life=99)
            os.kill(seat.pid, signal.SIGKILL)
            await until(lambda: not seat.running)
            return await engine.stop()

    assert run(work()) == len(names_of(0))


@pytest.mark.parametrize("heard", [True, False])
def test_a_start_that_is_cancelled_once_workers_were_told_to_begin_can_be_stopped(
    folder, monkeypatch, heard
):
    hear = Seat._hear

    def hear_no_begin(seat: Seat, message: control.FromWorker) -> None:
        if heard or not isinstance(message, control.Began):
            hear(seat, message)

    monkeypatch.setattr(Seat, "_hear", hear_no_begin)
    monkeypatch.setattr(Coordinator, "_look_whether_ready", lambda _: None)

    async def work() -> int:
        engine = Coordinator(options(folder))
        try:
            starting = asyncio.create_task(engine.start())
            await until(lambda: engine.shares is not None)
            await until(lambda: not heard or all(seat.running for seat in engine.seats))
            starting.cancel()
            await asyncio.wait({starting})
            return await engine.stop()
        finally:
            await engine.close()

    assert run(work()) == 0
    assert [told(folder, worker, "stop") for worker in (0, 1)] == [[{"keep": False}]] * 2
