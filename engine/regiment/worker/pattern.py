"""Patterns that names are searched with (``like``).

RE2 matches them in time that grows with the name and the pattern only, so there is no pattern that
stalls a worker; it knows no back-references and no look-around. Memory is bounded too: a pattern
that needs more is refused.
"""

from __future__ import annotations

from typing import Any

from regiment.errors import LocalError

BYTES_MAX = 256
MEMORY_BYTES = 64 << 10
"""Of a compiled pattern: some 50 µs is then the worst for one name."""


def compile_pattern(text: str) -> Any:
    """The pattern, with a method `search` for a name in UTF-8. Raises `LocalError`."""
    import re2  # loaded where somebody asks with a pattern only: 2 MB in each worker

    raw = text.encode("utf-8", "surrogateescape")
    if len(raw) > BYTES_MAX:
        raise LocalError(f"like: the pattern is longer than {BYTES_MAX} bytes")
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = MEMORY_BYTES
    try:
        return re2.compile(raw, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "not understood"
        if isinstance(reason, bytes):
            reason = reason.decode("utf-8", "replace")
        raise LocalError(f"like: {reason}") from None
