"""Requests to the Contacts of a running engine, from a UDP socket that plays the registrar."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from system.engine import POLL_S, finish, regiment, until

pytestmark = pytest.mark.system

COUNT = 40
PBX = "sip:pbx@192.0.2.200:5080"
ROUTE = "<sip:scscf.example.com;lr>"
CONTACT = re.compile(r"Contact: <(sip:[^@]+@([\d.]+):(\d+);line=([a-z]{7}))>")

Address = tuple[str, int]


class Registrar(asyncio.DatagramProtocol):
    """Grants every REGISTER, keeps its Contact, and calls whom it is told to call."""

    def __init__(self) -> None:
        self.contacts: dict[str, re.Match[str]] = {}
        """Name -> Contact."""
        self.answers: asyncio.Queue[str] = asyncio.Queue()
        self.registers = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, address: Address) -> None:
        text = data.decode()
        if not text.startswith("REGISTER "):
            self.answers.put_nowait(text)
            return
        self.registers += 1
        found = CONTACT.search(text)
        assert found is not None
        name = text.split("To: <sip:")[1].split("@")[0]
        expires = text.split("Expires: ")[1].split("\r\n")[0]
        if expires == "0":
            self.contacts.pop(name, None)
        else:
            self.contacts[name] = found
        kept = [
            line
            for line in text.split("\r\n")
            if line.startswith(("Via:", "From:", "To:", "Call-ID:", "CSeq:"))
        ]
        reply = [
            "SIP/2.0 200 OK",
            *kept,
            f"Contact: <{found[1]}>;expires={expires}",
            f"Service-Route: {ROUTE}",
            "Content-Length: 0",
            "",
            "",
        ]
        self.transport.sendto("\r\n".join(reply).encode(), address)

    async def ask(self, method: str, name: str, line: str = "") -> str:
        """What is answered to a request to that registration's Contact (or another line there)."""
        contact = self.contacts[name]
        uri = contact[1].replace(contact[4], line) if line else contact[1]
        request = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{name}{method}{line}",
            f"From: <sip:caller@example.com>;tag={name}",
            f"To: <sip:{name}@127.0.0.1>",
            f"Call-ID: {name}-{method}-{line}",
            f"CSeq: 1 {method}",
            f"Subject: {'x' * 200}",
            "Content-Length: 0",
            "",
            "",
        ]
        self.transport.sendto("\r\n".join(request).encode(), (contact[2], int(contact[3])))
        return await self.answers.get()


@asynccontextmanager
async def listening() -> AsyncIterator[Registrar]:
    loop = asyncio.get_running_loop()
    transport, registrar = await loop.create_datagram_endpoint(Registrar, ("127.0.0.1", 0))
    try:
        yield registrar
    finally:
        transport.close()


def config(folder: Path, port: int, extra: str = "") -> Path:
    """Trunks of two endpoints: `pbx` has a contact, `bare` has none."""
    parts = [
        "[udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:0\n",
        "[trunk](!)\ntype=registration\nmax_random_initial_delay=0\nexpiration=600\nline=yes\n"
        f"server_uri=sip:127.0.0.1:{port}\n{extra}",
        f"[pbx]\ntype=endpoint\naors=pbx\n[pbx]\ntype=aor\ncontact={PBX}\n",
        "[bare]\ntype=endpoint\n",
    ]
    parts += [
        f"[t{number}](trunk)\nclient_uri=sip:t{number}@127.0.0.1\n"
        f"endpoint={'bare' if number % 4 == 0 else 'pbx'}\n"
        for number in range(COUNT)
    ]
    file = folder / "pjsip.conf"
    file.write_text("".join(parts))
    return file


async def read_json(url: str, path: str) -> Any:
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    return json.loads(text.partition("\r\n\r\n")[2])


def test_calls_find_their_registration_by_line_whichever_worker_holds_it(tmp_path):
    async def work() -> None:
        async with (
            listening() as registrar,
            regiment(config(tmp_path, registrar.port), "--workers", "2") as run,
        ):
            await until(lambda: len(registrar.contacts) == COUNT)
            assert len({contact[3] for contact in registrar.contacts.values()}) == 2
            assert len({contact[4] for contact in registrar.contacts.values()}) == COUNT
            for number in range(COUNT):
                answer = await registrar.ask("INVITE", f"t{number}")
                if number % 4:
                    assert answer.startswith("SIP/2.0 302 ")
                    assert f"Contact: <{PBX}>\r\n" in answer
                else:
                    assert answer.startswith("SIP/2.0 480 ")
                    assert "Reason: Q.850;cause=20" in answer
            assert (await registrar.ask("INVITE", "t1", "zzzzzzz")).startswith("SIP/2.0 404 ")
            assert (await registrar.ask("NOTIFY", "t1")).startswith("SIP/2.0 481 ")
            options = await registrar.ask("OPTIONS", "t1")
            assert options.startswith("SIP/2.0 200 ")
            for header in ("Allow: ", "Accept: ", "Supported: "):
                assert f"\r\n{header}" in options
            family = "regiment_inbound_requests_total"
            while await run.metric(family, 'endpoint="pbx"', 'method="INVITE"') != COUNT * 3 / 4:
                await asyncio.sleep(POLL_S)
            assert await run.metric(family, 'endpoint="bare"', 'method="INVITE"') == COUNT / 4
            assert await run.metric(family, 'endpoint="other"', 'method="INVITE"') == 1
            assert registrar.registers == COUNT

    finish(work())


def test_the_affinity_of_a_binding_is_told_by_the_api(tmp_path):
    async def work() -> None:
        async with (
            listening() as registrar,
            regiment(config(tmp_path, registrar.port), "--workers", "1") as run,
        ):
            await until(lambda: len(registrar.contacts) == COUNT)
            await run.said(" ready ")
            while (await read_json(run.url, "/registrations/t3"))["state"] != "registered":
                await asyncio.sleep(POLL_S)
            told = await read_json(run.url, "/registrations/t3")
            affinity = told["affinity"]
            assert affinity["address"] == f"127.0.0.1:{registrar.port}"
            assert affinity["service_route"] == [ROUTE]
            assert affinity["local"] == f"127.0.0.1:{registrar.contacts['t3'][3]}"
            assert told["line"] == registrar.contacts["t3"][4]
            assert told["endpoint"] == "pbx"

    finish(work())
