"""A timer of the kernel as a file descriptor, and the wish to die with one's parent.

A worker sleeps on one timerfd (CLOCK_MONOTONIC, absolute) beside its sockets: uvloop's own timers
are rounded to milliseconds and may fire early.
"""

from typing import final

@final
class Alarm:
    """One timerfd. `fd` becomes readable at the moment set, never earlier."""

    @property
    def fd(self) -> int:
        """For the loop's ``add_reader``; -1 once closed."""

    def __init__(self) -> None:
        """Raises `LocalError` when no descriptor is left."""

    def set(self, deadline_ns: int) -> None:
        """Arms for this moment of the monotonic clock, or disarms for a negative one.

        A moment that has passed fires at once. The same moment again costs no system call.
        """

    def acknowledge(self) -> int:
        """Takes notice of a firing: the moment that was asked for, or -1 if none has fired."""

    def close(self) -> None:
        """Gives the descriptor back. May be called twice."""

def die_with_parent() -> None:
    """The kernel kills this process (SIGKILL) when the thread that started it ends.

    Raises `LocalError` where the kernel does not know how.
    """
