"""The bearer token of the HTTP API, as its server and its clients are given it."""

from __future__ import annotations

import os
from pathlib import Path

from regiment.errors import LocalError


def read_token(file: Path | None) -> str:
    """The token of the file, else of REGIMENT_TOKEN; empty: none. Raises `LocalError`."""
    if file is None:
        return os.environ.get("REGIMENT_TOKEN", "").strip()
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise LocalError(f"--token-file {file}: {reason}") from None
    if not token:
        raise LocalError(f"--token-file {file}: empty")
    return token
