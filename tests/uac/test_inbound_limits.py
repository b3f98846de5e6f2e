"""Requests that would cost more to answer than they are worth."""

from __future__ import annotations

import pytest

from pump import Packet
from regiment.datagram import peer_from_address
from uac.single import EXACT, UAC, Single, ok, policy_of, scripted

STRANGER = peer_from_address("203.0.113.66", 40000)


def options(via: str) -> bytes:
    return "\r\n".join(
        [
            "OPTIONS sip:s@192.0.2.10:5060 SIP/2.0",
            f"Via: {via}",
            "From: <sip:them@example.com>;tag=theirs",
            "To: <sip:s@192.0.2.10>",
            "Call-ID: inbound",
            "CSeq: 7 OPTIONS",
            f"User-Agent: {'x' * 120}",
            "",
            "",
        ]
    ).encode()


@pytest.mark.parametrize(("length", "answers"), [(200, 1), (4096, 1), (4097, 0), (60000, 0)])
@pytest.mark.parametrize("filling", [";", "x", ';a="b,c"'])
def test_a_topmost_via_of_more_than_4096_bytes_gets_no_answer(
    length: int, answers: int, filling: str
) -> None:
    one = Single(policy_of(**EXACT), script=scripted(ok))
    one.begin()
    known = len(one.pump.trace)
    via = ("SIP/2.0/UDP h;branch=z9hG4bK1" + filling * length)[:length]
    one.pump.inject(Packet(one.now_ns, STRANGER, UAC, options(via), one.now_ns))
    one.pump.settle()
    assert sum(p.destination == STRANGER for p in one.pump.trace[known:]) == answers
