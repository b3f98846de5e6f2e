"""Where what was read from a connection becomes messages in an inbox.

One inlet serves one connection, of either side, and is its framer as well (`sip.framer`): errors,
pings and pongs are told there.
"""

from _typeshed import ReadableBuffer
from typing_extensions import disjoint_base

from regiment.datagram import Batch
from regiment.sip.framer import Framer

@disjoint_base
class Inlet(Framer):
    """The inlet of one connection. Costs some 100 ns a message."""

    def __new__(cls, flow: int, peer: bytes) -> Inlet:
        """Messages carry `flow` and `peer` (a `datagram.peer_from_address` value).

        Raises `LocalError` for other bytes.
        """

    def fill(
        self, data: ReadableBuffer, length: int, inbox: Batch, now_ns: int, at: int = 0
    ) -> int:
        """Takes ``data[at:length]`` in and lays each whole message into `inbox`, received `now_ns`.

        Returns how far it came: `length`, unless the inbox is full; then call again from there.
        The items point into `data` or into the inlet: they hold as long as `data` is left alone,
        and until the next `fill` or `release`. Raises `LocalError` if `data` is shorter.
        """

    @property
    def peer_address(self) -> bytes:
        """The peer, as given."""
