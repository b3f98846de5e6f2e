"""Engines whose workers are real processes with a scripted core."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from regiment.coordinator.assignment import WorkerAssignment, digest_of
from regiment.coordinator.coordinator import Options

PATIENCE_S = 60
NAMES = [f"trunk{number}" for number in range(40)]
HEAD = """
[udp]
type=transport
protocol=udp
bind=127.0.0.1:0
"""


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


def errors(logged: list[Any]) -> list[str]:
    return [line["event"] for line in logged if line["log_level"] == "error"]
