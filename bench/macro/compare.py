"""regiment and SIPp in turn at the same registrar: ``python -m bench.macro.compare [--quick]``.

Both do initial registrations with one challenge each, from one socket, on the same core, at an
embedded registrar that has the other core. First at the same moderate rate, then each at its best:
the highest rate that it holds without a retransmission, found by the same bisection for both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from bench.machine import ROOT
from bench.macro.clients import Client, Engine, Sipp
from bench.macro.measurement import Result, measure
from bench.macro.registrars import REGIMENT

CLIENTS: tuple[type[Client], ...] = (Sipp, Engine)
MODERATE_RATE = 10_000
MODERATE_S = 8
BEST_S = 4
LOWEST_RATE, HIGHEST_RATE = 4_000, 128_000
PRECISION = 1.05
"""The bisection ends when the bounds are this near to each other."""
TRIES = 2
"""A rate counts as held if one of so many runs was clean: a neighbour may disturb any of them."""


def moderate(rounds: int, rate: int = MODERATE_RATE) -> list[Result]:
    """Both clients in turn at one rate, so many times."""
    results = []
    for _ in range(rounds):
        for client in CLIENTS:
            result = measure(client, rate, MODERATE_S)
            tell(result)
            results.append(result)
    return results


def best(client: type[Client], low: float, high: float) -> list[Result]:
    """All runs of a bisection between a rate that should hold and one that should not.

    A bound that was never tried because all others held, or none did, is moved on.
    """
    results: list[Result] = []
    held = refused = False
    while not (held and refused):
        if held:
            high *= 2
        elif refused:
            low /= 2
        while high / low > PRECISION:
            rate = round((low * high) ** 0.5)
            if _holds(client, rate, results):
                low, held = rate, True
            else:
                high, refused = rate, True
    return results


def _holds(client: type[Client], rate: int, results: list[Result]) -> bool:
    for _ in range(TRIES):
        results.append(measure(client, rate, BEST_S))
        tell(results[-1])
        if results[-1].is_clean:
            return True
    return False


def fastest(results: Iterable[Result]) -> Result:
    """The clean run with the highest rate."""
    return max((each for each in results if each.is_clean), key=lambda each: each.rate)


def bests(rounds: int) -> list[Result]:
    """The best run of each client in each round. The first bisection takes the whole range."""
    found: list[Result] = []
    bounds = {client.name: (LOWEST_RATE, HIGHEST_RATE) for client in CLIENTS}
    for _ in range(rounds):
        for client in CLIENTS:
            result = fastest(best(client, *bounds[client.name]))
            bounds[client.name] = (round(result.rate / 1.25), round(result.rate * 1.25))
            found.append(result)
    return found


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median and extremes."""
    ordered = sorted(values)
    return {"median": statistics.median(ordered), "min": ordered[0], "max": ordered[-1]}


def summarise(results: list[Result]) -> dict[str, Any]:
    """Of each client the spread of what was measured, and the ratios of each round."""
    clients: dict[str, dict[str, Any]] = {}
    pairs = [[each for each in results if each.client == client.name] for client in CLIENTS]
    for of_one in pairs:
        clients[of_one[0].client] = {
            name: spread(getattr(each, name) for each in of_one)
            for name in ("rate", "cpu_us", "cpu_ticks_us", "busy", "registrar_busy")
        } | {
            name: sum(getattr(each, name) for each in of_one)
            for name in ("count", "challenged", "granted", "verified", "retransmissions", "drops")
        }
    rival, ours = pairs
    return {
        "clients": clients,
        "cpu_ratio": spread(b.cpu_us / a.cpu_us for a, b in zip(rival, ours, strict=True)),
        "rate_ratio": spread(b.rate / a.rate for a, b in zip(rival, ours, strict=True)),
        "runs": [msgspec.to_builtins(each) for each in results],
    }


def tell(result: Result) -> None:
    """A line for whoever waits."""
    print(
        f"{result.client:9} {result.rate_asked:8,.0f}/s asked {result.rate:8,.0f}/s"
        f"  {result.cpu_us:6.2f} us"
        f"  core {result.busy:4.0%}  registrar's {result.registrar_busy:4.0%}"
        f"  401 {result.challenged:,}  200 {result.granted:,}"
        f"  sent again {result.retransmissions:,}  {'' if result.is_clean else 'NOT HELD'}",
        flush=True,
    )


def rows(quick: bool = False) -> dict[str, Any]:
    """The whole comparison; some three minutes, or most of an hour's quarter."""
    same = summarise(moderate(2 if quick else 5))
    highest = summarise(bests(1 if quick else 3))
    return {
        "moderate": {"rate": MODERATE_RATE, **same},
        "best": highest,
        "commands": {"SIPp": _command(Sipp), "regiment": _command(Engine)},
    }


def _command(client: type[Client]) -> str:
    """The command line for the reader, with the changing parts named."""
    with tempfile.TemporaryDirectory() as name:
        command = " ".join(client(Path(name), 5060, 8, 1, None).command)
    command = command.replace(" ".join(REGIMENT), "regiment").replace(f"{name}/", "")
    return command.replace(f"{ROOT}/", "").replace("-r 8 -m 8", "-r RATE -m COUNT")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--moderate", action="store_true", help="only at the moderate rate")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rate", type=int, default=MODERATE_RATE)
    options = parser.parse_args()
    if options.moderate:
        found: dict[str, Any] = summarise(moderate(options.rounds, options.rate))
    else:
        found = rows(options.quick)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
