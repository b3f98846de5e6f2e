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
from regiment.coordinator.options import Options

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


def told(folder: Path, worker: int, what: str) -> list[dict[str, Any]]:
    """What a worker was told of one kind, over all its lives."""
    file = folder / f"{worker}.told"
    lines = file.read_text().splitlines() if file.exists() else []
    return [line for line in map(json.loads, lines) if line.pop("what") == what]


def write(folder: Path, names: Any = NAMES, head: str = HEAD, **options_of: str) -> None:
    """The same trunks as at the start, but for what `options_of` adds to some of them."""
    text = head + "".join(
        f"[{name}]\ntype=registration\nserver_uri=sip:127.0.0.1:9\n"
        f"client_uri=sip:{name}@127.0.0.1\n{options_of.get(name, '')}\n"
        for name in names
    )
    file = folder / "pjsip.conf"
    file.write_text(text)
    age(file)


def age(file: Path) -> None:
    """Makes a file look as if nobody had touched it lately."""
    os.utime(file, (1, 1))


def changes(folder: Path) -> list[Any]:
    return [line for worker in (0, 1) for line in told(folder, worker, "change")]


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
