"""The records of a worker's registrations, and the life-cycle of one."""

from typing_extensions import disjoint_base

from regiment import model
from regiment.model import Policy, Registration
from regiment.uac.target import Target

EVENTS: tuple[str, ...]

def first_auth(registration: Registration) -> str:
    """The first name in its `outbound_auth`; empty: there is none."""

@disjoint_base
class Face:
    """What Via and Contact say of our side: the same for many addresses."""

    transport: model.Transport
    number: int
    """Of the transport."""
    host: str
    port: int
    local: str
    """host:port."""
    def __init__(
        self, transport: model.Transport, number: int, socket: int, host: str, port: int
    ) -> None: ...

@disjoint_base
class PolicyState:
    """A policy made ready to be used by many registrations."""

    policy: Policy
    def __init__(self, policy: Policy, target: Target, face: int, certificate: int) -> None: ...

@disjoint_base
class Population:
    """All records of one engine, found by slot or by name."""

    def __init__(self, instance_key: bytes) -> None: ...

def advance(state: str, event: str) -> str:
    """One step of the life-cycle: the state that follows; the same where the event means nothing.

    Raises ValueError for a name that is no state or event.
    """

def record_bytes() -> int:
    """The size of one record in bytes, without what hangs off it."""
