"""Workers that live and yet make no turns."""

from __future__ import annotations

import os
import signal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from coordinator.scripted_engine import errors, names_of, options, run, until
from coordinator.test_questions import fetch
from regiment.coordinator import watch
from regiment.coordinator.coordinator import Coordinator
from regiment.coordinator.watch import LOOKS, Watch
from regiment.errors import LocalError
from regiment.metrics.catalogue import BY_NAME


def test_ten_looks_without_a_turn_are_stuck_and_one_turn_ends_it():
    seen = Watch()
    assert [seen.look(7) for _ in range(LOOKS)] == [False] * LOOKS
    assert not seen.stuck
    assert seen.look(7)
    assert seen.stuck
    assert not seen.look(7)
    assert seen.look(8)
    assert not seen.stuck


@given(st.lists(st.integers(0, 2), max_size=60))
def test_stuck_is_a_count_that_stood_still_for_the_last_ten_looks(steps):
    seen = Watch()
    counts: list[int] = []
    for step in steps:
        counts.append(counts[-1] + step if counts else step)
        before = seen.stuck
        changed = seen.look(counts[-1])
        last = counts[-LOOKS - 1 :]
        assert seen.stuck == (len(last) > LOOKS and len(set(last)) == 1)
        assert changed == (seen.stuck != before)


def test_a_worker_that_makes_no_turns_is_told_of_once_and_not_killed(folder, monkeypatch):
    # Workers publish their turns once a second: the ten looks have to take longer.
    monkeypatch.setattr(watch, "LOOK_S", 0.3)

    async def work() -> None:
        async with Coordinator(options(folder, api=("127.0.0.1", 0))) as engine:
            seat = engine.seats[0]
            with structlog.testing.capture_logs() as logged:
                os.kill(seat.pid, signal.SIGSTOP)
                await until(lambda: seat.is_stuck)
                assert await fetch(engine.url, "/readyz") == (503, "worker 0: makes no turns\n")
                assert (await fetch(engine.url, "/livez"))[0] == 200
                assert (
                    'regiment_worker_up{worker="0"} 0.0' in (await fetch(engine.url, "/metrics"))[1]
                )
                with pytest.raises(LocalError, match="worker 0 makes no turns"):
                    await engine.status(names_of(0)[0])
                assert errors(logged) == ["worker makes no turns"]
                os.kill(seat.pid, signal.SIGCONT)
                await until(lambda: not seat.is_stuck)
            assert logged[-1]["event"] == "worker makes turns again"
            assert engine.complaint() == ""
            assert engine.facts().worker_up[0]
            assert engine.restarts == 0

    run(work())


def test_the_successor_of_a_stuck_worker_is_not_stuck(folder, monkeypatch):
    monkeypatch.setattr(watch, "LOOK_S", 0.3)

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            seat = engine.seats[0]
            os.kill(seat.pid, signal.SIGSTOP)
            await until(lambda: seat.is_stuck)
            os.kill(seat.pid, signal.SIGKILL)
            await until(lambda: engine.restarts == 1 and seat.running)
            assert not seat.is_stuck

    run(work())


def test_the_metric_says_how_long_a_worker_may_make_no_turns():
    seconds = LOOKS * watch.LOOK_S
    assert f"made none for {seconds:g} s" in BY_NAME["regiment_worker_up"].help
