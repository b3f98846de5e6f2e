"""Mediasec: which headers of RFC 3329 a REGISTER carries, and what is remembered of the others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.exchange import Challenge, Contact, Response
from regiment.uac.security import verify_after
from responder import Request
from uac.single import ALICE, EXACT, Single, policy_of, render

OURS = ("sdes-srtp;mediasec", "dtls-srtp;mediasec")
THEIRS = ("msrp-tls;mediasec", "sdes-srtp;mediasec")
OTHERS = ("dtls-srtp;mediasec",)
GOOD = Response(200, contacts=(Contact("uri", 60),))


def challenge(nonce: str, *mechanisms: str, stale: bool = False) -> Response:
    return Response(
        401,
        challenges=(Challenge("example.com", nonce, stale=stale),),
        security_server=mechanisms,
    )


def said(*values: str, code: int = 401) -> bytes:
    """A response with these Security-Server header lines."""
    return "\r\n".join(
        [
            f"SIP/2.0 {code} Because",
            "Via: SIP/2.0/UDP h;branch=z9hG4bK1",
            "From: <sip:a@h>;tag=1",
            "To: <sip:a@h>;tag=2",
            "Call-ID: 1",
            "CSeq: 1 REGISTER",
            *(f"Security-Server: {value}" for value in values),
            "",
            "",
        ]
    ).encode()


def verify(*values: str) -> list[str]:
    """The values of Security-Verify after such a response."""
    lines = verify_after(said(*values)).decode().split("\r\n")
    assert lines.pop() == ""
    assert all(line.startswith("Security-Verify: ") for line in lines)
    return [line.partition(": ")[2] for line in lines]


def agreement(request: Request) -> tuple[list[str], list[str]]:
    """Security-Client and Security-Verify; Require and Proxy-Require must be there."""
    assert request.one("require") == request.one("proxy-require") == "mediasec"
    return request.all("security-client"), request.all("security-verify")


def life(*responses: Response, **options: object) -> Single:
    """A registration with mediasec that is given these responses, one a request."""
    policy = policy_of(
        **(
            EXACT
            | {
                "security_negotiation": "mediasec",
                "security_mechanisms": OURS,
                "fatal_retry_interval": 5,
            }
            | options
        )
    )
    one = Single(policy, auths=[ALICE])
    one.begin()
    for response in responses:
        one.answer(one.requests[-1], render(one.requests[-1], response))
        one.run(0)
    return one


# ---------------------------------------------------------------------- the table


def test_the_first_register_names_our_mechanisms_and_asks_for_mediasec() -> None:
    assert agreement(life().requests[0]) == (list(OURS), [])


def test_the_answer_to_a_challenge_gives_their_mechanisms_back() -> None:
    one = life(challenge("n1", *THEIRS))
    assert agreement(one.requests[1]) == (list(OURS), list(THEIRS))
    assert "authorization" in one.requests[1].names


def test_a_refresh_gives_them_back_too() -> None:
    one = life(challenge("n1", *THEIRS), GOOD)
    one.run(60)
    assert agreement(one.requests[2]) == (list(OURS), list(THEIRS))


def test_after_a_494_ours_are_left_out_and_a_challenge_brings_them_back() -> None:
    one = life(Response(494, security_server=THEIRS), challenge("n1", *OTHERS))
    assert agreement(one.requests[1]) == ([], list(THEIRS))
    assert agreement(one.requests[2]) == (list(OURS), list(OTHERS))


def test_a_retry_after_another_failure_names_both() -> None:
    one = life(challenge("n1", *THEIRS), Response(403))
    one.run(6)
    assert agreement(one.requests[2]) == (list(OURS), list(THEIRS))


def test_no_mechanism_to_name_still_asks_for_mediasec() -> None:
    assert agreement(life(security_mechanisms=()).requests[0]) == ([], [])


def test_an_un_register_gives_them_back() -> None:
    one = life(challenge("n1", *THEIRS), GOOD)
    one.engine.unregister_all(one.now_ns, 0.0)
    one.pump.settle()
    assert one.requests[-1].expires == 0
    assert agreement(one.requests[-1]) == (list(OURS), list(THEIRS))


def test_who_registers_anew_after_an_un_register_knows_nothing() -> None:
    one = life(challenge("n1", *THEIRS), GOOD)
    one.engine.unregister("one", one.now_ns)
    one.pump.settle()
    one.answer(one.requests[-1], render(one.requests[-1], Response(200)))
    one.engine.refresh("one", one.now_ns)
    one.pump.settle()
    assert agreement(one.requests[-1]) == (list(OURS), [])


def test_another_address_is_told_nothing_of_what_the_first_one_said() -> None:
    policy = policy_of(**EXACT, security_negotiation="mediasec", security_mechanisms=OURS)
    one = Single(policy, auths=[ALICE], addresses=2)
    one.begin()
    for response in (challenge("n1", *THEIRS), Response(503)):
        one.answer(one.requests[-1], render(one.requests[-1], response))
    assert one.requests[-1].destination == one.peers[1]
    assert agreement(one.requests[-1]) == (list(OURS), [])


def test_without_negotiation_there_is_none_of_it() -> None:
    one = life(challenge("n1", *THEIRS), Response(494), security_negotiation="no")
    names = {"security-client", "security-verify", "require", "proxy-require"}
    assert len(one.requests) == 2
    assert all(names.isdisjoint(request.names) for request in one.requests)


def test_a_494_without_negotiation_is_tried_again_at_once_as_with_it() -> None:
    for negotiation in ("no", "mediasec"):
        one = life(Response(494), security_negotiation=negotiation)
        assert len(one.requests) == 2
        assert one.status().retries == 1


def test_the_headers_stand_between_supported_and_max_forwards() -> None:
    one = life(challenge("n1", *THEIRS), support_path=True, user_agent="regiment")
    assert one.requests[1].names[7:] == [
        "allow",
        "supported",
        "security-client",
        "security-client",
        "security-verify",
        "security-verify",
        "require",
        "proxy-require",
        "max-forwards",
        "user-agent",
        "authorization",
        "content-length",
    ]


def test_an_own_user_agent_follows_them_and_then_the_credentials() -> None:
    one = life(challenge("n1"), user_agent="mine", user_agent_own=True)
    names = one.requests[0].names
    assert names[names.index("proxy-require") :] == [
        "proxy-require",
        "user-agent",
        "max-forwards",
        "content-length",
    ]
    assert one.requests[1].names[-3:] == ["authorization", "user-agent", "content-length"]


def test_our_own_preference_is_not_sent() -> None:
    one = life(security_mechanisms=("sdes-srtp ; q=0.3 ;mediasec", "none"))
    assert agreement(one.requests[0])[0] == ["sdes-srtp;mediasec", "none"]


# ---------------------------------------------------------------------- what is remembered


def test_the_list_is_replaced_and_never_grows() -> None:
    one = life()
    for number in range(40):
        mechanisms = THEIRS if number % 2 else OTHERS
        response = challenge(f"n{number}", *mechanisms)
        one.answer(one.requests[-1], render(one.requests[-1], response))
        assert agreement(one.requests[-1]) == (list(OURS), list(mechanisms))
        one.answer(one.requests[-1], render(one.requests[-1], GOOD))
        one.run(60)
    assert len(one.requests) == 81


def test_a_response_without_any_leaves_what_was_said_before() -> None:
    assert verify_after(said(*THEIRS), said()) == verify_after(said(*THEIRS)) != b""


def test_a_list_of_nothing_that_we_know_is_a_list_all_the_same() -> None:
    assert verify_after(said(*THEIRS), said("tls;q=1", "ipsec-3gpp")) == b""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["sdes-srtp;mediasec"], ["sdes-srtp;mediasec"]),
        (["msrp-tls;mediasec, sdes-srtp;mediasec"], ["msrp-tls;mediasec", "sdes-srtp;mediasec"]),
        (["sdes-srtp;mediasec", "sdes-srtp;mediasec"], ["sdes-srtp;mediasec"]),
        (["none,none , none"], ["none"]),
        ([" SDES-SRTP ; q=0.1;mediasec ; Q = 0.5"], ["SDES-SRTP;mediasec"]),
        (['dtls-srtp;x="a,b;q=1";y'], ['dtls-srtp;x="a,b;q=1";y']),
        (['dtls-srtp;x="a\\";q=1";y'], ['dtls-srtp;x="a\\";q=1";y']),
        (["sdes-srtp;\r\n mediasec"], ["sdes-srtp;mediasec"]),
        (["ipsec-3gpp;prot=ah, none"], ["none"]),
        (["sdes-srtpx", "x-none", ""], []),
        (["none;" + "x" * 251], ["none;" + "x" * 251]),
        (["none;" + "x" * 252, "msrp-tls"], ["msrp-tls"]),
        ([f"none;n{number}" for number in range(20)], [f"none;n{number}" for number in range(8)]),
        (['none;x="never closed, msrp-tls'], ['none;x="never closed, msrp-tls']),
    ],
)
def test_a_list_is_read_whole_each_once_and_at_most_eight(
    values: list[str], expected: list[str]
) -> None:
    assert verify(*values) == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text('none;sdrtpq=",\\ \t\xffx', max_size=300), max_size=12))
def test_whatever_comes_gives_few_short_lines_that_no_header_can_break_out_of(
    values: list[str],
) -> None:
    found = verify_after(said(*values).decode().encode("latin-1"))
    lines = found.split(b"\r\n")
    assert lines.pop() == b""
    assert len(lines) == len(set(lines)) <= 8
    for line in lines:
        assert line.startswith(b"Security-Verify: ")
        assert len(line) <= 17 + 256
        assert not any(byte < 32 for byte in line)
