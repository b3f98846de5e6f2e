"""How many files an engine may have open, and how many it needs."""

from __future__ import annotations

import resource

from regiment.errors import LocalError

_MORE = 256
_PER_WORKER = 8
"""Socket, scoreboard and share, and while a reload runs the share to come and the changes."""


def needed_for(workers: int) -> int:
    """Descriptors that a coordinator of so many workers may come to need."""
    return _MORE + _PER_WORKER * workers


def ensure_descriptors(needed: int) -> None:
    """Raises the soft limit of open files if it is too low.

    Raises `LocalError` where the hard limit does not allow that.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LocalError(
            f"too few file descriptors: {needed} are needed, {hard} allowed (see `ulimit -Hn`)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
