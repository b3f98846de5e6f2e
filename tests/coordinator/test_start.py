"""The start with real processes whose core is scripted: barrier, shares, what prevents it."""

from __future__ import annotations

import asyncio
import errno
import resource
from typing import Any

import pytest
import structlog

from coordinator.scripted_engine import (
    HEAD,
    NAMES,
    is_alive,
    lives,
    names_of,
    options,
    run,
    script,
    until,
)
from regiment.coordinator import coordinator as coordinator_module
from regiment.coordinator import seat as seat_module
from regiment.coordinator.assignment import HostShare
from regiment.coordinator.coordinator import Coordinator
from regiment.coordinator.descriptors import ensure_descriptors
from regiment.errors import ConfigError, LocalError


def test_start_returns_once_every_worker_has_its_share_and_registers(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            assert engine.registrations == len(NAMES)
            assert [seat.running for seat in engine.seats] == [True, True]
            assert [len(seat.roster) for seat in engine.seats] == [
                len(names_of(0)),
                len(names_of(1)),
            ]
            assert engine.complaint() == ""
            assert engine.snapshot().states()["registered"] == len(NAMES)
            facts = engine.facts()
            assert facts.registrars == ("registrar.test",)
            assert facts.desired == {1: len(NAMES)}
            assert facts.worker_up == {0: True, 1: True}

    run(work())


def test_every_worker_gets_its_share_of_the_rate(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            shares = []
            for worker in (0, 1):
                status = await engine.status(names_of(worker)[0])
                assert status is not None
                shares.append(status.next_attempt_in_s)
            assert shares == [100 * len(names_of(worker)) / len(NAMES) for worker in (0, 1)]

    run(work())


def test_an_unusable_configuration_ends_the_start_and_every_process(folder):
    (folder / "pjsip.conf").write_text("[broken\n")

    async def work() -> None:
        engine = Coordinator(options(folder))
        with pytest.raises(ConfigError, match="never closed"):
            await engine.start()
        await engine.close()
        assert not any(is_alive(seat.pid) for seat in engine.seats)

    run(work())


def test_nothing_to_register_is_an_error_that_counts_what_was_refused(folder):
    (folder / "pjsip.conf").write_text(
        HEAD + "[bad]\ntype=registration\nserver_uri=nonsense\nclient_uri=sip:x@y\n"
    )

    async def work() -> None:
        async with Coordinator(options(folder)):
            pass

    with pytest.raises(LocalError, match=r"nothing to register \(1 refused\)"):
        run(work())


def test_a_shard_without_a_name_says_so(folder):
    (folder / "pjsip.conf").write_text(
        HEAD + "[a]\ntype=registration\nserver_uri=sip:127.0.0.1\nclient_uri=sip:x@y\n"
    )

    host = 0 if HostShare(1, 2).holds("a") else 1

    async def work() -> None:
        async with Coordinator(options(folder, host_index=host, hosts=2)):
            pass

    with pytest.raises(LocalError, match=f"no registration falls to shard {host}"):
        run(work())


def test_a_worker_that_says_why_it_cannot_start_ends_the_start_with_that_line(folder):
    script(folder, 1, fault="UDP 127.0.0.1:5061 is in use")

    async def work() -> None:
        async with Coordinator(options(folder)):
            pass

    with pytest.raises(LocalError) as caught:
        run(work())
    assert str(caught.value) == "UDP 127.0.0.1:5061 is in use"
    assert len(lives(folder, 1)) == 1


def test_the_engine_ends_if_no_worker_can_be_started(folder):
    for worker in (0, 1):
        script(folder, worker, dies_before_life=99)

    async def work() -> None:
        async with Coordinator(options(folder)):
            pass

    with pytest.raises(LocalError, match=r"no worker can be started; worker \d: exit code 3"):
        run(work())
    assert [len(lives(folder, worker)) for worker in (0, 1)] == [3, 3]


def test_the_engine_runs_with_the_workers_that_can_be_started(folder):
    script(folder, 0, dies_before_life=99)

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            assert [seat.running for seat in engine.seats] == [False, True]
            assert engine.complaint() == "worker 0: died too often, is started once a minute"
            # Its part of the rate is not handed to the other one.
            status = await engine.status(names_of(1)[0])
            assert status is not None
            assert status.next_attempt_in_s == pytest.approx(100 * len(names_of(1)) / len(NAMES))

    run(work())


def test_a_worker_that_dies_while_it_loads_is_fed_again_from_the_front(folder):
    script(folder, 0, dies_before_life=2)

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            assert engine.complaint() == ""
            assert engine.restarts == 2
            for name in NAMES:
                assert await engine.status(name) is not None

    run(work())


def test_a_process_that_the_system_refuses_is_tried_again(folder, monkeypatch):
    refusals = [OSError(errno.EAGAIN, "Resource temporarily unavailable")]
    start_process = seat_module.start_process

    def start(*arguments: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return start_process(*arguments)

    monkeypatch.setattr(seat_module, "start_process", start)

    async def work() -> None:
        with structlog.testing.capture_logs() as logged:
            async with Coordinator(options(folder)) as engine:
                assert engine.restarts == 1
        (line,) = [line for line in logged if line["log_level"] == "error"]
        assert line["reason"] == "cannot be started: Resource temporarily unavailable"

    run(work())


def test_a_start_that_is_cancelled_leaves_no_process(folder):
    async def work() -> None:
        engine = Coordinator(options(folder))
        starting = asyncio.create_task(engine.start())
        await until(lambda: any(seat.pid for seat in engine.seats))
        starting.cancel()
        await engine.close()
        assert not any(is_alive(seat.pid) for seat in engine.seats if seat.pid)

    run(work())


def limits(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> list[tuple[int, int]]:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: raised.append(both))
    return raised


@pytest.mark.parametrize(
    ("soft", "hard", "raised"),
    [
        (1024, 4096, []),
        (100, 4096, [(500, 4096)]),
        (100, resource.RLIM_INFINITY, [(500, resource.RLIM_INFINITY)]),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, []),
    ],
)
def test_a_soft_limit_of_open_files_is_raised_as_far_as_needed(monkeypatch, soft, hard, raised):
    found = limits(monkeypatch, soft, hard)
    ensure_descriptors(500)
    assert found == raised


def test_too_few_descriptors_is_one_line_with_both_numbers(monkeypatch):
    limits(monkeypatch, 100, 200)
    with pytest.raises(LocalError, match="500 are needed, 200 allowed"):
        ensure_descriptors(500)


def test_the_start_checks_descriptors_for_its_workers(folder, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(coordinator_module, "ensure_descriptors", asked.append)

    async def work() -> None:
        for workers in (1, 2):
            async with Coordinator(options(folder, workers=workers)):
                pass

    run(work())
    assert asked[1] > asked[0] > 0
