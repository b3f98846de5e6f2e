"""Which registrar has which row of the scoreboards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regiment.metrics.catalogue import OTHER, REGISTRAR_ROWS


def choose_rows(counts: Mapping[str, int], kept: Sequence[str] = ()) -> list[str]:
    """The labels of rows 1, 2, … (at most 50): the registrars with the most registrations.

    `counts`: ``host[:port]`` of server_uri in lower case -> its registrations. `kept`: the rows
    chosen before. They stay where they are for the engine's life, because a counter must not change
    its meaning; new registrars take the rows that are left, and the rest is ``other`` (row 0).
    """
    rows = list(kept[: REGISTRAR_ROWS - 1])
    taken = {*rows, OTHER}
    ranked = sorted(counts, key=lambda label: (-counts[label], label))
    for label in ranked:
        if len(rows) == REGISTRAR_ROWS - 1:
            break
        if label not in taken:
            rows.append(label)
    return rows


def row_of(label: str, rows: Sequence[str]) -> int:
    """The row of a registrar; 0 (``other``) if it has none of its own."""
    return rows.index(label) + 1 if label in rows else 0
