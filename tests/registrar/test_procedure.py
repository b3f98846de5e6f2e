"""RFC 3261 sections 8.2 and 18.2 for every request, section 10.3 for REGISTER up to step 5."""

from __future__ import annotations

from typing import Any

import pytest

from regiment.datagram import peer_from_address
from regiment.errors import ConfigError, LocalError
from regiment.registrar.engine import Engine
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from registrar.client import PEER, START_NS, Client, S, authorization


def open_registrar(**about: Any) -> Client:
    """A registrar that challenges nobody."""
    return Client(Engine(Settings(**about), seed=5))


def guarded(user: str = "alice", **about: Any) -> Client:
    """A registrar that knows alice and bob."""
    users = Users()
    users.add_password("alice", "secret")
    users.add_password("bob", "hunter2")
    return Client(Engine(Settings(users=users, **about), seed=5), user)


# ---- what every answer repeats


def test_answer_repeats_via_from_call_id_and_cseq_and_tags_to() -> None:
    client = open_registrar()
    reply = client.ask(client.request(branch="z9hG4bKabc", call_id="xyz@host"))
    assert reply.one("Via") == (
        "SIP/2.0/UDP 10.0.0.5:5060;rport=5099;branch=z9hG4bKabc;received=192.0.2.7"
    )
    assert reply.one("From") == "<sip:alice@example.com>;tag=9fxced76sl"
    assert reply.one("To").startswith("<sip:alice@example.com>;tag=")
    assert reply.one("Call-ID") == "xyz@host"
    assert reply.one("CSeq") == "1 REGISTER"
    assert reply.one("Content-Length") == "0"
    assert reply.peer == PEER


def test_only_the_topmost_via_is_touched() -> None:
    client = open_registrar()
    via = (
        "Via: SIP/2.0/UDP 192.0.2.7:5099;branch=z9hG4bK1, SIP/2.0/TCP [2001:db8::9]:5060;rport\r\n"
        "v: SIP/2.0/UDP last.example.com;branch=z9hG4bK3"
    )
    reply = client.ask(client.request(via=via))
    assert reply.all("Via") == [
        "SIP/2.0/UDP 192.0.2.7:5099;branch=z9hG4bK1, SIP/2.0/TCP [2001:db8::9]:5060;rport",
        "SIP/2.0/UDP last.example.com;branch=z9hG4bK3",
    ]


@pytest.mark.parametrize(
    ("peer", "sent_by", "parameters"),
    [
        (("192.0.2.7", 5099), "192.0.2.7:5060", ""),
        (("192.0.2.7", 5099), "192.0.2.77", ";received=192.0.2.7"),
        (("2001:db8::1", 7000), "[2001:db8::1]:7000", ""),
        (("2001:db8::1", 7000), "[2001:db8::2]", ";received=2001:db8::1"),
    ],
)
def test_received_is_added_where_sent_by_is_another_host(
    peer: tuple[str, int], sent_by: str, parameters: str
) -> None:
    client = open_registrar()
    datagram = client.request(via=f"Via: SIP/2.0/UDP {sent_by};branch=z9hG4bKq")
    (reply,) = client.exchange(datagram, peer=peer_from_address(*peer))
    assert reply.one("Via") == f"SIP/2.0/UDP {sent_by};branch=z9hG4bKq{parameters}"


def test_an_empty_rport_with_equals_sign_is_filled_too() -> None:
    client = open_registrar()
    reply = client.ask(client.request(via="Via: SIP/2.0/UDP h;rport=;branch=z9hG4bKq"))
    assert reply.one("Via") == "SIP/2.0/UDP h;rport=5099;branch=z9hG4bKq;received=192.0.2.7"


def test_to_keeps_the_tag_that_it_has() -> None:
    client = open_registrar()
    reply = client.ask(client.request(to="<sip:alice@example.com>;tag=abc"))
    assert reply.one("To") == "<sip:alice@example.com>;tag=abc"


def test_date_is_the_wall_clock_in_gmt_and_moves_with_it() -> None:
    client = open_registrar()
    assert client.ask(client.request()).one("Date") == "Tue, 14 Nov 2023 22:13:20 GMT"
    client.now_ns += 45 * S
    assert client.ask(client.request()).one("Date") == "Tue, 14 Nov 2023 22:14:05 GMT"


def test_without_a_wall_clock_there_is_no_date() -> None:
    client = open_registrar()
    client.engine.begin(START_NS)
    assert client.ask(client.request()).all("Date") == []


# ---- other methods


def test_options_is_answered_with_what_is_allowed() -> None:
    client = open_registrar()
    reply = client.ask(client.request(method="OPTIONS", contact=None, expires=None))
    assert (reply.status, reply.one("Allow")) == (200, "REGISTER, OPTIONS")


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE", "MESSAGE", "FROBNICATE"])
def test_other_methods_get_405_with_allow(method: str) -> None:
    client = open_registrar()
    reply = client.ask(client.request(method=method))
    assert (reply.status, reply.one("Allow")) == (405, "REGISTER, OPTIONS")


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
def test_ack_and_cancel_are_counted_and_not_answered(method: str) -> None:
    client = open_registrar()
    assert client.exchange(client.request(method=method)) == []
    assert client.engine.counts()[f"requests_{method}"] == 1


def test_a_cseq_of_another_method_gets_400() -> None:
    client = open_registrar()
    datagram = client.request().replace(b"CSeq: 1 REGISTER", b"CSeq: 1 OPTIONS")
    assert client.ask(datagram).status == 400


# ---- steps 1, 2 and 5: scheme, Require, To


def test_request_uri_of_another_scheme_gets_416() -> None:
    client = open_registrar()
    assert client.ask(client.request(uri="tel:+431234")).status == 416


def test_require_gets_420_that_names_what_is_not_supported() -> None:
    client = open_registrar()
    extra = "Require: path, pref\r\nSupported: path\r\nRequire: outbound, gruu\r\n"
    reply = client.ask(client.request(extra=extra))
    assert reply.status == 420
    assert reply.all("Unsupported") == ["pref", "gruu"]
    assert len(client.engine) == 0


def test_require_path_is_understood() -> None:
    client = open_registrar()
    assert client.ask(client.request(extra="Require: path\r\n")).status == 200


@pytest.mark.parametrize(
    ("to", "status"),
    [
        ("<sip:alice@example.com>", 200),
        ("sip:alice@EXAMPLE.com", 200),
        ('"Alice, <the> first" <sip:alice@example.com;user=phone>', 200),
        ("<sips:alice@example.com>", 200),
        ("<sip:alice@other.example.org>", 404),
        ("<tel:+431234>", 404),
        ("<mailto:alice@example.com>", 404),
        ("<sip:>", 400),
        ("<sip:alice@>", 400),
        ("<sip:" + "a" * 600 + "@example.com>", 400),
    ],
)
def test_aor_must_be_one_of_a_domain_that_lives_here(to: str, status: int) -> None:
    client = open_registrar(domains=("example.com",))
    assert client.ask(client.request(to=to)).status == status


@pytest.mark.parametrize(
    "to",
    [
        "<sip:alice@example.com;user=phone>",
        "<sip:%61lice@EXAMPLE.COM>",
        "<sips:alice@example.com>",
        "sip:alice@example.com",
    ],
)
def test_aors_that_mean_the_same_have_the_same_bindings(to: str) -> None:
    client = open_registrar()
    client.ask(client.request())
    reply = client.ask(client.request(to=to, contact=None))
    assert reply.contacts() == [("sip:alice@192.0.2.7:5099", 3600)]


@pytest.mark.parametrize("to", ["<sip:Alice@example.com>", "<sip:alice@example.com:5070>"])
def test_aors_that_differ_have_bindings_of_their_own(to: str) -> None:
    client = open_registrar()
    client.ask(client.request())
    assert client.ask(client.request(to=to, contact=None)).contacts() == []


# ---- steps 3 and 4: who, and whose


def test_without_credentials_401_with_a_challenge() -> None:
    client = guarded()
    reply = client.ask(client.request())
    assert reply.status == 401
    (challenge,) = reply.challenges()
    assert challenge["realm"] == "regiment"
    assert challenge["algorithm"] == "MD5"
    assert challenge["qop"] == "auth"
    assert "stale" not in challenge
    assert len(client.engine) == 0


def test_403_where_the_user_is_not_that_of_the_aor() -> None:
    client = guarded("bob")
    challenge = client.challenge()
    datagram = client.signed(challenge, "hunter2", to="<sip:alice@example.com>")
    assert client.ask(datagram).status == 403
    assert client.engine.bindings("sip:alice@example.com", client.now_ns) == []


def test_another_user_may_register_an_aor_where_that_is_allowed() -> None:
    client = guarded("bob", match_user=False)
    challenge = client.challenge()
    datagram = client.signed(challenge, "hunter2", to="<sip:alice@example.com>")
    assert client.ask(datagram).status == 200


def test_an_escaped_user_is_the_user_that_it_means() -> None:
    users = Users()
    users.add_password("al ice", "secret")
    client = Client(Engine(Settings(users=users), seed=5), "al ice", "example.com")
    challenge = client.ask(client.request(to="<sip:al%20ice@example.com>")).challenges()[0]
    datagram = client.signed(challenge, to="<sip:al%20ice@example.com>")
    assert client.ask(datagram).status == 200


# ---- settings


@pytest.mark.parametrize(
    "about",
    [
        {"realm": 'a"b'},
        {"realm": ""},
        {"algorithms": ("MD4",), "users": Users()},
        {"algorithms": (), "users": Users()},
        {"algorithms": ("MD5", "MD5")},
        {"min_expires_s": 100, "max_expires_s": 99},
        {"max_expires_s": 10**9},
        {"default_expires_s": 0},
        {"max_contacts": 0},
        {"max_contacts": 33},
        {"domains": ("Example.com",)},
        {"domains": ("exa mple",)},
        {"service_route": ("<sip:a>\r\nX: y",)},
        {"nonce_lifetime_s": 0.0},
    ],
)
def test_impossible_settings_are_refused_in_one_line(about: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refusal:
        Engine(Settings(**about))
    assert "\n" not in str(refusal.value)


def test_unfit_memory_for_the_counts_is_refused() -> None:
    with pytest.raises(LocalError):
        Engine(Settings(), cells=bytearray(8))
    with pytest.raises(LocalError):
        Engine(Settings(), cells=bytes(100_000))


def test_credentials_for_another_method_are_wrong() -> None:
    client = guarded()
    challenge = client.challenge()
    line = authorization(challenge, "alice", "secret", method="OPTIONS")
    assert client.ask(client.request(extra=line)).status == 401
