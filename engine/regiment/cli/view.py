"""What a person sees while the engine runs: a live view on a terminal, else a line every 10 s.

`Course` and the renderers are pure: snapshots in, text out. `TerminalView` and `PlainView` put it
on stderr, so that stdout stays free for data. Neither reads a clock; time is the snapshots' own.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, TextIO

import msgspec
import structlog
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from regiment.cli.journal import is_journal
from regiment.cli.logs import put_line
from regiment.metrics.snapshot import DURATION, Snapshot
from regiment.report.summary import QUANTILES, duration_text

logger = structlog.get_logger()

PLAIN_INTERVAL_S = 10.0
JOURNAL_INTERVAL_S = 600.0
"""A service runs for months, and its manager shows a status line anyway."""
WINDOW_S = 10.0
_SENT = "regiment_sip_requests_total"
_RETRANSMITTED = "regiment_sip_retransmissions_total"
_MOST_CODES = 8

STYLES = {
    "unregistered": "dim",
    "registering": "cyan",
    "registered": "green",
    "refreshing": "bright_green",
    "waiting": "yellow",
    "rejected": "red",
    "unregistering": "magenta",
}


class Moment(msgspec.Struct, frozen=True):
    """Everything that is shown at one moment."""

    snapshot: Snapshot
    recent: Snapshot
    """The difference over (up to) the last 10 s."""
    desired: int
    elapsed_s: float

    @property
    def held(self) -> int:
        """Registrations with a binding: registered, or being refreshed."""
        states = self.snapshot.states()
        return states["registered"] + states["refreshing"]

    @property
    def is_registering(self) -> bool:
        """Some have not had their first answer yet."""
        states = self.snapshot.states()
        return states["unregistered"] + states["registering"] > 0 and not states["unregistering"]


class Course:
    """The snapshots of the last seconds; from them come rates and recent quantiles."""

    def __init__(self, desired: int | Callable[[], int], window_s: float = WINDOW_S) -> None:
        """`desired`: how many registrations there shall be, or who knows that at any time."""
        self._desired = desired
        self._window_ns = int(window_s * 1e9)
        self._kept: deque[Snapshot] = deque()
        self._started_ns: int | None = None

    def take(self, snapshot: Snapshot) -> Moment:
        """Adds the newest snapshot (its `at_ns` must rise) and returns what it means."""
        if self._started_ns is None:
            self._started_ns = snapshot.at_ns
        kept = self._kept
        # The oldest one stays until its successor is itself a whole window old.
        while len(kept) > 1 and snapshot.at_ns - kept[1].at_ns >= self._window_ns:
            kept.popleft()
        recent = snapshot.minus(kept[0] if kept else snapshot)
        kept.append(snapshot)
        elapsed_s = (snapshot.at_ns - self._started_ns) / 1e9
        desired = self._desired if isinstance(self._desired, int) else self._desired()
        return Moment(snapshot, recent, desired, elapsed_s)


def plain_line(moment: Moment) -> str:
    """One line for a log file: counts, rate, quantiles and codes."""
    states = moment.snapshot.states()
    parts = [
        f"{moment.elapsed_s:.0f} s",
        f"registered {moment.held}/{moment.desired}",
        *(
            f"{state} {count}"
            for state, count in states.items()
            if count and state not in ("registered", "refreshing")
        ),
        f"{_request_rate(moment):.0f} requests/s",
        "rrd " + " ".join(f"{name} {text}" for name, text in _quantiles(moment).items()),
        " ".join(f"{code}:{count}" for code, count in moment.snapshot.codes().items()),
        f"retransmitted {moment.snapshot.total(_RETRANSMITTED)}",
    ]
    return "  ".join(part for part in parts if part)


def render(moment: Moment, title: str = "regiment") -> RenderableType:
    """The live view."""
    head = Text(f"{moment.held:,} of {moment.desired:,} registered", style="bold")
    head.append(f"   {moment.elapsed_s:,.0f} s", style="dim")
    parts: list[RenderableType] = [head]
    if moment.is_registering and moment.desired:
        # In a grid of its own: by itself the bar does not end its line.
        bar = Table.grid(expand=True)
        bar.add_row(ProgressBar(total=moment.desired, completed=moment.held))
        parts.append(bar)
    body = Table.grid(padding=(0, 4))
    body.add_row(_state_table(moment), _figure_table(moment), _code_table(moment))
    parts.append(body)
    return Panel(Group(*parts), title=title, title_align="left")


class View(Protocol):
    """A place to show snapshots; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def update(self, snapshot: Snapshot) -> None:
        """Shows the newest snapshot. Call it about twice a second."""
        ...


class TerminalView:
    """Redraws itself in place; log lines written to stderr meanwhile scroll by above it."""

    def __init__(self, course: Course, console: Console, title: str = "regiment") -> None:
        self._course = course
        self._title = title
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def update(self, snapshot: Snapshot) -> None:
        """Redraws."""
        panel = render(self._course.take(snapshot), self._title)
        # The empty line takes the ^C that a terminal echoes; at the panel's edge it would wrap.
        self._live.update(Group(panel, ""), refresh=True)


class PlainView:
    """One line at once and then every `interval_s` of the snapshots' time."""

    def __init__(
        self, course: Course, stream: TextIO, interval_s: float = PLAIN_INTERVAL_S
    ) -> None:
        self._course = course
        self._stream = stream
        self._interval_ns = int(interval_s * 1e9)
        self._next_ns: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def update(self, snapshot: Snapshot) -> None:
        """Writes a line if its time has come."""
        moment = self._course.take(snapshot)
        if self._next_ns is not None and snapshot.at_ns < self._next_ns:
            return
        self._next_ns = snapshot.at_ns + self._interval_ns
        self.write(plain_line(moment))

    def write(self, line: str) -> None:
        """Where a line goes."""
        put_line(line, self._stream)


class LoggedView(PlainView):
    """The same lines as events of the log, so that a log in JSON is JSON throughout."""

    def write(self, line: str) -> None:
        """Logs it."""
        logger.info(line)


def open_view(
    desired: int | Callable[[], int],
    stream: TextIO | None = None,
    title: str = "regiment",
    logged: bool = False,
) -> View:
    """The view that fits `stream` (default stderr): live on a terminal, else plain lines.

    `logged`: lines of the log instead, wherever that goes; in the journal they always are, and few.
    """
    stream = stream or sys.stderr
    if is_journal(stream):
        return LoggedView(Course(desired), stream, JOURNAL_INTERVAL_S)
    if logged:
        return LoggedView(Course(desired), stream)
    console = Console(file=stream)
    if console.is_terminal and not console.is_dumb_terminal:
        return TerminalView(Course(desired), console, title)
    return PlainView(Course(desired), stream)


def _request_rate(moment: Moment) -> float:
    if moment.recent.seconds <= 0:
        return 0.0
    sent = sum(
        count for labels, count in moment.recent.series(_SENT) if labels[:2] == ("sent", "REGISTER")
    )
    return sent / moment.recent.seconds


def _quantiles(moment: Moment) -> dict[str, str]:
    histogram = moment.recent.histogram(DURATION)
    if not histogram.count:
        histogram = moment.snapshot.histogram(DURATION)
    return {name: duration_text(histogram.quantile(q)) for name, q in QUANTILES.items()}


def _state_table(moment: Moment) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for state, count in moment.snapshot.states().items():
        table.add_row(Text(state, style=STYLES[state]), f"{count:,}")
    return table


def _figure_table(moment: Moment) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("requests/s", f"{_request_rate(moment):,.0f}")
    for name, text in _quantiles(moment).items():
        table.add_row(f"RRD {name}", text)
    table.add_row("retransmitted", f"{moment.snapshot.total(_RETRANSMITTED):,}")
    table.add_row("gated", f"{moment.snapshot.total('regiment_target_gated'):,}")
    table.add_row("lapsed", f"{moment.snapshot.total('regiment_registration_expired_total'):,}")
    return table


def _code_table(moment: Moment) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    codes = moment.snapshot.codes()
    often = sorted(codes, key=lambda code: (-codes[code], code))[:_MOST_CODES]
    for code in sorted(often):
        table.add_row(str(code), f"{codes[code]:,}")
    if len(codes) > len(often):
        table.add_row("others", f"{sum(codes.values()) - sum(codes[code] for code in often):,}")
    return table
