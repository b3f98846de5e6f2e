"""Whose is a name? Rendezvous hashing of virtual shards, for workers and for hosts.

The name's digest picks a virtual shard, and each virtual shard belongs to the candidate with the
highest weight for it. So one more worker takes about 1/n of the names from the others and moves no
other name, and every host and loader finds the same owner without asking.

Workers and hosts are hashed with different keys: with one and the same hash the names of a host
would nearly all meet in one of its workers.
"""

from __future__ import annotations

import struct
from array import array
from hashlib import blake2b

DIGEST_BYTES = 16
"""What the coordinator keeps of a name."""

WORKER_SHARDS = 1 << 16
"""Virtual shards within a host: shares of 64 workers still differ by 3 % only."""
HOST_SHARDS = 1024

_WORKER_KEY = b"regiment worker"
_HOST_KEY = b"regiment host"
_UNKNOWN = 0xFFFF


def digest_of(name: str) -> bytes:
    """The 16 bytes that stand for a name inside a host."""
    return blake2b(
        name.encode("utf-8", "surrogateescape"), digest_size=DIGEST_BYTES, key=_WORKER_KEY
    ).digest()


def winner(shard: int, candidates: int, key: bytes) -> int:
    """The candidate (0 … candidates-1) with the highest weight for a virtual shard.

    A candidate's weight does not depend on how many others there are. One hash for each eight.
    """
    weights: tuple[int, ...] = ()
    for block in range((candidates + 7) // 8):
        raw = blake2b(shard.to_bytes(4, "little") + block.to_bytes(4, "little"), key=key).digest()
        weights += struct.unpack("<8Q", raw)
    weights = weights[:candidates]
    return weights.index(max(weights))


class WorkerAssignment:
    """Name's digest -> worker. Shards are weighed when they are first met (1 µs for each eight)."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._owner = array("H", [0 if workers == 1 else _UNKNOWN]) * WORKER_SHARDS

    def worker_of(self, digest: bytes) -> int:
        """The worker (0 … workers-1) that holds the name with this `digest_of`."""
        shard = digest[0] << 8 | digest[1]
        owner = self._owner[shard]
        if owner == _UNKNOWN:
            owner = self._owner[shard] = winner(shard, self.workers, _WORKER_KEY)
        return owner


class HostShare:
    """What host k of n holds (``--shard k/n``)."""

    def __init__(self, index: int, hosts: int) -> None:
        self.index = index
        self.hosts = hosts
        self._mine = bytes(winner(shard, hosts, _HOST_KEY) == index for shard in range(HOST_SHARDS))

    @property
    def fraction(self) -> float:
        """This host's part of all names, by which engine-wide rates are shared."""
        return sum(self._mine) / HOST_SHARDS

    def holds(self, name: str) -> bool:
        """Is the name this host's?"""
        raw = blake2b(
            name.encode("utf-8", "surrogateescape"), digest_size=2, key=_HOST_KEY
        ).digest()
        return bool(self._mine[int.from_bytes(raw, "big") % HOST_SHARDS])
