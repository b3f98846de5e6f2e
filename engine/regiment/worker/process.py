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
from collections.abc import Callable
from typing import Any

import uvloop

from regiment.errors import LocalError, RegimentError
from regiment.metrics.scoreboard import Scoreboard
from regiment.net import resolver, udp
from regiment.net.address import family_of
from regiment.uac.destination import TargetInfo
from regiment.uac.engine import Engine
from regiment.worker import control
from regiment.worker.alarm import Alarm, die_with_parent
from regiment.worker.answers import Answers
from regiment.worker.meter import Meter
from regiment.worker.shard import HOLD_NS, Shard

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
        self._meter = Meter(board, self._shard)
        self._answers = Answers(
            self._engine, say=self._say, turn=self._shard.turn, failed=self.fail
        )
        self._targets: tuple[TargetInfo, ...] = ()
        self._bound: list[control.Bound] = []
        self._warnings: dict[str, None] = {}
        self._lookups: set[asyncio.Task[None]] = set()
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
        match control.decode_to_worker(body):
            case control.LoadEnd():
                self._end_load()
            case control.Begin() as begin:
                self._begin(begin)
            case control.Ask() as ask:
                self._answers.take(ask)
            case control.Stop(rate):
                self._stopping = True
                self._engine.unregister_all(time.monotonic_ns(), rate)
                self._shard.turn()

    def _load(self, batch: control.LoadBatch) -> None:
        for listener in batch.listeners:
            self._listen(listener)
        for policy in batch.policies:
            self._engine.add_policy(policy)
        self._engine.load(batch.registrations)

    def _listen(self, listener: control.Listener) -> None:
        """Opens the transport's socket: worker k takes the port + k, published the same way."""
        transport = listener.transport
        opened = self._open(transport.name, transport.bind_host, transport.bind_port, transport.tos)
        self._shard.sockets.append(opened)
        host, port = opened.address
        self._bound.append(control.Bound(transport.name, host, port))
        external = transport.external_signaling_port
        self._engine.add_transport(
            transport, listener.published_host, external + self._setup.index if external else port
        )
        asked = self._setup.receive_buffer_bytes, self._setup.send_buffer_bytes
        self._warnings |= dict.fromkeys(buffer_warnings(opened, *asked))

    def _open(self, name: str, host: str, port: int, tos: int) -> udp.Socket:
        def socket_at(port: int) -> udp.Socket:
            return udp.Socket(
                host,
                port,
                receive_buffer_bytes=self._setup.receive_buffer_bytes,
                send_buffer_bytes=self._setup.send_buffer_bytes,
                tos=tos,
            )

        if port:
            return socket_at(port + self._setup.index)
        if former := self._setup.ports.get(name, 0):
            # Any port was asked for; a successor keeps its predecessor's if nobody took it.
            with contextlib.suppress(LocalError):
                return socket_at(former)
        return socket_at(0)

    def _end_load(self) -> None:
        # What was loaded stays until the end: no collection need ever look at it again.
        gc.collect()
        gc.freeze()
        gc.enable()
        self._targets = tuple(self._engine.targets())
        self._say(
            control.Loaded(
                len(self._engine),
                self._targets,
                tuple(self._bound),
                tuple(self._warnings),
            )
        )

    def _begin(self, begin: control.Begin) -> None:
        for target, (row, rate) in enumerate(zip(begin.rows, begin.rates, strict=True)):
            self._engine.set_row(target, row)
            self._engine.set_rate(target, rate)
        self._engine.set_groups({group: row for row, group in enumerate(begin.groups, start=1)})
        self._engine.set_endpoints({name: row for row, name in enumerate(begin.endpoints, start=1)})
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
        for target in self._engine.lookups():
            task = asyncio.get_running_loop().create_task(self._look_up(target))
            self._lookups.add(task)
            task.add_done_callback(self._lookups.discard)
        if now_ns >= self._events_due_ns:
            self._events_due_ns = now_ns + EVENTS_NS
            events, calls = self._engine.events(), self._engine.calls()
            if events or calls:
                self._say(control.Happened(tuple(events), tuple(calls)))
        if self._stopping:
            self._settle(now_ns)

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
        self._meter.publish()

    async def _look_up(self, number: int) -> None:
        """Resolves a target's name in a thread and tells the core."""
        target = self._targets[number]
        peers: list[bytes] = []
        reason = ""
        try:
            family = family_of(self._shard.sockets[target.socket].address[0])
            peers = await resolver.resolve(target.host, target.port, family)
        except RegimentError as error:
            reason = str(error)
        self._engine.set_addresses(number, peers, time.monotonic_ns(), reason)
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
        for task in self._lookups:
            task.cancel()
        self._answers.close()
        self._shard.stop()
        for opened in self._shard.sockets:
            opened.close()
        self._meter.close()
        self._alarm.close()


def buffer_warnings(opened: udp.Socket, receive_bytes: int, send_bytes: int) -> list[str]:
    """One line for each direction in which the kernel gave less than was asked for."""
    pairs = (
        ("receive", "rmem_max", opened.receive_buffer_bytes, receive_bytes),
        ("send", "wmem_max", opened.send_buffer_bytes, send_bytes),
    )
    return [
        f"the kernel gives UDP sockets {granted:,} bytes of {name} buffer instead of {asked:,}: "
        f"raise net.core.{limit} to {asked}"
        for name, limit, granted, asked in pairs
        if granted < asked
    ]


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
