"""The comparison once more at a Kamailio: ``python -m bench.macro.kamailio [--quick]``.

One process of it takes the REGISTERs, with the configuration of the tests.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from bench.macro import measurement, processes
from bench.macro.compare import CLIENTS, summarise, tell
from bench.macro.registrars import Counts
from tests.system.peers.kamailio import Kamailio, search_path

RATE = 4_000
SECONDS = 8


class Peer:
    """A Kamailio, counted by its own statistics."""

    def __init__(self, kamailio: Kamailio) -> None:
        self._kamailio = kamailio
        self._pids = processes.tree(kamailio.pid)
        self.port = kamailio.port

    def counts(self) -> Counts:
        return Counts(
            self._kamailio.statistic("script:challenged"),
            self._kamailio.statistic("registrar:accepted_regs"),
            self._kamailio.statistic("script:verified"),
            cpu_ns=processes.cpu_ns(self._pids),
        )


def rows(quick: bool = False) -> dict[str, Any] | None:
    """Both clients in turn, each time at a fresh Kamailio. None: there is none here."""
    if shutil.which("kamailio", path=search_path()) is None:
        return None
    client_core, registrar_core = processes.cores()
    results = []
    for _ in range(1 if quick else 3):
        for make in CLIENTS:
            with (
                tempfile.TemporaryDirectory(prefix="bench-") as name,
                processes.on_core(registrar_core),
                Kamailio(memory_mb=512) as kamailio,
            ):
                peer = Peer(kamailio)
                count = RATE * SECONDS
                client = make(Path(name), peer.port, count, SECONDS, client_core)
                results.append(measurement.run(client, peer, RATE, SECONDS))
            tell(results[-1])
    return {"rate": RATE, **summarise(results)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(rows(parser.parse_args().quick), indent=1))


if __name__ == "__main__":
    main()
