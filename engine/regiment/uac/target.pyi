"""A target: scheme, host, port and transport of a next hop, shared by many registrations."""

from typing_extensions import disjoint_base

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
    def __init__(
        self,
        index: int,
        label: str,
        host: str,
        port: int,
        protocol: str,
        is_literal: bool,
        socket: int,
    ) -> None: ...
