"""Which names a worker holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regiment.coordinator.assignment import digest_of
from regiment.coordinator.roster import Roster


@given(st.sets(st.text(max_size=5), max_size=50), st.text(max_size=5))
def test_a_name_is_in_the_roster_exactly_if_it_was_added(names, other):
    roster = Roster()
    roster.add(b"".join(map(digest_of, names)))
    assert len(roster) == len(names)
    assert all(digest_of(name) in roster for name in names)
    assert (digest_of(other) in roster) == (other in names)


def test_a_digest_that_lies_across_two_others_is_not_in_the_roster():
    first, second = bytes(range(16)), bytes(range(16, 32))
    roster = Roster()
    roster.add(first + second)
    assert (first + second)[5:21] not in roster
    roster.add((first + second)[5:21])
    assert (first + second)[5:21] in roster
