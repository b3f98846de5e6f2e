"""The state file: a worker's ledger, mapped from a file so that it outlives a SIGKILL.

One page of header, then the ledger: its head and an entry for each slot (`uac.ledger`). A worker
that starts writes a new file beside the one that it goes on with and puts it in that one's place
when it is complete, so that a start that is killed half-way has lost nothing.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple, Self

from regiment.errors import LocalError
from regiment.uac.ledger import ENTRY_SIZE

MAGIC = b"regiment ledger\n"
VERSION = 1
HEADER_BYTES = 4096
_HEADER = struct.Struct("<16sII36sI")
SPARE_SHARE = 8
"""A file has room for an eighth more registrations than there are, and for `SPARE_LEAST`."""
SPARE_LEAST = 64
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """What tells this run of the machine from others; empty where the kernel does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class FormerState(NamedTuple):
    """What an earlier worker has left."""

    memory: bytes | mmap.mmap | memoryview
    """The ledger."""
    same_boot: bool
    """The machine was not restarted since: nothing that was stored is missing."""


def read_former(path: str) -> FormerState:
    """Opens a state file to go on with. Raises `LocalError` where it is none of ours.

    The file may be short or damaged: entries tell by themselves whether they are whole.
    """
    try:
        with open(path, "rb") as source:
            size = os.fstat(source.fileno()).st_size
            if size < HEADER_BYTES:
                raise LocalError(f"{path}: no state file (too short)")
            whole = mmap.mmap(source.fileno(), size, prot=mmap.PROT_READ)
    except OSError as error:
        raise LocalError(f"{path}: {error.strerror}") from None
    magic, version, entry_bytes, boot, _ = _HEADER.unpack_from(whole)
    if not whole[: _HEADER.size].strip(b"\0"):
        # The machine stopped before the header reached the disk: nothing else of it did for sure.
        return FormerState(b"", same_boot=False)
    if magic != MAGIC:
        raise LocalError(f"{path}: no state file of regiment")
    if version != VERSION or entry_bytes != ENTRY_SIZE:
        raise LocalError(
            f"{path}: written by another version of regiment: start once with an empty --state"
        )
    same_boot = boot.rstrip(b"\0").decode("ascii", "replace") == boot_id() != ""
    return FormerState(memoryview(whole)[HEADER_BYTES:], same_boot)


class StateFile:
    """The file of a worker that runs. `memory` is what its core writes entries to."""

    def __init__(self, path: str, index: int, slots: int) -> None:
        """Makes the file, for `slots` registrations and some more, under another name first.

        Raises `LocalError` where the file cannot be: the room is claimed here, so that a disk that
        fills up later takes nothing away.
        """
        self.path = path
        self._index = index
        self._made = f"{path}.new"
        self._slots = 0
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._fd = os.open(self._made, flags, 0o600)
        except OSError as error:
            raise LocalError(f"{self._made}: {error.strerror}") from None
        self._whole: mmap.mmap | None = None
        self.memory: memoryview = memoryview(b"")
        try:
            self._map(slots)
        except LocalError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def has_room_for(self, slots: int) -> bool:
        """Is there an entry for each of so many slots?"""
        return slots <= self._slots

    def grow(self, slots: int) -> memoryview:
        """Room for more; the new memory begins with what stood in the old. Raises `LocalError`.

        The old memory is to be used no more.
        """
        former, whole = self.memory, self._whole
        self._map(slots)
        former.release()
        if whole is not None:
            with contextlib.suppress(BufferError):
                whole.close()
        return self.memory

    def publish(self) -> None:
        """The file is complete: it takes the place of the former one. Raises `LocalError`."""
        try:
            if self._whole is not None:
                self._whole.flush(0, HEADER_BYTES)
            os.rename(self._made, self.path)
        except OSError as error:
            raise LocalError(f"{self.path}: {error.strerror}") from None

    def close(self) -> None:
        """Gives the descriptor back; what is mapped stays until nobody uses it. Twice is fine."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _map(self, slots: int) -> None:
        room = slots + slots // SPARE_SHARE + SPARE_LEAST
        size = HEADER_BYTES + (1 + room) * ENTRY_SIZE
        try:
            os.posix_fallocate(self._fd, 0, size)
            whole = mmap.mmap(self._fd, size)
        except OSError as error:
            raise LocalError(f"{self._made}: {error.strerror}") from None
        _HEADER.pack_into(
            whole, 0, MAGIC, VERSION, ENTRY_SIZE, boot_id().encode("ascii"), self._index
        )
        self._whole, self._slots = whole, room
        self.memory = memoryview(whole)[HEADER_BYTES:]
