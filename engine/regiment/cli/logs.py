"""Structured logs on stderr, as text for people or as JSON lines.

Three processors stand between a log call and the stream:

* `keep_safe` lets only the fields of `SAFE_FIELDS` through, and takes passwords out of URIs: a
  secret cannot get into a log by way of a field that nobody thought about;
* `Repeats` passes the first messages of a kind per (registrar, code) and counts further ones, so
  that 100,000 trunks that fail alike make one line each minute and not 100,000;
* the renderer.

The floors below the doors call ``structlog.get_logger()`` and know nothing of this.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import orjson
import structlog

from regiment.cli.journal import PRIORITIES, is_journal
from regiment.cli.repeats import EventDict, Repeats
from regiment.cli.text import safe_text
from regiment.errors import LocalError

SAFE_FIELDS = frozenset(
    {
        "added",
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
        "kept",
        "kind",
        "limit",
        "line",
        "moved",
        "name",
        "outcome",
        "path",
        "pid",
        "policy",
        "port",
        "rate",
        "reason",
        "refused",
        "registered",
        "registrar",
        "registrations",
        "removed",
        "repeated",
        "retry_after_s",
        "retry_in_s",
        "seconds",
        "section",
        "signal",
        "size_bytes",
        "socket",
        "state",
        "state_from",
        "state_to",
        "target",
        "torn",
        "transport",
        "url",
        "version",
        "warning",
        "wire",
        "worker",
        "workers",
    }
)
"""The only fields that reach a log. None of them ever holds a secret."""

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
_OWN = ("event", "level", "timestamp")


def keep_safe(_logger: object, _method: str, event: EventDict) -> Mapping[str, Any]:
    """Drops every field that is not known to be safe, and makes the others one line of text."""
    kept: dict[str, Any] = {}
    for key, value in event.items():
        if key in SAFE_FIELDS or key in _OWN:
            kept[key] = value if isinstance(value, int | float) else safe_text(str(value))
    return kept


def render_text(_logger: object, _method: str, event: EventDict) -> str:
    """``2026-01-02T03:04:05.678Z warning  text  key=value key="two words"``."""
    return f"{event.pop('timestamp')} {event.pop('level'):<7}  {_text_of(event)}"


def render_json(_logger: object, _method: str, event: EventDict) -> str:
    """One JSON object a line."""
    return orjson.dumps(event).decode()


def render_journal_text(_logger: object, _method: str, event: EventDict) -> str:
    """``<4>text  key=value``: the journal keeps time and priority by itself (sd-daemon(3))."""
    del event["timestamp"]
    return f"<{PRIORITIES[event.pop('level')]}>{_text_of(event)}"


def render_journal_json(logger: object, method: str, event: EventDict) -> str:
    """The same object as elsewhere; the journal takes the priority in front of it away."""
    return f"<{PRIORITIES[event['level']]}>{render_json(logger, method, event)}"


def _text_of(event: EventDict) -> str:
    text = str(event.pop("event"))
    fields = " ".join(f"{key}={_quoted(value)}" for key, value in event.items())
    return f"{text}  {fields}" if fields else text


def _quoted(value: object) -> str:
    text = str(value)
    if text and not re.search(r'[\s"=]', text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def put_line(line: str, stream: TextIO) -> None:
    """Writes a line. A full disk or a reader that has gone costs the line and nothing more."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=stream, flush=True)


_RENDERERS = {
    ("text", False): render_text,
    ("json", False): render_json,
    ("text", True): render_journal_text,
    ("json", True): render_journal_json,
}


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
    Where stderr is the journal's, lines carry its priorities, and text lines no time of their own.
    """
    if log_format not in FORMATS:
        raise LocalError(f"--log-format {log_format!r}: one of {', '.join(FORMATS)}")
    if level not in LEVELS:
        raise LocalError(f"log level {level!r}: one of {', '.join(LEVELS)}")
    repeats = Repeats()
    to_journal = is_journal(stream or sys.stderr)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            repeats,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_safe,
            _RENDERERS[log_format, to_journal],
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
