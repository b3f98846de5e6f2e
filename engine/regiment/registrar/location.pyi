"""The location service; everything on the road of a datagram is in the ``.pxd``."""

from typing import final

@final
class Location:
    """Bindings by AOR: some 250 bytes for an AOR with one binding, its timer included."""

    def __init__(self, keep_ns: int, limit: int) -> None:
        """`keep_ns`: how long an AOR without bindings is remembered. `limit`: the most AORs.

        Raises `MemoryError`.
        """

    def __len__(self) -> int:
        """How many AORs are known, those without bindings included."""
