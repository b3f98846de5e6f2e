"""A running engine whose workers' cores are scripted, and a client of its HTTP API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from coordinator.scripted_engine import options, run
from regiment.coordinator.coordinator import Coordinator


class Visit:
    """A running engine and a client at its Unix socket."""

    def __init__(self, engine: Coordinator, client: httpx.AsyncClient) -> None:
        self.engine = engine
        self.client = client

    async def get(self, path: str, **query: Any) -> Any:
        """The body of a good answer."""
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return await self.client.post(path, json=body, params=query)

    async def names(self, **query: Any) -> list[str]:
        """The names of all pages."""
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self.get("/registrations", **query, **cursor)
            assert len(page["registrations"]) <= query.get("limit", 100)
            found += [each["name"] for each in page["registrations"]]
            if page["cursor"] is None:
                return found
            cursor = {"cursor": page["cursor"]}


def visit(
    folder: Path, work: Callable[[Visit], Awaitable[Any]], *, tcp: bool = False, **changes: Any
) -> Any:
    """Runs an engine and what a client does to it."""

    async def both() -> Any:
        given = {"api": ("127.0.0.1", 0) if tcp else None, "socket": str(folder / "r.sock")}
        async with Coordinator(options(folder, **{**given, **changes})) as engine:
            transport = None if tcp else httpx.AsyncHTTPTransport(uds=engine.socket)
            url = engine.url or "http://engine"
            async with httpx.AsyncClient(base_url=url, transport=transport) as client:
                return await work(Visit(engine, client))

    return run(both())


def acts(folder: Path) -> list[str]:
    file = folder / "acts"
    return sorted(file.read_text().splitlines()) if file.exists() else []
