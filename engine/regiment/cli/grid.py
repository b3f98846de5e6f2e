"""Tables without lines, for people who look at a running engine."""

from __future__ import annotations

from rich.table import Table


def grid(*columns: str) -> Table:
    """A table without lines; a column whose name begins with ``>`` is of numbers."""
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        right = name.startswith(">")
        made.add_column(name.lstrip(">"), justify="right" if right else "left", overflow="fold")
    return made


def rest(count: int, what: str) -> tuple[str, ...]:
    """Says how many rows were left out, if any were."""
    return (f"and {count:,} more {what}",) if count > 0 else ()
