"""The tests' own authority issues what OpenSSL takes, or refuses for one reason alone."""

from __future__ import annotations

import datetime
import ssl

import pytest

from authority import DAY, Authority, Issued

NOW = datetime.datetime.now(datetime.UTC)


def handshake(authority: Authority, issued: Issued, host: str) -> None:
    """TLS in memory between a client that trusts `authority` and a server with `issued`."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(issued.cert_file, issued.key_file)
    asking = ssl.create_default_context(cafile=str(authority.ca_file))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(back, there, server_hostname=host)
    server = serving.wrap_bio(there, back, server_side=True)
    open_ends = [client, server]
    while open_ends:
        for end in list(open_ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            open_ends.remove(end)


@pytest.fixture(scope="module")
def authority():
    with Authority() as one:
        yield one


def test_a_name_and_an_address_of_it_are_taken(authority: Authority) -> None:
    issued = authority.issue(dns=["sip.example.com"], uri=["sip:example.com"], ip=["127.0.0.1"])
    handshake(authority, issued, "sip.example.com")
    handshake(authority, issued, "127.0.0.1")


@pytest.mark.parametrize(
    ("validity", "host", "complaint"),
    [
        ({"not_after": NOW - DAY / 2}, "sip.example.com", "expired"),
        ({"not_before": NOW + DAY}, "sip.example.com", "not yet valid"),
        ({}, "other.example.com", "not valid for"),
    ],
)
def test_only_the_one_thing_is_wrong(
    authority: Authority, validity: dict[str, datetime.datetime], host: str, complaint: str
) -> None:
    issued = authority.issue(dns=["sip.example.com"], **validity)
    with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
        handshake(authority, issued, host)


def test_another_authority_is_not_trusted(authority: Authority) -> None:
    with Authority() as other, pytest.raises(ssl.SSLCertVerificationError, match="issuer"):
        handshake(authority, other.issue(dns=["sip.example.com"]), "sip.example.com")


def test_an_encrypted_key_wants_its_password(authority: Authority) -> None:
    issued = authority.issue(cn="sip.example.com", password="s3cr%t'ü")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(issued.cert_file, issued.key_file, password="another")
    context.load_cert_chain(issued.cert_file, issued.key_file, password="s3cr%t'ü")
    assert b"ENCRYPTED" in issued.key_file.read_bytes()


def test_files_go_with_it() -> None:
    with Authority() as one:
        issued = one.issue(cn="x")
        assert issued.cert_file.exists()
    assert not issued.cert_file.exists()
