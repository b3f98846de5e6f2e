"""What 100,000 registrations cost while little happens: ``python -m bench.macro.idle [--quick]``.

Registered within seconds, 100,000 bindings of 3,600 s would all be quiet for most of an hour. That
is not what an engine sees that has been up for a day: its refreshes are spread, some 30 every
second. So further registrations of 60 s stand beside them, as many as refresh that often, begun one
after the other. The registrar's nonces do not live as long, so that each refresh is challenged.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.macro import processes
from bench.macro.clients import Engine
from bench.macro.registrars import Embedded, scrape

from regiment.cli.trunks import TrunkPlan, credentials

COUNT = 100_000
EXPIRATION_S = 3600
BRIEF_S = 60
REFRESHED_AT = (EXPIRATION_S * 0.925 - 10, BRIEF_S * 0.925 - 10)
"""On average: 10 s early, and 5 to 10 per cent of the expiry before that."""
RATE = 10_000
SETTLE_S = 5
WINDOW_S = 60


def rows(quick: bool = False) -> dict[str, Any]:
    """CPU, wake-ups and turns within the window."""
    count = COUNT // 10 if quick else COUNT
    window_s = WINDOW_S // 4 if quick else WINDOW_S
    brief = round(count * REFRESHED_AT[1] / REFRESHED_AT[0])
    client_core, registrar_core = processes.cores()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        trunks = credentials(TrunkPlan("", count + brief))
        extra = ("--min-expires", "10", "--nonce-lifetime", "5")
        with Embedded(trunks, folder, registrar_core, *extra) as registrar:
            seconds = max(1, count // RATE)
            engine = Engine(
                folder,
                registrar.port,
                count,
                seconds,
                client_core,
                expiration=EXPIRATION_S,
                brief=(brief, BRIEF_S, round(REFRESHED_AT[1])),
            )
            try:
                engine.start()
                while scrape(engine.url)("regiment_registrations{", 'state="reg') < count + brief:
                    time.sleep(0.5)
                time.sleep(REFRESHED_AT[1])
                time.sleep(SETTLE_S)
                return {"registrations": count, "brief": brief, **_window(engine, window_s)}
            finally:
                engine.close()


def _window(engine: Engine, window_s: float) -> dict[str, Any]:
    coordinator, *workers = engine.pids
    trees = {"coordinator": [coordinator], "worker": workers}
    first = scrape(engine.url)
    begin_s = time.monotonic()
    before = {
        name: (processes.cpu_ns(pids), processes.voluntary_switches(pids))
        for name, pids in trees.items()
    }
    time.sleep(window_s)
    after = {
        name: (processes.cpu_ns(pids), processes.voluntary_switches(pids))
        for name, pids in trees.items()
    }
    span_s = time.monotonic() - begin_s
    last = scrape(engine.url)

    def rate(name: str, *labels: str) -> float:
        return (last(name, *labels) - first(name, *labels)) / span_s

    found: dict[str, Any] = {"seconds": span_s}
    for name, (cpu_ns, switches) in before.items():
        found[f"{name}_cpu"] = (after[name][0] - cpu_ns) / span_s / 1e9
        found[f"{name}_wakeups_per_s"] = (after[name][1] - switches) / span_s
    found["turns_per_s"] = rate("regiment_turns_total")
    found["refreshes_per_s"] = rate(
        "regiment_register_attempts_total", 'kind="refresh"', 'outcome="success"'
    )
    found["challenges_per_s"] = rate("regiment_challenges_total")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(rows(parser.parse_args().quick), indent=1))


if __name__ == "__main__":
    main()
