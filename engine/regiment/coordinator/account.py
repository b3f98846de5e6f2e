"""The engine in one look: counts, rates, latency, workers, and why registrations are not well."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from regiment.coordinator import rendering, schema
from regiment.coordinator.events import Hub
from regiment.errors import LocalError
from regiment.metrics.snapshot import ATTEMPTS, DURATION, Snapshot
from regiment.model import KINDS
from regiment.version import VERSION
from regiment.worker import control

if TYPE_CHECKING:
    from regiment.coordinator.coordinator import Coordinator
    from regiment.coordinator.seat import Seat

SAMPLE_S = 5.0
SAMPLES = 3
REASONS = 20
REASONS_KEPT_S = 1.0
"""Asked again within this, the reasons are those of the last time."""


class Sample(msgspec.Struct, frozen=True):
    """Counts since the start, at one moment."""

    at_s: float
    attempts: int
    successes: int
    requests: int
    retransmissions: int


class Account:
    """Keeps what the present alone does not tell: when the engine started, and its last counts."""

    def __init__(self, engine: Coordinator, hub: Hub) -> None:
        self._engine = engine
        self._hub = hub
        self._started_s = time.time()
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._reasons: list[schema.ReasonOf] = []
        self._reasons_at_s = -math.inf
        self._asking = asyncio.Lock()

    def look(self) -> None:
        """To be called about once a second: keeps a sample now and then."""
        if not self._samples or time.monotonic() - self._samples[-1].at_s >= SAMPLE_S:
            self._samples.append(_sample(self._engine.snapshot()))

    async def status(self) -> schema.EngineStatus:
        """Everything. Asks each worker once, at most once a second."""
        engine = self._engine
        snapshot, facts = engine.snapshot(), engine.facts()
        now_s = time.time()
        complaint = engine.complaint()
        loaded_s = facts.config_loaded_at_s
        return schema.EngineStatus(
            version=VERSION,
            config=engine.options.config,
            started_at=rendering.moment(self._started_s),
            uptime_s=round(now_s - self._started_s, 3),
            config_loaded_at=rendering.moment(loaded_s) if loaded_s else None,
            is_ready=not complaint,
            complaint=complaint,
            registrations=engine.registrations,
            states=snapshot.states(),
            registrars=_registrars(snapshot, facts.registrars, facts.desired),
            workers=[_worker(seat) for seat in engine.seats],
            unhealthy=await self._unhealthy(),
            rates=self._rates(_sample(snapshot)),
            latency=_latency(snapshot),
            listeners=len(self._hub),
        )

    def _rates(self, now: Sample) -> schema.RatesOf:
        first = self._samples[0] if self._samples else now
        seconds = now.at_s - first.at_s
        if seconds <= 0:
            return schema.RatesOf(0.0, 0.0, 0.0, 0.0, 0.0)
        counted = (
            now.attempts - first.attempts,
            now.successes - first.successes,
            now.requests - first.requests,
            now.retransmissions - first.retransmissions,
        )
        # a worker that was replaced keeps its counts, so none of them ever falls
        return schema.RatesOf(round(seconds, 3), *(round(each / seconds, 3) for each in counted))

    async def _unhealthy(self) -> list[schema.ReasonOf]:
        """The reasons of all workers that can be asked, added up."""
        async with self._asking:
            if time.monotonic() - self._reasons_at_s >= REASONS_KEPT_S:
                asked = [_reasons_of(seat) for seat in self._engine.seats]
                self._reasons = _added(await asyncio.gather(*asked))
                self._reasons_at_s = time.monotonic()
            return self._reasons


async def _reasons_of(seat: Seat) -> tuple[control.Reason, ...]:
    try:
        reply = await seat.ask(control.Unhealthy(REASONS))
    except LocalError:
        # a worker that is down is told of among the workers
        return ()
    return reply.found if isinstance(reply, control.Reasons) else ()


def _added(found: Sequence[tuple[control.Reason, ...]]) -> list[schema.ReasonOf]:
    counts: dict[tuple[str, str, str, int, str], tuple[int, str]] = {}
    for reason in (each for reasons in found for each in reasons):
        key = (reason.target, reason.state, reason.failure_class, reason.code, reason.reason)
        count, example = counts.get(key, (0, reason.example))
        counts[key] = count + reason.count, example
    first = sorted(counts.items(), key=lambda item: -item[1][0])[:REASONS]
    return [schema.ReasonOf(*key, *value) for key, value in first]


def _registrars(
    snapshot: Snapshot, labels: Sequence[str], desired: Mapping[int, int]
) -> list[schema.RegistrarOf]:
    rows = dict(enumerate(labels, start=1))
    if desired.get(0):
        rows[0] = "other"
    return [
        schema.RegistrarOf(label, desired.get(row, 0), snapshot.states(row))
        for row, label in rows.items()
    ]


def _worker(seat: Seat) -> schema.WorkerOf:
    state: Literal["running", "starting", "stuck", "failing"] = "starting"
    if seat.running:
        state = "stuck" if seat.is_stuck else "running"
    elif seat.slow:
        state = "failing"
    return schema.WorkerOf(seat.index, seat.pid, state, len(seat.roster), seat.replacements)


def _latency(snapshot: Snapshot) -> schema.LatencyOf:
    measured = snapshot.histogram(DURATION)

    def quantile(q: float) -> float | None:
        return None if not measured.count else round(measured.quantile(q), 6)

    return schema.LatencyOf(measured.count, quantile(0.5), quantile(0.95), quantile(0.99))


def _sample(snapshot: Snapshot) -> Sample:
    return Sample(
        snapshot.at_ns / 1e9,
        snapshot.total(ATTEMPTS),
        sum(snapshot.attempts(kind, "success") for kind in KINDS),
        sum(
            amount
            for (direction, method, _), amount in snapshot.series("regiment_sip_requests_total")
            if direction == "sent" and method == "REGISTER"
        ),
        snapshot.total("regiment_sip_retransmissions_total"),
    )
