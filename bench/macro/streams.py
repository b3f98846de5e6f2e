"""TCP and TLS beside UDP: ``python -m bench.macro.streams [--quick]``.

Three things in one run, all at the embedded registrar. What a digest registration costs over UDP,
over one TCP and over one TLS connection, SIPp beside it (it has no TLS here). What a TLS connection
of one registration costs in memory, against a bare one of uvloop's. And how fast the connections of
many come back when all are cut at once, against the rate that they may.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from bench.machine import ROOT
from bench.macro import processes
from bench.macro.clients import Client, Engine, EngineTcp, EngineTls, Sipp, SippTcp
from bench.macro.compare import spread, tell
from bench.macro.measurement import Result, measure
from bench.macro.registrars import Embedded, scrape

from regiment.cli.trunks import TrunkPlan, credentials

CLIENTS: tuple[type[Client], ...] = (Engine, EngineTcp, EngineTls, Sipp, SippTcp)
PORTS = ("--tcp", "127.0.0.1:0", "--tls", "127.0.0.1:0")
RATE = 10_000
RUN_S = 8
FLOWS = (1_000, 10_000)
QUICK_FLOWS = (200, 1_000)
OPENED_PER_S = 200
CUT = 5_000
GATE_PER_S = 500
SETTLE_S = 3.0
POLL_S = 0.02
WINDOW_S = 1.0
PATIENCE_S = 300.0
OWN = (("@connection", "own"),)


# ---- what a registration costs


def costs(rounds: int, rate: int = RATE) -> dict[str, Any]:
    """All clients in turn, so many times; the ratios are those of each round."""
    results: list[Result] = []
    for _ in range(rounds):
        for client in CLIENTS:
            results.append(measure(client, rate, RUN_S, PORTS))
            tell(results[-1])
    of = {client.name: [r for r in results if r.client == client.name] for client in CLIENTS}
    table = {
        name: {
            field: spread(getattr(each, field) for each in mine)
            for field in ("rate", "cpu_us", "busy", "registrar_busy")
        }
        | {field: sum(getattr(each, field) for each in mine) for field in ("count", "granted")}
        | {"clean": sum(each.is_clean for each in mine), "runs": len(mine)}
        for name, mine in of.items()
    }

    def ratio(one: type[Client], other: type[Client]) -> dict[str, float]:
        pairs = zip(of[one.name], of[other.name], strict=True)
        return spread(a.cpu_us / b.cpu_us for a, b in pairs)

    return {
        "rate": rate,
        "clients": table,
        "tcp_ratio": ratio(EngineTcp, Engine),
        "tls_ratio": ratio(EngineTls, Engine),
        "sipp_ratio": ratio(EngineTcp, SippTcp),
        "runs": [msgspec.to_builtins(each) for each in results],
    }


# ---- what a connection costs in memory


def memory(steps: tuple[int, int]) -> dict[str, Any]:
    """Growth by one TLS connection from the smaller to the larger number, ours and a bare one."""
    few, many = steps
    ours = {count: _own_flows(count) for count in steps}
    bare = _bare_flows(steps)
    flow = (ours[many] - ours[few]) / (many - few)
    bare_flow = (bare[many] - bare[few]) / (many - few)
    found = {"from": few, "to": many, "bytes": flow, "bare_bytes": bare_flow}
    print(found, flush=True)
    return found | {"ratio": flow / bare_flow, "pss_bytes": ours[many]}


def _own_flows(count: int) -> int:
    """Pss of a worker whose registrations have a TLS connection each, all registered."""
    client_core, registrar_core = processes.cores()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        users = credentials(TrunkPlan("", count))
        with Embedded(users, folder, registrar_core, *PORTS) as registrar:
            seconds = max(1, count // OPENED_PER_S)
            port = registrar.ports["tls"]
            engine = EngineTls(folder, port, count, seconds, client_core, options=OWN)
            try:
                engine.start()
                _until_registered(engine, count)
                # The registrar tells how many are open once a second.
                time.sleep(SETTLE_S)
                flows = scrape(registrar.url)('regiment_registrar_flows{transport="tls"')
                if flows != count:
                    raise SystemExit(f"{flows:.0f} connections for {count} registrations")
                return processes.pss_bytes(engine.pids[1:])
            finally:
                engine.close()


def _bare_flows(steps: tuple[int, ...]) -> dict[int, int]:
    client_core, registrar_core = processes.cores()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        Embedded((), Path(name), registrar_core, *PORTS, "--any-user", "x") as registrar,
    ):
        command = [sys.executable, "-m", "bench.macro.bare_flows", str(registrar.ports["tls"])]
        command += [str(count) for count in steps]
        with processes.on_core(client_core):
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {each["flows"]: each["pss_bytes"] for each in lines}


def _until_registered(engine: Engine, count: int) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while scrape(engine.url)("regiment_registrations{", 'state="registered"') < count:
        if time.monotonic() > deadline_s:
            raise SystemExit(f"not all of {count} were registered in {PATIENCE_S:.0f} s")
        time.sleep(0.5)


# ---- how connections come back


def cut(count: int, gate: int) -> dict[str, Any]:
    """All connections of `count` registrations are cut at once; how fast they come back."""
    client_core, registrar_core = processes.cores()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        users = credentials(TrunkPlan("", count))
        with Embedded(users, folder, registrar_core, *PORTS) as registrar:
            engine = EngineTcp(
                folder, registrar.ports["tcp"], count, 0, client_core, options=OWN, max_rate=gate
            )
            try:
                engine.start()
                _until_registered(engine, count)
                os.kill(registrar.pid, signal.SIGUSR1)
                samples = _samples(registrar, 2 * count)
                _until_registered(engine, count)
                expired = scrape(engine.url)("regiment_registration_expired_total")
            finally:
                engine.close()
    times = [at_s for at_s, opened in samples if opened > count]
    found = {
        "flows": count,
        "gate_per_s": gate,
        "most_per_s": most_within(samples, WINDOW_S),
        "seconds": times[-1] - times[0],
        "expired": expired,
    }
    print(found, flush=True)
    return found


def _samples(registrar: Embedded, until: int) -> list[tuple[float, float]]:
    """(time, connections opened so far), until there are so many."""
    found: list[tuple[float, float]] = []
    deadline_s = time.monotonic() + PATIENCE_S
    while not found or found[-1][1] < until:
        opened = scrape(registrar.url)('regiment_registrar_flows_opened_total{transport="tcp"')
        found.append((time.monotonic(), opened))
        if found[-1][0] > deadline_s:
            raise SystemExit(f"after {PATIENCE_S:.0f} s {opened:.0f} of {until} were opened")
        time.sleep(POLL_S)
    return found


def most_within(samples: list[tuple[float, float]], window_s: float) -> float:
    """The highest rate over a window of at least that length."""
    most = 0.0
    start = 0
    for at_s, count in samples:
        while start + 1 < len(samples) and at_s - samples[start + 1][0] >= window_s:
            start += 1
        span_s = at_s - samples[start][0]
        if span_s >= window_s:
            most = max(most, (count - samples[start][1]) / span_s)
    return most


def rows(quick: bool = False) -> dict[str, Any]:
    """All three; some six minutes, or two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return {
        "costs": costs(1 if quick else 5),
        "memory": memory(QUICK_FLOWS if quick else FLOWS),
        "cut": cut(CUT // 10 if quick else CUT, GATE_PER_S // 5 if quick else GATE_PER_S),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(rows(parser.parse_args().quick), indent=1))


if __name__ == "__main__":
    main()
