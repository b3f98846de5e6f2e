"""A seat: the place of worker k, whoever sits on it.

The seat outlives its workers: it keeps the share of the configuration (spool), the scoreboard and
the ports, so that a successor goes on where its predecessor was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, Protocol, TypeVar

import regiment
from regiment.coordinator.roster import Roster
from regiment.coordinator.spool import Spool
from regiment.coordinator.watch import Watch
from regiment.errors import LocalError
from regiment.metrics.scoreboard import Scoreboard
from regiment.model import Call, Event
from regiment.worker import control

CSEQ_STEP = 64
"""A successor's CSeqs begin this far above whatever its predecessor handed out."""
DEATHS = 3
DEATHS_WINDOW_S = 60.0
"""So many deaths within this time, and the worker is started at most once in it from then on."""
ANSWER_S = 10.0
"""A worker that does not answer a question within this is given up on."""
CHANGE_S = 60.0
"""A worker that does not say within this that it has changed what it holds is replaced."""
_EXIT_S = 5.0
_POLL_S = 0.005
_BLOCKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


Step = control.Prepared | control.Changed | control.Began
_StepT = TypeVar("_StepT", control.Prepared, control.Changed, control.Began)


class Owner(Protocol):
    """What a seat tells the coordinator."""

    def setup_for(self, seat: Seat) -> control.Setup: ...
    def on_loaded(self, seat: Seat) -> None: ...
    def on_began(self, seat: Seat) -> None: ...
    def on_stuck(self, seat: Seat) -> None: ...
    def on_events(self, seat: Seat, events: tuple[Event, ...], calls: tuple[Call, ...]) -> None: ...
    def on_warnings(self, seat: Seat, warnings: tuple[str, ...]) -> None: ...
    def on_death(self, seat: Seat, reason: str, is_fault: bool) -> None: ...


class Seat:
    """Worker `index`: its process, its share of the configuration, its scoreboard."""

    def __init__(
        self, index: int, owner: Owner, module: str, inherited: tuple[int, ...] = ()
    ) -> None:
        """`inherited`: descriptors that every worker holds open as long as it lives."""
        self.index = index
        self.roster = Roster()
        self.spool = Spool(f"regiment worker {index}")
        self._board_fd = _board_memory(index)
        self.memory = mmap.mmap(self._board_fd, Scoreboard.size_bytes())
        self.board = Scoreboard(self.memory)
        self.loaded: control.Loaded | None = None
        self.ports: dict[str, int] = {}
        self.replacements = 0
        self.running = False
        """Registering: it has begun and has not died."""
        self.has_begun = False
        """This life came as far as registering."""
        self.slow = False
        """It died too often: it is started once a minute."""
        self.starts_failed = 0
        """Lives in a row that ended before they began to register."""
        self.settled = False
        """Its worker has un-registered everything."""
        self.remaining = 0
        self.pid = 0
        self._owner = owner
        self._module = module
        self._inherited = inherited
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._grown = asyncio.Event()
        self._complete = False
        self._watch = Watch()
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._started_s = 0.0
        self._fault = ""
        self._ever_begun = False
        self._leaving = asyncio.Event()
        self._asked: dict[int, asyncio.Future[control.Reply]] = {}
        self._questions = 0
        self._feeder: asyncio.Future[None] | None = None
        self._outdated = False
        """Whoever sits here holds what is no longer in force, and was killed for that."""
        self._begin: control.Begin | None = None
        self._step: asyncio.Future[Any] | None = None
        self._awaited: type[Step] = control.Began
        """What answers `_step`."""

    # ---- its share of the configuration

    def append(self, digests: bytes, frame: bytes) -> None:
        """Adds a batch to the share; whoever sits here gets it as fast as it reads."""
        self.roster.add(digests)
        self.spool.append(frame)
        self._grown.set()

    def complete(self) -> None:
        """The share is whole."""
        self._complete = True
        self._grown.set()

    # ---- lives

    async def keep_occupied(self) -> None:
        """Starts a worker, and another one whenever it dies, until `stop` or `kill`."""
        while not self._leaving.is_set():
            self._started_s = time.monotonic()
            reason = await self._live()
            if self._leaving.is_set():
                return
            self._note_death(reason)
            if self.slow and not self._outdated:
                wait_s = max(self._started_s + DEATHS_WINDOW_S - time.monotonic(), 0.0)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._leaving.wait(), wait_s)
            self._outdated = False
            self.replacements += 1

    async def _live(self) -> str:
        """One worker's life; returns what it died of."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = start_process(
                    self._module, theirs.fileno(), self._board_fd, *self._inherited
                )
            except OSError as error:
                ours.close()
                return f"cannot be started: {error.strerror}"
        self.pid = self._process.pid
        self._fault = ""
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._say(self._owner.setup_for(self))
        feeder = self._feeder = asyncio.ensure_future(self._feed(self._writer, self.spool))
        try:
            while received := await control.read_frame(reader):
                self._hear(control.decode_from_worker(received[1]))
        finally:
            feeder.cancel()
            self.running = False
            self._writer.close()
            self._writer = None
            for waiting in (*self._asked.values(), *([self._step] if self._step else ())):
                if not waiting.done():
                    waiting.set_exception(LocalError(f"worker {self.index} died"))
            self._asked.clear()
            self._step = None
        return self._fault or death_of(await self._exit_code(self._process))

    async def _feed(self, writer: asyncio.StreamWriter, spool: Spool) -> None:
        """Sends the share from its front, as it grows, and no faster than the worker reads."""
        sent = 0
        with contextlib.suppress(ConnectionError):
            while True:
                self._grown.clear()
                if chunk := spool.read(sent):
                    writer.write(chunk)
                    sent += len(chunk)
                    await writer.drain()
                elif self._complete:
                    break
                else:
                    await self._grown.wait()
            writer.write(control.frame(control.LoadEnd()))

    async def _exit_code(self, process: subprocess.Popen[bytes]) -> int:
        """Waits for a process that has closed its socket; kills it if it lingers."""
        deadline_s = time.monotonic() + _EXIT_S
        while (code := process.poll()) is None:
            if time.monotonic() > deadline_s:
                process.kill()
            await asyncio.sleep(_POLL_S)
        return code

    def _note_death(self, reason: str) -> None:
        self.board.clear_gauges()
        self.starts_failed = 0 if self.has_begun else self.starts_failed + 1
        self.loaded = None
        self.has_begun = False
        self._watch = Watch()
        self._begin = None
        if self._outdated:
            return
        now_s = time.monotonic()
        self._deaths.append(now_s)
        if len(self._deaths) == DEATHS and now_s - self._deaths[0] <= DEATHS_WINDOW_S:
            self.slow = True
        self._owner.on_death(self, reason, bool(self._fault))

    @property
    def is_hopeless(self) -> bool:
        """Nobody sits here, and the last ones never came as far as registering."""
        return not self.running and self.starts_failed >= DEATHS

    @property
    def is_stuck(self) -> bool:
        """Its worker runs and makes no turns."""
        return self.running and self._watch.stuck

    def look(self) -> None:
        """To be called about once a second: says so when its worker gets stuck, or goes on."""
        if self.running and self._watch.look(self.board.get("regiment_turns_total")):
            self._owner.on_stuck(self)

    # ---- talk

    def _hear(self, message: control.FromWorker) -> None:
        match message:
            case control.Loaded() as loaded:
                self.loaded = loaded
                self.ports = {bound.transport: bound.port for bound in loaded.sockets}
                self._owner.on_warnings(self, loaded.warnings)
                self._owner.on_loaded(self)
            case control.Began() as step:
                again = self.running
                self.running = self.has_begun = self._ever_begun = True
                self._reach(step)
                if not again:
                    self._owner.on_began(self)
            case control.Prepared() | control.Changed() as step:
                self._reach(step)
            case control.Happened(events, calls, warnings):
                self._owner.on_warnings(self, warnings)
                self._owner.on_events(self, events, calls)
            case control.Answer(number, reply):
                question = self._asked.pop(number, None)
                if question is not None and not question.done():
                    question.set_result(reply)
            case control.Progress(remaining):
                self.remaining = remaining
            case control.Stopped():
                self.settled = True
                self.remaining = 0
            case control.Fault(reason):
                self._fault = reason

    def _say(self, message: control.ToWorker) -> None:
        if self._writer is not None:
            self._writer.write(control.frame(message))

    def begin(self, begin: control.Begin) -> None:
        """Lets the worker register."""
        self._begin = begin
        self._say(begin)

    def watch(self, everything: bool) -> None:
        """Has the worker tell every change of state, or only what a log wants."""
        if self.running:
            self._say(control.Watch(everything))

    # ---- a reload

    async def prepare(self, listeners: tuple[control.Listener, ...]) -> str:
        """Opens sockets for a reload; returns why that cannot be, or nothing.

        Raises `LocalError` if the worker dies over it, or does not answer and so is replaced.
        """
        answer = control.Prepared
        return (await self._ask_step(control.Prepare(listeners), answer, ANSWER_S)).reason

    def discard(self) -> None:
        """The sockets that were prepared are not wanted after all."""
        self._say(control.Discard())

    def swap(self, spool: Spool, roster: Roster, life: int) -> bool:
        """Puts another share in the place of the one that is in force.

        True: the worker of that life (`replacements`) runs and can be told what has changed. Any
        other one is killed, so that its successor reads the new share.
        """
        old, self.spool, self.roster = self.spool, spool, roster
        if self._feeder is not None:
            self._feeder.cancel()
        old.close()
        if self.running and life == self.replacements:
            return True
        if self._process is not None and self._process.poll() is None:
            self._outdated = True
            self._process.kill()
        return False

    async def change(self, changes: Spool) -> None:
        """Tells the worker what it holds differently, and waits until it does.

        Raises `LocalError` if it dies over it; its successor reads the share that is in force.
        """
        writer, sent = self._writer, 0
        try:
            async with asyncio.timeout(CHANGE_S):
                while writer is not None and (chunk := changes.read(sent)):
                    writer.write(chunk)
                    sent += len(chunk)
                    await writer.drain()
                step = await self._ask_step(control.ChangeEnd(), control.Changed, None)
        except ConnectionError:
            raise LocalError(f"worker {self.index} died") from None
        except TimeoutError:
            if self._process is not None:
                self._process.kill()
            raise LocalError(f"worker {self.index} does not answer") from None
        self.loaded = control.Loaded(step.registrations, step.targets, step.sockets, ())
        self.ports = {bound.transport: bound.port for bound in step.sockets}
        self._begin = None
        self._owner.on_warnings(self, step.warnings)

    async def begin_again(self, begin: control.Begin) -> None:
        """Lets the worker go on after a reload; one that has nothing new to learn is left alone.

        Raises `LocalError` if it dies over it, or does not answer and so is replaced.
        """
        if begin != self._begin:
            self._begin = begin
            await self._ask_step(begin, control.Began, ANSWER_S)

    async def _ask_step(
        self, message: control.ToWorker, answer: type[_StepT], limit_s: float | None
    ) -> _StepT:
        """Says something of which there is only one at a time, and waits for what answers it.

        A worker that takes too long is killed: its answer could pass for that to a later step.
        """
        step: asyncio.Future[_StepT] = asyncio.get_running_loop().create_future()
        if self._writer is None:
            raise LocalError(f"worker {self.index} is down")
        self._step, self._awaited = step, answer
        self._say(message)
        try:
            async with asyncio.timeout(limit_s):
                return await step
        except TimeoutError:
            if self._process is not None:
                self._process.kill()
            raise LocalError(f"worker {self.index} does not answer") from None
        finally:
            self._step = None

    def _reach(self, step: Step) -> None:
        if self._step is not None and not self._step.done() and isinstance(step, self._awaited):
            self._step.set_result(step)

    # ---- questions

    async def ask(self, question: control.Question) -> control.Reply:
        """The worker's reply. Raises `LocalError` if it has none within `ANSWER_S`."""
        if not self.running:
            raise LocalError(f"worker {self.index} is down")
        if self.is_stuck:
            raise LocalError(f"worker {self.index} makes no turns")
        self._questions += 1
        number = self._questions
        reply: asyncio.Future[control.Reply] = asyncio.get_running_loop().create_future()
        self._asked[number] = reply
        self._say(control.Ask(number, question))
        try:
            async with asyncio.timeout(ANSWER_S):
                return await reply
        except TimeoutError:
            raise LocalError(f"worker {self.index} does not answer") from None
        finally:
            self._asked.pop(number, None)

    # ---- the end

    def stop(self, rate: float, keep: bool = False) -> None:
        """Tells the worker to un-REGISTER everything and to end; nobody takes its place.

        `keep`: to end at once and leave the bindings as they are.
        """
        self._leaving.set()
        is_begun = self.running or self._begin is not None
        if (self._ever_begun or is_begun) and not keep:
            # Whoever sits here now: these may have a binding that a dead worker made.
            self.remaining = len(self.roster)
        if is_begun:
            self._say(control.Stop(rate, keep))
        else:
            self.kill()

    def kill(self) -> None:
        """Ends the worker at once; nobody takes its place."""
        self._leaving.set()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def close(self) -> None:
        """Gives memory and descriptors back; the worker is killed and waited for."""
        self.kill()
        if self._process is not None:
            self._process.wait()
        self.spool.close()
        if self._board_fd >= 0:
            os.close(self._board_fd)
            self._board_fd = -1


def start_process(module: str, *descriptors: int) -> subprocess.Popen[bytes]:
    """Starts ``python -m module FD …`` with these descriptors inherited.

    Signals that a terminal or a service manager sends to the whole group are blocked in it: it is
    told to stop by its socket, in good order.
    """
    root = str(Path(regiment.__file__).parent.parent)
    found = os.environ.get("PYTHONPATH", "")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, *map(str, descriptors)],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{found}" if found else root},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def death_of(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _board_memory(index: int) -> int:
    try:
        descriptor = os.memfd_create(f"regiment board {index}", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, Scoreboard.size_bytes())
    except OSError as error:
        raise LocalError(f"no memory for the metrics: {error.strerror}") from None
    return descriptor
