"""A bad network on loopback: a UDP relay that loses, delays and reorders datagrams.

It stands between clients and one server. Each client has a socket of its own towards the server, as
behind a NAT, so that answers find their way back; `Weather` may be changed while it runs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

Address = tuple[str, int]


@dataclass
class Weather:
    """What happens to each datagram, in either direction."""

    loss: float = 0.0
    """The share that is lost, 0 … 1."""
    delay_s: tuple[float, float] = (0.0, 0.0)
    """Drawn evenly for each; where they differ datagrams pass each other."""


class Relay:
    """``async with relay(server, Weather(loss=0.1)) as between: …``; clients send to `address`."""

    def __init__(self, server: Address, weather: Weather, seed: int) -> None:
        self.server = server
        self.weather = weather
        self.address: Address = ("", 0)
        self.taken = self.lost = self.overtaken = 0
        """Datagrams that came either way; those lost; those that left before an earlier one."""
        self._random = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._front: asyncio.DatagramTransport | None = None
        self._backs: dict[Address, _Back] = {}
        self._order = 0
        self._last_sent = 0

    async def start(self) -> None:
        transport, _ = await self._loop.create_datagram_endpoint(
            lambda: _Front(self), local_addr=("127.0.0.1", 0)
        )
        self._front = transport
        self.address = transport.get_extra_info("sockname")[:2]

    def close(self) -> None:
        if self._front is not None:
            self._front.close()
        for back in self._backs.values():
            if back.transport is not None:
                back.transport.close()

    def from_client(self, data: bytes, client: Address) -> None:
        back = self._backs.get(client)
        if back is None:
            back = self._backs[client] = _Back(self, client)
            self._loop.create_task(back.open())
        self._pass(data, back.send)

    def from_server(self, data: bytes, client: Address) -> None:
        self._pass(
            data, lambda data: cast(asyncio.DatagramTransport, self._front).sendto(data, client)
        )

    def _pass(self, data: bytes, send) -> None:
        self.taken += 1
        if self._random.random() < self.weather.loss:
            self.lost += 1
            return
        self._order += 1
        delay_s = self._random.uniform(*self.weather.delay_s)
        self._loop.call_later(delay_s, self._leave, self._order, data, send)

    def _leave(self, order: int, data: bytes, send) -> None:
        self.overtaken += order < self._last_sent
        self._last_sent = max(order, self._last_sent)
        send(data)


class _Front(asyncio.DatagramProtocol):
    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._relay.from_client(data, addr[:2])


class _Back(asyncio.DatagramProtocol):
    """The socket of one client towards the server."""

    def __init__(self, relay: Relay, client: Address) -> None:
        self.transport: asyncio.DatagramTransport | None = None
        self._relay = relay
        self._client = client
        self._early: list[bytes] = []

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(
            lambda: self, remote_addr=self._relay.server
        )
        for data in self._early:
            self.transport.sendto(data)

    def send(self, data: bytes) -> None:
        if self.transport is None:
            self._early.append(data)
        else:
            self.transport.sendto(data)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._relay.from_server(data, self._client)


@asynccontextmanager
async def relay(server: Address, weather: Weather, seed: int = 1) -> AsyncIterator[Relay]:
    between = Relay(server, weather, seed)
    await between.start()
    try:
        yield between
    finally:
        between.close()
