"""A target: scheme, host, port and transport of a next hop, shared by many registrations."""

from typing_extensions import disjoint_base

from regiment.uac.destination import Destination

@disjoint_base
class Target:
    """One next hop. `label` is host[:port] of the server_uri, for metrics and people."""

    index: int
    label: str
    host: str
    protocol: str
    port: int
    registrations: int
    max_rate: float
    trouble: str
    """Why the last connect failed; empty: none has since a response came."""
    max_outstanding: int
    """The lowest `@max_outstanding` of its registrations, for the whole engine; 0: no limit."""
    transports: tuple[int, ...]
    """Numbers of those that may carry requests to it."""
    def __init__(
        self,
        index: int,
        label: str,
        destination: Destination,
        transports: tuple[int, ...],
        is_strict: bool,
        is_watched: bool,
    ) -> None: ...
    @property
    def outstanding(self) -> int:
        """Attempts that were started and have not ended."""
    @property
    def outstanding_limit(self) -> int:
        """So many may be, by what was learned or by this worker's share of `@max_outstanding`; 0:
        no limit."""
    @property
    def learned_rate(self) -> float:
        """Attempts a second that it was found to grant; 0: it has not refused any, or no more."""
