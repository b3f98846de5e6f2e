"""The timer wheel, in nanoseconds a timer: ``python -m bench.micro.timing [--timers N] [--json]``.

The loops are compiled for the occasion, so that no Python call is measured along with the wheel.
Timers are taken in random order: what is seen includes the cache misses of that many records.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from types import ModuleType

from bench.micro.loops import best_ns, build, load

from regiment.timing.wheel import Wheel

S = 1_000_000_000
HOUR = 3600 * S


def measure(loops: ModuleType, timers: int) -> dict[str, float]:
    """Nanoseconds of each operation with `timers` timers."""
    wheel = Wheel(timers)
    draws = best_ns(lambda: loops.draw(wheel, timers, 0, HOUR), timers)

    def fill() -> None:
        nonlocal wheel
        wheel = Wheel(timers)
        loops.arm(wheel, timers, 0, HOUR)

    def empty() -> None:
        nonlocal wheel
        wheel = Wheel(timers)

    results = {"arm": best_ns(lambda: loops.arm(wheel, timers, 0, HOUR), timers, empty) - draws}
    fill()
    results["re-arm"] = best_ns(lambda: loops.arm(wheel, timers, 0, HOUR), timers) - draws
    results["arm E, cancel, arm refresh"] = (
        best_ns(lambda: loops.exchange(wheel, timers, 0), timers) - draws
    )
    results["deadline"] = best_ns(lambda: loops.deadline(wheel, timers), timers)
    fill()
    armed = wheel.armed
    results["fire, all cascades"] = best_ns(lambda: loops.follow(wheel), armed, fill)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timers", type=int, default=300_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(load(build("wheel_loops", Path(folder))), options.timers)
    if options.json:
        print(json.dumps({"timers": options.timers, "ns": results}))
        return
    for name, value in results.items():
        print(f"{name:28} {value:8.1f} ns")


if __name__ == "__main__":
    main()
