"""The records of a worker's registrations, and the life-cycle of one."""

from typing_extensions import disjoint_base

EVENTS: tuple[str, ...]

@disjoint_base
class PolicyState:
    """A policy made ready to be used by many registrations."""

@disjoint_base
class Population:
    """All records of one engine, found by slot or by name."""

def advance(state: str, event: str) -> str:
    """One step of the life-cycle: the state that follows; the same where the event means nothing.

    Raises ValueError for a name that is no state or event.
    """

def record_bytes() -> int:
    """The size of one record in bytes, without what hangs off it."""
