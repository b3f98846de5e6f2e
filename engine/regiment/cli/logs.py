"""Structured logs on stderr, as text for people or as JSON lines.

Three processors stand between a log call and the stream:

* `keep_safe` lets only the fields of `SAFE_FIELDS` through, and takes passwords out of URIs: a
  secret cannot get into a log by way of a field that nobody thought about;
* `Repeats` passes the first message of a kind per (registrar, code) and counts its repetitions, so
  that 100,000 trunks that fail alike make one line each interval and not 100,000;
* the renderer.

The floors below the doors call ``structlog.get_logger()`` and know nothing of this.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TextIO

import orjson
import structlog

from regiment.errors import LocalError

SAFE_FIELDS = frozenset(
    {
        "address",
        "aor",
        "call_id",
        "code",
        "count",
        "desired",
        "error",
        "exit_code",
        "expires_in_s",
        "failure_class",
        "file",
        "host",
        "kind",
        "limit",
        "line",
        "name",
        "outcome",
        "path",
        "pid",
        "port",
        "rate",
        "reason",
        "registered",
        "registrar",
        "registrations",
        "repeated",
        "retry_after_s",
        "retry_in_s",
        "seconds",
        "section",
        "signal",
        "size_bytes",
        "state",
        "state_from",
        "state_to",
        "target",
        "transport",
        "url",
        "version",
        "warning",
        "worker",
        "workers",
    }
)
"""The only fields that reach a log. None of them ever holds a secret."""

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
_OWN = ("event", "level", "timestamp")
_LONGEST = 500
_URI_PASSWORD = re.compile(r"(sips?:[^:@\s<>]+):[^@\s<>]*@", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

EventDict = MutableMapping[str, Any]


def safe_text(value: str) -> str:
    """`value` on one line, cut at 500 characters, without the password of a sip URI."""
    value = _UNPRINTABLE.sub(" ", value[: 2 * _LONGEST])
    value = _URI_PASSWORD.sub(r"\1:***@", value)
    return value if len(value) <= _LONGEST else value[:_LONGEST] + "…"


def keep_safe(_logger: object, _method: str, event: EventDict) -> Mapping[str, Any]:
    """Drops every field that is not known to be safe, and makes the others one line of text."""
    kept: dict[str, Any] = {}
    for key, value in event.items():
        if key in SAFE_FIELDS or key in _OWN:
            kept[key] = value if isinstance(value, int | float) else safe_text(str(value))
    return kept


class Repeats:
    """Passes one message per (text, registrar, code) and interval; counts the others.

    Messages without `registrar` always pass. At most `limit` kinds are counted at a time; beyond
    that the oldest one's interval ends early.
    """

    def __init__(
        self,
        interval_s: float = 10.0,
        limit: int = 1000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval_s = interval_s
        self._limit = limit
        self._clock = clock
        # kind -> [start of its interval, held back since, the last one held back]
        self._kinds: dict[tuple[object, ...], list[Any]] = {}
        self._over: list[EventDict] = []

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        """structlog's face: returns the event, or raises `DropEvent`."""
        if "registrar" not in event:
            return event
        kind = (event.get("event"), event["registrar"], event.get("code"))
        now = self._clock()
        seen = self._kinds.get(kind)
        if seen and now - seen[0] < self._interval_s:
            seen[1] += 1
            seen[2] = dict(event)
            raise structlog.DropEvent
        if seen and seen[1]:
            event["repeated"] = seen[1]
        self._kinds.pop(kind, None)
        self._kinds[kind] = [now, 0, None]
        while len(self._kinds) > self._limit:
            self._end(next(iter(self._kinds)))
        return event

    def flush(self) -> list[EventDict]:
        """What was held back in intervals that are over, each with `repeated`; forgets it."""
        now = self._clock()
        for kind in [k for k, seen in self._kinds.items() if now - seen[0] >= self._interval_s]:
            self._end(kind)
        return self._drain()

    def flush_all(self) -> list[EventDict]:
        """The same for every interval: for the end of a run."""
        for kind in list(self._kinds):
            self._end(kind)
        return self._drain()

    def _end(self, kind: tuple[object, ...]) -> None:
        _, held, last = self._kinds.pop(kind)
        if held and len(self._over) < 2 * self._limit:
            self._over.append({**last, "repeated": held})

    def _drain(self) -> list[EventDict]:
        over, self._over = self._over, []
        return over


def render_text(_logger: object, _method: str, event: EventDict) -> str:
    """``2026-01-02T03:04:05.678Z warning  text  key=value key="two words"``."""
    head = f"{event.pop('timestamp')} {event.pop('level'):<7}  {event.pop('event')}"
    fields = " ".join(f"{key}={_quoted(value)}" for key, value in event.items())
    return f"{head}  {fields}" if fields else head


def render_json(_logger: object, _method: str, event: EventDict) -> str:
    """One JSON object a line."""
    return orjson.dumps(event).decode()


def _quoted(value: object) -> str:
    text = str(value)
    if text and not re.search(r'[\s"=]', text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def put_line(line: str, stream: TextIO) -> None:
    """Writes a line. A full disk or a reader that has gone costs the line and nothing more."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=stream, flush=True)


class _Lines(structlog.PrintLogger):
    """Where rendered events go."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._stream = stream

    def msg(self, message: str) -> None:
        """One event, rendered."""
        put_line(message, self._stream)

    debug = info = warning = error = msg


def set_up(log_format: str = "text", level: str = "info", stream: TextIO | None = None) -> Repeats:
    """Configures structlog for this process and returns its counter of repetitions.

    Call `tell(repeats)` every some seconds. Raises `LocalError` for an unknown format or level.
    """
    if log_format not in FORMATS:
        raise LocalError(f"--log-format {log_format!r}: one of {', '.join(FORMATS)}")
    if level not in LEVELS:
        raise LocalError(f"log level {level!r}: one of {', '.join(LEVELS)}")
    repeats = Repeats()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            repeats,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_safe,
            render_json if log_format == "json" else render_text,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Looked up at each call: the live view puts a stand-in for stderr while it is shown.
        logger_factory=lambda *_: _Lines(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    return repeats


def tell(repeats: Repeats, at_end: bool = False) -> None:
    """Logs what `repeats` has held back long enough (`at_end`: all of it)."""
    logger = structlog.get_logger()
    for event in repeats.flush_all() if at_end else repeats.flush():
        level = event.pop("level")
        getattr(logger, level)(event.pop("event"), **event)
