"""What passes between the attempts and the wire: responses in, REGISTERs and answers out."""

from typing_extensions import disjoint_base

from regiment.datagram import Batch
from regiment.model import Call
from regiment.uac.attempt import Attempts

@disjoint_base
class Exchange(Attempts):
    """The wire's side of the engine."""

    def receive(self, inbox: Batch, now_ns: int) -> None:
        """Takes the datagrams that came. Never raises for what a peer sent: it is counted."""
    def send(self, outbox: Batch, now_ns: int) -> bool:
        """Fills the outbox with what must go out; True: more is waiting (call again once the
        outbox is cleared)."""
    def calls(self) -> list[Call]:
        """The requests since the last call that were matched to a registration by their `line`.

        At most 100 a second, OPTIONS apart, of which there are 10; the counters know of all.
        """
    def icmp(self, quoted: bytes, peer: bytes, now_ns: int) -> None:
        """An ICMP error: `quoted` is what came back of our datagram, perhaps nothing.

        The second one for a transaction ends it as 503 (RFC 3261 18.4).
        """
