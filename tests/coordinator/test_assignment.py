"""Rendezvous hashing: even, steady, and the same everywhere."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.coordinator.assignment import (
    DIGEST_BYTES,
    HOST_SHARDS,
    HostShare,
    WorkerAssignment,
    digest_of,
)

NAMES = [f"trunk{number:06d}" for number in range(20_000)]
DIGESTS = [digest_of(name) for name in NAMES]


def owners(workers: int) -> list[int]:
    assignment = WorkerAssignment(workers)
    return [assignment.worker_of(digest) for digest in DIGESTS]


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 9, 17])
def test_every_worker_holds_about_its_share(workers):
    counts = Counter(owners(workers))
    fair = len(NAMES) / workers
    assert set(counts) == set(range(workers))
    assert all(abs(count - fair) < 0.15 * fair for count in counts.values())


@pytest.mark.parametrize("workers", [1, 2, 7, 8, 16])
def test_one_worker_more_takes_its_share_and_moves_no_other_name(workers):
    before, after = owners(workers), owners(workers + 1)
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {workers}
    assert abs(len(moved) - len(NAMES) / (workers + 1)) < 0.15 * len(NAMES) / (workers + 1)


def test_the_owner_of_a_name_is_the_same_for_good():
    # A change here would move registrations between workers and hosts at an upgrade.
    names = ("a", "b", "trunk", "müller")
    assignment = WorkerAssignment(4)
    assert [assignment.worker_of(digest_of(name)) for name in names] == [1, 1, 0, 1]
    assert [HostShare(0, 3).holds(name) for name in names] == [True, False, False, False]


@given(st.text(), st.text())
def test_different_names_have_different_digests(one, other):
    assert (digest_of(one) == digest_of(other)) == (one == other)
    assert len(digest_of(one)) == DIGEST_BYTES


def test_a_name_that_is_not_utf8_has_a_digest():
    assert len(digest_of(b"caf\xe9".decode("utf-8", "surrogateescape"))) == DIGEST_BYTES


@pytest.mark.parametrize("hosts", [1, 2, 3, 10])
def test_every_name_is_held_by_exactly_one_host(hosts):
    shares = [HostShare(index, hosts) for index in range(hosts)]
    for name in NAMES[:2000]:
        assert [share.holds(name) for share in shares].count(True) == 1
    assert sum(share.fraction for share in shares) == pytest.approx(1.0)


@pytest.mark.parametrize("hosts", [2, 5])
def test_the_fraction_of_a_host_is_what_it_holds(hosts):
    for index in range(hosts):
        share = HostShare(index, hosts)
        held = sum(map(share.holds, NAMES)) / len(NAMES)
        assert held == pytest.approx(share.fraction, abs=0.02)
        assert round(share.fraction * HOST_SHARDS) == share.fraction * HOST_SHARDS


def test_the_names_of_a_host_spread_over_all_of_its_workers():
    share = HostShare(1, 4)
    assignment = WorkerAssignment(4)
    held = [name for name in NAMES if share.holds(name)]
    counts = Counter(assignment.worker_of(digest_of(name)) for name in held)
    assert all(abs(count - len(held) / 4) < 0.2 * len(held) / 4 for count in counts.values())
