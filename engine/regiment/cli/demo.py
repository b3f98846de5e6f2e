"""``regiment demo``: registrar, trunks and engine on this machine, and both sides' counts compared.

It needs nothing but the package: a pjsip.conf is generated into a temporary directory, the embedded
registrar answers on loopback, the engine runs as `regiment run` would.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
import typer
import uvloop
from rich.console import Console

from regiment.cli import logs, trunks, view
from regiment.cli.repeats import Repeats
from regiment.cli.run import TICK_S, finished_before, log_events, parse_api
from regiment.coordinator import registrar_pool
from regiment.coordinator.coordinator import Coordinator
from regiment.coordinator.cores import usable_cores
from regiment.coordinator.options import Options
from regiment.errors import LocalError
from regiment.metrics.snapshot import Snapshot
from regiment.net import address
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from regiment.report.summary import Comparison, Summary, render, summarise, to_json
from regiment.version import VERSION

EXPIRATION_S = 16
"""Refreshed after some 7 s (E/2 less 5 to 10 per cent of E), so twice in a demo of 20 s."""
STARTS_PER_S = 2500
"""The stagger is as long as makes this many first attempts a second."""
STOPS_PER_S = 3000
_SECONDS = 20.0
_MIN_EXPIRES_S = 10
_SENT = "regiment_sip_requests_total"

logger = structlog.get_logger()


class Plan(msgspec.Struct, frozen=True):
    """What a demo is asked for."""

    trunks: int
    seconds: float
    workers: int
    api: tuple[str, int] | None
    json: bool = False
    logs_json: bool = False
    """Whatever goes to stderr is a line of the log."""


def demo(
    trunks: Annotated[int, typer.Option(min=1, max=500_000, help="How many.")] = 10_000,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=1, help="Until un-registering.", show_default=f"{_SECONDS:.0f}, more for > 10,000"
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes.", show_default="cores")
    ] = None,
    api: Annotated[
        str,
        typer.Option(metavar="HOST:PORT|none", help="HTTP with /metrics; port 0: any, printed."),
    ] = "127.0.0.1:0",
    json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
    log_format: Annotated[str, typer.Option(help="text or json.")] = "text",
) -> int:
    """Register digest trunks at an embedded registrar and compare what both sides counted.

    Everything runs on loopback and in a temporary directory. The trunks ask for an expiry of 16 s,
    so that refreshes show. Ctrl-C ends it early, with the summary. Exit 1 if the counts differ.
    """
    as_json = log_format == "json"
    repeats = logs.set_up(log_format, level="info" if as_json else "warning")
    stagger_s = stagger_for(trunks)
    plan = Plan(
        trunks=trunks,
        seconds=max(_SECONDS, stagger_s + EXPIRATION_S) if seconds is None else seconds,
        workers=workers or usable_cores(),
        api=parse_api(api),
        json=json,
        logs_json=as_json,
    )
    return uvloop.run(Demo(plan, repeats).run())


def stagger_for(count: int) -> int:
    """Seconds over which so many trunks start (`max_random_initial_delay`)."""
    return max(1, -(-count // STARTS_PER_S))


class Demo:
    """One demo, from the registrar's start to the comparison."""

    def __init__(self, plan: Plan, repeats: Repeats) -> None:
        self._plan = plan
        self._repeats = repeats
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._signal = signal.SIGINT

    async def run(self) -> int:
        """The whole of it; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        with tempfile.TemporaryDirectory(prefix="regiment-demo-") as folder:
            async with registrar_pool.RegistrarPool(registrar_for(self._plan)) as registrar:
                config = Path(folder, "pjsip.conf")
                trunks.write_trunks(config, self._trunks(address.join(*registrar.address)))
                engine = Coordinator(self._options(config), log_events)
                try:
                    if not await finished_before(engine.start(), self._stop):
                        return 0
                    return await self._hold(engine, registrar)
                finally:
                    await engine.close()
                    logs.tell(self._repeats, at_end=True)

    def _on_signal(self, number: signal.Signals) -> None:
        self._signal = number
        (self._hurry if self._stop.is_set() else self._stop).set()

    def _trunks(self, server: str) -> trunks.TrunkPlan:
        return trunk_plan(self._plan.trunks, server)

    def _options(self, config: Path) -> Options:
        return Options(
            config=str(config),
            workers=self._plan.workers,
            max_rate=0,
            api=self._plan.api,
            stop_rate=STOPS_PER_S,
        )

    async def _hold(self, engine: Coordinator, registrar: registrar_pool.RegistrarPool) -> int:
        started_s, at_start = time.monotonic(), engine.snapshot()
        say = logger.info if self._plan.logs_json else _say
        say(
            f"{engine.registrations:,} trunks at the registrar {address.join(*registrar.address)}, "
            f"{len(engine.seats)} workers, {self._plan.seconds:g} s"
            + (f"; metrics at {engine.url}/metrics" if engine.url else "")
        )
        with view.open_view(
            engine.registrations, title="regiment demo", logged=self._plan.logs_json
        ) as shown:
            showing = asyncio.create_task(self._show(engine, shown))
            try:
                await self._until_time(engine, registrar)
                at_stop, bindings = engine.snapshot(), registrar.counts()["bindings"]
                held_s = time.monotonic() - started_s
                stopping = asyncio.create_task(engine.stop())
                if not await finished_before(stopping, self._hurry):
                    return 128 + self._signal
            finally:
                showing.cancel()
        final = engine.snapshot()
        summary = summarise(
            final,
            seconds=held_s,
            desired=engine.registrations,
            at_start=at_start,
            at_stop=at_stop,
            worker_restarts=engine.restarts,
        )
        rows = compare(at_stop, bindings, final, registrar.counts())
        return self._conclude(summary, rows)

    async def _until_time(
        self, engine: Coordinator, registrar: registrar_pool.RegistrarPool
    ) -> None:
        """Until the time is over or a signal came; raises `LocalError` if one of both ended."""
        ends = [asyncio.ensure_future(each.wait()) for each in (engine, registrar, self._stop)]
        try:
            done, _ = await asyncio.wait(
                ends, timeout=self._plan.seconds, return_when=asyncio.FIRST_COMPLETED
            )
            for each in done:
                each.result()
        finally:
            for each in ends:
                each.cancel()
                with contextlib.suppress(asyncio.CancelledError, LocalError):
                    await each

    async def _show(self, engine: Coordinator, shown: view.View) -> None:
        while True:
            shown.update(engine.snapshot())
            logs.tell(self._repeats)
            await asyncio.sleep(TICK_S)

    def _conclude(self, summary: Summary, rows: list[Comparison]) -> int:
        if self._plan.json:
            sys.stdout.write(to_json(summary, rows).decode())
        else:
            Console().print(render(summary, rows))
        if all(row.engine == row.registrar for row in rows):
            return 0
        differing = ", ".join(row.subject for row in rows if row.engine != row.registrar)
        raise LocalError(f"engine and registrar differ: {differing}")


def trunk_plan(count: int, server: str) -> trunks.TrunkPlan:
    """The trunks of a demo."""
    return trunks.TrunkPlan(
        server=server,
        count=count,
        expiration=EXPIRATION_S,
        max_random_initial_delay=stagger_for(count),
        retry_interval=2,
    )


def registrar_for(plan: Plan) -> registrar_pool.Options:
    """The registrar of a demo: it knows the trunks, any port will do."""
    users = Users()
    for user, password in trunks.credentials(trunk_plan(plan.trunks, "")):
        users.add_password(user, password)
    settings = Settings(
        users=users,
        min_expires_s=_MIN_EXPIRES_S,
        server=f"regiment/{VERSION}",
    )
    return registrar_pool.Options(settings=settings, port=0)


def compare(
    at_stop: Snapshot, bindings: int, final: Snapshot, counts: Mapping[str, int]
) -> list[Comparison]:
    """What both sides counted, row by row.

    `bindings`: the registrar's at the moment of `at_stop`; `counts`: its counts at the end. What a
    kernel dropped was sent and never arrived, and is added where it is missing.
    """
    held = at_stop.states()
    sent = sum(
        count for labels, count in final.series(_SENT) if labels[:2] == ("sent", "REGISTER")
    ) + final.total("regiment_sip_retransmissions_total")
    arrived = counts.get("requests_REGISTER", 0) + counts.get("receive_drops", 0)
    rows = [Comparison("REGISTERs, with retransmissions", sent, arrived)]
    # Two processes are looked at one after the other: only bindings at rest can be compared.
    if not held["unregistered"] + held["registering"]:
        kept = held["registered"] + held["refreshing"]
        rows.insert(0, Comparison("bindings before the stop", kept, bindings))
    given = {
        int(name.removeprefix("responses_")): count
        for name, count in counts.items()
        if name.startswith("responses_") and count
    }
    received = final.codes()
    # Late copies are answers to retransmissions: the engine counts them without their code.
    late = final.value("regiment_sip_discarded_total", ("retransmitted",))
    dropped = final.total("regiment_udp_receive_drops_total")
    if late + dropped:
        got = sum(received.values()) + late + dropped
        rows.append(Comparison("answers", got, sum(given.values())))
    else:
        rows += [
            Comparison(f"answers {code}", received.get(code, 0), given.get(code, 0))
            for code in sorted({*received, *given})
        ]
    after = final.states()
    left = after["registered"] + after["refreshing"]
    rows.append(Comparison("bindings after the stop", left, counts.get("bindings", 0)))
    return rows


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
