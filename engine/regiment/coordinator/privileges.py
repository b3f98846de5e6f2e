"""Another user instead of root: ``--user`` and ``--group``.

The coordinator changes once, before it starts its first child, so every worker, loader and
successor is that user from its first instruction on: what a successor may do its predecessor could
do as well, and no worker ever holds root's rights next to what strangers send it. Of root's rights
one stays, CAP_NET_BIND_SERVICE (capabilities(7)), in the ambient set that children inherit:
workers bind ports under 1024 again after a death and for a reload.
"""

from __future__ import annotations

import contextlib
import ctypes
import grp
import os
import pwd
from collections.abc import Iterable
from typing import NamedTuple

from regiment.errors import LocalError

CAP_NET_BIND_SERVICE = 10
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522


class Identity(NamedTuple):
    """Who the engine is to be."""

    user: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def find(user: str, group: str = "") -> Identity:
    """The identity of ``--user`` (a name or a number) and ``--group`` (default: the user's own).

    Raises `LocalError` for who is not known, and where we are not root: nobody else may change.
    """
    if os.geteuid() != 0:
        raise LocalError(f"--user {user}: only root may become another user")
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        raise LocalError(f"--user {user}: there is no such user") from None
    gid = _group(group) if group else entry.pw_gid
    return Identity(
        entry.pw_name, entry.pw_uid, gid, tuple(os.getgrouplist(entry.pw_name, gid))
    )


def _group(group: str) -> int:
    try:
        found = grp.getgrgid(int(group)) if group.isdecimal() else grp.getgrnam(group)
    except (KeyError, OverflowError):
        raise LocalError(f"--group {group}: there is no such group") from None
    return found.gr_gid


def hand_over(identity: Identity, paths: Iterable[str | os.PathLike[str]]) -> None:
    """Gives files, and directories with the files right in them, to that user.

    Symbolic links are left alone. Raises `LocalError` where that cannot be.
    """
    for path in paths:
        inside: list[str] = []
        with contextlib.suppress(NotADirectoryError), os.scandir(path) as entries:
            inside = [entry.path for entry in entries if not entry.is_symlink()]
        try:
            for each in (path, *inside):
                os.chown(each, identity.uid, identity.gid, follow_symlinks=False)
        except OSError as error:
            raise LocalError(
                f"--user {identity.user}: {os.fspath(path)} cannot be given away: {error.strerror}"
            ) from None


def change(identity: Identity) -> bool:
    """Becomes `identity` for good. False: ports under 1024 are lost with root's rights.

    To be called where no other thread does anything that matters: capabilities are a thread's own.
    Raises `LocalError` where the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    try:
        os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    except OSError as error:
        raise LocalError(f"--user {identity.user}: {error.strerror}") from None
    kept = _keep(libc, CAP_NET_BIND_SERVICE)
    if not kept:
        _set_capabilities(libc, 0)
    return kept


def ensure_readable(identity: Identity, paths: Iterable[str]) -> None:
    """To be asked after `change`: a reload and a successor have to read these too.

    Raises `LocalError` that names the first one that cannot be read.
    """
    for path in paths:
        if os.path.exists(path) or not os.path.lexists(path):
            readable = os.access(path, os.R_OK)
        else:
            readable = False
        if not readable:
            raise LocalError(f"--user {identity.user} may not read {path}")


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _keep(libc: ctypes.CDLL, capability: int) -> bool:
    """Leaves this thread, and what it executes, one capability; False: it was not ours."""
    return _set_capabilities(libc, 1 << capability) and not libc.prctl(
        _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0
    )


def _set_capabilities(libc: ctypes.CDLL, mask: int) -> bool:
    header = _Header(_CAPABILITY_VERSION_3, 0)
    data = (_Data * 2)(_Data(mask, mask, mask))
    return not libc.capset(ctypes.byref(header), data)
