"""Flows as RFC 5626 has them: the form of a REGISTER that asks for one, and what follows from it.

The engine's own side is for compiled callers: see outbound.pxd.
"""

from typing_extensions import disjoint_base

from regiment.uac.flow import Flows

@disjoint_base
class Outbound(Flows):
    """Connections that a registrar binds, and those that it refuses to."""

    def flow_timers(self) -> list[tuple[int, int]]:
        """(flow, seconds) since the last call: the peer of that connection wants to hear something
        at least so often, and answers (Flow-Timer, RFC 5626 section 4.4.1)."""

def instance_of(client_uri: str, name: str) -> str:
    """The UUID that a registration's `+sip.instance` names, for tests: version 5 (RFC 4122 section
    4.3) of ``client_uri name`` in the namespace of URLs."""

def read_grant(message: bytes, instance: bytes, reg_id: int) -> tuple[int, int] | None:
    """For tests: what a 2xx grants to a flow, and the seconds of its Flow-Timer. -1 and 0 where it
    says nothing; None: unreadable. ValueError: an instance of another length than 36."""
