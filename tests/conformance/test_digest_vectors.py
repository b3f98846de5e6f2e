"""Published figures of digest authentication, from challenge to response."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from regiment.sip.digest import from_hex, ha1_of, ha2_of, hash_of, hex_of, response_of


class Vector(NamedTuple):
    """One worked example of an RFC."""

    source: str
    algorithm: str
    username: str
    realm: str
    password: str
    method: str
    uri: str
    nonce: str
    cnonce: str | None
    response: str


HTTP_NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
HTTP_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
MUFASA = ("Mufasa", "http-auth@example.org", "Circle of Life", "GET", "/dir/index.html")
# RFC 7616 §3.9.2 names this user by a hash (userhash), but computes with the name itself
JASON = (
    "J\u00e4s\u00f8n Doe",
    "api@example.org",
    "Secret, or not?",
    "GET",
    "/doe.json",
    "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
    "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
)
VECTORS = [
    Vector(
        "RFC 2617 3.5",
        "MD5",
        "Mufasa",
        "testrealm@host.com",
        "Circle Of Life",
        "GET",
        "/dir/index.html",
        "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        "0a4f113b",
        "6629fae49393a05397450978507c4ef1",
    ),
    Vector(
        "RFC 2617 3.5 by RFC 2069",
        "",
        "Mufasa",
        "testrealm@host.com",
        "Circle Of Life",
        "GET",
        "/dir/index.html",
        "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        None,
        "670fd8c2df070c60b045671b8b24ff02",
    ),
    Vector(
        "RFC 7616 3.9.1",
        "MD5",
        *MUFASA,
        HTTP_NONCE,
        HTTP_CNONCE,
        "8ca523f5e9506fed4657c9700eebdbec",
    ),
    Vector(
        "RFC 7616 3.9.1",
        "SHA-256",
        *MUFASA,
        HTTP_NONCE,
        HTTP_CNONCE,
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    ),
    Vector(
        "RFC 7616 3.9.2, erratum 4897",
        "SHA-512-256",
        *JASON,
        "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
    ),
]


@pytest.mark.parametrize("vector", VECTORS, ids=[f"{v.source} {v.algorithm}" for v in VECTORS])
def test_response_is_the_published_one(vector: Vector) -> None:
    ha1 = ha1_of(
        vector.algorithm,
        vector.username.encode(),
        vector.realm.encode(),
        vector.password.encode(),
    )
    ha2 = ha2_of(vector.algorithm, vector.method.encode(), vector.uri.encode())
    cnonce = None if vector.cnonce is None else vector.cnonce.encode()
    raw = response_of(vector.algorithm, ha1, ha2, vector.nonce.encode(), cnonce, 1)
    assert hex_of(raw).decode() == vector.response
    assert from_hex(vector.response.upper().encode()) == raw


@pytest.mark.parametrize(
    ("algorithm", "data", "digest"),
    [
        # RFC 1321 A.5
        ("MD5", b"", "d41d8cd98f00b204e9800998ecf8427e"),
        ("MD5", b"message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        # FIPS 180-4 example values for "abc"
        (
            "SHA-256",
            b"abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            "SHA-512-256",
            b"abc",
            "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23",
        ),
    ],
)
def test_hash_is_the_published_one(algorithm: str, data: bytes, digest: str) -> None:
    assert hex_of(hash_of(algorithm, data)).decode() == digest
