"""A hierarchical timer wheel: who is due, in O(1), without allocation."""

from typing import final

@final
class Wheel:
    """Timers numbered 0 … `capacity` - 1, each armed or not, with 1 ms resolution.

    Times are integer nanoseconds of one clock that the caller reads; the wheel knows no other. It
    takes every int64 (292 years). A timer costs 16 bytes, whether armed or not. Arming and
    cancelling are O(1); firing is O(1) a timer, and in its life a timer is moved at most seven
    times more.

    A number that is out of range is ignored by every method here and never armed.
    """

    def __init__(self, capacity: int = 0) -> None:
        """Raises `LocalError` above 2**31 timers and `MemoryError`."""

    @property
    def capacity(self) -> int:
        """How many timers there are."""

    @property
    def armed(self) -> int:
        """How many of them are armed."""

    def resize(self, capacity: int) -> int:
        """Makes room for `capacity` timers; what is armed stays so. Never shrinks. Returns 0."""

    def arm(self, timer: int, due_ns: int) -> None:
        """Sets `timer` to fire at the first tick that is not before `due_ns`; re-arms an armed one.

        A time that has passed is due at the next `fire`.
        """

    def cancel(self, timer: int) -> None:
        """Disarms `timer`; one that is not armed is left alone."""

    def is_armed(self, timer: int) -> bool: ...
    def due_ns(self, timer: int) -> int:
        """The time for which `timer` is armed, rounded up to its tick; -1: not armed."""

    def fire(self, now_ns: int, limit: int = 1024) -> list[int]:
        """Up to `limit` timers due at `now_ns`, disarmed: by tick, then as they were armed.

        Fewer than `limit`: all that was due has fired. A `now_ns` before an earlier one moves
        nothing back. Compiled callers use ``expire``, which allocates nothing.
        """

    def deadline_ns(self) -> int:
        """When `fire` has work next: never later than the earliest timer; -1: nothing is armed.

        It may be earlier than that, by what a coarse level of the wheel knows: `fire` then returns
        nothing and the next answer is finer.
        """
