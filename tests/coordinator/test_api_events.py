"""``GET /events``: who listens, who is deaf, and what becomes of their places."""

from __future__ import annotations

import asyncio
import json
import os
import signal

from coordinator.scripted_engine import names_of, until
from coordinator.visit import Visit, visit
from regiment.coordinator.events import WAITING
from regiment.model import Event


def test_events_reach_a_client(folder):
    async def work(v: Visit) -> None:
        async with v.client.stream("GET", "/events?state=rejected&prefix=trunk") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            # a successor has something to tell
            os.kill(v.engine.seats[1].pid, signal.SIGKILL)
            seen: list[str] = []
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    seen.append(json.loads(line.removeprefix("data: "))["name"])
                if set(names_of(1)[:3]) <= set(seen):
                    break
        # the client is gone, and so is its place
        await until(lambda: not len(v.engine.front.hub))

    visit(folder, work)


def test_a_client_that_shuts_its_side_loses_its_place(folder):
    async def work(v: Visit) -> None:
        reader, writer = await asyncio.open_unix_connection(v.engine.socket)
        writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"retry: ")
        assert len(v.engine.front.hub) == 1
        writer.write_eof()
        await until(lambda: not len(v.engine.front.hub))
        writer.close()

    visit(folder, work)


def test_a_deaf_listener_loses_its_place_and_costs_a_bounded_queue(folder, monkeypatch):
    monkeypatch.setattr("regiment.coordinator.web.SEND_S", 0.2)
    event = Event("trunk1", "registering", "rejected", 403, "policy", "x" * 200)

    async def work(v: Visit) -> None:
        reader, deaf = await asyncio.open_unix_connection(v.engine.socket, limit=1024)
        deaf.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"retry: ")
        [listener] = v.engine.front.hub._listeners
        while len(v.engine.front.hub):
            v.engine.front.tell((event,) * (WAITING + 1))
            assert len(listener._waiting) == WAITING
            await asyncio.sleep(0.002)
        deaf.transport.abort()

    visit(folder, work)


def test_one_listener_too_many_is_503(folder, monkeypatch):
    monkeypatch.setattr("regiment.coordinator.events.LISTENERS", 1)

    async def work(v: Visit) -> None:
        async with v.client.stream("GET", "/events"):
            answer = await v.client.get("/events")
            assert answer.status_code == 503

    visit(folder, work)


def test_an_engine_ends_though_somebody_listens(folder):
    async def work(v: Visit) -> bytes:
        reader, writer = await asyncio.open_unix_connection(v.engine.socket)
        writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"retry: ")
        await v.engine.close()
        writer.close()
        return b"ended"

    assert visit(folder, work) == b"ended"
