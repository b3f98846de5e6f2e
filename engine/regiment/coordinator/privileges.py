"""Another user instead of root: ``--user`` and ``--group``.

The coordinator changes once, before it starts its first child, so every worker, loader and
successor is that user from its first instruction on: what a successor may do its predecessor could
do as well, and no worker ever holds root's rights next to what strangers send it. Of root's rights
one stays, CAP_NET_BIND_SERVICE (capabilities(7)), in the ambient set that children inherit:
workers bind ports under 1024 again after a death and for a reload.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import stat
import sys
from collections.abc import Iterable
from typing import NamedTuple

import structlog

from regiment.errors import LocalError

StrPath = str | os.PathLike[str]

logger = structlog.get_logger()

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


def find(user: str, group: str = "") -> Identity | None:
    """The identity of ``--user`` (a name or a number) and ``--group`` (default: the user's own).

    None: neither was given. Raises `LocalError` for who is not known, for a group without a user,
    and where we are not root: nobody else may change.
    """
    if not user:
        if group:
            raise LocalError(f"--group {group}: only together with --user")
        return None
    if os.geteuid() != 0:
        raise LocalError(f"--user {user}: only root may become another user")
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        raise LocalError(f"--user {user}: there is no such user") from None
    gid = _group(group) if group else entry.pw_gid
    return Identity(entry.pw_name, entry.pw_uid, gid, tuple(os.getgrouplist(entry.pw_name, gid)))


def _group(group: str) -> int:
    try:
        found = grp.getgrgid(int(group)) if group.isdecimal() else grp.getgrnam(group)
    except (KeyError, OverflowError):
        raise LocalError(f"--group {group}: there is no such group") from None
    return found.gr_gid


def settle(identity: Identity, owned: Iterable[StrPath], read: Iterable[StrPath]) -> None:
    """Becomes `identity` for good, and sees to it that the engine can go on as that user.

    `owned` (files, and directories with the files right in them) are given to that user first. A
    reload and a successor of a worker must be able to read `read`, Python and the package, so that
    is asked now and not found out in some months. Raises `LocalError` where something is amiss.
    """
    for path in owned:
        _give_away(identity, path)
    if not _become(identity):
        logger.warning("ports under 1024 cannot be bound from now on: CAP_NET_BIND_SERVICE is none")
    for path in (*read, sys.executable, os.path.dirname(os.path.dirname(__file__))):
        if not os.access(path, os.R_OK) and (os.path.lexists(path) or not _may_enter(path)):
            raise LocalError(f"--user {identity.user} may not read {os.fspath(path)}")


def _may_enter(path: StrPath) -> bool:
    """The folder of `path` can be looked into, so that what is not seen there is not there."""
    return os.access(os.path.dirname(os.path.abspath(path)), os.X_OK)


def _give_away(identity: Identity, path: StrPath) -> None:
    """Changes the owner of what `path` leads to; symbolic links in it are left alone.

    Raises `LocalError`, too, for a file that has a second name: that one may be anybody's.
    """
    place = os.path.realpath(path)
    inside: list[str] = []
    try:
        if os.path.isdir(place):
            inside = [entry.path for entry in os.scandir(place) if not entry.is_symlink()]
        for each in inside:
            found = os.lstat(each)
            if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                raise LocalError(f"--user {identity.user}: {each} has another name (a hard link)")
        for each in (place, *inside):
            os.chown(each, identity.uid, identity.gid, follow_symlinks=False)
    except OSError as error:
        raise LocalError(
            f"--user {identity.user}: {os.fspath(path)} cannot be given away: {error.strerror}"
        ) from None


def _become(identity: Identity) -> bool:
    """Changes user and groups. False: the right to bind ports under 1024 could not be kept.

    Capabilities are a thread's own. Other threads of ours (the resolver's) lose all of theirs here
    and need none; children are started by this one.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    try:
        os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    except OSError as error:
        raise LocalError(f"--user {identity.user}: {error.strerror}") from None
    kept = _hold(libc, 1 << CAP_NET_BIND_SERVICE) and not libc.prctl(
        _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0
    )
    if not kept:
        _hold(libc, 0)
    return kept


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _hold(libc: ctypes.CDLL, mask: int) -> bool:
    """Leaves this thread the capabilities of `mask` and no other; False: they are not ours."""
    header = _Header(_CAPABILITY_VERSION_3, 0)
    data = (_Data * 2)(_Data(mask, mask, mask))
    return not libc.capset(ctypes.byref(header), data)
