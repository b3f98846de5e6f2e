"""Requests that reach our sockets: answered properly, never amplified, never without end."""

from __future__ import annotations

import pytest

from pump import Packet, S
from regiment.datagram import peer_from_address
from regiment.uac.inbound import split_value, with_received
from uac.single import EXACT, UAC, Single, ok, policy_of, scripted

STRANGER = peer_from_address("203.0.113.66", 40000)
BODY = "v=0\r\n"


def request(method: str, *, to_tag: str = "", via: str = "", padding: int = 120) -> bytes:
    """A request of a peer, with room for an answer that is not shorter."""
    via = via or "SIP/2.0/UDP 203.0.113.66:40000;rport;branch=z9hG4bKabc"
    lines = [
        f"{method} sip:s@192.0.2.10:5060 SIP/2.0",
        f"Via: {via}",
        "Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKdef",
        "From: <sip:them@example.com>;tag=theirs",
        f"To: <sip:s@192.0.2.10>{to_tag and ';tag=' + to_tag}",
        "Call-ID: inbound@203.0.113.66",
        f"CSeq: 7 {method}",
        f"User-Agent: {'x' * padding}",
        f"Content-Length: {len(BODY)}",
        "",
        BODY,
    ]
    return "\r\n".join(lines).encode()


def ask(one: Single, data: bytes, source: bytes = STRANGER) -> list[bytes]:
    """Delivers a request; answers what came back to its source."""
    known = len(one.pump.trace)
    one.pump.inject(Packet(one.now_ns, source, UAC, data, one.now_ns))
    one.pump.settle()
    return [p.data for p in one.pump.trace[known:] if p.destination == source]


@pytest.fixture
def one() -> Single:
    """A registered registration."""
    single = Single(policy_of(**EXACT), script=scripted(ok))
    single.begin()
    return single


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("OPTIONS", 200),
        ("INVITE", 480),
        ("BYE", 481),
        ("CANCEL", 481),
        ("NOTIFY", 481),
        ("SUBSCRIBE", 405),
        ("MESSAGE", 405),
        ("REGISTER", 405),
        ("JABBER", 501),
    ],
)
def test_each_method_gets_its_answer(one: Single, method: str, code: int) -> None:
    (answer,) = ask(one, request(method))
    lines = answer.decode().split("\r\n")
    assert lines[0].startswith(f"SIP/2.0 {code} ")
    assert lines[1] == (
        "Via: SIP/2.0/UDP 203.0.113.66:40000;branch=z9hG4bKabc;rport=40000;received=203.0.113.66"
    )
    assert lines[2] == "Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKdef"
    assert lines[3] == "From: <sip:them@example.com>;tag=theirs"
    assert lines[4].startswith("To: <sip:s@192.0.2.10>;tag=")
    assert "Call-ID: inbound@203.0.113.66" in lines
    assert f"CSeq: 7 {method}" in lines
    assert any(line.startswith("Allow: ") for line in lines) == (code in (200, 405, 501))
    assert answer.endswith(b"\r\n\r\n")


def test_ack_is_absorbed(one: Single) -> None:
    assert ask(one, request("ACK")) == []


def test_a_retransmission_gets_the_same_answer_and_another_call_another_tag(one: Single) -> None:
    first = ask(one, request("OPTIONS"))
    assert ask(one, request("OPTIONS")) == first
    other = ask(one, request("OPTIONS").replace(b"inbound@", b"another@"))
    assert first[0].split(b";tag=")[2] != other[0].split(b";tag=")[2]


def test_a_to_tag_is_left_as_it_is(one: Single) -> None:
    (answer,) = ask(one, request("BYE", to_tag="ours"))
    assert b"To: <sip:s@192.0.2.10>;tag=ours\r\n" in answer


@pytest.mark.parametrize("padding", [0, 5, 20, 60, 200])
@pytest.mark.parametrize("method", ["OPTIONS", "INVITE", "SUBSCRIBE", "JABBER"])
def test_an_answer_is_never_longer_than_asked_plus_tag_and_allow(
    one: Single, method: str, padding: int
) -> None:
    asked = request(method, padding=padding)
    for answer in ask(one, asked):
        to_tag = answer.split(b"To: ")[1].split(b";tag=")[1].split(b"\r\n")[0]
        ours = [
            line
            for line in answer.split(b"\r\n")
            if line.startswith((b"Allow: ", b"Accept: ", b"Supported: "))
        ]
        extra = len(b";tag=") + len(to_tag) + sum(len(line) + 2 for line in ours)
        assert len(answer) <= len(asked) + extra


def test_a_terse_request_whose_answer_would_be_longer_gets_none(one: Single) -> None:
    terse = (
        b"OPTIONS sip:s SIP/2.0\r\nv:SIP/2.0/UDP h;branch=z9hG4bK1;rport\r\nf:<sip:a@b>;tag=1\r\n"
        b"t:<sip:c@d>\r\ni:1\r\nCSeq:1 OPTIONS\r\n\r\n"
    )
    assert ask(one, terse) == []
    assert one.board.get("regiment_sip_discarded_total", ("inbound_limit",)) == 1
    wordy = terse.replace(b"CSeq", b"s:" + b"x" * 200 + b"\r\nCSeq")
    assert len(ask(one, wordy)) == 1


def test_a_source_gets_fifty_answers_a_second_and_its_targets_all(one: Single) -> None:
    strangers = sum(len(ask(one, request("OPTIONS"))) for _ in range(80))
    assert strangers == 50
    limited = one.board.get("regiment_sip_discarded_total", ("inbound_limit",))
    assert limited == 30
    assert len(ask(one, request("OPTIONS"), peer_from_address("203.0.113.67", 1))) == 1
    port_of_theirs = peer_from_address("198.51.100.1", 5099)
    trusted = sum(len(ask(one, request("OPTIONS"), port_of_theirs)) for _ in range(80))
    assert trusted == 80
    one.run(1)
    assert len(ask(one, request("OPTIONS"))) == 1
    assert one.now_ns % S == 0


def test_requests_are_counted_by_method(one: Single) -> None:
    for method in ("OPTIONS", "OPTIONS", "INVITE", "JABBER"):
        ask(one, request(method))
    family = "regiment_inbound_requests_total"
    counts = [one.board.get(family, (method,)) for method in ("OPTIONS", "INVITE", "other")]
    assert counts == [2, 1, 1]


def test_many_sources_do_not_grow_the_memory_of_the_limit_for_ever(one: Single) -> None:
    answered = 0
    for number in range(6000):
        source = peer_from_address(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 5060)
        answered += len(ask(one, request("OPTIONS"), source))
    assert 4000 <= answered < 6000
    one.run(1)
    assert len(ask(one, request("OPTIONS"), peer_from_address("11.0.0.1", 5060))) == 1


@pytest.mark.parametrize(
    ("via", "address", "port", "expected"),
    [
        ("SIP/2.0/UDP h:5060;branch=b", "192.0.2.1", 9, "h:5060;branch=b;received=192.0.2.1"),
        ("SIP/2.0/UDP 192.0.2.1:5;branch=b", "192.0.2.1", 5, "192.0.2.1:5;branch=b"),
        ("SIP/2.0/UDP 192.0.2.1;branch=b", "192.0.2.1", 5060, "192.0.2.1;branch=b"),
        (
            "SIP/2.0/UDP 192.0.2.1:5;rport;branch=b",
            "192.0.2.1",
            6,
            "192.0.2.1:5;branch=b;rport=6;received=192.0.2.1",
        ),
        (
            "SIP/2.0/UDP h;received=9.9.9.9;RPORT=1, SIP/2.0/UDP next;rport",
            "192.0.2.1",
            7,
            "h;rport=7;received=192.0.2.1, SIP/2.0/UDP next;rport",
        ),
    ],
)
def test_received_and_rport_tell_where_the_request_came_from(
    via: str, address: str, port: int, expected: str
) -> None:
    told = with_received(via.encode(), address.encode(), port).decode()
    assert told == f"SIP/2.0/UDP {expected}"


def test_a_comma_in_quotes_does_not_end_a_via_value() -> None:
    assert split_value(b'a;x="1,2", b') == (b'a;x="1,2"', b",", b" b")
    assert split_value(b"alone") == (b"alone", b"", b"")
