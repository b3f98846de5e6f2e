"""Reloads, with real processes whose core is scripted: who is told what, and what is refused."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest
import structlog

from coordinator.scripted_engine import (
    HEAD,
    NAMES,
    changes,
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
from regiment.coordinator.reloading import ReloadReport
from regiment.errors import LocalError


def test_a_worker_is_told_of_what_has_changed_and_of_nothing_else(folder):
    first, second, third, gone = names_of(0)[:4]
    kept = [name for name in NAMES if name != gone]

    async def work() -> ReloadReport:
        async with Coordinator(options(folder)) as engine:
            write(
                folder,
                ["brand-new", *reversed(kept)],
                **{
                    first: "retry_interval=7",
                    second: "expiration=77",
                    third: "contact_user=other",
                },
            )
            report = await engine.reload()
            assert engine.registrations == len(NAMES)
            assert (await engine.status(second)).granted_s == 77
            assert await engine.status(gone) is None
            assert await engine.status("brand-new") is not None
            return report

    report = run(work())
    found = {"added": [], "changed": [], "removed": []}
    for line in changes(folder):
        for kind in found:
            found[kind] += line[kind]
    assert sorted(found["changed"]) == sorted(
        [["policy", first], ["wire", second], ["contact", third]]
    )
    assert (found["added"], found["removed"]) == (["brand-new"], [gone])
    counts = {name: getattr(report, name) for name in reloading.COUNTS}
    assert counts == {
        "added": 1,
        "policy": 1,
        "wire": 1,
        "moved": 1,
        "removed": 1,
        "kept": len(NAMES) - 4,
        "refused": 0,
    }
    assert report.names == {
        "added": ("brand-new",),
        "policy": (first,),
        "wire": (second,),
        "moved": (third,),
        "removed": (gone,),
    }


def test_a_file_that_says_the_same_costs_no_worker_a_word(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            write(folder, list(reversed(NAMES)))
            report = await engine.reload()
            assert (report.kept, report.added, report.removed) == (len(NAMES), 0, 0)

    run(work())
    assert not changes(folder)
    assert not told(folder, 0, "begin") + told(folder, 1, "begin")


def test_only_a_worker_that_is_concerned_hears_of_a_reload(folder):
    concerned = names_of(0)[0]

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            write(folder, **{concerned: "expiration=77"})
            await engine.reload()

    run(work())
    assert [line["changed"] for line in told(folder, 0, "change")] == [[["wire", concerned]]]
    assert not told(folder, 1, "change")


def test_rates_follow_what_workers_hold_after_a_reload(folder):
    gone = names_of(0)[3:]

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            write(folder, [name for name in NAMES if name not in gone])
            await engine.reload()
            left = len(NAMES) - len(gone)
            for worker, held in ((0, 3), (1, left - 3)):
                status = await engine.status(names_of(worker)[0])
                assert status is not None
                assert status.next_attempt_in_s == pytest.approx(100 * held / left)
            assert engine.shares is not None
            assert engine.shares.desired == {1: left}

    run(work())


def test_a_second_reload_goes_on_from_the_first(folder):
    name = NAMES[0]

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            write(folder, **{name: "expiration=77"})
            assert (await engine.reload()).wire == 1
            assert (await engine.reload()).kept == len(NAMES)
            write(folder)
            assert (await engine.reload()).wire == 1
            assert (await engine.status(name)).granted_s == 3600

    run(work())


def test_a_successor_holds_what_was_reloaded(folder):
    name = names_of(0)[0]

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            write(folder, [*NAMES, "brand-new"], **{name: "expiration=77"})
            await engine.reload()
            for seat in engine.seats:
                os.kill(seat.pid, signal.SIGKILL)
            await until(lambda: all(s.replacements == 1 and s.running for s in engine.seats))
            assert (await engine.status(name)).granted_s == 77
            assert await engine.status("brand-new") is not None

    run(work())


@pytest.mark.parametrize("step", ["change", "begin"])
def test_a_worker_that_dies_over_a_reload_has_a_successor_that_holds_the_new_share(folder, step):
    name = names_of(0)[0]

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            script(folder, 0, dies_at=[step])
            write(folder, **{name: "expiration=77"})
            assert (await engine.reload()).wire == 1
            (folder / "0.json").unlink()
            await until(lambda: engine.seats[0].replacements == 1 and engine.seats[0].running)
            assert (await engine.status(name)).granted_s == 77

    run(work())


def test_a_worker_that_does_not_answer_a_change_is_replaced(folder, monkeypatch):
    name = names_of(0)[0]
    monkeypatch.setattr(seat_module, "CHANGE_S", 0.2)

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            script(folder, 0, silent_at=["change"])
            write(folder, **{name: "expiration=77"})
            await engine.reload()
            await until(lambda: engine.seats[0].replacements == 1 and engine.seats[0].running)
            assert (await engine.status(name)).granted_s == 77

    run(work())


def test_whoever_is_being_seated_during_a_reload_is_seated_anew_with_the_new_share(folder):
    name = names_of(0)[0]

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            seat = engine.seats[0]
            script(folder, 0, silent_at=["load"])
            begin, seat.begin = seat.begin, lambda _: None  # type: ignore[method-assign]
            os.kill(seat.pid, signal.SIGKILL)
            await until(lambda: seat.replacements == 1 and seat.loaded is not None)
            seat.begin = begin  # type: ignore[method-assign]
            write(folder, **{name: "expiration=77"})
            await engine.reload()
            await until(lambda: seat.running)
            assert (await engine.status(name)).granted_s == 77
            # It was not its fault.
            assert len(seat._deaths) == 1

    run(work())
    assert len(lives(folder, 0)) == 3


# ---- transports


def test_a_new_transport_is_opened_once_and_is_there_for_a_later_reload(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            second = HEAD.replace("[udp]", "[second]")
            write(folder, head=second)
            assert (await engine.reload()).moved == len(NAMES)
            assert all(set(seat.ports) == {"udp", "second"} for seat in engine.seats)
            write(folder)
            assert (await engine.reload()).moved == len(NAMES)
            write(folder, head=second)
            assert (await engine.reload()).moved == len(NAMES)

    run(work())
    assert told(folder, 0, "prepare") == [{"transports": ["second"]}]


def test_a_transport_that_changes_stays_as_it_is_until_a_restart(folder):
    name = NAMES[0]

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            other = HEAD.replace("127.0.0.1:0", "127.0.0.2:0")
            write(folder, head=other, **{name: "expiration=77"})
            for wire in (1, 0):
                report = await engine.reload()
                assert report.transports_pending == ("udp",)
                assert (report.wire, report.kept) == (wire, len(NAMES) - wire)
            os.kill(engine.seats[0].pid, signal.SIGKILL)
            await until(lambda: engine.seats[0].replacements == 1 and engine.seats[0].running)
            assert {one.host for one in engine.seats[0].loaded.sockets} == {"127.0.0.1"}
            write(folder, **{name: "expiration=77"})
            assert (await engine.reload()).transports_pending == ()

    run(work())


# ---- when


def test_a_reload_while_one_runs_is_an_error_or_waits(folder):
    name = NAMES[0]

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            write(folder, **{name: "expiration=77"})
            first = asyncio.create_task(engine.reload())
            await asyncio.sleep(0)
            with pytest.raises(LocalError, match="a reload is running"):
                await engine.reload()
            second = asyncio.create_task(engine.reload(wait=True))
            assert (await first).wire == 1
            assert (await second).kept == len(NAMES)

    run(work())


def test_there_is_no_reload_before_the_start_is_done_or_during_a_stop(folder):
    async def work() -> None:
        engine = Coordinator(options(folder))
        with pytest.raises(LocalError, match="still starting"):
            await engine.reload()
        async with engine:
            await engine.stop()
            with pytest.raises(LocalError, match="stopping"):
                await engine.reload()

    run(work())


def test_a_stop_ends_a_reload_that_is_not_yet_in_force(folder):
    async def work() -> int:
        async with Coordinator(options(folder)) as engine:
            script(folder, 0, silent_at=["prepare"])
            write(folder, head=HEAD.replace("[udp]", "[second]"))
            reload = asyncio.create_task(engine.reload())
            await until(lambda: bool(told(folder, 0, "prepare")))
            unsettled = await engine.stop()
            with pytest.raises(LocalError, match="stopping"):
                await reload
            return unsettled

    assert run(work()) == 0


def test_a_caller_that_goes_away_leaves_the_reload_running(folder):
    name = NAMES[0]

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            write(folder, **{name: "expiration=77"})
            caller = asyncio.create_task(engine.reload())
            await asyncio.sleep(0)
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            assert (await engine.reload(wait=True)).kept == len(NAMES)
            assert (await engine.status(name)).granted_s == 77

    run(work())


def test_a_file_that_is_being_written_is_read_again(folder, monkeypatch):
    monkeypatch.setattr(reloading, "READING_PAUSE_S", 0.0)

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            file = folder / "pjsip.conf"
            whole = file.read_text()
            file.write_text(whole[: len(whole) // 2 + 5])
            with structlog.testing.capture_logs() as logged:
                reload = asyncio.create_task(engine.reload())
                await until(
                    lambda: (
                        any("being written" in line["event"] for line in logged) or reload.done()
                    )
                )
                write(folder)
                assert (await reload).kept == len(NAMES)

    run(work())


def test_what_is_new_in_findings_is_logged_and_the_rest_is_not_said_again(folder):
    bad, worse = NAMES[:2]

    async def work() -> list[str]:
        write(folder, **{bad: "expiration=soon"})
        async with Coordinator(options(folder)) as engine:
            write(folder, **{bad: "expiration=soon", worse: "expiration=late"})
            with structlog.testing.capture_logs() as logged:
                await engine.reload()
            return [line["event"] for line in logged if line["log_level"] == "error"]

    (said,) = run(work())
    assert f"[{worse}]" in said


def test_the_sockets_that_a_reload_opens_are_open_when_it_is_done(folder):

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            write(folder, head=HEAD.replace("[udp]", "[second]"))
            await engine.reload()
            for seat in engine.seats:
                address = ("127.0.0.1", seat.ports["second"])
                with (
                    socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
                    pytest.raises(OSError, match="in use"),
                ):
                    other.bind(address)

    run(work())
