"""The embedded registrar's core: RFC 3261 section 10.3 with digest and scripted faults. Sans-IO.

The verbs are those of every core. Times are nanoseconds of one monotonic clock that the caller
reads; sockets, entropy and memory for the counts come from outside. Nothing that arrives raises:
what cannot be answered is counted. The compiled module's own text says how retransmissions are
answered without stored transactions.
"""

from typing import final

from typing_extensions import Buffer

from regiment.datagram import Batch
from regiment.registrar.faults import Faults
from regiment.registrar.settings import Settings

@final
class Engine:
    """One registrar: its bindings, its nonces, its faults."""

    def __init__(
        self,
        settings: Settings,
        *,
        seed: int = 0,
        cells: Buffer | None = None,
        max_aors: int = 4_000_000,
    ) -> None:
        """`seed` keys nonces, tags and faults: give an unguessable one where strangers can reach
        it, the same one to processes that share a port, a fixed one to a test.

        `cells`: writable memory of `counts.SIZE_BYTES` bytes for the counts (a shared mapping,
        say); None: memory of its own. It must be aligned to 8 bytes. `max_aors`: the most AORs that
        are held; beyond it a new one gets 503. Raises `ConfigError` for impossible settings,
        `LocalError` for unfit memory.
        """

    def begin(self, now_ns: int, wall_s: int = 0) -> None:
        """Tells the wall clock (Unix seconds) of this moment, for the Date header; 0: no Date."""

    def receive(self, inbox: Batch, now_ns: int) -> None:
        """Reads every datagram of `inbox`, does what it asks and queues the answer.

        Some 1.3 µs for a challenge, 3.3 µs for a REGISTER with credentials. Answers beyond 4,096
        that wait for `send` are dropped and counted. Raises `MemoryError` only.
        """

    def expire(self, now_ns: int) -> None:
        """Removes expired bindings (some thousand a call) and releases delayed answers."""

    def send(self, outbox: Batch, now_ns: int) -> bool:
        """Moves queued answers into `outbox` as far as it has room; True: more are waiting."""

    def deadline_ns(self) -> int:
        """When `expire` has work again; -1: never, unless something arrives."""

    def events(self) -> list[str]:
        """What somebody should read, one line each; each thing once in the registrar's life."""

    def counts(self) -> dict[str, int]:
        """Everything counted so far, by the names of `counts.name_counts`."""

    def set_faults(self, faults: Faults) -> None:
        """Other faults from now on, drawn from the same seed. Raises `ConfigError`."""

    def bindings(self, aor: str, now_ns: int) -> list[tuple[str, int]]:
        """The bindings of an AOR (``sip:user@host``) as (Contact URI, seconds left).

        In the order in which they came. Raises `LocalError` for what is no SIP URI.
        """

    def __len__(self) -> int:
        """How many bindings are held."""
