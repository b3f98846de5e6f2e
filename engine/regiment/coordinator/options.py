"""What an engine is started with."""

from __future__ import annotations

import msgspec

from regiment.coordinator import privileges

API_PORT = 9465
STOP_RATE = 500.0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is started with."""

    config: str
    workers: int
    bind: str = ""
    """``HOST[:PORT]`` instead of every UDP transport's bind."""
    max_rate: float | None = None
    """Instead of every ``@max_rate``; 0: no limit."""
    seed: int | None = None
    """Makes staggers, jitters and identifiers repeatable; None: from the system."""
    host_index: int = 0
    hosts: int = 1
    """``--shard``: this host and how many there are."""
    api: tuple[str, int] | None = ("127.0.0.1", API_PORT)
    """Where HTTP listens (port 0: any); None: nowhere."""
    socket: str = ""
    """Path of the Unix socket; a living engine there is an error."""
    socket_folder: str = ""
    """Where the Unix socket is put under its usual name if `socket` is empty; both empty: none."""
    token: str = ""
    open_metrics: bool = False
    open_reads: bool = False
    """Beyond loopback ``/metrics``, or everything that changes nothing, wants no token."""
    stop_rate: float = STOP_RATE
    """Un-REGISTERs a second towards each target; 0: no limit."""
    stop_timeout_s: float | None = None
    """None: registrations of the largest target / stop_rate + 35 s."""
    state: str = ""
    """Directory in which registrations outlive the engine; empty: they do not."""
    keep: bool = False
    """At the end bindings stay at the registrar, for the next start to go on with."""
    nameservers: tuple[tuple[str, int], ...] = ()
    """(address, port) of those to ask instead of the configuration's and the system's."""
    receive_buffer_bytes: int = 4 << 20
    send_buffer_bytes: int = 2 << 20
    worker_module: str = "regiment.worker.process"
    identity: privileges.Identity | None = None
    """Who to be once ports and files are open; None: who we are."""

    def __repr__(self) -> str:
        return f"Options(config={self.config!r}, workers={self.workers})"
