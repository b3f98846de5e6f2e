"""systemd's journal as the reader of stderr."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import TextIO

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Level -> priority of syslog, as sd-daemon(3) writes it in front of a line."""


def is_journal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """What is written to `stream` goes to the journal (``JOURNAL_STREAM`` of systemd.exec(5))."""
    with contextlib.suppress(OSError, ValueError):
        found = os.fstat(stream.fileno())
        return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
    return False
