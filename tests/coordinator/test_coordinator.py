"""The coordinator with real processes whose core is scripted: barrier, deaths, stop, questions."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvloop

from regiment.coordinator import coordinator as coordinator_module
from regiment.coordinator import seat as seat_module
from regiment.coordinator.assignment import HostShare, WorkerAssignment, digest_of
from regiment.coordinator.coordinator import Coordinator, Options, ensure_descriptors
from regiment.coordinator.seat import CSEQ_STEP, Seat, death_of
from regiment.errors import ConfigError, LocalError
from regiment.model import Event

PATIENCE_S = 60
NAMES = [f"trunk{number}" for number in range(40)]
HEAD = """
[udp]
type=transport
protocol=udp
bind=127.0.0.1:0
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REGIMENT_TEST_SCRIPT", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    trunks = "".join(
        f"[{name}]\ntype=registration\nserver_uri=sip:127.0.0.1:9\n"
        f"client_uri=sip:{name}@127.0.0.1\n"
        for name in NAMES
    )
    (tmp_path / "pjsip.conf").write_text(HEAD + trunks)
    return tmp_path


def script(folder: Path, worker: int, **behaviour: Any) -> None:
    (folder / f"{worker}.json").write_text(json.dumps(behaviour))


def options(folder: Path, **changes: Any) -> Options:
    given: dict[str, Any] = {
        "config": str(folder / "pjsip.conf"),
        "workers": 2,
        "api": None,
        "worker_module": "scripted_worker",
    }
    return Options(**{**given, **changes})


def run(work: Awaitable[Any]) -> Any:
    async def patiently() -> Any:
        return await asyncio.wait_for(work, PATIENCE_S)

    return uvloop.run(patiently())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


def lives(folder: Path, worker: int) -> list[int]:
    file = folder / f"{worker}.lives"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def names_of(worker: int, workers: int = 2) -> list[str]:
    assignment = WorkerAssignment(workers)
    return [name for name in NAMES if assignment.worker_of(digest_of(name)) == worker]


# ---- the start


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


# ---- deaths


def errors(logged: list[Any]) -> list[str]:
    return [line["event"] for line in logged if line["log_level"] == "error"]


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


# ---- the end


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


# ---- questions


def test_a_question_goes_to_the_worker_of_the_name(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            for name in NAMES:
                status = await engine.status(name)
                assert status is not None
                assert status.name == name
            assert await engine.status("nobody") is None

    run(work())


def test_a_question_about_a_worker_that_is_down_says_so(folder):
    script(folder, 0, dies_before_life=99)

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            with pytest.raises(LocalError, match="worker 0 is down"):
                await engine.status(names_of(0)[0])

    run(work())


def test_a_question_whose_worker_dies_is_answered_by_an_error(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            seat = engine.seats[0]
            os.kill(seat.pid, signal.SIGSTOP)
            question = asyncio.create_task(engine.status(names_of(0)[0]))
            await asyncio.sleep(0)
            os.kill(seat.pid, signal.SIGKILL)
            with pytest.raises(LocalError, match="worker 0 died"):
                await question

    run(work())


def test_events_of_workers_reach_the_listener(folder):
    told: list[Event] = []

    def listen(events: tuple[Event, ...]) -> None:
        told.extend(events)

    async def work() -> None:
        async with Coordinator(options(folder), listen):
            await until(lambda: len(told) == 6)

    run(work())
    assert sorted(event.name for event in told) == sorted(names_of(0)[:3] + names_of(1)[:3])


def test_what_every_worker_warns_of_is_said_once(folder):
    async def work() -> list[Any]:
        with structlog.testing.capture_logs() as logged:
            async with Coordinator(options(folder, workers=3)):
                pass
            return [line for line in logged if line["event"].startswith("a warning that every")]

    assert len(run(work())) == 1


async def fetch(url: str, path: str) -> tuple[int, str]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


def test_http_serves_metrics_and_probes(folder):
    async def work() -> None:
        async with Coordinator(options(folder, api=("127.0.0.1", 0))) as engine:
            assert await fetch(engine.url, "/livez") == (200, "ok\n")
            assert await fetch(engine.url, "/readyz") == (200, "ready\n")
            status, text = await fetch(engine.url, "/metrics")
            assert status == 200
            assert 'regiment_worker_up{worker="1"} 1.0' in text
            wanted = 'regiment_registrations_desired{registrar="registrar.test"} 40.0'
            assert wanted in text

    run(work())


def test_readyz_says_why_not(folder):
    script(folder, 0, dies_before_life=99)

    async def work() -> None:
        async with Coordinator(options(folder, api=("127.0.0.1", 0))) as engine:
            status, text = await fetch(engine.url, "/readyz")
            assert status == 503
            assert text == "worker 0: died too often, is started once a minute\n"
            assert (await fetch(engine.url, "/livez"))[0] == 200

    run(work())


def test_probes_answer_while_the_configuration_loads(folder):
    async def work() -> None:
        engine = Coordinator(options(folder, api=("127.0.0.1", 0)))
        starting = asyncio.create_task(engine.start())
        await until(lambda: bool(engine.url))
        assert await fetch(engine.url, "/readyz") == (503, "loading\n")
        await starting
        await engine.close()

    run(work())


def test_an_api_address_in_use_is_one_line(folder):
    async def work() -> None:
        async with Coordinator(options(folder, api=("127.0.0.1", 0))) as engine:
            port = int(engine.url.rpartition(":")[2])
            other = Coordinator(options(folder, api=("127.0.0.1", port)))
            with pytest.raises(LocalError, match="in use"):
                await other.start()
            await other.close()

    run(work())


def test_options_show_no_token(folder):
    assert "s3cret" not in repr(options(folder, token="s3cret"))


# ---- descriptors


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
