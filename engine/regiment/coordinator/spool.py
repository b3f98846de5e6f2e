"""A worker's share of the configuration, kept for its successors.

The spool is the way by which registrations reach a worker: the loader's frames are appended, and
whoever feeds the worker reads from the front. A successor is fed from the front again, though the
file may have changed or be broken by then.

It holds secrets, so it is memory without a name (memfd): nobody but this process and its own can
open it, and nothing of it reaches a disk unless the machine swaps.
"""

from __future__ import annotations

import os

from regiment.errors import LocalError

CHUNK_BYTES = 1 << 18


class Spool:
    """Bytes that are appended once and read as often as needed. Not part of the process's heap."""

    def __init__(self, name: str) -> None:
        try:
            self._fd = os.memfd_create(name, os.MFD_CLOEXEC)
        except OSError as error:
            raise LocalError(f"no memory for the registrations: {error.strerror}") from None
        self.size_bytes = 0

    def fileno(self) -> int:
        """The descriptor, for a process of ours that is to read it; -1: closed."""
        return self._fd

    def append(self, data: bytes) -> None:
        """Adds to the end. Raises `LocalError` when the memory is used up."""
        view = memoryview(data)
        while view:
            try:
                written = os.pwrite(self._fd, view, self.size_bytes)
            except OSError as error:
                raise LocalError(f"no memory for the registrations: {error.strerror}") from None
            self.size_bytes += written
            view = view[written:]

    def read(self, start: int) -> bytes:
        """Up to `CHUNK_BYTES` from `start` on; empty at the end."""
        return os.pread(self._fd, min(CHUNK_BYTES, self.size_bytes - start), start)

    def close(self) -> None:
        """Gives the memory back. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
