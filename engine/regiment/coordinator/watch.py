"""Whether a worker that lives makes turns. One that makes none is told of, and not killed.

Chores make a turn each second even where nothing is due (`worker.shard`), so a count of turns that
stands still means a worker that hangs, was stopped, or gets no processor.
"""

from __future__ import annotations

LOOK_S = 1.0
"""The coordinator looks at every worker this often."""
LOOKS = 10
"""So many looks in a row at the same count of turns, and the worker is stuck."""


class Watch:
    """The looks at one worker.

    They are counted, and no clock is read: a coordinator that was itself stopped for a while does
    not blame its workers for that time.
    """

    def __init__(self) -> None:
        self.stuck = False
        self._turns = -1
        self._still = 0

    def look(self, turns: int) -> bool:
        """Takes the count of turns as it is now; True: `stuck` has changed by it."""
        before = self.stuck
        self._still = self._still + 1 if turns == self._turns else 0
        self._turns = turns
        self.stuck = self._still >= LOOKS
        return self.stuck != before
