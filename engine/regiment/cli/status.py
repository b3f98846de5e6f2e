"""``regiment status``: the engine in one look, once or again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
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
from regiment.cli.text import safe_text
from regiment.coordinator.schema import EngineStatus

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
            print_status(engine.status(), json)
            return
        try:
            _watch(engine, interval, json)
        except KeyboardInterrupt:
            return


def _watch(engine: Connection, interval_s: float, json: bool) -> None:
    console = Console()
    if json or not console.is_terminal:
        look: Callable[[EngineStatus], None] = lambda seen: print_status(seen, json)  # noqa: E731
        _repeat(engine, interval_s, look)
        return
    with Live(console=console, auto_refresh=False, screen=True) as live:
        _repeat(engine, interval_s, lambda seen: live.update(render(seen), refresh=True))


def _repeat(engine: Connection, interval_s: float, look: Callable[[EngineStatus], None]) -> None:
    while True:
        look(engine.status())
        time.sleep(interval_s)


def print_status(seen: EngineStatus, json: bool) -> None:
    """Prints one look on stdout."""
    if json:
        print(msgspec.json.encode(seen).decode(), flush=True)
        return
    console = Console()
    width = console.width if console.is_terminal else _WIDE
    Console(width=width, highlight=False).print(render(seen))
    sys.stdout.flush()


def render(seen: EngineStatus) -> RenderableType:
    """One look, for people."""
    parts: list[RenderableType] = [_head(seen), _states(seen), _registrars(seen)]
    if seen.unhealthy:
        parts += ["", Text("not registered, most frequent reasons first", style="bold")]
        parts.append(_reasons(seen))
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


def _grid(*columns: str) -> Table:
    """A table without lines; a column whose name begins with ``>`` is of numbers."""
    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        right = name.startswith(">")
        grid.add_column(name.lstrip(">"), justify="right" if right else "left", overflow="fold")
    return grid


def _registrars(seen: EngineStatus) -> RenderableType:
    if not seen.registrars:
        return ""
    grid = _grid("registrar", ">desired", ">registered", ">waiting", ">rejected", ">other")
    for each in seen.registrars[:MOST_REGISTRARS]:
        states = each.states
        held = states.get("registered", 0) + states.get("refreshing", 0)
        waiting, rejected = states.get("waiting", 0), states.get("rejected", 0)
        other = sum(states.values()) - held - waiting - rejected
        counts = (each.desired, held, waiting, rejected, other)
        grid.add_row(Text(safe_text(each.registrar)), *(f"{count:,}" for count in counts))
    return Group("", grid, *_rest(len(seen.registrars) - MOST_REGISTRARS, "registrars"))


def _reasons(seen: EngineStatus) -> RenderableType:
    grid = _grid(">count", "registrar", "state", "class", ">code", "reason", "for example")
    for each in seen.unhealthy[:MOST_REASONS]:
        words = (each.registrar, each.state, each.failure_class)
        grid.add_row(
            f"{each.count:,}",
            *(Text(safe_text(word)) for word in words),
            str(each.code or "-"),
            Text(safe_text(each.reason)),
            Text(safe_text(each.example)),
        )
    return Group(grid, *_rest(len(seen.unhealthy) - MOST_REASONS, "reasons"))


def _workers(seen: EngineStatus) -> Table:
    grid = _grid(">worker", ">pid", "state", ">registrations", ">restarts")
    for each in seen.workers:
        numbers = (each.registrations, each.restarts)
        grid.add_row(
            str(each.index), str(each.pid), each.state, *(f"{number:,}" for number in numbers)
        )
    return grid


def _rest(count: int, what: str) -> tuple[str, ...]:
    return (f"and {count:,} more {what}",) if count > 0 else ()


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
