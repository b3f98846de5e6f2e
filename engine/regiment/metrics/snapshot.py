"""The sum of several scoreboards at one moment, and what people ask of it.

A snapshot is taken at scrape time or for the live view, never on the road of a datagram. Taking one
costs some 20 µs a board; the accessors walk at most a few thousand cells.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

from regiment.metrics.catalogue import CODES, Family
from regiment.metrics.layout import (
    CELL_BYTES,
    FINE_BUCKETS,
    OVERFLOW_BUCKET,
    PLACES,
    SIZE_BYTES,
    UNITS_PER_SECOND,
    Place,
    lower_edge_units,
    place_of,
    upper_edge_units,
)
from regiment.metrics.scoreboard import add_cells
from regiment.model import KINDS, OUTCOMES, STATES

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SIGN = 1 << 63

REGISTRATIONS = "regiment_registrations"
ATTEMPTS = "regiment_register_attempts_total"
RESPONSES = "regiment_sip_responses_total"
DURATION = "regiment_register_duration_seconds"

# The families that are told apart by worker: they lie side by side, and only they are kept twice.
_PER_WORKER = tuple(place for place in PLACES.values() if place.family.per_worker)


class Histogram:
    """The fine buckets of one or several series, added up."""

    __slots__ = ("buckets", "sum_ns")

    def __init__(self, sum_ns: int, buckets: Sequence[int]) -> None:
        self.sum_ns = sum_ns
        self.buckets = buckets

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return sum(self.buckets)

    @property
    def mean_s(self) -> float:
        """Mean in seconds; NaN without values."""
        count = self.count
        return self.sum_ns / count / 1e9 if count else math.nan

    def quantile(self, q: float) -> float:
        """The q-quantile (0 … 1) in seconds: the middle of its fine bucket, so within 1.6 %.

        NaN without values; 64.0 stands for everything beyond.
        """
        count = self.count
        if not count:
            return math.nan
        wanted = max(1, math.ceil(q * count))
        seen = 0
        for bucket, amount in enumerate(self.buckets):
            seen += amount
            if seen >= wanted:
                if bucket == OVERFLOW_BUCKET:
                    return lower_edge_units(bucket) / UNITS_PER_SECOND
                edges = lower_edge_units(bucket) + upper_edge_units(bucket)
                return edges / 2 / UNITS_PER_SECOND
        raise AssertionError("the buckets sum up to the count")


class Snapshot:
    """All cells of all workers, added up; `minus` makes it a difference."""

    __slots__ = ("at_ns", "cells", "seconds", "workers")

    def __init__(
        self,
        cells: array[int],
        workers: Mapping[int, Mapping[str, array[int]]],
        at_ns: int,
        seconds: float = 0.0,
    ) -> None:
        self.cells = cells
        self.workers = workers
        self.at_ns = at_ns
        """When it was taken (the caller's monotonic clock)."""
        self.seconds = seconds
        """Of a difference: the time between its two ends; else 0."""

    @classmethod
    def of(cls, boards: Mapping[int, Buffer], at_ns: int = 0) -> Snapshot:
        """Adds up the boards (worker number -> its memory)."""
        total = bytearray(SIZE_BYTES)
        workers: dict[int, dict[str, array[int]]] = {}
        for number, board in boards.items():
            add_cells(total, board)
            view = memoryview(board).cast("B")
            own: dict[str, array[int]] = {}
            for place in _PER_WORKER:
                cells = array("Q")
                start = place.offset * CELL_BYTES
                cells.frombytes(view[start : start + place.cells * CELL_BYTES])
                own[place.family.name] = cells
            workers[number] = own
            view.release()
        summed = array("Q")
        summed.frombytes(total)
        return cls(summed, workers, at_ns)

    def minus(self, older: Snapshot) -> Snapshot:
        """What was counted since `older`: counters and histograms are differences, gauges stay.

        `seconds` of the result is the time between; `rate` uses it.
        """
        cells = array("Q", self.cells)
        workers = {
            number: {name: array("Q", values) for name, values in own.items()}
            for number, own in self.workers.items()
        }
        for name, place in PLACES.items():
            if place.family.kind not in ("counter", "histogram"):
                continue
            part = slice(place.offset, place.offset + place.cells)
            cells[part] = _difference(self.cells[part], older.cells[part])
            for number, own in workers.items():
                if place.family.per_worker and number in older.workers:
                    own[name] = _difference(own[name], older.workers[number][name])
        return Snapshot(cells, workers, self.at_ns, (self.at_ns - older.at_ns) / 1e9)

    # ---- one series, or several added up

    def value(self, family: str, labels: tuple[str, ...] = (), row: int | None = None) -> int:
        """One cell; without `row` the sum over all registrars. `KeyError` for an unknown one."""
        place = place_of(family)
        first = place.find(labels, row or 0)
        if row is not None or place.rows == 1:
            return self._read(place.family, self.cells[first])
        column = self.cells[first : place.offset + place.cells : place.row_cells]
        return sum(self._read(place.family, cell) for cell in column)

    def worker_value(self, worker: int, family: str, labels: tuple[str, ...] = ()) -> int:
        """One cell of one worker, for families with `per_worker`."""
        place = place_of(family)
        return self._read(
            place.family, self.workers[worker][family][place.find(labels) - place.offset]
        )

    def total(self, family: str) -> int:
        """The sum of all series of a family."""
        place = place_of(family)
        cells = self.cells[place.offset : place.offset + place.cells]
        return sum(self._read(place.family, cell) for cell in cells)

    def rate(self, family: str, labels: tuple[str, ...] | None = None) -> float:
        """Of a difference: how many a second (all series without `labels`); 0 without time."""
        if self.seconds <= 0:
            return 0.0
        amount = self.total(family) if labels is None else self.value(family, labels)
        return amount / self.seconds

    def series(self, family: str, row: int = 0) -> Iterator[tuple[tuple[str, ...], int]]:
        """(label values, cell) for every series of one row, in the catalogue's order."""
        place = place_of(family)
        start = place.offset + row * place.row_cells
        cells = self.cells[start : start + place.row_cells : place.width]
        names = product(*(label.values for label in place.family.labels))
        for labels, cell in zip(names, cells, strict=True):
            yield labels, self._read(place.family, cell)

    def worker_series(self, worker: int, family: str) -> Iterator[tuple[tuple[str, ...], int]]:
        """The same for one worker, for families with `per_worker`."""
        place = place_of(family)
        names = product(*(label.values for label in place.family.labels))
        cells = self.workers[worker][family][:: place.width]
        for labels, cell in zip(names, cells, strict=True):
            yield labels, self._read(place.family, cell)

    # ---- what people ask

    def states(self, row: int | None = None) -> dict[str, int]:
        """Registrations by state, every state named."""
        return {state: self.value(REGISTRATIONS, (state,), row) for state in STATES}

    def codes(self, direction: str = "received", method: str = "REGISTER") -> dict[int, int]:
        """Responses by status code, those that came up."""
        place = place_of(RESPONSES)
        first = place.find((direction, method, CODES[0]))
        cells = self.cells[first : first + len(CODES)]
        return {int(code): cell for code, cell in zip(CODES, cells, strict=True) if cell}

    def attempts(self, kind: str = "", outcome: str = "") -> int:
        """Finished attempts of a kind with an outcome; empty: all of them."""
        kinds = (kind,) if kind else KINDS
        outcomes = (outcome,) if outcome else OUTCOMES
        return sum(self.value(ATTEMPTS, pair) for pair in product(kinds, outcomes))

    def histogram(self, family: str, labels: tuple[str, ...] | None = None) -> Histogram:
        """One series of a histogram, or with None all its series added up."""
        place = place_of(family)
        if labels is not None:
            return self._histogram(self.cells, place.find(labels))
        starts = range(place.offset, place.offset + place.cells, place.width)
        parts = [self._histogram(self.cells, start) for start in starts]
        buckets = [sum(column) for column in zip(*(part.buckets for part in parts), strict=True)]
        return Histogram(sum(part.sum_ns for part in parts), buckets)

    def worker_histogram(self, worker: int, family: str, labels: tuple[str, ...] = ()) -> Histogram:
        """One series of one worker's histogram, for families with `per_worker`."""
        place = place_of(family)
        return self._histogram(self.workers[worker][family], place.find(labels) - place.offset)

    def quantile(self, family: str, q: float, labels: tuple[str, ...] | None = None) -> float:
        """The q-quantile of a histogram in seconds; NaN without values."""
        return self.histogram(family, labels).quantile(q)

    # ---- inside

    @staticmethod
    def _histogram(cells: array[int], start: int) -> Histogram:
        return Histogram(cells[start], cells[start + 1 : start + 1 + FINE_BUCKETS])

    @staticmethod
    def _read(family: Family, cell: int) -> int:
        # A gauge is raised and lowered by its one writer; between two of its cells a sum of several
        # workers may for an instant be below nothing.
        if family.kind == "gauge" and cell >= _SIGN:
            return 0
        return cell


def _difference(newer: array[int], older: array[int]) -> array[int]:
    return array("Q", [max(0, a - b) for a, b in zip(newer, older, strict=True)])


__all__ = ["ATTEMPTS", "DURATION", "REGISTRATIONS", "RESPONSES", "Histogram", "Place", "Snapshot"]
