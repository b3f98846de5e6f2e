"""The plain-Python parser: fidelity, what it refuses, and agreement with the scanner."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.sip import message
from regiment.sip.message import Address, MessageError, parse_message
from regiment.sip.scanner import scan_message
from sip.samples import ALL, ODD_200, REGISTER, response
from sip.test_scanner import messages


@pytest.mark.parametrize("name", ALL)
def test_encode_gives_back_the_very_bytes(name: str) -> None:
    assert parse_message(ALL[name]).encode() == ALL[name]


@settings(max_examples=400, deadline=None)
@given(st.one_of(messages, st.binary(max_size=80)))
def test_parser_and_scanner_accept_the_same_messages(data: bytes) -> None:
    verdict = scan_message(data).error
    try:
        parsed = parse_message(data)
    except MessageError:
        # a message without Via, CSeq and so on can be wrong in its Content-Length as well
        assert verdict != "ok"
        return
    assert verdict in ("ok", "via", "cseq", "mandatory")
    assert parsed.encode() == data


@settings(max_examples=400, deadline=None)
@given(messages)
def test_parser_and_scanner_find_the_same_headers(data: bytes) -> None:
    try:
        parsed = parse_message(data)
    except MessageError:
        return
    found = scan_message(data)
    assert (found.status, found.is_request) == (parsed.status, bool(parsed.method))
    for name, lines in found.lines.items():
        if name:
            start, length = found.first[name]
            value = data[start : start + length].decode("utf-8", "surrogateescape")
            assert len(parsed.all(name)) == lines
            assert (parsed.first(name) or "").split() == value.split()


def test_parts_of_a_response_are_at_hand() -> None:
    parsed = parse_message(ODD_200)
    assert (parsed.status, parsed.reason, parsed.method) == (200, "All is\twell", "")
    assert parsed.cseq == (4711, "REGISTER")
    assert parsed.branch == "z9hG4bKx"
    assert parsed.body == b"body"
    assert parsed.rest.endswith(b"rest")
    contacts = parsed.addresses("contact")
    assert [contact.uri for contact in contacts] == [
        "sip:one@192.0.2.1",
        "sip:two@192.0.2.2",
        "sip:three@h",
        "sip:four@192.0.2.4",
    ]
    assert contacts[0] == Address("A, B", "sip:one@192.0.2.1", {"expires": "30"})
    assert contacts[3].parameters == {"expires": "90"}
    sender = parsed.addresses("from")[0]
    assert sender.display_name == 'Smith, "J" <x>;tag=no'
    assert sender.uri == "sip:a;b=c@example.com"
    assert sender.parameters == {"x": "y;tag=no", "tag": "right"}


def test_parts_of_a_request_are_at_hand() -> None:
    parsed = parse_message(REGISTER)
    assert (parsed.method, parsed.request_uri) == ("REGISTER", "sip:registrar.example.com")
    assert [contact.uri for contact in parsed.addresses("contact")] == ["*"]


def test_folded_value_is_unfolded_but_printed_as_it_was() -> None:
    data = response(b"Subject: I know\r\n\tyou're there,\r\n   pick up")
    parsed = parse_message(data)
    assert parsed.first("subject") == "I know you're there, pick up"
    assert parsed.listed("subject") == ["I know you're there, pick up"]
    assert parsed.encode() == data


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "empty"),
        (b"\r\n\r\n", "empty"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "neither"),
        (b"SIP/2.0 200 OK\r\nVia: x", "no empty line"),
        (b"SIP/2.0 200 OK\r\nVia: x\r\n", "no empty line"),
        (b"SIP/2.0 200 OK\r\nVia\r\n\r\n", "header line 1"),
        (response(b"a:b", b": x"), "header line 7"),
        (response(b"Content-Length: x"), "not a number"),
        (response(b"Content-Length: 0", b"l: 1", body=b"x"), "twice"),
        (response(b"Content-Length: 2", body=b"x"), "longer"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(MessageError, match=complaint):
        parse_message(data)


def test_built_message_is_what_its_bytes_say() -> None:
    headers = [message.header("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"), message.header("l", "2")]
    built = message.request("OPTIONS", "sip:h", headers, b"ab")
    assert built.encode() == (
        b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nl: 2\r\n\r\nab"
    )
    assert parse_message(built.encode()) == built
    answer = message.response(423, "Interval Too Brief", headers[:1])
    assert parse_message(answer.encode()) == answer
    assert answer.with_headers([]).encode() == b"SIP/2.0 423 Interval Too Brief\r\n\r\n"


@pytest.mark.parametrize(("name", "value"), [("a b", "x"), ("", "x"), ("a", "x\r\nb: y")])
def test_header_that_would_break_the_message_is_refused(name: str, value: str) -> None:
    with pytest.raises(MessageError):
        message.header(name, value)


@pytest.mark.parametrize("value", ["<sip:a@h", '"A <sip:a@h>'])
def test_address_that_never_closes_is_refused(value: str) -> None:
    with pytest.raises(MessageError):
        message.parse_address(value)


def test_cseq_that_is_none_is_refused() -> None:
    with pytest.raises(MessageError):
        _ = parse_message(response().replace(b"1 REGISTER", b"one")).cseq


def test_challenge_is_scheme_and_parameters() -> None:
    scheme, parameters = message.parse_auth('DIGEST realm="a, \\"b\\"" ,nonce=n==, Qop="auth"')
    assert scheme == "digest"
    assert parameters == {"realm": 'a, "b"', "nonce": "n==", "qop": "auth"}
    with pytest.raises(MessageError):
        message.parse_auth('Digest realm="a')


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_splitting_a_list_loses_nothing_but_commas_and_blanks(value: str) -> None:
    kept = "".join("".join(message.split_list(value)).split()).replace(",", "")
    assert kept == "".join(value.split()).replace(",", "")
