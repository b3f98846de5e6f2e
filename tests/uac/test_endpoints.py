"""Pairs of endpoint and redirect by number."""

from __future__ import annotations

import pytest

from regiment.uac.endpoints import NO_ENDPOINT, Endpoints


def test_registrations_of_one_pair_share_a_number() -> None:
    endpoints = Endpoints()
    numbers = {endpoints.take("pbx", "sip:pbx@192.0.2.1") for _ in range(1000)}
    assert len(numbers) == len(endpoints) == 1
    assert endpoints.at(numbers.pop())[:2] == ("pbx", b"sip:pbx@192.0.2.1")


def test_no_endpoint_is_number_zero() -> None:
    assert Endpoints().take("", "") == NO_ENDPOINT


def test_the_last_one_gives_the_number_back() -> None:
    endpoints = Endpoints()
    first = endpoints.take("a", "sip:a")
    endpoints.take("a", "sip:a")
    second = endpoints.take("b", "sip:b")
    endpoints.release(first)
    assert endpoints.at(first).endpoint == "a"
    endpoints.release(first)
    assert (endpoints.at(first).endpoint, len(endpoints)) == ("", 1)
    assert endpoints.take("c", "") == first
    assert endpoints.at(second).redirect == b"sip:b"


def test_changes_without_end_leave_nothing_behind() -> None:
    endpoints = Endpoints()
    number = endpoints.take("pbx", "sip:pbx@0")
    for day in range(1, 1000):
        former, number = number, endpoints.take("pbx", f"sip:pbx@{day}")
        endpoints.release(former)
    assert len(endpoints) == 1
    assert number <= 2


def test_rows_are_those_of_the_endpoint_for_late_ones_too() -> None:
    endpoints = Endpoints()
    early = endpoints.take("a", "sip:a")
    endpoints.set_rows({"a": 1, "b": 2})
    late = endpoints.take("b", "")
    rest = endpoints.take("c", "")
    assert [endpoints.at(number).row for number in (early, late, rest)] == [1, 2, 0]


@pytest.mark.parametrize(
    ("redirect", "uri"),
    [
        ("<sip:pbx@192.0.2.1;transport=tcp>", b"sip:pbx@192.0.2.1;transport=tcp"),
        (" sip:pbx@192.0.2.1 ", b"sip:pbx@192.0.2.1"),
        ("sip:pbx\r\nVia: x", b""),
    ],
)
def test_a_redirect_is_a_bare_uri_of_one_line(redirect: str, uri: bytes) -> None:
    endpoints = Endpoints()
    assert endpoints.at(endpoints.take("pbx", redirect)).redirect == uri
