"""``regiment run``: keep the registrations of a pjsip.conf alive until told to stop."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
import uvloop
from rich.console import Console, RenderableType

from regiment.cli import logs, view
from regiment.cli.journal import is_journal
from regiment.cli.repeats import Repeats
from regiment.cli.token import read_token
from regiment.config import unbound
from regiment.coordinator import local_socket, privileges, reloading
from regiment.coordinator.coordinator import Coordinator
from regiment.coordinator.cores import usable_cores
from regiment.coordinator.options import API_PORT, STOP_RATE, Options
from regiment.coordinator.service import Service
from regiment.errors import LocalError, RegimentError
from regiment.metrics.snapshot import Snapshot
from regiment.model import Event
from regiment.net import address
from regiment.report import summary
from regiment.worker import control

TICK_S = 0.5
MOST_HOSTS = 1024

logger = structlog.get_logger()


def run(
    config: Annotated[Path, typer.Argument(help="A pjsip.conf.", show_default=False)],
    workers: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Processes.", show_default="cores")
    ] = None,
    bind: Annotated[
        str, typer.Option(metavar="HOST[:PORT]", help="Instead of every UDP transport's bind.")
    ] = "",
    api: Annotated[
        str, typer.Option(metavar="HOST:PORT|none", help="The HTTP API, /metrics among it.")
    ] = f"127.0.0.1:{API_PORT}",
    socket: Annotated[
        str,
        typer.Option(
            metavar="PATH", help="The API's Unix socket.", show_default="regiment.sock, see README"
        ),
    ] = "",
    max_rate: Annotated[
        float | None,
        typer.Option(min=0, help="Attempts/s per target instead of every @max_rate; 0: no limit."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Make staggers and identifiers repeatable.", min=0)
    ] = None,
    log_format: Annotated[str, typer.Option(help="text or json.")] = "text",
    shard: Annotated[
        str, typer.Option(metavar="K/N", help="This host is K (from 0) of N hosts.")
    ] = "0/1",
    stop_rate: Annotated[
        float, typer.Option(min=0, help="Un-REGISTERs/s per target at the end; 0: no limit.")
    ] = STOP_RATE,
    stop_timeout: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds for that.", show_default="N / rate + 35"),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Holds the API's bearer token (or REGIMENT_TOKEN).")
    ] = None,
    open_metrics: Annotated[
        bool, typer.Option("--open-metrics", help="Let anybody read /metrics beyond loopback.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where registrations outlive the engine.", show_default=False
        ),
    ] = None,
    on_stop: Annotated[
        str,
        typer.Option(
            metavar="unregister|keep",
            help="At the end: un-REGISTER all, or keep them for the next start with --state.",
        ),
    ] = "unregister",
    user: Annotated[
        str, typer.Option(help="Be this user once ports and files are open. Only root may.")
    ] = "",
    group: Annotated[str, typer.Option(help="And this group instead of the user's own.")] = "",
    open_reads: Annotated[
        bool, typer.Option("--open-reads", help="Let anybody read everything beyond loopback.")
    ] = False,
    nameserver: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS[:PORT]",
            help="Ask this one for names; may be repeated.",
            show_default="resolver_unbound.conf, else resolv.conf",
        ),
    ] = None,
) -> int:
    """Keep the registrations of CONFIG alive.

    SIGTERM or Ctrl-C un-REGISTERs all of them, paced (unless `--on-stop keep`), and ends with 0; a
    second one ends at once. With --state a restarted engine goes on with the bindings that are
    still good.

    SIGHUP reads CONFIG again and passes on what has changed in it. It is refused, and nothing
    changes, if CONFIG is unusable, or if more than 100 registrations and more than a tenth of them
    would go: that wants `regiment reload --allow-removals`.

    What CONFIG has wrong is logged as `regiment check` says it, and the rest runs.
    """
    host_index, hosts = parse_shard(shard)
    repeats = logs.set_up(log_format)
    options = Options(
        config=os.fspath(config),
        workers=workers or usable_cores(),
        bind=bind,
        max_rate=max_rate,
        seed=seed,
        host_index=host_index,
        hosts=hosts,
        api=parse_api(api),
        socket=socket,
        socket_folder=os.fspath(local_socket.folder_for(os.fspath(state) if state else "")),
        token=read_token(token_file),
        open_metrics=open_metrics,
        open_reads=open_reads,
        stop_rate=stop_rate,
        stop_timeout_s=stop_timeout,
        state=os.fspath(state) if state else "",
        keep=parse_on_stop(on_stop, state),
        nameservers=parse_nameservers(nameserver or []),
        identity=privileges.find(user, group),
    )
    return uvloop.run(Session(options, repeats, as_json=log_format == "json").run())


class Session:
    """One run: the engine, the signals that end it, and what is shown meanwhile."""

    def __init__(self, options: Options, repeats: Repeats, as_json: bool = False) -> None:
        self._service = Service.from_environment(os.environ)
        self._engine = Coordinator(options, log_events, self._service)
        self._repeats = repeats
        self._as_json = as_json
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._hangup = asyncio.Event()
        self._signal = signal.SIGTERM

    async def run(self) -> int:
        """The whole of it; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        # One that comes during the start or during a reload is one more reload after it.
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        self._service.status(f"loading {self._engine.options.config}")
        try:
            if not await finished_before(self._engine.start(), self._stop):
                return await self._end_unready()
            return await self._hold()
        finally:
            await self._engine.close()
            logs.tell(self._repeats, at_end=True)
            self._service.close()

    def _on_signal(self, number: signal.Signals) -> None:
        self._signal = number
        if self._stop.is_set():
            self._hurry.set()
        else:
            logger.info("stopping", signal=number.name)
            self._stop.set()

    async def _reload_on_hangup(self) -> None:
        """Whatever comes of a reload, the next SIGHUP is the next try.

        What is to be expected, the engine has logged.
        """
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            try:
                await self._engine.reload(wait=True)
            except RegimentError:
                pass
            except Exception as error:
                logger.error("a reload failed", reason=control.reason_of(error))

    async def _hold(self) -> int:
        """From readiness to the end."""
        engine = self._engine
        started_s, at_start = time.monotonic(), engine.snapshot()
        logger.info(
            "ready",
            registrations=engine.registrations,
            workers=len(engine.seats),
            seconds=round(engine.load_s, 2),
            url=engine.url or "none",
            socket=engine.socket or "none",
        )
        self._service.ready()
        attending = asyncio.create_task(
            self._service.attend(lambda: engine.is_alive, self._status_line)
        )
        reloading = asyncio.create_task(self._reload_on_hangup())
        with view.open_view(lambda: engine.registrations, logged=self._as_json) as shown:
            showing = asyncio.create_task(self._show(shown))
            try:
                await finished_before(engine.wait(), self._stop)
                at_stop = engine.snapshot()
                held_s = time.monotonic() - started_s
                unsettled = await self._stop_engine()
                if unsettled is None:
                    return 128 + self._signal
            finally:
                reloading.cancel()
                showing.cancel()
                attending.cancel()
        self._conclude(unsettled, at_start, at_stop, held_s)
        return 0

    async def _end_unready(self) -> int:
        """The end of a start that a signal came before: some workers may register already."""
        if self._engine.shares is None:
            return 0
        attending = asyncio.create_task(
            self._service.attend(lambda: self._engine.is_alive, self._status_line)
        )
        try:
            unsettled = await self._stop_engine()
        finally:
            attending.cancel()
        if unsettled is None:
            return 128 + self._signal
        warn_of_unsettled(unsettled)
        return 0

    async def _stop_engine(self) -> int | None:
        """Returns how many registrations are not settled; None: another signal came first."""
        # A reload that has come into force is given its time first.
        self._service.stopping(self._engine.stop_timeout_s + reloading.STOP_S)
        stopping = asyncio.create_task(self._engine.stop())
        return stopping.result() if await finished_before(stopping, self._hurry) else None

    def _status_line(self) -> str:
        """For the service manager."""
        states = self._engine.snapshot().states()
        counts = [f"{count:,} {state}" for state, count in states.items() if count]
        return f"{self._engine.registrations:,} registrations: {', '.join(counts)}"

    async def _show(self, shown: view.View) -> None:
        # Nobody looks at a plain view between its lines.
        tick_s = view.PLAIN_INTERVAL_S if isinstance(shown, view.PlainView) else TICK_S
        while True:
            shown.update(self._engine.snapshot())
            logs.tell(self._repeats)
            await asyncio.sleep(tick_s)

    def _conclude(
        self, unsettled: int, at_start: Snapshot, at_stop: Snapshot, held_s: float
    ) -> None:
        engine = self._engine
        warn_of_unsettled(unsettled)
        result = summary.summarise(
            engine.snapshot(),
            seconds=held_s,
            desired=engine.registrations,
            at_start=at_start,
            at_stop=at_stop,
            worker_restarts=engine.restarts,
        )
        if self._as_json or is_journal(sys.stderr):
            logger.info(
                "summary",
                registered=result.registered,
                desired=result.desired,
                rate=round(result.attempts_per_s, 1),
                seconds=round(result.seconds, 1),
            )
        else:
            print_safely(summary.render(result))


def warn_of_unsettled(count: int) -> None:
    """Says what a stop has left behind, if it has."""
    if count:
        logger.warning(
            "the stop timed out: bindings stay at the registrar until they lapse",
            registrations=count,
        )


def print_safely(shown: RenderableType) -> None:
    """Prints on stderr; rich itself would end the process where nobody reads."""
    stderr = Console(stderr=True)
    text = io.StringIO()
    Console(file=text, force_terminal=stderr.is_terminal, width=stderr.width).print(shown)
    logs.put_line(text.getvalue().rstrip("\n"), sys.stderr)


async def finished_before(work: Awaitable[Any], event: asyncio.Event) -> bool:
    """Waits for `work` or `event`. True: the work is done, and what it raised is raised here.

    False: the event came first, and the work was cancelled.
    """
    task = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return False
    finally:
        waiting.cancel()


def log_events(events: tuple[Event, ...]) -> None:
    """What workers say of single registrations; alike ones are counted, not repeated."""
    for event in events:
        tell = logger.warning if event.failure_class else logger.info
        fields = {
            "name": event.name,
            "registrar": event.target,
            "state": event.state_to,
            "code": event.code,
            "failure_class": event.failure_class,
            "reason": event.reason,
        }
        if event.retry_in_s >= 0:
            fields["retry_in_s"] = round(event.retry_in_s, 1)
        tell(
            "registration failed" if event.failure_class else "registration changed",
            **{name: value for name, value in fields.items() if value},
        )


def parse_shard(text: str) -> tuple[int, int]:
    """``K/N`` as numbers. Raises `LocalError`."""
    index, slash, hosts = text.partition("/")
    if slash and index.isdecimal() and hosts.isdecimal() and int(index) < int(hosts) <= MOST_HOSTS:
        return int(index), int(hosts)
    raise LocalError(f"--shard {text!r}: K/N, with K from 0 to N-1 and N at most {MOST_HOSTS}")


def parse_on_stop(text: str, state: Path | None) -> bool:
    """Whether bindings are kept at the end. Raises `LocalError`."""
    if text not in ("unregister", "keep"):
        raise LocalError(f"--on-stop {text!r}: unregister or keep")
    if text == "keep" and state is None:
        raise LocalError("--on-stop keep: only together with --state, or nothing could go on")
    return text == "keep"


def parse_nameservers(texts: list[str]) -> tuple[tuple[str, int], ...]:
    """``ADDRESS[:PORT]``, each. Raises `LocalError`."""
    servers: dict[tuple[str, int], None] = {}
    for text in texts:
        try:
            servers[unbound.server_of(text)] = None
        except ValueError:
            raise LocalError(f"--nameserver {text!r}: an IP address, perhaps with :PORT") from None
    if len(servers) > unbound.MOST_SERVERS:
        raise LocalError(f"--nameserver: {unbound.MOST_SERVERS} at most, not {len(servers)}")
    return tuple(servers)


def parse_api(text: str) -> tuple[str, int] | None:
    """``HOST:PORT`` or ``none``. Raises `LocalError`."""
    if text == "none":
        return None
    try:
        return address.split(text, API_PORT)
    except LocalError as error:
        raise LocalError(f"--api {error}") from None
