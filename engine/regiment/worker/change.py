"""A reload as a worker sees it: sockets made ready, then changes, then the word to go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from regiment.model import Policy, Registration
from regiment.worker import control
from regiment.worker.sockets import Sockets


class Alteration:
    """Carries the changes of one reload after another into the core.

    `make_room(more)` is called before so many registrations more are taken in.
    """

    def __init__(self, core: Any, sockets: Sockets, make_room: Callable[[int], None]) -> None:
        self._core = core
        self._sockets = sockets
        self._make_room = make_room
        self._numbers: list[int] = []

    def take(self, batch: control.ChangeBatch, now_ns: int) -> None:
        """Some changes. What was added is not begun before the next `Begin`."""
        self._sockets.use_prepared()
        for policy in batch.policies:
            self._numbers.append(self._hold(policy))
        for name in batch.removed:
            self._core.remove(name, now_ns)
        added = [self._numbered(one) for one in batch.added]
        # one that is replaced needs a slot more while its former self un-registers
        self._make_room(len(added) + sum(kind == "replaced" for kind, _ in batch.changed))
        for kind, registration in batch.changed:
            numbered = self._numbered(registration)
            if not self._core.change(kind, numbered, now_ns):
                added.append(numbered)
        self._core.load(added)

    def end(self) -> None:
        """The reload is over: policies that nobody has are forgotten."""
        self._sockets.use_prepared()
        for number in self._numbers:
            self._core.release_policy(number)
        self._numbers.clear()
        self._core.recount_rates()

    def _hold(self, policy: Policy) -> int:
        number: int = self._core.find_policy(policy)
        self._core.hold_policy(number)
        return number

    def _numbered(self, registration: Registration) -> Registration:
        return msgspec.structs.replace(registration, policy=self._numbers[registration.policy])
