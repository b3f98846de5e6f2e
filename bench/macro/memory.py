"""Memory of the engine by the number of its registrations: ``python -m bench.macro.memory``.

Pss of coordinator and worker when all are registered at an embedded registrar, and once more when
each has been refreshed three times. The spool, kept so that a worker that dies can be replaced,
belongs to no process's Pss and is told beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.macro import processes
from bench.macro.clients import Engine
from bench.macro.registrars import Embedded, Sums, scrape

from regiment.cli.trunks import TrunkPlan, credentials

COUNTS = (1, 100_000, 300_000)
QUICK_COUNTS = (1, 10_000, 30_000)
RATE = 10_000
EXPIRATION_S = 60
REFRESHES = 3
SETTLE_S = 3.0
POLL_S = 0.5


def spool_bytes(pid: int) -> int:
    """What the coordinator keeps of the configuration in memory files."""
    total = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if "memfd:regiment worker" in os.readlink(entry):
                total += entry.stat().st_blocks * 512
    return total


def one(count: int, refreshes: int) -> dict[str, Any]:
    """Memory with so many registrations, and after so many refreshes of each."""
    client_core, registrar_core = processes.cores()
    seconds = max(1, count // RATE)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        trunks = credentials(TrunkPlan("", count))
        with Embedded(trunks, folder, registrar_core, "--min-expires", "10") as registrar:
            engine = Engine(
                folder, registrar.port, count, seconds, client_core, expiration=EXPIRATION_S
            )
            try:
                engine.start()
                _until(engine, lambda sums: sums("regiment_registrations{", 'state="reg') >= count)
                result = {"registrations": count, "registered": _memory(engine)}
                if refreshes:
                    wanted = refreshes * count
                    _until(engine, lambda sums: _refreshes(sums) >= wanted)
                    result["refreshed"] = _memory(engine)
                    result["refreshes"] = _refreshes(scrape(engine.url)) / count
            finally:
                engine.close()
    print(result, flush=True)
    return result


def _refreshes(sums: Sums) -> float:
    return sums("regiment_register_attempts_total", 'kind="refresh"', 'outcome="success"')


def _until(engine: Engine, condition: Any) -> None:
    while not condition(scrape(engine.url)):
        time.sleep(POLL_S)


def _memory(engine: Engine) -> dict[str, int]:
    time.sleep(SETTLE_S)
    coordinator, *workers = engine.pids
    return {
        "coordinator_bytes": processes.pss_bytes([coordinator]),
        "worker_bytes": processes.pss_bytes(workers),
        "spool_bytes": spool_bytes(coordinator),
    }


def rows(quick: bool = False) -> dict[str, Any]:
    """Every count, and what one registration more costs."""
    counts = QUICK_COUNTS if quick else COUNTS
    steps = [one(count, REFRESHES if count == counts[-1] else 0) for count in counts]
    growth = []
    for less, more in pairwise(steps):
        by = more["registrations"] - less["registrations"]
        growth.append(
            {
                "from": less["registrations"],
                "to": more["registrations"],
                "bytes": (_pss(more["registered"]) - _pss(less["registered"])) / by,
                "spool_bytes": (
                    more["registered"]["spool_bytes"] - less["registered"]["spool_bytes"]
                )
                / by,
            }
        )
    last = steps[-1]
    by = last["registrations"] - steps[-2]["registrations"]
    refreshed = (_pss(last["refreshed"]) - _pss(steps[-2]["registered"])) / by
    return {"steps": steps, "growth": growth, "growth_after_refreshes_bytes": refreshed}


def _pss(memory: dict[str, int]) -> int:
    return memory["coordinator_bytes"] + memory["worker_bytes"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(rows(parser.parse_args().quick), indent=1))


if __name__ == "__main__":
    main()
