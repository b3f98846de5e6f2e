"""TLS: what goes over it, files that change, and what a failed handshake is called."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from authority import Authority, Issued
from net.peers import SECOND_NS, Caller, Server, caller, echo, server, wait_for_end
from regiment.errors import LocalError
from regiment.model import Certificate, Tls, Transport
from regiment.net.tls import Contexts, make_context
from sip.samples import OK_200, REGISTER

DOMAIN = "sip.example.com"
TLS = Transport("tls", protocol="tls")
DAY_S = 86_400


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as made:
        yield made


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Issued:
    return authority.issue(dns=[DOMAIN], cn="whatever")


def serving(issued: Issued, **settings: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.cert_file, issued.key_file)
    for name, value in settings.items():
        setattr(context, name, value)
    return context


def trusting(authority: Authority, **options: object) -> Tls:
    return Tls(ca_list_file=str(authority.ca_file), verify_server=True, **options)  # type: ignore[arg-type]


def dial(
    ours: Caller, peer: Server, tls: Tls, *, name: str = DOMAIN, own: Certificate | None = None
) -> None:
    security = Contexts().security(tls, own, name, ours.now_ns)
    ours.call(peer.peer, transport=TLS, security=security)


# --- what goes over it -----------------------------------------------------------------------


@pytest.mark.parametrize("version", ["tlsv1_2", "tlsv1_3"])
def test_messages_go_and_come(authority: Authority, issued: Issued, version: str) -> None:
    with server(echo, serving(issued)) as peer, caller() as ours:
        dial(ours, peer, trusting(authority, method=version))
        ours.send(REGISTER, *[OK_200] * 300)
        ours.until(lambda: len(ours.messages) == 301)
        assert ours.messages == [(1, REGISTER)] + [(1, OK_200)] * 300
        assert len(ours.streams.handshakes_ns) == 1
        ours.streams.close(1, ours.now_ns)
        assert ours.why() == ""
    # It was closed by close_notify, or the server's farewell would have failed.
    assert peer.errors == []


def test_connections_share_their_buffers_and_not_their_bytes(
    authority: Authority, issued: Issued
) -> None:
    def halves(connection: socket.socket) -> None:
        data = connection.recv(65536)
        for at in range(0, len(data), 7):
            connection.sendall(data[at : at + 7])
        wait_for_end(connection)

    flows = range(1, 20)
    with server(halves, serving(issued)) as peer, caller() as ours:
        security = Contexts().security(trusting(authority), None, DOMAIN, 0)
        for flow in flows:
            ours.dial(peer.peer, flow, TLS, security)
        ours.until(lambda: len(ours.local) == len(flows))
        for flow in flows:
            ours.send(OK_200 if flow % 2 else REGISTER, flow=flow)
        ours.until(lambda: len(ours.messages) == len(flows))
        assert sorted(ours.messages) == [(flow, OK_200 if flow % 2 else REGISTER) for flow in flows]


def test_messages_larger_than_a_record_pass(authority: Authority, issued: Issued) -> None:
    large = OK_200.replace(b"Content-Length: 0", b"Content-Length: 60000") + b"x" * 60_000
    with server(echo, serving(issued)) as peer, caller() as ours:
        dial(ours, peer, trusting(authority))
        ours.send(large, large)
        ours.until(lambda: len(ours.messages) == 2)
        assert ours.messages == [(1, large)] * 2


def test_a_later_connection_resumes_the_session(authority: Authority, issued: Issued) -> None:
    seen: list[bool] = []

    def tell(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        seen.append(bool(connection.session_reused))
        echo(connection)

    with server(tell, serving(issued)) as peer, caller() as ours:
        security = Contexts().security(trusting(authority), None, DOMAIN, 0)
        for flow in (1, 2):
            ours.call(peer.peer, flow, transport=TLS, security=security)
            ours.send(OK_200, flow=flow)
            ours.until(lambda flow=flow: (flow, OK_200) in ours.messages)
            ours.streams.close(flow, ours.now_ns)
            ours.why(flow)
    assert seen == [False, True]


# --- handshakes that fail --------------------------------------------------------------------


def failure_of(peer_context: ssl.SSLContext | None, tls: Tls, **options: object) -> str:
    """The line for a dial at a TLS server with this context; it is told for the kind as well."""
    with server(echo, peer_context) as peer, caller() as ours:
        dial(ours, peer, tls, **options)  # type: ignore[arg-type]
        if not ours.ended:
            ours.send(REGISTER)  # TLS 1.3 tells a client of its certificate afterwards
        return ours.why()


def test_whose_certificate_has_expired(authority: Authority) -> None:
    now = datetime.datetime.now(datetime.UTC)
    old = authority.issue(dns=[DOMAIN], not_after=now - datetime.timedelta(days=2),
                          not_before=now - datetime.timedelta(days=9))  # fmt: skip
    said = failure_of(serving(old), trusting(authority))
    assert said == f"TLS: certificate of {DOMAIN} has expired"


def test_whose_certificate_is_not_valid_yet(authority: Authority) -> None:
    now = datetime.datetime.now(datetime.UTC)
    young = authority.issue(dns=[DOMAIN], not_before=now + datetime.timedelta(days=2))
    said = failure_of(serving(young), trusting(authority))
    assert said == f"TLS: certificate of {DOMAIN} is not valid yet"


def test_whose_certificate_names_somebody_else(authority: Authority) -> None:
    other = authority.issue(
        dns=["a.example.net", "B.Example.NET."], uri=["sip:c.example.net"], ip=["192.0.2.7"]
    )
    assert failure_of(serving(other), trusting(authority)) == (
        f"TLS: certificate is not for {DOMAIN} but for "
        "c.example.net, a.example.net, b.example.net, 192.0.2.7"
    )


def test_whose_ca_we_do_not_know(issued: Issued) -> None:
    with Authority("Somebody Else") as other:
        said = failure_of(serving(issued), trusting(other))
    assert said == f"TLS: certificate of {DOMAIN} is from an unknown CA"


def test_who_wants_a_verified_server_and_names_no_ca(issued: Issued) -> None:
    said = failure_of(serving(issued), Tls(verify_server=True))
    assert said == f"TLS: certificate of {DOMAIN} is from an unknown CA"


def test_whose_certificate_is_self_signed(authority: Authority, tmp_path: Path) -> None:
    with Authority("Itself") as itself:
        key = tmp_path / "key.pem"
        from cryptography.hazmat.primitives import serialization

        key.write_bytes(
            itself._key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = serving(Issued(itself.ca_file, key, itself.certificate))
        said = failure_of(context, trusting(authority))
        assert said == f"TLS: certificate of {DOMAIN} is self-signed and not in ca_list_file"


def test_who_allows_other_versions(authority: Authority, issued: Issued) -> None:
    newest = serving(issued, minimum_version=ssl.TLSVersion.TLSv1_3)
    said = failure_of(newest, trusting(authority, method="tlsv1_2"))
    assert said == "TLS: the peer does not accept our protocol versions (method)"


def test_with_whom_we_share_no_cipher(authority: Authority, issued: Issued) -> None:
    context = serving(issued, maximum_version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    said = failure_of(context, trusting(authority, cipher=("ECDHE-ECDSA-AES128-GCM-SHA256",)))
    assert said == (
        "TLS: handshake refused by the peer: no cipher in common, or it wants a client certificate"
    )


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("tlsv1_2", "TLS: handshake refused by the peer: no cipher in common, or it wants a "
                    "client certificate"),
        ("tlsv1_3", "TLS: the peer wants a client certificate (cert_file)"),
    ],
)  # fmt: skip
def test_who_wants_our_certificate(
    authority: Authority, issued: Issued, method: str, said: str
) -> None:
    context = serving(issued, verify_mode=ssl.CERT_REQUIRED)
    context.load_verify_locations(authority.ca_file)
    assert failure_of(context, trusting(authority, method=method)) == said


def test_who_does_not_know_our_ca(authority: Authority, issued: Issued) -> None:
    context = serving(issued, verify_mode=ssl.CERT_REQUIRED)
    context.load_verify_locations(authority.ca_file)
    with Authority("Somebody Else") as other:
        client = other.issue(cn="trunk")
        own = Certificate(str(client.cert_file), str(client.key_file))
        said = failure_of(context, trusting(authority), own=own)
    assert said == "TLS: the peer does not know the CA of our certificate"


def test_who_speaks_no_tls_at_all(authority: Authority) -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"SIP/2.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        wait_for_end(connection)

    with server(plain) as peer, caller() as ours:
        dial(ours, peer, trusting(authority))
        assert ours.why() == "TLS: the peer does not speak TLS"


def test_who_hangs_up_during_the_handshake(authority: Authority) -> None:
    with server(lambda connection: connection.recv(65536)) as peer, caller() as ours:
        dial(ours, peer, trusting(authority))
        assert ours.why() == "TLS: closed by the peer during the handshake"


def test_who_says_nothing_to_a_handshake(authority: Authority) -> None:
    with server(wait_for_end) as peer, caller() as ours:
        security = Contexts().security(trusting(authority), None, DOMAIN, 0)
        ours.dial(peer.peer, 1, TLS, security)
        ours.until(lambda: ours.streams._flows[1].secret is not None)
        ours.pass_time(11)
        assert ours.why() == "TLS: the peer did not finish the handshake in time"
        assert ours.ended[1].kind == "timeout"


def test_a_name_that_tls_cannot_ask_for(authority: Authority) -> None:
    with server(echo) as peer, caller() as ours:
        dial(ours, peer, trusting(authority), name=".example.com")
        assert ours.why() == "TLS: .example.com is no name that can be asked for (SNI)"


# --- client certificates ---------------------------------------------------------------------


def test_our_certificate_is_shown_with_its_password(authority: Authority, issued: Issued) -> None:
    shown: list[object] = []

    def look(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        shown.append(connection.getpeercert())
        echo(connection)

    context = serving(issued, verify_mode=ssl.CERT_REQUIRED)
    context.load_verify_locations(authority.ca_file)
    client = authority.issue(cn="trunk", password="open, sesame")
    own = Certificate(str(client.cert_file), str(client.key_file), "open, sesame")
    with server(look, context) as peer, caller() as ours:
        dial(ours, peer, trusting(authority), own=own)
        ours.send(REGISTER)
        ours.until(lambda: ours.messages)
    [found] = shown
    assert found["subject"] == ((("commonName", "trunk"),),)  # type: ignore[index]


@pytest.mark.parametrize("which", ["missing", "no password", "wrong password", "other", "garbage"])
def test_a_key_that_cannot_be_used_is_one_line(
    authority: Authority, tmp_path: Path, which: str
) -> None:
    client = authority.issue(cn="trunk", password="right" if "password" in which else "")
    key = client.key_file
    if which == "missing":
        key = tmp_path / "nowhere.pem"
    elif which == "other":
        key = authority.issue(cn="other").key_file
    elif which == "garbage":
        key = tmp_path / "garbage.pem"
        key.write_bytes(b"nothing of use")
    own = Certificate(str(client.cert_file), str(key), "wrong" if which == "wrong password" else "")
    said = {
        "missing": "No such file or directory",
        "no password": "the key is encrypted: set password",
        "wrong password": "password does not open the key",
        "other": f"the key does not belong to the certificate in {client.cert_file}",
        "garbage": "it holds no PEM key that can be read",
    }[which]
    with pytest.raises(LocalError) as raised:
        Contexts().security(Tls(), own, DOMAIN, 0)
    assert str(raised.value) == f"priv_key_file {key}: {said}"


def test_a_certificate_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    with pytest.raises(LocalError, match=f"^cert_file {file}: No such file or directory$"):
        make_context(Tls(), Certificate(str(file)))
    file.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(LocalError, match=f"^cert_file {file}: it holds no PEM certificate$"):
        make_context(Tls(), Certificate(str(file)))


def test_a_certificate_and_its_key_may_be_one_file(authority: Authority, tmp_path: Path) -> None:
    client = authority.issue(cn="trunk")
    both = tmp_path / "both.pem"
    both.write_bytes(client.cert_file.read_bytes() + client.key_file.read_bytes())
    assert make_context(Tls(), Certificate(str(both))).verify_mode == ssl.CERT_NONE


# --- options ---------------------------------------------------------------------------------

V = ssl.TLSVersion


@pytest.mark.parametrize(
    ("method", "lowest", "highest"),
    [
        ("", V.TLSv1_2, V.MAXIMUM_SUPPORTED),
        ("default", V.TLSv1_2, V.MAXIMUM_SUPPORTED),
        ("unspecified", V.TLSv1_2, V.MAXIMUM_SUPPORTED),
        ("sslv23", V.TLSv1_2, V.MAXIMUM_SUPPORTED),
        ("tlsv1", V.TLSv1, V.TLSv1),
        ("tlsv1_1", V.TLSv1_1, V.TLSv1_1),
        ("tlsv1_2", V.TLSv1_2, V.TLSv1_2),
        ("tlsv1_3", V.TLSv1_3, V.TLSv1_3),
    ],
)
def test_method_is_a_range_of_versions(
    method: str, lowest: ssl.TLSVersion, highest: ssl.TLSVersion
) -> None:
    context = make_context(Tls(method=method), None)
    assert (context.minimum_version, context.maximum_version) == (lowest, highest)


@pytest.mark.parametrize("method", ["sslv2", "sslv3"])
def test_broken_protocols_are_refused(method: str) -> None:
    with pytest.raises(LocalError, match=f"^method={method}: this protocol is broken"):
        make_context(Tls(method=method), None)


def test_ciphers_are_those_of_the_list() -> None:
    context = make_context(Tls(cipher=("ECDHE-RSA-AES128-GCM-SHA256",)), None)
    older = [each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"]
    assert older == ["ECDHE-RSA-AES128-GCM-SHA256"]
    only_1_3 = make_context(Tls(cipher=("TLS_AES_128_GCM_SHA256",)), None)
    assert only_1_3.minimum_version == V.TLSv1_3
    with pytest.raises(LocalError, match=r"^cipher=NO-SUCH: OpenSSL knows none of them$"):
        make_context(Tls(cipher=("NO-SUCH",)), None)


def test_a_list_of_cas_must_be_readable(authority: Authority, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    with pytest.raises(LocalError, match=f"^ca_list_file {empty}: No such file or directory$"):
        make_context(Tls(ca_list_file=str(empty)), None)
    empty.touch()
    with pytest.raises(LocalError, match=f"^ca_list_file {empty}: it holds no PEM certificate$"):
        make_context(Tls(ca_list_file=str(empty)), None)
    with pytest.raises(LocalError, match=f"^ca_list_path {empty}: no such directory$"):
        make_context(Tls(ca_list_path=str(empty)), None)
    assert make_context(Tls(ca_list_path=str(tmp_path)), None)


# --- files that change -----------------------------------------------------------------------


def replace(target: Path, source: Path) -> None:
    fresh = target.with_suffix(".new")
    fresh.write_bytes(source.read_bytes())
    os.replace(fresh, target)


def test_changed_files_are_taken_up_by_the_next_connection(
    authority: Authority, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    replace(ca, authority.ca_file)
    tls = Tls(ca_list_file=str(ca), verify_server=True)
    contexts = Contexts()
    first = contexts.security(tls, None, DOMAIN, 0)
    assert contexts.security(tls, None, DOMAIN, 5 * SECOND_NS) is first
    with Authority("Another") as other:
        replace(ca, other.ca_file)
    # Within a second of the last look nobody looks.
    assert contexts.security(tls, None, DOMAIN, 5 * SECOND_NS + 1) is first
    second = contexts.security(tls, None, DOMAIN, 6 * SECOND_NS)
    assert second.context is not first.context
    assert contexts.warnings == []


def test_changed_files_that_are_broken_leave_the_former_ones_in_use(
    authority: Authority, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    replace(ca, authority.ca_file)
    tls = Tls(ca_list_file=str(ca), verify_server=True)
    contexts = Contexts()
    first = contexts.security(tls, None, DOMAIN, 0)
    ca.write_bytes(b"half written")
    for second in range(1, 4):
        assert contexts.security(tls, None, DOMAIN, second * SECOND_NS) is first
    assert contexts.warnings == [
        f"ca_list_file {ca}: it holds no PEM certificate; the former one goes on being used"
    ]
    ca.unlink()
    assert contexts.security(tls, None, DOMAIN, 4 * SECOND_NS) is first
    replace(ca, authority.ca_file)
    assert contexts.security(tls, None, DOMAIN, 5 * SECOND_NS) is not first


def test_what_expires_first_is_known(authority: Authority, issued: Issued) -> None:
    contexts = Contexts()
    assert contexts.expiries() == (0, 0)
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    client = authority.issue(cn="trunk", not_after=now + datetime.timedelta(days=10))
    own = Certificate(str(client.cert_file), str(client.key_file))
    security = contexts.security(trusting(authority), own, DOMAIN, 0)
    assert contexts.expiries() == (int(now.timestamp()) + 10 * DAY_S, 0)
    with server(echo, serving(issued)) as peer, caller() as ours:
        ours.call(peer.peer, transport=TLS, security=security)
        assert 1 in ours.local
    expires = int(issued.certificate.not_valid_after_utc.timestamp())
    assert contexts.expiries()[1] == expires


# --- with verify_server off ------------------------------------------------------------------


def test_without_verification_it_stands_and_the_objection_is_told_once(
    authority: Authority,
) -> None:
    other = authority.issue(dns=["a.example.net"])
    with server(echo, serving(other)) as peer, caller() as ours:
        security = Contexts().security(Tls(), None, DOMAIN, 0)
        for flow in (1, 2):
            ours.call(peer.peer, flow, transport=TLS, security=security)
        assert sorted(ours.local) == [1, 2]
        assert ours.streams.warnings == [
            f"TLS: certificate is not for {DOMAIN} but for a.example.net; verify_server is off"
        ]


def test_without_verification_a_good_certificate_is_no_news(issued: Issued) -> None:
    with server(echo, serving(issued)) as peer, caller() as ours:
        dial(ours, peer, Tls())
        assert 1 in ours.local
        assert ours.streams.warnings == []
