"""The governor: how many attempts a second a target gets, and who goes first."""

from collections.abc import Iterable

from typing_extensions import disjoint_base

@disjoint_base
class Queue:
    """Registrations that are due and wait: refreshes by earliest expiry, then by arrival."""

    def __len__(self) -> int: ...

def order(entries: Iterable[tuple[int, int]]) -> list[int]:
    """The slots of ``(slot, expires_ns or 0)`` entries in the order in which they may start."""

def starts(rate: float, demands_ns: Iterable[int]) -> list[int]:
    """At which of the rising moments a bucket of `rate` attempts a second lets one start."""
