"""The histogram of metrics/scoreboard in exact rational numbers: slow, and plain to read."""

from __future__ import annotations

from fractions import Fraction

OCTAVE = 32
UNIT = Fraction(1, 2**25)
LONGEST = Fraction(64)


def fine_edges() -> list[Fraction]:
    """The upper edges of all buckets but the overflow, in seconds, ascending."""
    edges = [UNIT * (i + 1) for i in range(OCTAVE)]
    start = UNIT * OCTAVE
    while start < LONGEST:
        edges += [start + start * (i + 1) / OCTAVE for i in range(OCTAVE)]
        start *= 2
    return edges


def bucket_of(value_ns: int, edges: list[Fraction]) -> int:
    """The first bucket whose upper edge is not below the value; the last one takes the rest."""
    seconds = Fraction(value_ns, 10**9)
    for number, edge in enumerate(edges):
        if seconds <= edge:
            return number
    return len(edges)
