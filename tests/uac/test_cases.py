"""The oracle cases: one rule each, with the times at which REGISTERs go out."""

from __future__ import annotations

import pytest

from pump import S
from reference.exchange import Challenge, Contact, Response
from responder import Request, reply
from uac.single import (
    ALICE,
    DAY_S,
    EXACT,
    Single,
    always,
    gaps_s,
    grant,
    life,
    ok,
    policy_of,
    render,
    scripted,
    silent,
    unauthorized,
)


def test_case_1_silence_and_no_retries_is_one_transaction_of_eleven_datagrams() -> None:
    one = life(silent, DAY_S, max_retries=0)
    assert len(one.requests) == 1
    offsets = [round((c.time_ns - one.requests[0].time_ns) / S, 1) for c in one.registrar.copies]
    assert offsets == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert {copy.data for copy in one.registrar.copies} == {one.requests[0].data}
    status = one.status()
    assert (status.state, status.failure_class, status.next_attempt_in_s) == (
        "rejected",
        "transient",
        -1,
    )
    assert one.attempts() == {("initial", "timeout"): 1}


def test_case_2_500_is_retried_max_retries_times() -> None:
    one = life(always(500), DAY_S, max_retries=2, retry_interval=5)
    assert gaps_s(one) == [5, 5]
    assert one.status().state == "rejected"
    assert one.attempts() == {("initial", "rejected"): 1, ("retry", "rejected"): 2}


@pytest.mark.parametrize(("code", "gap_s"), [(403, 7), (404, 3)])
def test_case_3_forbidden_interval_is_for_403_and_fatal_interval_for_the_rest(
    code: int, gap_s: int
) -> None:
    one = life(
        always(code), DAY_S, forbidden_retry_interval=7, fatal_retry_interval=3, max_retries=3
    )
    assert gaps_s(one) == [gap_s] * 3
    assert one.status().failure_class == "policy"


def test_case_4_retry_after_is_obeyed_for_ever_and_counts_nothing() -> None:
    one = life(always(503, "Retry-After: 4"), 400, max_retries=1)
    assert len(one.requests) >= 100
    assert set(gaps_s(one)) == {4}
    assert (one.status().retries, one.status().state) == (0, "waiting")
    assert one.status().failure_class == "throttled"


def test_case_5_600_is_retried_and_480_is_final() -> None:
    assert set(gaps_s(life(always(600), 600))) == {60}
    one = life(always(480), DAY_S)
    assert len(one.requests) == 1
    assert (one.status().state, one.status().code) == ("rejected", 480)


def test_case_6_without_retry_interval_503_is_final_unless_fatal_interval() -> None:
    assert len(life(always(503), DAY_S, retry_interval=0).requests) == 1
    one = life(always(503), DAY_S, retry_interval=0, fatal_retry_interval=3, max_retries=4)
    assert gaps_s(one) == [3] * 4


def test_case_7_a_challenge_is_answered_in_the_same_attempt() -> None:
    script = scripted(lambda r: unauthorized(r, "abc", algorithm="MD5"), ok)
    one = life(script, 1, auths=[ALICE])
    first, second = one.requests
    assert not first.credentials
    (credentials,) = second.credentials
    assert (credentials["nc"], credentials["qop"]) == ("00000001", "auth")
    assert second.cseq == first.cseq + 1
    assert (second.call_id, second.from_tag) == (first.call_id, first.from_tag)
    assert second.branch != first.branch
    assert one.status().state == "registered"
    assert one.attempts() == {("initial", "success"): 1}


@pytest.mark.parametrize(("permanent", "state"), [(True, "rejected"), (False, "waiting")])
def test_case_7_a_wrong_password_is_offered_once_an_attempt(permanent: bool, state: str) -> None:
    nonces = iter(f"n{k}" for k in range(100))
    one = life(
        scripted(lambda r: unauthorized(r, next(nonces))),
        1,
        auths=[ALICE],
        auth_rejection_permanent=permanent,
    )
    assert len(one.requests) == 2
    assert one.status().state == state
    assert one.status().failure_class == "credentials"
    assert one.attempts() == {("initial", "auth_failed"): 1}


def test_case_7_stale_is_answered_again_but_only_four_rounds_long() -> None:
    nonces = iter(f"n{k}" for k in range(100))
    one = life(scripted(lambda r: unauthorized(r, next(nonces), stale=True)), 1, auths=[ALICE])
    assert len(one.requests) == 5
    assert [r.credentials[0]["nonce"] for r in one.requests[1:]] == ["n0", "n1", "n2", "n3"]
    assert one.status().state == "rejected"


def test_case_7_407_and_then_401_are_two_challenges() -> None:
    def proxy(request: Request) -> bytes:
        found = Challenge("example.com", "p", proxy=True)
        return render(request, Response(407, challenges=(found,)))

    one = life(scripted(proxy, lambda r: unauthorized(r, "w"), ok), 1, auths=[ALICE])
    third = {c["header"]: c for c in one.requests[2].credentials}
    assert third["authorization"]["nc"] == "00000001"
    assert third["proxy-authorization"]["nonce"] == "p"
    assert third["proxy-authorization"]["nc"] == "00000002"
    assert one.status().state == "registered"


@pytest.mark.parametrize(
    ("contacts", "expires", "due_s"),
    [
        ((Contact("uri", 120), Contact("none", 30)), None, 110),
        ((Contact("none", 30), Contact("uri", 120)), None, 110),
        ((Contact("uri", 300), Contact("uri", 120)), None, 110),
        ((Contact("none", 60),), None, 50),
        ((), None, 3590),
        ((), 200, 190),
        ((Contact("uri"),), 200, 190),
        ((Contact("uri"),), None, 3590),
        ((Contact("line", 120), Contact("user", 60)), None, 110),
        ((Contact("user", 60), Contact("none", 120)), None, 50),
        ((Contact("user", 60), Contact("user", 90)), None, 3590),
        ((Contact("none", 60), Contact("none", 90)), 200, 190),
        ((Contact("uri", 0),), None, 3590),
        ((Contact("uri", 0),), 200, 190),
    ],
)
def test_cases_8_and_9_whose_expiry(
    contacts: tuple[Contact, ...], expires: int | None, due_s: int
) -> None:
    one = Single(
        policy_of(**EXACT, line=True),
        script=scripted(grant(*contacts, expires=expires)),
        endpoint="e",
        contact_user="trunk7",
    )
    one.begin()
    assert one.status().next_attempt_in_s == pytest.approx(due_s, abs=0.002)


def test_case_8_the_contact_that_was_published_is_the_one_that_is_matched() -> None:
    one = Single(
        policy_of(**EXACT),
        script=scripted(grant(Contact("none", 30), Contact("uri", 120))),
        contact="sip:pbx@203.0.113.200:5090",
    )
    one.begin()
    assert one.requests[0].contact_uri == "sip:pbx@203.0.113.200:5090"
    assert one.status().granted_s == 120


def test_case_10_423_raises_expires_to_min_expires() -> None:
    brief = lambda r: reply(r, 423, "Min-Expires: 7200")  # noqa: E731
    one = life(scripted(brief, ok), 3600)
    first, second = one.requests[:2]
    assert (first.expires, second.expires) == (3600, 7200)
    assert second.cseq == first.cseq + 1
    assert second.from_tag != first.from_tag
    assert second.call_id == first.call_id
    assert one.times_s[:2] == [0, 0]
    assert (one.status().state, one.status().retries) == ("registered", 0)
    assert one.requests[2].expires == 7200, "the refresh keeps the raised value"


def test_case_10_423_without_min_expires_asks_3601_once() -> None:
    one = life(always(423), DAY_S)
    assert [r.expires for r in one.requests] == [3600, 3601]
    assert (one.status().state, one.status().code) == ("rejected", 423)


def test_case_10_423_that_asks_for_no_more_than_we_did_is_final() -> None:
    one = life(always(423, "Min-Expires: 3600"), DAY_S)
    assert [r.expires for r in one.requests] == [3600]


@pytest.mark.parametrize(
    ("granted_s", "due_s"), [(5, 2.5), (1, 1), (2, 1), (20, 10), (21, 11), (120, 110)]
)
def test_case_11_short_grants_are_refreshed_at_half_and_never_at_once(
    granted_s: int, due_s: float
) -> None:
    one = life(scripted(lambda r: ok(r, granted_s)), 0)
    assert one.status().next_attempt_in_s == pytest.approx(due_s, abs=0.002)


def test_case_13_a_dead_address_costs_one_transaction_and_no_retry() -> None:
    one = life(silent, 70, addresses=2, max_retries=0, failover="asterisk")
    first, second = one.requests
    assert one.times_s[1] == pytest.approx(32, abs=0.002)
    assert [r.destination for r in one.requests] == one.peers
    assert second.cseq == first.cseq + 1
    assert (second.call_id, second.from_tag) == (first.call_id, first.from_tag)
    assert one.attempts() == {("initial", "timeout"): 1}


def test_case_13_the_second_address_answers() -> None:
    one = Single(policy_of(**EXACT, failover="asterisk"), addresses=2, auths=[ALICE])
    second = one.peers[1]
    one.registrar.script = lambda r: [(0, ok(r))] if r.destination == second else ()
    one.begin()
    one.run(40)
    assert (one.status().state, one.status().retries) == ("registered", 0)
