"""What a timer wheel must do, said slowly: a dict of what is armed, searched each time."""

from __future__ import annotations

TICK_NS = 1_000_000


class ReferenceWheel:
    """Same answers as `regiment.timing.wheel.Wheel`, by sorting everything at every question."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.present = -1
        """The last tick whose timers were all fired or have begun to be."""
        self.order = 0
        self.timers: dict[int, tuple[int, int, int]] = {}
        """Timer -> tick at which it may fire, order of arming, tick that was asked for."""

    def arm(self, timer: int, due_ns: int) -> None:
        if not 0 <= timer < self.capacity:
            return
        asked = -(-max(due_ns, 0) // TICK_NS)
        self.order += 1
        self.timers[timer] = (max(asked, self.present), self.order, asked)

    def cancel(self, timer: int) -> None:
        self.timers.pop(timer, None)

    def due_ns(self, timer: int) -> int:
        return min(self.timers[timer][2] * TICK_NS, 2**63 - 1) if timer in self.timers else -1

    def fire(self, now_ns: int, limit: int) -> list[int]:
        now = max(now_ns // TICK_NS, self.present)
        due = sorted((when, timer) for timer, when in self.timers.items() if when[0] <= now)
        fired = [timer for _, timer in due[:limit]]
        for timer in fired:
            del self.timers[timer]
        # With timers left over, the present stands at the first of them.
        self.present = max(self.present, due[limit][0][0] if len(due) > limit else now)
        return fired

    def earliest_ns(self) -> int:
        """When the earliest timer may fire; -1: none."""
        if not self.timers:
            return -1
        return min(min(self.timers.values())[0] * TICK_NS, 2**63 - 1)
