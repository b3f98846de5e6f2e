"""The ledger's writer and reader: what a process leaves to the next one."""

from typing import NamedTuple

from typing_extensions import Buffer, disjoint_base

from regiment.uac.change import Changes

class Recovered(NamedTuple):
    """What came of the entries of a former ledger."""

    continued: int
    """Registrations that go on where they were."""
    moved: int
    """Of those: whose binding has another Contact, which is un-REGISTERed first."""
    torn: int
    """Entries that were not whole: these start afresh."""
    elsewhere: int
    """Entries of names that are not here (any more)."""
    elsewhere_bound: int
    """Of those: whose binding has not lapsed."""

@disjoint_base
class Recovery(Changes):
    """What a registration needs to go on, kept in memory that outlives the process."""

    def attach(self, memory: Buffer, wall_offset_ns: int) -> None:
        """From now on every registration's state is written to `memory`: a head of one entry's
        size, then an entry for each slot.

        `wall_offset_ns`: the wall clock less the monotonic one. May be called again with larger
        memory that begins with the same bytes; slots beyond its end are not written. LocalError:
        it is read-only.
        """
    def set_wall(self, wall_offset_ns: int) -> None:
        """The wall clock less the monotonic one, as it is now."""
    def adopt(self, former: Buffer, same_boot: bool, now_ns: int) -> Recovered:
        """Goes on with what a former process has left; to be called between `load` and `begin`.

        `same_boot`: the machine was not restarted, so whatever was stored before a request left
        is there. Else stored nc values may be too low: nonces are forgotten and CSeq goes up.
        Some 0.3 µs a registration.
        """
