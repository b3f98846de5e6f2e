"""The summary at the end of a run: for people as a table, for programs as JSON.

Everything in it comes from snapshots of the scoreboards; nothing is measured here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import orjson
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from regiment.metrics.snapshot import ATTEMPTS, DURATION, Snapshot
from regiment.model import KINDS, OUTCOMES
from regiment.version import VERSION

QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


class Latency(msgspec.Struct, frozen=True):
    """A distribution in seconds; quantiles are null where nothing was measured."""

    count: int
    quantiles_s: dict[str, float | None]


class Summary(msgspec.Struct, frozen=True):
    """What a run came to."""

    version: str
    seconds: float
    """Length of the run, until it was told to stop."""
    desired: int
    registered: int
    """Registered (or being refreshed) when the run was told to stop."""
    states: dict[str, int]
    """By state, at that moment."""
    attempts: dict[str, dict[str, int]]
    """kind -> outcome -> how many, over the whole run; zeros left out."""
    responses: dict[int, int]
    requests_sent: int
    """REGISTERs without retransmissions."""
    retransmissions: int
    attempts_per_s: float
    """Successful attempts a second, un-registering left out."""
    register_duration: Latency
    register_response: Latency
    expired: int
    cpu_s: float
    """User and system time of all workers, without their start if that was known."""
    receive_drops: int
    worker_restarts: int


class Comparison(msgspec.Struct, frozen=True):
    """One count as the engine and as the registrar saw it."""

    subject: str
    engine: int
    registrar: int

    @property
    def verdict(self) -> str:
        """``agree`` or ``differ``."""
        return "agree" if self.engine == self.registrar else "differ"


def summarise(
    final: Snapshot,
    *,
    seconds: float,
    desired: int,
    at_start: Snapshot | None = None,
    at_stop: Snapshot | None = None,
    worker_restarts: int = 0,
) -> Summary:
    """The summary of a run that was told to stop after `seconds`.

    `at_stop`: the snapshot of that moment, before un-registering began: states and the rate are
    taken from it, all counts from `final`. `at_start`: the one of the moment when registering
    began; the processor time before it (imports, loading) is left out.
    """
    held = at_stop or final
    states = held.states()
    cpu = "regiment_worker_cpu_seconds_total"
    drops = "regiment_udp_receive_drops_total"
    return Summary(
        version=VERSION,
        seconds=seconds,
        desired=desired,
        registered=states["registered"] + states["refreshing"],
        states=states,
        attempts=_attempts(final),
        responses=final.codes(),
        requests_sent=sum(
            amount
            for (direction, method, _), amount in final.series("regiment_sip_requests_total")
            if direction == "sent" and method == "REGISTER"
        ),
        retransmissions=final.total("regiment_sip_retransmissions_total"),
        attempts_per_s=held.attempts(outcome="success") / seconds if seconds > 0 else 0.0,
        register_duration=_latency(final, DURATION),
        register_response=_latency(final, "regiment_register_response_seconds"),
        expired=final.value("regiment_registration_expired_total"),
        cpu_s=(final.total(cpu) - (at_start.total(cpu) if at_start else 0)) / 1e9,
        receive_drops=final.total(drops),
        worker_restarts=worker_restarts,
    )


def to_json(summary: Summary, comparisons: Sequence[Comparison] = ()) -> bytes:
    """One JSON object; with `comparisons` also ``"comparison"``, each with its verdict."""
    document = msgspec.to_builtins(summary)
    document["responses"] = {str(code): count for code, count in summary.responses.items()}
    if comparisons:
        document["comparison"] = [
            {**msgspec.to_builtins(row), "verdict": row.verdict} for row in comparisons
        ]
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def render(summary: Summary, comparisons: Sequence[Comparison] = ()) -> RenderableType:
    """The summary as rich shows it on a terminal or in a plain file."""
    table = Table(title="Summary", show_header=False, title_justify="left", min_width=60)
    table.add_column(style="bold")
    table.add_column()
    for name, text in _lines(summary):
        table.add_row(name, text)
    parts: list[RenderableType] = [table]
    if comparisons:
        parts.append(_comparison_table(comparisons))
    return Group(*parts)


def duration_text(seconds: float | None) -> str:
    """``0.42 ms``, ``12.3 ms``, ``1.50 s``; ``–`` where there is none."""
    if seconds is None or math.isnan(seconds):
        return "–"
    if seconds < 0.01:
        return f"{seconds * 1e3:.2f} ms"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    return f"{seconds:.2f} s"


def _attempts(snapshot: Snapshot) -> dict[str, dict[str, int]]:
    attempts: dict[str, dict[str, int]] = {}
    for kind in KINDS:
        for outcome in OUTCOMES:
            if amount := snapshot.value(ATTEMPTS, (kind, outcome)):
                attempts.setdefault(kind, {})[outcome] = amount
    return attempts


def _latency(snapshot: Snapshot, family: str) -> Latency:
    histogram = snapshot.histogram(family)
    values = {name: histogram.quantile(q) for name, q in QUANTILES.items()}
    return Latency(
        histogram.count, {name: None if math.isnan(s) else s for name, s in values.items()}
    )


def _lines(summary: Summary) -> list[tuple[str, str]]:
    lines = [
        ("registered", f"{summary.registered:,} of {summary.desired:,}"),
        ("other states", _counts(_without(summary.states, "registered", "refreshing")) or "none"),
    ]
    lines += [(f"attempts, {kind}", _counts(found)) for kind, found in summary.attempts.items()]
    lines += [
        ("responses", _counts({str(code): n for code, n in summary.responses.items()}) or "none"),
        ("REGISTERs sent", f"{summary.requests_sent:,}"),
        ("retransmissions", f"{summary.retransmissions:,}"),
        ("request delay (RRD)", _quantiles(summary.register_duration)),
        ("  from intended time", _quantiles(summary.register_response)),
        ("bindings that lapsed", f"{summary.expired:,}"),
        (
            "rate",
            f"{summary.attempts_per_s:,.0f} successful attempts/s over {summary.seconds:.1f} s",
        ),
        ("CPU of the workers", _cpu(summary)),
        ("datagrams dropped", f"{summary.receive_drops:,}"),
        ("workers replaced", f"{summary.worker_restarts:,}"),
    ]
    return lines


def _cpu(summary: Summary) -> str:
    text = f"{summary.cpu_s:.2f} s"
    successes = sum(found.get("success", 0) for found in summary.attempts.values())
    if successes:
        text += f" ({summary.cpu_s / successes * 1e6:.1f} µs a successful attempt)"
    return text


def _without(counts: Mapping[str, int], *names: str) -> dict[str, int]:
    return {name: count for name, count in counts.items() if name not in names}


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)


def _quantiles(latency: Latency) -> str:
    return "  ".join(f"{name} {duration_text(s)}" for name, s in latency.quantiles_s.items())


def _comparison_table(comparisons: Sequence[Comparison]) -> Table:
    table = Table(title="Engine against registrar", title_justify="left", min_width=60)
    table.add_column("count", style="bold")
    table.add_column("engine", justify="right")
    table.add_column("registrar", justify="right")
    table.add_column("verdict")
    for row in comparisons:
        style = "green" if row.verdict == "agree" else "bold red"
        table.add_row(
            row.subject, f"{row.engine:,}", f"{row.registrar:,}", Text(row.verdict, style=style)
        )
    return table
