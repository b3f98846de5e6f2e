"""``regiment status``: the engine in one look, once or again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import islice
from typing import Annotated

import msgspec
import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from regiment.cli.connection import (
    Connection,
    JsonOption,
    SocketOption,
    TokenOption,
    UrlOption,
    find,
)
from regiment.cli.grid import grid, rest
from regiment.cli.text import safe_text
from regiment.cli.trouble import MOST_TARGETS, troubled
from regiment.coordinator.schema import EngineStatus, TargetOf

MOST_REGISTRARS = 20
MOST_REASONS = 20
_WIDE = 200
"""Columns where nobody looks at a terminal: nothing is folded."""

STYLES = {
    "registered": "green",
    "refreshing": "green",
    "waiting": "yellow",
    "rejected": "red",
}


class Look(EngineStatus, frozen=True, kw_only=True):
    """What is shown: the engine, and where its registrations go."""

    targets: list[TargetOf]


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two looks of --watch.")
    ] = 2.0,
    json: JsonOption = False,
    socket: SocketOption = None,
    url: UrlOption = "",
    token_file: TokenOption = None,
) -> None:
    """Sum the engine up: states, registrars, why registrations fail, workers.

    With `--json` one object a look. Exit 0 as long as the engine answers, however it does.
    """
    with find(socket, url, token_file) as engine:
        if not watch:
            print_status(look(engine, json), json)
            return
        try:
            _watch(engine, interval, json)
        except KeyboardInterrupt:
            return


def _watch(engine: Connection, interval_s: float, json: bool) -> None:
    console = Console()
    if json or not console.is_terminal:
        show: Callable[[Look], None] = lambda seen: print_status(seen, json)  # noqa: E731
        _repeat(engine, interval_s, json, show)
        return
    with Live(console=console, auto_refresh=False, screen=True) as live:
        _repeat(engine, interval_s, json, lambda seen: live.update(render(seen), refresh=True))


def _repeat(
    engine: Connection, interval_s: float, json: bool, show: Callable[[Look], None]
) -> None:
    while True:
        show(look(engine, json))
        time.sleep(interval_s)


def look(engine: Connection, everything: bool) -> Look:
    """Asks the engine for one look; `everything`: the targets that are well, too."""
    status = msgspec.structs.asdict(engine.status())
    # people see so many lines at most, and one more tells that there are more
    most = None if everything else MOST_TARGETS + 1
    return Look(**status, targets=list(islice(engine.targets(troubled=not everything), most)))


def print_status(seen: Look, json: bool) -> None:
    """Prints one look on stdout."""
    if json:
        print(msgspec.json.encode(seen).decode(), flush=True)
        return
    console = Console()
    width = console.width if console.is_terminal else _WIDE
    Console(width=width, highlight=False).print(render(seen))
    sys.stdout.flush()


def render(seen: Look) -> RenderableType:
    """One look, for people."""
    parts: list[RenderableType] = [_head(seen), _states(seen), _registrars(seen)]
    if seen.unhealthy:
        parts += ["", Text("not registered, most frequent reasons first", style="bold")]
        parts.append(_reasons(seen))
    if seen.targets:
        parts += ["", Text("targets in trouble", style="bold"), troubled(seen.targets)]
    parts += ["", _workers(seen), Text(_rates(seen), style="dim")]
    return Group(*parts)


def _head(seen: EngineStatus) -> Text:
    head = Text(f"regiment {safe_text(seen.version)}", style="bold")
    head.append(f"  {safe_text(seen.config)}  up {duration(seen.uptime_s)}  ", style="")
    if seen.is_ready:
        head.append("ready", style="green")
    else:
        head.append(f"not ready: {safe_text(seen.complaint)}", style="red")
    return head


def _states(seen: EngineStatus) -> Text:
    line = Text(f"{seen.registrations:,} registrations")
    lead = ": "
    for state, count in seen.states.items():
        if count:
            line.append(lead)
            line.append(f"{count:,} {state}", style=STYLES.get(state, ""))
            lead = ", "
    return line


def _registrars(seen: EngineStatus) -> RenderableType:
    if not seen.registrars:
        return ""
    rows = grid("registrar", ">desired", ">registered", ">waiting", ">rejected", ">other")
    for each in seen.registrars[:MOST_REGISTRARS]:
        states = each.states
        held = states.get("registered", 0) + states.get("refreshing", 0)
        waiting, rejected = states.get("waiting", 0), states.get("rejected", 0)
        other = sum(states.values()) - held - waiting - rejected
        counts = (each.desired, held, waiting, rejected, other)
        rows.add_row(Text(safe_text(each.registrar)), *(f"{count:,}" for count in counts))
    return Group("", rows, *rest(len(seen.registrars) - MOST_REGISTRARS, "registrars"))


def _reasons(seen: EngineStatus) -> RenderableType:
    rows = grid(">count", "registrar", "state", "class", ">code", "reason", "for example")
    for each in seen.unhealthy[:MOST_REASONS]:
        words = (each.registrar, each.state, each.failure_class)
        rows.add_row(
            f"{each.count:,}",
            *(Text(safe_text(word)) for word in words),
            str(each.code or "-"),
            Text(safe_text(each.reason)),
            Text(safe_text(each.example)),
        )
    return Group(rows, *rest(len(seen.unhealthy) - MOST_REASONS, "reasons"))


def _workers(seen: EngineStatus) -> Table:
    rows = grid(">worker", ">pid", "state", ">registrations", ">restarts")
    for each in seen.workers:
        numbers = (each.registrations, each.restarts)
        rows.add_row(
            str(each.index), str(each.pid), each.state, *(f"{number:,}" for number in numbers)
        )
    return rows


def _rates(seen: EngineStatus) -> str:
    rates, latency = seen.rates, seen.latency
    parts = [
        f"{rates.attempts_per_s:,.1f} attempts/s",
        f"{rates.requests_per_s:,.1f} requests/s",
        f"{rates.retransmissions_per_s:,.1f} retransmissions/s",
    ]
    quantiles = (("p50", latency.p50_s), ("p95", latency.p95_s), ("p99", latency.p99_s))
    shown = [f"{name} {value * 1e3:,.1f} ms" for name, value in quantiles if value is not None]
    if shown:
        parts.append("RRD " + " ".join(shown))
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """``3 d 04:05:06``."""
    whole = int(seconds)
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock
