"""Challenges and credentials: RFC 3261 section 22, RFC 7616, RFC 8760, nonces without memory."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.keyed import siphash
from regiment.registrar.credentials import credentials
from regiment.registrar.engine import Engine
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from regiment.sip.response import ALGORITHMS as NUMBERS
from registrar.client import HASHES, REALM, Client, S, authorization

ALGORITHMS = ("MD5", "SHA-256", "SHA-512-256")


def guarded(seed: int = 5, password: str = "secret", **about: Any) -> Client:
    users = Users()
    users.add_password("alice", password)
    return Client(Engine(Settings(users=users, **about), seed=seed))


def count_of(client: Client, result: str) -> int:
    return client.engine.counts()[f"credentials_{result}"]


# ---- algorithms


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("qop", [True, False])
def test_each_algorithm_is_verified_with_and_without_qop(algorithm: str, qop: bool) -> None:
    client = guarded(algorithms=(algorithm,), qop=qop)
    challenge = client.challenge()
    assert challenge["algorithm"] == algorithm
    assert ("qop" in challenge) == qop
    assert client.ask(client.signed(challenge, "wrong")).status == 401
    assert client.ask(client.signed(challenge)).status == 200
    assert (count_of(client, "wrong"), count_of(client, "verified")) == (1, 1)


def test_several_challenges_stand_in_the_order_given_and_any_is_taken() -> None:
    client = guarded(algorithms=("SHA-256", "MD5", "SHA-512-256"))
    reply = client.ask(client.request())
    challenges = reply.challenges()
    assert [each["algorithm"] for each in challenges] == ["SHA-256", "MD5", "SHA-512-256"]
    assert len({each["nonce"] for each in challenges}) == 1
    for number, challenge in enumerate(challenges, 1):
        assert client.ask(client.signed(challenge, nc=number)).status == 200


def test_an_algorithm_that_was_not_offered_is_foreign() -> None:
    client = guarded(algorithms=("SHA-256",))
    challenge = {**client.challenge(), "algorithm": "MD5"}
    assert client.ask(client.signed(challenge)).status == 401
    assert count_of(client, "foreign") == 1


def test_no_algorithm_means_md5() -> None:
    client = guarded()
    challenge = client.challenge()
    del challenge["algorithm"]
    assert client.ask(client.signed(challenge)).status == 200


def test_a_client_without_qop_is_served_though_qop_was_offered() -> None:
    client = guarded()
    challenge = client.challenge()
    del challenge["qop"]
    assert client.ask(client.signed(challenge)).status == 200


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_user_may_be_known_by_ha1_alone(algorithm: str) -> None:
    users = Users()
    users.add_digest("alice", algorithm, HASHES[algorithm](f"alice:{REALM}:secret".encode()))
    client = Client(Engine(Settings(users=users, algorithms=ALGORITHMS), seed=5))
    challenges = {each["algorithm"]: each for each in client.ask(client.request()).challenges()}
    assert client.ask(client.signed(challenges.pop(algorithm))).status == 200
    # for the others there is no secret
    for challenge in challenges.values():
        assert client.ask(client.signed(challenge)).status == 401
    assert count_of(client, "unknown_user") == 2


def test_a_changed_algorithm_of_a_known_user_is_verified_anew() -> None:
    client = guarded(algorithms=("MD5", "SHA-256"))
    md5, sha256 = client.ask(client.request()).challenges()
    for nc, challenge in enumerate([md5, sha256, md5], 1):
        assert client.ask(client.signed(challenge, nc=nc)).status == 200
        assert client.ask(client.signed(challenge, "wrong", nc=nc + 10)).status == 401
    assert client.engine.counts()["users"] == 1


def test_utf8_and_odd_characters_in_a_password_work() -> None:
    password = 'p%ä"\\:\u20ac ;,'
    client = guarded(password=password)
    assert client.register(password).status == 200
    assert client.register(password + "x").status == 401


def test_quoted_pairs_of_a_username_are_unescaped() -> None:
    users = Users()
    users.add_password('a"b\\c', "secret")
    client = Client(Engine(Settings(users=users, match_user=False), seed=5))
    challenge = client.challenge()
    line = authorization(challenge, 'a"b\\c', "secret").replace(
        'username="a"b\\c"', 'username="a\\"b\\\\c"'
    )
    assert client.ask(client.request(extra=line)).status == 200


# ---- which credentials


def test_an_unknown_user_is_told_no_more_than_a_wrong_password() -> None:
    client = guarded()
    challenge = client.challenge()
    wrong = client.ask(client.signed(challenge, "wrong"))
    unknown = client.ask(client.signed(challenge, user="mallory"))
    assert wrong.status == unknown.status == 401
    assert [name for name, _ in wrong.headers] == [name for name, _ in unknown.headers]
    assert (count_of(client, "wrong"), count_of(client, "unknown_user")) == (1, 1)


def test_credentials_of_our_realm_are_picked_among_several() -> None:
    client = guarded()
    challenge = client.challenge()
    other = authorization({**challenge, "realm": "elsewhere"}, "alice", "other")
    basic = "Authorization: Basic YWxpY2U6c2VjcmV0\r\n"
    assert client.ask(client.signed(challenge, extra=other + basic)).status == 200
    lines = other + basic + authorization(challenge, "alice", "secret", nc=2)
    assert client.ask(client.request(extra=lines)).status == 200


def test_credentials_of_another_realm_alone_are_none() -> None:
    client = guarded()
    line = authorization({**client.challenge(), "realm": "elsewhere"}, "alice", "secret")
    reply = client.ask(client.request(extra=line))
    assert reply.status == 401
    assert "stale" not in reply.challenges()[0]
    assert count_of(client, "foreign") == 1


@pytest.mark.parametrize("opaque", ["", "0000000000000000", "short"])
def test_opaque_must_come_back_as_it_was_sent(opaque: str) -> None:
    client = guarded()
    challenge = {**client.challenge(), "opaque": opaque}
    assert client.ask(client.signed(challenge)).status == 401
    assert count_of(client, "foreign") == 1


def test_without_opaque_none_is_sent_or_wanted() -> None:
    client = guarded(opaque=False)
    challenge = client.challenge()
    assert "opaque" not in challenge
    assert client.ask(client.signed(challenge)).status == 200


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"nc=0*1", "nc=1"),
        (r"nc=0*1", "nc=00000000"),
        (r"nc=\w+, ", ""),
        (r"nc=\w+", "nc=0000000g"),
        (r'cnonce="\w+"', 'cnonce=""'),
        (r"qop=auth", "qop=auth-int"),
        (r'uri="[^"]+"', 'uri=""'),
        (r'username="\w+"', 'username=""'),
        (r'username="\w+"', 'username="' + "x" * 300 + '"'),
        (r'nonce="(\w+)"', r'nonce="\1"; username="bob"'),
        (r'username="(\w+)"', r'username="\1", username="bob"'),
        (r'realm="(\w+)"', r'realm="\1'),
    ],
)
def test_unreadable_credentials_get_400(pattern: str, replacement: str) -> None:
    client = guarded()
    line = authorization(client.challenge(), "alice", "secret")
    changed = re.sub(pattern, replacement, line, count=1)
    assert changed != line
    reply = client.ask(client.request(extra=changed))
    assert reply.status in (400, 401)
    assert count_of(client, "verified") == 0
    if reply.status == 400:
        assert count_of(client, "unreadable") == 1


@pytest.mark.parametrize("response", ["", "00", "g" * 32, "0" * 64])
def test_a_response_that_is_no_digest_is_wrong(response: str) -> None:
    client = guarded()
    line = authorization(client.challenge(), "alice", "secret")
    line = re.sub(r'response="\w+"', f'response="{response}"', line)
    assert client.ask(client.request(extra=line)).status == 401
    assert count_of(client, "wrong") == 1


# ---- nonces


def test_a_nonce_is_stale_after_its_lifetime_and_only_with_the_right_digest() -> None:
    client = guarded(nonce_lifetime_s=60.0)
    challenge = client.challenge()
    client.now_ns += 60 * S - 1_000_000
    assert client.ask(client.signed(challenge)).status == 200
    client.now_ns += 1_000_000
    reply = client.ask(client.signed(challenge, nc=2))
    assert (reply.status, reply.challenges()[0]["stale"]) == (401, "true")
    wrong = client.ask(client.signed(challenge, "wrong", nc=3))
    assert "stale" not in wrong.challenges()[0]
    assert count_of(client, "stale") == 1
    assert client.ask(client.signed(reply.challenges()[0])).status == 200


def test_every_challenge_has_a_nonce_of_its_own() -> None:
    client = guarded()
    nonces = [client.challenge()["nonce"] for _ in range(200)]
    assert len(set(nonces)) == 200


@pytest.mark.parametrize(
    "forge",
    [
        lambda nonce: nonce[:-1] + ("0" if nonce[-1] != "0" else "1"),
        lambda nonce: ("1" if nonce[0] != "1" else "2") + nonce[1:],
        lambda nonce: nonce.upper().replace("0", "O"),
        lambda nonce: nonce[:-1],
        lambda nonce: nonce + "0",
        lambda _: "x",
    ],
)
def test_a_nonce_that_is_not_ours_is_stale(forge: Any) -> None:
    client = guarded()
    challenge = client.challenge()
    forged = {**challenge, "nonce": forge(challenge["nonce"])}
    reply = client.ask(client.signed(forged))
    assert (reply.status, reply.challenges()[0].get("stale")) == (401, "true")


def test_processes_with_one_seed_take_each_others_nonces_and_others_do_not() -> None:
    first, second, stranger = guarded(seed=7), guarded(seed=7), guarded(seed=8)
    challenge = first.challenge()
    assert second.ask(second.signed(challenge)).status == 200
    assert stranger.ask(stranger.signed(challenge)).status == 401


def test_a_nonce_from_far_in_the_future_is_stale() -> None:
    ahead, behind = guarded(seed=7), guarded(seed=7)
    ahead.now_ns += 6 * S
    reply = behind.ask(behind.signed(ahead.challenge()))
    assert reply.challenges()[0]["stale"] == "true"


# ---- nc


def test_nc_must_rise_for_a_nonce() -> None:
    client = guarded()
    challenge = client.challenge()
    for nc, status in [(1, 200), (1, 401), (5, 200), (4, 401), (5, 401), (6, 200)]:
        reply = client.ask(client.signed(challenge, nc=nc))
        assert reply.status == status, nc
        if status == 401:
            assert reply.challenges()[0]["stale"] == "true"
    assert count_of(client, "replayed") == 3


def test_a_first_nc_need_not_be_1() -> None:
    client = guarded()
    assert client.ask(client.signed(client.challenge(), nc=77)).status == 200


def test_nc_is_kept_for_each_contacts_own_nonce() -> None:
    client = guarded()
    desk, mobile = client.challenge(), client.challenge()
    here, there = "<sip:alice@192.0.2.1>", "<sip:alice@192.0.2.2>"
    assert client.ask(client.signed(desk, nc=1, contact=here)).status == 200
    assert client.ask(client.signed(mobile, nc=1, contact=there)).status == 200
    assert client.ask(client.signed(desk, nc=1, contact=here)).status == 401
    assert client.ask(client.signed(desk, nc=2, contact=here)).status == 200
    assert client.ask(client.signed(mobile, nc=1, contact=there)).status == 401


def test_a_replay_does_not_bring_a_removed_binding_back() -> None:
    client = guarded()
    challenge = client.challenge()
    old = client.signed(challenge, nc=1)
    assert client.ask(old).status == 200
    assert client.ask(client.signed(challenge, nc=2, expires=0)).status == 200
    assert client.ask(old).status == 401
    client.wait(299)
    assert client.ask(old).status == 401
    assert len(client.engine) == 0


# ---- the reader of Authorization


def test_reader_takes_blanks_folding_case_and_commas_within_quotes() -> None:
    value = (
        b'digest  USERNAME = "al,\\"ice" ,, realm="r",\r\n nonce=abc,Uri="sip:h;a=1,2" ,'
        b' response="00", qop="AUTH", nc = 0000000A , opaque="", x="y", algorithm=sha-256'
    )
    assert credentials(value) == {
        "username": b'al,\\"ice',
        "realm": b"r",
        "nonce": b"abc",
        "uri": b"sip:h;a=1,2",
        "response": b"00",
        "cnonce": b"",
        "opaque": b"",
        "algorithm": NUMBERS.index("SHA-256"),
        "qop": b"auth",
        "nc": 10,
    }


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (b"Basic QWxhZGRpbg==", 1),
        (b"", 1),
        (b"Digestive username=x", 1),
        (b'Digest username="x', -1),
        (b'Digest username="x\\"', -1),
        (b"Digest username", -1),
        (b"Digest =x", -1),
        (b'Digest "x"="y"', -1),
        (b"Digest nc=00000001, NC=00000002", -1),
    ],
)
def test_reader_tells_other_schemes_from_unreadable_ones(value: bytes, result: int) -> None:
    assert credentials(value) == result


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"username", b"nc", b"realm", b"=", b",", b'"', b"\\", b" ", b"\r\n ", b"0a", b"\x00"]
        ),
        max_size=30,
    ).map(b"".join)
)
def test_reader_never_leaves_its_bytes(text: bytes) -> None:
    found = credentials(b"Digest " + text)
    if isinstance(found, dict):
        assert all(value in text for value in found.values() if isinstance(value, bytes))
    else:
        assert found == -1 or text[:1] not in (b"", b" ", b",", b"=", b'"')


# ---- the keyed hash


def test_siphash_is_that_of_its_authors() -> None:
    # from the vectors of the reference implementation: key 00 … 0f, input 00 01 02 …
    key = bytes(range(16))
    assert siphash(key, b"")[0] == 0x726FDB47DD0E0E31
    assert siphash(key, bytes(range(15)))[0] == 0xA129CA6149BE45E5
    assert siphash(key, bytes(range(8)))[0] == 0x93F5F5799A932462
    high, low = siphash(key, b"")[1]
    assert high.to_bytes(8, "little") + low.to_bytes(8, "little") == bytes.fromhex(
        "a3817f04ba25a8e66df67214c7550293"
    )
    with pytest.raises(ValueError, match="16 bytes"):
        siphash(b"short", b"")
