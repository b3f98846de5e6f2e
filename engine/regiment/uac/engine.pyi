"""The user agent client's core: registrations kept alive, by the batch.

A worker (or a test) drives it by five verbs, with integer monotonic nanoseconds. It reads no clock,
opens no socket and draws no randomness but from the seed and the key it is given.
"""

from collections.abc import Mapping, Sequence

from typing_extensions import disjoint_base

from regiment.metrics.scoreboard import Scoreboard
from regiment.model import Registration
from regiment.uac.destination import Place, TargetInfo
from regiment.uac.inquiry import Inquiry

@disjoint_base
class Engine(Inquiry):
    """The registrations of one worker."""

    def __init__(
        self, scoreboard: Scoreboard, *, seed: int, instance_key: bytes, cseq_base: int
    ) -> None:
        """`seed`: 0 … 2**128 - 1. `instance_key`: 16 to 64 bytes, the same for a replaced worker
        (Call-IDs follow from it and the names). `cseq_base`: the CSeq before the first one sent."""
    def __len__(self) -> int:
        """How many registrations there are, without those that only un-REGISTER."""
    def load(self, registrations: Sequence[Registration]) -> None:
        """Takes a batch; nothing is sent before `begin`. LocalError: a name for the second time,
        unless who had it is being removed.

        Some 3 µs a registration, of which half are keyed hashes.
        """
    def begin(self, now_ns: int) -> None:
        """Plans the first attempt of everything loaded since the last begin: each at a moment of
        its own in (now, now + max_random_initial_delay]."""
    def expire(self, now_ns: int) -> None:
        """Fires the timers that are due: retransmissions, time-outs, planned attempts."""
    def launch(self, now_ns: int) -> None:
        """Starts the attempts that are due as far as the targets' governors allow."""
    def deadline_ns(self) -> int:
        """When expire() or launch() have work next; -1: nothing is planned."""
    def lookups(self) -> list[int]:
        """Targets whose addresses are wanted; answer each with `set_addresses`."""
    def targets(self) -> list[TargetInfo]:
        """All targets with their registrations."""
    def set_addresses(
        self, target: int, places: Sequence[Place], now_ns: int, error: str = ""
    ) -> None:
        """The addresses of a target (best first; 32 are kept), or none and why.

        Without any address, what is due fails and waits; old addresses outlive a failed lookup.
        """
    def set_rate(self, target: int, rate: float) -> None:
        """This worker's share of the target's attempts a second; 0: no limit."""
    def set_outstanding(self, target: int, limit: int) -> None:
        """This worker's share of the attempts that may be outstanding at the target; 0: no limit.

        Those that are stay so.
        """
    def set_row(self, target: int, row: int) -> None:
        """The scoreboard row of the target's registrar."""
    def set_groups(self, rows: Mapping[str, int]) -> None:
        """The scoreboard rows of the groups that policies name; 0 for those that `rows` lacks.

        Without this call registrations are counted under no group. To be repeated after a policy
        was added. Walks all records once (some 5 ns each), if any policy names a group. LocalError:
        a row that is not there.
        """
    def set_endpoints(self, rows: Mapping[str, int]) -> None:
        """The scoreboard rows of the endpoints to which requests are counted; 0 for the rest.

        LocalError: a row that is not there.
        """
    def unregister_all(self, now_ns: int, rate: float) -> None:
        """Stops: removes every binding, at most `rate` a second and target (0: no limit)."""
    def remaining(self) -> int:
        """How many registrations are still to settle after `unregister_all`."""
    def unarmed(self) -> list[str]:
        """Registrations that nothing would ever wake: always empty. For tests."""
