"""How long the engine takes to read its configuration: ``python -m bench.macro.load [--quick]``.

A pjsip.conf of trunks, each with an auth object of its own: from the start of the process until its
worker has its share and begins to register.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.macro.clients import Engine

COUNTS = {100_000: 3, 1_000_000: 1}
"""Registrations, and how often."""
QUICK_COUNTS = {10_000: 3, 100_000: 1}
LATE_S = 3600
"""So far are the first REGISTERs spread that hardly one disturbs."""


def one(count: int) -> dict[str, float]:
    """Seconds of one start."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
    ):
        silent.bind(("127.0.0.1", 0))
        engine = Engine(Path(name), silent.getsockname()[1], count, LATE_S, None)
        size_bytes = Path(name, "pjsip.conf").stat().st_size
        begin_s = time.monotonic()
        try:
            engine.start()
            wall_s = time.monotonic() - begin_s
        finally:
            engine.close()
    print(f"{count:,} registrations: {wall_s:.2f} s", flush=True)
    return {"wall_s": wall_s, "load_s": engine.load_s, "file_bytes": size_bytes}


def rows(quick: bool = False) -> dict[str, Any]:
    """The median of some starts at each size."""
    steps = []
    for count, times in (QUICK_COUNTS if quick else COUNTS).items():
        runs = [one(count) for _ in range(times)]
        median = statistics.median(run["wall_s"] for run in runs)
        steps.append({"registrations": count, "wall_s": median, "runs": runs})
    return {"steps": steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(rows(parser.parse_args().quick), indent=1))


if __name__ == "__main__":
    main()
