"""An engine with --state: what its workers are told, and when the directory changes."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import structlog

from coordinator.scripted_engine import (
    HEAD,
    NAMES,
    is_alive,
    options,
    run,
    script,
    told,
    until,
    write,
)
from regiment.coordinator.coordinator import Coordinator
from regiment.coordinator.options import Options
from regiment.coordinator.state_directory import MANIFEST, StateDirectory
from regiment.errors import LocalError


@pytest.fixture
def state(folder):
    return folder / "state"


def with_state(folder: Path, **changes: Any) -> Options:
    return options(folder, **{"state": str(folder / "state"), **changes})


def manifest(state: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((state / MANIFEST).read_text())
    return found


def start_and_stop(options: Options) -> None:
    async def work() -> None:
        async with Coordinator(options) as engine:
            assert await engine.stop() == 0

    run(work())


def test_a_worker_is_told_its_file_and_the_next_start_goes_on_with_key_file_and_ports(
    folder, state
):
    async def work() -> tuple[bytes, list[dict[str, int]]]:
        async with Coordinator(with_state(folder)) as engine:
            status = await engine.status(NAMES[0])
            return status.call_id, [seat.ports for seat in engine.seats]

    first, second = run(work()), run(work())
    assert first == second
    for worker in (0, 1):
        file = str(state / f"worker-{worker}-of-2.state")
        begun, again = told(folder, worker, "setup")
        assert begun == {"state_path": file, "former": [], "ports": {}}
        assert again == {"state_path": file, "former": [[file, worker]], "ports": first[1][worker]}


def test_without_a_state_directory_nothing_is_kept(folder):
    start_and_stop(options(folder))
    assert told(folder, 0, "setup") == [{"state_path": "", "former": [], "ports": {}}]
    assert told(folder, 0, "stop") == [{"keep": False}]


def test_a_successor_goes_on_with_its_own_file(folder, state):
    async def work() -> None:
        async with Coordinator(with_state(folder)) as engine:
            os.kill(engine.seats[0].pid, signal.SIGKILL)
            await until(lambda: engine.restarts == 1 and engine.seats[0].running)

    run(work())
    assert told(folder, 0, "setup")[1]["former"] == [[str(state / "worker-0-of-2.state"), 0]]


def test_with_another_number_of_workers_the_directory_changes_before_anyone_registers(
    folder, state
):
    start_and_stop(with_state(folder, workers=3))
    script(folder, 0, dies_before_life=99)

    async def work() -> None:
        with pytest.raises(LocalError):
            async with Coordinator(with_state(folder, workers=1)):
                pass

    run(work())
    # Nobody has loaded what the old files hold: they count.
    assert manifest(state)["workers"] == 3
    assert len(list(state.glob("worker-*-of-3.state"))) == 3
    (folder / "0.json").unlink()

    async def change() -> None:
        seen: list[int] = []
        engine = Coordinator(with_state(folder, workers=2))
        on_began = engine.on_began

        def look(seat: Any) -> None:
            seen.append(manifest(state)["workers"])
            on_began(seat)

        engine.on_began = look  # type: ignore[method-assign]
        async with engine:
            assert seen == [2, 2]
            assert not list(state.glob("worker-*-of-3.state"))

    run(change())
    assert [index for _, index in told(folder, 1, "setup")[-1]["former"]] == [0, 1, 2]


def test_bindings_are_kept_at_the_end_if_that_is_wanted(folder, state):
    start_and_stop(with_state(folder, keep=True))
    assert [told(folder, worker, "stop") for worker in (0, 1)] == [[{"keep": True}]] * 2


def test_to_keep_bindings_wants_a_state_directory(folder):
    with pytest.raises(LocalError, match="--state"):
        run(Coordinator(options(folder, keep=True)).start())


def test_a_second_engine_on_one_directory_does_not_start(folder, state):
    async def work() -> None:
        async with Coordinator(with_state(folder)):
            with pytest.raises(LocalError, match=f"in use by the engine with pid {os.getpid()}"):
                await Coordinator(with_state(folder)).start()

    run(work())


def test_the_directory_is_free_once_the_last_worker_is_gone_and_not_before(folder, state):
    async def work() -> list[int]:
        async with Coordinator(with_state(folder)) as engine:
            assert engine._state is not None
            # As if the coordinator alone were gone.
            engine._state.close()
            with pytest.raises(LocalError, match="in use"):
                StateDirectory(str(state), 2, "0/1", bytes(16))
            return [seat.pid for seat in engine.seats]

    assert not any(map(is_alive, run(work())))
    StateDirectory(str(state), 2, "0/1", bytes(16)).close()


def test_ports_that_a_reload_opens_are_written_down(folder, state):
    async def work() -> list[dict[str, int]]:
        async with Coordinator(with_state(folder)) as engine:
            write(folder, head=HEAD.replace("[udp]", "[second]"))
            await engine.reload()
            return [seat.ports for seat in engine.seats]

    ports = run(work())
    assert all(set(one) == {"udp", "second"} for one in ports)
    assert manifest(state)["ports"] == ports


def test_a_disk_that_is_full_ends_the_start_with_one_line(folder, state, monkeypatch):
    def fails(*_: object) -> None:
        raise LocalError(f"--state {state}: cannot be used: No space left on device")

    monkeypatch.setattr(StateDirectory, "commit", fails)

    async def work() -> None:
        async with Coordinator(with_state(folder)):
            pass

    with pytest.raises(LocalError, match=r"^--state .*No space left on device$"):
        run(work())


def test_a_disk_that_is_full_later_is_logged_and_the_engine_goes_on(folder, state, monkeypatch):
    async def work() -> list[str]:
        async with Coordinator(with_state(folder)) as engine:

            def fails(*_: object) -> None:
                raise LocalError(f"--state {state}: cannot be used: No space left on device")

            monkeypatch.setattr(StateDirectory, "commit", fails)
            with structlog.testing.capture_logs() as logged:
                write(folder, **{NAMES[0]: "expiration=77"})
                await engine.reload()
            assert engine.complaint() == ""
            return [line["event"] for line in logged if line["log_level"] == "error"]

    (said,) = run(work())
    assert "No space left" in said


def test_no_secret_but_the_instance_key_is_in_the_manifest(folder, state):
    start_and_stop(with_state(folder))
    assert set(manifest(state)) == {
        "made_by",
        "format",
        "instance_key",
        "workers",
        "shard",
        "ports",
    }
