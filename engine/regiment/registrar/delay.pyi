"""Answers that wait before they leave; everything on the road of a datagram is in the ``.pxd``."""

from typing import final

@final
class DelayLine:
    """Scripted delays: each waiting answer is an allocation and a timer of a wheel of its own."""

    def __init__(self, limit: int = 262_144) -> None:
        """`limit`: the most answers that wait; beyond it an answer leaves at once."""

    def __len__(self) -> int:
        """How many answers wait."""
