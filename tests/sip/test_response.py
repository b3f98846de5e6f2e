"""Contacts, challenges, Authentication-Info and named parameters of responses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import sip as reference
from regiment.sip.message import parse_auth
from regiment.sip.response import (
    ALGORITHMS,
    Contact,
    authentication_info_of,
    challenge_of,
    contacts_of,
    parameter_of,
)
from sip.samples import ODD_200, response

contact_lines = st.lists(
    st.lists(
        st.sampled_from(
            [
                b"<sip:a@h>",
                b"sip:b@h",
                b'"C, D" <sip:c@h>',
                b"*",
                b";expires=",
                b";q=1",
                b"60",
                b",",
                b" ",
                b"\r\n ",
                b'"',
                b"<",
                b">",
                b";",
                b"EXPIRES",
                b"=",
                b"99999999999",
            ]
        ),
        max_size=9,
    ).map(b"".join),
    max_size=4,
)


@settings(max_examples=600, deadline=None)
@given(contact_lines)
def test_contacts_are_those_of_the_reference(lines: list[bytes]) -> None:
    data = response(*(b"Contact: " + line for line in lines))
    assert contacts_of(data) == reference.contacts(data)


def test_contacts_run_over_lines_lists_and_folding() -> None:
    assert contacts_of(ODD_200) == (
        [
            Contact(b"sip:one@192.0.2.1", 30, False),
            Contact(b"sip:two@192.0.2.2", 60, False),
            Contact(b"sip:three@h", -1, False),
            Contact(b"sip:four@192.0.2.4", 90, False),
        ],
        True,
    )


@pytest.mark.parametrize(
    ("line", "contacts", "readable"),
    [
        (b"", [], True),
        (b",,", [], True),
        (b"*", [Contact(b"*", -1, True)], True),
        (b"<sip:a@h;expires=5>", [Contact(b"sip:a@h;expires=5", -1, False)], True),
        (b"sip:a@h;expires=5", [Contact(b"sip:a@h", 5, False)], True),
        (b'"x\\",<" <sip:a@h>;expires=0', [Contact(b"sip:a@h", 0, False)], True),
        (b"<sip:a@h>;expires=-5", [Contact(b"sip:a@h", -1, False)], True),
        (b"<sip:a@h>;expires=5000000000", [Contact(b"sip:a@h", 2**32 - 1, False)], True),
        (b"<sip:a@h>;expires=7;expires=9", [Contact(b"sip:a@h", 7, False)], True),
        (b"<sip:a@h>,<sip:b", [Contact(b"sip:a@h", -1, False)], False),
        (b'<sip:a@h>,"B <sip:b@h>', [Contact(b"sip:a@h", -1, False)], False),
        (b"<>", [], False),
        (b";expires=5", [], False),
    ],
)
def test_contact_values_by_the_grammar(
    line: bytes, contacts: list[Contact], readable: bool
) -> None:
    assert contacts_of(response(b"Contact: " + line)) == (contacts, readable)


def test_thousands_of_contacts_are_all_found() -> None:
    uris = [b"sip:user%d@192.0.2.1" % number for number in range(6000)]
    lines = [
        b"m: " + b", ".join(b"<%s>;expires=%d" % (uri, 60) for uri in uris[at : at + 3])
        for at in range(0, 6000, 3)
    ]
    found, readable = contacts_of(response(*lines))
    assert readable
    assert [contact.uri for contact in found] == uris


# --- challenges ------------------------------------------------------------------------------


def test_challenge_of_rfc_3261_section_22_4() -> None:
    found = challenge_of(
        b'Digest realm="biloxi.com",\r\n qop="auth,auth-int",\r\n'
        b' nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",\r\n'
        b' opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    assert found is not None
    assert found.is_digest
    assert found.realm == b"biloxi.com"
    assert found.nonce == b"dcd98b7102dd2f0e8b11d0f600bfb0c093"
    assert found.opaque == b"5ccc069c403ebaf9f0171e9517f40e41"
    assert (found.algorithm, found.has_qop, found.qop_auth, found.stale) == ("", True, True, False)


@pytest.mark.parametrize(
    ("text", "algorithm"),
    [
        (b"MD5", "MD5"),
        (b"md5", "MD5"),
        (b'"MD5"', "MD5"),
        (b"sha-256", "SHA-256"),
        (b"SHA-512-256", "SHA-512-256"),
        (b"MD5-sess", "unknown"),
        (b"AKAv1-MD5", "unknown"),
        (b"SHA-256-sess", "unknown"),
        (b"", "unknown"),
    ],
)
def test_algorithm_is_one_of_three_or_unknown(text: bytes, algorithm: str) -> None:
    found = challenge_of(b'Digest realm="r", nonce="n", algorithm=' + text)
    assert found is not None
    assert found.algorithm == algorithm
    assert algorithm in ALGORITHMS


@pytest.mark.parametrize(
    ("text", "has_qop", "qop_auth"),
    [
        (b'qop="auth"', True, True),
        (b"qop=auth", True, True),
        (b'QOP=" Auth-int , AUTH "', True, True),
        (b'qop="auth-int"', True, False),
        (b'qop="auth-conf,autha"', True, False),
        (b'qop=""', False, False),
        (b"qop", False, False),
    ],
)
def test_qop_offers_auth_or_not(text: bytes, has_qop: bool, qop_auth: bool) -> None:
    found = challenge_of(b'Digest realm="r", ' + text + b', nonce="n"')
    assert found is not None
    assert (found.has_qop, found.qop_auth) == (has_qop, qop_auth)


@pytest.mark.parametrize(
    ("text", "stale"), [(b"true", True), (b"TRUE", True), (b'"true"', True), (b"false", False)]
)
def test_stale_is_true_in_any_spelling(text: bytes, stale: bool) -> None:
    found = challenge_of(b'digest nonce="n",stale=' + text + b',realm="r"')
    assert found is not None
    assert found.stale == stale


def test_escapes_stay_in_the_values() -> None:
    found = challenge_of(b'Digest realm="a \\"b\\" \\\\", nonce="n\\,", opaque="", domain="/x"')
    assert found is not None
    assert (found.realm, found.nonce, found.opaque, found.domain) == (
        b'a \\"b\\" \\\\',
        b"n\\,",
        b"",
        b"/x",
    )


def test_empty_realm_is_a_realm() -> None:
    found = challenge_of(b'Digest realm="", nonce="n"')
    assert found is not None
    assert found.realm == b""


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"Digest",
        b'Digest realm="r"',
        b'Digest nonce="n"',
        b'Digest realm="r", nonce=""',
        b'Digest realm="r", nonce="n',
        b'Digest realm="r\\", nonce="n"',
        b'Digest ="r", nonce="n"',
    ],
)
def test_digest_without_realm_or_nonce_is_unreadable(value: bytes) -> None:
    assert challenge_of(value) is None


@pytest.mark.parametrize("value", [b'Basic realm="r"', b"NTLM", b'Bearer authz_server="x"'])
def test_other_schemes_are_told_apart(value: bytes) -> None:
    found = challenge_of(value)
    assert found is not None
    assert not found.is_digest


def test_second_challenge_in_one_value_does_not_mix_into_the_first() -> None:
    found = challenge_of(b'Digest realm="a", nonce="1", Digest realm="b", nonce="2", stale=true')
    assert found is not None
    assert (found.realm, found.nonce, found.stale) == (b"a", b"1", False)


auth_values = st.lists(
    st.tuples(
        st.sampled_from(["realm", "NONCE", "opaque", "qop", "stale", "algorithm", "x"]),
        st.text('ab,;= \\"', max_size=6),
        st.booleans(),
    ),
    max_size=7,
)


@settings(max_examples=300, deadline=None)
@given(auth_values)
def test_challenge_is_what_the_plain_parser_reads(pairs: list[tuple[str, str, bool]]) -> None:
    quoted = [
        (name, '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"')
        for name, value, _ in pairs
    ]
    text = "Digest " + ", ".join(f"{name}={value}" for name, value in quoted)
    _, expected = parse_auth(text)
    found = challenge_of(text.encode())
    values: dict[str, str] = {}
    for name, value in quoted:
        if len(value) > 2:
            values.setdefault(name.lower(), value[1:-1])
    if "realm" not in expected or "nonce" not in values:
        assert found is None
    else:
        assert found is not None
        for name in ("realm", "nonce", "opaque"):
            assert getattr(found, name).decode() == values.get(name, "")


def test_authentication_info_yields_the_next_nonce() -> None:
    found = authentication_info_of(
        b'nextnonce="47364c23432d2e131a5fb210812c", qop=auth, rspauth="0a1b", cnonce="c", nc=1'
    )
    assert found == (b"47364c23432d2e131a5fb210812c", b"0a1b", True)
    assert authentication_info_of(b"qop=auth") == (b"", b"", True)
    assert authentication_info_of(b"") == (b"", b"", False)
    assert authentication_info_of(b'nextnonce="x') is None


# --- parameters ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "name", "found"),
    [
        (b"<sip:a@h;lr>;x=1", b"lr", None),
        (b"<sip:a@h;lr>;X=1", b"x", b"1"),
        (b"sip:a@h;line=abcdefg;transport=TCP", b"line", b"abcdefg"),
        (b"sip:a;line=no@h;line=yes", b"line", b"yes"),
        (b";line=abcdefg", b"line", b"abcdefg"),
        (b"sips:h;lr", b"lr", b""),
        (b'"A;x=no" <sip:h>;x="y;z"', b"x", b"y;z"),
        (b"text;x=1", b"x", b"1"),
        (b"text;xx=1", b"x", None),
        (b"", b"x", None),
        (b'"open;x=1', b"x", None),
    ],
)
def test_parameter_is_found_outside_of_quotes_and_brackets(
    value: bytes, name: bytes, found: bytes | None
) -> None:
    assert parameter_of(value, name) == found
