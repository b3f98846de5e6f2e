"""Addresses as people write them, and the local one that leads to a peer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.datagram import peer_from_address
from regiment.errors import LocalError
from regiment.net import address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip.example.com", ("sip.example.com", 9)),
        ("sip.example.com:5060", ("sip.example.com", 5060)),
        ("192.0.2.1", ("192.0.2.1", 9)),
        ("192.0.2.1:0", ("192.0.2.1", 0)),
        ("[2001:db8::1]", ("2001:db8::1", 9)),
        ("[2001:db8::1]:65535", ("2001:db8::1", 65_535)),
        ("2001:db8::1", ("2001:db8::1", 9)),
        ("::", ("::", 9)),
        ("[::]:5060", ("::", 5060)),
    ],
)
def test_host_and_port_are_told_apart(text: str, expected: tuple[str, int]) -> None:
    assert address.split(text, 9) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "an empty text: the host is missing"),
        (":5060", ":5060: the host is missing"),
        ("host:", "host:: the port must be a number up to 65535"),
        ("host:65536", "host:65536: the port must be a number"),
        ("host:-1", "host:-1: the port must be a number"),
        ("host:٣", "host:٣: the port must be a number"),
        ("host:5060:1", "the port must be a number"),
        ("[host]:1", "within the brackets belongs an IPv6 address"),
        ("[192.0.2.1]", "within the brackets belongs an IPv6 address"),
        ("[::1", "within the brackets belongs an IPv6 address"),
        ("[::1]5060", "after the bracket comes nothing but :port"),
        ("[::1]:", "the port must be a number"),
    ],
)
def test_text_that_is_no_address_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(LocalError) as caught:
        address.split(text)
    assert said in str(caught.value)


@given(st.ip_addresses(), st.integers(0, 65_535))
def test_split_undoes_join(host: object, port: int) -> None:
    assert address.split(address.join(str(host), port)) == (str(host), port)


@given(st.text(st.sampled_from("a.:[]1%0"), max_size=12))
def test_split_answers_or_refuses_whatever_it_is_given(text: str) -> None:
    try:
        host, port = address.split(text, 7)
    except LocalError:
        return
    assert host
    assert 0 <= port <= 65_535
    assert host in text


def test_family_of_a_literal_is_known_and_names_have_none() -> None:
    assert [address.family_of(host) for host in ("192.0.2.1", "::1", "localhost", "[::1]")] == [
        4,
        6,
        0,
        0,
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("port", [0, 5060])
def test_local_address_is_the_one_that_routes_to_the_peer(host: str, port: int) -> None:
    assert address.local_address(peer_from_address(host, port)) == host


def test_local_address_towards_nothing_is_one_clear_line() -> None:
    # Reserved for future use (RFC 1112): the kernel routes nothing to 255.255.255.255 by connect.
    with pytest.raises(LocalError, match=r"^no (route|way) to 255\.255\.255\.255"):
        address.local_address(peer_from_address("255.255.255.255", 5060))
