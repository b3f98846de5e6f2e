"""Whom a certificate stands for (RFC 5922), and for how long."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import serialization

from authority import Authority, Issued
from regiment.errors import LocalError
from regiment.net import certificate as certificates

DOMAIN = "sip.example.com"


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as made:
        yield made


def facts(issued: Issued) -> certificates.Facts:
    return certificates.read_der(issued.certificate.public_bytes(serialization.Encoding.DER))


@pytest.mark.parametrize(
    ("names", "domain", "wildcards", "good"),
    [
        ({"dns": ["Sip.Example.com"]}, "sip.example.COM", False, True),
        ({"dns": ["sip.example.com"]}, "sip.example.com.", False, True),
        ({"dns": ["example.com"]}, "sip.example.com", True, False),
        ({"uri": ["sip:example.com"]}, "example.com", False, True),
        ({"uri": ["SIP:Example.com;transport=tls"]}, "example.com", False, True),
        ({"uri": ["sip:example.com:5061"]}, "example.com", False, True),
        ({"uri": ["sip:alice@example.com"]}, "example.com", False, False),
        ({"uri": ["https://example.com"]}, "example.com", False, False),
        ({"uri": ["sips:example.com"]}, "example.com", False, False),
        ({"cn": "example.com"}, "example.com", False, True),
        ({"cn": "example.com", "dns": ["other.example"]}, "example.com", False, False),
        ({"cn": "example.com", "uri": ["sip:a@b"]}, "example.com", False, False),
        ({"dns": ["*.example.com"]}, "sip.example.com", False, False),
        ({"dns": ["*.example.com"]}, "sip.example.com", True, True),
        ({"dns": ["*.example.com"]}, "a.sip.example.com", True, False),
        ({"dns": ["*.example.com"]}, "example.com", True, False),
        ({"dns": ["s*.example.com"]}, "sip.example.com", True, False),
        ({"cn": "*.example.com"}, "sip.example.com", True, True),
        ({"ip": ["192.0.2.1"]}, "192.0.2.1", False, True),
        ({"ip": ["192.0.2.1"]}, "192.0.2.2", False, False),
        ({"ip": ["2001:db8::1"]}, "[2001:DB8:0::1]", False, True),
        ({"uri": ["sip:[2001:db8::1]"]}, "2001:db8::1", False, True),
        ({"dns": ["*.0.2.1"]}, "192.0.2.1", True, False),
        ({"dns": ["192.0.2.1"]}, "192.0.2.1", False, True),
        ({}, "example.com", False, False),
    ],
)
def test_for_whom_a_certificate_stands(
    authority: Authority, names: dict[str, str], domain: str, wildcards: bool, good: bool
) -> None:
    made = authority.issue(**names)  # type: ignore[arg-type]
    found = facts(made)
    assert found.stands_for(domain, wildcards) is good
    said = found.objection(domain, wildcards, int(time.time()))
    assert (said == "") is good
    if not good:
        assert said.startswith(f"certificate is not for {domain} but for ")


def test_an_objection_names_a_handful_of_names_and_the_switch(authority: Authority) -> None:
    many = facts(authority.issue(dns=[f"{i}.example.net" for i in range(9)]))
    said = many.objection(DOMAIN, False, int(time.time()))
    assert said.endswith("3.example.net, 4.example.net and 4 more")
    wild = facts(authority.issue(dns=["*.example.com"]))
    assert wild.objection(DOMAIN, False, int(time.time())).endswith("(allow_wildcard_certs is off)")


def test_dates_are_judged_by_the_time_that_is_told(authority: Authority) -> None:
    found = facts(authority.issue(dns=[DOMAIN]))
    assert "is not valid before" in found.objection(DOMAIN, False, found.not_before_s - 1)
    assert found.objection(DOMAIN, False, found.not_after_s - 1) == ""
    assert "has expired on" in found.objection(DOMAIN, False, found.not_after_s)


def test_what_is_no_certificate_is_told() -> None:
    with pytest.raises(LocalError, match=r"^the certificate is unreadable$"):
        certificates.read_der(b"\x30\x03\x02\x01\x01")
