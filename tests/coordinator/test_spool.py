"""A worker's share in memory without a name."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.coordinator.spool import CHUNK_BYTES, Spool


def contents(spool: Spool) -> bytes:
    parts = []
    at = 0
    while chunk := spool.read(at):
        parts.append(chunk)
        at += len(chunk)
    return b"".join(parts)


@given(st.lists(st.binary(max_size=2000), max_size=20))
def test_what_was_appended_is_read_as_often_as_wanted(parts):
    spool = Spool("test")
    for part in parts:
        spool.append(part)
    assert contents(spool) == contents(spool) == b"".join(parts)
    assert spool.size_bytes == sum(map(len, parts))
    spool.close()


def test_reading_goes_on_where_it_was_when_the_spool_grows():
    spool = Spool("test")
    spool.append(b"one")
    assert spool.read(3) == b""
    spool.append(b"two")
    assert spool.read(3) == b"two"
    spool.close()


def test_a_read_is_bounded():
    spool = Spool("test")
    spool.append(bytes(3 * CHUNK_BYTES))
    assert len(spool.read(0)) == CHUNK_BYTES
    spool.close()


def test_no_file_system_shows_it_and_no_child_inherits_it():
    spool = Spool("regiment spool test")
    links = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links[os.readlink(entry)] = int(entry.name)
    (found,) = [link for link in links if "regiment spool test" in link]
    assert found.startswith("/memfd:")
    assert not os.get_inheritable(links[found])
    spool.close()


def test_close_gives_the_memory_back_and_may_be_called_twice():
    spool = Spool("test")
    spool.append(b"x")
    spool.close()
    spool.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        spool.read(0)
