"""The engine's face to programs: the HTTP API on its listeners, and what stands behind it.

What is asked about registrations goes to the workers that hold them; the coordinator knows names
only.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from regiment.coordinator import access, listing, local_socket, schema, tcp_socket
from regiment.coordinator.account import Account
from regiment.coordinator.events import Hub
from regiment.coordinator.reloading import ReloadReport
from regiment.coordinator.targets import Targets
from regiment.errors import LocalError
from regiment.metrics.exposition import Exposition
from regiment.model import Call, Event, Status
from regiment.worker import control

if TYPE_CHECKING:
    from regiment.coordinator.coordinator import Coordinator
    from regiment.coordinator.seat import Seat
    from regiment.coordinator.web import Server


class Front:
    """Opened at the start of an engine, closed at its end."""

    def __init__(self, engine: Coordinator) -> None:
        self.url = ""
        """Of the HTTP API over TCP; empty: there is none."""
        self.hub = Hub(self._watch)
        self.account = Account(engine, self.hub)
        self.targets = Targets(engine)
        self.exposition = Exposition(lambda: (engine.snapshot(), engine.facts()))
        self._engine = engine
        self._guard = access.Guard()
        self._listeners: list[socket.socket] = []
        self._server: Server | None = None
        self._local: local_socket.LocalSocket | None = None

    @property
    def socket(self) -> str:
        """The path of the Unix socket; empty: there is none."""
        return str(self._local.path) if self._local is not None else ""

    def bind(self) -> None:
        """Takes the addresses that the options name. Raises `LocalError` where that cannot be."""
        options = self._engine.options
        if options.api is not None:
            self._guard = access.guard_for(
                options.api[0],
                options.token,
                open_metrics=options.open_metrics,
                open_reads=options.open_reads,
            )
            self._listeners = tcp_socket.listeners(*options.api)
            self.url = tcp_socket.url_of(self._listeners[0])
        if options.socket:
            self._local = local_socket.claim(Path(options.socket).absolute())
        elif options.socket_folder:
            self._local = local_socket.claim_in(Path(options.socket_folder).absolute())

    async def serve(self) -> None:
        """Answers from now on."""
        if not self._listeners and self._local is None:
            return
        # Loaded here, while the workers start: some 0.3 s.
        from regiment.coordinator.api import application
        from regiment.coordinator.web import Server

        self._server = Server(application(self))
        for listener in self._listeners:
            await self._server.serve(listener, self._guard)
        if self._local is not None:
            await self._server.serve_local(self._local)

    async def close(self) -> None:
        """Drops every connection and removes the socket's file. May be called twice."""
        await self.targets.close()
        if self._server is not None:
            await self._server.close()
        for listener in self._listeners:
            listener.close()
        if self._local is not None:
            self._local.close()

    def look(self) -> None:
        """To be called about once a second."""
        self.account.look()
        if self._server is not None:
            self.targets.look()

    # ---- what workers tell

    def tell(self, events: tuple[Event, ...], calls: tuple[Call, ...] = ()) -> None:
        """To whoever listens."""
        self.hub.tell(events, calls)

    def on_began(self, seat: Seat) -> None:
        """A new worker does not know yet that somebody listens."""
        if len(self.hub):
            seat.watch(True)

    def _watch(self, everything: bool) -> None:
        for seat in self._engine.seats:
            seat.watch(everything)

    # ---- what programs ask

    def complaint(self) -> str:
        """Why the engine is not ready; empty: it is."""
        return self._engine.complaint()

    async def status(self, name: str) -> Status | None:
        """One registration; None: there is none of that name."""
        return await self._engine.status(name)

    async def page(self, filters: listing.Filters, limit: int, cursor: str) -> schema.Page:
        """Some registrations of all workers."""
        return await listing.page_of(self._engine.seats, filters, limit, cursor)

    async def reload(self, allow_removals: bool) -> ReloadReport:
        """Reads the configuration again."""
        return await self._engine.reload(allow_removals)

    async def act(
        self, action: str, names: tuple[str, ...], *, everyone: bool
    ) -> tuple[int, tuple[str, ...]]:
        """Begins what an operator wants; answers for how many, and which names there are not.

        Raises `LocalError` where a worker cannot be asked: then some may be begun all the same.
        """
        if self._engine.is_stopping:
            raise LocalError("the engine stops")
        shares: dict[int, list[str]] = {}
        if everyone:
            shares = {seat.index: [] for seat in self._engine.seats}
        for name in names:
            shares.setdefault(self._engine.worker_of(name), []).append(name)
        asked = [
            self._engine.seats[index].ask(control.Act(action, tuple(share), everyone))
            for index, share in shares.items()
        ]
        count = 0
        unknown: list[str] = []
        problem: LocalError | None = None
        for reply in await asyncio.gather(*asked, return_exceptions=True):
            match reply:
                case control.Acted(begun, missing):
                    count += begun
                    unknown += missing
                case LocalError():
                    problem = reply
                case BaseException():
                    raise reply
        if problem is not None:
            raise LocalError(f"{problem}; begun for {count} registrations")
        return count, tuple(unknown)
