"""URIs in plain Python and their compiled twin."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.sip.comparison import are_uris_equal, uri_parts_of
from regiment.sip.uri import (
    COMPARED_PARAMETERS,
    Uri,
    UriError,
    are_equal,
    identity_uri,
    parse_uri,
    unescape,
    without_brackets,
)

pieces = st.lists(
    st.sampled_from(
        [
            "sip:",
            "SIPS:",
            "a",
            "B",
            "@",
            ":",
            ";",
            "?",
            "=",
            "&",
            "5060",
            "0",
            "h",
            "H.example",
            "[2001:db8::1]",
            "[",
            "]",
            "%61",
            "%4",
            "%",
            "lr",
            "transport",
            "user",
            "x",
            "é",
            ",",
            "-",
        ]
    ),
    max_size=10,
).map("".join)
uris = st.builds(
    lambda scheme, rest, host, tail: scheme + rest + host + tail,
    st.sampled_from(["sip:", "sip:", "SIP:", "sips:", "tel:"]),
    st.sampled_from(["", "a@", "A@", "%61@", "a:b@", "a:@", "a;x@", "@", "é@", "%C3%A9@"]),
    st.sampled_from(["h", "H", "h:5060", "h:05060", "[::1]", "[::1]:1", "h:0", "h:70000", ""]),
    st.lists(
        st.sampled_from(
            [
                ";lr",
                ";LR=",
                ";x=1",
                ";X=%31",
                ";x=2",
                ";transport=tcp",
                ";Transport=TCP",
                ";user=a",
                "?a=b",
                "?A=b&c=d",
                "&c=d",
                ";",
                ",",
                ";maddr=1",
                ";%6cr",
            ]
        ),
        max_size=4,
    ).map("".join),
)


@settings(max_examples=800, deadline=None)
@given(uris, uris)
def test_comparisons_in_c_and_in_python_agree(first: str, second: str) -> None:
    expected = are_equal(first, second)
    assert are_uris_equal(first.encode(), second.encode()) == expected
    assert are_uris_equal(second.encode(), first.encode()) == expected


@settings(max_examples=800, deadline=None)
@given(st.one_of(uris, pieces, st.text(max_size=20).map("sip:".__add__)))
def test_parts_in_c_and_in_python_agree(text: str) -> None:
    found = uri_parts_of(text.encode())
    if text != text.strip() or text.startswith("<"):
        return  # the plain parser takes blanks and brackets off
    try:
        uri = parse_uri(text)
    except UriError:
        assert found is None
        return
    assert found is not None
    user, host, port, parameters = found
    assert (user.decode(), host.decode(), port) == (uri.user or "", uri.host, uri.port)
    assert parameters.count(b";") >= len(uri.parameters)


@settings(max_examples=300, deadline=None)
@given(uris)
def test_printed_uri_parses_to_the_same_parts(text: str) -> None:
    try:
        uri = parse_uri(text)
    except UriError:
        return
    assert parse_uri(str(uri)) == uri


def test_uri_has_its_parts() -> None:
    uri = parse_uri("<sips:al%20ice:secret@[2001:db8::1]:5061;Transport=TLS;lr?Subject=x&p=>")
    assert uri == Uri(
        "sips",
        "al%20ice",
        "secret",
        "2001:db8::1",
        5061,
        (("transport", "TLS"), ("lr", "")),
        (("Subject", "x"), ("p", "")),
    )
    assert uri.parameter("lr") == ""
    assert uri.parameter("ob") is None
    assert unescape("al%20ice%4") == "al ice%4"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip",
        "sip:",
        "tel:+49",
        "sip:@h",
        "sip:a@",
        "sip:a b@h",
        "sip:a@h:",
        "sip:a@h:65536",
        "sip:a@h:0",
        "sip:a@[::1",
        "sip:a@h/x",
        "sip:a@b@c",
        'sip:"a"@h',
        "sip:a@h\n",
        "sip::p@h",
    ],
)
def test_what_is_no_sip_uri_is_refused_without_repeating_it(text: str) -> None:
    bad = text + "x" if text.endswith("\n") else text
    with pytest.raises(UriError) as caught:
        parse_uri(bad)
    assert uri_parts_of(bad.encode()) is None
    assert len(bad) < 5 or bad not in str(caught.value)


def test_hosts_of_ipv6_lose_their_brackets_and_users_their_password() -> None:
    assert uri_parts_of(b"sip:a:p@[2001:db8::1]:5070;lr;x=1?h=v") == (
        b"a",
        b"2001:db8::1",
        5070,
        b";lr;x=1",
    )
    assert uri_parts_of(b"SIPS:h") == (b"", b"h", 0, b"")


def test_too_many_parameters_are_equal_only_byte_for_byte() -> None:
    def uri(count: int, last: str) -> str:
        return "sip:a@h" + "".join(f";p{number}" for number in range(count - 1)) + last

    most, more = COMPARED_PARAMETERS, COMPARED_PARAMETERS + 1
    for count, expected in ((most, True), (more, False)):
        first, second = uri(count, ";x=a"), uri(count, ";x=A")
        assert are_uris_equal(first.encode(), second.encode()) == expected
        assert are_equal(first, second) == expected
        assert are_uris_equal(first.encode(), first.encode())


@pytest.mark.parametrize(
    ("client_uri", "identity"),
    [
        ("sip:alice@example.com", "sip:alice@example.com"),
        ("sip:alice@example.com:5080", "sip:alice@example.com"),
        ("sip:alice@[2001:db8::1]:5080", "sip:alice@[2001:db8::1]"),
        ("sip:alice@[2001:db8::1]", "sip:alice@[2001:db8::1]"),
        ("sip:a@h;transport=tcp;user=phone;ttl=1;maddr=m;lr;x=Y", "sip:a@h;user=phone;x=Y"),
        ("<sips:a@h:5061>", "sips:a@h"),
        ("sip:a@h?Subject=x", "sip:a@h"),
        ("sip:a:b@h", "sip:a:b@h"),
        ("sip:é@h", "sip:é@h"),
    ],
)
def test_from_and_to_drop_port_transport_ttl_maddr_and_lr(client_uri: str, identity: str) -> None:
    assert identity_uri(client_uri) == identity


def test_brackets_are_taken_off() -> None:
    assert without_brackets(" <sip:a@h;lr> ") == "sip:a@h;lr"
    assert without_brackets("sip:a@h") == "sip:a@h"
