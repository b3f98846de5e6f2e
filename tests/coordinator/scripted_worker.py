"""A real worker process with a core that does what a script says; see `scripted_engine`.

``REGIMENT_TEST_SCRIPT`` names a directory. In it `N.json` is the script of worker N, and a line is
added to `N.lives` for each of its lives.
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

import uvloop

from regiment.errors import LocalError
from regiment.metrics.scoreboard import Scoreboard
from regiment.model import Event, Policy, Registration, Status, Transport
from regiment.uac.destination import TargetInfo
from regiment.worker import process
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
        self._names: list[str] = []
        self._rates: list[float] = []
        self._stopping = False
        self._events: list[Event] = []
        self._script: dict[str, Any] = {}

    def add_transport(self, transport: Transport, host: str, port: int) -> int:
        return 0

    def add_policy(self, policy: Policy) -> int:
        return 0

    def load(self, registrations: Sequence[Registration]) -> None:
        self._names += [one.name for one in registrations]

    def __len__(self) -> int:
        return len(self._names)

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

    def begin(self, now_ns: int) -> None:
        self._board.set("regiment_cseq_high", (), self._cseq_base)
        self._board.set("regiment_registrations", ("registered",), len(self), row=1)
        self._events += [Event(name, "registering", "rejected", 403) for name in self._names[:3]]

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
        return self._names[start : start + count]

    def page(
        self, start: int, limit: int, scan: int, now_ns: int, *, prefix: str, like: Any, **_: str
    ) -> tuple[list[Status | None], int]:
        end = min(start + scan, len(self), start + limit)
        names = [name for name in self._names[start:end] if name.startswith(prefix)]
        found = [name for name in names if like is None or like.search(name.encode())]
        return [self.status(name, now_ns) for name in found], end if end < len(self) else -1

    def tally(self, start: int, scan: int, counts: dict[Any, list[Any]]) -> int:
        counts["registrar.test", "rejected", "policy", 403, "No"] = [len(self), self._names[0]]
        return -1

    def refresh(self, name: str, now_ns: int, fresh: bool) -> bool:
        return self._act("fresh" if fresh else "register", name)

    def unregister(self, name: str, now_ns: int) -> bool:
        return self._act("unregister", name)

    def _act(self, action: str, name: str) -> bool:
        if name not in self._names:
            return False
        with (FOLDER / "acts").open("a") as acts:
            acts.write(f"{action} {name}\n")
        return True

    def policy_of(self, name: str) -> Policy | None:
        return None

    def status(self, name: str, now_ns: int) -> Status | None:
        if name not in self._names:
            return None
        return Status(
            name, "", "", "registered", 200, "", "", self._key, self._cseq_base, 0, 60, 50.0,
            self._rates[0], "r",
        )  # fmt: skip


class ScriptedWorker(process.Worker):
    """Looks its script up once it knows its number."""

    def __init__(self, setup: Any, *rest: Any) -> None:
        super().__init__(setup, *rest)
        lives = FOLDER / f"{setup.index}.lives"
        with lives.open("a") as record:
            record.write(f"{os.getpid()}\n")
        script = FOLDER / f"{setup.index}.json"
        orders = json.loads(script.read_text()) if script.exists() else {}
        self._engine.obey({**orders, "index": setup.index, "life": len(lives.read_text().split())})
        self._warnings["a warning that every worker has"] = None


def main() -> None:
    die_with_parent()
    process.Worker = ScriptedWorker  # type: ignore[misc]
    control_fd, board_fd = map(int, sys.argv[1:3])
    board = Scoreboard(mmap.mmap(board_fd, Scoreboard.size_bytes()))
    uvloop.run(process.live(socket.socket(fileno=control_fd), board, Core))


if __name__ == "__main__":
    main()
