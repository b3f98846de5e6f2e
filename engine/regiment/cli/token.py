"""The bearer token of the HTTP API, as its server and its clients are given it."""

from __future__ import annotations

import os
from pathlib import Path

from regiment.errors import LocalError


def read_token(file: Path | None) -> str:
    """The token of the file, else of REGIMENT_TOKEN; empty: none. Raises `LocalError`."""
    if file is None:
        return _sendable(os.environ.get("REGIMENT_TOKEN", "").strip(), "REGIMENT_TOKEN")
    place = f"--token-file {file}"
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise LocalError(f"{place}: {reason}") from None
    if not token:
        raise LocalError(f"{place}: empty")
    return _sendable(token, place)


def _sendable(token: str, place: str) -> str:
    """A header has one line, and clients do not agree on what lies beyond ASCII."""
    if not (token.isascii() and token.isprintable()):
        raise LocalError(f"{place}: a token is one line of ASCII")
    return token
