"""What the state file costs, and what it spares: ``python -m bench.macro.state [--quick]``.

Three engines in turn at the same registrar and rate: that of another checkout (``REGIMENT_BEFORE``
names its folder; it must be built), this one, and this one with ``--state``. Then 100,000
registrations through a reload that changes seven of them, and through a SIGKILL and a restart.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from bench.macro import processes
from bench.macro.clients import Client, Engine
from bench.macro.compare import spread, tell
from bench.macro.measurement import Result, measure
from bench.macro.registrars import Embedded, scrape

from regiment.cli.trunks import TrunkPlan, credentials

RATE = 10_000
SECONDS = 8
ROUNDS = 7
COUNT = 100_000
CHANGED = 7
QUIET_S = 5.0
"""So long after the restart no REGISTER may leave: no refresh is due by then."""
PATIENCE_S = 60
POLL_S = 0.2
SETTLE_S = 2.0
"""After a reload: its REGISTERs, and what should not have been sent, have left by then."""


class Before(Engine):
    """The engine of another checkout."""

    name = "before"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        root = os.environ["REGIMENT_BEFORE"]
        self.command = ["env", f"PYTHONPATH={root}/engine", *self.command]


class WithState(Engine):
    """The engine with a state file."""

    name = "state"

    def __init__(self, folder: Path, *arguments: Any, **options: Any) -> None:
        super().__init__(folder, *arguments, **options)
        self.folder = folder
        self.command += ["--state", str(folder / "state"), "--socket", str(folder / "socket")]

    def reload(self) -> dict[str, Any]:
        """The engine's answer to ``POST /reload``."""
        link = http.client.HTTPConnection("localhost", timeout=PATIENCE_S)
        link.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.sock.connect(str(self.folder / "socket"))
        link.request("POST", "/reload", b"{}", {"Content-Type": "application/json"})
        answer: dict[str, Any] = json.loads(link.getresponse().read())
        link.close()
        return answer

    def kill(self) -> None:
        """SIGKILL of everything at once."""
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        self.close()


def costs(rounds: int) -> dict[str, Any]:
    """CPU of a digest registration for each engine, and the ratios of each round."""
    clients: list[type[Client]] = [Engine, WithState]
    if "REGIMENT_BEFORE" in os.environ:
        clients.insert(0, Before)
    results: dict[str, list[Result]] = {client.name: [] for client in clients}
    for _ in range(rounds):
        for client in clients:
            result = measure(client, RATE, SECONDS)
            tell(result)
            results[client.name].append(result)

    def ratio(above: str, below: str) -> dict[str, float]:
        pairs = zip(results[above], results[below], strict=True)
        return spread(a.cpu_us / b.cpu_us for a, b in pairs)

    found: dict[str, Any] = {
        "rate": RATE,
        "cpu_us": {name: spread(r.cpu_us for r in some) for name, some in results.items()},
        "state_ratio": ratio("state", "regiment"),
        "runs": [msgspec.to_builtins(each) for some in results.values() for each in some],
    }
    if Before in clients:
        found["before_ratio"] = ratio("regiment", "before")
        found["before_commit"] = _commit(os.environ["REGIMENT_BEFORE"])
        found["before_state_ratio"] = ratio("state", "before")
    return found


def _commit(folder: str) -> str:
    done = subprocess.run(
        ["git", "-C", folder, "rev-parse", "--short=12", "HEAD"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def lives(count: int) -> dict[str, Any]:
    """A reload with a few changes, then SIGKILL and restart, at `count` registrations."""
    client_core, registrar_core = processes.cores()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        trunks = credentials(TrunkPlan("", count))
        with Embedded(trunks, folder, registrar_core) as registrar:
            engine = WithState(folder, registrar.port, count, count // RATE, client_core)
            try:
                engine.start()
                _until_registered(engine, count)
                memory = _memory(engine, folder)
                reloaded = _reload(engine, folder)
                engine.kill()
                before = registrar.counts()
                begin_s = time.monotonic()
                engine.start()
                ready_s = time.monotonic() - begin_s
                registered = scrape(engine.url)("regiment_registrations{", 'state="registered"')
                time.sleep(QUIET_S)
                after = registrar.counts()
            finally:
                engine.close()
    return {
        "registrations": count,
        "memory": memory,
        "reload": reloaded,
        "restart": {
            "ready_s": ready_s,
            "registered": registered,
            "requests": after.granted + after.challenged - before.granted - before.challenged,
        },
    }


def _until_registered(engine: Engine, count: int) -> None:
    while scrape(engine.url)("regiment_registrations{", 'state="registered"') < count:
        time.sleep(POLL_S)


def _memory(engine: Engine, folder: Path) -> dict[str, int]:
    """Pss of all processes, and how much of it is the state file's pages."""
    file_bytes = sum(file.stat().st_size for file in (folder / "state").glob("*.state"))
    mapped = sum(_mapped_bytes(pid, str(folder / "state")) for pid in engine.pids)
    return {
        "pss_bytes": processes.pss_bytes(engine.pids),
        "state_pss_bytes": mapped,
        "state_file_bytes": file_bytes,
    }


def _mapped_bytes(pid: int, path: str) -> int:
    total, ours = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = path in line
        elif ours and line.startswith("Pss:"):
            total += 1024 * int(line.split()[1])
    return total


def _reload(engine: WithState, folder: Path) -> dict[str, Any]:
    config = folder / "pjsip.conf"
    text = config.read_text()
    for number in range(CHANGED):
        user = f"[trunk{number:06d}](trunk)\n"
        text = text.replace(user, f"{user}expiration=1800\n", 1)
    config.write_text(text)
    sent = scrape(engine.url)("regiment_sip_requests_total", 'direction="sent"')
    spent = processes.cpu_ns(engine.pids[1:])
    begin_s = time.monotonic()
    answer = engine.reload()
    took_s = time.monotonic() - begin_s
    time.sleep(SETTLE_S)
    return {
        "seconds": took_s,
        "worker_cpu_s": (processes.cpu_ns(engine.pids[1:]) - spent) / 1e9,
        "requests": scrape(engine.url)("regiment_sip_requests_total", 'direction="sent"') - sent,
        "answer": {name: value for name, value in answer.items() if isinstance(value, int | float)},
    }


def rows(quick: bool = False) -> dict[str, Any]:
    """Costs, and what a reload and a restart send."""
    return {"costs": costs(2 if quick else ROUNDS), "lives": lives(COUNT // 10 if quick else COUNT)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(rows(parser.parse_args().quick), indent=1))


if __name__ == "__main__":
    main()
