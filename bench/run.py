"""Runs the benchmarks and stores what they say: ``python -m bench.run [--quick] [SECTION …]``.

Each section's result is stamped with machine, versions, commit and date and stored in
``bench/results/SECTION.json``; the pages are rendered from these files alone. ``--quick`` takes
smaller sizes and fewer rounds: it shows that all of it works and what to expect, and stores its
results in ``build/bench/``, so that nobody takes them for the real ones.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from bench import render
from bench.machine import ROOT, stamp
from bench.macro import compare, idle, kamailio, load, memory, sender, state, streams

RESULTS = ROOT / "bench" / "results"
QUICK_RESULTS = ROOT / "build" / "bench"


def micro(quick: bool) -> dict[str, Any]:
    """All of ``bench/micro`` in processes of their own; instructions if there is Valgrind."""
    count = shutil.which("valgrind") is not None and not quick
    arguments = {
        "sip": ["--instructions"] if count else [],
        "timing": ["--timers", "50000"] if quick else [],
        "metrics": [],
        "udp": [],
    }
    found: dict[str, Any] = {"valgrind": count}
    for module, extra in arguments.items():
        command = [sys.executable, "-m", f"bench.micro.{module}", "--json", *extra]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        found[module] = json.loads(done.stdout)
    return found


SECTIONS: dict[str, Callable[[bool], Any]] = {
    "compare": compare.rows,
    "sender": sender.rows,
    "kamailio": kamailio.rows,
    "memory": memory.rows,
    "idle": idle.rows,
    "load": load.rows,
    "state": state.rows,
    "streams": streams.rows,
    "micro": micro,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few minutes, stored apart")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    options = parser.parse_args()
    if unknown := set(options.sections) - SECTIONS.keys():
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    folder = QUICK_RESULTS if options.quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    for name in options.sections or SECTIONS:
        print(f"== {name}", flush=True)
        mark = stamp()
        result = SECTIONS[name](options.quick)
        if result is None:
            print(f"{name}: what it needs is not installed here, so it was left out")
            continue
        record = {"section": name, "quick": options.quick, "stamp": mark, "result": result}
        text = json.dumps(record, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(render.page(folder))
    if not options.quick:
        render.write(folder)


if __name__ == "__main__":
    main()
