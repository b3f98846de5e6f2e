"""The steps of a reload: which worker may take part in them, and which answer belongs to which."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest
import structlog

from coordinator.scripted_engine import (
    HEAD,
    NAMES,
    lives,
    names_of,
    options,
    run,
    script,
    told,
    until,
    write,
)
from regiment.coordinator import reloading
from regiment.coordinator import seat as seat_module
from regiment.coordinator.coordinator import Coordinator
from regiment.errors import LocalError
from regiment.worker import control


def test_whoever_begins_while_sockets_are_opened_is_seated_anew(folder, monkeypatch):
    name = names_of(0)[0]
    prepare = reloading.prepare

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            seat = engine.seats[0]
            begin, held = seat.begin, []
            seat.begin = held.append  # type: ignore[method-assign]
            os.kill(seat.pid, signal.SIGKILL)
            await until(lambda: bool(held))

            async def prepare_slowly(*given: Any) -> None:
                await prepare(*given)
                seat.begin = begin  # type: ignore[method-assign]
                seat.begin(held[0])
                await until(lambda: seat.running)

            monkeypatch.setattr(reloading, "prepare", prepare_slowly)
            head = HEAD + HEAD.replace("[udp]", "[second]")
            write(folder, head=head, **{name: "transport=second"})
            await engine.reload()
            await until(lambda: seat.running and seat.replacements == 2)
            assert "second" in seat.ports
            assert await engine.status(name) is not None

    run(work())
    assert len(lives(folder, 0)) == 3
    assert not told(folder, 0, "change")


def test_a_worker_that_does_not_answer_a_prepare_is_replaced(folder, monkeypatch):
    monkeypatch.setattr(seat_module, "ANSWER_S", 0.2)

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            script(folder, 0, silent_at=["prepare"])
            write(folder, head=HEAD.replace("[udp]", "[second]"))
            with pytest.raises(LocalError, match="worker 0 does not answer"):
                await engine.reload()
            await until(lambda: engine.seats[0].replacements == 1 and engine.seats[0].running)
            assert "second" not in engine.seats[0].ports

    run(work())
    assert len(lives(folder, 1)) == 1


def test_a_step_takes_no_answer_to_another_one(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            seat = engine.seats[0]
            script(folder, 0, silent_at=["prepare"])
            asking = asyncio.create_task(seat.prepare(()))
            await until(lambda: bool(told(folder, 0, "prepare")))
            seat._hear(control.Began())
            seat._hear(control.Changed(0, (), ()))
            await asyncio.sleep(0.01)
            assert not asking.done()
            seat._hear(control.Prepared("the reason"))
            assert await asking == "the reason"

    run(work())


class StillSeat:
    """A seat that notes how it is let begin."""

    def __init__(self, *, running: bool, loaded: bool = True) -> None:
        self.running = running
        self.loaded = control.Loaded(1, (), (), ()) if loaded else None
        self.begun: list[str] = []

    def begin(self, _: control.Begin) -> None:
        self.begun.append("first")

    async def begin_again(self, _: control.Begin) -> None:
        self.begun.append("again")


def test_new_shares_reach_a_worker_that_was_told_to_begin_by_the_old_ones(folder):
    seats = [
        StillSeat(running=True),
        StillSeat(running=False),
        StillSeat(running=False, loaded=False),
    ]

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            assert engine.shares is not None
            await reloading.begin(seats, engine.shares)  # type: ignore[arg-type]

    run(work())
    assert [seat.begun for seat in seats] == [["again"], ["first"], []]


def test_what_a_change_is_warned_of_is_logged(folder):
    async def work() -> list[str]:
        async with Coordinator(options(folder)) as engine:
            script(folder, 0, change_warnings=["a warning of a change"])
            write(folder, **dict.fromkeys(NAMES, "expiration=77"))
            with structlog.testing.capture_logs() as logged:
                await engine.reload()
            return [line["event"] for line in logged if line["log_level"] == "warning"]

    assert run(work()) == ["a warning of a change"]
