"""Workers that die, and their successors."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
import structlog

from coordinator.scripted_engine import (
    NAMES,
    errors,
    lives,
    names_of,
    options,
    run,
    script,
    until,
)
from regiment.coordinator import seat as seat_module
from regiment.coordinator.coordinator import Coordinator
from regiment.coordinator.seat import CSEQ_STEP, Seat, death_of
from regiment.errors import LocalError


def test_a_worker_that_is_killed_is_replaced_with_its_whole_share(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            seat, other = engine.seats
            before = {name: await engine.status(name) for name in NAMES}
            pids = seat.pid, other.pid
            # The file may be gone by then: the share is kept.
            (folder / "pjsip.conf").unlink()
            os.kill(seat.pid, signal.SIGKILL)
            await until(lambda: engine.restarts == 1 and seat.running)
            after = {name: await engine.status(name) for name in NAMES}
            for name in names_of(0):
                assert after[name].call_id == before[name].call_id
                assert after[name].cseq >= before[name].cseq + CSEQ_STEP
            for name in names_of(1):
                assert after[name] == before[name]
            assert seat.pid != pids[0]
            assert other.pid == pids[1]
            assert engine.facts().worker_restarts == {0: 1, 1: 0}
            assert engine.complaint() == ""

    run(work())


def test_the_gauges_of_a_dead_worker_are_zero_and_its_counters_stay(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            turns = engine.snapshot().worker_value(0, "regiment_turns_total")
            found = []

            def look(seat: Seat, reason: str, is_fault: bool) -> None:
                found.append((engine.snapshot(), engine.complaint(), reason, is_fault))

            engine.on_death = look  # type: ignore[method-assign]
            os.kill(engine.seats[0].pid, signal.SIGKILL)
            await until(lambda: bool(found))
            snapshot, complaint, reason, is_fault = found[0]
            assert snapshot.states()["registered"] == len(names_of(1))
            assert snapshot.worker_value(0, "regiment_turns_total") >= turns > 0
            assert complaint == "worker 0: being replaced"
            assert (reason, is_fault) == ("killed by SIGKILL", False)

    run(work())


def test_three_deaths_in_a_minute_and_a_worker_is_started_once_a_minute(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            seat = engine.seats[0]
            with structlog.testing.capture_logs() as logged:
                for deaths in range(1, 4):
                    await until(lambda: seat.running)
                    os.kill(seat.pid, signal.SIGKILL)
                    await until(lambda: len(errors(logged)) == deaths)  # noqa: B023
            assert errors(logged) == [
                "worker died and is replaced",
                "worker died and is replaced",
                "worker died and is started once a minute from now on",
            ]
            assert engine.complaint() == "worker 0: died too often, is started once a minute"
            assert engine.seats[1].running
            assert len(lives(folder, 0)) == 3

    run(work())


def test_deaths_far_apart_never_slow_a_worker_down(folder, monkeypatch):
    monkeypatch.setattr(seat_module, "DEATHS_WINDOW_S", 0.0)

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            seat = engine.seats[0]
            for deaths in range(1, 6):
                os.kill(seat.pid, signal.SIGKILL)
                await until(lambda: engine.restarts == deaths and seat.running)  # noqa: B023
            assert not seat.slow

    run(work())


def test_a_slow_worker_is_started_again_when_its_minute_is_over(folder, monkeypatch):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            seat = engine.seats[0]
            seat.slow = True
            monkeypatch.setattr(seat_module, "DEATHS_WINDOW_S", 0.0)
            os.kill(seat.pid, signal.SIGKILL)
            await until(lambda: engine.restarts == 1 and seat.running)
            assert engine.complaint() == ""

    run(work())


def test_an_engine_whose_workers_die_while_they_register_goes_on(folder):
    async def work() -> None:
        async with Coordinator(options(folder, workers=1)) as engine:
            waiting = asyncio.create_task(engine.wait())
            seat = engine.seats[0]
            for deaths in range(1, 3):
                os.kill(seat.pid, signal.SIGKILL)
                await until(lambda: engine.restarts == deaths and seat.running)  # noqa: B023
            assert not waiting.done()
            waiting.cancel()

    run(work())


def test_wait_raises_once_no_worker_can_be_started_any_more(folder, monkeypatch):
    async def work() -> None:
        async with Coordinator(options(folder, workers=1)) as engine:
            script(folder, 0, dies_before_life=99)
            os.kill(engine.seats[0].pid, signal.SIGKILL)
            await engine.wait()

    # A worker is given up for good after three starts in vain, a minute apart.
    monkeypatch.setattr(seat_module, "DEATHS_WINDOW_S", 0.0)
    with pytest.raises(LocalError, match="no worker can be started"):
        run(work())


def test_a_cseq_never_begins_under_what_was_handed_out(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            seat = engine.seats[0]
            seat.board.set("regiment_cseq_high", (), 3_000_000_000)
            assert engine.setup_for(seat).cseq_base == 3_000_000_000 + CSEQ_STEP
            seat.board.set("regiment_cseq_high", (), 5)
            base = engine.setup_for(seat).cseq_base
            seat.replacements += 2
            assert engine.setup_for(seat).cseq_base - base in range(
                2 * CSEQ_STEP, 2 * CSEQ_STEP + 5
            )

    run(work())


def test_a_seed_repeats_identifiers_and_a_successor_draws_other_numbers(folder):
    def setup(seed: int | None, replacements: int = 0) -> tuple[bytes, int]:
        engine = Coordinator(options(folder, seed=seed))
        seat = Seat(0, engine, "scripted_worker")
        seat.replacements = replacements
        made = engine.setup_for(seat)
        seat.close()
        return made.instance_key, made.seed

    assert setup(7) == setup(7)
    assert setup(7) != setup(8)
    assert setup(None)[0] != setup(None)[0]
    assert setup(7)[0] == setup(7, replacements=1)[0]
    assert setup(7)[1] != setup(7, replacements=1)[1]


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit code 0"), (3, "exit code 3"), (-9, "killed by SIGKILL"), (-11, "killed by SIGSEGV")],
)
def test_an_exit_code_in_words(code, words):
    assert death_of(code) == words
