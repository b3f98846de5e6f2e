"""Bare TLS connections of uvloop's: ``python -m bench.macro.bare_flows PORT N …``.

The measure for our own. Each has shaken hands and sent a ping that was answered, with one context
for all and a protocol that keeps nothing. Prints a line of JSON for each number of connections.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import ssl
import sys
from typing import cast

import uvloop
from bench.macro import processes

AT_ONCE = 50
PING = b"\r\n\r\n"


class _Flow(asyncio.Protocol):
    def __init__(self, answered: asyncio.Future[None]) -> None:
        self._answered = answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(PING)

    def data_received(self, _: bytes) -> None:
        if not self._answered.done():
            self._answered.set_result(None)


async def _open(port: int, context: ssl.SSLContext) -> asyncio.BaseTransport:
    loop = asyncio.get_running_loop()
    answered = loop.create_future()
    transport, _ = await loop.create_connection(
        lambda: _Flow(answered), "127.0.0.1", port, ssl=context
    )
    await answered
    return transport


async def _run(port: int, steps: list[int]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    flows: list[asyncio.BaseTransport] = []
    for count in steps:
        while len(flows) < count:
            wanted = min(AT_ONCE, count - len(flows))
            flows += await asyncio.gather(*(_open(port, context) for _ in range(wanted)))
        gc.collect()
        found = {"flows": count, "pss_bytes": processes.pss_bytes([os.getpid()])}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    uvloop.run(_run(int(sys.argv[1]), [int(each) for each in sys.argv[2:]]))
