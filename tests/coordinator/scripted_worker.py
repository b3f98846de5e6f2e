"""A real worker process with a core that does what a script says; see `scripted_engine`.

``REGIMENT_TEST_SCRIPT`` names a directory. In it `N.json` is the script of worker N, and a line is
added to `N.lives` for each of its lives, and to `N.told` for much of what it is told. The words
`prepare`, `change` and `begin` in a list `dies_at` or `silent_at` of the script say where it dies,
or gives no answer.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from regiment.errors import LocalError
from regiment.metrics.scoreboard import Scoreboard
from regiment.model import Event, Policy, Registration, Status, Transport
from regiment.uac.destination import Health, TargetInfo
from regiment.worker import control, process
from regiment.worker.alarm import die_with_parent

FOLDER = Path(os.environ["REGIMENT_TEST_SCRIPT"])


class Core:
    """Holds names, and registers nothing anywhere."""

    def __init__(
        self, board: Scoreboard, *, seed: int, instance_key: bytes, cseq_base: int
    ) -> None:
        self._board = board
        self._key = instance_key.hex()
        self._cseq_base = cseq_base
        self._held: dict[str, tuple[Registration, Policy]] = {}
        self._policies: list[Policy] = []
        self._rates: list[float] = []
        self._stopping = False
        self._events: list[Event] = []
        self._script: dict[str, Any] = {}

    def add_transport(self, transport: Transport, socket: int, host: str, port: int) -> int:
        return 0

    def add_policy(self, policy: Policy) -> int:
        self._policies.append(policy)
        return 0

    def load(self, registrations: Sequence[Registration]) -> None:
        for one in registrations:
            self.take(one, self._policies[one.policy])

    def take(self, registration: Registration, policy: Policy) -> None:
        self._held[registration.name] = (registration, policy)

    def drop(self, name: str) -> None:
        del self._held[name]

    def __len__(self) -> int:
        return len(self._held)

    def obey(self, script: dict[str, Any]) -> None:
        self._script = script

    def targets(self) -> list[TargetInfo]:
        if "fault" in self._script:
            raise LocalError(self._script["fault"])
        if self._script["life"] <= self._script.get("dies_before_life", 0):
            os._exit(3)
        return [TargetInfo(0, "registrar.test", "127.0.0.1", 9, "udp", len(self), 100.0)]

    def set_row(self, target: int, row: int) -> None: ...

    def set_groups(self, rows: dict[str, int]) -> None:
        (FOLDER / f"{self._script['index']}.groups").write_text(json.dumps(rows))

    def set_rate(self, target: int, rate: float) -> None:
        self._rates.append(rate)

    def set_departure_rate(self, target: int, rate: float) -> None: ...

    def set_outstanding(self, target: int, limit: int) -> None: ...

    def attach(self, memory: Any, wall_offset_ns: int) -> None: ...
    def set_wall(self, wall_offset_ns: int) -> None: ...

    def adopt(self, former: Any, same_boot: bool, now_ns: int) -> tuple[int, ...]:
        return (0, 0, 0, 0, 0)

    def begin(self, now_ns: int) -> None:
        self._board.set("regiment_cseq_high", (), self._cseq_base)
        self._board.set("regiment_registrations", ("registered",), len(self), row=1)
        self._events += [
            Event(name, "registering", "rejected", 403) for name in list(self._held)[:3]
        ]

    def survey(self, now_ns: int) -> None: ...
    def receive(self, inbox: Any, now_ns: int) -> None: ...
    def expire(self, now_ns: int) -> None: ...
    def launch(self, now_ns: int) -> None: ...

    def send(self, outbox: Any, now_ns: int) -> bool:
        return False

    def deadline_ns(self) -> int:
        return -1

    def set_endpoints(self, rows: dict[str, int]) -> None:
        (FOLDER / f"{self._script['index']}.endpoints").write_text(json.dumps(rows))

    def watch(self, everything: bool) -> None: ...

    def calls(self) -> list[Any]:
        return []

    def events(self) -> list[Event]:
        told, self._events = self._events, []
        return told

    def lookups(self) -> list[int]:
        return []

    def unregister_all(self, now_ns: int, rate: float) -> None:
        (FOLDER / "stop_rates").open("a").write(f"{rate}\n")

    def remaining(self) -> int:
        return len(self) if self._script.get("never_settles") else 0

    def slots(self) -> int:
        return len(self)

    def names(self, start: int, count: int) -> list[str]:
        return list(self._held)[start : start + count]

    def page(
        self, start: int, limit: int, scan: int, now_ns: int, *, prefix: str, like: Any, **_: str
    ) -> tuple[list[Status | None], int]:
        end = min(start + scan, len(self), start + limit)
        names = [name for name in list(self._held)[start:end] if name.startswith(prefix)]
        found = [name for name in names if like is None or like.search(name.encode())]
        return [self.status(name, now_ns) for name in found], end if end < len(self) else -1

    def tally(self, start: int, scan: int, counts: dict[Any, list[Any]]) -> int:
        counts["registrar.test", "rejected", "policy", 403, "No"] = [
            len(self),
            next(iter(self._held)),
        ]
        return -1

    def healths(self, now_ns: int, targets: tuple[int, ...]) -> list[Health]:
        """What the script says of the one target, as it is now."""
        file = FOLDER / f"{self._script['index']}.health"
        health = file.read_text() if file.exists() else '[0, [["127.0.0.1:9", "udp", "udp", "up"]]]'
        return [msgspec.json.decode(health, type=Health)] if 0 in targets else []

    def refresh(self, name: str, now_ns: int, fresh: bool) -> bool:
        return self._act("fresh" if fresh else "register", name)

    def unregister(self, name: str, now_ns: int) -> bool:
        return self._act("unregister", name)

    def _act(self, action: str, name: str) -> bool:
        if name not in self._held:
            return False
        with (FOLDER / "acts").open("a") as acts:
            acts.write(f"{action} {name}\n")
        return True

    def policy_of(self, name: str) -> Policy | None:
        return None

    def status(self, name: str, now_ns: int) -> Status | None:
        if name not in self._held:
            return None
        registration, policy = self._held[name]
        return Status(
            name, policy.server_uri, registration.client_uri, "registered", 200, "", "", self._key,
            self._cseq_base, 0, policy.expiration, 50.0, self._rates[-1], "r",
        )  # fmt: skip


class ScriptedWorker(process.Worker):
    """Looks its script up once it knows its number."""

    def __init__(self, setup: Any, *rest: Any) -> None:
        super().__init__(setup, *rest)
        self._number = setup.index
        lives = FOLDER / f"{setup.index}.lives"
        with lives.open("a") as record:
            record.write(f"{os.getpid()}\n")
        self._engine.obey(
            {**self.script(), "index": setup.index, "life": len(lives.read_text().split())}
        )
        self._sockets.warnings["a warning that every worker has"] = None
        self._new_policies: list[Policy] = []
        self._has_begun = False
        former = [[one.path, one.index] for one in setup.former]
        self.note("setup", state_path=setup.state_path, former=former, ports=setup.ports)

    def script(self) -> dict[str, Any]:
        """As it is now: a test may change it while the worker lives."""
        file = FOLDER / f"{self._number}.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return found

    def note(self, what: str, **told: Any) -> None:
        with (FOLDER / f"{self._number}.told").open("a") as record:
            record.write(json.dumps({"what": what, **told}) + "\n")

    def answer(self, step: str, message: control.FromWorker) -> None:
        script = self.script()
        if step in script.get("dies_at", ()):
            os._exit(3)
        if step not in script.get("silent_at", ()):
            self._say(message)

    def handle(self, kind: int, body: bytes) -> None:
        if kind == control.CHANGE:
            self.change(control.open_change(body))
            return
        message = control.decode_to_worker(body) if kind == control.MESSAGE else None
        match message:
            case control.Prepare(listeners):
                self.note("prepare", transports=[one.transport.name for one in listeners])
                reason = self.script().get("prepare_reason") or self._sockets.prepare(listeners)
                self.answer("prepare", control.Prepared(reason))
            case control.Discard():
                self.note("discard")
                self._sockets.discard()
            case control.ChangeEnd():
                self._new_policies = []
                self._sockets.use_prepared()
                targets = tuple(self._engine.targets())
                bound = tuple(self._sockets.bound)
                warnings = tuple(self.script().get("change_warnings", ()))
                changed = control.Changed(len(self._engine), targets, bound, warnings)
                self.answer("change", changed)
            case control.Begin(rates=rates) if self._has_begun:
                self.note("begin")
                self._engine.set_rate(0, rates[0])
                self.answer("begin", control.Began())
            case control.Stop(keep=keep):
                self.note("stop", keep=keep)
                super().handle(kind, body)
            case _:
                self._has_begun |= isinstance(message, control.Begin)
                super().handle(kind, body)

    def change(self, batch: control.ChangeBatch) -> None:
        self._new_policies += batch.policies
        for one in (*batch.added, *(one for _, one in batch.changed)):
            self._engine.take(one, self._new_policies[one.policy])
        for name in batch.removed:
            self._engine.drop(name)
        self.note(
            "change",
            added=[one.name for one in batch.added],
            changed=[[sort, one.name] for sort, one in batch.changed],
            removed=list(batch.removed),
        )


def main() -> None:
    die_with_parent()
    process.Worker = ScriptedWorker  # type: ignore[misc]
    control_fd, board_fd = map(int, sys.argv[1:3])
    board = Scoreboard(mmap.mmap(board_fd, Scoreboard.size_bytes()))
    uvloop.run(process.live(socket.socket(fileno=control_fd), board, Core))


if __name__ == "__main__":
    main()
