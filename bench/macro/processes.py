"""Processes as the kernel accounts for them: CPU time, memory, switches, and their core.

All figures are those of a whole tree: a process and what it has started.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """The process and all its living descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def cpu_ns(pids: list[int]) -> int:
    """User and system time of all threads, in nanoseconds (the scheduler's own sum)."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
    return total


def cpu_ticks_ns(pids: list[int]) -> int:
    """The same as ``/proc/PID/stat`` tells it, in whole clock ticks: a check on `cpu_ns`."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * TICK_NS


def pss_bytes(pids: list[int]) -> int:
    """Proportional set size: memory that is shared counts once, divided among its holders."""
    return 1024 * sum(_rollup(pid, "Pss:") for pid in pids)


def voluntary_switches(pids: list[int]) -> int:
    """How often a thread went to sleep by itself, which is how often it was woken."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += _field(task / "status", "voluntary_ctxt_switches:")
    return total


def _rollup(pid: int, name: str) -> int:
    return _field(Path(f"/proc/{pid}/smaps_rollup"), name)


def _field(file: Path, name: str) -> int:
    for line in file.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise KeyError(name)


def cores() -> tuple[int, int]:
    """The core of the client and that of the registrar; the same one where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started meanwhile runs on this core only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def start(command: list[str], core: int | None, **options: Any) -> subprocess.Popen[str]:
    """`subprocess.Popen` in a session of its own, on one core if one is given."""
    options = {"stdin": subprocess.DEVNULL, "text": True, "start_new_session": True, **options}
    if core is None:
        return subprocess.Popen(command, **options)
    with on_core(core):
        return subprocess.Popen(command, **options)


def end(process: subprocess.Popen[str], patience_s: float = 20.0) -> None:
    """SIGTERM, and after that time SIGKILL to all of its session. May be called again."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
