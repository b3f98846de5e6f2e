"""What is asked of the registrations: one, some of a list, and why some are not registered."""

from collections.abc import Iterable
from typing import Protocol

from regiment.model import Policy, Status
from regiment.uac.destination import Health
from regiment.uac.recovery import Recovery

class _Pattern(Protocol):
    """Decides whether a name, in UTF-8, is one that is looked for."""

    def search(self, name: bytes, /) -> object: ...

_Reason = tuple[str, str, str, int, str]
"""Registrar, state, failure class, code and reason phrase."""

REASONS_MAX: int
"""So many different reasons are told apart; further ones are counted without their phrase."""

class Inquiry(Recovery):
    """The side of the engine that answers questions. Nothing here changes a registration."""

    def __contains__(self, name: str, /) -> bool:
        """Is there a registration of that name? Some 1 µs."""
    def status(self, name: str, now_ns: int) -> Status | None:
        """One registration for people; None: no such name here."""
    def healths(self, now_ns: int, targets: Iterable[int] | None = None) -> list[Health]:
        """How each target is, as this worker has come to know it; some 5 µs a target.

        `targets`: only those with these numbers, as far as there are any.
        """
    def policy_of(self, name: str) -> Policy | None:
        """What that registration shares with others; None: no such name here."""
    def slots(self) -> int:
        """Registrations stand in the slots below this number, perhaps not in all of them."""
    def names(self, start: int, count: int) -> list[str]:
        """The names of the registrations in `count` slots from slot `start`."""
    def page(
        self,
        start: int,
        limit: int,
        scan: int,
        now_ns: int,
        *,
        state: str = "",
        registrar: str = "",
        prefix: str = "",
        like: _Pattern | None = None,
    ) -> tuple[list[Status], int]:
        """Registrations from slot `start` on to which every filter that is given applies, and the
        slot to go on at; -1: there are no more.

        At most `limit` are found, and at most `scan` slots looked at: some 10 ns for each that a
        filter leaves out, some 2 µs for each that is found. A registration keeps its slot as long
        as it lives, so whoever goes on at the slot that is named meets every one that is there all
        the while exactly once, whatever its state does. `registrar` is host[:port] of server_uri
        in lower case. Their last changes are left out. ValueError: there is no such state.
        """
    def tally(self, start: int, scan: int, counts: dict[_Reason, list[int | str]]) -> int:
        """Adds the unhealthy ones among `scan` slots from `start` to `counts` (reason -> [count,
        name of one of them]); answers the slot to go on at, -1: there are no more.

        Unhealthy is what has failed and is not registered, an attempt that runs included. Some
        0.5 µs for each of them.
        """
    def survey(self, now_ns: int) -> None:
        """Refreshes the gauges that need a walk over all records (about 3 ns a registration)."""
