"""The pacer: seeded random times. Not for secrets."""

from typing import final

@final
class Pacer:
    """A seeded source of delays (splitmix64): the same seed, the same delays. A draw is O(1)."""

    def __init__(self, seed: int) -> None:
        """`seed` is any integer; its lowest 64 bits count."""

    def word(self) -> int:
        """64 random bits."""

    def uniform_ns(self, low_ns: int, high_ns: int) -> int:
        """Uniform in [`low_ns`, `high_ns`): jitter. `low_ns` where that range is empty."""

    def stagger_ns(self, max_ns: int) -> int:
        """The delay of a first attempt: uniform in (0, `max_ns`]; 0 where that is empty."""
