"""SIPp as a registrar that follows one of the scenarios in ``sipp/``."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from system.peers.kamailio import free_port

SCENARIOS = Path(__file__).with_name("sipp")


class Message(NamedTuple):
    """A line of SIPp's record of what it sent and received."""

    at_s: float
    received: bool
    call_id: str
    cseq: int
    start_line: str


class ScriptedRegistrar:
    """A running SIPp, what it recorded and how it ended."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, folder: Path) -> None:
        self.process = process
        self.port = port
        self._folder = folder

    async def ended(self) -> int:
        """Its exit code once every call was played to its end: 0 if all went by the scenario."""
        return await self.process.wait()

    def complaints(self) -> str:
        """What it found unexpected."""
        file = self._folder / "errors.log"
        return file.read_text() if file.exists() else ""


def messages_of(folder: Path) -> list[Message]:
    """All messages in order, retransmissions included, once SIPp has ended."""
    lines = (folder / "messages.log").read_text().splitlines()
    return [_message(line) for line in lines if line.count("\t") == 6]


def _message(line: str) -> Message:
    _, _, at_s, direction, call_id, cseq, start_line = line.split("\t", 6)
    number = int(cseq.removeprefix("CSeq:").split()[0])
    return Message(float(at_s), direction == "R", call_id, number, start_line)


@asynccontextmanager
async def scripted(scenario: str, calls: int, folder: Path) -> AsyncIterator[ScriptedRegistrar]:
    """Plays ``sipp/SCENARIO.xml`` for as many registrations as `calls` says."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "sipp",
        *("-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", "127.0.0.1", "-p", str(port)),
        *("-m", str(calls), "-nostdin", "-nd", "-timeout", "60"),
        *("-trace_err", "-error_file", str(folder / "errors.log")),
        *("-trace_shortmsg", "-shortmessage_file", str(folder / "messages.log")),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield ScriptedRegistrar(process, port, folder)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
