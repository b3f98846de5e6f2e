"""TCP and TLS connections as the core sees them: numbers, states and who is on which."""

from typing_extensions import disjoint_base

from regiment.uac.destination import Dial
from regiment.uac.passage import Passages
from regiment.uac.target import Target

@disjoint_base
class Flow:
    """One connection."""

    number: int
    def __init__(
        self, number: int, target: Target, place: int, key: tuple[int, int, int] | None, owner: int
    ) -> None: ...

@disjoint_base
class Flows(Passages):
    """Passages over connections.

    Whoever owns the sockets answers every dial, and every hangup, with one `disconnected` in the
    end; numbers never come twice.
    """

    def dials(self) -> list[Dial]:
        """The connections that are wanted since the last call."""
    def hangups(self) -> list[int]:
        """The connections that nobody needs any more, since the last call."""
    def connected(self, number: int, local: bytes, now_ns: int) -> None:
        """A connection stands; `local` is our end's socket address."""
    def writable(self, number: int, on: bool, now_ns: int) -> None:
        """A connection takes messages (again), or takes none for the time being."""
    def disconnected(self, number: int, reason: str, now_ns: int) -> None:
        """A connection has ended, or was never made: why, in one line; empty after a hangup."""
