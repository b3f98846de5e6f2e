"""The timer wheel, in nanoseconds a timer: ``python -m bench.micro.timing [--timers N] [--json]``.

The loops are compiled for the occasion, so that no Python call is measured along with the wheel.
Timers are taken in random order: what is seen includes the cache misses of that many records.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from regiment.timing.wheel import Wheel

HERE = Path(__file__).parent
ENGINE = HERE.parent.parent / "engine"
S = 1_000_000_000
HOUR = 3600 * S
REPEATS = 5


def compiled(folder: Path) -> ModuleType:
    """`wheel_loops.pyx`, built in `folder`."""
    from Cython.Build import cythonize
    from setuptools import Extension
    from setuptools.dist import Distribution

    extension = Extension(
        "wheel_loops", [str(HERE / "wheel_loops.pyx")], extra_compile_args=["-O2"]
    )
    modules = cythonize(
        [extension], build_dir=str(folder), include_path=[str(ENGINE)], quiet=True, force=True
    )
    command = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
    command.build_lib = command.build_temp = str(folder)
    command.ensure_finalized()
    command.run()
    [path] = folder.glob("wheel_loops*.so")
    spec = importlib.util.spec_from_file_location("wheel_loops", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def best_ns(run: Callable[[], Any], operations: int, prepare: Callable[[], Any] = int) -> float:
    """The least CPU time of some runs, by operation: what disturbs only ever adds."""
    times = []
    for _ in range(REPEATS):
        prepare()
        begin = time.process_time_ns()
        run()
        times.append(time.process_time_ns() - begin)
    return min(times) / operations


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
        results = measure(compiled(Path(folder)), options.timers)
    if options.json:
        print(json.dumps({"timers": options.timers, "ns": results}))
        return
    for name, value in results.items():
        print(f"{name:28} {value:8.1f} ns")


if __name__ == "__main__":
    main()
