"""The faults that `faults.Faults` asks for, decided without memory; Python's face serves tests."""

from collections.abc import Iterable
from typing import final

from regiment.registrar.faults import Faults

@final
class Script:
    """Decides by keyed hashes of a transaction, losses alone by a seeded sequence."""

    def __init__(self, faults: Faults, seed: int) -> None:
        """Equal seeds decide equally. Raises `ConfigError` for more than 32 statuses."""

    def status_of(self, transaction: int, scope: str) -> int:
        """The scripted code for a transaction (any 64-bit number) of a scope; 0: none."""

    def delay_of(self, transaction: int) -> int:
        """How long the answer of a transaction waits, in ns."""

    def granted(self, moments_ns: Iterable[int]) -> list[bool]:
        """Which of the REGISTERs that come at these rising moments the limit lets through."""

    def losses(self, count: int) -> list[bool]:
        """Which of the next `count` inbound datagrams are lost; the sequence goes on."""
