"""Which registrar, or which group, has which row of the scoreboards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regiment.metrics.catalogue import OTHER, REGISTRAR_ROWS


def choose_rows(
    counts: Mapping[str, int], kept: Sequence[str] = (), limit: int = REGISTRAR_ROWS
) -> list[str]:
    """The labels of rows 1, 2, … (`limit` - 1 at most): those with the most registrations.

    `counts`: label (``host[:port]`` of server_uri in lower case; a group) -> its registrations.
    `kept`: the rows chosen before. They stay where they are for the engine's life, because a
    counter must not change its meaning; new labels take the rows that are left, and the rest is
    ``other`` (row 0).
    """
    rows = list(kept[: limit - 1])
    taken = {*rows, OTHER}
    ranked = sorted(counts, key=lambda label: (-counts[label], label))
    for label in ranked:
        if len(rows) == limit - 1:
            break
        if label not in taken:
            rows.append(label)
    return rows


def row_of(label: str, rows: Sequence[str]) -> int:
    """The row of a label; 0 (``other``) if it has none of its own."""
    return rows.index(label) + 1 if label in rows else 0


def count_rows(counts: Mapping[str, int], rows: Sequence[str]) -> dict[int, int]:
    """Row -> registrations; row 0 only where something falls to it."""
    by_row = {row: counts.get(label, 0) for row, label in enumerate(rows, start=1)}
    if rest := sum(counts.values()) - sum(by_row.values()):
        by_row[0] = rest
    return by_row
