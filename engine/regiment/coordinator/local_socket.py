"""The Unix socket of a running engine: where it is, who holds it, and how to reach it.

It needs no token because only its owner may open it (mode 0600). Binding and connecting go through
the descriptor of the folder, so that a path may be longer than the 107 bytes of a socket address.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from regiment.errors import LocalError

NAME = "regiment.sock"
BACKLOG = 128
_BESIDE = re.compile(rf"{Path(NAME).stem}-\d+\.sock")
_OWNER_ONLY = 0o177


def folder_for(state: str = "", environment: Mapping[str, str] = os.environ) -> Path:
    """Where an engine with that state directory puts its socket, if nothing else is said.

    The service manager's runtime directory, else the user's, else `state`, else the working
    directory.
    """
    # systemd gives several directories with colons between them
    runtime = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(runtime or environment.get("XDG_RUNTIME_DIR", "") or state or ".").absolute()


def sockets_in(folder: Path) -> list[Path]:
    """The sockets of engines that live there, the one with the plain name first."""
    found = [folder / NAME, *sorted(folder.glob(f"{Path(NAME).stem}-*.sock"))]
    return [path for path in found if is_alive(path)]


def connect(path: Path) -> socket.socket:
    """A connection to the engine at `path`. Raises `OSError` where nobody answers."""
    with _opened(path.parent) as folder:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(_address(folder, path.name))
        except OSError:
            connection.close()
            raise
        return connection


def is_alive(path: Path) -> bool:
    """Somebody listens there. One who may not be asked (another user's) counts as alive."""
    try:
        connect(path).close()
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EPERM, errno.EAGAIN)
    return True


class LocalSocket:
    """A listening socket at a path that is ours; `close` removes it, unless another one took it."""

    def __init__(self, path: Path, listener: socket.socket) -> None:
        self.path = path
        self.listener = listener
        self._identity = _identity_of(path)

    def close(self) -> None:
        """Stops listening and removes the file. May be called twice."""
        self.listener.close()
        try:
            if _identity_of(self.path) == self._identity:
                self.path.unlink()
        except OSError:
            pass


def claim(path: Path) -> LocalSocket:
    """Listens at `path`, over what a dead engine has left there.

    Raises `LocalError` where a living one holds it or the folder cannot be used.
    """
    found = _claim(path)
    if found is None:
        raise LocalError(f"--socket {path}: a living engine holds it")
    return found


def claim_in(folder: Path) -> LocalSocket:
    """Listens at the plain name in `folder`, or beside a living engine that holds it.

    What dead engines have left beside it is removed. Raises `LocalError` where the folder cannot be
    used.
    """
    _remove_dead(folder)
    for name in (NAME, f"{Path(NAME).stem}-{os.getpid()}.sock"):
        if (found := _claim(folder / name)) is not None:
            return found
    raise LocalError(f"--socket {folder / NAME}: living engines hold every name")


def _claim(path: Path) -> LocalSocket | None:
    """None: a living engine holds it."""
    try:
        with _opened(path.parent) as folder:
            # two engines that start at once must not take each other's fresh socket for a dead one
            fcntl.flock(folder, fcntl.LOCK_EX)
            return _bind(path, folder)
    except OSError as error:
        raise LocalError(f"--socket {path}: {os.strerror(error.errno or errno.EIO)}") from None


def _remove_dead(folder: Path) -> None:
    """Removes the sockets of dead engines whose names have a pid; whatever else is there stays."""
    with contextlib.suppress(OSError), _opened(folder) as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        for name in filter(_BESIDE.fullmatch, os.listdir(opened)):
            with contextlib.suppress(OSError):
                found = os.stat(name, dir_fd=opened, follow_symlinks=False)
                if stat.S_ISSOCK(found.st_mode) and not is_alive(folder / name):
                    os.unlink(name, dir_fd=opened)


def _bind(path: Path, folder: int) -> LocalSocket | None:
    try:
        if not stat.S_ISSOCK(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise LocalError(f"--socket {path}: this is a file, and no socket")
        if is_alive(path):
            return None
        os.unlink(path.name, dir_fd=folder)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(_OWNER_ONLY)
    try:
        listener.bind(_address(folder, path.name))
        listener.listen(BACKLOG)
        listener.setblocking(False)
        return LocalSocket(path, listener)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)


def _identity_of(path: Path) -> tuple[int, int]:
    """Tells a file from a later one of that name, which may have the same inode."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _address(folder: int, name: str) -> str:
    return f"/proc/self/fd/{folder}/{name}"
