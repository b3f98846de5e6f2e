"""The directory of ``--state``: what lets a restarted engine go on where the last one ended.

In it lie, all of them for our eyes only (0600, the directory 0700):

``engine.json``        the manifest: instance key, number of workers, ports. Replaced as a whole.
``worker-K-of-N.state``  one mapped file a worker, which that worker alone writes; with ``.new``
                       while it is being made.
``lock``               held by the coordinator and by every worker, so that an engine that was
                       killed is gone from here only when its last worker is. Holds a pid.

A start with another number of workers reads the files of the old number and writes such of the new
one; which of them count is what the manifest says, and that changes in one rename, after every
worker has loaded and before the first one registers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import structlog

from regiment.errors import LocalError
from regiment.worker.control import Former, Loaded

FORMAT = 1
"""Of the directory as a whole. An engine reads no other one."""
MANIFEST = "engine.json"
LOCK = "lock"
LOCK_S = 5.0
"""Workers of an engine that was killed are gone within this."""
_LOCK_POLL_S = 0.02
_FRESH = MANIFEST + ".new"
_STATE_FILE = re.compile(r"worker-(\d+)-of-(\d+)\.state(\.new)?")
_OURS = re.compile(rf"{LOCK}|{MANIFEST}(\.new)?|{_STATE_FILE.pattern}|lost\+found")

logger = structlog.get_logger()


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``engine.json``."""

    made_by: str = "regiment"
    format: int = FORMAT
    instance_key: str
    """Hexadecimal: what Call-IDs and `line` are made with."""
    workers: int
    shard: str = "0/1"
    ports: tuple[dict[str, int], ...] = ()
    """For each worker, transport name -> port."""


class _Header(msgspec.Struct, frozen=True):
    """What a manifest of any format has."""

    made_by: str
    format: int


class StateDirectory:
    """Locked from the beginning until `close`. No secret but the instance key passes through it."""

    def __init__(self, path: str, workers: int, shard: str, instance_key: bytes) -> None:
        """Takes an existing directory over, or makes one with this `instance_key`.

        May wait `LOCK_S` for the last workers of an engine that was killed. Raises `LocalError`
        where another engine uses it, where it is not ours or cannot be written.
        """
        self.path = Path(path)
        self.workers = workers
        self._shard = shard
        self._migrating: set[int] = set()
        """Workers that have not loaded yet what files of another number of workers hold."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_foreign()
            self.lock = self._take_lock()
        except OSError as error:
            raise self._unusable(error) from None
        try:
            self._manifest = self._read()
            self.instance_key = (
                bytes.fromhex(self._manifest.instance_key) if self._manifest else instance_key
            )
            self._tidy()
        except OSError as error:
            self.close()
            raise self._unusable(error) from None
        except BaseException:
            self.close()
            raise
        if self._manifest and self._manifest.shard != shard:
            logger.warning(
                "the state directory was another shard's: what is not this host's any more stays "
                "bound until it lapses",
                former=self._manifest.shard,
                shard=shard,
            )
        self._former_workers = self._manifest.workers if self._manifest else workers
        if self._former_workers != workers:
            self._migrating.update(range(workers))

    def _error(self, what: str) -> LocalError:
        return LocalError(f"--state {self.path}: {what}")

    def _unusable(self, error: OSError) -> LocalError:
        if isinstance(error, FileExistsError | NotADirectoryError):
            return self._error("is not a directory")
        return self._error(f"cannot be used: {error.strerror}")

    # ---- taking it over

    def _refuse_foreign(self) -> None:
        names = os.listdir(self.path)
        if MANIFEST not in names:
            for name in sorted(names):
                if not (_OURS.fullmatch(name) or (self.path / name).is_socket()):
                    raise self._error(
                        f"is not empty and no state directory of regiment (it holds {name}): "
                        "name a directory of its own"
                    )

    def _take_lock(self) -> int:
        lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until_s = time.monotonic() + LOCK_S
        try:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    pid = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
                    if _lives(pid) or time.monotonic() > until_s:
                        owner = f"the engine with pid {pid}" if pid else "another engine"
                        raise self._error(f"is in use by {owner}") from None
                    time.sleep(_LOCK_POLL_S)
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _read(self) -> Manifest | None:
        try:
            raw = (self.path / MANIFEST).read_bytes()
        except FileNotFoundError:
            return None
        try:
            header = msgspec.json.decode(raw, type=_Header)
            if header.made_by != "regiment":
                raise ValueError
            if header.format != FORMAT:
                raise self._error(
                    f"was made by another version of regiment (format {header.format}; this one "
                    f"has {FORMAT}): let that one un-REGISTER, or name another directory"
                )
            manifest = msgspec.json.decode(raw, type=Manifest)
            if len(bytes.fromhex(manifest.instance_key)) != 16 or manifest.workers < 1:
                raise ValueError
        except (msgspec.MsgspecError, ValueError):
            raise self._error(f"{MANIFEST} is not what regiment writes") from None
        return manifest

    def _tidy(self) -> None:
        """Removes what a start that never came to register, or a migration, has left."""
        counting = self._manifest.workers if self._manifest else 0
        for name in os.listdir(self.path):
            match = _STATE_FILE.fullmatch(name)
            is_rest = match is not None and (match[3] is not None or int(match[2]) != counting)
            if name == _FRESH or is_rest:
                os.unlink(self.path / name)

    # ---- workers

    def file_of(self, worker: int, workers: int | None = None) -> Path:
        """The state file of a worker of an engine with so many (default: this one's)."""
        return self.path / f"worker-{worker}-of-{workers or self.workers}.state"

    def former(self, worker: int) -> tuple[Former, ...]:
        """What the next worker of this number goes on with: its own file, or all old ones."""
        if worker in self._migrating:
            files = [
                (self.file_of(k, self._former_workers), k) for k in range(self._former_workers)
            ]
        else:
            files = [(self.file_of(worker), worker)]
        return tuple(Former(str(path), index) for path, index in files if path.exists())

    def ports_of(self, worker: int) -> dict[str, int]:
        """The ports that a worker of this number had."""
        ports = self._manifest.ports if self._manifest else ()
        return dict(ports[worker]) if worker < len(ports) else {}

    def tell(self, loaded: Iterable[Loaded]) -> None:
        """Logs what came of the files that workers have gone on with."""
        found = [one.recovered for one in loaded if one.recovered is not None]
        if going := sum(one.continued for one in found):
            moved, torn = sum(one.moved for one in found), sum(one.torn for one in found)
            logger.info(
                "registrations go on where they were", registrations=going, moved=moved, torn=torn
            )
        # Where each worker reads all files, most of what it finds is another one's.
        if not self._migrating and (left := sum(one.elsewhere_bound for one in found)):
            logger.warning(
                "bindings of registrations that are gone from the file stay until they lapse",
                count=left,
            )

    def commit(self, ports: Sequence[dict[str, int]], loaded: Sequence[int]) -> None:
        """From now on the files of this number of workers count.

        `ports`: of every worker; an empty one is kept as it was. `loaded`: the workers that hold
        their share. Costs two writes to the disk, or nothing where nothing is new. Raises
        `LocalError`.
        """
        self._migrating.difference_update(loaded)
        self._write(
            Manifest(
                instance_key=self.instance_key.hex(),
                workers=self.workers,
                shard=self._shard,
                ports=tuple(dict(one) or self.ports_of(worker) for worker, one in enumerate(ports)),
            )
        )
        if self._former_workers != self.workers and not self._migrating:
            for worker in range(self._former_workers):
                with contextlib.suppress(OSError):
                    self.file_of(worker, self._former_workers).unlink()
            self._former_workers = self.workers

    def _write(self, manifest: Manifest) -> None:
        """Replaces the manifest as a whole, whatever happens meanwhile."""
        if manifest == self._manifest:
            return
        fresh = self.path / _FRESH
        try:
            # It may be left from a write that failed, with other rights.
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
                file.flush()
                os.fsync(descriptor)
            os.replace(fresh, self.path / MANIFEST)
            _sync(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise self._unusable(error) from None
        self._manifest = manifest

    def close(self) -> None:
        """Gives the directory back. May be called twice."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


def _sync(path: Path) -> None:
    """Brings what was done in a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lives(pid: str) -> bool:
    """There is a process of this number that we can see."""
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
