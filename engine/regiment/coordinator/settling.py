"""Is a file whole, or is somebody still writing it? Judged by what the file system tells.

A file that was changed a moment before it was read, or while it was read, is worth another look. So
is one that was changed lately and ends in the middle of a line: its writer may have paused. Nothing
of this is certain, and so nobody waits for long. A time that is yet to come tells nothing: such a
file counts as whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection

QUIET_NS = 200_000_000
"""A file that was left alone for so long is taken for whole."""
PAUSE_NS = 5_000_000_000
"""A writer that stopped in the middle of a line is given so long to go on."""
_SKEW_NS = 1_000_000_000
"""The clock of a file server may be ahead by so much."""
_POLL_S = 0.02
_PATIENCE_NS = 2_000_000_000


def wait_until_quiet(path: str) -> None:
    """Waits until the file has been left alone for a while, but for two seconds at most."""
    until_ns = time.monotonic_ns() + _PATIENCE_NS
    while time.monotonic_ns() < until_ns:
        if not _changed_since(path, time.time_ns() - QUIET_NS):
            return
        time.sleep(_POLL_S)


def is_unsettled(files: Collection[str], began_ns: int) -> bool:
    """Whether files that were read from `began_ns` (Unix time) on should be read once more."""
    lately_ns = time.time_ns() - PAUSE_NS
    return any(
        _changed_since(file, began_ns - QUIET_NS)
        or (_changed_since(file, lately_ns) and not _ends_a_line(file))
        for file in files
    )


def _changed_since(path: str, instant_ns: int) -> bool:
    try:
        return instant_ns < os.stat(path).st_mtime_ns <= time.time_ns() + _SKEW_NS
    except OSError:
        # It was there when it was read, or it is about to be replaced.
        return True


def _ends_a_line(path: str) -> bool:
    try:
        with open(path, "rb") as source:
            size = source.seek(0, os.SEEK_END)
            source.seek(max(size - 1, 0))
            return source.read(1) in (b"\n", b"")
    except OSError:
        return False
