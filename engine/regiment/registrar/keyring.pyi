"""HA1 of every user who has proved to know the password; filled and asked by compiled code."""

from typing import final

@final
class Keyring:
    """A table of users by keyed hash: 56 bytes each, doubled at three quarters full."""

    def __init__(self, limit: int = 4_194_304) -> None:
        """`limit`: users beyond it are verified anew each time and not counted.

        Raises `MemoryError`.
        """

    def __len__(self) -> int:
        """How many users are known."""
