"""Names as external addresses."""

from __future__ import annotations

import socket

import pytest

from authority import Authority
from regiment.coordinator.publication import Publication
from regiment.model import Certificate, Tls, Transport


def test_a_name_as_external_address_is_looked_up():
    published = Publication()
    found = published.published(Transport("t", external_signaling_address="localhost"))
    assert found.external_signaling_address == "127.0.0.1"
    assert published.warnings == []


@pytest.mark.parametrize(
    "transport",
    [
        Transport("t"),
        Transport("t", external_signaling_hostname="localhost"),
        Transport("t", external_signaling_address="203.0.113.5"),
        Transport("t", external_signaling_address="[2001:db8::5]"),
        Transport("t", external_signaling_address="2001:db8::5"),
    ],
)
def test_whatever_is_no_such_name_stays_as_it_is(transport, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert Publication().published(transport) is transport


def test_one_that_does_not_resolve_is_said_as_it_stands(monkeypatch):
    def fail(*_: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    transport = Transport("edge", external_signaling_address="edge.invalid")
    published = Publication()
    assert published.published(transport) is transport
    (warning,) = published.warnings
    assert warning.name == "edge"
    assert "edge.invalid has no address yet" in warning.message


def test_a_key_that_does_not_open_is_told_when_the_transport_is_published():
    with Authority() as authority:
        issued = authority.issue(cn="trunk", password="right")
        for password, said in (("", "the key is encrypted: set password"), ("right", "")):
            own = Certificate(str(issued.cert_file), str(issued.key_file), password)
            transport = Transport("tls", protocol="tls", tls=Tls(certificate=own))
            published = Publication()
            assert published.published(transport) is transport
            if said:
                line = f"priv_key_file {issued.key_file}: {said}: nothing can connect over it"
                assert [each.message for each in published.warnings] == [line]
            else:
                assert published.warnings == []
