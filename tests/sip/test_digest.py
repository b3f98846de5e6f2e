"""Hashes, hex, escapes and the credentials line."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.sip.digest import (
    credentials_line,
    from_hex,
    ha1_of,
    ha2_of,
    hash_of,
    hex_of,
    is_supported,
    response_of,
    unescaped,
)
from regiment.sip.message import parse_auth

NAMES = {"": "md5", "MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
algorithms = st.sampled_from(list(NAMES))
texts = st.binary(max_size=40)


def hex_hash(algorithm: str, data: bytes) -> bytes:
    return hashlib.new(NAMES[algorithm], data).hexdigest().encode()


@given(algorithms, texts, texts, texts, texts, texts, st.integers(0, 2**32 - 1))
def test_response_is_the_formula_of_rfc_7616(
    algorithm: str,
    username: bytes,
    realm: bytes,
    password: bytes,
    nonce: bytes,
    cnonce: bytes,
    nc: int,
) -> None:
    ha1 = ha1_of(algorithm, username, realm, password)
    ha2 = ha2_of(algorithm, b"REGISTER", b"sip:h")
    assert hex_of(ha1) == hex_hash(algorithm, username + b":" + realm + b":" + password)
    assert hex_of(ha2) == hex_hash(algorithm, b"REGISTER:sip:h")
    with_qop = b"%b:%b:%08x:%b:auth:%b" % (hex_of(ha1), nonce, nc, cnonce, hex_of(ha2))
    assert hex_of(response_of(algorithm, ha1, ha2, nonce, cnonce, nc)) == (
        hex_hash(algorithm, with_qop)
    )
    without = b"%b:%b:%b" % (hex_of(ha1), nonce, hex_of(ha2))
    assert hex_of(response_of(algorithm, ha1, ha2, nonce)) == hex_hash(algorithm, without)


@given(st.binary(max_size=64))
def test_hex_goes_there_and_back(raw: bytes) -> None:
    assert hex_of(raw) == raw.hex().encode()
    assert from_hex(raw.hex().encode()) == raw
    assert from_hex(raw.hex().upper().encode()) == raw


@given(st.binary(max_size=12))
def test_what_is_not_hex_is_refused(text: bytes) -> None:
    good = len(text) % 2 == 0 and all(byte in b"0123456789abcdefABCDEF" for byte in text)
    assert (from_hex(text) is not None) == good


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"", b""),
        (b"plain", b"plain"),
        (b'a \\"b\\" \\\\', b'a "b" \\'),
        (b"\\a\\b", b"ab"),
        (b"ends\\", b"ends\\"),
    ],
)
def test_quoted_pairs_mean_their_second_byte(text: bytes, value: bytes) -> None:
    assert unescaped(text) == value


def test_algorithms_are_known_by_name() -> None:
    assert all(is_supported(name) for name in ("", "MD5", "SHA-256", "SHA-512-256"))
    assert not is_supported("MD5-sess")
    for unknown in ("MD5-sess", "unknown", "md5"):
        with pytest.raises(ValueError, match=unknown):
            hash_of(unknown, b"")


def test_ha1_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="raw digests"):
        response_of("SHA-256", bytes(16), bytes(32), b"n")
    with pytest.raises(ValueError, match="raw digest"):
        credentials_line(username=b"u", realm=b"r", nonce=b"n", uri=b"sip:h", response=bytes(32))


# --- the line --------------------------------------------------------------------------------


def test_credentials_stand_in_asterisks_order() -> None:
    line = credentials_line(
        username=b"alice",
        realm=b"example.com",
        nonce=b"n0",
        uri=b"sip:example.com",
        response=bytes(range(32)),
        algorithm="SHA-256",
        opaque=b"op",
        cnonce=b"c0",
        nc=0xABC,
    )
    assert line == (
        b'Authorization: Digest username="alice", realm="example.com", nonce="n0", '
        b'uri="sip:example.com", '
        b'response="000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", '
        b'algorithm=SHA-256, cnonce="c0", opaque="op", qop=auth, nc=00000abc\r\n'
    )


def test_what_the_challenge_had_not_is_not_written() -> None:
    line = credentials_line(
        username=b"a", realm=b"r", nonce=b"n", uri=b"sip:h", response=bytes(16), is_proxy=True
    )
    assert line == (
        b'Proxy-Authorization: Digest username="a", realm="r", nonce="n", uri="sip:h", '
        b'response="00000000000000000000000000000000"\r\n'
    )


@given(
    algorithms,
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20),
    st.text('ab"\\', max_size=12),
    st.booleans(),
    st.booleans(),
    st.text("cd", max_size=9),
)
def test_credentials_are_read_back_and_fit_their_bound(
    algorithm: str, username: str, realm: str, with_qop: bool, is_proxy: bool, opaque: str
) -> None:
    escaped = realm.replace("\\", "\\\\").replace('"', '\\"')
    raw = hash_of(algorithm, b"")
    line = credentials_line(
        username=username.encode(),
        realm=escaped.encode(),
        nonce=b"n",
        uri=b"sip:h",
        response=raw,
        algorithm=algorithm,
        opaque=opaque.encode(),
        cnonce=b"c" if with_qop else None,
        nc=2**32 - 1,
        is_proxy=is_proxy,
    )
    assert line is not None
    assert line.endswith(b"\r\n")
    name, _, value = line.decode().removesuffix("\r\n").partition(": ")
    assert name == ("Proxy-Authorization" if is_proxy else "Authorization")
    scheme, parameters = parse_auth(value)
    expected = {
        "username": username,
        "realm": realm,
        "nonce": "n",
        "uri": "sip:h",
        "response": raw.hex(),
    }
    if algorithm:
        expected["algorithm"] = algorithm
    if opaque:
        expected["opaque"] = opaque
    if with_qop:
        expected |= {"cnonce": "c", "qop": "auth", "nc": "ffffffff"}
    assert (scheme, parameters) == ("digest", expected)


def test_line_is_not_begun_where_room_is_too_little() -> None:
    fields = {
        "username": b'"' * 50,
        "realm": b"r",
        "nonce": b"n",
        "uri": b"sip:h",
        "response": bytes(16),
    }
    whole = credentials_line(**fields)  # type: ignore[arg-type]
    assert whole is not None
    for room in range(0, len(whole), 7):
        assert credentials_line(**fields, room=room) is None  # type: ignore[arg-type]
