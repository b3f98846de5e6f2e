"""Names of registrations for the shell: asked of the engine, quickly, and silent on any failure."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from regiment.cli import connection
from regiment.errors import RegimentError

MOST = 100
"""Names that are offered."""
PATIENCE_S = 1.0
"""A shell waits for no more than this."""


def complete_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names that begin with what was typed, but for those that stand on the line already."""
    options = context.params
    socket, url, token_file = (options.get(each) for each in ("socket", "url", "token_file"))
    typed = set(options.get("names") or ())
    names: list[str] = []
    until_s = time.monotonic() + PATIENCE_S
    try:
        with connection.find(
            Path(socket) if socket else None,
            url or "",
            Path(token_file) if token_file else None,
            patience_s=PATIENCE_S,
        ) as engine:
            for each in engine.registrations(prefix=incomplete):
                if each.name not in typed:
                    names.append(each.name)
                if len(names) >= MOST or time.monotonic() > until_s:
                    break
    except (RegimentError, OSError):
        # what was found so far is still worth an offer
        pass
    return sorted(names)
