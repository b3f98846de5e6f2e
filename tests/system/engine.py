"""`regiment run` as a user starts it, and the embedded registrar beside it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import uvloop

from regiment.coordinator.registrar_pool import Options, RegistrarPool
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users

PATIENCE_S = 100
POLL_S = 0.02
SECRET = "s3cr%t'ü"
TRUNKS = 60


def write_config(
    folder: Path, port: int, *, bind: str = "127.0.0.1:0", extra: str = "", count: int = TRUNKS
) -> Path:
    """`count` trunks with digest, to be registered at once."""
    parts = [
        f"[udp]\ntype=transport\nprotocol=udp\nbind={bind}\n",
        "[trunk](!)\ntype=registration\nmax_random_initial_delay=0\nexpiration=600\n"
        f"server_uri=sip:127.0.0.1:{port}\n",
    ]
    for number in range(count):
        name = f"trunk{number}"
        parts.append(
            f"[{name}](trunk)\nclient_uri=sip:{name}@127.0.0.1\noutbound_auth={name}-auth\n"
            f"[{name}-auth]\ntype=auth\nusername={name}\npassword={SECRET}\n"
        )
    file = folder / "pjsip.conf"
    file.write_text("".join(parts) + extra)
    return file


class Run:
    """A running `regiment run`, and what it has logged."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.url = ""
        self._reading = asyncio.create_task(self._read())
        self._grown = asyncio.Event()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip())
            if found := re.search(r"url=(http://\S+)", self.lines[-1]):
                self.url = found[1]
            self._grown.set()

    async def said(self, text: str) -> str:
        """The first line with `text`, once it comes. Fails if the process ends without it."""
        while True:
            for line in self.lines:
                if text in line:
                    return line
            if self._reading.done():
                raise AssertionError(f"{text!r} was never said:\n" + "\n".join(self.lines))
            self._grown.clear()
            growing = asyncio.create_task(self._grown.wait())
            await asyncio.wait({growing, self._reading}, return_when=asyncio.FIRST_COMPLETED)
            growing.cancel()

    async def ended(self) -> int:
        """Its exit code, after the last line was read."""
        code = await self.process.wait()
        await self._reading
        return code

    def workers(self) -> list[int]:
        """The pids of its worker processes, in the order of their start."""
        found = subprocess.run(
            ["pgrep", "-P", str(self.process.pid), "-f", "regiment.worker.process"],
            capture_output=True,
            check=False,
        )
        return [int(pid) for pid in found.stdout.split()]

    async def metric(self, name: str, *labels: str) -> float:
        """The sum of all series whose name and labels begin with `name` and that have `labels`."""
        lines = (await exposition(self.url)).splitlines()
        series = [line for line in lines if line.startswith(name)]
        return sum(
            float(line.split()[-1]) for line in series if all(each in line for each in labels)
        )


async def exposition(url: str) -> str:
    """What Prometheus would read at ``http://HOST:PORT``."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return text.partition("\r\n\r\n")[2]


def regiment(
    config: Path, *arguments: str, api: str = "127.0.0.1:0"
) -> AbstractAsyncContextManager[Run]:
    command = [sys.executable, "-P", "-m", "regiment.cli", "run", str(config), "--api", api]
    return run_of([*command, *arguments])


@asynccontextmanager
async def run_of(command: list[str], **settings: Any) -> AsyncIterator[Run]:
    """That command as a process; `settings` go to its start."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **settings,
    )
    run = Run(process)
    try:
        yield run
    finally:
        if process.returncode is None:
            process.kill()
        await run.ended()


@asynccontextmanager
async def registrar() -> AsyncIterator[RegistrarPool]:
    users = Users(any_password=SECRET)
    async with RegistrarPool(Options(settings=Settings(users=users), port=0)) as pool:
        yield pool


def finish(work: Awaitable[Any], patience_s: float = PATIENCE_S) -> Any:
    async def patiently() -> Any:
        return await asyncio.wait_for(work, patience_s)

    return uvloop.run(patiently())


def registered_at(pool: RegistrarPool) -> str:
    """The series of the registrations that are registered there."""
    host, port = pool.address
    return f'regiment_registrations{{registrar="{host}:{port}",state="registered"}}'


async def all_registered(run: Run, pool: RegistrarPool, count: int = TRUNKS) -> None:
    """Waits until so many are registered here and bound there."""
    while await run.metric(registered_at(pool)) != count or pool.counts()["bindings"] != count:
        await asyncio.sleep(POLL_S)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that another process does; the test's patience bounds it."""
    while not condition():
        await asyncio.sleep(POLL_S)


def udp_ports(pid: int) -> list[int]:
    """The ports of the UDP sockets on 127.0.0.1 that a process holds."""
    links = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            links.add(os.readlink(entry))
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    addresses = [row[1] for row in rows if f"socket:[{row[9]}]" in links]
    return [int(address[9:], 16) for address in addresses if address.startswith("0100007F:")]
