"""Which names exist: 16 bytes each, and nothing else."""

from __future__ import annotations

from regiment.coordinator.assignment import DIGEST_BYTES


class Roster:
    """The digests of the names that one worker holds, packed in the order of their loading."""

    __slots__ = ("_digests",)

    def __init__(self) -> None:
        self._digests = bytearray()

    def add(self, digests: bytes) -> None:
        """Any number of digests, end to end."""
        self._digests += digests

    def __len__(self) -> int:
        return len(self._digests) // DIGEST_BYTES

    def __contains__(self, digest: bytes) -> bool:
        """A scan at the speed of memory: some milliseconds for a million; questions are rare."""
        at = self._digests.find(digest)
        while at >= 0 and at % DIGEST_BYTES:
            at = self._digests.find(digest, at + 1)
        return at >= 0
