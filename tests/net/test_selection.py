"""Which NAPTR records count, and in which order SRV records are tried."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.net.selection import PREFERENCE, Pointer, Service, order_services, usable

DRAWS = 20_000

CRITICAL = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47}
"""Degrees of freedom -> what chi-square exceeds once in a thousand times."""

services = st.builds(
    Service,
    st.integers(0, 3),
    st.integers(0, 65535),
    st.integers(1, 65535),
    st.sampled_from(["a.test", "b.test", "c.test"]),
)


def chances(weights: list[int]) -> list[float]:
    """How likely each record is to be the first one, counted out over all numbers RFC 2782 draws.

    Records with the weight 0 stand first.
    """
    total = sum(weights)
    counts = [0] * len(weights)
    for drawn in range(total + 1):
        running = 0
        for at, weight in enumerate(weights):
            running += weight
            if running >= drawn:
                counts[at] += 1
                break
    return [count / (total + 1) for count in counts]


@pytest.mark.parametrize(
    "weights", [[10, 30, 60], [1, 1], [0, 0, 100], [0, 5, 5], [1, 2, 3, 4, 90], [0, 1, 99]]
)
@pytest.mark.parametrize("place", [0, 1])
def test_weights_share_the_draws_as_rfc_2782_says(weights: list[int], place: int) -> None:
    """Both the first and the second place: what is left is drawn by the weights that are left."""
    random = Random(20782 + place)
    records = [Service(5, weight, 5060, f"{at}.test") for at, weight in enumerate(weights)]
    drawn = Counter(order_services(records, random)[place].target for _ in range(DRAWS))
    expected = [chance * DRAWS for chance in chances(weights)]
    if place:
        expected = [0.0] * len(weights)
        for first, chance in enumerate(chances(weights)):
            rest = [at for at in range(len(weights)) if at != first]
            left = chances([weights[at] for at in rest])
            for at, then in zip(rest, left, strict=True):
                expected[at] += chance * then * DRAWS
    possible = [(at, count) for at, count in enumerate(expected) if count]
    statistic = sum((drawn[f"{at}.test"] - count) ** 2 / count for at, count in possible)
    assert sum(drawn[f"{at}.test"] for at, _ in possible) == DRAWS
    assert len(possible) == 1 or statistic < CRITICAL[len(possible) - 1]


def test_a_seed_makes_the_order_repeatable() -> None:
    records = [Service(1, 10, 5060, f"{at}.test") for at in range(20)]
    assert order_services(records, Random(7)) == order_services(records, Random(7))
    assert order_services(records, Random(7)) != order_services(records, Random(8))


@given(st.lists(services, max_size=30), st.integers(0, 2**32))
def test_every_record_comes_once_and_priorities_ascend(records: list[Service], seed: int) -> None:
    ordered = order_services(records, Random(seed))
    assert sorted(ordered) == sorted(set(records))
    assert [one.priority for one in ordered] == sorted(one.priority for one in ordered)


NAPTR = [
    Pointer(50, 50, "s", "SIPS+D2T", "", "_sips._tcp.example.test"),
    Pointer(90, 50, "s", "SIP+D2T", "", "_sip._tcp.example.test"),
    Pointer(100, 50, "S", "sip+d2u", "", "_sip._udp.example.test"),
]


@pytest.mark.parametrize(
    ("protocols", "chosen"),
    [
        (("tls", "tcp", "udp"), [("_sips._tcp.example.test", "tls")]),
        (("tcp", "udp"), [("_sip._tcp.example.test", "tcp")]),
        (("udp",), [("_sip._udp.example.test", "udp")]),
        ((), []),
    ],
)
def test_the_lowest_order_that_somebody_can_use_counts(
    protocols: tuple[str, ...], chosen: list[tuple[str, str]]
) -> None:
    """The records of RFC 3263 4.1's own example."""
    assert usable(NAPTR, protocols) == chosen


def test_within_an_order_preference_decides_and_then_the_better_protocol() -> None:
    pointers = [
        Pointer(1, 20, "s", "SIPS+D2T", "", "third.test"),
        Pointer(1, 10, "s", "SIP+D2U", "", "second.test"),
        Pointer(1, 10, "s", "SIP+D2T", "", "first.test"),
    ]
    assert [name for name, _ in usable(pointers, PREFERENCE)] == [
        "first.test",
        "second.test",
        "third.test",
    ]


@pytest.mark.parametrize(
    "pointer",
    [
        Pointer(1, 1, "a", "SIP+D2U", "", "x.test"),
        Pointer(1, 1, "u", "SIP+D2U", "", "x.test"),
        Pointer(1, 1, "", "SIP+D2U", "", "x.test"),
        Pointer(1, 1, "s", "E2U+sip", "", "x.test"),
        Pointer(1, 1, "s", "SIPS+D2U", "", "x.test"),
        Pointer(1, 1, "s", "SIP+D2S", "", "x.test"),
        Pointer(1, 1, "s", "SIP+D2U", "!^.*$!sip:x@y!", "x.test"),
        Pointer(1, 1, "s", "SIP+D2U", "", ""),
    ],
)
def test_records_of_other_services_are_passed_over(pointer: Pointer) -> None:
    wanted = Pointer(2, 1, "s", "SIP+D2U", "", "wanted.test")
    assert usable([pointer, wanted], PREFERENCE) == [("wanted.test", "udp")]
