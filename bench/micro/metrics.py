"""Scoreboard, snapshot and exposition: ``python -m bench.micro.metrics [--workers N] [--json]``.

A recorded value is given in nanoseconds; what a scrape does, with all boards full, in microseconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from types import ModuleType

from bench.micro.loops import best_ns, build, load

from regiment.metrics.exposition import Exposition, Facts
from regiment.metrics.layout import CELL_COUNT
from regiment.metrics.scoreboard import Scoreboard
from regiment.metrics.snapshot import Snapshot

RECORDS = 2_000_000
FAMILY = "regiment_register_duration_seconds"


def full_boards(workers: int) -> dict[int, bytearray]:
    """Boards in which no cell is zero."""
    boards = {}
    for number in range(workers):
        memory = bytearray(Scoreboard.size_bytes())
        cells = memoryview(memory).cast("Q")
        for index in range(CELL_COUNT):
            cells[index] = index + 1
        boards[number] = memory
    return boards


def measure(loops: ModuleType, workers: int) -> dict[str, float]:
    """Nanoseconds of each operation."""
    board = Scoreboard(bytearray(Scoreboard.size_bytes()))
    draws = best_ns(lambda: loops.draw(RECORDS), RECORDS)
    recording = best_ns(lambda: loops.record(board, FAMILY, ("initial",), RECORDS), RECORDS)
    boards = full_boards(workers)
    older = Snapshot.of(boards)
    registrars = [f"sip{number}.example.net" for number in range(50)]
    facts = Facts(registrars=registrars, desired=dict.fromkeys(range(51), 1))
    exposition = Exposition(lambda: (Snapshot.of(boards), facts))
    return {
        "record a value": recording - draws,
        "snapshot": best_ns(lambda: Snapshot.of(boards), 1),
        "difference of snapshots": best_ns(lambda: older.minus(older), 1),
        "scrape": best_ns(exposition.render, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(load(build("record_loops", Path(folder))), options.workers)
    if options.json:
        print(json.dumps({"workers": options.workers, "ns": results}))
        return
    for name, value in results.items():
        text = f"{value:8.1f} ns" if value < 1000 else f"{value / 1000:8.1f} µs"
        print(f"{name:28} {text}")


if __name__ == "__main__":
    main()
