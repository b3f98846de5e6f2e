"""TCP and TLS clients of an embedded registrar in processes of its own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from regiment.coordinator.registrar_pool import Options, RegistrarPool
from regiment.registrar.engine import Engine
from regiment.registrar.faults import Faults, parse_flow_fault
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from registrar.client import Client, Reply, parse

TIMEOUT_S = 20.0
HOST = "127.0.0.1"


class Phone:
    """A client of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.stream = writer
        # only its request writer is used: the engine behind it is never asked
        self.writer = Client(Engine(Settings()))

    def say(self, data: bytes) -> None:
        self.stream.write(data)

    async def answer(self) -> Reply:
        return parse(await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), TIMEOUT_S))

    async def ask(self, data: bytes) -> Reply:
        self.say(data)
        return await self.answer()

    async def register(self, password: str = "secret", **about: Any) -> Reply:
        challenge = (await self.ask(self.writer.request(**about))).challenges()[0]
        return await self.ask(self.writer.signed(challenge, password, **about))

    async def rest(self) -> bytes:
        """What comes until the other side ends the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(), TIMEOUT_S)
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self.stream.close()


def trusting(cert_file: str, name: str = "localhost") -> dict[str, Any]:
    """Arguments of `open_phone` for TLS that believes one certificate."""
    return {"ssl": ssl.create_default_context(cafile=cert_file), "server_hostname": name}


def careless() -> dict[str, Any]:
    """Arguments of `open_phone` for TLS that believes anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}


@asynccontextmanager
async def open_phone(place: tuple[str, int], **tls: Any) -> AsyncIterator[Phone]:
    phone = Phone(*await asyncio.wait_for(asyncio.open_connection(*place, **tls), TIMEOUT_S))
    try:
        yield phone
    finally:
        phone.close()


def streaming(*faults: str, **about: Any) -> Options:
    """A registrar on UDP, TCP and TLS that knows anybody by one password."""
    users = Users()
    users.allow_anybody("secret")
    scripted = Faults(flows=tuple(parse_flow_fault(each) for each in faults))
    settings = Settings(users=users, faults=scripted, **about.pop("settings", {}))
    host = about.pop("host", HOST)
    ports = {"host": host, "port": 0, "tcp": (host, 0), "tls": (host, 0)}
    return Options(settings=settings, **(ports | about))


async def until(pool: RegistrarPool, what: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """The counts, once they are such; they are published once a second."""
    async with asyncio.timeout(TIMEOUT_S):
        while not what(counts := pool.counts()):
            await asyncio.sleep(0.02)
    return counts


def with_pool(options: Options, work: Callable[[RegistrarPool], Awaitable[None]]) -> None:
    """Runs `work` at a running registrar."""

    async def live() -> None:
        async with RegistrarPool(options) as pool:
            await work(pool)

    uvloop.run(asyncio.wait_for(live(), 3 * TIMEOUT_S))
