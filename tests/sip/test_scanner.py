"""The scanner against its slow reference, and its rules one by one."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reference import sip as reference
from regiment.sip.names import COMPACT
from regiment.sip.scanner import (
    ERRORS,
    HEADERS,
    METHODS,
    Scan,
    header_values,
    scan_message,
)
from sip.samples import ALL, ODD_200, OK_200, REGISTER, response


def text(data: bytes, span: tuple[int, int]) -> bytes:
    return data[span[0] : span[0] + span[1]]


def agree(data: bytes) -> Scan:
    """Both readers say the same; returns what they say."""
    found, expected = scan_message(data), reference.scan(data)
    assert found.error == expected.error
    if found.error not in ("start_line", "empty"):
        assert found == expected
        for name in found.lines:
            assert header_values(data, name) == reference.header_values(data, name)
    return found


# --- against the reference -------------------------------------------------------------------

OTHER_BYTES = b'\0\t\n\r "%,/09:;<=>@A\\z\x7f\x80\xff'
PIECES = [
    b"",
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"=",
    b'"',
    b"\\",
    b"<",
    b">",
    b"*",
    b"\0",
    b"Via",
    b"v",
    b"From",
    b"To",
    b"Call-ID",
    b"CSeq",
    b"Contact",
    b"m",
    b"Expires",
    b"Min-Expires",
    b"Retry-After",
    b"Content-Length",
    b"l",
    b"X-Other",
    b"SIP/2.0",
    b"SIP/2.0/UDP",
    b"200 OK",
    b"REGISTER",
    b"sip:a@h",
    b"tag",
    b"branch",
    b"expires",
    b"0",
    b"17",
    b"4294967296",
    b"\r\n ",
    b"\xff",
]
fields = st.one_of(
    st.sampled_from([line for message in ALL.values() for line in message.split(b"\r\n")]),
    st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join),
    st.builds(
        lambda name, rest: name + b":" + b"".join(rest),
        st.sampled_from([name.encode() for name in (*HEADERS[1:], *COMPACT)]),
        st.lists(st.sampled_from(PIECES), max_size=14),
    ),
)
messages = st.builds(
    lambda start, lines, end: b"\r\n".join((start, *lines)) + end,
    st.sampled_from([b"SIP/2.0 200 OK", b"REGISTER sip:h SIP/2.0", b"\r\nSIP/2.0 423 Too\tBrief"]),
    st.lists(fields, max_size=12),
    st.sampled_from([b"\r\n\r\n", b"\r\n\r\nbody", b"\n\n", b"\r\n", b""]),
)


@settings(max_examples=600, deadline=None)
@given(messages)
@example(b"SIP/2.0 200 OK\r\nA: b\r\n c")
@example(b'SIP/2.0 200 OK\r\nFrom: <a>;"\\\r\n\r\n')
def test_generated_messages_are_read_as_the_reference_reads_them(data: bytes) -> None:
    agree(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
@example(b"\r\n\0")
@example(b"\0SIP/2.0 200 OK\r\n\r\n")
def test_noise_is_read_as_the_reference_reads_it(data: bytes) -> None:
    agree(data)


@pytest.mark.parametrize("name", ALL)
def test_every_truncation_is_read_as_the_reference_reads_it(name: str) -> None:
    for length in range(len(ALL[name]) + 1):
        agree(ALL[name][:length])


@pytest.mark.parametrize("name", ALL)
def test_every_changed_byte_is_read_as_the_reference_reads_it(name: str) -> None:
    message = ALL[name]
    for at in range(len(message)):
        for other in (OTHER_BYTES[at % len(OTHER_BYTES)], message[at] ^ 0x20, message[at] ^ 1):
            agree(message[:at] + bytes((other,)) + message[at + 1 :])


@pytest.mark.parametrize("name", ALL)
def test_every_lost_or_doubled_byte_is_read_as_the_reference_reads_it(name: str) -> None:
    message = ALL[name]
    for at in range(len(message)):
        agree(message[:at] + message[at + 1 :])
        agree(message[: at + 1] + message[at:])


# --- the rules -------------------------------------------------------------------------------


def test_typical_200_yields_all_that_a_registration_needs() -> None:
    found = agree(OK_200)
    assert (found.error, found.is_request, found.status) == ("ok", False, 200)
    assert text(OK_200, found.reason) == b"OK"
    assert text(OK_200, found.via_sent_by) == b"192.0.2.10:5060"
    assert text(OK_200, found.via_branch) == b"z9hG4bK0000000100000002aabbccddeeff0011"
    assert text(OK_200, found.from_tag) == b"0123456789abcdef"
    assert text(OK_200, found.to_tag) == b"b27e1a1d33761e85846fc98f5f3a7e58.1a2b"
    assert (found.cseq, found.cseq_method) == (4711, "REGISTER")
    assert (found.expires, found.content_length) == (-1, 0)
    assert found.headers_end == len(OK_200)


def test_odd_but_legal_forms_are_read() -> None:
    found = agree(ODD_200)
    assert (found.error, found.status) == ("ok", 200)
    assert text(ODD_200, found.reason) == b"All is\twell"
    assert text(ODD_200, found.via_sent_by) == b"[2001:db8::9]:5080"
    assert text(ODD_200, found.via_branch) == b"z9hG4bKx"
    assert text(ODD_200, found.from_tag) == b"right"
    assert text(ODD_200, found.to_tag) == b"left"
    assert found.cseq == 4711
    assert (found.retry_after, found.min_expires, found.expires) == (18000, 2**32 - 1, -1)
    assert found.lines["contact"] == 2
    assert ODD_200[found.headers_end :] == b"bodyrest"


def test_request_line_yields_method_and_uri() -> None:
    found = agree(REGISTER)
    assert (found.is_request, found.method) == (True, "REGISTER")
    assert text(REGISTER, found.request_uri) == b"sip:registrar.example.com"
    assert found.expires == 0


@pytest.mark.parametrize("name", HEADERS[1:])
def test_every_known_header_is_known_in_any_case(name: str) -> None:
    for spelling in (name, name.upper(), name.title()):
        data = b"SIP/2.0 200 OK\r\n" + spelling.encode() + b" :  x y \r\n\r\n"
        assert text(data, agree(data).first[name]) == b"x y"


@pytest.mark.parametrize(("short", "name"), COMPACT.items())
def test_compact_form_is_its_header(short: str, name: str) -> None:
    data = b"SIP/2.0 200 OK\r\n" + short.encode() + b":x\r\n\r\n"
    assert text(data, agree(data).first[name]) == b"x"


@pytest.mark.parametrize("method", METHODS[1:])
def test_methods_are_known_in_upper_case_only(method: str) -> None:
    request = method.encode() + b" sip:h SIP/2.0\r\n\r\n"
    assert agree(request).method == method
    lower = agree(request.lower())
    assert (lower.method, lower.is_request) == ("", True)


def test_first_of_repeated_headers_counts_and_next_header_yields_all() -> None:
    data = response(b"Service-Route: <sip:1>", b"Path: <sip:p>", b"SERVICE-ROUTE : <sip:2>")
    found = agree(data)
    assert found.lines["service-route"] == 2
    assert text(data, found.first["service-route"]) == b"<sip:1>"
    assert header_values(data, "service-route") == [b"<sip:1>", b"<sip:2>"]
    assert header_values(data, "warning") == []


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\0", b"\r\n\0\0\n", b"\0\0\0\0"])
def test_keep_alives_are_empty(data: bytes) -> None:
    assert agree(data).error == "empty"


@pytest.mark.parametrize(
    "start",
    [
        b"SIP/7.0 200 OK",
        b"SIP/2.0 2000 OK",
        b"SIP/2.0 99 OK",
        b"SIP/2.0 099 OK",
        b"SIP/2.0 700 OK",
        b"SIP/2.0 20x OK",
        b"SIP/2.0 200OK",
        b"SIP/2.0200 OK",
        b"SIP/2.0",
        b"HTTP/1.1 200 OK",
        b"INVITE sip:a@h SIP/7.0",
        b"INVITE sip:a@h HTTP/1.1",
        b"INVITE sip:a@h; lr SIP/2.0",
        b"INVITE <sip:a@h> SIP/2.0",
        b"INVITE sip:a\0@h SIP/2.0",
        b"INVITE sip:a@h SIP/2.0 x",
        b"INVITE  SIP/2.0",
        b"INV(TE sip:a@h SIP/2.0",
        b"sip:a@h",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_what_is_no_sip_2_start_line_is_refused(start: bytes) -> None:
    assert agree(response(start=start)).error == "start_line"


@pytest.mark.parametrize("start", [b"SIP/2.0 200 ", b"SIP/2.0 200", b"sip/2.0 200 \t"])
def test_reason_phrase_may_be_empty_or_absent(start: bytes) -> None:
    found = agree(response(start=start))
    assert (found.error, found.status, found.reason) == ("ok", 200, (0, 0))


@pytest.mark.parametrize("status", [100, 199, 200, 301, 423, 500, 699])
def test_status_codes_from_100_to_699_are_read(status: int) -> None:
    assert agree(response(start=b"SIP/2.0 %d x" % status)).status == status


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"no colon here", "header"),
        (b":no name", "header"),
        (b" : no name", "header"),
        (b"Na\0me: x", "header"),
        (b"Na\x7fme: x", "header"),
        (b"Odd (but) printable: x", "ok"),
        (b"\xc3\xa9: x", "ok"),
        (b"Expires : 3600", "ok"),
        (b"Content-Length: 1", "length"),
        (b"Content-Length: -1", "length"),
        (b"Content-Length: x", "length"),
        (b"Content-Length:", "length"),
        (b"Content-Length: 0\r\nl: 0", "ok"),
        (b"Content-Length: 0\r\nl: 1", "length"),
    ],
)
def test_a_line_that_cannot_be_read_has_its_verdict(line: bytes, error: str) -> None:
    # behind the Call-ID a line that begins with a blank would be folding, so it comes first
    data = response().replace(b"OK\r\n", b"OK\r\n" + line + b"\r\n", 1)
    assert agree(data).error == error


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (b"Via", b"X-Via", "via"),
        (b"SIP/2.0/UDP h", b"SIP/2.0/UDP", "via"),
        (b"SIP/2.0/UDP h", b"SIP/2.0 h", "via"),
        (b"SIP/2.0/UDP h;", b"SIP/2.0/UDP ;", "via"),
        (b"CSeq", b"X-CSeq", "cseq"),
        (b"1 REGISTER", b"REGISTER", "cseq"),
        (b"1 REGISTER", b"1REGISTER", "cseq"),
        (b"1 REGISTER", b"-1 REGISTER", "cseq"),
        (b"1 REGISTER", b"1 REGISTER x", "cseq"),
        (b"1 REGISTER", b"1", "cseq"),
        (b"1 REGISTER", b"2147483648 REGISTER", "cseq"),
        (b"1 REGISTER", b"2147483647 REGISTER", "ok"),
        (b"1 REGISTER", b"9" * 5000 + b" REGISTER", "cseq"),
        (b"From", b"X-From", "mandatory"),
        (b"To", b"X-To", "mandatory"),
        (b"Call-ID", b"X-Call-ID", "mandatory"),
        (b"Call-ID: c", b"Call-ID:", "mandatory"),
    ],
)
def test_what_every_message_needs_is_asked_for(old: bytes, new: bytes, error: str) -> None:
    assert agree(response().replace(old, new, 1)).error == error


def test_error_leaves_what_was_read() -> None:
    found = agree(OK_200.replace(b"Content-Length: 0", b"Content-Length: 9"))
    assert found.error == "length"
    assert text(OK_200, found.via_branch).startswith(b"z9hG4bK")
    assert found.cseq == 4711


def test_no_empty_line_is_truncated() -> None:
    assert agree(OK_200[:-2]).error == "truncated"
    assert agree(b"SIP/2.0 200 OK").error == "truncated"


def test_continuation_belongs_to_the_value() -> None:
    data = response(b"Warning: 1\r\n\tone\r\n  \r\n two")
    found = agree(data)
    assert found.error == "ok"
    assert text(data, found.first["warning"]) == b"1\r\n\tone\r\n  \r\n two"


def test_body_that_begins_with_a_blank_is_no_continuation() -> None:
    data = response(b"Content-Length: 4", body=b" abc")
    assert data[agree(data).headers_end :] == b" abc"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0),
        (b"00120", 120),
        (b"4294967295", 2**32 - 1),
        (b"4294967296", 2**32 - 1),
        (b"9" * 6000, 2**32 - 1),
        (b"-1", -1),
        (b"+1", -1),
        (b"1.5", -1),
        (b"1 2", -1),
        (b"", -1),
        (b"\xd9\xa1", -1),
    ],
)
def test_expires_is_a_bounded_number_of_seconds(value: bytes, seconds: int) -> None:
    found = agree(response(b"Expires: " + value, b"Min-Expires: " + value))
    assert (found.expires, found.min_expires) == (seconds, seconds)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"120", 120),
        (b"120;duration=60", 120),
        (b"120 (I'm in a meeting)", 120),
        (b"120(now)", 120),
        (b"120x", -1),
        (b"soon", -1),
        (b"", -1),
    ],
)
def test_retry_after_is_its_leading_number(value: bytes, seconds: int) -> None:
    assert agree(response(b"Retry-After: " + value)).retry_after == seconds


def test_topmost_via_value_counts() -> None:
    data = response().replace(b"h;branch=z9hG4bK1", b"h;branch=z9hG4bK1, SIP/2.0/UDP i;branch=2")
    data = data.replace(b"From:", b"Via: SIP/2.0/UDP j;branch=3\r\nFrom:")
    found = agree(data)
    assert text(data, found.via_sent_by) == b"h"
    assert text(data, found.via_branch) == b"z9hG4bK1"


def test_via_without_branch_has_none() -> None:
    found = agree(response().replace(b";branch=z9hG4bK1", b";rport"))
    assert (found.error, found.via_branch) == ("ok", (0, 0))


@pytest.mark.parametrize(
    "flood",
    [
        b"x" * 65000,
        b"SIP/2.0 200 OK\r\n" + b"a:\r\n" * 16000,
        b"SIP/2.0 200 OK\r\n" + b"Via: " + b"," * 65000,
        b"SIP/2.0 200 OK\r\nVia: x" + b"\r\n " * 21000 + b"\r\n\r\n",
        b"SIP/2.0 200 OK\r\nFrom: " + b'"' * 65000 + b"\r\n\r\n",
        b"SIP/2.0 200 OK\r\nFrom: " + b"<" * 65000 + b"\r\n\r\n",
        b"SIP/2.0 200 OK\r\nFrom: " + b";" * 65000 + b"\r\n\r\n",
        b"SIP/2.0 200 OK\r\n" + b"l: 0\r\n" * 10000 + b"\r\n",
        b"SIP/2.0 200 OK\r\nCSeq: " + b"1" * 65000 + b"\r\n\r\n",
        b"\0" * 65000,
        b"\r\n" * 32000,
    ],
    ids=range(11),
)
def test_floods_of_64_kilobytes_are_read_as_the_reference_reads_them(flood: bytes) -> None:
    agree(flood)


def test_verdicts_have_distinct_names() -> None:
    assert len(set(ERRORS)) == len(ERRORS) == 9
