"""Where a metric's cells lie in a scoreboard, and what a histogram's fine buckets mean.

A scoreboard is an array of unsigned 64-bit cells. Each family of `catalogue.py` that is counted in
cells owns one run of them: rows (of registrars, groups or endpoints) outermost, then the labels in
their order, the last one innermost; a histogram has `HISTOGRAM_CELLS` cells in the place of one.

**Histogram.** The first cell is the sum in nanoseconds, then come `FINE_BUCKETS` fine buckets. They
are log-linear: 32 to an octave, so a bucket is at most 1/32 of its lower edge wide and a value told
by the middle of its bucket is off by at most 1.6 %. The count is the sum of the buckets, so the two
can never disagree. Edges are measured in units of 2**-25 s (29.8 ns), not in nanoseconds: that puts
an edge exactly on every power of two of a second, which is where the exported ``le`` edges are. A
bucket holds the values in (lower edge, upper edge], as ``le`` means it, so the exported cumulative
counts are exact and not rounded.
"""

from __future__ import annotations

import msgspec

from regiment.metrics.catalogue import FAMILIES, ROWS, Family

CELL_BYTES = 8

UNITS_PER_SECOND = 1 << 25
SUB_BUCKETS = 32
OVERFLOW_BUCKET = 864
"""The bucket of everything beyond 64 s."""
FINE_BUCKETS = OVERFLOW_BUCKET + 1
HISTOGRAM_CELLS = 1 + FINE_BUCKETS

EXPORTED_OCTAVES = range(-14, 6)
"""Exponents of the exported edges: 2**-14 s (61 µs) … 2**5 s (32 s)."""


def upper_edge_units(bucket: int) -> int:
    """The upper edge of a fine bucket in units of 2**-25 s; the overflow bucket has none."""
    if bucket < SUB_BUCKETS:
        return bucket + 1
    octave = bucket // SUB_BUCKETS - 1
    return (SUB_BUCKETS + bucket % SUB_BUCKETS + 1) << octave


def lower_edge_units(bucket: int) -> int:
    """The lower edge of a fine bucket in units of 2**-25 s."""
    return 0 if bucket == 0 else upper_edge_units(bucket - 1)


def buckets_up_to(exponent: int) -> int:
    """How many fine buckets lie at or below 2**exponent seconds (exact, see the module's text)."""
    octave = 25 + exponent - 5
    return (octave + 1) * SUB_BUCKETS


EXPORTED_EDGES: tuple[tuple[float, int], ...] = tuple(
    (2.0**exponent, buckets_up_to(exponent)) for exponent in EXPORTED_OCTAVES
)
"""(``le`` in seconds, number of fine buckets at or below it), ascending."""


class Place(msgspec.Struct, frozen=True):
    """Where one family lies."""

    family: Family
    offset: int
    """Its first cell."""
    rows: int
    """1, or what `catalogue.ROWS` says for its row label."""
    row_cells: int
    """Cells of one row."""
    width: int
    """Cells of one series: 1, or `HISTOGRAM_CELLS`."""
    index: tuple[dict[str, int], ...]
    """For each label: value -> its number."""

    @property
    def cells(self) -> int:
        """Cells of the whole family."""
        return self.rows * self.row_cells

    def find(self, labels: tuple[str, ...], row: int = 0) -> int:
        """The first cell of one series.

        Raises `KeyError` for an unknown label value, a wrong number of them, or a row that is
        not there.
        """
        if len(labels) != len(self.index):
            raise KeyError(f"{self.family.name} has {len(self.index)} labels, not {len(labels)}")
        if not 0 <= row < self.rows:
            raise KeyError(f"{self.family.name} has no row {row}")
        series = 0
        for values, value in zip(self.index, labels, strict=True):
            if value not in values:
                raise KeyError(f"{self.family.name} has no label value {value!r}")
            series = series * len(values) + values[value]
        return self.offset + row * self.row_cells + series * self.width


def _lay_out() -> tuple[dict[str, Place], int]:
    places: dict[str, Place] = {}
    offset = 0
    for family in FAMILIES:
        if family.source != "cell":
            continue
        width = HISTOGRAM_CELLS if family.kind == "histogram" else 1
        row_cells = width
        for label in family.labels:
            row_cells *= len(label.values)
        place = Place(
            family,
            offset,
            ROWS[family.row_label],
            row_cells,
            width,
            tuple({value: i for i, value in enumerate(label.values)} for label in family.labels),
        )
        places[family.name] = place
        offset += place.cells
    return places, offset


PLACES, CELL_COUNT = _lay_out()
SIZE_BYTES = CELL_COUNT * CELL_BYTES
"""Size of one scoreboard."""


def place_of(family: str) -> Place:
    """The place of a family by its name; `KeyError` if no cells are kept under that name."""
    try:
        return PLACES[family]
    except KeyError:
        raise KeyError(f"no cells are kept for {family!r}") from None
