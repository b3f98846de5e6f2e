"""The registrar's TCP and TLS flows: numbered, scripted to go wrong, counted.

Messages go to the registrar's core as datagrams do, and its answers come back in the same outbox,
with the number of their flow. An answer whose flow is gone is dropped and counted.
"""

from __future__ import annotations

import asyncio
import mmap
import random
import ssl
import time
from collections.abc import Callable
from typing import Protocol

from regiment.datagram import Batch
from regiment.net import outlet
from regiment.net.listener import Flow, Listener
from regiment.registrar import counts
from regiment.registrar.faults import FLOW_FAULTS, FlowFault

UNANSWERED = 1024
"""After so many messages answers are let go before more is read: the core's queue of answers is
bounded, and an answer that finds no place there would be missed over a stream."""

_EMPTY_LINE = b"\r\n\r\n"
"""The end of an answer of this registrar, none of which has a body."""
_NS = 1e-9


class Core(Protocol):
    """What flows need of the registrar's core."""

    def receive(self, inbox: Batch, now_ns: int) -> None: ...


class Flows:
    """All listeners of one registrar's process, and what is open on them."""

    def __init__(
        self,
        core: Core,
        cells: mmap.mmap,
        faults: tuple[FlowFault, ...],
        seed: bytes,
        woken: Callable[[], None],
        notice: Callable[[str], None],
    ) -> None:
        """`woken` is called once for all messages that come in one round of the loop."""
        self.listeners: list[Listener] = []
        self.answers_lost = 0
        self._core = core
        self._cells = memoryview(cells).cast("B").cast("Q")
        self._faults = faults
        self._cuts = any(fault.kind == "cut" for fault in faults)
        self._random = random.Random(seed)
        self._woken = woken
        self._notice = notice
        self._open: dict[int, Flow] = {}
        self._scripts: dict[int, _Script] = {}
        self._last_number = 0
        self._is_waking = False
        self._unanswered = 0
        self._loop = asyncio.get_running_loop()
        self._opened = {
            name: counts.cell_of("regiment_registrar_flows_opened_total", name)
            for name in counts.STREAMS
        }
        """Their cells, which are written at once: how fast clients come back is worth a look."""
        self._refused = dict.fromkeys(counts.STREAMS, 0)
        self._messages = dict.fromkeys(counts.STREAMS, 0)
        self._ends = dict.fromkeys(counts.FLOW_ENDS, 0)
        self._applied = dict.fromkeys(FLOW_FAULTS, 0)

    def listen(
        self, host: str, port: int, context: ssl.SSLContext | None, *, reuse_port: bool
    ) -> tuple[str, int]:
        """Opens a port, TLS with `context`; its address. Raises `LocalError`."""
        listener = Listener(
            host,
            port,
            self,
            transport="tls" if context is not None else "tcp",
            clock_ns=time.monotonic_ns,
            context=context,
            reuse_port=reuse_port,
        )
        self.listeners.append(listener)
        return listener.address

    def start(self) -> None:
        """Accepts from now on."""
        for listener in self.listeners:
            listener.start()
        for fault in self._faults:
            if fault.kind == "drop-all" and self.listeners:
                self._loop.call_later(fault.after_ns * _NS, self.drop_all)

    def close(self) -> None:
        """Ends everything."""
        for listener in self.listeners:
            listener.close()
        self.publish()

    def drop_all(self) -> None:
        """Ends all flows at once, as a fault."""
        self._applied["drop-all"] += sum(each.drop_all("fault") for each in self.listeners)

    # ---- answers

    def write(self, outbox: Batch) -> None:
        """Writes the outbox's answers that go by flows; those for one flow in a row at once."""
        if self._cuts:
            self._write_singly(outbox)
            return
        for number, answers in outlet.runs(outbox)[0]:
            flow = self._open.get(number)
            if flow is not None and flow.is_open:
                # What the kernel does not take at once waits longer than the outbox lives.
                flow.write(bytes(answers))
            else:
                self.answers_lost += bytes(answers).count(_EMPTY_LINE)

    def _write_singly(self, outbox: Batch) -> None:
        for index in range(len(outbox)):
            if (number := outbox.flow(index)) == 0:
                continue
            answer = outbox[index][0]
            flow = self._open.get(number)
            if flow is None or not flow.is_open:
                self.answers_lost += 1
            elif number in self._scripts and self._scripts[number].is_cut():
                self._applied["cut"] += 1
                flow.write(answer[: len(answer) // 2])
                flow.close("fault")
            else:
                flow.write(answer)

    # ---- what a listener asks and tells

    def number(self) -> int:
        """The next number; 2**32 connections are not to be expected of one process."""
        self._last_number += 1
        return self._last_number

    def verdict(self, listener: Listener) -> str:
        """Whether a fault takes a connection as soon as it is accepted."""
        kinds = ("close", "mute", "refuse") if listener.transport == "tls" else ("close", "mute")
        for fault in self._faults:
            if fault.kind in kinds and self._draw(fault):
                self._applied[fault.kind] += 1
                return fault.kind
        return ""

    def opened(self, flow: Flow) -> None:
        """Counts it, and draws its faults."""
        self._open[flow.number] = flow
        self._cells[self._opened[flow.listener.transport]] += 1
        if self._faults:
            self._script(flow)

    def received(self, flow: Flow, inbox: Batch) -> None:
        """Hands messages to the core."""
        self._messages[flow.listener.transport] += len(inbox)
        self._unanswered += len(inbox)
        self._core.receive(inbox, time.monotonic_ns())
        if self._unanswered >= UNANSWERED:
            self._unanswered = 0
            self._woken()
        elif not self._is_waking:
            self._is_waking = True
            self._loop.call_soon(self._wake)
        if flow.number in self._scripts:
            self._check(flow, self._scripts[flow.number])

    def closed(self, flow: Flow, reason: str) -> None:
        """Forgets it."""
        del self._open[flow.number]
        self._ends[reason] += 1
        if (script := self._scripts.pop(flow.number, None)) is not None:
            script.cancel()

    def refused(self, listener: Listener, reason: str) -> None:
        """Counts it; the reason is told once."""
        self._refused[listener.transport] += 1
        self._notice(f"{listener.transport}: {reason}")

    def _wake(self) -> None:
        self._is_waking = False
        self._unanswered = 0
        self._woken()

    # ---- faults

    def _draw(self, fault: FlowFault) -> bool:
        return fault.percent >= 100.0 or self._random.random() * 100.0 < fault.percent

    def _script(self, flow: Flow) -> None:
        script = _Script()
        for fault in self._faults:
            if fault.kind not in ("stall", "drop", "cut") or not self._draw(fault):
                continue
            if fault.messages:
                if fault.kind == "cut":
                    script.cut_at = fault.messages
                else:
                    script.due.append(fault)
            else:
                script.timers.append(
                    self._loop.call_later(fault.after_ns * _NS, self._strike, flow, fault.kind)
                )
        script.due.sort(key=lambda fault: fault.messages)
        if script.due or script.timers or script.cut_at >= 0:
            self._scripts[flow.number] = script

    def _check(self, flow: Flow, script: _Script) -> None:
        while script.due and flow.messages >= script.due[0].messages:
            self._strike(flow, script.due.pop(0).kind)

    def _strike(self, flow: Flow, kind: str) -> None:
        if not flow.is_open:
            return
        if kind == "cut":
            # The next answer, whichever it is.
            self._scripts[flow.number].cut_at = 0
            return
        self._applied[kind] += 1
        if kind == "stall":
            flow.stall()
        else:
            flow.abort("fault")

    # ---- counts

    def publish(self) -> None:
        """Writes the counts of all flows."""
        for name in counts.STREAMS:
            mine = [each for each in self.listeners if each.transport == name]
            self._set("flows", sum(len(each.flows) for each in mine), name)
            self._set("flows_refused_total", self._refused[name], name)
            self._set("messages_total", self._messages[name], name)
            self._set("keep_alives_total", sum(each.keep_alives for each in mine), name)
        for reason, count in self._ends.items():
            self._set("flows_closed_total", count, reason)
        for kind, count in self._applied.items():
            self._set("flow_faults_total", count, kind)
        self._set("answers_lost_total", self.answers_lost)

    def _set(self, name: str, value: int, label: str = "") -> None:
        self._cells[counts.cell_of(f"regiment_registrar_{name}", label)] = value


class _Script:
    """What is to go wrong with one flow."""

    def __init__(self) -> None:
        self.due: list[FlowFault] = []
        """Those that come with a number of messages."""
        self.timers: list[asyncio.TimerHandle] = []
        self.cut_at = -1
        """This answer is cut; -1: none."""
        self.answers = 0

    def is_cut(self) -> bool:
        """Whether the next answer is the one that is cut."""
        self.answers += 1
        return 0 <= self.cut_at <= self.answers

    def cancel(self) -> None:
        for timer in self.timers:
            timer.cancel()
