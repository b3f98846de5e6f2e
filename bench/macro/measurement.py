"""One client registers at one registrar: what it cost, and whether the rate was held."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import msgspec
from bench.macro import processes
from bench.macro.clients import Client
from bench.macro.registrars import Embedded, Registrar

from regiment.cli.trunks import TrunkPlan, credentials

POLL_S = 0.05
BEGIN, END = 0.25, 0.85
"""The window in which CPU is measured, as parts of the run: neither start nor end is in it."""
HELD = 0.97
"""Of the rate that was asked for has to be reached within the window."""


class Result(msgspec.Struct, frozen=True):
    """A run."""

    client: str
    rate_asked: float
    """Registrations/s."""
    rate: float
    """Registrations/s within the window, counted by the registrar's answers 200."""
    cpu_us: float
    """User and system time of all of the client's processes for one registration."""
    cpu_ticks_us: float
    """The same by the kernel's coarser clock ticks."""
    busy: float
    """How much of its core the client used."""
    registrar_busy: float
    count: int
    challenged: int
    """Answers 401 of the whole run."""
    granted: int
    verified: int
    """Credentials whose hash the registrar computed and found right."""
    retransmissions: int
    """By the client's own count."""
    drops: int
    """Datagrams that the registrar's kernel dropped."""
    load_1m: float
    """The machine's load average before the run."""

    @property
    def is_clean(self) -> bool:
        """The rate was held, everybody registered once, and nothing was sent twice."""
        return (
            self.rate >= HELD * self.rate_asked
            and self.retransmissions == 0
            and self.drops <= 0
            and self.granted == self.count
            and self.challenged == self.count
            and self.verified in (self.count, -1)
        )


def measure(make: type[Client], rate: int, seconds: int, extra: tuple[str, ...] = ()) -> Result:
    """Initial registrations with one challenge each at a fresh embedded registrar."""
    client_core, registrar_core = processes.cores()
    count = rate * seconds
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        users = credentials(TrunkPlan("", count))
        with Embedded(users, folder, registrar_core, *extra) as registrar:
            client = make(folder, registrar.ports[make.protocol], count, seconds, client_core)
            return run(client, registrar, rate, seconds)


def run(client: Client, registrar: Registrar, rate: int, seconds: int) -> Result:
    """Lets `client` register, and ends it."""
    count = rate * seconds
    load = _load_1m()
    before = registrar.counts()
    try:
        client.start()
        while registrar.counts().granted == before.granted:
            time.sleep(POLL_S)
        started_s = time.monotonic()
        first = _sample(client, registrar, started_s + BEGIN * seconds)
        second = _sample(client, registrar, started_s + END * seconds)
        deadline_s = started_s + 1.6 * seconds + 2
        while registrar.counts().granted - before.granted < count:
            if time.monotonic() > deadline_s:
                break
            time.sleep(POLL_S)
        end = registrar.counts()
        retransmissions = client.retransmissions()
    finally:
        client.close()
    span_s = second.at_s - first.at_s
    registered = second.granted - first.granted
    cpu_ns = second.cpu_ns - first.cpu_ns
    return Result(
        client=client.name,
        rate_asked=rate,
        rate=registered / span_s,
        cpu_us=cpu_ns / max(registered, 1) / 1e3,
        cpu_ticks_us=(second.cpu_ticks_ns - first.cpu_ticks_ns) / max(registered, 1) / 1e3,
        busy=cpu_ns / span_s / 1e9,
        registrar_busy=(second.registrar_cpu_ns - first.registrar_cpu_ns) / span_s / 1e9,
        count=count,
        challenged=end.challenged - before.challenged,
        granted=end.granted - before.granted,
        verified=end.verified,
        retransmissions=retransmissions,
        drops=end.drops,
        load_1m=load,
    )


class _Sample(msgspec.Struct, frozen=True):
    at_s: float
    granted: int
    cpu_ns: int
    cpu_ticks_ns: int
    registrar_cpu_ns: int


def _sample(client: Client, registrar: Registrar, at_s: float) -> _Sample:
    time.sleep(max(0.0, at_s - time.monotonic()))
    counts = registrar.counts()
    return _Sample(
        time.monotonic(),
        counts.granted,
        processes.cpu_ns(client.pids),
        processes.cpu_ticks_ns(client.pids),
        counts.cpu_ns,
    )


def _load_1m() -> float:
    return float(Path("/proc/loadavg").read_text().split()[0])
