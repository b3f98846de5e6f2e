"""The framer against its slow reference, however a stream is cut, and its rules one by one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reference import stream as reference
from regiment.errors import LocalError
from regiment.sip.framer import BODY_LIMIT, ERRORS, HEADER_LIMIT, START_LINE_LIMIT, Framer
from sip.samples import OK_200, REGISTER

OPTIONS = b"OPTIONS sip:s@192.0.2.10 SIP/2.0\r\nl: 4\r\nX-Length: 9\r\n\r\nbody"
FOLDED = b"SIP/2.0 200 OK\r\nX: a\r\n b\r\n\tc\r\nCONTENT-length \t:\r\n  3 \r\n\r\n\r\n\r"


class Reader:
    """A framer, and all that it found."""

    def __init__(self) -> None:
        self.framer = Framer()
        self.messages: list[bytes] = []

    def read(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            at, message = self.framer.feed(data, at)
            if message is not None:
                self.messages.append(message)
            else:
                assert at == len(data)

    def found(self) -> reference.Framed:
        framer = self.framer
        return reference.Framed(
            self.messages, framer.pings, framer.pongs, framer.error, framer.is_partial
        )


def framed(*reads: bytes) -> reference.Framed:
    reader = Reader()
    for data in reads:
        reader.read(data)
    return reader.found()


# --- against the reference -------------------------------------------------------------------

WHOLE = [OK_200, REGISTER, OPTIONS, FOLDED]
PIECES = [
    *(b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b"\x16\x03\x01", b"\x80"),
    *(b"SIP/2.0 200 OK\r\n", b"REGISTER sip:a SIP/2.0\r\n", b"sip/2.0", b"SIP/2.0 ", b"x SIP/2.0"),
    *(b"HTTP/1.1 400 Bad Request\r\n", b"GET / HTTP/1.1\r\n", b"HTTP/", b" HTTP/1.1", b"nonsense"),
    *(b"Content-Length: 0\r\n", b"Content-Length:3\r\n", b"l:\r\n 3\r\n", b"L \t: 3\n"),
    *(b"Content-Length: 99999999999\r\n", b"Content-Length: x\r\n", b"Content-Length:\r\n"),
    *(b"c: 3\r\n", b"Content-Lengths: x\r\n", b"Content-Length", b"l", b"abc"),
    *(b"X: " + b"y" * 300 + b"\r\n",),
    *(b"X: " + b"z" * START_LINE_LIMIT, b"x" * BODY_LIMIT, b"Content-Length: 65536\r\n\r\n"),
]  # fmt: skip
STREAMS = st.lists(st.sampled_from(WHOLE + PIECES) | st.binary(max_size=4), max_size=12).map(
    b"".join
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@settings(max_examples=400, deadline=None)
@given(STREAMS, st.lists(st.integers(0, 1 << 20), max_size=20))
@example(b"SIP/2.0\r\n", [])
@example(b"SIP/2.0 \r\n\r\n", [9])
@example(OK_200 * 3 + b"\r\n", [1, len(OK_200) - 1, len(OK_200) + 1])
def test_any_stream_cut_anywhere_is_framed_as_the_reference_says(
    data: bytes, places: list[int]
) -> None:
    assert framed(*cut(data, places)) == reference.frame(data)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(WHOLE), st.integers(0, 5)), max_size=8),
    st.lists(st.integers(0, 1 << 20), max_size=12),
)
def test_messages_come_out_whole_whatever_line_ends_are_between(
    parts: list[tuple[bytes, int]], places: list[int]
) -> None:
    stream = b"".join(message + b"\r\n" * gap for message, gap in parts)
    found = framed(*cut(stream, places))
    assert found.messages == [message for message, _ in parts]
    assert found.pings == sum(gap // 2 for _, gap in parts)
    assert (found.error, found.is_partial) == ("", False)


@pytest.mark.parametrize("message", WHOLE)
def test_byte_by_byte_is_as_good_as_at_once(message: bytes) -> None:
    stream = b"\r\n\r\n" + message + b"\r\n" + message
    assert framed(*(stream[i : i + 1] for i in range(len(stream)))) == framed(stream)
    assert framed(stream) == reference.Framed([message, message], pings=1, pongs=1)


# --- rule by rule ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "no SIP: the peer speaks HTTP"),
        (b"GET / HTTP/1.1\r\n", "no SIP: the peer speaks HTTP"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "no SIP: the peer speaks TLS"),
        (b"\0\0\0\0", "no SIP: the peer sends what is no SIP message"),
        (b"220 mail.example.com ESMTP\r\n", "no SIP: the peer sends what is no SIP message"),
        (b"REGISTER sip:a SIP/3.0\r\n", "no SIP: the peer sends what is no SIP message"),
        (b"SIP/2.0 200\0OK", "no SIP: the peer sends what is no SIP message"),
        (b"\rSIP/2.0 200 OK\r\n", "no SIP: the peer sends what is no SIP message"),
        (b"x" * (START_LINE_LIMIT + 1), "no SIP: the peer sends what is no SIP message"),
        (b"SIP/2.0 200 OK\r\n\r\n", "no SIP: a message without Content-Length"),
        (
            b"SIP/2.0 200 OK\r\nl: 1x\r\n\r\n",
            "no SIP: a message whose Content-Length is unreadable",
        ),
        (
            b"SIP/2.0 200 OK\r\nl: 1\r\nContent-Length: 2\r\n\r\n",
            "no SIP: a message whose Content-Length is unreadable",
        ),
        (b"SIP/2.0 200 OK\r\nl: 65537\r\n", "no SIP: a body of more than 65536 bytes"),
    ],
)
def test_what_is_no_sip_is_told_as_early_as_it_shows(stream: bytes, error: str) -> None:
    # A line's end can only be known by the byte behind it.
    assert framed(OK_200, stream + b"x").error == error
    assert framed(OK_200, stream + b"x").messages == [OK_200]


def test_endless_headers_are_given_up_at_the_limit() -> None:
    reader = Reader()
    reader.read(b"SIP/2.0 200 OK\r\n")
    fed = 16
    while not reader.framer.error:
        reader.read(b"X-Filler: " + b"y" * 1012 + b"\r\n")
        fed += 1024
        assert reader.framer.kept_bytes <= 2 * HEADER_LIMIT
    assert reader.framer.error == "no SIP: headers of more than 65536 bytes"
    assert HEADER_LIMIT <= fed <= HEADER_LIMIT + 2 * 1024
    assert reader.framer.kept_bytes == 0
    reader.read(b"z" * 10_000_000)
    assert reader.framer.kept_bytes == 0


def test_the_longest_message_passes() -> None:
    start = b"SIP/2.0 200 OK\r\nContent-Length: 65536\r\nX: "
    head = start + b"y" * (HEADER_LIMIT - len(start) - 4) + b"\r\n\r\n"
    message = head + b"b" * BODY_LIMIT
    assert framed(message, message).messages == [message, message]
    halves = [message[:1000], message[1000:70000], message[70000:] + message[:5], message[5:]]
    assert framed(*halves).messages == [message, message]


def test_an_idle_framer_keeps_nothing() -> None:
    reader = Reader()
    reader.read(OK_200 + OK_200[:100])
    assert reader.framer.is_partial
    assert 0 < reader.framer.kept_bytes <= 1024
    reader.read(OK_200[100:])
    assert not reader.framer.is_partial
    assert reader.framer.kept_bytes == 0


def test_a_lone_line_end_is_a_pong_to_who_settles_it() -> None:
    reader = Reader()
    reader.read(b"\r\n")
    assert reader.framer.settle()
    assert not reader.framer.settle()
    reader.read(b"\r\n")
    assert (reader.framer.pings, reader.framer.pongs) == (0, 1)
    reader.read(b"\r\n")
    assert (reader.framer.pings, reader.framer.pongs) == (1, 1)


def test_a_place_beyond_the_data_is_refused() -> None:
    with pytest.raises(LocalError, match="there are 2 bytes, not 3"):
        Framer().feed(b"ab", 3)


def test_every_error_has_its_line() -> None:
    assert len(set(ERRORS)) == len(ERRORS)
    assert all(line.startswith("no SIP: ") for line in ERRORS[1:])
