"""The worker process: ``python -m regiment.worker.process CONTROL_FD BOARD_FD``.

It is told everything over its control socket (`worker.control`) and knows nothing of who started
it. Signals are not for it: it ends when it is told to, when the other end of the socket is gone, or
when it cannot go on, after saying why.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import mmap
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec
import uvloop

from regiment.errors import LocalError
from regiment.metrics.scoreboard import Scoreboard
from regiment.net.resolver import Resolver
from regiment.uac.destination import Place, TargetInfo
from regiment.uac.engine import Engine
from regiment.worker import control
from regiment.worker.alarm import Alarm, die_with_parent
from regiment.worker.answers import Answers
from regiment.worker.change import Alteration
from regiment.worker.lookup import Lookup
from regiment.worker.meter import Meter
from regiment.worker.shard import HOLD_NS, Shard
from regiment.worker.sockets import Sockets
from regiment.worker.state import StateFile, read_former
from regiment.worker.streams import Connections

READ_BYTES = 1 << 20
"""Read ahead from the control socket; a batch may be longer."""
SURVEY_NS = 10_000_000_000
"""The costly gauges are refreshed this often."""
EVENTS_NS = 100_000_000
PROGRESS_NS = 250_000_000
"""How often events are passed on, and how often a stopping worker says how far it is."""


class Worker:
    """One worker's life on a running loop: what it was told, and what it answers."""

    def __init__(
        self,
        setup: control.Setup,
        writer: asyncio.StreamWriter,
        board: Scoreboard,
        make_engine: Callable[..., Any] = Engine,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = loop.create_future()
        self._setup = setup
        self._board = board
        self._writer = writer
        self._engine = make_engine(
            board,
            seed=setup.seed,
            instance_key=setup.instance_key,
            cseq_base=setup.cseq_base,
        )
        self._alarm = Alarm()
        self._shard = Shard(
            loop,
            self._engine,
            self._alarm,
            chores=self._chores,
            after=self._after,
            failed=self.fail,
            hold_ns=HOLD_NS,
        )
        random = Random(setup.seed)
        resolver = Resolver(random, time.monotonic_ns)
        self._meter = Meter(board, self._shard, resolver.answers)
        self._answers = Answers(
            self._engine, say=self._say, turn=self._shard.turn, failed=self.fail
        )
        self._connections = Connections(
            self._engine, attach=self._shard.add_streams, wake=self._shard.wake
        )
        self._sockets = Sockets(setup, self._shard, self._engine, self._connections)
        self._lookup = Lookup(
            resolver, self._sockets.faces, random, self._tell_addresses, self.fail
        )
        self._alteration = Alteration(self._engine, self._sockets, self._make_room)
        self._state: StateFile | None = None
        self._full = ""
        """Why the state file has no room for all; empty: it has."""
        self._targets: tuple[TargetInfo, ...] = ()
        self._survey_due_ns = 0
        self._events_due_ns = 0
        self._progress_due_ns = 0
        self._stopping = False

    # ---- what the coordinator says

    def handle(self, kind: int, body: bytes) -> None:
        """One frame. Raises `RegimentError` where the worker cannot go on."""
        if kind == control.BATCH:
            self._load(control.open_batch(body))
            return
        if kind == control.CHANGE:
            self._change(control.open_change(body))
            return
        match control.decode_to_worker(body):
            case control.LoadEnd():
                self._end_load()
            case control.Begin() as begin:
                self._begin(begin)
            case control.Ask() as ask:
                self._answers.take(ask)
            case control.Watch(everything):
                self._engine.watch(everything)
            case control.Prepare(listeners):
                self._say(control.Prepared(self._sockets.prepare(listeners)))
            case control.Discard():
                self._sockets.discard()
            case control.ChangeEnd():
                self._end_change()
            case control.Stop(rate, keep):
                self._stop(rate, keep)

    def _load(self, batch: control.LoadBatch) -> None:
        for listener in batch.listeners:
            self._sockets.listen(listener)
        for policy in batch.policies:
            self._engine.add_policy(policy)
        self._engine.load(batch.registrations)

    def _end_load(self) -> None:
        self._know_targets()
        # What was loaded stays until the end: no collection need ever look at it again.
        gc.collect()
        gc.freeze()
        gc.enable()
        recovered = self._open_state()
        self._say(
            control.Loaded(
                len(self._engine),
                self._targets,
                tuple(self._sockets.bound),
                tuple(self._sockets.warnings),
                recovered,
            )
        )

    def _know_targets(self) -> None:
        self._targets = tuple(self._engine.targets())
        self._lookup.know(self._targets)
        self._sockets.keepalive.know(self._targets)

    def _open_state(self) -> control.Recovered | None:
        """Makes the worker's own ledger and goes on with what former ones hold."""
        setup = self._setup
        if not setup.state_path:
            return None
        self._state = StateFile(setup.state_path, setup.index, self._engine.slots())
        self._engine.attach(self._state.memory, wall_offset_ns())
        found = [control.Recovered()]
        for former in setup.former:
            left = read_former(former.path)
            taken = self._engine.adopt(left.memory, left.same_boot, time.monotonic_ns())
            found.append(control.Recovered(*taken))
        self._state.publish()
        return control.Recovered(*map(sum, zip(*map(msgspec.structs.astuple, found), strict=True)))

    def _make_room(self, more: int) -> None:
        """Entries for `more` registrations beyond those that there are."""
        wanted = self._engine.slots() + more
        if self._state is None or self._state.has_room_for(wanted):
            return
        try:
            self._engine.attach(self._state.grow(wanted), wall_offset_ns())
        except LocalError as error:
            # What is registered matters more than what a restart will know of it.
            self._full = f"--state: {error}; registrations without room there start anew after it"

    def _change(self, batch: control.ChangeBatch) -> None:
        self._alteration.take(batch, time.monotonic_ns())
        self._know_targets()

    def _end_change(self) -> None:
        self._alteration.end()
        self._know_targets()
        full = (self._full,) if self._full else ()
        self._say(
            control.Changed(len(self._engine), self._targets, tuple(self._sockets.bound), full)
        )

    def _begin(self, begin: control.Begin) -> None:
        for target, (row, rate) in enumerate(zip(begin.rows, begin.rates, strict=True)):
            self._engine.set_row(target, row)
            self._engine.set_rate(target, rate)
        for target, rate in enumerate(begin.departure_rates):
            self._engine.set_departure_rate(target, rate)
        for target, limit in enumerate(begin.outstanding):
            self._engine.set_outstanding(target, limit)
        self._engine.set_groups({group: row for row, group in enumerate(begin.groups, start=1)})
        self._engine.set_endpoints({name: row for row, name in enumerate(begin.endpoints, start=1)})
        self._lookup.configure(begin.names)
        now_ns = time.monotonic_ns()
        self._survey_due_ns = now_ns + SURVEY_NS
        self._engine.begin(now_ns)
        self._engine.survey(now_ns)
        self._shard.start()
        self._meter.publish()
        self._say(control.Began())

    # ---- what the turns ask for

    def _after(self, now_ns: int) -> None:
        """At the end of each turn: names to look up, events, and whether a stop is done."""
        if wanted := self._engine.lookups():
            self._lookup.take(wanted)
        self._connections.after(now_ns)
        if now_ns >= self._events_due_ns:
            self._events_due_ns = now_ns + EVENTS_NS
            events, calls = self._engine.events(), self._engine.calls()
            warnings = self._connections.take_warnings()
            if events or calls or warnings:
                self._say(control.Happened(tuple(events), tuple(calls), warnings))
        if self._stopping:
            self._settle(now_ns)

    def _stop(self, rate: float, keep: bool) -> None:
        self._stopping = True
        if keep:
            # The ledger holds all there is to know; bindings and sockets' ports wait for the next.
            self._shard.stop()
            self._chores(time.monotonic_ns())
            self._say(control.Stopped())
            self._finish()
            return
        self._engine.unregister_all(time.monotonic_ns(), rate)
        self._shard.turn()

    def _settle(self, now_ns: int) -> None:
        remaining = self._engine.remaining()
        if not remaining:
            self._shard.stop()
            self._chores(now_ns)
            self._say(control.Stopped())
            self._finish()
        elif now_ns >= self._progress_due_ns:
            self._progress_due_ns = now_ns + PROGRESS_NS
            self._say(control.Progress(remaining))

    def _chores(self, now_ns: int) -> None:
        if self._stopping or now_ns >= self._survey_due_ns:
            self._survey_due_ns = now_ns + SURVEY_NS
            self._engine.survey(now_ns)
            self._sockets.faces.forget()
        if self._state is not None:
            self._engine.set_wall(wall_offset_ns())
        kept_alive = self._sockets.keepalive.beat(now_ns)
        self._board.add("regiment_udp_keep_alives_total", (), kept_alive)
        self._connections.publish(self._board)
        self._meter.publish()

    def _tell_addresses(self, number: int, places: Sequence[Place], reason: str) -> None:
        now_ns = time.monotonic_ns()
        self._engine.set_addresses(number, places, now_ns, reason)
        if places:
            self._sockets.keepalive.tell(number, places, now_ns)
        self._shard.turn()

    # ---- the end

    def fail(self, error: BaseException) -> None:
        """Says why the worker cannot go on, and ends it."""
        if os.environ.get("REGIMENT_DEBUG") == "1":
            traceback.print_exception(error)
        self._say(control.Fault(control.reason_of(error)))
        self._finish()

    def _say(self, message: control.FromWorker) -> None:
        self._writer.write(control.frame(message))

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def close(self) -> None:
        """Stops the turns and closes the sockets."""
        self._lookup.close()
        self._answers.close()
        self._shard.stop()
        self._sockets.close()
        self._connections.close()
        if self._state is not None:
            self._state.close()
        self._meter.close()
        self._alarm.close()


def wall_offset_ns() -> int:
    """The wall clock less the monotonic one."""
    return time.time_ns() - time.monotonic_ns()


async def live(
    control_socket: socket.socket,
    board: Scoreboard,
    make_engine: Callable[..., Any] = Engine,
) -> None:
    """A worker's whole life on this loop: until it is told to end, fails or is left alone."""
    reader, writer = await asyncio.open_connection(sock=control_socket, limit=READ_BYTES)
    try:
        first = await control.read_frame(reader)
        if first is None:
            return
        setup = control.decode_to_worker(first[1])
        if not isinstance(setup, control.Setup):
            raise LocalError("the control stream is broken: it does not begin with a setup")
        await _work(Worker(setup, writer, board, make_engine), reader)
        await writer.drain()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _work(worker: Worker, reader: asyncio.StreamReader) -> None:
    try:
        while not worker.done.done():
            incoming = asyncio.create_task(control.read_frame(reader))
            either: tuple[asyncio.Future[Any], ...] = (incoming, worker.done)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not incoming.done():
                incoming.cancel()
                return
            if (received := incoming.result()) is None:
                return
            try:
                worker.handle(*received)
            except Exception as error:
                worker.fail(error)
    finally:
        worker.close()


def main() -> None:
    """The process: descriptors of the control socket and of the board are its arguments."""
    die_with_parent()
    gc.disable()
    control_fd, board_fd = (int(argument) for argument in sys.argv[1:3])
    board = Scoreboard(mmap.mmap(board_fd, Scoreboard.size_bytes()))
    try:
        uvloop.run(live(socket.socket(fileno=control_fd), board))
    except Exception as error:
        if os.environ.get("REGIMENT_DEBUG") == "1":
            raise
        sys.exit(f"regiment: a worker ended: {control.reason_of(error)}")


if __name__ == "__main__":
    main()
