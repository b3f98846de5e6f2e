"""The coordinator: starts workers, deals the configuration out, watches, exports, stops.

It holds no registration. What it does is rare: it passes the loader's batches on, opens the gate
when every worker has its share, seats a successor where a worker has died, and adds the
scoreboards up when somebody asks.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from hashlib import blake2b
from types import TracebackType
from typing import Self

import structlog

from regiment.coordinator import loading, privileges, reloading, watch
from regiment.coordinator.assignment import WorkerAssignment, digest_of
from regiment.coordinator.configuration import Configuration
from regiment.coordinator.dealer import Share
from regiment.coordinator.descriptors import ensure_descriptors, needed_for
from regiment.coordinator.front import Front
from regiment.coordinator.options import Options
from regiment.coordinator.reloading import ReloadReport
from regiment.coordinator.seat import CSEQ_STEP, Seat
from regiment.coordinator.service import Service
from regiment.coordinator.shares import Shares
from regiment.coordinator.state_directory import StateDirectory
from regiment.errors import LocalError
from regiment.metrics.exposition import Facts
from regiment.metrics.snapshot import Snapshot
from regiment.model import Call, Event, Finding, Status
from regiment.worker import control

STOP_GRACE_S = 35.0
"""What un-registering may take beyond N / rate: an unanswered REGISTER's 32 s, and a little."""

logger = structlog.get_logger()


class Coordinator:
    """One engine: ``async with Coordinator(options) as engine: await engine.wait()``.

    `on_events` is called with what workers report of single registrations, some at a time;
    nothing else is done with that. `service` is told of reloads; whoever starts the engine tells it
    the rest.
    """

    def __init__(
        self,
        options: Options,
        on_events: Callable[[tuple[Event, ...]], None] | None = None,
        service: Service | None = None,
    ) -> None:
        self.options = options
        self.service = service or Service()
        self.load_s = 0.0
        """How long the start took, until every worker registered; or the last reload."""
        self.seats: list[Seat] = []
        self.shares: Shares | None = None
        self._on_events = on_events
        self._seed = int.from_bytes(os.urandom(8), "big") if options.seed is None else options.seed
        self._instance_key = self._secret("instance", seeded=options.seed is not None)
        self._state: StateDirectory | None = None
        self._assignment = WorkerAssignment(options.workers)
        self._tasks: list[asyncio.Task[None]] = []
        self._watching: asyncio.Task[None] | None = None
        self.front = Front(self)
        self._ready = asyncio.Event()
        self._failed: asyncio.Future[None] | None = None
        self._configuration = Configuration(options)
        self._reloads = reloading.Reloads(self)
        self._config_ok = True
        self._dealt = False
        self._stopping = False
        self._loaded_at_s = 0.0
        self._warned: set[str] = set()

    # ---- start

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Returns when every worker that can be started has begun to register.

        Raises `ConfigError` where the configuration is unusable and `LocalError` where a port is in
        use, nothing is left to register or no worker can be started.
        """
        started_s = time.monotonic()
        ensure_descriptors(needed_for(self.options.workers))
        loop = asyncio.get_running_loop()
        self._failed = loop.create_future()
        await self._open_state()
        self.front.bind()
        if identity := self.options.identity:
            owned = [path for path in (self.front.socket, self.options.state) if path]
            privileges.settle(identity, owned=owned, read=(self.options.config,))
        self._set_seats()
        self._tasks = [asyncio.create_task(self._occupy(seat)) for seat in self.seats]
        self._watching = asyncio.create_task(self._watch())
        # the workers' processes start first: they need their time, and the front takes some too
        await asyncio.sleep(0)
        await self.front.serve()
        starting = asyncio.create_task(self._deal_and_begin(started_s))
        self._tasks.append(starting)
        try:
            await asyncio.wait((starting, self._failed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            starting.cancel()
        if self._failed.done():
            self._failed.result()
        starting.result()

    async def _open_state(self) -> None:
        options = self.options
        if options.keep and not options.state:
            raise LocalError("bindings can be kept at the end only with a state directory: --state")
        if options.state:
            # In a thread, because it may wait for the workers of an engine that was killed.
            shard = f"{options.host_index}/{options.hosts}"
            self._state = await asyncio.to_thread(
                StateDirectory, options.state, options.workers, shard, self._instance_key
            )
            self._instance_key = self._state.instance_key

    def _set_seats(self) -> None:
        module, state = self.options.worker_module, self._state
        inherited = (state.lock,) if state else ()
        self.seats = [Seat(k, self, module, inherited) for k in range(self.options.workers)]
        for seat in self.seats if state else ():
            seat.ports = state.ports_of(seat.index) if state else {}

    async def _occupy(self, seat: Seat) -> None:
        try:
            await seat.keep_occupied()
        except Exception as error:
            self._fail(f"worker {seat.index}: {control.reason_of(error)}")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(watch.LOOK_S)
            for seat in self.seats:
                seat.look()
            self.front.look()

    async def _deal_and_begin(self, started_s: float) -> None:
        await self._deal()
        if not self.registrations:
            raise LocalError(self._configuration.nothing())
        for seat in self.seats:
            seat.complete()
        self._dealt = True
        self._begin_if_complete()
        await self._ready.wait()
        self.load_s = time.monotonic() - started_s
        self._loaded_at_s = time.time()

    async def _deal(self) -> None:
        async for item in loading.load(self.order()):
            match item:
                case Share(worker, digests, frame):
                    self.seats[worker].append(digests, frame)
                case loading.Done():
                    self.take_over(item)
                    if item.elsewhere:
                        logger.info("other hosts hold the rest", registrations=item.elsewhere)

    def order(self) -> loading.Order:
        """What a loader has to do: the first one to load, a later one to compare, too."""
        return self._configuration.order([seat.spool.fileno() for seat in self.seats])

    def take_over(self, done: loading.Done) -> None:
        """What a loader found holds from now on."""
        self._configuration.take_over(done)

    @property
    def registrations(self) -> int:
        """That are asked for, on this host."""
        return self._configuration.registrations

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Refused objects of the configuration."""
        return self._configuration.findings

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Of the configuration."""
        return self._configuration.warnings

    def _secret(self, purpose: str, *, seeded: bool) -> bytes:
        if not seeded:
            return os.urandom(16)
        return blake2b(f"{purpose} {self._seed}".encode(), digest_size=16).digest()

    # ---- what the seats say

    def setup_for(self, seat: Seat) -> control.Setup:
        """Who the next worker on this seat is."""
        own = blake2b(f"{self._seed} {seat.index} {seat.replacements}".encode(), digest_size=8)
        handed_out = seat.board.get("regiment_cseq_high")
        return control.Setup(
            seat.index,
            int.from_bytes(own.digest(), "big"),
            self._instance_key,
            max(int(time.time()) + CSEQ_STEP * seat.replacements, handed_out + CSEQ_STEP),
            seat.ports,
            self.options.receive_buffer_bytes,
            self.options.send_buffer_bytes,
            str(state.file_of(seat.index)) if (state := self._state) else "",
            state.former(seat.index) if state else (),
        )

    def on_loaded(self, seat: Seat) -> None:
        """A worker has its share: at the start it waits for the others, later it begins."""
        if self.shares is None:
            self._begin_if_complete()
        elif seat.loaded is not None:
            self._save_state()
            seat.begin(self.shares.begin(seat.loaded.targets))

    def _save_state(self) -> bool:
        """Writes down that the workers have loaded, and their ports. False: it cannot be."""
        if self._state is None:
            return True
        loaded = [seat.index for seat in self.seats if seat.loaded is not None]
        try:
            self._state.commit([seat.ports for seat in self.seats], loaded)
        except LocalError as error:
            if self.shares is None:
                self._fail(str(error))
                return False
            logger.error(str(error))
        return True

    def _begin_if_complete(self) -> None:
        """Opens the gate once every worker is loaded, but for those that cannot be started."""
        if not self._dealt or self.shares is not None:
            return
        loaded = {seat.index: seat.loaded for seat in self.seats if seat.loaded is not None}
        if not loaded or any(seat.loaded is None and not seat.slow for seat in self.seats):
            return
        if self._state is not None:
            self._state.tell(loaded.values())
        if not self._save_state():
            return
        self.shares = self._configuration.share_out(loaded)
        for seat in self.seats:
            if seat.loaded is not None:
                seat.begin(self.shares.begin(seat.loaded.targets))

    def on_began(self, seat: Seat) -> None:
        """A worker registers."""
        if seat.replacements:
            logger.info("worker replaced", worker=seat.index, pid=seat.pid)
        self.front.on_began(seat)
        self._look_whether_ready()

    def _look_whether_ready(self) -> None:
        if self.shares is not None and all(each.running or each.slow for each in self.seats):
            self._ready.set()

    def on_stuck(self, seat: Seat) -> None:
        """A worker makes no turns any more, or makes them again."""
        if seat.is_stuck:
            seconds = watch.LOOKS * watch.LOOK_S
            logger.error("worker makes no turns", worker=seat.index, pid=seat.pid, seconds=seconds)
        else:
            logger.info("worker makes turns again", worker=seat.index, pid=seat.pid)

    def on_events(
        self,
        seat: Seat,  # noqa: ARG002
        events: tuple[Event, ...],
        calls: tuple[Call, ...],
    ) -> None:
        """Rare things of single registrations."""
        self.front.tell(events, calls)
        major = tuple(event for event in events if not event.is_minor)
        if self._on_events is not None and major:
            self._on_events(major)

    def on_warnings(self, seat: Seat, warnings: tuple[str, ...]) -> None:  # noqa: ARG002
        """What every worker finds alike is said once."""
        for warning in warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                logger.warning(warning)

    def on_death(self, seat: Seat, reason: str, is_fault: bool) -> None:
        """A worker is gone and will be replaced, unless there is no point in going on."""
        if self._stopping:
            return
        if is_fault and self.shares is None:
            # It said why, and it would say so again: a port in use, for one.
            self._fail(reason)
            return
        again = "started once a minute from now on" if seat.slow else "replaced"
        logger.error(f"worker died and is {again}", worker=seat.index, pid=seat.pid, reason=reason)
        if all(each.is_hopeless for each in self.seats):
            self._fail(f"no worker can be started; worker {seat.index}: {reason}")
        self._begin_if_complete()
        self._look_whether_ready()

    def _fail(self, reason: str) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(LocalError(reason))

    async def wait(self) -> None:
        """Returns never; raises `LocalError` when no worker can be started any more."""
        if self._failed is None:
            raise LocalError("the engine was not started")
        await asyncio.shield(self._failed)

    # ---- reload

    async def reload(self, allow_removals: bool = False, *, wait: bool = False) -> ReloadReport:
        """Reads the configuration again and passes on what has changed in it.

        `allow_removals`: even if more than 100 registrations and more than a tenth of them go.
        `wait`: after a reload that is running; without it that is an error.
        Raises `ConfigError` where the file is unusable and `LocalError` where it must not come
        into force or the engine is not in the state for it: then nothing has changed.
        """
        return await self._reloads.run(allow_removals, wait)

    def refusal(self) -> str:
        """Why there can be no reload now; empty: there can."""
        if self._stopping:
            return "the engine is stopping"
        return "" if self._ready.is_set() else "the engine is still starting"

    async def share_out_anew(self) -> None:
        """After workers have changed what they hold: rates and rows."""
        loaded = {seat.index: seat.loaded for seat in self.seats if seat.loaded is not None}
        if not loaded:
            return
        self._save_state()
        self.shares = self._configuration.share_out(loaded, self.shares)
        await reloading.begin(self.seats, self.shares)

    def on_reload_failed(self, reason: str) -> None:
        """Nothing has changed."""
        self._config_ok = False
        logger.error("the configuration was not reloaded", reason=reason)

    def on_reloaded(self, report: ReloadReport) -> None:
        """Everything has changed that had to."""
        self._config_ok = True
        self.load_s = report.seconds
        self._loaded_at_s = time.time()
        counts = {name: getattr(report, name) for name in reloading.COUNTS}
        logger.info("reloaded", **counts, seconds=round(report.seconds, 2))
        for name in report.transports_pending:
            logger.warning("transport changed: it stays as it is until a restart", transport=name)

    # ---- questions

    def snapshot(self) -> Snapshot:
        """All scoreboards, added up. Some 20 µs a worker."""
        boards = {seat.index: seat.memory for seat in self.seats}
        return Snapshot.of(boards, time.monotonic_ns())

    def facts(self) -> Facts:
        """What no scoreboard holds."""
        shares = self.shares
        return Facts(
            registrars=shares.registrars if shares else (),
            desired=shares.desired if shares else {},
            groups=shares.groups if shares else (),
            group_desired=shares.group_desired if shares else {},
            endpoints=shares.endpoints if shares else (),
            worker_up={seat.index: seat.running and not seat.is_stuck for seat in self.seats},
            worker_restarts={seat.index: seat.replacements for seat in self.seats},
            targets=self.front.targets.facts,
            config_load_s=self.load_s,
            config_loaded_at_s=self._loaded_at_s,
            config_ok=self._dealt and self._config_ok,
        )

    async def status(self, name: str) -> Status | None:
        """What is known of a registration; None: there is none of that name.

        Raises `LocalError` while its worker is down or stuck.
        """
        digest = digest_of(name)
        seat = self.seats[self._assignment.worker_of(digest)]
        if digest not in seat.roster:
            return None
        reply = await seat.ask(control.StatusOf(name))
        return reply.status if isinstance(reply, control.Known) else None

    def worker_of(self, name: str) -> int:
        """The worker that has that name, if any has."""
        return self._assignment.worker_of(digest_of(name))

    @property
    def url(self) -> str:
        """Of the HTTP API over TCP; empty: there is none."""
        return self.front.url

    @property
    def socket(self) -> str:
        """The path of the API's Unix socket; empty: there is none."""
        return self.front.socket

    @property
    def is_stopping(self) -> bool:
        """It was told to stop."""
        return self._stopping

    @property
    def restarts(self) -> int:
        """How many workers were replaced."""
        return sum(seat.replacements for seat in self.seats)

    @property
    def is_alive(self) -> bool:
        """No worker hangs. One that has died is being replaced, which is life too."""
        return not any(seat.is_stuck for seat in self.seats)

    def complaint(self) -> str:
        """Why the engine is not ready; empty: it is."""
        if self._stopping:
            return "stopping"
        if not self._ready.is_set():
            return "loading"
        down = [seat for seat in self.seats if not seat.running]
        for seats, what in (
            ([seat for seat in down if seat.slow], "died too often, is started once a minute"),
            (down, "being replaced"),
            ([seat for seat in self.seats if seat.is_stuck], "makes no turns"),
        ):
            if seats:
                return f"worker {', '.join(str(seat.index) for seat in seats)}: {what}"
        return ""

    # ---- end

    async def stop(self) -> int:
        """Un-REGISTERs everything, paced, or keeps it, as the options say.

        Returns how many registrations were not settled in time. To be called after `start` has
        returned, or was cancelled when there were `shares` already.
        """
        self._stopping = True
        await self._reloads.stop()
        rate = self.options.stop_rate
        for seat in self.seats:
            part = len(seat.roster) / self.registrations if self.registrations else 1.0
            seat.stop(rate * part, self.options.keep)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.stop_timeout_s)
        return sum(seat.remaining for seat in self.seats if not seat.settled)

    @property
    def stop_timeout_s(self) -> float:
        """How long `stop` may take."""
        if self.options.stop_timeout_s is not None:
            return self.options.stop_timeout_s
        rate, largest = self.options.stop_rate, self.shares.largest if self.shares else 0.0
        return STOP_GRACE_S + (largest / rate if rate > 0 else 0.0)

    async def close(self) -> None:
        """Ends everything at once: workers are killed, sockets closed. May be called twice."""
        self._stopping = True
        await self._reloads.stop(0.0)
        tasks = [*self._tasks, *([self._watching] if self._watching else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for seat in self.seats:
            seat.close()
        if self._state is not None:
            self._state.close()
        await self.front.close()
        if self._failed is not None:
            # Told or not: whoever closes wants to hear no more of it.
            self._failed.cancel()
            await asyncio.gather(self._failed, return_exceptions=True)
